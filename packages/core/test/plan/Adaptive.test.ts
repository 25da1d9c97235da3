import { Dataset, type Engine, Events, Partitioner, Shuffle } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Fiber, Layer, Option, Order, Result, Stream } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { runsOf, skewOf } from "../../src/plan/internal/adaptive.ts"
import { engine, engineOver, pairsOf, sameElements } from "../support/engines.ts"

const MiB = 1024 * 1024

/** The tasks of every stage that an action runs, by stage, and its result. */
const observed = <A, E>(action: Effect.Effect<A, E, Engine.Engine>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const tasks = new Map<number, number>()
      const events = yield* (yield* Events.Events).subscribe
      const ended = yield* events.pipe(
        Stream.tap((event) =>
          Effect.sync(() => {
            if (event._tag === "StageStarted") tasks.set(event.stage, event.tasks)
          })
        ),
        Stream.takeUntil((event) => event._tag === "JobEnded"),
        Stream.runDrain,
        Effect.forkScoped({ startImmediately: true })
      )
      const value = yield* action
      yield* Fiber.join(ended)
      return { value, tasks }
    })
  )

const words = (n: number, partitions: number) =>
  Dataset.range(0, n, { partitions }).pipe(Dataset.map((i) => [`word ${i % 100}`, 1 as number] as const))

describe("sizes", () => {
  it("small neighbours make a run, one that is too large is alone (ShufflePartitionsUtilSuite)", () => {
    assert.deepStrictEqual(runsOf([], 10), [])
    assert.deepStrictEqual(runsOf([0, 0, 0], 10), [[0, 3]])
    assert.deepStrictEqual(runsOf([5, 5, 1, 20, 3], 10), [
      [0, 2],
      [2, 3],
      [3, 4],
      [4, 5]
    ])
    assert.deepStrictEqual(runsOf([110, 10, 100, 110, 0], 100), [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 5]
    ])
  })

  it("skewed is five times the median and 256 MiB (OptimizeSkewedJoin)", () => {
    const limits = { targetPartitionBytes: 64 * MiB, minPartitionBytes: MiB, skewFactor: 5, skewBytes: 256 * MiB }
    assert.deepStrictEqual(skewOf([1, 2, 3], limits), { above: 256 * MiB, part: 64 * MiB })
    assert.deepStrictEqual(
      skewOf(
        [100, 60, 80, 1000].map((n) => n * MiB),
        limits
      ),
      {
        above: 450 * MiB,
        part: 80 * MiB
      }
    )
    assert.deepStrictEqual(skewOf([], limits), { above: 256 * MiB, part: 64 * MiB })
  })
})

describe("small partitions", () => {
  it.live("are read by one task, and written into one file", () => {
    const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-adaptive-"))
    return Effect.gen(function* () {
      const counts = words(10_000, 40).pipe(Dataset.reduceByKey((a, b) => a + b))
      const { tasks, value } = yield* observed(Dataset.collect(counts))
      assert.deepStrictEqual([...tasks.values()], [40, 1])
      assert.strictEqual(value.length, 100)
      assert.isTrue(value.every(([, n]) => n === 100))
      const output = Path.join(root, "out")
      const lines = Dataset.map(counts, ([word, n]) => `${word}\t${n}`)
      yield* Dataset.writeText(lines, output)
      assert.lengthOf(
        Fs.readdirSync(output).filter((name) => name.startsWith("part-")),
        1
      )
      // Later shuffles are written by fewer tasks, too.
      const again = yield* observed(Dataset.count(Dataset.distinct(Dataset.values(counts))))
      assert.deepStrictEqual([...again.tasks.values()], [40, 1, 1])
    }).pipe(Effect.provide(engine(MiB)), Effect.ensuring(Effect.sync(() => Fs.rmSync(root, { recursive: true }))))
  })

  it.live("stay as many as were asked for", () =>
    Effect.gen(function* () {
      const tasksOf = <A, E>(dataset: Dataset.Dataset<A, E>) =>
        Effect.map(observed(Dataset.collect(dataset)), ({ tasks }) => [...tasks.values()].at(-1))
      const add = (a: number, b: number) => a + b
      assert.strictEqual(yield* tasksOf(words(100, 8).pipe(Dataset.reduceByKey(add, { partitions: 7 }))), 7)
      assert.strictEqual(yield* tasksOf(words(100, 8).pipe(Dataset.repartition(6))), 6)
      assert.strictEqual(yield* tasksOf(words(100, 8).pipe(Dataset.partitionBy(Partitioner.hash(5)))), 5)
      assert.strictEqual(yield* tasksOf(Dataset.sortByKey(words(100, 8), Order.String, { partitions: 4 })), 4)
      // A join of what is partitioned by key keeps its partitions.
      const placed = words(100, 8).pipe(Dataset.partitionBy(Partitioner.hash(5)))
      assert.strictEqual(yield* tasksOf(Dataset.fullJoin(placed, words(100, 3))), 5)
      assert.strictEqual(
        yield* tasksOf(words(100, 8).pipe(Dataset.reduceByKey(add))).pipe(
          Effect.provide(engine(MiB, { adaptive: false }))
        ),
        8
      )
    }).pipe(Effect.provide(engine(MiB)))
  )

  it.live("keep no slot idle once they have a mebibyte, and 64 at most", () =>
    Effect.gen(function* () {
      const rows = Dataset.range(0, 4000, { partitions: 16 }).pipe(
        Dataset.map((i) => [i, new Uint8Array(1024).fill(i)] as const)
      )
      const sorted = Dataset.sortByKey(rows, Order.Number)
      // 4 MiB on two slots.
      const halves = yield* observed(Dataset.count(sorted))
      assert.include([2, 3], [...halves.tasks.values()].at(-1))
      const small = yield* observed(Dataset.count(sorted)).pipe(
        Effect.provide(engine(64 * MiB, { targetPartitionBytes: MiB }))
      )
      assert.include([4, 5, 6], [...small.tasks.values()].at(-1))
    }).pipe(Effect.provide(engine(64 * MiB)))
  )

  it.live("keep their order, and steps see each of them by itself", () =>
    Effect.gen(function* () {
      const shuffled = Dataset.fromIterable(
        Array.from({ length: 500 }, (_, i) => [(i * 7919) % 500, i] as const),
        { partitions: 9 }
      )
      const sorted = Dataset.sortByKey(shuffled, Order.Number)
      const { tasks, value } = yield* observed(Dataset.collect(Dataset.keys(sorted)))
      assert.strictEqual([...tasks.values()].at(-1), 1)
      assert.deepStrictEqual(
        value,
        Array.from({ length: 500 }, (_, i) => i)
      )
      const seen = yield* Dataset.collect(
        Dataset.mapPartitions(sorted, (rows, task) =>
          Stream.fromEffect(Effect.map(Stream.runCount(rows), (n) => [task.partition, task.partitions, n > 0] as const))
        )
      )
      assert.deepStrictEqual(
        seen,
        Array.from({ length: 9 }, (_, i) => [i, 9, true] as const)
      )
      assert.lengthOf(yield* Dataset.collect(Dataset.glom(sorted)), 9)
      const indexed = yield* Dataset.collect(Dataset.zipWithIndex(Dataset.keys(sorted)))
      assert.isTrue(indexed.every(([key, index]) => key === index))
      assert.deepStrictEqual(yield* Dataset.lookup(sorted, 250), [value.length === 500 ? indexOfKey(250) : -1])
    }).pipe(Effect.provide(engine(MiB)))
  )
})

describe("partitions of a source that is larger than its splits say", () => {
  // A text of some 72 kB in one split.
  const lines = Array.from(
    { length: 6000 },
    (_, i) => `${String(i % 500).padStart(4, "0")} ${String(i).padStart(6, "0")}`
  )
  const inText = <A, E, R>(use: (path: string) => Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-sized-"))),
      (root) => {
        const path = Path.join(root, "lines.txt")
        Fs.writeFileSync(path, lines.join("\n") + "\n")
        return use(path)
      },
      (root) => Effect.sync(() => Fs.rmSync(root, { recursive: true }))
    )
  const grouped = (path: string) => Dataset.groupBy(Dataset.text(path), (line) => line.slice(0, 4))
  // Sorted runs that reduce tasks spilled to a shuffle in memory.
  const observing = (target: number | undefined, created: Array<string>) => {
    const store = Layer.effect(
      Shuffle.Shuffle,
      Effect.map(Shuffle.Shuffle, (shuffle) => ({
        ...shuffle,
        store: {
          ...shuffle.store,
          create: (id: string, name: string) =>
            Effect.suspend(() => {
              created.push(name)
              return shuffle.store.create(id, name)
            })
        }
      }))
    )
    return engineOver(
      Layer.provide(store, Shuffle.layerMemory({ memoryBytes: 160 * 1024, blockBytes: 1024 })),
      target === undefined ? { adaptive: false } : { targetPartitionBytes: target, minPartitionBytes: 1024 }
    )
  }

  it.live("follow from its bytes, so that a group of it does not spill", () =>
    inText((path) =>
      Effect.gen(function* () {
        const runs = (created: ReadonlyArray<string>) => created.filter((name) => name.startsWith("run-")).length
        const sized: Array<string> = []
        const { tasks, value } = yield* observed(Dataset.count(grouped(path))).pipe(
          Effect.provide(observing(10_000, sized))
        )
        assert.strictEqual(value, 500)
        // 72,000 bytes, and a little more in the shuffle.
        assert.strictEqual([...tasks.values()].at(-1), 8)
        assert.strictEqual(runs(sized), 0)
        const split: Array<string> = []
        assert.strictEqual(yield* Dataset.count(grouped(path)).pipe(Effect.provide(observing(undefined, split))), 500)
        assert.isAbove(runs(split), 0)
      })
    )
  )

  it.live("hold the same groups, and an order is kept", () =>
    inText((path) =>
      Effect.gen(function* () {
        const sizes = yield* Dataset.collect(
          Dataset.mapEffect(grouped(path), ([key, values]) =>
            Effect.map(Stream.runCount(values), (n) => [key, n] as const)
          )
        )
        assert.lengthOf(sizes, 500)
        assert.isTrue(sizes.every(([, n]) => n === 12))
        const two = Dataset.union(Dataset.text(path), Dataset.text(path))
        const sorted = yield* Dataset.collect(Dataset.sortBy(two, (line) => line, Order.String))
        assert.deepStrictEqual(sorted, [...lines, ...lines].toSorted())
      }).pipe(Effect.provide(engine(MiB, { targetPartitionBytes: 10_000, minPartitionBytes: 1 })))
    )
  )

  it.live("are as many as it has where their number matters, or where it was asked for", () =>
    inText((path) =>
      Effect.gen(function* () {
        const counts = Dataset.reduceByKey(
          Dataset.map(Dataset.text(path), (line) => [line.slice(0, 4), 1 as number] as const),
          (a, b) => a + b
        )
        const few = Dataset.fromIterable([["0001", "x"] as const]).pipe(Dataset.partitionBy(Partitioner.hash(1)))
        const beside = Dataset.zipPartitions(counts, few, (left, right) => Stream.zip(left, right))
        assert.lengthOf(yield* Dataset.collect(beside), 1)
        const kept = Dataset.cache(counts)
        assert.lengthOf(yield* Dataset.collect(Dataset.glom(kept)), 1)
        assert.lengthOf(yield* Dataset.collect(kept), 500)
        assert.deepStrictEqual(yield* Dataset.lookup(counts, "0007"), [12])
        const asked = Dataset.groupBy(Dataset.text(path), (line) => line, { partitions: 3 })
        assert.lengthOf(yield* Dataset.collect(Dataset.glom(Dataset.keys(asked))), 3)
        const free = yield* Dataset.collect(Dataset.glom(counts))
        assert.isAbove(free.length, 1)
      }).pipe(Effect.provide(engine(MiB, { targetPartitionBytes: 10_000, minPartitionBytes: 1 })))
    )
  )
})

const indexOfKey = (key: number) => Array.from({ length: 500 }, (_, i) => i).find((i) => (i * 7919) % 500 === key)

describe("a skewed partition of a join", () => {
  // One key with most of the rows on one side or both, and few of every other.
  const side = (heavy: number, tag: string) =>
    pairsOf(
      [
        ...Array.from({ length: 20 }, (_, i) => [i, `${tag}${i}`] as const),
        ...Array.from({ length: heavy }, (_, i) => [3, `${tag} heavy ${i}`] as const),
        [tag.charCodeAt(0), "alone"] as const
      ].map(([key, value]) => [(key * 7) % 101, value] as const),
      6
    )
  const sides = { broadcastBytes: 0, minPartitionBytes: 1, targetPartitionBytes: 600, skewBytes: 1000, skewFactor: 3 }
  type Side = Dataset.Dataset<readonly [number, string]>
  const joins: Record<string, (left: Side, right: Side) => Dataset.Dataset<readonly [number, unknown]>> = {
    join: (left, right) => Dataset.join(left, right),
    leftJoin: (left, right) => Dataset.leftJoin(left, right),
    rightJoin: (left, right) => Dataset.rightJoin(left, right),
    fullJoin: (left, right) => Dataset.fullJoin(left, right),
    subtractByKey: (left, right) => Dataset.subtractByKey(left, right)
  }
  // The larger side that each may read in parts.
  const splits: Record<string, ReadonlyArray<"left" | "right" | "both">> = {
    join: ["left", "right", "both"],
    leftJoin: ["left", "both"],
    rightJoin: ["right", "both"],
    fullJoin: [],
    subtractByKey: ["left", "both"]
  }

  for (const [name, of] of Object.entries(joins)) {
    for (const heavy of ["left", "right", "both"] as const) {
      const expected = splits[name]?.includes(heavy) === true
      it.live(`${name}, heavy on ${heavy}: ${expected ? "split" : "whole"}, and the rows are the same`, () =>
        Effect.gen(function* () {
          const joined = of(side(heavy === "right" ? 0 : 120, "l"), side(heavy === "left" ? 0 : 120, "r"))
          const adapted = yield* observed(Dataset.collect(joined)).pipe(Effect.provide(engine(MiB, sides)))
          const plain = yield* observed(Dataset.collect(joined)).pipe(
            Effect.provide(engine(MiB, { ...sides, adaptive: false }))
          )
          const text = (rows: ReadonlyArray<unknown>) => rows.map((row) => JSON.stringify(row)).toSorted()
          assert.deepStrictEqual(text(adapted.value), text(plain.value))
          assert.strictEqual([...plain.tasks.values()].at(-1), 6)
          const tasks = [...adapted.tasks.values()].at(-1) ?? 0
          // The five other partitions have less than 600 bytes each.
          if (expected) assert.isAbove(tasks, 6)
          else assert.isAtMost(tasks, 6)
        })
      )
    }
  }

  it.live("goes on in parts through the steps after it, but not into ones that see partitions", () =>
    Effect.gen(function* () {
      const joined = Dataset.join(side(120, "l"), side(0, "r"))
      const mapped = yield* observed(Dataset.count(Dataset.filter(joined, ([, [left]]) => left.includes("heavy"))))
      assert.strictEqual(mapped.value, 120)
      assert.isAbove([...mapped.tasks.values()].at(-1) ?? 0, 6)
      const glommed = yield* observed(Dataset.collect(Dataset.glom(joined)))
      assert.lengthOf(glommed.value, 6)
      assert.isAtMost([...glommed.tasks.values()].at(-1) ?? 0, 6)
      // What is grouped where the join left it needs all of a key in one place.
      const grouped = yield* Dataset.collect(
        Dataset.mapValues(
          Dataset.reduceByKey(
            Dataset.mapValues(joined, () => 1),
            (a, b) => a + b
          ),
          (n) => n
        )
      )
      assert.deepStrictEqual(
        grouped.find(([key]) => key === 21),
        [21, 121]
      )
    }).pipe(Effect.provide(engine(MiB, sides)))
  )
})

describe("a side of a join that turns out to be small", () => {
  const large = () => Dataset.range(0, 5000, { partitions: 6 }).pipe(Dataset.map((i) => [i % 500, i] as const))
  const small = () =>
    Dataset.range(0, 5000, { partitions: 4 }).pipe(
      Dataset.map((i) => [i, `n${i}`] as const),
      Dataset.filter(([i]) => i % 250 === 0)
    )

  it.live("is broadcast, and the other does not move", () =>
    Effect.gen(function* () {
      const joined = Dataset.join(large(), small())
      const plan = yield* Dataset.explain(joined)
      assert.include(plan, "by broadcast if stage 0 writes at most 10,485,760 bytes")
      const { tasks, value } = yield* observed(Dataset.collect(joined))
      // Four tasks write it, one reads it, and it is joined with the six partitions of the other.
      assert.deepStrictEqual([...tasks.values()], [4, 1, 6])
      sameElements(
        value.filter(([, [i]]) => i < 300),
        [
          [0, [0, "n0"]],
          [250, [250, "n250"]]
        ]
      )
      assert.lengthOf(value, 20)
      const shuffled = yield* observed(Dataset.collect(joined)).pipe(
        Effect.provide(engine(MiB, { broadcastBytes: 100 }))
      )
      assert.deepStrictEqual([...shuffled.tasks.values()].slice(0, 2), [4, 6])
      sameElements(shuffled.value, value)
      const without = yield* Dataset.explain(joined).pipe(Effect.provide(engine(MiB, { adaptive: false })))
      assert.notInclude(without, "by broadcast")
    }).pipe(Effect.provide(engine(MiB)))
  )

  it.live("the first of them, too, and not where it would leave rows over", () =>
    Effect.gen(function* () {
      const first = yield* observed(Dataset.count(Dataset.rightJoin(small(), large())))
      assert.deepStrictEqual([...first.tasks.values()], [4, 1, 6])
      assert.strictEqual(first.value, 5000)
      const left = yield* observed(Dataset.count(Dataset.leftJoin(small(), large())))
      assert.strictEqual([...left.tasks.values()][0], 6)
      assert.strictEqual(left.value, 20 - 2 + 20)
    }).pipe(Effect.provide(engine(MiB, { broadcastBytes: 5000 })))
  )

  it.live("is the one of which less is known against it, where both might be", () =>
    Effect.gen(function* () {
      const lines = Dataset.map(Dataset.range(0, 1000, { partitions: 2 }), (i) => `${i}`)
      yield* Dataset.writeText(lines, "memory:///numbers")
      const known = Dataset.text("memory:///numbers").pipe(
        Dataset.filterMap((line) =>
          line.endsWith("50") ? Result.succeed([Number(line), line] as const) : Result.fail(line)
        )
      )
      // The files are larger than the broadcast limit, but nothing is known about the other side.
      for (const joined of [Dataset.keys(Dataset.join(known, large())), Dataset.keys(Dataset.join(large(), known))]) {
        const { tasks, value } = yield* observed(Dataset.collect(joined))
        assert.deepStrictEqual([...tasks.values()], [1, 1, 6])
        assert.lengthOf(value, 50)
      }
    }).pipe(Effect.provide(engine(MiB, { broadcastBytes: 2000 })))
  )

  it.live("joins of joins are decided one after another", () =>
    Effect.gen(function* () {
      const named = Dataset.join(large(), small()).pipe(Dataset.mapValues(([i, name]) => `${name} ${i}`))
      const twice = Dataset.leftJoin(Dataset.join(named, small()), Dataset.distinct(small()))
      const { value } = yield* observed(Dataset.collect(twice))
      assert.lengthOf(value, 20)
      assert.isTrue(value.every(([, [, other]]) => Option.isSome(other)))
      const plain = yield* Dataset.collect(twice).pipe(
        Effect.provide(engine(MiB, { adaptive: false, broadcastBytes: 0 }))
      )
      sameElements(value, plain)
    }).pipe(Effect.provide(engine(MiB)))
  )

  it.live("does not change what a cache keeps", () =>
    Effect.gen(function* () {
      const kept = Dataset.cache(Dataset.join(large(), small()))
      const once = yield* observed(Dataset.count(kept))
      const again = yield* observed(Dataset.count(kept))
      assert.strictEqual(once.value, 20)
      assert.strictEqual(again.value, 20)
      assert.deepStrictEqual([...again.tasks.values()], [6])
      assert.deepStrictEqual(
        yield* Dataset.collect(Dataset.zip(kept, kept)),
        (yield* Dataset.collect(kept)).map((row) => [row, row] as const)
      )
    }).pipe(Effect.provide(engine(MiB)))
  )

  it.live("elements of it that failed reach the handler after the join", () =>
    Effect.gen(function* () {
      const failing = Dataset.mapEffect(small(), ([key, value]) =>
        key === 250 ? Effect.fail("lost" as const) : Effect.succeed([key, value] as const)
      )
      const rows = yield* Dataset.join(large(), failing).pipe(
        Dataset.map(([key]) => key),
        Dataset.catch((error) => Effect.succeed(error)),
        Dataset.collect
      )
      assert.deepStrictEqual(
        rows.filter((row) => row === "lost"),
        ["lost"]
      )
      assert.isTrue(rows.some((row) => Equal.equals(row, 0)))
      assert.isFalse(rows.some((row) => Equal.equals(row, 250)))
    }).pipe(Effect.provide(engine(MiB)))
  )

  it.live("nothing runs for an action that takes nothing", () =>
    Effect.gen(function* () {
      const { tasks, value } = yield* observed(Dataset.take(Dataset.join(large(), small()), 0))
      assert.deepStrictEqual(value, [])
      assert.strictEqual(tasks.size, 0)
    }).pipe(Effect.provide(engine(MiB)))
  )
})
