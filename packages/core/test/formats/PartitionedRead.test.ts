import { Condition, Dataset, Engine, Events, Executor, JobError, Storage } from "@sluice/core"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal({ executors: [{ slots: 2 }] })),
  Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
)

const temporary = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice k=v-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const test = (name: string, body: (root: string) => Effect.Effect<unknown, unknown, Engine.Engine>) =>
  it.live(name, () => Effect.scoped(Effect.flatMap(temporary, body)).pipe(Effect.provide(engine)))

const Row = Schema.Struct({
  id: Schema.Number,
  country: Schema.NullOr(Schema.String),
  city: Schema.String,
  year: Schema.Number,
  big: Schema.BigInt,
  day: Schema.Date,
  open: Schema.Boolean,
  note: Schema.optionalKey(Schema.String)
})
type Row = typeof Row.Type

const cities = ["a/b", "..", "50%", "a:b=c?", "ü €", "%2F", "x\ny", "[1]*{", "", "null"]

const rows: ReadonlyArray<Row> = Array.from({ length: 40 }, (_, id): Row => ({
  id,
  country: id % 3 === 0 ? null : id % 3 === 1 ? "DE" : "null",
  city: cities[id % cities.length] ?? "",
  year: 2000 + (id % 2) + (id % 4 === 3 ? 0.5 : 0),
  big: 2n ** 60n + BigInt(id % 2),
  day: new Date(86_400_000 * (id % 2)),
  open: id % 2 === 0,
  ...(id % 5 === 0 ? {} : { note: `note ${id % 2}` })
}))

const dataset = Dataset.fromIterable<Row>(rows, { partitions: 2 })
// A field that a Parquet file has no value for is there, and `undefined`.
const there = (row: object): unknown =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined))
const inOrder = (found: ReadonlyArray<{ readonly id: number }>): ReadonlyArray<unknown> =>
  found.toSorted((a, b) => a.id - b.id).map(there)

const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    if (error instanceof JobError.JobError) return error
    throw new Error("not a JobError", { cause: error })
  })

const all = ["country", "city", "year", "big", "day", "open", "note"] as const

describe("partitionColumns", () => {
  for (const by of [["city"], ["year", "country"], all] as const) {
    test(
      `reads what partitionBy wrote by ${by.join(", ")}, with the types of the schema`,
      Effect.fnUntraced(function* (root) {
        const options = { partitionColumns: by }
        yield* Dataset.writeCsv(dataset, `${root}/csv`, Row, { partitionBy: by })
        yield* Dataset.writeJsonLines(dataset, `${root}/json`, Row, { partitionBy: by })
        yield* Dataset.writeParquet(dataset, `${root}/parquet`, Row, { partitionBy: by })
        for (const base of [root, `file://${encodeURI(root)}`]) {
          assert.deepStrictEqual(inOrder(yield* Dataset.collect(Dataset.csv(`${base}/csv`, Row, options))), rows)
          assert.deepStrictEqual(inOrder(yield* Dataset.collect(Dataset.jsonLines(`${base}/json`, Row, options))), rows)
          assert.deepStrictEqual(
            inOrder(yield* Dataset.collect(Dataset.parquet(`${base}/parquet`, Row, options))),
            rows
          )
        }
      })
    )
  }

  test(
    "of a folder inside has the columns of its path (Spark's ParquetPartitionDiscoverySuite, with basePath)",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeParquet(dataset, `${root}/out`, Row, { partitionBy: ["open", "country"] })
      const read = Dataset.parquet(`${root}/out/open=true/*`, Row, { partitionColumns: ["open", "country"] })
      assert.deepStrictEqual(
        inOrder(yield* Dataset.collect(read)),
        rows.filter((row) => row.open)
      )
      const inner = Dataset.parquet(`${root}/out/open=false/country=DE`, Row, { partitionColumns: ["open", "country"] })
      assert.deepStrictEqual(
        inOrder(yield* Dataset.collect(inner)),
        rows.filter((row) => !row.open && row.country === "DE")
      )
    })
  )

  test(
    "where on them skips files, and the other conditions row groups",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeParquet(Dataset.coalesce(dataset, 1), `${root}/parquet`, Row, {
        partitionBy: ["country", "open"]
      })
      yield* Dataset.writeCsv(Dataset.coalesce(dataset, 1), `${root}/csv`, Row, { partitionBy: ["country", "open"] })
      const options = { partitionColumns: ["country", "open"] } as const
      const parquet = Dataset.parquet(`${root}/parquet`, Row, options)
      const csv = Dataset.csv(`${root}/csv`, Row, options)
      for (const read of [parquet, csv]) {
        const wanted = Dataset.where(read, {
          country: Condition.eq("DE"),
          open: Condition.eq(true),
          id: Condition.lt(20)
        })
        assert.deepStrictEqual(
          inOrder(yield* Dataset.collect(wanted)),
          rows.filter((row) => row.country === "DE" && row.open && row.id < 20)
        )
        assert.include(yield* Dataset.explain(wanted), "1 of 6 files")
        const none = Dataset.where(read, { country: Condition.isNull })
        assert.strictEqual(yield* Dataset.count(none), 14)
        assert.include(yield* Dataset.explain(none), "2 of 6 files")
        assert.strictEqual(yield* Dataset.count(Dataset.where(read, { country: Condition.eq("FR") })), 0)
      }
      // Files that cannot be read do no harm if nothing needs them.
      for (const file of Fs.readdirSync(`${root}/parquet`, { recursive: true, encoding: "utf8" })) {
        if (file.includes("open=false") && file.endsWith(".parquet"))
          Fs.writeFileSync(`${root}/parquet/${file}`, "broken")
      }
      assert.strictEqual(yield* Dataset.count(Dataset.where(parquet, { open: Condition.eq(true) })), 20)
      assert.strictEqual((yield* failure(Dataset.count(parquet))).reason._tag, "InputFailed")
    })
  )

  test(
    "select reads the columns asked for, also if none is in the files",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeParquet(dataset, `${root}/out`, Row, { partitionBy: ["year", "open"] })
      const read = Dataset.parquet(`${root}/out`, Row, { partitionColumns: ["year", "open"] })
      const some = yield* Dataset.collect(read.pipe(Dataset.select("id", "open")))
      assert.deepStrictEqual(
        inOrder(some),
        rows.map(({ id, open }) => ({ id, open }))
      )
      const years = yield* Dataset.countByValue(
        Dataset.map(read.pipe(Dataset.select("year")), (row) => JSON.stringify(row))
      )
      assert.deepStrictEqual([...years].toSorted(), [
        ['{"year":2000}', 20],
        ['{"year":2001.5}', 10],
        ['{"year":2001}', 10]
      ])
    })
  )

  test(
    "of a path that has them not, or not of the type, fail before a row is read",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeCsv(dataset, `${root}/out`, Row, { partitionBy: ["country"] })
      const Small = Schema.Struct({ id: Schema.Number, country: Schema.Number, month: Schema.Number })
      const missing = yield* failure(
        Dataset.collect(Dataset.csv(`${root}/out`, Small, { partitionColumns: ["month"] }))
      )
      assert.strictEqual(missing.reason._tag, "InputFailed")
      assert.include(
        missing.message,
        'no column "month" (number in the path was asked for); the columns are sluice k, country'
      )
      const wrong = yield* failure(
        Dataset.collect(Dataset.csv(`${root}/out`, Small, { partitionColumns: ["country"] }))
      )
      assert.include(wrong.message, 'column "country" is ')
      assert.include(wrong.message, "number was asked for")
      class Person extends Schema.Class<Person>("Person")({ id: Schema.Number, country: Schema.String }) {}
      const classes = yield* failure(
        Dataset.collect(Dataset.jsonLines(`${root}/out`, Person, { partitionColumns: ["country"] }))
      )
      assert.include(classes.message, "a field of the schema's struct was asked for")
    })
  )

  it("are columns of the schema", () => {
    expectTypeOf(() => Dataset.csv("x", Row, { partitionColumns: ["year"] })).returns.toEqualTypeOf<
      Dataset.Dataset<Row>
    >()
    // @ts-expect-error: no such column
    void (() => Dataset.csv("x", Row, { partitionColumns: ["month"] }))
    // @ts-expect-error: no such column
    void (() => Dataset.jsonLines("x", Row, { partitionColumns: ["month"] }))
    // @ts-expect-error: no such column
    void (() => Dataset.parquet("x", Row, { partitionColumns: ["month"] }))
  })
})
