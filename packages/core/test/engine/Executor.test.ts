import { Dataset, Engine, Events, Executor, Storage, TaskContext } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { availableParallelism, hostname } from "node:os"

class Service extends Context.Service<Service, number>()("test/Executor/Service") {}

const engine = (...executors: ReadonlyArray<Executor.LocalExecutor>) =>
  Engine.layerNoDeps.pipe(
    Layer.provide(Executor.layerLocal({ executors })),
    Layer.provide([Storage.layer, Events.layer])
  )

describe("Executor.layerLocal", () => {
  it.effect("has one executor with the processors' slots, or those named", () =>
    Effect.gen(function* () {
      const joined = (options?: Parameters<typeof Executor.layerLocal>[0]) =>
        Effect.provide(
          Effect.flatMap(Executor.Executor, (executor) =>
            Stream.runCollect(Stream.take(executor.changes, options?.executors?.length ?? 1))
          ),
          Executor.layerLocal(options)
        )
      assert.deepStrictEqual(yield* joined(), [
        { _tag: "Joined", info: { id: "local-0", host: hostname(), slots: availableParallelism() } }
      ])
      assert.deepStrictEqual(
        (yield* joined({
          executors: [
            { id: "a", slots: 3 },
            { host: "h", slots: 1 }
          ]
        })).map((change) => (change._tag === "Joined" ? change.info : change)),
        [
          { id: "a", host: hostname(), slots: 3 },
          { id: "local-1", host: "h", slots: 1 }
        ]
      )
    })
  )

  it.effect("builds a layer once though many tasks ask at once, and though the first is interrupted", () =>
    Effect.gen(function* () {
      let builds = 0
      const running = new Set<string>()
      const asked = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const layer = Layer.effect(
        Service,
        Effect.gen(function* () {
          builds++
          yield* Deferred.succeed(asked, void 0)
          yield* Deferred.await(gate)
          return 7
        })
      )
      const dataset = Dataset.range(0, 8, { partitions: 8 }).pipe(
        Dataset.mapEffect((n) => Effect.map(Service, (m) => n * m)),
        Dataset.provide(layer),
        Dataset.mapPartitions((rows, task) => {
          running.add(task.jobId)
          return rows
        })
      )
      const first = yield* Effect.forkChild(Dataset.count(dataset))
      yield* Deferred.await(asked)
      const second = yield* Effect.forkChild(Dataset.collect(dataset), { startImmediately: true })
      while (running.size < 2) yield* Effect.yieldNow
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(gate, void 0)
      assert.deepStrictEqual(yield* Fiber.join(second), [0, 7, 14, 21, 28, 35, 42, 49])
      assert.strictEqual(builds, 1)
    }).pipe(Effect.provide(engine({ slots: 16 })))
  )

  it.effect("knows itself in every task", () =>
    Effect.gen(function* () {
      const ids = yield* Dataset.range(0, 8, { partitions: 8 }).pipe(
        Dataset.mapEffect(() => Effect.map(TaskContext.Current, (task) => task?.executor.id)),
        Dataset.collect
      )
      assert.sameMembers([...new Set(ids)], ["a", "b"])
    }).pipe(Effect.provide(engine({ id: "a", slots: 1 }, { id: "b", slots: 1 })))
  )
})
