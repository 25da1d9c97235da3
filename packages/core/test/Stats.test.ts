import { Dataset, type Engine } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Option, Order } from "effect"
import * as fc from "fast-check"
import { groupsOf, holds, partitioned, roomy, smallKey } from "./wide.ts"

const on = <A, E>(name: string, effect: () => Effect.Effect<A, E, Engine.Engine>) =>
  it.live(name, () => Effect.provide(effect(), roomy))

describe("statistics", () => {
  it.live(
    "sum, mean, stats, min, max, top, takeOrdered and treeAggregate agree with arrays",
    () =>
      holds(
        fc.tuple(partitioned(fc.integer({ min: -99, max: 99 })), fc.integer({ min: 0, max: 8 })),
        ([{ dataset, rows }, n]) =>
          Effect.gen(function* () {
            const sum = rows.reduce((a, b) => a + b, 0)
            const sorted = rows.toSorted(Order.Number)
            assert.strictEqual(yield* Dataset.sum(dataset), sum)
            assert.deepStrictEqual(
              yield* Dataset.mean(dataset),
              rows.length === 0 ? Option.none() : Option.some(sum / rows.length)
            )
            assert.deepStrictEqual(yield* Dataset.min(dataset, Order.Number), Option.fromUndefinedOr(sorted[0]))
            assert.deepStrictEqual(yield* Dataset.max(dataset, Order.Number), Option.fromUndefinedOr(sorted.at(-1)))
            assert.deepStrictEqual(yield* Dataset.takeOrdered(dataset, n, Order.Number), sorted.slice(0, n))
            assert.deepStrictEqual(yield* Dataset.top(dataset, n, Order.Number), sorted.toReversed().slice(0, n))
            assert.strictEqual(
              yield* Dataset.treeAggregate(
                dataset,
                () => 0,
                (a, b) => a + b,
                (a, b) => a + b,
                { groups: 2 }
              ),
              sum
            )
            const stats = yield* Dataset.stats(dataset)
            assert.strictEqual(stats.count, rows.length)
            if (rows.length > 1) {
              const mean = sum / rows.length
              const squares = rows.reduce((total, value) => total + (value - mean) ** 2, 0)
              assert.closeTo(stats.variance, squares / rows.length, 1e-6)
              assert.closeTo(stats.sampleStdev, Math.sqrt(squares / (rows.length - 1)), 1e-6)
            }
          })
      ),
    60_000
  )

  it.live(
    "countByValue agrees with arrays",
    () =>
      holds(partitioned(smallKey), ({ dataset, rows }) =>
        Effect.gen(function* () {
          const counts = yield* Dataset.countByValue(dataset)
          const groups = groupsOf(rows.map((row) => [row, 1] as const))
          assert.strictEqual(HashMap.size(counts), groups.length)
          for (const [value, ones] of groups)
            assert.deepStrictEqual(HashMap.get(counts, value), Option.some(ones.length))
        })
      ),
    60_000
  )

  on("RDDSuite: takeOrdered with limit 0, top with custom ordering", () =>
    Effect.gen(function* () {
      const numbers = Dataset.fromIterable([10, 4, 2, 12, 3], { partitions: 2 })
      assert.deepStrictEqual(yield* Dataset.takeOrdered(numbers, 0, Order.Number), [])
      assert.deepStrictEqual(yield* Dataset.top(numbers, 2, Order.flip(Order.Number)), [2, 3])
      assert.deepStrictEqual(yield* Dataset.takeOrdered(Dataset.fromIterable<number>([]), 5, Order.Number), [])
    })
  )

  on("histogram: the last bucket has its upper bound, what is outside is not counted", () =>
    Effect.gen(function* () {
      const numbers = Dataset.fromIterable([-1, 0, 1, 1.5, 2, 4.9, 5, 5.1, NaN], { partitions: 3 })
      assert.deepStrictEqual(yield* Dataset.histogram(numbers, [0, 1, 2, 5]), [1, 2, 3])
    })
  )

  on("RDDSuite: takeSample, also of an empty dataset", () =>
    Effect.gen(function* () {
      const numbers = Dataset.range(0, 100, { partitions: 2 })
      const twenty = yield* Dataset.takeSample(numbers, 20, { seed: 1 })
      assert.strictEqual(new Set(twenty).size, 20)
      assert.deepStrictEqual(yield* Dataset.takeSample(numbers, 20, { seed: 1 }), twenty)
      assert.notDeepEqual(yield* Dataset.takeSample(numbers, 20, { seed: 2 }), twenty)
      assert.strictEqual((yield* Dataset.takeSample(numbers, 200, { seed: 1 })).length, 100)
      const again = yield* Dataset.takeSample(numbers, 200, { seed: 1, withReplacement: true })
      assert.strictEqual(again.length, 200)
      // 200 draws out of 100 meet about 86 of them.
      assert.isAbove(new Set(again).size, 70)
      assert.isBelow(new Set(again).size, 100)
      assert.deepStrictEqual(yield* Dataset.takeSample(Dataset.fromIterable<number>([]), 5, { seed: 1 }), [])
      assert.deepStrictEqual(
        yield* Dataset.takeSample(Dataset.fromIterable<number>([]), 5, { seed: 1, withReplacement: true }),
        []
      )
    })
  )

  on("RDDSuite: countApproxDistinct is within three times its error", () =>
    Effect.gen(function* () {
      for (const [size, error] of [
        [100, 0.05],
        [5000, 0.05],
        [50_000, 0.02]
      ] as const) {
        const numbers = Dataset.map(Dataset.range(0, 3 * size, { partitions: 3 }), (n) => `user ${n % size}`)
        const counted = yield* Dataset.countApproxDistinct(numbers, { relativeError: error })
        assert.isBelow(Math.abs(counted - size) / size, 3 * error)
      }
      assert.strictEqual(yield* Dataset.countApproxDistinct(Dataset.empty), 0)
    })
  )
})
