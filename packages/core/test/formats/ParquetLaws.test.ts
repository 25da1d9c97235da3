import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Storage from "../../src/storage/Storage.ts"
import { disagreement } from "./parquetAgreement.ts"
import { tableOf, writeTo } from "./parquetLaws.ts"
import { laws } from "./parquetSeeds.ts"
import { where } from "./parquetWhere.ts"
import { put } from "./support.ts"

// Many more seeds: `scripts/parquet.ts`.
describe("laws of Parquet", () => {
  it.layer(Storage.layerMemory)((it) => {
    it.effect("what is written is read, or refused with the column, the row and the value", () =>
      Effect.gen(function* () {
        for (let seed = 0; seed < 100; seed++) assert.isUndefined(yield* laws.identity(seed), `seed ${seed}`)
      })
    )

    it.effect(
      "where finds what filter finds, whatever the type, the unit and the statistics, and skips row groups",
      () =>
        Effect.gen(function* () {
          let skipped = 0
          for (let seed = 0; seed < 30; seed++) {
            const found = yield* where("memory:///where.parquet", seed)
            assert.isUndefined(found.wrong, `seed ${seed}`)
            skipped += found.skipped
          }
          assert.isAbove(skipped, 50)
        })
    )

    it.effect("what is read without the codec is what the codec reads, of every compression and page version", () =>
      Effect.gen(function* () {
        const file = "memory:///agreement.parquet"
        const golden = path.join(import.meta.dirname, "golden")
        for (const name of fs.readdirSync(golden).filter((name) => name.endsWith(".parquet"))) {
          yield* put(file, fs.readFileSync(path.join(golden, name)))
          assert.isUndefined(yield* disagreement(file), name)
        }
        for (let seed = 0; seed < 100; seed++) {
          const { options, refused, rows, schema } = tableOf(seed)
          if (refused) continue
          yield* writeTo(file, schema, rows, options)
          assert.isUndefined(yield* disagreement(file), `seed ${seed}`)
        }
      })
    )

    it.effect("a damaged file is a typed error, or the rows there were", () =>
      Effect.gen(function* () {
        for (let seed = 0; seed < 60; seed++) assert.isUndefined(yield* laws.mutated(seed), `seed ${seed}`)
      })
    )
  })
})
