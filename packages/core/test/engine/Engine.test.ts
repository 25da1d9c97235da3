import { Dataset, Engine, Events, Executor, Job, JobError, Storage, TaskContext } from "@sluice/core"
import { FaultyStorage } from "@sluice/core/testing"
import { Unavailable } from "@sluice/core/StorageError"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"

const storage = FaultyStorage.layer(Storage.layer)

const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal({ executors: [{ id: "a", host: "rack", slots: 3 }] })),
  Layer.provideMerge(Layer.mergeAll(storage, Events.layer))
)

type Services = Engine.Engine | Storage.Storage | Events.Events | FaultyStorage.FaultyStorage

const test = <E>(name: string, body: () => Effect.Effect<unknown, E, Services>) =>
  it.effect(name, () => Effect.provide(body(), engine))

const jobError = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, JobError.JobError)
    return error as JobError.JobError
  })

describe("the first failure", () => {
  test(
    "interrupts the other partitions, whose finalizers have run when the action ends",
    Effect.fnUntraced(function* () {
      const closed: Array<number> = []
      const others = yield* Deferred.make<void>()
      let started = 0
      const dataset = Dataset.range(0, 10, { partitions: 10 }).pipe(
        Dataset.mapPartitions((rows, task) =>
          Stream.ensuring(
            rows,
            Effect.andThen(
              Effect.yieldNow,
              Effect.sync(() => closed.push(task.partition))
            )
          )
        ),
        Dataset.mapEffect((n) =>
          Effect.gen(function* () {
            if (++started === 3) yield* Deferred.succeed(others, void 0)
            if (n > 0) return yield* Effect.never
            yield* Deferred.await(others)
            return yield* Effect.fail("zero" as const)
          })
        )
      )
      assert.strictEqual(yield* Effect.flip(Dataset.count(dataset)), "zero")
      assert.sameMembers(closed, [0, 1, 2])
      assert.strictEqual(started, 3, "the partitions that waited for a slot never began")
      // The slots are free again.
      assert.strictEqual(yield* Dataset.count(Dataset.range(0, 10, { partitions: 10 })), 10)
    })
  )

  test(
    "interrupting the action interrupts its tasks",
    Effect.fnUntraced(function* () {
      const begun = yield* Deferred.make<void>()
      let closed = 0
      const fiber = yield* Effect.forkChild(
        Dataset.range(0, 3).pipe(
          Dataset.tap(() =>
            Effect.ensuring(
              Effect.andThen(Deferred.succeed(begun, void 0), Effect.never),
              Effect.sync(() => closed++)
            )
          ),
          Dataset.count
        )
      )
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(closed, 1)
      assert.strictEqual(yield* Dataset.count(Dataset.range(0, 10, { partitions: 10 })), 10)
    })
  )

  test(
    "closes the files that are open",
    Effect.fnUntraced(function* () {
      const faulty = yield* FaultyStorage.FaultyStorage
      const store = yield* Storage.Storage
      for (let i = 0; i < 3; i++) {
        yield* store.write(`memory:///in/${i}.txt`, Stream.succeed(Buffer.from("x\n".repeat(100_000))))
      }
      yield* Dataset.text("memory:///in").pipe(
        Dataset.mapPartitions((rows) => Stream.flatMap(rows, () => Stream.fail("stop"))),
        Dataset.count,
        Effect.flip
      )
      assert.strictEqual((yield* faulty.counts).open, 0)
    })
  )
})

describe("defects", () => {
  const bug = new Error("a bug")
  const steps: ReadonlyArray<readonly [string, (self: Dataset.Dataset<number>) => Dataset.Dataset<unknown>]> = [
    [
      "map",
      Dataset.map((): number => {
        throw bug
      })
    ],
    [
      "filter",
      Dataset.filter((): boolean => {
        throw bug
      })
    ],
    [
      "flatMap",
      Dataset.flatMap((): Array<number> => {
        throw bug
      })
    ],
    [
      "mapArray",
      Dataset.mapArray((): Array<number> => {
        throw bug
      })
    ],
    [
      "mapEffect that throws",
      Dataset.mapEffect((): Effect.Effect<number> => {
        throw bug
      })
    ],
    ["mapEffect that dies", Dataset.mapEffect(() => Effect.die(bug))],
    ["mapEffect that dies, concurrently", Dataset.mapEffect(() => Effect.die(bug), { concurrency: 3 })],
    [
      "mapPartitions that throws",
      Dataset.mapPartitions((): Stream.Stream<number> => {
        throw bug
      })
    ],
    ["tap", Dataset.tap(() => Effect.die(bug))]
  ]
  for (const [name, step] of steps) {
    test(
      `${name}: JobError names the stage, partition, split, attempt and executor`,
      Effect.fnUntraced(function* () {
        const error = yield* jobError(Dataset.count(step(Dataset.range(0, 4, { partitions: 1 }))))
        assert.strictEqual(error.reason._tag, "OperatorDefect")
        assert.deepStrictEqual(error.at, {
          stage: 0,
          partition: 0,
          attempt: 0,
          executor: "a",
          host: "rack",
          split: "range[0]"
        })
        assert.include(
          error.message,
          "count (stage 0, partition 0, range[0], attempt 0, executor a): a function of the job threw: a bug"
        )
      })
    )
  }
})

describe("what a function throws", () => {
  const parse = (line: string): number => {
    if (line === "") throw new TypeError("no number")
    return Number(line)
  }
  const steps: ReadonlyArray<readonly [name: string, (self: Dataset.Dataset<string>) => Dataset.Dataset<unknown>]> = [
    ["map", Dataset.map(parse)],
    ["filter", Dataset.filter((line) => parse(line) > 0)],
    ["flatMap", Dataset.flatMap((line) => [parse(line)])],
    [
      "map after a filter",
      (self) =>
        Dataset.map(
          Dataset.filter(self, (line) => line !== "1"),
          parse
        )
    ]
  ]
  const lines = Effect.flatMap(Storage.Storage, (store) =>
    store.write("memory:///lines.txt", Stream.succeed(Buffer.from("1\n2\n3\n\n5\n")), { overwrite: true })
  )
  for (const [name, step] of steps) {
    test(
      `keeps its stack, and the row it was given: ${name}`,
      Effect.fnUntraced(function* () {
        yield* lines
        const error = yield* jobError(Dataset.count(step(Dataset.text("memory:///lines.txt"))))
        if (error.reason._tag !== "OperatorDefect") return assert.fail(error.message)
        assert.include(error.message, "a function of the job threw at memory:///lines.txt, line 4: no number")
        assert.deepInclude(error.reason.origin, { path: "memory:///lines.txt", row: 3 })
        assert.instanceOf(error.reason.cause, TypeError)
        // In a log, or from another process.
        const json = JSON.stringify(yield* Schema.encodeEffect(JobError.JobError)(error))
        const back = yield* Schema.decodeEffect(JobError.JobError)(JSON.parse(json))
        const cause = back.reason._tag === "OperatorDefect" ? back.reason.cause : undefined
        assert.include(back.message, "line 4: no number")
        assert.isTrue(cause instanceof Error && cause.stack?.includes("parse") === true)
      })
    )
  }

  test(
    "is of no row where a whole array was given",
    Effect.fnUntraced(function* () {
      yield* lines
      const error = yield* jobError(
        Dataset.count(
          Dataset.mapArray(Dataset.text("memory:///lines.txt"), (): Array<number> => {
            throw new Error("all of them")
          })
        )
      )
      assert.isTrue(error.reason._tag === "OperatorDefect" && error.reason.origin === undefined)
    })
  )
})

describe("engine failures", () => {
  const failing = Effect.fnUntraced(function* () {
    const store = yield* Storage.Storage
    yield* store.write("memory:///fault.txt", Stream.succeed(Buffer.from("x\n".repeat(1000))), { overwrite: true })
    const faulty = yield* FaultyStorage.FaultyStorage
    yield* faulty.inject({ operation: "read", afterBytes: 1000, reason: new Unavailable({ detail: "gone" }) })
    return Dataset.text("memory:///fault.txt")
  })

  test(
    "are not caught by Dataset.catch",
    Effect.fnUntraced(function* () {
      const error = yield* (yield* failing()).pipe(
        Dataset.mapEffect((line) => (line === "" ? Effect.fail("empty") : Effect.succeed(line))),
        Dataset.catch(() => Effect.succeed("caught")),
        Dataset.collect,
        jobError
      )
      assert.strictEqual(error.reason._tag, "InputFailed")
      assert.include(error.message, "memory:///fault.txt")
      assert.strictEqual(error.at.partition, 0)
    })
  )

  test(
    "are not caught by handlers inside mapPartitions",
    Effect.fnUntraced(function* () {
      const error = yield* (yield* failing()).pipe(
        Dataset.mapPartitions((rows) =>
          rows.pipe(
            Stream.catchCause(() => Stream.make("caught")),
            Stream.concat(Stream.make("after"))
          )
        ),
        Dataset.collect,
        jobError
      )
      assert.strictEqual(error.reason._tag, "InputFailed")
    })
  )

  test(
    "are not caught by forEachPartition's effect",
    Effect.fnUntraced(function* () {
      const dataset = yield* failing()
      const error = yield* jobError(
        Dataset.forEachPartition(dataset, (rows) => Effect.ignoreCause(Stream.runDrain(rows)))
      )
      assert.strictEqual(error.reason._tag, "InputFailed")
    })
  )
})

describe("an action inside a task", () => {
  test(
    "is NestedAction (RDDSuite: actions cannot be performed inside of transformations)",
    Effect.fnUntraced(function* () {
      const inner = Dataset.make(1, 2)
      const error = yield* jobError(Dataset.count(Dataset.mapEffect(inner, () => Dataset.count(inner))))
      assert.strictEqual(error.reason._tag, "NestedAction")
      assert.include(error.message, "the action count was run inside a task")
    })
  )
})

describe("events", () => {
  test(
    "tell the life of a job in order",
    Effect.fnUntraced(function* () {
      const events = yield* Events.Events
      const tags = yield* Effect.scoped(
        Effect.gen(function* () {
          const stream = yield* events.subscribe
          yield* Dataset.count(Dataset.range(0, 10, { partitions: 2 }))
          return yield* Stream.runCollect(Stream.takeUntil(stream, (event) => event._tag === "JobEnded"))
        })
      )
      const names = tags.map((event) => event._tag)
      assert.deepStrictEqual(names.slice(0, 3), ["JobStarted", "StageStarted", "TaskStarted"])
      assert.deepStrictEqual(names.slice(-3), ["TaskEnded", "StageEnded", "JobEnded"])
      assert.deepStrictEqual(names.slice(3, -3).toSorted(), ["TaskEnded", "TaskStarted"])
      const end = tags.at(-1)
      assert.isTrue(
        end?._tag === "JobEnded" && end.outcome === "success" && end.totals.rowsRead === 10 && end.totals.rowsOut === 10
      )
      assert.isTrue(tags.every((event) => Schema.is(Events.Event)(event)))
    })
  )
})

describe("Job", () => {
  class Client extends Context.Service<Client, { readonly host: string; readonly id: number }>()("test/Client") {}

  it.effect("builds its layer once per executor and run, with its ExecutorInfo, and releases it with the run", () =>
    Effect.gen(function* () {
      const built: Array<string> = []
      const released: Array<string> = []
      const layer = Layer.effect(
        Client,
        Effect.gen(function* () {
          const info = yield* TaskContext.ExecutorInfo
          built.push(info.id)
          yield* Effect.yieldNow
          yield* Effect.addFinalizer(() => Effect.sync(() => released.push(info.id)))
          return { host: info.host, id: built.length }
        })
      )
      const job = Job.make("hosts", {
        payload: Schema.Struct({ n: Schema.Number }),
        layer,
        action: ({ n }) =>
          Dataset.range(0, n, { partitions: n }).pipe(
            Dataset.mapEffect(() => Effect.map(Client, (client) => client.host)),
            Dataset.filter(() => true),
            Dataset.zipWithIndex,
            Dataset.collect
          )
      })
      const two = Engine.layerNoDeps.pipe(
        Layer.provide(
          Executor.layerLocal({
            executors: [
              { id: "one", host: "h1", slots: 2 },
              { id: "two", host: "h2", slots: 2 }
            ]
          })
        ),
        Layer.provide(Layer.mergeAll(Storage.layer, Events.layer))
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          const context = yield* Layer.build(two)
          const hosts = yield* Effect.provideContext(Job.run(job, { n: 8 }), context)
          assert.sameMembers([...new Set(hosts.map(([host]) => host))], ["h1", "h2"])
          assert.sameMembers(built, ["one", "two"])
          assert.sameMembers(released, ["one", "two"])
          yield* Effect.provideContext(Job.run(job, { n: 4 }), context)
          assert.sameMembers(built, ["one", "two", "one", "two"])
          assert.sameMembers(released, built)
        })
      )
    })
  )
})

describe("interruption of an action", () => {
  test(
    "is an interrupt, not an error",
    Effect.fnUntraced(function* () {
      const exit = yield* Effect.exit(Dataset.count(Dataset.tap(Dataset.make(1), () => Effect.interrupt)))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    })
  )
})
