/**
 * Limits how many requests may be in flight at once: a scorer takes a permit before it sends a batch.
 *
 * By default each scorer has its own permits, `concurrency` of them per executor. A `Limiter` layer provided to the
 * scorer's layer replaces them with another limit, such as one that several scorers share.
 *
 * @since 0.1.0
 */
import { Context, Effect, Layer, type Scope, Semaphore } from "effect"
import { positive } from "./internal/setup.ts"
import type { ScoreError } from "./ScoreError.ts"

/**
 * The permits of a scorer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Permits {
  /**
   * Runs an effect with a permit: waits until one is free, and returns it when the effect ends, however it ends. A
   * batch keeps its permit while it waits for a retry.
   */
  readonly withPermit: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * Gives each scorer its permits when it is built. Defaults to {@link inProcess}.
 *
 * **Gotchas**
 *
 * `concurrency` of the scorer still says how many connections an executor opens and how many batches a task prepares. A
 * limiter that permits more does not change that.
 *
 * @category services
 * @since 0.1.0
 */
export const Limiter: Context.Reference<{
  /** The permits of a scorer that has at most `concurrency` requests in flight per executor. They end with the scope. */
  readonly permits: (concurrency: number) => Effect.Effect<Permits, never, Scope.Scope>
}> = Context.Reference("@sluice/scoring/Limiter", { defaultValue: () => inProcess })

/**
 * A semaphore for each scorer, in this process: `concurrency` permits per executor.
 *
 * @category constructors
 * @since 0.1.0
 */
export const inProcess: (typeof Limiter)["Service"] = {
  permits: (concurrency) =>
    Effect.map(Semaphore.make(concurrency), (semaphore): Permits => ({ withPermit: semaphore.withPermit }))
}

/**
 * One limit for all scorers of this process that are built with this layer, whatever their own `concurrency`. Fails
 * with reason `BadSetup` unless `permits` is a whole number above 0.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerShared = (permits: number): Layer.Layer<never, ScoreError> =>
  Layer.effect(
    Limiter,
    Effect.map(Effect.flatMap(positive("permits", permits), inProcess.permits), (shared) => ({
      permits: () => Effect.succeed(shared)
    }))
  )
