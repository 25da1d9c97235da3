/**
 * Why asynchronous requests: one job, blocking and asynchronous, against the same service, and how busy each keeps the service.
 *
 *     npm run -s blocking-vs-async
 */
import { Dataset, Engine, Events, Executor, Storage } from "@sluice/core"
import { Batch, Scorer, Scoring } from "@sluice/scoring"
import { Clock, Console, Effect, Layer, Stream } from "effect"
import { Command } from "effect/cli"
import * as ModelService from "./model-service/ModelService.ts"
import * as Cli from "./support/cli.ts"
import { batchRows } from "./support/scoring.ts"

/** As many requests in flight as the scorer allows, for all partitions together. */
const asynchronous = (rows: number, batchRows: number) =>
  vectors(rows).pipe(Scoring.score({ vector: "features", batch: { rows: batchRows } }), Dataset.count)

/** One request at a time per partition: the next one waits for the answer, as with an iterator that blocks. */
const blocking = (rows: number, batchRows: number) =>
  vectors(rows).pipe(
    Dataset.mapPartitions((stream) => Stream.mapEffect(Stream.grouped(stream, batchRows), scoreAll)),
    Dataset.fold(() => 0, sum)
  )

// `slots`: tasks at once. `inFlight`: requests at once, as a multiple of the service's capacity. At 1.5, the next
// request already waits at the service while an answer is on its way back.
const ways = [
  { name: "blocking", slots: 1, inFlight: 1, action: blocking },
  { name: "per partition", slots: 4, inFlight: 1, action: blocking },
  { name: "async", slots: 4, inFlight: 1, action: asynchronous },
  { name: "async, 1.5 x", slots: 4, inFlight: 1.5, action: asynchronous }
] as const

const features = 64

const vectors = (rows: number) => Dataset.range(0, rows, { partitions: 4 }).pipe(Dataset.mapArray(block))

// Vectors that lie next to each other, as those of a Parquet file do.
const block = (ids: ReadonlyArray<number>) => {
  const values = new Float32Array(ids.length * features)
  for (let i = 0; i < values.length; i++) values[i] = i % 17
  return ids.map((id, row) => ({ id, features: values.subarray(row * features, (row + 1) * features) }))
}

/** Makes one request of rows; yields how many scores came back. */
const scoreAll = Effect.fnUntraced(function* (group: ReadonlyArray<{ readonly features: Float32Array }>) {
  const scorer = yield* Scorer.Scorer
  const matrix = new Float32Array(group.length * features)
  group.forEach((row, i) => matrix.set(row.features, i * features))
  const scores = yield* scorer.score(Batch.make(matrix, features))
  return scores.length
})

const sum = (left: number, right: number): number => left + right

/** Runs the job each way; yields a row of the table for each. */
export const compare = Effect.fn("compare")(function* (options: {
  readonly rows: number
  readonly batchRows: number
  readonly concurrency: number
  readonly delayMillis: number
}) {
  const service = yield* ModelService.spawn({ delay: options.delayMillis, capacity: options.concurrency })
  const scorer = (concurrency: number) => Scorer.layer({ endpoints: [service.endpoint], concurrency })
  return yield* Effect.forEach(ways, ({ action, inFlight, name, slots }) =>
    Effect.gen(function* () {
      yield* service.resetStats
      // Each way has its own engine: without `fresh`, an existing one would be used, with its slots.
      const engine = Layer.fresh(Engine.layerNoDeps).pipe(
        Layer.provide(Executor.layerLocal({ executors: [{ slots }] })),
        Layer.provide([Storage.layer, Events.layer])
      )
      const started = yield* Clock.currentTimeMillis
      const scored = yield* action(options.rows, options.batchRows).pipe(
        Effect.provide([engine, scorer(Math.ceil(options.concurrency * inFlight))])
      )
      const seconds = ((yield* Clock.currentTimeMillis) - started) / 1000
      const stats = yield* service.stats
      return {
        name,
        scored,
        seconds,
        rowsPerSecond: scored / seconds,
        utilisation: stats.utilisation,
        /** The most requests that the service worked on at once. */
        atOnce: stats.maxActive
      }
    })
  )
}, Effect.scoped)

const command = Command.make(
  "blocking-vs-async",
  {
    rows: Cli.wholeNumber("rows", "Rows to score", { default: 100_000 }),
    batchRows,
    concurrency: Cli.wholeNumber("concurrency", "Requests the service works on at once", { default: 8 }),
    delayMillis: Cli.wholeNumber("delay", "Milliseconds that the service takes for a request", {
      default: 50,
      least: 0
    })
  },
  Effect.fn("blocking-vs-async")(function* (options) {
    const { batchRows, concurrency, delayMillis, rows } = options
    yield* Console.log(
      `${Cli.count(rows)} rows, ${batchRows} per request; the service takes ${delayMillis} ms for each of ${concurrency} requests at once`
    )
    yield* Console.log(`${"".padEnd(14)}${"seconds".padStart(9)}${"rows/s".padStart(12)}${"service busy".padStart(15)}`)
    for (const way of yield* compare(options)) {
      yield* Console.log(
        way.name.padEnd(14) +
          way.seconds.toFixed(2).padStart(9) +
          Cli.count(Math.round(way.rowsPerSecond)).padStart(12) +
          `${(way.utilisation * 100).toFixed(1)} %`.padStart(15)
      )
    }
  })
).pipe(Command.withDescription("Compare blocking and asynchronous scoring"))

export const program = Cli.run(command)

if (import.meta.main) Cli.runMain(program)
