import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import * as Parquet from "../../src/formats/Parquet.ts"
import * as Origin from "../../src/Origin.ts"
import * as Storage from "../../src/Storage.ts"
import * as Vector from "../../src/Vector.ts"
import { options, put, python, readAll, readSplits, runPython, skipPython, write } from "./support.ts"

const inMemory = it.layer(Storage.layerMemory)

const Row = Schema.Struct({
  id: Schema.BigInt,
  n: Schema.Number,
  f: Parquet.Float32,
  i: Parquet.Int32,
  s: Schema.NullOr(Schema.String),
  b: Schema.Boolean,
  d: Schema.Date,
  bytes: Schema.Uint8Array,
  v: Vector.Float32,
  list: Schema.Array(Schema.Number),
  struct: Schema.Struct({ x: Schema.Number, y: Schema.NullOr(Schema.String) })
})

const rows = Array.from({ length: 2500 }, (_, i): typeof Row.Type => ({
  id: BigInt(i) * 10n ** 15n,
  n: i / 3,
  f: i / 4,
  i: -i - 1,
  s: i % 3 === 0 ? null : `s${i}ü`,
  b: i % 2 === 0,
  d: new Date(i * 86_400_123),
  bytes: new Uint8Array(Buffer.from([i & 255, 7])),
  v: Float32Array.of(i, i + 0.5, -i - 1),
  list: i % 5 === 0 ? [] : [i, i * 2],
  struct: { x: i, y: i % 7 === 0 ? null : `y${i}` }
}))

const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, v) =>
    typeof v === "bigint" ? `${v}` : v instanceof Float32Array || v instanceof Uint8Array ? Array.from(v) : v))

describe("Parquet", () => {
  inMemory((it) => {
    it.effect("reads what it wrote, in every compression, row group by row group", () =>
      Effect.gen(function*() {
        for (const compression of ["none", "snappy", "gzip", "zstd"] as const) {
          yield* write("memory:///a.parquet", Parquet.writer(Row, { compression, rowGroupRows: 1000 }), rows)
          const [file] = yield* Parquet.metadata("memory:///a.parquet")
          assert.deepStrictEqual(file?.rowGroups.map((group) => group.rows), [1000, 1000, 500])
          assert.deepStrictEqual(plain(yield* readAll(Parquet.source("memory:///a.parquet", Row))), plain(rows))
        }
      }))

    it.effect("splits by row group and reads only the columns asked for", () =>
      Effect.gen(function*() {
        yield* write("memory:///b.parquet", Parquet.writer(Row, { rowGroupRows: 500 }), rows)
        const source = Parquet.source("memory:///b.parquet", Schema.Struct({ n: Schema.Number }))
        const { splits } = yield* source.resolve({ splitBytes: 1, openCostBytes: 0 })
        assert.deepStrictEqual(splits.map((split) => split.rows), [500, 500, 500, 500, 500])
        const back = yield* readSplits(source, { splitBytes: 1, openCostBytes: 0 })
        assert.deepStrictEqual(back.flat(), rows.map(({ n }) => ({ n })))
        const whole = Parquet.source("memory:///b.parquet", Row)
        const all = yield* whole.resolve(options)
        const projected = whole.project?.(["b"]) ?? whole
        assert.deepStrictEqual(plain(yield* readAll(projected)), rows.map(({ b }) => ({ b })))
        assert.isBelow(splits.reduce((sum, split) => sum + split.bytes, 0), (all.splits[0]?.bytes ?? 0) / 4)
      }))

    it.effect("gives vectors as views that lie next to each other, with their origin", () =>
      Effect.gen(function*() {
        const V = Schema.Struct({ v: Vector.float32(3) })
        const many = Array.from({ length: 20_000 }, (_, i) => ({ v: Float32Array.of(i, 0, 1) }))
        yield* write("memory:///v.parquet", Parquet.writer(V), many)
        const source = Parquet.source("memory:///v.parquet", V)
        const { splits } = yield* source.resolve(options)
        const chunks = yield* Stream.runCollect(Stream.chunks(splits[0]?.read ?? Stream.empty))
        const [first, second] = chunks[0] ?? []
        assert.strictEqual(first?.v.buffer, second?.v.buffer)
        assert.strictEqual(first?.v.buffer, chunks[1]?.[0]?.v.buffer)
        assert.strictEqual(second?.v.byteOffset, (first?.v.byteOffset ?? 0) + 12)
        assert.deepStrictEqual(chunks.map((chunk) => Origin.of(chunk)?.rowGroup), chunks.map(() => 0))
        assert.strictEqual(Origin.of(chunks[1] ?? [])?.firstRow, chunks[0]?.length)
      }))

    it.effect("writes a file of no rows with its columns", () =>
      Effect.gen(function*() {
        yield* write("memory:///e.parquet", Parquet.writer(Row), [])
        assert.deepStrictEqual(yield* readAll(Parquet.source("memory:///e.parquet", Row)), [])
      }))

    it.effect("copies record batches", () =>
      Effect.gen(function*() {
        yield* write("memory:///c1.parquet", Parquet.writer(Row, { rowGroupRows: 700 }), rows)
        const batches = yield* readAll(Parquet.batches("memory:///c1.parquet"))
        yield* write("memory:///c2.parquet", Parquet.batchWriter({ rowGroupRows: 1500 }), batches)
        assert.deepStrictEqual(plain(yield* readAll(Parquet.source("memory:///c2.parquet", Row))), plain(rows))
      }))

    it.effect("names a missing or wrong column, what is there, and the row with a wrong vector", () =>
      Effect.gen(function*() {
        yield* write("memory:///m.parquet", Parquet.writer(Row), rows)
        const missing = Parquet.source("memory:///m.parquet", Schema.Struct({ nope: Schema.Number }))
        assert.match((yield* Effect.flip(missing.resolve(options))).message, /no column "nope".*id: Int64/)
        const wrong = Parquet.source("memory:///m.parquet", Schema.Struct({ s: Schema.Number }))
        assert.match((yield* Effect.flip(wrong.resolve(options))).message, /column "s" is Utf8, number asked for/)
        const V = Schema.Struct({ v: Vector.Float32 })
        const short = Array.from({ length: 20000 }, (_, i) => ({ v: new Float32Array(i === 12345 ? 2 : 3) }))
        yield* write("memory:///s.parquet", Parquet.writer(V), short)
        const source = Parquet.source("memory:///s.parquet", Schema.Struct({ v: Vector.float32(3) }))
        const { reason } = yield* Effect.flip(readAll(source))
        assert.strictEqual(reason._tag === "InvalidRow" ? reason.row : undefined, 12345)
      }))

    it.effect("fails with Corrupt on what is no whole Parquet file", () =>
      Effect.gen(function*() {
        yield* write("memory:///ok.parquet", Parquet.writer(Row), rows)
        const storage = yield* Storage.Storage
        const { length } = yield* storage.stat("memory:///ok.parquet")
        const good = yield* storage.readRange("memory:///ok.parquet", 0, length)
        const huge = Buffer.from(good)
        huge.writeUInt32LE(999_999_999, length - 8)
        const page = Buffer.from(good).fill(0xff, 4, 60)
        const start = length - 8 - Buffer.from(good).readUInt32LE(length - 8)
        const footer = Buffer.from(good).fill(0xff, start + 2, start + 200)
        const cases = [new Uint8Array(0), Buffer.from("PAR1"), Buffer.from("this is some text, no parquet"), good.subarray(0, length - 1), good.subarray(0, 5000), huge, page, footer]
        for (const bytes of cases) {
          yield* put("memory:///bad.parquet", bytes)
          const error = yield* Effect.flip(readAll(Parquet.source("memory:///bad.parquet", Row)))
          assert.strictEqual(error.reason._tag, "Corrupt", error.message)
        }
      }))
  })

  const withPython = skipPython
    ? it.live.skip
    : it.live
  const hint = python === undefined ? " (needs pip install pyarrow duckdb; set SLUICE_PYTHON)" : ""
  const inFolder = <A, E>(use: (folder: string) => Effect.Effect<A, E, Storage.Storage>) =>
    Effect.acquireUseRelease(
      Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "sluice-parquet-"))),
      use,
      (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
    ).pipe(Effect.provide(Storage.layerLocal))

  withPython(`writes what pyarrow and DuckDB read${hint}`, () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const file = path.join(folder, "a.parquet")
        yield* write(file, Parquet.writer(Row, { rowGroupRows: 1000 }), rows)
        const out: unknown = JSON.parse(runPython(
          `
import sys, json, duckdb, pyarrow.parquet as pq
t = pq.read_table(sys.argv[1])
pq.ParquetFile(sys.argv[1]).metadata
rows = t.drop(["d", "bytes"]).to_pylist()
duck = duckdb.sql(f"select count(*), sum(id)::varchar, sum(n), sum(list_sum(v)), count(s), max(d)::varchar from '{sys.argv[1]}'").fetchall()[0]
print(json.dumps({"rows": [{**r, "id": str(r["id"])} for r in rows], "duck": duck, "d": [d.isoformat() for d in t["d"].to_pylist()[:2]]}))
`,
          file
        ))
        const expected = rows.map(({ bytes: _, d: __, ...row }) => row)
        assert.deepStrictEqual((out as { rows: unknown }).rows, plain(expected))
        const duck = (out as { duck: ReadonlyArray<unknown> }).duck
        assert.strictEqual(duck[0], rows.length)
        assert.strictEqual(duck[1], `${rows.reduce((sum, row) => sum + row.id, 0n)}`)
        assert.strictEqual(duck[4], rows.filter((row) => row.s !== null).length)
      })
    ), 60_000)

  withPython(`reads what pyarrow writes: all types, nulls, encodings, page versions${hint}`, () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        runPython(
          `
import sys, datetime as dt, decimal, pyarrow as pa, pyarrow.parquet as pq
n = 3000
D = decimal.Decimal
def col(f, t): return pa.array([None if i % 10 == 3 else f(i) for i in range(n)], t)
t = pa.table({
  "i8": col(lambda i: i % 100, pa.int8()), "u16": col(lambda i: i, pa.uint16()), "i64": col(lambda i: i * 10**12, pa.int64()),
  "f16": col(lambda i: i % 8 / 2, pa.float16()), "f64": col(lambda i: i / 3, pa.float64()),
  "bool": col(lambda i: i % 2 == 0, pa.bool_()), "str": col(lambda i: "s%d" % i, pa.string()), "large": col(lambda i: "l%d" % i, pa.large_string()),
  "dict": col(lambda i: "d%d" % (i % 5), pa.dictionary(pa.int32(), pa.string())), "bin": col(lambda i: bytes([i % 256]), pa.binary()),
  "fsb": col(lambda i: b"%04d" % i, pa.binary(4)), "dec": col(lambda i: D(i - 5) / 100, pa.decimal128(12, 2)),
  "date": col(lambda i: dt.date(1970, 1, 1) + dt.timedelta(days=i), pa.date32()),
  "ts": col(lambda i: dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=i * 1000), pa.timestamp("us", tz="UTC")),
  "lst": col(lambda i: [float(i), i + 1.0], pa.list_(pa.float64())), "fsl": pa.array([[float(i), 1.0] for i in range(n)], pa.list_(pa.float32(), 2)),
  "st": col(lambda i: {"a": i, "b": None if i % 2 else "x"}, pa.struct([("a", pa.int32()), ("b", pa.string())])),
  "map": col(lambda i: [("k", i)], pa.map_(pa.string(), pa.int32())),
})
for c in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
  for v in ["1.0", "2.0"]:
    pq.write_table(t, f"{sys.argv[1]}/{c}-{v}.parquet", compression=c, data_page_version=v, row_group_size=1100)
pq.write_table(t.slice(0, 0), f"{sys.argv[1]}/empty.parquet")
`,
          folder
        )
        const All = Schema.Struct({
          i8: Schema.NullOr(Schema.Number),
          u16: Schema.NullOr(Schema.Number),
          i64: Schema.NullOr(Schema.BigInt),
          f16: Schema.NullOr(Schema.Number),
          f64: Schema.NullOr(Schema.Number),
          bool: Schema.NullOr(Schema.Boolean),
          str: Schema.NullOr(Schema.String),
          large: Schema.NullOr(Schema.String),
          dict: Schema.NullOr(Schema.String),
          bin: Schema.NullOr(Schema.Uint8Array),
          fsb: Schema.NullOr(Schema.Uint8Array),
          dec: Schema.NullOr(Schema.String),
          date: Schema.NullOr(Schema.Date),
          ts: Schema.NullOr(Schema.Date),
          lst: Schema.NullOr(Schema.Array(Schema.Number)),
          fsl: Vector.float32(2),
          st: Schema.NullOr(Schema.Struct({ a: Schema.Number, b: Schema.NullOr(Schema.String) })),
          map: Schema.NullOr(Schema.Record(Schema.String, Schema.Number))
        })
        const expected = Array.from({ length: 3000 }, (_, i) => {
          const or = <A>(value: A) => i % 10 === 3 ? null : value
          const cents = i - 5
          return {
            i8: or(i % 100),
            u16: or(i),
            i64: or(BigInt(i) * 10n ** 12n),
            f16: or(i % 8 / 2),
            f64: or(i / 3),
            bool: or(i % 2 === 0),
            str: or(`s${i}`),
            large: or(`l${i}`),
            dict: or(`d${i % 5}`),
            bin: or([i % 256]),
            fsb: or([...Buffer.from(String(i).padStart(4, "0"))]),
            dec: or((cents / 100).toFixed(2)),
            date: or(new Date(i * 86_400_000)),
            ts: or(new Date(i)),
            lst: or([i, i + 1]),
            fsl: [i, 1],
            st: or({ a: i, b: i % 2 === 1 ? null : "x" }),
            map: or({ k: i })
          }
        })
        for (const codec of ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]) {
          for (const version of ["1.0", "2.0"]) {
            const read = yield* readAll(Parquet.source(path.join(folder, `${codec}-${version}.parquet`), All))
            assert.deepStrictEqual(plain(read), plain(expected), `${codec} ${version}`)
          }
        }
        assert.deepStrictEqual(yield* readAll(Parquet.source(path.join(folder, "empty.parquet"), All)), [])
      })
    ), 60_000)
})
