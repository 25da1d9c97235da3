import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema, Stream } from "effect"
import * as Csv from "../../src/formats/Csv.ts"
import * as JsonLines from "../../src/formats/JsonLines.ts"
import * as Text from "../../src/formats/Text.ts"
import * as Storage from "../../src/storage/Storage.ts"
import type { Source } from "../../src/task/Format.ts"
import { options, put } from "./support.ts"

const Row = Schema.Struct({ id: Schema.Number, name: Schema.String })

/** The files of a folder as one split, and what happens between planning and reading. */
const readTogether = <A>(source: Source<A>, between: Effect.Effect<unknown, unknown, Storage.Storage> = Effect.void) =>
  Effect.gen(function* () {
    const { splits } = yield* source.resolve({ ...options, openCostBytes: 0 })
    assert.lengthOf(splits, 1)
    yield* Effect.orDie(between)
    const rows: Array<A> = []
    const exit = yield* Effect.exit(
      Effect.forEach(splits, ({ read }) => Stream.runForEach(read, (row) => Effect.sync(() => rows.push(row))))
    )
    return { rows, exit: Exit.isSuccess(exit) ? undefined : exit.cause.toString() }
  })

/** Each file alone, up to the first that fails. */
const readAlone = Effect.fnUntraced(function* <A>(paths: ReadonlyArray<string>, sourceOf: (path: string) => Source<A>) {
  const rows: Array<A> = []
  for (const path of paths) {
    const found = yield* readTogether(sourceOf(path))
    rows.push(...found.rows)
    if (found.exit !== undefined) return { rows, exit: found.exit }
  }
  return { rows, exit: undefined }
})

const many = (content: (n: number) => string): ReadonlyArray<string> => Array.from({ length: 31 }, (_, n) => content(n))

const write = Effect.fnUntraced(function* (contents: ReadonlyArray<string | Uint8Array>) {
  const paths = contents.map((content, n) => {
    const zipped = typeof content !== "string" && content[0] === 0x1f
    return `memory:///small/${String(n).padStart(3, "0")}${zipped ? ".gz" : ".txt"}`
  })
  yield* Effect.forEach(contents, (content, n) => put(paths[n] ?? "", content))
  return paths
})

const small = (name: string, body: () => Effect.Effect<void, unknown, Storage.Storage>) =>
  it.effect(name, () => Effect.provide(body(), Storage.layerMemory))

describe("small files that share a split", () => {
  const texts: ReadonlyArray<string | Uint8Array> = [
    "a\nbb\n\nccc",
    "",
    "\uFEFFmark\r\nno break",
    "cr at the end\r",
    "\r\n\n\r",
    gzipSync("zipped\nlines"),
    "a long file\n".repeat(10_000),
    ...many((n) => `row ${n}\nanother`)
  ]

  small("yield the lines of each alone, in order", () =>
    Effect.gen(function* () {
      const paths = yield* write(texts)
      const together = yield* readTogether(Text.source("memory:///small"))
      assert.deepStrictEqual(together, yield* readAlone(paths, (path) => Text.source(path)))
      assert.lengthOf(together.rows, 4 + 2 + 1 + 3 + 2 + 10_000 + 62)
    })
  )

  for (const [what, bad] of [
    ["not UTF-8", Buffer.from([0x61, 0x0a, 0xff, 0x0a])],
    ["a Parquet file", Buffer.from("PAR1\0\0 and more PAR1")],
    ["one line that is too long", `short\n${"x".repeat(200)}`]
  ] as const) {
    small(`fail like each alone, after the rows before: ${what}`, () =>
      Effect.gen(function* () {
        const paths = yield* write([...many((n) => `row ${n}`), bad, ...many((n) => `after ${n}`)])
        const source = (path: string) => Text.source(path, { maxLineBytes: 100 })
        const together = yield* readTogether(source("memory:///small"))
        assert.deepStrictEqual(
          together.rows.slice(0, 31),
          many((n) => `row ${n}`)
        )
        assert.isDefined(together.exit)
        assert.deepStrictEqual(together, yield* readAlone(paths, source))
      })
    )
  }

  small("yield the same as CSV and as lines of JSON", () =>
    Effect.gen(function* () {
      const csv = yield* write(["id,name\n", 'name,id\n"a\n""b",1\r\n', ...many((n) => `\uFEFFid,name\n${n},n ${n}`)])
      const csvOf = (path: string) => Csv.source(path, Row, { multiline: true })
      const rows = yield* readTogether(csvOf("memory:///small"))
      assert.lengthOf(rows.rows, 32)
      assert.deepStrictEqual(rows, yield* readAlone(csv, csvOf))
      const json = yield* write(many((n) => `{"id":${n},"name":"é"}\n\n{"id":-1,"name":""}`))
      const jsonOf = (path: string) => JsonLines.source(path, Row)
      const objects = yield* readTogether(jsonOf("memory:///small/0[0-2]*.txt"))
      assert.deepStrictEqual(objects, yield* readAlone(json.slice(0, 30), jsonOf))
    })
  )

  small("fail when one has changed or is gone, before its first row", () =>
    Effect.gen(function* () {
      for (const [change, says] of [
        [put("memory:///small/020.txt", "row 20, and more"), "bytes when the job was planned"],
        [put("memory:///small/020.txt", ""), "bytes when the job was planned"],
        [
          Effect.flatMap(Storage.Storage, (storage) => storage.delete("memory:///small/020.txt")),
          "was deleted after the job was planned"
        ]
      ] as const) {
        yield* write(many((n) => `row ${n}`))
        const { exit, rows } = yield* readTogether(Text.source("memory:///small"), change)
        assert.include(exit, "020.txt")
        assert.include(exit, says)
        assert.deepStrictEqual(rows, many((n) => `row ${n}`).slice(0, 20))
      }
    })
  )

  small("that nobody gets to may be missing", () =>
    Effect.gen(function* () {
      yield* write(many((n) => `row ${n}`))
      const { splits } = yield* Text.source("memory:///small").resolve(options)
      const storage = yield* Storage.Storage
      yield* storage.delete("memory:///small/001.txt")
      const first = yield* Effect.forEach(splits, ({ read }) => Stream.runCollect(Stream.take(read, 1)))
      assert.deepStrictEqual(first, [["row 0"]])
    })
  )
})
