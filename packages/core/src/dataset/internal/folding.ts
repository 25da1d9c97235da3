import { Effect, Option, Stream } from "effect"
import { dual } from "effect/Function"
import type { Action } from "../../engine/Action.ts"
import type * as Codec from "../../codec/Codec.ts"
import { optional, whole } from "../../codec/internal/checks.ts"
import { folded } from "./action.ts"
import { checkedAction } from "./checked.ts"
import { type Dataset, isDataset, narrow } from "./model.ts"
import { repartition } from "./repartitioning.ts"

// Folds rows one by one, under the name of the action that the program asked for.
const foldWith = <A, E, R, U>(
  self: Dataset<A, E, R>,
  name: string,
  zero: () => U,
  add: (state: U, value: A) => U,
  merge: (left: U, right: U) => U
): Action<U, E, R> =>
  folded(self, {
    name,
    zero,
    add: (state, values) => {
      let next = state
      for (const value of values) next = add(next, value)
      return next
    },
    merge,
    end: (state) => state
  })

/**
 * Folds each partition from its own zero, then the results of the partitions from another zero, in the order of the
 * partitions.
 *
 * @category actions
 * @since 0.1.0
 */
export const aggregate: {
  <A, U>(
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U
  ): <E, R>(self: Dataset<A, E, R>) => Action<U, E, R>
  <A, E, R, U>(
    self: Dataset<A, E, R>,
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U
  ): Action<U, E, R>
} = dual(
  4,
  <A, E, R, U>(
    self: Dataset<A, E, R>,
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U
  ): Action<U, E, R> => foldWith(self, "aggregate", zero, add, merge)
)

/**
 * {@link aggregate} with one function for both steps.
 *
 * @category actions
 * @since 0.1.0
 */
export const fold: {
  <A>(zero: () => A, f: (left: A, right: A) => A): <E, R>(self: Dataset<A, E, R>) => Action<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, zero: () => A, f: (left: A, right: A) => A): Action<A, E, R>
} = dual(3, <A, E, R>(self: Dataset<A, E, R>, zero: () => A, f: (left: A, right: A) => A): Action<A, E, R> =>
  foldWith(self, "fold", zero, f, f)
)

/**
 * Combines all elements with an associative function; `None` without elements.
 *
 * @category actions
 * @since 0.1.0
 */
export const reduce: {
  <A>(f: (left: A, right: A) => A): <E, R>(self: Dataset<A, E, R>) => Action<Option.Option<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, f: (left: A, right: A) => A): Action<Option.Option<A>, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, f: (left: A, right: A) => A): Action<Option.Option<A>, E, R> =>
  foldWith(
    self,
    "reduce",
    () => Option.none<A>(),
    (state, value) => Option.some(Option.isSome(state) ? f(state.value, value) : value),
    (left, right) =>
      Option.isNone(left) ? right : Option.isNone(right) ? left : Option.some(f(left.value, right.value))
  )
)

/**
 * As {@link aggregate}, but the states of the partitions are merged by `groups` (default 8) tasks before the driver
 * merges what is left: for many partitions or large states. States are plain data or have a codec.
 *
 * @category actions
 * @since 0.1.0
 */
export const treeAggregate: {
  <A, U>(
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U,
    options?: { readonly groups?: number | undefined; readonly codec?: Codec.Codec<U> | undefined }
  ): <E, R>(self: Dataset<A, E, R>) => Action<U, E, R>
  <A, E, R, U>(
    self: Dataset<A, E, R>,
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U,
    options?: { readonly groups?: number | undefined; readonly codec?: Codec.Codec<U> | undefined }
  ): Action<U, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, U>(
    self: Dataset<A, E, R>,
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U,
    options?: { readonly groups?: number | undefined; readonly codec?: Codec.Codec<U> | undefined }
  ): Action<U, E, R> => {
    const states: Dataset<U, E, R> = narrow(self, {
      _tag: "MapPartitions",
      name: "Aggregate",
      oneToOne: false,
      elementwise: false,
      f: (rows: Stream.Stream<A, E, R>) =>
        Stream.fromEffect(
          Effect.suspend(() => {
            let state = zero()
            return Effect.map(
              Stream.runForEachArray(rows, (values) =>
                Effect.sync(() => {
                  for (const value of values) state = add(state, value)
                })
              ),
              () => state
            )
          })
        )
    })
    return checkedAction(
      "treeAggregate",
      optional(options?.groups, (groups) => whole("groups", groups)),
      folded(repartition(states, options?.groups ?? 8, { value: options?.codec }), {
        name: "treeAggregate",
        zero,
        add: (state, values) => values.reduce(merge, state),
        merge,
        end: (state) => state
      })
    )
  }
)
