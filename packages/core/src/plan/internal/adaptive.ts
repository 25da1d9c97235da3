import { Stream } from "effect"
import { elementAt } from "../../codec/internal/elements.ts"
import type { EngineConfig } from "../../task/EngineConfig.ts"
import type { Partition } from "../Stage.ts"
import { Current } from "../../task/TaskContext.ts"
import { heaviestHosts } from "../../storage/internal/hosts.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import type { ValueOf } from "../../task/internal/values.ts"

/** The limits by which a stage is adapted when the stages before it have run. */
export type Limits = Pick<EngineConfig, "targetPartitionBytes" | "minPartitionBytes" | "skewFactor" | "skewBytes">

/** The sizes of the partitions of a stage that reads shuffles, known when those are written. */
export interface Measure {
  readonly bytes: (partition: number, valueOf: ValueOf) => number
  /** The two inputs of a join whose partitions may be read in parts. */
  readonly skew?: ReadonlyArray<SkewSide> | undefined
}

/** One input of a join that may be read in parts. */
interface SkewSide {
  /** The stage that wrote the input. */
  readonly stage: number
  /** Whether parts of it may be joined with the whole other input. */
  readonly splits: boolean
  readonly bytes: (partition: number, valueOf: ValueOf) => number
  /** The bytes of a partition by map task. */
  readonly maps: (partition: number, valueOf: ValueOf) => ReadonlyArray<number>
}

/** Neighbouring partitions `[from, to)`. */
export type Run = readonly [from: number, to: number]

/**
 * Runs of neighbours of at most `target` bytes, or of one that has more (as Spark's `ShufflePartitionsUtil.coalescePartitions`).
 */
export const runsOf = (sizes: ReadonlyArray<number>, target: number): ReadonlyArray<Run> => {
  const runs: Array<Run> = []
  let from = 0
  let sum = 0
  for (const [index, size] of sizes.entries()) {
    if (size > 0 && index > from && sum + size > target) {
      runs.push([from, index])
      from = index
      sum = 0
    }
    sum += size
  }
  if (from < sizes.length) runs.push([from, sizes.length])
  return runs
}

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((left, right) => left - right)
  // The one in the middle, or the two.
  const [low = 0, high = low] = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1)
  return (low + high) / 2
}

/**
 * The size above which a partition is skewed, and the size that its parts should have (as Spark's
 * `OptimizeSkewedJoin`).
 */
export const skewOf = (
  sizes: ReadonlyArray<number>,
  limits: Limits
): { readonly above: number; readonly part: number } => {
  const above = Math.max(limits.skewBytes, limits.skewFactor * median(sizes))
  const others = sizes.filter((size) => size <= above)
  return { above, part: Math.max(limits.targetPartitionBytes, others.length === 0 ? 0 : sum(others) / others.length) }
}

/**
 * What the steps of a partition see in a task that reads several partitions, or a part of one: only their own
 * partition, whatever is read before or after it.
 */
const readAs = (
  partition: Partition,
  index: number,
  partitions: number,
  task: TaskRuntime,
  maps?: TaskRuntime["maps"]
) => {
  const own: TaskRuntime = { ...task, partition: index, partitions, ...(maps === undefined ? {} : { maps }) }
  return Stream.provideService(partition.read(own), Current, own)
}

/** One partition out of several, which are read one after another. */
export const joined = (
  group: ReadonlyArray<Partition>,
  read: (partition: Partition, index: number, task: TaskRuntime) => Stream.Stream<unknown, unknown, unknown>
): Partition => {
  const rows = sumOrUndefined(group.map((partition) => partition.rows))
  const bytes = sum(group.map((partition) => partition.bytes))
  const splits = group.flatMap((partition) => partition.split ?? [])
  const [first] = splits
  return {
    split:
      first === undefined
        ? undefined
        : {
            id: group.map((partition) => partition.split?.id ?? "").join("+"),
            label: group.length === 1 ? first.label : `${first.label} and ${group.length - 1} more`,
            parts: splits.flatMap((split) => split.parts),
            rows,
            bytes
          },
    rows,
    bytes,
    hosts: heaviestHosts(group),
    read: (task) =>
      Stream.flatMap(Stream.fromIterable(group.entries()), ([index, partition]) => read(partition, index, task))
  }
}

export const sumOrUndefined = (values: ReadonlyArray<number | undefined>): number | undefined => {
  let total = 0
  for (const value of values) {
    if (value === undefined) return undefined
    total += value
  }
  return total
}

// One input of a join: the bytes of its partitions, those above which one is skewed, and those its parts are to have.
interface MeasuredSide extends SkewSide {
  readonly sizes: ReadonlyArray<number>
  readonly above: number
  readonly part: number
}

// The parts of a partition of a join: every run of map tasks of one input with every run of the other.
const partsOf = (
  partition: number,
  sides: ReadonlyArray<MeasuredSide>,
  valueOf: ValueOf
): ReadonlyArray<NonNullable<TaskRuntime["maps"]>> => {
  let parts: ReadonlyArray<ReadonlyMap<number, Run>> = [new Map()]
  for (const { above, maps, part, sizes, splits, stage } of sides) {
    if (!splits || elementAt(sizes, partition) <= above) continue
    const runs = runsOf(maps(partition, valueOf), part)
    if (runs.length > 1) parts = parts.flatMap((part) => runs.map((run) => new Map([...part, [stage, run] as const])))
  }
  return parts.length > 1 ? parts : []
}

/**
 * The tasks of a stage that reads shuffles, now that their sizes are known: one task reads several small neighbouring
 * partitions, and several tasks read a partition of a join that is much larger than the others. With `slots` tasks at
 * once, small ones are put together only while no slot stays idle, unless they have less than `minPartitionBytes` (as
 * Spark's `coalescePartitions.parallelismFirst`).
 */
export const adapt = (
  partitions: ReadonlyArray<Partition>,
  measure: Measure,
  limits: Limits,
  valueOf: ValueOf,
  slots: number
): ReadonlyArray<Partition> => {
  const sizes = partitions.map((_, index) => measure.bytes(index, valueOf))
  const share = Math.ceil(sum(sizes) / Math.max(1, slots))
  const target = Math.max(limits.minPartitionBytes, Math.min(limits.targetPartitionBytes, share))
  const sides = (measure.skew ?? []).map((side): MeasuredSide => {
    const sizes = partitions.map((_, index) => side.bytes(index, valueOf))
    return { ...side, ...skewOf(sizes, limits), sizes }
  })
  const tasks: Array<Partition> = []
  let from = 0
  const flush = (to: number) => {
    for (const run of runsOf(sizes.slice(from, to), target)) {
      const first = from + run[0]
      tasks.push(
        joined(partitions.slice(first, from + run[1]), (partition, index, task) =>
          readAs(partition, first + index, partitions.length, task)
        )
      )
    }
  }
  for (const [index, partition] of partitions.entries()) {
    const parts = partsOf(index, sides, valueOf)
    if (parts.length === 0) continue
    flush(index)
    from = index + 1
    for (const maps of parts) {
      tasks.push({ ...partition, read: (task) => readAs(partition, index, partitions.length, task, maps) })
    }
  }
  flush(partitions.length)
  return tasks.length === partitions.length && from === 0 ? partitions : tasks
}
