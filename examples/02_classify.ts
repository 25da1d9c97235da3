/**
 * The main job: feature vectors in Parquet files go to a model service in batches, and every row comes back with its score.
 *
 *     npm run -s classify -- --input DIR --output DIR --endpoint URL [--endpoint URL]
 *
 * Without arguments it scores 200,000 handwritten digits at a model service it starts, and checks the answers.
 */
import { Dataset, Job } from "@sluice/core"
import { Scorer, Scoring } from "@sluice/scoring"
import { Effect, Option, Schema } from "effect"
import { Command } from "effect/cli"
import * as Cli from "./support/cli.ts"
import * as Digits from "./support/digits.ts"
import * as Service from "./support/scoring.ts"

export const classify = Job.make("classify", {
  // Everything a process on another machine needs to take part.
  payload: Schema.Struct({ ...Cli.Paths, ...Service.Settings }),
  // One pool of clients per executor, made by its first task.
  layer: ({ concurrency, endpoints, retryForMillis, timeoutMillis }) =>
    Scorer.layer({ endpoints, concurrency, timeout: timeoutMillis, retry: { retryFor: retryForMillis } }),
  action: ({ batchRows, columns, input, mode, output, threshold, vector }) =>
    Dataset.parquetBatches(input, { vectors: [vector] }).pipe(
      Scoring.scoreBatches({ vector, columns, threshold, batch: { rows: batchRows } }),
      Dataset.writeParquetBatches(output, { mode })
    )
})

const command = Command.make(
  "classify",
  { ...Cli.writes("classify", Digits.sample, "Parquet"), ...Service.flags },
  Effect.fn("classify")(function* (flags) {
    const files = Cli.files(flags)
    const { own, settings } = yield* Service.open(flags, files)
    if (files.isSample) yield* Digits.ensure
    const report = yield* Job.runReported(classify, { ...files, ...settings })
    yield* Service.printRows(report)
    yield* Service.printRequests(report)
    yield* Service.printWritten(report, files)
    if (Option.isSome(own)) yield* Service.printService(own.value)
    if (files.isSample && Digits.hasLabels(settings.columns)) yield* Service.printAccuracy(files)
  }, Effect.scoped)
).pipe(Command.withDescription("Score the vectors of Parquet files with a model service"))

export const program = Cli.run(command)

if (import.meta.main) Cli.runMain(program)
