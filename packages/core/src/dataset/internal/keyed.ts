import { Effect, type Order, Stream } from "effect"
import { dual } from "effect/Function"
import * as Codec from "../../codec/Codec.ts"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import type { Partitioning } from "../../plan/Plan.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import { number, optional, whole } from "../../codec/internal/checks.ts"
import { abortOn } from "../../plan/internal/wide.ts"
import { poisson, uniform } from "../../task/internal/sampler.ts"
import {
  codecOr,
  combined,
  decodeMany,
  encodeMany,
  exchange,
  type KeyOptions,
  type PairOptions,
  pairSide,
  partitioningOf,
  type Side,
  wireOf,
  written
} from "./exchange.ts"
import { type Dataset, isDataset, narrow } from "./model.ts"

/**
 * Pairs every element with a key.
 *
 * **Details**
 *
 * Keys, and the elements of `distinct` and the sets, are equal when Effect's `Equal` says so of plain data: structs, tuples, dates,
 * maps, sets, typed arrays and `Option`s by what they hold, in whatever order the fields are. `NaN` is equal to itself and `0` to `-0`, also within
 * them (of equal keys any may be yielded). `1`, `"1"`, `1n` and `true` differ, and so do `null`, `undefined` and a field that is not there. Class instances
 * need a codec (`KeyOptions`), and are equal when what it writes is.
 *
 * @category transforming
 * @since 0.1.0
 */
export const keyBy: {
  <A, K>(f: (value: A) => K): <E, R>(self: Dataset<A, E, R>) => Dataset<readonly [K, A], E, R>
  <A, E, R, K>(self: Dataset<A, E, R>, f: (value: A) => K): Dataset<readonly [K, A], E, R>
} = dual(2, <A, E, R, K>(self: Dataset<A, E, R>, f: (value: A) => K): Dataset<readonly [K, A], E, R> =>
  narrow(self, { _tag: "Map", f: (value: A) => [f(value), value] as const })
)

/**
 * Applies a function to the value of every pair. Keys and partitions stay, so what is partitioned by key still is.
 *
 * @category transforming
 * @since 0.1.0
 */
export const mapValues: {
  <V, W>(f: (value: V) => W): <K, E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, W], E, R>
  <K, V, E, R, W>(self: Dataset<readonly [K, V], E, R>, f: (value: V) => W): Dataset<readonly [K, W], E, R>
} = dual(2, <K, V, E, R, W>(self: Dataset<readonly [K, V], E, R>, f: (value: V) => W): Dataset<readonly [K, W], E, R> =>
  narrow(self, { _tag: "Map", keyed: "MapValues", f: (pair: readonly [K, V]) => [pair[0], f(pair[1])] as const })
)

/**
 * Replaces every pair by one for each value the function yields. Keys and partitions stay.
 *
 * @category transforming
 * @since 0.1.0
 */
export const flatMapValues: {
  <V, W>(
    f: (value: V) => Iterable<W>
  ): <K, E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, W], E, R>
  <K, V, E, R, W>(self: Dataset<readonly [K, V], E, R>, f: (value: V) => Iterable<W>): Dataset<readonly [K, W], E, R>
} = dual(
  2,
  <K, V, E, R, W>(self: Dataset<readonly [K, V], E, R>, f: (value: V) => Iterable<W>): Dataset<readonly [K, W], E, R> =>
    narrow(self, {
      _tag: "FlatMap",
      keyed: "FlatMapValues",
      f: ([key, value]: readonly [K, V]) => Array.from(f(value), (item) => [key, item] as const)
    })
)

/**
 * The keys of the pairs.
 *
 * @category transforming
 * @since 0.1.0
 */
export const keys = <K, V, E, R>(self: Dataset<readonly [K, V], E, R>): Dataset<K, E, R> =>
  narrow(self, { _tag: "Map", f: (pair: readonly [K, V]) => pair[0] })

/**
 * The values of the pairs.
 *
 * @category transforming
 * @since 0.1.0
 */
export const values = <K, V, E, R>(self: Dataset<readonly [K, V], E, R>): Dataset<V, E, R> =>
  narrow(self, { _tag: "Map", f: (pair: readonly [K, V]) => pair[1] })

/**
 * What {@link sampleByKey} takes besides the fractions.
 *
 * @category models
 * @since 0.1.0
 */
export interface SampleByKeyOptions {
  readonly seed: number
  /** Take a pair any number of times. Default `false`. */
  readonly withReplacement?: boolean | undefined
}

/**
 * Takes each pair with the probability of its key, or with replacement a Poisson number of times with that mean: 0 for a key that has
 * none. The same pairs for the same seed and partitions. How many are taken of a key varies: {@link sampleByKeyExact} has a number.
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

// A function of the program that yields no fraction has thrown.
const partOf =
  <K>(fraction: (key: K) => number, withReplacement: boolean | undefined) =>
  (key: K): number => {
    const part = fraction(key)
    const problem = number("the fraction of a key", part, 0, withReplacement === true ? undefined : 1)
    if (problem !== undefined) throw new RangeError(problem)
    return part
  }

/**
 * What {@link sampleByKeyExact} takes besides the fractions.
 *
 * @category models
 * @since 0.1.0
 */
export interface SampleByKeyExactOptions<in out K, in out V> extends SampleByKeyOptions, PairOptions<K, V> {}

/**
 * As {@link sampleByKey}, but exactly the fraction of the pairs of each key, rounded up, is taken.
 *
 * **Details**
 *
 * The pairs are moved by key and counted there, so a key may have more of them than memory holds. The same pairs for the same
 * seed and order of the input.
 *
 * @category transforming
 * @since 0.1.0
 */
export const sampleByKeyExact: {
  <K, V>(
    fraction: (key: K) => number,
    options: SampleByKeyExactOptions<K, V>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    fraction: (key: K) => number,
    options: SampleByKeyExactOptions<K, V>
  ): Dataset<readonly [K, V], E, R>
} = dual(
  3,
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    fraction: (key: K) => number,
    options: SampleByKeyExactOptions<K, V>
  ): Dataset<readonly [K, V], E, R> => {
    const key = codecOr(options.key)
    const side = pairSide("sampleByKeyExact", key, codecOr(options.value))
    const draw = options.withReplacement === true ? drawAgain : drawOnce
    const part = partOf(fraction, options.withReplacement)
    // Each key draws from numbers of its own, wherever it is.
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
        // The values of a key twice: they are counted, then drawn from.
        const input = { wire: wireOf(side, source), slice: source.slice }
        return Stream.flatMap(Shuffle.cogroup<K, readonly [V, V]>([input, input]), ([k, [all, values]]) =>
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

// How many times the next of `rows` values is taken when `wanted` of them are: each at most once, every choice as likely (Knuth's
// algorithm S).
const drawOnce = (next: () => number, rows: number, wanted: number) => {
  let rest = rows
  let missing = wanted
  return (): number => {
    if (!(next() * rest-- < missing)) return 0
    missing--
    return 1
  }
}

// The same with replacement: of the draws that are missing each takes the next value with probability 1 / rest.
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
 * What {@link combineByKey} and {@link aggregateByKey} take: how values and what they are combined to are encoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface CombineOptions<in out K, in out C> extends KeyOptions<K> {
  /** Encodes what the values of a key are combined to. Default `Codec.plain`. */
  readonly combined?: Codec.Codec<C> | undefined
}

const combineWith = <K, V, C, E, R>(
  name: string,
  self: Dataset<readonly [K, V], E, R>,
  functions: ReadonlyArray<unknown>,
  aggregator: Shuffle.Aggregator<V, C>,
  options: KeyOptions<K> | undefined
): Dataset<readonly [K, C], E, R> => {
  const key = codecOr(options?.key)
  const side = pairSide(name, key, codecOr<V>(undefined))
  return exchange({
    name,
    detail: "combined before",
    functions,
    inputs: [combined(self, side, aggregator, true)],
    partitioning: partitioningOf(options, key),
    keyed: true,
    read: (sources) =>
      sources[0] === undefined
        ? Stream.empty
        : Shuffle.aggregate(wireOf(side, sources[0]), aggregator, sources[0].slice, {
            combined: true,
            make: (k, c): readonly [K, C] => [k, c]
          })
  })
}

/**
 * Combines the values of each key, in every map task first and then over all. `create` makes the first state of a key of its first
 * value; the others may change their first argument and return it.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const combineByKey: {
  <V, C, K>(
    functions: {
      readonly create: (value: V) => C
      readonly add: (state: C, value: V) => C
      readonly merge: (left: C, right: C) => C
    },
    options?: CombineOptions<K, C>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, C], E, R>
  <K, V, E, R, C>(
    self: Dataset<readonly [K, V], E, R>,
    functions: {
      readonly create: (value: V) => C
      readonly add: (state: C, value: V) => C
      readonly merge: (left: C, right: C) => C
    },
    options?: CombineOptions<K, C>
  ): Dataset<readonly [K, C], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R, C>(
    self: Dataset<readonly [K, V], E, R>,
    {
      add,
      create,
      merge
    }: {
      readonly create: (value: V) => C
      readonly add: (state: C, value: V) => C
      readonly merge: (left: C, right: C) => C
    },
    options?: CombineOptions<K, C>
  ): Dataset<readonly [K, C], E, R> =>
    combineWith(
      "combineByKey",
      self,
      [create, add, merge],
      {
        create,
        mergeValue: add,
        mergeCombiners: merge,
        codec: codecOr(options?.combined)
      },
      options
    )
)

/**
 * Combines the values of each key with an associative function, in every map task first and then over all.
 *
 * **Example** (Counting words)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect, Order } from "effect"
 *
 * const counts = Dataset.make("to be", "or not to be").pipe(
 *   Dataset.flatMap((line) => line.split(" ")),
 *   Dataset.map((word): readonly [string, number] => [word, 1]),
 *   Dataset.reduceByKey((a, b) => a + b),
 *   Dataset.sortByKey(Order.String),
 *   Dataset.collect
 * )
 *
 * await Effect.runPromise(Effect.provide(counts, Engine.layer)) // => [["be", 2], ["not", 1], ["or", 1], ["to", 2]]
 * ```
 *
 * @category shuffling
 * @since 0.1.0
 */
export const reduceByKey: {
  <V, K>(
    f: (left: NoInfer<V>, right: NoInfer<V>) => V,
    options?: PairOptions<K, V>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    f: (left: V, right: V) => V,
    options?: PairOptions<K, V>
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    f: (left: V, right: V) => V,
    options?: PairOptions<K, V>
  ): Dataset<readonly [K, V], E, R> =>
    combineWith(
      "reduceByKey",
      self,
      [f],
      {
        create: (value) => value,
        mergeValue: f,
        mergeCombiners: f,
        codec: codecOr(options?.value)
      },
      options
    )
)

/**
 * As {@link reduceByKey}, from a zero of each key and map task.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const foldByKey: {
  <V, K>(
    zero: () => V,
    f: (left: V, right: V) => V,
    options?: PairOptions<K, V>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    zero: () => V,
    f: (left: V, right: V) => V,
    options?: PairOptions<K, V>
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    zero: () => V,
    f: (left: V, right: V) => V,
    options?: PairOptions<K, V>
  ): Dataset<readonly [K, V], E, R> =>
    combineWith(
      "foldByKey",
      self,
      [zero, f],
      {
        create: (value) => f(zero(), value),
        mergeValue: f,
        mergeCombiners: f,
        codec: codecOr(options?.value)
      },
      options
    )
)

/**
 * Folds the values of each key into a state: `add` within a map task, from a zero of its own, `merge` over all.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const aggregateByKey: {
  <V, C, K>(
    zero: () => C,
    add: (state: C, value: V) => C,
    merge: (left: C, right: C) => C,
    options?: CombineOptions<K, C>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, C], E, R>
  <K, V, E, R, C>(
    self: Dataset<readonly [K, V], E, R>,
    zero: () => C,
    add: (state: C, value: V) => C,
    merge: (left: C, right: C) => C,
    options?: CombineOptions<K, C>
  ): Dataset<readonly [K, C], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R, C>(
    self: Dataset<readonly [K, V], E, R>,
    zero: () => C,
    add: (state: C, value: V) => C,
    merge: (left: C, right: C) => C,
    options?: CombineOptions<K, C>
  ): Dataset<readonly [K, C], E, R> =>
    combineWith(
      "aggregateByKey",
      self,
      [zero, add, merge],
      {
        create: (value) => add(zero(), value),
        mergeValue: add,
        mergeCombiners: merge,
        codec: codecOr(options?.combined)
      },
      options
    )
)

/**
 * Every key with a stream of its values, which may be larger than memory.
 *
 * **When to use**
 *
 * Use when all values of a key are needed one after another. Where they are combined to one, `reduceByKey` moves far less.
 *
 * **Gotchas**
 *
 * The stream of a group larger than memory can be read once, and before the next group is taken: work on groups in order, with
 * `Dataset.mapEffect`, and make values of them before another shuffle, which takes only values.
 *
 * **Example** (The number of values of each key)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect, Stream } from "effect"
 *
 * const sizes = Dataset.make(["a", 1], ["b", 2], ["a", 3]).pipe(
 *   Dataset.groupByKey,
 *   Dataset.mapEffect(([key, values]) => Effect.map(Stream.runCount(values), (n) => `${key} ${n}`)),
 *   Dataset.collect
 * )
 *
 * const sorted = Effect.map(sizes, (lines) => lines.sort())
 *
 * await Effect.runPromise(Effect.provide(sorted, Engine.layer)) // => ["a 2", "b 1"]
 * ```
 *
 * @category shuffling
 * @since 0.1.0
 */
export const groupByKey = <K, V, E, R>(
  self: Dataset<readonly [K, V], E, R>,
  options?: PairOptions<K, V>
): Dataset<readonly [K, Stream.Stream<V>], E, R> => {
  const key = codecOr(options?.key)
  const side = pairSide("groupByKey", key, codecOr(options?.value))
  return exchange({
    name: "groupByKey",
    inputs: [written(self, side, true)],
    partitioning: partitioningOf(options, key),
    keyed: true,
    read: ([source], task) =>
      source === undefined
        ? Stream.empty
        : Stream.map(
            Shuffle.group(wireOf(side, source), source.slice),
            ([k, values]): readonly [K, Stream.Stream<V>] => [k, abortOn(values, task)]
          )
  })
}

/**
 * The elements of each key a function gives, as {@link groupByKey}.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const groupBy: {
  <A, K>(
    f: (value: A) => K,
    options?: PairOptions<K, A>
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<readonly [K, Stream.Stream<A>], E, R>
  <A, E, R, K>(
    self: Dataset<A, E, R>,
    f: (value: A) => K,
    options?: PairOptions<K, A>
  ): Dataset<readonly [K, Stream.Stream<A>], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, K>(
    self: Dataset<A, E, R>,
    f: (value: A) => K,
    options?: PairOptions<K, A>
  ): Dataset<readonly [K, Stream.Stream<A>], E, R> => groupByKey(keyBy(self, f), options)
)

/**
 * How the keys of pairs are encoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyEncodeOptions<in out K> {
  /** Default `Codec.plain`. */
  readonly key?: Codec.Codec<K> | undefined
}

/**
 * {@link KeyEncodeOptions}, and how the values are.
 *
 * @category models
 * @since 0.1.0
 */
export interface EncodeOptions<in out K, in out V> extends KeyEncodeOptions<K> {
  /** Default `Codec.plain`. */
  readonly value?: Codec.Codec<V> | undefined
}

/**
 * Moves every pair to the partition its key belongs to. What is partitioned so already stays where it is.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const partitionBy: {
  <K>(
    partitioner: Partitioner.Partitioner<K>,
    options?: KeyEncodeOptions<K>
  ): <V, E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    partitioner: Partitioner.Partitioner<K>,
    options?: EncodeOptions<K, V>
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    partitioner: Partitioner.Partitioner<K>,
    options?: EncodeOptions<K, V>
  ): Dataset<readonly [K, V], E, R> => {
    const side = pairSide("partitionBy", codecOr(options?.key), codecOr(options?.value))
    return exchange({
      name: "partitionBy",
      inputs: [written(self, side, true)],
      partitioning: { _tag: "Fixed", partitioner },
      onlyMoves: true,
      ordered: true,
      keyed: partitioner._tag !== "RoundRobin",
      read: ([source]) =>
        source === undefined
          ? Stream.empty
          : Shuffle.read(wireOf(side, source), source.slice, (k, v): readonly [K, V] => [k, v])
    })
  }
)

/**
 * Deals the elements out to this many partitions.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const repartition: {
  <A>(
    partitions: number,
    options?: { readonly value?: Codec.Codec<A> | undefined }
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(
    self: Dataset<A, E, R>,
    partitions: number,
    options?: { readonly value?: Codec.Codec<A> | undefined }
  ): Dataset<A, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(
    self: Dataset<A, E, R>,
    partitions: number,
    options?: { readonly value?: Codec.Codec<A> | undefined }
  ): Dataset<A, E, R> => {
    const side: Side<A, undefined, A> = {
      operator: "repartition",
      key: Codec.none,
      value: codecOr(options?.value),
      keyOf: () => undefined,
      valueOf: (row) => row
    }
    return exchange({
      name: "repartition",
      inputs: [written(self, side, false)],
      partitioning: { _tag: "Fixed", partitioner: Partitioner.roundRobin(partitions) },
      ordered: true,
      keyed: false,
      read: ([source]) =>
        source === undefined ? Stream.empty : Shuffle.read(wireOf(side, source), source.slice, (_, value) => value)
    })
  }
)

/**
 * Moves every pair to the partition its key belongs to, and sorts each partition by key.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const repartitionAndSortWithinPartitions: {
  <K>(
    partitioner: Partitioner.Partitioner<K>,
    order: Order.Order<K>,
    options?: KeyEncodeOptions<K>
  ): <V, E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    partitioner: Partitioner.Partitioner<K>,
    order: Order.Order<K>,
    options?: EncodeOptions<K, V>
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    partitioner: Partitioner.Partitioner<K>,
    order: Order.Order<K>,
    options?: EncodeOptions<K, V>
  ): Dataset<readonly [K, V], E, R> => {
    const side = pairSide("repartitionAndSortWithinPartitions", codecOr(options?.key), codecOr(options?.value))
    return exchange({
      name: "repartitionAndSortWithinPartitions",
      functions: [order],
      inputs: [written(self, side, true)],
      partitioning: { _tag: "Fixed", partitioner },
      ordered: true,
      keyed: partitioner._tag !== "RoundRobin",
      read: ([source]) =>
        source === undefined
          ? Stream.empty
          : Shuffle.sort(wireOf(side, source), order, source.slice, (k, v): readonly [K, V] => [k, v])
    })
  }
)

// Keys of a partition, drawn at random, and of how many.
interface KeySample {
  readonly count: number
  readonly keys: Uint8Array
}

// Keys that are looked at for each partition of the result (Spark's `RangePartitioner` takes 20, and three times as many of each input).
const SAMPLE = 60

const rangePartitioning = <A, K>(
  name: string,
  partitions: number | undefined,
  order: Order.Order<K>,
  key: Codec.Codec<K>,
  keyOf: (row: A) => K
): Partitioning => ({
  _tag: "Range",
  given: partitions !== undefined,
  partitions: (upstream) => Math.max(1, partitions ?? upstream),
  sample: (rows: Stream.Stream<A, unknown, unknown>, task) =>
    Effect.suspend(() => {
      const size = SAMPLE * Math.max(1, partitions ?? task.partitions)
      const next = uniform(1, task.partition)
      const keys: Array<K> = []
      let count = 0
      // Algorithm L (Li 1994): skips over rows instead of drawing a number for each.
      let weight = 1
      let skipTo = 0
      return Effect.flatMap(
        Stream.runForEachArray(rows, (values) =>
          Effect.sync(() => {
            const start = count
            count += values.length
            let i = 0
            while (keys.length < size && i < values.length) keys.push(keyOf(values[i++] as A))
            if (keys.length < size) return
            if (skipTo === 0) {
              weight = Math.exp(Math.log(1 - next()) / size)
              skipTo = start + i + Math.floor(Math.log(1 - next()) / Math.log(1 - weight))
            }
            while (skipTo < count) {
              if (skipTo >= start) keys[Math.floor(next() * size)] = keyOf(values[skipTo - start] as A)
              weight *= Math.exp(Math.log(1 - next()) / size)
              skipTo += 1 + Math.floor(Math.log(1 - next()) / Math.log(1 - weight))
            }
          })
        ),
        () => Effect.map(encodeMany(name, key, keys), (bytes): KeySample => ({ count, keys: bytes }))
      )
    }),
  make: (samples, wanted) => {
    const found = samples as ReadonlyArray<KeySample>
    const most = Math.max(1, ...found.map((sample) => sample.count))
    // As many of each input as its share of the rows.
    const sample = found.flatMap(({ count, keys }) => {
      const all = decodeMany(key, keys)
      return all.slice(0, Math.max(1, Math.ceil(all.length * Math.min(1, count / most))))
    })
    return Partitioner.range({ partitions: wanted, sample, order })
  }
})

/**
 * How many partitions a sorted dataset has, and how what it is sorted by is encoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface SortKeyOptions<in out K> {
  /** At most this many, fewer where there are fewer different keys. Default: as many as there are. */
  readonly partitions?: number | undefined
  /** Default `Codec.plain`. */
  readonly key?: Codec.Codec<K> | undefined
}

/**
 * {@link SortKeyOptions}, and how the rows or values are encoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface SortOptions<in out K, in out V> extends SortKeyOptions<K> {
  /** Default `Codec.plain`. */
  readonly value?: Codec.Codec<V> | undefined
}

const sortWith = <A, E, R, K, V>(
  self: Dataset<A, E, R>,
  side: Side<A, K, V>,
  order: Order.Order<K>,
  options: { readonly partitions?: number | undefined } | undefined,
  make: (key: K, value: V) => A,
  functions: ReadonlyArray<unknown>
): Dataset<A, E, R> =>
  exchange({
    name: side.operator,
    functions,
    inputs: [written(self, side, false)],
    partitioning: rangePartitioning(side.operator, options?.partitions, order, side.key, side.keyOf),
    problem: optional(options?.partitions, (partitions) => whole("partitions", partitions)),
    ordered: true,
    keyed: false,
    read: ([source]) =>
      source === undefined ? Stream.empty : Shuffle.sort(wireOf(side, source), order, source.slice, make)
  })

/**
 * Sorts the elements, over all partitions, by a key. Equal keys keep their order.
 *
 * **Details**
 *
 * Several keys are one tuple with the order of a tuple. A stage that samples the keys runs first, so the steps before run twice.
 *
 * **Example** (By length, then by letters)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect, Order } from "effect"
 *
 * const sorted = Dataset.make("bb", "c", "aa", "a").pipe(
 *   Dataset.sortBy((word) => [word.length, word] as const, Order.Tuple([Order.Number, Order.String])),
 *   Dataset.collect
 * )
 *
 * await Effect.runPromise(Effect.provide(sorted, Engine.layer)) // => ["a", "c", "aa", "bb"]
 * ```
 *
 * @category shuffling
 * @since 0.1.0
 */
export const sortBy: {
  <A, K>(
    f: (value: A) => K,
    order: Order.Order<K>,
    options?: SortOptions<K, A>
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R, K>(
    self: Dataset<A, E, R>,
    f: (value: A) => K,
    order: Order.Order<K>,
    options?: SortOptions<K, A>
  ): Dataset<A, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, K>(
    self: Dataset<A, E, R>,
    f: (value: A) => K,
    order: Order.Order<K>,
    options?: SortOptions<K, A>
  ): Dataset<A, E, R> =>
    sortWith(
      self,
      {
        operator: "sortBy",
        key: codecOr(options?.key),
        value: codecOr(options?.value),
        keyOf: f,
        valueOf: (row) => row
      },
      order,
      options,
      (_, row) => row,
      [f, order]
    )
)

/**
 * Sorts the elements themselves, over all partitions.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const sort: {
  <A>(order: Order.Order<A>, options?: SortKeyOptions<A>): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>, options?: SortKeyOptions<A>): Dataset<A, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>, options?: SortKeyOptions<A>): Dataset<A, E, R> =>
    sortWith(
      self,
      {
        operator: "sort",
        key: codecOr(options?.key),
        value: Codec.none,
        keyOf: (row: A) => row,
        valueOf: () => undefined
      },
      order,
      options,
      (row) => row,
      [order]
    )
)

/**
 * Sorts pairs by their keys, over all partitions. Equal keys keep their order.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const sortByKey: {
  <K>(
    order: Order.Order<K>,
    options?: SortKeyOptions<K>
  ): <V, E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    order: Order.Order<K>,
    options?: SortOptions<K, V>
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    order: Order.Order<K>,
    options?: SortOptions<K, V>
  ): Dataset<readonly [K, V], E, R> =>
    sortWith(
      self,
      pairSide("sortByKey", codecOr(options?.key), codecOr(options?.value)),
      order,
      options,
      (key, value): readonly [K, V] => [key, value],
      [order]
    )
)

/**
 * Each different element once.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const distinct = <A, E, R>(self: Dataset<A, E, R>, options?: KeyOptions<A>): Dataset<A, E, R> => {
  const key = codecOr(options?.key)
  const side: Side<A, A, undefined> = {
    operator: "distinct",
    key,
    value: Codec.none,
    keyOf: (row) => row,
    valueOf: () => undefined
  }
  const nothing: Shuffle.Aggregator<undefined, undefined> = {
    create: () => undefined,
    mergeValue: () => undefined,
    mergeCombiners: () => undefined,
    codec: Codec.none
  }
  return exchange({
    name: "distinct",
    detail: "combined before",
    inputs: [combined(self, side, nothing, false)],
    partitioning: partitioningOf(options, key),
    keyed: false,
    read: ([source]) =>
      source === undefined
        ? Stream.empty
        : Shuffle.aggregate(wireOf(side, source), nothing, source.slice, { combined: true, make: (row) => row })
  })
}

const setOf = <A, E, R, B, E2, R2>(
  name: string,
  self: Dataset<A, E, R>,
  that: Dataset<B, E2, R2>,
  options: KeyOptions<A | B> | undefined,
  keep: (left: number, right: number) => number
): Dataset<A, E | E2, R | R2> => {
  const key = codecOr(options?.key)
  const side: Side<A | B, A | B, undefined> = {
    operator: name,
    key,
    value: Codec.none,
    keyOf: (row) => row,
    valueOf: () => undefined
  }
  return exchange({
    name,
    inputs: [written(self, side, false), written(that, side, false)],
    partitioning: partitioningOf(options, key),
    keyed: false,
    read: ([first, second]) =>
      first === undefined || second === undefined
        ? Stream.empty
        : Stream.flatMap(
            Shuffle.cogroup<A | B, readonly [undefined, undefined]>([
              { wire: wireOf(side, first), slice: first.slice },
              { wire: wireOf(side, second), slice: second.slice }
            ]),
            ([row, [left, right]]) =>
              Stream.unwrap(
                Effect.map(Effect.all([Stream.runCount(left), Stream.runCount(right)]), ([l, r]) =>
                  // Counted from the first dataset, whose type it has.
                  Stream.fromIterable(Array.from({ length: keep(l, r) }, () => row as A))
                )
              )
          )
  })
}

/**
 * The elements that both datasets have, each once.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const intersection: {
  <B, E2, R2>(
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<unknown>
  ): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E | E2, R | R2>
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<A | B>
  ): Dataset<A, E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]) && isDataset(args[1]),
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<A | B>
  ): Dataset<A, E | E2, R | R2> => setOf("intersection", self, that, options, (l, r) => (l > 0 && r > 0 ? 1 : 0))
)

/**
 * The elements that the other dataset does not have, as often as they are there.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const subtract: {
  <B, E2, R2>(
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<unknown>
  ): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E | E2, R | R2>
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<A | B>
  ): Dataset<A, E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]) && isDataset(args[1]),
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<A | B>
  ): Dataset<A, E | E2, R | R2> => setOf("subtract", self, that, options, (l, r) => (r > 0 ? 0 : l))
)
