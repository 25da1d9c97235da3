/** What a task records about its rows besides its metrics. */

/** Rows in an array of elements. */
export type Weigh = (values: ReadonlyArray<unknown>) => number

/** What the metrics of a task do not say about its rows. */
export interface Book {
  /** Whether the task only looks at rows that a later stage reads again. */
  readonly ahead: boolean
  /** Rows that came out of exchanges. */
  exchanged: number
  /** Rows handed to the action, or to the stage that reads this one. */
  out: number
  /** Rows that a source set aside. */
  unread: number
  /** Partitions of other stages that it began to read; all partitions of the stage if there is no number. */
  readonly reads: Array<Read>
}

/** Records that a task began to read the output of another stage. */
export interface Read {
  readonly stage: number
  readonly partition: number | undefined
}
