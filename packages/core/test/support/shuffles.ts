/** Shuffles of pairs of plain data. */
import { Effect, Stream } from "effect"
import * as Codec from "../../src/codec/Codec.ts"
import type * as Partitioner from "../../src/shuffle/Partitioner.ts"
import * as Shuffle from "../../src/shuffle/Shuffle.ts"

export type Pair = readonly [key: unknown, value: unknown]

export const exchange = (
  partitioner: Partitioner.Partitioner<unknown>,
  id = "job-1"
): Shuffle.Exchange<Pair, unknown, unknown> => ({
  id,
  operator: "groupByKey",
  partitioner,
  key: Codec.plain,
  value: Codec.plain,
  keyOf: (row) => row[0],
  valueOf: (row) => row[1]
})

export const pair = (key: unknown, value: unknown): Pair => [key, value]

/** Writes every array as a map task, in chunks of a few rows. */
export const writeAll = (over: Shuffle.Exchange<Pair, unknown, unknown>, maps: ReadonlyArray<ReadonlyArray<Pair>>) =>
  Effect.forEach(maps, (rows, map) =>
    Shuffle.write(over, { map, attempt: 0 }, Stream.rechunk(Stream.fromArray(rows), 7))
  )

export const slices = (statuses: ReadonlyArray<Shuffle.MapStatus>, partitions: number): ReadonlyArray<Shuffle.Slice> =>
  Array.from({ length: partitions }, (_, from) => ({ statuses, from, to: from + 1 }))

export const sizeOf = (parts: ReadonlyArray<Uint8Array>): number => parts.reduce((sum, part) => sum + part.length, 0)

/** All values of a key. */
export const list: Shuffle.Aggregator<unknown, Array<unknown>> = {
  create: (value) => [value],
  mergeValue: (values, value) => {
    values.push(value)
    return values
  },
  mergeCombiners: (a, b) => [...a, ...b],
  codec: Codec.plain as unknown as Codec.Codec<Array<unknown>>
}
