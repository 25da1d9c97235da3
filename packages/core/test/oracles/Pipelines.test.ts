import { assert, describe, it } from "@effect/vitest"
import { Effect, References } from "effect"
import { print, run, shrink, specOf } from "./pipelines.ts"

// The long version is `scripts/oracles.ts pipelines`.
const seeds = { from: 100, count: 200 }
// What has gone wrong once: rows that fail before an exchange that stays in place, steps that stop below a union and in a zip, rows set
// aside by a stage whose reader is rolled back, elements that failed before a join that is left early, a cache that a sample fills.
const before = [833, 1869, 22097, 31365, 201524, 400189, 401445, 401780, 606631, 609962]

describe("random pipelines", () => {
  it.live(
    "yield what plain arrays do, whatever is cut short, cached, failing, lost or tried again, and leave nothing",
    () =>
      Effect.gen(function* () {
        let actions = 0
        for (const seed of [...before, ...Array.from({ length: seeds.count }, (_, i) => seeds.from + i)]) {
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
