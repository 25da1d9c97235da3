/**
 * Runs actions: optimises the plan, reads the metadata of its sources, plans stages, and has the scheduler run their tasks.
 *
 * @since 0.1.0
 */
import { Cause, Clock, type Context, Effect, Exit, Layer, Random, Result, Schedule, type Scope } from "effect"
import { Engine, type Run, type Spec } from "./Action.ts"
import { EngineConfig } from "./EngineConfig.ts"
import * as Events from "./Events.ts"
import * as Executor from "./Executor.ts"
import { addMetrics, makeMetrics, totals } from "./internal/task/metrics.ts"
import { EngineFailure, provideErased, raceAbort, type TaskRuntime } from "./internal/task/runtime.ts"
import { cacheOf } from "./internal/planner/cache.ts"
import { shuffleId } from "./internal/planner/wide.ts"
import {
  ExecutorLost,
  InputFailed,
  JobError,
  type Location,
  NestedAction,
  OperatorDefect,
  type Reason
} from "./JobError.ts"
import * as Optimizer from "./Optimizer.ts"
import * as Plan from "./Plan.ts"
import * as Planner from "./Planner.ts"
import * as Scheduler from "./Scheduler.ts"
import * as Shuffle from "./Shuffle.ts"
import * as Stage from "./Stage.ts"
import * as Storage from "./Storage.ts"
import { Current, type DeadLetter, type TaskMetrics } from "./TaskContext.ts"

export { Engine } from "./Action.ts"

// A failure on its way from a task to the caller of the action: what failed, and where. The user's own errors are `Failed`, so
// that nothing on the way can take one for an engine failure.
type TaskFailure =
  | { readonly _tag: "Failed"; readonly error: unknown }
  | { readonly _tag: "Engine"; readonly reason: Reason; readonly at: Location }

// A partition's result and what comes with it once it counts.
interface Done {
  readonly value: unknown
  readonly metrics: TaskMetrics
  readonly effects: ReadonlyArray<() => void>
  readonly letters: ReadonlyArray<DeadLetter>
}

/**
 * Makes an engine on the storage, executors and event bus there are.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<
  Engine["Service"],
  never,
  Storage.Storage | Shuffle.Shuffle | Scheduler.Scheduler | Events.Events
> = Effect.gen(function* () {
  const storage = yield* Storage.Storage
  const shuffle = yield* Shuffle.Shuffle
  const scheduler = yield* Scheduler.Scheduler
  const events = yield* Events.Events
  const config = yield* EngineConfig
  const cached = cacheOf(shuffle, config.cacheBytes)

  const plan = Effect.fnUntraced(function* (spec: Pick<Spec, "name" | "plan">) {
    const optimised = Optimizer.optimize(spec.plan)
    const metadata = yield* Planner.resolve(optimised, config).pipe(
      Effect.provideService(Storage.Storage, storage),
      Effect.mapError((error) => new InputFailed({ error }))
    )
    return { optimised, graph: Planner.plan(optimised, metadata, spec.name, { ...config, cached }) }
  })

  const run = Effect.fnUntraced(function* (
    spec: Spec,
    services: Context.Context<never>
  ): Effect.fn.Return<unknown, unknown, Scope.Scope> {
    const jobId = (yield* Random.nextIntBetween(0, 0xffffffff)).toString(16).padStart(8, "0")
    const name = spec.job?.name ?? spec.name
    const fail = (reason: Reason, at: Location = {}) => new JobError({ job: jobId, name, reason, at })
    if ((yield* Current) !== undefined) return yield* fail(new NestedAction({ action: spec.name }))

    const started = yield* Clock.currentTimeMillis
    const { graph } = yield* Effect.mapError(plan(spec), (reason) => fail(reason))
    if (graph.invalid !== undefined) return yield* fail(graph.invalid)
    const fingerprint = Plan.fingerprint(
      spec.plan,
      spec.job === undefined ? "" : `${spec.job.name} ${spec.job.payload}`
    )
    const result = Stage.result(graph)

    const finished = makeMetrics()
    const running = new Set<TaskMetrics>()
    let tasksDone = 0
    const snapshot = () => {
      const sum = makeMetrics()
      addMetrics(sum, finished)
      for (const metrics of running) addMetrics(sum, metrics)
      return totals(sum)
    }
    const tasks = graph.stages.reduce((sum, stage) => sum + stage.partitions.length, 0)
    const event = Effect.map(Clock.currentTimeMillis, (at) => ({ job: jobId, name, at }))

    const stageValues = new Map<number, unknown>()
    const deadLetters: Array<DeadLetter> = []

    // Runs the tasks of some partitions of a stage. Parent stages have run before. Attempts are counted from `firstAttempt`.
    const runTasks = (
      stage: Stage.Stage,
      partitions: ReadonlyArray<number>,
      work: Spec["task"],
      onResult: (partition: number, result: unknown, attempt: number) => Effect.Effect<void, Reason>,
      firstAttempt: number
    ): Effect.Effect<void, TaskFailure> =>
      scheduler
        .run<Done | undefined, TaskFailure, never>({
          jobId,
          stage: stage.id,
          tasks: partitions.map((partition) => ({ partition, hosts: stage.partitions[partition]?.hosts ?? [] })),
          onResult: (partition, done, attemptOfSet) => {
            const attempt = firstAttempt + attemptOfSet
            return Effect.mapBoth(onResult(partition, done?.value, attempt), {
              onFailure: (reason): TaskFailure => ({
                _tag: "Engine",
                reason,
                at: { stage: stage.id, partition, attempt }
              }),
              onSuccess: () => {
                // Here and not at the end of the attempt: of two that ended well only one gets here.
                if (done === undefined) return
                addMetrics(finished, done.metrics)
                tasksDone++
                for (const effect of done.effects) effect()
                deadLetters.push(...done.letters)
              }
            })
          },
          run: Effect.fnUntraced(function* (partition, attemptOfSet, locality, environment) {
            const attempt = firstAttempt + attemptOfSet
            const input = stage.partitions[partition]
            if (input === undefined) return undefined
            const { info } = environment
            const at: Location = {
              stage: stage.id,
              partition,
              attempt,
              executor: info.id,
              host: info.host,
              ...(input.split === undefined ? {} : { split: input.split.label })
            }
            const head = { stage: stage.id, partition, attempt, executor: info.id }
            yield* events.publish({
              _tag: "TaskStarted",
              ...(yield* event),
              ...head,
              locality,
              ...(input.split === undefined ? {} : { split: input.split.label })
            })
            const metrics = makeMetrics()
            running.add(metrics)
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
                  Effect.flatMap(event, (head2) => {
                    metrics.deadLettered++
                    letters.push(letter)
                    return events.publish({
                      _tag: "DeadLettered",
                      ...head2,
                      ...head,
                      path: letter.path,
                      ...(letter.rowGroup === undefined ? {} : { rowGroup: letter.rowGroup }),
                      row: letter.row,
                      reason: letter.reason
                    })
                  }),
                abort,
                services: environment.services,
                stageValue: (id) => stageValues.get(id)
              }
              return Effect.suspend(() => work(input.read(task), task)).pipe(Effect.provideService(Current, task))
            })
            return yield* body.pipe(
              Effect.map((value): Done => ({ value, metrics, effects, letters })),
              Effect.catchCause((cause) => Effect.failCause(taskFailure(cause, at))),
              Effect.provideService(Storage.Storage, storage),
              Effect.provideService(Shuffle.Shuffle, shuffle),
              provideErased(services),
              Effect.onExit((exit) => {
                running.delete(metrics)
                // An attempt that failed leaves nothing but its request counters, which are true whatever its end.
                if (Exit.isFailure(exit)) {
                  for (const [key, value] of metrics.counters) {
                    finished.counters.set(key, (finished.counters.get(key) ?? 0) + value)
                  }
                }
                return Effect.flatMap(event, (head2) =>
                  events.publish({
                    _tag: "TaskEnded",
                    ...head2,
                    ...head,
                    outcome: Exit.isSuccess(exit)
                      ? "success"
                      : Cause.hasInterruptsOnly(exit.cause)
                        ? "interrupted"
                        : "failure"
                  })
                )
              })
            )
          })
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

    const runInner = (stage: Stage.Stage, work: Stage.StageWork, partitions: ReadonlyArray<number>, round: number) => {
      const results = innerResults.get(stage.id) ?? []
      innerResults.set(stage.id, results)
      return Effect.map(
        runStage(
          stage,
          partitions,
          work.task,
          (partition, value) => Effect.sync(() => (results[partition] = value)),
          round
        ),
        () => stageValues.set(stage.id, work.combine(results))
      )
    }

    // Inner stages run when a stage first needs them: an action that takes nothing from the result, or whose input is kept by a
    // cache, runs none.
    const prepared = new Map<number, Effect.Effect<unknown, TaskFailure>>()
    const prepare = (stages: ReadonlyArray<number>): Effect.Effect<void, TaskFailure> =>
      Effect.forEach(stages, (id) => prepared.get(id) ?? Effect.void, { discard: true })
    const losses = new Map<string, number>()

    // As `runTasks`, and where what a task reads of an earlier stage or a cache turns out to be lost, makes it again and goes on.
    const runStage = (
      stage: Stage.Stage,
      partitions: ReadonlyArray<number>,
      work: Spec["task"],
      onResult: (partition: number, result: unknown, attempt: number) => Effect.Effect<void, Reason>,
      round: number
    ): Effect.Effect<void, TaskFailure> =>
      Effect.suspend(() => {
        const left = new Set(partitions)
        const whenDone = (partition: number, result: unknown, attempt: number) =>
          Effect.map(onResult(partition, result, attempt), () => {
            left.delete(partition)
          })
        return Effect.catch(runTasks(stage, partitions, work, whenDone, round * attemptsARound), (failure) => {
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
      const writer = graph.stages.find((stage) => stage.shuffles && shuffleId({ jobId }, stage.id) === lost.shuffle)
      if (writer?.work !== undefined) {
        return Effect.andThen(prepare(writer.parents), Effect.asVoid(runInner(writer, writer.work, [lost.map], round)))
      }
      cached.drop(lost.shuffle, lost.map)
      return prepare(reader.fallback)
    }

    for (const stage of graph.stages.slice(0, -1)) {
      const { work } = stage
      if (work === undefined) continue
      const partitions = stage.partitions.map((_, index) => index)
      prepared.set(
        stage.id,
        yield* Effect.cached(
          Effect.andThen(
            prepare(stage.parents),
            inStage(stage, partitions.length, runInner(stage, work, partitions, 0))
          )
        )
      )
    }

    const driver: Run = {
      jobId,
      fingerprint,
      partitions: result.partitions.length,
      splitIds: result.partitions.map((partition) => partition.split?.id),
      storage,
      deadLetters,
      totals: snapshot,
      tasks: (partitions, onResult) =>
        Effect.andThen(
          prepare(result.parents),
          inStage(result, partitions.length, runStage(result, partitions, spec.task, onResult, 0))
        )
    }

    const rows = Stage.rows(result)
    yield* events.publish({
      _tag: "JobStarted",
      job: jobId,
      name,
      at: started,
      fingerprint,
      tasks,
      bytes: Stage.bytes(result),
      ...(rows === undefined ? {} : { rows })
    })
    const publishProgress = Effect.flatMap(event, (head) =>
      events.publish({ _tag: "Progress", ...head, tasksDone, tasks, totals: snapshot() })
    )
    yield* publishProgress.pipe(
      Effect.repeat(Schedule.spaced(config.progressMillis)),
      Effect.delay(config.progressMillis),
      Effect.forkScoped
    )
    return yield* spec.drive(driver).pipe(
      provideErased(services),
      Effect.catch((failure): Effect.Effect<never, unknown> => {
        if (!isTaskFailure(failure)) return Effect.fail(fail(failure as Reason))
        return Effect.fail(failure._tag === "Failed" ? failure.error : fail(failure.reason, failure.at))
      }),
      Effect.ensuring(
        Effect.forEach(
          graph.stages,
          (stage) => (stage.shuffles ? shuffle.remove(shuffleId({ jobId }, stage.id)) : Effect.void),
          { discard: true }
        )
      ),
      Effect.onExit((exit) =>
        Effect.flatMap(event, (head) => {
          const millis = head.at - started
          const sums = snapshot()
          spec.onEnd?.({ job: jobId, fingerprint, millis, totals: sums })
          return events.publish({
            _tag: "JobEnded",
            ...head,
            outcome: Exit.isSuccess(exit) ? "success" : Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "failure",
            millis,
            totals: sums
          })
        })
      )
    )
  }, Effect.scoped)

  return Engine.of({
    run,
    uncache: (handle) => cached.remove(handle),
    explain: Effect.fnUntraced(function* (spec) {
      const { graph, optimised } = yield* Effect.mapError(
        plan(spec),
        (reason) => new JobError({ job: "", name: spec.name, reason, at: {} })
      )
      return [
        "== Logical plan ==",
        Plan.print(spec.plan),
        "",
        "== Optimised plan ==",
        Plan.print(optimised),
        "",
        "== Stages ==",
        Stage.print(graph)
      ].join("\n")
    })
  })
})

// Times that the output of a map task may be lost before the job fails (as Spark's consecutive stage attempts), and the distance of the
// numbers of attempts between them: a file is named by its attempt.
const maxLosses = 4
const attemptsARound = 100

const isTaskFailure = (u: unknown): u is TaskFailure =>
  typeof u === "object" && u !== null && "_tag" in u && (u._tag === "Failed" || u._tag === "Engine")

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

/**
 * An engine on the storage, executors, event bus and shuffle there are.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWithShuffle: Layer.Layer<
  Engine,
  never,
  Storage.Storage | Shuffle.Shuffle | Executor.Executor | Events.Events
> = Layer.effect(Engine, make).pipe(Layer.provide(Scheduler.layer))

// A folder for temporary files that cannot be written is the failure of the jobs that need one, not of the engine.
const layerDisk: Layer.Layer<Shuffle.Shuffle> = Shuffle.layerDisk().pipe(
  Layer.catch(({ reason }) => Shuffle.layerUnavailable(reason))
)

/**
 * An engine on the storage, executors and event bus there are, that shuffles through a folder for temporary files.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoDeps: Layer.Layer<Engine, never, Storage.Storage | Executor.Executor | Events.Events> =
  layerWithShuffle.pipe(Layer.provide(layerDisk))

/**
 * An engine in this process: local and memory files, one executor with as many slots as there are processors.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Engine | Storage.Storage | Events.Events> = layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal()),
  Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
)
