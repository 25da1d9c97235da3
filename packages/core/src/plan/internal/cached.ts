import type { Rows } from "../../task/internal/rows.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import { ShuffleFailed } from "../../task/JobError.ts"
import type { CacheHandle } from "../Plan.ts"

/**
 * What the engine keeps of cached datasets. A `run` identifies the results of the stages before the cache (`runOf`): if
 * a stage may yield different rows when it runs again, partitions of two runs do not belong together.
 */
export interface Cached {
  /** How many of `partitions` partitions are kept, and their run if all are kept and have the same run. */
  readonly kept: (
    handle: CacheHandle,
    partitions: number
  ) => { readonly count: number; readonly run: string | undefined }
  /** The kept partition, if it is still kept. */
  readonly get: (handle: CacheHandle, partition: number, run: string) => ((task: TaskRuntime) => Rows) | undefined
  /** Keeps the rows of a partition as they pass. */
  readonly put: (handle: CacheHandle, partition: number, run: string, rows: Rows, task: TaskRuntime) => Rows
}

/** The error for a partition that was kept when the plan was made, and no longer is. */
export const goneFrom = (handle: CacheHandle, partition: number): ShuffleFailed =>
  new ShuffleFailed({
    operator: "cache",
    detail: `partition ${partition} is no longer kept`,
    lost: { shuffle: handle.id, map: partition, attempt: 0 },
    isRetryable: false
  })
