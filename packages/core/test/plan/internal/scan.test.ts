import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Stream } from "effect"
import { Storage } from "@sluice/core"
import type { Split } from "../../../src/task/Format.ts"
import { RowsNotConserved } from "../../../src/task/JobError.ts"
import { coalesce, scan } from "../../../src/plan/internal/scan.ts"
import { Current } from "../../../src/task/TaskContext.ts"
import { partitionOf, taskOf } from "../../support/runtime.ts"

describe("coalesce", () => {
  const runsOf = (bytes: ReadonlyArray<number>, target: number) =>
    coalesce(
      bytes.map((size, index) => {
        const parts = [{ path: `${index}`, offset: 0, length: size }]
        return partitionOf(index, {
          bytes: size,
          split: { id: "", label: "", parts, rows: undefined, bytes: size }
        })
      }),
      target
    ).map((partition) => partition.split?.parts.map(({ path }) => Number(path)) ?? [])

  it("makes runs of about the same number of bytes, in order", () => {
    assert.deepStrictEqual(runsOf([10, 10, 10, 10, 10, 10], 3), [
      [0, 1],
      [2, 3],
      [4, 5]
    ])
    // A large partition is alone; the others share the rest.
    assert.deepStrictEqual(runsOf([100, 1, 1, 1, 1], 3), [[0], [1, 2], [3, 4]])
    assert.deepStrictEqual(runsOf([1, 1, 1, 1, 100], 3), [[0, 1, 2], [3], [4]])
    // A partition joins a run if that brings the run closer to its share; otherwise it begins the next one.
    assert.deepStrictEqual(runsOf([4, 4, 4], 2), [[0, 1], [2]])
    assert.deepStrictEqual(runsOf([4, 5, 3], 2), [[0], [1, 2]])
    assert.deepStrictEqual(runsOf([5, 6, 1, 0], 2), [[0], [1, 2, 3]])
    assert.deepStrictEqual(runsOf([5, 2, 5], 2), [[0, 1], [2]])
  })

  it("counts partitions where bytes are not known, and gives each run one at least", () => {
    assert.deepStrictEqual(runsOf([0, 0, 0, 0, 0], 2), [
      [0, 1, 2],
      [3, 4]
    ])
    assert.deepStrictEqual(runsOf([0, 0, 0, 0, 9], 4), [[0, 1], [2], [3], [4]])
    assert.deepStrictEqual(runsOf([9, 0, 0, 0], 4), [[0], [1], [2], [3]])
    assert.deepStrictEqual(runsOf([1, 2, 3], 1), [[0, 1, 2]])
    for (let partitions = 1; partitions < 12; partitions++) {
      for (let target = 1; target <= partitions; target++) {
        const sizes = Array.from({ length: partitions }, (_, n) => (n * n * 7) % 11)
        const runs = runsOf(sizes, target)
        assert.strictEqual(runs.length, target)
        assert.deepStrictEqual(
          runs.flat(),
          sizes.map((_, index) => index)
        )
        assert.isTrue(runs.every((run) => run.length > 0))
      }
    }
  })

  it.effect("reads the partitions of a run one after another, with the rows of all", () =>
    Effect.gen(function* () {
      const [run] = coalesce(
        [0, 1, 2].map((index) => partitionOf(index, { rows: 10 + index, bytes: 1 })),
        1
      )
      assert.deepStrictEqual([run?.rows, run?.bytes], [33, 3])
      const rows = yield* Stream.runCollect(run!.read(taskOf()) as Stream.Stream<unknown>)
      assert.deepStrictEqual([...rows], ["row of 0", "row of 1", "row of 2"])
    })
  )
})

describe("a partition of a source", () => {
  const splitOf = (split: Partial<Split<number>> = {}): Split<number> => ({
    id: "id",
    label: "label",
    parts: [],
    bytes: 100,
    rows: 8,
    hosts: ["a"],
    read: Stream.fromArrays([1, 2], [3, 4, 5], [6, 7, 8]),
    ...split
  })
  /** The rows, elements and bytes counted after each array. */
  const counted = (split: Split<number>, stopAfter = Infinity) =>
    Effect.gen(function* () {
      const task = taskOf()
      const { metrics } = task
      const seen: Array<ReadonlyArray<number>> = []
      const note = () => seen.push([metrics.rowsRead, metrics.rowsIn, metrics.bytesRead])
      const rows = Stream.mapArray(scan(split).read(task), (values) => {
        note()
        return values
      })
      yield* Stream.runDrain(Stream.take(rows, stopAfter) as Stream.Stream<unknown>)
      note()
      return { seen, metrics }
    }).pipe(Effect.provide(Layer.fresh(Storage.layer)))

  it.effect("counts bytes as the share of the rows, so that progress moves within a split", () =>
    Effect.gen(function* () {
      const { seen } = yield* counted(splitOf())
      assert.deepStrictEqual(seen, [
        [2, 2, 25],
        [5, 5, 63],
        [8, 8, 100],
        [8, 8, 100]
      ])
      // Other rows than were promised are an error, whichever there are more of.
      for (const rows of [3, 9]) {
        const exit = yield* Effect.exit(counted(splitOf({ rows })))
        const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.isTrue(defect instanceof RowsNotConserved && defect.promised === rows && defect.read === 8)
      }
      // The rest of a split was left on purpose.
      const early = yield* counted(splitOf(), 2)
      assert.deepStrictEqual(early.seen.at(-1), [2, 8, 25])
      assert.strictEqual(early.metrics.rowsCut, 6)
    })
  )

  it.effect("counts bytes at the end where the rows are not known, and the rows of a batch", () =>
    Effect.gen(function* () {
      const unknown = yield* counted(splitOf({ rows: undefined }))
      assert.deepStrictEqual(
        unknown.seen.map(([, , bytes]) => bytes),
        [0, 0, 0, 100]
      )
      const none = yield* counted(splitOf({ rows: 0, read: Stream.empty }))
      assert.deepStrictEqual(none.seen, [[0, 0, 100]])
      const batches = yield* counted(splitOf({ rows: 36, rowsOf: (n) => n }))
      assert.deepStrictEqual(batches.seen.slice(0, 3), [
        [3, 3, 8],
        [15, 15, 41],
        [36, 36, 99]
      ])
      assert.deepStrictEqual(batches.seen.at(-1), [36, 36, 100])
    })
  )

  it.effect("counts a row that the source sets aside as read", () =>
    Effect.gen(function* () {
      const read = Stream.fromEffectDrain(
        Effect.flatMap(Current, (task) =>
          task === undefined
            ? Effect.die("no task")
            : task.deadLetter({ path: "a", rowGroup: undefined, row: 0, reason: "bad", value: "" })
        )
      )
      const { metrics } = yield* counted(splitOf({ rows: 2, read: Stream.concat(read, Stream.make(1)) }))
      assert.deepStrictEqual([metrics.rowsRead, metrics.rowsIn, metrics.deadLettered], [2, 2, 1])
    })
  )
})
