import type { Order } from "effect"
import { Stream } from "effect"
import { dual } from "effect/Function"
import * as Codec from "../../codec/Codec.ts"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import { codecOr, exchange, type KeyOptions, pairSide, type Side, wireOf, written } from "./exchange.ts"
import { type Dataset, isDataset } from "./model.ts"

/**
 * Moves every pair to the partition of its key. A dataset that is already partitioned this way does not move.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const partitionBy: {
  <K>(
    partitioner: Partitioner.Partitioner<K>,
    options?: Pick<KeyOptions<K>, "key">
  ): <V, E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    partitioner: Partitioner.Partitioner<K>,
    options?: Pick<KeyOptions<K, V>, "key" | "value">
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    partitioner: Partitioner.Partitioner<K>,
    options?: Pick<KeyOptions<K, V>, "key" | "value">
  ): Dataset<readonly [K, V], E, R> => {
    const side = pairSide("partitionBy", codecOr(options?.key), codecOr(options?.value))
    return exchange({
      name: "partitionBy",
      inputs: [written(self, side, true)],
      partitioning: { _tag: "Fixed", partitioner },
      onlyMoves: true,
      ordered: true,
      keyed: partitioner._tag !== "RoundRobin",
      read: ([source]) =>
        source === undefined
          ? Stream.empty
          : Shuffle.read(wireOf(side, source), source.slice, (k, v): readonly [K, V] => [k, v])
    })
  }
)

/**
 * Distributes the elements round-robin over this many partitions.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const repartition: {
  <A>(
    partitions: number,
    options?: Pick<KeyOptions<never, A>, "value">
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, partitions: number, options?: Pick<KeyOptions<never, A>, "value">): Dataset<A, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(
    self: Dataset<A, E, R>,
    partitions: number,
    options?: Pick<KeyOptions<never, A>, "value">
  ): Dataset<A, E, R> => {
    const side: Side<A, undefined, A> = {
      operator: "repartition",
      key: Codec.none,
      value: codecOr(options?.value),
      keyOf: () => undefined,
      valueOf: (row) => row
    }
    return exchange({
      name: "repartition",
      inputs: [written(self, side, false)],
      partitioning: { _tag: "Fixed", partitioner: Partitioner.roundRobin(partitions) },
      ordered: true,
      keyed: false,
      read: ([source]) =>
        source === undefined ? Stream.empty : Shuffle.read(wireOf(side, source), source.slice, (_, value) => value)
    })
  }
)

/**
 * Moves every pair to the partition of its key, and sorts each partition by key.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const repartitionAndSortWithinPartitions: {
  <K>(
    partitioner: Partitioner.Partitioner<K>,
    order: Order.Order<K>,
    options?: Pick<KeyOptions<K>, "key">
  ): <V, E, R>(self: Dataset<readonly [K, V], E, R>) => Dataset<readonly [K, V], E, R>
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    partitioner: Partitioner.Partitioner<K>,
    order: Order.Order<K>,
    options?: Pick<KeyOptions<K, V>, "key" | "value">
  ): Dataset<readonly [K, V], E, R>
} = dual(
  (args) => isDataset(args[0]),
  <K, V, E, R>(
    self: Dataset<readonly [K, V], E, R>,
    partitioner: Partitioner.Partitioner<K>,
    order: Order.Order<K>,
    options?: Pick<KeyOptions<K, V>, "key" | "value">
  ): Dataset<readonly [K, V], E, R> => {
    const side = pairSide("repartitionAndSortWithinPartitions", codecOr(options?.key), codecOr(options?.value))
    return exchange({
      name: "repartitionAndSortWithinPartitions",
      functions: [order],
      inputs: [written(self, side, true)],
      partitioning: { _tag: "Fixed", partitioner },
      ordered: true,
      keyed: partitioner._tag !== "RoundRobin",
      read: ([source]) =>
        source === undefined
          ? Stream.empty
          : Shuffle.sort(wireOf(side, source), order, source.slice, (k, v): readonly [K, V] => [k, v])
    })
  }
)
