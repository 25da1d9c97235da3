/** The driver's book of a run: the results of its tasks, and their sums. */
import type { RowAccount } from "../Action.ts"
import type * as Events from "../../observe/Events.ts"
import type { Stage } from "../../plan/Stage.ts"
import { applyAll } from "../../task/internal/additions.ts"
import type { LetterFile } from "../../task/internal/letters.ts"
import { addMetrics, makeMetrics, totals } from "../../task/internal/metrics.ts"
import type { Recorder, TaskResult } from "../../task/internal/run.ts"
import { unreadRows, type ValueOf } from "../../task/internal/values.ts"
import type { DeadLetter, TaskMetrics } from "../../task/TaskContext.ts"
import { shown } from "./letters.ts"

/** The state of a run so far. */
export interface Progress {
  /** The sums over the tasks that succeeded. */
  readonly finished: TaskMetrics
  readonly running: Set<TaskMetrics>
  /** The first rows that were set aside. */
  readonly firstLetters: Array<DeadLetter>
  /** The results of the tasks that count, by stage and partition; if several attempts succeeded, of the last one. */
  readonly done: Map<number, Map<number, Pick<TaskResult, "account" | "letters">>>
  /** The tasks that have been counted, by stage. */
  readonly counted: Map<number, Set<number>>
  tasksDone: number
}

export const makeProgress = (): Progress => ({
  finished: makeMetrics(),
  running: new Set(),
  firstLetters: [],
  done: new Map(),
  counted: new Map(),
  tasksDone: 0
})

/** The sums over the tasks that have ended and those that still run. */
export const snapshot = ({ finished, running }: Progress): Events.Totals => {
  const sum = makeMetrics()
  addMetrics(sum, finished)
  for (const metrics of running) addMetrics(sum, metrics)
  return totals(sum)
}

const countersOf = (progress: Progress, metrics: TaskMetrics): void => {
  const { counters } = progress.finished
  for (const [key, value] of metrics.counters) counters.set(key, (counters.get(key) ?? 0) + value)
}

/**
 * Counts the result of a task. Called for one attempt at each task, and again for a task that runs again because its
 * output was lost. In that case only its request counters are added, which hold however it ended, and the account is
 * that of the last attempt.
 */
export const count = (progress: Progress, stage: Stage, partition: number, done: TaskResult): void => {
  const ahead = stage.work?.ahead === true
  if (!ahead) {
    const tasks = progress.done.get(stage.id) ?? new Map<number, Pick<TaskResult, "account" | "letters">>()
    progress.done.set(stage.id, tasks.set(partition, { account: done.account, letters: done.letters }))
  }
  const counted = progress.counted.get(stage.id) ?? new Set()
  progress.counted.set(stage.id, counted)
  if (counted.has(partition)) return countersOf(progress, done.metrics)
  counted.add(partition)
  // The rows of a stage that reads ahead are read again by the stage that it reads ahead for.
  addMetrics(progress.finished, ahead ? { ...done.metrics, deadLettered: 0 } : done.metrics)
  progress.tasksDone++
  if (!ahead) applyAll(done.additions)
}

/**
 * The account of a job so far: what has become of the rows of all its sources. `written` counts those of the result
 * stage; rows of an exchange that nobody reads are cut.
 */
export const accountOf = ({ done }: Progress, result: number, valueOf: ValueOf): RowAccount => {
  const sum = { read: 0, deadLettered: 0, cut: 0, written: 0 }
  const reads = new Map<number, Set<number | undefined>>()
  for (const [stage, tasks] of done) {
    for (const { account } of tasks.values()) {
      sum.read += account.source
      sum.deadLettered += account.setAside
      sum.cut += account.cut
      if (stage === result) sum.written += account.out
      for (const { partition, stage } of account.reads) {
        reads.set(stage, (reads.get(stage) ?? new Set()).add(partition))
      }
    }
  }
  for (const stage of done.keys()) sum.cut += unreadRows(valueOf(stage), reads.get(stage) ?? new Set())
  return { ...sum, filtered: sum.read - sum.deadLettered - sum.cut - sum.written }
}

/** The files of the rows set aside, in the order of stages and partitions. */
export const lettersOf = ({ done }: Progress): ReadonlyArray<LetterFile> =>
  Array.from(done)
    .toSorted(([left], [right]) => left - right)
    .flatMap(([, tasks]) =>
      Array.from(tasks)
        .toSorted(([left], [right]) => left - right)
        .flatMap(([, { letters }]) => letters ?? [])
    )

/** Records what the attempts of a run report. */
export const recorderOf = (progress: Progress, valueOf: ValueOf): Recorder => ({
  began: (metrics) => void progress.running.add(metrics),
  ended: (metrics, succeeded) => {
    progress.running.delete(metrics)
    if (!succeeded) countersOf(progress, metrics)
  },
  setAside: (letter) => {
    if (progress.firstLetters.length < shown) progress.firstLetters.push(letter)
  },
  valueOf
})
