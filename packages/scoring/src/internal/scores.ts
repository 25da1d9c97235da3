import * as Batch from "../Batch.ts"
import { BadAnswer, type Reason, type ScoreError } from "../ScoreError.ts"

const notFinite = (scores: Float32Array): number => {
  for (let i = 0; i < scores.length; i++) if (!Number.isFinite(scores[i])) return i
  return -1
}

/**
 * A batch must have one score per row, whatever computed them: missing ones would be filled with 0, and extra ones cut
 * off.
 */
export const wrongCount = (scores: Float32Array, rows: number): BadAnswer | undefined =>
  scores.length === rows
    ? undefined
    : new BadAnswer({ detail: `${scores.length} scores for ${rows} rows`, body: "", row: undefined })

/** What is wrong with the scores of a batch: their number, or one that is not finite. */
export const wrongScores = (scores: Float32Array, rows: number): BadAnswer | undefined => {
  const count = wrongCount(scores, rows)
  if (count !== undefined) return count
  const row = notFinite(scores)
  return row < 0 ? undefined : new BadAnswer({ detail: `the score is ${scores[row]}`, body: "", row })
}

/** A single row if the answer is wrong for one, otherwise all rows. */
export const rowsAtFault = (reason: Reason, batch: Batch.Batch): ScoreError["rows"] =>
  reason._tag === "BadAnswer" && reason.row !== undefined
    ? Batch.rangeAt(batch.spans, reason.row)
    : Batch.ranges(batch.spans)
