/**
 * What makes a plan run: a value that holds a plan and what to do with its partitions, and that is also an `Effect`.
 *
 * @since 0.1.0
 */
import { Context, Effect, Effectable, type Stream } from "effect"
import type { Totals } from "../observe/Events.ts"
import type { TaskFailure } from "../task/internal/run.ts"
import type { TaskRuntime } from "../task/internal/runtime.ts"
import type { JobError, Reason } from "../task/JobError.ts"
import type { RolledBack } from "./internal/rollback.ts"
import type { CacheHandle, Plan } from "../plan/Plan.ts"
import type { Storage } from "../storage/Storage.ts"

/**
 * The tasks of a result stage.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResultTasks {
  /**
   * The number of tasks: one per partition, unless the engine has put small partitions together or split large ones.
   */
  readonly tasks: number
  /** The input split of each task, for manifests. */
  readonly splitIds: ReadonlyArray<string | undefined>
}

/**
 * What became of the rows of a job's sources (and of the caches it read): `read = written + filtered + deadLettered + cut`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RowAccount {
  readonly read: number
  /** Rows that operators dropped, less those that they added. */
  readonly filtered: number
  readonly deadLettered: number
  /** Left unread on purpose, by a `take` for example. */
  readonly cut: number
  /** Rows handed to the action. */
  readonly written: number
}

/**
 * What the driver side of an action may fail with: the failure of a task, the news that its results are void, or its
 * own reason.
 *
 * @category errors
 * @since 0.1.0
 */
export type DriveFailure = TaskFailure | RolledBack | Reason

/**
 * A run of an action, as the driver sees it. `U` is what each task yields.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run<out U = unknown> {
  readonly jobId: string
  readonly fingerprint: string
  /**
   * The tasks of the result stage. The stages before it run first, so an action that does not need the result does not
   * ask.
   */
  readonly result: Effect.Effect<ResultTasks, DriveFailure>
  readonly storage: Storage["Service"]
  /** The files that the plan reads. */
  readonly inputs: ReadonlyArray<string>
  /** In the `drive` of a spec that `commits`: runs a part that may be interrupted. */
  readonly restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** The files to which successful tasks wrote the rows they set aside, below the folder of `Spec.letters`. */
  readonly letters: () => ReadonlyArray<{ readonly path: string; readonly rows: number }>
  /** What has become of the rows of all sources so far. */
  readonly account: () => RowAccount
  /** Sums of the tasks' metrics so far. */
  readonly totals: () => Totals
  /**
   * Runs the action's task on these partitions of the result stage, as many at once as there are slots, and hands over
   * each result as it arrives, one at a time. The first failure interrupts the others.
   */
  readonly tasks: (
    tasks: ReadonlyArray<number>,
    onResult: (task: number, result: U, attempt: number) => Effect.Effect<void, Reason>
  ) => Effect.Effect<void, DriveFailure>
}

/**
 * The totals of a run of an action, however it ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Summary {
  /** Id of the run. */
  readonly job: string
  readonly fingerprint: string
  readonly millis: number
  /** Rows, bytes and the operators' own counters, summed over all tasks. */
  readonly totals: Totals
}

/**
 * What an action does: `task` runs once per partition (or for several small ones) on an executor, and its result goes
 * to `drive`, which runs in the driver. Reasons that `drive` fails with become `JobError`s.
 *
 * **Details**
 *
 * The types of the rows and of the tasks' results are erased, as in a `Plan`: `task` and `drive` are methods, so that
 * typed functions are stored without a cast. In the actions of `Dataset`, both are known to agree with the plan.
 *
 * @category models
 * @since 0.1.0
 */
export interface Spec {
  readonly name: string
  /** The job this action belongs to, if any: its name and payload are part of the fingerprint. */
  readonly job?: { readonly name: string; readonly payload: string } | undefined
  readonly plan: Plan
  task(rows: Stream.Stream<unknown, unknown, unknown>, task: TaskRuntime): Effect.Effect<unknown, unknown, unknown>
  /** Whether each task has to get exactly one partition of the plan, whatever its size. Default `false`. */
  readonly eachPartition?: boolean | undefined
  /** Whether a task may be tried again. It may not if it hands over its rows before it ends. Default `true`. */
  readonly retries?: boolean | undefined
  /**
   * Whether an interrupt waits for the parts of `drive` outside of `Run.restore`, so that what they completed is a
   * success. Default `false`.
   */
  readonly commits?: boolean | undefined
  /**
   * Whether a task has effects outside of the job while it runs, such as an effect for each row. If so, it is not run
   * again on different rows when an earlier stage turns out to yield different ones. Default `false`; the same holds
   * for tasks that may not be tried again.
   */
  readonly leaves?: boolean | undefined
  /** Whether `task` takes rows of text as bytes (`task.asLines`). Default `false`. */
  readonly takesLines?: boolean | undefined
  /** The folder to which tasks of the run write the rows they set aside; without it they are only counted. */
  readonly letters?: ((jobId: string) => Effect.Effect<string, Reason, Storage>) | undefined
  /** Runs again from the start if the results that it was given turn out to be void. */
  drive(run: Run): Effect.Effect<unknown, DriveFailure, unknown>
  /** Called when a run ends, before it hands over its result. */
  readonly onEnd?: ((summary: Summary) => void) | undefined
}

/**
 * The engine: runs actions. Its layers are in `Engine`.
 *
 * @category services
 * @since 0.1.0
 */
export class Engine extends Context.Service<
  Engine,
  {
    /** Runs an action whose functions need the services of `services`. Fails with the user's error or a `JobError`. */
    readonly run: (spec: Spec, services: Context.Context<never>) => Effect.Effect<unknown, unknown>
    /** Drops the partitions of a cached dataset. */
    readonly uncache: (handle: CacheHandle) => Effect.Effect<void>
    /** The stages as text, with sizes and hosts from the metadata. */
    readonly explain: (spec: Pick<Spec, "name" | "plan">) => Effect.Effect<string, JobError>
  }
>()("@sluice/core/Engine") {}

/**
 * An action on a dataset: an `Effect` that runs it, and its plan for those who want to look first.
 *
 * @category models
 * @since 0.1.0
 */
export class Action<B, E = never, R = never> extends Effectable.Class<B, E | JobError, R | Engine> {
  readonly spec: Spec
  constructor(spec: Spec) {
    super()
    this.spec = spec
  }
  asEffect(): Effect.Effect<B, E | JobError, R | Engine> {
    const run = Effect.contextWith((services: Context.Context<R | Engine>) =>
      Effect.flatMap(Engine, (engine) => engine.run(this.spec, services))
    )
    // The types of a plan's functions are erased in `Spec`; `B`, `E` and `R` are what the combinator that made it inferred.
    return run as Effect.Effect<B, E | JobError, R | Engine>
  }
}
