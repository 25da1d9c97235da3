import { assert, describe, it } from "@effect/vitest"
import { Effect, References } from "effect"
import { print, run, shrink, specOf } from "./pipelines.ts"

// The long version is `scripts/oracles.ts pipelines`.
const seeds = { from: 100, count: 200 }

describe("random pipelines", () => {
  it.live(
    "yield what plain arrays do, whatever is cut short, cached, failing, lost or tried again, and leave nothing",
    () =>
      Effect.gen(function* () {
        let actions = 0
        for (let seed = seeds.from; seed < seeds.from + seeds.count; seed++) {
          const spec = specOf(seed)
          const { runs, wrong } = yield* run(spec)
          actions += runs
          if (wrong === undefined) continue
          const smallest = yield* shrink(spec, 2, 500)
          assert.fail(
            `seed ${seed}: ${wrong.kind}: ${wrong.detail}\n${print(smallest)}\n` +
              `again: node --conditions=@sluice/source scripts/oracles.ts pipelines --seed ${seed}`
          )
        }
        // Those that faults have ended do not count.
        assert.isAbove(actions, 1.5 * seeds.count)
      }).pipe(Effect.provideService(References.MinimumLogLevel, "None")),
    120_000
  )

  it("are the same for a seed, and others for another", () => {
    assert.deepStrictEqual(specOf(7), specOf(7))
    assert.notDeepEqual(specOf(7), specOf(8))
  })
})
