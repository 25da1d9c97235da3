import { Cause, Clock, Duration, Effect, Exit, Option, Redacted, Schema, Scope, Stream } from "effect"
import { HttpBody, HttpClient, type HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import * as E from "../HdfsError.ts"
import { excerpt, reasonOfResponse } from "./remote.ts"

/** One HTTP request of an operation. */
export interface Exchange {
  readonly operation: string
  readonly path: string
  readonly method: "GET" | "PUT" | "POST" | "DELETE"
  readonly url: URL
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>> | undefined
  readonly body?: HttpBody.HttpBody | undefined
}

const fail = (exchange: Exchange, reason: E.Reason) =>
  new E.HdfsError({ operation: exchange.operation, path: exchange.path, endpoint: exchange.url.host, reason })

const neverSent = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL"])

const property = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

/** What a failure of the HTTP client says, without the request in it: its URL may hold a token. */
const reasonOfCause = (cause: unknown, connectTimeout: Duration.Input): E.Reason => {
  let found: unknown = cause
  // Node and undici nest: AggregateError.errors, Error.cause.
  for (let depth = 0; depth < 5 && typeof property(found, "code") !== "string"; depth++) {
    const errors: unknown = property(found, "errors")
    const inner = Array.isArray(errors) ? errors[0] : property(found, "cause")
    if (inner === undefined) break
    found = inner
  }
  const code = String(property(found, "code") ?? property(found, "name") ?? "UNKNOWN")
  const detail = String(property(found, "message") ?? "the connection failed")
  if (code === "UND_ERR_CONNECT_TIMEOUT" || (code === "ETIMEDOUT" && property(found, "syscall") === "connect")) {
    return new E.Timeout({ phase: "connect", millis: Duration.toMillis(connectTimeout) })
  }
  if (/^(CERT_|ERR_TLS|ERR_SSL|EPROTO|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH)/.test(code)) {
    return new E.Tls({ code, detail })
  }
  return new E.Connection({ code, detail, sent: !neverSent.has(code) })
}

const reasonOfHttp = (error: HttpClientError.HttpClientError, connectTimeout: Duration.Input): E.Reason =>
  error.reason._tag === "InvalidUrlError"
    ? new E.InvalidArgument({ detail: "the address is not a URL" })
    : reasonOfCause("cause" in error.reason ? error.reason.cause : undefined, connectTimeout)

export interface Limits {
  readonly connectTimeout: Duration.Input
  readonly readTimeout: Duration.Input
}

export interface Transport {
  /** Sends one request and waits for the head of the answer, the body of which must be read with `text`. */
  readonly send: (exchange: Exchange) => Effect.Effect<HttpClientResponse.HttpClientResponse, E.HdfsError>
  /** The whole body as text. */
  readonly text: (
    exchange: Exchange,
    response: HttpClientResponse.HttpClientResponse
  ) => Effect.Effect<string, E.HdfsError>
  /** Fails with what a response of 400 or more says. */
  readonly refuse: (
    exchange: Exchange,
    response: HttpClientResponse.HttpClientResponse
  ) => Effect.Effect<never, E.HdfsError>
  /** The bytes of a body; `onBytes` counts them. Fails with a read timeout when the server stalls. */
  readonly bytes: (
    exchange: Exchange,
    onBytes: (count: number) => void
  ) => Effect.Effect<
    {
      readonly response: HttpClientResponse.HttpClientResponse
      readonly stream: Stream.Stream<Uint8Array, E.HdfsError>
    },
    E.HdfsError,
    Scope.Scope
  >
  /** Sends a stream as the body; yields the bytes sent once the server said yes. */
  readonly upload: <Err, R>(
    exchange: Exchange,
    bytes: Stream.Stream<Uint8Array, Err, R>,
    onStart: () => void
  ) => Effect.Effect<number, E.HdfsError | Err, R>
}

export const make = (client: HttpClient.HttpClient, uploads: HttpClient.HttpClient, limits: Limits): Transport => {
  const scoped = HttpClient.withScope(client)
  const readMillis = Duration.toMillis(limits.readTimeout)
  const readTimeout = (exchange: Exchange) => fail(exchange, new E.Timeout({ phase: "read", millis: readMillis }))

  const request = (exchange: Exchange) =>
    HttpClientRequest.make(exchange.method)(exchange.url, {
      headers: Object.fromEntries(
        Object.entries(exchange.headers ?? {}).map(([name, value]) => [
          name,
          Redacted.isRedacted(value) ? String(Redacted.value(value)) : value
        ])
      ),
      ...(exchange.body === undefined ? {} : { body: exchange.body })
    })

  // Its spans would hold the URL, and so a token; HdfsClient has spans of its own.
  const execute = <R>(http: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>, exchange: Exchange) =>
    http.execute(request(exchange)).pipe(
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.mapError((error) => fail(exchange, reasonOfHttp(error, limits.connectTimeout)))
    )

  const limit = <A, R>(exchange: Exchange, effect: Effect.Effect<A, E.HdfsError, R>) =>
    Effect.timeoutOrElse(effect, { duration: limits.readTimeout, orElse: () => Effect.fail(readTimeout(exchange)) })

  const send = (exchange: Exchange) => limit(exchange, execute(client, exchange))

  const text = (exchange: Exchange, response: HttpClientResponse.HttpClientResponse) =>
    limit(
      exchange,
      Effect.mapError(response.text, (error) => fail(exchange, reasonOfHttp(error, limits.connectTimeout)))
    )

  const refuse = (exchange: Exchange, response: HttpClientResponse.HttpClientResponse) =>
    Effect.flatMap(text(exchange, response), (body) =>
      Effect.fail(fail(exchange, reasonOfResponse(response.status, body)))
    )

  /** Ends with `true` when nothing has moved for the read timeout while the server had to move. */
  const stalled = (clock: Clock.Clock, waitingSince: () => number | undefined) =>
    Effect.gen(function* () {
      while (true) {
        yield* Effect.sleep(Duration.millis(Math.max(readMillis / 4, 1)))
        const since = waitingSince()
        if (since !== undefined && clock.currentTimeMillisUnsafe() - since >= readMillis) return
      }
    })

  const bytes: Transport["bytes"] = Effect.fnUntraced(function* (exchange, onBytes) {
    const clock = yield* Clock.Clock
    // Closing this scope aborts the request; it is the only way to end a body that stalls.
    const connection = yield* Effect.acquireRelease(Scope.make(), (scope, exit: Exit.Exit<unknown, unknown>) =>
      Scope.close(scope, exit)
    )
    const response = yield* Effect.provideService(limit(exchange, execute(scoped, exchange)), Scope.Scope, connection)
    let since: number | undefined
    let timedOut = false
    yield* Effect.forkScoped(
      Effect.andThen(
        stalled(clock, () => since),
        Effect.suspend(() => {
          timedOut = true
          return Scope.close(connection, Exit.void)
        })
      )
    )
    const stream = response.stream.pipe(
      Stream.mapError((error) =>
        timedOut ? readTimeout(exchange) : fail(exchange, reasonOfHttp(error, limits.connectTimeout))
      ),
      (body) =>
        Stream.transformPull(body, (pull) =>
          Effect.succeed(
            Effect.suspend(() => {
              since = clock.currentTimeMillisUnsafe()
              return Effect.map(pull, (chunks) => {
                since = undefined
                let count = 0
                for (const chunk of chunks) count += chunk.length
                onBytes(count)
                return chunks
              })
            })
          )
        )
    )
    return { response, stream }
  })

  const upload: Transport["upload"] = Effect.fnUntraced(function* <Err, R>(
    exchange: Exchange,
    source: Stream.Stream<Uint8Array, Err, R>,
    onStart: () => void
  ) {
    const clock = yield* Clock.Clock
    const context = yield* Effect.context<R>()
    let sent = 0
    let since: number | undefined
    let failed: Cause.Cause<Err> | undefined
    const body = source.pipe(
      Stream.tapCause((cause) =>
        Effect.sync(() => {
          failed = cause
        })
      ),
      (bytes) =>
        Stream.transformPull(bytes, (pull) =>
          Effect.succeed(
            Effect.suspend(() => {
              // While the source is asked, a slow server is not to blame.
              since = undefined
              onStart()
              return Effect.onExit(pull, (exit) =>
                Effect.sync(() => {
                  since = clock.currentTimeMillisUnsafe()
                  if (exit._tag === "Success") for (const chunk of exit.value) sent += chunk.length
                })
              )
            })
          )
        ),
      Stream.provideContext(context)
    )
    since = clock.currentTimeMillisUnsafe()
    const answer = execute(HttpClient.withScope(uploads), {
      ...exchange,
      body: HttpBody.stream(body, "application/octet-stream")
    }).pipe(
      Effect.flatMap((response) =>
        response.status >= 300 ? refuse(exchange, response) : Effect.ignore(text(exchange, response))
      )
    )
    const stall = Effect.andThen(
      stalled(clock, () => since),
      Effect.suspend(() => Effect.fail(fail(exchange, new E.Timeout({ phase: "write", millis: readMillis }))))
    )
    yield* Effect.raceFirst(answer, stall).pipe(
      Effect.scoped,
      Effect.catch((error): Effect.Effect<never, E.HdfsError | Err> =>
        failed === undefined || Cause.hasInterruptsOnly(failed) ? Effect.fail(error) : Effect.failCause(failed)
      )
    )
    return sent
  })

  return { send, text, refuse, bytes, upload }
}

const Location = Schema.fromJsonString(Schema.Struct({ Location: Schema.String }))
const decodeLocation = Schema.decodeUnknownOption(Location)

/** The `Location` of an answer to `noredirect=true`. */
export const locationOfBody = (body: string): string | undefined =>
  Option.getOrUndefined(decodeLocation(body))?.Location

/** Decodes an answer; what does not fit is a `Protocol` failure that shows its beginning. */
export const decoder = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) => {
  const decode = Schema.decodeUnknownResult(Schema.fromJsonString(schema))
  return (exchange: Exchange, body: string): Effect.Effect<S["Type"], E.HdfsError> => {
    const result = decode(body)
    if (result._tag === "Success") return Effect.succeed(result.success)
    const html = /^\s*</.test(body)
    return Effect.fail(
      fail(
        exchange,
        new E.Protocol({
          detail: html
            ? `HTML instead of JSON${excerpt(body)}`
            : `not the JSON of ${exchange.operation} (${result.failure.message.split("\n")[0] ?? ""})${excerpt(body)}`
        })
      )
    )
  }
}
