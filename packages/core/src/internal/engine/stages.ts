import { type Context, Effect } from "effect"
import type { ResultTasks, Spec } from "../../Action.ts"
import type { Reason } from "../../JobError.ts"
import type { StageGraph, StageWork } from "../../Stage.ts"
import * as Stage from "../../Stage.ts"
import type { Scheduler } from "../../Scheduler.ts"
import type { Shuffle } from "../../Shuffle.ts"
import type { Cache } from "../planner/cache.ts"
import { shuffleId, writtenBytes } from "../planner/wide.ts"
import { provideErased } from "../task/runtime.ts"
import { attempt, count, type Done, type JobHead, passes, type TaskFailure } from "./attempt.ts"

// Times that the output of a map task may be lost before the job fails (as Spark's consecutive stage attempts), and the distance of the
// numbers of attempts between them: a file is named by its attempt.
const maxLosses = 4
const attemptsARound = 100

type OnResult = (task: number, result: unknown, attempt: number) => Effect.Effect<void, Reason>

/** The stages of a job, which run when something first needs them. */
export interface Stages {
  /** Runs what the result stage reads, and says what tasks the result stage has. */
  readonly result: Effect.Effect<ResultTasks, TaskFailure>
  /** Runs tasks of the result stage. */
  readonly run: (
    tasks: ReadonlyArray<number>,
    work: Spec["task"],
    onResult: OnResult
  ) => Effect.Effect<void, TaskFailure>
  /** Tasks of all stages, as far as is known. */
  readonly tasks: () => number
  /** Removes what the stages wrote. */
  readonly clean: Effect.Effect<void>
}

/** Takes the stages of a plan, and the plan itself where it hangs on what the first of them write. */
export const makeStages = (
  job: JobHead,
  options: {
    readonly graph: StageGraph
    readonly replan: (measured: ReadonlyMap<number, number>) => StageGraph
    readonly eachPartition: boolean
    readonly retries: boolean
    readonly scheduler: Scheduler["Service"]
    readonly shuffle: Shuffle["Service"]
    readonly cached: Cache
    /** What the functions of the plan need, the engine's own services among it. */
    readonly services: Context.Context<never>
  }
): Effect.Effect<Stages> =>
  Effect.gen(function* () {
    const { cached, replan, scheduler, services, shuffle } = options
    const { event, events, jobId, progress } = job
    let { graph } = options
    // Inner stages as they run: adapted to what the stages before them wrote, once for all attempts.
    const ran = new Map<number, Stage.Stage>()

    const adapted = (stage: Stage.Stage): Effect.Effect<Stage.Stage> =>
      Effect.map(scheduler.slots, (slots) =>
        stage.adapt === undefined
          ? stage
          : { ...stage, partitions: stage.adapt((id) => progress.stageValues.get(id), slots) }
      )

    // Stages before have run. Attempts are counted from `firstAttempt`.
    const runTasks = (
      stage: Stage.Stage,
      tasks: ReadonlyArray<number>,
      work: Spec["task"],
      onResult: OnResult,
      firstAttempt: number
    ): Effect.Effect<void, TaskFailure> =>
      scheduler
        .run<Done | undefined, TaskFailure, never>({
          jobId,
          stage: stage.id,
          passes: (failure) => options.retries && passes(failure),
          tasks: tasks.map((partition) => ({ partition, hosts: stage.partitions[partition]?.hosts ?? [] })),
          onResult: (partition, done, attemptOfSet) => {
            const attempt = firstAttempt + attemptOfSet
            return Effect.mapBoth(onResult(partition, done?.value, attempt), {
              onFailure: (reason): TaskFailure => ({
                _tag: "Engine",
                reason,
                at: { stage: stage.id, partition, attempt }
              }),
              // Here and not at the end of the attempt: of two that ended well only one gets here.
              onSuccess: () => {
                if (done !== undefined) count(progress, done)
              }
            })
          },
          run: (partition, attemptOfSet, locality, environment) => {
            const input = stage.partitions[partition]
            if (input === undefined) return Effect.undefined
            const which = { partition, attempt: firstAttempt + attemptOfSet, locality }
            return provideErased(services)(attempt(job, stage, input, which, environment, work))
          }
        })
        .pipe(
          Effect.catch((failure): Effect.Effect<never, TaskFailure> =>
            Effect.fail(
              failure._tag === "ExecutorLost" ? { _tag: "Engine", reason: failure, at: { stage: stage.id } } : failure
            )
          )
        )

    const inStage = <A, E>(stage: Stage.Stage, tasks: number, effect: Effect.Effect<A, E>) =>
      Effect.gen(function* () {
        yield* events.publish({ _tag: "StageStarted", ...(yield* event), stage: stage.id, tasks })
        const value = yield* effect
        yield* events.publish({ _tag: "StageEnded", ...(yield* event), stage: stage.id })
        return value
      })

    const innerResults = new Map<number, Array<unknown>>()

    const runInner = (stage: Stage.Stage, work: StageWork, tasks: ReadonlyArray<number>, round: number) => {
      const results = innerResults.get(stage.id) ?? []
      innerResults.set(stage.id, results)
      return Effect.map(
        runStage(stage, tasks, work.task, (task, value) => Effect.sync(() => (results[task] = value)), round),
        () => progress.stageValues.set(stage.id, work.combine(results))
      )
    }

    // Inner stages run when a stage first needs them: an action that takes nothing from the result, or whose input is kept by a
    // cache, runs none.
    const prepared = new Map<number, Effect.Effect<void, TaskFailure>>()
    const prepareOne = (id: number): Effect.Effect<void, TaskFailure> =>
      Effect.suspend(() => {
        const stage = graph.stages[id]
        const work = stage?.work
        const known = prepared.get(id)
        if (known !== undefined || stage === undefined || work === undefined) return known ?? Effect.void
        const once = Effect.gen(function* () {
          yield* prepare(stage.parents)
          const ready = yield* adapted(stage)
          ran.set(id, ready)
          yield* inStage(ready, ready.partitions.length, runInner(ready, work, [...ready.partitions.keys()], 0))
        })
        return Effect.flatMap(Effect.cached(once), (effect) => {
          const first = prepared.get(id) ?? effect
          prepared.set(id, first)
          return first
        })
      })
    const prepare = (stages: ReadonlyArray<number>): Effect.Effect<void, TaskFailure> =>
      Effect.forEach(stages, prepareOne, { discard: true })

    const losses = new Map<string, number>()

    // As `runTasks`, and where what a task reads of an earlier stage or a cache turns out to be lost, makes it again and goes on.
    const runStage = (
      stage: Stage.Stage,
      tasks: ReadonlyArray<number>,
      work: Spec["task"],
      onResult: OnResult,
      round: number
    ): Effect.Effect<void, TaskFailure> =>
      Effect.suspend(() => {
        const left = new Set(tasks)
        const whenDone: OnResult = (task, result, attempt) =>
          Effect.map(onResult(task, result, attempt), () => {
            left.delete(task)
          })
        return Effect.catch(runTasks(stage, tasks, work, whenDone, round * attemptsARound), (failure) => {
          const lost =
            failure._tag === "Engine" && failure.reason._tag === "ShuffleFailed" ? failure.reason.lost : undefined
          const key = lost === undefined ? "" : `${lost.shuffle} ${lost.map}`
          const times = (losses.get(key) ?? 0) + 1
          losses.set(key, times)
          return lost === undefined || times >= maxLosses
            ? Effect.fail(failure)
            : Effect.andThen(mend(stage, lost, round + 1), runStage(stage, [...left], work, onResult, round + 1))
        })
      })

    const mend = (
      reader: Stage.Stage,
      lost: { readonly shuffle: string; readonly map: number },
      round: number
    ): Effect.Effect<void, TaskFailure> => {
      for (const [id, writer] of ran) {
        if (!writer.shuffles || shuffleId({ jobId }, id) !== lost.shuffle || writer.work === undefined) continue
        return Effect.andThen(prepare(writer.parents), Effect.asVoid(runInner(writer, writer.work, [lost.map], round)))
      }
      cached.drop(lost.shuffle, lost.map)
      return prepare(reader.fallback)
    }

    const ready = yield* Effect.cached(
      Effect.gen(function* () {
        const measured = new Map<number, number>()
        while (graph.undecided !== undefined) {
          const id = graph.undecided
          yield* prepareOne(id)
          measured.set(id, writtenBytes(progress.stageValues.get(id)))
          graph = replan(measured)
        }
        const stage = Stage.result(graph)
        yield* prepare(stage.parents)
        return options.eachPartition ? stage : yield* adapted(stage)
      })
    )

    return {
      result: Effect.map(ready, ({ partitions }) => ({
        tasks: partitions.length,
        splitIds: partitions.map((partition) => partition.split?.id)
      })),
      run: (tasks, work, onResult) =>
        Effect.flatMap(ready, (stage) => inStage(stage, tasks.length, runStage(stage, tasks, work, onResult, 0))),
      tasks: () => graph.stages.reduce((sum, stage) => sum + (ran.get(stage.id) ?? stage).partitions.length, 0),
      clean: Effect.suspend(() =>
        Effect.forEach(
          ran,
          ([id, stage]) => (stage.shuffles ? shuffle.remove(shuffleId({ jobId }, id)) : Effect.void),
          { discard: true }
        )
      )
    }
  })
