import * as Partitioner from "../../shuffle/Partitioner.ts"
import type { Partitioning } from "../Plan.ts"

/** What the number of partitions of an exchange follows from. */
export interface ChoiceInput {
  readonly partitions: number
  readonly partitioner: Partitioner.Partitioner<never> | undefined
  /** An upper bound of its bytes, if one is known. */
  readonly size?: number | undefined
}

// Spark's `spark.sql.shuffle.partitions`. Larger inputs have more partitions themselves.
const MOST = 200

/**
 * As many partitions as the largest input has, or as many as it takes for each to have `targetBytes` if that is more:
 * what a reduce task holds follows from the size of the data and not from how the files were split. Those that turn
 * out small are read together. Without a target, their number matters.
 */
export const partitionsOf = (
  partitioning: Exclude<Partitioning, { readonly _tag: "Fixed" }>,
  inputs: ReadonlyArray<ChoiceInput>,
  targetBytes: number | undefined
): number => {
  const upstream = Math.max(1, ...inputs.map((input) => input.partitions))
  const asked = partitioning.partitions(upstream)
  // One partition is in order without a sample, for which the input would be read twice.
  if (targetBytes === undefined || asked !== upstream || (partitioning._tag === "Range" && upstream === 1)) return asked
  const bytes = inputs.reduce((sum, { size }) => sum + (size ?? 0), 0)
  return Math.max(upstream, Math.min(MOST, Math.ceil(bytes / targetBytes)))
}

/**
 * Where the rows of an exchange go, as with Spark's `Partitioner.defaultPartitioner`: like the already partitioned
 * input with the most partitions, unless it has far fewer than the largest input. `undefined` if only a sample can
 * tell.
 */
export const choose = (
  partitioning: Partitioning,
  inputs: ReadonlyArray<ChoiceInput>,
  targetBytes: number | undefined
): Partitioner.Partitioner<never> | undefined => {
  switch (partitioning._tag) {
    case "Fixed":
      return partitioning.partitioner
    case "Range":
      return partitionsOf(partitioning, inputs, targetBytes) === 1 ? partitioning.make([], 1) : undefined
    case "Hash": {
      const upstream = Math.max(1, ...inputs.map((input) => input.partitions))
      let best: Partitioner.Partitioner<never> | undefined
      for (const { partitioner } of inputs) {
        if (
          partitioner !== undefined &&
          (best === undefined || partitioner.partitions > best.partitions) &&
          Partitioner.equals(partitioner, partitioning.make(partitioner.partitions))
        )
          best = partitioner
      }
      return best !== undefined && best.partitions * 10 > upstream && partitioning.partitions(upstream) === upstream
        ? best
        : partitioning.make(partitionsOf(partitioning, inputs, targetBytes))
    }
  }
}
