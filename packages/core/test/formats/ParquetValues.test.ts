import { assert, describe, it } from "@effect/vitest"
import { Condition, Dataset, Engine, Vector } from "@sluice/core"
import * as Arrow from "apache-arrow"
import { Effect, Schema, Stream } from "effect"
import * as Parquet from "../../src/formats/Parquet.ts"
import * as Storage from "../../src/storage/Storage.ts"
import { options, put, readAll, write } from "./support.ts"

const file = "memory:///values.parquet"

describe("values in Parquet", () => {
  it.layer(Storage.layerMemory)((it) => {
    const refusal = <Fields extends Schema.Struct.Fields>(
      schema: Schema.Struct<Fields>,
      rows: ReadonlyArray<Schema.Struct<Fields>["Type"]>
    ) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(write(file, Parquet.writer(schema), rows))
        const reason = "reason" in error ? error.reason : undefined
        if (reason?._tag !== "Unencodable" || !("row" in reason)) throw new Error(String(error))
        return [reason.column, reason.row, reason.value, reason.detail]
      })

    it.effect("that cannot be written are refused with the way to them, their row and the value", () =>
      Effect.gen(function* () {
        const List = Schema.Struct({ a: Schema.Array(Schema.BigInt) })
        assert.deepStrictEqual(yield* refusal(List, [{ a: [1n] }, { a: [0n, 2n ** 64n] }]), [
          "a[1]",
          1,
          "18446744073709551616n",
          "is not a 64-bit integer"
        ])
        const Nested = Schema.Struct({ p: Schema.Struct({ tags: Schema.Array(Schema.Struct({ n: Parquet.Int32 })) }) })
        assert.deepStrictEqual(yield* refusal(Nested, [{ p: { tags: [{ n: 1 }, { n: 2 ** 32 + 1 }] } }]), [
          "p.tags[1].n",
          0,
          "4294967297",
          "is not a 32-bit integer"
        ])
        const Text = Schema.Struct({ s: Schema.NullOr(Schema.String) })
        assert.deepStrictEqual(yield* refusal(Text, [{ s: null }, { s: "é" }, { s: "a\ud800" }]), [
          "s",
          2,
          String.raw`"a\ud800"`,
          "contains half a surrogate pair, which UTF-8 cannot encode"
        ])
        const [column, row, value] = yield* refusal(Schema.Struct({ d: Schema.Date }), [{ d: new Date(Number.NaN) }])
        assert.deepStrictEqual([column, row, value], ["d", 0, "Invalid Date"])
        const [, , large] = yield* refusal(Schema.Struct({ f: Parquet.Float32 }), [{ f: 1e39 }])
        assert.strictEqual(large, "1e+39")
        const Checked = Schema.Struct({ n: Schema.optionalKey(Schema.Number.check(Schema.isGreaterThan(0))) })
        assert.deepStrictEqual((yield* refusal(Checked, [{}, { n: -1 }])).slice(0, 3), ["n", 1, "-1"])
      })
    )

    it.effect("in columns whose names every object has are its own", () =>
      Effect.gen(function* () {
        const Odd = Schema.Struct({
          ["__proto__"]: Schema.Number,
          constructor: Schema.optionalKey(Schema.String),
          s: Schema.Struct({ ["__proto__"]: Schema.Struct({ toString: Schema.Number }) })
        })
        type Odd = typeof Odd.Type
        const row = (constructor: string | undefined): Odd =>
          ({
            ["__proto__"]: 7,
            ...(constructor === undefined ? {} : { constructor }),
            s: { ["__proto__"]: { toString: 1 } }
          }) as Odd
        yield* write(file, Parquet.writer(Odd), [row("c"), row(undefined)])
        const rows = yield* readAll(Parquet.source(file, Odd))
        assert.deepStrictEqual(rows, [row("c"), row(undefined)])
        for (const one of rows) {
          assert.strictEqual(Object.getPrototypeOf(one), Object.prototype)
          assert.strictEqual(Object.getPrototypeOf(one.s), Object.prototype)
        }
        assert.deepStrictEqual(
          rows.map((one) =>
            Condition.matchesAll([{ column: "constructor", expression: Condition.isNull.expression }], one)
          ),
          [false, true]
        )
      })
    )

    it.effect("that are missing come back as missing keys, with checks and defaults and in structs", () =>
      Effect.gen(function* () {
        const Positive = Schema.Number.check(Schema.isGreaterThan(0))
        const Row = Schema.Struct({
          a: Schema.optionalKey(Positive),
          b: Schema.optional(Schema.String),
          c: Schema.Struct({ d: Schema.optionalKey(Positive), e: Schema.optionalKey(Schema.String) }),
          f: Schema.UndefinedOr(Schema.Number),
          g: Schema.optionalKey(Schema.NullOr(Schema.Number))
        })
        const rows: ReadonlyArray<typeof Row.Type> = [
          { a: 1, b: "x", c: { d: 1, e: "y" }, f: 1, g: 1 },
          { c: {}, f: undefined, g: null }
        ]
        yield* write(file, Parquet.writer(Row), rows)
        assert.deepStrictEqual(yield* readAll(Parquet.source(file, Row)), rows)
        const Defaults = Schema.Struct({
          a: Positive.pipe(Schema.withDecodingDefaultKey(Effect.succeed(5))),
          missing: Schema.Number.pipe(Schema.withDecodingDefaultKey(Effect.succeed(6)))
        })
        const source = Parquet.source(file, Defaults)
        const filled = [
          { a: 1, missing: 6 },
          { a: 5, missing: 6 }
        ]
        assert.deepStrictEqual(yield* readAll(source), filled)
        // A null is not what the condition sees.
        const where = [{ column: "a", expression: Condition.eq(5).expression }]
        assert.deepStrictEqual(yield* readAll(source.restrict?.(where) ?? source), filled)
        // Parquet has one kind of absence.
        yield* write(file, Parquet.writer(Row), [{ c: {}, f: 1 }])
        assert.deepStrictEqual(yield* readAll(Parquet.source(file, Row)), [{ c: {}, f: 1, g: null }])
      })
    )

    it.effect("of time before 1970 are floored to a date, and beyond the years of a date are refused", () =>
      Effect.gen(function* () {
        const micros = BigInt64Array.of(-1n, -1000n, -1001n, 999n)
        const at = (data: BigInt64Array, type: Arrow.DataType) =>
          new Arrow.Table({
            t: new Arrow.Vector([new Arrow.Data(type, 0, data.length, 0, { [Arrow.BufferType.DATA]: data })])
          })
        const At = Schema.Struct({ t: Schema.Date })
        yield* write(file, Parquet.batchWriter(), at(micros, new Arrow.TimestampMicrosecond()).batches)
        assert.deepStrictEqual(
          (yield* readAll(Parquet.source(file, At))).map(({ t }) => t.getTime()),
          [-1, -1, -2, 0]
        )
        yield* write(
          file,
          Parquet.batchWriter(),
          at(BigInt64Array.of(0n, 2n ** 62n), new Arrow.TimestampMillisecond()).batches
        )
        const error = yield* Effect.flip(readAll(Parquet.source(file, At)))
        assert.match(error.message, /row 1: column "t" is \d+ milliseconds from 1970, beyond the range of Date/)
      })
    )

    it.effect("of batches with a name twice are refused", () =>
      Effect.gen(function* () {
        const one = Arrow.vectorFromArray([1, 2], new Arrow.Int32()).data[0]
        const fields = [new Arrow.Field("a", new Arrow.Int32()), new Arrow.Field("a", new Arrow.Int32())]
        const data = Arrow.makeData({ type: new Arrow.Struct(fields), length: 2, nullCount: 0, children: [one!, one!] })
        const batch = new Arrow.RecordBatch(new Arrow.Schema(fields), data)
        const error = yield* Effect.flip(write(file, Parquet.batchWriter(), [batch]))
        assert.match(error.message, /two columns "a"/)
      })
    )

    it.effect("in structs and lists count for the size of a row group", () =>
      Effect.gen(function* () {
        const Nested = Schema.Struct({ p: Schema.Struct({ tags: Schema.Array(Schema.String) }) })
        // 128 KB per row, in 1,100 rows: 140 MB, of which a row group has 32 MiB.
        const tags = Array.from({ length: 128 }, (_, i) => `${i}`.repeat(1000).slice(0, 1000))
        const many = Array.from({ length: 1100 }, () => ({ p: { tags } }))
        yield* write(file, Parquet.writer(Nested), many)
        const [found] = yield* Parquet.metadata(file)
        const sizes = found?.rowGroups.map((group) => group.rows) ?? []
        assert.isAtLeast(sizes.length, 5)
        for (const rows of sizes) assert.isAtMost(rows * 128_000, 36 * 1024 * 1024)
      })
    )

    it.effect("in a large row group are not all decoded for the first of them", () =>
      Effect.gen(function* () {
        const Row = Schema.Struct({ id: Schema.Number, s: Schema.String })
        const many = Array.from({ length: 60_000 }, (_, id) => ({ id, s: `s${id % 100}` }))
        yield* write(file, Parquet.writer(Row, { compression: "none" }), many)
        assert.deepStrictEqual(yield* readAll(Parquet.source(file, Row)), many)
        // Anything may come after the first pages.
        const [found] = yield* Parquet.metadata(file)
        const storage = yield* Storage.Storage
        const bytes = Buffer.from(yield* storage.readRange(file, 0, (yield* storage.stat(file)).length))
        for (const { length, offset } of found?.rowGroups[0]?.columns ?? []) {
          bytes.fill(0xff, offset + length - 200, offset + length)
        }
        yield* put(file, bytes)
        const { splits } = yield* Parquet.source(file, Row).resolve(options)
        const first = Stream.runCollect(Stream.take(splits[0]?.read ?? Stream.empty, 10))
        assert.deepStrictEqual(yield* first, many.slice(0, 10))
      })
    )
  })

  it.effect("that cannot be written are named in the error of the job, which does not blame the disk", () =>
    Effect.gen(function* () {
      const Row = Schema.Struct({ v: Schema.Struct({ n: Schema.BigInt }) })
      const rows = Dataset.fromIterable([{ v: { n: 1n } }, { v: { n: 2n ** 63n } }])
      const error = yield* Effect.flip(Dataset.writeParquet(rows, "memory:///out", Row))
      assert.match(error.message, /row 1, column "v\.n": is not a 64-bit integer \(value 9223372036854775808n\)/)
      assert.notMatch(error.message, /free some space|permission/)
    }).pipe(Effect.provide(Engine.layer))
  )

  it.effect("of an empty result have columns, with no partitions as well", () =>
    Effect.gen(function* () {
      const Row = Schema.Struct({ v: Vector.Float32, s: Schema.Struct({ x: Schema.optionalKey(Schema.Number) }) })
      const none = Dataset.fromIterable<typeof Row.Type>([])
      yield* Dataset.writeParquet(none, "memory:///empty", Row)
      // All of its row groups are left out: no partition is left.
      yield* Dataset.writeParquet(
        Dataset.fromIterable([{ n: 1 }]),
        "memory:///one",
        Schema.Struct({ n: Schema.Number })
      )
      const nothing = Dataset.where(Dataset.parquet("memory:///one", Schema.Struct({ n: Schema.Number })), {
        n: Condition.gt(5)
      })
      yield* Dataset.writeParquet(nothing, "memory:///nothing", Schema.Struct({ n: Schema.Number }))
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.parquet("memory:///empty", Row)), [])
      assert.deepStrictEqual(
        yield* Dataset.collect(Dataset.parquet("memory:///nothing", Schema.Struct({ n: Schema.Number }))),
        []
      )
    }).pipe(Effect.provide(Engine.layer))
  )
})
