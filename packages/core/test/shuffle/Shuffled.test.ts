import { Dataset, type Engine, Shuffle } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Order, Stream } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { withFiles } from "../support/files.ts"
import { engineOver, pairsOf, roomy, sameElements } from "../support/engines.ts"

const onDisk = <A, E>(
  use: (directory: string) => Effect.Effect<A, E, Engine.Engine>,
  options: { readonly memoryBytes?: number } = {}
) =>
  Effect.suspend(() => {
    const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-shuffled-"))
    const layer = engineOver(Shuffle.layerDisk({ directory, ...options }))
    return Effect.ensuring(
      Effect.provide(use(directory), layer),
      Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
    )
  })

const files = (directory: string): ReadonlyArray<string> =>
  Fs.readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "owner.json")
    .map((entry) => Path.join(entry.parentPath, entry.name))

/** How many reads of spilled runs a test wants damaged. */
let harm = 0

const rows = Array.from({ length: 3000 }, (_, i) => [`key ${i % 50}`, i] as const)
const sums = Dataset.reduceByKey(pairsOf(rows, 4), (a, b) => a + b)
const expected = Array.from({ length: 50 }, (_, i) => [`key ${i}`, i * 60 + 50 * ((59 * 60) / 2)] as const)

describe("jobs that shuffle", () => {
  it.live("leave no files when they succeed, fail or are interrupted", () =>
    onDisk(
      (directory) =>
        Effect.gen(function* () {
          sameElements(yield* Dataset.collect(sums), expected)
          assert.deepStrictEqual(files(directory), [])
          yield* Effect.flip(Dataset.collect(Dataset.mapEffect(sums, () => Effect.fail("late"))))
          assert.deepStrictEqual(files(directory), [])
          yield* Effect.timeoutOption(Dataset.collect(Dataset.mapEffect(sums, () => Effect.never)), 200)
          assert.deepStrictEqual(files(directory), [])
        }),
      { memoryBytes: 8 * 1024 }
    )
  )

  it.live("leave no files when a combiner or an order throws, on either side of the shuffle", () =>
    onDisk(
      (directory) =>
        Effect.gen(function* () {
          const pairs: Dataset.Dataset<readonly [string, number]> = pairsOf(rows, 4)
          let left = 0
          const thrower = <A>(value: A): A => {
            if (left-- === 0) throw new Error("not today")
            return value
          }
          const sum = (a: number, b: number) => thrower(a + b)
          const order = Order.make<string>((a, b) => thrower(Order.String(a, b)))
          // There are about 2,800 sums on the map side and 150 on the reduce side; the comparisons are those of the
          // sample, the partitioner and the sort.
          for (const [dataset, calls] of [
            [Dataset.reduceByKey(pairs, sum), [10, 2000, 2900]],
            [Dataset.foldByKey(pairs, () => 0, sum), [10, 2000, 3100]],
            [Dataset.sortByKey(pairs, order), [10, 2000, 20_000]]
          ] as const) {
            for (const call of calls) {
              left = call
              const error = yield* Effect.flip(Dataset.collect(dataset))
              assert.strictEqual(error.reason._tag, "OperatorDefect")
              assert.include(error.message, "not today")
              assert.deepStrictEqual(files(directory), [])
            }
          }
        }),
      { memoryBytes: 8 * 1024 }
    )
  )

  it.live("end with all rows when an order contradicts itself", () =>
    onDisk(
      (directory) =>
        Effect.gen(function* () {
          let calls = 0
          const order = Order.make<string>(() => (calls++ % 2 === 0 ? -1 : 1))
          const sorted = yield* Dataset.collect(Dataset.sortByKey(pairsOf(rows, 4), order, { partitions: 3 }))
          assert.deepStrictEqual(
            sorted.toSorted(([, a], [, b]) => a - b),
            rows
          )
          assert.deepStrictEqual(files(directory), [])
        }),
      { memoryBytes: 8 * 1024 }
    )
  )

  it.live("a map output that is damaged is made again", () =>
    onDisk((directory) =>
      Effect.gen(function* () {
        let harmed = 0
        const lines = yield* Dataset.collect(
          Dataset.mapPartitions(sums, (sums, task) =>
            Stream.unwrap(
              Effect.sync(() => {
                // Before the first reduce task reads: a bit flips in one file, another is cut off.
                if (harmed === 0 && task.attempt === 0) {
                  const [first, second] = files(directory)
                  const bytes = Fs.readFileSync(first!)
                  bytes[bytes.length - 3] = bytes[bytes.length - 3]! ^ 1
                  Fs.writeFileSync(first!, bytes)
                  Fs.truncateSync(second!, 10)
                  harmed = 2
                }
                return sums
              })
            )
          )
        )
        assert.strictEqual(harmed, 2)
        sameElements(lines, expected)
      })
    )
  )

  it.live("files that are gone are made again, over two shuffles", () =>
    onDisk((directory) =>
      Effect.gen(function* () {
        let harmed = false
        const sorted = Dataset.mapPartitions(Dataset.sortByKey(sums, Order.String), (sums) =>
          Stream.unwrap(
            Effect.sync(() => {
              if (!harmed) files(directory).forEach((file) => Fs.rmSync(file))
              harmed = true
              return sums
            })
          )
        )
        assert.deepStrictEqual(
          yield* Dataset.collect(sorted),
          expected.toSorted(([a], [b]) => (a < b ? -1 : 1))
        )
        assert.isTrue(harmed)
      })
    )
  )

  it.live("a spill that is damaged is written again by another attempt", () =>
    Effect.gen(function* () {
      const sorted = Dataset.sortByKey(pairsOf(rows, 2), Order.String, { partitions: 1 })
      const { length } = yield* Dataset.collect(sorted)
      assert.strictEqual(length, rows.length)
      harm = 1
      assert.deepStrictEqual(
        (yield* Dataset.collect(sorted)).map(([key]) => key),
        rows.map(([key]) => key).toSorted()
      )
      assert.strictEqual(harm, 0)
      // Whatever is written is damaged.
      harm = Infinity
      const error = yield* Effect.flip(Dataset.collect(sorted))
      assert.strictEqual(error.reason._tag, "ShuffleFailed")
      assert.include(error.message, "attempt 3")
    }).pipe(
      Effect.provide(
        engineOver(
          Layer.effect(
            Shuffle.Shuffle,
            Effect.map(Shuffle.Shuffle, (shuffle) =>
              withFiles(shuffle, (file) => ({
                read: (offset, length) =>
                  Effect.tap(file.read(offset, length), (bytes) =>
                    Effect.sync(() => {
                      if (harm === 0) return
                      harm--
                      bytes[bytes.length >> 1]! ^= 1
                    })
                  )
              }))
            )
          ).pipe(Layer.provide(Shuffle.layerDisk({ memoryBytes: 4000 })))
        )
      )
    )
  )

  it.live("a cached partition whose file is damaged is computed again", () =>
    onDisk((directory) =>
      Effect.gen(function* () {
        const cached = Dataset.cache(sums, { storage: "disk" })
        sameElements(yield* Dataset.collect(cached), expected)
        files(directory).forEach((file) => Fs.truncateSync(file, 5))
        sameElements(yield* Dataset.collect(cached), expected)
        yield* Dataset.unpersist(cached)
        assert.deepStrictEqual(files(directory), [])
      })
    )
  )

  it.live("a folder that cannot be written fails the job, not the engine", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Dataset.count(Dataset.range(0, 5)), 5)
      const error = yield* Effect.flip(Dataset.collect(sums))
      assert.strictEqual(error.reason._tag, "ShuffleFailed")
      assert.include(error.message, "no space")
    }).pipe(
      Effect.provide(engineOver(Shuffle.layerUnavailable(new Shuffle.NoSpace({ file: "/nowhere", detail: "full" }))))
    )
  )

  it.live("what is written after a shuffle accounts for its rows", () =>
    Effect.gen(function* () {
      const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-written-"))
      const lines = Dataset.map(Dataset.join(sums, sums), ([key, [left]]) => `${key}\t${left}`)
      const manifest = yield* Dataset.writeText(
        Dataset.filter(lines, (line) => !line.startsWith("key 1")),
        `${root}/out`
      )
      assert.strictEqual(manifest.rows, 39)
      assert.strictEqual(manifest.conservation.written, 39)
      Fs.rmSync(root, { recursive: true })
    }).pipe(Effect.provide(roomy))
  )
})
