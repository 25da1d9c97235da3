/** Scoring rows: each has its vector, and gets its score. */
import * as Dataset from "@sluice/core/Dataset"
import * as Origin from "@sluice/core/Origin"
import { Effect, Result } from "effect"
import * as Batch from "../Batch.ts"
import { NotAVector, type Reason, type ScoreError, VectorLength } from "../ScoreError.ts"
import type { Segment } from "./batcher.ts"
import { partOf } from "./failures.ts"
import type { Options } from "./options.ts"
import { type Run, scored } from "./partition.ts"

/** A `Float32Array`, in any kind of memory. */
export type Vector = Float32Array<ArrayBufferLike>

/** What to do with a row. */
interface Shape<A> {
  readonly vectorOf: (row: A) => unknown
  readonly add: (row: A, score: number) => A
}

type Rows<A> = ReadonlyArray<Segment<ReadonlyArray<A>>>

const notAVector = (value: unknown): NotAVector =>
  new NotAVector({
    detail:
      value instanceof Float32Array
        ? "the vector is empty"
        : `expected a Float32Array, got ${value === null ? "null" : typeof value}`
  })

const spanOf = (run: Run, segment: Segment<object>): Batch.Span => run.span(segment, Origin.of(segment.block))

/** The matrix of all rows, or what is wrong with the first that cannot be sent. */
const toBatch = <A>(run: Run, { vectorOf }: Shape<A>, segments: Rows<A>): Result.Result<Batch.Batch, ScoreError> => {
  const vectors: Array<Vector> = []
  const spans = segments.map((segment) => spanOf(run, segment))
  const refuse = (row: number, reason: Reason) => Result.fail(run.failure(Batch.rangeAt(spans, row), reason))
  for (const { block, count, start } of segments) {
    for (let i = start; i < start + count; i++) {
      const row = block[i]
      const value = row === undefined ? undefined : vectorOf(row)
      if (!(value instanceof Float32Array)) return refuse(vectors.length, notAVector(value))
      vectors.push(value)
    }
  }
  const features = run.scorer.features() ?? vectors[0]?.length ?? 0
  const values = Batch.matrix(vectors, features)
  return typeof values === "number"
    ? refuse(values, new VectorLength({ expected: features, found: vectors[values]?.length ?? 0 }))
    : Result.succeed({ rows: vectors.length, features, values, spans })
}

/** The rows that can be sent, and what is wrong with the others, by their index. */
const sift = <A>(run: Run, { vectorOf }: Shape<A>, segments: Rows<A>) => {
  const good: Array<Segment<ReadonlyArray<A>>> = []
  const bad = new Map<number, ScoreError>()
  let expected = run.scorer.features()
  let index = 0
  for (const segment of segments) {
    const { block, count, position, start } = segment
    const spans = [spanOf(run, segment)]
    let from = 0
    const runUntil = (i: number) => {
      if (i > from) good.push({ block, start: start + from, count: i - from, position: position + from })
      from = i + 1
    }
    for (let i = 0; i < count; i++, index++) {
      const row = block[start + i]
      const value = row === undefined ? undefined : vectorOf(row)
      const found = value instanceof Float32Array ? value.length : undefined
      if (expected === undefined && found !== 0) expected = found
      if (found !== undefined && found === expected) continue
      const reason =
        found === undefined || expected === undefined ? notAVector(value) : new VectorLength({ expected, found })
      bad.set(index, run.failure(Batch.rangeAt(spans, i), reason))
      runUntil(i)
    }
    runUntil(count)
  }
  return { good, bad }
}

const withOrigin = <A, B>(segments: Rows<A>, rows: ReadonlyArray<B>): ReadonlyArray<B> => {
  const [only] = segments
  const origin = segments.length === 1 && only !== undefined ? Origin.of(only.block) : undefined
  return origin === undefined || only === undefined
    ? rows
    : Origin.attach(rows, {
        ...origin,
        firstRow: origin.kept === undefined ? origin.firstRow + only.start : origin.firstRow,
        kept: origin.kept?.subarray(only.start, only.start + only.count)
      })
}

// The protocol has counted them. A row must not get a score that no model gave it, whatever is wrong here.
const scoreOf = (scores: Float32Array, row: number): number => {
  const score = scores[row]
  if (score === undefined) throw new RangeError(`no score for row ${row} of a batch of ${scores.length} scores`)
  return score
}

const toRows = <A>({ add }: Shape<A>, segments: Rows<A>, scores: Float32Array): ReadonlyArray<A> => {
  const rows: Array<A> = []
  for (const { block, count, start } of segments) {
    for (let i = start; i < start + count; i++) {
      const row = block[i]
      if (row !== undefined) rows.push(add(row, scoreOf(scores, rows.length)))
    }
  }
  return withOrigin(segments, rows)
}

type Elements<A> = ReadonlyArray<A | Dataset.FailedElement<ScoreError>>

/** As {@link toRows} if rows failed, each in its place: some before they were sent, or all that were sent. */
const toElements = <A>(
  { add }: Shape<A>,
  segments: Rows<A>,
  bad: ReadonlyMap<number, ScoreError>,
  answer: Float32Array | ScoreError,
  spans: ReadonlyArray<Batch.Span>
): Elements<A> => {
  const elements: Array<A | Dataset.FailedElement<ScoreError>> = []
  let sent = 0
  for (const { block, count, start } of segments) {
    for (let i = start; i < start + count; i++) {
      const row = block[i]
      const error = bad.get(elements.length)
      if (row === undefined || error !== undefined) {
        if (error !== undefined) elements.push(Dataset.failed(error))
      } else {
        elements.push(
          answer instanceof Float32Array
            ? add(row, scoreOf(answer, sent))
            : Dataset.failed(partOf(answer, spans, sent, 1))
        )
        sent++
      }
    }
  }
  return withOrigin(segments, elements)
}

const nothingBad: ReadonlyMap<number, ScoreError> = new Map()

/** Scores the rows that can be sent; the others fail alone. */
const scoreSifted = <A>(run: Run, shape: Shape<A>, segments: Rows<A>): Effect.Effect<Elements<A>, ScoreError> => {
  const { bad, good } = sift(run, shape, segments)
  const batch = toBatch(run, shape, good)
  if (Result.isFailure(batch)) return Effect.fail(batch.failure)
  const { spans } = batch.success
  return good.length === 0
    ? Effect.succeed(toElements(shape, segments, bad, new Float32Array(0), spans))
    : Effect.map(run.send(batch.success), (answer) => toElements(shape, segments, bad, answer, spans))
}

const scoreRows = <A>(run: Run, shape: Shape<A>, segments: Rows<A>): Effect.Effect<Elements<A>, ScoreError> => {
  const batch = toBatch(run, shape, segments)
  if (Result.isFailure(batch)) {
    return run.handled(batch.failure) ? scoreSifted(run, shape, segments) : Effect.fail(batch.failure)
  }
  return Effect.map(run.send(batch.success), (answer) =>
    answer instanceof Float32Array
      ? toRows(shape, segments, answer)
      : toElements(shape, segments, nothingBad, answer, batch.success.spans)
  )
}

export const score = <A extends Record<string, unknown>, E, R>(
  self: Dataset.Dataset<A, E, R>,
  options: Options & { readonly vector: string | ((row: A) => Vector) }
) => {
  const { as = "score", threshold, vector } = options
  const shape: Shape<A> = {
    vectorOf: typeof vector === "function" ? vector : (row: A) => row[vector],
    add:
      threshold === undefined
        ? (row, value) => ({ ...row, [as]: value })
        : (row, value) => ({ ...row, [as]: value, class: value >= threshold })
  }
  return scored(self, { name: "Score" }, options, (run) =>
    Effect.succeed({
      groups: (stream) =>
        run.group(stream, {
          of: (values): ReadonlyArray<ReadonlyArray<A>> => [values],
          size: (block) => block.length,
          features: ([row]) => {
            const value = row === undefined ? undefined : shape.vectorOf(row)
            return value instanceof Float32Array ? value.length : 1
          }
        }),
      score: (segments: Rows<A>) => scoreRows(run, shape, segments),
      finish: (elements: Elements<A>) => elements
    })
  )
}
