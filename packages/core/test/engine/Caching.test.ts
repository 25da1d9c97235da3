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
