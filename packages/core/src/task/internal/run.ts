/** The executor's side of a task: one attempt, from the description of the task to its result. */
import { Cause, Effect, Exit, Result, Struct } from "effect"
import type { Tell } from "../../observe/internal/tell.ts"
import type { Backend } from "../../storage/Storage.ts"
import { ExecutorLost, type Location, OperatorDefect, type Reason } from "../JobError.ts"
import * as Origin from "../Origin.ts"
import type { Environment, Task } from "../Task.ts"
import { Current, type DeadLetter, type TaskMetrics, type TaskSplit } from "../TaskContext.ts"
import { type Account, countRows, rowsOfBatch, settle, weighBatches, weighRows } from "./account.ts"
import type { Additions } from "./additions.ts"
import type { Book } from "./book.ts"
import { type LetterFile, type LetterWriter, makeLetterWriter } from "./letters.ts"
import { makeMetrics } from "./metrics.ts"
import { deferred, type Rows } from "./rows.ts"
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
  /** Whether its rows are text that comes as bytes. */
  readonly asLines: boolean
  /** Whether it only draws a sample of them, for which places in them will do. */
  readonly samples: boolean
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
  /** Publishes an event, which is made only if somebody listens. */
  readonly tell: Tell
  readonly storage: Backend
  /** The folder for the rows set aside, if the action has one. */
  readonly letters: Effect.Effect<string, Reason> | undefined
  /** Whether elements may be record batches. */
  readonly batches: boolean
  /** Fails if more rows have been set aside than allowed. */
  readonly checkLetters: Effect.Effect<void, Reason>
}

/** An attempt: its task, its executor, and its state so far. */
interface Attempt {
  readonly run: RunHead
  readonly task: Task
  readonly input: Input
  readonly environment: Environment
  readonly metrics: TaskMetrics
  readonly additions: Map<string, unknown>
  readonly book: Book
}

/** The fields of an attempt's events. */
const placeOf = ({ environment, task }: Attempt) => ({
  stage: task.stage,
  partition: task.partition,
  attempt: task.attempt,
  executor: environment.info.id
})

const labelOf = ({ input: { split } }: Attempt) => (split === undefined ? {} : { split: split.label })

const locationOf = (own: Attempt): Location => ({
  ...placeOf(own),
  host: own.environment.info.host,
  ...labelOf(own)
})

/** Sets a row aside: counts it, writes it if there is a place for it, and reports it. */
const setAside = (
  own: Attempt,
  writer: LetterWriter | undefined,
  abort: TaskRuntime["abort"],
  letter: DeadLetter
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { input, metrics, run } = own
    metrics.deadLettered++
    if (input.ahead) return Effect.void
    run.recorder.setAside(letter)
    const told = run.tell((head) => ({
      _tag: "DeadLettered",
      ...head,
      ...placeOf(own),
      ...Struct.omit(letter, ["value"])
    }))
    const checked = Effect.catch(run.checkLetters, abort)
    return writer === undefined
      ? Effect.andThen(checked, told)
      : Effect.andThen(Effect.andThen(checked, writer.write(letter)), told)
  })

const runtimeOf = (own: Attempt, writer: LetterWriter | undefined, abort: TaskRuntime["abort"]): TaskRuntime => {
  const { additions, book, environment, input, metrics, run, task } = own
  return {
    jobId: task.run,
    stage: task.stage,
    partition: task.partition,
    partitions: input.partitions,
    attempt: task.attempt,
    executor: environment.info,
    split: input.split,
    metrics,
    additions,
    deadLetter: (letter) => setAside(own, writer, abort, letter),
    abort,
    services: environment.services,
    stageValue: run.recorder.valueOf,
    weigh: run.batches || input.asLines ? weighBatches : weighRows,
    rowsOf: run.batches ? rowsOfBatch : undefined,
    asLines: input.asLines,
    sampling: input.samples ? { places: undefined, bytes: 0, bytesOfPlaces: 0 } : undefined,
    book
  }
}

/** Does the work on the rows of the task, and counts the rows that reach it. */
const work = (own: Attempt, writer: LetterWriter | undefined, abort: TaskRuntime["abort"]) => {
  const { book, input, metrics } = own
  const task = runtimeOf(own, writer, abort)
  const rows = deferred(() =>
    countRows(input.read(task), task, (n) => {
      book.out += n
      // Rows that one stage hands to another have not left the job.
      if (input.isResult) metrics.rowsOut += n
    })
  )
  return Effect.provideService(
    Effect.suspend(() => input.work(rows, task)),
    Current,
    task
  )
}

/** The same with a file for the rows it sets aside. */
const workAndWrite = Effect.fnUntraced(function* (
  own: Attempt,
  letters: Effect.Effect<string, Reason>,
  abort: TaskRuntime["abort"]
): Effect.fn.Return<Pick<TaskResult, "value" | "letters">, unknown, unknown> {
  const { attempt, partition, stage } = own.task
  const file = Effect.map(letters, (folder) => `${folder}/${stage}-${partition}-${attempt}.jsonl`)
  const writer = yield* makeLetterWriter(own.run.storage, file, abort)
  const value = yield* work(own, writer, abort)
  return { value, letters: yield* writer.end }
}, Effect.scoped)

/** Closes the account of an attempt that has done its work. By now, streams that were left early have been closed. */
const settled = (
  { additions, book, metrics }: Attempt,
  done: Pick<TaskResult, "value" | "letters">
): Effect.Effect<TaskResult, EngineFailure> =>
  Result.match(settle(metrics, book), {
    onSuccess: (account) => Effect.succeed({ ...done, metrics, additions, account }),
    onFailure: (reason) => Effect.fail(new EngineFailure(reason))
  })

const ended = (own: Attempt, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> => {
  own.run.recorder.ended(own.metrics, Exit.isSuccess(exit))
  return own.run.tell((head) => ({
    _tag: "TaskEnded",
    ...head,
    ...placeOf(own),
    outcome: Exit.isSuccess(exit) ? "success" : Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "failure"
  }))
}

/** One attempt at a task, with its events and metrics. */
export const attempt = (
  run: RunHead,
  task: Task,
  input: Input,
  environment: Environment
): Effect.Effect<TaskResult, TaskFailure, unknown> =>
  Effect.suspend(() => {
    const metrics = makeMetrics()
    const book: Book = { ahead: input.ahead, exchanged: 0, out: 0, unread: 0, reads: [] }
    const own: Attempt = { run, task, input, environment, metrics, additions: new Map(), book }
    const letters = input.ahead ? undefined : run.letters
    const done = raceAbort((abort) =>
      letters === undefined
        ? Effect.map(work(own, undefined, abort), (value) => ({ value, letters: undefined }))
        : workAndWrite(own, letters, abort)
    )
    const started = run.tell((head) => ({
      _tag: "TaskStarted",
      ...head,
      ...placeOf(own),
      locality: task.locality,
      ...labelOf(own)
    }))
    return Effect.andThen(
      started,
      Effect.suspend(() => {
        run.recorder.began(metrics)
        return Effect.onExit(
          Effect.catchCause(
            Effect.flatMap(done, (value) => settled(own, value)),
            (cause) => Effect.failCause(taskFailure(cause, locationOf(own)))
          ),
          (exit) => ended(own, exit)
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
