import { Effect, Stream } from "effect"
import { dual } from "effect/Function"
import * as Codec from "../../codec/Codec.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import {
  type ADataset,
  type AnyKeyOptions,
  type Decoded,
  type KeyedBy,
  codecOr,
  combined,
  exchange,
  type KeyOptions,
  partitioningOf,
  type Side,
  wireOf,
  written
} from "./exchange.ts"
import { type Dataset, fromPlan, isDataset } from "./model.ts"

/**
 * The distinct elements, each once.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const distinct: <A, E, R, O extends AnyKeyOptions<"key"> | ADataset>(
  self: Dataset<A, E, R> | O,
  options?: KeyOptions<A>
) => [ADataset] extends [O]
  ? Dataset<A, E, R>
  : <A extends KeyedBy<O>, E, R>(self: Dataset<A, E, R>) => Dataset<Decoded<O, "key", A>, E, R> = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(self: Dataset<A, E, R>, options?: KeyOptions<A>): Dataset<A, E, R> => {
    const key = codecOr(options?.key)
    const side: Side<A, A, undefined> = {
      operator: "distinct",
      key,
      value: Codec.none,
      keyOf: (row) => row,
      valueOf: () => undefined
    }
    const nothing: Shuffle.Aggregator<undefined, undefined> = {
      create: () => undefined,
      mergeValue: () => undefined,
      mergeCombiners: () => undefined,
      codec: Codec.none
    }
    return exchange({
      name: "distinct",
      detail: "combined before",
      inputs: [combined(self, side, nothing, false)],
      partitioning: partitioningOf(options, key),
      keyed: false,
      read: ([source]) =>
        source === undefined
          ? Stream.empty
          : Shuffle.aggregate(wireOf(side, source), nothing, source.slice, { combined: true, make: (row) => row })
    })
  }
)

const setOf = <A, E, R, B, E2, R2>(
  name: string,
  self: Dataset<A, E, R>,
  that: Dataset<B, E2, R2>,
  options: KeyOptions<A | B> | undefined,
  keep: (left: number, right: number) => number
): Dataset<A, E | E2, R | R2> => {
  const key = codecOr(options?.key)
  const side: Side<A | B, A | B, undefined> = {
    operator: name,
    key,
    value: Codec.none,
    keyOf: (row) => row,
    valueOf: () => undefined
  }
  const kept = exchange<A | B, E | E2, R | R2>({
    name,
    inputs: [written(self, side, false), written(that, side, false)],
    partitioning: partitioningOf(options, key),
    keyed: false,
    read: ([first, second]) =>
      first === undefined || second === undefined
        ? Stream.empty
        : Stream.flatMap(
            Shuffle.cogroup<A | B, readonly [undefined, undefined]>([
              { wire: wireOf(side, first), slice: first.slice },
              { wire: wireOf(side, second), slice: second.slice }
            ]),
            ({ key: row, values: [left, right] }) =>
              Stream.unwrap(
                Effect.map(Effect.all([Stream.runCount(left), Stream.runCount(right)]), ([l, r]) =>
                  Stream.fromIterable(Array.from({ length: keep(l, r) }, () => row))
                )
              )
          )
  })
  // `keep` yields no row that the first dataset does not have, so all of them have its type.
  return fromPlan(kept.plan)
}

/**
 * The distinct elements that both datasets have.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const intersection: {
  <B, E2, R2>(
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<unknown>
  ): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E | E2, R | R2>
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<A | B>
  ): Dataset<A, E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]) && isDataset(args[1]),
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<A | B>
  ): Dataset<A, E | E2, R | R2> => setOf("intersection", self, that, options, (l, r) => (l > 0 && r > 0 ? 1 : 0))
)

/**
 * The elements that the other dataset does not have, with their duplicates.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const subtract: {
  <B, E2, R2>(
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<unknown>
  ): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E | E2, R | R2>
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<A | B>
  ): Dataset<A, E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]) && isDataset(args[1]),
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    options?: KeyOptions<A | B>
  ): Dataset<A, E | E2, R | R2> => setOf("subtract", self, that, options, (l, r) => (r > 0 ? 0 : l))
)
