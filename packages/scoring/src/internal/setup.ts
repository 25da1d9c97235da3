import { Effect } from "effect"
import * as Batch from "../Batch.ts"
import { BadSetup, NotAVector, type Reason, ScoreError, VectorLength } from "../ScoreError.ts"

/** The error of an invalid setting. */
export const setupError = (detail: string): ScoreError =>
  new ScoreError({ endpoint: "scorer", attempt: 0, rows: [], reason: new BadSetup({ detail }) })

/** A whole number above 0, or why it is not one. */
export const positive = (name: string, value: number): Effect.Effect<number, ScoreError> =>
  Number.isInteger(value) && value > 0
    ? Effect.succeed(value)
    : Effect.fail(setupError(`${name} must be a whole number above 0, got ${value}`))

/** Checks the length of rows, if a scorer knows it or has learnt it from the first row. */
export class Expectation {
  private expected: number | undefined

  constructor(declared: number | undefined) {
    this.expected = declared
  }

  readonly features = (): number | undefined => this.expected

  private mismatch({ features }: Batch.Batch): Reason | undefined {
    if (features === 0) return new NotAVector({ detail: "the vector is empty" })
    const expected = (this.expected ??= features)
    return features === expected ? undefined : new VectorLength({ expected, found: features })
  }

  /** Fails for a batch whose rows have a different length, before it is sent. */
  check(batch: Batch.Batch, scorer: string): Effect.Effect<void, ScoreError> {
    const reason = this.mismatch(batch)
    if (reason === undefined) return Effect.void
    return Effect.fail(new ScoreError({ endpoint: scorer, attempt: 0, rows: Batch.rangeAt(batch.spans, 0), reason }))
  }
}
