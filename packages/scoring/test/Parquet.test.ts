import { assert, describe, it } from "@effect/vitest"
import { Dataset, Engine, Vector } from "@sluice/core"
import * as Parquet from "@sluice/core/formats/Parquet"
import { Model, ScoreError, Scorer, Scoring } from "@sluice/scoring"
import { Effect, Schema } from "effect"

const features = 8
const Row = Schema.Struct({ id: Schema.Number, features: Vector.Float32 })

/** 20,000 vectors in row groups of 5,000, one of which has another length. */
const write = (path: string, bad: number) =>
  Dataset.range(0, 20_000).pipe(
    Dataset.map((id) => ({ id, features: new Float32Array(id === bad ? features - 1 : features).fill(id) })),
    Dataset.writeParquet(path, Row, { rowGroupRows: 5000 })
  )

const scorer = Scorer.layerModel(
  Model.logisticRegression({ nFeatures: features, weights: Array(features).fill(0), bias: 0 })
)

const expectRow = (error: unknown) => {
  assert.instanceOf(error, ScoreError.ScoreError)
  assert.strictEqual(error.reason._tag, "VectorLength")
  const [range] = error.rows
  assert.match(range?.path ?? "", /part-00000-.*\.parquet$/)
  assert.deepInclude(range, { rowGroup: 2, first: 2345, last: 2345 })
  assert.match(error.message, /row group 2/)
  assert.match(error.message, /2345/)
}

describe("scoring Parquet", () => {
  it.effect("names the file, row group and row of a vector of another length, scoring rows", () =>
    Effect.gen(function* () {
      yield* write("memory:///vectors", 12_345)
      const error = yield* Dataset.parquet("memory:///vectors", Row).pipe(
        // Rows that were filtered out before do not shift the count.
        Dataset.filter(({ id }) => id % 2 === 1),
        Scoring.score({ vector: "features" }),
        Dataset.count,
        Effect.provide(scorer),
        Effect.flip
      )
      expectRow(error)
    }).pipe(Effect.provide(Engine.layer))
  )

  it.effect("names them scoring record batches", () =>
    Effect.gen(function* () {
      yield* write("memory:///vectors", 12_345)
      const error = yield* Dataset.parquetBatches("memory:///vectors").pipe(
        Scoring.scoreBatches({ vector: "features" }),
        Dataset.writeParquetBatches("memory:///scored"),
        Effect.provide(scorer),
        Effect.flip
      )
      expectRow(error)
    }).pipe(Effect.provide(Engine.layer))
  )

  it.effect("of no rows writes a file with the columns and the score", () =>
    Effect.gen(function* () {
      const none: ReadonlyArray<typeof Row.Type> = []
      yield* Dataset.writeParquet(Dataset.fromIterable(none), "memory:///vectors", Row, { mode: "overwrite" })
      yield* Dataset.parquetBatches("memory:///vectors", { vectors: ["features"] }).pipe(
        Scoring.scoreBatches({ vector: "features", threshold: 0.5 }),
        Dataset.writeParquetBatches("memory:///none"),
        Effect.provide(scorer)
      )
      const [file, more] = yield* Parquet.metadata("memory:///none")
      assert.isUndefined(more)
      assert.deepStrictEqual(
        [file?.rows, file?.columns],
        [0, ["id: Float64", "features: List<Float32>", "score: Float32", "class: Bool"]]
      )
      const Scored = Schema.Struct({ ...Row.fields, score: Schema.Number })
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.parquet("memory:///none", Scored)), [])
    }).pipe(Effect.provide(Engine.layer))
  )

  it.effect("writes and reads no other columns than asked for", () =>
    Effect.gen(function* () {
      yield* Dataset.range(0, 3000).pipe(
        Dataset.map((id) => ({ id, features: new Float32Array(features).fill(id), note: `row ${id}`, score: -1 })),
        Dataset.writeParquet(
          "memory:///wide",
          Schema.Struct({ ...Row.fields, note: Schema.String, score: Schema.Number }),
          { rowGroupRows: 1000 }
        )
      )
      const read = Dataset.parquetBatches("memory:///wide", { vectors: ["features"] })
      const options = { vector: "features", columns: ["note", "id"], batch: { rows: 777 }, threshold: 0.5 } as const
      const scored = Scoring.scoreBatches(read, options)
      assert.match(yield* Dataset.explain(Dataset.provide(scored, scorer)), /columns=\["features","note","id"\]/)
      yield* Dataset.writeParquetBatches(Dataset.provide(scored, scorer), "memory:///narrow")
      const [file] = yield* Parquet.metadata("memory:///narrow")
      assert.deepStrictEqual(file?.columns, ["note: Utf8", "id: Float64", "score: Float32", "class: Bool"])
      const Narrow = Schema.Struct({ id: Schema.Number, note: Schema.String, score: Schema.Number })
      assert.deepStrictEqual(
        yield* Dataset.collect(Dataset.parquet("memory:///narrow", Narrow)),
        Array.from({ length: 3000 }, (_, id) => ({ id, note: `row ${id}`, score: 0.5 }))
      )

      const missing = yield* Scoring.scoreBatches(read, { ...options, columns: ["ids"] }).pipe(
        Dataset.provide(scorer),
        Dataset.count,
        Effect.flip
      )
      assert.match(missing.message, /column "?ids/)
    }).pipe(Effect.provide(Engine.layer))
  )

  it.effect("scores every row of record batches, once and in place", () =>
    Effect.gen(function* () {
      yield* write("memory:///vectors", -1)
      const manifest = yield* Dataset.parquetBatches("memory:///vectors").pipe(
        Scoring.scoreBatches({ vector: "features", batch: { rows: 777 }, threshold: 0.5 }),
        Dataset.writeParquetBatches("memory:///scored"),
        Effect.provide(scorer)
      )
      assert.strictEqual(manifest.rows, 20_000)
      const scored = yield* Dataset.collect(
        Dataset.parquet(
          "memory:///scored",
          Schema.Struct({ id: Schema.Number, features: Vector.Float32, score: Parquet.Float32, class: Schema.Boolean })
        )
      )
      assert.strictEqual(scored.length, 20_000)
      for (const [index, row] of scored.entries()) {
        assert.strictEqual(row.id, index)
        assert.strictEqual(row.features[0], index)
        assert.strictEqual(row.score, 0.5)
        assert.isTrue(row.class)
      }
    }).pipe(Effect.provide(Engine.layer))
  )
})
