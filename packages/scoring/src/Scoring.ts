/**
 * The operators that score a dataset.
 *
 * Rows are grouped into matrices, and a bounded number of them is sent to the model at once. A slow model stops the
 * reader and a slow writer stops the requests. The first failure interrupts all requests in flight, unless a
 * `Dataset.catchTag` handles it: then the rows of that batch go to the handler, and the others continue. A partition
 * ends only when every answer has arrived.
 *
 * **Example** (Scoring with a model in this process)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Model, Scorer, Scoring } from "@sluice/scoring"
 * import { Effect } from "effect"
 *
 * const model = Model.logisticRegression({ nFeatures: 2, weights: [1, 1], bias: 0 })
 *
 * const scored = Dataset.make({ id: 1, features: new Float32Array([0, 0]) }).pipe(
 *   Scoring.score({ vector: "features", threshold: 0.5 }),
 *   Dataset.map((row) => [row.id, row.score, row.class]),
 *   Dataset.provide(Scorer.layerModel(model)),
 *   Dataset.collect
 * )
 *
 * await Effect.runPromise(Effect.provide(scored, Engine.layer)) // => [[1, 0.5, true]]
 * ```
 *
 * @since 0.1.0
 */
import type * as Dataset from "@sluice/core/Dataset"
import type * as Arrow from "apache-arrow"
import { dual } from "effect/Function"
import type { Options, RecordBatchOptions } from "./internal/options.ts"
import * as Records from "./internal/records.ts"
import * as Rows from "./internal/rows.ts"
import type { ScoreError } from "./ScoreError.ts"
import type { Scorer } from "./Scorer.ts"

export type { BatchOptions, Options, RecordBatchOptions } from "./internal/options.ts"

type ScoreName<O extends Options> = O extends { readonly as: infer As extends string } ? As : "score"

/**
 * The fields that scoring adds to a row.
 *
 * @category models
 * @since 0.1.0
 */
export type Added<O extends Options> = {
  readonly [K in ScoreName<O>]: number
} & (O extends { readonly threshold: number } ? { readonly class: boolean } : unknown)

/**
 * Scores every row: `vector` names the field with the features or computes them, the score is added under `as`.
 *
 * **Details**
 *
 * Vectors that lie next to each other in memory, as those of a Parquet file do, are sent without a copy. Each task has
 * at most as many matrices in flight as the scorer allows, and all tasks of an executor share that limit.
 *
 * If a `Dataset.catchTag("ScoreError", ...)` follows, its handler is called for each row of a batch that could not be
 * scored, with an error that names the row, and its result takes the place of the row; a row whose vector cannot be
 * sent fails alone. Without such a handler, the first failure ends the partition at once. Invalid settings (`BadSetup`)
 * always do.
 *
 * **Gotchas**
 *
 * A row becomes a new plain object with the fields of the old one. A field named like the score is replaced.
 *
 * @category combinators
 * @since 0.1.0
 */
export const score: {
  <const K extends string, const O extends Options>(
    options: O & { readonly vector: K }
  ): <A extends { readonly [P in K]: Rows.Vector }, E, R>(
    self: Dataset.Dataset<A, E, R>
  ) => Dataset.Dataset<A & Added<O>, E | ScoreError, R | Scorer>
  <A extends object, const O extends Options>(
    options: O & { readonly vector: (row: A) => Rows.Vector }
  ): <E, R>(self: Dataset.Dataset<A, E, R>) => Dataset.Dataset<A & Added<O>, E | ScoreError, R | Scorer>
  <A extends { readonly [P in K]: Rows.Vector }, E, R, const K extends string, const O extends Options>(
    self: Dataset.Dataset<A, E, R>,
    options: O & { readonly vector: K }
  ): Dataset.Dataset<A & Added<O>, E | ScoreError, R | Scorer>
  <A extends object, E, R, const O extends Options>(
    self: Dataset.Dataset<A, E, R>,
    options: O & { readonly vector: (row: A) => Rows.Vector }
  ): Dataset.Dataset<A & Added<O>, E | ScoreError, R | Scorer>
} = dual(2, Rows.score)

/** The columns that scoring reads and keeps. */
type Needed<O extends RecordBatchOptions> = {
  readonly [
    K in O["vector"] | (O extends { readonly columns: ReadonlyArray<infer C extends string> } ? C : never)
  ]: unknown
}

/**
 * The columns of a scored record batch: those that it keeps, and those that scoring adds.
 *
 * @category models
 * @since 0.1.0
 */
export type ScoredColumns<T extends Arrow.TypeMap, O extends RecordBatchOptions> = (O extends {
  readonly columns: ReadonlyArray<infer C>
}
  ? Pick<T, Extract<C, keyof T>>
  : T) & { readonly [K in ScoreName<O>]: Arrow.Float32 } & (O extends { readonly threshold: number }
    ? { readonly class: Arrow.Bool }
    : unknown)

/**
 * Scores every row of Arrow record batches: the scores are a new float32 column named `as`, the last one (before
 * `class`, if there is a threshold). The other columns stay, unless `columns` names those to keep.
 *
 * **Details**
 *
 * `vector` names a column of type list or fixed-size list of float, whose memory is sent as it is, or of double, which
 * is converted. A request may span several record batches, at the cost of a copy. Null vectors, vectors of a different
 * length and missing columns fail with an error that names the row.
 *
 * With `columns`, only these and the scores are kept, and a Parquet source directly below reads only these and
 * `vector`.
 *
 * An element is a record batch. If a `Dataset.catchTag("ScoreError", ...)` follows, its handler is called once for each
 * record batch that has rows without a score, with an error that names the first of them; the scores of its other rows
 * are lost.
 *
 * **Example** (Keeping the id and the score)
 *
 * ```ts import.meta.vitest
 * import { Dataset } from "@sluice/core"
 * import { Scoring } from "@sluice/scoring"
 *
 * const scored = Dataset.parquetBatches("in").pipe(
 *   Scoring.scoreBatches({ vector: "features", columns: ["id"] }),
 *   Dataset.writeParquetBatches("out")
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const scoreBatches: {
  <const O extends RecordBatchOptions>(
    options: O
  ): <T extends Arrow.TypeMap & Needed<O>, E, R>(
    self: Dataset.Dataset<Arrow.RecordBatch<T>, E, R>
  ) => Dataset.Dataset<Arrow.RecordBatch<ScoredColumns<T, O>>, E | ScoreError, R | Scorer>
  <T extends Arrow.TypeMap & Needed<O>, E, R, const O extends RecordBatchOptions>(
    self: Dataset.Dataset<Arrow.RecordBatch<T>, E, R>,
    options: O
  ): Dataset.Dataset<Arrow.RecordBatch<ScoredColumns<T, O>>, E | ScoreError, R | Scorer>
} = dual(2, Records.scoreBatches)
