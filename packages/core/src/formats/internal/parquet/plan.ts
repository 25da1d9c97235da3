/**
 * Plans what to read of a Parquet file from its footer alone: the byte ranges of each row group, the column chunks in
 * each range, and the slices of rows in which they are decoded. The reader only has to follow the plan.
 */
import type { ColumnChunk, Footer, Range, RowGroup } from "./footer.ts"
import { ThriftError } from "./thrift.ts"

export interface Limits {
  /** The largest gap, in bytes, between two requested column chunks that is read along with them. */
  readonly gapBytes: number
  /** The largest size of pages, before compression, that is decoded in one piece. */
  readonly wholeBytes: number
  /** The approximate size of a slice of a larger row group. */
  readonly sliceBytes: number
  /**
   * Rows of the first slice, in row groups with more than twice as many rows, if other slices have more. `undefined`
   * for a first slice as large as the others.
   */
  readonly firstRows: number | undefined
}

/**
 * Reading across a gap of a mebibyte is cheaper than asking twice. The size of pages before compression is, for plain
 * encoded numbers, their size in memory.
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
  /** Where it begins, counted from the beginning of the range. */
  readonly at: number
}

/** One read, and the column chunks in it. */
export interface PlannedRange extends Range {
  readonly chunks: ReadonlyArray<PlannedChunk>
}

/** Rows that are decoded together. */
export interface Slice {
  readonly firstRow: number
  readonly rows: number
  /** Whether only the pages with these rows are read: those of other rows are left to the next slice. */
  readonly short: boolean
}

export interface RowGroupPlan {
  readonly index: number
  readonly group: RowGroup
  /** In the order of their places in the file. */
  readonly ranges: ReadonlyArray<PlannedRange>
  /** In order, all rows of the row group. */
  readonly slices: readonly [Slice, ...ReadonlyArray<Slice>]
}

const isWanted = (column: ColumnChunk, columns: ReadonlySet<string> | undefined): boolean =>
  columns === undefined || columns.has(column.path[0])

/** Joins ranges that overlap or are at most a gap apart. */
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

/** Size of the pages of some columns before compression. */
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

/** The slices after a short first one, which has shown how many bytes its rows take in memory. */
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

/**
 * Rows of the first slice of a row group that is read as rows: a reader of a few rows does not wait for more, and the
 * slice shows how much memory the others take.
 */
export const stepRows = 8192

// The size of a slice that is read without the codec as rows.
const stepBytes = 4 * 1024 * 1024

/** The first slice of a row group that is read slice by slice, in order, whatever their size. */
export const firstStep = ({ rows }: RowGroup): Slice => ({ firstRow: 0, rows: Math.min(rows, stepRows), short: false })

/** The next slice after one whose rows take some bytes in memory; none after the last. */
export const stepsAfter = ({ rows }: RowGroup, last: Slice, bytes: number): ReadonlyArray<Slice> => {
  const firstRow = last.firstRow + last.rows
  const fit = Math.floor((stepBytes / Math.max(1, bytes)) * last.rows)
  const step = Math.max(1, Math.min(stepRows, fit, rows - firstRow))
  return firstRow >= rows ? [] : [{ firstRow, rows: step, short: false }]
}

/**
 * The plan for some row groups of a file, by default all, and some of its columns. Row groups without rows have nothing
 * to read.
 */
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
