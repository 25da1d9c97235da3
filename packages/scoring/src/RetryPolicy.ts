/**
 * When a failed request is sent again: a plain value that can be printed and compared, and that always ends.
 *
 * Time bounds it: a service may be unavailable for `retryFor`. `ScoreError.retries` says which failures are retried for
 * that time, which once, and which never.
 *
 * @since 0.1.0
 */
import { Duration } from "effect"

/**
 * Bounded exponential backoff with jitter.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy {
  /**
   * How long rows are retried after their first failure. If the next request would start later, the error is final. 0
   * means one attempt.
   */
  readonly retryFor: Duration.Input
  /** Most requests sent for the same rows, including the first. */
  readonly maxAttempts: number
  /** Wait before the second request. */
  readonly base: Duration.Input
  /** Growth of the wait from one request to the next. */
  readonly factor: number
  /** Longest wait of the backoff. */
  readonly cap: Duration.Input
  /** The wait is multiplied by a random number between these two. */
  readonly jitter: readonly [min: number, max: number]
  /** The longest wait that a `Retry-After` header can ask for. Longer ones are cut to this. */
  readonly retryAfterCap: Duration.Input
}

/**
 * 2 minutes from the first failure on, waits of 100 ms doubling up to 10 s with 0.75..1.25 jitter, `Retry-After` up to 60 s, any
 * number of attempts (about 20).
 *
 * @category constructors
 * @since 0.1.0
 */
export const defaults: RetryPolicy = {
  retryFor: "2 minutes",
  maxAttempts: Infinity,
  base: "100 millis",
  factor: 2,
  cap: "10 seconds",
  jitter: [0.75, 1.25],
  retryAfterCap: "60 seconds"
}

/**
 * One attempt.
 *
 * @category constructors
 * @since 0.1.0
 */
export const never: RetryPolicy = { ...defaults, maxAttempts: 1 }

/**
 * The wait in milliseconds before the request that follows attempt `attempt` (1 is the first), or `undefined` if none
 * follows.
 *
 * **Details**
 *
 * A `Retry-After` is a lower bound of the wait: it is cut to `retryAfterCap` and never makes the wait shorter than the
 * backoff. An answer with it counts as an attempt like any other failure. The shortest wait is 1 ms.
 *
 * **Example** (Waits without jitter)
 *
 * ```ts import.meta.vitest
 * import { RetryPolicy } from "@sluice/scoring"
 *
 * const wait = (attempt: number) => RetryPolicy.delay(RetryPolicy.defaults, { attempt, elapsed: 0, random: 0.5 })
 *
 * wait(1) // => 100
 * wait(3) // => 400
 * wait(9) // => 10000
 * RetryPolicy.delay(RetryPolicy.defaults, { attempt: 9, elapsed: 119_000, random: 0.5 }) // => undefined
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const delay = (
  policy: RetryPolicy,
  failed: {
    readonly attempt: number
    /** Milliseconds since the first failure. */
    readonly elapsed: number
    /** From 0 to 1. */
    readonly random: number
    /** Milliseconds that the service asked the client to wait. */
    readonly retryAfter?: number | undefined
  }
): number | undefined => {
  if (!(failed.attempt < policy.maxAttempts)) return undefined
  const [min, max] = policy.jitter
  const backoff =
    Math.min(Duration.toMillis(policy.cap), Duration.toMillis(policy.base) * policy.factor ** (failed.attempt - 1)) *
    (min + (max - min) * failed.random)
  const asked = Math.min(failed.retryAfter ?? 0, Duration.toMillis(policy.retryAfterCap))
  // Never 0: the time would not pass, and the retries with it.
  const wait = Math.max(1, backoff, asked)
  return failed.elapsed + wait <= Duration.toMillis(policy.retryFor) ? wait : undefined
}

/**
 * Milliseconds that a `Retry-After` header asks to wait: seconds or an HTTP date. `undefined` for anything else, and
 * for negative numbers; a date in the past is 0.
 *
 * @category codecs
 * @since 0.1.0
 */
export const parseRetryAfter = (header: string | undefined, nowMillis: number): number | undefined => {
  const text = header?.trim()
  if (text === undefined || text === "") return undefined
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  // Every HTTP date contains the name of a month; `Date.parse` alone would take "-5" for a year.
  if (!/[A-Za-z]{3}/.test(text)) return undefined
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMillis)
}
