import { Storage } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type CutOptions, decodePiece, readPieces } from "../../../../src/formats/internal/text/lines.ts"

const path = "memory:///file.csv"
const options: CutOptions = { format: "csv", path, maxBytes: 1000 }
const quote = '"'.charCodeAt(0)

/** The pieces of a part of a file, from a storage that gives a fixed number of bytes at a time. */
const pieces = (
  bytes: Uint8Array,
  size: number,
  cut: Partial<CutOptions> = {},
  part = { offset: 0, length: bytes.length }
) =>
  Effect.gen(function* () {
    const store = yield* Storage.Storage
    yield* store.write(path, Stream.make(bytes), { overwrite: true })
    const file = yield* store.stat(path)
    const slow: Storage.Storage["Service"] = {
      ...store,
      read: (...args) =>
        Stream.flatMap(store.read(...args), (all) =>
          Stream.fromIterable(
            Array.from({ length: Math.ceil(all.length / size) }, (_, n) => all.subarray(n * size, (n + 1) * size))
          )
        )
    }
    const found = yield* Stream.runCollect(
      Stream.provideService(readPieces({ path, ...part }, file, { ...options, ...cut }), Storage.Storage, slow)
    )
    return found.map(({ bytes, offset }) => ({ text: bytes.toString("latin1"), offset }))
  }).pipe(Effect.provide(Storage.layerMemory))

const reading = <A, E>(name: string, body: () => Effect.Effect<A, E>) => it.effect(name, body)

describe("pieces of a text file", () => {
  reading("end where a record ends, whatever the storage gives at once", () =>
    Effect.gen(function* () {
      for (const text of [
        '"a\nb",1\n"c\r\nd""e\n",2\n',
        'x,"\n"\r\n"""\n""",y\n"\n\n\n"',
        '"\n"',
        'a\r"b\rc"\rd',
        "a\n\nb\r\n\r\nc"
      ]) {
        const bytes = Buffer.from(text)
        // One past each line break that is not in quotes; a CR and its LF are one.
        const ends = new Set(
          [...bytes.keys()].flatMap((at) => {
            const inside = text.slice(0, at).split('"').length % 2 === 0
            const ends = text[at] === "\n" || (text[at] === "\r" && text[at + 1] !== "\n")
            return ends && !inside ? [at + 1] : []
          })
        )
        for (let size = 1; size <= bytes.length; size++) {
          const found = yield* pieces(bytes, size, { quote })
          assert.strictEqual(found.map(({ text }) => text).join(""), text, `${JSON.stringify(text)} by ${size}`)
          for (const piece of found) {
            assert.strictEqual(piece.text, text.slice(piece.offset, piece.offset + piece.text.length))
            const end = piece.offset + piece.text.length
            assert.isTrue(ends.has(end) || end === text.length, `${JSON.stringify(text)} by ${size} at ${end}`)
          }
          // The bytes of one read are not cut more often than that.
          if (size === bytes.length) assert.isAtMost(found.length, 2)
        }
      }
    })
  )

  reading("are as long as a record may be, and a longer one is refused where it begins", () =>
    Effect.gen(function* () {
      const bytes = Buffer.from("ab\n12345\nc\n")
      for (const size of [1, 2, 3, 100]) {
        assert.strictEqual((yield* pieces(bytes, size, { maxBytes: 5 })).map(({ text }) => text).join(""), `${bytes}`)
      }
      const error = yield* Effect.flip(pieces(bytes, 1, { maxBytes: 4 }))
      assert.include(error.message, "longer than 4 bytes")
      assert.strictEqual("offset" in error.reason ? error.reason.offset : undefined, 3)
    })
  )

  reading("leave out the byte order mark of the file, and nothing that only looks like one", () =>
    Effect.gen(function* () {
      const mark = [0xef, 0xbb, 0xbf]
      const found = yield* pieces(Buffer.from([...mark, 0x61, 0x0a]), 100)
      assert.deepStrictEqual(found, [{ text: "a\n", offset: 3 }])
      for (const other of [
        [0xef, 0xbb, 0xbe],
        [0xef, 0xba, 0xbf],
        [0xee, 0xbb, 0xbf]
      ]) {
        const bytes = Buffer.from([...other, 0x0a])
        assert.deepStrictEqual(yield* pieces(bytes, 100), [{ text: bytes.toString("latin1"), offset: 0 }])
      }
      const inside = Buffer.from([0x0a, ...mark, 0x0a])
      const parts = yield* pieces(inside, 100, {}, { offset: 0, length: 1 })
      assert.deepStrictEqual(parts.map(({ text }) => text).join(""), inside.toString("latin1"))
    })
  )
})

describe("bytes that are not UTF-8", () => {
  const offsetOf = (bytes: ReadonlyArray<number>, offset = 0) =>
    Effect.map(Effect.flip(decodePiece({ bytes: Buffer.from(bytes), offset }, options, "utf-8")), ({ reason }) =>
      "offset" in reason ? reason.offset : undefined
    )

  reading("are named by the place of the first", () =>
    Effect.gen(function* () {
      const replacement = [0xef, 0xbf, 0xbd]
      assert.strictEqual(yield* offsetOf([0xff]), 0)
      assert.strictEqual(yield* offsetOf([0x61, 0xff, 0x62], 100), 101)
      // U+FFFD itself is a character like any other.
      assert.strictEqual(yield* offsetOf([...replacement, 0xff]), 3)
      assert.strictEqual(yield* offsetOf([0x61, ...replacement, ...replacement, 0xc3]), 7)
      // Bytes of it in other company.
      assert.strictEqual(yield* offsetOf([0xff, 0x61, 0xbd]), 0)
      assert.strictEqual(yield* offsetOf([0xef, 0x61, 0xbd]), 0)
      assert.strictEqual(yield* offsetOf([0xef, 0xbf, 0x61]), 0)
      assert.strictEqual(yield* offsetOf([0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0x80]), 7)
    })
  )

  reading("are replaced where that is asked for", () =>
    Effect.gen(function* () {
      const piece = { bytes: Buffer.from([0x61, 0xff]), offset: 0 }
      assert.strictEqual(yield* decodePiece(piece, options, "replace"), "a\uFFFD")
      const error = yield* Effect.flip(decodePiece(piece, { ...options, format: "text" }, "utf-8"))
      assert.include(error.message, 'pass encoding "replace"')
    })
  )
})
