import { Dataset, type Engine } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Option, Order } from "effect"
import * as fc from "fast-check"
import { groupsOf, holds, partitioned, roomy, smallKey } from "../support/engines.ts"

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

  on("takeOrdered and top keep the first of equal elements, in their order", () =>
    Effect.gen(function* () {
      const rows = Array.from({ length: 500 }, (_, index) => ({ key: (index * 7) % 5, index }))
      const dataset = Dataset.fromIterable(rows, { partitions: 4 })
      const byKey = Order.mapInput(Order.Number, (row: { readonly key: number }) => row.key)
      for (const n of [1, 3, 99, 101, 499, 600]) {
        assert.deepStrictEqual(yield* Dataset.takeOrdered(dataset, n, byKey), rows.toSorted(byKey).slice(0, n))
        assert.deepStrictEqual(yield* Dataset.top(dataset, n, byKey), rows.toSorted(Order.flip(byKey)).slice(0, n))
      }
    })
  )

  on("RDDSuite: treeAggregate with ops modifying first args", () =>
    Effect.gen(function* () {
      const numbers = Dataset.range(-1000, 1000, { partitions: 10 })
      for (let groups = 1; groups < 10; groups++) {
        const counted = Dataset.treeAggregate(
          numbers,
          (): Array<number> => [0],
          (state, n) => {
            state[0] = (state[0] ?? 0) + n
            return state
          },
          (left, right) => {
            left[0] = (left[0] ?? 0) + (right[0] ?? 0)
            return left
          },
          { groups }
        )
        assert.deepStrictEqual(yield* counted, [-1000])
      }
    })
  )

  on("histogram: the last bucket has its upper bound, what is outside is not counted", () =>
    Effect.gen(function* () {
      const numbers = Dataset.fromIterable([-1, 0, 1, 1.5, 2, 4.9, 5, 5.1, NaN], { partitions: 3 })
      assert.deepStrictEqual(yield* Dataset.histogram(numbers, [0, 1, 2, 5]), [1, 2, 3])
    })
  )

  on("histogram of a number of buckets: evenly from the least number to the greatest (Spark's DoubleRDDSuite)", () =>
    Effect.gen(function* () {
      const of = (values: ReadonlyArray<number>) => Dataset.fromIterable(values, { partitions: 3 })
      assert.deepStrictEqual(yield* Dataset.histogram(of([1, 2, 3, 4]), 1), [[1, 4], [4]])
      assert.deepStrictEqual(yield* of([1, 2]).pipe(Dataset.histogram(2)), [
        [1, 1.5, 2],
        [1, 1]
      ])
      assert.deepStrictEqual(yield* Dataset.histogram(of([6.5, 8.5, 5.5, 7.5, 9.5]), 2), [
        [5.5, 7.5, 9.5],
        [2, 3]
      ])
      // One bucket if there is no range to cut; the last bound is exactly the greatest number.
      assert.deepStrictEqual(yield* Dataset.histogram(of([3, 3, 3]), 4), [[3, 3], [3]])
      const [bounds, counts] = yield* Dataset.histogram(of([0, 0.1, 0.2, 0.3, 0.7]), 7)
      assert.strictEqual(bounds.at(-1), 0.7)
      assert.strictEqual(bounds.length, 8)
      assert.strictEqual(
        counts.reduce((sum, n) => sum + n, 0),
        5
      )
    })
  )

  on("histogram has no even buckets for no numbers, NaN, infinities, or less than one of them", () =>
    Effect.gen(function* () {
      for (const [values, buckets] of [
        [[], 2],
        [[1, Number.NaN, 2], 2],
        [[1, Infinity], 2],
        [[-Infinity, Infinity], 2],
        [[1, 2], 0],
        [[1, 2], 1.5]
      ] as const) {
        const error = yield* Effect.flip(Dataset.histogram(Dataset.fromIterable<number>(values), buckets))
        assert.strictEqual(error.reason._tag, "InvalidPlan")
        assert.include(error.message, "histogram")
      }
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
