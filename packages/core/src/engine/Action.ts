/**
 * What makes a plan run: a value that holds a plan and what to do with its partitions, and that is an `Effect` as well.
 *
 * @since 0.1.0
 */
import { Context, Effect, Effectable, type Stream } from "effect"
import type { Totals } from "../observe/Events.ts"
import type { TaskRuntime } from "../task/internal/runtime.ts"
import type { JobError, Reason } from "../task/JobError.ts"
import type { CacheHandle, Plan } from "../plan/Plan.ts"
import type { Storage } from "../storage/Storage.ts"

/**
 * What the tasks of a result stage are.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResultTasks {
  /** How many there are: one for each partition, or fewer or more where the engine put small ones together or split large ones. */
  readonly tasks: number
  /** The input split of each, for manifests. */
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
  /** Dropped by operators less those they added. */
  readonly filtered: number
  readonly deadLettered: number
  /** Left unread on purpose, by a `take` for example. */
  readonly cut: number
  /** Handed to the action. */
  readonly written: number
}

/**
 * A run of an action, as its driver side sees it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  readonly jobId: string
  readonly fingerprint: string
  /** The tasks of the result stage. The stages it reads run first, so an action that needs nothing of the result does not ask. */
  readonly result: Effect.Effect<ResultTasks, unknown>
  readonly storage: Storage["Service"]
  /** The files that the plan reads. */
  readonly inputs: ReadonlyArray<string>
  /** In the `drive` of a spec that `commits`: runs a part of it that may be interrupted. */
  readonly restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** The files that succeeded tasks wrote the rows they set aside to, below the folder of `Spec.letters`. */
  readonly letters: () => ReadonlyArray<{ readonly path: string; readonly rows: number }>
  /** What became of the rows of all sources so far. */
  readonly account: () => RowAccount
  /** Sums of the tasks' metrics so far. */
  readonly totals: () => Totals
  /**
   * Runs the action's task on these of the result stage, as many at once as there are slots, and hands each
   * result over as it arrives, one at a time. The first failure interrupts the others.
   */
  readonly tasks: (
    tasks: ReadonlyArray<number>,
    onResult: (task: number, result: unknown, attempt: number) => Effect.Effect<void, Reason>
  ) => Effect.Effect<void, unknown>
}

/**
 * What a run of an action came to, however it ended.
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
 * What an action does: `task` runs once per partition (or several small ones) where the data is, its result goes to `drive`, which
 * runs in the driver. Reasons that `drive` fails with become `JobError`s.
 *
 * @category models
 * @since 0.1.0
 */
export interface Spec {
  readonly name: string
  /** The job this action belongs to, if any: its name and payload are part of the fingerprint. */
  readonly job?: { readonly name: string; readonly payload: string } | undefined
  readonly plan: Plan
  readonly task: (
    rows: Stream.Stream<unknown, unknown, unknown>,
    task: TaskRuntime
  ) => Effect.Effect<unknown, unknown, unknown>
  /** Whether the task is to see the partitions of the plan, one each, whatever their size. Default `false`. */
  readonly eachPartition?: boolean | undefined
  /** Whether a task may be tried again: not where it hands its rows over before it ends. Default `true`. */
  readonly retries?: boolean | undefined
  /**
   * Whether an interrupt waits for the parts of `drive` outside of `Run.restore`, so that what they brought to an end is a success.
   * Default `false`.
   */
  readonly commits?: boolean | undefined
  /**
   * Whether what a task does leaves the job while it runs, such as effects on each row: then it is not run again on other rows, where a
   * stage before it turns out to yield others. Default `false`; so it is for what may not be tried again.
   */
  readonly leaves?: boolean | undefined
  /** The folder that tasks of the run write the rows they set aside to; without it they are counted only. */
  readonly letters?: ((jobId: string) => Effect.Effect<string, Reason, Storage>) | undefined
  /** Runs again from its start when the results it was handed turn out to be void. */
  readonly drive: (run: Run) => Effect.Effect<unknown, unknown, unknown>
  /** Called when a run ends, before it hands its result over. */
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
    /** Forgets the partitions of a cached dataset. */
    readonly uncache: (handle: CacheHandle) => Effect.Effect<void>
    /** The stages as text, with sizes and hosts from the metadata. */
    readonly explain: (spec: Pick<Spec, "name" | "plan">) => Effect.Effect<string, JobError>
  }
>()("@sluice/core/Engine") {}

/**
 * An action on a dataset: an `Effect` that runs it, and the plan for those who want to look first.
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
