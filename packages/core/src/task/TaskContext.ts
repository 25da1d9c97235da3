/**
 * What a function that runs inside a task can ask about it.
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
 * The input of the task, where it reads one.
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
  /** Row within the row group, else line, counted from 0 (see `afterByte`). */
  readonly row: number
  /** Text formats: the file's own line that the row begins in, counted from 1, where it is known. */
  readonly line?: number | undefined
  /**
   * Text formats, in a later split of a file, which does not know how many lines come before it: the byte of the file (of the
   * unpacked one, for gzip) behind which lines are counted. `row` 0 is the first line that begins behind it.
   */
  readonly afterByte?: number | undefined
  /** Why, in a sentence. */
  readonly reason: string
  /** The row as far as it can be shown, as JSON or text. */
  readonly value: string
}

/**
 * The numbers a task counts. All are sums over the task's life; rates and totals are the listeners' business.
 *
 * @category models
 * @since 0.1.0
 */
export interface TaskMetrics {
  /** Rows the source emitted. A record batch counts its rows. */
  rowsRead: number
  /** Bytes the source's splits have. */
  bytesRead: number
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
  /** Rows that a step or the action left unread on purpose (`take`): those on their way, and the rest of a source that knows its rows. */
  rowsCut: number
  deadLettered: number
  /** Named counters of operators (`requests`, `retries`, ...); summed over tasks. */
  readonly counters: Map<string, number>
  /** Named values that go up and down (`inFlight`); summed over running tasks. */
  readonly gauges: Map<string, number>
}

/**
 * What a function that runs inside a task can ask about it.
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
   * What the task adds to accumulators, by their ids: `Accumulator.add` writes it. It is a part of the task's outcome, and counts once per
   * partition: not for an attempt that failed, nor for the slower of two that succeeded.
   */
  readonly additions: Map<string, unknown>
  /** Sets a row aside: counted, published as an event, and written beside the output where there is one. */
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
