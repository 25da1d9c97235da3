/**
 * The main job with the model inside the executor: no service, no requests. Dataset and operator are those of `02_classify`; only
 * the layer that provides `Scorer` differs.
 *
 *     npm run -s in-process -- --input DIR --output DIR --model FILE
 */
import { Dataset, Job, Storage } from "@sluice/core"
import { Model, Scorer, Scoring } from "@sluice/scoring"
import { Effect, Layer, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { fileURLToPath } from "node:url"
import * as Cli from "./support/cli.ts"
import * as Digits from "./support/digits.ts"
import * as Report from "./support/scoring.ts"

export const inProcess = Job.make("in-process", {
  payload: Schema.Struct({ ...Cli.Paths, model: Schema.String, vector: Schema.String, threshold: Schema.Number }),
  layer: ({ model }) => modelLayer(model),
  action: ({ input, mode, output, threshold, vector }) =>
    Dataset.parquetBatches(input, { vectors: [vector] }).pipe(
      Scoring.scoreBatches({ vector, threshold }),
      Dataset.writeParquetBatches(output, { mode })
    )
})

/** A logistic regression as JSON, `{ nFeatures, weights, bias }`: read where the tasks run, once per executor. */
const modelLayer = (path: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const json = yield* storage.read(path).pipe(Stream.decodeText(), Stream.mkString)
      const weights = yield* Effect.mapError(
        Model.decodeLogisticRegression(json),
        ({ message }) => new BadModel({ path, detail: message.replaceAll(/\s*\n\s*/g, " ") })
      )
      return Scorer.layerModel(Model.logisticRegression(weights))
    })
  )

class BadModel extends Schema.TaggedError<BadModel>("examples/BadModel")("BadModel", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.path} is not a logistic regression: ${this.detail}\n  what to do: write one with examples/model-service/train.py, as model.json there`
  }
}

const command = Command.make(
  "in-process",
  {
    ...Cli.writes("in-process", Digits.sample, "Parquet"),
    model: Flag.String("model").pipe(
      Flag.withMetavar("path"),
      Flag.withDescription("Logistic regression as JSON (default: the digits', model-service/model.json)"),
      Flag.withDefault(fileURLToPath(new URL("model-service/model.json", import.meta.url)))
    ),
    vector: Report.vector,
    threshold: Flag.Finite("threshold").pipe(
      Flag.withDescription("Adds a column class: whether the score is at least this (default: 0.5)"),
      Flag.withDefault(0.5)
    )
  },
  Effect.fn("in-process")(function* ({ model, threshold, vector, ...flags }) {
    const files = Cli.files(flags)
    if (files.isSample) yield* Digits.ensure
    const report = yield* Job.runReported(inProcess, { ...files, model, threshold, vector })
    yield* Report.printRows(report)
    yield* Report.printWritten(report, files)
    if (files.isSample) yield* Report.printAccuracy(files)
  })
).pipe(Command.withDescription("Score the vectors of Parquet files with a model in this process"))

export const program = Cli.run(command)

if (import.meta.main) Cli.runMain(program)
