/**
 * The real serving stack without Docker: nginx before several uwsgi processes that run `python/app.py`.
 *
 * {@link make} starts both on a loopback port in a new folder and stops them with its scope. The same configuration
 * files go into the Docker image.
 *
 * @since 0.1.0
 */
import { Effect, FileSystem, Schedule } from "effect"
import type { Scope } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import { ChildProcess } from "effect/process"
import type { ChildProcessSpawner } from "effect/process"
import { spawnSync } from "node:child_process"
import { createServer } from "node:net"
import { fileURLToPath } from "node:url"
import { ModelServiceError } from "./ModelService.ts"

/**
 * How to install what the stack needs, on Debian and Ubuntu.
 *
 * @category requirements
 * @since 0.1.0
 */
export const installHint = "apt-get install nginx-light uwsgi-core uwsgi-plugin-python3 python3-flask python3-numpy"

/**
 * Names the programs and modules that are missing on this machine; empty if the stack can run.
 *
 * @category requirements
 * @since 0.1.0
 */
export const missing = (): ReadonlyArray<string> =>
  (
    [
      ["nginx", "nginx", ["-v"]],
      ["uwsgi with its python3 plugin", "uwsgi", ["--plugin", "python3", "--version"]],
      ["flask and numpy", "/usr/bin/python3", ["-c", "import flask, numpy"]]
    ] as const
  )
    .filter(([, command, args]) => spawnSync(command, args, { stdio: "ignore" }).status !== 0)
    .map(([name]) => name)

/**
 * How to start the stack.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** File of the model: JSON as `train.py` writes it. Defaults to the digits model. */
  readonly model?: string | undefined
  /** uwsgi processes: requests worked on at once. Defaults to the `4` of `score.ini`. */
  readonly processes?: number | undefined
  /** Port of nginx on 127.0.0.1. Defaults to a free one. */
  readonly port?: number | undefined
}

/**
 * A running stack.
 *
 * @category models
 * @since 0.1.0
 */
export interface RealStack {
  /** Base URL, without a trailing slash. */
  readonly url: string
  /** URL to `PUT` matrices to: `url` and `/score`. */
  readonly endpoint: string
}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const failed = (detail: string) => (cause: unknown) =>
  new ModelServiceError({ operation: "start stack", detail, cause })

const freePort = Effect.callback<number, ModelServiceError>((resume) => {
  const server = createServer()
  server.once("error", (cause) => resume(failed("no free port")(cause)))
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** If the kernel can do that, a child ends when its parent does, even if the parent was killed. */
const tied = (command: string, args: ReadonlyArray<string>): readonly [string, ReadonlyArray<string>] =>
  process.platform === "linux" ? ["setpriv", ["--pdeathsig", "TERM", "--", command, ...args]] : [command, args]

const start = Effect.fnUntraced(function* (command: string, args: ReadonlyArray<string>, env: Record<string, string>) {
  const [program, words] = tied(command, args)
  return yield* ChildProcess.make(program, words, {
    env,
    extendEnv: true,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
    killSignal: "SIGTERM",
    forceKillAfter: "5 seconds"
  }).pipe(Effect.mapError(failed(`cannot run ${command}; ${installHint}`)))
})

/**
 * Starts uwsgi and nginx, waits until they answer, and stops them when the scope closes.
 *
 * Fails with {@link ModelServiceError} if one of them cannot run or does not answer within 20 seconds; the end of
 * uwsgi's log is then in the error.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fn("RealStack.make")(function* (
  options: Options = {}
): Effect.fn.Return<
  RealStack,
  ModelServiceError,
  Scope.Scope | ChildProcessSpawner.ChildProcessSpawner | FileSystem.FileSystem
> {
  const fs = yield* FileSystem.FileSystem
  const io = Effect.mapError(failed("cannot write the configuration"))
  const folder = yield* io(fs.makeTempDirectoryScoped({ prefix: "model-service-" }))
  // nginx workers run as another user when started by root.
  yield* io(fs.chmod(folder, 0o755))
  const port = options.port ?? (yield* freePort)
  const socket = `${folder}/score.sock`
  const log = `${folder}/uwsgi.log`
  const template = yield* io(fs.readFileString(file("python/nginx.conf")))
  const values: Record<string, string> = { LISTEN: `127.0.0.1:${port}`, SOCKET: socket, TMP: folder }
  yield* io(
    fs.writeFileString(
      `${folder}/nginx.conf`,
      template.replaceAll(/\$\{([A-Z]+)\}/g, (whole, name: string) => values[name] ?? whole)
    )
  )

  const processes = options.processes === undefined ? [] : ["--processes", String(options.processes)]
  const model = options.model ?? file("model.json")
  yield* start("uwsgi", ["--ini", file("python/score.ini"), ...processes, "--logto", log], {
    MODEL: yield* io(fs.realPath(model)),
    SOCKET: socket,
    PYTHONDONTWRITEBYTECODE: "1"
  })
  // nginx starts when uwsgi listens, so that its first requests leave no errors in the log.
  yield* fs
    .stat(socket)
    .pipe(
      Effect.retry(Schedule.spaced("20 millis")),
      Effect.timeoutOrElse({ duration: "10 seconds", orElse: () => Effect.void }),
      io
    )
  yield* start("nginx", ["-p", folder, "-c", `${folder}/nginx.conf`, "-e", "stderr"], {})

  const url = `http://127.0.0.1:${port}`
  yield* HttpClient.get(`${url}/health`).pipe(
    Effect.flatMap(HttpClientResponse.filterStatusOk),
    Effect.flatMap((response) => response.text),
    Effect.retry(Schedule.spaced("50 millis")),
    Effect.timeout("20 seconds"),
    Effect.catch((cause) =>
      fs.readFileString(log).pipe(
        Effect.orElseSucceed(() => "uwsgi wrote no log"),
        Effect.flatMap((text) => Effect.fail(failed(`no answer from ${url}/health: ${text.slice(-2000)}`)(cause)))
      )
    ),
    Effect.provide(FetchHttpClient.layer)
  )
  return { url, endpoint: `${url}/score` }
})
