/** Settings of the operators. */
import type { Duration } from "effect"

/**
 * When a matrix is full.
 *
 * @category models
 * @since 0.1.0
 */
export interface BatchOptions {
  /** Most rows per request. Default 1000. */
  readonly rows?: number | undefined
  /** Most bytes of vectors per request; a single vector may be larger. Default 4 MiB. */
  readonly bytes?: number | undefined
  /** How long rows wait for more rows when the source is slow. Default 100 ms. */
  readonly linger?: Duration.Input | undefined
}

/**
 * Settings that `score` and `scoreBatches` share.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Name of the score. Default `score`. */
  readonly as?: string | undefined
  readonly batch?: BatchOptions | undefined
  /** Emit results as they arrive. Default `false`: in the order of the rows. */
  readonly unordered?: boolean | undefined
  /** Adds `class`: whether the score is at least this. */
  readonly threshold?: number | undefined
}

/**
 * Settings of `scoreBatches`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordBatchOptions extends Options {
  /** Column of type list or fixed-size list of float or double. */
  readonly vector: string
  /** The columns to keep beside the score, in this order. Default: all. */
  readonly columns?: ReadonlyArray<string> | undefined
}
