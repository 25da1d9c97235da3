import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Commit, Dataset, Engine, Events, Executor, JobError, Storage, Vector } from "@sluice/core"
import { FaultyStorage } from "@sluice/core/testing"
import { NoSpace } from "@sluice/core/StorageError"
import { ScoreError, Scorer, Scoring } from "@sluice/scoring"
import { Effect, Fiber, FileSystem, Layer, Schema, type Scope } from "effect"
import { type Act, eventually, type FaultServer, make } from "./faultServer.ts"

const features = 4
const rows = 20_000

const Row = Schema.Struct({ id: Schema.Number, features: Vector.Float32 })
const Scored = Schema.Struct({ ...Row.fields, score: Schema.Number })

const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal({ executors: [{ slots: 2 }] })),
  Layer.provideMerge(Layer.mergeAll(FaultyStorage.layer(Storage.layer), Events.layer, NodeFileSystem.layer))
)

/** A folder with `in`: vectors in four row groups, row 12,345 with one of `length`. */
const folder = Effect.fnUntraced(function* (length = features) {
  const root = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped({ prefix: "sluice-bad-" })
  yield* Dataset.range(0, rows).pipe(
    Dataset.map((id) => ({ id, features: new Float32Array(id === 12_345 ? length : features).fill(id) })),
    Dataset.writeParquet(`${root}/in`, Row, { rowGroupRows: 5000 })
  )
  return root
})

const layer = (endpoint: string, timeout: number) =>
  Scorer.layer({ endpoints: [endpoint], concurrency: 4, timeout, retry: { maxAttempts: 3, base: 1 } })

/** The whole job as rows, and as record batches. */
const jobs = {
  rows: (root: string, endpoint: string, timeout = 100) =>
    Dataset.parquet(`${root}/in`, Row).pipe(
      Scoring.score({ vector: "features" }),
      Dataset.writeParquet(`${root}/out`, Scored),
      Effect.provide(layer(endpoint, timeout))
    ),
  "record batches": (root: string, endpoint: string, timeout = 100) =>
    Dataset.parquetBatches(`${root}/in`).pipe(
      Scoring.scoreBatches({ vector: "features" }),
      Dataset.writeParquetBatches(`${root}/out`),
      Effect.provide(layer(endpoint, timeout))
    )
}

/** Nothing at the final name nor beside it, no file open, and no socket 100 ms later. */
const nothingIsLeft = Effect.fnUntraced(function* (root: string, server?: FaultServer) {
  assert.deepStrictEqual(yield* (yield* FileSystem.FileSystem).readDirectory(root), ["in"])
  assert.strictEqual((yield* (yield* FaultyStorage.FaultyStorage).counts).open, 0, "open files")
  if (server === undefined) return
  assert.isTrue(yield* eventually(() => server.sockets.size === 0, 100), "an open socket after 100 ms")
})

const scoreError = (error: unknown): ScoreError.ScoreError => {
  assert.instanceOf(error, ScoreError.ScoreError)
  return error
}

const jobError = (error: unknown): JobError.JobError => {
  assert.instanceOf(error, JobError.JobError)
  return error
}

const nan = (n: number) => {
  const scores = new Float32Array(n)
  scores[n - 1] = Number.NaN
  return new Uint8Array(scores.buffer)
}

interface Case {
  readonly name: string
  readonly act: Act
  readonly tag: ScoreError.Reason["_tag"]
  readonly says: RegExp
  readonly attempts: number
}

const cases: ReadonlyArray<Case> = [
  { name: "hangs", act: { _tag: "Hang" }, tag: "TimedOut", says: /no answer within 100 ms/, attempts: 1 },
  { name: "hangs mid-answer", act: { _tag: "HangMid" }, tag: "TimedOut", says: /within 100 ms/, attempts: 1 },
  {
    name: "answers short",
    act: { _tag: "Bytes", bytes: () => new Uint8Array(8) },
    tag: "BadAnswer",
    says: /expected 4000 bytes .*, got 8/,
    attempts: 1
  },
  { name: "answers NaN", act: { _tag: "Bytes", bytes: nan }, tag: "BadAnswer", says: /the score is NaN/, attempts: 1 },
  { name: "drops the connection mid-answer", act: { _tag: "Drop" }, tag: "Unreachable", says: /closed/, attempts: 3 },
  { name: "resets the connection", act: { _tag: "Reset" }, tag: "Unreachable", says: /ECONNRESET|closed/, attempts: 3 },
  { name: "answers what is not HTTP", act: { _tag: "Garbage" }, tag: "BadAnswer", says: /not HTTP/, attempts: 1 },
  {
    name: "fails for ever",
    act: { _tag: "Status", status: 500, body: "model is broken" },
    tag: "ServerFailed",
    says: /status 500: model is broken/,
    attempts: 1
  },
  {
    name: "is overloaded for ever",
    act: { _tag: "Status", status: 503, body: "busy" },
    tag: "Overloaded",
    says: /status 503: busy/,
    attempts: 3
  },
  {
    name: "rejects",
    act: { _tag: "Status", status: 404, body: "no such model" },
    tag: "Rejected",
    says: /status 404: no such model/,
    attempts: 1
  }
]

type Services = Layer.Success<typeof engine>

const test = <E>(name: string, body: Effect.Effect<unknown, E, Services | Scope.Scope>) =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(engine)))

for (const [kind, job] of Object.entries(jobs)) {
  describe(`scoring ${kind} of Parquet into Parquet`, () => {
    for (const { act, attempts, name, says, tag } of cases) {
      test(
        `fails where the service ${name}, and leaves nothing`,
        Effect.gen(function* () {
          const server = yield* make(features, [{ _tag: "Score" }, { _tag: "Score" }, act])
          const root = yield* folder()
          const error = scoreError(yield* Effect.flip(job(root, server.url)))
          yield* nothingIsLeft(root, server)
          assert.strictEqual(error.reason._tag, tag)
          assert.match(error.message, says)
          assert.strictEqual(error.endpoint, server.url)
          assert.strictEqual(error.attempt, attempts)
          assert.match(error.rows[0]?.path ?? "", /in\/part-00000-.*\.parquet$/)
          assert.isNumber(error.rows[0]?.rowGroup)
        })
      )
    }

    test(
      "fails where nobody listens, and leaves nothing",
      Effect.gen(function* () {
        const root = yield* folder()
        const { url } = yield* Effect.scoped(make(features))
        const error = scoreError(yield* Effect.flip(job(root, url)))
        yield* nothingIsLeft(root)
        assert.strictEqual(error.reason._tag, "Unreachable")
        assert.include(error.message, "ECONNREFUSED")
        assert.include(error.message, "check that the service runs")
        assert.strictEqual(error.attempt, 3)
      })
    )

    test(
      "names row 12,345 whose vector has another length, and leaves nothing",
      Effect.gen(function* () {
        const server = yield* make(features)
        const root = yield* folder(features + 1)
        const error = scoreError(yield* Effect.flip(job(root, server.url)))
        yield* nothingIsLeft(root, server)
        assert.strictEqual(error.reason._tag, "VectorLength")
        assert.deepInclude(error.rows[0], { rowGroup: 2, first: 2345, last: 2345 })
        assert.match(error.message, /^scoring, row 2345 of .*: the vector has 5 numbers, expected 4/)
      })
    )

    test(
      "leaves nothing when it is interrupted with requests in flight",
      Effect.gen(function* () {
        const server = yield* make(features, [{ _tag: "Score" }, { _tag: "Score" }, { _tag: "Hang" }])
        const root = yield* folder()
        const fiber = yield* Effect.forkChild(job(root, server.url, 30_000))
        assert.isTrue(yield* eventually(() => server.requests.length >= 6))
        yield* Fiber.interrupt(fiber)
        yield* nothingIsLeft(root, server)
      })
    )

    test(
      "leaves nothing on a disk that fills up",
      Effect.gen(function* () {
        const server = yield* make(features)
        const root = yield* folder()
        yield* (yield* FaultyStorage.FaultyStorage).inject({
          operation: "write",
          path: (path) => path.includes("part-"),
          afterBytes: 1000,
          reason: new NoSpace({ detail: "ENOSPC" })
        })
        const error = jobError(yield* Effect.flip(job(root, server.url)))
        yield* nothingIsLeft(root, server)
        assert.strictEqual(error.reason._tag, "OutputFailed")
        assert.include(error.message, "no space left")
        assert.include(error.hint, "free space")
      })
    )

    test(
      "asks the service for nothing where the output exists",
      Effect.gen(function* () {
        const server = yield* make(features)
        const root = yield* folder()
        yield* job(root, server.url)
        const before = server.requests.length
        const manifest = yield* Commit.readManifest(`${root}/out`)
        const error = jobError(yield* Effect.flip(job(root, server.url)))
        assert.strictEqual(error.reason._tag, "OutputExists")
        assert.strictEqual(server.requests.length, before)
        assert.deepStrictEqual(yield* Commit.readManifest(`${root}/out`), manifest)
        assert.strictEqual(manifest.rows, rows)
      })
    )
  })
}
