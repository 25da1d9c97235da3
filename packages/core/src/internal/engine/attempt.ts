import { Cause, Effect, Exit, Result } from "effect"
import type { Spec } from "../../Action.ts"
import type * as Events from "../../Events.ts"
import type { Environment } from "../../Executor.ts"
import { ExecutorLost, type Location, OperatorDefect, type Reason } from "../../JobError.ts"
import type { Locality } from "../scheduler/state.ts"
import type { Partition, Stage } from "../../Stage.ts"
import { Current, type DeadLetter, type TaskMetrics } from "../../TaskContext.ts"
import { addMetrics, makeMetrics, totals } from "../task/metrics.ts"
import { EngineFailure, raceAbort, type TaskRuntime } from "../task/runtime.ts"

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
export interface Done {
  readonly value: unknown
  readonly metrics: TaskMetrics
  readonly effects: ReadonlyArray<() => void>
  readonly letters: ReadonlyArray<DeadLetter>
}

/** What a run has come to so far. */
export interface Progress {
  /** Of tasks that ended well. */
  readonly finished: TaskMetrics
  readonly running: Set<TaskMetrics>
  readonly deadLetters: Array<DeadLetter>
  readonly stageValues: Map<number, unknown>
  /** The tasks that have been counted, by stage. */
  readonly counted: Map<number, Set<number>>
  tasksDone: number
}

export const makeProgress = (): Progress => ({
  finished: makeMetrics(),
  running: new Set(),
  deadLetters: [],
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
 * only its request counters count, which are true whatever its end.
 */
export const count = (progress: Progress, stage: number, partition: number, done: Done): void => {
  const counted = progress.counted.get(stage) ?? new Set()
  progress.counted.set(stage, counted)
  if (counted.has(partition)) return countersOf(progress, done.metrics)
  counted.add(partition)
  addMetrics(progress.finished, done.metrics)
  progress.tasksDone++
  for (const effect of done.effects) effect()
  progress.deadLetters.push(...done.letters)
}

/** The job that attempts belong to. */
export interface JobHead {
  readonly jobId: string
  readonly progress: Progress
  readonly events: Events.Events["Service"]
  /** What every event of the job begins with, now. */
  readonly event: Effect.Effect<{ readonly job: string; readonly name: string; readonly at: number }>
}

/** One attempt at a task, with its events and metrics. */
export const attempt = Effect.fnUntraced(function* (
  { event, events, jobId, progress }: JobHead,
  stage: Stage,
  input: Partition,
  which: { readonly partition: number; readonly attempt: number; readonly locality: Locality },
  environment: Environment,
  work: Spec["task"]
): Effect.fn.Return<Done, TaskFailure, unknown> {
  const { attempt, locality, partition } = which
  const { info } = environment
  const split = input.split === undefined ? {} : { split: input.split.label }
  const at: Location = { stage: stage.id, partition, attempt, executor: info.id, host: info.host, ...split }
  const head = { stage: stage.id, partition, attempt, executor: info.id }
  yield* events.publish({ _tag: "TaskStarted", ...(yield* event), ...head, locality, ...split })
  const metrics = makeMetrics()
  progress.running.add(metrics)
  const effects: Array<() => void> = []
  const letters: Array<DeadLetter> = []
  const body = raceAbort((abort) => {
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
      deadLetter: (letter) =>
        Effect.flatMap(event, (job) => {
          metrics.deadLettered++
          letters.push(letter)
          return events.publish({
            _tag: "DeadLettered",
            ...job,
            ...head,
            path: letter.path,
            ...(letter.rowGroup === undefined ? {} : { rowGroup: letter.rowGroup }),
            row: letter.row,
            reason: letter.reason
          })
        }),
      abort,
      services: environment.services,
      stageValue: (id) => progress.stageValues.get(id)
    }
    return Effect.suspend(() => work(input.read(task), task)).pipe(Effect.provideService(Current, task))
  })
  return yield* body.pipe(
    Effect.map((value): Done => ({ value, metrics, effects, letters })),
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
    return Cause.fail({ _tag: "Engine", reason: new OperatorDefect({ defect: defect.success }), at })
  }
  // Only interrupts are left, and they have no error to map.
  return Cause.map(cause, (): TaskFailure => ({ _tag: "Failed", error: undefined }))
}
