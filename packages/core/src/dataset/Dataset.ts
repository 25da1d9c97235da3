/**
 * A lazy, typed, partitioned collection: the value a program builds and an action runs.
 *
 * `Dataset<A, E, R>` holds a logical plan and nothing else. `A` is the type of its elements, `E` what the program's own
 * functions can fail with, `R` the services they need. Each combinator returns a new dataset with one more node on top
 * of the plan. These types exist only here: below, in `Plan`, everything is `unknown`. Actions (`collect`, `count`,
 * `writeParquet`, ...) are `Effect`s that need an `Engine`; nothing runs before.
 *
 * **Example** (Counting the even numbers)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const evens = Dataset.range(0, 1000, { partitions: 4 }).pipe(
 *   Dataset.filter((n) => n % 2 === 0),
 *   Dataset.count
 * )
 *
 * await Effect.runPromise(Effect.provide(evens, Engine.layer)) // => 500
 * ```
 *
 * @since 0.1.0
 */
export { type Dataset, isDataset } from "./internal/model.ts"
export type { JoinOptions, KeyOptions } from "./internal/exchange.ts"

// In the order of a program: what is read, the steps, the operations that move rows by key, the actions.
export * from "./internal/reading.ts"
export * from "./internal/steps.ts"
export * from "./internal/partitions.ts"
export * from "./internal/sampling.ts"
export * from "./internal/handling.ts"
export * from "./internal/keyed.ts"
export * from "./internal/joins.ts"
export * from "./internal/sets.ts"
export * from "./internal/sorting.ts"
export * from "./internal/repartitioning.ts"
export * from "./internal/caching.ts"
export * from "./internal/checkpoint.ts"
export * from "./internal/results.ts"
export * from "./internal/folding.ts"
export * from "./internal/stats.ts"
export * from "./internal/extremes.ts"
export * from "./internal/counting.ts"
export * from "./internal/lookup.ts"
export * from "./internal/writing.ts"
export * from "./internal/printing.ts"
