import { Dataset } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { engine, pairsOf } from "../support/engines.ts"

const counted = (partitions: number, rows = 100) => {
  const runs = { count: 0 }
  const dataset = Dataset.mapPartitions(Dataset.range(0, rows, { partitions }), (numbers) => {
    runs.count++
    return numbers
  })
  return { runs, dataset }
}

describe("caching", () => {
  for (const storage of ["memory", "disk", "memory-then-disk"] as const) {
    it.live(`RDDSuite: basic caching (${storage})`, () =>
      Effect.gen(function* () {
        const { dataset, runs } = counted(4)
        const cached = Dataset.cache(dataset, { storage })
        const first = yield* Dataset.collect(cached)
        assert.deepStrictEqual(yield* Dataset.collect(cached), first)
        assert.strictEqual(yield* Dataset.count(Dataset.filter(cached, (n) => n > 49)), 50)
        assert.strictEqual(runs.count, 4)
        yield* Dataset.unpersist(cached)
        assert.deepStrictEqual(yield* Dataset.collect(cached), first)
        assert.strictEqual(runs.count, 8)
      }).pipe(Effect.provide(engine(1 << 20)))
    )
  }

  it.live("RDDSuite: caching with failures keeps nothing of a partition that failed", () =>
    Effect.gen(function* () {
      let fails = true
      const cached = Dataset.cache(
        Dataset.mapEffect(Dataset.range(0, 10, { partitions: 2 }), (n) =>
          fails && n === 8 ? Effect.fail("eight") : Effect.succeed(n)
        )
      )
      assert.strictEqual(yield* Effect.flip(Dataset.count(cached)), "eight")
      fails = false
      assert.strictEqual(yield* Dataset.count(cached), 10)
    }).pipe(Effect.provide(engine(1 << 20)))
  )

  it.live("a partition that does not fit is computed again, or lies on the disk", () =>
    Effect.gen(function* () {
      const inMemory = counted(4, 4000)
      const memory = Dataset.cache(inMemory.dataset)
      yield* Dataset.count(memory)
      yield* Dataset.count(memory)
      assert.isAbove(inMemory.runs.count, 4)
      const onDisk = counted(4, 4000)
      const both = Dataset.cache(onDisk.dataset, { storage: "memory-then-disk" })
      assert.strictEqual(yield* Dataset.sum(both), 3999 * 2000)
      assert.strictEqual(yield* Dataset.sum(both), 3999 * 2000)
      assert.strictEqual(onDisk.runs.count, 4)
    }).pipe(Effect.provide(engine(1 << 20, { cacheBytes: 40_000 })))
  )

  it.live("stages before a whole cache do not run again", () =>
    Effect.gen(function* () {
      let runs = 0
      const sums = Dataset.cache(
        Dataset.reduceByKey(
          Dataset.mapPartitions(
            pairsOf([
              [1, 1],
              [1, 2],
              [2, 3]
            ]),
            (rows) => {
              runs++
              return rows
            }
          ),
          (a, b) => a + b
        )
      )
      yield* Dataset.collect(sums)
      assert.strictEqual(runs, 2)
      yield* Dataset.collect(Dataset.join(sums, sums))
      assert.strictEqual(runs, 2)
      assert.include(yield* Dataset.explain(sums), "2 of 2 partitions kept")
    }).pipe(Effect.provide(engine(1 << 20)))
  )

  it.live(
    "failures of elements are not replayed: their partition is computed again, and the handler is asked again",
    () =>
      Effect.gen(function* () {
        const seen = { computed: 0, handled: 0 }
        const cached = Dataset.range(0, 20, { partitions: 2 }).pipe(
          Dataset.mapEffect((n) => {
            seen.computed++
            return n === 3 ? Effect.fail("three") : Effect.succeed(n)
          }),
          (self) => Dataset.cache(self)
        )
        const handled = Dataset.catch(cached, () => {
          seen.handled++
          return Effect.succeed(-1)
        })
        for (const [computed, times] of [
          [20, 1],
          // The partition with the failure again; the other one is kept.
          [30, 2],
          [40, 3]
        ] as const) {
          assert.strictEqual(yield* Dataset.sum(handled), 190 - 3 - 1)
          assert.deepStrictEqual(seen, { computed, handled: times })
        }
      }).pipe(Effect.provide(engine(1 << 20)))
  )

  it.live("what several steps read is written once for all of them", () =>
    Effect.gen(function* () {
      const { dataset, runs } = counted(4)
      const sums = dataset.pipe(
        Dataset.map((n): [number, number] => [n % 10, n]),
        (self) => Dataset.reduceByKey(self, (a, b) => a + b)
      )
      // Both sides of the join, and another join with it, are the same exchange.
      const twice = Dataset.join(sums, sums)
      const thrice = Dataset.join(
        twice,
        Dataset.mapValues(sums, (n) => -n)
      )
      const rows = yield* Dataset.collect(thrice)
      assert.lengthOf(rows, 10)
      for (const [, [[left, right], negative]] of rows) assert.deepStrictEqual([left, right], [-negative, -negative])
      assert.strictEqual(runs.count, 4)
      // Two similar datasets that are not the same count as two.
      const [one, other] = [counted(4), counted(4)]
      const pairs = (self: Dataset.Dataset<number>) => Dataset.map(self, (n): [number, number] => [n, n])
      assert.lengthOf(yield* Dataset.collect(Dataset.join(pairs(one.dataset), pairs(other.dataset))), 100)
      assert.deepStrictEqual([one.runs.count, other.runs.count], [4, 4])
    }).pipe(Effect.provide(engine(1 << 20)))
  )

  it.live("a checkpoint is read instead of what made it, and its damage is noticed", () =>
    Effect.gen(function* () {
      const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-checkpoint-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => Fs.rmSync(root, { recursive: true })))
      const { dataset, runs } = counted(3, 9000)
      const rows = Dataset.map(dataset, (n) => ({ n, at: new Date(n) }))
      const kept = yield* Dataset.checkpoint(rows, `${root}/kept`)
      assert.strictEqual(runs.count, 3)
      const read = yield* Dataset.collect(kept)
      assert.deepStrictEqual(
        read,
        Array.from({ length: 9000 }, (_, n) => ({ n, at: new Date(n) }))
      )
      assert.strictEqual(runs.count, 3)
      const file = Path.join(
        root,
        "kept",
        Fs.readdirSync(`${root}/kept`).find((name) => name.startsWith("part-00001"))!
      )
      const bytes = Fs.readFileSync(file)
      bytes[bytes.length - 5] = bytes[bytes.length - 5]! ^ 1
      Fs.writeFileSync(file, bytes)
      const error = yield* Effect.flip(Dataset.count(kept))
      assert.strictEqual(error.reason._tag, "InputFailed")
      assert.include(error.message, "checksum")
    }).pipe(Effect.scoped, Effect.provide(engine(1 << 20)))
  )
})
