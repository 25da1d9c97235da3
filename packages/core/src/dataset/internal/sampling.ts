import { Effect, Order, Stream } from "effect"
import { dual } from "effect/Function"
import type { Action } from "../../engine/Action.ts"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import { number, whole } from "../../codec/internal/checks.ts"
import { poisson, uniform } from "../../task/internal/sampler.ts"
import { all, folded } from "./action.ts"
import { Best } from "./best.ts"
import { checked, checkedAction } from "./checked.ts"
import { codecOr, exchange, type KeyOptions, pairSide, partitioningOf, wireOf, written } from "./exchange.ts"
import { type Dataset, narrow } from "./model.ts"

/**
 * A random part of the elements, the same one for the same seed and partitions.
 *
 * **Details**
 *
 * Without replacement, each element is taken with probability `fraction` (0 to 1); with replacement, a Poisson number
 * of times with that mean (`fraction` may be above 1). The size of the sample varies.
 *
 * @category transforming
 * @since 0.1.0
 */
export const sample: {
  (options: SampleOptions): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, options: SampleOptions): Dataset<A, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, options: SampleOptions): Dataset<A, E, R> =>
  checked("sample", number("fraction", options.fraction, 0, options.withReplacement === true ? undefined : 1), () =>
    narrow(self, {
      _tag: "Sample",
      fraction: options.fraction,
      seed: options.seed,
      withReplacement: options.withReplacement ?? false
    })
  )
)

/**
 * What {@link sample} takes.
 *
 * @category models
 * @since 0.1.0
 */
export interface SampleOptions {
  readonly fraction: number
  readonly seed: number
  readonly withReplacement?: boolean | undefined
}

/**
 * What {@link sampleByKey} and {@link sampleByKeyExact} take besides the fractions.
 *
 * @category models
 * @since 0.1.0
 */
export interface SampleByKeyOptions {
  readonly seed: number
  /** Whether a pair may be taken more than once. Default `false`. */
  readonly withReplacement?: boolean | undefined
}

/**
 * Takes each pair with the probability of its key, or with replacement a Poisson number of times with that mean; a key
 * without a fraction has 0. The same seed and partitions give the same pairs. How many pairs of a key are taken varies:
 * {@link sampleByKeyExact} takes an exact number.
 *
 * @category transforming
 * @since 0.1.0
 */
export const sampleByKey: {
  <K>(
    fraction: (key: K) => number,
    options: SampleByKeyOptions
  ): <V, E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    fraction: (key: K) => number,
    options: SampleByKeyOptions
  ): Dataset<readonly [K, V], E, R>
} = dual(
  3,
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    fraction: (key: K) => number,
    { seed, withReplacement }: SampleByKeyOptions
  ): Dataset<readonly [K, V], E, R> =>
    narrow(self, {
      _tag: "MapPartitions",
      name: `SampleByKey seed ${seed}`,
      oneToOne: false,
      elementwise: false,
      f: (rows: Stream.Stream<readonly [K, V], E, R>, task) => {
        const next = uniform(seed, task.partition)
        const part = partOf(fraction, withReplacement)
        return withReplacement === true
          ? Stream.flattenIterable(
              Stream.map(rows, (pair) => Array.from({ length: poisson(next, part(pair[0])) }, () => pair))
            )
          : Stream.filter(rows, ([key]) => next() < part(key))
      }
    })
)

// A function of the program that does not yield a fraction counts as one that threw.
const partOf =
  <K>(fraction: (key: K) => number, withReplacement: boolean | undefined) =>
  (key: K): number => {
    const part = fraction(key)
    const problem = number("the fraction of a key", part, 0, withReplacement === true ? undefined : 1)
    if (problem !== undefined) throw new RangeError(problem)
    return part
  }

/**
 * As {@link sampleByKey}, but exactly the fraction of the pairs of each key, rounded up, is taken.
 *
 * **Details**
 *
 * The pairs are moved by key and counted there, so a key may have more pairs than fit into memory. The same seed and
 * order of the input give the same pairs.
 *
 * @category transforming
 * @since 0.1.0
 */
export const sampleByKeyExact: {
  <K, V>(
    fraction: (key: K) => number,
    options: SampleByKeyOptions & KeyOptions<K, V>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    fraction: (key: K) => number,
    options: SampleByKeyOptions & KeyOptions<K, V>
  ): Dataset<readonly [K, V], E, R>
} = dual(
  3,
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    fraction: (key: K) => number,
    options: SampleByKeyOptions & KeyOptions<K, V>
  ): Dataset<readonly [K, V], E, R> => {
    const key = codecOr(options.key)
    const side = pairSide("sampleByKeyExact", key, codecOr(options.value))
    const draw = options.withReplacement === true ? drawAgain : drawOnce
    const part = partOf(fraction, options.withReplacement)
    // Each key has its own sequence of random numbers, in whichever partition it is.
    const stream = Partitioner.hash(2 ** 31, { codec: key })
    return exchange({
      name: "sampleByKeyExact",
      detail: `seed ${options.seed}`,
      functions: [fraction],
      inputs: [written(self, side, true)],
      partitioning: partitioningOf(options, key),
      keyed: true,
      read: ([source]) => {
        if (source === undefined) return Stream.empty
        // The values of a key are read twice: first to count them, then to draw from them.
        const input = { wire: wireOf(side, source), slice: source.slice }
        return Stream.flatMap(
          Shuffle.cogroup<K, readonly [V, V]>([input, input]),
          ({ key: k, values: [all, values] }) =>
            Stream.unwrap(
              Effect.map(Stream.runCount(all), (count) => {
                const times = draw(uniform(options.seed, stream.partition(k)), count, Math.ceil(count * part(k)))
                return Stream.flattenIterable(
                  Stream.map(values, (value) => Array.from({ length: times() }, (): readonly [K, V] => [k, value]))
                )
              })
            )
        )
      }
    })
  }
)

// How many times the next of `rows` values is taken if `wanted` of them are: each at most once, every choice equally
// likely (Knuth's algorithm S).
const drawOnce = (next: () => number, rows: number, wanted: number) => {
  let rest = rows
  let missing = wanted
  return (): number => {
    if (!(next() * rest-- < missing)) return 0
    missing--
    return 1
  }
}

// The same with replacement: each missing draw takes the next value with probability 1 / rest.
const drawAgain = (next: () => number, rows: number, wanted: number) => {
  let rest = rows
  let missing = wanted
  return (): number => {
    const share = 1 / rest--
    let times = 0
    if (share === 1) times = missing
    // Skips over the draws that take another value.
    else for (let at = skip(next, share); at < missing; at += 1 + skip(next, share)) times++
    missing -= times
    return times
  }
}

// How many times something with this probability does not happen before it does.
const skip = (next: () => number, share: number): number => Math.floor(Math.log1p(-next()) / Math.log1p(-share))

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
    const zero = (): Drawing<A> => ({ count: 0, best: new Best(n, order), next: undefined })
    const sample = folded(self, {
      name: `takeSample ${n}`,
      zero,
      add: (state, values, partition) => {
        const next = (state.next ??= uniform(seed, partition))
        state.count += values.length
        for (const value of values) state.best.add([next(), value])
        return state
      },
      merge: (left, right) => {
        left.count += right.count
        left.best.addAll(right.best.sorted())
        return left
      },
      end: ({ best, count }) => {
        const drawn = best.sorted().map(([, value]) => value)
        return withReplacement === true && drawn.length > 0 ? drawnAgain(drawn, n, count, uniform(seed, -2)) : drawn
      }
    })
    return checkedAction("takeSample", whole("n", n, 0), sample)
  }
)

// A sample of a partition, or of several.
interface Drawing<A> {
  /** The number of elements that it was drawn from. */
  count: number
  readonly best: Best<readonly [number, A]>
  /** The random numbers of the partition, from its first element on. */
  next: (() => number) | undefined
}

// `n` elements drawn with replacement out of `count`. `drawn` has as many distinct elements as are possible among them, in
// random order. A draw repeats an element drawn before with a probability of their share of all elements, and otherwise
// takes a new one.
const drawnAgain = <A>(drawn: ReadonlyArray<A>, n: number, count: number, next: () => number): Array<A> => {
  let fresh = 0
  return all(n).flatMap(() => {
    const index = fresh > 0 && next() * count < fresh ? Math.floor(next() * fresh) : fresh++
    return drawn.slice(index, index + 1)
  })
}
