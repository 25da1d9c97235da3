/** Scoring Arrow record batches: a column of vectors is sent, a column of scores is added. */
import * as Dataset from "@sluice/core/Dataset"
import * as Origin from "@sluice/core/Origin"
import type * as Arrow from "apache-arrow"
import type { RecordBatch } from "apache-arrow"
import { Effect, Stream } from "effect"
import * as Batch from "../Batch.ts"
import { BadSetup, NotAVector, type Reason, type ScoreError, VectorLength } from "../ScoreError.ts"
import type { Segment } from "./batcher.ts"
import { selectColumns, type VectorColumn, vectorColumn, withScores } from "./columns.ts"
import { partOf } from "./failures.ts"
import type { RecordBatchOptions } from "./options.ts"
import { type Run, scored } from "./partition.ts"

/** A record batch on its way. */
interface Pending {
  /** The columns that are kept beside the scores. */
  readonly record: RecordBatch
  /** `undefined` if the record batch failed before any of its rows was sent. */
  readonly column: VectorColumn | undefined
  readonly scores: Float32Array
  /** Rows that have not been answered yet. */
  left: number
  /** Why some of its rows have no scores. */
  error: ScoreError | undefined
}

type Segments = ReadonlyArray<Segment<Pending>>

/** Which column is sent, which are kept, and which are added. */
interface Columns {
  readonly vector: string
  readonly kept: ReadonlyArray<string> | undefined
  readonly as: string
  readonly threshold: number | undefined
}

const firstLength = ({ column }: Pending): number => {
  for (let row = 0; column !== undefined && row < column.rows; row++) {
    const length = column.lengthOf(row)
    if (length > 0) return length
  }
  return 0
}

/** The part of a record batch that is kept, or what is wrong with it. */
const keep = ({ as, kept, threshold }: Columns, record: RecordBatch): RecordBatch | BadSetup => {
  const selected = kept === undefined ? record : selectColumns(record, kept)
  if (typeof selected === "string") return new BadSetup({ detail: `\`columns\`: ${selected}` })
  const added = threshold === undefined ? [as] : [as, "class"]
  const taken = selected.schema.fields.find(({ name }) => added.includes(name))
  return taken === undefined
    ? Origin.attach(selected, Origin.of(record))
    : new BadSetup({ detail: `a column "${taken.name}" already exists; give the score another name with \`as\`` })
}

const open = (
  run: Run,
  arrow: typeof Arrow,
  columns: Columns,
  record: RecordBatch
): Effect.Effect<Pending, ScoreError> => {
  const refused = (reason: Reason) => {
    const span = run.span({ block: record, start: 0, count: record.numRows, position: 0 }, Origin.of(record))
    return run.failure(Batch.ranges([span]), reason)
  }
  const column = vectorColumn(arrow, record, columns.vector)
  if (typeof column === "string") {
    const error = refused(new NotAVector({ detail: column }))
    // None of its rows is sent, so for the batcher it has no rows.
    return run.handled(error)
      ? Effect.succeed({ record, column: undefined, scores: new Float32Array(0), left: 0, error })
      : Effect.fail(error)
  }
  const kept = keep(columns, record)
  if (kept instanceof BadSetup) return Effect.fail(refused(kept))
  const scores = new Float32Array(record.numRows)
  return Effect.succeed({ record: kept, column, scores, left: record.numRows, error: undefined })
}

const spanOf = (run: Run, segment: Segment<Pending>): Batch.Span => run.span(segment, Origin.of(segment.block.record))

/** What is wrong with the first vector of a segment that cannot be sent. */
const fault = (run: Run, segment: Segment<Pending>, expected: number, vector: string): ScoreError | undefined => {
  const { block, count, start } = segment
  if (block.column === undefined) return undefined
  const row = block.column.firstOther(start, count, expected)
  if (row < 0) return undefined
  const found = block.column.lengthOf(row)
  const reason =
    found < 0 ? new NotAVector({ detail: `column "${vector}" is null` }) : new VectorLength({ expected, found })
  return run.failure(Batch.rangeAt([spanOf(run, segment)], row - start), reason)
}

const toBatch = (run: Run, segments: Segments, features: number): Batch.Batch => {
  const spans = segments.map((segment) => spanOf(run, segment))
  const rows = segments.reduce((sum, { count }) => sum + count, 0)
  const [first] = segments
  if (segments.length === 1 && first?.block.column !== undefined) {
    return { rows, features, values: first.block.column.values(first.start, first.count, features), spans }
  }
  const values = new Float32Array(rows * features)
  let at = 0
  for (const { block, count, start } of segments) {
    if (block.column !== undefined) values.set(block.column.values(start, count, features), at)
    at += count * features
  }
  return { rows, features, values, spans }
}

/** Puts the scores of a batch, or the reason why it has none, into the record batches that its rows came from. */
const put = (sent: Segments, spans: ReadonlyArray<Batch.Span>, answer: Float32Array | ScoreError): void => {
  let at = 0
  for (const { block, count, start } of sent) {
    if (answer instanceof Float32Array) block.scores.set(answer.subarray(at, at + count), start)
    else block.error ??= partOf(answer, spans, at, count)
    at += count
  }
}

const scoreGroup = (run: Run, segments: Segments, vector: string): Effect.Effect<void, ScoreError> => {
  const full = segments.filter(({ block, count }) => count > 0 && block.error === undefined)
  const [first] = full
  if (first === undefined) return Effect.void
  const features = run.scorer.features() ?? firstLength(first.block)
  for (const segment of full) {
    const error = fault(run, segment, features, vector)
    if (error === undefined) continue
    if (!run.handled(error)) return Effect.fail(error)
    segment.block.error ??= error
  }
  const sent = full.filter(({ block }) => block.error === undefined)
  if (sent.length === 0) return Effect.void
  const batch = toBatch(run, sent, features)
  return Effect.map(run.send(batch), (answer) => put(sent, batch.spans, answer))
}

/**
 * The record batches whose last row is in these segments. In ordered mode, later rows may be answered before earlier
 * ones, but they are passed on after them.
 */
const finish = (arrow: typeof Arrow, { as, threshold }: Columns, segments: Segments) => {
  const finished: Array<RecordBatch | Dataset.FailedElement<ScoreError>> = []
  for (const { block, count } of segments) {
    block.left -= count
    if (block.left > 0) continue
    const { error, record, scores } = block
    finished.push(
      error === undefined
        ? Origin.attach(withScores(arrow, record, scores, as, threshold), Origin.of(record))
        : Dataset.failed(error, record.numRows)
    )
  }
  return finished
}

export const scoreBatches = <E, R>(self: Dataset.Dataset<RecordBatch, E, R>, options: RecordBatchOptions) => {
  const { as = "score", columns: kept, threshold, vector } = options
  const columns: Columns = { vector, kept, as, threshold }
  const reads = kept === undefined ? undefined : [...new Set([vector, ...kept])]
  return scored(self, { name: "ScoreBatches", reads }, options, (run) =>
    Effect.map(
      Effect.promise(() => import("apache-arrow")),
      (arrow) => ({
        groups: <E2, R2>(records: Stream.Stream<RecordBatch, E2, R2>) =>
          run.group(
            Stream.mapEffect(records, (record) => open(run, arrow, columns, record)),
            {
              of: (values) => values,
              size: (pending) => pending.left,
              features: (pending) => run.scorer.features() ?? firstLength(pending)
            }
          ),
        score: (segments: Segments) => Effect.as(scoreGroup(run, segments, columns.vector), segments),
        finish: (segments: Segments) => finish(arrow, columns, segments)
      })
    )
  )
}
