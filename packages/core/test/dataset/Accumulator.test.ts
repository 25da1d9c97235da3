import { Accumulator, Dataset, Engine, Events, Executor, JobError, Storage, TaskContext } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Option, Queue, Stream } from "effect"

/** Executors that try a task four times. */
const retrying = Engine.layerNoDeps.pipe(
  Layer.provide(
    Layer.effect(
      Executor.Executor,
      Effect.map(Executor.makeLocal([{ slots: 2 }]), (executor) =>
        Executor.Executor.of({ ...executor, maxAttempts: 4 })
      )
    )
  ),
  Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
)

const sum = () => Accumulator.make(0, (left: number, right: number) => left + right)

/** Fails every attempt before this one, after the element has been worked on. */
const failBefore = <A>(attempts: number, f: (value: A) => Effect.Effect<unknown>) =>
  Dataset.tap((value: A) =>
    Effect.gen(function* () {
      yield* f(value)
      const task = yield* TaskContext.Current
      if (task !== undefined && task.attempt < attempts) return yield* Effect.fail(`attempt ${task.attempt}` as const)
    })
  )

describe("Accumulator", () => {
  it.effect("counts the attempt that succeeded, once a partition", () =>
    Effect.gen(function* () {
      const total = sum()
      const touched: Array<number> = []
      const count = yield* Dataset.range(1, 11, { partitions: 5 }).pipe(
        failBefore(3, (n) =>
          Effect.andThen(
            Accumulator.add(total, n),
            Effect.sync(() => touched.push(n))
          )
        ),
        Dataset.count
      )
      assert.strictEqual(count, 10)
      assert.strictEqual(yield* Accumulator.get(total), 55)
      assert.isAbove(touched.length, 10)
    }).pipe(Effect.provide(retrying))
  )

  it.effect("counts nothing of a task that never succeeded", () =>
    Effect.gen(function* () {
      const total = sum()
      const error = yield* Dataset.range(1, 11).pipe(
        failBefore(4, (n) => Accumulator.add(total, n)),
        Dataset.count,
        Effect.flip
      )
      assert.strictEqual(error, "attempt 3")
      assert.strictEqual(yield* Accumulator.get(total), 0)
    }).pipe(Effect.provide(retrying))
  )

  it.effect("counts one of two attempts that succeed, where an executor was given up and went on", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<Executor.Change>()
      const [a, b] = ["a", "b"].map((id) => ({ id, host: id, slots: 1 }))
      if (a === undefined || b === undefined) return assert.fail()
      const executors = Layer.effect(
        Executor.Executor,
        Effect.map(Executor.makeLocal([a, b]), (executor) =>
          Executor.Executor.of({ ...executor, changes: Stream.fromQueue(changes) })
        )
      )
      yield* Queue.offer(changes, { _tag: "Joined", info: a })
      const total = sum()
      const added: Array<string> = []
      const [again, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const work = Effect.fnUntraced(function* (n: number) {
        const { executor, partition } = (yield* TaskContext.Current) ?? assert.fail("it runs in a task")
        if (partition === 0 && executor.id === "a") {
          yield* Queue.offerAll(changes, [
            { _tag: "Left", id: "a" },
            { _tag: "Joined", info: b }
          ])
          yield* Deferred.await(again)
        }
        if (partition === 0 && executor.id === "b") {
          yield* Deferred.succeed(again, void 0)
          yield* Deferred.await(ended)
        }
        added.push(`${partition} on ${executor.id}`)
        yield* Accumulator.add(total, n)
      })
      const dataset = Dataset.range(1, 3, { partitions: 2 }).pipe(Dataset.tap(work))
      const program = Effect.gen(function* () {
        const events = yield* (yield* Events.Events).subscribe
        yield* events.pipe(
          Stream.filter((event) => event._tag === "TaskEnded" && event.executor === "a"),
          Stream.take(1),
          Stream.runForEach(() => Deferred.succeed(ended, void 0)),
          Effect.forkScoped({ startImmediately: true })
        )
        return yield* Dataset.collect(dataset)
      })
      const rows = yield* program.pipe(
        Effect.scoped,
        Effect.provide(
          Layer.fresh(Engine.layerNoDeps).pipe(
            Layer.provide(executors),
            Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
          )
        )
      )
      assert.deepStrictEqual(rows, [1, 2])
      assert.deepStrictEqual(added.toSorted(), ["0 on a", "0 on b", "1 on b"])
      assert.strictEqual(yield* Accumulator.get(total), 3)
    })
  )

  it.effect("counts at once outside of a task, and again with every action (AccumulatorSuite)", () =>
    Effect.gen(function* () {
      const names = Accumulator.make<ReadonlySet<string>>(new Set(), (left, right) => new Set([...left, ...right]))
      yield* Accumulator.add(names, new Set(["driver"]))
      const total = sum()
      const dataset = Dataset.range(0, 4, { partitions: 2 }).pipe(
        Dataset.tap((n) => Effect.andThen(Accumulator.add(names, new Set([`${n}`])), Accumulator.add(total, 1)))
      )
      yield* Dataset.count(dataset)
      yield* Dataset.count(dataset)
      assert.sameMembers([...(yield* Accumulator.get(names))], ["driver", "0", "1", "2", "3"])
      assert.strictEqual(yield* Accumulator.get(total), 8)
    }).pipe(Effect.provide(Engine.layer))
  )
})

describe("retried tasks", () => {
  it.effect("give each result once", () =>
    Effect.gen(function* () {
      const dataset = Dataset.range(0, 20, { partitions: 10 }).pipe(failBefore(2, () => Effect.void))
      assert.deepStrictEqual(
        yield* Dataset.collect(dataset),
        Array.from({ length: 20 }, (_, n) => n)
      )
      assert.deepStrictEqual(yield* Dataset.reduce(dataset, (a, b) => a + b), Option.some(190))
    }).pipe(Effect.provide(retrying))
  )

  it.effect("a second try builds a failed layer again", () =>
    Effect.gen(function* () {
      let builds = 0
      const layer = Layer.effectDiscard(Effect.suspend(() => (++builds < 3 ? Effect.fail("not yet") : Effect.void)))
      assert.strictEqual(yield* Dataset.count(Dataset.provide(Dataset.make(1, 2), layer)), 2)
      assert.strictEqual(builds, 3)
    }).pipe(Effect.provide(retrying))
  )

  it.effect("name the last attempt", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Dataset.count(Dataset.tap(Dataset.make(1), () => Effect.die("bug"))))
      assert.instanceOf(error, JobError.JobError)
      assert.strictEqual(error.at.attempt, 3)
    }).pipe(Effect.provide(retrying))
  )

  it.live(
    "of a write leave the files of the winner only (OutputCommitCoordinatorSuite: If commit fails, if task is retried it should not be locked)",
    () =>
      Effect.gen(function* () {
        const store = yield* Storage.Storage
        const manifest = yield* Dataset.range(0, 100, { partitions: 5 }).pipe(
          failBefore(2, () => Effect.void),
          Dataset.map(String),
          Dataset.writeText("memory:///out")
        )
        assert.deepStrictEqual(
          manifest.files.map((file) => file.attempt),
          [2, 2, 2, 2, 2]
        )
        assert.strictEqual(manifest.rows, 100)
        assert.strictEqual(yield* Dataset.count(Dataset.text("memory:///out")), 100)
        assert.strictEqual((yield* Effect.exit(store.stat("memory:///_sluice")))._tag, "Failure")
      }).pipe(Effect.provide(retrying))
  )
})
