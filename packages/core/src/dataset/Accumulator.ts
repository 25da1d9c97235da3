/**
 * Sums that tasks add to and the driver reads: counters beside the result.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import * as Additions from "../task/internal/additions.ts"
import { Current } from "../task/TaskContext.ts"

/**
 * A named value that tasks add to.
 *
 * **Details**
 *
 * The additions of a task count when the task has succeeded, and once per partition, however many attempts it took.
 * Spark counts accumulators in actions the same way. Additions outside of a task count at once. `combine` is commutative
 * and associative, since tasks end in any order, and each task first combines its own additions.
 *
 * **Gotchas**
 *
 * `combine` returns a new value, or one of its arguments unchanged. If it changes an argument, it changes a value that the
 * program passed to {@link add}.
 *
 * **Example** (Counting what a filter drops)
 *
 * ```ts import.meta.vitest
 * import { Accumulator, Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const empty = Accumulator.make(0, (sum: number, n: number) => sum + n)
 *   yield* Dataset.make("a", "", "b").pipe(
 *     Dataset.tap((word) => word === "" ? Accumulator.add(empty, 1) : Effect.void),
 *     Dataset.count
 *   )
 *   return yield* Accumulator.get(empty)
 * })
 *
 * await Effect.runPromise(Effect.provide(program, Engine.layer)) // => 1
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Accumulator<in out A> {
  /** Unique in this process: what tasks add travels under it. */
  readonly id: string
  readonly zero: A
  readonly combine: (left: A, right: A) => A
  /** The value so far. Only {@link get} reads it. */
  readonly state: { value: A }
}

/**
 * An accumulator that starts at `zero`, the neutral element of `combine`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(zero: A, combine: (left: A, right: A) => A): Accumulator<A> => {
  const self: Accumulator<A> = { id: Additions.nextId(), zero, combine, state: { value: zero } }
  Additions.register(self)
  return self
}

/**
 * Adds to an accumulator.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = <A>(self: Accumulator<A>, value: A): Effect.Effect<void> =>
  Effect.map(Current, (task) => {
    if (task === undefined) Additions.apply(self, value)
    else Additions.add(task.additions, self, value)
  })

/**
 * The value so far.
 *
 * @category getters
 * @since 0.1.0
 */
export const get = <A>(self: Accumulator<A>): Effect.Effect<A> => Effect.sync(() => self.state.value)
