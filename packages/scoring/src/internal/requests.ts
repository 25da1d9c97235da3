import { Current, type TaskContext } from "@sluice/core/TaskContext"
import { Clock, Duration, Effect, Random, Result } from "effect"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as Batch from "../Batch.ts"
import type { Protocol } from "../Protocol.ts"
import * as RetryPolicy from "../RetryPolicy.ts"
import {
  BadAnswer,
  brief,
  type Earlier,
  Overloaded,
  type Reason,
  Rejected,
  retries,
  ScoreError,
  ServerFailed,
  TimedOut
} from "../ScoreError.ts"
import type { Endpoint, Endpoints } from "./endpoints.ts"
import { reasonOf, wrongContent } from "./http.ts"
import { type Meter, millisOf } from "./meter.ts"
import { rowsAtFault, wrongScores } from "./scores.ts"
import { setupError } from "./setup.ts"
import type { Words } from "./words.ts"

/** What all requests of a scorer have in common. */
interface Setup {
  readonly client: HttpClient.HttpClient
  readonly endpoints: Endpoints
  readonly protocol: Protocol
  readonly contentType: string
  readonly timeout: Duration.Duration
  readonly retry: RetryPolicy.RetryPolicy
  readonly words: Words
  readonly meter: Meter
}

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: ArrayBuffer
}

const answerHeadSize = (headers: Readonly<Record<string, string>>): number =>
  Object.entries(headers).reduce(
    (n, [name, value]) => n + name.length + value.length + 4,
    "HTTP/1.1 200 OK\r\n\r\n".length
  )

/** The scores in an answer of status 2xx. */
const scoresOf = (
  { protocol, words }: Setup,
  { body, headers }: Answer,
  rows: number
): Result.Result<Float32Array, BadAnswer> => {
  const content = wrongContent(headers, protocol.accepts, words)
  if (content !== undefined) {
    const said = words(body)
    return Result.fail(new BadAnswer({ detail: `${content}; it begins: ${said}`, body: said, row: undefined }))
  }
  const decoded = protocol.decode(body, rows)
  if (Result.isFailure(decoded)) {
    return Result.fail(new BadAnswer({ detail: words(decoded.failure), body: words(body), row: undefined }))
  }
  const wrong = wrongScores(decoded.success, rows)
  return wrong === undefined ? Result.succeed(decoded.success) : Result.fail(wrong)
}

/** What an answer of another status means. */
const refusalOf = ({ words }: Setup, { body, headers, status }: Answer, now: number): Reason => {
  const text = words(body)
  if (status === 429 || status === 503) {
    return new Overloaded({ status, body: text, retryAfter: RetryPolicy.parseRetryAfter(headers["retry-after"], now) })
  }
  if (status >= 500) return new ServerFailed({ status, body: text })
  const location = status < 400 ? headers["location"] : undefined
  return new Rejected({ status, body: text, location: location === undefined ? undefined : words(location) })
}

/** One request. */
const request = Effect.fnUntraced(function* (
  setup: Setup,
  endpoint: Endpoint,
  batch: Batch.Batch,
  task: TaskContext | undefined
): Effect.fn.Return<Float32Array, Reason> {
  const { client, contentType, meter, protocol, timeout, words } = setup
  const timeoutMillis = Duration.toMillis(timeout)
  let phase: "answer" | "body" = "answer"
  const answer = yield* client
    .execute(HttpClientRequest.setBody(endpoint.request, HttpBody.uint8Array(protocol.encode(batch), contentType)))
    .pipe(
      Effect.flatMap((response) => {
        phase = "body"
        return Effect.map(response.arrayBuffer, (body) => ({
          status: response.status,
          headers: response.headers,
          body
        }))
      }),
      Effect.mapError((error) => reasonOf(error, timeoutMillis, words)),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => Effect.fail(new TimedOut({ phase, millis: timeoutMillis }))
      })
    )
  meter.answered(task, answerHeadSize(answer.headers), answer.body.byteLength)
  endpoint.answered = true
  return answer.status >= 200 && answer.status < 300
    ? yield* Effect.fromResult(scoresOf(setup, answer, batch.rows))
    : yield* Effect.fail(refusalOf(setup, answer, yield* Clock.currentTimeMillis))
})

// An unknown host name is a typing error, unless it has answered before: then its server is being replaced.
const retriesAt = (endpoint: Endpoint, reason: Reason): ReturnType<typeof retries> =>
  endpoint.answered && reason._tag === "Unreachable" && reason.code === "ENOTFOUND" ? "timed" : retries(reason)

/** The requests of one batch that failed. */
class Failures {
  private firstAt: number | undefined
  /** Whether a request has failed in a way that is retried once. */
  private spent = false
  private readonly earlier = new Map<string, Mutable<Earlier>>()

  /** Milliseconds from the first failure to one at `now`. */
  elapsed(now: number): number {
    return now - (this.firstAt ??= now)
  }

  /** Whether the batch is sent again after this failure, if there is time. */
  isRetried(endpoint: Endpoint, reason: Reason): boolean {
    const kind = retriesAt(endpoint, reason)
    const again = kind === "timed" || (kind === "once" && !this.spent)
    if (kind === "once") this.spent = true
    return again
  }

  add(endpoint: Endpoint, reason: Reason): void {
    const failure = brief(reason)
    const key = `${endpoint.name} ${failure}`
    const same = this.earlier.get(key)
    if (same === undefined) this.earlier.set(key, { endpoint: endpoint.name, failure, requests: 1 })
    else same.requests++
  }

  get all(): ReadonlyArray<Earlier> {
    return [...this.earlier.values()]
  }
}

// A job that waits for its service logs that after a second, and then at most this often.
const warnAfterMillis = 1000
const warnEveryMillis = 10_000

/** Jobs stand still while their service is unavailable: a warning says why. */
const warnings = (retry: RetryPolicy.RetryPolicy) => {
  let warned = -Infinity
  return (now: number, waited: number, endpoint: string, attempt: number, reason: Reason): Effect.Effect<void> => {
    if (waited < warnAfterMillis || now - warned < warnEveryMillis) return Effect.void
    warned = now
    const since = Duration.format(Duration.millis(Math.round(waited)))
    const left = Duration.format(Duration.fromInputUnsafe(retry.retryFor))
    return Effect.logWarning(
      `${endpoint}: ${brief(reason)}, attempt ${attempt}, for ${since} now; tried again for up to ${left}`
    )
  }
}

/** Sends a batch until it is scored, or until the policy gives up. */
export const make = (setup: Setup): ((batch: Batch.Batch) => Effect.Effect<Float32Array, ScoreError>) => {
  const { endpoints, meter, retry } = setup
  const warn = warnings(retry)

  const measured = (endpoint: Endpoint, batch: Batch.Batch, task: TaskContext | undefined, attempt: number) =>
    Effect.clockWith((clock) => {
      const started = millisOf(clock)
      meter.started(task, started, attempt > 1, endpoints.headBytes, batch.values.byteLength)
      endpoint.inFlight++
      return request(setup, endpoint, batch, task).pipe(
        Effect.result,
        Effect.onExit(() =>
          Effect.sync(() => {
            endpoint.inFlight--
            meter.ended(task, millisOf(clock), started)
          })
        )
      )
    })

  return Effect.fnUntraced(function* (batch) {
    const task = yield* Current
    const first = yield* Clock.currentTimeMillis
    const failures = new Failures()
    let endpoint: Endpoint | undefined
    for (let attempt = 1; ; attempt++) {
      const target = endpoints.pick(endpoint)
      if (target === undefined) return yield* setupError("no endpoint")
      endpoint = target
      const result = yield* measured(target, batch, task, attempt)
      if (Result.isSuccess(result)) {
        meter.scored(task, batch.rows)
        return result.success
      }
      const reason = result.failure
      const failed = yield* Clock.currentTimeMillis
      const elapsed = failures.elapsed(failed)
      const retryAfter = reason._tag === "Overloaded" ? reason.retryAfter : undefined
      const wait = failures.isRetried(target, reason)
        ? RetryPolicy.delay(retry, { attempt, elapsed, random: yield* Random.next, retryAfter })
        : undefined
      if (wait === undefined) {
        meter.failed()
        return yield* new ScoreError({
          endpoint: target.name,
          attempt,
          rows: rowsAtFault(reason, batch),
          reason,
          elapsedMillis: failed - first,
          earlier: failures.all
        })
      }
      failures.add(target, reason)
      yield* warn(failed, elapsed, target.name, attempt, reason)
      yield* Effect.sleep(wait)
    }
  })
}
