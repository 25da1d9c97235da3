import { Dataset, type Engine, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Order } from "effect"
import * as fc from "fast-check"
import { holds, pairsOf, partitioned, roomy } from "../support/engines.ts"

const on = <A, E>(name: string, effect: () => Effect.Effect<A, E, Engine.Engine>) =>
  it.live(name, () => Effect.provide(effect(), roomy))

describe("sorting", () => {
  it.live(
    "sortBy, sortByKey and sort agree with a stable array sort",
    () =>
      holds(
        fc.tuple(
          partitioned(fc.tuple(fc.integer({ min: -5, max: 5 }), fc.string({ maxLength: 3 }))),
          fc.integer({ min: 1, max: 5 })
        ),
        ([{ dataset, rows }, partitions]) =>
          Effect.gen(function* () {
            const byKey = Order.mapInput(Order.Number, (pair: readonly [number, string]) => pair[0])
            assert.deepStrictEqual(
              yield* Dataset.collect(Dataset.sortByKey(dataset, Order.Number, { partitions })),
              rows.toSorted(byKey)
            )
            assert.deepStrictEqual(
              yield* Dataset.collect(
                Dataset.sortBy(dataset, ([, text]) => text, Order.flip(Order.String), { partitions })
              ),
              rows.toSorted(Order.mapInput(Order.flip(Order.String), (pair: readonly [number, string]) => pair[1]))
            )
            assert.deepStrictEqual(
              yield* Dataset.collect(Dataset.sort(Dataset.values(dataset), Order.String)),
              rows.map(([, text]) => text).toSorted(Order.String)
            )
          })
      ),
    60_000
  )

  on("SortingSuite: sortByKey", () =>
    Effect.gen(function* () {
      const pairs = pairsOf([
        [1, 0],
        [2, 0],
        [0, 0],
        [3, 0]
      ])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.sortByKey(pairs, Order.Number)), [
        [0, 0],
        [1, 0],
        [2, 0],
        [3, 0]
      ])
    })
  )

  on("SortingSuite: large array with one split, and with many", () =>
    Effect.gen(function* () {
      const numbers = Array.from({ length: 5000 }, (_, i) => (i * 7919) % 5003)
      const sorted = numbers.toSorted(Order.Number)
      const dataset = Dataset.fromIterable(numbers, { partitions: 4 })
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.sort(dataset, Order.Number, { partitions: 1 })), sorted)
      const parts = yield* Dataset.collect(Dataset.glom(Dataset.sort(dataset, Order.Number, { partitions: 20 })))
      assert.strictEqual(parts.length, 20)
      assert.deepStrictEqual(parts.flat(), sorted)
    })
  )

  on("SortingSuite: sort descending", () =>
    Effect.gen(function* () {
      const dataset = Dataset.range(0, 1000, { partitions: 3 })
      const down = yield* Dataset.collect(Dataset.sort(dataset, Order.flip(Order.Number)))
      assert.deepStrictEqual(down.slice(0, 2), [999, 998])
      assert.deepStrictEqual(
        down,
        down.toSorted((a, b) => b - a)
      )
    })
  )

  on("SortingSuite: partition balancing", () =>
    Effect.gen(function* () {
      const numbers = Array.from({ length: 4000 }, (_, i) => (i * 7919) % 4001)
      const parts = yield* Dataset.collect(
        Dataset.glom(Dataset.sort(Dataset.fromIterable(numbers, { partitions: 2 }), Order.Number, { partitions: 4 }))
      )
      for (const part of parts) {
        assert.isAbove(part.length, 600)
        assert.isBelow(part.length, 1500)
      }
    })
  )

  on("SortingSuite: more partitions than elements, and sort descending with one split and with many partitions", () =>
    Effect.gen(function* () {
      const few = Array.from({ length: 10 }, (_, i) => [(i * 7) % 10, i] as const)
      const byKey = Order.mapInput(Order.Number, (pair: readonly [number, number]) => pair[0])
      assert.deepStrictEqual(
        yield* Dataset.collect(Dataset.sortByKey(pairsOf(few, 30), Order.Number)),
        few.toSorted(byKey)
      )
      const many = Array.from({ length: 1000 }, (_, i) => [(i * 7919) % 1009, i] as const)
      for (const [from, to] of [
        [1, 1],
        [2, 20]
      ] as const) {
        const sorted = Dataset.sortByKey(pairsOf(many, from), Order.flip(Order.Number), { partitions: to })
        assert.strictEqual((yield* Dataset.collect(Dataset.glom(sorted))).length, to)
        assert.deepStrictEqual(yield* Dataset.collect(sorted), many.toSorted(Order.flip(byKey)))
      }
    })
  )

  on("SortingSuite: partition balancing for descending sort", () =>
    Effect.gen(function* () {
      const numbers = Dataset.range(1, 1001, { partitions: 4 })
      const parts = yield* Dataset.collect(
        Dataset.glom(Dataset.sort(numbers, Order.flip(Order.Number), { partitions: 4 }))
      )
      assert.strictEqual(parts.length, 4)
      for (const part of parts) {
        assert.isAbove(part.length, 100)
        assert.isBelow(part.length, 400)
      }
      assert.deepStrictEqual(
        parts.flat(),
        Array.from({ length: 1000 }, (_, i) => 1000 - i)
      )
    })
  )

  on("RDDSuite: sort an empty dataset", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.sort(Dataset.fromIterable<number>([]), Order.Number)), [])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.sort(Dataset.fromStreams<number>([]), Order.Number)), [])
    })
  )

  on("several keys sort as a tuple", () =>
    Effect.gen(function* () {
      const rows = Array.from({ length: 60 }, (_, i) => ({ city: "abc"[i % 3] ?? "", age: (i * 17) % 10, id: i }))
      const sorted = yield* Dataset.collect(
        Dataset.sortBy(
          Dataset.fromIterable(rows, { partitions: 4 }),
          (row) => [row.city, row.age] as const,
          Order.Tuple([Order.String, Order.flip(Order.Number)]),
          { partitions: 3 }
        )
      )
      assert.deepStrictEqual(
        sorted,
        rows.toSorted((a, b) => (a.city < b.city ? -1 : a.city > b.city ? 1 : b.age - a.age))
      )
    })
  )

  on("an order that contradicts itself ends, with every row there", () =>
    Effect.gen(function* () {
      let turn = 0
      const wild: Order.Order<number> = () => (turn++ % 3 === 0 ? 1 : -1)
      const rows = yield* Dataset.collect(
        Dataset.sort(Dataset.range(0, 300, { partitions: 3 }), wild, { partitions: 3 })
      )
      assert.deepStrictEqual(
        rows.toSorted(Order.Number),
        Array.from({ length: 300 }, (_, i) => i)
      )
    })
  )

  on("repartitionAndSortWithinPartitions sorts each partition", () =>
    Effect.gen(function* () {
      const pairs = pairsOf([
        [0, 5],
        [3, 8],
        [2, 6],
        [0, 8],
        [3, 8],
        [1, 3]
      ])
      const by = Partitioner.make("parity", 2, (key: number) => key % 2)
      const parts = yield* Dataset.collect(
        Dataset.glom(Dataset.repartitionAndSortWithinPartitions(pairs, by, Order.Number))
      )
      assert.deepStrictEqual(parts, [
        [
          [0, 5],
          [0, 8],
          [2, 6]
        ],
        [
          [1, 3],
          [3, 8],
          [3, 8]
        ]
      ])
    })
  )

  on("a sort samples its keys first, and says so", () =>
    Effect.gen(function* () {
      const plan = yield* Dataset.explain(Dataset.sort(Dataset.range(0, 9, { partitions: 3 }), Order.Number))
      assert.include(plan, "Stage 0 (samples keys for sort): 3 partitions")
      assert.include(plan, "Stage 1 (writes for sort by range in 3): 3 partitions, 9 rows, after stage 0")
      assert.notInclude(
        yield* Dataset.explain(Dataset.sort(Dataset.range(0, 9, { partitions: 3 }), Order.Number, { partitions: 1 })),
        "samples"
      )
    })
  )
})
