import { Batch, Limiter, type RetryPolicy, ScoreError, Scorer } from "@sluice/scoring"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { make, until } from "./faultServer.ts"

const quick: Partial<RetryPolicy.RetryPolicy> = { base: 1, cap: 2, maxAttempts: 3 }
const batch = Batch.make(new Float32Array(8), 4)

/** A limiter that permits everything and keeps account of it. */
const counting = () => {
  const account = { asked: 0, held: 0, concurrency: new Array<number>() }
  const permits = (concurrency: number): Effect.Effect<Limiter.Permits> =>
    Effect.sync(() => {
      account.concurrency.push(concurrency)
      return {
        withPermit: (self) =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              account.asked++
              account.held++
            }),
            () => self,
            () => Effect.sync(() => account.held--)
          )
      }
    })
  return { account, layer: Layer.succeed(Limiter.Limiter, { permits }) }
}

describe("Limiter", () => {
  it.live("has one permit for a batch, its repeated requests included, and gets it back however the batch ends", () =>
    Effect.gen(function* () {
      const { account, layer } = counting()
      const server = yield* make(4, [
        { _tag: "Status", status: 503 },
        { _tag: "Score" },
        { _tag: "Status", status: 400 }
      ])
      const scorer = yield* Effect.provide(
        Scorer.make({ endpoints: [server.url], concurrency: 3, retry: quick }),
        layer
      )
      assert.deepStrictEqual(account.concurrency, [3])
      yield* scorer.score(batch)
      assert.strictEqual(server.requests.length, 2)
      assert.deepInclude(account, { asked: 1, held: 0 })

      const error = yield* Effect.flip(scorer.score(batch))
      assert.strictEqual(error.reason._tag, "Rejected")
      assert.deepInclude(account, { asked: 2, held: 0 })

      server.gated = true
      const interrupted = yield* Effect.forkChild(scorer.score(batch))
      yield* until(() => server.open === 1)
      assert.strictEqual(account.held, 1)
      yield* Fiber.interrupt(interrupted)
      assert.deepInclude(account, { asked: 3, held: 0 })
    })
  )

  it.live("is one limit for all scorers that share it", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      server.gated = true
      const scorers = yield* Effect.forEach(["a", "b"], (name) =>
        Scorer.make({ endpoints: [`${server.url}?scorer=${name}`], concurrency: 8 })
      ).pipe(Effect.provide(Limiter.layerShared(3)))
      const scores = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 12 }, (_, i) => scorers[i % 2]!),
          (scorer) => scorer.score(batch),
          { concurrency: "unbounded" }
        )
      )
      for (let n = 3; n < 12; n++) {
        yield* until(() => server.requests.length === n)
        server.release(1)
      }
      yield* until(() => server.requests.length === 12)
      server.release()
      yield* Fiber.join(scores)
      assert.strictEqual(server.maxOpen, 3)
      assert.strictEqual(new Set(server.requests.map(({ path }) => path)).size, 2)
    })
  )

  it.effect("refuses a number of permits that no request could have", () =>
    Effect.forEach([0, -1, 1.5, Number.NaN], (permits) =>
      Effect.map(Effect.flip(Effect.scoped(Layer.build(Limiter.layerShared(permits)))), (error) => {
        assert.instanceOf(error, ScoreError.ScoreError)
        assert.match(error.message, /permits must be a whole number above 0/)
      })
    )
  )
})
