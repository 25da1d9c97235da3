/**
 * Requests with a trace span each: through the HTTP client of Effect, which makes the spans and passes them to the
 * service.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Duration, Effect } from "effect"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { TimedOut } from "../ScoreError.ts"
import { reasonOf } from "./http.ts"
import type { Settings, Transport } from "./transport.ts"

const causeOf = (error: HttpClientError): unknown => ("cause" in error.reason ? error.reason.cause : error)

/** `secrets` are the names of headers whose values never appear in a span. */
export const make = Effect.fnUntraced(function* (
  { dispatcher, timeout, words }: Settings,
  secrets: ReadonlyArray<string>
): Effect.fn.Return<Transport> {
  const client = yield* Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, dispatcher)
  const hidden = [...(yield* Headers.CurrentRedactedNames), ...secrets]
  const millis = Duration.toMillis(timeout)
  return ({ target: { headers, method, origin, path } }, body) => {
    let phase: "answer" | "body" = "answer"
    const request = HttpClientRequest.make(method)(origin + path, {
      headers,
      body: HttpBody.uint8Array(body, headers["content-type"])
    })
    return client.execute(request).pipe(
      Effect.flatMap((response) => {
        phase = "body"
        return Effect.map(response.arrayBuffer, (body) => ({
          status: response.status,
          headers: response.headers,
          body
        }))
      }),
      Effect.mapError((error) => reasonOf(causeOf(error), millis, words)),
      Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(new TimedOut({ phase, millis })) }),
      Effect.provideService(Headers.CurrentRedactedNames, hidden)
    )
  }
})
