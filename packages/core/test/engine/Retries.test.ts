import { Accumulator, Dataset, Engine, EngineConfig, Events, Executor, Storage, StorageError } from "@sluice/core"
import { FaultyStorage } from "@sluice/core/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"

const layer = Layer.fresh(Engine.layerNoDeps).pipe(
  Layer.provide(Executor.layerLocal({ executors: [{ slots: 1 }] })),
  Layer.provideMerge(Layer.mergeAll(FaultyStorage.layer(Storage.layer), Events.layer)),
  Layer.provide(EngineConfig.layer({ splitBytes: 40, openCostBytes: 0 }))
)

const lines = Array.from({ length: 20 }, (_, i) => `line ${String(i).padStart(3, "0")}`)
const gone = new StorageError.Unavailable({ detail: "DataNode gone" })

/** The attempts that an action makes at each partition. */
const attemptsOf = <A, E, R>(action: Effect.Effect<A, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const attempts = new Map<number, number>()
      const events = yield* (yield* Events.Events).subscribe
      const ended = yield* events.pipe(
        Stream.takeUntil((event) => event._tag === "JobEnded"),
        Stream.runForEach((event) =>
          Effect.sync(() => {
            if (event._tag === "TaskStarted") attempts.set(event.partition, (attempts.get(event.partition) ?? 0) + 1)
          })
        ),
        Effect.forkScoped({ startImmediately: true })
      )
      const result = yield* Effect.result(action)
      yield* Fiber.join(ended)
      return { result, attempts: [...attempts.values()] }
    })
  )

const failing = (fault: FaultyStorage.Fault) =>
  Effect.gen(function* () {
    const faulty = yield* FaultyStorage.FaultyStorage
    yield* faulty.reset
    yield* faulty.inject(fault)
  })

const written = Dataset.writeText(Dataset.fromIterable(lines), "memory:///in", { mode: "overwrite" })
const read = Dataset.text("memory:///in")

describe("storage that does not answer for a while", () => {
  it.live("a task that cannot read is tried again, and its rows count once", () =>
    Effect.gen(function* () {
      yield* written
      yield* failing({ operation: "read", nth: 2, times: 3, reason: gone })
      const seen = Accumulator.make(0, (left: number, right: number) => left + right)
      const { attempts, result } = yield* attemptsOf(
        Dataset.collect(Dataset.mapEffect(read, (line) => Effect.as(Accumulator.add(seen, 1), line)))
      )
      assert.deepStrictEqual(yield* Effect.fromResult(result), lines)
      assert.strictEqual(yield* Accumulator.get(seen), lines.length)
      assert.strictEqual(
        attempts.reduce((sum, n) => sum + n, 0),
        attempts.length + 3
      )
    }).pipe(Effect.provide(layer))
  )

  it.live("a task that cannot write is tried again, and leaves one file", () =>
    Effect.gen(function* () {
      yield* written
      yield* failing({
        operation: "write",
        path: (path) => path.includes("part-"),
        afterBytes: 15,
        nth: 1,
        times: 1,
        reason: gone
      })
      const { result } = yield* attemptsOf(Dataset.writeText(read, "memory:///out"))
      assert.strictEqual(result._tag, "Success")
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.text("memory:///out")), lines)
    }).pipe(Effect.provide(layer))
  )

  it.live("four attempts, then the job fails and says so", () =>
    Effect.gen(function* () {
      yield* written
      yield* failing({ operation: "read", nth: 1, times: 100, reason: gone })
      const { attempts, result } = yield* attemptsOf(Dataset.count(read))
      assert.strictEqual(Math.max(...attempts), 4)
      assert.strictEqual(result._tag, "Failure")
      if (result._tag !== "Failure") return
      assert.include(result.failure.message, "attempt 3")
      assert.include(result.failure.message, "DataNode gone")
    }).pipe(Effect.provide(layer))
  )

  it.live("other failures, and streams that have handed rows over, are not tried again", () =>
    Effect.gen(function* () {
      yield* written
      yield* failing({
        operation: "read",
        nth: 1,
        times: 1,
        reason: new StorageError.PermissionDenied({ detail: "no" })
      })
      const denied = yield* attemptsOf(Dataset.count(read))
      assert.strictEqual(denied.result._tag, "Failure")
      assert.deepStrictEqual(denied.attempts, [1])
      yield* failing({ operation: "read", nth: 1, times: 1, reason: gone })
      const streamed = yield* attemptsOf(Stream.runCollect(Dataset.toStream(read)))
      assert.strictEqual(streamed.result._tag, "Failure")
      assert.deepStrictEqual(streamed.attempts, [1])
    }).pipe(Effect.provide(layer))
  )
})
