/**
 * What is read of a Parquet file, from its footer alone: the ranges of bytes of each row group, the column chunks that lie in
 * each of them, and the slices of rows that these are decoded in. What reads has only to follow it.
 */
import type { ColumnChunk, Footer, Range, RowGroup } from "./footer.ts"
import { ThriftError } from "./thrift.ts"

export interface Limits {
  /** Most bytes between two wanted column chunks that are read with them. */
  readonly gapBytes: number
  /** Most bytes of pages before compression that are decoded in one piece. */
  readonly wholeBytes: number
  /** About the bytes of a slice of a row group that has more. */
  readonly sliceBytes: number
  /**
   * Rows of the first slice, in row groups with more than twice as many and where other slices have more. `undefined` for one as
   * large as the others.
   */
  readonly firstRows: number | undefined
}

/**
 * Reading on over a gap of a mebibyte is cheaper than asking twice. Bytes of pages before compression are, for plain encoded
 * numbers, those that they take in memory.
 */
export const limits: Limits = {
  gapBytes: 1024 * 1024,
  wholeBytes: 96 * 1024 * 1024,
  sliceBytes: 64 * 1024 * 1024,
  firstRows: undefined
}

/** A column chunk in the bytes of a range. */
interface PlannedChunk {
  readonly column: ColumnChunk
  /** Where it begins, from the beginning of the range. */
  readonly at: number
}

/** One read, and what it brings. */
export interface PlannedRange extends Range {
  readonly chunks: ReadonlyArray<PlannedChunk>
}

/** Rows that are decoded together. */
export interface Slice {
  readonly firstRow: number
  readonly rows: number
  /** Whether only the pages are looked at that have these rows: those of the others are left to the next slice. */
  readonly short: boolean
}

export interface RowGroupPlan {
  readonly index: number
  readonly group: RowGroup
  /** In the order of their places. */
  readonly ranges: ReadonlyArray<PlannedRange>
  /** In order, all rows of the row group. */
  readonly slices: readonly [Slice, ...ReadonlyArray<Slice>]
}

const isWanted = (column: ColumnChunk, columns: ReadonlySet<string> | undefined): boolean =>
  columns === undefined || columns.has(column.path[0])

/** Ranges that overlap or are no more than a gap apart are one. */
const rangesOf = (
  group: RowGroup,
  columns: ReadonlySet<string> | undefined,
  { gapBytes }: Limits
): ReadonlyArray<PlannedRange> => {
  const wanted = group.columns.filter((column) => isWanted(column, columns)).toSorted((a, b) => a.offset - b.offset)
  const ranges: Array<{ readonly offset: number; length: number; readonly chunks: Array<PlannedChunk> }> = []
  for (const column of wanted) {
    const last = ranges[ranges.length - 1]
    if (last === undefined || column.offset - (last.offset + last.length) > gapBytes) {
      ranges.push({ offset: column.offset, length: column.length, chunks: [{ column, at: 0 }] })
      continue
    }
    const at = column.offset - last.offset
    last.length = Math.max(last.length, at + column.length)
    last.chunks.push({ column, at })
  }
  return ranges
}

/** Bytes of the pages of some columns before compression. */
const plainBytes = (group: RowGroup, columns: ReadonlySet<string> | undefined): number =>
  group.columns.reduce((sum, column) => (isWanted(column, columns) ? sum + column.plainLength : sum), 0)

/** Whether all rows of some columns are decoded in one piece. */
export const fitsWhole = (group: RowGroup, columns: ReadonlySet<string> | undefined, { wholeBytes }: Limits): boolean =>
  plainBytes(group, columns) <= wholeBytes

const cut = (from: number, to: number, step: number): ReadonlyArray<Slice> =>
  Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => {
    const firstRow = from + i * step
    return { firstRow, rows: Math.min(step, to - firstRow), short: false }
  })

const slicesOf = (
  group: RowGroup,
  columns: ReadonlySet<string> | undefined,
  limits: Limits
): RowGroupPlan["slices"] => {
  const { firstRows, sliceBytes } = limits
  const slices = fitsWhole(group, columns, limits) ? 1 : Math.ceil(plainBytes(group, columns) / sliceBytes)
  const step = Math.max(1, Math.ceil(group.rows / slices))
  if (firstRows === undefined || firstRows >= step || group.rows <= 2 * firstRows) {
    const first = { firstRow: 0, rows: Math.min(step, group.rows), short: false }
    return [first, ...cut(step, group.rows, step)]
  }
  return [{ firstRow: 0, rows: firstRows, short: true }, ...cut(firstRows, group.rows, step)]
}

/** The slices after a short one, of which it is known how many bytes its rows took in memory. */
export const slicesAfter = (
  group: RowGroup,
  first: Slice,
  bytes: number,
  { sliceBytes, wholeBytes }: Limits
): ReadonlyArray<Slice> => {
  const from = first.firstRow + first.rows
  const left = group.rows - from
  const perRow = bytes / first.rows
  const step = perRow * left > wholeBytes ? Math.max(first.rows, Math.ceil(sliceBytes / perRow)) : left
  return cut(from, group.rows, step)
}

/** The plan of some row groups of a file, all by default, for some of its columns. Those without rows have nothing to read. */
export const plan = (
  { rowGroups }: Pick<Footer, "rowGroups">,
  columns: ReadonlySet<string> | undefined,
  limits: Limits,
  indexes: Iterable<number> = rowGroups.keys()
): ReadonlyArray<RowGroupPlan> =>
  Array.from(indexes).flatMap((index) => {
    const group = rowGroups[index]
    if (group === undefined) throw new ThriftError(`has no row group ${index} any more`)
    if (group.rows === 0) return []
    return [{ index, group, ranges: rangesOf(group, columns, limits), slices: slicesOf(group, columns, limits) }]
  })
