/**
 * Models that run in this process.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * A function from a matrix to one score per row.
 *
 * @category models
 * @since 0.1.0
 */
export interface Model {
  readonly name: string
  /** Numbers in a row. */
  readonly features: number
  /** Scores of at least this value belong to the positive class, if the model says so. */
  readonly threshold: number | undefined
  /** Scores a row-major matrix of `rows * features` numbers. */
  readonly score: (values: Float32Array<ArrayBufferLike>, rows: number) => Float32Array
}

/**
 * Weights of a logistic regression, in the form of a JSON file.
 *
 * @category codecs
 * @since 0.1.0
 */
export const LogisticRegression = Schema.Struct({
  nFeatures: Schema.Int.check(Schema.isGreaterThan(0)),
  /** One weight per feature. */
  weights: Schema.Array(Schema.Finite),
  /** Constant term. */
  bias: Schema.Finite,
  threshold: Schema.optionalKey(Schema.Finite)
}).check(
  Schema.makeFilter((model) =>
    model.weights.length === model.nFeatures
      ? undefined
      : `expected ${model.nFeatures} weights (nFeatures), got ${model.weights.length}`
  )
)

/**
 * Weights of a logistic regression.
 *
 * @category models
 * @since 0.1.0
 */
export type LogisticRegression = typeof LogisticRegression.Type

/**
 * {@link LogisticRegression} as the text of a JSON file.
 *
 * @category codecs
 * @since 0.1.0
 */
export const LogisticRegressionJson = Schema.fromJsonString(LogisticRegression)

/**
 * A logistic regression: `1 / (1 + exp(-(bias + weights . row)))`.
 *
 * **Example** (Scoring two rows)
 *
 * ```ts import.meta.vitest
 * import { Model } from "@sluice/scoring"
 *
 * const model = Model.logisticRegression({ nFeatures: 2, weights: [1, -1], bias: 0 })
 *
 * Array.from(model.score(new Float32Array([3, 3, 0, 0]), 2)) // => [0.5, 0.5]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const logisticRegression = (weights: LogisticRegression): Model => {
  const { bias, nFeatures } = weights
  const factors = Float64Array.from(weights.weights)
  return {
    name: `logistic regression of ${nFeatures} features`,
    features: nFeatures,
    threshold: weights.threshold,
    score: (values, rows) => {
      const scores = new Float32Array(rows)
      for (let row = 0, at = 0; row < rows; row++) {
        let sum = bias
        for (let j = 0; j < nFeatures; j++, at++) sum += (factors[j] ?? 0) * (values[at] ?? 0)
        scores[row] = 1 / (1 + Math.exp(-sum))
      }
      return scores
    }
  }
}

/**
 * Decodes the text of a JSON file with the weights of a logistic regression. Fails with a `SchemaError`.
 *
 * @category codecs
 * @since 0.1.0
 */
export const decodeLogisticRegression = Schema.decodeUnknownEffect(LogisticRegressionJson)
