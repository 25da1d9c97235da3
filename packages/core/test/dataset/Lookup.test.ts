import { Dataset, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Order } from "effect"
import { pairsOf, roomy } from "../support/engines.ts"

const rows = Array.from({ length: 40 }, (_, i) => [i % 10, i] as const)

/** The values of a key, and how many partitions were read for them. */
const reading = <V, E, R>(dataset: Dataset.Dataset<readonly [number, V], E, R>, key: number) =>
  Effect.gen(function* () {
    const read = new Set<number>()
    const watched = Dataset.filter(dataset, ([key]) => {
      read.add(key)
      return true
    })
    const values = yield* Dataset.lookup(watched, key)
    return { values, keys: read.size }
  })

describe("lookup", () => {
  it.effect(
    "yields the values of a key in their order, and none for a missing key (PairRDDFunctionsSuite: lookup)",
    () =>
      Effect.gen(function* () {
        const pairs = pairsOf(rows, 4)
        assert.deepStrictEqual(yield* Dataset.lookup(pairs, 3), [3, 13, 23, 33])
        assert.deepStrictEqual(yield* Dataset.lookup(pairs, 77), [])
        assert.deepStrictEqual(yield* Dataset.lookup(Dataset.fromIterable<readonly [number, number]>([]), 1), [])
        assert.deepStrictEqual((yield* reading(pairs, 3)).keys, 10)
      }).pipe(Effect.provide(roomy))
  )

  it.effect(
    "of a dataset partitioned by key reads the key's partition only (PairRDDFunctionsSuite: lookup with partitioner)",
    () =>
      Effect.gen(function* () {
        const sums = Dataset.reduceByKey(pairsOf(rows, 4), (a, b) => a + b)
        const fixed = Dataset.reduceByKey(pairsOf(rows, 4), (a, b) => a + b, { partitions: 7 })
        for (const dataset of [
          sums,
          fixed,
          Dataset.mapValues(sums, (n) => n),
          Dataset.cache(fixed),
          Dataset.persist(fixed, "disk")
        ]) {
          for (let key = 0; key < 10; key++) {
            const { keys, values } = yield* reading(dataset, key)
            assert.deepStrictEqual(values, [4 * key + 60])
            assert.isBelow(keys, 10)
          }
        }
        assert.deepStrictEqual(yield* Dataset.lookup(fixed, -1), [])
      }).pipe(Effect.provide(roomy))
  )

  it.effect("reads every partition where the keys may be anywhere", () =>
    Effect.gen(function* () {
      const sums = Dataset.reduceByKey(pairsOf(rows, 4), (a, b) => a + b)
      const moved = Dataset.map(sums, ([key, sum]) => [9 - key, sum] as const)
      const sorted = Dataset.sortBy(sums, ([key]) => key, Order.Number, { partitions: 3 })
      const joined = Dataset.join(sums, pairsOf([[3, "three"]], 1))
      assert.deepStrictEqual(yield* Dataset.lookup(moved, 0), [96])
      assert.deepStrictEqual(yield* Dataset.lookup(sorted, 8), [92])
      assert.deepStrictEqual(yield* Dataset.lookup(joined, 3), [[72, "three"]])
      assert.deepStrictEqual(yield* Dataset.lookup(Dataset.union(sums, sums), 1), [64, 64])
    }).pipe(Effect.provide(roomy))
  )

  it.effect("finds keys whose partition is out of range (PairRDDFunctionsSuite: lookup with bad partitioner)", () =>
    Effect.gen(function* () {
      for (const partition of [-1, -7, 2.5, 5, Number.NaN, Infinity]) {
        const odd = Dataset.partitionBy(
          pairsOf(rows, 4),
          Partitioner.make(`always ${partition}`, 3, () => partition)
        )
        assert.deepStrictEqual(yield* Dataset.lookup(odd, 3), [3, 13, 23, 33])
        assert.strictEqual((yield* reading(odd, 77)).keys, 10)
      }
    }).pipe(Effect.provide(roomy))
  )

  it.effect("of a key that has no bytes is a typed error where the keys' partition is asked for", () =>
    Effect.gen(function* () {
      const keyed = Dataset.map(pairsOf(rows, 4), ([key, n]): readonly [unknown, number] => [key, n])
      const moved = Dataset.partitionBy(keyed, Partitioner.hash(3))
      const error = yield* Effect.flip(Dataset.lookup(moved, { onClick: () => 1 }))
      assert.strictEqual(error.reason._tag, "ShuffleFailed")
      assert.include(error.message, "lookup: row.onClick: a function")
      assert.deepStrictEqual(yield* Dataset.lookup(keyed, { onClick: () => 1 }), [])
    }).pipe(Effect.provide(roomy))
  )
})
