/**
 * The embedded model service: `PUT /score` on Node, with its load, limits and faults under control.
 *
 * {@link make} serves a model from this process, {@link spawn} from a separate process; both live as long as their
 * scope. The protocol is that of the Python service next to it (see README.md). The service counts what it does: its
 * {@link Stats} say how busy it was kept, which is the figure the examples and benchmarks report as utilisation.
 *
 * It is written on `node:http` rather than on Effect's `HttpServer`, because faults such as an answer cut in the middle
 * or a connection reset need the socket itself.
 *
 * @since 0.1.0
 */
import { Context, Duration, Effect, Layer, Option, Schema, Stream } from "effect"
import type { Scope } from "effect"
import { ChildProcess } from "effect/process"
import type { ChildProcessSpawner } from "effect/process"
import * as Http from "node:http"
import { fileURLToPath } from "node:url"
import { Fault, FaultPlan } from "./Fault.ts"
import { handler } from "./handler.ts"
import type { Model } from "./Model.ts"
import { Meter, Stats, StatsJson } from "./Stats.ts"

export { Fault, Stats }

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * How a service should behave.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Weights to score with. */
  readonly model: Model
  /** Address to listen on. Defaults to `"127.0.0.1"`. */
  readonly host?: string | undefined
  /** Port to listen on. Defaults to `0`: a free one. */
  readonly port?: number | undefined
  /** Time a worker takes for a request, on top of the arithmetic. Defaults to none. */
  readonly delay?: Duration.Input | undefined
  /** Requests worked on at once; the others wait in arrival order. Defaults to `8`. */
  readonly capacity?: number | undefined
  /** Requests that may wait; one more is answered 503. Unlimited by default. */
  readonly queueLimit?: number | undefined
  /** Largest body in bytes; a larger one is answered 413. Defaults to 64 MiB. */
  readonly maxBody?: number | undefined
  /** What to do wrong. Defaults to nothing. */
  readonly faults?: ReadonlyArray<Fault> | undefined
}

/**
 * The service could not be started, or did not answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class ModelServiceError extends Schema.TaggedError<ModelServiceError>("@sluice/examples/ModelServiceError")(
  "ModelServiceError",
  { operation: Schema.String, detail: Schema.String, cause: Schema.optionalKey(Schema.Defect()) }
) {
  override get message(): string {
    return `model service: ${this.operation}: ${this.detail}`
  }
}

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/**
 * A running model service.
 *
 * @category services
 * @since 0.1.0
 */
export class ModelService extends Context.Service<
  ModelService,
  {
    /** Base URL, without a trailing slash. */
    readonly url: string
    /** URL to `PUT` matrices to: `url` and `/score`. */
    readonly endpoint: string
    readonly stats: Effect.Effect<Stats, ModelServiceError>
    readonly resetStats: Effect.Effect<void, ModelServiceError>
    /** Replaces the faults; their counts start again. */
    readonly setFaults: (faults: ReadonlyArray<Fault>) => Effect.Effect<void, ModelServiceError>
  }
>()("@sluice/examples/ModelService") {}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Serves a model from this process until the scope closes, then drops the connections still open.
 *
 * Fails with {@link ModelServiceError} if the port is taken.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fn("ModelService.make")(function* (
  options: Options
): Effect.fn.Return<ModelService["Service"], ModelServiceError, Scope.Scope> {
  const host = options.host ?? "127.0.0.1"
  const meter = new Meter(options.capacity ?? 8)
  const faults = new FaultPlan()
  faults.set(options.faults ?? [])
  const answer = handler({
    model: options.model,
    queueLimit: options.queueLimit ?? Infinity,
    maxBody: options.maxBody ?? 64 * 1024 * 1024,
    delayMs: Duration.toMillis(options.delay ?? 0),
    meter,
    faults
  })
  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server, ModelServiceError>((resume) => {
      const server = Http.createServer({ keepAliveTimeout: 75_000, noDelay: true }, answer)
      server.on("connection", (socket) => meter.connected(socket))
      server.once("error", (cause) =>
        resume(new ModelServiceError({ operation: "listen", detail: `${host}:${options.port ?? 0}`, cause }))
      )
      server.listen({ host, port: options.port ?? 0, backlog: 1024 }, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  const address = server.address()
  if (address === null || typeof address === "string") {
    return yield* new ModelServiceError({ operation: "listen", detail: `no port, but ${address}` })
  }
  const url = `http://${host}:${address.port}`
  return {
    url,
    endpoint: `${url}/score`,
    stats: Effect.sync(() => meter.read()),
    resetStats: Effect.sync(() => meter.reset()),
    setFaults: (list) => Effect.sync(() => faults.set(list))
  }
})

/**
 * Provides a model service that runs in this process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<ModelService, ModelServiceError> =>
  Layer.effect(ModelService, make(options))

const ask = (method: string, url: string, body?: string): Effect.Effect<string, ModelServiceError> => {
  const operation = `${method} ${url}`
  return Effect.callback<string, ModelServiceError>((resume) => {
    // A new connection for each question: none stays open, so that the service's socket counts mean something.
    const request = Http.request(url, { method, agent: false }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8")
        resume(
          response.statusCode === 200
            ? Effect.succeed(text)
            : new ModelServiceError({ operation, detail: `status ${response.statusCode}: ${text}` })
        )
      })
    })
    request.on("error", (cause) => resume(new ModelServiceError({ operation, detail: cause.message, cause })))
    request.end(body)
    return Effect.sync(() => request.destroy())
  })
}

const Announcement = Schema.fromJsonString(Schema.Struct({ url: Schema.String }))

/**
 * How a service in a separate process should behave.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpawnOptions extends Omit<Options, "model" | "host"> {
  /** File of the model: JSON as `train.py` writes it. Defaults to the digits model. */
  readonly model?: string | undefined
}

/**
 * Serves a model from a separate Node process until the scope closes. The process also ends with its parent, however
 * that one ends.
 *
 * Fails with {@link ModelServiceError} if the process does not start; its standard error is passed on.
 *
 * @category constructors
 * @since 0.1.0
 */
export const spawn = Effect.fn("ModelService.spawn")(function* (
  options: SpawnOptions = {}
): Effect.fn.Return<ModelService["Service"], ModelServiceError, Scope.Scope | ChildProcessSpawner.ChildProcessSpawner> {
  const failed = (cause: unknown) =>
    new ModelServiceError({ operation: "spawn", detail: "the server process did not start", cause })
  const args = [fileURLToPath(new URL("server.ts", import.meta.url)), "--with-parent"]
  if (options.model !== undefined) args.push("--model", options.model)
  if (options.port !== undefined) args.push("--port", String(options.port))
  if (options.delay !== undefined) args.push("--delay", String(Duration.toMillis(options.delay)))
  if (options.capacity !== undefined) args.push("--capacity", String(options.capacity))
  if (options.queueLimit !== undefined) args.push("--queue-limit", String(options.queueLimit))
  if (options.maxBody !== undefined) args.push("--max-body", String(options.maxBody))
  if (options.faults !== undefined) args.push("--faults", JSON.stringify(options.faults))
  const child = yield* ChildProcess.make(process.execPath, args, {
    stdin: { stream: "pipe", endOnDone: false },
    stderr: "inherit"
  }).pipe(Effect.mapError(failed))
  const line = yield* child.stdout.pipe(Stream.decodeText(), Stream.splitLines, Stream.runHead, Effect.mapError(failed))
  if (Option.isNone(line)) return yield* failed(undefined)
  const { url } = yield* Schema.decodeUnknownEffect(Announcement)(line.value).pipe(Effect.mapError(failed))
  const stats = ask("GET", `${url}/stats`).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(StatsJson)),
    Effect.catchTag("SchemaError", (cause) =>
      Effect.fail(new ModelServiceError({ operation: "stats", detail: cause.message, cause }))
    )
  )
  return {
    url,
    endpoint: `${url}/score`,
    stats,
    resetStats: Effect.asVoid(ask("DELETE", `${url}/stats`)),
    setFaults: (faults) => Effect.asVoid(ask("PUT", `${url}/faults`, JSON.stringify(faults)))
  }
})

/**
 * Provides a model service that runs in a separate process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSpawn = (
  options: SpawnOptions = {}
): Layer.Layer<ModelService, ModelServiceError, ChildProcessSpawner.ChildProcessSpawner> =>
  Layer.effect(ModelService, spawn(options))
