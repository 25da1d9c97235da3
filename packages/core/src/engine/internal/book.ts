/** The driver's book of a run: what its tasks came to, and what that amounts to. */
import type { RowAccount } from "../Action.ts"
import type * as Events from "../../observe/Events.ts"
import type { Stage } from "../../plan/Stage.ts"
import type { LetterFile } from "../../task/internal/letters.ts"
import { addMetrics, makeMetrics, totals } from "../../task/internal/metrics.ts"
import type { Recorder, TaskResult } from "../../task/internal/run.ts"
import { unreadRows, type ValueOf } from "../../task/internal/values.ts"
import type { DeadLetter, TaskMetrics } from "../../task/TaskContext.ts"
import { shown } from "./letters.ts"

/** What a run has come to so far. */
export interface Progress {
  /** The sums of tasks that succeeded. */
  readonly finished: TaskMetrics
  readonly running: Set<TaskMetrics>
  /** The first rows that were set aside. */
  readonly firstLetters: Array<DeadLetter>
  /** What the tasks that count came to, by stage and partition; where several attempts succeeded, the last. */
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

/** The sums of what has ended and what still runs. */
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
 * What a task brought counts: called for one attempt at each, and again for one that is run again because what it wrote was lost. Then
 * only its request counters count, which are true whatever its end, and the account is that of the last.
 */
export const count = (progress: Progress, stage: Stage, partition: number, done: TaskResult): void => {
  const ahead = stage.work?.ahead === true
  if (!ahead) {
    const tasks = progress.done.get(stage.id) ?? new Map<number, Pick<TaskResult, "account" | "letters">>()
    progress.done.set(stage.id, tasks.set(partition, done))
  }
  const counted = progress.counted.get(stage.id) ?? new Set()
  progress.counted.set(stage.id, counted)
  if (counted.has(partition)) return countersOf(progress, done.metrics)
  counted.add(partition)
  // The rows of a stage that reads ahead are read again by the stage it reads ahead for.
  addMetrics(progress.finished, ahead ? { ...done.metrics, deadLettered: 0 } : done.metrics)
  progress.tasksDone++
  for (const effect of done.effects) effect()
}

/**
 * The account of a job so far: of all its sources' rows, what became of them. `written` are those of the result stage; what an exchange
 * has for nobody is cut.
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

/** Writes down what the attempts of a run tell. */
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
