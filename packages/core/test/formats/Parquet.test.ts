import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Parquet from "../../src/formats/Parquet.ts"
import { encodeRows } from "../../src/formats/internal/parquet/write.ts"
import * as Origin from "../../src/task/Origin.ts"
import * as Storage from "../../src/storage/Storage.ts"
import * as StorageError from "../../src/storage/StorageError.ts"
import * as TaskContext from "../../src/task/TaskContext.ts"
import * as FaultyStorage from "../../src/testing/FaultyStorage.ts"
import * as Vector from "../../src/formats/Vector.ts"
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

const golden = path.join(import.meta.dirname, "golden")

const or = <S extends Schema.Constraint>(schema: S) => Schema.NullOr(schema)
const Golden = Schema.Struct({
  i8: or(Schema.Number),
  u8: or(Schema.Number),
  i16: or(Schema.Number),
  u16: or(Schema.Number),
  i32: or(Schema.Number),
  u32: or(Schema.Number),
  i64: or(Schema.BigInt),
  u64: or(Schema.BigInt),
  f16: or(Schema.Number),
  f32: or(Schema.Number),
  f64: or(Schema.Number),
  bool: or(Schema.Boolean),
  str: or(Schema.String),
  large: or(Schema.String),
  dict: or(Schema.String),
  bin: or(Schema.Uint8Array),
  fsb: or(Schema.Uint8Array),
  dec: or(Schema.String),
  dec38: or(Schema.BigInt),
  date: or(Schema.Date),
  ms: or(Schema.Date),
  us: or(Schema.Date),
  ns: or(Schema.Date),
  list: or(Schema.Array(or(Schema.Number))),
  nested: or(Schema.Array(Schema.Array(Schema.Number))),
  vector: Vector.float32(3),
  strict: Vector.Float32,
  maybe: or(Vector.Float32),
  fixed: Vector.float32(2),
  struct: or(
    Schema.Struct({
      a: Schema.Number,
      b: or(Schema.String),
      c: Schema.Struct({ d: Schema.Array(Schema.Number) })
    })
  ),
  map: or(Schema.Record(Schema.String, Schema.Number))
})

/** Rows whose keys are in one order. */
const sorted = (rows: unknown): unknown =>
  Array.isArray(rows) ? rows.map((row: object) => Object.fromEntries(Object.entries(row).toSorted())) : rows

const noTask: TaskContext.TaskContext = {
  jobId: "",
  stage: 0,
  partition: 0,
  partitions: 1,
  attempt: 0,
  executor: { id: "", host: "", slots: 1 },
  split: undefined,
  metrics: {
    rowsRead: 0,
    rowsIn: 0,
    bytesRead: 0,
    rowsAhead: 0,
    bytesAhead: 0,
    rowsOut: 0,
    bytesWritten: 0,
    rowsFiltered: 0,
    rowsCut: 0,
    deadLettered: 0,
    counters: new Map(),
    gauges: new Map()
  },
  additions: new Map(),
  deadLetter: () => Effect.void
}

const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, v) =>
      typeof v === "bigint" ? `${v}` : v instanceof Float32Array || v instanceof Uint8Array ? Array.from(v) : v
    )
  )

describe("Parquet", () => {
  inMemory((it) => {
    it.effect("reads what it wrote, in every compression, row group by row group", () =>
      Effect.gen(function* () {
        for (const compression of ["none", "snappy", "gzip", "zstd"] as const) {
          yield* write("memory:///a.parquet", Parquet.writer(Row, { compression, rowGroupRows: 1000 }), rows)
          const [file] = yield* Parquet.metadata("memory:///a.parquet")
          assert.deepStrictEqual(
            file?.rowGroups.map((group) => group.rows),
            [1000, 1000, 500]
          )
          assert.deepStrictEqual(plain(yield* readAll(Parquet.source("memory:///a.parquet", Row))), plain(rows))
        }
      })
    )

    it.effect("splits by row group and reads only the columns asked for", () =>
      Effect.gen(function* () {
        yield* write("memory:///b.parquet", Parquet.writer(Row, { rowGroupRows: 500 }), rows)
        const source = Parquet.source("memory:///b.parquet", Schema.Struct({ n: Schema.Number }))
        const { splits } = yield* source.resolve({ splitBytes: 1, openCostBytes: 0 })
        assert.deepStrictEqual(
          splits.map((split) => split.rows),
          [500, 500, 500, 500, 500]
        )
        const back = yield* readSplits(source, { splitBytes: 1, openCostBytes: 0 })
        assert.deepStrictEqual(
          back.flat(),
          rows.map(({ n }) => ({ n }))
        )
        const whole = Parquet.source("memory:///b.parquet", Row)
        const all = yield* whole.resolve(options)
        const projected = whole.project?.(["b"]) ?? whole
        assert.deepStrictEqual(
          plain(yield* readAll(projected)),
          rows.map(({ b }) => ({ b }))
        )
        assert.isBelow(
          splits.reduce((sum, split) => sum + split.bytes, 0),
          (all.splits[0]?.bytes ?? 0) / 4
        )
      })
    )

    it.effect("gives vectors as views that lie next to each other, with their origin", () =>
      Effect.gen(function* () {
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
        assert.deepStrictEqual(
          chunks.map((chunk) => Origin.of(chunk)?.rowGroup),
          chunks.map(() => 0)
        )
        assert.strictEqual(Origin.of(chunks[1] ?? [])?.firstRow, chunks[0]?.length)
      })
    )

    it.effect("writes a file of no rows with its columns", () =>
      Effect.gen(function* () {
        yield* write("memory:///e.parquet", Parquet.writer(Row), [])
        assert.deepStrictEqual(yield* readAll(Parquet.source("memory:///e.parquet", Row)), [])
      })
    )

    it.effect("copies record batches", () =>
      Effect.gen(function* () {
        yield* write("memory:///c1.parquet", Parquet.writer(Row, { rowGroupRows: 700 }), rows)
        const batches = yield* readAll(Parquet.batches("memory:///c1.parquet"))
        yield* write("memory:///c2.parquet", Parquet.batchWriter({ rowGroupRows: 1500 }), batches)
        assert.deepStrictEqual(plain(yield* readAll(Parquet.source("memory:///c2.parquet", Row))), plain(rows))
      })
    )

    it.effect("names a missing or wrong column, what is there, and the row with a wrong vector", () =>
      Effect.gen(function* () {
        yield* write("memory:///m.parquet", Parquet.writer(Row), rows)
        const missing = Parquet.source("memory:///m.parquet", Schema.Struct({ nope: Schema.Number }))
        assert.match((yield* Effect.flip(missing.resolve(options))).message, /no column "nope".*id: Int64/)
        const wrong = Parquet.source("memory:///m.parquet", Schema.Struct({ s: Schema.Number }))
        assert.match(
          (yield* Effect.flip(wrong.resolve(options))).message,
          /column "s" is Utf8, but number was asked for/
        )
        for (const [name, message] of [
          ["nope", /no column "nope" \(a list of float or double was asked for\); the columns are id: Int64/],
          ["s", /column "s" is Utf8, but a list of float or double was asked for/]
        ] as const) {
          const batches = Parquet.batches("memory:///m.parquet", { vectors: [name] })
          assert.match((yield* Effect.flip(batches.resolve(options))).message, message)
        }
        const V = Schema.Struct({ v: Vector.Float32 })
        const short = Array.from({ length: 20000 }, (_, i) => ({ v: new Float32Array(i === 12345 ? 2 : 3) }))
        yield* write("memory:///s.parquet", Parquet.writer(V), short)
        yield* Parquet.batches("memory:///s.parquet", { vectors: ["v"] }).resolve(options)
        const source = Parquet.source("memory:///s.parquet", Schema.Struct({ v: Vector.float32(3) }))
        const { reason } = yield* Effect.flip(readAll(source))
        assert.strictEqual(reason._tag === "InvalidRow" ? reason.row : undefined, 12345)
      })
    )

    it.effect("fails with Corrupt on a file that is not a complete Parquet file", () =>
      Effect.gen(function* () {
        yield* write("memory:///ok.parquet", Parquet.writer(Row), rows)
        const storage = yield* Storage.Storage
        const { length } = yield* storage.stat("memory:///ok.parquet")
        const good = yield* storage.readRange("memory:///ok.parquet", 0, length)
        const huge = Buffer.from(good)
        huge.writeUInt32LE(999_999_999, length - 8)
        const page = Buffer.from(good).fill(0xff, 4, 60)
        const start = length - 8 - Buffer.from(good).readUInt32LE(length - 8)
        const footer = Buffer.from(good).fill(0xff, start + 2, start + 200)
        const cases = [
          new Uint8Array(0),
          Buffer.from("PAR1"),
          Buffer.from("this is some text, no parquet"),
          good.subarray(0, length - 1),
          good.subarray(0, 5000),
          huge,
          page,
          footer
        ]
        for (const bytes of cases) {
          yield* put("memory:///bad.parquet", bytes)
          const error = yield* Effect.flip(readAll(Parquet.source("memory:///bad.parquet", Row)))
          assert.strictEqual(error.reason._tag, "Corrupt", error.message)
          // A trap of the codec is over.
          yield* readAll(Parquet.source("memory:///ok.parquet", Row))
        }
      })
    )

    it.effect("finds a flipped bit in a page that has a checksum", () =>
      Effect.gen(function* () {
        const bytes = yield* Effect.promise(() => fs.readFile(path.join(golden, "zstd-2.0.parquet")))
        yield* put("memory:///sum.parquet", bytes)
        const [file] = yield* Parquet.metadata("memory:///sum.parquet")
        for (const name of ["i64", "vector"]) {
          const column = file?.rowGroups[1]?.columns.find((column) => column.path[0] === name)
          const flipped = Buffer.from(bytes)
          const at = (column?.offset ?? 0) + (column?.length ?? 0) - 1
          flipped[at] = (flipped[at] ?? 0) ^ 1
          yield* put("memory:///flipped.parquet", flipped)
          const error = yield* Effect.flip(readAll(Parquet.batches("memory:///flipped.parquet", { columns: [name] })))
          assert.match(error.message, /checksum/)
        }
      })
    )

    it.effect("reads every type, codec and page version as pyarrow wrote it", () =>
      Effect.gen(function* () {
        const lines = yield* Effect.promise(() => fs.readFile(path.join(golden, "rows.jsonl"), "utf8"))
        const json: unknown = JSON.parse(`[${lines.trimEnd().replaceAll("\n", ",")}]`)
        for (const name of ["none-1.0", "snappy-1.0", "gzip-2.0", "zstd-2.0", "brotli-1.0", "lz4-2.0"]) {
          const bytes = yield* Effect.promise(() => fs.readFile(path.join(golden, `${name}.parquet`)))
          yield* put("memory:///golden.parquet", bytes)
          const read = yield* readAll(Parquet.source("memory:///golden.parquet", Golden))
          assert.deepStrictEqual(sorted(plain(read)), sorted(json), name)
        }
      })
    )

    it.effect("sets rows aside that the schema does not allow, when asked to", () =>
      Effect.gen(function* () {
        const from = Schema.Struct({ v: Schema.NullOr(Schema.Number) })
        const some = Array.from({ length: 9000 }, (_, i) => ({ v: i % 4000 === 10 ? null : i }))
        yield* write("memory:///d.parquet", Parquet.writer(from), some)
        const source = Parquet.source("memory:///d.parquet", Schema.Struct({ v: Schema.Number }), {
          onInvalidRow: "deadLetter"
        })
        const letters: Array<TaskContext.DeadLetter> = []
        const context: TaskContext.TaskContext = {
          ...noTask,
          deadLetter: (letter) => Effect.sync(() => void letters.push(letter))
        }
        const { splits } = yield* source.resolve(options)
        const chunks = yield* Stream.runCollect(Stream.chunks(splits[0]?.read ?? Stream.empty)).pipe(
          Effect.provideService(TaskContext.Current, context)
        )
        assert.deepStrictEqual(
          letters.map((letter) => letter.row),
          [10, 4010, 8010]
        )
        assert.match(letters[0]?.reason ?? "", /column "v" is null/)
        assert.deepStrictEqual(
          chunks.flat(),
          some.filter((row) => row.v !== null)
        )
        const second = Origin.of(chunks[0] ?? [])
        assert.strictEqual(second && Origin.at(second, 10).row, 11)
      })
    )

    it.effect("writes a file without rows for no batches, which reading leaves out", () =>
      Effect.gen(function* () {
        yield* write("memory:///nb/a.parquet", Parquet.batchWriter(), [])
        yield* write("memory:///nb/b.parquet", Parquet.writer(Row), rows)
        assert.strictEqual((yield* Parquet.metadata("memory:///nb/a.parquet"))[0]?.rows, 0)
        assert.strictEqual((yield* readAll(Parquet.source("memory:///nb", Row))).length, rows.length)
        assert.strictEqual((yield* readAll(Parquet.batches("memory:///nb/a.parquet"))).length, 0)
      })
    )

    it.effect("counts rows of batches, and tells minimum and maximum of a row group", () =>
      Effect.gen(function* () {
        yield* write("memory:///st.parquet", Parquet.writer(Row, { rowGroupRows: 1000 }), rows)
        const { splits } = yield* Parquet.batches("memory:///st.parquet").resolve(options)
        const split = splits[0]
        const batches = yield* Stream.runCollect(split?.read ?? Stream.empty)
        assert.deepStrictEqual(
          batches.map((batch) => split?.rowsOf?.(batch)),
          [1000, 1000, 500]
        )
        assert.deepStrictEqual(
          batches.map((batch) => Parquet.batchWriter().rowsOf?.(batch)),
          [1000, 1000, 500]
        )
        const [file] = yield* Parquet.metadata("memory:///st.parquet")
        const id = file?.rowGroups[1]?.columns.find((column) => column.path[0] === "id")
        assert.strictEqual(Buffer.from(id?.min ?? []).readBigInt64LE(), 10n ** 18n)
        assert.strictEqual(Buffer.from(id?.max ?? []).readBigInt64LE(), 1999n * 10n ** 15n)
      })
    )

    it.effect("checks what it writes against the schema", () =>
      Effect.gen(function* () {
        const Positive = Schema.Struct({ n: Schema.Number.check(Schema.isGreaterThan(0)) })
        const error = yield* Effect.flip(write("memory:///p.parquet", Parquet.writer(Positive), [{ n: 1 }, { n: -1 }]))
        assert.match(error.message, /column "n".*greater than 0/s)
      })
    )

    it.effect("reads vectors that are null, empty or have a null inside", () =>
      Effect.gen(function* () {
        const V = Schema.Struct({ v: Schema.NullOr(Vector.Float32) })
        const mixed = Array.from({ length: 100 }, (_, i) => ({
          v: i % 7 === 0 ? null : new Float32Array(i % 5).fill(i)
        }))
        for (const compression of ["none", "snappy", "gzip", "zstd"] as const) {
          yield* write("memory:///n.parquet", Parquet.writer(V, { compression, rowGroupRows: 30 }), mixed)
          assert.deepStrictEqual(plain(yield* readAll(Parquet.source("memory:///n.parquet", V))), plain(mixed))
        }
        const From = Schema.Struct({ v: Schema.Array(Schema.NullOr(Parquet.Float32)) })
        yield* write("memory:///i.parquet", Parquet.writer(From), [{ v: [1, 2] }, { v: [3, null] }])
        const { reason } = yield* Effect.flip(readAll(Parquet.source("memory:///i.parquet", V)))
        assert.match(reason.message, /row 1.*null inside a vector/)
      })
    )

    it.effect("reads a large row group in several batches", () =>
      Effect.gen(function* () {
        const L = Schema.Struct({ a: Schema.Number, big: Schema.Uint8Array, v: Vector.Float32 })
        const big = new Uint8Array(1024 * 1024)
        const many = Array.from({ length: 100 }, (_, a) => ({ a, big, v: new Float32Array(a % 5).fill(a + 0.5) }))
        const storage = yield* Storage.Storage
        const bytes = encodeRows(Stream.fromIterable(many), L, {
          compression: "snappy",
          rowGroupRows: Infinity,
          rowGroupBytes: Infinity
        })
        yield* storage.write("memory:///l.parquet", bytes)
        const { splits } = yield* Parquet.batches("memory:///l.parquet").resolve(options)
        const batches = yield* Stream.runCollect(splits[0]?.read ?? Stream.empty)
        assert.deepStrictEqual(
          batches.map((batch) => batch.numRows),
          [50, 50]
        )
        assert.deepStrictEqual(
          batches.map((batch) => Origin.of(batch)?.firstRow),
          [0, 50]
        )
        const values = batches.flatMap((batch) =>
          Array.from({ length: batch.numRows }, (_, i) => [
            batch.getChild("a")?.get(i),
            Array.from(batch.getChild("v")?.get(i))
          ])
        )
        assert.deepStrictEqual(values, plain(many.map(({ a, v }) => [a, v])))
        const typed = yield* readAll(Parquet.source("memory:///l.parquet", L))
        assert.deepStrictEqual(plain(typed.map(({ a, v }) => [a, v])), values)
        const Some = Schema.Struct({ a: Schema.Number, v: Vector.Float32 })
        assert.deepStrictEqual(
          yield* readAll(Parquet.source("memory:///l.parquet", Some)),
          many.map(({ a, v }) => ({ a, v }))
        )
      })
    )
  })

  it.layer(FaultyStorage.layer(Storage.layerMemory))((it) => {
    it.effect("passes a failure of the storage on, and stops reading when interrupted", () =>
      Effect.gen(function* () {
        const faulty = yield* FaultyStorage.FaultyStorage
        yield* write("memory:///f.parquet", Parquet.writer(Row, { rowGroupRows: 500 }), rows)
        const { splits } = yield* Parquet.source("memory:///f.parquet", Row).resolve(options)
        const read = Stream.runCollect(splits[0]?.read ?? Stream.empty)
        yield* faulty.inject({
          operation: "readRange",
          nth: 3,
          reason: new StorageError.EndOfFile({ offset: 0, length: 1, available: 0 })
        })
        const { path, reason } = yield* Effect.flip(read)
        assert.deepStrictEqual([path, reason._tag], ["memory:///f.parquet", "StorageFailed"])
        yield* faulty.reset
        yield* faulty.inject({ operation: "readRange", nth: 3, delay: "1 hour" })
        const fiber = yield* Effect.forkChild(read)
        yield* TestClock.adjust("1 minute")
        yield* Fiber.interrupt(fiber)
        assert.strictEqual((yield* faulty.counts).operations.readRange, 3)
        yield* faulty.reset
        assert.strictEqual((yield* read).length, rows.length)
      })
    )
  })

  const withPython = skipPython ? it.live.skip : it.live
  const hint = python === undefined ? " (needs pip install pyarrow duckdb; set SLUICE_PYTHON)" : ""
  const inFolder = <A, E>(use: (folder: string) => Effect.Effect<A, E, Storage.Storage>) =>
    Effect.acquireUseRelease(
      Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "sluice-parquet-"))),
      use,
      (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
    ).pipe(Effect.provide(Storage.layerLocal))

  withPython(
    `writes what pyarrow and DuckDB read${hint}`,
    () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const file = path.join(folder, "a.parquet")
          yield* write(file, Parquet.writer(Row, { rowGroupRows: 1000 }), rows)
          const out: unknown = JSON.parse(
            runPython(
              `
import sys, json, datetime, duckdb, pyarrow.parquet as pq
t = pq.read_table(sys.argv[1])
def plain(v):
    if isinstance(v, dict): return {k: plain(x) for k, x in v.items()}
    if isinstance(v, list): return [plain(x) for x in v]
    if isinstance(v, (bytes, bytearray)): return list(v)
    if isinstance(v, datetime.datetime): return v.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return v
def rows(t): return [{**plain(r), "id": str(r["id"])} for r in t.to_pylist()]
duck = duckdb.sql(f"from '{sys.argv[1]}'").to_arrow_table()
print(json.dumps({"arrow": rows(t), "duck": rows(duck)}))
`,
              file
            )
          )
          assert.deepStrictEqual(out, { arrow: plain(rows), duck: plain(rows) })
        })
      ),
    60_000
  )

  withPython(
    `reads what pyarrow writes: all types, nulls, encodings, page versions${hint}`,
    () =>
      inFolder((folder) =>
        Effect.gen(function* () {
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
            const or = <A>(value: A) => (i % 10 === 3 ? null : value)
            const cents = i - 5
            return {
              i8: or(i % 100),
              u16: or(i),
              i64: or(BigInt(i) * 10n ** 12n),
              f16: or((i % 8) / 2),
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
      ),
    60_000
  )
})
