import { Condition, Dataset, Engine, Parquet, Plan, Storage } from "@sluice/core"
import * as Optimizer from "@sluice/core/Optimizer"
import { assert, describe, it } from "@effect/vitest"
import * as Arrow from "apache-arrow"
import { Effect, Layer, Schema } from "effect"
import * as fc from "fast-check"
import { show, tableOf, writeTo } from "../formats/parquetLaws.ts"

const test = <A, E>(name: string, effect: () => Effect.Effect<A, E, Engine.Engine | Storage.Storage>) =>
  it.effect(name, () => Effect.provide(effect(), Layer.provideMerge(Engine.layer, Storage.layerMemory)))

const Row = Schema.Struct({ a: Schema.Number, b: Schema.String, c: Schema.NullOr(Schema.Number) })
const write = (path: string, rows: number) =>
  Dataset.range(0, rows, { partitions: 2 }).pipe(
    Dataset.map((a) => ({ a, b: `row ${a}`, c: a % 3 === 0 ? null : -a })),
    Dataset.writeParquet(path, Row, { rowGroupRows: 40 })
  )

const namesOf = (batch: Arrow.RecordBatch) => batch.schema.fields.map((field) => field.name)

type Batches = Dataset.Dataset<Arrow.RecordBatch>
type Step = readonly [name: string, step: (self: Batches) => Batches]

/** Steps that a selection of columns may pass on its way to the reader. */
const passed: ReadonlyArray<Step> = [
  ["union", (self) => Dataset.union(self, self)],
  ["coalesce", Dataset.coalesce(1)],
  ["sample", Dataset.sample({ fraction: 1, seed: 1 })],
  ["select", (self) => self]
]

/** Steps that may look at other columns. */
const looking: ReadonlyArray<Step> = [
  ["filter", Dataset.filter((batch) => batch.numRows % 5 !== 1)],
  ["where", Dataset.where({ numRows: Condition.gt(1) })],
  ["slice", Dataset.map((batch) => batch.slice(1))]
]

/** What came out, without the borders between batches. */
const contentOf = (batches: ReadonlyArray<Arrow.RecordBatch>) => ({
  schemas: [...new Set(batches.map((batch) => `${batch.schema} ${show([...batch.schema.metadata])}`))],
  names: [...new Set(batches.map((batch) => show(namesOf(batch))))],
  rows: batches.reduce((sum, batch) => sum + batch.numRows, 0),
  columns: batches.flatMap((batch) => batch.schema.fields.map((_, i) => show(batch.getChildAt(i)?.toJSON())))
})

describe("selectColumns", () => {
  test("keeps the columns asked for, in the order asked for, without a copy", () =>
    Effect.gen(function* () {
      const bytes = Arrow.vectorFromArray([1, 2, 3], new Arrow.Int32())
      const ofThree = new Arrow.Table({
        a: bytes,
        b: bytes,
        c: Arrow.vectorFromArray(["x", null, "z"], new Arrow.Utf8())
      })
      const whole = ofThree.batches.flatMap((batch) => [batch, batch.slice(1, 3)])
      const some = yield* Dataset.fromIterable(whole).pipe(Dataset.selectColumns("c", "a", "c"), Dataset.collect)
      assert.deepStrictEqual(some.map(namesOf), [
        ["c", "a"],
        ["c", "a"]
      ])
      assert.deepStrictEqual(
        some.map((batch) => [...batch].map((row) => row?.toJSON())),
        [
          [
            { c: "x", a: 1 },
            { c: null, a: 2 },
            { c: "z", a: 3 }
          ],
          [
            { c: null, a: 2 },
            { c: "z", a: 3 }
          ]
        ]
      )
      for (const batch of some)
        assert.strictEqual(batch.getChild("a")?.data[0]?.values.buffer, bytes.data[0]?.values.buffer)
      const none = yield* Dataset.fromIterable(whole).pipe(Dataset.selectColumns(), Dataset.collect)
      assert.deepStrictEqual(
        none.map((batch) => [batch.numRows, batch.numCols]),
        [
          [3, 0],
          [2, 0]
        ]
      )
    }))

  test("is the reader's, also below a union, a coalesce and a sample", () =>
    Effect.gen(function* () {
      yield* write("memory:///select", 100)
      const read: Batches = Dataset.parquetBatches("memory:///select")
      const all = passed.reduce((self, [, step]) => step(self), read)
      const text = yield* Dataset.explain(all.pipe(Dataset.selectColumns("c", "a")))
      assert.match(text, /columns=\["c","a"\]/)
      assert.notInclude(text.slice(text.indexOf("Read")), "SelectColumns")
      assert.notInclude(Plan.print(Optimizer.optimize(Dataset.selectColumns("c")(all).plan)), "SelectColumns")
    }))

  test("fails before any task if the files do not have the column, or the source was not to read it", () =>
    Effect.gen(function* () {
      yield* write("memory:///missing", 100)
      const read: Batches = Dataset.parquetBatches("memory:///missing")
      const two: Batches = Dataset.parquetBatches("memory:///missing", { columns: ["a", "b"] })
      const rows = Dataset.parquet("memory:///missing", Schema.Struct({ nope: Schema.Number }))
      const ofRows = yield* Effect.flip(Dataset.count(rows))
      const wrong: ReadonlyArray<readonly [Batches, string]> = [
        [Dataset.selectColumns("a", "nope")(read), "nope"],
        [Dataset.selectColumns("c")(two), "c"]
      ]
      for (const [dataset, column] of wrong) {
        const error = yield* Effect.flip(Dataset.count(dataset))
        assert.deepStrictEqual([error.reason._tag, error.at], [ofRows.reason._tag, ofRows.at])
        assert.include(error.message, `no column "${column}"`)
      }
      // Where the reader cannot tell, the task names it.
      const late = read.pipe(
        Dataset.map((batch) => batch),
        Dataset.selectColumns("a", "nope")
      )
      assert.include(
        (yield* Effect.flip(Dataset.count(late))).message,
        'there is no column "nope"; the columns are "a", "b", "c"'
      )
    }))

  test("a filter on batches sees them whole, whatever it is called", () =>
    Effect.gen(function* () {
      yield* write("memory:///where", 100)
      const read: Batches = Dataset.parquetBatches("memory:///where")
      const select = (self: Batches): Batches => Dataset.selectColumns("b")(self)
      const selected: ReadonlyArray<Batches> = [
        select(Dataset.filter(read, (batch) => batch.numCols === 3)),
        select(Dataset.where(read, { numCols: Condition.eq(3) })),
        Dataset.where(select(read), { numCols: Condition.eq(1) })
      ]
      for (const dataset of selected) {
        const batches = yield* Dataset.collect(dataset)
        assert.deepStrictEqual([...new Set(batches.flatMap(namesOf))], ["b"])
        assert.strictEqual(
          batches.reduce((sum, batch) => sum + batch.numRows, 0),
          100
        )
      }
    }))

  test("reads the columns of a source in the order asked for", () =>
    Effect.gen(function* () {
      yield* write("memory:///order", 100)
      yield* Dataset.writeParquetBatches(
        Dataset.parquetBatches("memory:///order", { columns: ["c", "a", "c"] }),
        "memory:///ordered"
      )
      const [file] = yield* Parquet.metadata("memory:///ordered")
      assert.deepStrictEqual(file?.columns, ["c: Float64", "a: Float64"])
      yield* write("memory:///none", 0)
      yield* Dataset.parquetBatches("memory:///none").pipe(
        Dataset.selectColumns("b", "a"),
        Dataset.writeParquetBatches("memory:///still-none")
      )
      const [empty] = yield* Parquet.metadata("memory:///still-none")
      assert.deepStrictEqual(empty?.columns, ["b: Utf8", "a: Float64"])
    }))

  test("law: pruning the reader yields what selecting after reading yields, with the same account", () =>
    Effect.gen(function* () {
      const steps = fc.array(fc.constantFrom(...passed, ...looking), { maxLength: 4 })
      let pruned = 0
      for (let seed = 0; seed < 60; seed++) {
        const { options, refused, rows, schema } = tableOf(seed)
        if (refused) continue
        const path = `memory:///law/${seed}`
        yield* writeTo(`${path}/1.parquet`, schema, rows, options)
        yield* writeTo(`${path}/2.parquet`, schema, rows.slice(0, 3))
        const names = Object.keys(schema.fields)
        const arbitrary = fc.tuple(fc.shuffledSubarray(names, { minLength: 1 }), fc.option(fc.constant(names)), steps)
        const [sample] = fc.sample(arbitrary, { seed, numRuns: 1 })
        const [columns, among, chosen] = sample ?? assert.fail("no sample")
        const what = `seed ${seed}: ${show(columns)} after ${chosen.map(([name]) => name).join(", ")}`
        const read: Batches =
          among === null ? Dataset.parquetBatches(path) : Dataset.parquetBatches(path, { columns: among })
        const selected = chosen
          .reduce(
            (self, [name, step]) => (name === "select" ? Dataset.selectColumns(...names)(self) : step(self)),
            read
          )
          .pipe(Dataset.selectColumns(...columns))
        const after = chosen
          .reduce(
            (self, [, step]) => step(self),
            Dataset.map(read, (batch) => batch)
          )
          .pipe(Dataset.selectColumns(...columns))
        if (!Plan.print(Optimizer.optimize(selected.plan)).includes("SelectColumns")) pruned++
        const [one, other] = [yield* Dataset.collect(selected), yield* Dataset.collect(after)]
        assert.deepStrictEqual(contentOf(one), contentOf(other), what)
        const written = yield* Dataset.writeParquetBatches(selected, `${path}-one`)
        const reference = yield* Dataset.writeParquetBatches(after, `${path}-other`)
        assert.deepStrictEqual(written.conservation, reference.conservation, what)
      }
      assert.isAbove(pruned, 10)
    }))
})
