import { Dataset, Engine, Events, Job, JobError, Plan } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Context, Data, Effect, Layer, Result, Schema, Stream } from "effect"
import { spawnSync } from "node:child_process"
import { job } from "../support/job.ts"

class Client extends Context.Service<Client, (n: number) => number>()("test/Job/Client") {}
class NoServer extends Data.TaggedError("NoServer")<{}> {}

const test = <E>(name: string, body: () => Effect.Effect<unknown, E, Engine.Engine | Events.Events>) =>
  it.effect(name, () => Effect.provide(body(), Engine.layer))

const fingerprintOf = <A, E, R>(self: Dataset.Dataset<A, E, R>) => Plan.fingerprint(self.plan)

describe("Job", () => {
  test(
    "runs its action with its payload and layer",
    Effect.fnUntraced(function* () {
      const scale = Job.make("scale", {
        payload: Schema.Struct({ upTo: Schema.Number }),
        layer: Layer.succeed(Client, (n) => n * 3),
        action: ({ upTo }) =>
          Dataset.range(0, upTo).pipe(
            Dataset.mapEffect((n) => Effect.map(Client, (client) => client(n))),
            Dataset.collect
          )
      })
      assert.deepStrictEqual(yield* Job.run(scale, { upTo: 3 }), [0, 3, 6])
    })
  )

  test(
    "gives its layer to the action's own functions",
    Effect.fnUntraced(function* () {
      const seen: Array<number> = []
      const each = Job.make("each", {
        payload: Schema.Void,
        layer: Layer.succeed(Client, (n) => n * 3),
        action: () =>
          Dataset.forEach(Dataset.make(1, 2), (n) => Effect.map(Client, (client) => void seen.push(client(n))))
      })
      yield* Job.run(each, undefined)
      assert.deepStrictEqual(seen, [3, 6])
    })
  )

  test(
    "a layer that fails is the job's typed failure",
    Effect.fnUntraced(function* () {
      const failing = Job.make("failing", {
        payload: Schema.Void,
        layer: Layer.effect(Client, Effect.fail(new NoServer())),
        action: () => Dataset.count(Dataset.tap(Dataset.make(1), () => Client))
      })
      assert.instanceOf(yield* Effect.flip(Job.run(failing, undefined)), NoServer)
    })
  )

  test(
    "a payload that does not fit is InvalidPayload before anything runs",
    Effect.fnUntraced(function* () {
      let ran = false
      const typed = Job.make("typed", {
        payload: Schema.Struct({ n: Schema.Int }),
        action: ({ n }) => Dataset.count(Dataset.map(Dataset.range(0, n), () => (ran = true)))
      })
      const error = yield* Effect.flip(Job.run(typed, { n: 1.5 }))
      assert.strictEqual(error.reason._tag, "InvalidPayload")
      assert.include(error.message, "typed: the payload does not fit")
      assert.isFalse(ran)
    })
  )

  test(
    "its name and fingerprint are in the events",
    Effect.fnUntraced(function* () {
      const events = yield* Events.Events
      const started = yield* Effect.scoped(
        Effect.gen(function* () {
          const stream = yield* events.subscribe
          yield* Job.run(job, { upTo: 5, at: new Date(0) })
          yield* Job.run(job, { upTo: 5, at: new Date(0) })
          yield* Job.run(job, { upTo: 5, at: new Date(1) })
          return yield* stream.pipe(
            Stream.filter((event) => event._tag === "JobStarted"),
            Stream.take(3),
            Stream.runCollect
          )
        })
      )
      assert.deepStrictEqual(
        started.map((event) => event.name),
        ["job", "job", "job"]
      )
      const [first, same, other] = started.map((event) => event.fingerprint)
      assert.strictEqual(same, first)
      assert.notStrictEqual(other, first)
    })
  )

  test(
    "encodes its payload as JSON",
    Effect.fnUntraced(function* () {
      assert.deepStrictEqual(job.action({ upTo: 5, at: new Date(0) }).spec.job, {
        name: "job",
        payload: '{"upTo":5,"at":"1970-01-01T00:00:00.000Z"}'
      })
      yield* Effect.void
    })
  )
})

describe("the plan fingerprint", () => {
  it("is the same in another process", () => {
    const run = () =>
      spawnSync(process.execPath, ["--conditions=@sluice/source", `${import.meta.dirname}/../support/job.ts`], {
        encoding: "utf8"
      })
    const first = run()
    assert.match(first.stdout, /^[0-9a-f]{16}\n$/, first.stderr)
    assert.strictEqual(run().stdout, first.stdout)
  })

  it("changes with every step, its function and its settings", () => {
    const base = Dataset.range(0, 10)
    const plans = [
      base,
      Dataset.range(0, 11),
      Dataset.range(0, 10, { partitions: 2 }),
      Dataset.map(base, (n) => n + 1),
      Dataset.map(base, (n) => n + 2),
      Dataset.filter(base, (n) => n > 1),
      Dataset.filter(base, (n) => n > 2),
      Dataset.filterMap(base, (n) => Result.succeed(n)),
      Dataset.filterMap(base, (n) => Result.succeed(n + 1)),
      Dataset.flatMap(base, (n) => [n]),
      Dataset.mapEffect(base, (n) => Effect.succeed(n)),
      Dataset.mapEffect(base, (n) => Effect.succeed(n), { concurrency: 2 }),
      Dataset.mapEffect(base, (n) => Effect.succeed(n), { unordered: true }),
      Dataset.catch(base, () => Effect.succeed(1)),
      Dataset.catch(base, () => Effect.succeed(2)),
      Dataset.mapPartitions(base, (rows) => rows),
      Dataset.mapPartitions(base, (rows) => rows, { name: "other" }),
      Dataset.union(base, base),
      Dataset.coalesce(base, 2),
      Dataset.coalesce(base, 3),
      Dataset.sample(base, { fraction: 0.5, seed: 1 }),
      Dataset.sample(base, { fraction: 0.5, seed: 2 }),
      Dataset.zipWithIndex(base),
      Dataset.text("a"),
      Dataset.text("b")
    ].map((dataset) => Plan.fingerprint(dataset.plan))
    assert.strictEqual(new Set(plans).size, plans.length)
    class X extends Data.TaggedError("X")<{}> {}
    const failing = Dataset.mapEffect(base, (n) => (n > 5 ? Effect.fail(new X()) : Effect.succeed(n)))
    assert.notStrictEqual(
      fingerprintOf(Dataset.catchTag(failing, "X", () => Effect.succeed(1))),
      fingerprintOf(Dataset.catchTag(failing, "X", () => Effect.succeed(2)))
    )
  })
})

describe("Job.runReported", () => {
  test(
    "reports each of two runs of one job at once",
    Effect.fnUntraced(function* () {
      const counting = Job.make("counting", {
        payload: Schema.Number,
        action: (upTo) => Dataset.count(Dataset.range(0, upTo, { partitions: 3 }))
      })
      const [small, large] = yield* Effect.all([Job.runReported(counting, 7), Job.runReported(counting, 70)], {
        concurrency: 2
      })
      assert.deepStrictEqual([small.value, small.totals.rowsRead], [7, 7])
      assert.deepStrictEqual([large.value, large.totals.rowsRead], [70, 70])
      assert.notStrictEqual(small.job, large.job)
      assert.notStrictEqual(small.fingerprint, large.fingerprint)
      assert.lengthOf(small.fingerprint, large.fingerprint.length)
    })
  )
})

describe("JobError", () => {
  it("is a Schema, so that it can travel between processes", () => {
    const error = new JobError.JobError({
      job: "1",
      name: "count",
      reason: new JobError.OperatorDefect({ defect: new Error("bug") }),
      at: { stage: 0 }
    })
    const encoded = JSON.parse(JSON.stringify(Schema.encodeUnknownSync(Schema.toCodecJson(JobError.JobError))(error)))
    const back = Schema.decodeUnknownSync(Schema.toCodecJson(JobError.JobError))(encoded)
    assert.instanceOf(back, JobError.JobError)
    assert.strictEqual(back.message, error.message)
  })
})
