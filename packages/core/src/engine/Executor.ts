/**
 * Runs tasks: slots with hosts. The layer decides on which machine or thread they are; {@link layerLocal} has them in
 * this process.
 *
 * @since 0.1.0
 */
import { Context, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { availableParallelism, hostname } from "node:os"
import { firstOf, whole } from "../codec/internal/checks.ts"
import { ExecutorLost } from "../task/JobError.ts"
import type { TaskFailure, TaskResult } from "../task/internal/run.ts"
import type { Environment, Task } from "../task/Task.ts"
import { ExecutorInfo } from "../task/TaskContext.ts"

export type { Environment } from "../task/Task.ts"

/**
 * What a run does with its tasks. Executors of this process call it; those elsewhere have planned the run themselves.
 *
 * @category models
 * @since 0.1.0
 */
export type Perform = (task: Task, environment: Environment) => Effect.Effect<TaskResult, TaskFailure>

/**
 * An executor joined or was lost.
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
    /** The present executors, each as `Joined`, and then every change. */
    readonly changes: Stream.Stream<Change>
    /** Opens a run: from now on its tasks can be run. */
    readonly open: (run: string, perform: Perform) => Effect.Effect<void>
    /**
     * Runs a task of an open run on the given executor. Interrupting it interrupts the task, finalizers included. Fails
     * with `ExecutorLost` if the executor is lost.
     */
    readonly run: (executor: string, task: Task) => Effect.Effect<TaskResult, TaskFailure | ExecutorLost>
    /** Closes a run that has ended, and releases the services built for it that no other run uses. */
    readonly release: (run: string) => Effect.Effect<void>
    /**
     * Attempts at a task before the job fails. 1 in process (as in Spark's `local[N]`), where a second attempt runs the
     * same program.
     */
    readonly maxAttempts: number
    /** A problem with its settings, such as a negative number of slots: every job fails with it. */
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
  /** Host name to compare with block locations. Default: this machine's. */
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
  const runs = new Map<string, Perform>()
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
    open: (run, perform) => Effect.sync(() => void runs.set(run, perform)),
    run: (executor, task) => {
      const environment = environments.get(executor)
      const perform = runs.get(task.run)
      if (environment === undefined) return Effect.fail(new ExecutorLost({ executor }))
      // The scheduler interrupts the tasks of a run before it closes it.
      if (perform === undefined) return Effect.die(new Error(`run ${task.run} is not open on executor ${executor}`))
      return perform(task, { info: environment.info, services: environment.services.of(task.run) })
    },
    release: (run) =>
      Effect.suspend(() => {
        runs.delete(run)
        return Effect.forEach(environments.values(), ({ services }) => services.release(run), { discard: true })
      }),
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
  /** The runs that use it. */
  readonly jobs: Set<string>
}

// Built in a fiber of the executor, so that a task that is interrupted while it waits does not interrupt the build that
// others wait for. A failed build is not kept: the next task tries again.
const makeServices = (info: ExecutorInfo["Service"], scope: Scope.Scope): Services => {
  const builds = new Map<Layer.Layer<never, unknown, unknown>, Build>()
  const memoMap = Layer.makeMemoMapUnsafe()
  const use = Effect.fnUntraced(function* (jobId: string, layer: Layer.Layer<never, unknown, unknown>) {
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
  })
  return {
    of: (jobId) => (layer) => use(jobId, layer),
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
