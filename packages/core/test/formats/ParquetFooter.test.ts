import { assert, describe, it } from "@effect/vitest"
import { Condition } from "@sluice/core"
import * as Arrow from "apache-arrow"
import { Effect, Schema } from "effect"
import * as Parquet from "../../src/formats/Parquet.ts"
import * as Footer from "../../src/formats/internal/parquet/footer.ts"
import * as Thrift from "../../src/formats/internal/parquet/thrift.ts"
import * as Storage from "../../src/storage/Storage.ts"
import * as FaultyStorage from "../../src/testing/FaultyStorage.ts"
import { options, put, readAll, write } from "./support.ts"

const Row = Schema.Struct({ id: Schema.BigInt, s: Schema.NullOr(Schema.String) })
const rows = Array.from({ length: 30 }, (_, i) => ({ id: BigInt(i), s: i % 3 === 0 ? null : `s${i}` }))
const file = "memory:///footer.parquet"

const bytesOf = (path: string) =>
  Effect.gen(function* () {
    const storage = yield* Storage.Storage
    const { length } = yield* storage.stat(path)
    return yield* storage.readRange(path, 0, length)
  })

/** The file with another footer. */
const patched = (bytes: Uint8Array, change: (footer: Thrift.Struct) => Thrift.Struct): Uint8Array => {
  const { at, struct } = Footer.ofFile(bytes)
  const footer = Thrift.write(change(struct))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(footer.length)
  return Buffer.concat([bytes.subarray(0, at), footer, length, Buffer.from("PAR1")])
}

const elements = (change: (element: Thrift.Struct, index: number) => Thrift.Struct) => (footer: Thrift.Struct) =>
  Thrift.set(footer, [[2, Thrift.structList(Thrift.structs(footer, 2).map(change))]])

const groups = (change: (group: Thrift.Struct) => Thrift.Struct) => (footer: Thrift.Struct) =>
  Thrift.set(footer, [[4, Thrift.structList(Thrift.structs(footer, 4).map(change))]])

const chunks = (change: (chunk: Thrift.Struct, index: number) => Thrift.Struct) =>
  groups((group) => Thrift.set(group, [[1, Thrift.structList(Thrift.structs(group, 1).map(change))]]))

const metas = (change: (meta: Thrift.Struct) => Thrift.Struct) =>
  chunks((chunk) => Thrift.set(chunk, [[3, Thrift.structField(change(Thrift.struct(chunk, 3) ?? new Map()))]]))

const i64 = (id: number, value: number) => (struct: Thrift.Struct) => Thrift.set(struct, [[id, Thrift.i64(value)]])

describe("Parquet footers", () => {
  it.layer(Storage.layerMemory)((it) => {
    const reading = (change: (footer: Thrift.Struct) => Thrift.Struct) =>
      Effect.gen(function* () {
        yield* write(file, Parquet.writer(Row, { rowGroupRows: 10 }), rows)
        yield* put(file, patched(yield* bytesOf(file), change))
        return yield* readAll(Parquet.source(file, Row))
      })

    const bad: ReadonlyArray<readonly [string, (footer: Thrift.Struct) => Thrift.Struct, RegExp]> = [
      ["a negative number of rows", i64(3, -1), /says that it has -1 rows/],
      ["a number of rows that is not the sum", i64(3, 31), /says that it has 31 rows, but its row groups have 30/],
      ["no number of rows", (footer) => Thrift.set(footer, [[3, undefined]]), /unknown number of rows/],
      ["a number beyond 2^53", i64(3, 2 ** 60), /impossibly large/],
      ["a row group of negative rows", groups(i64(3, -10)), /row group 0 of -10 rows/],
      ["values that are not the rows", metas(i64(5, 11)), /has 11 values of column id in a row group of 10 rows/],
      ["negative values", metas(i64(5, -1)), /a number of values of -1/],
      ["a negative length", metas(i64(7, -1)), /a length of -1/],
      ["a negative length before compression", metas(i64(6, -5)), /a length before compression of -5/],
      [
        "an offset outside the file",
        metas((meta) =>
          Thrift.set(meta, [
            [9, Thrift.i64(1_000_000)],
            [11, undefined]
          ])
        ),
        /places column id outside the file/
      ],
      ["a length outside the file", metas(i64(7, 1_000_000)), /places column id outside the file/],
      [
        "an offset in the magic",
        metas((meta) =>
          Thrift.set(meta, [
            [9, Thrift.i64(0)],
            [11, undefined]
          ])
        ),
        /outside the file/
      ],
      [
        "another physical type",
        metas((meta) => Thrift.set(meta, [[1, Thrift.i32(5)]])),
        /a different type than its schema says/
      ],
      [
        "a chunk too few",
        groups((group) => Thrift.set(group, [[1, Thrift.structList([])]])),
        /has 0 columns in row group 0/
      ],
      [
        "more children than there are",
        elements((element, i) => (i === 0 ? Thrift.set(element, [[5, Thrift.i32(9)]]) : element)),
        /names columns it does not have/
      ],
      [
        "negative children",
        elements((element, i) => (i === 0 ? Thrift.set(element, [[5, Thrift.i32(-1)]]) : element)),
        /names columns it does not have/
      ],
      [
        "fewer children than there are",
        elements((element, i) => (i === 0 ? Thrift.set(element, [[5, Thrift.i32(1)]]) : element)),
        /does not name all of its columns/
      ],
      [
        "an unknown physical type",
        elements((element, i) => (i === 1 ? Thrift.set(element, [[1, Thrift.i32(9)]]) : element)),
        /the unknown type 9/
      ],
      [
        "a schema without end",
        (footer) =>
          Thrift.set(footer, [
            [
              2,
              Thrift.structList(
                Array.from(
                  { length: 5000 },
                  (_, i) =>
                    new Map([
                      [4, Thrift.utf8("x")],
                      [3, Thrift.i32(0)],
                      ...(i < 4999 ? [[5, Thrift.i32(1)] as const] : [[1, Thrift.i32(1)] as const])
                    ])
                )
              )
            ]
          ]),
        /nested too deeply/
      ],
      [
        "its rows in another file",
        chunks((chunk) => Thrift.set(chunk, [[1, Thrift.utf8("part-0.parquet")]])),
        /names part-0.parquet as the file that has them/
      ],
      [
        "an encrypted column",
        chunks((chunk, i) => (i === 1 ? Thrift.set(chunk, [[8, Thrift.structField(new Map())]]) : chunk)),
        /column "s" is encrypted/
      ],
      [
        "a name twice",
        elements((element, i) => (i === 0 ? element : Thrift.set(element, [[4, Thrift.utf8("id")]]))),
        /column "id" is in the file twice/
      ],
      [
        "a decimal of 77 digits",
        elements((element, i) =>
          i === 1
            ? Thrift.set(element, [
                [6, Thrift.i32(5)],
                [7, Thrift.i32(0)],
                [8, Thrift.i32(77)],
                [10, undefined]
              ])
            : element
        ),
        /column "id" is a decimal of 77 digits/
      ]
    ]

    it.effect("are checked before anything relies on them", () =>
      Effect.gen(function* () {
        for (const [name, change, message] of bad) {
          const error = yield* Effect.flip(Effect.tap(reading(change), () => Effect.die(`${name}: was read`)))
          assert.match(error.message, message, name)
          assert.include(["Corrupt", "SchemaMismatch"], error.reason._tag, name)
        }
      })
    )

    it.effect("may leave the sum of the rows, and the place of a missing dictionary, at 0", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* reading(i64(3, 0)), rows)
        // Its first page is then that of the dictionary, as some writers have it.
        const zero = metas((meta) =>
          Thrift.set(meta, [
            [9, Thrift.i64(Thrift.int(meta, 11) ?? Thrift.int(meta, 9) ?? 0)],
            [11, Thrift.i64(0)]
          ])
        )
        assert.deepStrictEqual(yield* reading(zero), rows)
      })
    )

    it.effect("of old writers leave the header of a dictionary out of the length of a column", () =>
      Effect.gen(function* () {
        const short = (footer: Thrift.Struct) =>
          metas((meta) => i64(7, (Thrift.int(meta, 7) ?? 0) - 15)(meta))(
            Thrift.set(footer, [[6, Thrift.utf8("parquet-mr version 1.2.8")]])
          )
        assert.deepStrictEqual(yield* reading(short), rows)
      })
    )

    it.effect("may say of a column that it is all null in an old way", () =>
      Effect.gen(function* () {
        const Nulls = Schema.Struct({ s: Schema.NullOr(Schema.String) })
        yield* write(file, Parquet.writer(Nulls), [{ s: null }, { s: null }])
        const old = elements((element, i) =>
          i === 0
            ? element
            : Thrift.set(element, [
                [6, Thrift.i32(24)],
                [10, undefined]
              ])
        )
        yield* put(file, patched(yield* bytesOf(file), old))
        assert.deepStrictEqual(yield* readAll(Parquet.source(file, Nulls)), [{ s: null }, { s: null }])
        const error = yield* Effect.flip(readAll(Parquet.source(file, Schema.Struct({ s: Schema.String }))))
        assert.strictEqual(error.reason._tag, "SchemaMismatch")
      })
    )

    it.effect("with an encrypted column give the others", () =>
      Effect.gen(function* () {
        yield* write(file, Parquet.writer(Row), rows)
        const encrypted = chunks((chunk, i) =>
          i === 1
            ? new Map([
                [2, Thrift.i64(4)],
                [8, Thrift.structField(new Map())]
              ])
            : chunk
        )
        yield* put(file, patched(yield* bytesOf(file), encrypted))
        assert.deepStrictEqual(
          yield* readAll(Parquet.source(file, Schema.Struct({ id: Schema.BigInt }))),
          rows.map(({ id }) => ({ id }))
        )
      })
    )

    /** Row groups of 10 rows each that are read where a condition holds. */
    const counting = (values: Arrow.Vector, type: Schema.Constraint, condition: Condition.Condition<never>) =>
      Effect.gen(function* () {
        const table = new Arrow.Table({ c: values })
        const batches = Array.from(
          { length: values.length / 10 },
          (_, i) => table.slice(i * 10, i * 10 + 10).batches
        ).flat()
        yield* write(file, Parquet.batchWriter({ rowGroupRows: 10 }), batches)
        return yield* read(Schema.Struct({ c: type as Schema.Codec<unknown> }), condition)
      })
    const read = (schema: Schema.Struct<{ c: Schema.Codec<unknown> }>, condition: Condition.Condition<never>) =>
      Effect.gen(function* () {
        const where = [{ column: "c", expression: condition.expression }]
        const source = Parquet.source(file, schema)
        const { splits } = yield* (source.restrict?.(where) ?? source).resolve(options)
        return splits.flatMap((split) => split.parts.flatMap((part) => [...(part.rowGroups ?? [])]))
      })
    const of = (type: Arrow.DataType, data: ArrayLike<number | bigint>) =>
      new Arrow.Vector([new Arrow.Data(type, 0, data.length, 0, { [Arrow.BufferType.DATA]: data })])

    it.effect("tell which row groups need not be read: as many as possible, in the order and unit of the column", () =>
      Effect.gen(function* () {
        const spread = (step: number, from: number) => Array.from({ length: 40 }, (_, i) => from + i * step)
        // If the bounds were read in the wrong byte order, another row group would match.
        const int32 = of(new Arrow.Int32(), Int32Array.from(spread(100, -2000)))
        assert.deepStrictEqual(yield* counting(int32, Schema.Number, Condition.lt(-1000)), [0])
        assert.deepStrictEqual(yield* counting(int32, Schema.Number, Condition.eq(255)), [2])
        const unsigned = of(
          new Arrow.Uint64(),
          BigUint64Array.from(spread(1, 0), (i) => 2n ** 63n - 20n + BigInt(i))
        )
        assert.deepStrictEqual(yield* counting(unsigned, Schema.BigInt, Condition.gte(2n ** 63n + 10n)), [3])
        assert.deepStrictEqual(yield* counting(unsigned, Schema.BigInt, Condition.lt(0n)), [])
        const micros = of(
          new Arrow.TimestampMicrosecond("UTC"),
          BigInt64Array.from(spread(1, 0), (i) => BigInt(i - 20) * 700n)
        )
        assert.deepStrictEqual(yield* counting(micros, Schema.BigInt, Condition.gte(7000n)), [3])
        assert.deepStrictEqual(yield* counting(micros, Schema.BigInt, Condition.lt(-7000n)), [0])
        assert.deepStrictEqual(yield* counting(micros, Schema.Date, Condition.lt(new Date(-7))), [0])
        assert.deepStrictEqual(yield* counting(micros, Schema.Date, Condition.gte(new Date(7))), [3])
        // -7 to -0.7 ms are dates of -7 to -1 ms.
        assert.deepStrictEqual(yield* counting(micros, Schema.Date, Condition.eq(new Date(-1))), [1])
        const days = of(new Arrow.DateDay(), Int32Array.from(spread(1, -20)))
        assert.deepStrictEqual(yield* counting(days, Schema.Date, Condition.gte(new Date(10 * 86_400_000))), [3])
        const text = Arrow.vectorFromArray(
          spread(1, 10).map((i) => `k${i}`),
          new Arrow.Utf8()
        )
        assert.deepStrictEqual(yield* counting(text, Schema.String, Condition.startsWith("k3")), [2])
        // Half of a surrogate pair has no bytes to look for, but is a beginning of strings.
        const faces = Arrow.vectorFromArray(
          spread(1, 0).map((i) => (i < 20 ? "a" : "\u{1f600}")),
          new Arrow.Utf8()
        )
        assert.deepStrictEqual(yield* counting(faces, Schema.String, Condition.startsWith("\ud83d")), [0, 1, 2, 3])
      })
    )

    it.effect("with NaN for a bound, or none, leave the row group to be read", () =>
      Effect.gen(function* () {
        const doubles = of(
          new Arrow.Float64(),
          Float64Array.from({ length: 40 }, (_, i) => i)
        )
        assert.deepStrictEqual(yield* counting(doubles, Schema.Number, Condition.lt(5)), [0])
        const written = yield* bytesOf(file)
        const nan: Thrift.Field = { type: 8, value: new Uint8Array(Float64Array.of(Number.NaN).buffer) }
        for (const field of [5, 6]) {
          for (const value of [nan, undefined]) {
            const change = metas((meta) =>
              Thrift.set(meta, [
                [12, Thrift.structField(Thrift.set(Thrift.struct(meta, 12) ?? new Map(), [[field, value]]))]
              ])
            )
            yield* put(file, patched(written, change))
            assert.deepStrictEqual(yield* read(Schema.Struct({ c: Schema.Number }), Condition.lt(5)), [0, 1, 2, 3])
          }
        }
      })
    )
  })

  it.layer(FaultyStorage.layer(Storage.layerMemory))((it) => {
    it.effect("that are longer than the end that is read first take one read more", () =>
      Effect.gen(function* () {
        const faulty = yield* FaultyStorage.FaultyStorage
        const wide = Schema.Struct(
          Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`${"column".repeat(20)}${i}`, Schema.Number]))
        )
        const row = Object.fromEntries(wide.ast.propertySignatures.map(({ name }, i) => [String(name), i]))
        yield* write(file, Parquet.writer(wide, { rowGroupRows: 1 }), [row, row, row] as ReadonlyArray<
          typeof wide.Type
        >)
        assert.isAbove(Footer.footerLength((yield* bytesOf(file)).subarray(-8), 2 ** 40) as number, 64 * 1024)
        yield* faulty.reset
        const [found] = yield* Parquet.metadata(file)
        assert.deepStrictEqual([found?.rows, found?.columns.length], [3, 300])
        assert.strictEqual((yield* faulty.counts).operations.readRange, 2)
        assert.deepStrictEqual(yield* readAll(Parquet.source(file, wide)), [row, row, row])
      })
    )
  })
})
