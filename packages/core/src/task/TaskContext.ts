/**
 * What a function can ask about the task that it runs in.
 *
 * @since 0.1.0
 */
import { Context, type Effect } from "effect"
import type { FilePart } from "./Format.ts"

/**
 * The executor (container) a task runs on. Layers of a job may use it, for example to choose the server on their machine.
 *
 * @category services
 * @since 0.1.0
 */
export class ExecutorInfo extends Context.Service<
  ExecutorInfo,
  {
    /** Unique within the engine: `local-0`. */
    readonly id: string
    readonly host: string
    /** Tasks it runs at once. */
    readonly slots: number
  }
>()("@sluice/core/TaskContext/ExecutorInfo") {}

/**
 * The input of the task, if it reads one.
 *
 * @category models
 * @since 0.1.0
 */
export interface TaskSplit {
  readonly id: string
  readonly label: string
  readonly parts: ReadonlyArray<FilePart>
  readonly rows: number | undefined
  readonly bytes: number
}

/**
 * A row that was set aside instead of failing the job.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetter {
  readonly path: string
  readonly rowGroup: number | undefined
  /** Row in the row group, or line (see `afterByte`), counted from 0. */
  readonly row: number
  /** In text formats, the line of the file in which the row begins, counted from 1, where that is known. */
  readonly line?: number | undefined
  /**
   * In text formats, for a later split of a file, where the number of lines before the split is not known: the byte of
   * the file (for gzip, of the unpacked file) after which lines are counted. `row` 0 is the first line that begins
   * after it.
   */
  readonly afterByte?: number | undefined
  /** Why, in a sentence. */
  readonly reason: string
  /** The row as far as it can be shown, as JSON or text. */
  readonly value: string
}

/**
 * The numbers that a task counts. All are sums over the life of the task; listeners compute rates and totals.
 *
 * @category models
 * @since 0.1.0
 */
export interface TaskMetrics {
  /** Rows the source emitted. A record batch counts its rows. */
  rowsRead: number
  /** Bytes the source's splits have. */
  bytesRead: number
  /** Rows that a stage only looked at, as for the sample of a sort, because a later one reads them: not in `rowsRead`. */
  rowsAhead: number
  /** Bytes of the splits, or of the places in them, that such a stage read: not in `bytesRead`. */
  bytesAhead: number
  /** Rows that came into the task: from sources (also those set aside there), from other stages and from caches. */
  rowsIn: number
  /** Rows handed to the action (written, counted, collected). */
  rowsOut: number
  /** Bytes written to files. */
  bytesWritten: number
  /**
   * Rows that operators dropped (filter) minus those they added (flatMap), so that `rowsIn = rowsOut + rowsFiltered + rowsCut` plus
   * the rows set aside at the end of a task. Like all rows here, those of a record batch are counted one by one.
   */
  rowsFiltered: number
  /**
   * Rows that a step or the action left unread on purpose (`take`): those already read but not used, and the rest of a
   * source that knows its number of rows.
   */
  rowsCut: number
  deadLettered: number
  /** Named counters of operators (`requests`, `retries`, ...); summed over tasks. */
  readonly counters: Map<string, number>
  /** Named values that go up and down (`inFlight`); summed over running tasks. */
  readonly gauges: Map<string, number>
}

/**
 * What a function can ask about the task that it runs in.
 *
 * @category models
 * @since 0.1.0
 */
export interface TaskContext {
  /** Unique within the engine. */
  readonly jobId: string
  readonly stage: number
  readonly partition: number
  /** Partitions of the stage. */
  readonly partitions: number
  /** 0 for the first attempt. */
  readonly attempt: number
  readonly executor: ExecutorInfo["Service"]
  readonly split: TaskSplit | undefined
  readonly metrics: TaskMetrics
  /**
   * What the task adds to accumulators, by their ids, as written by `Accumulator.add`. It is part of the task's result
   * and counts once per partition: not for a failed attempt, nor for the slower of two successful ones.
   */
  readonly additions: Map<string, unknown>
  /** Sets a row aside: it is counted, published as an event, and written beside the output if there is one. */
  readonly deadLetter: (letter: DeadLetter) => Effect.Effect<void>
}

/**
 * The running task, `undefined` outside of one.
 *
 * @category services
 * @since 0.1.0
 */
export const Current = Context.Reference<TaskContext | undefined>("@sluice/core/TaskContext/Current", {
  defaultValue: () => undefined
})
