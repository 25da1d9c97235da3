import * as Batch from "../Batch.ts"
import { BadAnswer, describeRows, ScoreError } from "../ScoreError.ts"

/** The error of `count` rows of a batch, from row `from` on, if the batch failed with `error`. It names these rows. */
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
    // A fault in the score of another row is not a fault of these rows.
    reason:
      reason._tag === "BadAnswer" && row !== undefined && !isOurs
        ? new BadAnswer({ ...reason, detail: `${describeRows(error.rows)} of the same request: ${reason.detail}`, row })
        : reason
  })
}
