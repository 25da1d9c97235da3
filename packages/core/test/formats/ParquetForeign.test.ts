import { spawnSync } from "node:child_process"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Vector } from "@sluice/core"
import { Effect, Schema } from "effect"
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet"
import { compressors } from "hyparquet-compressors"
import * as Parquet from "../../src/formats/Parquet.ts"
import * as Storage from "../../src/storage/Storage.ts"
import { tableOf, writeTo } from "./parquetLaws.ts"
import { whereIsFilter } from "./parquetWhere.ts"
import { python, readAll, runPython, skipPython } from "./support.ts"

const inFolder = <A, E>(use: (folder: string) => Effect.Effect<A, E, Storage.Storage>) =>
  Effect.acquireUseRelease(
    Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "sluice-parquet-"))),
    use,
    (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
  ).pipe(Effect.provide(Storage.layerLocal))

const foreign = (...args: ReadonlyArray<string>): string => {
  const script = path.join(import.meta.dirname, "foreign.py")
  const result = spawnSync(python ?? "python3", [script, ...args], { encoding: "utf8", maxBuffer: 2 ** 28 })
  if (result.status !== 0) throw new Error(result.stderr)
  return result.stdout
}

/** Rows as `foreign.py` prints them. */
const plain = (value: unknown): unknown => {
  if (value === null || value === undefined) return null
  if (typeof value === "bigint") return String(value)
  if (typeof value === "number") {
    if (Number.isNaN(value)) return "NaN"
    if (Object.is(value, -0)) return "-0"
    if (Number.isSafeInteger(value)) return String(value)
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleLE(value)
    return bytes.toString("hex")
  }
  if (typeof value === "string") return `s:${value}`
  if (typeof value !== "object") return value
  if (value instanceof Date) return `d:${value.getTime()}`
  if (value instanceof Uint8Array) return `b:${Buffer.from(value).toString("hex")}`
  if (value instanceof Float32Array) return Array.from(value, plain)
  if (Array.isArray(value)) return value.map(plain)
  const fields = Object.entries(value).flatMap(([key, field]) => {
    const its = plain(field)
    return its === null ? [] : [[key, its] as const]
  })
  return { $: fields.toSorted(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other))) }
}

const withPython = skipPython ? it.live.skip : it.live

describe("Parquet of others", () => {
  withPython(
    "pyarrow, DuckDB and hyparquet read what is written, whatever its schema",
    () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const cases: Array<readonly [file: string, rows: ReadonlyArray<object>]> = []
          for (let seed = 0; seed < 60; seed++) {
            const { options, refused, rows, schema } = tableOf(seed)
            if (refused) continue
            const file = path.join(folder, `${seed}.parquet`)
            yield* writeTo(file, schema, rows, options)
            cases.push([file, rows])
          }
          const others = foreign("read", ...cases.map(([file]) => file))
            .trimEnd()
            .split("\n")
            .map((line): { readonly pyarrow: unknown; readonly duckdb: unknown } => JSON.parse(line))
          assert.isAbove(cases.length, 30)
          for (const [i, [file, rows]] of cases.entries()) {
            const expected = JSON.parse(JSON.stringify(rows.map(plain)))
            assert.deepStrictEqual(others[i]?.pyarrow, expected, `pyarrow ${file}`)
            const text = JSON.stringify(expected)
            // It gives a column without a name another.
            if (!text.includes('["",')) assert.deepStrictEqual(others[i]?.duckdb, expected, `DuckDB ${file}`)
            // It sets what rows inherit from.
            if (text.includes('["__proto__",')) continue
            const read = yield* Effect.promise(async () =>
              parquetReadObjects({ file: await asyncBufferFromFile(file), compressors, utf8: false })
            )
            assert.deepStrictEqual(JSON.parse(JSON.stringify(read.map(plain))), expected, `hyparquet ${file}`)
          }
        })
      ),
    60_000
  )

  withPython(
    "where finds what filter finds in files of pyarrow and DuckDB, and skips row groups",
    () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          foreign("write", folder, "0", "3")
          for (const writer of ["pyarrow", "duckdb"]) {
            let skipped = 0
            for (const seed of [0, 3]) {
              const found = yield* whereIsFilter(path.join(folder, `${writer}-${seed}.parquet`), seed, 1)
              assert.isUndefined(found.wrong)
              skipped += found.skipped
            }
            assert.isAbove(skipped, 0, writer)
          }
        })
      ),
    60_000
  )

  withPython(
    "timestamps of 96 bits in all of their years, decimals of 76 digits, large lists and delta encoding from the middle on",
    () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const file = (name: string) => path.join(folder, `${name}.parquet`)
          runPython(
            `
import sys, datetime as dt, decimal, duckdb, pyarrow as pa, pyarrow.parquet as pq
f = sys.argv[1]
ts = [dt.datetime(9999, 12, 31, 1, 2, 3, 456789), dt.datetime(1, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59, 999500), None]
us = pa.timestamp("us")
t = pa.table({"t": pa.array(ts, us), "l": pa.array([[x] for x in ts], pa.list_(us)), "s": pa.array([{"x": x} for x in ts], pa.struct([("x", us)]))})
pq.write_table(t, f + "/int96.parquet", use_deprecated_int96_timestamps=True)
pq.write_table(pa.table({"d": pa.array([decimal.Decimal("-1.5"), decimal.Decimal("9" * 74 + ".99")], pa.decimal256(76, 2))}), f + "/decimal.parquet")
pq.write_table(pa.table({"v": pa.array([[1.5, 2.5], [3.5], None], pa.large_list(pa.float32()))}), f + "/large.parquet")
duckdb.sql(f"copy (select i as id, i * 7 % 1000003 as k, 'name' || (i % 1000) as s from range(50000) t(i)) to '{f}/delta.parquet' (FORMAT PARQUET, PARQUET_VERSION V2, ROW_GROUP_SIZE 60000)")
`,
            folder
          )
          const At = Schema.NullOr(Schema.Date)
          const dates = [new Date(Date.UTC(9999, 11, 31, 1, 2, 3, 456)), new Date(-62135596800000), new Date(-1), null]
          const Times = Schema.Struct({ t: At, l: Schema.Array(At), s: Schema.Struct({ x: At }) })
          assert.deepStrictEqual(
            yield* readAll(Parquet.source(file("int96"), Times)),
            dates.map((t) => ({ t, l: [t], s: { x: t } }))
          )
          const Micros = Schema.Struct({ t: Schema.NullOr(Schema.BigInt) })
          assert.deepStrictEqual(
            (yield* readAll(Parquet.source(file("int96"), Micros))).map(({ t }) => t),
            [253402218123456789n, -62135596800000000n, -500n, null]
          )
          assert.deepStrictEqual(yield* readAll(Parquet.source(file("decimal"), Schema.Struct({ d: Schema.String }))), [
            { d: "-1.50" },
            { d: `${"9".repeat(74)}.99` }
          ])
          const [batch] = yield* readAll(Parquet.batches(file("large"), { vectors: ["v"] }))
          assert.strictEqual(String(batch?.schema.fields[0]?.type), "List<Float32>")
          assert.deepStrictEqual(
            yield* readAll(Parquet.source(file("large"), Schema.Struct({ v: Schema.NullOr(Vector.Float32) }))),
            [{ v: Float32Array.of(1.5, 2.5) }, { v: Float32Array.of(3.5) }, { v: null }]
          )
          const Delta = Schema.Struct({ id: Schema.Number, k: Schema.Number, s: Schema.String })
          assert.deepStrictEqual(
            yield* readAll(Parquet.source(file("delta"), Delta)),
            Array.from({ length: 50_000 }, (_, id) => ({ id, k: (id * 7) % 1000003, s: `name${id % 1000}` }))
          )
        })
      ),
    60_000
  )
})
