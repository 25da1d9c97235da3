/**
 * A logistic regression whose weights are a small JSON file.
 *
 * `train.py` writes such a file from the digits data; {@link synthetic} makes one of any width for benchmarks. The same
 * file serves the embedded server, the Python service and a model that runs in process.
 *
 * @since 0.1.0
 */
import { Effect, FileSystem, Schema } from "effect"

/**
 * Weights and what they mean.
 *
 * @category models
 * @since 0.1.0
 */
export const Model = Schema.Struct({
  /** Name of the model. */
  name: Schema.String,
  /** What a row of the positive class is, in words. */
  positive: Schema.String,
  /** Number of float32 features in a row. */
  nFeatures: Schema.Int.check(Schema.isGreaterThan(0)),
  /** Scores of at least this value belong to the positive class. */
  threshold: Schema.Finite,
  /** Constant term. */
  bias: Schema.Finite,
  /** One weight per feature. */
  weights: Schema.Array(Schema.Finite),
  /** Share of held-out rows that are classified correctly, if the model was trained. */
  heldOut: Schema.optionalKey(Schema.Struct({ rule: Schema.String, rows: Schema.Int, accuracy: Schema.Finite }))
}).check(
  Schema.makeFilter((model) =>
    model.weights.length === model.nFeatures
      ? undefined
      : `expected ${model.nFeatures} weights (nFeatures), got ${model.weights.length}`
  )
)

/**
 * Weights and what they mean.
 *
 * @category models
 * @since 0.1.0
 */
export type Model = typeof Model.Type

/** @internal */
export const ModelJson = Schema.fromJsonString(Model)

/**
 * Reads a model file.
 *
 * Fails with `PlatformError` if the file cannot be read and with `SchemaError` if it is not a model.
 *
 * @category constructors
 * @since 0.1.0
 */
export const load = Effect.fn("Model.load")(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Schema.decodeUnknownEffect(ModelJson)(yield* fs.readFileString(path))
})

/**
 * Makes a model with pseudo-random weights, the same ones for the same `nFeatures` and `seed`.
 *
 * Rows with features between -1 and 1 get scores spread over the whole of 0..1.
 *
 * @category constructors
 * @since 0.1.0
 */
export const synthetic = (nFeatures: number, seed: number = 7): Model => {
  // mulberry32: four lines, and the same numbers everywhere.
  let state = seed >>> 0
  const random = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const scale = 4 / Math.sqrt(nFeatures)
  const weights = Array.from({ length: nFeatures }, () => (random() * 2 - 1) * scale)
  return { name: `synthetic-${seed}`, positive: "no meaning", nFeatures, threshold: 0.5, bias: 0, weights }
}

/**
 * Scores a row-major matrix of `features.length / nFeatures` rows.
 *
 * @category scoring
 * @since 0.1.0
 */
export const score = (model: Model, features: Float32Array): Float32Array => {
  const { bias, nFeatures } = model
  const weights = Float64Array.from(model.weights)
  const scores = new Float32Array(features.length / nFeatures)
  for (let row = 0, at = 0; row < scores.length; row++) {
    let sum = bias
    for (let j = 0; j < nFeatures; j++) sum += weights[j]! * features[at++]!
    scores[row] = 1 / (1 + Math.exp(-sum))
  }
  return scores
}
