import { Dataset, type Engine } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal } from "effect"
import * as fc from "fast-check"
import { groupsOf, holds, partitioned, roomy, sameElements, smallKey } from "../support/engines.ts"

const on = <A, E>(name: string, effect: () => Effect.Effect<A, E, Engine.Engine>) =>
  it.live(name, () => Effect.provide(effect(), roomy))

const once = (rows: ReadonlyArray<unknown>) => groupsOf(rows.map((row) => [row, 0] as const)).map(([row]) => row)
const has = (rows: ReadonlyArray<unknown>, row: unknown) => rows.some((other) => Equal.equals(other, row))

describe("sets", () => {
  it.live(
    "distinct, intersection and subtract agree with arrays",
    () =>
      holds(fc.tuple(partitioned(smallKey), partitioned(smallKey, 20)), ([one, two]) =>
        Effect.gen(function* () {
          sameElements(yield* Dataset.collect(Dataset.distinct(one.dataset)), once(one.rows))
          sameElements(
            yield* Dataset.collect(Dataset.intersection(one.dataset, two.dataset)),
            once(one.rows).filter((row) => has(two.rows, row))
          )
          sameElements(
            yield* Dataset.collect(Dataset.subtract(one.dataset, two.dataset)),
            one.rows.filter((row) => !has(two.rows, row))
          )
        })
      ),
    60_000
  )

  it.live(
    "cartesian agrees with arrays",
    () =>
      holds(fc.tuple(partitioned(fc.integer(), 20), partitioned(fc.string(), 12)), ([one, two]) =>
        Effect.gen(function* () {
          sameElements(
            yield* Dataset.collect(Dataset.cartesian(one.dataset, two.dataset)),
            one.rows.flatMap((a) => two.rows.map((b) => [a, b]))
          )
        })
      ),
    60_000
  )

  on("RDDSuite: cartesian on empty datasets", () =>
    Effect.gen(function* () {
      const none = Dataset.fromStreams<number>([])
      const some = Dataset.make(1, 2)
      for (const dataset of [
        Dataset.cartesian(none, some),
        Dataset.cartesian(some, none),
        Dataset.cartesian(none, none)
      ]) {
        assert.deepStrictEqual(yield* Dataset.collect(dataset), [])
      }
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.cartesian(some, Dataset.empty)), [])
    })
  )

  on("RDDSuite: cartesian on non-empty datasets has every pair of partitions", () =>
    Effect.gen(function* () {
      const product = Dataset.cartesian(Dataset.range(1, 4, { partitions: 2 }), Dataset.make(2, 4, 1))
      assert.strictEqual((yield* Dataset.collect(Dataset.glom(product))).length, 2)
      sameElements(
        yield* Dataset.collect(product),
        [1, 2, 3].flatMap((a) => [2, 4, 1].map((b) => [a, b]))
      )
    })
  )

  on("RDDSuite: intersection strips duplicates", () =>
    Effect.gen(function* () {
      const all = Dataset.fromIterable([1, 2, 3, 3, 3, 4, 10], { partitions: 3 })
      const evens = Dataset.fromIterable([2, 2, 4, 6, 8, 10, 10], { partitions: 2 })
      sameElements(yield* Dataset.collect(Dataset.intersection(all, evens)), [2, 4, 10])
      sameElements(yield* Dataset.collect(evens.pipe(Dataset.intersection(all))), [2, 4, 10])
      const seven = evens.pipe(Dataset.intersection(all, { partitions: 7 }), Dataset.glom)
      assert.strictEqual((yield* Dataset.collect(seven)).length, 7)
    })
  )
})
