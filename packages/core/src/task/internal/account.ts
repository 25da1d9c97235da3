/**
 * The account of a task: the rows that came in went out, were dropped by operators, set aside or cut. Rows that a step
 * or the action left unread on purpose are "cut"; if something ends before its input does, the rest counts as cut,
 * never as dropped.
 */
import { Effect, Pull, Result, Scope, Stream } from "effect"
import { Lines } from "../../codec/internal/lines.ts"
import { RowsNotConserved } from "../JobError.ts"
import type { TaskMetrics } from "../TaskContext.ts"
import type { Book, Read, Weigh } from "./book.ts"
import { Failed } from "./failed.ts"
import { deferred, type Rows } from "./rows.ts"
import type { TaskRuntime } from "./runtime.ts"

/** The number of rows if every element is a row. */
export const weighRows: Weigh = (values) => values.length

// Apache Arrow marks its record batches this way, whichever copy of the library made them.
const recordBatch = Symbol.for("apache-arrow/RecordBatch")

/** Rows of an element if some elements may be record batches or lines. */
export const rowsOfBatch = (value: unknown): number => {
  if (typeof value !== "object" || value === null) return 1
  if (value instanceof Failed) return value.rows
  if (value instanceof Lines) return value.ends.length
  return recordBatch in value && "numRows" in value ? Number(value.numRows) : 1
}

/** The same for an array. */
export const weighBatches: Weigh = (values) => {
  let rows = 0
  for (const value of values) rows += rowsOfBatch(value)
  return rows
}

/** Reports the rows of each array that passes. */
export const countRows = (rows: Rows, { weigh }: Pick<TaskRuntime, "weigh">, count: (n: number) => void): Rows =>
  Stream.mapArray(rows, (values) => {
    count(weigh(values))
    return values
  })

/** Reports that a stream has been read to its end. */
const whenEnded = (rows: Rows, ended: () => void): Rows =>
  Stream.transformPull(rows, (pull) => Effect.succeed(tapDone(pull, ended)))

const tapDone = <A, E, R>(pull: Effect.Effect<A, E, R>, ended: () => void): Effect.Effect<A, E, R> =>
  Effect.catchCause(pull, (cause) => {
    if (Pull.isDoneCause(cause)) ended()
    return Effect.failCause(cause)
  })

/** Reports, when nobody reads a stream any more, whether it was read to its end. */
export const whenClosed = (rows: Rows, closed: (ended: boolean) => void): Rows =>
  Stream.transformPull(rows, (pull, scope) =>
    Effect.suspend(() => {
      let ended = false
      const counted = tapDone(pull, () => {
        ended = true
      })
      return Effect.as(
        Scope.addFinalizer(
          scope,
          Effect.sync(() => closed(ended))
        ),
        counted
      )
    })
  )

/**
 * Steps that hold rows for a while. Rows that they still hold when the stream is left early are cut; rows that are
 * missing at the end are lost, and the account does not balance.
 */
export const segment = (rows: Rows, task: TaskRuntime, f: (rows: Rows, drop: (n: number) => void) => Rows): Rows =>
  deferred(() => {
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

// Counts across a step that makes new rows from the rows of its inputs: `input` wraps each input, `output` wraps the
// rows that the step makes.
const droppingFrom = (inputs: number, task: TaskRuntime) => {
  const { metrics } = task
  let open = inputs
  let missing = 0
  const drop = (n: number) => {
    missing += n
    metrics.rowsFiltered += n
  }
  return {
    input: (rows: Rows): Rows => whenEnded(countRows(rows, task, drop), () => void open--),
    output: (rows: Rows): Rows =>
      whenClosed(
        countRows(rows, task, (n) => drop(-n)),
        (ended) => {
          if ((ended && open <= 0) || missing <= 0) return
          metrics.rowsFiltered -= missing
          metrics.rowsCut += missing
        }
      )
  }
}

/**
 * A step that makes new rows from the rows of its inputs: those that go in count as dropped, those that come out as
 * added. If it ends before one of its inputs does, the missing rows are cut.
 */
export const dropping = (
  inputs: ReadonlyArray<Rows>,
  task: TaskRuntime,
  f: (inputs: ReadonlyArray<Rows>) => Rows
): Rows =>
  deferred(() => {
    const { input, output } = droppingFrom(inputs.length, task)
    return output(f(inputs.map(input)))
  })

/** The same for a step with one input. */
export const droppingOne = (rows: Rows, task: TaskRuntime, f: (rows: Rows) => Rows): Rows =>
  deferred(() => {
    const { input, output } = droppingFrom(1, task)
    return output(f(input(rows)))
  })

/** The result of a task in rows: `in = out + filtered + setAside + cut`. */
export interface Account {
  readonly in: number
  /** The rows of `in` that came from sources and caches, not from other stages. */
  readonly source: number
  readonly out: number
  /** Rows that operators dropped, less those that they added. */
  readonly filtered: number
  readonly setAside: number
  readonly cut: number
  readonly reads: ReadonlyArray<Read>
}

/**
 * Closes the account of a task. A later step may have dropped a row that the program's own functions set aside: such a
 * row counts as set aside, not as filtered. A row that was set aside and still went on counts as out.
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
