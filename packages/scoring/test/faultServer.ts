import type { Scorer } from "@sluice/scoring"
import type { Duration } from "effect"
import { Effect, Fiber, type Scope, type Types } from "effect"
import { TestClock } from "effect/testing"
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"

/** What the server does with a request, in the order of their arrival; the last one of a script stays. */
export type Act =
  | { readonly _tag: "Score"; readonly delay?: number }
  | {
      readonly _tag: "Bytes"
      readonly bytes: (rows: number) => Uint8Array
      readonly headers?: Record<string, string>
    }
  | {
      readonly _tag: "Status"
      readonly status: number
      readonly headers?: Record<string, string>
      readonly body?: string
    }
  | { readonly _tag: "Hang" }
  | { readonly _tag: "HangMid" }
  | { readonly _tag: "Reset" }
  | { readonly _tag: "Drop" }
  | { readonly _tag: "Garbage" }

export interface FaultServer {
  readonly url: string
  readonly host: string
  /** Bodies of all requests. */
  readonly requests: Array<{ readonly body: Buffer; readonly headers: Http.IncomingHttpHeaders; readonly path: string }>
  readonly sockets: Set<Socket>
  accepted: number
  open: number
  maxOpen: number
  aborted: number
  /** Requests that wait for an answer which does not come. */
  hanging: number
  /** Whether every request is cut off, whatever the script says. */
  gone: boolean
  script: Array<Act>
  /** What to do with a body; if it says nothing, the script counts. */
  decide: (values: Float32Array) => Act | undefined
  /** Lets requests that wait behind `gated` go on: `n` of those chosen by their index in `requests`. */
  readonly release: (n?: number, which?: (request: number) => boolean) => void
  gated: boolean
}

/** The first number of every row. */
const scoresOf = (body: Buffer, features: number): Float32Array => {
  const values = new Float32Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.byteLength))
  return Float32Array.from({ length: values.length / features }, (_, row) => values[row * features]!)
}

const bytesOf = (scores: Float32Array) => Buffer.from(scores.buffer, scores.byteOffset, scores.byteLength)

/** Requests that wait until the test lets them go. */
class Gate {
  #waiting: ReadonlyArray<{ readonly request: number; readonly run: () => void }> = []

  wait(request: number, run: () => void): void {
    this.#waiting = [...this.#waiting, { request, run }]
  }

  readonly release = (n: number = Infinity, which: (request: number) => boolean = () => true): void => {
    const chosen = this.#waiting.filter(({ request }) => which(request)).slice(0, n)
    this.#waiting = this.#waiting.filter((one) => !chosen.includes(one))
    for (const { run } of chosen) run()
  }
}

/** A request whose body has arrived. */
interface Exchange {
  readonly server: FaultServer
  readonly request: Http.IncomingMessage
  readonly response: Http.ServerResponse
  readonly body: Buffer
  readonly features: number
  /** The request is open no longer. */
  readonly ended: () => void
}

const answer = (
  { ended, response }: Exchange,
  status: number,
  headers: Record<string, string>,
  bytes: Uint8Array | string
) => {
  ended()
  response.writeHead(status, { "content-length": String(Buffer.byteLength(bytes)), ...headers })
  response.end(bytes)
}

/** Sends the first two bytes of an answer. */
const beginAnswer = (response: Http.ServerResponse, rows: number, sent: () => void = () => {}) => {
  response.writeHead(200, { "content-length": String(rows * 4) })
  response.write(new Uint8Array(2), sent)
}

const perform = (act: Act, exchange: Exchange): unknown => {
  const { body, features, request, response, server } = exchange
  const rows = body.length / 4 / features
  switch (act._tag) {
    case "Score":
      return setTimeout(() => answer(exchange, 200, {}, bytesOf(scoresOf(body, features))), act.delay ?? 0)
    case "Bytes":
      return answer(exchange, 200, act.headers ?? {}, act.bytes(rows))
    case "Status":
      return answer(exchange, act.status, act.headers ?? {}, act.body ?? "no")
    case "Hang":
    case "HangMid":
      server.hanging++
      response.once("close", () => server.hanging--)
      return act._tag === "Hang" ? undefined : beginAnswer(response, rows)
    case "Reset":
      return request.socket.resetAndDestroy()
    case "Drop":
      return beginAnswer(response, rows, () => request.socket.destroy())
    case "Garbage":
      return request.socket.end("ceci n'est pas HTTP\r\n\r\n")
  }
}

const nextAct = (server: FaultServer, body: Buffer): Act =>
  server.decide(new Float32Array(new Uint8Array(body).buffer)) ??
  (server.script.length > 1 ? server.script.shift() : server.script[0]) ?? { _tag: "Score" }

/** Does what the server's script says, and counts. */
const listener =
  (server: FaultServer, features: number, gate: Gate): Http.RequestListener =>
  (request, response) => {
    server.open++
    server.maxOpen = Math.max(server.maxOpen, server.open)
    let counted = true
    const ended = () => {
      if (counted) server.open--
      counted = false
    }
    response.once("close", () => {
      if (!response.writableFinished) server.aborted++
      ended()
    })
    const chunks: Array<Buffer> = []
    request.on("error", () => {})
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const body = Buffer.concat(chunks)
      const index = server.requests.push({ body, headers: request.headers, path: request.url ?? "" }) - 1
      if (server.gone) return request.socket.resetAndDestroy()
      const act = nextAct(server, body)
      const run = () => perform(act, { server, request, response, body, features, ended })
      if (server.gated) gate.wait(index, run)
      else run()
    })
  }

/** A model service whose score is the first feature of the row, and that does what its script says. */
export const make = Effect.fnUntraced(function* (
  features: number,
  script: ReadonlyArray<Act> = []
): Effect.fn.Return<FaultServer, never, Scope.Scope> {
  const gate = new Gate()
  const server: Types.Mutable<FaultServer> = {
    url: "",
    host: "",
    requests: [],
    sockets: new Set(),
    accepted: 0,
    open: 0,
    maxOpen: 0,
    aborted: 0,
    hanging: 0,
    gone: false,
    decide: () => undefined,
    script: [...script],
    gated: false,
    release: gate.release
  }
  // Idle connections stay, so a connection that ends was closed by the client.
  const http = Http.createServer({ keepAliveTimeout: 600_000 }, listener(server, features, gate))
  http.on("connection", (socket) => {
    server.accepted++
    server.sockets.add(socket)
    socket.on("error", () => {})
    socket.once("close", () => server.sockets.delete(socket))
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      http.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.sync(() => {
        http.close()
        http.closeAllConnections()
      })
  )
  const { port } = http.address() as AddressInfo
  server.host = `127.0.0.1:${port}`
  server.url = `http://${server.host}/score`
  return server
})

/** Waits until a condition holds; the test's own time limit is the only one. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let timer: NodeJS.Timeout | undefined
    const look = () => {
      if (condition()) resume(Effect.void)
      else timer = setTimeout(look, 1)
    }
    look()
    return Effect.sync(() => clearTimeout(timer))
  })

/** Gives everything that is ready to run some turns of the event loop. */
export const turns = (n = 20): Effect.Effect<void> =>
  Effect.suspend(() => {
    let left = n
    return until(() => left-- === 0)
  })

/**
 * Runs an effect on the test clock, which advances only while every request in flight hangs at a server, so that a slow
 * machine makes no request late.
 */
export const overTime = Effect.fnUntraced(function* <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  scorer: Scorer.Scorer["Service"],
  servers: ReadonlyArray<FaultServer>,
  step: Duration.Input
) {
  const fiber = yield* Effect.forkChild(effect)
  while (fiber.pollUnsafe() === undefined) {
    yield* turns(1)
    const { inFlight } = yield* scorer.stats
    if (inFlight === servers.reduce((sum, { hanging }) => sum + hanging, 0)) yield* TestClock.adjust(step)
  }
  return yield* Fiber.join(fiber)
})
