import { Storage } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Parquet from "../../../../src/formats/Parquet.ts"
import * as Footer from "../../../../src/formats/internal/parquet/footer.ts"
import type { EncodedColumn } from "../../../../src/formats/internal/parquet/pages.ts"
import * as Plan from "../../../../src/formats/internal/parquet/plan.ts"
import * as Thrift from "../../../../src/formats/internal/parquet/thrift.ts"
import { write } from "../../support.ts"

const Row = Schema.Struct({ id: Schema.BigInt, s: Schema.NullOr(Schema.String) })
const rows = Array.from({ length: 30 }, (_, i) => ({ id: BigInt(i), s: i % 3 === 0 ? null : `s${i % 4}` }))

/** A file of three row groups of ten rows, and its footer. */
const written = Effect.gen(function* () {
  const path = "memory:///footer.parquet"
  yield* write(path, Parquet.writer(Row, { rowGroupRows: 10 }), rows)
  const storage = yield* Storage.Storage
  const { length } = yield* storage.stat(path)
  const bytes = Buffer.from(yield* storage.readRange(path, 0, length))
  return { bytes, ...Footer.ofFile(bytes) }
}).pipe(Effect.provide(Storage.layerMemory))

const chunksOf = (footer: Thrift.Struct, group = 0): ReadonlyArray<Thrift.Struct> =>
  Thrift.structs(Thrift.structs(footer, 4)[group] ?? new Map(), 1)
const metaOf = (chunk: Thrift.Struct): Thrift.Struct => Thrift.struct(chunk, 3) ?? new Map()

/** Fields of page indexes and bloom filters, which lie elsewhere in a file. */
const indexes = [4, 5, 6, 7]
const blooms = [14, 15]

const withIndexes = (footer: Thrift.Struct): Thrift.Struct => {
  const some = (fields: ReadonlyArray<number>) =>
    fields.map((id) => [id, id % 2 === 0 ? Thrift.i64(4) : Thrift.i32(4)] as const)
  const chunk = (chunk: Thrift.Struct) =>
    Thrift.set(chunk, [...some(indexes), [3, Thrift.structField(Thrift.set(metaOf(chunk), some(blooms)))]])
  const group = (group: Thrift.Struct) =>
    Thrift.set(group, [[1, Thrift.structList(Thrift.structs(group, 1).map(chunk))]])
  return Thrift.set(footer, [[4, Thrift.structList(Thrift.structs(footer, 4).map(group))]])
}

/** Where the pages of a chunk begin, and the bytes of them. */
const pagesOf = (file: Buffer, chunk: Thrift.Struct) => {
  const meta = metaOf(chunk)
  const offset = Thrift.int(meta, 11) ?? Thrift.int(meta, 9) ?? 0
  return file.subarray(offset, offset + (Thrift.int(meta, 7) ?? 0)).toString("hex")
}

describe("the length of a footer", () => {
  it("is what the last eight bytes say, if the file is as long", () => {
    const trailer = (length: number, magic = "PAR1") => {
      const bytes = Buffer.alloc(8)
      bytes.writeUInt32LE(length)
      bytes.write(magic, 4)
      return bytes
    }
    assert.strictEqual(Footer.footerLength(trailer(100), 112), 100)
    assert.include(Footer.footerLength(trailer(100), 111), "footer has 100 bytes, but has only 111")
    assert.include(Footer.footerLength(trailer(0xffffffff), 200), "4294967295 bytes")
    assert.include(Footer.footerLength(trailer(1, "PARE"), 200), "encrypted")
    assert.include(Footer.footerLength(trailer(1, "PAR2"), 200), "truncated, or not a Parquet file")
    assert.strictEqual(Footer.footerLength(Buffer.concat([Buffer.alloc(50, 7), trailer(9)]), 200), 9)
  })
})

/** The reads of some columns of a row group. */
const rangesOf = (footer: Footer.Footer, index: number, columns?: ReadonlySet<string>) =>
  Plan.plan(footer, columns, Plan.limits, [index]).flatMap(({ ranges }) =>
    ranges.map(({ length, offset }): Footer.Range => ({ offset, length }))
  )

describe("the place of a column", () => {
  it.effect("is that of its dictionary where that lies before its other pages, and there is none elsewhere", () =>
    Effect.gen(function* () {
      const { at, struct } = yield* written
      const page = Thrift.int(metaOf(chunksOf(struct)[1]!), 9)!
      for (const [dictionary, offset] of [
        [undefined, page],
        [-1, page],
        [0, page],
        [page - 1, page - 1],
        [page, page],
        [page + 1, page]
      ] as const) {
        const group = Thrift.structs(struct, 4)[0]!
        const chunks = chunksOf(struct).map((chunk, leaf) => {
          const place = dictionary === undefined ? undefined : Thrift.i64(dictionary)
          return leaf === 0
            ? chunk
            : Thrift.set(chunk, [[3, Thrift.structField(Thrift.set(metaOf(chunk), [[11, place]]))]])
        })
        const bytes = Thrift.write(
          Thrift.set(struct, [
            [3, Thrift.i64(10)],
            [4, Thrift.structList([Thrift.set(group, [[1, Thrift.structList(chunks)]])])]
          ])
        )
        const footer = Footer.parse(bytes, at + bytes.length + Footer.trailerBytes)
        assert.strictEqual(footer.rowGroups[0]?.columns[1]?.offset, offset, `${dictionary} and ${page}`)
        assert.strictEqual(metaOf(chunksOf(footer.struct)[1]!).has(11), offset !== page)
      }
    })
  )
})

describe("a row group as a file of its own", () => {
  it.effect("has its pages, and no index or filter of the file it was taken from", () =>
    Effect.gen(function* () {
      const { at, bytes, struct } = yield* written
      const changed = Thrift.write(withIndexes(struct))
      const footer = Footer.parse(changed, at + changed.length + Footer.trailerBytes)
      for (const index of [0, 1, 2]) {
        const before = chunksOf(footer.struct, index)
        for (const columns of [undefined, new Set(["s"])]) {
          const ranges = rangesOf(footer, index, columns)
          const some = ranges.map(({ length, offset }) => bytes.subarray(offset, offset + length))
          const lengths = before.map((chunk) => Thrift.int(metaOf(chunk), 7)!)
          const file = Buffer.concat(Footer.rowGroupFile(footer, index, ranges, some, lengths))
          const after = Footer.ofFile(file).struct
          assert.strictEqual(Thrift.int(after, 3), 10)
          assert.lengthOf(Thrift.structs(after, 4), 1)
          for (const [leaf, chunk] of chunksOf(after).entries()) {
            assert.isTrue(indexes.every((id) => !chunk.has(id)) && blooms.every((id) => !metaOf(chunk).has(id)))
            if (columns !== undefined && leaf === 0) {
              assert.strictEqual(Thrift.int(metaOf(chunk), 9), 0, "a missing column has no place")
              continue
            }
            assert.strictEqual(pagesOf(file, chunk), pagesOf(bytes, before[leaf]!))
          }
        }
      }
    })
  )
})

describe("the columns of a row group", () => {
  it.effect("are as long as their pages are found to be", () =>
    Effect.gen(function* () {
      const { at, bytes, struct } = yield* written
      const same = Thrift.write(struct)
      const footer = Footer.parse(same, at + same.length + Footer.trailerBytes)
      const [group, next] = footer.rowGroups
      const ranges = rangesOf(footer, 0)
      // From the first byte of the first column to the last of the last.
      assert.deepStrictEqual(ranges, [{ offset: group!.offset, length: group!.length }])
      assert.deepStrictEqual([group!.offset, group!.length], [4, next!.offset - 4])
      const some = ranges.map(({ length, offset }) => bytes.subarray(offset, offset + length))
      const before = chunksOf(struct).map((chunk) => Thrift.int(metaOf(chunk), 7)!)
      const lengthsWith = (lengths: ReadonlyArray<number>) =>
        chunksOf(Footer.ofFile(Buffer.concat(Footer.rowGroupFile(footer, 0, ranges, some, lengths))).struct).map(
          (chunk) => Thrift.int(metaOf(chunk), 7)
        )
      const [first = 0, second = 0] = before
      assert.deepStrictEqual(lengthsWith([]), before)
      assert.deepStrictEqual(lengthsWith([first, second - 3]), [first, second - 3])
      assert.deepStrictEqual(lengthsWith([first - 1]), [first - 1, second])
    })
  )
})

describe("row groups put behind each other", () => {
  it.effect("are a file in which every column has the pages it had", () =>
    Effect.gen(function* () {
      const { at: end, bytes, struct } = yield* written
      const same = Thrift.write(struct)
      const footer = Footer.parse(same, end + same.length + Footer.trailerBytes)
      const alone = (index: number) => {
        const ranges = rangesOf(footer, index)
        const some = ranges.map(({ length, offset }) => bytes.subarray(offset, offset + length))
        return Buffer.concat(Footer.rowGroupFile(footer, index, ranges, some, []))
      }
      const extra = (n: number): EncodedColumn => ({
        name: "extra",
        pieces: [Buffer.alloc(5 + n, n), Buffer.alloc(3, n)],
        length: 8 + n,
        dictionaryLength: 0,
        metadata: new Map([
          [6, Thrift.i64(100)],
          [7, Thrift.i64(8 + n)]
        ])
      })
      const appender = Footer.makeAppender(struct, ["id", "extra", "s"])
      const parts = [
        ...appender.append(alone(2), 10, [extra(1)]),
        ...appender.append(undefined, 0, []),
        ...appender.append(alone(0), 10, [extra(2)])
      ]
      const file = Buffer.concat([...parts, appender.close()])
      const after = Footer.ofFile(file)
      assert.strictEqual(file.toString("latin1", 0, 4), "PAR1")
      assert.strictEqual(Thrift.int(after.struct, 3), 20)
      for (const [at, { from, n }] of [
        { from: 2, n: 1 },
        { from: 0, n: 2 }
      ].entries()) {
        const [id, own, s] = chunksOf(after.struct, at)
        const [idBefore, sBefore] = chunksOf(footer.struct, from)
        assert.strictEqual(pagesOf(file, id!), pagesOf(bytes, idBefore!))
        assert.strictEqual(pagesOf(file, s!), pagesOf(bytes, sBefore!))
        assert.strictEqual(pagesOf(file, own!), Buffer.alloc(8 + n, n).toString("hex"))
        const group = Thrift.structs(after.struct, 4)[at]!
        const sizes = [6, 7].map((id) =>
          chunksOf(after.struct, at).reduce((sum, chunk) => sum + (Thrift.int(metaOf(chunk), id) ?? 0), 0)
        )
        assert.deepStrictEqual([Thrift.int(group, 2), Thrift.int(group, 6), Thrift.int(group, 3)], [...sizes, 10])
        assert.isFalse(group.has(5) || group.has(7), "the offset and the number it had before")
      }
      assert.deepStrictEqual(
        Footer.makeAppender(struct, ["id"])
          .append(undefined, 0, [])
          .map((piece) => Buffer.from(piece).toString()),
        ["PAR1"]
      )
    })
  )
})
