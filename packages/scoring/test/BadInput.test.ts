import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Commit, Dataset, Engine, Events, Executor, JobError, Storage, Vector } from "@sluice/core"
import { FaultyStorage } from "@sluice/core/testing"
import { NoSpace } from "@sluice/core/StorageError"
import { ScoreError, Scorer, Scoring } from "@sluice/scoring"
import { Effect, Fiber, FileSystem, Layer, Schema, type Scope } from "effect"
import { type Act, type FaultServer, make, overTime, until } from "./faultServer.ts"

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

/** The whole job as rows, and as record batches. */
const jobs = {
  rows: (root: string) =>
    Dataset.parquet(`${root}/in`, Row).pipe(
      Scoring.score({ vector: "features" }),
      Dataset.writeParquet(`${root}/out`, Scored)
    ),
  "record batches": (root: string) =>
    Dataset.parquetBatches(`${root}/in`).pipe(
      Scoring.scoreBatches({ vector: "features" }),
      Dataset.writeParquetBatches(`${root}/out`)
    )
}

const options = (endpoint: string): Scorer.Options => ({
  endpoints: [endpoint],
  concurrency: 4,
  retry: { maxAttempts: 3, base: 1, cap: 2 }
})

/** Nothing is at the final name or beside it, and no file or socket is open. */
const nothingIsLeft = Effect.fnUntraced(function* (root: string, server?: FaultServer) {
  assert.deepStrictEqual(yield* (yield* FileSystem.FileSystem).readDirectory(root), ["in"])
  assert.strictEqual((yield* (yield* FaultyStorage.FaultyStorage).counts).open, 0, "open files")
  if (server === undefined) return
  // The job has closed them; the server has yet to hear of it.
  yield* until(() => server.sockets.size === 0)
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
  { name: "hangs", act: { _tag: "Hang" }, tag: "TimedOut", says: /no answer within 30000 ms/, attempts: 2 },
  {
    name: "hangs mid-answer",
    act: { _tag: "HangMid" },
    tag: "TimedOut",
    says: /no end of the answer within 30000 ms/,
    attempts: 2
  },
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
    name: "fails forever",
    act: { _tag: "Status", status: 500, body: "model is broken" },
    tag: "ServerFailed",
    says: /status 500: model is broken/,
    attempts: 2
  },
  {
    name: "is overloaded forever",
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

// Time is that of the machine, and nothing depends on it: no request is near the end of its 30 seconds.
const test = <E>(name: string, body: Effect.Effect<unknown, E, Services | Scope.Scope>) =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(engine)))

for (const [kind, scoring] of Object.entries(jobs)) {
  const job = (root: string, endpoint: string) => Effect.provide(scoring(root), Scorer.layer(options(endpoint)))

  /** The same, on a clock that advances while all requests hang. */
  const jobOverTime = Effect.fnUntraced(function* (root: string, server: FaultServer) {
    const scorer = yield* Scorer.make(options(server.url))
    return yield* overTime(Effect.provideService(scoring(root), Scorer.Scorer, scorer), scorer, [server], "2 seconds")
  }, Effect.scoped)

  describe(`scoring ${kind} of Parquet into Parquet`, () => {
    for (const { act, attempts, name, says, tag } of cases) {
      const hangs = act._tag === "Hang" || act._tag === "HangMid"
      const onClock = hangs ? it.effect : it.live
      onClock(`fails where the service ${name}, and leaves nothing`, () =>
        Effect.gen(function* () {
          const server = yield* make(features, [{ _tag: "Score" }, { _tag: "Score" }, act])
          const root = yield* folder()
          const failing: Effect.Effect<unknown, unknown, Services> = hangs
            ? jobOverTime(root, server)
            : job(root, server.url)
          const error = scoreError(yield* Effect.flip(failing))
          yield* nothingIsLeft(root, server)
          assert.strictEqual(error.reason._tag, tag)
          assert.match(error.message, says)
          assert.strictEqual(error.endpoint, server.url)
          assert.strictEqual(error.attempt, attempts)
          assert.match(error.rows[0]?.path ?? "", /in\/part-00000-.*\.parquet$/)
          assert.isNumber(error.rows[0]?.rowGroup)
        }).pipe(Effect.scoped, Effect.provide(engine))
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
        const fiber = yield* Effect.forkChild(job(root, server.url))
        yield* until(() => server.requests.length >= 6)
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
        assert.include(error.hint, "free some space")
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
