/**
 * A matrix of feature vectors on its way to a model: the content of one request.
 *
 * The rows lie one after another in one `Float32Array`. Vectors that already lie next to each other in memory, as a
 * Parquet reader emits them, become a batch without a copy; others are copied once, one vector at a time.
 *
 * @since 0.1.0
 */
import type * as Origin from "@sluice/core/Origin"
import type { RowRange } from "./ScoreError.ts"

/**
 * A run of rows of a batch that came from one array of a source.
 *
 * @category models
 * @since 0.1.0
 */
export interface Span {
  /** The place of the array that the rows come from, if it is known. */
  readonly origin: Origin.Origin | undefined
  /** First row of the run within that array. */
  readonly start: number
  /** Number of rows. */
  readonly count: number
  /** The partition that the rows were in; `undefined` outside of a task. */
  readonly partition: number | undefined
  /** Rows of the partition that came before the run. */
  readonly position: number
}

/**
 * A matrix of feature vectors.
 *
 * @category models
 * @since 0.1.0
 */
export interface Batch {
  readonly rows: number
  /** Numbers in a row. */
  readonly features: number
  /** The matrix, row-major: `rows * features` numbers. Never written to. */
  readonly values: Float32Array<ArrayBufferLike>
  /** The origins of the rows, in order. */
  readonly spans: ReadonlyArray<Span>
}

/**
 * A batch of one matrix, for calling a `Scorer` without a dataset. `values.length` must be a multiple of `features`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (values: Float32Array<ArrayBufferLike>, features: number): Batch => {
  const rows = features === 0 ? 0 : Math.floor(values.length / features)
  return {
    rows,
    features,
    values,
    spans: [{ origin: undefined, start: 0, count: rows, partition: undefined, position: 0 }]
  }
}

/**
 * One matrix of vectors of the same length: a view if they lie next to each other, otherwise a copy. If a vector does
 * not have length `features`, returns the index of the first such vector.
 *
 * @category constructors
 * @since 0.1.0
 */
export const matrix = (
  vectors: ReadonlyArray<Float32Array<ArrayBufferLike>>,
  features: number
): Float32Array<ArrayBufferLike> | number => {
  const first = vectors[0]
  if (first === undefined) return new Float32Array(0)
  const buffer = first.buffer
  const stride = features * 4
  let next = first.byteOffset
  let adjacent = true
  for (let i = 0; i < vectors.length; i++) {
    const vector = vectors[i]
    if (vector?.length !== features) return i
    if (adjacent && (vector.byteOffset !== next || vector.buffer !== buffer)) adjacent = false
    next += stride
  }
  if (adjacent) return new Float32Array(buffer, first.byteOffset, vectors.length * features)
  const values = new Float32Array(vectors.length * features)
  for (let i = 0, at = 0; i < vectors.length; i++, at += features) {
    const vector = vectors[i]
    if (vector !== undefined) values.set(vector, at)
  }
  return values
}

/** The place of row `index` of a span. */
const rowOf = (span: Span, index: number): number =>
  span.origin === undefined
    ? span.position + index
    : span.origin.firstRow + (span.origin.kept?.[span.start + index] ?? span.start + index)

/**
 * The rows of a batch as an error names them.
 *
 * @category getters
 * @since 0.1.0
 */
export const ranges = (spans: ReadonlyArray<Span>): ReadonlyArray<RowRange> =>
  spans.map((span) => ({
    path: span.origin?.path,
    rowGroup: span.origin?.rowGroup,
    partition: span.partition,
    first: rowOf(span, 0),
    last: rowOf(span, span.count - 1)
  }))

/**
 * The spans of `count` rows of a batch, from row `from` on.
 *
 * @category getters
 * @since 0.1.0
 */
export const slice = (spans: ReadonlyArray<Span>, from: number, count: number): ReadonlyArray<Span> => {
  const part: Array<Span> = []
  let at = 0
  for (const span of spans) {
    const first = Math.max(0, from - at)
    const end = Math.min(span.count, from + count - at)
    if (first < end) {
      part.push({ ...span, start: span.start + first, count: end - first, position: span.position + first })
    }
    at += span.count
  }
  return part
}

/**
 * The row at `index` of a batch as an error names it.
 *
 * @category getters
 * @since 0.1.0
 */
export const rangeAt = (spans: ReadonlyArray<Span>, index: number): ReadonlyArray<RowRange> => {
  let left = index
  for (const span of spans) {
    if (left < span.count) {
      const row = rowOf(span, left)
      return [
        { path: span.origin?.path, rowGroup: span.origin?.rowGroup, partition: span.partition, first: row, last: row }
      ]
    }
    left -= span.count
  }
  return []
}
