import { Dataset, type Engine, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as fc from "fast-check"
import { holds, pairsOf, partitioned, roomy, sameElements } from "./wide.ts"

const on = <A, E>(name: string, effect: () => Effect.Effect<A, E, Engine.Engine>) =>
  it.live(name, () => Effect.provide(effect(), roomy))

describe("partitioning", () => {
  it.live(
    "repartition and partitionBy move every element once",
    () =>
      holds(fc.tuple(partitioned(fc.tuple(fc.integer(), fc.string())), fc.integer({ min: 1, max: 9 })), ([one, n]) =>
        Effect.gen(function* () {
          const dealt = yield* Dataset.collect(Dataset.glom(Dataset.repartition(one.dataset, n)))
          assert.strictEqual(dealt.length, n)
          sameElements(dealt.flat(), one.rows)
          const by = Partitioner.hash<number>(n)
          const parts = yield* Dataset.collect(Dataset.glom(Dataset.partitionBy(one.dataset, by)))
          sameElements(parts.flat(), one.rows)
          parts.forEach((part, index) => part.forEach(([key]) => assert.strictEqual(by.partition(key), index)))
        })
      ),
    60_000
  )

  on("PartitioningSuite: partitioner equality and what keeps it", () =>
    Effect.gen(function* () {
      const pairs = pairsOf([
        [1, 1],
        [2, 2],
        [3, 3]
      ])
      const once = Dataset.partitionBy(pairs, Partitioner.hash(3))
      assert.include(
        yield* Dataset.explain(Dataset.partitionBy(once, Partitioner.hash(3))),
        "in place already, nothing moves"
      )
      assert.notInclude(yield* Dataset.explain(Dataset.partitionBy(once, Partitioner.hash(4))), "in place already")
      const reduced = Dataset.reduceByKey(pairs, (a, b) => a + b)
      assert.include(yield* Dataset.explain(Dataset.groupByKey(Dataset.mapValues(reduced, String))), "in place already")
      assert.notInclude(
        yield* Dataset.explain(Dataset.groupByKey(Dataset.map(reduced, (pair) => pair))),
        "in place already"
      )
    })
  )

  on("PartitioningSuite: the larger partitioner is taken", () =>
    Effect.gen(function* () {
      const four = Dataset.reduceByKey(
        pairsOf([
          [1, 1],
          [2, 2]
        ]),
        (a, b) => a + b,
        { partitions: 4 }
      )
      const plan = yield* Dataset.explain(Dataset.join(pairsOf([[1, "x"]]), four))
      assert.match(plan, /join by hash in 4, from stage \d and in place already/)
    })
  )

  on("zip pairs by position, and refuses what does not fit", () =>
    Effect.gen(function* () {
      const numbers = Dataset.range(0, 10, { partitions: 3 })
      const texts = Dataset.map(numbers, String)
      assert.deepStrictEqual((yield* Dataset.collect(Dataset.zip(numbers, texts)))[7], [7, "7"])
      const other = yield* Effect.flip(Dataset.collect(Dataset.zip(numbers, Dataset.range(0, 10, { partitions: 2 }))))
      assert.strictEqual(other.reason._tag, "InvalidPlan")
      assert.include(other.message, "3 and 2 partitions")
      const uneven = yield* Effect.flip(Dataset.collect(Dataset.zip(numbers, Dataset.range(0, 11, { partitions: 3 }))))
      assert.strictEqual(uneven.reason._tag, "InvalidPlan")
    })
  )

  on("RDDSuite: zipPartitions", () =>
    Effect.gen(function* () {
      const one = Dataset.range(1, 5, { partitions: 2 })
      const two = Dataset.map(one, String)
      const zipped = Dataset.zipPartitions(one, two, (numbers, texts) => Stream.concat(numbers, texts))
      assert.deepStrictEqual(yield* Dataset.collect(zipped), [1, 2, "1", "2", 3, 4, "3", "4"])
    })
  )

  on("RDDSuite: randomSplit parts are disjoint and whole", () =>
    Effect.gen(function* () {
      const numbers = Dataset.range(0, 2000, { partitions: 3 })
      const parts = yield* Effect.forEach(Dataset.randomSplit(numbers, [1, 2, 7], 42), (part) => Dataset.collect(part))
      assert.deepStrictEqual(
        parts.flat().toSorted((a, b) => a - b),
        Array.from({ length: 2000 }, (_, i) => i)
      )
      assert.isAbove(parts[2]!.length, 1300)
      assert.isAbove(parts[1]!.length, 300)
    })
  )

  on("glom, more partitions than rows", () =>
    Effect.gen(function* () {
      const parts = yield* Dataset.collect(Dataset.glom(Dataset.fromIterable([1, 2], { partitions: 4 })))
      assert.deepStrictEqual(parts, [[], [1], [], [2]])
    })
  )

  on("many partitions over few rows", () =>
    Effect.gen(function* () {
      const sums = Dataset.reduceByKey(
        pairsOf([
          [1, 1],
          [2, 2],
          [1, 3]
        ]),
        (a, b) => a + b,
        { partitions: 5000 }
      )
      sameElements(yield* Dataset.collect(sums), [
        [1, 4],
        [2, 2]
      ])
    })
  )

  on("a union of a union with itself, time after time, is a graph", () =>
    Effect.gen(function* () {
      let dataset: Dataset.Dataset<number> = Dataset.fromIterable<number>([], { partitions: 0 })
      for (let i = 0; i < 30; i++) dataset = Dataset.union(dataset, dataset)
      assert.strictEqual(yield* Dataset.count(dataset), 0)
      assert.isBelow((yield* Dataset.explain(dataset)).length, 30_000)
      assert.isBelow(Dataset.toMermaid(dataset).length, 10_000)
    })
  )
})
