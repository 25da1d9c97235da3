import { Codec, Partitioner, Shuffle } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Order, Stream } from "effect"
import * as fc from "fast-check"
import { Lines, linesOf, rowsOfText } from "../../../src/codec/internal/lines.ts"
import { sortLines, writeLines } from "../../../src/shuffle/internal/lines.ts"

const row = fc
  .array(fc.constantFrom("", "a", "b", "same start ", "é", "\ud7ff", "\ue000", "\uffff", "😀", "\0"), { maxLength: 5 })
  .map((parts) => parts.join(""))
const rows = fc.array(row, { maxLength: 60 })

const strings: Codec.Codec<string> = {
  id: Codec.plain.id,
  write: Codec.plain.write,
  read: (reader) => String(Codec.plain.read(reader))
}
const exchange = {
  operator: "sort",
  key: strings,
  value: Codec.none,
  keyOf: (line: string) => line,
  valueOf: () => undefined
}
const task = { map: 3, attempt: 0 }

const textOf = (some: string | Lines): ReadonlyArray<string> =>
  some instanceof Lines ? some.bytes.toString().split("\n").slice(0, -1) : [some]

describe("rows of text as bytes", () => {
  it.effect("are written byte for byte as strings are, to the same partitions with the same checksums", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(rows, rows, fc.constantFrom(512, 1 << 20), (lines, sample, memoryBytes) =>
          Effect.gen(function* () {
            const { store } = yield* Shuffle.Shuffle
            const partitioner = Partitioner.range({ partitions: 5, sample, order: Order.String })
            const status = yield* Shuffle.write({ ...exchange, id: "a", partitioner }, task, Stream.fromArray(lines))
            // Between the rows of lines, some are strings.
            const half = lines.length >> 1
            const some = [
              linesOf(
                Buffer.from(
                  lines
                    .slice(0, half)
                    .map((line) => `${line}\n`)
                    .join("")
                )
              ),
              ...lines.slice(half, half + 2),
              linesOf(
                Buffer.from(
                  lines
                    .slice(half + 2)
                    .map((line) => `${line}\n`)
                    .join("")
                )
              )
            ]
            assert.strictEqual(
              some.reduce((sum, part) => sum + rowsOfText(part), 0),
              lines.length
            )
            const bytes = yield* writeLines({ operator: "sort", id: "b", partitioner }, task, Stream.fromArray(some))
            assert.deepStrictEqual({ ...bytes, shuffle: "", file: "" }, { ...status, shuffle: "", file: "" })
            const content = (status: Shuffle.MapStatus) =>
              status.file === ""
                ? Effect.succeed(Buffer.alloc(0))
                : Effect.flatMap(store.open(status), ({ read }) =>
                    read(
                      0,
                      status.lengths.reduce((sum, n) => sum + n, 0)
                    )
                  )
            assert.isTrue((yield* content(bytes)).equals(yield* content(status)))
            const slice = { statuses: [status], from: 0, to: partitioner.partitions }
            const sorted = yield* Stream.runCollect(sortLines({ operator: "sort", id: "a" }, slice))
            assert.deepStrictEqual(sorted.flatMap(textOf), lines.toSorted(Order.String))
            assert.isTrue(sorted.every((part) => part instanceof Lines))
          }).pipe(Effect.scoped, Effect.provide(Shuffle.layerMemory({ memoryBytes })), Effect.runPromise)
        ),
        { numRuns: 100, seed: 20261124 }
      )
    )
  )

  it("of a file end at every kind of line break, and at its end", () => {
    for (const [text, lines] of [
      ["", []],
      ["a", ["a"]],
      ["a\nb", ["a", "b"]],
      ["a\r\nb\rc\n\r\n", ["a", "b", "c", ""]],
      ["\n\n", ["", ""]],
      ["\r", [""]]
    ] as const) {
      assert.deepStrictEqual(textOf(linesOf(Buffer.from(text))), lines)
      assert.strictEqual(rowsOfText(linesOf(Buffer.from(text))), lines.length)
    }
    const many = linesOf(Buffer.from("\n".repeat(1000)))
    assert.deepStrictEqual(
      [...many.ends],
      Array.from({ length: 1000 }, (_, n) => n)
    )
  })
})
