import { Dataset, type Engine, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import * as fc from "fast-check"
import { engine } from "../support/engines.ts"

const storages = ["memory", "disk", "memory-then-disk"] as const
const size = 20_000
const whole = Array.from({ length: size }, (_, n) => n)

/** Ways to read a part of a dataset, or the whole. */
const reads: Record<
  string,
  (numbers: Dataset.Dataset<number, string>) => Effect.Effect<unknown, unknown, Engine.Engine>
> = {
  first: Dataset.first,
  isEmpty: Dataset.isEmpty,
  "take 9000": Dataset.take(9000),
  count: Dataset.count,
  "a step that stops": (numbers) => Dataset.count(Dataset.mapPartitions(numbers, Stream.take(3))),
  "zip with a shorter stream": (numbers) =>
    Dataset.count(Dataset.mapPartitions(numbers, (rows) => Stream.zip(rows, Stream.range(0, 9)))),
  "the cut and the whole in one job": (numbers) =>
    Dataset.count(Dataset.union(Dataset.mapPartitions(numbers, Stream.take(10)), numbers)),
  cartesian: (numbers) => Dataset.take(Dataset.cartesian(numbers, numbers), 2),
  "a stream that is left": (numbers) => Stream.runDrain(Stream.take(Dataset.toStream(numbers), 10)),
  "an action that fails": (numbers) =>
    Dataset.count(Dataset.mapEffect(numbers, (n) => (n === 12_345 ? Effect.fail("late") : Effect.succeed(n)))),
  "an action that is interrupted": (numbers) =>
    Effect.timeoutOption(
      Dataset.count(Dataset.mapEffect(numbers, (n) => (n === 9 ? Effect.never : Effect.succeed(n)))),
      5
    )
}

describe("a cache and early ends", () => {
  for (const storage of storages) {
    it.live(`keeps a partition only when it was read to its end (${storage})`, () =>
      Effect.gen(function* () {
        for (const [name, read] of Object.entries(reads)) {
          const cached = Dataset.cache(Dataset.range(0, size), { storage })
          yield* Effect.exit(read(cached))
          assert.strictEqual(yield* Dataset.count(cached), size, name)
          assert.deepStrictEqual(yield* Dataset.collect(cached), whole, name)
          yield* Dataset.unpersist(cached)
        }
      }).pipe(Effect.provide(engine(1 << 20)))
    )
  }

  it.live("holds for random pipelines, reads, faults and sizes of the cache", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.record({
            rows: fc.integer({ min: 0, max: 12_000 }),
            partitions: fc.integer({ min: 1, max: 4 }),
            storage: fc.constantFrom(...storages),
            cacheBytes: fc.constantFrom(100, 20_000, 1 << 24),
            shuffled: fc.boolean(),
            fails: fc.option(fc.nat(11_999), { nil: undefined }),
            caught: fc.boolean(),
            reads: fc.array(fc.constantFrom(...Object.keys(reads)), { minLength: 1, maxLength: 3 })
          }),
          ({ cacheBytes, caught, fails, partitions, rows, shuffled, storage, ...plan }) =>
            Effect.gen(function* () {
              let failing = fails
              const numbers = Dataset.range(0, rows, { partitions })
              const moved = shuffled ? Dataset.map(Dataset.distinct(numbers), (n) => n) : numbers
              const risky: Dataset.Dataset<number, string> = Dataset.mapEffect(moved, (n) =>
                n === failing ? Effect.fail("once") : Effect.succeed(n)
              )
              const cached = Dataset.cache(risky, { storage })
              const read: Dataset.Dataset<number, string> = caught
                ? Dataset.catch(cached, () => Effect.succeed(-1))
                : cached
              for (const name of plan.reads) yield* Effect.exit(reads[name]!(read))
              failing = undefined
              const sorted = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)
              assert.deepStrictEqual(sorted(yield* Dataset.collect(cached)), whole.slice(0, rows))
              assert.strictEqual(yield* Dataset.count(cached), rows)
            }).pipe(Effect.provide(engine(1 << 20, { cacheBytes })), Effect.runPromise)
        ),
        { numRuns: 20, seed: 20261124 }
      )
    )
  )

  it.live("keeps the order of arrays, and drops what is read for a partition that it already holds", () =>
    Effect.gen(function* () {
      for (const storage of storages) {
        const cached = Dataset.cache(Dataset.range(0, size), { storage })
        const both = yield* Dataset.collect(Dataset.union(cached, cached))
        assert.deepStrictEqual(both, [...whole, ...whole])
        assert.deepStrictEqual(yield* Dataset.collect(cached), whole)
        assert.deepStrictEqual(Option.getOrNull(yield* Dataset.first(cached)), 0)
      }
    }).pipe(Effect.provide(engine(1 << 20)))
  )

  it.live("a partition that goes while a job reads it is computed again, with the stages before it", () =>
    Effect.gen(function* () {
      const sums = Dataset.reduceByKey(
        Dataset.map(Dataset.range(0, 2000, { partitions: 2 }), (n): readonly [number, number] => [n % 100, n]),
        (a, b) => a + b,
        { partitions: 2 }
      )
      const cached = Dataset.cache(sums)
      const expected = (yield* Dataset.collect(cached)).toSorted(([a], [b]) => a - b)
      const dropping = Dataset.mapPartitions(cached, (rows) =>
        Stream.unwrap(Effect.as(Dataset.unpersist(cached), rows))
      )
      assert.deepStrictEqual(
        (yield* Dataset.collect(dropping)).toSorted(([a], [b]) => a - b),
        expected
      )
    }).pipe(Effect.provide(engine(1 << 20)))
  )

  it.live("does not mix partitions of two runs of stages that yield different rows each time", () =>
    Effect.gen(function* () {
      let run = 0
      const moved = Dataset.partitionBy(
        Dataset.mapPartitions(Dataset.range(0, 1000, { partitions: 2 }), (rows) => {
          const salt = run++
          return Stream.map(rows, (n): readonly [number, number] => [Math.imul(n + 1, 7919 * (salt + 1)) >>> 3, n])
        }),
        Partitioner.hash(4)
      )
      const cached = Dataset.cache(moved)
      // Reads one partition to its end, and none of the others.
      yield* Dataset.lookup(cached, 1)
      assert.include(yield* Dataset.explain(cached), "1 of 4 partitions kept")
      const ids = (yield* Dataset.collect(cached)).map(([, n]) => n)
      assert.deepStrictEqual(
        ids.toSorted((a, b) => a - b),
        whole.slice(0, 1000)
      )
      const again = (yield* Dataset.collect(cached)).map(([, n]) => n)
      assert.deepStrictEqual(again, ids)
    }).pipe(Effect.provide(engine(1 << 20)))
  )
})
