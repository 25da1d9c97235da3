/**
 * Sends a dataset through a model and gets every row back scored.
 *
 * @since 0.1.0
 */

/** Matrices of feature vectors. */
export * as Batch from "./Batch.ts"
/** How many requests may be in flight. */
export * as Limiter from "./Limiter.ts"
/** Models that run in this process. */
export * as Model from "./Model.ts"
/** Codecs between matrices and HTTP bodies. */
export * as Protocol from "./Protocol.ts"
/** What a finished job did with its model. */
export * as Report from "./Report.ts"
/** When a request is sent again. */
export * as RetryPolicy from "./RetryPolicy.ts"
/** The error of every scorer. */
export * as ScoreError from "./ScoreError.ts"
/** The service that turns matrices into scores. */
export * as Scorer from "./Scorer.ts"
/** The operators. */
export * as Scoring from "./Scoring.ts"
