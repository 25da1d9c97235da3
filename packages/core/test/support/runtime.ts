import { Effect, Stream } from "effect"
import { weighRows } from "../../src/task/internal/account.ts"
import { makeMetrics } from "../../src/task/internal/metrics.ts"
import type { TaskRuntime } from "../../src/task/internal/runtime.ts"
import type { Partition } from "../../src/plan/Stage.ts"

/** A task that runs nowhere. */
export const taskOf = (): TaskRuntime => {
  const metrics = makeMetrics()
  return {
    jobId: "job",
    stage: 0,
    partition: 0,
    partitions: 1,
    attempt: 0,
    executor: { id: "a", host: "a", slots: 1 },
    split: undefined,
    metrics,
    additions: new Map(),
    deadLetter: () =>
      Effect.sync(() => {
        metrics.deadLettered++
      }),
    abort: (reason) => Effect.die(reason),
    services: () => Effect.die("no services"),
    stageValue: () => undefined,
    weigh: weighRows,
    rowsOf: undefined,
    asLines: false,
    book: { ahead: false, exchanged: 0, out: 0, unread: 0, reads: [] }
  }
}

/** The partition of this number, on a host of the same, of one row that names it. */
export const partitionOf = (index: number, partition: Partial<Partition> = {}): Partition => ({
  split: undefined,
  rows: undefined,
  bytes: 0,
  hosts: [`host ${index}`],
  read: () => Stream.make(`row of ${index}`),
  ...partition
})
