/**
 * Runs tasks: slots with hosts. Which machine or thread they are on is the layer's business; {@link layerLocal} has them in this
 * process.
 *
 * @since 0.1.0
 */
import { Context, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { availableParallelism, hostname } from "node:os"
import { firstOf, whole } from "./internal/checks.ts"
import { ExecutorLost } from "./JobError.ts"
import { ExecutorInfo } from "./TaskContext.ts"

/**
 * What a task can use of the executor it runs on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Environment {
  readonly info: ExecutorInfo["Service"]
  /** Services of a layer: built at the first use, once per executor, and released when the executor ends. */
  readonly services: (
    layer: Layer.Layer<never, unknown, unknown>
  ) => Effect.Effect<Context.Context<never>, unknown, unknown>
}

/**
 * One attempt at one partition of one stage.
 *
 * @category models
 * @since 0.1.0
 */
export interface Task<A, E, R> {
  readonly jobId: string
  readonly stage: number
  readonly partition: number
  /** 0 for the first attempt. */
  readonly attempt: number
  readonly run: (environment: Environment) => Effect.Effect<A, E, R>
}

/**
 * An executor came or went.
 *
 * @category models
 * @since 0.1.0
 */
export type Change =
  | { readonly _tag: "Joined"; readonly info: ExecutorInfo["Service"] }
  | { readonly _tag: "Left"; readonly id: string }

/**
 * Service that runs tasks on executors.
 *
 * @category services
 * @since 0.1.0
 */
export class Executor extends Context.Service<
  Executor,
  {
    /** The executors there are, each as `Joined`, and then every change. */
    readonly changes: Stream.Stream<Change>
    /** Runs a task where it is told. Interrupting it interrupts the task, finalizers included. `ExecutorLost` when the executor goes. */
    readonly run: <A, E, R>(executor: string, task: Task<A, E, R>) => Effect.Effect<A, E | ExecutorLost, R>
    /** Attempts at a task before its failure is the job's. 1 in process (as Spark's `local[N]`), where a second try meets the same program. */
    readonly maxAttempts: number
    /** What of its settings cannot be, such as a number of slots that is none: every job fails with it. */
    readonly invalid?: string | undefined
  }
>()("@sluice/core/Executor") {}

/**
 * An executor of {@link layerLocal}.
 *
 * @category models
 * @since 0.1.0
 */
export interface LocalExecutor {
  /** Default `local-<n>`. */
  readonly id?: string | undefined
  /** Host name that block locations are compared with. Default this machine's. */
  readonly host?: string | undefined
  /** Tasks at once. Default the number of processors. */
  readonly slots?: number | undefined
}

/**
 * Makes executors of fibers in this process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeLocal = Effect.fnUntraced(function* (
  executors: ReadonlyArray<LocalExecutor> = [{}]
): Effect.fn.Return<Executor["Service"], never, Scope.Scope> {
  const scope = yield* Effect.scope
  const environments = new Map<string, Environment>()
  for (const [index, options] of executors.entries()) {
    const info = {
      id: options.id ?? `local-${index}`,
      host: options.host ?? hostname(),
      slots: options.slots ?? availableParallelism()
    }
    const executorScope = yield* Scope.fork(scope)
    environments.set(info.id, { info, services: memoizedServices(info, executorScope) })
  }
  const joined = Array.from(environments.values(), ({ info }): Change => ({ _tag: "Joined", info }))
  return Executor.of({
    changes: Stream.concat(Stream.fromArray(joined), Stream.never),
    run: (executor, task) => {
      const environment = environments.get(executor)
      return environment === undefined ? Effect.fail(new ExecutorLost({ executor })) : task.run(environment)
    },
    maxAttempts: 1,
    invalid: firstOf(
      ...joined.map((change) => (change._tag === "Joined" ? whole("slots", change.info.slots) : undefined))
    )
  })
})

// Built in a fiber of the executor, so that a task that is interrupted while it waits does not interrupt the build that others
// wait for. A build that failed is forgotten: the next task tries again.
const memoizedServices = (info: ExecutorInfo["Service"], scope: Scope.Scope): Environment["services"] => {
  const builds = new Map<Layer.Layer<never, unknown, unknown>, Fiber.Fiber<Context.Context<never>, unknown>>()
  const memoMap = Layer.makeMemoMapUnsafe()
  return Effect.fnUntraced(function* (layer) {
    let build = builds.get(layer)
    if (build === undefined) {
      build = yield* Layer.buildWithMemoMap(layer, memoMap, scope).pipe(
        Effect.provideService(ExecutorInfo, info),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            if (Exit.isFailure(exit)) builds.delete(layer)
          })
        ),
        Effect.forkIn(scope)
      )
      builds.set(layer, build)
    }
    return yield* Fiber.join(build)
  })
}

/**
 * Executors of fibers in this process: by default one, with as many slots as there are processors.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLocal = (options?: {
  readonly executors?: ReadonlyArray<LocalExecutor> | undefined
}): Layer.Layer<Executor> => Layer.effect(Executor, makeLocal(options?.executors))
