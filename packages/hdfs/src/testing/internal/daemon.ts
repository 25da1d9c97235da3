import { Effect, Schedule, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import { HadoopError, tail } from "../../internal/processes.ts"
import type { ClassArchive } from "./distribution.ts"

/**
 * One process of the cluster.
 *
 * @category models
 * @since 0.1.0
 */
export interface Daemon {
  readonly name: string
  /** Host and port of its web server, `http://127.0.0.2:41233`. */
  readonly url: string
  /** The host name it registers under. */
  readonly host: string
  readonly pid: Effect.Effect<number | undefined>
  /** Starts it and waits until its web server answers. Does nothing when it runs. */
  readonly start: Effect.Effect<void, HadoopError>
  /** Ends it with SIGTERM, and waits. */
  readonly stop: Effect.Effect<void>
  /** Ends it at once (SIGKILL), as a crash does. */
  readonly kill: Effect.Effect<void>
  /** `stop`, then `start`, on the same ports with the same data. */
  readonly restart: Effect.Effect<void, HadoopError>
  /** Freezes it (SIGSTOP): connections stay open, but nothing answers. */
  readonly freeze: Effect.Effect<void>
  /** Lets it continue (SIGCONT). */
  readonly thaw: Effect.Effect<void>
  /** What it wrote so far. */
  readonly log: Effect.Effect<string>
}

const emptyBeans = /"beans" *: *\[ *\]/

interface DaemonSpec {
  readonly name: string
  readonly host: string
  readonly url: string
  /** A path that answers when it is running. */
  readonly ready: string
  readonly args: ReadonlyArray<string>
  /** Asked for at every start. */
  readonly archive: () => ClassArchive | undefined
  readonly env: Readonly<Record<string, string>>
  readonly logFile: string
}

export const makeDaemon = Effect.fnUntraced(function* (spec: DaemonSpec): Effect.fn.Return<Daemon, never, Scope.Scope> {
  let child: ChildProcess.ChildProcess | undefined
  let recording = false
  let closed = false
  const running = () => child !== undefined && child.exitCode === null && child.signalCode === null
  const signal = (name: NodeJS.Signals) =>
    Effect.sync(() => {
      if (running()) child?.kill(name)
    })
  const ended = Effect.callback<void>((resume) => {
    if (child === undefined || !running()) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })
  const log = Effect.sync(() => (Fs.existsSync(spec.logFile) ? Fs.readFileSync(spec.logFile, "utf8") : ""))
  const kill = Effect.andThen(signal("SIGKILL"), ended)
  const stop = Effect.andThen(
    Effect.andThen(signal("SIGCONT"), signal("SIGTERM")),
    Effect.timeoutOrElse(ended, { duration: "10 seconds", orElse: () => kill })
  )
  const up = Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(spec.url + spec.ready, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)])
      })
      const text = await response.text()
      return { status: response.status, empty: emptyBeans.test(text) }
    },
    catch: (cause) => new HadoopError({ detail: `${spec.name} does not answer at ${spec.url}`, cause })
  }).pipe(
    Effect.flatMap(({ empty, status }) =>
      // One that requires a login is running.
      (status === 200 && !empty) || status === 401
        ? Effect.void
        : Effect.fail(new HadoopError({ detail: `${spec.name} answers ${status}${empty ? ", but is not ready" : ""}` }))
    )
  )
  const start = Effect.suspend(() => {
    if (running()) return Effect.void
    if (closed) return Effect.fail(new HadoopError({ detail: `the scope of ${spec.name} is closed` }))
    const archive = spec.archive()
    recording = archive?.recording === true
    const out = Fs.openSync(spec.logFile, "a")
    child = ChildProcess.spawn("java", [...(archive?.args ?? []), ...spec.args], {
      stdio: ["ignore", out, out],
      env: { ...process.env, ...spec.env }
    })
    child.once("exit", (code) => archive?.ended(code === null))
    Fs.closeSync(out)
    return up.pipe(
      Effect.retry({
        schedule: Schedule.spaced("150 millis"),
        while: () => running(),
        times: 600
      }),
      Effect.catch((error) =>
        Effect.flatMap(log, (text) => Effect.fail(new HadoopError({ detail: `${error.detail}\n${tail(text)}` })))
      )
    )
  })
  yield* Effect.addFinalizer(() => {
    closed = true
    return recording ? stop : kill
  })
  return {
    name: spec.name,
    url: spec.url,
    host: spec.host,
    pid: Effect.sync(() => (running() ? child?.pid : undefined)),
    start,
    stop,
    kill,
    restart: Effect.andThen(stop, start),
    freeze: signal("SIGSTOP"),
    thaw: signal("SIGCONT"),
    log
  }
})
