/**
 * The main job: feature vectors in Parquet files are sent to a model service in batches, and every row comes back with its score.
 *
 *     npm run -s classify -- --input DIR --output DIR --endpoint URL [--endpoint URL]
 *
 * Without arguments it makes 200,000 rows of handwritten digits, starts a model service of its own, and checks the answers
 * against the labels.
 */
import { Dataset, Job, Progress } from "@sluice/core"
import { Report, Scorer, Scoring } from "@sluice/scoring"
import { Console, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import * as ModelService from "./model-service/ModelService.ts"
import { ensureDigits, heldOutAccuracy, input as digits } from "./support/digits.ts"
import { durationFlag } from "./support/durations.ts"
import { runMain } from "./support/program.ts"

/** Input, service and output of a run: all that a process on another machine needs to take part. */
export const Payload = Schema.Struct({
  input: Schema.String,
  output: Schema.String,
  endpoints: Schema.Array(Schema.String),
  /** Column that holds the vectors. */
  vector: Schema.String,
  batchRows: Schema.Int,
  /** Requests in flight per executor. */
  concurrency: Schema.Int,
  /** For each request, in milliseconds. */
  timeoutMillis: Schema.Number,
  /** How long rows are tried again after their first failure, in milliseconds. */
  retryForMillis: Schema.Number,
  /** Adds a column `class`: whether the score is at least this. */
  threshold: Schema.optionalKey(Schema.Number),
  mode: Schema.Literals(["error-if-exists", "overwrite", "append"])
})

export const classify = Job.make("classify", {
  payload: Payload,
  // One client pool per executor, made by the first task there.
  layer: ({ concurrency, endpoints, retryForMillis, timeoutMillis }: typeof Payload.Type) =>
    Scorer.layer({ endpoints, concurrency, timeout: timeoutMillis, retry: { retryFor: retryForMillis } }),
  action: ({ batchRows, input, mode, output, threshold, vector }) =>
    Dataset.parquetBatches(input, { vectors: [vector] }).pipe(
      Scoring.scoreBatches({ vector, threshold, batch: { rows: batchRows } }),
      Dataset.writeParquetBatches(output, { mode })
    )
})

/** A service may be named by its host alone: the article's path is `/score`. */
const scoreUrl = (endpoint: string): string => {
  const url = URL.parse(endpoint)
  return url !== null && url.pathname === "/" ? new URL("/score", url).href : endpoint
}

const Positive = Schema.Int.check(Schema.isGreaterThan(0))

const defaultOutput = "out/classify"

const command = Command.make(
  "classify",
  {
    input: Flag.String("input").pipe(
      Flag.withDescription(`Parquet directory, file or glob (default: digits, made in ${digits})`),
      Flag.optional
    ),
    output: Flag.String("output").pipe(
      Flag.withDescription(`Directory to write Parquet into (default: ${defaultOutput})`),
      Flag.withDefault(defaultOutput)
    ),
    endpoint: Flag.String("endpoint").pipe(
      Flag.withDescription("URL of a model service; may be given several times (default: one of its own)"),
      Flag.between(0, 1000)
    ),
    vector: Flag.String("vector").pipe(
      Flag.withDescription("Column that holds the vectors (default: features)"),
      Flag.withDefault("features")
    ),
    batchRows: Flag.Int("batch-rows").pipe(
      Flag.withDescription("Rows of a request (default: 1000)"),
      Flag.withSchema(Positive),
      Flag.withDefault(1000)
    ),
    concurrency: Flag.Int("concurrency").pipe(
      Flag.withDescription("Requests in flight at once (default: 8)"),
      Flag.withSchema(Positive),
      Flag.withDefault(8)
    ),
    timeout: durationFlag("timeout").pipe(
      Flag.filter(
        (millis) => millis > 0,
        () => "timeout must be longer than 0"
      ),
      Flag.withDescription("How long an answer may take; one that takes longer is asked for once more (default: 30s)"),
      Flag.withDefault(30_000)
    ),
    retryFor: durationFlag("retry-for").pipe(
      Flag.withDescription("How long a service may be gone or overloaded, 0 to try nothing again (default: 2m)"),
      Flag.withDefault(120_000)
    ),
    threshold: Flag.Finite("threshold").pipe(
      Flag.withDescription("Adds a column class: whether the score is at least this"),
      Flag.optional
    ),
    mode: Flag.Literals("mode", ["error-if-exists", "overwrite", "append"]).pipe(
      Flag.withDescription("What to do with an output that is there already (default: error-if-exists)"),
      Flag.optional
    )
  },
  Effect.fn("classify")(function* (options) {
    // 10 ms a request: about what a small model behind Flask takes.
    const embedded =
      options.endpoint.length === 0
        ? Option.some(yield* ModelService.spawn({ delay: "10 millis", capacity: options.concurrency }))
        : Option.none()
    const isDefault = Option.isNone(options.input)
    if (isDefault) yield* ensureDigits
    const ownOutput = isDefault && options.output === defaultOutput
    // The digits' model is wide: its own threshold makes classes that can be checked.
    const threshold = Option.orElse(options.threshold, () => (isDefault ? Option.some(0.5) : Option.none()))
    const report = yield* Job.runReported(classify, {
      input: Option.getOrElse(options.input, () => digits),
      output: options.output,
      endpoints: Option.match(embedded, {
        onNone: () => options.endpoint.map(scoreUrl),
        onSome: (service) => [service.endpoint]
      }),
      vector: options.vector,
      batchRows: options.batchRows,
      concurrency: options.concurrency,
      timeoutMillis: options.timeout,
      retryForMillis: options.retryFor,
      mode: Option.getOrElse(options.mode, () => (ownOutput ? ("overwrite" as const) : ("error-if-exists" as const))),
      ...(Option.isSome(threshold) ? { threshold: threshold.value } : {})
    })
    const manifest = report.value
    const scoring = Report.fromTotals(report.totals)
    const seconds = report.millis / 1000
    const lines: Array<readonly [string, string]> = [
      [
        "rows",
        `${manifest.rows.toLocaleString("en-US")} (${Math.round(manifest.rows / seconds).toLocaleString("en-US")} a second)`
      ],
      ["seconds", seconds.toFixed(2)],
      ["requests", `${scoring.requests.toLocaleString("en-US")}, ${scoring.retries} retries`],
      [
        "sent",
        `${Progress.formatBytes(scoring.bytesOut)}, ${(scoring.payloadEfficiency * 100).toFixed(1)} % of it vectors`
      ],
      ["received", Progress.formatBytes(scoring.bytesIn)],
      ["latency", `p50 ${scoring.latencyMillis.p50.toFixed(1)} ms, p99 ${scoring.latencyMillis.p99.toFixed(1)} ms`],
      ["written", `${Progress.formatBytes(manifest.bytes)} in ${options.output}, files: ${manifest.files.length}`]
    ]
    if (Option.isSome(embedded)) {
      const stats = yield* embedded.value.stats
      lines.push([
        "service",
        `busy ${(stats.utilisation * 100).toFixed(1)} % of the time between first and last request`
      ])
    }
    if (isDefault) {
      const { right, rows } = yield* heldOutAccuracy(options.output)
      lines.push([
        "accuracy",
        `${((right / rows) * 100).toFixed(2)} % of ${rows.toLocaleString("en-US")} held-out rows`
      ])
    }
    for (const [name, text] of lines) yield* Console.log(`${name.padEnd(9)} ${text}`)
  }, Effect.scoped)
).pipe(Command.withDescription("Score the vectors of Parquet files with a model service"))

export const program = Command.run(command, { version: "0.1.0" })

if (import.meta.main) runMain(program)
