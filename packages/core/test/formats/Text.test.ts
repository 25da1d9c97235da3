import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Text from "../../src/formats/Text.ts"
import * as Storage from "../../src/storage/Storage.ts"
import { put, readAll, readSplits, write } from "./support.ts"

const inMemory = it.layer(Storage.layerMemory)

describe("Text", () => {
  inMemory((it) => {
    it.effect("reads every line once wherever the file is cut", () =>
      Effect.gen(function* () {
        for (const text of [
          "a\nbb\n\nccc",
          "a\r\nbb\r\n\r\nccc\r\n",
          "ä\n日本語\n😀\r\nx\ry\r\r\nz\n",
          "\n\n\n",
          "long line only",
          "\r\n\r\n"
        ]) {
          yield* put("memory:///cut/a.txt", text)
          const expected = text.split(/\r\n?|\n/)
          if (expected[expected.length - 1] === "") expected.pop()
          const length = Buffer.byteLength(text)
          for (let splitBytes = 1; splitBytes <= length; splitBytes++) {
            const splits = yield* readSplits(Text.source("memory:///cut/a.txt"), { splitBytes, openCostBytes: 0 })
            assert.strictEqual(splits.length, Math.ceil(length / splitBytes))
            assert.deepStrictEqual(splits.flat(), expected, `${JSON.stringify(text)} by ${splitBytes}`)
          }
        }
      })
    )

    it.effect("drops a byte order mark, reads an empty file and a directory in order", () =>
      Effect.gen(function* () {
        yield* put("memory:///dir/1.txt", "\uFEFFa\n")
        yield* put("memory:///dir/2.txt", "")
        yield* put("memory:///dir/k=v/3.txt", "b")
        yield* put("memory:///dir/_SUCCESS", "{}")
        assert.deepStrictEqual(yield* readAll(Text.source("memory:///dir")), ["a", "b"])
      })
    )

    it.effect("reads gzip as one split", () =>
      Effect.gen(function* () {
        yield* put("memory:///z/a.txt.gz", Buffer.concat([gzipSync("a\nb\n"), gzipSync("c\n")]))
        const splits = yield* readSplits(Text.source("memory:///z"), { splitBytes: 4, openCostBytes: 0 })
        assert.deepStrictEqual(splits, [["a", "b", "c"]])
      })
    )

    it.effect("fails on truncated gzip", () =>
      Effect.gen(function* () {
        yield* put("memory:///z/bad.gz", gzipSync("a\nb\n".repeat(1000)).subarray(0, 30))
        const error = yield* Effect.flip(readAll(Text.source("memory:///z/bad.gz")))
        assert.strictEqual(error.reason._tag, "Corrupt")
      })
    )

    it.effect("says where bytes are not UTF-8, or replaces them", () =>
      Effect.gen(function* () {
        yield* put(
          "memory:///u/a.txt",
          Buffer.concat([Buffer.from("ok \uFFFD\nab"), Buffer.of(0xff), Buffer.from("c\n")])
        )
        const { reason } = yield* Effect.flip(readAll(Text.source("memory:///u/a.txt")))
        assert.strictEqual(reason._tag === "Corrupt" ? reason.offset : undefined, 9)
        assert.deepStrictEqual(yield* readAll(Text.source("memory:///u/a.txt", { encoding: "replace" })), [
          "ok \uFFFD",
          "ab\uFFFDc"
        ])
      })
    )

    it.effect("says what there is where there is no input", () =>
      Effect.gen(function* () {
        yield* put("memory:///none/_SUCCESS", "{}")
        const directory = yield* Effect.flip(readAll(Text.source("memory:///none")))
        assert.match(directory.message, /directory has no data files; found _SUCCESS/)
        const missing = yield* Effect.flip(readAll(Text.source("memory:///nowhere")))
        assert.strictEqual(missing.reason._tag, "NoInput")
      })
    )

    it.effect("bounds the length of a line", () =>
      Effect.gen(function* () {
        yield* put("memory:///long/a.txt", "x".repeat(100))
        const error = yield* Effect.flip(readAll(Text.source("memory:///long/a.txt", { maxLineBytes: 50 })))
        assert.strictEqual(error.reason._tag, "Corrupt")
      })
    )

    it.effect("writes lines that read back, gzip too, and refuses a line break", () =>
      Effect.gen(function* () {
        for (const compression of [undefined, "gzip"] as const) {
          const writer = Text.writer({ compression })
          yield* write(`memory:///w/a${writer.extension}`, writer, ["a", "", "ü"])
          assert.deepStrictEqual(yield* readAll(Text.source(`memory:///w/a${writer.extension}`)), ["a", "", "ü"])
        }
        const error = yield* Effect.flip(write("memory:///w/b.txt", Text.writer(), ["a\nb"]))
        assert.strictEqual(error._tag === "FormatError" ? error.reason._tag : error._tag, "Unencodable")
      })
    )
  })
})
