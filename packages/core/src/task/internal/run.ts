/** The executor's side of a task: one attempt, from the description of the task to its result. */
import { Cause, Effect, Exit, Result, Stream } from "effect"
import type { Events } from "../../observe/Events.ts"
import type { Backend } from "../../storage/Storage.ts"
import { ExecutorLost, type Location, OperatorDefect, type Reason } from "../JobError.ts"
import * as Origin from "../Origin.ts"
import type { Environment, Task } from "../Task.ts"
import { Current, type DeadLetter, type TaskMetrics, type TaskSplit } from "../TaskContext.ts"
import { type Account, countRows, rowsOfBatch, settle, weighBatches, weighRows } from "./account.ts"
import type { Additions } from "./additions.ts"
import type { Book } from "./book.ts"
import { type LetterFile, makeLetterWriter } from "./letters.ts"
import { makeMetrics } from "./metrics.ts"
import type { Rows } from "./rows.ts"
import { EngineFailure, raceAbort, type TaskRuntime } from "./runtime.ts"
import type { ValueOf } from "./values.ts"

/**
 * A failure on its way from a task to the caller of the action: what failed, and where. Errors of the program are
 * wrapped as `Failed`, so that nothing on the way can mistake one for a failure of the engine.
 */
export type TaskFailure =
  | { readonly _tag: "Failed"; readonly error: unknown }
  | { readonly _tag: "Engine"; readonly reason: Reason; readonly at: Location }

export const isTaskFailure = (u: unknown): u is TaskFailure =>
  typeof u === "object" && u !== null && "_tag" in u && (u._tag === "Failed" || u._tag === "Engine")

/**
 * Whether another attempt may avoid it, as when the storage did not answer or a spill is damaged. The engine does not
 * judge errors of the program.
 */
export const passes = (failure: TaskFailure | ExecutorLost): boolean =>
  failure._tag === "Engine" && "isRetryable" in failure.reason && failure.reason.isRetryable

/** The result of a task, and what comes with it when it counts. */
export interface TaskResult {
  readonly value: unknown
  readonly metrics: TaskMetrics
  readonly additions: Additions
  readonly account: Account
  /** The rows that it set aside, if there is a place for them. */
  readonly letters: LetterFile | undefined
}

/** What a stage says about its tasks, and about this one. */
export interface Input {
  readonly partitions: number
  readonly split: TaskSplit | undefined
  /** Whether the stage only looks at rows that a later stage reads again. */
  readonly ahead: boolean
  /** Whether its rows go to the action, and not to another stage. */
  readonly isResult: boolean
  readonly read: (task: TaskRuntime) => Rows
  readonly work: (rows: Rows, task: TaskRuntime) => Effect.Effect<unknown, unknown, unknown>
}

/** What an attempt reports to the book of its run. */
export interface Recorder {
  readonly began: (metrics: TaskMetrics) => void
  /** A failed attempt leaves only its request counters, which hold however it ended. */
  readonly ended: (metrics: TaskMetrics, succeeded: boolean) => void
  readonly setAside: (letter: DeadLetter) => void
  readonly valueOf: ValueOf
}

/** The run that attempts belong to. */
export interface RunHead {
  readonly recorder: Recorder
  readonly events: Events["Service"]
  readonly storage: Backend
  /** The folder for the rows set aside, if the action has one. */
  readonly letters: Effect.Effect<string, Reason> | undefined
  /** Whether elements may be record batches. */
  readonly batches: boolean
  /** Fails if more rows have been set aside than allowed. */
  readonly checkLetters: Effect.Effect<void, Reason>
  /** The fields that every event of the job begins with, for the present time. */
  readonly event: Effect.Effect<{ readonly job: string; readonly name: string; readonly at: number }>
}

/** One attempt at a task, with its events and metrics. */
export const attempt = Effect.fnUntraced(function* (
  { batches, checkLetters, event, events, letters, recorder, storage }: RunHead,
  { attempt, locality, partition, run: jobId, stage }: Task,
  { ahead, isResult, partitions, read, split, work }: Input,
  environment: Environment
): Effect.fn.Return<TaskResult, TaskFailure, unknown> {
  const { info } = environment
  const label = split === undefined ? {} : { split: split.label }
  const at: Location = { stage, partition, attempt, executor: info.id, host: info.host, ...label }
  const head = { stage, partition, attempt, executor: info.id }
  yield* events.publish({ _tag: "TaskStarted", ...(yield* event), ...head, locality, ...label })
  const metrics = makeMetrics()
  recorder.began(metrics)
  const additions = new Map<string, unknown>()
  const book: Book = { ahead, exchanged: 0, out: 0, unread: 0, reads: [] }
  const run = Effect.fnUntraced(function* (
    abort: TaskRuntime["abort"]
  ): Effect.fn.Return<Pick<TaskResult, "value" | "letters">, unknown, unknown> {
    const writer =
      letters === undefined || ahead
        ? undefined
        : yield* makeLetterWriter(
            storage,
            Effect.map(letters, (folder) => `${folder}/${stage}-${partition}-${attempt}.jsonl`),
            abort
          )
    const setAside = Effect.fnUntraced(function* (letter: DeadLetter) {
      metrics.deadLettered++
      if (ahead) return
      recorder.setAside(letter)
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
      stage,
      partition,
      partitions,
      attempt,
      executor: info,
      split,
      metrics,
      additions,
      deadLetter: setAside,
      abort,
      services: environment.services,
      stageValue: recorder.valueOf,
      weigh: batches ? weighBatches : weighRows,
      rowsOf: batches ? rowsOfBatch : undefined,
      book
    }
    const rows = Stream.suspend(() =>
      countRows(read(task), task, (n) => {
        book.out += n
        // Rows that one stage hands to another have not left the job.
        if (isResult) metrics.rowsOut += n
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
    // By now, streams that were left early have been closed, and the rows that they held are in the account.
    Effect.flatMap(({ letters, value }) =>
      Result.match(settle(metrics, book), {
        onSuccess: (account) => Effect.succeed<TaskResult>({ value, metrics, additions, account, letters }),
        onFailure: (reason) => Effect.fail(new EngineFailure(reason))
      })
    ),
    Effect.catchCause((cause) => Effect.failCause(taskFailure(cause, at))),
    Effect.onExit((exit) => {
      recorder.ended(metrics, Exit.isSuccess(exit))
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
  // Only interrupts are left, which have no error to map.
  return Cause.map(cause, (): TaskFailure => ({ _tag: "Failed", error: undefined }))
}
