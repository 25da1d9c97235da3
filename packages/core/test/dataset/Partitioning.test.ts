import { Dataset, type Engine, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Order, Stream } from "effect"
import * as fc from "fast-check"
import { holds, pairsOf, partitioned, roomy, sameElements } from "../support/engines.ts"

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

  on("PartitioningSuite: RangePartitioner getPartition", () =>
    Effect.sync(() => {
      const sample = Array.from({ length: 2000 }, (_, i) => i + 1)
      for (const partitions of [1, 2, 10, 100, 500, 1000, 1500]) {
        const range = Partitioner.range({ partitions, sample, order: Order.Number })
        for (let key = 0; key <= 2001; key++) {
          const at = range.partition(key)
          const { bounds } = range as { readonly bounds: ReadonlyArray<number> }
          if (at < bounds.length) assert.isAtMost(key, bounds[at] ?? Number.NaN)
          if (at > 0) assert.isAbove(key, bounds[at - 1] ?? Number.NaN)
        }
      }
    })
  )

  on("PartitioningSuite: zero-length partitions should be correctly handled", () =>
    Effect.gen(function* () {
      const numbers = Dataset.filter(
        Dataset.fromIterable([-1, -1, -1, -1, 2, 4, -1, -1], { partitions: 8 }),
        (n) => n >= 0
      )
      const { mean, stdev, sum, variance, ...extremes } = yield* Dataset.stats(numbers)
      assert.deepStrictEqual([sum, mean, variance, stdev, extremes.min, extremes.max], [6, 3, 1, 1, 2, 4])
      assert.deepStrictEqual(yield* Dataset.mean(numbers), Option.some(3))
      assert.deepStrictEqual(yield* Dataset.reduce(numbers, (a, b) => a + b), Option.some(6))
    })
  )

  on("PairRDDFunctionsSuite: default partitioner uses the largest input, and no far smaller partitioner", () =>
    Effect.gen(function* () {
      const of = (partitions: number) => pairsOf([[1, 1]], partitions)
      assert.include(yield* Dataset.explain(Dataset.join(of(7), of(3))), "join by hash in 7")
      const few = Dataset.partitionBy(of(2), Partitioner.hash(2))
      // Spark: one order of magnitude between them.
      assert.include(yield* Dataset.explain(Dataset.cogroup(few, [of(19)])), "cogroup by hash in 2")
      assert.include(yield* Dataset.explain(Dataset.cogroup(few, [of(21)])), "cogroup by hash in 21")
      const many = Dataset.partitionBy(of(2), Partitioner.hash(50))
      assert.include(yield* Dataset.explain(Dataset.cogroup(few, [many, of(60)])), "cogroup by hash in 50")
    })
  )

  on("RDDSuite: repartitioned RDDs perform load balancing", () =>
    Effect.gen(function* () {
      for (const [from, to] of [
        [1, 20],
        [20, 3],
        [7, 7]
      ] as const) {
        const parts = yield* Dataset.collect(
          Dataset.glom(Dataset.repartition(Dataset.range(0, 2000, { partitions: from }), to))
        )
        assert.strictEqual(parts.length, to)
        for (const part of parts) assert.closeTo(part.length, 2000 / to, from)
      }
    })
  )

  on("RDDSuite: sample preserves what a dataset is partitioned by", () =>
    Effect.gen(function* () {
      const keyed = Dataset.partitionBy(
        pairsOf(Array.from({ length: 100 }, (_, i) => [i, i] as const)),
        Partitioner.hash<number>(4)
      )
      for (const withReplacement of [false, true]) {
        const sampled = Dataset.sample(keyed, { fraction: 0.5, seed: 1, withReplacement })
        assert.include(yield* Dataset.explain(Dataset.groupByKey(sampled)), "in place already")
      }
    })
  )

  on("RDDSuite: an empty dataset in a union, and many empty partitions collected", () =>
    Effect.gen(function* () {
      const none = Dataset.fromStreams<number>([])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.union(none, Dataset.make(1, 2))), [1, 2])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.union(Dataset.make(1, 2), none)), [1, 2])
      assert.strictEqual(yield* Dataset.count(Dataset.union(none, none)), 0)
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.fromIterable<number>([], { partitions: 1000 })), [])
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
      let dataset: Dataset.Dataset<number> = Dataset.fromStreams<number>([])
      for (let i = 0; i < 30; i++) dataset = Dataset.union(dataset, dataset)
      assert.strictEqual(yield* Dataset.count(dataset), 0)
      assert.isBelow((yield* Dataset.explain(dataset)).length, 30_000)
      assert.isBelow(Dataset.toMermaid(dataset).length, 10_000)
    })
  )
})
