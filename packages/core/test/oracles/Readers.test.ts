import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import { python, skipPython } from "../formats/support.ts"
import { type Column, fileOf } from "./readers/files.ts"
import { check, startPython, temporaryFolder } from "./readers/readers.ts"

// The long version is `scripts/oracles.ts readers`.
const files = 40

const hint = python === undefined ? " (needs pip install pyarrow duckdb; set SLUICE_PYTHON)" : ""
const withPython = skipPython ? it.live.skip : it.live

const resources = Effect.acquireRelease(
  Effect.sync(() => ({ process: startPython(python ?? "python3"), folder: temporaryFolder() })),
  ({ folder, process }) =>
    Effect.sync(() => {
      process.close()
      fs.rmSync(folder, { recursive: true })
    })
)

describe("random Parquet files", () => {
  withPython(
    `of Sluice, pyarrow, DuckDB and hyparquet-writer have the same values for Sluice, pyarrow, DuckDB and hyparquet${hint}`,
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { folder, process } = yield* resources
          for (let seed = 0; seed < files; seed++) {
            const file = fileOf(seed)
            const { refused, wrong } = yield* Effect.promise(() => check(file, process, folder))
            const again = `again: node --conditions=@sluice/source scripts/oracles.ts readers --seed ${seed}`
            assert.deepStrictEqual(wrong, [], `${file.writer} ${JSON.stringify(file.options)}, ${again}`)
            assert.isUndefined(refused, again)
          }
        })
      ),
    120_000
  )

  withPython(`with one value changed are told apart by every reader${hint}`, () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { folder, process } = yield* resources
        const column = (values: Column["values"]): Column => ({
          name: "c",
          type: { kind: "int64", nullable: true },
          values
        })
        const file = { seed: 0, writer: "sluice", rows: 3, options: {} } as const
        const right = yield* Effect.promise(() =>
          check({ ...file, columns: [column(["1", null, "9223372036854775807"])] }, process, folder)
        )
        assert.deepStrictEqual(right, { wrong: [], refused: undefined, notes: [] })
        // What no writer can keep: each reader finds another value than the table has.
        const wrong = yield* Effect.promise(() =>
          check({ ...file, columns: [column(["1", null, "01"])] }, process, folder)
        )
        assert.deepStrictEqual(
          wrong.wrong.map((line) => line.split(" ")[0]),
          ["pyarrow", "duckdb", "hyparquet"]
        )
      })
    )
  )
})
