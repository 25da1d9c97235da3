import { type Context, Effect, Semaphore } from "effect"
import type { ResultTasks, Spec } from "../Action.ts"
import type { Reason } from "../../task/JobError.ts"
import type { StageGraph, StageWork } from "../../plan/Stage.ts"
import * as Stage from "../../plan/Stage.ts"
import type { Scheduler } from "../Scheduler.ts"
import type { Shuffle } from "../../shuffle/Shuffle.ts"
import type { Cache } from "./cache.ts"
import { runOf, sameRows } from "../../plan/internal/run.ts"
import { isMapOutput, shuffleId, type ValueOf, writtenBytes } from "../../task/internal/values.ts"
import { mapArrays } from "../../task/internal/chain.ts"
import { provideErased } from "../../task/internal/runtime.ts"
import { attempt, type Input, passes, type RunHead, type TaskFailure } from "../../task/internal/run.ts"
import { count, type Progress } from "./book.ts"
import { after, indeterminate, makeStageState, RolledBack, type StageState } from "./rollback.ts"

// Times that the output of one map task may be lost, and that a stage may yield other rows than before: the last of them fails the job
// (Spark's `spark.stage.maxConsecutiveAttempts`).
const maxLosses = 4
const maxRollbacks = 4
// The distance of the numbers of attempts between two rounds of a task: a file is named by its attempt.
const attemptsARound = 100

type OnResult = (task: number, result: unknown, attempt: number) => Effect.Effect<void, Reason>

/** The stages of a job, which run when something first needs them. */
export interface Stages {
  /** Runs what the result stage reads, and says what tasks the result stage has. */
  readonly result: Effect.Effect<ResultTasks, TaskFailure>
  /** Runs tasks of the result stage. Where what it has handed over turns out to be void, the driver side has to begin again. */
  readonly run: (
    tasks: ReadonlyArray<number>,
    work: Spec["task"],
    onResult: OnResult
  ) => Effect.Effect<void, TaskFailure | RolledBack>
  /** The number of the result stage, and whether all of its tasks have ended and left nothing unread. */
  readonly end: () => { readonly result: number; readonly complete: boolean }
  /** Tasks of all stages, as far as is known. */
  readonly tasks: () => number
  /** Removes what the stages wrote. */
  readonly clean: Effect.Effect<void>
}

/** Takes the stages of a plan, and the plan itself where it depends on what the first of them write. */
export const makeStages = (
  job: RunHead & { readonly jobId: string; readonly progress: Progress },
  options: {
    readonly graph: StageGraph
    readonly replan: (measured: ReadonlyMap<number, number>) => StageGraph
    readonly eachPartition: boolean
    readonly retries: boolean
    /** What tasks of the result stage do leaves the job while they run. */
    readonly leaves: boolean
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
    const states = new Map<number, StageState>()
    const stateOf = (id: number): StageState => {
      const state = states.get(id) ?? makeStageState()
      states.set(id, state)
      return state
    }
    const valueOf: ValueOf = (id) => progress.stageValues.get(id)

    const adapted = (stage: Stage.Stage): Effect.Effect<Stage.Stage> =>
      Effect.map(scheduler.slots, (slots) =>
        stage.adapt === undefined ? stage : { ...stage, partitions: stage.adapt(valueOf, slots) }
      )

    // What runs, or ran last: where a task that is nothing but data finds its rows and its work.
    const open = new Map<number, { readonly stage: Stage.Stage; readonly work: Spec["task"] }>()
    const inputOf = (id: number, partition: number): Input | undefined => {
      const { stage, work } = open.get(id) ?? {}
      const input = stage?.partitions[partition]
      if (stage === undefined || work === undefined || input === undefined) return undefined
      return {
        partitions: stage.partitions.length,
        split: input.split,
        ahead: stage.work?.ahead === true,
        isResult: stage.work === undefined,
        read: input.read,
        work
      }
    }
    yield* scheduler.open(jobId, (task, environment) => {
      const input = inputOf(task.stage, task.partition)
      return input === undefined
        ? Effect.die(new Error(`run ${jobId} has no task ${task.partition} in stage ${task.stage}`))
        : provideErased(services)(attempt(job, task, input, environment))
    })

    // Stages before have run. Attempts are counted from `firstAttempt`.
    const runTasks = (
      stage: Stage.Stage,
      tasks: ReadonlyArray<number>,
      work: Spec["task"],
      onResult: OnResult,
      firstAttempt: number
    ): Effect.Effect<void, TaskFailure> => {
      open.set(stage.id, { stage, work })
      return scheduler
        .run({
          run: jobId,
          stage: stage.id,
          firstAttempt,
          passes: (failure) => options.retries && passes(failure),
          tasks: tasks.map((partition) => ({ partition, hosts: stage.partitions[partition]?.hosts ?? [] })),
          onResult: (partition, done, attempt) =>
            Effect.mapBoth(onResult(partition, done.value, attempt), {
              onFailure: (reason): TaskFailure => ({
                _tag: "Engine",
                reason,
                at: { stage: stage.id, partition, attempt }
              }),
              // Here and not at the end of the attempt: only one of two successful attempts gets here.
              onSuccess: () => count(progress, stage, partition, done)
            })
        })
        .pipe(
          Effect.catch((failure): Effect.Effect<never, TaskFailure> =>
            Effect.fail(
              failure._tag === "ExecutorLost" ? { _tag: "Engine", reason: failure, at: { stage: stage.id } } : failure
            )
          )
        )
    }

    const inStage = <A, E>(stage: Stage.Stage, tasks: number, effect: Effect.Effect<A, E>) =>
      Effect.gen(function* () {
        yield* events.publish({ _tag: "StageStarted", ...(yield* event), stage: stage.id, tasks })
        const value = yield* effect
        yield* events.publish({ _tag: "StageEnded", ...(yield* event), stage: stage.id })
        return value
      })

    // As `runTasks`, and where what a task reads of an earlier stage or a cache turns out to be lost, makes it again and goes on. If that
    // yields other rows, what the stage has come to is void.
    const losses = new Map<string, number>()
    const runStage = (
      stage: Stage.Stage,
      tasks: ReadonlyArray<number>,
      work: Spec["task"],
      onResult: OnResult
    ): Effect.Effect<void, TaskFailure | RolledBack> =>
      Effect.suspend(() => {
        const state = stateOf(stage.id)
        const { generation, rounds } = state
        const left = new Set(tasks)
        const whenDone: OnResult = (task, result, attempt) =>
          Effect.map(onResult(task, result, attempt), () => {
            left.delete(task)
          })
        const round = (): Effect.Effect<void, TaskFailure | RolledBack> => {
          const begun = Math.max(0, ...Array.from(left, (task) => rounds.get(task) ?? 0))
          for (const task of left) rounds.set(task, begun + 1)
          return Effect.catch(
            runTasks(stage, [...left], work, whenDone, begun * attemptsARound),
            (failure): Effect.Effect<void, TaskFailure | RolledBack> => {
              if (failure._tag !== "Engine" || failure.reason._tag !== "ShuffleFailed") return Effect.fail(failure)
              const { lost, operator } = failure.reason
              if (lost === undefined) return Effect.fail(failure)
              const key = `${lost.shuffle} ${lost.map}`
              const times = (losses.get(key) ?? 0) + 1
              losses.set(key, times)
              // Rows that were handed over would be handed over twice.
              const again = options.retries || !Array.from(left).some((task) => state.left.has(task))
              if (times >= maxLosses || !again) return Effect.fail(failure)
              return Effect.flatMap(mend(stage, lost, operator), () =>
                state.generation === generation ? round() : Effect.fail(new RolledBack())
              )
            }
          )
        }
        return round()
      })

    const runInner = (
      stage: Stage.Stage,
      work: StageWork,
      tasks: ReadonlyArray<number>
    ): Effect.Effect<void, TaskFailure | RolledBack> => {
      const state = stateOf(stage.id)
      const { results } = state
      return Effect.map(
        runStage(stage, tasks, work.task, (task, value) => Effect.sync(() => (results[task] = value))),
        () => {
          progress.stageValues.set(stage.id, work.combine(results))
        }
      )
    }

    // Inner stages run when a stage first needs them: an action that takes nothing from the result, or whose input is kept by a
    // cache, runs none.
    const prepareOne = (id: number): Effect.Effect<void, TaskFailure> =>
      Effect.suspend(() => {
        const stage = graph.stages[id]
        const work = stage?.work
        const state = stateOf(id)
        if (state.done || stage === undefined || work === undefined) return Effect.void
        const once = Effect.gen(function* () {
          yield* prepare(stage.parents)
          const ready = yield* adapted(stage)
          state.stage = ready
          yield* inStage(ready, ready.partitions.length, runInner(ready, work, [...ready.partitions.keys()]))
          state.done = true
        })
        return Effect.catch(once, (failure) => (failure._tag === "RolledBack" ? prepareOne(id) : Effect.fail(failure)))
      })
    const isReady = (id: number): boolean => graph.stages[id]?.work === undefined || stateOf(id).done
    // Until all hold: what one of them lost may have made another void.
    const prepare = (stages: ReadonlyArray<number>): Effect.Effect<void, TaskFailure> =>
      Effect.flatMap(Effect.forEach(stages, prepareOne, { discard: true }), () =>
        stages.every(isReady) ? Effect.void : prepare(stages)
      )

    const mend = (
      reader: Stage.Stage,
      lost: { readonly shuffle: string; readonly map: number; readonly attempt: number },
      operator: string
    ): Effect.Effect<void, TaskFailure> =>
      Effect.gen(function* () {
        for (const [id, state] of states) {
          const writer = state.stage
          if (writer?.work === undefined || !writer.shuffles || shuffleId({ jobId }, id) !== lost.shuffle) continue
          const { work } = writer
          const before = state.results[lost.map]
          yield* prepare(writer.parents)
          if (!state.done || !isMapOutput(before) || before.status.attempt !== lost.attempt) return
          const isVoid = yield* Effect.catch(
            Effect.as(runInner(writer, work, [lost.map]), false),
            (failure): Effect.Effect<boolean, TaskFailure> =>
              failure._tag === "RolledBack" ? Effect.succeed(true) : Effect.fail(failure)
          )
          if (isVoid) return
          yield* shuffle.store.discard(before.status)
          const now = state.results[lost.map]
          if (isMapOutput(now) && sameRows(before.status, now.status)) return
          return yield* rollBack(lost.shuffle, operator, writer, (stage) => stage.parents.includes(id))
        }
        yield* cached.drop(lost.shuffle, lost.map)
        for (const kept of reader.kept) {
          if (kept.id !== lost.shuffle) continue
          yield* prepare(kept.stages)
          const run = runOf({ parents: kept.stages }, valueOf) ?? kept.run
          const known = keptRuns.get(kept.id) ?? kept.run
          keptRuns.set(kept.id, run)
          if (run !== known) {
            yield* rollBack(kept.id, operator, graph.stages[kept.stages[0] ?? 0], (stage) =>
              stage.kept.some((other) => other.id === kept.id)
            )
          }
        }
      })
    const keptRuns = new Map<string, string>()

    // A stage has yielded other rows than before: whatever has read them is void.
    const rollbacks = new Map<string, number>()
    const rollBack = (
      what: string,
      operator: string,
      writer: Stage.Stage | undefined,
      reads: (stage: Stage.Stage) => boolean
    ): Effect.Effect<void, TaskFailure> =>
      Effect.suspend(() => {
        const fail = (why: string) =>
          Effect.fail<TaskFailure>({
            _tag: "Engine",
            reason: indeterminate(operator, writer, why),
            at: writer === undefined ? {} : { stage: writer.id }
          })
        const times = (rollbacks.get(what) ?? 0) + 1
        rollbacks.set(what, times)
        if (times >= maxRollbacks) return fail(`it yielded other rows each of the ${times} times it was run again`)
        const stages = after(graph.stages, reads)
        if (stages.some(({ id }) => (states.get(id)?.left.size ?? 0) > 0)) {
          return fail("it yielded other rows when it was run again, and rows of before have left the job")
        }
        return Effect.forEach(
          stages,
          ({ id }) => {
            const state = states.get(id)
            if (state === undefined) return Effect.void
            const written = state.stage?.shuffles === true
            state.generation++
            state.done = false
            state.results = []
            state.stage = undefined
            progress.stageValues.delete(id)
            progress.done.delete(id)
            return written ? shuffle.remove(shuffleId({ jobId }, id)) : Effect.void
          },
          { discard: true }
        )
      })

    const ready = Effect.gen(function* () {
      while (graph.undecided !== undefined) {
        const id = graph.undecided
        yield* prepare([id])
        measured.set(id, writtenBytes(progress.stageValues.get(id)))
        graph = replan(measured)
      }
      const stage = Stage.result(graph)
      const state = stateOf(stage.id)
      yield* prepare(stage.parents)
      state.stage ??= options.eachPartition ? stage : yield* adapted(stage)
      return state.stage
    })
    const measured = new Map<number, number>()
    // One at a time: what one loses another may have read.
    const turn = yield* Semaphore.make(1)

    const leaving =
      (work: Spec["task"]): Spec["task"] =>
      (rows, task) => {
        const { left } = stateOf(task.stage)
        return work(
          mapArrays(rows, (values) => {
            left.add(task.partition)
            return values
          }),
          task
        )
      }

    return {
      result: turn.withPermit(
        Effect.map(ready, ({ partitions }) => ({
          tasks: partitions.length,
          splitIds: partitions.map((partition) => partition.split?.id)
        }))
      ),
      run: (tasks, work, onResult) =>
        turn.withPermit(
          Effect.flatMap(ready, (stage) =>
            inStage(
              stage,
              tasks.length,
              runStage(stage, tasks, options.leaves || !options.retries ? leaving(work) : work, onResult)
            )
          )
        ),
      end: () => {
        const result = Stage.result(graph)
        const done = [...(progress.done.get(result.id)?.values() ?? [])]
        const { partitions } = states.get(result.id)?.stage ?? result
        return {
          result: result.id,
          complete: done.length === partitions.length && done.every(({ account }) => account.cut === 0)
        }
      },
      tasks: () =>
        graph.stages.reduce((sum, stage) => sum + (states.get(stage.id)?.stage ?? stage).partitions.length, 0),
      clean: Effect.suspend(() =>
        Effect.forEach(
          graph.stages,
          ({ id, shuffles }) => (shuffles && states.has(id) ? shuffle.remove(shuffleId({ jobId }, id)) : Effect.void),
          { discard: true }
        )
      )
    }
  })
