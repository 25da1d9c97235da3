import { Context, Effect, Fiber, type Layer } from "effect"
import type * as JobError from "../JobError.ts"
import type { TaskContext } from "../TaskContext.ts"
import type { Book, Weigh } from "./book.ts"
import type { Sampling } from "./sampler.ts"
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
  /** Whether rows of text come as bytes, because the task hands them on and nothing in it looks at them. */
  readonly asLines: boolean
  /** How much of its splits a task that draws a sample wants to read; missing if it has to read all. */
  readonly sampling?: Sampling | undefined
  /** If a partition is read in parts: the map tasks `[from, to)` of a stage whose rows this part has. */
  readonly maps?: ReadonlyMap<number, readonly [from: number, to: number]> | undefined
}

/**
 * Services of any type, because the plan has erased what its functions need. `Action` and `Dataset.provide` are typed
 * with what the combinators inferred, and can only be run where these services are.
 */
const anyOf = (services: Context.Context<never>): Context.Context<unknown> => Context.makeUnsafe(services.mapUnsafe)

/** Adds services to those that an effect of the plan has. */
export const provideErased = (services: Context.Context<never>) => {
  const erased = anyOf(services)
  return <A, E>(effect: Effect.Effect<A, E, unknown>): Effect.Effect<A, E> => Effect.provideContext(effect, erased)
}

/**
 * Runs effects of the plan with exactly these services: all share one context, whereas merging would make a new one for
 * each.
 */
export const withServices = (services: Context.Context<never>) => {
  const erased = anyOf(services)
  return <A, E>(effect: Effect.Effect<A, E, unknown>): Effect.Effect<A, E> => Effect.updateContext(effect, () => erased)
}

/**
 * Runs the work of a task in a separate fiber, which `abort` interrupts. The failure is then that of the engine,
 * whatever the work returns.
 */
export const raceAbort = <A, E, R>(
  work: (abort: TaskRuntime["abort"]) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | EngineFailure, R> =>
  Effect.contextWith((context: Context.Context<R>) =>
    Effect.callback<A, E | EngineFailure>((resume) => {
      let failure: EngineFailure | undefined
      let fiber: Fiber.Fiber<A, E> | undefined
      const abort: TaskRuntime["abort"] = (reason) =>
        Effect.suspend(() => {
          failure ??= new EngineFailure(reason)
          fiber?.interruptUnsafe()
          return Effect.never
        })
      fiber = Effect.runForkWith(context)(Effect.suspend(() => work(abort)))
      // The abort may have come before there was a fiber to interrupt.
      if (failure !== undefined) fiber.interruptUnsafe()
      fiber.addObserver((exit) => resume(failure === undefined ? exit : Effect.fail(failure)))
      return Fiber.interrupt(fiber)
    })
  )
