import { Effect, Order, Stream } from "effect"
import { dual } from "effect/Function"
import * as Codec from "../../codec/Codec.ts"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import type { Partitioning } from "../../plan/Plan.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import { optional, whole } from "../../codec/internal/checks.ts"
import type { TextRows } from "../../codec/internal/lines.ts"
import { sortLines, writeLines } from "../../shuffle/internal/lines.ts"
import type { Reader, Writer } from "../../task/internal/exchange.ts"
import { type Sampling, uniform } from "../../task/internal/sampler.ts"
import {
  codecOr,
  decodeMany,
  encodeMany,
  exchange,
  type KeyOptions,
  pairSide,
  type Side,
  wireOf,
  written
} from "./exchange.ts"
import { type Dataset, isDataset } from "./model.ts"
import { Reservoir } from "./reservoir.ts"

// Keys of a partition, drawn at random, and the number of keys that they were drawn from.
interface KeySample {
  readonly count: number
  readonly keys: Uint8Array
}

// Keys sampled for each partition of the result (Spark's `RangePartitioner` takes 20, and three times as many from each
// input), and places of the input that they come from, if they do not come from all of it. Neighbours in the input may
// be neighbours in the result, so that a place is no more than one key of a sample.
const SAMPLE = 60
const PLACES = 24

// Draws from places in the input, if it can be read that way and they have enough rows, and otherwise from all of it.
const drawnFrom = <K, E, R>(
  sampling: Sampling | undefined,
  places: number,
  draw: Effect.Effect<Pick<Reservoir<never, K>, "count" | "kept">, E, R>,
  enough: number
) => {
  if (sampling === undefined) return draw
  sampling.places = places
  return Effect.flatMap(draw, ({ count, kept }) => {
    const { bytes, bytesOfPlaces } = sampling
    if (bytesOfPlaces === bytes || count >= enough) {
      return Effect.succeed({ count: bytes === 0 ? count : Math.round((count * bytes) / bytesOfPlaces), kept })
    }
    sampling.places = undefined
    return draw
  })
}

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
  sample: (rows: Stream.Stream<A, unknown, unknown>, task, wanted) =>
    Effect.suspend(() => {
      const places = Math.max(16, Math.ceil((PLACES * wanted) / task.partitions))
      const draw = Effect.suspend(() => {
        const drawn = new Reservoir(SAMPLE * wanted, uniform(1, task.partition), keyOf)
        return Effect.as(
          Stream.runForEachArray(rows, (values) => Effect.sync(() => drawn.add(values))),
          drawn
        )
      })
      return Effect.flatMap(drawnFrom(task.sampling, places, draw, SAMPLE * wanted), ({ count, kept }) =>
        Effect.map(encodeMany(name, key, kept), (keys): KeySample => ({ count, keys }))
      )
    }),
  make: (samples: ReadonlyArray<KeySample>, wanted) => {
    const most = Math.max(1, ...samples.map((sample) => sample.count))
    // From each input in proportion to its rows.
    const sample = samples.flatMap(({ count, keys }) => {
      const all = decodeMany(key, keys)
      return all.slice(0, Math.max(1, Math.ceil(all.length * Math.min(1, count / most))))
    })
    return Partitioner.range({ partitions: wanted, sample, order })
  }
})

const sortWith = <A, E, R, K, V>(
  self: Dataset<A, E, R>,
  side: Side<A, K, V>,
  order: Order.Order<K>,
  options: Pick<KeyOptions<K>, "partitions"> | undefined,
  make: (key: K, value: V) => A,
  functions: ReadonlyArray<unknown>,
  lines?: { readonly writer: Writer; readonly reader: Reader }
): Dataset<A, E, R> =>
  exchange({
    name: side.operator,
    functions,
    inputs: [{ ...written(self, side, false), lines: lines?.writer }],
    lines: lines?.reader,
    partitioning: rangePartitioning(side.operator, options?.partitions, order, side.key, side.keyOf),
    problem: optional(options?.partitions, (partitions) => whole("partitions", partitions)),
    ordered: true,
    keyed: false,
    read: ([source]) =>
      source === undefined ? Stream.empty : Shuffle.sort(wireOf(side, source), order, source.slice, make)
  })

// Rows of text sort by the bytes that they have in a file or in a shuffle.
const linesOf = (operator: string): { readonly writer: Writer; readonly reader: Reader } => ({
  writer: {
    write: (
      // The rows of a sort go by range.
      to: Parameters<Writer["write"]>[0] & { readonly partitioner: Partitioner.RangePartitioner<string> },
      rows: Stream.Stream<TextRows, unknown, unknown>
    ) => writeLines({ id: to.id, operator, partitioner: to.partitioner }, to, rows)
  },
  reader: {
    read: ([source]) => (source === undefined ? Stream.empty : sortLines({ id: source.id, operator }, source.slice))
  }
})

const isByUnits = (order: unknown): boolean => order === Order.String

/**
 * Sorts the elements, over all partitions, by a key. Equal keys keep their order.
 *
 * **Details**
 *
 * The result has at most `partitions` partitions, and fewer if there are fewer distinct keys. Default: the number of
 * the input. To sort by several keys, use a tuple with the order of a tuple. A stage that samples the keys runs first.
 * It reads large text files in many places and everything else whole, so the steps before run twice for the rows that
 * it reads. Accumulators count such a row once.
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
    options?: Omit<KeyOptions<K, A>, "partitioner">
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R, K>(
    self: Dataset<A, E, R>,
    f: (value: A) => K,
    order: Order.Order<K>,
    options?: Omit<KeyOptions<K, A>, "partitioner">
  ): Dataset<A, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, K>(
    self: Dataset<A, E, R>,
    f: (value: A) => K,
    order: Order.Order<K>,
    options?: Omit<KeyOptions<K, A>, "partitioner">
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
 * Sorts the elements themselves, over all partitions; `partitions` as in {@link sortBy}.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const sort: {
  <A>(
    order: Order.Order<A>,
    options?: Omit<KeyOptions<A>, "partitioner">
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(
    self: Dataset<A, E, R>,
    order: Order.Order<A>,
    options?: Omit<KeyOptions<A>, "partitioner">
  ): Dataset<A, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(
    self: Dataset<A, E, R>,
    order: Order.Order<A>,
    options?: Omit<KeyOptions<A>, "partitioner">
  ): Dataset<A, E, R> =>
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
      [order],
      options?.key === undefined && isByUnits(order) ? linesOf("sort") : undefined
    )
)

/**
 * Sorts pairs by their keys, over all partitions. Equal keys keep their order; `partitions` as in {@link sortBy}.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const sortByKey: {
  <K>(
    order: Order.Order<K>,
    options?: Omit<KeyOptions<K>, "partitioner">
  ): <V, E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    order: Order.Order<K>,
    options?: Omit<KeyOptions<K, V>, "partitioner">
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    order: Order.Order<K>,
    options?: Omit<KeyOptions<K, V>, "partitioner">
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
