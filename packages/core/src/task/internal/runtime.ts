import { Deferred, Effect, type Context, type Layer } from "effect"
import type * as JobError from "../JobError.ts"
import type { TaskContext } from "../TaskContext.ts"
import type { Book, Weigh } from "./book.ts"
import type { ValueOf } from "./values.ts"

/**
 * A failure of the engine on its way out of a task. It does not travel through the error channel of the user's streams:
 * `TaskRuntime.abort` puts it into a deferred that the task races against, and the stream that found it never
 * continues. So no handler of the program can see or swallow it.
 */
export class EngineFailure {
  readonly reason: JobError.Reason
  constructor(reason: JobError.Reason) {
    this.reason = reason
  }
}

/** What the engine's own operators know about the task, besides what users see. */
export interface TaskRuntime extends TaskContext {
  readonly abort: (reason: JobError.Reason) => Effect.Effect<never>
  /** Services of a layer, built once per executor. */
  readonly services: (
    layer: Layer.Layer<never, unknown, unknown>
  ) => Effect.Effect<Context.Context<never>, unknown, unknown>
  /** The value of a stage before this one. */
  readonly stageValue: ValueOf
  /** Rows in an array of elements. */
  readonly weigh: Weigh
  /** Rows of one element, if elements are not rows. */
  readonly rowsOf: ((value: unknown) => number) | undefined
  /** What the account of the task needs besides its metrics. */
  readonly book: Book
  /** If a partition is read in parts: the map tasks `[from, to)` of a stage whose rows this part has. */
  readonly maps?: ReadonlyMap<number, readonly [from: number, to: number]> | undefined
}

/**
 * Provides the services of an action to an effect whose requirements the plan has erased. `Action` has the types that
 * the combinators inferred, and can run only where these services are provided, so this is sound.
 */
export const provideErased =
  (services: Context.Context<never>) =>
  <A, E>(effect: Effect.Effect<A, E, unknown>): Effect.Effect<A, E> =>
    Effect.provideContext(effect as Effect.Effect<A, E>, services)

/** Runs the work of a task against the deferred that `abort` fails. */
export const raceAbort = <A, E, R>(
  work: (abort: TaskRuntime["abort"]) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | EngineFailure, R> =>
  Effect.flatMap(Deferred.make<never, EngineFailure>(), (failure) =>
    Effect.raceFirst(
      work((reason) => Effect.andThen(Deferred.fail(failure, new EngineFailure(reason)), Effect.never)),
      Deferred.await(failure)
    )
  )
