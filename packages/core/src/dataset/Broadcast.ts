/**
 * A value computed once and used by the tasks of every executor.
 *
 * @since 0.1.0
 */
import { Context, type Effect, Layer } from "effect"

/**
 * A value that tasks of every executor use, as a service: `make` names it, `layer` computes it once per executor.
 * Unlike a value that a function captures, it is in the type of every dataset that reads it, and it works on executors
 * in other processes.
 *
 * **Example** (A table every task looks into)
 *
 * ```ts import.meta.vitest
 * import { Broadcast, Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const Prices = Broadcast.make<ReadonlyMap<string, number>>("example/Prices")
 *
 * const priced = Dataset.make("pen", "ink").pipe(
 *   Dataset.mapEffect((name) => Effect.map(Prices, (prices) => prices.get(name) ?? 0)),
 *   Dataset.provide(Broadcast.layer(Prices, Effect.succeed(new Map([["pen", 2], ["ink", 5]])))),
 *   Dataset.collect
 * )
 *
 * await Effect.runPromise(Effect.provide(priced, Engine.layer)) // => [2, 5]
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Broadcast<in out A> extends Context.Service<Broadcast<A>, A> {}

/**
 * Names a broadcast value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(key: string): Broadcast<A> => Context.Service<Broadcast<A>, A>(key)

/**
 * Computes the value once per executor, and releases it when no run uses it any more. To keep a value for longer than a
 * run, compute it before the run and provide it with `Dataset.provideService`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <A, E, R>(self: Broadcast<A>, value: Effect.Effect<A, E, R>): Layer.Layer<Broadcast<A>, E, R> =>
  Layer.effect(self, value)
