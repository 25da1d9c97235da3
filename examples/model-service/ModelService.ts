/**
 * The embedded model service: the article's `PUT /score` on Node, with its load, limits and faults under control.
 *
 * {@link make} serves a model from this process, {@link spawn} from a process of its own; both live as long as their
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
import type { AddressInfo, Socket } from "node:net"
import { fileURLToPath } from "node:url"
import { type Model, score } from "./Model.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

const which = {
  /** Strikes one request in this many. Defaults to `1`: each. */
  every: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  /** Spares this many requests first. Defaults to `0`. */
  after: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  /** Strikes at most this many times. Unlimited by default. */
  times: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
}

/**
 * Something the service does wrong on purpose, and to which requests.
 *
 * **Details**
 *
 * - `Status`: answers `status` with `body`, and `Retry-After: retryAfter` (a number of seconds or an HTTP date)
 * - `Hang`: never answers; the connection stays open
 * - `Reset`: closes the connection without an answer
 * - `Cut`: announces the whole answer, sends its first `bytes`, then closes the connection
 * - `Short`: a well-formed answer that lacks its last `bytes`
 * - `NotFinite`: the score of row `row` of the request is NaN
 * - `Trickle`: sends the answer one byte at a time, `delayMs` apart
 *
 * The first fault of the list that applies to a request is the one that strikes.
 *
 * @category models
 * @since 0.1.0
 */
export const Fault = Schema.TaggedUnion({
  Status: {
    ...which,
    status: Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 })),
    retryAfter: Schema.optionalKey(Schema.Union([Schema.Finite, Schema.String])),
    body: Schema.optionalKey(Schema.String)
  },
  Hang: which,
  Reset: which,
  Cut: { ...which, bytes: Schema.Int },
  Short: { ...which, bytes: Schema.Int },
  NotFinite: { ...which, row: Schema.Int },
  Trickle: { ...which, delayMs: Schema.Finite }
})

/**
 * Something the service does wrong on purpose, and to which requests.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = typeof Fault.Type

const FaultsJson = Schema.fromJsonString(Schema.Array(Fault))

/**
 * What the service did since it started, or since its statistics were last reset.
 *
 * **Details**
 *
 * The window runs from the arrival of the first scoring request to the end of the last answer (to now while requests
 * are open). `utilisation` is the work done in the window over the work `capacity` workers could have done: 1 means
 * that no worker was ever idle. A worker is busy from the moment it takes a request whose body has arrived until it has
 * handed over the answer.
 *
 * @category models
 * @since 0.1.0
 */
export const Stats = Schema.Struct({
  /** Requests worked on at once, at most. */
  capacity: Schema.Int,
  /** Scoring requests that arrived. */
  requests: Schema.Int,
  /** Requests answered 200. */
  succeeded: Schema.Int,
  /** Requests answered with another status. */
  refused: Schema.Int,
  /** Requests whose connection closed before the whole answer was sent, by either side. */
  aborted: Schema.Int,
  /** Rows scored. */
  rows: Schema.Int,
  /** Bytes of request bodies. */
  bytesIn: Schema.Int,
  /** Bytes of answers, without headers. */
  bytesOut: Schema.Int,
  /** Bytes read from sockets: bodies, headers and all. */
  wireBytesIn: Schema.Int,
  /** Requests open now, whether at work or waiting. */
  open: Schema.Int,
  /** The most requests open at once. */
  maxOpen: Schema.Int,
  /** The most requests at work at once. */
  maxActive: Schema.Int,
  /** Connections open now, that of this very question included. */
  openSockets: Schema.Int,
  /** Connections accepted. */
  sockets: Schema.Int,
  /** Length of the window. */
  windowMs: Schema.Finite,
  /** Time all workers together were busy. */
  busyMs: Schema.Finite,
  /** `busyMs / (windowMs * capacity)`, from 0 to 1. */
  utilisation: Schema.Finite,
  /** From a request's arrival to the end of its answer, over the last 65,536 answers. */
  latencyMs: Schema.Struct({ mean: Schema.Finite, p50: Schema.Finite, p99: Schema.Finite, max: Schema.Finite })
})

/**
 * What the service did since it started, or since its statistics were last reset.
 *
 * @category models
 * @since 0.1.0
 */
export type Stats = typeof Stats.Type

const StatsJson = Schema.fromJsonString(Stats)

/**
 * How a service is to behave.
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
 * The service could not be started or asked.
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
// server
// -----------------------------------------------------------------------------

const latencyWindow = 65_536

/** Counts, and integrates the number of busy workers over time. */
class Meter {
  readonly capacity: number
  readonly sockets = new Set<Socket>()
  active = 0
  open = 0
  #at = 0
  #first = 0
  #last = 0
  #busy = 0
  #counts = this.#zero()
  #closedWire = 0
  #wireBase = 0
  readonly #latencies = new Float64Array(latencyWindow)

  constructor(capacity: number) {
    this.capacity = capacity
  }

  #zero() {
    return {
      requests: 0,
      succeeded: 0,
      refused: 0,
      aborted: 0,
      rows: 0,
      bytesIn: 0,
      bytesOut: 0,
      maxOpen: 0,
      maxActive: 0,
      sockets: 0,
      answers: 0
    }
  }

  #wire(): number {
    let bytes = this.#closedWire
    for (const socket of this.sockets) bytes += socket.bytesRead
    return bytes
  }

  get counts() {
    return this.#counts
  }

  #advance(now: number): void {
    this.#busy += this.active * (now - this.#at)
    this.#at = now
  }

  connected(socket: Socket): void {
    this.sockets.add(socket)
    this.#counts.sockets++
    socket.once("close", () => {
      this.sockets.delete(socket)
      this.#closedWire += socket.bytesRead
    })
  }

  arrived(): number {
    const now = performance.now()
    if (this.#counts.requests++ === 0) {
      this.#first = now
      this.#busy = 0
      this.#at = now
    }
    this.#counts.maxOpen = Math.max(this.#counts.maxOpen, ++this.open)
    return now
  }

  began(): void {
    this.#advance(performance.now())
    this.#counts.maxActive = Math.max(this.#counts.maxActive, ++this.active)
  }

  ended(): void {
    this.#advance(performance.now())
    this.active--
  }

  left(arrival: number, outcome: "succeeded" | "refused" | "aborted"): void {
    this.open--
    this.#counts[outcome]++
    this.#last = performance.now()
    if (outcome === "succeeded") this.#latencies[this.#counts.answers++ % latencyWindow] = this.#last - arrival
  }

  reset(): void {
    this.#advance(performance.now())
    this.#busy = 0
    this.#counts = this.#zero()
    this.#wireBase = this.#wire()
  }

  read(): Stats {
    const now = performance.now()
    this.#advance(now)
    const { answers, ...counts } = this.#counts
    const windowMs = counts.requests === 0 ? 0 : (this.open > 0 ? now : this.#last) - this.#first
    const sorted = this.#latencies.slice(0, Math.min(answers, latencyWindow)).toSorted()
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    return {
      capacity: this.capacity,
      ...counts,
      wireBytesIn: this.#wire() - this.#wireBase,
      open: this.open,
      openSockets: this.sockets.size,
      windowMs,
      busyMs: this.#busy,
      utilisation: windowMs === 0 ? 0 : Math.min(1, this.#busy / (windowMs * this.capacity)),
      latencyMs: {
        mean: sorted.length === 0 ? 0 : sorted.reduce((sum, ms) => sum + ms, 0) / sorted.length,
        p50: at(0.5),
        p99: at(0.99),
        max: at(1)
      }
    }
  }
}

/** Decides which fault, if any, strikes the next request. */
class FaultPlan {
  #faults: ReadonlyArray<{ readonly fault: Fault; seen: number; struck: number }> = []

  set(faults: ReadonlyArray<Fault>): void {
    this.#faults = faults.map((fault) => ({ fault, seen: 0, struck: 0 }))
  }

  next(): Fault | undefined {
    let strikes: Fault | undefined
    for (const entry of this.#faults) {
      const { after = 0, every = 1, times = Infinity } = entry.fault
      entry.seen++
      if (strikes !== undefined || entry.seen <= after || entry.struck >= times) continue
      if ((entry.seen - after) % every === 0) {
        entry.struck++
        strikes = entry.fault
      }
    }
    return strikes
  }
}

const makeHandler = (
  options: {
    readonly model: Model
    readonly capacity: number
    readonly queueLimit: number
    readonly maxBody: number
    readonly delayMs: number
  },
  meter: Meter,
  faults: FaultPlan
): Http.RequestListener => {
  const { capacity, delayMs, maxBody, model, queueLimit } = options
  const rowBytes = model.nFeatures * 4
  const layout = `${model.nFeatures} little-endian float32 (${rowBytes} bytes)`
  const waiting = new Set<() => void>()

  const json = (response: Http.ServerResponse, status: number, value: unknown, headers?: Http.OutgoingHttpHeaders) => {
    const body = JSON.stringify(value)
    response.writeHead(status, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      ...headers
    })
    response.end(body)
  }
  const refuse = (response: Http.ServerResponse, status: number, error: string, headers?: Http.OutgoingHttpHeaders) =>
    json(response, status, { error }, headers)

  /** Calls `done` with the whole body, or answers 413 and lets the rest of it run dry. */
  const readBody = (
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    limit: number,
    done: (body: Uint8Array<ArrayBuffer>) => void
  ): void => {
    const announced = Number(request.headers["content-length"] ?? 0)
    let chunks: Array<Buffer> | undefined = []
    let length = 0
    const tooLarge = () => {
      chunks = undefined
      refuse(response, 413, `body is larger than ${limit} bytes`)
    }
    if (announced > limit) tooLarge()
    request.on("data", (chunk: Buffer) => {
      if (chunks === undefined) return
      length += chunk.byteLength
      chunks.push(chunk)
      if (length > limit) tooLarge()
    })
    request.on("end", () => {
      if (chunks === undefined) return
      // One buffer of its own: a view on it is then aligned for float32.
      const body = new Uint8Array(length)
      let offset = 0
      for (const chunk of chunks) {
        body.set(chunk, offset)
        offset += chunk.byteLength
      }
      done(body)
    })
  }

  const work = (begin: () => void): void => {
    if (meter.active < capacity) begin()
    else waiting.add(begin)
  }
  const release = (): void => {
    meter.ended()
    for (const begin of waiting) {
      waiting.delete(begin)
      begin()
      return
    }
  }

  const send = (
    response: Http.ServerResponse,
    body: Uint8Array,
    fault: Fault | undefined,
    finished: () => void
  ): void => {
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": body.byteLength })
    if (fault?._tag === "Cut") {
      response.write(body.subarray(0, fault.bytes), () => response.socket?.destroy())
      return finished()
    }
    if (fault?._tag !== "Trickle") {
      response.end(body)
      return finished()
    }
    let sent = 0
    const next = (): void => {
      if (sent === body.byteLength || response.destroyed) {
        response.end()
        return finished()
      }
      response.write(body.subarray(sent, ++sent))
      setTimeout(next, fault.delayMs)
    }
    next()
  }

  const answer = (body: Uint8Array<ArrayBuffer>, asBool: boolean, fault: Fault | undefined): Uint8Array => {
    const scores = score(model, new Float32Array(body.buffer))
    if (fault?._tag === "NotFinite" && fault.row < scores.length) scores[fault.row] = NaN
    const bytes = asBool
      ? Uint8Array.from(scores, (value) => (value >= model.threshold ? 1 : 0))
      : new Uint8Array(scores.buffer)
    return fault?._tag === "Short" ? bytes.subarray(0, Math.max(0, bytes.byteLength - fault.bytes)) : bytes
  }

  const handleScore = (request: Http.IncomingMessage, response: Http.ServerResponse, url: URL): void => {
    const arrival = meter.arrived()
    response.once("close", () => {
      const outcome = !response.writableFinished ? "aborted" : response.statusCode === 200 ? "succeeded" : "refused"
      meter.left(arrival, outcome)
    })
    const as = url.searchParams.get("as") ?? "float32"
    if (as !== "float32" && as !== "bool") {
      request.resume()
      return refuse(response, 400, `as must be float32 or bool, got ${JSON.stringify(as)}`)
    }
    readBody(request, response, maxBody, (body) => {
      meter.counts.bytesIn += body.byteLength
      if (body.byteLength === 0) return refuse(response, 400, `empty body: expected rows of ${layout}`)
      if (body.byteLength % rowBytes !== 0) {
        return refuse(response, 400, `body of ${body.byteLength} bytes is not a whole number of rows of ${layout}`)
      }
      const fault = faults.next()
      if (fault?._tag === "Hang") return
      if (fault?._tag === "Reset") return void request.socket.destroy()
      if (fault?._tag === "Status") {
        const headers = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) }
        if (fault.body === undefined) return refuse(response, fault.status, `fault: ${fault.status}`, headers)
        response.writeHead(fault.status, headers)
        return void response.end(fault.body)
      }
      if (waiting.size >= queueLimit) {
        return refuse(response, 503, `${waiting.size} requests are waiting already`, { "retry-after": "1" })
      }
      const begin = (): void => {
        meter.began()
        const finish = (): void => {
          // A worker does not notice that its client has gone; it finishes what it began.
          if (response.destroyed) return release()
          const bytes = answer(body, as === "bool", fault)
          meter.counts.rows += body.byteLength / rowBytes
          meter.counts.bytesOut += bytes.byteLength
          send(response, bytes, fault, release)
        }
        if (delayMs === 0) finish()
        else setTimeout(finish, delayMs)
      }
      work(begin)
      response.once("close", () => waiting.delete(begin))
    })
  }

  const only = (
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    handlers: Record<string, () => void>
  ): void => {
    const handler = handlers[request.method ?? ""]
    if (handler !== undefined) return handler()
    const allow = Object.keys(handlers).join(", ")
    request.resume()
    refuse(response, 405, `method ${request.method} not allowed: use ${allow}`, { allow })
  }

  return (request, response) => {
    const url = new URL(request.url ?? "/", "http://service")
    switch (url.pathname) {
      case "/score":
        return only(request, response, { PUT: () => handleScore(request, response, url) })
      case "/health":
        return only(request, response, {
          GET: () => json(response, 200, { status: "ok", model: model.name, nFeatures: model.nFeatures })
        })
      case "/stats":
        return only(request, response, {
          GET: () => json(response, 200, meter.read()),
          DELETE: () => {
            meter.reset()
            json(response, 200, {})
          }
        })
      case "/faults":
        return only(request, response, {
          PUT: () =>
            readBody(request, response, 65_536, (body) => {
              const decoded = Schema.decodeUnknownResult(FaultsJson)(Buffer.from(body).toString("utf8"))
              if (decoded._tag === "Failure") return refuse(response, 400, `faults: ${decoded.failure.message}`)
              faults.set(decoded.success)
              json(response, 200, {})
            })
        })
      default:
        request.resume()
        return refuse(response, 404, `no such path: ${url.pathname}`)
    }
  }
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Serves a model from this process until the scope closes, then drops the connections still open.
 *
 * Fails with {@link ModelServiceError} where the port cannot be had.
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
  const handler = makeHandler(
    {
      model: options.model,
      capacity: meter.capacity,
      queueLimit: options.queueLimit ?? Infinity,
      maxBody: options.maxBody ?? 64 * 1024 * 1024,
      delayMs: Duration.toMillis(options.delay ?? 0)
    },
    meter,
    faults
  )
  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server, ModelServiceError>((resume) => {
      const server = Http.createServer({ keepAliveTimeout: 75_000, noDelay: true }, handler)
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
  const { port } = server.address() as AddressInfo
  const url = `http://${host}:${port}`
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
    // A connection of its own for each question: none stays open, so that the service's socket counts mean something.
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
 * How a service in a process of its own is to behave.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpawnOptions extends Omit<Options, "model" | "host"> {
  /** File of the model: JSON as `train.py` writes it. Defaults to the digits model. */
  readonly model?: string | undefined
}

/**
 * Serves a model from a Node process of its own until the scope closes. The process also ends with its parent, however
 * that one ends.
 *
 * Fails with {@link ModelServiceError} where the process does not come up; its standard error is passed on.
 *
 * @category constructors
 * @since 0.1.0
 */
export const spawn = Effect.fn("ModelService.spawn")(function* (
  options: SpawnOptions = {}
): Effect.fn.Return<ModelService["Service"], ModelServiceError, Scope.Scope | ChildProcessSpawner.ChildProcessSpawner> {
  const failed = (cause: unknown) =>
    new ModelServiceError({ operation: "spawn", detail: "the server process did not come up", cause })
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
 * Provides a model service that runs in a process of its own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSpawn = (
  options: SpawnOptions = {}
): Layer.Layer<ModelService, ModelServiceError, ChildProcessSpawner.ChildProcessSpawner> =>
  Layer.effect(ModelService, spawn(options))
