import { Broadcast, Dataset, Engine, Events, Executor, Storage } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"

const engine = (...executors: ReadonlyArray<Executor.LocalExecutor>) =>
  Engine.layerNoDeps.pipe(
    Layer.provide(Executor.layerLocal({ executors })),
    Layer.provide([Storage.layer, Events.layer])
  )

describe("Broadcast", () => {
  it.effect("is computed once per executor and run, and let go with the run", () =>
    Effect.gen(function* () {
      let computed = 0
      const Table = Broadcast.make<ReadonlyMap<number, string>>("test/Table")
      const dataset = Dataset.range(0, 8, { partitions: 8 }).pipe(
        Dataset.mapEffect((n) => Effect.map(Table, (table) => table.get(n % 2) ?? "")),
        Dataset.provide(
          Broadcast.layer(
            Table,
            Effect.sync(() => {
              computed++
              return new Map([
                [0, "even"],
                [1, "odd"]
              ])
            })
          )
        )
      )
      assert.deepStrictEqual(yield* Dataset.take(dataset, 2), ["even", "odd"])
      assert.strictEqual(yield* Dataset.count(dataset), 8)
      // One slot of one executor is enough to take two.
      assert.isAtLeast(computed, 3)
      assert.isAtMost(computed, 4)
    }).pipe(Effect.provide(engine({ slots: 2 }, { slots: 2 })))
  )
})
