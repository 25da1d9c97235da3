import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import * as Csv from "../../src/formats/Csv.ts"
import * as JsonLines from "../../src/formats/JsonLines.ts"
import * as Origin from "../../src/task/Origin.ts"
import * as Storage from "../../src/storage/Storage.ts"
import { options, put, readAll, readSplits, write } from "./support.ts"

const Row = Schema.Struct({ id: Schema.Number, name: Schema.String, note: Schema.NullOr(Schema.String) })
const inMemory = it.layer(Storage.layerMemory)

describe("Csv", () => {
  inMemory((it) => {
    it.effect("reads quoted fields, line breaks and empty fields, by column name", () =>
      Effect.gen(function* () {
        yield* put("memory:///a.csv", 'name,id,more,note\r\n"a ""b"",\nc",1,x,\r\nd,2.5,y,n\r\n')
        assert.deepStrictEqual(yield* readAll(Csv.source("memory:///a.csv", Row)), [
          { id: 1, name: 'a "b",\nc', note: null },
          { id: 2.5, name: "d", note: "n" }
        ])
      })
    )

    it.effect("cuts files without multi-line fields", () =>
      Effect.gen(function* () {
        const rows = Array.from({ length: 50 }, (_, id) => ({ id, name: `n${id}`, note: null }))
        yield* write("memory:///b.csv", Csv.writer(Row), rows)
        const splits = yield* readSplits(Csv.source("memory:///b.csv", Row, { multiline: false }), {
          splitBytes: 64,
          openCostBytes: 0
        })
        assert.isAbove(splits.length, 3)
        assert.deepStrictEqual(splits.flat(), rows)
      })
    )

    it.effect("names a missing column before any row and the row that does not decode", () =>
      Effect.gen(function* () {
        yield* put("memory:///c.csv", "id,nom,note\n1,a,\n")
        const mismatch = yield* Effect.flip(
          Csv.source("memory:///c.csv", Row).resolve({ splitBytes: 1e6, openCostBytes: 0 })
        )
        assert.match(mismatch.message, /no column "name" \(string was asked for\).*id, nom, note/)
        yield* put("memory:///d.csv", "id,name,note\n1,a,\nx,b,\n")
        const { reason } = yield* Effect.flip(readAll(Csv.source("memory:///d.csv", Row)))
        assert.strictEqual(reason._tag === "InvalidRow" ? reason.line : undefined, 3)
        yield* put("memory:///e.csv", 'id,name,note\n1,"a,\n')
        assert.strictEqual((yield* Effect.flip(readAll(Csv.source("memory:///e.csv", Row)))).reason._tag, "Corrupt")
      })
    )

    it.effect("writes what it reads", () =>
      Effect.gen(function* () {
        const rows = [
          { id: -1.5, name: ' a,"\r\n', note: null },
          { id: 2, name: "", note: "x" }
        ]
        yield* write("memory:///f.csv", Csv.writer(Row), rows)
        assert.deepStrictEqual(yield* readAll(Csv.source("memory:///f.csv", Row)), rows)
      })
    )

    it.effect("names the line of every row of a large file, whatever rows share an array", () =>
      Effect.gen(function* () {
        for (const [what, name, header, more] of [
          ["each row is a line", "n", true, 0],
          ["a field has a line break", "a\nb", true, 1],
          ["there is no header", "n", false, 0]
        ] as const) {
          const lines = Array.from({ length: 5000 }, (_, id) => `${id},"${id === 2500 ? name : "n"}",x\n`)
          yield* put("memory:///large.csv", (header ? "id,name,note\n" : "") + lines.join(""))
          const source = Csv.source("memory:///large.csv", Row, { header, multiline: true })
          const { splits } = yield* source.resolve(options)
          let next = 0
          let arrays = 0
          yield* Effect.forEach(splits, ({ read }) =>
            Stream.runForEachArray(read, (rows) =>
              Effect.sync(() => {
                arrays++
                const origin = Origin.of(rows)
                for (const [index, { id }] of rows.entries()) {
                  assert.strictEqual(id, next++)
                  const line = id + (header ? 1 : 0) + (id > 2500 ? more : 0)
                  assert.strictEqual(origin && Origin.at(origin, index).row, line, `${what}: row ${id}`)
                }
              })
            )
          )
          assert.strictEqual(next, 5000)
          assert.isAbove(arrays, 1)
        }
      })
    )
  })
})

describe("JsonLines", () => {
  inMemory((it) => {
    const Event = Schema.Struct({ at: Schema.Date, big: Schema.BigInt, tags: Schema.Array(Schema.String) })

    it.effect("writes what it reads, across splits", () =>
      Effect.gen(function* () {
        const rows = Array.from({ length: 20 }, (_, i) => ({
          at: new Date(i * 1e9),
          big: 2n ** 70n + BigInt(i),
          tags: [`${i}`]
        }))
        yield* write("memory:///a.jsonl", JsonLines.writer(Event), rows)
        const splits = yield* readSplits(JsonLines.source("memory:///a.jsonl", Event), {
          splitBytes: 100,
          openCostBytes: 0
        })
        assert.isAbove(splits.length, 3)
        assert.deepStrictEqual(splits.flat(), rows)
      })
    )

    it.effect("names the line that is not JSON", () =>
      Effect.gen(function* () {
        yield* put("memory:///b.jsonl", '{"a":1}\n{oops\n')
        const source = JsonLines.source("memory:///b.jsonl", Schema.Struct({ a: Schema.Number }))
        const { reason } = yield* Effect.flip(readAll(source))
        assert.strictEqual(reason._tag === "InvalidRow" ? reason.row : undefined, 1)
      })
    )
  })
})
