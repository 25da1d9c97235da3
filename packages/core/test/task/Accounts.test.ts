import type { Commit, Engine, Storage } from "@sluice/core"
import { Dataset, Job, JobError, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Order, Schema, Stream } from "effect"
import * as fc from "fast-check"
import { roomy, tight } from "../support/engines.ts"

let outputs = 0
const output = () => `memory:///accounts-${outputs++}`

const conservation = <A, E, R>(
  self: Dataset.Dataset<A, E, R>
): Effect.Effect<Commit.Manifest["conservation"], unknown, R | Engine.Engine> =>
  Effect.map(Dataset.writeText(Dataset.map(self, String), output()), (manifest) => manifest.conservation)

const lines = (rows: number, partitions = 4) => Dataset.map(Dataset.range(0, rows, { partitions }), (n) => `line ${n}`)

const test = (name: string, body: Effect.Effect<unknown, unknown, Engine.Engine | Storage.Storage>) =>
  it.live(name, () => Effect.provide(body, roomy))

describe("the account of a job", () => {
  test(
    "tells what operators dropped from what a step left unread",
    Effect.gen(function* () {
      const before = Dataset.union(lines(100), lines(50)).pipe(
        Dataset.flatMap((line) => [line, line]),
        Dataset.sample({ fraction: 0.7, seed: 1 }),
        Dataset.mapEffect((line) => (line.endsWith("7") ? Effect.fail(line) : Effect.succeed(line))),
        Dataset.catch((line) => Effect.succeed(`failed ${line}`)),
        Dataset.mapArray((values) => values.filter((value) => !value.endsWith("5")))
      )
      const after = yield* Dataset.count(before)
      const account = yield* conservation(
        before.pipe(
          Dataset.mapPartitions((rows) => Stream.take(rows, 5)),
          Dataset.coalesce(3),
          Dataset.zipWithIndex,
          Dataset.map(([line, index]) => `${index} ${line}`)
        )
      )
      // What a step stops reading may have been on its way anywhere before it.
      assert.deepInclude(account, { read: 150, deadLettered: 0, written: 40 })
      assert.strictEqual(account.filtered + account.cut, 110)
      assert.isAtLeast(account.cut, after - 40)
    })
  )

  test(
    "has what a source that knows its rows was not asked for",
    Effect.gen(function* () {
      const account = yield* conservation(Dataset.mapPartitions(lines(1_000_000, 2), (rows) => Stream.take(rows, 3)))
      assert.deepStrictEqual(account, { read: 1_000_000, filtered: 0, deadLettered: 0, cut: 999_994, written: 6 })
    })
  )

  test(
    "begins at the sources, whatever is shuffled on the way",
    Effect.gen(function* () {
      const pairs = Dataset.map(Dataset.range(0, 100, { partitions: 4 }), (n): [number, number] => [n % 7, n])
      const sums = Dataset.reduceByKey(pairs, (a, b) => a + b)
      assert.deepStrictEqual(yield* conservation(Dataset.map(sums, String)), {
        read: 100,
        filtered: 93,
        deadLettered: 0,
        cut: 0,
        written: 7
      })
      // The stage that draws a sample reads the rows too, and they count once.
      const sorted = Dataset.sortBy(lines(300), (line) => line, Order.String)
      assert.deepStrictEqual(yield* conservation(sorted), {
        read: 300,
        filtered: 0,
        deadLettered: 0,
        cut: 0,
        written: 300
      })
      // What one stage hands to another has not left the job.
      const report = yield* Job.runReported(
        Job.make("sorted", { payload: Schema.Struct({}), action: () => Dataset.collect(sorted) }),
        {}
      )
      assert.strictEqual(report.totals.rowsOut, 300)
      const joined = Dataset.join(pairs, sums)
      assert.include(yield* conservation(Dataset.map(joined, String)), { cut: 0, written: 100 })
    })
  )

  test(
    "counts the rows of record batches, so that a row that a batch loses is missed",
    Effect.gen(function* () {
      const input = output()
      yield* Dataset.writeParquet(
        Dataset.map(Dataset.range(0, 1000, { partitions: 2 }), (n) => ({ n })),
        input,
        Schema.Struct({ n: Schema.Number })
      )
      const batches = Dataset.parquetBatches(input)
      const whole = yield* Dataset.writeParquetBatches(batches, output())
      assert.deepStrictEqual(whole.conservation, {
        read: 1000,
        filtered: 0,
        deadLettered: 0,
        cut: 0,
        written: 1000
      })
      // An operator says what it drops, also inside a batch.
      const halves = Dataset.map(batches, (batch) => batch.slice(0, batch.numRows / 2))
      const half = yield* Dataset.writeParquetBatches(halves, output())
      assert.deepStrictEqual(half.conservation, {
        read: 1000,
        filtered: 500,
        deadLettered: 0,
        cut: 0,
        written: 500
      })
      const losing = Dataset.mapPartitions(
        batches,
        Stream.map((batch) => batch.slice(1)),
        { oneToOne: true }
      )
      const error = yield* Effect.flip(Dataset.writeParquetBatches(losing, output()))
      assert.strictEqual(error.reason._tag, "RowsNotConserved")
      assert.deepInclude(error.at, { partition: 0 })
    })
  )

  test(
    "of every action and every stage comes out even",
    Effect.gen(function* () {
      const losing = Dataset.mapPartitions(lines(100), (rows) => Stream.filter(rows, (line) => line !== "line 30"), {
        oneToOne: true
      })
      const actions: ReadonlyArray<Effect.Effect<unknown, unknown, Engine.Engine>> = [
        Dataset.collect(losing),
        Dataset.count(losing),
        Dataset.reduce(losing, (a, b) => a + b),
        Dataset.forEach(losing, () => Effect.void),
        Stream.runDrain(Dataset.toStream(losing)),
        // Before a shuffle.
        Dataset.count(Dataset.repartition(losing, 2)),
        Dataset.count(Dataset.distinct(losing)),
        Dataset.collect(Dataset.zipWithIndex(losing))
      ]
      for (const action of actions) {
        const error = yield* Effect.flip(action)
        assert.isTrue(error instanceof JobError.JobError)
        if (!(error instanceof JobError.JobError)) continue
        assert.strictEqual(error.reason._tag, "RowsNotConserved")
        assert.deepInclude(error.at, { partition: 1 })
      }
    })
  )

  test(
    "asks a source for as many rows as it says it has",
    Effect.gen(function* () {
      const lying = Dataset.fromSource({
        name: "lying",
        detail: "",
        partitions: 2,
        columns: undefined,
        resolve: () =>
          Effect.succeed({
            splits: [9, 10].map((rows, index) => ({
              id: `lying-${index}`,
              label: `lying[${index}]`,
              parts: [],
              rows: 10,
              bytes: 0,
              hosts: [],
              read: Stream.range(1, rows)
            }))
          })
      })
      const error = yield* Effect.flip(Dataset.collect(lying))
      assert.strictEqual(error.reason._tag, "RowsNotConserved")
      assert.include(error.message, "the metadata of the source says 10 rows, but 9 were read")
    })
  )
})

// -- Laws ---------------------------------------------------------------------------------------------------------------

type Numbers = Dataset.Dataset<number, number>

const cached = (self: Numbers): Numbers => Dataset.cache(self)

const fails = (n: number) => n % 11 === 5

// Each with what it makes of an array of one partition.
const steps: ReadonlyArray<readonly [name: string, f: (self: Numbers) => Numbers]> = [
  ["map", Dataset.map((n) => n + 1)],
  ["filter", Dataset.filter((n) => n % 3 !== 0)],
  ["flatMap", Dataset.flatMap((n) => (n % 2 === 0 ? [n, -n] : []))],
  ["mapArray", Dataset.mapArray((values) => values.slice(1))],
  ["sample", Dataset.sample({ fraction: 0.5, seed: 3 })],
  ["mapEffect", (self) => Dataset.mapEffect(self, (n) => Effect.succeed(n), { concurrency: 5 })],
  [
    "mapEffect unordered",
    (self) => Dataset.mapEffect(self, (n) => Effect.yieldNow.pipe(Effect.as(n)), { concurrency: 5, unordered: true })
  ],
  [
    "failing",
    (self) => Dataset.mapEffect(self, (n) => (fails(n) ? Effect.fail(n) : Effect.succeed(n)), { concurrency: 3 })
  ],
  ["failing in bulk", Dataset.mapPartitionsWithFailures(Stream.map((n) => (fails(n) ? Dataset.failed(n) : n)))],
  ["caught", Dataset.catch((n) => Effect.succeed(-n))],
  ["take 3 of a partition", Dataset.mapPartitions((rows) => Stream.take(rows, 3))],
  ["drop 2 of a partition", Dataset.mapPartitions((rows) => Stream.drop(rows, 2))],
  ["rechunk", Dataset.mapPartitions(Stream.rechunk(7), { oneToOne: true })],
  ["repartition", Dataset.repartition(3)],
  ["coalesce", Dataset.coalesce(2)],
  ["sort", (self) => Dataset.sort(self, Order.Number)],
  ["distinct", Dataset.distinct],
  ["union", (self) => Dataset.union(self, self)],
  ["zip", (self) => Dataset.map(Dataset.zip(self, self), ([n]) => n)],
  ["zipWithIndex", (self) => Dataset.map(Dataset.zipWithIndex(self), ([n, i]) => n + i)],
  ["cartesian", (self) => Dataset.map(Dataset.cartesian(self, Dataset.make(1, 2)), ([n, m]) => n * m)],
  ["cache", (self) => Dataset.cache(self)],
  ["cache on disk", (self) => Dataset.cache(self, { storage: "disk" })],
  [
    "reduceByKey",
    (self) =>
      Dataset.values(
        Dataset.reduceByKey(
          Dataset.map(self, (n): [number, number] => [n % 5, n]),
          (a, b) => a + b
        )
      )
  ]
]

const ends: ReadonlyArray<
  readonly [name: string, f: (self: Numbers) => Effect.Effect<unknown, unknown, Engine.Engine>]
> = [
  ["collect", (self) => Dataset.collect(self)],
  ["count", (self) => Dataset.count(self)],
  ["first", (self) => Dataset.first(self)],
  ["isEmpty", (self) => Dataset.isEmpty(self)],
  ["take", (self) => Dataset.take(self, 7)],
  ["stream cut", (self) => Stream.runCollect(Stream.take(Dataset.toStream(self), 5))],
  ["write", (self) => Dataset.writeText(Dataset.map(self, String), output())]
]

const acceptable = (exit: Exit.Exit<unknown, unknown>) => {
  if (Exit.isSuccess(exit)) return
  const error = Cause.squash(exit.cause)
  // What the program fails with itself, or what no handler can make good.
  if (typeof error === "number") return
  if (error instanceof JobError.JobError && ["PartitionFailed", "InvalidPlan"].includes(error.reason._tag)) return
  throw error
}

describe("law", () => {
  it.live("whatever the steps, the engine and the early ends: the account comes out even", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 0, max: 200 }),
          fc.integer({ min: 1, max: 4 }),
          fc.array(fc.constantFrom(...steps), { maxLength: 5 }),
          fc.array(fc.constantFrom(...ends), { minLength: 1, maxLength: 3 }),
          fc.constantFrom(roomy, tight),
          (rows, partitions, chain, actions, engine) => {
            const source: Numbers = Dataset.range(0, rows, { partitions })
            const dataset = chain.reduce((self, [, f]) => f(self), source)
            return Effect.runPromise(
              Effect.provide(
                Effect.gen(function* () {
                  for (const [, action] of actions) acceptable(yield* Effect.exit(action(dataset)))
                }),
                engine
              )
            )
          }
        ),
        { numRuns: Number(process.env["SLUICE_RUNS"] ?? 60), seed: Number(process.env["SLUICE_SEED"] ?? 20261124) }
      )
    )
  )

  test(
    "what an exchange writes once more for partitions that a cache has is cut",
    Effect.gen(function* () {
      const kept = Dataset.range(0, 30, { partitions: 3 }).pipe(
        Dataset.mapEffect((n) => (n === 29 ? Effect.fail(n) : Effect.succeed(n))),
        Dataset.keyBy((n) => n),
        Dataset.partitionBy(Partitioner.make<number>("rest", 3, (n) => n % 3)),
        (self) => Dataset.cache(self)
      )
      const handled = Dataset.catch(kept, (n): Effect.Effect<readonly [number, number]> => Effect.succeed([n, -n]))
      yield* Dataset.collect(handled)
      assert.deepStrictEqual(yield* conservation(handled), {
        read: 49,
        filtered: 0,
        deadLettered: 0,
        cut: 19,
        written: 30
      })
    })
  )

  it.live("a failed element reaches its handler once, and the others go on, whatever is on the way", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 0, max: 200 }),
          fc.integer({ min: 1, max: 4 }),
          fc.uniqueArray(fc.integer({ min: 0, max: 199 }), { maxLength: 12 }),
          fc.array(
            fc.constantFrom<(self: Numbers) => Numbers>(
              Dataset.map((n) => n),
              Dataset.filter(() => true),
              Dataset.mapArray((values) => values),
              Dataset.repartition(3),
              Dataset.coalesce(2),
              (self) => Dataset.sort(self, Order.Number),
              (self) => Dataset.mapEffect(self, (n) => Effect.succeed(n), { concurrency: 3 }),
              Dataset.mapPartitionsWithFailures(Stream.rechunk(5)),
              cached
            ),
            { maxLength: 4 }
          ),
          fc.boolean(),
          fc.constantFrom(roomy, tight),
          (rows, partitions, bad, way, bulk, engine) => {
            const failing: Numbers = bulk
              ? Dataset.mapPartitionsWithFailures(
                  Dataset.range(0, rows, { partitions }),
                  Stream.map((n) => (bad.includes(n) ? Dataset.failed(n) : n))
                )
              : Dataset.mapEffect(Dataset.range(0, rows, { partitions }), (n) =>
                  bad.includes(n) ? Effect.fail(n) : Effect.succeed(n)
                )
            const handled = Dataset.catch(
              way.reduce((self, f) => f(self), failing),
              (n) => Effect.succeed(-1 - n)
            )
            return Effect.runPromise(
              Effect.provide(
                Effect.gen(function* () {
                  const found = yield* Dataset.collect(handled)
                  const expected = Array.from({ length: rows }, (_, n) => (bad.includes(n) ? -1 - n : n))
                  const order = (a: number, b: number) => a - b
                  assert.deepStrictEqual(found.toSorted(order), expected.toSorted(order))
                  const { conservation } = yield* Dataset.writeText(Dataset.map(handled, String), output())
                  assert.deepInclude(conservation, { filtered: 0, deadLettered: 0, written: rows })
                  // A partition with a failed element is not kept; the exchange before it writes the others' rows for nobody.
                  if (!way.includes(cached)) assert.strictEqual(conservation.cut, 0)
                }),
                engine
              )
            )
          }
        ),
        { numRuns: Number(process.env["SLUICE_RUNS"] ?? 40), seed: Number(process.env["SLUICE_SEED"] ?? 20261124) }
      )
    )
  )
})
