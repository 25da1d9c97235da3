import { assert, describe, it } from "@effect/vitest"
import { Dataset, Engine, Origin, Vector } from "@sluice/core"
import { Model, Scorer, Scoring } from "@sluice/scoring"
import { Effect, Schema, Stream } from "effect"

const features = 8
const rows = 20_000
const rowGroupRows = 5000
const Row = Schema.Struct({ id: Schema.Number, features: Vector.Float32 })

const scorer = Scorer.layerModel(
  Model.logisticRegression({ nFeatures: features, weights: Array(features).fill(0), bias: 0 })
)

describe("the origin of a scored row", () => {
  for (const { batch, named } of [
    { batch: 500, named: 10_000 },
    // The three batches that span two row groups have no one origin.
    { batch: 777, named: 10_000 - 3 * 777 }
  ]) {
    it.effect(`is its row of the row group, in batches of ${batch}`, () =>
      Effect.gen(function* () {
        yield* Dataset.range(0, rows, { partitions: 1 }).pipe(
          Dataset.map((id) => ({ id, features: new Float32Array(features).fill(id) })),
          Dataset.writeParquet("memory:///vectors", Row, { rowGroupRows })
        )
        const seen = yield* Dataset.parquet("memory:///vectors", Row).pipe(
          Dataset.filter(({ id }) => id % 2 === 1),
          Scoring.score({ vector: "features", batch: { rows: batch } }),
          Dataset.mapPartitions((scored) =>
            Stream.mapArray(scored, (values) => {
              const origin = Origin.of(values)
              const places = values.map(({ id }, index) => ({ id, from: origin && Origin.at(origin, index) }))
              return places as [(typeof places)[number], ...typeof places]
            })
          ),
          Dataset.collect,
          Effect.provide(scorer)
        )
        assert.strictEqual(seen.length, rows / 2)
        for (const { from, id } of seen) {
          if (from === undefined) continue
          assert.deepStrictEqual([from.rowGroup, from.row], [Math.floor(id / rowGroupRows), id % rowGroupRows])
        }
        assert.strictEqual(seen.filter(({ from }) => from !== undefined).length, named)
      }).pipe(Effect.provide(Engine.layer))
    )
  }
})
