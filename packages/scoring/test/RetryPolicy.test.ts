import { RetryPolicy } from "@sluice/scoring"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Random, Schema } from "effect"

const at = (
  attempt: number,
  more: { readonly random?: number; readonly elapsed?: number; readonly retryAfter?: number } = {}
) => RetryPolicy.delay(RetryPolicy.defaults, { attempt, elapsed: 0, random: 0.5, ...more })

describe("RetryPolicy", () => {
  it("doubles from 100 ms up to 10 s, and goes on as long as there is time", () => {
    assert.deepStrictEqual(
      [1, 2, 3, 4, 5, 8, 500].map((n) => at(n)),
      [100, 200, 400, 800, 1600, 10_000, 10_000]
    )
    assert.isUndefined(RetryPolicy.delay(RetryPolicy.never, { attempt: 1, elapsed: 0, random: 0.5 }))
    assert.isUndefined(
      RetryPolicy.delay({ ...RetryPolicy.defaults, retryFor: 0 }, { attempt: 1, elapsed: 0, random: 0.5 })
    )
  })

  it("spreads a wait between 0.75 and 1.25 times", () => {
    assert.strictEqual(at(1, { random: 0 }), 75)
    assert.strictEqual(at(1, { random: 1 }), 125)
  })

  it("caps the wait at 10 s", () => {
    const policy = { ...RetryPolicy.defaults, maxAttempts: 100 }
    assert.strictEqual(RetryPolicy.delay(policy, { attempt: 50, elapsed: 0, random: 0.5 }), 10_000)
  })

  it("waits at least as long as Retry-After says, and never shorter than the backoff", () => {
    assert.strictEqual(at(1, { retryAfter: 3000 }), 3000)
    assert.strictEqual(at(1, { retryAfter: 0 }), 100)
  })

  it("cuts an absurd Retry-After to 60 s", () => {
    assert.strictEqual(at(1, { retryAfter: 86_400_000 }), 60_000)
  })

  it("counts a Retry-After as an attempt like any other failure", () => {
    const policy = { ...RetryPolicy.defaults, maxAttempts: 5 }
    assert.strictEqual(RetryPolicy.delay(policy, { attempt: 4, elapsed: 0, random: 0.5, retryAfter: 10 }), 800)
    assert.isUndefined(RetryPolicy.delay(policy, { attempt: 5, elapsed: 0, random: 0.5, retryAfter: 10 }))
  })

  it("gives up where the next request would start after the time is over", () => {
    assert.strictEqual(at(2, { elapsed: 119_000 }), 200)
    assert.isUndefined(at(2, { elapsed: 119_900 }))
  })

  it("stops for policies that make no sense", () => {
    assert.isUndefined(
      RetryPolicy.delay({ ...RetryPolicy.defaults, maxAttempts: NaN }, { attempt: 1, elapsed: 0, random: 0 })
    )
  })

  it.effect.prop(
    "ends for every policy within its attempts and its time",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 })),
      Schema.Boolean,
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5000 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 200 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))
    ],
    ([attempts, bounded, retryFor, base, retryAfter]) =>
      Effect.gen(function* () {
        const maxAttempts = bounded ? attempts : Infinity
        const policy = { ...RetryPolicy.defaults, maxAttempts, base, retryFor: Duration.millis(retryFor) }
        let elapsed = 0
        let attempt = 1
        for (; ; attempt++) {
          const wait = RetryPolicy.delay(policy, { attempt, elapsed, random: yield* Random.next, retryAfter })
          if (wait === undefined) break
          assert.isAtLeast(wait, 1)
          elapsed += wait
        }
        assert.isAtMost(attempt, maxAttempts)
        assert.isAtMost(elapsed, retryFor)
      })
  )

  describe("parseRetryAfter", () => {
    const now = Date.parse("Sun, 22 Nov 2026 12:00:00 GMT")
    it.each([
      ["numeric", "7", 7000],
      ["fractional", "0.5", 500],
      ["zero", "0", 0],
      ["an HTTP date", "Sun, 22 Nov 2026 12:00:30 GMT", 30_000],
      ["a date in the past", "Sun, 22 Nov 2026 11:00:00 GMT", 0],
      ["negative", "-5", undefined],
      ["not a number", "soon", undefined],
      ["empty", "", undefined],
      ["missing", undefined, undefined],
      ["absurd", "99999999999", 99_999_999_999_000]
    ])("reads %s", (_, header, expected) => {
      assert.strictEqual(RetryPolicy.parseRetryAfter(header, now), expected)
    })
  })
})
