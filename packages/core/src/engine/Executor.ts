/**
 * Runs tasks: slots with hosts. Which machine or thread they are on is the layer's business; {@link layerLocal} has them in this
 * process.
 *
 * @since 0.1.0
 */
import { Context, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { availableParallelism, hostname } from "node:os"
import { firstOf, whole } from "../codec/internal/checks.ts"
import { ExecutorLost } from "../task/JobError.ts"
import { ExecutorInfo } from "../task/TaskContext.ts"

/**
 * What a task can use of the executor it runs on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Environment {
  readonly info: ExecutorInfo["Service"]
  /** Services of a layer: built at the first use, once per executor, and released when no job that runs uses them any more. */
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
    /** Releases what was built for a job that has ended, as far as no other that runs uses it. */
    readonly release: (jobId: string) => Effect.Effect<void>
    /** Attempts at a task before its failure is the job's. 1 in process (as Spark's `local[N]`), where a second try meets the same program. */
    readonly maxAttempts: number
    /** Which of its settings is impossible, such as a negative number of slots: every job fails with it. */
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
  const environments = new Map<string, { readonly info: ExecutorInfo["Service"]; readonly services: Services }>()
  for (const [index, options] of executors.entries()) {
    const info = {
      id: options.id ?? `local-${index}`,
      host: options.host ?? hostname(),
      slots: options.slots ?? availableParallelism()
    }
    const executorScope = yield* Scope.fork(scope)
    environments.set(info.id, { info, services: makeServices(info, executorScope) })
  }
  const joined = Array.from(environments.values(), ({ info }): Change => ({ _tag: "Joined", info }))
  return Executor.of({
    changes: Stream.concat(Stream.fromArray(joined), Stream.never),
    run: (executor, task) => {
      const environment = environments.get(executor)
      return environment === undefined
        ? Effect.fail(new ExecutorLost({ executor }))
        : task.run({ info: environment.info, services: environment.services.of(task.jobId) })
    },
    release: (jobId) =>
      Effect.forEach(environments.values(), ({ services }) => services.release(jobId), { discard: true }),
    maxAttempts: 1,
    invalid: firstOf(
      ...joined.map((change) => (change._tag === "Joined" ? whole("slots", change.info.slots) : undefined))
    )
  })
})

// The services of an executor, by layer.
interface Services {
  readonly of: (jobId: string) => Environment["services"]
  readonly release: (jobId: string) => Effect.Effect<void>
}

interface Build {
  readonly fiber: Fiber.Fiber<Context.Context<never>, unknown>
  readonly scope: Scope.Closeable
  /** The jobs that use it. */
  readonly jobs: Set<string>
}

// Built in a fiber of the executor, so that a task that is interrupted while it waits does not interrupt the build that others
// wait for. A build that failed is forgotten: the next task tries again.
const makeServices = (info: ExecutorInfo["Service"], scope: Scope.Scope): Services => {
  const builds = new Map<Layer.Layer<never, unknown, unknown>, Build>()
  const memoMap = Layer.makeMemoMapUnsafe()
  return {
    of: (jobId) =>
      Effect.fnUntraced(function* (layer) {
        let build = builds.get(layer)
        if (build === undefined) {
          const own = yield* Scope.fork(scope)
          const fiber = yield* Layer.buildWithMemoMap(layer, memoMap, own).pipe(
            Effect.provideService(ExecutorInfo, info),
            Effect.onExit((exit) => {
              if (Exit.isSuccess(exit)) return Effect.void
              if (builds.get(layer)?.scope === own) builds.delete(layer)
              return Scope.close(own, exit)
            }),
            Effect.forkIn(scope)
          )
          build = { fiber, scope: own, jobs: new Set() }
          builds.set(layer, build)
        }
        build.jobs.add(jobId)
        return yield* Fiber.join(build.fiber)
      }),
    release: (jobId) =>
      Effect.suspend(() => {
        const unused: Array<Build> = []
        for (const [layer, build] of builds) {
          if (!build.jobs.delete(jobId) || build.jobs.size > 0) continue
          builds.delete(layer)
          unused.push(build)
        }
        return Effect.forEach(
          unused,
          (build) => Effect.andThen(Fiber.interrupt(build.fiber), Scope.close(build.scope, Exit.void)),
          { discard: true }
        )
      })
  }
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
