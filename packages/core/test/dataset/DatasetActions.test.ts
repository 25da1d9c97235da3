import { Dataset, Engine, Events, JobError } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Stream } from "effect"

const test = <E>(name: string, body: () => Effect.Effect<unknown, E, Engine.Engine | Events.Events>) =>
  it.effect(name, () => Effect.provide(body(), Engine.layer))

const numbers = (n: number) => Array.from({ length: n }, (_, i) => i)

/** A dataset of partitions of ten numbers that notes which of them are read, and how many numbers. */
const counted = (partitions: number) => {
  const read: Array<number> = []
  let rows = 0
  const dataset = Dataset.fromStreams(
    numbers(partitions).map((partition) =>
      Stream.suspend(() => {
        read.push(partition)
        return Stream.fromIterable(numbers(10).map((n) => partition * 10 + n)).pipe(
          Stream.rechunk(1),
          Stream.tap(() => Effect.sync(() => rows++))
        )
      })
    )
  )
  return { dataset, read: () => read.splice(0).toSorted((a, b) => a - b), rows: () => rows }
}

describe("collect", () => {
  test(
    "fails with ResultTooLarge beyond its cap (TaskSetManagerSuite: abort the job if total size of results is too large)",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 100_000, { partitions: 4 }).pipe(Dataset.map((n) => `some text ${n}`))
      const error = yield* Effect.flip(Dataset.collect(dataset, { maxBytes: 100_000 }))
      assert.instanceOf(error, JobError.JobError)
      assert.strictEqual(error.reason._tag, "ResultTooLarge")
      assert.include(error.message, "larger than the limit of 100000 bytes")
      assert.include(error.message, "Dataset.toStream")
      assert.strictEqual((yield* Dataset.collect(dataset, { maxBytes: 100_000_000 })).length, 100_000)
    })
  )

  test(
    "the sum of small partitions counts too",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 2000, { partitions: 100 }).pipe(Dataset.map((n) => `some text ${n}`))
      const error = yield* Effect.flip(Dataset.collect(dataset, { maxBytes: 5000 }))
      assert.strictEqual(error.reason._tag, "ResultTooLarge")
    })
  )

  test(
    "keeps the order of partitions that end in another",
    Effect.fnUntraced(function* () {
      const first = yield* Deferred.make<void>()
      const dataset = Dataset.range(0, 2, { partitions: 2 }).pipe(
        Dataset.tap((n) => (n === 0 ? Deferred.await(first) : Deferred.succeed(first, void 0)))
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [0, 1])
    })
  )
})

describe("take, first, isEmpty", () => {
  test(
    "take reads no more partitions than it must, nor more rows (RDDSuite: take)",
    Effect.fnUntraced(function* () {
      const { dataset, read, rows } = counted(30)
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.fromIterable(yield* Dataset.take(dataset, 0))), [])
      assert.deepStrictEqual(read(), [])
      assert.deepStrictEqual(yield* Dataset.take(dataset, 3), [0, 1, 2])
      assert.deepStrictEqual(read(), [0])
      assert.isAtMost(rows(), 4)
      assert.deepStrictEqual(yield* Dataset.take(dataset, 10), numbers(10))
      assert.deepStrictEqual(read(), [0])
      assert.deepStrictEqual(yield* Dataset.take(dataset, 45), numbers(45))
      assert.deepStrictEqual(read(), [0, 1, 2, 3, 4])
      assert.deepStrictEqual(yield* Dataset.take(dataset, 51), numbers(51))
      assert.deepStrictEqual(read(), numbers(21))
      assert.deepStrictEqual(yield* Dataset.take(dataset, 1000), numbers(300))
      assert.deepStrictEqual(read(), numbers(30))
    })
  )

  test(
    "take passes over empty partitions",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 100, { partitions: 50 }).pipe(Dataset.filter((n) => n > 90))
      assert.deepStrictEqual(yield* Dataset.take(dataset, 2), [91, 92])
      assert.deepStrictEqual(yield* Dataset.take(dataset, 0), [])
    })
  )

  test(
    "first and isEmpty, of nothing too (RDDSuite: isEmpty)",
    Effect.fnUntraced(function* () {
      const { dataset, read } = counted(5)
      assert.deepStrictEqual(yield* Dataset.first(dataset), Option.some(0))
      assert.isFalse(yield* Dataset.isEmpty(dataset))
      assert.deepStrictEqual(read(), [0, 0])
      assert.deepStrictEqual(yield* Dataset.first(Dataset.empty), Option.none())
      assert.isTrue(yield* Dataset.isEmpty(Dataset.empty))
      assert.isTrue(yield* Dataset.isEmpty(Dataset.fromStreams([])))
      assert.deepStrictEqual(yield* Dataset.first(Dataset.make(undefined)), Option.some(undefined))
    })
  )
})

describe("count, reduce, fold, aggregate", () => {
  test(
    "reduce (RDDSuite: basic operations)",
    Effect.fnUntraced(function* () {
      const sum = (a: number, b: number) => a + b
      assert.deepStrictEqual(yield* Dataset.reduce(Dataset.range(1, 5, { partitions: 2 }), sum), Option.some(10))
      assert.deepStrictEqual(yield* Dataset.reduce(Dataset.fromIterable([7], { partitions: 4 }), sum), Option.some(7))
      assert.deepStrictEqual(yield* Dataset.reduce(Dataset.empty, sum), Option.none())
      assert.deepStrictEqual(yield* Dataset.reduce(Dataset.make(undefined), () => undefined), Option.some(undefined))
    })
  )

  test(
    "fold starts every partition and the driver from a zero of its own (RDDSuite: fold with op modifying first arg)",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 10, { partitions: 3 }).pipe(Dataset.map((n) => [n]))
      const folded = Dataset.fold(
        dataset,
        () => new Array<number>(),
        (left, right) => {
          left.push(...right)
          return left
        }
      )
      assert.deepStrictEqual(yield* folded, numbers(10))
      assert.deepStrictEqual(yield* folded, numbers(10))
      assert.strictEqual(
        yield* Dataset.fold(
          Dataset.range(0, 4, { partitions: 4 }),
          () => 1,
          (a, b) => a + b
        ),
        6 + 5
      )
    })
  )

  test(
    "aggregate with a mutable zero, in the order of the partitions (RDDSuite: aggregate)",
    Effect.fnUntraced(function* () {
      const pairs = Dataset.fromIterable<readonly [string, number]>(
        [
          ["a", 1],
          ["b", 2],
          ["a", 2],
          ["c", 5],
          ["a", 3]
        ],
        { partitions: 3 }
      )
      const sums = yield* Dataset.aggregate(
        pairs,
        () => new Map<string, number>(),
        (map, [key, value]) => map.set(key, (map.get(key) ?? 0) + value),
        (left, right) => {
          for (const [key, value] of right) left.set(key, (left.get(key) ?? 0) + value)
          return left
        }
      )
      assert.deepStrictEqual(Object.fromEntries(sums), { a: 6, b: 2, c: 5 })
      assert.strictEqual(
        yield* Dataset.aggregate(
          Dataset.range(0, 6, { partitions: 3 }),
          () => "",
          (s, n) => s + n,
          (l, r) => `${l}|${r}`
        ),
        "|01|23|45"
      )
    })
  )

  test(
    "reduce and fold run under their own names, not aggregate's",
    Effect.fnUntraced(function* () {
      const events = yield* Events.Events
      const dataset = Dataset.range(0, 4)
      const add = (left: number, right: number) => left + right
      const started = yield* Effect.scoped(
        Effect.gen(function* () {
          const stream = yield* events.subscribe
          yield* Dataset.reduce(dataset, add)
          yield* Dataset.fold(dataset, () => 0, add)
          yield* Dataset.aggregate(dataset, () => 0, add, add)
          return yield* stream.pipe(
            Stream.filter((event) => event._tag === "JobStarted"),
            Stream.take(3),
            Stream.runCollect
          )
        })
      )
      assert.deepStrictEqual(
        started.map((event) => event.name),
        ["reduce", "fold", "aggregate"]
      )
    })
  )

  test(
    "count",
    Effect.fnUntraced(function* () {
      assert.strictEqual(yield* Dataset.count(Dataset.empty), 0)
      assert.strictEqual(
        yield* Dataset.count(Dataset.flatMap(Dataset.range(0, 10, { partitions: 3 }), (n) => numbers(n))),
        45
      )
    })
  )
})

describe("forEach, forEachPartition", () => {
  test(
    "run where the rows are",
    Effect.fnUntraced(function* () {
      const seen: Array<number> = []
      yield* Dataset.range(0, 10, { partitions: 3 }).pipe(Dataset.forEach((n) => Effect.sync(() => seen.push(n))))
      assert.sameMembers(seen, numbers(10))
      const sizes: Array<readonly [number, number]> = []
      yield* Dataset.range(0, 10, { partitions: 3 }).pipe(
        Dataset.forEachPartition((rows, task) =>
          Effect.map(Stream.runCount(rows), (n) => sizes.push([task.partition, n]))
        )
      )
      assert.sameDeepMembers(sizes, [
        [0, 3],
        [1, 3],
        [2, 4]
      ])
    })
  )

  test(
    "fail with what their effect fails with",
    Effect.fnUntraced(function* () {
      const error = yield* Effect.flip(
        Dataset.forEach(Dataset.range(0, 10), (n) => (n === 5 ? Effect.fail("five" as const) : Effect.void))
      )
      assert.strictEqual(error, "five")
    })
  )
})

describe("toStream", () => {
  test(
    "has every element in order",
    Effect.fnUntraced(function* () {
      assert.deepStrictEqual(
        yield* Stream.runCollect(Dataset.toStream(Dataset.range(0, 40_000, { partitions: 3 }))),
        numbers(40_000)
      )
      assert.deepStrictEqual(yield* Stream.runCollect(Dataset.toStream(Dataset.empty)), [])
    })
  )

  test(
    "a slow consumer stops the reader",
    Effect.fnUntraced(function* () {
      let produced = 0
      const dataset = Dataset.fromStreams([
        Stream.range(1, 1_000_000).pipe(
          Stream.rechunk(1024),
          Stream.tap(() => Effect.sync(() => produced++))
        )
      ])
      const gate = yield* Deferred.make<void>()
      const fiber = yield* Dataset.toStream(dataset).pipe(
        Stream.tap(() => Deferred.await(gate)),
        Stream.take(10),
        Stream.runCollect,
        Effect.forkChild
      )
      // Nothing waits for time here: when every fiber has had its turn many times over, the reader stands.
      for (let i = 0; i < 200_000 && produced < 500_000; i++) yield* Effect.yieldNow
      const standing = produced
      assert.isAbove(standing, 0)
      assert.isBelow(standing, 50_000)
      for (let i = 0; i < 1000; i++) yield* Effect.yieldNow
      assert.strictEqual(produced, standing)
      yield* Deferred.succeed(gate, void 0)
      assert.strictEqual((yield* Fiber.join(fiber)).length, 10)
    })
  )

  test(
    "ending early interrupts the task and runs its finalizers",
    Effect.fnUntraced(function* () {
      const closed: Array<number> = []
      const dataset = Dataset.fromStreams(
        numbers(3).map((n) =>
          Stream.ensuring(
            Stream.forever(Stream.make(n)),
            Effect.sync(() => closed.push(n))
          )
        )
      )
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(Dataset.toStream(dataset), 2)), [0, 0])
      assert.deepStrictEqual(closed, [0])
    })
  )

  test(
    "fails after the elements before",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 5).pipe(
        Dataset.mapEffect((n) => (n === 3 ? Effect.fail("three") : Effect.succeed(n)))
      )
      const seen: Array<number> = []
      const error = yield* Effect.flip(
        Stream.runForEach(Dataset.toStream(dataset), (n) => Effect.sync(() => seen.push(n)))
      )
      assert.strictEqual(error, "three")
      assert.deepStrictEqual(seen, [0, 1, 2])
    })
  )
})
