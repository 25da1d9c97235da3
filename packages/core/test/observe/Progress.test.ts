import { Events, Progress } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"

const totals = (rowsRead: number, more: Partial<Events.Totals> = {}): Events.Totals => ({
  rowsRead,
  rowsIn: rowsRead,
  bytesRead: rowsRead * 10,
  rowsAhead: 0,
  bytesAhead: 0,
  rowsOut: rowsRead,
  bytesWritten: 0,
  rowsFiltered: 0,
  rowsCut: 0,
  deadLettered: 0,
  counters: {},
  gauges: {},
  ...more
})

const head = { job: "1", name: "classify" }

const events: ReadonlyArray<Events.Event> = [
  { _tag: "JobStarted", ...head, at: 0, fingerprint: "", tasks: 4, rows: 10_000, bytes: 100_000 },
  { _tag: "Progress", ...head, at: 500, tasksDone: 0, tasks: 4, totals: totals(50) },
  {
    _tag: "Progress",
    ...head,
    at: 2000,
    tasksDone: 1,
    tasks: 4,
    totals: totals(2500, { gauges: { inFlight: 7 }, counters: { retries: 2 } })
  },
  {
    _tag: "DeadLettered",
    ...head,
    at: 2000,
    stage: 0,
    partition: 0,
    attempt: 0,
    executor: "a",
    path: "in.jsonl",
    row: 3,
    reason: "bad"
  },
  { _tag: "Progress", ...head, at: 15_000, tasksDone: 2, tasks: 4, totals: totals(5000) },
  { _tag: "JobEnded", ...head, at: 125_000, outcome: "success", millis: 125_000, totals: totals(10_000) }
]

/** What is written for the events. */
const shown = (
  options: { readonly isTTY: boolean; readonly columns?: number },
  published: ReadonlyArray<Events.Event> = events
) =>
  Effect.gen(function* () {
    let text = ""
    const output = { ...options, write: (piece: string) => (text += piece) }
    yield* Effect.gen(function* () {
      const bus = yield* Events.Events
      yield* Effect.forEach(published, bus.publish)
      for (let i = 0; i < 100; i++) yield* Effect.yieldNow
    }).pipe(Effect.provide(Layer.provideMerge(Progress.layer({ output }), Events.layer)))
    return text
  })

describe("Progress", () => {
  it.effect("writes plain lines now and then where there is no terminal", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* shown({ isTTY: false })).split("\n"), [
        "classify: set aside in.jsonl, row 3: bad",
        "classify:  50 %, 5,000/10,000 rows, 333 rows/s, ETA 15 s, 48.8 KiB/97.7 KiB, 2/4 tasks",
        "classify: done in 2:05 min, 10,000 rows read, 10,000 out",
        ""
      ])
    })
  )

  it.effect("draws one line over on a terminal, and ends with a plain one", () =>
    Effect.gen(function* () {
      const text = yield* shown({ isTTY: true, columns: 60 })
      const drawn = text.split("\r\u001b[2K")
      // No guess before a second is over.
      assert.strictEqual(
        drawn[0],
        "classify:   0 %, 50/10,000 rows, 100 rows/s, 500 B/97.7 KiB, 0/4 tasks".slice(0, 59)
      )
      assert.include(drawn[1], "classify:  25 %, 2,500/10,000 rows, 1,250 rows/s, ETA 6 s")
      assert.isTrue(drawn.every((line) => line.includes("set aside") || line.includes("done") || line.length < 60))
      assert.isTrue(text.endsWith("\r\u001b[2Kclassify: done in 2:05 min, 10,000 rows read, 10,000 out\n"))
    })
  )

  it.effect("says apart what a stage only looked at", () =>
    Effect.gen(function* () {
      const sampled = { rowsAhead: 1000, bytesAhead: 2048 }
      const text = yield* shown({ isTTY: true, columns: 200 }, [
        { _tag: "JobStarted", ...head, at: 0, fingerprint: "", tasks: 4, bytes: 0 },
        { _tag: "Progress", ...head, at: 2000, tasksDone: 1, tasks: 4, totals: totals(0, sampled) },
        { _tag: "JobEnded", ...head, at: 3000, outcome: "success", millis: 3000, totals: totals(5000, sampled) }
      ])
      assert.deepStrictEqual(text.split("\r\u001b[2K"), [
        "classify:  25 %, 0 rows, 1,000 looked at ahead (2.0 KiB), 0 rows/s, ETA 6 s, 1/4 tasks",
        "classify: done in 3 s, 5,000 rows read, 1,000 looked at ahead (2.0 KiB), 5,000 out\n"
      ])
    })
  )

  it.effect("names requests in flight, retries and ETA", () =>
    Effect.gen(function* () {
      const text = yield* shown({ isTTY: true, columns: 200 })
      assert.include(text, "ETA 6 s, 7 in flight, 2 retries, 24.4 KiB/97.7 KiB, 1/4 tasks")
    })
  )

  it("formats bytes and times", () => {
    assert.deepStrictEqual([0, 1023, 1024, 1.5 * 2 ** 30].map(Progress.formatBytes), [
      "0 B",
      "1023 B",
      "1.0 KiB",
      "1.5 GiB"
    ])
    assert.deepStrictEqual([0.4, 59.4, 59.6, 185, 7380].map(Progress.formatSeconds), [
      "0 s",
      "59 s",
      "1:00 min",
      "3:05 min",
      "2:03:00 h"
    ])
  })
})
