import type { Rows } from "../../task/internal/rows.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import { ShuffleFailed } from "../../task/JobError.ts"
import type { CacheHandle } from "../Plan.ts"

/**
 * What the engine keeps of cached datasets. A `run` is what the stages before the cache came to (`runOf`): where a stage may yield other
 * rows when it runs again, partitions of two runs do not belong together.
 */
export interface Cached {
  /** How many partitions are kept of so many, and the run they are of where that is all of them, and one. */
  readonly kept: (
    handle: CacheHandle,
    partitions: number
  ) => { readonly count: number; readonly run: string | undefined }
  /** The kept partition, if it is there. */
  readonly get: (handle: CacheHandle, partition: number, run: string) => ((task: TaskRuntime) => Rows) | undefined
  /** Keeps the rows of a partition on their way. */
  readonly put: (handle: CacheHandle, partition: number, run: string, rows: Rows, task: TaskRuntime) => Rows
}

/** What an engine says of a partition that was kept when the plan was made, and is not any more. */
export const goneFrom = (handle: CacheHandle, partition: number): ShuffleFailed =>
  new ShuffleFailed({
    operator: "cache",
    detail: `partition ${partition} is kept no longer`,
    lost: { shuffle: handle.id, map: partition, attempt: 0 },
    isRetryable: false
  })
