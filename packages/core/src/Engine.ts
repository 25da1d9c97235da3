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
import { ExecutorLost, InputFailed, JobError, type Location, NestedAction, OperatorDefect, type Reason } from "./JobError.ts"
import * as Optimizer from "./Optimizer.ts"
import * as Plan from "./Plan.ts"
import * as Planner from "./Planner.ts"
import * as Scheduler from "./Scheduler.ts"
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
  Storage.Storage | Scheduler.Scheduler | Events.Events
> = Effect.gen(function*() {
  const storage = yield* Storage.Storage
  const scheduler = yield* Scheduler.Scheduler
  const events = yield* Events.Events
  const config = yield* EngineConfig

  const plan = Effect.fnUntraced(function*(spec: Pick<Spec, "name" | "plan">) {
    const optimised = Optimizer.optimize(spec.plan)
    const metadata = yield* Planner.resolve(optimised, config).pipe(
      Effect.provideService(Storage.Storage, storage),
      Effect.mapError((error) => new InputFailed({ error }))
    )
    return { optimised, graph: Planner.plan(optimised, metadata, spec.name) }
  })

  const run = Effect.fnUntraced(function*(
    spec: Spec,
    services: Context.Context<never>
  ): Effect.fn.Return<unknown, unknown, Scope.Scope> {
    const jobId = (yield* Random.nextIntBetween(0, 0xffffffff)).toString(16).padStart(8, "0")
    const name = spec.job?.name ?? spec.name
    const fail = (reason: Reason, at: Location = {}) => new JobError({ job: jobId, name, reason, at })
    if ((yield* Current) !== undefined) return yield* fail(new NestedAction({ action: spec.name }))

    const started = yield* Clock.currentTimeMillis
    const { graph } = yield* Effect.mapError(plan(spec), (reason) => fail(reason))
    const fingerprint = Plan.fingerprint(spec.plan, spec.job === undefined ? "" : `${spec.job.name} ${spec.job.payload}`)
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

    // Runs the tasks of some partitions of a stage. Parent stages have run before.
    const runStage = (
      stage: Stage.Stage,
      partitions: ReadonlyArray<number>,
      work: Spec["task"],
      onResult: (partition: number, result: unknown, attempt: number) => Effect.Effect<void, Reason>
    ): Effect.Effect<void, TaskFailure> =>
      scheduler.run<Done | undefined, TaskFailure, never>({
        jobId,
        stage: stage.id,
        tasks: partitions.map((partition) => ({ partition, hosts: stage.partitions[partition]?.hosts ?? [] })),
        onResult: (partition, done, attempt) =>
          Effect.mapBoth(onResult(partition, done?.value, attempt), {
            onFailure: (reason): TaskFailure => ({ _tag: "Engine", reason, at: { stage: stage.id, partition, attempt } }),
            onSuccess: () => {
              // Here and not at the end of the attempt: of two that ended well only one gets here.
              if (done === undefined) return
              addMetrics(finished, done.metrics)
              tasksDone++
              for (const effect of done.effects) effect()
              deadLetters.push(...done.letters)
            }
          }),
        run: Effect.fnUntraced(function*(partition, attempt, locality, environment) {
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
            return Effect.suspend(() => work(input.read(task), task)).pipe(
              Effect.provideService(Current, task)
            )
          })
          return yield* body.pipe(
            Effect.map((value): Done => ({ value, metrics, effects, letters })),
            Effect.catchCause((cause) => Effect.failCause(taskFailure(cause, at))),
            Effect.provideService(Storage.Storage, storage),
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
                }))
            })
          )
        })
      }).pipe(
        Effect.catch((failure): Effect.Effect<never, TaskFailure> =>
          Effect.fail(failure._tag === "ExecutorLost" ? { _tag: "Engine", reason: failure, at: { stage: stage.id } } : failure)
        )
      )

    const inStage = <A, E>(stage: Stage.Stage, tasks: number, effect: Effect.Effect<A, E>) =>
      Effect.gen(function*() {
        yield* events.publish({ _tag: "StageStarted", ...(yield* event), stage: stage.id, tasks })
        const value = yield* effect
        yield* events.publish({ _tag: "StageEnded", ...(yield* event), stage: stage.id })
        return value
      })

    // Inner stages run when the result stage first needs them: an action that takes nothing from the result runs nothing.
    const inner = yield* Effect.cached(Effect.forEach(graph.stages.slice(0, -1), (stage) => {
      const work = stage.work
      if (work === undefined) return Effect.void
      const results: Array<unknown> = []
      const partitions = stage.partitions.map((_, index) => index)
      return inStage(
        stage,
        partitions.length,
        Effect.map(
          runStage(stage, partitions, work.task, (partition, value) => Effect.sync(() => results[partition] = value)),
          () => stageValues.set(stage.id, work.combine(results))
        )
      )
    }, { discard: true }))

    const driver: Run = {
      jobId,
      fingerprint,
      partitions: result.partitions.length,
      splitIds: result.partitions.map((partition) => partition.split?.id),
      storage,
      deadLetters,
      totals: snapshot,
      tasks: (partitions, onResult) =>
        Effect.andThen(inner, inStage(result, partitions.length, runStage(result, partitions, spec.task, onResult)))
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
      events.publish({ _tag: "Progress", ...head, tasksDone, tasks, totals: snapshot() }))
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
      Effect.onExit((exit) =>
        Effect.flatMap(event, (head) =>
          events.publish({
            _tag: "JobEnded",
            ...head,
            outcome: Exit.isSuccess(exit)
              ? "success"
              : Cause.hasInterruptsOnly(exit.cause)
              ? "interrupted"
              : "failure",
            millis: head.at - started,
            totals: snapshot()
          }))
      )
    )
  }, Effect.scoped)

  return Engine.of({
    run,
    explain: Effect.fnUntraced(function*(spec) {
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
 * An engine on the storage, executors and event bus there are.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoDeps: Layer.Layer<
  Engine,
  never,
  Storage.Storage | Executor.Executor | Events.Events
> = Layer.effect(Engine, make).pipe(Layer.provide(Scheduler.layer))

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
