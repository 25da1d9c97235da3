import type { Engine, Events, Storage } from "@sluice/core"
import { Dataset, Progress, TaskContext } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { engine } from "../support/engines.ts"

const Row = Schema.Struct({ n: Schema.Number })

type Services = Engine.Engine | Storage.Storage | Events.Events

const temporary = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-letters-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const half = engine(64 * 1024 * 1024, { maxDeadLetters: { ratio: 0.5 } })

const test = (name: string, body: (root: string) => Effect.Effect<unknown, unknown, Services>, layer = half) =>
  it.live(name, () => Effect.scoped(Effect.flatMap(temporary, body)).pipe(Effect.provide(layer)))

/** JSON Lines of which some do not decode. */
const write = (path: string, rows: number, bad: (n: number) => boolean) =>
  Fs.writeFileSync(path, Array.from({ length: rows }, (_, n) => `{"n":${bad(n) ? '"x"' : n}}\n`).join(""))

const read = (path: string) => Dataset.jsonLines(path, Row, { onInvalidRow: "deadLetter" })

const texts = (self: Dataset.Dataset<{ readonly n: number }>) => Dataset.map(self, ({ n }) => `${n}`)

/** The rows set aside of an output, file by file. */
const letters = (output: string, files: ReadonlyArray<{ readonly path: string; readonly rows: number }>) =>
  files.flatMap(({ path, rows }) => {
    const lines = Fs.readFileSync(`${output}/${path}`, "utf8").split("\n").slice(0, -1)
    assert.strictEqual(lines.length, rows)
    return lines.map((line) => JSON.parse(line))
  })

describe("rows set aside", () => {
  test("are written by the task that met them, and named in the manifest", (root) =>
    Effect.gen(function* () {
      write(`${root}/in.jsonl`, 10, (n) => n === 3)
      const manifest = yield* Dataset.writeText(texts(read(`${root}/in.jsonl`)), `${root}/out`)
      assert.deepStrictEqual(manifest.conservation, { read: 10, filtered: 0, deadLettered: 1, cut: 0, written: 9 })
      assert.strictEqual(manifest.deadLetters.length, 1)
      assert.deepStrictEqual(
        Fs.readdirSync(`${root}/out/_dead_letters`),
        manifest.deadLetters.map(({ path }) => path.slice("_dead_letters/".length))
      )
      const [letter, ...others] = letters(`${root}/out`, manifest.deadLetters)
      assert.deepStrictEqual(others, [])
      assert.include(letter.path, "in.jsonl")
      assert.strictEqual(letter.value, '{"n":"x"}')
      // A reader of the output does not take them for rows.
      assert.strictEqual((yield* Dataset.collect(Dataset.text(`${root}/out`))).length, 9)
      assert.deepStrictEqual(Fs.readdirSync(root).toSorted(), ["in.jsonl", "out"])
    }))

  test("of 150,000 in one task are there, and the driver holds a few", (root) =>
    Effect.gen(function* () {
      write(`${root}/in.jsonl`, 300_000, (n) => n % 2 === 0)
      const manifest = yield* Dataset.writeText(texts(read(`${root}/in.jsonl`)), `${root}/out`)
      assert.deepStrictEqual(manifest.conservation, {
        read: 300_000,
        filtered: 0,
        deadLettered: 150_000,
        cut: 0,
        written: 150_000
      })
      assert.strictEqual(letters(`${root}/out`, manifest.deadLetters).length, 150_000)
    }))

  test("in a stage before a shuffle are counted and written like those of the last", (root) =>
    Effect.gen(function* () {
      write(`${root}/in.jsonl`, 40, (n) => n % 10 === 7)
      const counts = read(`${root}/in.jsonl`).pipe(
        Dataset.map(({ n }): [number, number] => [n % 2, 1]),
        Dataset.reduceByKey((a, b) => a + b),
        Dataset.map(String)
      )
      const manifest = yield* Dataset.writeText(counts, `${root}/out`)
      assert.deepStrictEqual(manifest.conservation, { read: 40, filtered: 34, deadLettered: 4, cut: 0, written: 2 })
      assert.strictEqual(letters(`${root}/out`, manifest.deadLetters).length, 4)
      // Those of a stage that only looks ahead are not kept, because the rows are read again.
      const sorted = Dataset.sortBy(
        texts(read(`${root}/in.jsonl`)),
        (line) => line,
        (a, b) => (a < b ? -1 : a > b ? 1 : 0)
      )
      const again = yield* Dataset.writeText(sorted, `${root}/sorted`)
      assert.deepStrictEqual(again.conservation, { read: 40, filtered: 0, deadLettered: 4, cut: 0, written: 36 })
      assert.strictEqual(letters(`${root}/sorted`, again.deadLetters).length, 4)
    }))

  const letter = (line: string) =>
    Effect.flatMap(
      TaskContext.Current,
      (task) =>
        task?.deadLetter({ path: "input", rowGroup: undefined, row: 3, reason: "bad", value: line }) ?? Effect.void
    )

  test("by the program itself are accounted for, wherever the row goes then", (root) =>
    Effect.gen(function* () {
      const lines = Dataset.map(Dataset.range(0, 10, { partitions: 2 }), (n) => `line ${n}`)
      const failing = Dataset.mapEffect(lines, (line) => (line === "line 3" ? Effect.fail(line) : Effect.succeed(line)))
      // Replaced, and dropped by a later step.
      const dropped = failing.pipe(
        Dataset.catch((line) => Effect.as(letter(line), "")),
        Dataset.filter((line) => line !== "")
      )
      const one = yield* Dataset.writeText(dropped, `${root}/one`)
      assert.deepStrictEqual(one.conservation, { read: 10, filtered: 0, deadLettered: 1, cut: 0, written: 9 })
      assert.deepStrictEqual(letters(`${root}/one`, one.deadLetters), [
        { path: "input", row: 3, reason: "bad", value: "line 3" }
      ])
      // Dropped in the step itself.
      const filtered = Dataset.mapPartitions(
        lines,
        Stream.filterEffect((line) => (line === "line 3" ? Effect.as(letter(line), false) : Effect.succeed(true))),
        { oneToOne: true }
      )
      const two = yield* Dataset.writeText(filtered, `${root}/two`)
      assert.deepStrictEqual(two.conservation, { read: 10, filtered: 0, deadLettered: 1, cut: 0, written: 9 })
      // They are reported, and kept.
      const kept = Dataset.tap(lines, (line) => (line === "line 3" ? letter(line) : Effect.void))
      const three = yield* Dataset.writeText(kept, `${root}/three`)
      assert.deepStrictEqual(three.conservation, { read: 10, filtered: 0, deadLettered: 0, cut: 0, written: 10 })
      assert.strictEqual(letters(`${root}/three`, three.deadLetters).length, 1)
    }))

  const limited = (limits: { readonly rows?: number; readonly ratio?: number }) =>
    engine(64 * 1024 * 1024, { maxDeadLetters: limits })

  test(
    "may be one in a hundred, if nothing else is said",
    (root) =>
      Effect.gen(function* () {
        write(`${root}/few.jsonl`, 1000, (n) => n % 100 === 0)
        const few = yield* Dataset.writeText(texts(read(`${root}/few.jsonl`)), `${root}/few`)
        assert.strictEqual(few.conservation.deadLettered, 10)
        write(`${root}/many.jsonl`, 1000, (n) => n % 90 === 0)
        const error = yield* Effect.flip(Dataset.writeText(texts(read(`${root}/many.jsonl`)), `${root}/many`))
        assert.strictEqual(error.reason._tag, "TooManyDeadLetters")
        assert.include(error.message, "12 of 1000 rows were set aside, more than the 10 allowed. The first:")
        assert.include(error.message, "many.jsonl")
        assert.strictEqual(error.message.match(/many\.jsonl, /g)?.length, 10, "and not all of them are shown")
        assert.include(error.message, "maxDeadLetters")
        assert.isFalse(Fs.existsSync(`${root}/many`))
      }),
    engine(64 * 1024 * 1024)
  )

  test(
    "end the job when there are more of them than the limit",
    (root) =>
      Effect.gen(function* () {
        write(`${root}/in.jsonl`, 100_000, (n) => n > 10)
        const error = yield* Effect.flip(Dataset.count(read(`${root}/in.jsonl`)))
        assert.strictEqual(error.reason._tag, "TooManyDeadLetters")
        if (error.reason._tag !== "TooManyDeadLetters") return
        // At once, and not when all has been read.
        assert.isBelow(error.reason.deadLettered, 10)
        assert.strictEqual(error.reason.limit, 4)
        assert.strictEqual(error.reason.first.length, 5)
      }),
    limited({ rows: 4 })
  )

  test(
    "do not end a job that takes a few of its rows",
    (root) =>
      Effect.gen(function* () {
        write(`${root}/in.jsonl`, 100, (n) => n === 1)
        assert.strictEqual((yield* Dataset.take(read(`${root}/in.jsonl`), 5)).length, 5)
      }),
    limited({ ratio: 0.01 })
  )

  test("are shown ten times, and then counted", (root) =>
    Effect.gen(function* () {
      write(`${root}/in.jsonl`, 200, (n) => n % 2 === 0)
      let printed = ""
      const output = { write: (text: string) => (printed += text), isTTY: false }
      yield* Dataset.writeText(texts(read(`${root}/in.jsonl`)), `${root}/out`).pipe(
        Effect.provide(Progress.layer({ output }))
      )
      assert.strictEqual(printed.match(/: set aside /g)?.length, 10)
      assert.include(printed, "more rows have been set aside; they are not shown")
      assert.match(printed, /200 rows read, 100 out, 100 set aside/)
    }))
})
