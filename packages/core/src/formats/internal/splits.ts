/** Which bytes of which files make one partition: pure functions of metadata. */
import { createHash } from "node:crypto"
import type { FilePart, SplitOptions } from "../../task/Format.ts"
import type { BlockLocation, FileStatus } from "../../storage/Storage.ts"
import { heaviestHosts } from "../../storage/internal/hosts.ts"
import { baseName } from "./inputs.ts"

/** The smallest piece, which is never cut further: a run of bytes of a text file, a row group, a whole gzip file. */
export interface Unit {
  readonly file: FileStatus
  readonly offset: number
  readonly length: number
  readonly rowGroup?: number | undefined
  readonly rows?: number | undefined
  readonly blocks: ReadonlyArray<BlockLocation>
}

export interface PlannedSplit {
  readonly id: string
  readonly label: string
  readonly parts: ReadonlyArray<FilePart>
  readonly files: ReadonlyArray<FileStatus>
  readonly bytes: number
  readonly rows: number | undefined
  readonly hosts: ReadonlyArray<string>
}

/** Cuts a file into runs of at most `splitBytes`; an empty file is one empty unit. */
export const cut = (
  file: FileStatus,
  blocks: ReadonlyArray<BlockLocation>,
  options: SplitOptions & { readonly splittable: boolean }
): ReadonlyArray<Unit> => {
  const step = options.splittable ? Math.max(1, Math.floor(options.splitBytes)) : Math.max(1, file.length)
  const units: Array<Unit> = []
  for (let offset = 0; offset < file.length; offset += step) {
    units.push({ file, offset, length: Math.min(step, file.length - offset), blocks })
  }
  return units.length === 0 ? [{ file, offset: 0, length: 0, blocks }] : units
}

// The bytes of each block that the units read: other blocks do not matter.
const hostsOf = (units: ReadonlyArray<Unit>): ReadonlyArray<string> =>
  heaviestHosts(
    units.flatMap((unit) =>
      unit.blocks.flatMap(({ hosts, length, offset }) => {
        const bytes = Math.min(unit.offset + unit.length, offset + length) - Math.max(unit.offset, offset)
        return bytes > 0 ? [{ hosts, bytes }] : []
      })
    )
  )

const labelOf = (parts: ReadonlyArray<FilePart>, files: ReadonlyArray<FileStatus>): string => {
  const part = parts[0]
  const file = files[0]
  if (part === undefined || file === undefined) return "empty"
  const groups = part.rowGroups
  const range =
    groups !== undefined
      ? groups.length <= 1
        ? `[${groups.join()}]`
        : `[${groups[0]}..${groups[groups.length - 1]}]`
      : part.length === file.length
        ? ""
        : `[${part.offset}..${part.offset + part.length}]`
  const more = parts.length === 1 ? "" : ` and ${parts.length - 1} more`
  return `${baseName(part.path)}${range}${more}`
}

const close = (units: ReadonlyArray<Unit>): PlannedSplit => {
  const parts: Array<FilePart> = []
  const files: Array<FileStatus> = []
  const hash = createHash("sha256")
  let last: Unit | undefined
  let bytes = 0
  let rows: number | undefined = 0
  for (const unit of units) {
    bytes += unit.length
    rows = unit.rows === undefined || rows === undefined ? undefined : rows + unit.rows
    const part = parts[parts.length - 1]
    const groups: ReadonlyArray<number> | undefined = part?.rowGroups
    if (part !== undefined && last?.file === unit.file && groups !== undefined && unit.rowGroup !== undefined) {
      parts[parts.length - 1] = {
        ...part,
        length: unit.offset + unit.length - part.offset,
        rowGroups: [...groups, unit.rowGroup]
      }
    } else {
      parts.push({
        path: unit.file.path,
        offset: unit.offset,
        length: unit.length,
        ...(unit.rowGroup === undefined ? {} : { rowGroups: [unit.rowGroup] })
      })
      files.push(unit.file)
    }
    last = unit
  }
  parts.forEach((part, i) => {
    const file = files[i]
    hash.update(JSON.stringify([part.path, part.offset, part.length, part.rowGroups, file?.length, file?.modified]))
  })
  return {
    id: hash.digest("hex").slice(0, 32),
    label: labelOf(parts, files),
    parts,
    files,
    bytes,
    rows,
    hosts: hostsOf(units)
  }
}

// Bytes of a place: several hundred lines of a usual length, for what opening the file costs.
const PLACE = 32 * 1024

/** About `count` places, evenly spread over a part from its beginning to its end; the part itself if it is small. */
export const spread = (part: FilePart, count: number): ReadonlyArray<FilePart> => {
  // A place is read a little beyond its end, to the end of a line.
  if (4 * PLACE * count > part.length) return [part]
  const step = (part.length - PLACE) / Math.max(1, count - 1)
  return Array.from({ length: count }, (_, i) => ({
    ...part,
    offset: part.offset + Math.floor(i * step),
    length: PLACE
  }))
}

/**
 * Packs units into splits of at most `splitBytes`, counting `openCostBytes` for each further file. This is Spark's
 * `FilePartition.getFilePartitions`, except that units keep their order (Spark sorts them by size), so that rows come
 * in the order of the input.
 */
export const pack = (units: ReadonlyArray<Unit>, options: SplitOptions): ReadonlyArray<PlannedSplit> => {
  const splits: Array<PlannedSplit> = []
  let current: Array<Unit> = []
  let size = 0
  for (const unit of units) {
    if (current.length > 0 && size + unit.length > options.splitBytes) {
      splits.push(close(current))
      current = []
      size = 0
    }
    size += unit.length + (current[current.length - 1]?.file === unit.file ? 0 : options.openCostBytes)
    current.push(unit)
  }
  if (current.length > 0) splits.push(close(current))
  return splits
}
