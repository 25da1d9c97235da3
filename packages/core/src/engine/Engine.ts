/**
 * Runs actions: optimises the plan, reads the metadata of its sources, plans stages, and has the scheduler run their tasks.
 *
 * An `Action` is the plan, what a task does with its partition's stream, and what the driver does with the tasks'
 * results. The `Scheduler` gives each task to a slot, on a host that has its data if one becomes free in time. An
 * `Executor` runs the tasks of its slots, with services that live as long as runs use them.
 *
 * @since 0.1.0
 */
import { Effect, Layer } from "effect"
import { Engine } from "./Action.ts"
import * as EngineConfigs from "../task/EngineConfig.ts"
import { EngineConfig, mostCacheBytes } from "../task/EngineConfig.ts"
import * as Events from "../observe/Events.ts"
import * as Executor from "./Executor.ts"
import { cacheOf } from "./internal/cache.ts"
import { type Host, runJob } from "./internal/job.ts"
import { planOf } from "./internal/planning.ts"
import { InvalidPlan, JobError } from "../task/JobError.ts"
import * as Plan from "../plan/Plan.ts"
import * as Scheduler from "./Scheduler.ts"
import * as Shuffle from "../shuffle/Shuffle.ts"
import * as Stage from "../plan/Stage.ts"
import * as Storage from "../storage/Storage.ts"

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
  const host: Host = { storage, shuffle, scheduler, events, config, cached, invalid }

  return Engine.of({
    run: (spec, services) => runJob(host, spec, services),
    uncache: (handle) => cached.remove(handle),
    explain: (spec) =>
      planOf(spec, host).pipe(
        Effect.mapBoth({
          onFailure: (reason) => new JobError({ job: "", name: spec.name, reason, at: {} }),
          onSuccess: ({ graph, optimised }) =>
            [
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
      )
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
