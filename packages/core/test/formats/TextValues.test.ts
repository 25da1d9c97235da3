import { Dataset, Engine, Events, Executor, JobError, TaskContext } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import type { Source } from "../../src/task/Format.ts"
import type { DeadLetter } from "../../src/task/TaskContext.ts"
import * as Csv from "../../src/formats/Csv.ts"
import * as JsonLines from "../../src/formats/JsonLines.ts"
import * as Text from "../../src/formats/Text.ts"
import * as Origin from "../../src/task/Origin.ts"
import * as Storage from "../../src/storage/Storage.ts"
import { options, put, readAll, write } from "./support.ts"

const test = (name: string, body: () => Effect.Effect<unknown, unknown, Storage.Storage>) =>
  it.effect(name, () => Effect.provide(Effect.suspend(body), Storage.layerMemory))

const Numbers = Schema.Struct({ n: Schema.Number })
const Pair = Schema.Struct({ n: Schema.Number, text: Schema.String })

/** The rows, and what was set aside, of a file read with splits of some bytes. */
const readLetters = <A>(source: Source<A>, splitBytes: number) =>
  Effect.gen(function* () {
    const letters: Array<DeadLetter> = []
    const context = { deadLetter: (letter: DeadLetter) => Effect.sync(() => void letters.push(letter)) }
    const rows = yield* readAll(source, { splitBytes, openCostBytes: 0 }).pipe(
      // Only setting rows aside is asked of the task.
      Effect.provideService(TaskContext.Current, context as unknown as TaskContext.TaskContext)
    )
    return { rows, letters: letters.map(({ afterByte, line, row, value }) => ({ afterByte, line, row, value })) }
  })

describe("lines are the file's own", () => {
  test("behind blank lines, in JSON Lines", () =>
    Effect.gen(function* () {
      yield* put("memory:///a.jsonl", '\n \t\n{"n":1}\r\n\r\n{"n":"x"}\n\n{"n":2}\n{oops')
      const source = JsonLines.source("memory:///a.jsonl", Numbers, { onInvalidRow: "deadLetter" })
      assert.deepStrictEqual(yield* readLetters(source, 1e6), {
        rows: [{ n: 1 }, { n: 2 }],
        letters: [
          { afterByte: undefined, line: 5, row: 4, value: '{"n":"x"}' },
          { afterByte: undefined, line: 8, row: 7, value: "{oops" }
        ]
      })
      const error = yield* Effect.flip(readAll(JsonLines.source("memory:///a.jsonl", Numbers)))
      assert.match(error.message, /a\.jsonl: line 5: /)
    }))

  test("behind blank lines, quoted line breaks and the header, in CSV", () =>
    Effect.gen(function* () {
      yield* put("memory:///a.csv", '\uFEFF\n\nn,text\r\n1,"a\nb"\r\n\r\nx,y\r\n2,"c\r\n\r\nd"\r\n3\r\n')
      const source = Csv.source("memory:///a.csv", Pair, { onInvalidRow: "deadLetter" })
      assert.deepStrictEqual(yield* readLetters(source, 1e6), {
        rows: [
          { n: 1, text: "a\nb" },
          { n: 2, text: "c\r\n\r\nd" }
        ],
        letters: [
          { afterByte: undefined, line: 7, row: 6, value: '["x","y"]' },
          { afterByte: undefined, line: 11, row: 10, value: '["3"]' }
        ]
      })
    }))

  test("or are counted from a byte that is named, in a later split", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 40 }, (_, n) => (n % 10 === 7 ? "{oops" : n % 5 === 0 ? "" : `{"n":${n}}`))
      const content = lines.join("\n")
      yield* put("memory:///b.jsonl", content)
      const source = JsonLines.source("memory:///b.jsonl", Numbers, { onInvalidRow: "deadLetter" })
      const { letters } = yield* readLetters(source, 50)
      assert.strictEqual(letters.length, 4)
      for (const { afterByte, line, row } of letters) {
        const behind = afterByte === undefined ? content : content.slice(content.indexOf("\n", afterByte) + 1)
        assert.strictEqual(behind.split("\n")[row], "{oops")
        assert.strictEqual(line, afterByte === undefined ? row + 1 : undefined)
      }
      assert.isTrue(letters.some(({ afterByte }) => afterByte !== undefined))
    }))

  test("in the origin of rows, too", () =>
    Effect.gen(function* () {
      yield* put("memory:///c.csv", 'n,text\n\n1,"a\nb"\n2,c\n')
      const { splits } = yield* Csv.source("memory:///c.csv", Pair).resolve(options)
      const origins = yield* Effect.forEach(splits, ({ read }) =>
        Stream.runFold(
          Stream.chunks(read),
          (): Array<number> => [],
          (found, rows) => {
            const origin = Origin.of(rows)
            return origin === undefined ? found : [...found, ...rows.map((_, index) => Origin.at(origin, index).row)]
          }
        )
      )
      assert.deepStrictEqual(origins.flat(), [2, 4])
    }))
})

describe("150,000 invalid rows", () => {
  for (const format of ["csv", "jsonLines"] as const) {
    test(`are set aside one by one, each with its line, and hold nothing of the file: ${format}`, () =>
      Effect.gen(function* () {
        const count = 150_000
        const bad = format === "csv" ? "x,y\n" : '{"n":"x"}\n'
        yield* put("memory:///a", (format === "csv" ? "n,text\n" : "\n") + bad.repeat(count))
        let letters = 0
        const context = {
          deadLetter: (letter: DeadLetter) =>
            Effect.sync(() => {
              letters++
              assert.strictEqual(letter.line, letters + 1)
              assert.isAtMost(letter.value.length + letter.reason.length, 200)
            })
        }
        const options = { onInvalidRow: "deadLetter" } as const
        const source =
          format === "csv"
            ? Csv.source("memory:///a", Pair, options)
            : JsonLines.source("memory:///a", Numbers, options)
        const { splits } = yield* source.resolve({ splitBytes: 1e9, openCostBytes: 0 })
        for (const { read } of splits) {
          yield* Stream.runDrain(read as Stream.Stream<unknown, unknown, Storage.Storage>).pipe(
            // Only setting rows aside is asked of the task.
            Effect.provideService(TaskContext.Current, context as unknown as TaskContext.TaskContext)
          )
        }
        assert.strictEqual(letters, count)
      }))
  }
})

describe("csv", () => {
  test("tells the empty string from a missing value, whatever wrote it", () =>
    Effect.gen(function* () {
      const Row = Schema.Struct({
        a: Schema.NullOr(Schema.String),
        b: Schema.optionalKey(Schema.Number),
        c: Schema.Number
      })
      yield* put("memory:///a.csv", '"a","b","c"\n"","","1"\n,,2\n')
      assert.deepStrictEqual(yield* readAll(Csv.source("memory:///a.csv", Row)), [
        { a: "", c: 1 },
        { a: null, c: 2 }
      ])
    }))

  test("a column that appears twice is refused when it is asked for", () =>
    Effect.gen(function* () {
      yield* put("memory:///a.csv", "n,n,,\n1,2,,\n")
      const error = yield* Effect.flip(readAll(Csv.source("memory:///a.csv", Numbers)))
      assert.strictEqual(error.reason._tag, "SchemaMismatch")
      assert.include(error.message, 'column "n" is in the file more than once')
    }))

  test("a null in the only column is refused, for its line would be skipped", () =>
    Effect.gen(function* () {
      const Row = Schema.Struct({ a: Schema.NullOr(Schema.String) })
      const error = yield* Effect.flip(write("memory:///a.csv", Csv.writer(Row), [{ a: "" }, { a: null }]))
      assert.match(String(error), /row 1, column "a": would be an empty line/)
    }))

  test("names column, row, value and origin of a value that cannot be written", () =>
    Effect.gen(function* () {
      yield* put("memory:///in.jsonl", '{"n":1,"text":"a"}\n\n{"n":2,"text":"\\ud800"}\n')
      const { splits } = yield* JsonLines.source("memory:///in.jsonl", Pair).resolve(options)
      const rows = splits[0]?.read ?? Stream.empty
      const error = yield* Effect.flip(Stream.runDrain(Csv.writer(Pair).encode(rows)))
      assert.strictEqual(
        error.message,
        'csv : row 1, from memory:///in.jsonl, line 3, column "text": contains half a surrogate pair, which UTF-8 cannot encode (value "\\ud800")'
      )
    }))
})

describe("bytes that are not text", () => {
  const kinds: ReadonlyArray<readonly [string, Uint8Array, string]> = [
    ["parquet", Buffer.from("PAR1\u0015\u0004\u0015 rows, n\n1,2\n"), "a Parquet file; read it with Dataset.parquet"],
    ["gzip", gzipSync("n\n1\n"), "a gzip file"],
    ["zip", Buffer.from("PK\u0003\u0004\u0014\u0000\u0000\u0000"), "a zip file"],
    ["UTF-16", Buffer.from("\uFEFFn\n1\n", "utf16le"), "UTF-16"]
  ]
  for (const [name, bytes, says] of kinds) {
    test(`is called what it is: ${name}`, () =>
      Effect.gen(function* () {
        yield* put("memory:///a.csv", bytes)
        for (const onInvalidRow of ["fail", "deadLetter"] as const) {
          for (const source of [
            Csv.source("memory:///a.csv", Numbers, { onInvalidRow }),
            JsonLines.source("memory:///a.csv", Numbers, { onInvalidRow }),
            Text.source("memory:///a.csv")
          ]) {
            const error = yield* Effect.flip(readAll(source as never))
            assert.include((error as Error).message, says)
          }
        }
      }))
  }

  test("but a text may begin like one", () =>
    Effect.gen(function* () {
      yield* put("memory:///a.csv", "ORC,PAR1\nx,y\n")
      assert.deepStrictEqual(yield* readAll(Text.source("memory:///a.csv")), ["ORC,PAR1", "x,y"])
    }))

  test("a line that is not UTF-8 is set aside, and only that", () =>
    Effect.gen(function* () {
      const bad = Buffer.from([0x7b, 0xff, 0x7d, 0x0a])
      yield* put(
        "memory:///a.jsonl",
        Buffer.concat([Buffer.from('{"n":1,"text":"\uFFFD"}\n'), bad, Buffer.from('{"n":2,"text":""}')])
      )
      const source = JsonLines.source("memory:///a.jsonl", Pair, { onInvalidRow: "deadLetter" })
      const { letters, rows } = yield* readLetters(source, 1e6)
      assert.deepStrictEqual(rows, [
        { n: 1, text: "\uFFFD" },
        { n: 2, text: "" }
      ])
      assert.deepStrictEqual(
        letters.map(({ line }) => line),
        [2]
      )
      yield* put(
        "memory:///a.csv",
        Buffer.concat([Buffer.from("n,text\n1,a\n2,"), Buffer.from([0xff, 0x0a]), Buffer.from("3,b\n")])
      )
      const csv = yield* readLetters(Csv.source("memory:///a.csv", Pair, { onInvalidRow: "deadLetter" }), 1e6)
      assert.deepStrictEqual(
        csv.rows.map(({ n }) => n),
        [1, 3]
      )
      assert.deepStrictEqual(
        csv.letters.map(({ line }) => line),
        [3]
      )
    }))

  test("a line that only looks blank is not JSON", () =>
    Effect.gen(function* () {
      yield* put("memory:///a.jsonl", '{"n":1}\n\u00a0\n')
      const error = yield* Effect.flip(readAll(JsonLines.source("memory:///a.jsonl", Numbers)))
      assert.match(error.message, /line 2: is not JSON/)
    }))
})

describe("a file that changes after the job was planned", () => {
  const content = Array.from({ length: 30 }, (_, n) => `${n},line ${n}\n`).join("")
  const changes: ReadonlyArray<readonly [string, (path: string) => void, string]> = [
    ["grew", (path) => Fs.appendFileSync(path, "30,more\n"), "bytes when the job was planned"],
    ["shrank", (path) => Fs.truncateSync(path, 40), "bytes when the job was planned"],
    ["was written again", (path) => Fs.utimesSync(path, 1, 1), "was written at 1970-01-01T00:00:01.000Z"],
    ["is gone", (path) => Fs.rmSync(path), "was deleted after the job was planned"]
  ]
  for (const [name, change, says] of changes) {
    it.effect(`is an error when it ${name}, in every split`, () =>
      Effect.gen(function* () {
        const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice changed-"))
        const path = `${root}/a.csv`
        for (const source of [
          Text.source(path),
          Csv.source(path, Pair, { header: false, multiline: false }),
          JsonLines.source(path, Schema.Unknown)
        ]) {
          Fs.writeFileSync(path, content)
          const { splits } = yield* source.resolve({ splitBytes: 64, openCostBytes: 0 })
          assert.isAbove(splits.length, 3)
          change(path)
          for (const split of splits) {
            const error = yield* Effect.flip(
              Stream.runDrain(split.read as Stream.Stream<unknown, Error, Storage.Storage>)
            )
            assert.include(error.message, says)
          }
        }
        Fs.rmSync(root, { recursive: true })
      }).pipe(Effect.provide(Storage.layer))
    )
  }

  it.effect("is an error when it grows while it is read", () =>
    Effect.gen(function* () {
      const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice changed-"))
      const path = `${root}/a.txt`
      Fs.writeFileSync(path, content)
      const engine = Engine.layerNoDeps.pipe(
        Layer.provide(Executor.layerLocal({ executors: [{ slots: 1 }] })),
        Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
      )
      const error = yield* Dataset.text(path).pipe(
        Dataset.tap(() => Effect.sync(() => Fs.appendFileSync(path, "more\n"))),
        Dataset.count,
        Effect.provide(engine),
        Effect.flip
      )
      assert.instanceOf(error, JobError.JobError)
      assert.include((error as JobError.JobError).message, "when the job was planned")
      assert.include((error as JobError.JobError).hint, "run again when nothing writes")
      Fs.rmSync(root, { recursive: true })
    })
  )
})
