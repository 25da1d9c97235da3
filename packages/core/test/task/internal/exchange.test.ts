import { type JobError, Partitioner, Shuffle, Storage } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Stream } from "effect"
import { divert, readExchange, withFailed } from "../../../src/task/internal/exchange.ts"
import {
  combineMaps,
  type MapOutput,
  mapBytes,
  partitionBytes,
  unreadRows,
  writtenBytes
} from "../../../src/task/internal/values.ts"
import type { Rows } from "../../../src/task/internal/rows.ts"
import { Failed } from "../../../src/task/internal/failed.ts"
import type { Exchange } from "../../../src/plan/Plan.ts"
import { taskOf } from "../../support/runtime.ts"

const status = (
  map: number,
  segments: ReadonlyArray<readonly [partition: number, bytes: number]>
): Shuffle.MapStatus => ({
  shuffle: "job-0",
  map,
  attempt: 0,
  file: "",
  partitions: segments.map(([partition]) => partition),
  offsets: segments.map(() => 0),
  lengths: segments.map(() => 0),
  rows: segments.map(() => 1),
  bytes: segments.map(([, bytes]) => bytes),
  checksums: segments.map(() => [0, 0] as const)
})

const output = (status: Shuffle.MapStatus, failed: ReadonlyArray<Failed> = []): MapOutput => ({
  _tag: "MapOutput",
  status,
  failed
})

describe("what a map stage wrote", () => {
  const outputs = combineMaps([
    output(
      status(0, [
        [1, 10],
        [4, 5],
        [1, 3]
      ])
    ),
    output(status(1, [])),
    output(status(2, [[4, 7]]))
  ])

  it("is known by partition, by map task and in all", () => {
    assert.deepStrictEqual(
      [0, 1, 4].map((partition) => partitionBytes(outputs, partition)),
      [0, 13, 12]
    )
    assert.deepStrictEqual(mapBytes(outputs, 1), [13, 0, 0])
    assert.deepStrictEqual(mapBytes(outputs, 4), [5, 0, 7])
    assert.strictEqual(writtenBytes(outputs), 25)
    assert.strictEqual(writtenBytes(combineMaps([])), 0)
  })

  it("is unread where nobody began to read a partition, and the elements that failed where nobody began the first", () => {
    const some = combineMaps([
      output(
        status(0, [
          [0, 1],
          [3, 1],
          [3, 1]
        ]),
        [new Failed("lost", 5)]
      ),
      output(status(1, [[4, 1]]), [new Failed("lost")])
    ])
    for (const [read, unread] of [
      [[], 10],
      [[0], 3],
      [[3], 8],
      [[4, 3], 7],
      [[0, 3, 4], 0],
      [[undefined], 0]
    ] as const) {
      assert.strictEqual(unreadRows(some, new Set<number | undefined>(read)), unread)
    }
    assert.strictEqual(unreadRows({ _tag: "Offsets", offsets: [1] }, new Set()), 0)
  })
})

describe("what a reduce task reads", () => {
  const failure = new Failed("lost")
  const stages = new Map([
    [7, combineMaps([0, 1, 2].map((map) => output(status(map, [[1, 10]]), map === 1 ? [failure] : [])))],
    [
      9,
      combineMaps(
        [0, 1].map((map) =>
          output(
            status(map, [
              [1, 10],
              [0, 1]
            ])
          )
        )
      )
    ]
  ])
  const read: Exchange["read"] = (sources) =>
    Stream.make(
      sources
        .map(({ id, slice }) => `${id} ${slice.from}-${slice.to} of ${slice.statuses.map(({ map }) => map)}`)
        .join("; ")
    )
  // The rows of the partition one by one, of both sides.
  const readEach: Exchange["read"] = (sources) =>
    Stream.rechunk(
      Stream.fromIterable(
        sources.flatMap(({ slice }) =>
          slice.statuses.flatMap((status) => status.partitions.filter((partition) => partition === slice.from))
        )
      ),
      1
    )
  const node: Exchange = {
    _tag: "Exchange",
    name: "join",
    functions: "",
    inputs: [],
    partitioning: { _tag: "Fixed", partitioner: Partitioner.hash(3) },
    onlyMoves: false,
    keyed: true,
    read
  }
  const rowsOf = (partition: number, guarded: boolean, maps?: ReadonlyMap<number, readonly [number, number]>) => {
    const task = { ...taskOf(), stageValue: (id: number) => stages.get(id), maps }
    const rows = readExchange(
      node,
      [7, 9].map((stage) => ({ _tag: "Moved", stage })),
      partition,
      { travels: guarded, tags: guarded ? "all" : [] }
    )(task)
    return Stream.runCollect(rows as Stream.Stream<unknown>).pipe(
      Effect.map((all) => ({ rows: [...all], rowsIn: task.metrics.rowsIn })),
      Effect.provide(Layer.mergeAll(Shuffle.layerMemory(), Storage.layer))
    )
  }

  it.effect("is its partition of every map task, or of those of its part", () =>
    Effect.gen(function* () {
      const whole = yield* rowsOf(1, false)
      assert.deepStrictEqual(whole, { rows: ["job-7 1-2 of 0,1,2; job-9 1-2 of 0,1"], rowsIn: 1 })
      const part = yield* rowsOf(1, false, new Map([[7, [1, 3]]]))
      assert.deepStrictEqual(part.rows, ["job-7 1-2 of 1,2; job-9 1-2 of 0,1"])
    })
  )

  it.effect("is cut where it is left: all that was written for the partition and has not come out", () =>
    Effect.gen(function* () {
      for (const [partition, maps, read, rowsIn] of [
        [1, undefined, 2, 5],
        [1, undefined, 9, 5],
        [1, new Map([[7, [1, 3] as const]]), 1, 4],
        [0, undefined, 1, 3]
      ] as const) {
        const task = { ...taskOf(), stageValue: (id: number) => stages.get(id), maps }
        const sides = [7, 9].map((stage) => ({ _tag: "Moved" as const, stage }))
        const rows = readExchange({ ...node, read: readEach }, sides, partition, { travels: true, tags: "all" })(task)
        const some = yield* Stream.runCollect(Stream.take(rows as Stream.Stream<unknown>, read)).pipe(
          Effect.provide(Layer.mergeAll(Shuffle.layerMemory(), Storage.layer))
        )
        assert.strictEqual(some.length, Math.min(read, rowsIn))
        const { metrics } = task
        assert.deepStrictEqual([metrics.rowsIn, metrics.rowsCut], [rowsIn, rowsIn - some.length])
        assert.strictEqual(task.book.exchanged, rowsIn)
      }
    })
  )

  it.effect("is nothing of a partition without rows", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* rowsOf(2, true), { rows: [], rowsIn: 0 })
      // It is enough that one side has rows.
      assert.strictEqual((yield* rowsOf(0, false)).rows[0], "job-7 0-1 of 0,1,2; job-9 0-1 of 0,1")
    })
  )

  it.effect("has each failure of the map tasks once: in the first part of the first partition", () =>
    Effect.gen(function* () {
      const failures = (partition: number, maps?: ReadonlyMap<number, readonly [number, number]>) =>
        Effect.map(rowsOf(partition, true, maps), ({ rows }) => rows.filter((row) => row === failure).length)
      assert.strictEqual(yield* failures(0), 1)
      assert.strictEqual(yield* failures(1), 0)
      const parts = [
        [0, 2, 0, 1],
        [0, 2, 1, 2],
        [2, 3, 0, 1],
        [2, 3, 1, 2]
      ] as const
      const each = yield* Effect.forEach(parts, ([from, to, fromRight, toRight]) =>
        failures(
          0,
          new Map([
            [7, [from, to]],
            [9, [fromRight, toRight]]
          ])
        )
      )
      assert.deepStrictEqual(each, [1, 0, 0, 0])
    })
  )
})

describe("elements that failed before an exchange", () => {
  const run = <A>(rows: Rows, f: (rows: Stream.Stream<unknown, unknown>) => Effect.Effect<A, unknown>) =>
    f(rows as Stream.Stream<unknown, unknown>)

  it.effect("come after the rows, and are cut where nobody reads as far", () =>
    Effect.gen(function* () {
      const failed = [new Failed("one", 3), new Failed("two")]
      for (const [some, all, cut] of [
        [2, ["a", "b"], 4],
        [3, ["a", "b", failed[0]], 0],
        [9, ["a", "b", ...failed], 0]
      ] as const) {
        const task = taskOf()
        const rows = withFailed(Stream.make("a", "b"), failed, task)
        assert.deepStrictEqual(yield* run(Stream.take(rows, some), Stream.runCollect), [...all])
        assert.strictEqual(task.metrics.rowsCut, cut)
      }
    })
  )

  it.effect("go round it, and what the types do not hide fails the stream", () =>
    Effect.gen(function* () {
      const failure = new Failed("lost")
      const rows = () => Stream.concat(Stream.make("a", failure, "b"), Stream.fail({ _tag: "Broken" }))
      for (const [guard, diverted, aborted] of [
        [{ travels: false, tags: [] }, 0, false],
        [{ travels: true, tags: ["Other"] }, 1, false],
        [{ travels: false, tags: ["Broken"] }, 0, true],
        [{ travels: true, tags: "all" }, 1, true]
      ] as const) {
        const failed: Array<Failed> = []
        const reasons: Array<string> = []
        const task = {
          ...taskOf(),
          abort: (reason: JobError.Reason) =>
            Effect.andThen(
              Effect.sync(() => reasons.push(reason._tag)),
              Effect.interrupt
            )
        }
        const seen: Array<unknown> = []
        const exit = yield* run(divert(rows(), guard, failed, task), (rows) =>
          Effect.exit(Stream.runForEach(rows, (row) => Effect.sync(() => seen.push(row))))
        )
        assert.deepStrictEqual(failed, diverted === 1 ? [failure] : [])
        assert.deepStrictEqual(seen, diverted === 1 ? ["a", "b"] : ["a", failure, "b"])
        assert.deepStrictEqual(reasons, aborted ? ["PartitionFailed"] : [])
        assert.strictEqual(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), aborted)
        if (!aborted) assert.deepStrictEqual(exit, Exit.fail({ _tag: "Broken" }))
      }
    })
  )
})
