import { assert, it } from "@effect/vitest"

/**
 * Tests of a state with pure decisions. `end` ends everything that a test has begun, and says whether anything is left:
 * every test ends with that.
 */
export const idleTests =
  <Args extends ReadonlyArray<unknown>, Started>(
    start: (...args: Args) => Started,
    end: (started: Started) => boolean
  ) =>
  (title: string, body: (start: (...args: Args) => Started) => void, timeout?: number): void =>
    it(
      title,
      () => {
        const begun: Array<Started> = []
        body((...args) => {
          const started = start(...args)
          begun.push(started)
          return started
        })
        assert.isNotEmpty(begun, "a test of a state has one")
        for (const started of begun) assert.isTrue(end(started), "something is left of what the test has begun")
      },
      timeout
    )
