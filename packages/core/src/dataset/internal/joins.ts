import { Array as Arr, Option, Stream } from "effect"
import { dual } from "effect/Function"
import type * as Codec from "../../codec/Codec.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import { abortOn } from "../../task/internal/failures.ts"
import { codecOr, exchange, type JoinOptions, pairSide, partitioningOf, wireOf, written } from "./exchange.ts"
import { joinOf } from "./joining.ts"
import { type Dataset, isDataset } from "./model.ts"

/**
 * Pairs of values for every key that both datasets have.
 *
 * **Details**
 *
 * A dataset that is already partitioned by key (after `partitionBy`, `reduceByKey`) does not move. If the files of one
 * side have at most `EngineConfig.broadcastBytes` (10 MiB), every task gets all of it and neither side moves. If its
 * size is not known beforehand, it is written first, and the other side stays in place if the result is that small. A
 * partition that is much larger than the others is joined by several tasks (`EngineConfig.skewBytes`). Otherwise each
 * task builds a table of the smaller side of its partition; if that does not fit into the memory budget, both sides are
 * sorted on disk and merged key by key. A key may have more values than memory on both sides.
 *
 * **Example** (Names of cities)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const people = Dataset.make(["Graz", "Anna"], ["Linz", "Paul"])
 * const states = Dataset.make(["Graz", "Styria"])
 *
 * await Effect.runPromise(Effect.provide(Dataset.collect(Dataset.join(people, states)), Engine.layer)) // => [["Graz", ["Anna", "Styria"]]]
 * ```
 *
 * @category shuffling
 * @since 0.1.0
 */
export const join: {
  <K, W, E2, R2>(
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, never, W>
  ): <A, E, R>(self: Dataset<readonly [K, A], E, R>) => Dataset<readonly [K, readonly [A, W]], E | E2, R | R2>
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, readonly [V, W]], E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]) && isDataset(args[1]),
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, readonly [V, W]], E | E2, R | R2> =>
    joinOf("join", self, that, options, {
      both: (key, left, right) => [key, [left, right]] as const,
      left: undefined,
      right: undefined
    })
)

/**
 * As {@link join}, plus every pair of the first dataset without a partner.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const leftJoin: {
  <K, W, E2, R2>(
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, never, W>
  ): <A, E, R>(
    self: Dataset<readonly [K, A], E, R>
  ) => Dataset<readonly [K, readonly [A, Option.Option<W>]], E | E2, R | R2>
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, readonly [V, Option.Option<W>]], E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]) && isDataset(args[1]),
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, readonly [V, Option.Option<W>]], E | E2, R | R2> =>
    joinOf("leftJoin", self, that, options, {
      both: (key, left, right) => [key, [left, Option.some(right)]] as const,
      left: (key, left) => [key, [left, Option.none()]] as const,
      right: undefined
    })
)

/**
 * As {@link join}, plus every pair of the other dataset without a partner.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const rightJoin: {
  <K, W, E2, R2>(
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, never, W>
  ): <A, E, R>(
    self: Dataset<readonly [K, A], E, R>
  ) => Dataset<readonly [K, readonly [Option.Option<A>, W]], E | E2, R | R2>
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, readonly [Option.Option<V>, W]], E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]) && isDataset(args[1]),
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, readonly [Option.Option<V>, W]], E | E2, R | R2> =>
    joinOf("rightJoin", self, that, options, {
      both: (key, left, right) => [key, [Option.some(left), right]] as const,
      left: undefined,
      right: (key, right) => [key, [Option.none(), right]] as const
    })
)

/**
 * As {@link join}, plus every pair of either dataset without a partner.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const fullJoin: {
  <K, W, E2, R2>(
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, never, W>
  ): <A, E, R>(
    self: Dataset<readonly [K, A], E, R>
  ) => Dataset<readonly [K, readonly [Option.Option<A>, Option.Option<W>]], E | E2, R | R2>
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, readonly [Option.Option<V>, Option.Option<W>]], E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]) && isDataset(args[1]),
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, readonly [Option.Option<V>, Option.Option<W>]], E | E2, R | R2> =>
    joinOf("fullJoin", self, that, options, {
      both: (key, left, right) => [key, [Option.some(left), Option.some(right)]] as const,
      left: (key, left) => [key, [Option.some(left), Option.none()]] as const,
      right: (key, right) => [key, [Option.none(), Option.some(right)]] as const
    })
)

/**
 * The pairs whose key the other dataset does not have.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const subtractByKey: {
  <K, W, E2, R2>(
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, never, W>
  ): <A, E, R>(self: Dataset<readonly [K, A], E, R>) => Dataset<readonly [K, A], E | E2, R | R2>
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, V], E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]) && isDataset(args[1]),
  <K, V, E, R, W, E2, R2>(
    self: Dataset<readonly [K, V], E, R>,
    that: Dataset<readonly [K, W], E2, R2>,
    options?: JoinOptions<K, V, W>
  ): Dataset<readonly [K, V], E | E2, R | R2> =>
    joinOf("subtractByKey", self, that, options, {
      both: undefined,
      left: (key, left) => [key, left] as const,
      right: undefined
    })
)

type ValueOf<D> = D extends Dataset<readonly [infer _K, infer V], infer _E, infer _R> ? V : never
type ErrorOf<D> = D extends Dataset<infer _A, infer E, infer _R> ? E : never
type ServicesOf<D> = D extends Dataset<infer _A, infer _E, infer R> ? R : never

/**
 * What {@link cogroup} yields for each key: one stream of values per dataset.
 *
 * @category models
 * @since 0.1.0
 */
export type Groups<V, Others extends ReadonlyArray<Dataset<unknown, unknown, unknown>>> = readonly [
  Stream.Stream<V>,
  ...{ readonly [I in keyof Others]: Stream.Stream<ValueOf<Others[I]>> }
]

// One codec per other dataset, in their order.
type CogroupOptions<K, V, Others extends ReadonlyArray<unknown>> = Omit<JoinOptions<K, V, never>, "right"> & {
  readonly others?: { readonly [I in keyof Others]: Codec.Codec<ValueOf<Others[I]>> | undefined } | undefined
}

/**
 * Every key of any of the datasets, with a stream of the values that each dataset has for it.
 *
 * **Details**
 *
 * The options are those of {@link join}, except for the codecs of the other datasets: `others` has one for each, in
 * their order, or `undefined` for `Codec.plain`.
 *
 * **Gotchas**
 *
 * As with `groupByKey`, the streams of a group larger than memory can be read until the next group is taken, in the
 * order of the datasets. They cannot cross another shuffle: turn them into values first.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const cogroup: {
  <K, const Others extends ReadonlyArray<Dataset<readonly [K, unknown], unknown, unknown>>>(
    others: Others,
    options?: CogroupOptions<K, never, NoInfer<Others>>
  ): <V, E, R>(
    self: Dataset<readonly [K, V], E, R>
  ) => Dataset<readonly [K, Groups<V, Others>], E | ErrorOf<Others[number]>, R | ServicesOf<Others[number]>>
  <K, V, E, R, const Others extends ReadonlyArray<Dataset<readonly [K, unknown], unknown, unknown>>>(
    self: Dataset<readonly [K, V], E, R>,
    others: Others,
    options?: CogroupOptions<K, NoInfer<V>, NoInfer<Others>>
  ): Dataset<readonly [K, Groups<V, Others>], E | ErrorOf<Others[number]>, R | ServicesOf<Others[number]>>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R, const Others extends ReadonlyArray<Dataset<readonly [K, unknown], unknown, unknown>>>(
    self: Dataset<readonly [K, V], E, R>,
    others: Others,
    options?: CogroupOptions<K, NoInfer<V>, NoInfer<Others>>
  ): Dataset<readonly [K, Groups<V, Others>], E | ErrorOf<Others[number]>, R | ServicesOf<Others[number]>> => {
    const key = codecOr(options?.key)
    // Every input is written and read with its own codec.
    const first = pairSide("cogroup", key, codecOr(options?.left))
    const codecs: ReadonlyArray<Codec.Codec<unknown> | undefined> = options?.others ?? []
    const rest = others.map((other, index) => ({
      other,
      side: pairSide<K, unknown>("cogroup", key, codecOr(codecs[index]))
    }))
    return exchange<readonly [K, Groups<V, Others>], E | ErrorOf<Others[number]>, R | ServicesOf<Others[number]>>({
      name: "cogroup",
      inputs: [written(self, first, true), ...rest.map(({ other, side }) => written(other, side, true))],
      partitioning: partitioningOf(options, key),
      keyed: true,
      read: ([source, ...sources], task) =>
        source === undefined
          ? Stream.empty
          : Stream.map(
              Shuffle.cogroup<K, readonly [V, ...ReadonlyArray<unknown>]>([
                { wire: wireOf(first, source), slice: source.slice },
                ...Arr.zipWith(rest, sources, ({ side }, source) => ({
                  wire: wireOf(side, source),
                  slice: source.slice
                }))
              ]),
              ({ key: k, values: [values, ...groups] }) => {
                const streams: ReadonlyArray<unknown> = [values, ...groups].map((values) => abortOn(values, task))
                // One stream per dataset, in their order: TypeScript cannot map a tuple of unknown length.
                return [k, streams as Groups<V, Others>] as const
              }
            )
    })
  }
)
