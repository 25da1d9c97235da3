/** Runs operations with small answers: one call, one decoded answer, one span. */
import { Effect } from "effect"
import * as Answers from "./answers.ts"
import type { Result } from "./contract.ts"
import type { Exchange } from "./transport.ts"
import type { Call, WebHdfs } from "./webhdfs.ts"

type Decode<A> = (exchange: Exchange, body: string) => Result<A>

export interface Asking {
  readonly web: WebHdfs
  /** Runs an operation and decodes its answer, in a span of its name. */
  readonly ask: <A>(call: Call, decode: Decode<A>, repeat?: "always" | "never") => Result<A>
  /** An operation that only reads. */
  readonly get: <A>(operation: string, path: string, decode: Decode<A>, params?: Call["params"]) => Result<A>
  /** An operation that changes something and returns nothing. */
  readonly put: (operation: string, path: string, params?: Call["params"], repeat?: "always" | "never") => Result<void>
}

/** The answer of an operation that returns nothing. A page of another server would not be JSON. */
export const nothing: Decode<void> = (exchange, body) =>
  /^\s*(?:\{|$)/.test(body) ? Effect.void : Effect.asVoid(Answers.AnyAnswer(exchange, body))

export const make = (web: WebHdfs): Asking => {
  const ask: Asking["ask"] = (call, decode, repeat = "always") =>
    Effect.suspend(() => Effect.flatMap(web.text(call, repeat), ({ body, exchange }) => decode(exchange, body))).pipe(
      // The place it would show is always this one.
      Effect.withSpan(`HdfsClient.${call.operation}`, { attributes: { path: call.path } }, { captureStackTrace: false })
    )
  return {
    web,
    ask,
    get: (operation, path, decode, params) => ask({ method: "GET", operation, path, params }, decode),
    put: (operation, path, params, repeat) => ask({ method: "PUT", operation, path, params }, nothing, repeat)
  }
}
