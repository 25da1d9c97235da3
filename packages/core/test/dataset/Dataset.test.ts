import { Dataset, Engine, Events, Executor, Storage, TaskContext } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Stream } from "effect"
import * as fc from "fast-check"

/** The elements by partition. */
const glom = <A, E, R>(self: Dataset.Dataset<A, E, R>) =>
  Dataset.collect(Dataset.mapPartitions(self, (rows) => Stream.fromEffect(Stream.runCollect(rows))))

const test = <E>(name: string, body: () => Effect.Effect<unknown, E, Engine.Engine>) =>
  it.effect(name, () => Effect.provide(body(), Engine.layer))

const numbers = (n: number) => Array.from({ length: n }, (_, i) => i)

describe("Dataset constructors", () => {
  test(
    "make has one partition",
    Effect.fnUntraced(function* () {
      assert.deepStrictEqual(yield* glom(Dataset.make(1, 2, 3)), [[1, 2, 3]])
    })
  )

  test(
    "fromIterable cuts runs of equal size, in order (RDDSuite: basic operations)",
    Effect.fnUntraced(function* () {
      assert.deepStrictEqual(yield* glom(Dataset.fromIterable([1, 2, 3, 4], { partitions: 2 })), [
        [1, 2],
        [3, 4]
      ])
      assert.deepStrictEqual(yield* glom(Dataset.fromIterable(new Set([1, 2, 3, 4, 5]), { partitions: 2 })), [
        [1, 2],
        [3, 4, 5]
      ])
    })
  )

  test(
    "more partitions than elements leave some empty",
    Effect.fnUntraced(function* () {
      const partitions = yield* glom(Dataset.fromIterable(["a", "b"], { partitions: 5 }))
      assert.strictEqual(partitions.length, 5)
      assert.deepStrictEqual(partitions.flat(), ["a", "b"])
    })
  )

  test(
    "no elements, in any number of partitions (RDDSuite: empty RDD)",
    Effect.fnUntraced(function* () {
      assert.deepStrictEqual(yield* glom(Dataset.empty), [[]])
      assert.deepStrictEqual(yield* glom(Dataset.fromIterable([], { partitions: 3 })), [[], [], []])
      assert.deepStrictEqual(yield* glom(Dataset.range(5, 5)), [[]])
      assert.deepStrictEqual(yield* glom(Dataset.range(5, 1)), [[]])
      assert.strictEqual(yield* Dataset.count(Dataset.fromStreams([])), 0)
    })
  )

  test(
    "range counts by its step, down too",
    Effect.fnUntraced(function* () {
      assert.deepStrictEqual(yield* glom(Dataset.range(0, 10, { step: 3, partitions: 2 })), [
        [0, 3],
        [6, 9]
      ])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.range(3, -4, { step: -3 })), [3, 0, -3])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.range(0, 1, { step: 0.25 })), [0, 0.25, 0.5, 0.75])
      assert.strictEqual(yield* Dataset.count(Dataset.range(0, 20_001, { partitions: 2 })), 20_001)
    })
  )

  test(
    "fromStreams has one partition per stream, which every action runs again",
    Effect.fnUntraced(function* () {
      let runs = 0
      const dataset = Dataset.fromStreams([
        Stream.fromEffect(Effect.sync(() => ++runs)),
        Stream.make(10, 20),
        Stream.empty
      ])
      assert.deepStrictEqual(yield* glom(dataset), [[1], [10, 20], []])
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [2, 10, 20])
    })
  )

  test(
    "nothing runs before an action, and an action runs as often as it is asked",
    Effect.fnUntraced(function* () {
      let calls = 0
      const count = Dataset.make(1, 2).pipe(
        Dataset.map(() => ++calls),
        Dataset.count
      )
      assert.strictEqual(calls, 0)
      assert.strictEqual(yield* count, 2)
      assert.strictEqual(yield* count, 2)
      assert.strictEqual(calls, 4)
    })
  )
})

describe("Dataset transformations", () => {
  test(
    "map, flatMap, filter, filterMap (RDDSuite: basic operations)",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.fromIterable([1, 2, 3, 4], { partitions: 2 })
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.map(dataset, String)), ["1", "2", "3", "4"])
      assert.deepStrictEqual(yield* glom(Dataset.flatMap(dataset, (n) => numbers(n))), [
        [0, 0, 1],
        [0, 1, 2, 0, 1, 2, 3]
      ])
      assert.deepStrictEqual(yield* glom(Dataset.filter(dataset, (n) => n > 3)), [[], [4]])
      assert.deepStrictEqual(
        yield* glom(Dataset.filterMap(dataset, (n) => (n % 2 === 0 ? Result.succeed(`${n}`) : Result.fail(n)))),
        [["2"], ["4"]]
      )
    })
  )

  test(
    "an element may be undefined, null or a function",
    Effect.fnUntraced(function* () {
      const values = [undefined, null, 0, "", Number.NaN]
      assert.deepStrictEqual(
        yield* Dataset.fromIterable(values).pipe(
          Dataset.map((value) => value),
          Dataset.filterMap((value) => Result.succeed(value)),
          Dataset.tap(() => Effect.void),
          Dataset.collect
        ),
        values
      )
    })
  )

  test(
    "pure steps do not change the array they were given",
    Effect.fnUntraced(function* () {
      const values = [3, 1, 2]
      const dataset = Dataset.fromIterable(values).pipe(
        Dataset.filter((n) => n > 1),
        Dataset.map((n) => n * 2)
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [6, 4])
      assert.deepStrictEqual(values, [3, 1, 2])
      const kept: Array<ReadonlyArray<number>> = []
      const result = yield* Dataset.make(1, 2).pipe(
        Dataset.mapArray((array) => {
          kept.push(array)
          return array
        }),
        Dataset.map((n) => n * 10),
        Dataset.collect
      )
      assert.deepStrictEqual(result, [10, 20])
      assert.deepStrictEqual(kept, [[1, 2]])
    })
  )

  test(
    "mapArray never sees an empty array",
    Effect.fnUntraced(function* () {
      const sizes: Array<number> = []
      yield* Dataset.fromIterable([1, 2, 3], { partitions: 3 }).pipe(
        Dataset.filter((n) => n !== 2),
        Dataset.tap(() => Effect.void),
        Dataset.mapArray((array) => {
          sizes.push(array.length)
          return array
        }),
        Dataset.count
      )
      assert.deepStrictEqual(sizes, [1, 1])
      yield* Dataset.make(1, 3).pipe(
        Dataset.mapEffect((n) => (n > 0 ? Effect.fail("no") : Effect.succeed(n))),
        Dataset.mapArray((array) => {
          sizes.push(array.length)
          return array
        }),
        Dataset.catch(() => Effect.succeed(0)),
        Dataset.count
      )
      assert.deepStrictEqual(sizes, [1, 1])
    })
  )

  test(
    "mapEffect keeps the order unless told otherwise, and bounds what runs at once",
    Effect.fnUntraced(function* () {
      let running = 0
      let most = 0
      const slow = (n: number) =>
        Effect.gen(function* () {
          most = Math.max(most, ++running)
          for (let i = 0; i < (7 * n) % 5; i++) yield* Effect.yieldNow
          running--
          return n
        })
      const dataset = Dataset.range(0, 50)
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.mapEffect(dataset, slow, { concurrency: 4 })), numbers(50))
      assert.strictEqual(most, 4)
      const unordered = yield* Dataset.collect(Dataset.mapEffect(dataset, slow, { concurrency: 4, unordered: true }))
      assert.notDeepEqual(unordered, numbers(50))
      assert.sameMembers(unordered, numbers(50))
      most = 0
      yield* Dataset.count(Dataset.mapEffect(dataset, slow))
      assert.strictEqual(most, 1)
    })
  )

  test(
    "mapPartitions sees its task",
    Effect.fnUntraced(function* () {
      const tasks = yield* Dataset.range(0, 4, { partitions: 2 }).pipe(
        Dataset.mapPartitions((rows, task) =>
          Stream.map(
            rows,
            (n) => [n, task.partition, task.partitions, task.attempt, task.split?.label, task.executor.id] as const
          )
        ),
        Dataset.collect
      )
      assert.deepStrictEqual(tasks, [
        [0, 0, 2, 0, "range[0]", "local-0"],
        [1, 0, 2, 0, "range[0]", "local-0"],
        [2, 1, 2, 0, "range[1]", "local-0"],
        [3, 1, 2, 0, "range[1]", "local-0"]
      ])
    })
  )

  test(
    "the task is there in every effect, and not outside",
    Effect.fnUntraced(function* () {
      const partition = Effect.map(TaskContext.Current, (task) => task?.partition)
      assert.isUndefined(yield* partition)
      assert.deepStrictEqual(
        yield* Dataset.range(0, 3, { partitions: 3 }).pipe(
          Dataset.mapEffect(() => partition),
          Dataset.collect
        ),
        [0, 1, 2]
      )
    })
  )

  test(
    "tap keeps the elements",
    Effect.fnUntraced(function* () {
      const seen: Array<number> = []
      const result = yield* Dataset.make(1, 2).pipe(
        Dataset.tap((n) => Effect.sync(() => seen.push(n * 10))),
        Dataset.collect
      )
      assert.deepStrictEqual(
        [result, seen],
        [
          [1, 2],
          [10, 20]
        ]
      )
    })
  )

  test(
    "select keeps the fields named",
    Effect.fnUntraced(function* () {
      assert.deepStrictEqual(
        yield* Dataset.make({ a: 1, b: 2, c: 3 }).pipe(Dataset.select("c", "a"), Dataset.collect),
        [{ c: 3, a: 1 }]
      )
    })
  )

  test(
    "union has the partitions of both in order, of itself too (RDDSuite: SparkContext.union)",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.fromIterable([1, 2], { partitions: 2 })
      assert.deepStrictEqual(yield* glom(Dataset.union(dataset, Dataset.make("a"))), [[1], [2], ["a"]])
      assert.deepStrictEqual(yield* glom(Dataset.union(dataset, dataset)), [[1], [2], [1], [2]])
      assert.deepStrictEqual(yield* glom(Dataset.union(dataset, Dataset.union(Dataset.empty, dataset))), [
        [1],
        [2],
        [],
        [1],
        [2]
      ])
    })
  )

  test(
    "coalesce makes balanced runs in order (RDDSuite: coalesced RDDs)",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.fromIterable(numbers(10), { partitions: 10 })
      assert.deepStrictEqual(yield* glom(Dataset.coalesce(dataset, 2)), [numbers(5), [5, 6, 7, 8, 9]])
      for (const target of [1, 3, 4, 7, 9]) {
        const groups = yield* glom(Dataset.coalesce(dataset, target))
        assert.strictEqual(groups.length, target)
        assert.deepStrictEqual(groups.flat(), numbers(10))
        const sizes = groups.map((group) => group.length)
        assert.isAtMost(Math.max(...sizes) - Math.min(...sizes), 1, `${target}: ${sizes}`)
      }
    })
  )

  test(
    "coalesce to more partitions than there are changes nothing (RDDSuite: coalesced RDDs)",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.fromIterable([1, 2, 3], { partitions: 3 })
      assert.deepStrictEqual(yield* glom(Dataset.coalesce(dataset, 20)), [[1], [2], [3]])
      assert.deepStrictEqual(yield* glom(Dataset.coalesce(Dataset.empty, 2)), [[]])
    })
  )

  test(
    "coalesce of coalesce and of a union (RDDSuite: coalesced RDDs with partial locality)",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.fromIterable(numbers(8), { partitions: 8 })
      assert.deepStrictEqual(yield* glom(dataset.pipe(Dataset.coalesce(4), Dataset.coalesce(2))), [
        [0, 1, 2, 3],
        [4, 5, 6, 7]
      ])
      assert.deepStrictEqual(yield* glom(Dataset.coalesce(Dataset.union(dataset, dataset), 2)), [
        numbers(8),
        numbers(8)
      ])
    })
  )

  test(
    "sample is the same for a seed, another for another, and unmoved by coalesce",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 10_000, { partitions: 10 })
      const sample = (seed: number) => Dataset.sample(dataset, { fraction: 0.1, seed })
      const first = yield* Dataset.collect(sample(1))
      assert.deepStrictEqual(yield* Dataset.collect(sample(1)), first)
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.coalesce(sample(1), 3)), first)
      assert.notDeepEqual(yield* Dataset.collect(sample(2)), first)
      assert.isAbove(first.length, 850)
      assert.isBelow(first.length, 1150)
      // Partitions draw on their own: not the same positions in each.
      assert.isAbove(new Set(first.map((n) => n % 1000)).size, 550)
    })
  )

  test(
    "sample of nothing, of everything, and with replacement (RDDSuite: takeSample from an empty rdd)",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 1000, { partitions: 3 })
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.sample(dataset, { fraction: 0, seed: 1 })), [])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.sample(dataset, { fraction: 1, seed: 1 })), numbers(1000))
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.sample(Dataset.empty, { fraction: 0.5, seed: 1 })), [])
      const twice = yield* Dataset.collect(Dataset.sample(dataset, { fraction: 2, seed: 1, withReplacement: true }))
      assert.isAbove(twice.length, 1800)
      assert.isBelow(twice.length, 2200)
      assert.deepStrictEqual(
        twice,
        twice.toSorted((a, b) => a - b)
      )
      assert.isAbove(twice.length, new Set(twice).size)
      assert.deepStrictEqual(
        yield* Dataset.collect(Dataset.sample(dataset, { fraction: 0, seed: 1, withReplacement: true })),
        []
      )
    })
  )

  test(
    "zipWithIndex (RDDSuite: zipWithIndex)",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.fromIterable(["a", "b", "c"], { partitions: 2 })
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.zipWithIndex(dataset)), [
        ["a", 0],
        ["b", 1],
        ["c", 2]
      ])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.zipWithIndex(Dataset.empty)), [])
    })
  )

  test(
    "zipWithIndex with a single partition runs no stage of its own (RDDSuite: zipWithIndex with single partition)",
    Effect.fnUntraced(function* () {
      let seen = 0
      const dataset = Dataset.make("a", "b").pipe(
        Dataset.filter(() => ++seen > 0),
        Dataset.zipWithIndex
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [
        ["a", 0],
        ["b", 1]
      ])
      assert.strictEqual(seen, 2)
    })
  )

  test(
    "zipWithIndex after a filter, and chained (RDDSuite: zipWithIndex chained with other RDDs (SPARK-4433))",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 10, { partitions: 3 }).pipe(
        Dataset.filter((n) => n % 2 === 1),
        Dataset.zipWithIndex
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [
        [1, 0],
        [3, 1],
        [5, 2],
        [7, 3],
        [9, 4]
      ])
      const twice = dataset.pipe(
        Dataset.filter(([n]) => n > 3),
        Dataset.zipWithIndex,
        Dataset.map(([[n], index]) => [n, index])
      )
      assert.deepStrictEqual(yield* Dataset.collect(twice), [
        [5, 0],
        [7, 1],
        [9, 2]
      ])
      const union = Dataset.union(dataset, dataset).pipe(Dataset.coalesce(2), Dataset.zipWithIndex)
      assert.deepStrictEqual(
        (yield* Dataset.collect(union)).map(([, index]) => index),
        numbers(10)
      )
    })
  )
})

// -- Property: any chain of pure narrow steps over any partitions is the same on an array --------------------------------

interface Step {
  readonly name: string
  readonly dataset: (self: Dataset.Dataset<number>) => Dataset.Dataset<number>
  readonly array: (values: ReadonlyArray<number>) => ReadonlyArray<number>
}

const step = fc.oneof(
  fc.integer({ min: -5, max: 5 }).map((k): Step => ({
    name: `map +${k}`,
    dataset: Dataset.map((n) => n + k),
    array: (values) => values.map((n) => n + k)
  })),
  fc.integer({ min: 2, max: 4 }).map((k): Step => ({
    name: `filter %${k}`,
    dataset: Dataset.filter((n) => n % k === 0),
    array: (values) => values.filter((n) => n % k === 0)
  })),
  fc.integer({ min: 2, max: 4 }).map((k): Step => ({
    name: `filterMap %${k}`,
    dataset: Dataset.filterMap((n) => (n % k === 0 ? Result.fail(n) : Result.succeed(n * k))),
    array: (values) => values.filter((n) => n % k !== 0).map((n) => n * k)
  })),
  fc.integer({ min: 0, max: 2 }).map((k): Step => ({
    name: `flatMap ${k}`,
    dataset: Dataset.flatMap((n) => Array.from({ length: k }, () => n)),
    array: (values) => values.flatMap((n) => Array.from({ length: k }, () => n))
  })),
  fc.constant<Step>({
    name: "mapArray",
    dataset: Dataset.mapArray((values) => values.filter((n) => n > 0)),
    array: (values) => values.filter((n) => n > 0)
  }),
  fc.integer({ min: 1, max: 5 }).map((k): Step => ({
    name: `mapEffect ${k}`,
    dataset: Dataset.mapEffect((n) => Effect.succeed(n + k), { concurrency: k }),
    array: (values) => values.map((n) => n + k)
  })),
  fc.constant<Step>({
    name: "mapPartitions",
    dataset: Dataset.mapPartitions((rows) => Stream.map(rows, (n) => -n)),
    array: (values) => values.map((n) => -n)
  }),
  fc.integer({ min: 1, max: 5 }).map((k): Step => ({
    name: `coalesce ${k}`,
    dataset: Dataset.coalesce(k),
    array: (values) => values
  })),
  fc.constant<Step>({
    name: "union",
    dataset: (self) =>
      Dataset.union(
        self,
        Dataset.map(self, (n) => n + 1)
      ),
    array: (values) => [...values, ...values.map((n) => n + 1)]
  }),
  fc.constant<Step>({
    name: "zipWithIndex",
    dataset: (self) =>
      self.pipe(
        Dataset.zipWithIndex,
        Dataset.map(([n, index]) => n * 3 + index)
      ),
    array: (values) => values.map((n, index) => n * 3 + index)
  }),
  fc.integer({ min: 2, max: 3 }).map((k): Step => ({
    name: `fail %${k} and catch`,
    dataset: (self) =>
      self.pipe(
        Dataset.mapEffect((n) => (n % k === 0 ? Effect.fail(n) : Effect.succeed(n))),
        Dataset.map((n) => n + 1),
        Dataset.catch((n) => Effect.succeed(n * 2))
      ),
    array: (values) => values.map((n) => (n % k === 0 ? n * 2 : n + 1))
  }))
)

describe("Dataset and arrays agree", () => {
  it.live("on random chains of narrow steps", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(Engine.layer)
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(
            fc.array(fc.integer({ min: -20, max: 20 }), { maxLength: 30 }),
            fc.integer({ min: 1, max: 6 }),
            fc.array(step, { maxLength: 6 }),
            async (values, partitions, steps) => {
              let dataset = Dataset.fromIterable(values, { partitions })
              let array: ReadonlyArray<number> = values
              for (const next of steps) {
                dataset = next.dataset(dataset)
                array = next.array(array)
              }
              const result = await Effect.runPromise(Effect.provideContext(Dataset.collect(dataset), context))
              assert.deepStrictEqual(
                result.map((n) => n + 0),
                array.map((n) => n + 0),
                steps.map((s) => s.name).join(", ")
              )
              const n = await Effect.runPromise(Effect.provideContext(Dataset.count(dataset), context))
              assert.strictEqual(n, array.length)
            }
          ),
          { numRuns: 300, seed: 7 }
        )
      )
    }).pipe(Effect.scoped)
  )
})

describe("Executor slots", () => {
  it.effect("no more partitions run at once than there are slots", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      yield* Dataset.range(0, 20, { partitions: 20 }).pipe(
        Dataset.tap(() =>
          Effect.gen(function* () {
            most = Math.max(most, ++running)
            for (let i = 0; i < 50; i++) yield* Effect.yieldNow
            running--
          })
        ),
        Dataset.count
      )
      assert.strictEqual(most, 5)
    }).pipe(Effect.provide(slots(5)))
  )
})

const slots = (n: number) =>
  Engine.layerNoDeps.pipe(
    Layer.provide(Executor.layerLocal({ executors: [{ slots: n - 2 }, { slots: 2 }] })),
    Layer.provide([Storage.layer, Events.layer])
  )
