/**
 * Faults of the embedded model service, made on purpose.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

const which = {
  /** Strikes one request in this many. Defaults to `1`: each. */
  every: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  /** Spares this many requests first. Defaults to `0`. */
  after: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  /** Strikes at most this many times. Unlimited by default. */
  times: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
}

/**
 * Something the service does wrong on purpose, and to which requests.
 *
 * **Details**
 *
 * - `Status`: answers `status` with `body`, and `Retry-After: retryAfter` (a number of seconds or an HTTP date)
 * - `Hang`: never answers; the connection stays open
 * - `Reset`: closes the connection without an answer
 * - `Cut`: announces the whole answer, sends its first `bytes`, then closes the connection
 * - `Short`: a well-formed answer that lacks its last `bytes`
 * - `NotFinite`: the score of row `row` of the request is NaN
 * - `Trickle`: sends the answer one byte at a time, `delayMs` apart
 *
 * The first fault of the list that applies to a request is the one that strikes.
 *
 * @category models
 * @since 0.1.0
 */
export const Fault = Schema.TaggedUnion({
  Status: {
    ...which,
    status: Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 })),
    retryAfter: Schema.optionalKey(Schema.Union([Schema.Finite, Schema.String])),
    body: Schema.optionalKey(Schema.String)
  },
  Hang: which,
  Reset: which,
  Cut: { ...which, bytes: Schema.Int },
  Short: { ...which, bytes: Schema.Int },
  NotFinite: { ...which, row: Schema.Int },
  Trickle: { ...which, delayMs: Schema.Finite }
})

/**
 * Something the service does wrong on purpose, and to which requests.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = typeof Fault.Type

/** A list of faults as JSON text. */
export const FaultsJson = Schema.fromJsonString(Schema.Array(Fault))

/** Decides which fault, if any, strikes the next request. */
export class FaultPlan {
  #faults: ReadonlyArray<{ readonly fault: Fault; seen: number; struck: number }> = []

  set(faults: ReadonlyArray<Fault>): void {
    this.#faults = faults.map((fault) => ({ fault, seen: 0, struck: 0 }))
  }

  next(): Fault | undefined {
    let strikes: Fault | undefined
    for (const entry of this.#faults) {
      const { after = 0, every = 1, times = Infinity } = entry.fault
      entry.seen++
      if (strikes !== undefined || entry.seen <= after || entry.struck >= times) continue
      if ((entry.seen - after) % every === 0) {
        entry.struck++
        strikes = entry.fault
      }
    }
    return strikes
  }
}
