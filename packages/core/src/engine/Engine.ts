/**
 * Runs actions: optimises the plan, reads the metadata of its sources, plans stages, and has the scheduler run their tasks.
 *
 * An `Action` is the plan, what a task does with its partition's stream, and what the driver does with the tasks'
 * results. The `Scheduler` gives each task to a slot, on a host that has its data if one becomes free in time. An
 * `Executor` runs the tasks of its slots, with services that live as long as runs use them.
 *
 * @since 0.1.0
 */
import { Cause, Clock, Context, Effect, Exit, Layer, Random, Schedule, type Scope } from "effect"
import { millisOf } from "../codec/internal/checks.ts"
import { Engine, type Run, type Spec } from "./Action.ts"
import * as EngineConfigs from "../task/EngineConfig.ts"
import { EngineConfig, mostCacheBytes } from "../task/EngineConfig.ts"
import * as Events from "../observe/Events.ts"
import * as Executor from "./Executor.ts"
import { isTaskFailure } from "../task/internal/run.ts"
import { accountOf, lettersOf, makeProgress, snapshot } from "./internal/book.ts"
import { checkLimit, type SetAside } from "./internal/letters.ts"
import { RolledBack } from "./internal/rollback.ts"
import { makeStages } from "./internal/stages.ts"
import { cacheOf } from "./internal/cache.ts"
import { provideErased } from "../task/internal/runtime.ts"
import { InputFailed, InvalidPlan, JobError, type Location, NestedAction, type Reason } from "../task/JobError.ts"
import * as Optimizer from "../plan/Optimizer.ts"
import * as Plan from "../plan/Plan.ts"
import * as Planner from "../plan/Planner.ts"
import * as Scheduler from "./Scheduler.ts"
import * as Shuffle from "../shuffle/Shuffle.ts"
import * as Stage from "../plan/Stage.ts"
import * as Storage from "../storage/Storage.ts"
import { Current } from "../task/TaskContext.ts"

export { Engine } from "./Action.ts"

/**
 * Makes an engine on the storage, executors and event bus in the context.
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
  const cached = cacheOf(shuffle, Math.min(config.cacheBytes, mostCacheBytes()))
  const settings = [
    ["EngineConfig", EngineConfigs.problem(config)],
    ["Executor", scheduler.invalid],
    ["Shuffle", shuffle.invalid]
  ] as const
  const invalid = settings
    .flatMap(([operator, detail]) => (detail === undefined ? [] : [new InvalidPlan({ operator, detail })]))
    .at(0)

  const plan = Effect.fnUntraced(function* (spec: Pick<Spec, "name" | "plan">) {
    const optimised = Optimizer.optimize(spec.plan)
    const metadata = yield* Planner.resolve(optimised, config).pipe(
      Effect.provideService(Storage.Storage, storage),
      Effect.mapError((error) => new InputFailed({ error }))
    )
    const decide = (measured: ReadonlyMap<number, number>) =>
      Planner.plan(optimised, metadata, spec.name, {
        broadcastBytes: config.broadcastBytes,
        adaptive: config.adaptive ? config : undefined,
        measured,
        cached
      })
    const parts = [...metadata.values()].flatMap(({ splits }) => splits.flatMap((split) => split.parts))
    const inputs = [...new Set(parts.map((part) => part.path))]
    const batches = Array.from(metadata.values()).some(({ splits }) =>
      splits.some(({ rowsOf }) => rowsOf !== undefined)
    )
    return { optimised, graph: decide(new Map()), decide, inputs, batches }
  })

  const run = Effect.fnUntraced(function* (
    spec: Spec,
    services: Context.Context<never>
  ): Effect.fn.Return<unknown, unknown, Scope.Scope> {
    const jobId = (yield* Random.nextIntBetween(0, 0xffffffff)).toString(16).padStart(8, "0")
    const name = spec.job?.name ?? spec.name
    const fail = (reason: Reason, at: Location = {}) => new JobError({ job: jobId, name, reason, at })
    if ((yield* Current) !== undefined) return yield* fail(new NestedAction({ action: spec.name }))

    if (invalid !== undefined) return yield* fail(invalid)
    const started = yield* Clock.currentTimeMillis
    const { batches, decide, graph, inputs } = yield* Effect.mapError(plan(spec), (reason) => fail(reason))
    if (graph.invalid !== undefined) return yield* fail(graph.invalid)
    const fingerprint = Plan.fingerprint(
      spec.plan,
      spec.job === undefined ? "" : `${spec.job.name} ${spec.job.payload}`
    )
    const event = Effect.map(Clock.currentTimeMillis, (at) => ({ job: jobId, name, at }))
    const progress = makeProgress()
    const result = Stage.result(graph)
    const rows = Stage.rows(result)
    const setAside: SetAside = {
      first: progress.firstLetters,
      rows: () => {
        const { deadLettered, rowsRead } = snapshot(progress)
        return { deadLettered, read: rowsRead }
      },
      expected: () => rows
    }
    const stages = yield* makeStages(
      {
        jobId,
        progress,
        events,
        event,
        storage,
        letters:
          spec.letters === undefined ? undefined : Effect.provideService(spec.letters(jobId), Storage.Storage, storage),
        batches,
        checkLetters: checkLimit(setAside, config.maxDeadLetters, false)
      },
      {
        graph,
        replan: decide,
        eachPartition: spec.eachPartition ?? false,
        retries: spec.retries ?? true,
        leaves: spec.leaves ?? false,
        scheduler,
        shuffle,
        cached,
        services: services.pipe(Context.add(Storage.Storage, storage), Context.add(Shuffle.Shuffle, shuffle))
      }
    )
    const driver: Omit<Run, "restore"> = {
      jobId,
      fingerprint,
      inputs,
      result: stages.result,
      storage,
      letters: () => lettersOf(progress),
      account: () => accountOf(progress, stages.end().result, stages.valueOf),
      totals: () => snapshot(progress),
      tasks: (tasks, onResult) =>
        Effect.andThen(
          stages.run(tasks, spec.task, onResult),
          Effect.suspend(() => checkLimit(setAside, config.maxDeadLetters, stages.end().complete))
        )
    }

    yield* events.publish({
      _tag: "JobStarted",
      job: jobId,
      name,
      at: started,
      fingerprint,
      tasks: stages.tasks(),
      bytes: Stage.bytes(result),
      ...(rows === undefined ? {} : { rows })
    })
    yield* Effect.flatMap(event, (head) =>
      events.publish({
        _tag: "Progress",
        ...head,
        tasksDone: progress.tasksDone,
        tasks: stages.tasks(),
        totals: snapshot(progress)
      })
    ).pipe(
      Effect.repeat(Schedule.spaced(millisOf(config.progressInterval))),
      Effect.delay(millisOf(config.progressInterval)),
      Effect.forkScoped
    )
    // An interrupt that arrives during a commit waits for its end and its result.
    return yield* Effect.uninterruptibleMask((restore) => {
      const drive = Effect.suspend(() => spec.drive({ ...driver, restore }))
      const driven: Effect.Effect<unknown, unknown> = (spec.commits === true ? drive : restore(drive)).pipe(
        provideErased(services),
        Effect.catch((failure) => (failure instanceof RolledBack ? driven : Effect.fail(failure)))
      )
      return driven.pipe(
        Effect.catch((failure): Effect.Effect<never, unknown> => {
          if (!isTaskFailure(failure)) return Effect.fail(fail(failure as Reason))
          return Effect.fail(failure._tag === "Failed" ? failure.error : fail(failure.reason, failure.at))
        }),
        Effect.ensuring(Effect.andThen(stages.clean, scheduler.release(jobId))),
        Effect.onExit((exit) =>
          Effect.flatMap(event, (head) => {
            const millis = head.at - started
            const sums = snapshot(progress)
            spec.onEnd?.({ job: jobId, fingerprint, millis, totals: sums })
            return events.publish({
              _tag: "JobEnded",
              ...head,
              outcome: Exit.isSuccess(exit)
                ? "success"
                : Cause.hasInterruptsOnly(exit.cause)
                  ? "interrupted"
                  : "failure",
              millis,
              totals: sums
            })
          })
        )
      )
    })
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

/**
 * An engine on the storage, executors, event bus and shuffle in the context.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWithShuffle: Layer.Layer<
  Engine,
  never,
  Storage.Storage | Shuffle.Shuffle | Executor.Executor | Events.Events
> = Layer.effect(Engine, make).pipe(Layer.provide(Scheduler.layer))

// If the folder for temporary files cannot be written, the jobs that need it fail, not the engine.
const layerDisk: Layer.Layer<Shuffle.Shuffle> = Shuffle.layerDisk().pipe(
  Layer.catch(({ reason }) => Shuffle.layerUnavailable(reason))
)

/**
 * An engine on the storage, executors and event bus in the context that shuffles through a folder for temporary files.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoDeps: Layer.Layer<Engine, never, Storage.Storage | Executor.Executor | Events.Events> =
  layerWithShuffle.pipe(Layer.provide(layerDisk))

/**
 * An engine in this process: local and memory files, and one executor with one slot per processor.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Engine | Storage.Storage | Events.Events> = layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal()),
  Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
)
