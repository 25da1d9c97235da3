import * as Batch from "../Batch.ts"
import { BadAnswer, describeRows, ScoreError } from "../ScoreError.ts"

/** The error of `count` rows from row `from` of a batch on, where the batch failed with `error`: it names these rows. */
export const partOf = (
  error: ScoreError,
  spans: ReadonlyArray<Batch.Span>,
  from: number,
  count: number
): ScoreError => {
  const { attempt, earlier, elapsedMillis, endpoint, reason } = error
  const row = reason._tag === "BadAnswer" ? reason.row : undefined
  const isOurs = row !== undefined && row >= from && row < from + count
  return new ScoreError({
    attempt,
    earlier,
    elapsedMillis,
    endpoint,
    rows: isOurs ? Batch.rangeAt(spans, row) : Batch.ranges(Batch.slice(spans, from, count)),
    // What is wrong with the score of another row is not wrong with these.
    reason:
      reason._tag === "BadAnswer" && row !== undefined && !isOurs
        ? new BadAnswer({ ...reason, detail: `${describeRows(error.rows)} of the same request: ${reason.detail}`, row })
        : reason
  })
}
