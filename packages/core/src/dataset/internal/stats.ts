import { Effect, Option } from "effect"
import { dual } from "effect/Function"
import type { Action, Engine } from "../../engine/Action.ts"
import { InvalidPlan, type JobError } from "../../task/JobError.ts"
import { firstOf, number, type Problem, whole } from "../../codec/internal/checks.ts"
import { action, all, eachArray, folded } from "./action.ts"
import { checkedAction } from "./checked.ts"
import type { Dataset } from "./model.ts"

/**
 * Count, sum, extremes and moments of numbers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly count: number
  readonly sum: number
  /** `Infinity` without numbers. */
  readonly min: number
  /** `-Infinity` without numbers. */
  readonly max: number
  /** 0 without numbers, as in Spark. */
  readonly mean: number
  /** For the whole population; `NaN` without numbers. */
  readonly variance: number
  /** For a sample (divided by n - 1); `NaN` for fewer than two numbers. */
  readonly sampleVariance: number
  readonly stdev: number
  readonly sampleStdev: number
}

interface Moments {
  count: number
  sum: number
  min: number
  max: number
  mean: number
  /** Sum of squared distances from the mean (Welford). */
  squares: number
}

/**
 * {@link Stats} of the numbers, in one pass that is stable for large means.
 *
 * @category actions
 * @since 0.1.0
 */
export const stats = <E, R>(self: Dataset<number, E, R>): Action<Stats, E, R> =>
  folded(self, {
    name: "stats",
    zero: (): Moments => ({ count: 0, sum: 0, min: Infinity, max: -Infinity, mean: 0, squares: 0 }),
    add: (state, values) => {
      for (const value of values) {
        state.count++
        state.sum += value
        const distance = value - state.mean
        state.mean += distance / state.count
        state.squares += distance * (value - state.mean)
        if (value < state.min) state.min = value
        if (value > state.max) state.max = value
      }
      return state
    },
    merge: (left, right) => {
      if (right.count === 0) return left
      const count = left.count + right.count
      const distance = right.mean - left.mean
      return {
        count,
        sum: left.sum + right.sum,
        min: Math.min(left.min, right.min),
        max: Math.max(left.max, right.max),
        mean: left.mean + (distance * right.count) / count,
        squares: left.squares + right.squares + (distance * distance * left.count * right.count) / count
      }
    },
    end: ({ count, max, mean, min, squares, sum }): Stats => {
      const variance = count === 0 ? Number.NaN : squares / count
      const sampleVariance = count < 2 ? Number.NaN : squares / (count - 1)
      return {
        count,
        sum,
        min,
        max,
        mean,
        variance,
        sampleVariance,
        stdev: Math.sqrt(variance),
        sampleStdev: Math.sqrt(sampleVariance)
      }
    }
  })

/**
 * The sum of the numbers, 0 without any.
 *
 * @category actions
 * @since 0.1.0
 */
export const sum = <E, R>(self: Dataset<number, E, R>): Action<number, E, R> =>
  folded(self, {
    name: "sum",
    zero: () => 0,
    add: (state, values) => values.reduce((left, right) => left + right, state),
    merge: (left, right) => left + right,
    end: (state) => state
  })

/**
 * The mean of the numbers; `None` without any.
 *
 * @category actions
 * @since 0.1.0
 */
export const mean = <E, R>(self: Dataset<number, E, R>): Action<Option.Option<number>, E, R> =>
  folded(self, {
    name: "mean",
    zero: () => ({ count: 0, sum: 0 }),
    add: (state, values) => {
      state.count += values.length
      for (const value of values) state.sum += value
      return state
    },
    merge: (left, right) => ({ count: left.count + right.count, sum: left.sum + right.sum }),
    end: ({ count, sum }) => (count === 0 ? Option.none() : Option.some(sum / count))
  })

const numberAt = (numbers: ReadonlyArray<number>, index: number): number => {
  const found = numbers[index]
  if (found === undefined) throw new RangeError(`there is no number ${index} among ${numbers.length}`)
  return found
}

const within = <E, R>(self: Dataset<number, E, R>, bounds: ReadonlyArray<number>): Action<Array<number>, E, R> => {
  const buckets = Math.max(0, bounds.length - 1)
  const first = bounds[0] ?? Number.NaN
  const last = bounds[buckets] ?? Number.NaN
  return folded(self, {
    name: "histogram",
    zero: () => new Array<number>(buckets).fill(0),
    add: (counts, values) => {
      for (const value of values) {
        if (!(value >= first && value <= last)) continue
        let low = 0
        let high = buckets - 1
        while (low < high) {
          const middle = (low + high + 1) >> 1
          if (numberAt(bounds, middle) <= value) low = middle
          else high = middle - 1
        }
        counts[low] = numberAt(counts, low) + 1
      }
      return counts
    },
    merge: (left, right) => left.map((count, index) => count + numberAt(right, index)),
    end: (counts) => counts
  })
}

const badBounds = (bounds: ReadonlyArray<number>): Problem =>
  bounds.length < 2
    ? `there are ${bounds.length} bounds; there must be at least two`
    : firstOf(
        ...bounds.map((bound, index) => number("a bound", bound, index === 0 ? -Infinity : bounds[index - 1], Infinity))
      )

// Bounds of buckets of equal width, from the least number to the greatest.
const evenBounds = <E, R>(self: Dataset<number, E, R>, buckets: number): Action<Array<number>, E, R> =>
  action(self, {
    name: "histogram bounds",
    task: (rows) =>
      Effect.suspend(() => {
        let min = Infinity
        let max = -Infinity
        return Effect.map(
          eachArray(rows, (values) => {
            // Both are `NaN` once a number is `NaN`, and stay so.
            for (const value of values) {
              min = Math.min(min, value)
              max = Math.max(max, value)
            }
          }),
          () => [min, max] as const
        )
      }),
    drive: (run) =>
      Effect.gen(function* () {
        const refuse = (detail: string) => new InvalidPlan({ operator: "histogram", detail })
        let min = Infinity
        let max = -Infinity
        yield* run.tasks(all(run.partitions), (_, [least, most]) =>
          Effect.sync(() => {
            min = Math.min(min, least)
            max = Math.max(max, most)
          })
        )
        if (!Number.isFinite(max - min)) {
          return yield* refuse(
            "there are no numbers, or one is NaN or infinite, so they cannot be put into buckets of equal width"
          )
        }
        if (min === max) return [min, max]
        return [...all(buckets).map((bucket) => min + (bucket * (max - min)) / buckets), max]
      })
  })

/**
 * How many numbers lie in each bucket: between each two neighbours of `bounds` (ascending, at least two), or in
 * `buckets` of equal width from the least number to the greatest, whose bounds are yielded too. A bucket includes its
 * lower bound, and the last one also its upper bound; numbers outside and `NaN` are not counted.
 *
 * **Details**
 *
 * With a number of buckets the dataset is read twice, first for its extremes: `Dataset.cache` it if it is expensive. If
 * all numbers are the same, there is one bucket. Without numbers, with one that is `NaN` or infinite, and with less
 * than one bucket, it fails with a `JobError` of reason `InvalidPlan`.
 *
 * **Example** (Two buckets)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const histogram = Dataset.make(1, 2, 3, 9, 11).pipe(Dataset.histogram(2))
 *
 * await Effect.runPromise(Effect.provide(histogram, Engine.layer)) // => [[1, 6, 11], [3, 2]]
 * ```
 *
 * @category actions
 * @since 0.1.0
 */
export const histogram: {
  (bounds: ReadonlyArray<number>): <E, R>(self: Dataset<number, E, R>) => Action<Array<number>, E, R>
  (buckets: number): <E, R>(self: Dataset<number, E, R>) => Effect.Effect<Histogram, E | JobError, R | Engine>
  <E, R>(self: Dataset<number, E, R>, bounds: ReadonlyArray<number>): Action<Array<number>, E, R>
  <E, R>(self: Dataset<number, E, R>, buckets: number): Effect.Effect<Histogram, E | JobError, R | Engine>
} = dual(2, histogramOf)

/**
 * The bounds of the buckets (one more than there are buckets), and how many numbers each bucket has.
 *
 * @category models
 * @since 0.1.0
 */
export type Histogram = readonly [bounds: ReadonlyArray<number>, counts: ReadonlyArray<number>]

function histogramOf<E, R>(self: Dataset<number, E, R>, bounds: ReadonlyArray<number>): Action<Array<number>, E, R>
function histogramOf<E, R>(
  self: Dataset<number, E, R>,
  buckets: number
): Effect.Effect<Histogram, E | JobError, R | Engine>
function histogramOf<E, R>(
  self: Dataset<number, E, R>,
  by: ReadonlyArray<number> | number
): Effect.Effect<Array<number> | Histogram, E | JobError, R | Engine> {
  if (typeof by !== "number") return checkedAction("histogram", badBounds(by), within(self, by))
  const bounds = checkedAction("histogram", whole("buckets", by), evenBounds(self, by))
  return Effect.flatMap(bounds, (bounds) => Effect.map(within(self, bounds), (counts): Histogram => [bounds, counts]))
}
