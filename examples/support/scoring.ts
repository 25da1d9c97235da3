/** What the examples that score have in common: settings and their flags, the model service, the lines of the report. */
import { type Commit, type Job, Progress } from "@sluice/core"
import { Report } from "@sluice/scoring"
import { Console, Effect, Option, Schema } from "effect"
import { Flag } from "effect/cli"
import type * as ModelService from "../model-service/ModelService.ts"
import * as Cli from "./cli.ts"
import { heldOutAccuracy } from "./digits.ts"
import { durationFlag } from "./durations.ts"

/** The part of a payload that says how to score. */
export const Settings = {
  /** Column that holds the vectors. */
  vector: Schema.String,
  /** Columns of the input that the output has beside the score, all by default. */
  columns: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Adds a column `class`: whether the score is at least this. */
  threshold: Schema.optionalKey(Schema.Number),
  endpoints: Schema.Array(Schema.String),
  /** Rows of a request. */
  batchRows: Schema.Int,
  /** Requests in flight per executor. */
  concurrency: Schema.Int,
  /** For each request, in milliseconds. */
  timeoutMillis: Schema.Number,
  /** How long rows are tried again after their first failure, in milliseconds. */
  retryForMillis: Schema.Number
}

export const vector = Flag.String("vector").pipe(
  Flag.withMetavar("column"),
  Flag.withDescription("Column that holds the vectors (default: features)"),
  Flag.withDefault("features")
)

export const batchRows = Cli.wholeNumber("batch-rows", "Rows of a request", { default: 1000 })

/** The flags of {@link Settings}. */
export const flags = {
  endpoint: Flag.String("endpoint").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription(
      "Model service; may be given several times (default: one for the digits, started for the run)"
    ),
    Flag.between(0, 1000)
  ),
  vector,
  columns: Flag.String("columns").pipe(
    Flag.withMetavar("names"),
    Flag.map((names) => names.split(",")),
    Flag.withDescription(
      "Columns of the input to write beside the score, separated by commas; only they and the vectors are read (default: all)"
    ),
    Flag.optional
  ),
  batchRows,
  concurrency: Cli.wholeNumber("concurrency", "Requests in flight at once", { default: 8 }),
  timeout: durationFlag("timeout").pipe(
    Flag.filter(
      (millis) => millis > 0,
      () => "a duration longer than 0"
    ),
    Flag.withDescription("How long an answer may take before the request is sent once more (default: 30s)"),
    Flag.withDefault(30_000)
  ),
  retryFor: durationFlag("retry-for").pipe(
    Flag.withDescription("How long a service may be unavailable or overloaded; 0 for no retries (default: 2m)"),
    Flag.withDefault(120_000)
  ),
  threshold: Flag.Finite("threshold").pipe(
    Flag.withDescription("Adds a column class: whether the score is at least this (default: 0.5 for the digits)"),
    Flag.optional
  )
}

/** An endpoint may be a host alone; its path is then `/score`. */
const scoreUrl = (endpoint: string): string => {
  const url = URL.parse(endpoint)
  return url !== null && url.pathname === "/" ? new URL("/score", url).href : endpoint
}

// Loaded only if a service is started: loading `node:http` is expensive.
const spawnService = Effect.fnUntraced(function* (options: ModelService.SpawnOptions) {
  const { spawn } = yield* Effect.promise(() => import("../model-service/ModelService.ts"))
  return yield* spawn(options)
})

/** Settings from {@link flags}. Unless `--endpoint` names a service, one is started that ends with the scope. */
export const open = Effect.fnUntraced(function* (given: Cli.Values<typeof flags>, { isSample }: Cli.Files) {
  const { batchRows, columns, concurrency, endpoint, retryFor, timeout, vector } = given
  // 10 ms per request is about what a small model behind Flask takes.
  const own =
    endpoint.length === 0
      ? Option.some(yield* spawnService({ delay: "10 millis", capacity: concurrency }))
      : Option.none()
  const endpoints = Option.match(own, {
    onNone: () => endpoint.map(scoreUrl),
    onSome: (service) => [service.endpoint]
  })
  // 0.5 is the threshold of the digits' own model: its classes can be checked against the labels.
  const threshold = Option.orElse(given.threshold, () => (isSample ? Option.some(0.5) : Option.none()))
  const settings = { endpoints, vector, batchRows, concurrency, timeoutMillis: timeout, retryForMillis: retryFor }
  return {
    settings: {
      ...settings,
      ...Option.match(threshold, { onNone: () => ({}), onSome: (threshold) => ({ threshold }) }),
      ...Option.match(columns, { onNone: () => ({}), onSome: (columns) => ({ columns }) })
    },
    own
  }
})

type Done = Job.Report<Commit.Manifest>

const line = (name: string, text: string) => Console.log(`${name.padEnd(9)} ${text}`)

export const printRows = ({ millis, value }: Done) =>
  line("rows", `${Cli.count(value.rows)} (${Cli.count(Math.round((value.rows / millis) * 1000))} a second)`)

export const printRequests = Effect.fnUntraced(function* ({ millis, totals }: Done) {
  const { bytesIn, bytesOut, latencyMillis, payloadEfficiency, requests, retries } = Report.fromTotals(totals)
  yield* line("seconds", (millis / 1000).toFixed(2))
  yield* line("requests", `${Cli.count(requests)}, ${retries} retries`)
  yield* line("sent", `${Progress.formatBytes(bytesOut)}, ${(payloadEfficiency * 100).toFixed(1)} % of it vectors`)
  yield* line("received", Progress.formatBytes(bytesIn))
  yield* line("latency", `p50 ${latencyMillis.p50.toFixed(1)} ms, p99 ${latencyMillis.p99.toFixed(1)} ms`)
})

export const printWritten = ({ value }: Done, { output }: Cli.Files) =>
  line("written", `${Progress.formatBytes(value.bytes)} in ${output}, files: ${value.files.length}`)

/** How busy the service of {@link open} was. */
export const printService = ({ stats }: ModelService.ModelService["Service"]) =>
  Effect.flatMap(stats, ({ utilisation }) =>
    line("service", `busy ${(utilisation * 100).toFixed(1)} % of the time between first and last request`)
  )

/** How many digits that training never saw have the right class. */
export const printAccuracy = ({ output }: Cli.Files) =>
  Effect.flatMap(heldOutAccuracy(output), ({ right, rows }) =>
    line("accuracy", `${((right / rows) * 100).toFixed(2)} % of ${Cli.count(rows)} held-out rows`)
  )
