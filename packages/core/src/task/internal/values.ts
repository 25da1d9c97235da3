/**
 * The values of the inner stages of a job, as later stages see them: a closed union, so that every value can be
 * printed, compared and, with a codec for each, sent.
 */
import { Predicate } from "effect"
import type { MapStatus } from "../../shuffle/Shuffle.ts"
import type { Failed } from "./failed.ts"

/** The value of a map stage. */
export interface MapOutputs {
  readonly _tag: "MapOutputs"
  readonly statuses: ReadonlyArray<MapStatus>
  /** Elements that failed before the exchange, on their way to a `Catch` after it: they bypass the exchange. */
  readonly failed: ReadonlyArray<Failed>
}

/** The rows of the small side of a join, which every task of the other side gets. */
export interface Collected {
  readonly _tag: "Collected"
  readonly blocks: ReadonlyArray<Uint8Array>
  /** Elements that failed, on their way to a `Catch` after the join. */
  readonly failed: ReadonlyArray<Failed>
}

/** The samples of the tasks of a stage, for the bounds of ranges. Only the partitioning knows the type of a sample. */
export interface Samples {
  readonly _tag: "Samples"
  readonly values: ReadonlyArray<unknown>
}

/** The position of the first row of each partition. */
export interface Offsets {
  readonly _tag: "Offsets"
  readonly offsets: ReadonlyArray<number>
}

export type StageValue = MapOutputs | Collected | Samples | Offsets

/** The value of a stage; `undefined` before it has run. */
export type ValueOf = (stage: number) => StageValue | undefined

const unlike = (value: StageValue | undefined, expected: StageValue["_tag"]): Error =>
  new Error(`a stage yielded ${value?._tag ?? "nothing"}, but ${expected} was expected: the plan is at fault`)

export const mapOutputsOf = (value: StageValue | undefined): MapOutputs => {
  if (value?._tag === "MapOutputs") return value
  throw unlike(value, "MapOutputs")
}

export const collectedOf = (value: StageValue | undefined): Collected => {
  if (value?._tag === "Collected") return value
  throw unlike(value, "Collected")
}

export const samplesOf = (value: StageValue | undefined): Samples => {
  if (value?._tag === "Samples") return value
  throw unlike(value, "Samples")
}

export const offsetsOf = (value: StageValue | undefined): Offsets => {
  if (value?._tag === "Offsets") return value
  throw unlike(value, "Offsets")
}

/** What a map task yields. */
export interface MapOutput {
  readonly _tag: "MapOutput"
  readonly status: MapStatus
  readonly failed: ReadonlyArray<Failed>
}

export const isMapOutput = (value: unknown): value is MapOutput => Predicate.isTagged(value, "MapOutput")

/** The value of a map stage. */
export const combineMaps = (outputs: ReadonlyArray<MapOutput>): MapOutputs => ({
  _tag: "MapOutputs",
  statuses: outputs.map((output) => output.status),
  failed: outputs.flatMap((output) => output.failed)
})

/** Name of the shuffle that a stage of a job writes. */
export const shuffleId = (task: { readonly jobId: string }, stage: number): string => `${task.jobId}-${stage}`

const filled = new WeakMap<MapOutputs, ReadonlyMap<number, number>>()

// The reduce partitions that have rows, and their bytes: there may be a hundred thousand, and few of them.
export const filledOf = (outputs: MapOutputs): ReadonlyMap<number, number> => {
  const known = filled.get(outputs)
  if (known !== undefined) return known
  const found = new Map<number, number>()
  for (const { bytes, partitions } of outputs.statuses) {
    for (const [index, partition] of partitions.entries()) {
      found.set(partition, (found.get(partition) ?? 0) + (bytes[index] ?? 0))
    }
  }
  filled.set(outputs, found)
  return found
}

/** Encoded bytes of a partition of what a map stage wrote. */
export const partitionBytes = (value: StageValue | undefined, partition: number): number =>
  filledOf(mapOutputsOf(value)).get(partition) ?? 0

/** The same for each map task. */
export const mapBytes = (value: StageValue | undefined, partition: number): ReadonlyArray<number> =>
  mapOutputsOf(value).statuses.map(({ bytes, partitions }) =>
    partitions.reduce((sum, other, index) => (other === partition ? sum + (bytes[index] ?? 0) : sum), 0)
  )

/** Encoded bytes of all that a map stage wrote. */
export const writtenBytes = (value: StageValue | undefined): number =>
  Array.from(filledOf(mapOutputsOf(value)).values()).reduce((sum, bytes) => sum + bytes, 0)

/**
 * Rows that a map stage wrote into partitions that nobody began to read (`undefined` began to read them all): what a cache has is not
 * read again.
 */
export const unreadRows = (outputs: StageValue | undefined, read: ReadonlySet<number | undefined>): number => {
  if (outputs?._tag !== "MapOutputs" || read.has(undefined)) return 0
  let unread = 0
  for (const { partitions, rows } of outputs.statuses) {
    for (const [index, partition] of partitions.entries()) if (!read.has(partition)) unread += rows[index] ?? 0
  }
  // The elements that failed come with the first partition.
  return read.has(0) ? unread : outputs.failed.reduce((sum, { rows }) => sum + rows, unread)
}
