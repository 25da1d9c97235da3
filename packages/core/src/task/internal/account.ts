/**
 * The account of a task, in rows: what came in is what went out, was dropped by operators, set aside or cut. "Cut" is what a step, or
 * the action, left unread on purpose; whatever ends before its input does is booked as that, and never as dropped.
 */
import { Effect, Pull, Result, Stream } from "effect"
import { RowsNotConserved } from "../JobError.ts"
import type { TaskMetrics } from "../TaskContext.ts"
import type { Book, Read, Weigh } from "./book.ts"
import { Failed } from "./failed.ts"
import type { Rows } from "./rows.ts"
import type { TaskRuntime } from "./runtime.ts"

/** Where every element is a row. */
export const weighRows: Weigh = (values) => values.length

// Apache Arrow marks its record batches so, whichever copy of it made them.
const recordBatch = Symbol.for("apache-arrow/RecordBatch")

/** Rows of an element where some may be record batches. */
export const rowsOfBatch = (value: unknown): number => {
  if (typeof value !== "object" || value === null) return 1
  if (value instanceof Failed) return value.rows
  return recordBatch in value && "numRows" in value ? Number(value.numRows) : 1
}

/** The same for an array. */
export const weighBatches: Weigh = (values) => {
  let rows = 0
  for (const value of values) rows += rowsOfBatch(value)
  return rows
}

/** Tells of the rows of each array that passes. */
export const countRows = (rows: Rows, { weigh }: Pick<TaskRuntime, "weigh">, count: (n: number) => void): Rows =>
  Stream.mapArray(rows, (values) => {
    count(weigh(values))
    return values
  })

/** Tells when a stream has been read to its end. */
const whenEnded = (rows: Rows, ended: () => void): Rows =>
  Stream.transformPull(rows, (pull) =>
    Effect.succeed(
      Effect.tapCause(pull, (cause) =>
        Effect.sync(() => {
          if (Pull.isDoneCause(cause)) ended()
        })
      )
    )
  )

/** Says how a stream went once nobody reads it any more: whether it was read to its end. */
export const whenClosed = (rows: Rows, closed: (ended: boolean) => void): Rows =>
  Stream.suspend(() => {
    let ended = false
    return Stream.ensuring(
      whenEnded(rows, () => {
        ended = true
      }),
      Effect.sync(() => closed(ended))
    )
  })

/**
 * Steps that hold rows for a while. Those they still hold when they are left before their end are cut; those that are missing at
 * their end are lost, and the account does not come out even.
 */
export const segment = (rows: Rows, task: TaskRuntime, f: (rows: Rows, drop: (n: number) => void) => Rows): Rows =>
  Stream.suspend(() => {
    const { metrics } = task
    let inside = 0
    const run = f(
      countRows(rows, task, (n) => (inside += n)),
      (n) => {
        inside -= n
        metrics.rowsFiltered += n
      }
    )
    return whenClosed(
      countRows(run, task, (n) => (inside -= n)),
      (ended) => {
        if (!ended) metrics.rowsCut += inside
      }
    )
  })

/**
 * A step that makes other rows of the rows of its inputs: those that went in count as dropped, those that come out as added. If it
 * ends before one of its inputs does, what is missing is cut.
 */
export const dropping = (
  inputs: ReadonlyArray<Rows>,
  task: TaskRuntime,
  f: (inputs: ReadonlyArray<Rows>) => Rows
): Rows =>
  Stream.suspend(() => {
    const { metrics } = task
    let open = inputs.length
    let missing = 0
    const drop = (n: number) => {
      missing += n
      metrics.rowsFiltered += n
    }
    const read = inputs.map((rows) =>
      whenEnded(countRows(rows, task, drop), () => {
        open--
      })
    )
    return whenClosed(
      countRows(f(read), task, (n) => drop(-n)),
      (ended) => {
        if ((ended && open <= 0) || missing <= 0) return
        metrics.rowsFiltered -= missing
        metrics.rowsCut += missing
      }
    )
  })

/** What a task came to, in rows: `in = out + filtered + setAside + cut`. */
export interface Account {
  readonly in: number
  /** Those of `in` that came from sources and caches, and not from other stages. */
  readonly source: number
  readonly out: number
  /** Dropped by operators less those they added. */
  readonly filtered: number
  readonly setAside: number
  readonly cut: number
  readonly reads: ReadonlyArray<Read>
}

/**
 * Closes the account of a task. Rows that the program's own functions set aside may have been dropped by a step after them: such a
 * row is set aside and not filtered. One that was set aside and went on all the same is out.
 */
export const settle = (metrics: TaskMetrics, book: Book): Result.Result<Account, RowsNotConserved> => {
  const { deadLettered, rowsCut, rowsIn } = metrics
  const letters = deadLettered - book.unread
  const missing = rowsIn - book.out - metrics.rowsFiltered - rowsCut - book.unread
  if (missing < 0 || missing > letters) {
    return Result.fail(
      new RowsNotConserved({
        read: rowsIn,
        filtered: metrics.rowsFiltered,
        deadLettered,
        cut: rowsCut,
        written: book.out
      })
    )
  }
  const dropped = Math.min(letters - missing, Math.max(0, metrics.rowsFiltered))
  metrics.rowsFiltered -= dropped
  return Result.succeed({
    in: rowsIn,
    source: rowsIn - book.exchanged,
    out: book.out,
    filtered: metrics.rowsFiltered,
    setAside: book.unread + missing + dropped,
    cut: rowsCut,
    reads: book.reads
  })
}
