import {
  Codec,
  type Commit,
  Dataset,
  Engine,
  EngineConfig,
  Events,
  Executor,
  JobError,
  Shuffle,
  Storage
} from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Order, Schema, Stream } from "effect"
import * as fc from "fast-check"
import { gunzipSync } from "node:zlib"

type Lines = Dataset.Dataset<string>

// One task at a time, so that the same one fails first.
const engine = (memoryBytes: number, splitBytes: number) =>
  Layer.fresh(Engine.layerWithShuffle).pipe(
    Layer.provide(Executor.layerLocal({ executors: [{ slots: 1 }] })),
    Layer.provideMerge(
      Layer.mergeAll(Layer.fresh(Storage.layerMemory), Events.layer, Shuffle.layerMemory({ memoryBytes }))
    ),
    Layer.provide(EngineConfig.layer({ splitBytes, openCostBytes: 0 }))
  )

// Pieces of files.
const piece = fc.oneof(
  { arbitrary: fc.constantFrom("\n", "\r\n", "\r", "\n", "\n"), weight: 3 },
  { arbitrary: fc.constantFrom("a", "b", "word ", "a line of more than sixteen characters "), weight: 3 },
  { arbitrary: fc.constantFrom("é", "\ud7ff", "\ue000", "\uffff", "😀", "\uFEFF", "\0", "\t", "\u2028"), weight: 1 }
)
const text = fc.array(piece, { maxLength: 60 }).map((pieces) => Buffer.from(pieces.join("")))
const invalid = fc.constantFrom([0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98], [0xc0, 0x80])
const bytes = fc.oneof(
  { arbitrary: text, weight: 4 },
  {
    arbitrary: fc
      .tuple(text, invalid, text)
      .map(([before, bad, after]) => Buffer.concat([before, Buffer.from(bad), after])),
    weight: 1
  }
)
// Rows that no file of lines can have are among these.
const rows = fc.array(
  fc
    .array(fc.constantFrom("a", "b", "é", "\uffff", "😀", "\uFEFF", "sixteen characters"), { maxLength: 4 })
    .map((s) => s.join("")),
  { maxLength: 40 }
)
const oddRow = fc.constantFrom("line\nbreak", "carriage\rreturn", "half \ud800", "\udc00", "\n", "ordinary")

const shapes: Readonly<Record<string, (self: Lines, other: Lines, seen: (self: Lines) => Lines) => Lines>> = {
  copied: (self) => self,
  sorted: (self, _, seen) => Dataset.sort(seen(self), Order.String, { partitions: 3 }),
  "sorted as one": (self, _, seen) => Dataset.sort(seen(self), Order.String, { partitions: 1 }),
  "in one": (self, other, seen) => Dataset.sort(seen(Dataset.union(self, other)), Order.String),
  "beside each other": (self, other) => Dataset.union(self, other),
  "sorted beside": (self, other, seen) => Dataset.union(Dataset.sort(seen(self), Order.String), other),
  "sorted twice": (self, _, seen) =>
    Dataset.sort(seen(Dataset.sort(seen(self), Order.String)), Order.String, { partitions: 2 }),
  "in fewer": (self, _, seen) =>
    Dataset.coalesce(Dataset.sort(seen(Dataset.coalesce(self, 2)), Order.String, { partitions: 4 }), 2),
  "sorted in another order": (self, _, seen) => Dataset.sort(seen(self), Order.flip(Order.String), { partitions: 2 }),
  cached: (self, other, seen) => Dataset.union(Dataset.cache(Dataset.sort(seen(self), Order.String)), other)
}

interface Outcome {
  readonly files?: ReadonlyArray<readonly [string, number, string]>
  readonly conservation?: Commit.Manifest["conservation"]
  readonly failure?: unknown
}

// The output of a write and its account, or why it failed.
const outcomeOf = (files: ReadonlyArray<Buffer>, make: () => Lines, gzip: boolean) =>
  Effect.gen(function* () {
    const storage = yield* Storage.Storage
    for (const [index, file] of files.entries()) yield* storage.write(`memory:///in/${index}.txt`, Stream.succeed(file))
    const written = yield* Effect.result(
      Dataset.writeText(make(), "memory:///out", gzip ? { compression: "gzip" } : {})
    )
    if (written._tag === "Failure") {
      const { failure } = written
      return {
        failure: failure instanceof JobError.JobError ? JSON.stringify(failure.reason) : failure
      } satisfies Outcome
    }
    const { conservation, files: parts } = written.success
    const found: Array<readonly [string, number, string]> = []
    for (const { bytes, path, rows } of parts) {
      const stored = Buffer.from(yield* storage.readRange(`memory:///out/${path}`, 0, bytes))
      found.push([path.slice(0, 10), rows, (gzip ? gunzipSync(stored) : stored).toString("hex")])
    }
    return { files: found, conservation } satisfies Outcome
  })

const seenAsStrings = (self: Lines): Lines => Dataset.map(self, (line) => line)

describe("rows of text that nothing looks at", () => {
  it.effect("are handed on as bytes by the stages that say so, and by no others", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      yield* storage.write("memory:///in/a.txt", Stream.succeed(Buffer.from("a\nb\n")))
      const self = Dataset.text("memory:///in")
      const sort = Dataset.sort(Order.String, { partitions: 2 })
      const asBytes = (plan: Lines) =>
        Effect.map(Dataset.explain(plan), (text) =>
          Array.from(text.matchAll(/^Stage \d+ \((\w+).*$/gm), ([line, why]) => [why, line.includes("as bytes")])
        )
      const all = (writes: boolean) => [
        ["samples", false],
        ["writes", writes],
        ["result", false]
      ]
      assert.deepStrictEqual(yield* asBytes(sort(self)), all(true))
      assert.deepStrictEqual(yield* asBytes(sort(Dataset.union(self, self))), all(true))
      assert.deepStrictEqual(yield* asBytes(sort(Dataset.map(self, (line) => line))), all(false))
      assert.deepStrictEqual(yield* asBytes(sort(Dataset.cache(self))), all(false))
      assert.deepStrictEqual(yield* asBytes(sort(Dataset.union(self, Dataset.make("c")))), all(false))
      assert.deepStrictEqual(
        yield* asBytes(Dataset.sort(self, Order.flip(Order.String), { partitions: 2 })),
        all(false)
      )
      const key = Codec.fromSchema(Schema.String)
      assert.deepStrictEqual(yield* asBytes(Dataset.sort(self, Order.String, { key, partitions: 2 })), all(false))
      const written = yield* Effect.flatMap(Engine.Engine, (service) =>
        service.explain(Dataset.writeText(sort(self), "memory:///out").spec)
      )
      assert.match(written, /^Stage 2 \(result.*rows handed on as bytes/m)
    }).pipe(Effect.provide(engine(2 ** 20, 2 ** 20)))
  )

  for (const [name, shape] of Object.entries(shapes)) {
    it(`are written with the same bytes, account and refusals as rows that a step has seen: ${name}`, async () => {
      let failed = 0
      let written = 0
      await fc.assert(
        fc.asyncProperty(
          fc.record({
            files: fc.array(bytes, { minLength: 1, maxLength: 3 }),
            made: fc.option(fc.tuple(rows, oddRow, rows).map(([before, odd, after]) => [...before, odd, ...after])),
            replace: fc.boolean(),
            gzip: fc.boolean(),
            memory: fc.constantFrom(2048, 64 * 1024 * 1024),
            splitBytes: fc.constantFrom(7, 50, 1_000_000)
          }),
          async ({ files, gzip, made, memory, replace, splitBytes }) => {
            const source = () => Dataset.text("memory:///in", replace ? { encoding: "replace" } : {})
            const run = (seen: (self: Lines) => Lines) => {
              const self = made === null ? source() : Dataset.fromIterable(made, { partitions: 2 })
              const make = () => seen(shape(self, source(), seen))
              return Effect.runPromise(Effect.provide(outcomeOf(files, make, gzip), engine(memory, splitBytes)))
            }
            const [handedOn, seen]: ReadonlyArray<Outcome> = [await run((self) => self), await run(seenAsStrings)]
            assert.deepStrictEqual(handedOn, seen)
            if (seen?.failure === undefined) written++
            else failed++
          }
        ),
        { numRuns: 12, seed: 20261124 }
      )
      assert.isAbove(failed, 0)
      assert.isAbove(written, 0)
    }, 60_000)
  }
})
