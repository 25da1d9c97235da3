/**
 * Why asynchronous requests: one job in several ways against the same service.
 *
 * - blocking: one task at a time, which waits for each answer before it makes the next request (an iterator that pulls and blocks)
 * - per partition: four tasks at once, each of which waits for each answer
 * - async: `Scoring.score`, as many requests in flight as the service works on at once, whatever the partitions
 * - async, 1.5 x: half as many more, so that the next request waits at the service while its answer is on its way to us
 *
 *     npm run -s blocking-vs-async
 */
import { Dataset, Engine, Events, Executor, Storage } from "@sluice/core"
import { Batch, Scorer, Scoring } from "@sluice/scoring"
import { Clock, Console, Effect, Layer, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import * as ModelService from "./model-service/ModelService.ts"
import { runMain } from "./support/program.ts"

const features = 64
const partitions = 4

// Vectors that lie next to each other, as those of a Parquet file do.
const block = (ids: ReadonlyArray<number>) => {
  const values = new Float32Array(ids.length * features)
  for (let i = 0; i < values.length; i++) values[i] = i % 17
  return ids.map((id, row) => ({ id, features: values.subarray(row * features, (row + 1) * features) }))
}

const vectors = (rows: number) => Dataset.range(0, rows, { partitions }).pipe(Dataset.mapArray(block))

/** One request at a time in each partition. */
const blocking = (rows: number, batchRows: number) =>
  vectors(rows).pipe(
    Dataset.mapPartitions((stream) =>
      Stream.mapEffect(Stream.grouped(stream, batchRows), (group) =>
        Effect.gen(function* () {
          const scorer = yield* Scorer.Scorer
          const matrix = new Float32Array(group.length * features)
          group.forEach((row, i) => matrix.set(row.features, i * features))
          const scores = yield* scorer.score(Batch.make(matrix, features))
          return scores.length
        })
      )
    ),
    Dataset.fold(
      () => 0,
      (left, right) => left + right
    )
  )

/** Requests in flight as the scorer allows, for all partitions together. */
const asynchronous = (rows: number, batchRows: number) =>
  vectors(rows).pipe(Scoring.score({ vector: "features", batch: { rows: batchRows } }), Dataset.count)

const ways = [
  { name: "blocking", slots: 1, inFlight: 1, action: blocking },
  { name: "per partition", slots: partitions, inFlight: 1, action: blocking },
  { name: "async", slots: partitions, inFlight: 1, action: asynchronous },
  { name: "async, 1.5 x", slots: partitions, inFlight: 1.5, action: asynchronous }
] as const

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
      // Of its own for each way: an engine that is there already would be taken instead, with its slots.
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

const Positive = Schema.Int.check(Schema.isGreaterThan(0))

const command = Command.make(
  "blocking-vs-async",
  {
    rows: Flag.Int("rows").pipe(
      Flag.withDescription("Rows to score (default: 100,000)"),
      Flag.withSchema(Positive),
      Flag.withDefault(100_000)
    ),
    batchRows: Flag.Int("batch-rows").pipe(
      Flag.withDescription("Rows of a request (default: 1000)"),
      Flag.withSchema(Positive),
      Flag.withDefault(1000)
    ),
    concurrency: Flag.Int("concurrency").pipe(
      Flag.withDescription("Requests the service works on at once (default: 8)"),
      Flag.withSchema(Positive),
      Flag.withDefault(8)
    ),
    delayMillis: Flag.Int("delay").pipe(
      Flag.withDescription("Milliseconds the service takes for a request (default: 50)"),
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
      Flag.withDefault(50)
    )
  },
  Effect.fn("blocking-vs-async")(function* (options) {
    const { batchRows, concurrency, delayMillis, rows } = options
    yield* Console.log(
      `${rows.toLocaleString("en-US")} rows, ${batchRows} a request; the service takes ${delayMillis} ms for each of ${concurrency} requests at once`
    )
    yield* Console.log(`${"".padEnd(14)}${"seconds".padStart(9)}${"rows/s".padStart(12)}${"service busy".padStart(15)}`)
    for (const way of yield* compare(options)) {
      yield* Console.log(
        way.name.padEnd(14) +
          way.seconds.toFixed(2).padStart(9) +
          Math.round(way.rowsPerSecond).toLocaleString("en-US").padStart(12) +
          `${(way.utilisation * 100).toFixed(1)} %`.padStart(15)
      )
    }
  })
).pipe(Command.withDescription("Compare blocking and asynchronous scoring"))

export const program = Command.run(command, { version: "0.1.0" })

if (import.meta.main) runMain(program)
