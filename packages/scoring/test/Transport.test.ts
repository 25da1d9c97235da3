import { assert, describe, it } from "@effect/vitest"
import { Batch, Scorer } from "@sluice/scoring"
import { Clock, Effect, Exit, Redacted, Scope, Tracer } from "effect"
import { TestClock } from "effect/testing"
import * as Deadlines from "../src/internal/deadlines.ts"
import { millisOf } from "../src/internal/meter.ts"
import { type Act, make, overTime, until } from "./faultServer.ts"

const batch = Batch.make(Float32Array.of(1, 0, 2, 0), 2)

/** Keeps the spans that are begun. */
const recorder = () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span(options) {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}

describe("a request", () => {
  const acts: ReadonlyArray<readonly [what: string, act: Act]> = [
    ["scores", { _tag: "Score" }],
    ["a status", { _tag: "Status", status: 404, body: "no" }],
    ["a refusal with a wait", { _tag: "Status", status: 503, headers: { "retry-after": "7" } }],
    ["a redirect", { _tag: "Status", status: 302, headers: { location: "/other" } }],
    [
      "another content type",
      { _tag: "Bytes", bytes: () => new Uint8Array(8), headers: { "content-type": "text/html" } }
    ],
    ["too few bytes", { _tag: "Bytes", bytes: () => new Uint8Array(7) }],
    ["no answer", { _tag: "Hang" }],
    ["half an answer", { _tag: "HangMid" }],
    ["what is not HTTP", { _tag: "Garbage" }],
    ["a reset", { _tag: "Reset" }],
    ["an end in the middle", { _tag: "Drop" }]
  ]
  for (const [what, act] of acts) {
    it.effect(`that is traced means the same as one that is not: ${what}`, () =>
      Effect.gen(function* () {
        const outcome = Effect.fnUntraced(function* (tracing: boolean) {
          const server = yield* make(2, [act])
          const scorer = yield* Scorer.make({
            endpoints: [`${server.url}?a=1`],
            timeout: "2 seconds",
            retry: { maxAttempts: 1 },
            headers: { "X-Plain": "yes" },
            tracing
          })
          const result = yield* Effect.result(overTime(scorer.score(batch), scorer, [server], "1 second"))
          const [request] = server.requests
          const { bytesIn, bytesOut, inFlight, requests } = yield* scorer.stats
          return {
            answer: result._tag === "Success" ? [...result.success] : result.failure.reason,
            request: request && [
              request.path,
              request.body,
              request.headers["x-plain"],
              request.headers["content-type"]
            ],
            stats: { bytesIn, bytesOut, inFlight, requests }
          }
        })
        const plain = yield* outcome(false)
        assert.deepStrictEqual(plain, yield* outcome(true))
        assert.deepStrictEqual(plain.request?.slice(2), ["yes", "application/octet-stream"])
        assert.strictEqual(plain.stats.inFlight, 0)
      })
    )
  }

  it.effect("has a span, which the service is told of and which has no secret, if the scorer traces", () =>
    Effect.gen(function* () {
      const server = yield* make(2)
      for (const tracing of [true, false]) {
        const { spans, tracer } = recorder()
        const scorer = yield* Scorer.make({
          endpoints: [server.url],
          headers: { "x-mine": Redacted.make("hunter-2") },
          tracing
        })
        yield* Effect.withTracer(scorer.score(batch), tracer)
        const requests = spans.filter(({ kind }) => kind === "client")
        assert.lengthOf(requests, tracing ? 1 : 0)
        assert.strictEqual(server.requests.at(-1)?.headers["traceparent"] !== undefined, tracing)
        assert.strictEqual(server.requests.at(-1)?.headers["x-mine"], "hunter-2")
        for (const { attributes } of requests) {
          const shown = JSON.stringify([...attributes])
          assert.include(shown, server.url)
          assert.notInclude(shown, "hunter-2")
        }
      }
    })
  )

  it.effect("that is interrupted before it is connected never reaches the service", () =>
    Effect.gen(function* () {
      const server = yield* make(2, [{ _tag: "Hang" }])
      // One connection: the second request waits for the first.
      const scorer = yield* Scorer.make({ endpoints: [server.url], concurrency: 1 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Effect.forkScoped(scorer.score(batch))
          yield* until(() => server.hanging === 1)
          yield* Effect.forkScoped(scorer.score(batch))
        })
      )
      yield* until(() => server.sockets.size === 0)
      assert.lengthOf(server.requests, 1)
      assert.strictEqual((yield* scorer.stats).inFlight, 0)
    })
  )
})

describe("deadlines", () => {
  const ticking = Effect.gen(function* () {
    const deadlines = yield* Deadlines.make
    const context = yield* Effect.context<never>()
    const clock = yield* Clock.Clock
    const expired: Array<string> = []
    const add = (name: string) => {
      const deadline = { at: millisOf(clock) + 1000, expire: () => expired.push(`${name} at ${millisOf(clock)}`) }
      deadlines.add(deadline, context)
      return deadline
    }
    return { add, deadlines, expired }
  })

  it.effect("expire each in its own time, and not once they are deleted", () =>
    Effect.gen(function* () {
      const { add, deadlines, expired } = yield* ticking
      add("a")
      yield* TestClock.adjust(300)
      const b = add("b")
      add("c")
      yield* TestClock.adjust(699)
      assert.deepStrictEqual(expired, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(expired, ["a at 1000"])
      deadlines.delete(b)
      yield* TestClock.adjust(300)
      assert.deepStrictEqual(expired, ["a at 1000", "c at 1300"])
    })
  )

  it.effect("are watched again after there were none, and after all were deleted in time", () =>
    Effect.gen(function* () {
      const { add, deadlines, expired } = yield* ticking
      add("a")
      yield* TestClock.adjust(5000)
      deadlines.delete(add("b"))
      yield* TestClock.adjust(900)
      add("c")
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(expired, ["a at 1000"])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(expired, ["a at 1000", "c at 6900"])
    })
  )

  it.effect("do not move when the time of day is corrected", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let corrected = 0n
      const now = () => clock.currentTimeNanosUnsafe() + corrected
      const timeOfDay: Clock.Clock = {
        ...clock,
        currentTimeNanosUnsafe: now,
        currentTimeMillisUnsafe: () => Number(now() / 1_000_000n)
      }
      const { add, expired } = yield* Effect.provideService(ticking, Clock.Clock, timeOfDay)
      const hour = 3_600_000_000_000n
      add("a")
      corrected = -hour
      yield* TestClock.adjust(500)
      add("b")
      corrected = hour
      yield* TestClock.adjust(499)
      assert.deepStrictEqual(expired, [])
      yield* TestClock.adjust(501)
      assert.deepStrictEqual(expired, ["a at 1000", "b at 1500"])
    })
  )

  it.effect("end with their scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { add, expired } = yield* Scope.provide(ticking, scope)
      add("a")
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(2000)
      assert.deepStrictEqual(expired, [])
    })
  )
})
