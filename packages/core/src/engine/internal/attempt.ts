import { Cause, Effect, Exit, Result, Stream } from "effect"
import type { RowAccount, Spec } from "../Action.ts"
import type * as Events from "../../observe/Events.ts"
import type { Environment } from "../Executor.ts"
import { ExecutorLost, type Location, OperatorDefect, type Reason } from "../../task/JobError.ts"
import * as Origin from "../../task/Origin.ts"
import type { Locality } from "./scheduler/state.ts"
import type { Partition, Stage } from "../../plan/Stage.ts"
import type { Backend } from "../../storage/Storage.ts"
import { Current, type DeadLetter, type TaskMetrics } from "../../task/TaskContext.ts"
import { type Account, countRows, rowsOfBatch, settle, weighBatches, weighRows } from "../../task/internal/account.ts"
import type { Book } from "../../task/internal/book.ts"
import { addMetrics, makeMetrics, totals } from "../../task/internal/metrics.ts"
import { EngineFailure, raceAbort, type TaskRuntime } from "../../task/internal/runtime.ts"
import { type StageValue, unreadRows } from "../../task/internal/values.ts"
import { type LetterFile, makeLetterWriter, shown } from "./letters.ts"

// A failure on its way from a task to the caller of the action: what failed, and where. The user's own errors are `Failed`, so
// that nothing on the way can take one for an engine failure.
export type TaskFailure =
  | { readonly _tag: "Failed"; readonly error: unknown }
  | { readonly _tag: "Engine"; readonly reason: Reason; readonly at: Location }

export const isTaskFailure = (u: unknown): u is TaskFailure =>
  typeof u === "object" && u !== null && "_tag" in u && (u._tag === "Failed" || u._tag === "Engine")

/** Whether another attempt may not meet it: storage that did not answer, a spill that is damaged. The program's own errors are not ours to judge. */
export const passes = (failure: TaskFailure | ExecutorLost): boolean =>
  failure._tag === "Engine" && "isRetryable" in failure.reason && failure.reason.isRetryable

/** A task's result and what comes with it once it counts. */
export interface TaskResult {
  readonly value: unknown
  readonly metrics: TaskMetrics
  readonly effects: ReadonlyArray<() => void>
  readonly account: Account
  /** The rows it set aside, where there is a place for them. */
  readonly letters: LetterFile | undefined
}

/** What a run has come to so far. */
export interface Progress {
  /** The sums of tasks that succeeded. */
  readonly finished: TaskMetrics
  readonly running: Set<TaskMetrics>
  /** The first rows that were set aside. */
  readonly firstLetters: Array<DeadLetter>
  /** What the tasks that count came to, by stage and partition; where several attempts succeeded, the last. */
  readonly done: Map<number, Map<number, Pick<TaskResult, "account" | "letters">>>
  readonly stageValues: Map<number, StageValue>
  /** The tasks that have been counted, by stage. */
  readonly counted: Map<number, Set<number>>
  tasksDone: number
}

export const makeProgress = (): Progress => ({
  finished: makeMetrics(),
  running: new Set(),
  firstLetters: [],
  done: new Map(),
  stageValues: new Map(),
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
export const accountOf = ({ done, stageValues }: Progress, result: number): RowAccount => {
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
  for (const stage of done.keys()) sum.cut += unreadRows(stageValues.get(stage), reads.get(stage) ?? new Set())
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

/** The job that attempts belong to. */
export interface JobHead {
  readonly jobId: string
  readonly progress: Progress
  readonly events: Events.Events["Service"]
  readonly storage: Backend
  /** The folder for the rows set aside, where the action has a place for them. */
  readonly letters: Effect.Effect<string, Reason> | undefined
  /** Whether elements may be record batches. */
  readonly batches: boolean
  /** Fails where more rows have been set aside than may be. */
  readonly checkLetters: Effect.Effect<void, Reason>
  /** What every event of the job begins with, now. */
  readonly event: Effect.Effect<{ readonly job: string; readonly name: string; readonly at: number }>
}

/** One attempt at a task, with its events and metrics. */
export const attempt = Effect.fnUntraced(function* (
  { batches, checkLetters, event, events, jobId, letters, progress, storage }: JobHead,
  stage: Stage,
  input: Partition,
  which: { readonly partition: number; readonly attempt: number; readonly locality: Locality },
  environment: Environment,
  work: Spec["task"]
): Effect.fn.Return<TaskResult, TaskFailure, unknown> {
  const { attempt, locality, partition } = which
  const { info } = environment
  const split = input.split === undefined ? {} : { split: input.split.label }
  const at: Location = { stage: stage.id, partition, attempt, executor: info.id, host: info.host, ...split }
  const head = { stage: stage.id, partition, attempt, executor: info.id }
  yield* events.publish({ _tag: "TaskStarted", ...(yield* event), ...head, locality, ...split })
  const metrics = makeMetrics()
  progress.running.add(metrics)
  const effects: Array<() => void> = []
  const ahead = stage.work?.ahead === true
  const book: Book = { ahead, exchanged: 0, out: 0, unread: 0, reads: [] }
  const run = Effect.fnUntraced(function* (
    abort: TaskRuntime["abort"]
  ): Effect.fn.Return<Pick<TaskResult, "value" | "letters">, unknown, unknown> {
    const writer =
      letters === undefined || ahead
        ? undefined
        : yield* makeLetterWriter(
            storage,
            Effect.map(letters, (folder) => `${folder}/${stage.id}-${partition}-${attempt}.jsonl`),
            abort
          )
    const setAside = Effect.fnUntraced(function* (letter: DeadLetter) {
      metrics.deadLettered++
      if (ahead) return
      if (progress.firstLetters.length < shown) progress.firstLetters.push(letter)
      yield* Effect.catch(checkLetters, abort)
      if (writer !== undefined) yield* writer.write(letter)
      yield* events.publish({
        _tag: "DeadLettered",
        ...(yield* event),
        ...head,
        path: letter.path,
        rowGroup: letter.rowGroup,
        row: letter.row,
        line: letter.line,
        afterByte: letter.afterByte,
        reason: letter.reason
      })
    })
    const task: TaskRuntime = {
      jobId,
      stage: stage.id,
      partition,
      partitions: stage.partitions.length,
      attempt,
      executor: info,
      split: input.split,
      metrics,
      onSuccess: (effect) => effects.push(effect),
      deadLetter: setAside,
      abort,
      services: environment.services,
      stageValue: (id) => progress.stageValues.get(id),
      weigh: batches ? weighBatches : weighRows,
      rowsOf: batches ? rowsOfBatch : undefined,
      book
    }
    const rows = Stream.suspend(() =>
      countRows(input.read(task), task, (n) => {
        book.out += n
        // What one stage hands to another has not left the job.
        if (stage.work === undefined) metrics.rowsOut += n
      })
    )
    const value = yield* Effect.provideService(
      Effect.suspend(() => work(rows, task)),
      Current,
      task
    )
    return { value, letters: writer === undefined ? undefined : yield* writer.end }
  }, Effect.scoped)
  return yield* raceAbort(run).pipe(
    // Streams that were left early have been closed by now, and what they held is booked.
    Effect.flatMap(({ letters, value }) =>
      Result.match(settle(metrics, book), {
        onSuccess: (account) => Effect.succeed<TaskResult>({ value, metrics, effects, account, letters }),
        onFailure: (reason) => Effect.fail(new EngineFailure(reason))
      })
    ),
    Effect.catchCause((cause) => Effect.failCause(taskFailure(cause, at))),
    Effect.onExit((exit) => {
      progress.running.delete(metrics)
      // An attempt that failed leaves nothing but its request counters, which are true whatever its end.
      if (Exit.isFailure(exit)) countersOf(progress, metrics)
      return Effect.flatMap(event, (job) =>
        events.publish({
          _tag: "TaskEnded",
          ...job,
          ...head,
          outcome: Exit.isSuccess(exit) ? "success" : Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "failure"
        })
      )
    })
  )
})

const taskFailure = (cause: Cause.Cause<unknown>, at: Location): Cause.Cause<TaskFailure> => {
  const error = Cause.findError(cause)
  if (Result.isSuccess(error)) {
    if (error.success instanceof EngineFailure) return Cause.fail({ _tag: "Engine", reason: error.success.reason, at })
    if (error.success instanceof ExecutorLost) return Cause.fail({ _tag: "Engine", reason: error.success, at })
    return Cause.fail({ _tag: "Failed", error: error.success })
  }
  const defect = Cause.findDefect(cause)
  if (Result.isSuccess(defect)) {
    const origin = Origin.ofDefect(defect.success)
    return Cause.fail({ _tag: "Engine", reason: new OperatorDefect({ defect: defect.success, origin }), at })
  }
  // Only interrupts are left, and they have no error to map.
  return Cause.map(cause, (): TaskFailure => ({ _tag: "Failed", error: undefined }))
}
