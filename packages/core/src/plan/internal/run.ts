/** The results of stages in a form that shows whether they yielded the same rows when they ran again. */
import { crc32 } from "node:zlib"
import { elementAt } from "../../codec/internal/elements.ts"
import type { MapStatus } from "../../shuffle/Shuffle.ts"
import type { Building } from "./building.ts"
import type { StageValue, ValueOf } from "../../task/internal/values.ts"

/** Rows, bytes and checksums of a map output, by reduce partition: the same for the same rows in any order. */
const writtenBy = (status: MapStatus): ReadonlyMap<number, readonly [rows: number, xor: number, sum: number]> => {
  const found = new Map<number, readonly [number, number, number]>()
  for (const [index, partition] of status.partitions.entries()) {
    const [rows, xor, sum] = found.get(partition) ?? [0, 0, 0]
    const [moreXor, moreSum] = elementAt(status.checksums, index)
    found.set(partition, [rows + elementAt(status.rows, index), (xor ^ moreXor) >>> 0, (sum + moreSum) >>> 0])
  }
  return found
}

/** Whether two runs of a map task wrote the same rows to each partition, in whatever order. */
export const sameRows = (one: MapStatus, other: MapStatus): boolean => {
  const left = writtenBy(one)
  const right = writtenBy(other)
  if (left.size !== right.size) return false
  for (const [partition, written] of left) if (String(written) !== String(right.get(partition))) return false
  return true
}

const digests = new WeakMap<StageValue, string>()

const digestOf = (value: StageValue): string => {
  const known = digests.get(value)
  if (known !== undefined) return known
  let crc = 0
  const add = (more: string | Uint8Array) => {
    crc = crc32(more, crc)
  }
  switch (value._tag) {
    case "MapOutputs":
      for (const [map, status] of value.statuses.entries()) {
        const written = Array.from(writtenBy(status)).toSorted(([one], [other]) => one - other)
        add(`${map}:${written.join(";")}\n`)
      }
      break
    case "Collected":
      for (const block of value.blocks) add(block)
      break
    case "Samples":
      add(value.values.map(String).join(" "))
      break
    case "Offsets":
      add(value.offsets.join(" "))
      break
  }
  const digest = crc.toString(16).padStart(8, "0")
  digests.set(value, digest)
  return digest
}

/**
 * The results of the stages before a part of a plan; `undefined` if they have not run. Two parts that read the same
 * stages have the same results, however they were planned.
 */
export const runOf = (
  { kept = [], parents }: Pick<Building, "kept" | "parents">,
  valueOf: ValueOf
): string | undefined => {
  const found = new Set<string>()
  for (const stage of parents) {
    const value = valueOf(stage)
    if (value === undefined) return undefined
    found.add(digestOf(value))
  }
  for (const { run, stages } of kept) {
    for (const digest of (runOf({ parents: stages }, valueOf) ?? run).split(" ")) if (digest !== "") found.add(digest)
  }
  return [...found].toSorted().join(" ")
}
