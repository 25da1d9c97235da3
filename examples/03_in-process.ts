/**
 * The article's trivial case: the main job with the model inside the executor. The dataset and the operator are those of
 * `02_classify`; only the layer that provides `Scorer` is another one.
 *
 *     npm run -s in-process -- --input DIR --output DIR --model FILE
 */
import { Dataset, Job, Storage } from "@sluice/core"
import { Model, Scorer, Scoring } from "@sluice/scoring"
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { fileURLToPath } from "node:url"
import { ensureDigits, heldOutAccuracy, input as digits } from "./support/digits.ts"
import { runMain } from "./support/program.ts"

const Payload = Schema.Struct({
  input: Schema.String,
  output: Schema.String,
  /** A logistic regression as JSON: `{ nFeatures, weights, bias }`. */
  model: Schema.String,
  vector: Schema.String,
  threshold: Schema.Number
})

class BadModel extends Schema.TaggedError<BadModel>("examples/BadModel")("BadModel", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.path} is no logistic regression: ${this.detail}\n  what to do: write one with train.py, or see model.json`
  }
}

// Read where the tasks run, once per executor.
const modelLayer = (path: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const json = yield* storage.read(path).pipe(Stream.decodeText(), Stream.mkString)
      const weights = yield* Effect.mapError(
        Model.decodeLogisticRegression(json),
        ({ message }) => new BadModel({ path, detail: message })
      )
      return Scorer.layerModel(Model.logisticRegression(weights))
    })
  )

export const inProcess = Job.make("in-process", {
  payload: Payload,
  layer: ({ model }: typeof Payload.Type) => modelLayer(model),
  action: ({ input, output, threshold, vector }) =>
    Dataset.parquetBatches(input, { vectors: [vector] }).pipe(
      Scoring.scoreBatches({ vector, threshold }),
      Dataset.writeParquetBatches(output, { mode: "overwrite" })
    )
})

const command = Command.make(
  "in-process",
  {
    input: Flag.String("input").pipe(
      Flag.withDescription(`Parquet directory, file or glob (default: digits, made in ${digits})`),
      Flag.withDefault(digits)
    ),
    output: Flag.String("output").pipe(
      Flag.withDescription("Directory to write Parquet into, replaced if it is there"),
      Flag.withDefault("out/in-process")
    ),
    model: Flag.String("model").pipe(
      Flag.withDescription("Logistic regression as JSON"),
      Flag.withDefault(fileURLToPath(new URL("model-service/model.json", import.meta.url)))
    ),
    vector: Flag.String("vector").pipe(
      Flag.withDescription("Column that holds the vectors"),
      Flag.withDefault("features")
    ),
    threshold: Flag.Finite("threshold").pipe(
      Flag.withDescription("The class is whether the score is at least this"),
      Flag.withDefault(0.5)
    )
  },
  Effect.fn("in-process")(function* (options) {
    if (options.input === digits) yield* ensureDigits
    const { millis, value } = yield* Job.runReported(inProcess, options)
    const rate = Math.round((value.rows / millis) * 1000)
    yield* Console.log(`rows      ${value.rows.toLocaleString("en-US")} (${rate.toLocaleString("en-US")} a second)`)
    yield* Console.log(`written   ${options.output}, files: ${value.files.length}`)
    if (options.input === digits) {
      const { right, rows } = yield* heldOutAccuracy(options.output)
      yield* Console.log(
        `accuracy  ${((right / rows) * 100).toFixed(2)} % of ${rows.toLocaleString("en-US")} held-out rows`
      )
    }
  })
).pipe(Command.withDescription("Score the vectors of Parquet files with a model in this process"))

export const program = Command.run(command, { version: "0.1.0" })

if (import.meta.main) runMain(program)
