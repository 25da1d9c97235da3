/** Sends a body to an endpoint and brings its answer back. */
import type { Dispatcher } from "@effect/platform-node/Undici"
import { Clock, Duration, Effect, type Scope } from "effect"
import { type Reason, TimedOut } from "../ScoreError.ts"
import * as Deadlines from "./deadlines.ts"
import type { Endpoint } from "./endpoints.ts"
import { type Fields, reasonOf } from "./http.ts"
import { millisOf } from "./meter.ts"
import type { Words } from "./words.ts"

/** An answer as it arrived. */
export interface Answer {
  readonly status: number
  readonly headers: Fields
  readonly body: ArrayBuffer
}

/** Sends a body to an endpoint. Interrupting it closes the connection. */
export type Transport = (endpoint: Endpoint, body: Uint8Array) => Effect.Effect<Answer, Reason>

/** Settings of a transport. */
export interface Settings {
  readonly dispatcher: Dispatcher
  /** Time limit of each request, from its start to the end of the answer. */
  readonly timeout: Duration.Duration
  readonly words: Words
}

/** Bytes that arrived in pieces, in memory of their own. */
const join = (chunks: ReadonlyArray<Uint8Array>): ArrayBuffer => {
  const [only] = chunks
  if (only !== undefined && chunks.length === 1) return new Uint8Array(only).buffer
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes.buffer
}

/** What all requests of a transport have in common. */
interface Shared {
  readonly deadlines: Deadlines.Deadlines
  readonly millis: number
  readonly words: Words
}

/** A request in flight: undici calls these methods as it proceeds, and the timer calls `expire`. */
class Exchange implements Dispatcher.DispatchHandler, Deadlines.Deadline {
  readonly at: number
  private readonly shared: Shared
  private readonly resume: (result: Effect.Effect<Answer, Reason>) => void
  private phase: "answer" | "body" = "answer"
  private controller: Dispatcher.DispatchController | undefined
  private aborted: Error | undefined
  private status = 0
  private headers: Fields = {}
  private readonly chunks: Array<Uint8Array> = []

  constructor(shared: Shared, at: number, resume: (result: Effect.Effect<Answer, Reason>) => void) {
    this.shared = shared
    this.at = at
    this.resume = resume
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    if (this.aborted !== undefined) controller.abort(this.aborted)
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Fields): void {
    // Statuses below 200 announce an answer.
    if (status < 200) return
    this.phase = "body"
    this.status = status
    this.headers = headers
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.chunks.push(chunk)
  }

  onResponseEnd(): void {
    this.shared.deadlines.delete(this)
    this.resume(Effect.succeed({ status: this.status, headers: this.headers, body: join(this.chunks) }))
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.shared.deadlines.delete(this)
    this.resume(Effect.fail(reasonOf(error, this.shared.millis, this.shared.words)))
  }

  expire(): void {
    this.resume(Effect.fail(new TimedOut({ phase: this.phase, millis: this.shared.millis })))
    this.abort()
  }

  /** Closes the connection, if there is one yet. */
  abort(): void {
    this.shared.deadlines.delete(this)
    this.aborted = new Error("the request was given up")
    this.controller?.abort(this.aborted)
  }
}

/**
 * Requests without the layers of an HTTP client: there is one object for each, its answer is not a stream, and one timer watches
 * them all.
 */
export const make = Effect.fnUntraced(function* ({
  dispatcher,
  timeout,
  words
}: Settings): Effect.fn.Return<Transport, never, Scope.Scope> {
  const millis = Duration.toMillis(timeout)
  const shared: Shared = { deadlines: yield* Deadlines.make, millis, words }
  return ({ target }, body) =>
    Effect.withFiber((fiber) =>
      Effect.callback<Answer, Reason>((resume) => {
        const exchange = new Exchange(shared, millisOf(fiber.getRef(Clock.Clock)) + millis, resume)
        shared.deadlines.add(exchange, fiber.context)
        // undici sets no time limits here: the deadline is the limit.
        dispatcher.dispatch({ ...target, body, headersTimeout: 0, bodyTimeout: 0 }, exchange)
        return Effect.sync(() => exchange.abort())
      })
    )
})
