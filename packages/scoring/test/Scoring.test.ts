import { Dataset, Engine, Events, Executor, Origin, Storage } from "@sluice/core"
import { Protocol, Report, Scorer, type ScoreError, Scoring } from "@sluice/scoring"
import { assert, describe, it } from "@effect/vitest"
import * as Arrow from "apache-arrow"
import { type Cause, Effect, Fiber, Layer, Option, Queue, Stream } from "effect"
import { expectTypeOf } from "vitest"
import { type Act, make, overTime, turns, until } from "./faultServer.ts"

interface Row {
  readonly id: number
  readonly features: Float32Array
}

/** Rows whose score is their id, with vectors next to each other in memory. */
const rowsOf = (n: number, features = 4): ReadonlyArray<Row> => {
  const memory = new Float32Array(n * features)
  return Array.from({ length: n }, (_, id) => {
    memory[id * features] = id
    return { id, features: memory.subarray(id * features, (id + 1) * features) }
  })
}

const engine = (executors?: ReadonlyArray<{ readonly id: string; readonly host: string; readonly slots: number }>) =>
  Engine.layerNoDeps.pipe(
    Layer.provide(Executor.layerLocal({ executors })),
    Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
  )

const oneSlot = engine([{ id: "e0", host: "h0", slots: 1 }])

const onEngine = <A, E, R>(effect: Effect.Effect<A, E, R>, layer = oneSlot) => Effect.provide(effect, layer)

// Time for whatever would happen by mistake.
const tick = turns()

describe("Scoring.score", () => {
  for (const ordered of [true, false]) {
    describe(ordered ? "ordered" : "unordered", () => {
      const score = { vector: "features", unordered: !ordered, batch: { rows: 2 } } as const

      it.live("gives every row its own score, exactly once", () =>
        Effect.gen(function* () {
          const delays = Array.from({ length: 50 }, (_, i): Act => ({ _tag: "Score", delay: (i * 7) % 11 }))
          const server = yield* make(4, delays)
          const scored = yield* Dataset.fromIterable(rowsOf(99), { partitions: 3 }).pipe(
            Scoring.score(score),
            Dataset.provide(Scorer.layer({ endpoints: [server.url] })),
            Dataset.collect,
            (action) => onEngine(action)
          )
          for (const row of scored) assert.strictEqual(row.score, row.id)
          assert.deepStrictEqual(
            scored.map(({ id }) => id).toSorted((a, b) => a - b),
            rowsOf(99).map(({ id }) => id)
          )
        })
      )

      it.live(ordered ? "holds later rows back until the first ones are here" : "gives rows as they arrive", () =>
        Effect.gen(function* () {
          const server = yield* make(4)
          server.gated = true
          const seen: Array<number> = []
          const fiber = yield* Dataset.fromIterable(rowsOf(6)).pipe(
            Scoring.score(score),
            Dataset.provide(Scorer.layer({ endpoints: [server.url] })),
            Dataset.forEach(({ id }) => Effect.sync(() => seen.push(id))),
            (action) => onEngine(action),
            Effect.forkChild
          )
          yield* until(() => server.requests.length === 3)
          const places = server.requests.map(({ body }) => body.readFloatLE(0))
          const first = places.indexOf(0)
          // The answers to all but the first rows.
          server.release(3, (request) => request !== first)
          if (ordered) {
            yield* tick
            assert.deepStrictEqual(seen, [])
          } else {
            yield* until(() => seen.length === 4)
            assert.notInclude(seen, 0)
          }
          server.release()
          yield* Fiber.join(fiber)
          if (ordered) assert.deepStrictEqual(seen, [0, 1, 2, 3, 4, 5])
          else assert.deepStrictEqual([seen.slice(4), seen.length], [[0, 1], 6])
        })
      )

      it.live("sends no more requests than permitted, and reads little ahead", () =>
        Effect.gen(function* () {
          const server = yield* make(4)
          server.gated = true
          let pulled = 0
          const source = Stream.fromIterable(rowsOf(400)).pipe(
            Stream.rechunk(2),
            Stream.mapArray((rows) => {
              pulled += rows.length
              return rows
            })
          )
          const fiber = yield* Dataset.fromStreams([source]).pipe(
            Scoring.score(score),
            Dataset.provide(Scorer.layer({ endpoints: [server.url], concurrency: 4 })),
            Dataset.count,
            (action) => onEngine(action),
            Effect.forkChild
          )
          yield* until(() => server.requests.length === 4)
          yield* tick
          assert.strictEqual(server.requests.length, 4)
          assert.isAtMost(pulled, 2 * (4 + 2))
          server.gated = false
          server.release()
          assert.strictEqual(yield* Fiber.join(fiber), 400)
          assert.strictEqual(server.maxOpen, 4)
        })
      )

      it.live("ends only after every answer has arrived", () =>
        Effect.gen(function* () {
          const server = yield* make(4)
          server.gated = true
          const fiber = yield* Dataset.fromIterable(rowsOf(6)).pipe(
            Scoring.score(score),
            Dataset.provide(Scorer.layer({ endpoints: [server.url] })),
            Dataset.count,
            (action) => onEngine(action),
            Effect.forkChild
          )
          yield* until(() => server.requests.length === 3)
          server.release(2)
          yield* tick
          assert.isUndefined(fiber.pollUnsafe())
          server.release()
          assert.strictEqual(yield* Fiber.join(fiber), 6)
        })
      )

      it.live("stops everything on the first failure", () =>
        Effect.gen(function* () {
          const server = yield* make(4, [
            { _tag: "Hang" },
            { _tag: "Hang" },
            { _tag: "Status", status: 400, body: "model is broken" },
            { _tag: "Hang" }
          ])
          let closed = 0
          const source = Stream.ensuring(
            Stream.fromIterable(rowsOf(1000)),
            Effect.sync(() => closed++)
          )
          const error = yield* Dataset.fromStreams([source]).pipe(
            Scoring.score(score),
            Dataset.provide(Scorer.layer({ endpoints: [server.url], concurrency: 4 })),
            Dataset.count,
            Effect.flip,
            (action) => onEngine(action)
          )
          yield* until(() => server.sockets.size === 0)
          assert.strictEqual(error._tag, "ScoreError")
          assert.include(error.message, "model is broken")
          assert.strictEqual(closed, 1)
          assert.isAtMost(server.requests.length, 4)
        })
      )

      it.effect("fails where the service hangs", () =>
        Effect.gen(function* () {
          const server = yield* make(4, [{ _tag: "Score" }, { _tag: "Hang" }])
          const failing = Effect.gen(function* () {
            const scorer = yield* Scorer.make({ endpoints: [server.url] })
            const job = Dataset.fromIterable(rowsOf(10)).pipe(
              Scoring.score(score),
              Dataset.count,
              Effect.provideService(Scorer.Scorer, scorer)
            )
            return yield* overTime(job, scorer, [server], "2 seconds")
          })
          const error = yield* onEngine(Effect.flip(Effect.scoped(failing)))
          assert.include(error.message, "attempt 2")
          assert.include(error.message, "no answer within 30000 ms")
          yield* until(() => server.sockets.size === 0)
        })
      )
    })
  }

  it.live("closes its requests when the job is interrupted", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [{ _tag: "Hang" }])
      const fiber = yield* Dataset.fromIterable(rowsOf(100)).pipe(
        Scoring.score({ vector: "features", batch: { rows: 10 } }),
        Dataset.provide(Scorer.layer({ endpoints: [server.url], concurrency: 3 })),
        Dataset.count,
        (action) => onEngine(action),
        Effect.forkChild
      )
      yield* until(() => server.requests.length === 3)
      yield* Fiber.interrupt(fiber)
      yield* until(() => server.sockets.size === 0)
    })
  )

  it.live("sends requests no faster than the consumer takes the rows", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const first = yield* Dataset.fromIterable(rowsOf(2000)).pipe(
        Scoring.score({ vector: "features", batch: { rows: 1 } }),
        Dataset.provide(Scorer.layer({ endpoints: [server.url], concurrency: 4 })),
        Dataset.toStream,
        Stream.mapEffect((row) => Effect.as(tick, row.id)),
        Stream.take(2),
        Stream.runCollect,
        (effect) => onEngine(effect)
      )
      assert.deepStrictEqual(Array.from(first), [0, 1])
      assert.isBelow(server.requests.length, 200)
    })
  )

  it.live("sends a part of a batch when the source is idle", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const queue = yield* Queue.unbounded<Row, Cause.Done>()
      const [a, b, c, d] = rowsOf(4)
      yield* Queue.offerAll(queue, [a!, b!, c!])
      const fiber = yield* Dataset.fromStreams([Stream.fromQueue(queue)]).pipe(
        Scoring.score({ vector: "features", batch: { rows: 10, linger: 20 } }),
        Dataset.provide(Scorer.layer({ endpoints: [server.url] })),
        Dataset.count,
        (action) => onEngine(action),
        Effect.forkChild
      )
      yield* until(() => server.requests.length === 1)
      assert.strictEqual(server.requests[0]!.body.length, 3 * 16)
      yield* Queue.offer(queue, d!)
      yield* Queue.end(queue)
      assert.strictEqual(yield* Fiber.join(fiber), 4)
    })
  )

  it.live("fills batches across arrays, by rows and by bytes", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const sizes = (batch: Scoring.BatchOptions) =>
        Effect.gen(function* () {
          server.requests.length = 0
          yield* Dataset.fromStreams([Stream.rechunk(Stream.fromIterable(rowsOf(25)), 7)]).pipe(
            Scoring.score({ vector: "features", batch }),
            Dataset.provide(Scorer.layer({ endpoints: [server.url], concurrency: 1 })),
            Dataset.count,
            (action) => onEngine(action)
          )
          return server.requests.map(({ body }) => body.length / 16)
        })
      assert.deepStrictEqual(yield* sizes({ rows: 10 }), [10, 10, 5])
      assert.deepStrictEqual(yield* sizes({ bytes: 8 * 16 + 3 }), [8, 8, 8, 1])
      assert.deepStrictEqual(
        yield* sizes({ bytes: 1, rows: 3 }),
        Array.from({ length: 25 }, () => 1)
      )
    })
  )

  it.live("shares one pool and one limit between all tasks of an executor", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [{ _tag: "Score", delay: 3 }])
      let built = 0
      let counters = 0
      const layer = Layer.unwrap(
        Effect.sync(() => {
          built++
          return Scorer.layer({ endpoints: [server.url], concurrency: 3 })
        })
      )
      const count = yield* Dataset.fromIterable(rowsOf(240), { partitions: 12 }).pipe(
        Scoring.score({ vector: (row) => row.features, batch: { rows: 5 } }),
        Dataset.mapPartitions((rows, task) =>
          Stream.ensuring(
            rows,
            Effect.sync(() => (counters += task.metrics.counters.get("requests") ?? 0))
          )
        ),
        Dataset.provide(layer),
        Dataset.count,
        (action) =>
          onEngine(
            action,
            engine([
              { id: "e0", host: "h0", slots: 4 },
              { id: "e1", host: "h1", slots: 4 }
            ])
          )
      )
      assert.strictEqual(count, 240)
      assert.strictEqual(built, 2)
      assert.isAtMost(server.maxOpen, 6)
      assert.isAtMost(server.accepted, 6)
      assert.strictEqual(server.requests.length, 48)
      assert.strictEqual(counters, 48)
    })
  )

  it.live("counts over all tasks for a closing report", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [
        { _tag: "Status", status: 503 },
        { _tag: "Score", delay: 5 }
      ])
      const events = yield* Events.Events
      const ended = yield* Effect.forkChild(
        Stream.runHead(Stream.filter(yield* events.subscribe, (event) => event._tag === "JobEnded")),
        { startImmediately: true }
      )
      yield* Dataset.fromIterable(rowsOf(200), { partitions: 2 }).pipe(
        Scoring.score({ vector: "features", batch: { rows: 10 } }),
        Dataset.provide(Scorer.layer({ endpoints: [server.url], retry: { base: 1 } })),
        Dataset.count
      )
      const event = Option.getOrThrow(yield* Fiber.join(ended))
      const report = Report.fromTotals(event.totals)
      assert.deepInclude(report, { rows: 200, requests: 21, retries: 1 })
      assert.isAbove(report.bytesOut, 21 * 160)
      assert.closeTo(report.payloadEfficiency, (21 * 160) / report.bytesOut, 1e-9)
      assert.isAbove(report.bytesIn, 20 * 40)
      assert.isAtLeast(report.latencyMillis.p50, 4.5)
      assert.isAtLeast(report.latencyMillis.p99, report.latencyMillis.p50)
    }).pipe(Effect.provide(oneSlot))
  )

  it.live("names the row of a vector of another length", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const failing = (rows: Stream.Stream<Row>) =>
        Dataset.fromStreams([rows]).pipe(
          Scoring.score({ vector: "features" }),
          Dataset.provide(Scorer.layer({ endpoints: [server.url] })),
          Dataset.count,
          Effect.flip,
          (action) => onEngine(action)
        )
      const rows = rowsOf(13_000).map((row) => (row.id === 12_345 ? { ...row, features: new Float32Array(5) } : row))
      const unnamed = yield* failing(Stream.fromIterable(rows))
      assert.include(unnamed.message, "row 12345 of partition 0: the vector has 5 numbers, expected 4")
      const origin = { path: "file:/in/a.parquet", rowGroup: 2, firstRow: 1000, kept: undefined }
      const named = yield* failing(Stream.fromArray(Origin.attach(rows, origin)))
      assert.include(
        named.message,
        "row 13345 of file:/in/a.parquet, row group 2: the vector has 5 numbers, expected 4"
      )
    })
  )

  it.live.each([{ rows: 0 }, { rows: 1.5 }, { rows: Number.NaN }, { bytes: 0 }])("refuses batches of %j", (batch) =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const error = yield* Dataset.fromIterable(rowsOf(3)).pipe(
        Scoring.score({ vector: "features", batch }),
        Dataset.provide(Scorer.layer({ endpoints: [server.url] })),
        Dataset.count,
        Effect.flip,
        (action) => onEngine(action)
      )
      assert.match(error.message, /^scoring: batch\.(rows|bytes) must be/)
      assert.lengthOf(server.requests, 0)
    })
  )

  it.live("scores a dataset without rows", () =>
    Effect.gen(function* () {
      const count = yield* Dataset.fromIterable<Row>([]).pipe(
        Scoring.score({ vector: "features" }),
        Dataset.provide(Scorer.layer({ endpoints: ["http://127.0.0.1:1/"] })),
        Dataset.count,
        (action) => onEngine(action)
      )
      assert.strictEqual(count, 0)
    })
  )

  it("has the added fields, the error and the service in its type", () => {
    const rows = Dataset.fromIterable(rowsOf(1))
    const plain = rows.pipe(Scoring.score({ vector: "features" }))
    expectTypeOf(plain).toEqualTypeOf<
      Dataset.Dataset<Row & { readonly score: number } & unknown, ScoreError.ScoreError, Scorer.Scorer>
    >()
    const classed = Scoring.score(rows, { vector: (row) => row.features, as: "p", threshold: 0.5 })
    type Classed = typeof classed extends Dataset.Dataset<infer A, infer _E, infer _R> ? A : never
    expectTypeOf<Classed["p"]>().toEqualTypeOf<number>()
    expectTypeOf<Classed["class"]>().toEqualTypeOf<boolean>()
    expectTypeOf<Classed["id"]>().toEqualTypeOf<number>()
    // @ts-expect-error `id` is not a vector
    Scoring.score(rows, { vector: "id" })
    // @ts-expect-error there is no such field
    rows.pipe(Scoring.score({ vector: "nothing" }))
  })
})

const float = new Arrow.Field("item", new Arrow.Float32(), false)
const double = new Arrow.Field("item", new Arrow.Float64(), false)

/** A record batch of ids `first`, `first + 1`, ... with vectors of four whose first number is the id. */
const recordOf = (
  first: number,
  rows: number,
  options: {
    readonly kind?: "list" | "fixed" | "double"
    readonly lengths?: ReadonlyArray<number>
    readonly nullAt?: number
  } = {}
): Arrow.RecordBatch => {
  const { kind = "list", lengths = Array.from({ length: rows }, () => 4), nullAt } = options
  const offsets = new Int32Array(rows + 1)
  for (let i = 0; i < rows; i++) offsets[i + 1] = offsets[i]! + lengths[i]!
  const total = offsets[rows]!
  const values = kind === "double" ? new Float64Array(total) : new Float32Array(total)
  for (let i = 0; i < rows; i++) values[offsets[i]!] = first + i
  const type: Arrow.DataType =
    kind === "fixed"
      ? new Arrow.FixedSizeList(4, float)
      : kind === "double"
        ? new Arrow.List(double)
        : new Arrow.List(float)
  const child =
    values instanceof Float64Array
      ? Arrow.makeData({ type: new Arrow.Float64(), length: total, nullCount: 0, data: values })
      : Arrow.makeData({ type: new Arrow.Float32(), length: total, nullCount: 0, data: values })
  const valid = new Uint8Array(8).fill(255)
  if (nullAt !== undefined) valid[nullAt >> 3]! &= ~(1 << (nullAt & 7))
  const nullCount = nullAt === undefined ? 0 : 1
  const vectors =
    kind === "fixed"
      ? new Arrow.Data<Arrow.DataType>(type, 0, rows, nullCount, { [Arrow.BufferType.VALIDITY]: valid }, [child])
      : new Arrow.Data<Arrow.DataType>(
          type,
          0,
          rows,
          nullCount,
          { [Arrow.BufferType.OFFSET]: offsets, [Arrow.BufferType.VALIDITY]: valid },
          [child]
        )
  const ids = Arrow.makeData({
    type: new Arrow.Int32(),
    length: rows,
    nullCount: 0,
    data: Int32Array.from({ length: rows }, (_, i) => first + i)
  })
  const fields = [new Arrow.Field("id", new Arrow.Int32(), false), new Arrow.Field("features", type, true)]
  return new Arrow.RecordBatch(
    new Arrow.Schema(fields),
    Arrow.makeData({ type: new Arrow.Struct(fields), length: rows, nullCount: 0, children: [ids, vectors] })
  )
}

const run = (
  url: string,
  records: ReadonlyArray<Arrow.RecordBatch>,
  options: Partial<Parameters<typeof Scoring.scoreBatches>[1]> = {},
  protocol?: Protocol.Protocol
) => {
  const out: Array<Arrow.RecordBatch> = []
  return Dataset.fromIterable(records).pipe(
    Scoring.scoreBatches({ vector: "features", batch: { rows: 10 }, ...options }),
    Dataset.provide(Scorer.layer({ endpoints: [url], protocol })),
    Dataset.forEach((record) => Effect.sync(() => out.push(record))),
    (action) => onEngine(action),
    Effect.as(out)
  )
}

describe("Scoring.scoreBatches", () => {
  for (const kind of ["list", "fixed", "double"] as const) {
    for (const ordered of [true, false]) {
      it.live(`adds the scores of ${kind} vectors, ${ordered ? "ordered" : "unordered"}`, () =>
        Effect.gen(function* () {
          const server = yield* make(4)
          const sizes = [7, 0, 25, 1, 12]
          let first = 0
          const records = sizes.map((size) => {
            const record = recordOf(first, size, { kind })
            first += size
            return record
          })
          const scored = yield* run(server.url, records, { threshold: 20, unordered: !ordered })
          assert.strictEqual(server.requests.length, 5)
          const sorted = ordered ? scored : scored.toSorted((a, b) => a.numRows - b.numRows)
          assert.deepStrictEqual(
            sorted.map(({ numRows }) => numRows),
            ordered ? sizes : sizes.toSorted((a, b) => a - b)
          )
          for (const record of scored) {
            assert.deepStrictEqual(
              record.schema.fields.map(({ name }) => name),
              ["id", "features", "score", "class"]
            )
            for (const row of record) {
              assert.strictEqual(row["score"], row["id"])
              assert.strictEqual(row["class"], row["id"] >= 20)
            }
          }
        })
      )
    }
  }

  it.live("reads slices of record batches", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      for (const kind of ["list", "fixed"] as const) {
        const scored = yield* run(server.url, [recordOf(0, 30, { kind }).slice(7, 19)])
        const ids = Array.from({ length: 12 }, (_, i) => i + 7)
        assert.deepStrictEqual(
          scored.flatMap((record) => Array.from(record, (row) => row["id"])),
          ids
        )
        assert.deepStrictEqual(
          scored.flatMap((record) => Array.from(record, (row) => row["score"])),
          ids
        )
      }
    })
  )

  it.live("keeps only the columns asked for, in the order asked for", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const records = [recordOf(0, 7), recordOf(7, 0), recordOf(7, 30, { kind: "fixed" }).slice(5, 19)]
      const ids = [0, 1, 2, 3, 4, 5, 6, ...Array.from({ length: 14 }, (_, i) => i + 12)]
      for (const columns of [["id"], ["features", "id", "id"], []]) {
        const scored = yield* run(server.url, records, { columns })
        assert.deepStrictEqual(
          scored.map(({ numRows, schema }) => [numRows, ...schema.fields.map(({ name }) => name)]),
          [7, 0, 14].map((rows) => [rows, ...new Set(columns), "score"])
        )
        const rows = scored.flatMap((record) => Array.from(record))
        assert.deepStrictEqual(
          rows.map((row) => row["score"]),
          ids
        )
        if (columns.includes("id")) for (const row of rows) assert.strictEqual(row["id"], row["score"])
      }
      // The vectors are not kept, and so their name is free.
      const [renamed] = yield* run(server.url, records, { columns: ["id"], as: "features" })
      assert.deepStrictEqual(renamed?.get(3)?.toJSON(), { id: 3, features: 3 })
    })
  )

  it("has the kept columns and the added ones in its type", () => {
    type Columns = { id: Arrow.Int32; name: Arrow.Utf8; features: Arrow.List<Arrow.Float32> }
    const records: Dataset.Dataset<Arrow.RecordBatch<Columns>> = Dataset.fromIterable([])
    type ColumnsOf<D> = D extends Dataset.Dataset<Arrow.RecordBatch<infer T>, infer _E, infer _R> ? T : never
    type Added = { readonly score: Arrow.Float32 }

    const some = Scoring.scoreBatches(records, { vector: "features", columns: ["id"] })
    expectTypeOf<ColumnsOf<typeof some>>().branded.toEqualTypeOf<Pick<Columns, "id"> & Added>()
    const all = records.pipe(Scoring.scoreBatches({ vector: "features", threshold: 0.5 }))
    expectTypeOf<ColumnsOf<typeof all>>().branded.toEqualTypeOf<Columns & Added & { readonly class: Arrow.Bool }>()
    // Columns that nobody knows yet.
    const untyped: Dataset.Dataset<Arrow.RecordBatch> = records
    const kept = untyped.pipe(Scoring.scoreBatches({ vector: "v", columns: ["id"], as: "p" }))
    expectTypeOf<keyof ColumnsOf<typeof kept>>().toEqualTypeOf<"id" | "p">()
    expectTypeOf(untyped.pipe(Scoring.scoreBatches({ vector: "v" }))).toEqualTypeOf<
      Dataset.Dataset<Arrow.RecordBatch, ScoreError.ScoreError, Scorer.Scorer>
    >()
    // @ts-expect-error there is no such column to keep
    Scoring.scoreBatches(records, { vector: "features", columns: ["ids"] })
    // @ts-expect-error there is no such vector
    records.pipe(Scoring.scoreBatches({ vector: "vectors" }))
  })

  it.live("sends the memory of the column itself", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const record = recordOf(0, 25)
      const memory: unknown = record.getChild("features")?.data[0]?.children[0]?.values.buffer
      const buffers: Array<unknown> = []
      yield* run(
        server.url,
        [record],
        {},
        {
          ...Protocol.rawFloat32,
          encode: (batch) => {
            const bytes = Protocol.rawFloat32.encode(batch)
            buffers.push(bytes.buffer)
            return bytes
          }
        }
      )
      assert.lengthOf(buffers, 3)
      for (const buffer of buffers) assert.strictEqual(buffer, memory)
    })
  )

  const bad: ReadonlyArray<readonly [string, () => Arrow.RecordBatch, object, RegExp]> = [
    ["a null vector", () => recordOf(0, 12, { nullAt: 11 }), {}, /row 11 of .*column "features" is null/],
    [
      "a null vector of a fixed size",
      () => recordOf(0, 12, { kind: "fixed", nullAt: 11 }),
      {},
      /row 11 of .*column "features" is null/
    ],
    ["a ragged vector", () => recordOf(0, 3, { lengths: [4, 4, 3] }), {}, /row 2 of .*has 3 numbers, expected 4/],
    ["a missing column", () => recordOf(0, 3), { vector: "x" }, /no column "x"; the columns are "id", "features"/],
    ["a column of numbers", () => recordOf(0, 3), { vector: "id" }, /column "id" is Int32; expected a list/],
    [
      "a missing column to keep",
      () => recordOf(0, 3),
      { columns: ["id", "x"] },
      /`columns`: there is no column "x"; the columns are "id", "features"/
    ],
    ["a kept name that is taken", () => recordOf(0, 3), { columns: ["id"], as: "id" }, /a column "id" already exists/],
    ["a name that is taken", () => recordOf(0, 3), { as: "id" }, /a column "id" already exists/]
  ]
  for (const [name, record, options, message] of bad) {
    it.live(`fails on ${name}`, () =>
      Effect.gen(function* () {
        const server = yield* make(4)
        const error = yield* Effect.flip(run(server.url, [record()], options))
        assert.strictEqual(error._tag, "ScoreError")
        assert.match(error.message, message)
      })
    )
  }
})
