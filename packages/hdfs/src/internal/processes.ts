import { Data, Effect, Random, Schedule } from "effect"
import * as ChildProcess from "node:child_process"
import * as Net from "node:net"

/**
 * The cluster could not be started, or did not answer. `detail` ends with the last lines of the daemon's log, if there
 * is one.
 *
 * @category errors
 * @since 0.1.0
 */
export class HadoopError extends Data.TaggedError("HadoopError")<{
  readonly detail: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return this.detail
  }
}

/** Runs a program to its end; yields what it printed. */
export const exec = (command: string, args: ReadonlyArray<string>, options?: ChildProcess.SpawnOptions) =>
  Effect.callback<string, HadoopError>((resume) => {
    const child = ChildProcess.spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()))
    child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()))
    child.on("error", (cause) =>
      resume(Effect.fail(new HadoopError({ detail: `${command} could not be started: ${cause.message}`, cause })))
    )
    child.on("close", (code) =>
      resume(
        code === 0
          ? Effect.succeed(output)
          : Effect.fail(new HadoopError({ detail: `${command} ${args.at(-1)} ended with ${code}:\n${tail(output)}` }))
      )
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** The last lines of a log. */
export const tail = (text: string) => text.split("\n").slice(-25).join("\n")

// Ports outside the range of outgoing connections (32768 to 60999 on Linux): a port in that range may be taken between
// being found free and being listened on.
const firstPort = 10_000
const lastPort = 32_767

const heldPort = Effect.acquireRelease(
  Effect.flatMap(Random.nextIntBetween(firstPort, lastPort), (port) =>
    Effect.callback<{ readonly port: number; readonly server: Net.Server }, HadoopError>((resume) => {
      const server = Net.createServer()
      server.once("error", (cause) => resume(Effect.fail(new HadoopError({ detail: `port ${port} is taken`, cause }))))
      server.listen(port, "0.0.0.0", () => resume(Effect.succeed({ port, server })))
    })
  ).pipe(Effect.retry({ times: 100 })),
  ({ server }) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
)

/** Ports that nobody listens on. All are opened together, so that they differ. */
export const freePorts = (count: number): Effect.Effect<ReadonlyArray<number>, HadoopError> =>
  Effect.replicateEffect(heldPort, count).pipe(
    Effect.map((held) => held.map(({ port }) => port)),
    Effect.scoped
  )

/** Waits until somebody listens. */
export const awaitPort = (port: number) =>
  Effect.callback<void, HadoopError>((resume) => {
    const socket = Net.connect(port, "127.0.0.1")
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (cause) => {
      resume(Effect.fail(new HadoopError({ detail: `nobody listens on port ${port}`, cause })))
    })
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 900 }))
