import { Dataset, Engine, Job, Program, Progress, Vector } from "@sluice/core"
import { Scorer, Scoring } from "@sluice/scoring"
import { Effect, Layer, Schema } from "effect"

const Row = Schema.Struct({ id: Schema.BigInt, features: Vector.Float32 })
const Scored = Schema.Struct({ id: Schema.BigInt, score: Schema.Number, class: Schema.Boolean })

const classify = Job.make("classify", {
  payload: Schema.Struct({ input: Schema.String, output: Schema.String }),
  layer: Scorer.layer({ endpoints: ["http://model-a:8080/score", "http://model-b:8080/score"], concurrency: 8 }),
  action: ({ input, output }) =>
    Dataset.parquet(input, Row).pipe(
      Scoring.score({ vector: "features", threshold: 0.5 }),
      Dataset.writeParquet(output, Scored)
    )
})

Job.run(classify, { input: "/data/vectors", output: "/data/scored" }).pipe(
  Effect.provide(Layer.provideMerge(Progress.layer(), Engine.layer)),
  Program.runMain
)
