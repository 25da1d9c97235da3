import * as Partitioner from "../../shuffle/Partitioner.ts"
import type { Partitioning } from "../Plan.ts"

/**
 * Where the rows of an exchange go, as with Spark's `Partitioner.defaultPartitioner`: like the already partitioned
 * input with the most partitions, unless it has far fewer than the largest input. `undefined` if only a sample can
 * tell.
 */
export const choose = (
  partitioning: Partitioning,
  inputs: ReadonlyArray<{
    readonly partitions: number
    readonly partitioner: Partitioner.Partitioner<never> | undefined
  }>
): Partitioner.Partitioner<never> | undefined => {
  const upstream = Math.max(1, ...inputs.map((input) => input.partitions))
  switch (partitioning._tag) {
    case "Fixed":
      return partitioning.partitioner
    case "Range":
      return partitioning.partitions(upstream) === 1 ? partitioning.make([], 1) : undefined
    case "Hash": {
      const wanted = partitioning.partitions(upstream)
      let best: Partitioner.Partitioner<never> | undefined
      for (const { partitioner } of inputs) {
        if (
          partitioner !== undefined &&
          (best === undefined || partitioner.partitions > best.partitions) &&
          Partitioner.equals(partitioner, partitioning.make(partitioner.partitions))
        )
          best = partitioner
      }
      return best !== undefined && best.partitions * 10 > upstream && wanted === upstream
        ? best
        : partitioning.make(wanted)
    }
  }
}
