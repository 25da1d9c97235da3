/**
 * How the embedded model service answers: its paths, and the way of a scoring request from its body to its answer.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import type * as Http from "node:http"
import { type Fault, type FaultPlan, FaultsJson } from "./Fault.ts"
import { json, only, readBody, refuse } from "./messages.ts"
import { type Model, score } from "./Model.ts"
import type { Meter } from "./Stats.ts"

/** What a service needs to answer. */
export interface Setup {
  readonly model: Model
  readonly queueLimit: number
  readonly maxBody: number
  readonly delayMs: number
  readonly meter: Meter
  readonly faults: FaultPlan
}

/** Works on as many requests at once as the meter has capacity for; the others wait in the order of their arrival. */
class Workers {
  readonly #meter: Meter
  readonly #waiting = new Set<() => void>()

  constructor(meter: Meter) {
    this.#meter = meter
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Calls `begin` as soon as a worker is free. */
  take(begin: () => void): void {
    if (this.#meter.active < this.#meter.capacity) begin()
    else this.#waiting.add(begin)
  }

  /** Drops a request that still waits. */
  forget(begin: () => void): void {
    this.#waiting.delete(begin)
  }

  release(): void {
    this.#meter.ended()
    for (const begin of this.#waiting) {
      this.#waiting.delete(begin)
      begin()
      return
    }
  }
}

/** Answers 200 with the bytes, as the fault would have it. */
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

/** The bytes of the answer, as the fault would have them. */
const scored = (model: Model, body: Uint8Array<ArrayBuffer>, asBool: boolean, fault: Fault | undefined): Uint8Array => {
  const scores = score(model, new Float32Array(body.buffer))
  if (fault?._tag === "NotFinite" && fault.row < scores.length) scores[fault.row] = NaN
  const bytes = asBool
    ? Uint8Array.from(scores, (value) => (value >= model.threshold ? 1 : 0))
    : new Uint8Array(scores.buffer)
  return fault?._tag === "Short" ? bytes.subarray(0, Math.max(0, bytes.byteLength - fault.bytes)) : bytes
}

const rowBytesOf = (model: Model): number => model.nFeatures * 4

/** What is wrong with a body, if it is not a whole number of rows. */
const wrongBody = (model: Model, { byteLength }: Uint8Array): string | undefined => {
  const rowBytes = rowBytesOf(model)
  const layout = `${model.nFeatures} little-endian float32 (${rowBytes} bytes)`
  if (byteLength === 0) return `empty body: expected rows of ${layout}`
  if (byteLength % rowBytes === 0) return undefined
  return `body of ${byteLength} bytes is not a whole number of rows of ${layout}`
}

/** Whether the fault takes the place of an answer, and has been applied. */
const strikes = (fault: Fault | undefined, request: Http.IncomingMessage, response: Http.ServerResponse): boolean => {
  switch (fault?._tag) {
    case "Hang":
      return true
    case "Reset":
      request.socket.destroy()
      return true
    case "Status": {
      const { body, retryAfter, status } = fault
      const headers = retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }
      if (body === undefined) refuse(response, status, `fault: ${status}`, headers)
      else response.writeHead(status, headers).end(body)
      return true
    }
    default:
      return false
  }
}

/** Has a worker score a body and answer, after the time that the model takes. */
const work = (
  { delayMs, meter, model }: Setup,
  workers: Workers,
  response: Http.ServerResponse,
  body: Uint8Array<ArrayBuffer>,
  asBool: boolean,
  fault: Fault | undefined
): void => {
  const release = (): void => workers.release()
  const finish = (): void => {
    // A worker does not notice that its client has gone; it finishes what it began.
    if (response.destroyed) return release()
    const bytes = scored(model, body, asBool, fault)
    meter.counts.rows += body.byteLength / rowBytesOf(model)
    meter.counts.bytesOut += bytes.byteLength
    send(response, bytes, fault, release)
  }
  const begin = (): void => {
    meter.began()
    if (delayMs === 0) finish()
    else setTimeout(finish, delayMs)
  }
  workers.take(begin)
  response.once("close", () => workers.forget(begin))
}

/** Counts a request until its connection has finished it. */
const count = (meter: Meter, response: Http.ServerResponse): void => {
  const arrival = meter.arrived()
  response.once("close", () => {
    const outcome = !response.writableFinished ? "aborted" : response.statusCode === 200 ? "succeeded" : "refused"
    meter.left(arrival, outcome)
  })
}

const handleScore = (
  setup: Setup,
  workers: Workers,
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  url: URL
): void => {
  const { faults, maxBody, meter, model, queueLimit } = setup
  count(meter, response)
  const as = url.searchParams.get("as") ?? "float32"
  if (as !== "float32" && as !== "bool") {
    request.resume()
    return refuse(response, 400, `as must be float32 or bool, got ${JSON.stringify(as)}`)
  }
  readBody(request, response, maxBody, (body) => {
    meter.counts.bytesIn += body.byteLength
    const wrong = wrongBody(model, body)
    if (wrong !== undefined) return refuse(response, 400, wrong)
    const fault = faults.next()
    if (strikes(fault, request, response)) return
    if (workers.waiting >= queueLimit) {
      return refuse(response, 503, `${workers.waiting} requests are waiting already`, { "retry-after": "1" })
    }
    work(setup, workers, response, body, as === "bool", fault)
  })
}

const handleFaults = (faults: FaultPlan, request: Http.IncomingMessage, response: Http.ServerResponse): void =>
  readBody(request, response, 65_536, (body) => {
    const decoded = Schema.decodeUnknownResult(FaultsJson)(Buffer.from(body).toString("utf8"))
    if (decoded._tag === "Failure") return refuse(response, 400, `faults: ${decoded.failure.message}`)
    faults.set(decoded.success)
    json(response, 200, {})
  })

/** The listener for all requests of a service. */
export const handler = (setup: Setup): Http.RequestListener => {
  const { faults, meter, model } = setup
  const workers = new Workers(meter)
  return (request, response) => {
    const url = new URL(request.url ?? "/", "http://service")
    switch (url.pathname) {
      case "/score":
        return only(request, response, { PUT: () => handleScore(setup, workers, request, response, url) })
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
        return only(request, response, { PUT: () => handleFaults(faults, request, response) })
      default:
        request.resume()
        return refuse(response, 404, `no such path: ${url.pathname}`)
    }
  }
}
