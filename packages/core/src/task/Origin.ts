/**
 * Where rows came from: the file, row group and row of each element of an array that a source emitted.
 *
 * A source attaches one `Origin` to each array it emits, not to each row; passes over whole arrays carry it along and
 * note which rows a filter kept. So an error far down the chain can name the input row, and rows themselves carry
 * nothing.
 *
 * @since 0.1.0
 */

/**
 * The place of an array of rows in its input.
 *
 * @category models
 * @since 0.1.0
 */
export interface Origin {
  readonly path: string
  /** Row group, where the format has them. */
  readonly rowGroup: number | undefined
  /**
   * Position of the array's first element: its row in the row group, or its line in the file (see `afterByte`), counted
   * from 0.
   */
  readonly firstRow: number
  /** For filtered arrays, and for rows that are not one per line: the distance of each element from `firstRow`. */
  readonly kept: Int32Array | undefined
  /**
   * In text formats, for a later split of a file, where the number of lines before the split is not known: lines are
   * counted from the first that begins after this byte. Missing if lines are counted from the beginning of the file.
   */
  readonly afterByte?: number | undefined
}

/**
 * The place of one row in its input.
 *
 * @category models
 * @since 0.1.0
 */
export interface RowOrigin {
  readonly path: string
  readonly rowGroup: number | undefined
  readonly row: number
  readonly afterByte?: number | undefined
}

// Keyed by the array (or RecordBatch) itself: an array that is dropped drops its entry.
const origins = new WeakMap<object, Origin>()

/**
 * Attaches an origin to an array of rows or to a record batch, and returns it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const attach = <T extends object>(rows: T, origin: Origin | undefined): T => {
  if (origin !== undefined) origins.set(rows, origin)
  return rows
}

/**
 * The origin of an array of rows or of a record batch, if it still has one.
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (rows: object): Origin | undefined => origins.get(rows)

// Keyed by the thrown value, so that the error itself stays as it is.
const defects = new WeakMap<object, RowOrigin>()

/**
 * Notes that a function threw when it was given this row.
 *
 * @category combinators
 * @since 0.1.0
 */
export const blame = (thrown: unknown, origin: RowOrigin): void => {
  if (typeof thrown === "object" && thrown !== null && !defects.has(thrown)) defects.set(thrown, origin)
}

/**
 * The row that a function was given when it threw this.
 *
 * @category getters
 * @since 0.1.0
 */
export const ofDefect = (thrown: unknown): RowOrigin | undefined =>
  typeof thrown === "object" && thrown !== null ? defects.get(thrown) : undefined

/**
 * The origin of the element at `index`.
 *
 * @category getters
 * @since 0.1.0
 */
export const at = (origin: Origin, index: number): RowOrigin => ({
  path: origin.path,
  rowGroup: origin.rowGroup,
  row: origin.firstRow + (origin.kept?.[index] ?? index),
  ...(origin.afterByte === undefined ? {} : { afterByte: origin.afterByte })
})
