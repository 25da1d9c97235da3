import type { Operator } from "../Operator.ts"

/**
 * A generator of uniform numbers in [0, 1) that starts from a seed and a stream number (splitmix32). Effect's seeded
 * `Random` runs an Effect for every number, which costs more than processing the row.
 */
export const uniform = (seed: number, stream: number): (() => number) => {
  let state = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let z = state ^ (state >>> 16)
    z = Math.imul(z, 0x21f0aaad)
    z ^= z >>> 15
    z = Math.imul(z, 0x735a2d97)
    z ^= z >>> 15
    return (z >>> 0) / 4294967296
  }
}

/** How a task that draws a sample reads its splits, and how much of them it has read. */
export interface Sampling {
  /** In how many places; without a number, whole. */
  places: number | undefined
  /** The bytes of the splits, and those of the places. A split that is read whole is one place. */
  bytes: number
  bytesOfPlaces: number
}

/** A Poisson number with this mean (Knuth's method). */
export const poisson = (next: () => number, mean: number): number => {
  const limit = Math.exp(-mean)
  let n = 0
  for (let product = next(); product > limit; product *= next()) n++
  return n
}

/**
 * How many times the next row of the partition is taken: 0 or 1, or with replacement a Poisson number, as
 * Spark's `BernoulliSampler` and `PoissonSampler`.
 */
export const sampler = (operator: Extract<Operator, { _tag: "Sample" }>, partition: number): (() => number) => {
  const next = uniform(operator.seed, partition)
  if (!operator.withReplacement) {
    const { from = 0, upTo = operator.fraction } = operator
    return () => {
      const n = next()
      return n >= from && n < upTo ? 1 : 0
    }
  }
  return () => poisson(next, operator.fraction)
}
