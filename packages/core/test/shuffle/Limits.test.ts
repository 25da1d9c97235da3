import { Dataset, JobError, Shuffle } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Order } from "effect"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { engineOver, roomy } from "../support/engines.ts"

const mount = Effect.acquireRelease(
  Effect.sync(() => {
    const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-full-"))
    const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory])
    assert.strictEqual(status, 0, String(stderr))
    return directory
  }),
  (directory) =>
    Effect.sync(() => {
      spawnSync("umount", [directory])
      Fs.rmSync(directory, { recursive: true, force: true })
    })
)

const isRoot = process.getuid?.() === 0 || process.env["SLUICE_REQUIRE_ALL"] === "1"

describe("limits", () => {
  it.live(
    "100,000 partitions over 10 rows end in seconds: those without rows cost a task and no more",
    () =>
      Effect.gen(function* () {
        const pairs = Dataset.fromIterable(
          Array.from({ length: 10 }, (_, i) => [i % 3, i] as const),
          { partitions: 2 }
        )
        const sums = Dataset.reduceByKey(pairs, (a, b) => a + b, { partitions: 100_000 })
        assert.deepStrictEqual(
          (yield* Dataset.collect(sums)).toSorted(([a], [b]) => a - b),
          [
            [0, 18],
            [1, 12],
            [2, 15]
          ]
        )
        const sorted = Dataset.sortBy(pairs, ([, n]) => n, Order.Number, { partitions: 1000 })
        assert.deepStrictEqual(
          (yield* Dataset.collect(sorted)).map(([, n]) => n),
          [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        )
      }).pipe(Effect.provide(roomy)),
    120_000
  )

  const live = isRoot ? it.live : it.live.skip
  live(
    `a disk that fills while a job spills is a typed error, and no file is left${isRoot ? "" : " (run as root)"}`,
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const directory = yield* mount
          const layer = engineOver(Shuffle.layerDisk({ directory, memoryBytes: 64 * 1024, compression: "none" }))
          const grouped = (n: number) =>
            Dataset.range(0, n, { partitions: 4 }).pipe(
              Dataset.map((i) => [i % 7, "x".repeat(100) + i] as const),
              (pairs) => Dataset.groupByKey(pairs),
              Dataset.count
            )
          const files = () =>
            Fs.readdirSync(directory, { recursive: true, withFileTypes: true }).filter(
              (entry) => entry.isFile() && entry.name !== "owner.json"
            )
          yield* Effect.gen(function* () {
            const error = yield* Effect.flip(grouped(20_000))
            assert.instanceOf(error, JobError.JobError)
            assert.strictEqual(error.reason._tag, "ShuffleFailed")
            assert.include(error.message, "groupByKey")
            assert.include(error.message, "no space left")
            assert.deepStrictEqual(files(), [])
            assert.strictEqual(yield* grouped(1000), 7)
          }).pipe(Effect.provide(layer))
        })
      )
  )
})
