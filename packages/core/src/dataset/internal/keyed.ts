import { Stream } from "effect"
import { dual } from "effect/Function"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import { abortOn } from "../../task/internal/failures.ts"
import {
  type ADataset,
  type AnyKeyOptions,
  type CodedBy,
  type Decoded,
  type KeyedBy,
  codecOr,
  combined,
  exchange,
  type KeyOptions,
  pairSide,
  partitioningOf,
  wireOf,
  written
} from "./exchange.ts"
import { type Dataset, isDataset, narrow } from "./model.ts"

/**
 * Pairs every element with a key.
 *
 * **Details**
 *
 * Keys, and the elements of `distinct` and the set operations, are equal if Effect's `Equal` says so for plain data:
 * structs, tuples, dates, maps, sets, typed arrays and `Option`s by their content, whatever the order of the fields.
 * `NaN` equals itself and `0` equals `-0`, also inside them; any one of several equal keys may be yielded. `1`, `"1"`,
 * `1n` and `true` differ, and so do `null`, `undefined` and a missing field. Class instances need a codec
 * (`KeyOptions`), and are equal if the bytes that it writes are equal.
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
 * Applies a function to the value of every pair. Keys and partitions stay the same, so a dataset partitioned by key
 * remains so.
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
 * Replaces every pair by one pair per value that the function yields. Keys and partitions stay the same.
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

const combineWith = <K, V, C, E, R>(
  name: string,
  self: Dataset<readonly [K, V], E, R>,
  functions: ReadonlyArray<unknown>,
  aggregator: Shuffle.Aggregator<V, C>,
  options: KeyOptions<K, C> | undefined
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
 * Combines the values of each key, first in every map task and then over all. `create` makes the first state of a key
 * from its first value; the other functions may change their first argument and return it.
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
    options?: KeyOptions<K, C>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, C], E, R>
  <K, V, E, R, C>(
    self: Dataset<readonly [K, V], E, R>,
    functions: {
      readonly create: (value: V) => C
      readonly add: (state: C, value: V) => C
      readonly merge: (left: C, right: C) => C
    },
    options?: KeyOptions<K, C>
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
    options?: KeyOptions<K, C>
  ): Dataset<readonly [K, C], E, R> =>
    combineWith(
      "combineByKey",
      self,
      [create, add, merge],
      {
        create,
        mergeValue: add,
        mergeCombiners: merge,
        codec: codecOr(options?.value)
      },
      options
    )
)

/**
 * Combines the values of each key with an associative function, first in every map task and then over all.
 *
 * **Example** (Counting words)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect, Order } from "effect"
 *
 * const counts = Dataset.make("to be", "or not to be").pipe(
 *   Dataset.flatMap((line) => line.split(" ")),
 *   Dataset.map((word) => [word, 1]),
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
    options?: KeyOptions<K, V>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    f: (left: V, right: V) => V,
    options?: KeyOptions<K, V>
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    f: (left: V, right: V) => V,
    options?: KeyOptions<K, V>
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
 * As {@link reduceByKey}, starting from a zero for each key and map task.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const foldByKey: {
  <V, K>(
    zero: () => V,
    f: (left: V, right: V) => V,
    options?: KeyOptions<K, V>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    zero: () => V,
    f: (left: V, right: V) => V,
    options?: KeyOptions<K, V>
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    zero: () => V,
    f: (left: V, right: V) => V,
    options?: KeyOptions<K, V>
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
 * Folds the values of each key into a state: `add` within each map task, starting from its own zero, then `merge` over
 * all.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const aggregateByKey: {
  <V, C, K>(
    zero: () => C,
    add: (state: C, value: V) => C,
    merge: (left: C, right: C) => C,
    options?: KeyOptions<K, C>
  ): <E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, C], E, R>
  <K, V, E, R, C>(
    self: Dataset<readonly [K, V], E, R>,
    zero: () => C,
    add: (state: C, value: V) => C,
    merge: (left: C, right: C) => C,
    options?: KeyOptions<K, C>
  ): Dataset<readonly [K, C], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R, C>(
    self: Dataset<readonly [K, V], E, R>,
    zero: () => C,
    add: (state: C, value: V) => C,
    merge: (left: C, right: C) => C,
    options?: KeyOptions<K, C>
  ): Dataset<readonly [K, C], E, R> =>
    combineWith(
      "aggregateByKey",
      self,
      [zero, add, merge],
      {
        create: (value) => add(zero(), value),
        mergeValue: add,
        mergeCombiners: merge,
        codec: codecOr(options?.value)
      },
      options
    )
)

/**
 * Every key with a stream of its values, which may be larger than memory.
 *
 * **When to use**
 *
 * Use when all values of a key are needed one after another. If they are combined into one, `reduceByKey` moves far
 * fewer rows.
 *
 * **Gotchas**
 *
 * The stream of a group larger than memory can be read once, and before the next group is taken: work on groups in
 * order, with `Dataset.mapEffect`, and turn them into values before another shuffle, which takes only values.
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
export const groupByKey: <K, V, E, R, O extends AnyKeyOptions<"key" | "value"> | ADataset>(
  self: Dataset<readonly [K, V], E, R> | O,
  options?: KeyOptions<K, V>
) => [ADataset] extends [O]
  ? Dataset<readonly [K, Stream.Stream<V>], E, R>
  : <K extends KeyedBy<O>, V extends CodedBy<O, "value">, E, R>(
      self: Dataset<readonly [K, V], E, R>
    ) => Dataset<readonly [Decoded<O, "key", K>, Stream.Stream<Decoded<O, "value", V>>], E, R> = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    options?: KeyOptions<K, V>
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
)

/**
 * The elements of each key that a function yields, as with {@link groupByKey}.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const groupBy: {
  <A, K>(
    f: (value: A) => K,
    options?: KeyOptions<K, A>
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<readonly [K, Stream.Stream<A>], E, R>
  <A, E, R, K>(
    self: Dataset<A, E, R>,
    f: (value: A) => K,
    options?: KeyOptions<K, A>
  ): Dataset<readonly [K, Stream.Stream<A>], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, K>(
    self: Dataset<A, E, R>,
    f: (value: A) => K,
    options?: KeyOptions<K, A>
  ): Dataset<readonly [K, Stream.Stream<A>], E, R> => groupByKey(keyBy(self, f), options)
)
