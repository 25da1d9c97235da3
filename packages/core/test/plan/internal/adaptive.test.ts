import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { adapt, joined, type Limits, type Measure, skewOf } from "../../../src/plan/internal/adaptive.ts"
import type { Partition } from "../../../src/plan/Stage.ts"
import { Current } from "../../../src/task/TaskContext.ts"
import { partitionOf, taskOf } from "../../support/runtime.ts"

const limits: Limits = { targetPartitionBytes: 100, minPartitionBytes: 10, skewFactor: 3, skewBytes: 50 }

/** What a task of a stage of `of` partitions saw: the partition, and the map tasks by stage where it reads a part. */
type Seen = readonly [partition: number, of: number, maps: ReadonlyArray<readonly [number, ReadonlyArray<number>]>]

const partitions = (count: number): ReadonlyArray<Partition> =>
  Array.from({ length: count }, (_, index) =>
    partitionOf(index, {
      read: (task) =>
        Stream.fromEffect(
          Effect.map(Current, (current) => {
            assert.strictEqual(current, task, "the steps see the same task")
            return [task.partition, task.partitions, [...(task.maps ?? [])]]
          })
        )
    })
  )

const tasksOf = (adapted: ReadonlyArray<Partition>) =>
  Effect.forEach(adapted, (partition, index) => {
    const task = { ...taskOf(), partition: index, partitions: adapted.length }
    const seen = Stream.provideService(partition.read(task), Current, task)
    return Effect.map(Stream.runCollect(seen as Stream.Stream<Seen>), (all) => [...all])
  })

/** The partitions that each task reads whole. */
const adapted = (sizes: ReadonlyArray<number>, slots: number, changed: Partial<Limits> = {}, skew?: Measure["skew"]) =>
  tasksOf(
    adapt(
      partitions(sizes.length),
      { bytes: (partition) => sizes[partition]!, skew },
      { ...limits, ...changed },
      () => undefined,
      slots
    )
  )

const whole = (groups: ReadonlyArray<ReadonlyArray<number>>, of: number) =>
  groups.map((group) => group.map((partition): Seen => [partition, of, []]))

describe("the tasks of a stage that reads shuffles", () => {
  it.effect("read small neighbours together, each as the partition it is", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* adapted([30, 60, 20, 0, 0, 90], 1), whole([[0, 1], [2, 3, 4], [5]], 6))
    })
  )

  it.effect("leave no slot idle, unless they would have less than the least", () =>
    Effect.gen(function* () {
      const sizes = [20, 20, 20, 20]
      assert.deepStrictEqual(yield* adapted(sizes, 1), whole([[0, 1, 2, 3]], 4))
      assert.deepStrictEqual(
        yield* adapted(sizes, 2),
        whole(
          [
            [0, 1],
            [2, 3]
          ],
          4
        )
      )
      // A share is rounded up: 80 bytes over 3 slots are 27.
      assert.deepStrictEqual(yield* adapted(sizes, 3), whole([[0], [1], [2], [3]], 4))
      assert.deepStrictEqual(yield* adapted([13, 14, 13, 14, 26], 3), whole([[0, 1], [2, 3], [4]], 5))
      assert.deepStrictEqual(
        yield* adapted(sizes, 100, { minPartitionBytes: 40 }),
        whole(
          [
            [0, 1],
            [2, 3]
          ],
          4
        )
      )
      assert.deepStrictEqual(yield* adapted(sizes, 0), whole([[0, 1, 2, 3]], 4))
    })
  )

  it("are the plan's own where there is nothing to change", () => {
    const own = partitions(3)
    assert.strictEqual(
      adapt(own, { bytes: () => 100 }, limits, () => undefined, 1),
      own
    )
  })

  it.effect("read a skewed partition of a join in parts, which meet the whole of the other side", () =>
    Effect.gen(function* () {
      // Partition 1 of stage 7 has three map tasks of 100 bytes, the others are small.
      const left = [10, 300, 10, 10]
      const right = [5, 8, 5, 5]
      const skew: NonNullable<Measure["skew"]> = [
        { stage: 7, splits: true, bytes: (partition) => left[partition]!, maps: () => [100, 100, 100] },
        { stage: 9, splits: true, bytes: (partition) => right[partition]!, maps: () => [8] }
      ]
      const sizes = left.map((size, index) => size + right[index]!)
      const part = (run: ReadonlyArray<number>): ReadonlyArray<Seen> => [[1, 4, [[7, run]]]]
      assert.deepStrictEqual(yield* adapted(sizes, 1, {}, skew), [
        [[0, 4, []]],
        part([0, 1]),
        part([1, 2]),
        part([2, 3]),
        [
          [2, 4, []],
          [3, 4, []]
        ]
      ])
      // A side that may not meet the other in parts stays whole.
      const [one, other] = skew
      const kept = yield* adapted(sizes, 1, {}, [{ ...one!, splits: false }, other!])
      assert.deepStrictEqual(kept, whole([[0], [1], [2, 3]], 4))
      // So does one that came from one map task.
      assert.deepStrictEqual(yield* adapted(sizes, 1, {}, [{ ...one!, maps: () => [300] }, other!]), kept)
      // And one that is as large as it may be.
      assert.deepStrictEqual(yield* adapted(sizes, 1, { skewBytes: 300 }, skew), kept)
    })
  )

  it.effect("read every part of one side with every part of the other where both are skewed", () =>
    Effect.gen(function* () {
      const side = (stage: number): NonNullable<Measure["skew"]>[number] => ({
        stage,
        splits: true,
        bytes: (partition) => [1, 1, 200][partition]!,
        maps: () => [100, 50, 50]
      })
      const seen = yield* adapted([2, 2, 400], 1, {}, [side(7), side(9)])
      assert.deepStrictEqual(seen.slice(0, 1), whole([[0, 1]], 3))
      assert.deepStrictEqual(
        seen.slice(1),
        [
          [
            [0, 1],
            [0, 1]
          ],
          [
            [0, 1],
            [1, 3]
          ],
          [
            [1, 3],
            [0, 1]
          ],
          [
            [1, 3],
            [1, 3]
          ]
        ].map(([left, right]): ReadonlyArray<Seen> => [
          [
            2,
            3,
            [
              [7, left!],
              [9, right!]
            ]
          ]
        ])
      )
    })
  )
})

describe("a skewed partition", () => {
  it("is a multiple of the median, also for an even number of partitions", () => {
    const above = (sizes: ReadonlyArray<number>) => skewOf(sizes, { ...limits, skewBytes: 0 }).above
    assert.strictEqual(above([9, 1, 5]), 15)
    assert.strictEqual(above([9, 1, 5, 100]), 21)
    assert.strictEqual(above([10, 9]), 28.5)
    assert.strictEqual(above([7]), 21)
    // By number, not as text.
    assert.strictEqual(above([9, 10, 100]), 30)
  })

  it("is cut into parts as large as the others are, or as partitions should be", () => {
    const part = (sizes: ReadonlyArray<number>, targetPartitionBytes: number) =>
      skewOf(sizes, { ...limits, targetPartitionBytes }).part
    assert.strictEqual(part([40, 60, 1000, 50], 10), 50)
    assert.strictEqual(part([40, 60, 1000, 50], 55), 55)
    assert.strictEqual(part([150, 50, 50], 10), 250 / 3)
  })
})

describe("partitions read one after another", () => {
  it("are one of all their rows, bytes, hosts and files", () => {
    const split = (id: string) => ({
      id,
      label: `${id}.parquet`,
      parts: [{ path: id, offset: 0, length: 1 }],
      rows: 1,
      bytes: 1
    })
    const read = () => Stream.empty
    const both = joined(
      [
        partitionOf(0, { rows: 3, bytes: 10, hosts: ["a", "b"], split: split("x") }),
        partitionOf(1, { rows: 4, bytes: 20, hosts: ["b", "c"] }),
        partitionOf(2, { rows: 5, bytes: 30, hosts: [], split: split("y") })
      ],
      read
    )
    assert.deepStrictEqual([both.rows, both.bytes, both.hosts], [12, 60, ["b", "c", "a"]])
    assert.deepStrictEqual(both.split, {
      id: "x++y",
      label: "x.parquet and 2 more",
      parts: [...split("x").parts, ...split("y").parts],
      rows: 12,
      bytes: 60
    })
    assert.strictEqual(joined([partitionOf(0, { split: split("x") })], read).split?.label, "x.parquet")
    const unknown = joined([partitionOf(0, { rows: 3 }), partitionOf(1)], read)
    assert.deepStrictEqual([unknown.rows, unknown.split], [undefined, undefined])
  })
})
