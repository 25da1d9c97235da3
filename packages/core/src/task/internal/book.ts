/** What a task writes down of its rows beside its metrics. */

/** Rows in an array of elements. */
export type Weigh = (values: ReadonlyArray<unknown>) => number

/** What a task's metrics do not say of its rows. */
export interface Book {
  /** Whether the task only looks at rows that a later stage reads again. */
  readonly ahead: boolean
  /** Rows that came out of exchanges. */
  exchanged: number
  /** Rows handed to the action, or to the stage that reads this one. */
  out: number
  /** Rows that a source set aside. */
  unread: number
  /** Partitions of other stages that it began to read; all of a stage's where there is no number. */
  readonly reads: Array<Read>
}

/** That a task began to read what another stage wrote. */
export interface Read {
  readonly stage: number
  readonly partition: number | undefined
}
