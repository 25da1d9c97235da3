import { assert, describe, it } from "@effect/vitest"
import * as Arrow from "apache-arrow"
import { Effect } from "effect"
import * as fc from "fast-check"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Parquet from "../../../../src/formats/Parquet.ts"
import * as Storage from "../../../../src/storage/Storage.ts"
import { readAll, runPython, skipPython, write } from "../../support.ts"

const int64 = [0n, -1n, 1n, 2n ** 32n, -(2n ** 32n), 2n ** 31n, 2n ** 32n - 1n, 2n ** 63n - 1n, -(2n ** 63n)]
const types = {
  i: { type: new Arrow.Int32(), value: fc.oneof(fc.integer(), fc.constantFrom(0, -1, 2 ** 31 - 1, -(2 ** 31))) },
  l: { type: new Arrow.Int64(), value: fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.constantFrom(...int64)) },
  f: { type: new Arrow.Float32(), value: fc.oneof(fc.float(), fc.constantFrom(0, -0, NaN, Infinity, -Infinity)) },
  d: { type: new Arrow.Float64(), value: fc.oneof(fc.double(), fc.constantFrom(0, -0, NaN, Infinity, -Infinity)) },
  // Left to the codec.
  s: { type: new Arrow.Int16(), value: fc.integer({ min: -9, max: 9 }) },
  u: { type: new Arrow.Uint32(), value: fc.integer({ min: 0, max: 2 ** 32 - 1 }) },
  t: { type: new Arrow.TimestampMillisecond(), value: fc.integer({ min: 0, max: 2 ** 40 }) }
} satisfies Record<string, { readonly type: Arrow.DataType; readonly value: fc.Arbitrary<unknown> }>
type Name = keyof typeof types
const names = Object.keys(types) as ReadonlyArray<Name>

interface Batches {
  readonly nullable: ReadonlyArray<Name>
  /** Values of each batch by column, and how many rows are cut off at its beginning. */
  readonly batches: ReadonlyArray<readonly [columns: ReadonlyArray<ReadonlyArray<unknown>>, cut: number]>
  readonly options: Parquet.ParquetWriterOptions
}

const cases: fc.Arbitrary<Batches> = fc.subarray([...names]).chain((nullable) =>
  fc.record({
    nullable: fc.constant(nullable),
    batches: fc.array(
      fc
        .tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 3 }), fc.boolean())
        .chain(([rows, cut, whole]) =>
          fc.tuple(
            fc.tuple(
              ...names.map((name) => {
                const value: fc.Arbitrary<unknown> = types[name].value
                const given = whole || !nullable.includes(name) ? value : fc.option(value, { freq: 3 })
                return fc.array(given, { minLength: rows, maxLength: rows })
              })
            ),
            fc.constant(cut)
          )
        ),
      { minLength: 1, maxLength: 6 }
    ),
    options: fc.record({
      compression: fc.constantFrom("snappy", "none", "zstd", "gzip"),
      rowGroupRows: fc.constantFrom(1, 10, 1000)
    })
  })
)

const schemaOf = (nullable: ReadonlyArray<Name>) =>
  new Arrow.Schema(names.map((name) => new Arrow.Field(name, types[name].type, nullable.includes(name))))

const batchOf = (schema: Arrow.Schema, columns: ReadonlyArray<ReadonlyArray<unknown>>): Arrow.RecordBatch => {
  const children = columns.map((values, i) => {
    const builder = Arrow.makeBuilder({ type: schema.fields[i]?.type ?? assert.fail("no column"), nullValues: [null] })
    for (const value of values) builder.append(value)
    return builder.finish().flush()
  })
  const length = columns[0]?.length ?? 0
  return new Arrow.RecordBatch(
    schema,
    Arrow.makeData({ type: new Arrow.Struct(schema.fields), length, nullCount: 0, children })
  )
}

/** The values of a column, where `-0` and NaN differ from others. */
const valuesOf = (batches: ReadonlyArray<Arrow.RecordBatch>, name: Name): ReadonlyArray<string> =>
  batches.flatMap((batch) =>
    Array.from(batch.getChild(name) ?? assert.fail("no column"), (value: unknown) =>
      Object.is(value, -0) ? "-0" : String(value)
    )
  )

const decode: Partial<Record<Name, (bytes: Buffer) => number | bigint>> = {
  i: (bytes) => bytes.readInt32LE(),
  l: (bytes) => bytes.readBigInt64LE(),
  f: (bytes) => bytes.readFloatLE(),
  d: (bytes) => bytes.readDoubleLE()
}

describe("numbers of record batches", () => {
  it.layer(Storage.layerMemory)((it) => {
    it.effect("law: are read as they were written, and lie within the bounds of their row groups", () =>
      Effect.gen(function* () {
        let bounded = 0
        for (let seed = 0; seed < 80; seed++) {
          const [{ batches, nullable, options }] = fc.sample(cases, { seed, numRuns: 1 }) as [Batches]
          const schema = schemaOf(nullable)
          const written = batches.map(([columns, cut]) => batchOf(schema, columns).slice(cut))
          const what = `seed ${seed}`
          yield* write("memory:///numbers.parquet", Parquet.batchWriter(options), written)
          const read = yield* readAll(Parquet.batches("memory:///numbers.parquet"))
          for (const name of names)
            assert.deepStrictEqual(valuesOf(read, name), valuesOf(written, name), `${what} ${name}`)
          const [file] = yield* Parquet.metadata("memory:///numbers.parquet")
          for (const [index, group] of (file?.rowGroups ?? []).filter(({ rows }) => rows > 0).entries()) {
            for (const name of names) {
              const toNumber = decode[name]
              const column = group.columns.find(({ path }) => path[0] === name)
              const rows: ReadonlyArray<unknown> = [...(read[index]?.getChild(name) ?? assert.fail("no row group"))]
              const values = rows.filter((value) => typeof value === "number" || typeof value === "bigint")
              const ordered = values.filter((value) => !Number.isNaN(value))
              if (toNumber === undefined || values.length < rows.length) continue
              assert.strictEqual(column?.nullCount, 0, what)
              const min = column?.min === undefined ? undefined : toNumber(Buffer.from(column.min))
              const max = column?.max === undefined ? undefined : toNumber(Buffer.from(column.max))
              if (ordered.length === 0) continue
              bounded++
              assert.isTrue(
                ordered.every((value) => value >= (min ?? NaN) && value <= (max ?? NaN)),
                `${what} ${name}`
              )
              assert.isTrue(ordered.some((value) => value == min) && ordered.some((value) => value == max), what)
              if (min === 0) assert.isTrue(typeof min === "bigint" || name === "i" || Object.is(min, -0), what)
            }
          }
        }
        assert.isAbove(bounded, 300)
      })
    )

    it.effect("end a page at 20,000 values, also across batches", () =>
      Effect.gen(function* () {
        const schema = schemaOf([]).select(["i"])
        const ids = (from: number, length: number) => [Array.from({ length }, (_, i) => from + i)]
        const written = [
          batchOf(schema, ids(0, 15_000)),
          batchOf(schema, ids(15_000, 30_000)),
          batchOf(schema, ids(0, 5))
        ]
        for (const compression of ["none", "snappy"] as const) {
          yield* write("memory:///pages.parquet", Parquet.batchWriter({ compression }), written)
          const read = yield* readAll(Parquet.batches("memory:///pages.parquet"))
          assert.deepStrictEqual(valuesOf(read, "i"), valuesOf(written, "i"))
        }
      })
    )
  })

  it.skipIf(skipPython)("are read by pyarrow", async () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-numbers-"))
    try {
      for (const compression of ["none", "snappy", "zstd", "gzip"] as const) {
        const [{ batches }] = fc.sample(
          cases.filter(({ batches }) => batches.some(([[rows]]) => (rows?.length ?? 0) > 3)),
          {
            seed: 7,
            numRuns: 1
          }
        ) as [Batches]
        const schema = schemaOf(names)
        const written = batches.map(([columns]) => batchOf(schema, columns))
        const path = Path.join(folder, `${compression}.parquet`)
        await Effect.runPromise(
          Effect.provide(write(`file://${path}`, Parquet.batchWriter({ compression }), written), Storage.layer)
        )
        const script = [
          "import sys, pyarrow.parquet as pq",
          "t = pq.read_table(sys.argv[1], page_checksum_verification=True)",
          "for n in 'ilfd': print(*t[n].to_pylist(), sep=',')"
        ].join("\n")
        const lines = runPython(script, path).trimEnd().split("\n")
        for (const [i, name] of (["i", "l", "f", "d"] as const).entries()) {
          const found = lines[i]?.replaceAll("inf", "Infinity").replaceAll("nan", "NaN").split(",") ?? []
          const expected = valuesOf(written, name)
          const isFloat = name === "f" || name === "d"
          const comparable = (value: string) =>
            isFloat && value !== "None" && value !== "null" ? Number(value) : value.replace("None", "null")
          assert.deepStrictEqual(found.map(comparable), expected.map(comparable))
        }
      }
    } finally {
      Fs.rmSync(folder, { recursive: true })
    }
  })
})
