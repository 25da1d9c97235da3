import { Effect, Equal } from "effect"
import { dual } from "effect/Function"
import type { Action } from "../../engine/Action.ts"
import type { Partitioner } from "../../shuffle/Partitioner.ts"
import type { Plan } from "../../plan/Plan.ts"
import { keepsKeys } from "../../task/Operator.ts"
import { shuffleFailed } from "../../task/internal/failures.ts"
import { action, all, eachArray } from "./action.ts"
import { refusing } from "./exchange.ts"
import type { Dataset } from "./model.ts"

// The one partition of a plan that can have the key, if its rows were moved by key.
const partitionOf = <K>(plan: Plan, key: K, partitions: number): number | undefined => {
  if (plan._tag === "Cache") return partitionOf(plan.child, key, partitions)
  if (plan._tag === "Narrow") {
    return keepsKeys(plan.operator) ? partitionOf(plan.child, key, partitions) : undefined
  }
  // A broadcast leaves the rows where they are; the bounds of a range are known only to its tasks.
  if (plan._tag !== "Exchange" || !plan.keyed || plan.broadcast !== undefined) return undefined
  const { partitioning } = plan
  if (partitioning._tag === "Range") return undefined
  // The keys of the dataset are those by which its plan moves rows.
  const partitioner = (
    partitioning._tag === "Fixed" ? partitioning.partitioner : partitioning.make(partitions)
  ) as Partitioner<K>
  return partitioner._tag === "RoundRobin" || partitioner.partitions !== partitions
    ? undefined
    : partitioner.partition(key)
}

/**
 * The values of a key, in their order. If the dataset is partitioned by key (by `partitionBy`, `reduceByKey` and the
 * like, followed only by steps that keep the keys), only the partition of the key is read.
 *
 * @category actions
 * @since 0.1.0
 */
export const lookup: {
  <K>(key: K): <V, E, R>(self: Dataset<readonly [K, V], E, R>) => Action<Array<V>, E, R>
  <K, V, E, R>(self: Dataset<readonly [K, V], E, R>, key: K): Action<Array<V>, E, R>
} = dual(2, <K, V, E, R>(self: Dataset<readonly [K, V], E, R>, key: K): Action<Array<V>, E, R> =>
  action(self, {
    name: "lookup",
    eachPartition: true,
    task: (rows) => {
      const found: Array<V> = []
      return Effect.as(
        eachArray(rows, (values) => {
          for (const [other, value] of values) if (Equal.equals(other, key)) found.push(value)
        }),
        found
      )
    },
    drive: (run) => {
      const found: Array<ReadonlyArray<V>> = []
      const partition = refusing(
        "lookup",
        () => partitionOf(self.plan, key, run.partitions),
        () => key
      )
      return Effect.flatMap(Effect.mapError(partition, shuffleFailed), (partition) =>
        Effect.map(
          run.tasks(partition === undefined ? all(run.partitions) : [partition], (partition, values) =>
            Effect.sync(() => {
              found[partition] = values
            })
          ),
          () => found.flat()
        )
      )
    }
  })
)
