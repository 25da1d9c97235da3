import { Accumulator, Dataset, type Engine, Job, Storage } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Order, Schema, Stream } from "effect"
import type { Action } from "../../src/engine/Action.ts"
import { engine } from "../support/engines.ts"

const LINES = 20_000
const PARTITIONS = 4

const padding = "-".repeat(1000)
const keyOf = (line: string) => line.slice(0, 8)

// Numbers from 0 to 1, the same in every run.
const random = (n: number) => (Math.imul(n + 1, 0x9e3779b1) >>> 0) / 2 ** 32

const shapes: ReadonlyArray<readonly [string, (n: number) => number]> = [
  ["sorted", (n) => n],
  ["reversed", (n) => LINES - n],
  ["random", (n) => random(n) * 2 ** 32],
  ["skewed", (n) => random(n) ** 8 * 2 ** 32],
  ["partly-sorted", (n) => (n < 0.9 * LINES ? n : random(n) * LINES)],
  ["sorted-in-blocks", (n) => ((n >> 10) % 5) * LINES + n]
]

/** Lines with a key each. */
const input = Effect.fnUntraced(function* (name: string, key: (n: number) => number, files: number) {
  const storage = yield* Storage.Storage
  const lines = Array.from({ length: LINES }, (_, n) => `${Math.floor(key(n)).toString(16).padStart(8, "0")}${padding}`)
  const path = `memory:///${name}-${files}`
  for (let file = 0; file < files; file++) {
    const own = lines.slice((file * LINES) / files, ((file + 1) * LINES) / files)
    yield* storage.write(`${path}/${file}.txt`, Stream.succeed(Buffer.from(own.join("\n"))), { overwrite: true })
  }
  return { lines, text: Dataset.text(path) }
})

const reported = <A, E>(action: Action<A, E>) =>
  Job.runReported(Job.make("sorting", { payload: Schema.Struct({}), action: () => action }), {})

const on = <A, E>(title: string, effect: Effect.Effect<A, E, Engine.Engine | Storage.Storage>) =>
  it.live(title, () => Effect.provide(effect, engine(2 ** 26, { splitBytes: 12_000_000 })), 60_000)

describe("a sort of lines", () => {
  for (const [name, key] of shapes) {
    on(
      `that are ${name} reads a part of them for its sample, and its largest range has at most 1.4 times its share`,
      Effect.gen(function* () {
        // One file is two splits, and so are two or three files.
        for (const files of [1, 2, 3]) {
          const { lines, text } = yield* input(name, key, files)
          const sizes = Dataset.sort(text, Order.String, { partitions: PARTITIONS }).pipe(
            Dataset.map(keyOf),
            Dataset.glom
          )
          const { totals, value } = yield* reported(Dataset.collect(sizes))
          assert.deepStrictEqual(value.flat(), lines.map(keyOf).toSorted())
          assert.lengthOf(value, PARTITIONS)
          assert.isAtMost(Math.max(...value.map((part) => part.length)), (1.4 * LINES) / PARTITIONS)
          assert.isAbove(totals.rowsAhead, 0)
          assert.isAtMost(totals.rowsAhead, 0.3 * LINES)
          assert.isAtMost(totals.bytesAhead, 0.3 * LINES * 1009)
          assert.deepStrictEqual([totals.rowsRead, totals.rowsOut], [LINES, PARTITIONS])
        }
      })
    )
  }

  on(
    "reads all of them if the places that it looks at have too few rows left",
    Effect.gen(function* () {
      const { lines, text } = yield* input("random", (n) => random(n) * 2 ** 32, 1)
      const few = (line: string) => line.startsWith("00")
      const sorted = Dataset.filter(text, few).pipe(Dataset.sort(Order.String, { partitions: PARTITIONS }))
      const { totals, value } = yield* reported(Dataset.collect(Dataset.glom(Dataset.map(sorted, keyOf))))
      assert.deepStrictEqual(value.flat(), lines.filter(few).map(keyOf).toSorted())
      assert.lengthOf(value, PARTITIONS)
      assert.isAtLeast(totals.rowsAhead, LINES)
    })
  )

  on(
    "reads all of them for a step that looks at more than a row, and for a cache",
    Effect.gen(function* () {
      const { lines, text } = yield* input("sorted", (n) => n, 1)
      const positions = Dataset.zipWithIndex(text).pipe(
        Dataset.map(([, index]) => index),
        Dataset.sort(Order.flip(Order.Number), { partitions: PARTITIONS }),
        Dataset.glom
      )
      const indexed = yield* reported(Dataset.collect(positions))
      assert.isAtMost(Math.max(...indexed.value.map((part) => part.length)), (1.4 * LINES) / PARTITIONS)
      assert.isAtLeast(indexed.totals.rowsAhead, LINES)
      const cached = Dataset.cache(text)
      const sorted = Dataset.sort(cached, Order.String, { partitions: PARTITIONS })
      assert.strictEqual(yield* Dataset.count(sorted), LINES)
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.map(cached, keyOf)), lines.map(keyOf))
    })
  )

  on(
    "adds to an accumulator once for each row, though a sample looks at some of them before",
    Effect.gen(function* () {
      const { text } = yield* input("random", (n) => random(n) * 2 ** 32, 1)
      const seen = Accumulator.make(0, (left: number, right: number) => left + right)
      const sorted = Dataset.tap(text, () => Accumulator.add(seen, 1)).pipe(
        Dataset.sort(Order.String, { partitions: PARTITIONS })
      )
      assert.strictEqual(yield* Dataset.count(sorted), LINES)
      assert.strictEqual(yield* Accumulator.get(seen), LINES)
    })
  )
})
