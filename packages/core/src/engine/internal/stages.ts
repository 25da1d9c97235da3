/** The stages of a job. `stages/state` decides which of them run, and when; this module carries out its commands. */
import { type Context, Effect, Semaphore } from "effect"
import type { ResultTasks, Spec } from "../Action.ts"
import type { Reason } from "../../task/JobError.ts"
import type { StageGraph } from "../../plan/Stage.ts"
import * as Stage from "../../plan/Stage.ts"
import type { Scheduler } from "../Scheduler.ts"
import type { Shuffle } from "../../shuffle/Shuffle.ts"
import type { Cache } from "./cache.ts"
import type { ValueOf } from "../../task/internal/values.ts"
import { mapArrays } from "../../task/internal/chain.ts"
import { withServices } from "../../task/internal/runtime.ts"
import { attempt, passes, type RunHead, type TaskFailure } from "../../task/internal/run.ts"
import { count, type Progress, recorderOf } from "./book.ts"
import { RolledBack } from "./rollback.ts"
import * as State from "./stages/state.ts"

type OnResult = (task: number, result: unknown, attempt: number) => Effect.Effect<void, Reason>

/** The stages of a job, which run when something first needs them. */
export interface Stages {
  /** Runs the stages that the result stage reads, and yields the tasks of the result stage. */
  readonly result: Effect.Effect<ResultTasks, TaskFailure | RolledBack>
  /**
   * Runs tasks of the result stage. If results that it has handed over turn out to be void, the driver has to begin
   * again.
   */
  readonly run: (
    tasks: ReadonlyArray<number>,
    work: Spec["task"],
    onResult: OnResult
  ) => Effect.Effect<void, TaskFailure | RolledBack>
  /** The number of the result stage, and whether all of its tasks have ended and left nothing unread. */
  readonly end: () => { readonly result: number; readonly complete: boolean }
  /** Tasks of all stages, as far as is known. */
  readonly tasks: () => number
  /** The result of a stage. */
  readonly valueOf: ValueOf
  /** Removes what the stages wrote. */
  readonly clean: Effect.Effect<void>
}

/** What stages run with: the identity of the job's attempts, and the engine's services. */
interface Shell {
  readonly state: State.State
  readonly job: RunHead & { readonly jobId: string; readonly progress: Progress }
  /** Whether a task may be tried again. */
  readonly retries: boolean
  readonly scheduler: Scheduler["Service"]
  readonly shuffle: Shuffle["Service"]
  readonly cached: Cache
}

const perform = ({ cached, job: { progress, tell }, shuffle }: Shell, command: State.Command): Effect.Effect<void> => {
  switch (command._tag) {
    case "Started":
      return tell((head) => ({ _tag: "StageStarted", ...head, stage: command.stage, tasks: command.tasks }))
    case "Ended":
      return tell((head) => ({ _tag: "StageEnded", ...head, stage: command.stage }))
    case "Discard":
      return shuffle.store.discard(command.status)
    case "Uncache":
      return cached.drop(command.id, command.partition)
    case "Void":
      return Effect.suspend(() => {
        progress.done.delete(command.stage)
        return command.shuffle === undefined ? Effect.void : shuffle.remove(command.shuffle)
      })
  }
}

/**
 * Runs a round, and reports how it ended. Results of an inner stage go to the state, those of the result stage also to
 * `onResult`.
 */
const round = (
  { job: { jobId, progress }, retries, scheduler, state }: Shell,
  { firstAttempt, stage, tasks }: Extract<State.Next, { readonly _tag: "Run" }>,
  onResult: OnResult
): Effect.Effect<State.Event> => {
  const handOver: OnResult = stage.work === undefined ? onResult : () => Effect.void
  return scheduler
    .run({
      run: jobId,
      stage: stage.id,
      firstAttempt,
      passes: (failure) => retries && passes(failure),
      tasks: tasks.map((partition) => ({ partition, hosts: stage.partitions[partition]?.hosts ?? [] })),
      onResult: (partition, done, attempt) =>
        Effect.mapBoth(handOver(partition, done.value, attempt), {
          onFailure: (reason): TaskFailure => ({ _tag: "Engine", reason, at: { stage: stage.id, partition, attempt } }),
          // Here and not at the end of the attempt, because only one of two successful attempts gets here.
          onSuccess: () => {
            State.succeeded(state, stage.id, partition, done.value)
            count(progress, stage, partition, done)
          }
        })
    })
    .pipe(
      Effect.match({
        onSuccess: (): State.Event => ({ _tag: "Completed", stage: stage.id }),
        onFailure: (failure): State.Event => ({
          _tag: "Failed",
          stage: stage.id,
          failure:
            failure._tag === "ExecutorLost" ? { _tag: "Engine", reason: failure, at: { stage: stage.id } } : failure
        })
      })
    )
}

/** Carries out what follows from an event until the goal is reached: the result stage, as it runs. */
const reach = Effect.fnUntraced(
  function* (
    shell: Shell,
    wanted: State.Event,
    onResult: OnResult
  ): Effect.fn.Return<Stage.Stage, TaskFailure | RolledBack> {
    let event = wanted
    while (true) {
      const { commands, next } = State.step(shell.state, event, yield* shell.scheduler.slots)
      for (const command of commands) yield* perform(shell, command)
      switch (next._tag) {
        case "Run":
          event = yield* round(shell, next, onResult)
          break
        case "Reached":
          return next.stage
        case "RolledBack":
          return yield* Effect.fail(new RolledBack())
        case "Failed":
          return yield* Effect.fail(next.failure)
        case "Nothing":
          return yield* Effect.die(new Error(`${event._tag} of no round that runs`))
      }
    }
  },
  // However it ends, even by an interrupt, nothing runs any more.
  (effect, { state }) =>
    Effect.ensuring(
      effect,
      Effect.sync(() => State.cancel(state))
    )
)

/** The same work, which also records the tasks whose rows have left the job. */
const leaving =
  (state: State.State, work: Spec["task"]): Spec["task"] =>
  (rows, task) =>
    work(
      mapArrays(rows, (values) => {
        State.handedOver(state, task.stage, task.partition)
        return values
      }),
      task
    )

// Whether all tasks of the result stage have ended and left nothing unread.
const isComplete = ({ job: { progress }, state }: Shell, result: Stage.Stage): boolean => {
  const done = [...(progress.done.get(result.id)?.values() ?? [])]
  return done.length === State.partitionsOf(state, result).length && done.every(({ account }) => account.cut === 0)
}

/** The stages of a plan, and the plan itself if it depends on what the first stages write. */
export const makeStages = (
  job: Omit<RunHead, "recorder"> & { readonly jobId: string; readonly progress: Progress },
  options: {
    readonly graph: StageGraph
    readonly replan: (measured: ReadonlyMap<number, number>) => StageGraph
    readonly eachPartition: boolean
    readonly retries: boolean
    /** Whether tasks of the result stage have effects outside of the job while they run. */
    readonly leaves: boolean
    readonly scheduler: Scheduler["Service"]
    readonly shuffle: Shuffle["Service"]
    readonly cached: Cache
    /** The services that the functions of the plan need, including the engine's own. */
    readonly services: Context.Context<never>
  }
): Effect.Effect<Stages> =>
  Effect.gen(function* () {
    const { cached, eachPartition, graph, leaves, replan, retries, scheduler, services, shuffle } = options
    const { jobId, progress } = job
    const state = State.make({ jobId, graph, replan, eachPartition, retries })
    const valueOf: ValueOf = (stage) => State.valueOf(state, stage)
    const head = { ...job, recorder: recorderOf(progress, valueOf) }
    const shell: Shell = { state, job: head, retries, scheduler, shuffle, cached }
    const withAll = withServices(services)
    yield* scheduler.open(jobId, (task, environment) => {
      const input = State.inputOf(state, task.stage, task.partition)
      return input === undefined
        ? Effect.die(new Error(`run ${jobId} has no task ${task.partition} in stage ${task.stage}`))
        : withAll(attempt(head, task, input, environment))
    })
    // One at a time, because another may have read what one loses.
    const turn = yield* Semaphore.make(1)
    return {
      result: turn.withPermit(
        Effect.map(
          reach(shell, { _tag: "Wanted" }, () => Effect.void),
          ({ partitions }) => ({
            tasks: partitions.length,
            splitIds: partitions.map((partition) => partition.split?.id)
          })
        )
      ),
      run: (tasks, work, onResult) =>
        turn.withPermit(
          Effect.asVoid(
            reach(shell, { _tag: "Asked", tasks, work: leaves || !retries ? leaving(state, work) : work }, onResult)
          )
        ),
      end: () => {
        const result = Stage.result(state.graph)
        return { result: result.id, complete: isComplete(shell, result) }
      },
      tasks: () => state.graph.stages.reduce((sum, stage) => sum + State.partitionsOf(state, stage).length, 0),
      valueOf,
      clean: Effect.suspend(() => Effect.forEach(State.shufflesOf(state), shuffle.remove, { discard: true }))
    }
  })
