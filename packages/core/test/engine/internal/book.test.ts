import { Accumulator } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { accountOf, count, lettersOf, makeProgress } from "../../../src/engine/internal/book.ts"
import type { TaskResult } from "../../../src/task/internal/run.ts"
import { makeMetrics } from "../../../src/task/internal/metrics.ts"
import type { Stage } from "../../../src/plan/Stage.ts"

const stage = (id: number, kind: "result" | "inner" | "ahead"): Stage => ({
  id,
  parents: [],
  kept: [],
  shuffles: false,
  asLines: false,
  why: "",
  partitions: [],
  adapt: undefined,
  steps: [],
  work:
    kind === "result"
      ? undefined
      : { task: () => Effect.void, combine: () => ({ _tag: "Offsets", offsets: [] }), ahead: kind === "ahead" }
})

interface Rows {
  readonly source: number
  readonly out: number
  readonly setAside: number
  readonly cut: number
}

const none: Rows = { source: 0, out: 0, setAside: 0, cut: 0 }

const noValue = () => undefined

/** A task that succeeded with these rows and made one request. */
const done = (rows: Partial<Rows>, more: Partial<TaskResult> = {}): TaskResult => {
  const account = { ...none, ...rows, in: rows.source ?? 0, filtered: 0, reads: [] }
  return {
    value: undefined,
    metrics: {
      ...makeMetrics(),
      rowsIn: account.in,
      deadLettered: account.setAside,
      counters: new Map([["requests", 1]])
    },
    additions: new Map(),
    account,
    letters: undefined,
    ...more
  }
}

describe("the account of a job", () => {
  it("is of the rows of all sources: those of the result are written, what is missing was filtered", () => {
    const progress = makeProgress()
    count(progress, stage(0, "inner"), 0, done({ source: 100, out: 60, setAside: 7, cut: 20 }))
    count(progress, stage(0, "inner"), 1, done({ source: 10, out: 10 }))
    count(progress, stage(2, "result"), 0, done({ source: 5, out: 40, setAside: 1, cut: 3 }))
    assert.deepStrictEqual(accountOf(progress, 2, noValue), {
      read: 115,
      deadLettered: 8,
      cut: 23,
      written: 40,
      filtered: 44
    })
    assert.strictEqual(progress.tasksDone, 3)
    assert.deepStrictEqual(accountOf(makeProgress(), 0, noValue), {
      read: 0,
      deadLettered: 0,
      cut: 0,
      written: 0,
      filtered: 0
    })
  })

  it("has no rows of a stage that only looks ahead, and of a task that ran twice those of the last", () => {
    const progress = makeProgress()
    count(progress, stage(0, "ahead"), 0, done({ source: 50, out: 1, setAside: 2 }))
    count(progress, stage(1, "result"), 0, done({ source: 30, out: 30, setAside: 4 }))
    count(progress, stage(1, "result"), 0, done({ source: 31, out: 20, setAside: 5 }))
    assert.deepStrictEqual(accountOf(progress, 1, noValue), {
      read: 31,
      deadLettered: 5,
      cut: 0,
      written: 20,
      filtered: 6
    })
    // The metrics are those of the first, except the requests, which were sent each time.
    const { counters, deadLettered, rowsIn } = progress.finished
    assert.deepStrictEqual([rowsIn, deadLettered, counters.get("requests"), progress.tasksDone], [80, 4, 3, 2])
  })

  it("adds what a task has added to accumulators once, and to those it names", () => {
    const progress = makeProgress()
    const [one, other, third] = [1, 10, 100].map((zero) =>
      Accumulator.make(zero, (left: number, right: number) => left + right)
    )
    if (one === undefined || other === undefined || third === undefined) return assert.fail()
    const additions = new Map<string, unknown>([
      [one.id, 2],
      [other.id, 20],
      ["of nobody", 7]
    ])
    count(progress, stage(0, "result"), 0, done({}, { additions }))
    count(progress, stage(0, "result"), 0, done({}, { additions }))
    count(progress, stage(0, "result"), 1, done({}, { additions: new Map([[one.id, 5]]) }))
    assert.deepStrictEqual(
      [one, other, third].map((sum) => Effect.runSync(Accumulator.get(sum))),
      [8, 30, 100]
    )
  })
})

describe("the rows that a job has set aside", () => {
  it("come in the order of stages and partitions, in whichever order the tasks ended", () => {
    const tasks = fc.uniqueArray(fc.tuple(fc.nat(12), fc.nat(12), fc.boolean()), {
      selector: ([stage, partition]) => `${stage} ${partition}`,
      maxLength: 40
    })
    fc.assert(
      fc.property(tasks, (ended) => {
        const progress = makeProgress()
        for (const [id, partition, some] of ended) {
          const letters = some ? { path: `${id}-${partition}`, rows: 1 } : undefined
          count(progress, stage(id, "inner"), partition, done({}, { letters }))
        }
        assert.deepStrictEqual(
          lettersOf(progress).map(({ path }) => path),
          ended
            .filter(([, , some]) => some)
            .toSorted(([a, c], [b, d]) => a - b || c - d)
            .map(([id, partition]) => `${id}-${partition}`)
        )
      })
    )
  })
})
