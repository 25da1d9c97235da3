/**
 * The error of every scorer. One class says which endpoint, which attempt and which rows failed; its tagged `reason`
 * says what happened.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Schema } from "effect"

/**
 * The rows an error concerns.
 *
 * @category models
 * @since 0.1.0
 */
export const RowRange = Schema.Struct({
  /** File, if the rows came from one. */
  path: Schema.UndefinedOr(Schema.String),
  /** Row group of the file, where the format has them. */
  rowGroup: Schema.UndefinedOr(Schema.Int),
  /** Partition of the dataset. */
  partition: Schema.UndefinedOr(Schema.Int),
  /** First row, counted from 0: in the row group, or without one in the file, or without one in the partition. */
  first: Schema.Int,
  /** Last row. */
  last: Schema.Int
})

/**
 * The rows an error concerns.
 *
 * @category models
 * @since 0.1.0
 */
export type RowRange = typeof RowRange.Type

/**
 * There was no connection, or it broke: refused, reset, closed in the middle of an answer, unknown host name, bad
 * certificate.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedError<Unreachable>("@sluice/scoring/ScoreError/Unreachable")(
  "Unreachable",
  {
    /** Error code of Node or undici: `ECONNREFUSED`, `ECONNRESET`, `UND_ERR_SOCKET`. */
    code: Schema.String,
    detail: Schema.String
  }
) {
  override get message(): string {
    return `${this.detail} (${this.code}); check that the service runs and that the address is right`
  }
}

/**
 * A request took longer than its timeout.
 *
 * @category errors
 * @since 0.1.0
 */
export class TimedOut extends Schema.TaggedError<TimedOut>("@sluice/scoring/ScoreError/TimedOut")("TimedOut", {
  /** `connect`: no connection; `answer`: no status line; `body`: the answer did not end. */
  phase: Schema.Literals(["connect", "answer", "body"]),
  millis: Schema.Number
}) {
  override get message(): string {
    return `${brief(this)}; raise \`timeout\`, or send fewer rows per request if the model is slow`
  }
}

/**
 * The service refused the request (4xx, a redirect).
 *
 * @category errors
 * @since 0.1.0
 */
export class Rejected extends Schema.TaggedError<Rejected>("@sluice/scoring/ScoreError/Rejected")("Rejected", {
  status: Schema.Int,
  /** The first 256 characters of the answer, escaped and without the secrets of the request. */
  body: Schema.String,
  /** Where a redirect points to, also escaped; redirects are not followed. */
  location: Schema.UndefinedOr(Schema.String)
}) {
  override get message(): string {
    if (this.status >= 400) return `rejected with status ${this.status}: ${this.body}`
    const where = this.location === undefined ? "without a location" : `to "${this.location}"`
    return `redirected with status ${this.status} ${where}; redirects are not followed: give the address of the model itself as endpoint`
  }
}

/**
 * The service is overloaded (429, 503).
 *
 * @category errors
 * @since 0.1.0
 */
export class Overloaded extends Schema.TaggedError<Overloaded>("@sluice/scoring/ScoreError/Overloaded")("Overloaded", {
  status: Schema.Int,
  /** The first 256 characters of the answer, escaped and without the secrets of the request. */
  body: Schema.String,
  /** Milliseconds that the service asked the client to wait, if it did. */
  retryAfter: Schema.UndefinedOr(Schema.Number)
}) {
  override get message(): string {
    return `overloaded with status ${this.status}: ${this.body}; lower \`concurrency\` or add endpoints`
  }
}

/**
 * The service failed (other 5xx).
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerFailed extends Schema.TaggedError<ServerFailed>("@sluice/scoring/ScoreError/ServerFailed")(
  "ServerFailed",
  {
    status: Schema.Int,
    /** The first 256 characters of the answer, escaped and without the secrets of the request. */
    body: Schema.String
  }
) {
  override get message(): string {
    return `failed with status ${this.status}: ${this.body}; look for the cause in the log of the service`
  }
}

/**
 * The answer of the service is not one score per row.
 *
 * @category errors
 * @since 0.1.0
 */
export class BadAnswer extends Schema.TaggedError<BadAnswer>("@sluice/scoring/ScoreError/BadAnswer")("BadAnswer", {
  detail: Schema.String,
  /** The first 256 characters of the answer, escaped and without the secrets of the request. */
  body: Schema.String,
  /** Row of the request whose score is wrong, if it is a single row. */
  row: Schema.UndefinedOr(Schema.Int)
}) {
  override get message(): string {
    return `unusable answer: ${this.detail}`
  }
}

/**
 * A vector has another length than the model takes.
 *
 * @category errors
 * @since 0.1.0
 */
export class VectorLength extends Schema.TaggedError<VectorLength>("@sluice/scoring/ScoreError/VectorLength")(
  "VectorLength",
  {
    expected: Schema.Int,
    found: Schema.Int
  }
) {
  override get message(): string {
    return `the vector has ${this.found} numbers, expected ${this.expected} (from \`features\`, or from the first row if that is not set); fix the row or filter it out`
  }
}

/**
 * A row has no vector, or the column is not one of float vectors.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAVector extends Schema.TaggedError<NotAVector>("@sluice/scoring/ScoreError/NotAVector")("NotAVector", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The scorer cannot be built from its options.
 *
 * @category errors
 * @since 0.1.0
 */
export class BadSetup extends Schema.TaggedError<BadSetup>("@sluice/scoring/ScoreError/BadSetup")("BadSetup", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * What can be wrong.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  Unreachable,
  TimedOut,
  Rejected,
  Overloaded,
  ServerFailed,
  BadAnswer,
  VectorLength,
  NotAVector,
  BadSetup
])

/**
 * What can be wrong.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

const retryableCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "UND_ERR_SOCKET",
  "HPE_INVALID_EOF_STATE"
])

/**
 * How often a request is tried again after such a failure.
 *
 * **Details**
 *
 * - `timed`, as long as the `RetryPolicy` allows: a connection that failed or broke, 429, 502, 503 and 504. The service
 *   was not reached or has no capacity.
 * - `once`, at another endpoint if there is one: other 5xx, and an answer that did not begin or did not end in time.
 *   The rows may be the cause, or the service may still be working on them.
 * - `never`: failures that another attempt will not change: 4xx, redirects, wrong answers, wrong addresses, wrong rows.
 *
 * @category getters
 * @since 0.1.0
 */
export const retries = (reason: Reason): "timed" | "once" | "never" => {
  switch (reason._tag) {
    case "Unreachable":
      return retryableCodes.has(reason.code) ? "timed" : "never"
    case "TimedOut":
      return reason.phase === "connect" ? "timed" : "once"
    case "Overloaded":
      return "timed"
    case "ServerFailed":
      return reason.status === 502 || reason.status === 504 ? "timed" : "once"
    default:
      return "never"
  }
}

/**
 * Whether the same request may succeed later.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRetryable = (reason: Reason): boolean => retries(reason) !== "never"

/**
 * A failure in a few words: `status 503`, `ECONNREFUSED`, `no answer within 30000 ms`.
 *
 * @category getters
 * @since 0.1.0
 */
export const brief = (reason: Reason): string => {
  switch (reason._tag) {
    case "Unreachable":
      return reason.code
    case "TimedOut":
      return `no ${reason.phase === "connect" ? "connection" : reason.phase === "answer" ? "answer" : "end of the answer"} within ${reason.millis} ms`
    case "Rejected":
    case "Overloaded":
    case "ServerFailed":
      return `status ${reason.status}`
    default:
      return reason._tag
  }
}

/**
 * Requests for the same rows that failed before the last one.
 *
 * @category models
 * @since 0.1.0
 */
export const Earlier = Schema.Struct({
  /** URL without credentials and query. */
  endpoint: Schema.String,
  /** In a few words. */
  failure: Schema.String,
  /** How many failed like this. */
  requests: Schema.Int
})

/**
 * Requests for the same rows that failed before the last one.
 *
 * @category models
 * @since 0.1.0
 */
export type Earlier = typeof Earlier.Type

// From ten seconds on, only whole seconds: the rest is noise.
const describeMillis = (millis: number): string => {
  const unit = millis < 10_000 ? 1 : 1000
  return Duration.format(Duration.millis(Math.round(millis / unit) * unit))
}

const describeRange = (range: RowRange): string => {
  const where =
    range.path === undefined
      ? range.partition === undefined
        ? ""
        : ` of partition ${range.partition}`
      : ` of ${range.path}${range.rowGroup === undefined ? "" : `, row group ${range.rowGroup}`}`
  return (range.first === range.last ? `row ${range.first}` : `rows ${range.first}..${range.last}`) + where
}

/**
 * Rows as a message names them: `rows 0..999 of in/a.parquet, row group 3`.
 *
 * @category getters
 * @since 0.1.0
 */
export const describeRows = (rows: ReadonlyArray<RowRange>): string => rows.map(describeRange).join(" and ")

/**
 * Rows could not be scored.
 *
 * @category errors
 * @since 0.1.0
 */
export class ScoreError extends Schema.TaggedError<ScoreError>("@sluice/scoring/ScoreError")("ScoreError", {
  /** URL of the request without credentials and query, or the name of the model in process. */
  endpoint: Schema.String,
  /** How many requests were sent for these rows: 1 for the first, 0 if none was sent. */
  attempt: Schema.Int,
  /** The rows that the error concerns. */
  rows: Schema.Array(RowRange),
  reason: Reason,
  /** Milliseconds from the start of the first request to the end of the last one. */
  elapsedMillis: Schema.Number.pipe(Schema.withConstructorDefault(Effect.succeed(0))),
  /** How the requests before the last one failed, by endpoint and kind. */
  earlier: Schema.Array(Earlier).pipe(Schema.withConstructorDefault(Effect.succeed([])))
}) {
  override get message(): string {
    const rows = this.rows.length === 0 ? "" : `, ${describeRows(this.rows)}`
    // Rows that were never sent say nothing about the service.
    if (this.attempt === 0) return `scoring${rows}: ${this.reason.message}`
    const elapsed = this.attempt === 1 || this.elapsedMillis === 0 ? "" : ` after ${describeMillis(this.elapsedMillis)}`
    const before = this.earlier.map(
      ({ endpoint, failure, requests }) => `${endpoint} ${failure}${requests === 1 ? "" : ` (${requests} times)`}`
    )
    const others = before.length === 0 ? "" : `; before that: ${before.join(", ")}`
    return `${this.endpoint}, attempt ${this.attempt}${elapsed}${rows}: ${this.reason.message}${others}`
  }

  /** HTTP status of the last answer, if there was one and it was not a success. */
  get status(): number | undefined {
    return "status" in this.reason ? this.reason.status : undefined
  }

  /** The first 256 characters of the last answer, escaped and without the secrets of the request. */
  get body(): string | undefined {
    return "body" in this.reason ? this.reason.body : undefined
  }

  /** Whether the same request may succeed later. */
  get isRetryable(): boolean {
    return isRetryable(this.reason)
  }
}
