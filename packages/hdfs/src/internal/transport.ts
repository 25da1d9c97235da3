import { Cause, type Duration, Effect, Option, Redacted, Schema, type Scope, Stream } from "effect"
import * as E from "../HdfsError.ts"
import * as Http from "./http.ts"
import type { Head } from "./response.ts"
import { excerpt, reasonOfResponse } from "./remote.ts"

/** One HTTP request of an operation. */
export interface Exchange {
  readonly operation: string
  readonly path: string
  readonly method: "GET" | "PUT" | "POST" | "DELETE"
  readonly url: URL
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>> | undefined
}

const fail = (exchange: Exchange, reason: E.Reason) =>
  new E.HdfsError({ operation: exchange.operation, path: exchange.path, endpoint: exchange.url.host, reason })

const neverSent = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL"])

const property = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

/** The text of a connection failure without the request, whose URL may hold a token. */
const reasonOfCause = (cause: unknown): E.Reason => {
  let found: unknown = cause
  // Node nests errors when it tried several addresses: AggregateError.errors.
  for (let depth = 0; depth < 5 && typeof property(found, "code") !== "string"; depth++) {
    const errors: unknown = property(found, "errors")
    const inner = Array.isArray(errors) ? errors[0] : property(found, "cause")
    if (inner === undefined) break
    found = inner
  }
  const code = String(property(found, "code") ?? property(found, "name") ?? "UNKNOWN")
  const detail = String(property(found, "message") ?? "the connection failed")
  if (/^(CERT_|ERR_TLS|ERR_SSL|EPROTO|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH)/.test(code)) {
    return new E.Tls({ code, detail })
  }
  return new E.Connection({ code, detail, sent: !neverSent.has(code) })
}

export interface Transport {
  /** A small exchange, whatever the status of its answer. */
  readonly answer: (exchange: Exchange) => Effect.Effect<Http.Answer, E.HdfsError>
  /** Fails with the reason in an answer of 400 or more. */
  readonly accept: (exchange: Exchange, answer: Http.Answer) => Effect.Effect<Http.Answer, E.HdfsError>
  /** `answer`, then `accept`. */
  readonly ask: (exchange: Exchange) => Effect.Effect<Http.Answer, E.HdfsError>
  /**
   * The bytes of a body, `wanted` of which are asked for; `onBytes` counts them. Fails with a read timeout if the
   * server stalls, and if more bytes arrive. With a `buffer`, a chunk is valid until the next is pulled.
   */
  readonly bytes: (
    exchange: Exchange,
    wanted: number,
    buffer: Uint8Array | undefined,
    onBytes: (count: number) => void
  ) => Effect.Effect<
    { readonly head: Head; readonly stream: Stream.Stream<Uint8Array, E.HdfsError> },
    E.HdfsError,
    Scope.Scope
  >
  /** Sends a stream as the body, of a known length or not; yields the bytes sent when the server has confirmed them. */
  readonly upload: <Err, R>(
    exchange: Exchange,
    bytes: Stream.Stream<Uint8Array, Err, R>,
    length: number | undefined,
    /** The server's answer when it has all bytes. */
    status: 200 | 201,
    onStart: () => void
  ) => Effect.Effect<number, E.HdfsError | Err, R>
}

interface Limits {
  readonly operationTimeout: Duration.Input
}

/** What a failure of an exchange means for its operation. */
const failed = (exchange: Exchange, failure: Http.Failure): E.HdfsError => {
  switch (failure._tag) {
    case "Timeout":
      return fail(exchange, new E.Timeout({ phase: failure.phase, millis: failure.millis }))
    case "Malformed":
      return fail(exchange, new E.Protocol({ detail: failure.detail }))
    case "TooLarge":
      return fail(exchange, new E.AnswerTooLarge({ limit: failure.limit }))
    default:
      return fail(exchange, reasonOfCause(failure.cause))
  }
}

const request = ({ headers, method, url }: Exchange, more?: Readonly<Record<string, string>>): Http.Request => {
  const all: Record<string, string> = { ...more }
  for (const [name, value] of Object.entries(headers ?? {})) {
    all[name] = Redacted.isRedacted(value) ? String(Redacted.value(value)) : value
  }
  return { method, url, headers: all }
}

const refused = (exchange: Exchange, { body, status }: Http.Answer) =>
  Effect.fail(fail(exchange, reasonOfResponse(exchange.operation, status, body)))

/** The beginning of an error's body. */
const beginning = Effect.fnUntraced(function* (
  chunks: Effect.Effect<ReadonlyArray<Uint8Array>, E.HdfsError | Cause.Done>
) {
  const parts: Array<Uint8Array> = []
  let room = Http.errorBytes
  while (room > 0) {
    const more = yield* Effect.catchIf(chunks, Cause.isDone, () => Effect.undefined)
    if (more === undefined) break
    for (const chunk of more) {
      // With the caller's buffer, the next chunk overwrites each chunk.
      const part = chunk.slice(0, room)
      parts.push(part)
      room -= part.length
    }
  }
  return Buffer.concat(parts).toString()
})

const bytes = (http: Http.Http, limits: Limits): Transport["bytes"] =>
  Effect.fnUntraced(function* (exchange, wanted, buffer, onBytes) {
    const { pull, ...head } = yield* Effect.mapError(http.download(request(exchange), wanted, buffer), (failure) =>
      failed(exchange, failure)
    )
    const chunks = Effect.mapError(pull, (failure) => (Cause.isDone(failure) ? failure : failed(exchange, failure)))
    if (head.status >= 400) {
      const body = yield* Effect.timeoutOption(beginning(chunks), limits.operationTimeout)
      return yield* refused(exchange, { ...head, body: Option.getOrElse(body, () => "") })
    }
    const counted = Effect.map(chunks, (all) => {
      let count = 0
      for (const chunk of all) count += chunk.length
      onBytes(count)
      return all
    })
    return { head, stream: Stream.fromPull(Effect.succeed(counted)) }
  })

const upload = (http: Http.Http): Transport["upload"] =>
  Effect.fnUntraced(function* <Err, R>(
    exchange: Exchange,
    source: Stream.Stream<Uint8Array, Err, R>,
    length: number | undefined,
    status: 200 | 201,
    onStart: () => void
  ) {
    let sent = 0
    const wrong = () => fail(exchange, new E.UnexpectedEnd({ position: sent, expected: length ?? sent }))
    const headers = {
      "content-type": "application/octet-stream",
      ...(length === undefined ? {} : { "content-length": String(length) })
    }
    const answer = yield* http
      .upload(request(exchange, headers), (write) =>
        Effect.suspend(() => {
          onStart()
          return Stream.runForEachArray(source, (chunks) => {
            for (const chunk of chunks) sent += chunk.length
            return length === undefined || sent <= length ? write(chunks) : Effect.fail(wrong())
          })
        }).pipe(
          Effect.andThen(Effect.suspend(() => (sent === (length ?? sent) ? Effect.void : Effect.fail(wrong())))),
          Effect.mapError((error) => new SourceError(error))
        )
      )
      .pipe(
        Effect.mapError((error): E.HdfsError | Err =>
          error instanceof SourceError ? error.error : failed(exchange, error)
        )
      )
    if (answer.status === status) return sent
    return yield* answer.status >= 400
      ? refused(exchange, answer)
      : Effect.fail(
          fail(exchange, new E.Protocol({ detail: `status ${answer.status} instead of ${status} for the bytes sent` }))
        )
  })

export const make = (http: Http.Http, limits: Limits): Transport => {
  const answer: Transport["answer"] = (exchange) =>
    Effect.mapError(http.ask(request(exchange)), (failure) => failed(exchange, failure))

  const accept: Transport["accept"] = (exchange, it) => (it.status >= 400 ? refused(exchange, it) : Effect.succeed(it))

  const ask: Transport["ask"] = (exchange) => Effect.flatMap(answer(exchange), (it) => accept(exchange, it))

  return { answer, accept, ask, bytes: bytes(http, limits), upload: upload(http) }
}

/** A failure of the source, which may be of any type. */
class SourceError<Err> {
  readonly error: Err
  constructor(error: Err) {
    this.error = error
  }
}

const Location = Schema.fromJsonString(Schema.Struct({ Location: Schema.String.check(Schema.isMaxLength(64 * 1024)) }))
const decodeLocation = Schema.decodeUnknownOption(Location)

/** The `Location` of an answer to `noredirect=true`. */
export const locationOfBody = (body: string): string | undefined =>
  Option.getOrUndefined(decodeLocation(body))?.Location

/** Decodes an answer. One that does not fit is a `Protocol` failure that shows its beginning. */
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
            : `not the JSON of ${exchange.operation} (${result.failure.message.split("\n", 1)[0]?.slice(0, 300) ?? ""})${excerpt(body)}`
        })
      )
    )
  }
}
