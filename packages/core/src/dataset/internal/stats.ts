import { Effect, HashMap, Option, Order, Stream } from "effect"
import { dual } from "effect/Function"
import type { Action, Engine } from "../../engine/Action.ts"
import type * as Codec from "../../codec/Codec.ts"
import { InvalidPlan, type JobError } from "../../task/JobError.ts"
import { hashBytes, prefix } from "../../codec/internal/plain.ts"
import { Writer } from "../../codec/internal/bytes.ts"
import { shuffleFailed } from "../../task/internal/failures.ts"
import { firstOf, number, optional, type Problem, whole } from "../../codec/internal/checks.ts"
import { uniform } from "../../task/internal/sampler.ts"
import { action, all, eachArray } from "./action.ts"
import { checkedAction } from "./checked.ts"
import {
  type ADataset,
  type AnyKeyOptions,
  codecOr,
  type Decoded,
  type KeyedBy,
  type KeyOptions,
  refusing
} from "./exchange.ts"
import { reduceByKey } from "./keyed.ts"
import { type Dataset, isDataset, narrow } from "./model.ts"
import { repartition } from "./repartitioning.ts"

// Folds arrays into one state per partition, and the states, in the order of the partitions, into one.
const folded = <A, E, R, S, B>(
  self: Dataset<A, E, R>,
  options: {
    readonly name: string
    readonly zero: () => S
    readonly add: (state: S, values: ReadonlyArray<A>, partition: number) => S
    readonly merge: (left: S, right: S) => S
    readonly end: (state: S) => B
  }
): Action<B, E, R> =>
  action(self, {
    name: options.name,
    task: (rows, task) =>
      Effect.suspend(() => {
        let state = options.zero()
        return Effect.map(
          Stream.runForEachArray(rows, (values) => {
            const added = refusing(
              options.name,
              () => {
                state = options.add(state, values, task.partition)
              },
              () => values
            )
            return Effect.catch(added, (error) => task.abort(shuffleFailed(error)))
          }),
          () => state
        )
      }),
    drive: (run) => {
      const states: Array<S> = []
      return Effect.map(
        run.tasks(all(run.partitions), (partition, state) => Effect.sync(() => (states[partition] = state))),
        () => options.end(states.reduce(options.merge, options.zero()))
      )
    }
  })

// The first `n` in an order, kept as a heap whose root is the last of them.
class Best<A> {
  readonly items: Array<A> = []
  private readonly n: number
  private readonly order: Order.Order<A>
  constructor(n: number, order: Order.Order<A>) {
    this.n = n
    this.order = order
  }
  add(value: A): void {
    const { items, n, order } = this
    if (n <= 0) return
    if (items.length < n) {
      let i = items.length
      items.push(value)
      while (i > 0) {
        const parent = (i - 1) >> 1
        if (order(items[parent] as A, value) >= 0) break
        items[i] = items[parent] as A
        i = parent
      }
      items[i] = value
      return
    }
    if (order(value, items[0] as A) >= 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= n) break
      if (child + 1 < n && order(items[child + 1] as A, items[child] as A) > 0) child++
      if (order(items[child] as A, value) <= 0) break
      items[i] = items[child] as A
      i = child
    }
    items[i] = value
  }
}

/**
 * The first `n` elements in an order, sorted.
 *
 * @category actions
 * @since 0.1.0
 */
export const takeOrdered: {
  <A>(n: number, order: Order.Order<A>): <E, R>(self: Dataset<A, E, R>) => Action<Array<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, n: number, order: Order.Order<A>): Action<Array<A>, E, R>
} = dual(3, <A, E, R>(self: Dataset<A, E, R>, n: number, order: Order.Order<A>): Action<Array<A>, E, R> =>
  ordered(self, "takeOrdered", n, order)
)

const ordered = <A, E, R>(
  self: Dataset<A, E, R>,
  name: string,
  n: number,
  order: Order.Order<A>
): Action<Array<A>, E, R> =>
  checkedAction(
    name,
    whole("n", n, 0),
    folded(self, {
      name: `${name} ${n}`,
      zero: () => new Best(n, order),
      add: (best, values) => {
        for (const value of values) best.add(value)
        return best
      },
      merge: (best, other) => {
        for (const value of other.items) best.add(value)
        return best
      },
      end: (best) => best.items.toSorted(order)
    })
  )

/**
 * The last `n` elements in an order, the greatest first.
 *
 * @category actions
 * @since 0.1.0
 */
export const top: {
  <A>(n: number, order: Order.Order<A>): <E, R>(self: Dataset<A, E, R>) => Action<Array<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, n: number, order: Order.Order<A>): Action<Array<A>, E, R>
} = dual(3, <A, E, R>(self: Dataset<A, E, R>, n: number, order: Order.Order<A>): Action<Array<A>, E, R> =>
  ordered(self, "top", n, Order.flip(order))
)

const extreme = <A, E, R>(
  self: Dataset<A, E, R>,
  name: string,
  order: Order.Order<A>
): Action<Option.Option<A>, E, R> => {
  const least = (left: Option.Option<A>, value: A) =>
    Option.isNone(left) || order(value, left.value) < 0 ? Option.some(value) : left
  return folded(self, {
    name,
    zero: () => Option.none<A>(),
    add: (state, values) => values.reduce(least, state),
    merge: (left, right) => (Option.isNone(right) ? left : least(left, right.value)),
    end: (state) => state
  })
}

/**
 * The least element in an order; `None` without elements.
 *
 * @category actions
 * @since 0.1.0
 */
export const min: {
  <A>(order: Order.Order<A>): <E, R>(self: Dataset<A, E, R>) => Action<Option.Option<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>): Action<Option.Option<A>, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>): Action<Option.Option<A>, E, R> =>
  extreme(self, "min", order)
)

/**
 * The greatest element in an order; `None` without elements.
 *
 * @category actions
 * @since 0.1.0
 */
export const max: {
  <A>(order: Order.Order<A>): <E, R>(self: Dataset<A, E, R>) => Action<Option.Option<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>): Action<Option.Option<A>, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>): Action<Option.Option<A>, E, R> =>
  extreme(self, "max", Order.flip(order))
)

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
          if ((bounds[middle] as number) <= value) low = middle
          else high = middle - 1
        }
        counts[low] = (counts[low] as number) + 1
      }
      return counts
    },
    merge: (left, right) => left.map((count, index) => count + (right[index] as number)),
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

/**
 * As {@link aggregate}, but the states of the partitions are merged by `groups` (default 8) tasks before the driver
 * merges what is left: for many partitions or large states. States are plain data or have a codec.
 *
 * @category actions
 * @since 0.1.0
 */
export const treeAggregate: {
  <A, U>(
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U,
    options?: { readonly groups?: number | undefined; readonly codec?: Codec.Codec<U> | undefined }
  ): <E, R>(self: Dataset<A, E, R>) => Action<U, E, R>
  <A, E, R, U>(
    self: Dataset<A, E, R>,
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U,
    options?: { readonly groups?: number | undefined; readonly codec?: Codec.Codec<U> | undefined }
  ): Action<U, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, U>(
    self: Dataset<A, E, R>,
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U,
    options?: { readonly groups?: number | undefined; readonly codec?: Codec.Codec<U> | undefined }
  ): Action<U, E, R> => {
    const states: Dataset<U, E, R> = narrow(self, {
      _tag: "MapPartitions",
      name: "Aggregate",
      oneToOne: false,
      elementwise: false,
      f: (rows: Stream.Stream<A, E, R>) =>
        Stream.fromEffect(
          Effect.suspend(() => {
            let state = zero()
            return Effect.map(
              Stream.runForEachArray(rows, (values) =>
                Effect.sync(() => {
                  for (const value of values) state = add(state, value)
                })
              ),
              () => state
            )
          })
        )
    })
    return checkedAction(
      "treeAggregate",
      optional(options?.groups, (groups) => whole("groups", groups)),
      folded(repartition(states, options?.groups ?? 8, { value: options?.codec }), {
        name: "treeAggregate",
        zero,
        add: (state, values) => values.reduce(merge, state),
        merge,
        end: (state) => state
      })
    )
  }
)

/**
 * How often each element occurs, in the driver's memory.
 *
 * @category actions
 * @since 0.1.0
 */
export const countByValue: <A, E, R, O extends AnyKeyOptions<"key"> | ADataset>(
  self: Dataset<A, E, R> | O,
  options?: KeyOptions<A>
) => [ADataset] extends [O]
  ? Action<HashMap.HashMap<A, number>, E, R>
  : <A extends KeyedBy<O>, E, R>(
      self: Dataset<A, E, R>
    ) => Action<HashMap.HashMap<Decoded<O, "key", A>, number>, E, R> = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(self: Dataset<A, E, R>, options?: KeyOptions<A>): Action<HashMap.HashMap<A, number>, E, R> =>
    counts(narrow(self, { _tag: "Map", f: (value: A) => [value, 1] as const }), "countByValue", options)
)

/**
 * How many pairs each key has, in the driver's memory.
 *
 * @category actions
 * @since 0.1.0
 */
export const countByKey: <K, V, E, R, O extends AnyKeyOptions<"key"> | ADataset>(
  self: Dataset<readonly [K, V], E, R> | O,
  options?: KeyOptions<K>
) => [ADataset] extends [O]
  ? Action<HashMap.HashMap<K, number>, E, R>
  : <K extends KeyedBy<O>, V, E, R>(
      self: Dataset<readonly [K, V], E, R>
    ) => Action<HashMap.HashMap<Decoded<O, "key", K>, number>, E, R> = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    options?: KeyOptions<K>
  ): Action<HashMap.HashMap<K, number>, E, R> =>
    counts(
      narrow(self, { _tag: "Map", keyed: "MapValues", f: ([key]: readonly [K, V]) => [key, 1] as const }),
      "countByKey",
      options
    )
)

const counts = <K, E, R>(
  self: Dataset<readonly [K, number], E, R>,
  name: string,
  options: KeyOptions<K> | undefined
): Action<HashMap.HashMap<K, number>, E, R> =>
  folded(
    reduceByKey(self, (left: number, right: number) => left + right, { ...options, value: undefined }),
    {
      name,
      zero: (): Array<readonly [K, number]> => [],
      add: (state, values) => {
        for (const pair of values) state.push(pair)
        return state
      },
      merge: (left, right) => left.concat(right),
      end: (pairs) => HashMap.fromIterable(pairs)
    }
  )

/**
 * `n` random elements in random order, the same ones for the same seed and partitions: each at most once, or with
 * replacement any number of times. Yields fewer if there are fewer (with replacement, if there are none). One pass.
 *
 * @category actions
 * @since 0.1.0
 */
export const takeSample: {
  (
    n: number,
    options: { readonly seed: number; readonly withReplacement?: boolean | undefined }
  ): <A, E, R>(self: Dataset<A, E, R>) => Action<Array<A>, E, R>
  <A, E, R>(
    self: Dataset<A, E, R>,
    n: number,
    options: { readonly seed: number; readonly withReplacement?: boolean | undefined }
  ): Action<Array<A>, E, R>
} = dual(
  3,
  <A, E, R>(
    self: Dataset<A, E, R>,
    n: number,
    { seed, withReplacement }: { readonly seed: number; readonly withReplacement?: boolean | undefined }
  ): Action<Array<A>, E, R> => {
    // Every element gets a random number; the elements with the least numbers are a sample in random order.
    const order = Order.mapInput(Order.Number, (pair: readonly [number, A]) => pair[0])
    const sample = folded(self, {
      name: `takeSample ${n}`,
      zero: () => ({ count: 0, best: new Best(n, order), next: undefined as (() => number) | undefined }),
      add: (state, values, partition) => {
        const next = (state.next ??= uniform(seed, partition))
        state.count += values.length
        for (const value of values) state.best.add([next(), value])
        return state
      },
      merge: (left, right) => {
        left.count += right.count
        for (const pair of right.best.items) left.best.add(pair)
        return left
      },
      end: ({ best, count }) => {
        const drawn = best.items.toSorted(order).map(([, value]) => value)
        if (withReplacement !== true || drawn.length === 0) return drawn
        // A draw with replacement repeats an element drawn before with a probability of their share of all elements,
        // and otherwise takes a new one.
        const next = uniform(seed, -2)
        let fresh = 1
        return Array.from({ length: n }, (_, index) => {
          if (index === 0 || next() * count < fresh) return drawn[index === 0 ? 0 : Math.floor(next() * fresh)] as A
          return drawn[fresh++] as A
        })
      }
    })
    return checkedAction("takeSample", whole("n", n, 0), sample)
  }
)

/**
 * The approximate number of distinct elements, by HyperLogLog: one pass, a few kilobytes per task. `relativeError`
 * (default 0.05) is the standard deviation of the result relative to the true number.
 *
 * @category actions
 * @since 0.1.0
 */
export const countApproxDistinct: {
  <A>(options?: {
    readonly relativeError?: number | undefined
    readonly codec?: Codec.Codec<A> | undefined
  }): <E, R>(self: Dataset<A, E, R>) => Action<number, E, R>
  <A, E, R>(
    self: Dataset<A, E, R>,
    options?: {
      readonly relativeError?: number | undefined
      readonly codec?: Codec.Codec<A> | undefined
    }
  ): Action<number, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(
    self: Dataset<A, E, R>,
    options?: {
      readonly relativeError?: number | undefined
      readonly codec?: Codec.Codec<A> | undefined
    }
  ): Action<number, E, R> => {
    const codec = codecOr(options?.codec)
    const bits = Math.min(18, Math.max(4, Math.ceil(2 * Math.log2(1.04 / (options?.relativeError ?? 0.05)))))
    const registers = 1 << bits
    const writer = new Writer(256)
    const approx = folded(self, {
      name: "countApproxDistinct",
      zero: () => new Uint8Array(registers),
      add: (ranks, values) => {
        for (const value of values) {
          writer.position = 0
          writer.depth = 0
          writer.canonical = true
          codec.write(value, writer)
          hashBytes(writer.bytes, 0, writer.position)
          const register = prefix.high >>> (32 - bits)
          const rank = Math.clz32(prefix.low) + 1
          if (rank > (ranks[register] as number)) ranks[register] = rank
        }
        return ranks
      },
      merge: (left, right) => left.map((rank, index) => Math.max(rank, right[index] as number)),
      end: (ranks) => {
        let sum = 0
        let empty = 0
        for (const rank of ranks) {
          sum += 2 ** -rank
          if (rank === 0) empty++
        }
        const alpha =
          registers === 16
            ? 0.673
            : registers === 32
              ? 0.697
              : registers === 64
                ? 0.709
                : 0.7213 / (1 + 1.079 / registers)
        const estimate = (alpha * registers * registers) / sum
        // Flajolet's correction for few elements, from the registers that are still empty.
        return Math.round(estimate <= 2.5 * registers && empty > 0 ? registers * Math.log(registers / empty) : estimate)
      }
    })
    // An error of zero cannot be reached.
    const problem = optional(options?.relativeError, (error) => number("relativeError", error, Number.MIN_VALUE, 1))
    return checkedAction("countApproxDistinct", problem, approx)
  }
)
