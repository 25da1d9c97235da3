import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as fc from "fast-check"
import * as Parquet from "../../../../src/formats/Parquet.ts"
import { ByteBounds } from "../../../../src/formats/internal/parquet/bounds.ts"
import { FlatColumn } from "../../../../src/formats/internal/parquet/flat.ts"
import { encodings } from "../../../../src/formats/internal/parquet/pages.ts"
import * as Thrift from "../../../../src/formats/internal/parquet/thrift.ts"
import * as Storage from "../../../../src/storage/Storage.ts"
import { readAll, write } from "../../support.ts"

const file = "memory:///flat.parquet"

/** The encodings that the metadata of a column chunk names. */
const encodingsOf = (column: FlatColumn): ReadonlyArray<number> =>
  Thrift.list(column.finish().metadata, 2).flatMap((field) => (field.type === 5 ? [Number(field.value)] : []))

describe("bounds of texts", () => {
  // Longer than what is kept of a bound, often with the same beginning.
  const texts = fc.array(
    fc
      .tuple(
        fc.constantFrom("", "a".repeat(63), "é".repeat(40), "\u007f".repeat(70), "😀".repeat(20)),
        fc.string({ unit: "binary" })
      )
      .map(([start, rest]) => (start + rest).toWellFormed()),
    { minLength: 1, maxLength: 8 }
  )

  it("enclose every text, are short, and are texts themselves", () => {
    let some = 0
    fc.assert(
      fc.property(texts, (values) => {
        const bounds = new ByteBounds()
        const all = values.map((value) => Buffer.from(value))
        for (const bytes of all) bounds.add(bytes, 0, bytes.length)
        const found = bounds.take()
        if (found === undefined) {
          // Nothing that is short is greater.
          assert.isTrue(all.some((bytes) => bytes.length > 64))
          return
        }
        some++
        for (const bytes of all) {
          assert.isAtMost(Buffer.compare(found.min, bytes), 0)
          assert.isAtLeast(Buffer.compare(found.max, bytes), 0)
        }
        assert.isAtMost(Math.max(found.min.length, found.max.length), 64)
        const sorted = all.toSorted((left, right) => Buffer.compare(left, right))
        if (found.isMinExact) assert.deepStrictEqual(Buffer.from(found.min), sorted[0])
        if (found.isMaxExact) assert.deepStrictEqual(Buffer.from(found.max), sorted.at(-1))
        assert.isUndefined(bounds.take())
      }),
      { numRuns: 1000 }
    )
    assert.isAbove(some, 500)
  })
})

describe("columns of single values", () => {
  it("name texts that occur again by a dictionary, and no others", () => {
    const column = (text: (row: number) => string) => {
      const made = new FlatColumn("c", "text", false, "none")
      for (let row = 0; row < 5000; row++) made.add(text(row))
      return made
    }
    const few = column((row) => `text ${row % 7}`)
    assert.deepStrictEqual(encodingsOf(few), [encodings.levels, encodings.dictionary, encodings.plain])
    const many = column((row) => `text ${row}`)
    assert.include(encodingsOf(many), encodings.dictionary)
    // In the next row group they are not looked up.
    many.add("text")
    assert.deepStrictEqual(encodingsOf(many), [encodings.levels, encodings.plain])
  })

  const Row = Schema.Struct({
    text: Schema.NullOr(Schema.String),
    word: Schema.String,
    flag: Schema.NullOr(Schema.Boolean),
    number: Schema.NullOr(Schema.Number),
    int: Schema.NullOr(Parquet.Int32),
    big: Schema.optionalKey(Schema.BigInt),
    at: Schema.NullOr(Schema.Date),
    nothing: Schema.NullOr(Schema.String)
  })

  it.effect("are read back over pages and row groups, with nulls and dictionaries that were given up", () =>
    Effect.gen(function* () {
      const rows = Array.from({ length: 45_000 }, (_, i): typeof Row.Type => ({
        text: i % 5 === 0 ? null : i < 2000 ? `same ${i % 3}` : `text ${i} é`,
        word: `w${(i * 7) % 300}`,
        flag: i % 7 === 0 ? null : i % 2 === 0,
        number: i % 11 === 0 ? null : i / 3,
        int: i < 20_000 ? null : -i,
        ...(i % 3 === 0 ? {} : { big: BigInt(i) ** 3n }),
        at: i % 2 === 0 ? null : new Date(i * 1e7),
        nothing: null
      }))
      for (const compression of ["none", "snappy", "zstd", "gzip"] as const) {
        yield* write(file, Parquet.writer(Row, { compression, rowGroupRows: 25_000 }), rows)
        assert.deepStrictEqual(yield* readAll(Parquet.source(file, Row)), rows)
      }
    }).pipe(Effect.provide(Storage.layerMemory))
  )

  it.effect("say the bounds and the nulls of their values: no NaN, and both zeros where there is one", () =>
    Effect.gen(function* () {
      const Some = Schema.Struct({
        n: Schema.NullOr(Schema.Number),
        s: Schema.NullOr(Schema.String),
        b: Schema.Boolean
      })
      const values = [
        { n: Number.NaN, s: "b", b: false },
        { n: 0, s: null, b: true },
        { n: null, s: "é", b: true },
        { n: -0, s: "a", b: true }
      ]
      yield* write(file, Parquet.writer(Some), values)
      const [found] = yield* Parquet.metadata(file)
      const columns = found?.rowGroups[0]?.columns.map(({ max, min, nullCount }) => ({
        nullCount,
        min: min && Buffer.from(min),
        max: max && Buffer.from(max)
      }))
      const double = (value: number) => Buffer.from(Float64Array.of(value).buffer)
      assert.deepStrictEqual(columns, [
        { nullCount: 1, min: double(-0), max: double(0) },
        { nullCount: 1, min: Buffer.from("a"), max: Buffer.from("é") },
        { nullCount: 0, min: Buffer.of(0), max: Buffer.of(1) }
      ])
    }).pipe(Effect.provide(Storage.layerMemory))
  )
})
