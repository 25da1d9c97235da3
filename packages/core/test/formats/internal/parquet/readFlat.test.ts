import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import * as Parquet from "../../../../src/formats/Parquet.ts"
import * as Storage from "../../../../src/storage/Storage.ts"
import { options, readAll, write } from "../../support.ts"

const file = "memory:///read-flat.parquet"

const Row = Schema.Struct({ id: Schema.Number, text: Schema.NullOr(Schema.String) })

/** What reading says after the first `from` of a column without compression has become `to`. */
const afterDamage = Effect.fnUntraced(function* (from: Uint8Array, to: Uint8Array) {
  const rows = Array.from({ length: 3000 }, (_, id) => ({ id, text: id % 3 === 0 ? null : `text ${id} é` }))
  yield* write(file, Parquet.writer(Row, { compression: "none", rowGroupRows: 2000 }), rows)
  const storage = yield* Storage.Storage
  const bytes = yield* storage.readRange(file, 0, (yield* storage.stat(file)).length)
  const at = Buffer.from(bytes).indexOf(from)
  assert.isAbove(at, 0)
  bytes.set(to, at)
  yield* storage.write(file, Stream.succeed(bytes), { overwrite: true })
  const asRows = yield* Effect.flip(readAll(Parquet.source(file, Row)))
  const asBatches = yield* Effect.flip(readAll(Parquet.batches(file)))
  assert.strictEqual(asRows.message, asBatches.message)
  return asRows.message
})

describe("columns that are read without the codec", () => {
  it.layer(Storage.layerMemory)((it) => {
    it.effect("say in which row group and column a page is damaged", () =>
      Effect.gen(function* () {
        const where = '(row group 1, column "text")'
        const text = Buffer.from("text 2500 é")
        const half = Buffer.concat([text.subarray(0, -1), Buffer.of(0x20)])
        assert.strictEqual(
          yield* afterDamage(text, half),
          `parquet ${file}: has a column chunk that has a text that is not UTF-8 ${where}`
        )
        const length = Buffer.from([text.length, 0, 0, 0, ...text])
        assert.strictEqual(
          yield* afterDamage(length, Buffer.of(0xff, 0xff, 0xff, 0x7f)),
          `parquet ${file}: has a column chunk that has a value that is longer than its page ${where}`
        )
        assert.strictEqual(
          yield* afterDamage(length, Buffer.of(0xff, 0xff, 0xff, 0xff)),
          `parquet ${file}: has a column chunk that has a value that is longer than its page ${where}`
        )
        // The next text begins in the middle of the "é", and all bytes together are UTF-8.
        const both = Buffer.from([...text, text.length, 0, 0, 0, ...Buffer.from("text 2501 é")])
        const moved = Buffer.from([text.length - 1, 0, 0, 0, ...text.subarray(0, -1), text.length + 1, 0, 0, 0, 0xa9])
        assert.include(
          yield* afterDamage(Buffer.concat([length.subarray(0, 4), both]), moved),
          `a text that is not UTF-8 ${where}`
        )
      })
    )

    it.effect("keep their values when later rows are read, and leave the file as it is", () =>
      Effect.gen(function* () {
        const All = Schema.Struct({
          bytes: Schema.NullOr(Schema.Uint8Array),
          text: Schema.String,
          flag: Schema.NullOr(Schema.Boolean),
          big: Schema.BigInt
        })
        const rows = Array.from({ length: 20_000 }, (_, i) => ({
          bytes: i % 7 === 0 ? null : Uint8Array.of(i, i >> 8),
          text: `${i}`,
          flag: i % 3 === 0 ? null : i < 9000,
          big: BigInt(i)
        }))
        for (const compression of ["none", "snappy"] as const) {
          yield* write(file, Parquet.writer(All, { compression, rowGroupRows: 19_000 }), rows)
          assert.deepStrictEqual(yield* readAll(Parquet.source(file, All)), rows)
          const batches = yield* readAll(Parquet.batches(file))
          const bytes = batches.flatMap((batch) =>
            Array.from({ length: batch.numRows }, (_, i) => batch.get(i)?.["bytes"])
          )
          assert.deepStrictEqual(
            bytes,
            rows.map((row) => row.bytes)
          )
          assert.deepStrictEqual(yield* readAll(Parquet.source(file, All)), rows)
        }
      })
    )

    it.effect("are read a few rows at a time, fewer if the rows are large", () =>
      Effect.gen(function* () {
        const text = "x".repeat(1020)
        const rows = Array.from({ length: 13_000 }, (_, id) => ({ id, text }))
        yield* write(file, Parquet.writer(Row), rows)
        const { splits } = yield* Parquet.source(file, Row).resolve(options)
        const arrays = yield* Effect.forEach(splits, ({ read }) => Stream.runCollect(Stream.chunks(read)))
        assert.deepStrictEqual(arrays.flat(2), rows)
        // 1,024 bytes of text with its length, eight of the number, four of the place: the next slice has 4 MiB of them.
        const [first, second, third] = arrays.flat().map((array) => array.length)
        assert.deepStrictEqual([first, third], [8192, 13_000 - 8192 - (second ?? 0)])
        assert.approximately(second ?? 0, 4_194_304 / 1032, 40)
      })
    )
  })
})
