import { Commit, Dataset, Engine, Events, Executor, JobError, Storage, Vector } from "@sluice/core"
import { Batch, ScoreError, Scorer, Scoring } from "@sluice/scoring"
import { assert, describe, it } from "@effect/vitest"
import * as Arrow from "apache-arrow"
import { Cause, Data, Effect, Exit, Fiber, Layer, Schema } from "effect"
import * as fc from "fast-check"
import { type Act, make, until } from "./faultServer.ts"

const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal({ executors: [{ slots: 2 }] })),
  Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
)

interface Row {
  readonly id: number
  readonly features: Float32Array
}

const rowOf = (id: number, length = 4): Row => ({ id, features: new Float32Array(length).fill(id) })
const rowsOf = (n: number) => Array.from({ length: n }, (_, id) => rowOf(id))

const Scored = Schema.Struct({ id: Schema.Number, score: Schema.Number })

const refusal: Act = { _tag: "Status", status: 400, body: "not these" }

/** Refuses the requests that hold one of these rows. */
const refusing =
  (ids: ReadonlySet<number>, act: Act = refusal) =>
  (values: Float32Array): Act | undefined =>
    values.some((value) => ids.has(value)) ? act : undefined

const inFlight = (url: string | ReadonlyArray<string>, concurrency = 4) =>
  Scorer.layer({ endpoints: [url].flat(), concurrency, retry: { base: 1, cap: 2, maxAttempts: 2 } })

class Other extends Data.TaggedError("Other")<{ readonly rows: ScoreError.ScoreError["rows"] }> {}

describe("a batch that the service refuses", () => {
  it.live("is handled row by row, and the rest of the partition is scored", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      server.decide = refusing(new Set([8150]))
      const Features = Schema.Struct({ id: Schema.Number, features: Vector.Float32 })
      yield* Dataset.fromIterable(rowsOf(17_144)).pipe(
        Dataset.writeParquet("memory:///vectors", Features, { rowGroupRows: 5000 })
      )
      const asked: Array<ScoreError.ScoreError> = []
      const manifest = yield* Dataset.parquet("memory:///vectors", Features).pipe(
        Scoring.score({ vector: "features" }),
        Dataset.map(({ id, score }) => ({ id, score })),
        Dataset.catchTag("ScoreError", (error) =>
          Effect.sync(() => {
            asked.push(error)
            const [row] = error.rows
            return { id: (row?.rowGroup ?? NaN) * 5000 + (row?.first ?? NaN), score: -1 }
          })
        ),
        Dataset.writeJsonLines("memory:///refused", Scored),
        Effect.provide(inFlight(server.url))
      )
      assert.strictEqual(manifest.rows, 17_144)
      assert.deepInclude(manifest.conservation, { read: 17_144, filtered: 0, deadLettered: 0, cut: 0 })
      assert.lengthOf(asked, 1000)
      for (const [i, error] of asked.entries()) {
        assert.deepInclude(error.rows[0], { rowGroup: 1, partition: 0, first: 3000 + i, last: 3000 + i })
        assert.match(error.message, /^http.*, attempt 1, row 3\d\d\d of .*parquet, row group 1: rejected/)
      }
      const out = yield* Dataset.collect(Dataset.jsonLines("memory:///refused", Scored))
      assert.deepStrictEqual(
        out.map(({ id, score }) => [id, score]),
        rowsOf(17_144).map(({ id }) => [id, id >= 8000 && id < 9000 ? -1 : id])
      )
    }).pipe(Effect.provide(engine))
  )

  it.live("names the row whose score is not a number as the others' reason", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [
        { _tag: "Bytes", bytes: () => new Uint8Array(new Float32Array([1, NaN, 3]).buffer) }
      ])
      const messages = yield* Dataset.fromIterable(rowsOf(3)).pipe(
        Scoring.score({ vector: "features" }),
        Dataset.map(({ score }) => String(score)),
        Dataset.catchTag("ScoreError", ({ message }) => Effect.succeed(message)),
        Dataset.collect,
        Effect.provide(inFlight(server.url))
      )
      assert.match(messages[1] ?? "", /attempt 1, row 1 of partition 0: unusable answer: the score is NaN$/)
      for (const i of [0, 2]) {
        const says = new RegExp(`row ${i} of .*: row 1 of partition 0 of the same request: the score is NaN$`)
        assert.match(messages[i] ?? "", says)
      }
    }).pipe(Effect.provide(engine))
  )

  it.live("is only those rows whose vectors cannot be sent", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const rows = rowsOf(30).map((row) => (row.id % 7 === 3 ? rowOf(row.id, 5) : row))
      const out = yield* Dataset.fromIterable(rows).pipe(
        Scoring.score({ vector: "features", batch: { rows: 10 } }),
        Dataset.map(({ id, score }) => [id, score]),
        Dataset.catchTag("ScoreError", ({ reason, rows }) =>
          Effect.succeed([rows[0]?.first ?? -1, reason._tag === "VectorLength" ? -reason.found : NaN])
        ),
        Dataset.collect,
        Effect.provide(inFlight(server.url))
      )
      assert.deepStrictEqual(
        out,
        rows.map(({ id }) => [id, id % 7 === 3 ? -5 : id])
      )
      assert.strictEqual(
        server.requests.reduce((sum, { body }) => sum + body.length / 16, 0),
        26
      )
    }).pipe(Effect.provide(engine))
  )

  for (const another of [false, true]) {
    const when = another ? "only another failure is handled" : "nothing handles it"
    it.live(`ends the partition at once where ${when}, whatever is under way before it`, () =>
      Effect.gen(function* () {
        const server = yield* make(4)
        // The rows before are on their way and never come back.
        server.decide = (values) => (values.includes(5) ? refusal : { _tag: "Hang" })
        const scored = Scoring.score(Dataset.fromIterable(rowsOf(100)), { vector: "features", batch: { rows: 2 } })
        const failing = Dataset.mapEffect(scored, (row) =>
          row.id < 0 ? Effect.fail(new Other({ rows: [] })) : Effect.succeed(row)
        )
        const handled = Dataset.catchTag(failing, "Other", () => Effect.succeed(undefined))
        const count = another ? Dataset.count(handled) : Dataset.count(scored)
        const error: unknown = yield* Effect.flip(Effect.provide(count, inFlight(server.url)))
        assert.instanceOf(error, ScoreError.ScoreError)
        assert.deepInclude(error.rows[0], { first: 4, last: 5 })
        assert.isAtMost(server.requests.length, 4)
      }).pipe(Effect.provide(engine))
    )
  }

  it.live("is not an interrupt or a defect, and an invalid setup is not a failed element", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [{ _tag: "Hang" }])
      const handled = (options: Scoring.BatchOptions, url = server.url) =>
        Dataset.fromIterable(rowsOf(10)).pipe(
          Scoring.score({ vector: "features", batch: options }),
          Dataset.catchTag("ScoreError", () => Effect.succeed(undefined)),
          Dataset.count,
          Effect.provide(inFlight(url))
        )
      const fiber = yield* Effect.forkChild(handled({ rows: 5 }))
      yield* until(() => server.hanging === 2)
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      const error: unknown = yield* Effect.flip(handled({ rows: 0 }))
      assert.instanceOf(error, JobError.JobError)
      assert.strictEqual(error.reason._tag, "PartitionFailed")
      assert.include(error.message, "batch.rows must be a whole number above 0")
    }).pipe(Effect.provide(engine))
  )
})

describe("each row is scored or handled exactly once", () => {
  const kinds = fc.constantFrom("replace", "filter", "fail again", "count away")
  const runs = fc.record({
    rows: fc.integer({ min: 0, max: 60 }),
    partitions: fc.integer({ min: 1, max: 3 }),
    batch: fc.integer({ min: 1, max: 9 }),
    concurrency: fc.integer({ min: 1, max: 4 }),
    endpoints: fc.integer({ min: 1, max: 2 }),
    unordered: fc.boolean(),
    refused: fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { maxLength: 4 }),
    wrong: fc.uniqueArray(fc.integer({ min: 1, max: 59 }), { maxLength: 3 }),
    fault: fc.constantFrom<Act>(
      refusal,
      { _tag: "Status", status: 500 },
      { _tag: "Status", status: 503 },
      { _tag: "Reset" },
      { _tag: "Bytes", bytes: () => new Uint8Array(5) }
    ),
    kind: kinds
  })

  it.live("for random rows, batches, faults and handlers", () =>
    Effect.gen(function* () {
      const servers = [yield* make(4), yield* make(4)]
      let n = 0
      for (const run of fc.sample(runs, { numRuns: 25, seed: 20 })) {
        const refused = new Set(run.refused)
        for (const server of servers) server.decide = refusing(refused, run.fault)
        const rows = rowsOf(run.rows).map((row) => (run.wrong.includes(row.id) ? rowOf(row.id, 3) : row))
        const asked: Array<number> = []
        const replacement = ({ rows: [range] }: { readonly rows: ScoreError.ScoreError["rows"] }) =>
          Effect.sync(() => {
            assert.strictEqual(range?.first, range?.last)
            // The place in the partition, and so the row: the handler knows whose place it takes.
            const before = Math.floor(((range?.partition ?? NaN) * rows.length) / run.partitions)
            const id = before + (range?.first ?? NaN)
            asked.push(id)
            return { id, score: -1 }
          })
        const scored = Dataset.map(
          Scoring.score(Dataset.fromIterable(rows, { partitions: run.partitions }), {
            vector: "features",
            batch: { rows: run.batch },
            unordered: run.unordered
          }),
          ({ id, score }) => ({ id, score })
        )
        const again = scored.pipe(
          Dataset.catchTag("ScoreError", (error) => Effect.fail(new Other({ rows: error.rows }))),
          Dataset.map((row) => row),
          Dataset.catchTag("Other", (error) => replacement(error))
        )
        const once = scored.pipe(Dataset.catchTag("ScoreError", (error) => replacement(error)))
        const handled = run.kind === "fail again" ? again : once
        const kept =
          run.kind === "filter" || run.kind === "count away"
            ? Dataset.filter(handled, ({ score }) => score >= 0 && run.kind === "filter")
            : handled
        const path = `memory:///law-${n++}`
        const manifest = yield* Dataset.writeJsonLines(kept, path, Scored).pipe(
          Effect.provide(
            inFlight(
              servers.slice(0, run.endpoints).map(({ url }) => url),
              run.concurrency
            )
          )
        )
        const what = JSON.stringify(run)
        assert.strictEqual(new Set(asked).size, asked.length, `asked twice: ${what}`)
        const out = yield* Dataset.collect(Dataset.jsonLines(path, Scored))
        const ids = (values: Iterable<number>) => Array.from(values).toSorted((a, b) => a - b)
        const all = rows.map(({ id }) => id)
        const failed = new Set(asked)
        // What must fail does, and nothing without a cause.
        for (const id of all) if (refused.has(id) && !run.wrong.includes(id)) assert.isTrue(failed.has(id), what)
        for (const id of all) if (run.wrong.includes(id) && all.length > 1) assert.isTrue(failed.has(id), what)
        if (refused.size === 0) assert.deepStrictEqual(ids(failed), ids(all.filter((id) => run.wrong.includes(id))))
        const expected =
          run.kind === "count away" ? [] : run.kind === "filter" ? all.filter((id) => !failed.has(id)) : all
        assert.deepStrictEqual(ids(out.map(({ id }) => id)), expected, what)
        for (const { id, score } of out) assert.strictEqual(score, failed.has(id) ? -1 : id, what)
        if (!run.unordered)
          assert.deepStrictEqual(
            out.map(({ id }) => id),
            expected,
            what
          )
        assert.deepInclude(
          manifest.conservation,
          { read: rows.length, filtered: rows.length - expected.length, deadLettered: 0, cut: 0 },
          what
        )
      }
    }).pipe(Effect.provide(engine))
  )
})

describe("record batches", () => {
  const recordOf = (first: number, lengths: ReadonlyArray<number>): Arrow.RecordBatch => {
    const offsets = new Int32Array(lengths.length + 1)
    lengths.forEach((length, i) => (offsets[i + 1] = (offsets[i] ?? 0) + length))
    const values = Float32Array.from(lengths.flatMap((length, i) => Array<number>(length).fill(first + i)))
    const item = new Arrow.Field("item", new Arrow.Float32(), false)
    const type = new Arrow.List(item)
    const child = Arrow.makeData({ type: new Arrow.Float32(), length: values.length, data: values })
    const vectors = Arrow.makeData({ type, length: lengths.length, nullCount: 0, valueOffsets: offsets, child })
    const ids = Arrow.makeData({
      type: new Arrow.Int32(),
      length: lengths.length,
      nullCount: 0,
      data: Int32Array.from(lengths, (_, i) => first + i)
    })
    const fields = [new Arrow.Field("id", new Arrow.Int32(), false), new Arrow.Field("features", type, false)]
    return new Arrow.RecordBatch(
      new Arrow.Schema(fields),
      Arrow.makeData({ type: new Arrow.Struct(fields), length: lengths.length, nullCount: 0, children: [ids, vectors] })
    )
  }

  const runs = fc.record({
    sizes: fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 1, maxLength: 6 }),
    batch: fc.integer({ min: 1, max: 30 }),
    concurrency: fc.integer({ min: 1, max: 4 }),
    unordered: fc.boolean(),
    refused: fc.uniqueArray(fc.integer({ min: 0, max: 99 }), { maxLength: 3 }),
    wrong: fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 2 })
  })

  it.live("come out whole, or go to the handler once, whatever requests reach across their borders", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      for (const run of fc.sample(runs, { numRuns: 25, seed: 21 })) {
        const refused = new Set(run.refused)
        server.decide = refusing(refused)
        let first = 0
        const records = run.sizes.map((size) => {
          const record = recordOf(
            first,
            Array.from({ length: size }, (_, i) => (run.wrong.includes(first + i) ? 3 : 4))
          )
          first += size
          return record
        })
        const what = JSON.stringify(run)
        const asked: Array<ScoreError.ScoreError> = []
        const out: Array<Arrow.RecordBatch | ScoreError.ScoreError> = []
        yield* Dataset.fromIterable(records).pipe(
          Scoring.scoreBatches({ vector: "features", batch: { rows: run.batch }, unordered: run.unordered }),
          Dataset.catchTag("ScoreError", (error) =>
            Effect.sync(() => {
              asked.push(error)
              return error
            })
          ),
          Dataset.forEach((element) => Effect.sync(() => out.push(element))),
          Effect.provide(inFlight(server.url, run.concurrency))
        )
        assert.strictEqual(out.length, records.length, what)
        const scored = out.flatMap((element) => (element instanceof Arrow.RecordBatch ? [element] : []))
        assert.strictEqual(scored.length + asked.length, records.length, what)
        for (const record of scored) {
          for (const row of record) {
            assert.strictEqual(row["score"], row["id"], what)
            assert.isFalse(refused.has(row["id"]) || run.wrong.includes(row["id"]), what)
          }
        }
        if (!run.unordered) {
          // The sizes of the complete record batches are those of the input, in its order.
          let at = 0
          for (const element of out) {
            const size = run.sizes[at++]
            if (element instanceof Arrow.RecordBatch) assert.strictEqual(element.numRows, size, what)
          }
        }
        if (refused.size === 0 && run.wrong.length === 0) assert.lengthOf(asked, 0, what)
      }
    }).pipe(Effect.provide(engine))
  )

  it.live("count as the rows they have in the account of the job", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const Features = Schema.Struct({ id: Schema.Number, features: Vector.Float32 })
      yield* Dataset.fromIterable(rowsOf(2000)).pipe(
        Dataset.writeParquet("memory:///batches", Features, { rowGroupRows: 500 })
      )
      server.decide = refusing(new Set([700]))
      const manifest = yield* Dataset.parquetBatches("memory:///batches").pipe(
        Scoring.scoreBatches({ vector: "features", batch: { rows: 100 } }),
        Dataset.map((record) => [record]),
        Dataset.catchTag("ScoreError", () => Effect.succeed<Array<Arrow.RecordBatch>>([])),
        Dataset.flatMap((records) => records),
        Dataset.writeParquetBatches("memory:///batches-scored"),
        Effect.provide(inFlight(server.url))
      )
      // The handler's answer to 500 rows is none: dropped by the program's own word, and said so.
      assert.strictEqual(manifest.rows, 1500)
      assert.deepInclude(manifest.conservation, { read: 2000, filtered: 500, cut: 0 })
      assert.deepStrictEqual(yield* Commit.readManifest("memory:///batches-scored"), manifest)
    }).pipe(Effect.provide(engine))
  )

  it("are batches", () => {
    const spans = [
      { origin: undefined, start: 0, count: 3, partition: 0, position: 0 },
      { origin: undefined, start: 0, count: 4, partition: 0, position: 10 }
    ]
    assert.deepStrictEqual(
      Batch.ranges(Batch.slice(spans, 2, 3)).map(({ first, last }) => [first, last]),
      [
        [2, 2],
        [10, 11]
      ]
    )
  })
})
