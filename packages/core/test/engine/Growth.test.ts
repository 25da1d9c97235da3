import { Broadcast, Dataset, EngineConfig, Job } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Schema } from "effect"
import { execFile } from "node:child_process"
import * as Path from "node:path"
import { promisify } from "node:util"
import { getHeapStatistics } from "node:v8"
import { roomy } from "../support/engines.ts"

class Pool extends Context.Service<Pool, number>()("test/Growth/Pool") {}

const pools = () => {
  const state = { open: 0, built: 0 }
  const make = () =>
    Layer.effect(
      Pool,
      Effect.acquireRelease(
        Effect.sync(() => {
          state.built++
          return ++state.open
        }),
        () => Effect.sync(() => state.open--)
      )
    )
  return { state, make }
}

const using = (rows = 4) =>
  Dataset.mapEffect(Dataset.range(0, rows, { partitions: 2 }), (n) => Effect.map(Pool, (pool) => n + pool - pool))

describe("what a run leaves", () => {
  it.live("no service, however many jobs bring their own", () =>
    Effect.gen(function* () {
      const { make, state } = pools()
      const Table = Broadcast.make<number>("test/Growth/Table")
      for (let i = 0; i < 60; i++) {
        yield* Dataset.count(Dataset.provide(using(), make()))
        const job = Job.make("job", {
          payload: Schema.Struct({}),
          layer: () => make(),
          action: () => Dataset.count(using())
        })
        yield* Job.run(job, {})
        const failed = Dataset.mapEffect(using(), () => Effect.fail("no"))
        yield* Effect.flip(Dataset.count(Dataset.provide(failed, make())))
        const table = Dataset.mapEffect(Dataset.range(0, 4), (n) => Effect.map(Table, (m) => n + m))
        yield* Dataset.count(
          Dataset.provide(
            table,
            Broadcast.layer(
              Table,
              Effect.map(Pool, (n) => n)
            ).pipe(Layer.provide(make()))
          )
        )
        assert.strictEqual(state.open, 0)
      }
      assert.isAtLeast(state.built, 180)
    }).pipe(Effect.provide(roomy))
  )

  it.live("a layer that several runs use at once is built once, and stays while one of them runs", () =>
    Effect.gen(function* () {
      const { make, state } = pools()
      const layer = make()
      const gate = yield* Deferred.make<void>()
      const entered = yield* Deferred.make<void>()
      const waiting = Dataset.mapEffect(using(1), () =>
        Effect.andThen(Deferred.succeed(entered, void 0), Deferred.await(gate))
      )
      const long = yield* Effect.forkChild(Dataset.count(Dataset.provide(waiting, layer)))
      yield* Deferred.await(entered)
      yield* Dataset.count(Dataset.provide(using(), layer))
      assert.deepStrictEqual(state, { open: 1, built: 1 })
      yield* Deferred.succeed(gate, void 0)
      yield* Fiber.join(long)
      assert.deepStrictEqual(state, { open: 0, built: 1 })
    }).pipe(Effect.provide(roomy))
  )

  it("a cache knows the limit of the heap", async () => {
    assert.isAtMost(EngineConfig.defaults.cacheBytes, getHeapStatistics().heap_size_limit * 0.3)
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--conditions=@sluice/source",
      "--max-old-space-size=256",
      Path.join(import.meta.dirname, "..", "support", "cacheInSmallHeap.ts")
    ])
    assert.deepStrictEqual(JSON.parse(stdout), [400_000, 400_000])
  }, 120_000)
})
