import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Storage from "../../src/Storage.ts"
import { laws } from "./parquetLaws.ts"

// Many more seeds: `scripts/parquet.ts`.
describe("laws of Parquet", () => {
  it.layer(Storage.layerMemory)((it) => {
    it.effect("what is written is read, or refused with the column, the row and the value", () =>
      Effect.gen(function* () {
        for (let seed = 0; seed < 150; seed++) assert.isUndefined(yield* laws.identity(seed), `seed ${seed}`)
      })
    )
  })
})
