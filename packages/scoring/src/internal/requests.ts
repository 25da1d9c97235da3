import { Current, type TaskContext } from "@sluice/core/TaskContext"
import { Clock, Duration, Effect, Random, Result } from "effect"
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
  ServerFailed
} from "../ScoreError.ts"
import type { Endpoint, Endpoints } from "./endpoints.ts"
import { fieldOf, type Fields, wrongContent } from "./http.ts"
import { type Meter, millisOf } from "./meter.ts"
import { rowsAtFault, wrongScores } from "./scores.ts"
import type { Answer, Transport } from "./transport.ts"
import type { Words } from "./words.ts"

/** What all requests of a scorer have in common. */
interface Setup {
  readonly transport: Transport
  readonly endpoints: Endpoints
  readonly protocol: Protocol
  readonly retry: RetryPolicy.RetryPolicy
  readonly words: Words
  readonly meter: Meter
}

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

const answerHeadSize = (headers: Fields): number => {
  let size = "HTTP/1.1 200 OK\r\n\r\n".length
  for (const name in headers) size += name.length + (fieldOf(headers, name)?.length ?? 0) + 4
  return size
}

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
    return new Overloaded({
      status,
      body: text,
      retryAfter: RetryPolicy.parseRetryAfter(fieldOf(headers, "retry-after"), now)
    })
  }
  if (status >= 500) return new ServerFailed({ status, body: text })
  const location = status < 400 ? fieldOf(headers, "location") : undefined
  return new Rejected({ status, body: text, location: location === undefined ? undefined : words(location) })
}

/** The meaning of an answer: the scores of a batch, or why it has none. */
const read = (
  setup: Setup,
  endpoint: Endpoint,
  { rows }: Batch.Batch,
  task: TaskContext | undefined,
  answer: Answer
): Effect.Effect<Float32Array, Reason> => {
  setup.meter.answered(task, answerHeadSize(answer.headers), answer.body.byteLength)
  endpoint.answered = true
  if (answer.status < 200 || answer.status >= 300) {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.fail(refusalOf(setup, answer, now)))
  }
  const scores = scoresOf(setup, answer, rows)
  if (Result.isSuccess(scores)) setup.meter.scored(task, rows)
  return Effect.fromResult(scores)
}

/** One request. */
const request = (
  setup: Setup,
  endpoint: Endpoint,
  batch: Batch.Batch,
  task: TaskContext | undefined,
  isRetry: boolean
): Effect.Effect<Float32Array, Reason> =>
  Effect.clockWith((clock) => {
    const { endpoints, meter, protocol, transport } = setup
    const started = millisOf(clock)
    meter.started(task, started, isRetry, endpoints.headBytes, batch.values.byteLength)
    endpoint.inFlight++
    return transport(endpoint, protocol.encode(batch)).pipe(
      Effect.flatMap((answer) => read(setup, endpoint, batch, task, answer)),
      Effect.onExit(() =>
        Effect.sync(() => {
          endpoint.inFlight--
          meter.ended(task, millisOf(clock), started)
        })
      )
    )
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

/** A request that failed. */
interface Failed {
  readonly endpoint: Endpoint
  readonly reason: Reason
}

/** Sends a batch until it is scored, or until the policy gives up. */
export const make = (setup: Setup): ((batch: Batch.Batch) => Effect.Effect<Float32Array, ScoreError>) => {
  const { endpoints, meter, retry } = setup
  const warn = warnings(retry)

  /** Sends a batch again after its first request failed. */
  const again = Effect.fnUntraced(function* (
    batch: Batch.Batch,
    task: TaskContext | undefined,
    first: number,
    { endpoint, reason }: Failed
  ) {
    const failures = new Failures()
    let target = endpoint
    let failure = reason
    for (let attempt = 1; ; attempt++) {
      const failed = yield* Clock.currentTimeMillis
      const elapsed = failures.elapsed(failed)
      const retryAfter = failure._tag === "Overloaded" ? failure.retryAfter : undefined
      const wait = failures.isRetried(target, failure)
        ? RetryPolicy.delay(retry, { attempt, elapsed, random: yield* Random.next, retryAfter })
        : undefined
      if (wait === undefined) {
        meter.failed()
        return yield* new ScoreError({
          endpoint: target.name,
          attempt,
          rows: rowsAtFault(failure, batch),
          reason: failure,
          elapsedMillis: failed - first,
          earlier: failures.all
        })
      }
      failures.add(target, failure)
      yield* warn(failed, elapsed, target.name, attempt, failure)
      yield* Effect.sleep(wait)
      target = endpoints.pick(target)
      const result = yield* Effect.result(request(setup, target, batch, task, true))
      if (Result.isSuccess(result)) return result.success
      failure = result.failure
    }
  })

  return (batch) =>
    Effect.withFiber((fiber) => {
      const task = fiber.getRef(Current)
      const first = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
      const endpoint = endpoints.pick(undefined)
      return Effect.catch(request(setup, endpoint, batch, task, false), (reason) =>
        again(batch, task, first, { endpoint, reason })
      )
    })
}
