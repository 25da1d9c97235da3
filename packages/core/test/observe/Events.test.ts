import { Dataset, Engine, EngineConfig, Events, Executor, Shuffle, Storage } from "@sluice/core"
import { FaultyStorage } from "@sluice/core/testing"
import { Unavailable } from "@sluice/core/StorageError"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Order, Stream } from "effect"
import { TestClock } from "effect/testing"

/** One executor with three slots on the host `rack`. */
const over = (storage: Layer.Layer<Storage.Storage | FaultyStorage.FaultyStorage>) =>
  Layer.fresh(Engine.layerWithShuffle).pipe(
    Layer.provide(Executor.layerLocal({ executors: [{ id: "a", host: "rack", slots: 3 }] })),
    Layer.provideMerge(Layer.mergeAll(storage, Events.layer, Shuffle.layerMemory())),
    Layer.provide(EngineConfig.layer({ splitBytes: 10, openCostBytes: 0 }))
  )

const storage = FaultyStorage.layer(Storage.layer)

const settle = Effect.forEach(Array.from({ length: 100 }), () => Effect.yieldNow, { discard: true })

/** The events while an action runs; how it ends does not matter. */
const toldBy = <A, E, R>(action: Effect.Effect<A, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const told: Array<Events.Event> = []
      const events = yield* (yield* Events.Events).subscribe
      yield* Effect.forkScoped(Stream.runForEach(events, (event) => Effect.sync(() => told.push(event))))
      yield* Effect.exit(action)
      yield* settle
      return told
    })
  )

const only = <Tag extends Events.Event["_tag"]>(events: ReadonlyArray<Events.Event>, tag: Tag) =>
  events.filter((event): event is Extract<Events.Event, { readonly _tag: Tag }> => event._tag === tag)

describe("the end of a task", () => {
  it.effect("is told as what it was: success, failure, or interrupted by the failure of another", () =>
    Effect.gen(function* () {
      const done = yield* Deferred.make<void>()
      const events = yield* toldBy(
        Dataset.range(0, 3, { partitions: 3 }).pipe(
          Dataset.tap((n) =>
            n === 0
              ? Effect.andThen(Deferred.await(done), Effect.fail("zero"))
              : n === 1
                ? Effect.never
                : Effect.andThen(Effect.forkDetach(Effect.andThen(settle, Deferred.succeed(done, void 0))), Effect.void)
          ),
          Dataset.count
        )
      )
      assert.deepStrictEqual(
        only(events, "TaskEnded")
          .toSorted((one, other) => one.partition - other.partition)
          .map(({ attempt, executor, outcome, partition, stage }) => [stage, partition, attempt, executor, outcome]),
        [
          [0, 0, 0, "a", "failure"],
          [0, 1, 0, "a", "interrupted"],
          [0, 2, 0, "a", "success"]
        ]
      )
      assert.deepStrictEqual(
        only(events, "JobEnded").map(({ outcome }) => outcome),
        ["failure"]
      )
    }).pipe(Effect.provide(over(storage)))
  )

  it.effect("is told of every attempt, and the rows of one that failed are not counted", () =>
    Effect.gen(function* () {
      const store = yield* Storage.Storage
      const faults = yield* FaultyStorage.FaultyStorage
      yield* store.write("memory:///in.txt", Stream.make(new TextEncoder().encode("a\nb\nc\nd\ne\n")))
      yield* faults.inject({ operation: "read", times: 2, reason: new Unavailable({ detail: "gone" }) })
      const events = yield* toldBy(Dataset.count(Dataset.text("memory:///in.txt")))
      assert.deepStrictEqual(
        only(events, "TaskStarted").map(({ attempt, locality, split }) => [attempt, split, locality]),
        [0, 1, 2].map((attempt) => [attempt, "in.txt", "any"])
      )
      assert.deepStrictEqual(
        only(events, "TaskEnded").map(({ attempt, outcome }) => [attempt, outcome]),
        [
          [0, "failure"],
          [1, "failure"],
          [2, "success"]
        ]
      )
      const [end] = only(events, "JobEnded")
      assert.deepStrictEqual([end?.outcome, end?.totals.rowsRead, end?.totals.bytesRead], ["success", 5, 10])
    }).pipe(Effect.provide(over(storage)))
  )

  it.effect("is told of all that run when the job is interrupted, before the end of the job", () =>
    Effect.gen(function* () {
      const events = yield* toldBy(
        Effect.gen(function* () {
          const begun = yield* Deferred.make<void>()
          let running = 0
          const fiber = yield* Effect.forkChild(
            Dataset.range(0, 5, { partitions: 5 }).pipe(
              Dataset.tap(() =>
                Effect.andThen(++running === 3 ? Deferred.succeed(begun, void 0) : Effect.void, Effect.never)
              ),
              Dataset.count
            )
          )
          yield* Deferred.await(begun)
          yield* TestClock.adjust(70)
          yield* Fiber.interrupt(fiber)
        })
      )
      assert.deepStrictEqual(
        only(events, "TaskEnded").map(({ outcome }) => outcome),
        ["interrupted", "interrupted", "interrupted"]
      )
      const [end] = only(events, "JobEnded")
      assert.deepStrictEqual([end?.outcome, end?.millis, end?.at], ["interrupted", 70, 70])
      assert.strictEqual(events.at(-1), end)
    }).pipe(Effect.provide(over(storage)))
  )
})

describe("progress", () => {
  it.effect("is told every 200 ms while a job runs, with what has ended and what still runs", () =>
    Effect.gen(function* () {
      const events = yield* toldBy(
        Effect.gen(function* () {
          const gate = yield* Deferred.make<void>()
          const fiber = yield* Effect.forkChild(
            Dataset.range(0, 6, { partitions: 3 }).pipe(
              Dataset.tap((n) => (n === 5 ? Deferred.await(gate) : Effect.void)),
              Dataset.filter((n) => n !== 0),
              Dataset.count
            )
          )
          yield* settle
          yield* TestClock.adjust(199)
          yield* settle
          yield* TestClock.adjust(1)
          yield* settle
          yield* TestClock.adjust(200)
          yield* settle
          yield* Deferred.succeed(gate, void 0)
          yield* Fiber.join(fiber)
          yield* TestClock.adjust(1000)
        })
      )
      assert.deepStrictEqual(
        only(events, "Progress").map(({ at, tasks, tasksDone, totals }) => [
          at,
          tasksDone,
          tasks,
          totals.rowsRead,
          totals.rowsFiltered
        ]),
        [
          [200, 2, 3, 6, 1],
          [400, 2, 3, 6, 1]
        ]
      )
      const [end] = only(events, "JobEnded")
      assert.deepStrictEqual([end?.millis, end?.totals.rowsRead, end?.totals.rowsOut], [400, 6, 5])
    }).pipe(Effect.provide(over(storage)))
  )

  it.effect("begins with the known size of the input, and counts the tasks of every stage", () =>
    Effect.gen(function* () {
      const store = yield* Storage.Storage
      yield* store.write(
        "memory:///in.txt",
        Stream.make(new TextEncoder().encode("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n"))
      )
      const text = yield* toldBy(Dataset.count(Dataset.text("memory:///in.txt")))
      const [began] = only(text, "JobStarted")
      assert.deepStrictEqual([began?.tasks, began?.bytes, began?.rows], [3, 24, undefined])
      const range = yield* toldBy(
        Dataset.collect(Dataset.sortBy(Dataset.range(0, 9, { partitions: 3 }), (n) => -n, Order.Number))
      )
      assert.isAtLeast(only(range, "StageStarted").length, 2)
      assert.deepStrictEqual(
        only(range, "StageStarted").map(({ stage, tasks }) => [stage, tasks]),
        only(range, "StageEnded").map(({ stage }) => [
          stage,
          only(range, "TaskEnded").filter((event) => event.stage === stage).length
        ])
      )
    }).pipe(Effect.provide(over(storage)))
  )
})

describe("the place of a task", () => {
  /** A file of three splits of ten bytes whose blocks end within them. */
  const placed: Layer.Layer<Storage.Storage | FaultyStorage.FaultyStorage> = Layer.effect(
    Storage.Storage,
    Effect.map(Storage.Storage, (store) =>
      Storage.Storage.of({
        ...store,
        blocks: () =>
          Effect.succeed([
            { offset: 0, length: 10, hosts: ["elsewhere"] },
            { offset: 10, length: 15, hosts: ["rack"] },
            { offset: 25, length: 5, hosts: ["elsewhere"] }
          ])
      })
    )
  ).pipe(Layer.provideMerge(storage))

  it.effect(
    "is told: near its data where a block of its split lies on the host, and not where only a neighbour's does",
    () =>
      Effect.gen(function* () {
        const store = yield* Storage.Storage
        yield* store.write("memory:///in.txt", Stream.make(new TextEncoder().encode("a\nb\nc\nd\ne\n".repeat(3))))
        const events = yield* toldBy(Dataset.count(Dataset.text("memory:///in.txt")))
        assert.deepStrictEqual(
          only(events, "TaskStarted")
            .toSorted((one, other) => one.partition - other.partition)
            .map(({ locality, split }) => [split, locality]),
          [
            ["in.txt[0..10]", "any"],
            ["in.txt[10..20]", "node"],
            ["in.txt[20..30]", "node"]
          ]
        )
      }).pipe(Effect.provide(over(placed)))
  )

  it.effect("are made only while somebody listens", () =>
    Effect.gen(function* () {
      const events = yield* Events.Events
      assert.isFalse(events.hasListeners())
      yield* Effect.scoped(
        Effect.andThen(
          events.subscribe,
          Effect.sync(() => assert.isTrue(events.hasListeners()))
        )
      )
      assert.isFalse(events.hasListeners())
    }).pipe(Effect.provide(Layer.fresh(Events.layer)))
  )
})
