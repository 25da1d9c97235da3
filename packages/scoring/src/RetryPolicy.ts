/**
 * When a request that failed is sent again: a plain value that can be printed, compared and proved finite.
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
  /** Requests sent for the same rows, the first included. */
  readonly maxAttempts: number
  /** Wait before the second request. */
  readonly base: Duration.Input
  /** Growth of the wait from one request to the next. */
  readonly factor: number
  /** Longest wait of the backoff. */
  readonly cap: Duration.Input
  /** The wait is multiplied by a random number between these two. */
  readonly jitter: readonly [min: number, max: number]
  /** From the first request on; where the next one would start later, the error is final. */
  readonly maxElapsed: Duration.Input
  /** Longest wait a `Retry-After` header can ask for. Longer ones are cut to this. */
  readonly retryAfterCap: Duration.Input
}

/**
 * 5 attempts, waits of 100 ms doubling up to 10 s with 0.75..1.25 jitter, 2 minutes in all, `Retry-After` up to 60 s.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults: RetryPolicy = {
  maxAttempts: 5,
  base: "100 millis",
  factor: 2,
  cap: "10 seconds",
  jitter: [0.75, 1.25],
  maxElapsed: "2 minutes",
  retryAfterCap: "60 seconds"
}

/**
 * One attempt.
 *
 * @category constants
 * @since 0.1.0
 */
export const never: RetryPolicy = { ...defaults, maxAttempts: 1 }

/**
 * The wait in milliseconds before the request that follows attempt `attempt` (1 is the first), `undefined` where there is none.
 *
 * **Details**
 *
 * A `Retry-After` is a lower bound of the wait: it is cut to `retryAfterCap` and never makes the wait shorter than the
 * backoff. It counts as an attempt like every other failure.
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
 * wait(5) // => undefined
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const delay = (
  policy: RetryPolicy,
  failed: {
    readonly attempt: number
    /** Milliseconds since the first request. */
    readonly elapsed: number
    /** From 0 to 1. */
    readonly random: number
    /** Milliseconds the service asked to wait. */
    readonly retryAfter?: number | undefined
  }
): number | undefined => {
  if (!(failed.attempt < policy.maxAttempts)) return undefined
  const [min, max] = policy.jitter
  const backoff =
    Math.min(Duration.toMillis(policy.cap), Duration.toMillis(policy.base) * policy.factor ** (failed.attempt - 1)) *
    (min + (max - min) * failed.random)
  const asked = Math.min(failed.retryAfter ?? 0, Duration.toMillis(policy.retryAfterCap))
  const wait = Math.max(backoff, asked)
  return failed.elapsed + wait > Duration.toMillis(policy.maxElapsed) ? undefined : wait
}

/**
 * Milliseconds that a `Retry-After` header asks to wait: seconds or an HTTP date. `undefined` for what is neither, and for
 * negative numbers; a date in the past is 0.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseRetryAfter = (header: string | undefined, nowMillis: number): number | undefined => {
  const text = header?.trim()
  if (text === undefined || text === "") return undefined
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  // Every HTTP date has a month's name; `Date.parse` alone would take "-5" for a year.
  if (!/[A-Za-z]{3}/.test(text)) return undefined
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMillis)
}
