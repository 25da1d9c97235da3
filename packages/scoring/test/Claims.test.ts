import { Dataset, Engine, Events, Executor, Origin, Storage } from "@sluice/core"
import { Batch, Protocol, Scorer, Scoring } from "@sluice/scoring"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type Act, make, overTime, turns, until } from "./faultServer.ts"

const batch = Batch.make(
  Float32Array.from({ length: 12 }, (_, i) => i),
  4
)

const rowsOf = (n: number) =>
  Array.from({ length: n }, (_, id) => ({ id, features: Float32Array.from({ length: 4 }, () => id) }))

describe("permits", () => {
  const outcomes: ReadonlyArray<readonly [string, Act, Partial<Scorer.Options>]> = [
    ["a success", { _tag: "Score" }, {}],
    ["a rejection", { _tag: "Status", status: 400 }, {}],
    ["an answer that is too short", { _tag: "Bytes", bytes: () => new Uint8Array(3) }, {}],
    ["two failures of the service", { _tag: "Status", status: 500 }, {}],
    ["a service that stays away", { _tag: "Reset" }, { retry: { retryFor: "3 seconds" } }],
    ["answers that do not come", { _tag: "Hang" }, {}],
    [
      "a protocol that throws",
      { _tag: "Score" },
      {
        protocol: {
          ...Protocol.rawFloat32,
          decode: () => {
            throw new Error("bug")
          }
        }
      }
    ]
  ]
  for (const [name, act, options] of outcomes) {
    it.effect(`are given back after ${name}`, () =>
      Effect.gen(function* () {
        const server = yield* make(4, [act])
        const scorer = yield* Scorer.make({ endpoints: [server.url], concurrency: 2, ...options })
        // More batches than permits: each one must give its permit back for the next.
        const all = Effect.forEach(Array.from({ length: 5 }), () => Effect.exit(scorer.score(batch)), {
          concurrency: "unbounded"
        })
        const exits = yield* overTime(all, scorer, [server], "2 seconds")
        assert.lengthOf(exits, 5)
        for (const exit of exits) assert.strictEqual(Exit.isSuccess(exit), name === "a success")
        assert.isAtMost(server.maxOpen, 2)
        assert.deepInclude(yield* scorer.stats, { inFlight: 0, maxInFlight: 2 })
      })
    )
  }

  it.effect("are given back by a request that is interrupted, in flight or waiting for its retry", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [{ _tag: "Hang" }, { _tag: "Status", status: 503 }, { _tag: "Score" }])
      const scorer = yield* Scorer.make({ endpoints: [server.url], concurrency: 1 })
      const hanging = yield* Effect.forkChild(scorer.score(batch))
      yield* until(() => server.hanging === 1)
      yield* Fiber.interrupt(hanging)
      const waiting = yield* Effect.forkChild(scorer.score(batch))
      yield* until(() => server.requests.length === 2)
      while ((yield* scorer.stats).inFlight > 0) yield* turns(1)
      yield* Fiber.interrupt(waiting)
      assert.deepStrictEqual(Array.from(yield* scorer.score(batch)), [0, 4, 8])
    })
  )

  it.effect("are held while a request waits for its retry", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [{ _tag: "Status", status: 503 }, { _tag: "Score" }])
      const scorer = yield* Scorer.make({ endpoints: [server.url], concurrency: 1 })
      const both = Effect.forEach([1, 2], () => scorer.score(batch), { concurrency: 2 })
      const fiber = yield* Effect.forkChild(both)
      yield* until(() => server.requests.length === 1)
      while ((yield* scorer.stats).inFlight > 0) yield* turns(1)
      yield* turns()
      assert.strictEqual(server.requests.length, 1)
      yield* overTime(Fiber.join(fiber), scorer, [server], "100 millis")
      assert.strictEqual(server.requests.length, 3)
    })
  )
})

describe("endpoints", () => {
  it.effect("a repeated request never goes to the one that just failed, and to the idlest of the others", () =>
    Effect.gen(function* () {
      const bad: Act = { _tag: "Status", status: 502 }
      const servers = [yield* make(4, [bad]), yield* make(4, [bad]), yield* make(4, [bad]), yield* make(4, [bad])]
      const order: Array<number> = []
      const scorer = yield* Scorer.make({
        endpoints: servers.map(({ url }) => url),
        retry: { maxAttempts: 12 }
      })
      const counts = () => servers.map(({ requests }) => requests.length)
      let before = counts()
      const watching = yield* Effect.forkChild(
        Effect.forever(
          Effect.gen(function* () {
            const now = counts()
            now.forEach((count, i) => {
              for (let n = before[i] ?? 0; n < count; n++) order.push(i)
            })
            before = now
            yield* turns(1)
          })
        )
      )
      yield* Effect.flip(overTime(scorer.score(batch), scorer, servers, "100 millis"))
      yield* turns()
      yield* Fiber.interrupt(watching)
      assert.lengthOf(order, 12)
      for (let i = 1; i < order.length; i++) assert.notStrictEqual(order[i], order[i - 1])
      assert.strictEqual(new Set(order).size, 4)
    })
  )

  it.effect("a repeated request passes by one that is busy", () =>
    Effect.gen(function* () {
      const failing = yield* make(4, [{ _tag: "Status", status: 500 }])
      const busy = yield* make(4)
      const idle = yield* make(4)
      const scorer = yield* Scorer.make({ endpoints: [busy.url, failing.url, idle.url], concurrency: 8 })
      busy.gated = true
      idle.gated = true
      failing.gated = true
      // One request each, then the failing one fails: of the other two, `idle` has answered.
      const first = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(scorer.score(batch)))
      yield* until(() => [busy, failing, idle].every(({ requests }) => requests.length === 1))
      idle.gated = false
      idle.release()
      yield* until(() => first.some((fiber) => fiber.pollUnsafe() !== undefined))
      failing.gated = false
      failing.release()
      while ((yield* scorer.stats).inFlight > 1) yield* turns(1)
      yield* TestClock.adjust("1 second")
      yield* until(() => idle.requests.length === 2)
      assert.strictEqual(busy.requests.length, 1)
      busy.gated = false
      busy.release()
      yield* Fiber.joinAll(first)
    })
  )
})

describe("rows after score", () => {
  const engine = Engine.layerNoDeps.pipe(
    Layer.provide(Executor.layerLocal({ executors: [{ slots: 1 }] })),
    Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
  )

  it.live("come from where they came from, whatever the batches are", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const rows = rowsOf(100)
      const origin = { path: "file:/in/a.parquet", rowGroup: 3, firstRow: 500, kept: undefined }
      for (const size of [7, 10, 25, 100, 1000]) {
        const seen: Array<readonly [number, number]> = []
        let named = 0
        const halves = [rows.slice(0, 50), rows.slice(50)].map((array) =>
          Stream.fromArray(Origin.attach(array, { ...origin, firstRow: 500 + (array[0]?.id ?? 0) }))
        )
        yield* Dataset.fromStreams([Stream.flatten(Stream.fromIterable(halves))]).pipe(
          // Every third row: what is left of an array remembers which rows it has.
          Dataset.filter(({ id }) => id % 3 === 0),
          Scoring.score({ vector: "features", batch: { rows: size } }),
          Dataset.mapArray((scored) => {
            const from = Origin.of(scored)
            scored.forEach(({ id, score }, i) => {
              assert.strictEqual(score, id)
              if (from === undefined) return
              named++
              const at = Origin.at(from, i)
              assert.deepInclude(at, { path: origin.path, rowGroup: 3 })
              seen.push([id, at.row])
            })
            return scored
          }),
          Dataset.provide(Scorer.layer({ endpoints: [server.url] })),
          Dataset.count
        )
        for (const [id, row] of seen) assert.strictEqual(row, 500 + id)
        // Only a batch across two arrays has none.
        assert.isAtLeast(named, size === 1000 ? 0 : 34 - size, `batches of ${size}`)
      }
    }).pipe(Effect.provide(engine))
  )

  it.live("are in the counters of the job, with every request and retry", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [
        { _tag: "Status", status: 503 },
        { _tag: "Status", status: 500 },
        { _tag: "Reset" },
        { _tag: "Score" }
      ])
      const events = yield* Events.Events
      const ended = yield* Effect.forkChild(
        Stream.runHead(Stream.filter(yield* events.subscribe, (event) => event._tag === "JobEnded")),
        { startImmediately: true }
      )
      yield* Dataset.fromIterable(rowsOf(50), { partitions: 2 }).pipe(
        Scoring.score({ vector: "features", batch: { rows: 10 } }),
        Dataset.provide(Scorer.layer({ endpoints: [server.url], concurrency: 1, retry: { base: 1 } })),
        Dataset.count
      )
      const { counters } = Option.getOrThrow(yield* Fiber.join(ended)).totals
      // Three batches of at most 10 rows in each partition, and three requests that failed.
      assert.strictEqual(server.requests.length, 6 + 3)
      assert.deepInclude(counters, { requests: 9, retries: 3, rowsScored: 50 })
      assert.strictEqual(
        counters["requestBytes"],
        server.requests.reduce((sum, { body }) => sum + body.length, 0)
      )
    }).pipe(Effect.provide(engine))
  )
})
