/**
 * The operators that score a dataset.
 *
 * Rows are grouped into matrices, a bounded number of which is on its way to the model at once. A slow model stops the reader
 * and a slow writer stops the requests. The first failure interrupts all requests in flight, unless a `Dataset.catchTag` handles it:
 * then the rows of that batch go to the handler and the others on. A partition ends only when every answer has arrived.
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
import * as Dataset from "@sluice/core/Dataset"
import * as Origin from "@sluice/core/Origin"
import type { TaskContext } from "@sluice/core/TaskContext"
import type { RecordBatch } from "apache-arrow"
import { Duration, Effect, Result, Stream } from "effect"
import { dual } from "effect/Function"
import * as Batch from "./Batch.ts"
import { group, type Segment } from "./internal/batcher.ts"
import { partOf } from "./internal/failures.ts"
import { type VectorColumn, vectorColumn, withScores } from "./internal/columns.ts"
import { rowsAtFault, wrongCount } from "./internal/scores.ts"
import { BadSetup, NotAVector, type Reason, ScoreError, VectorLength } from "./ScoreError.ts"
import { Scorer } from "./Scorer.ts"

/**
 * When a matrix is full.
 *
 * @category models
 * @since 0.1.0
 */
export interface BatchOptions {
  /** Most rows of a request. Default 1000. */
  readonly rows?: number | undefined
  /** Most bytes of the vectors of a request; a single vector may be larger. Default 4 MiB. */
  readonly bytes?: number | undefined
  /** How long rows wait for more rows when the source is slow. Default 100 ms. */
  readonly linger?: Duration.Input | undefined
}

/**
 * Settings that {@link score} and {@link scoreBatches} share.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Name of the score. Default `score`. */
  readonly as?: string | undefined
  readonly batch?: BatchOptions | undefined
  /** Emit results as they arrive. Default `false`: in the order of the rows. */
  readonly unordered?: boolean | undefined
  /** Adds `class`: whether the score is at least this. */
  readonly threshold?: number | undefined
}

/**
 * What scoring adds to a row.
 *
 * @category models
 * @since 0.1.0
 */
export type Added<O extends Options> = {
  readonly [K in O extends { readonly as: infer As extends string } ? As : "score"]: number
} & (O extends { readonly threshold: number } ? { readonly class: boolean } : unknown)

/** A `Float32Array`, whatever memory it lies in. */
type Vector = Float32Array<ArrayBufferLike>

const failure = (endpoint: string, rows: ScoreError["rows"], reason: Reason): ScoreError =>
  new ScoreError({ endpoint, attempt: 0, rows, reason })

/** Fails on batch options that no batch could keep to. */
const checkBatch = (options: BatchOptions | undefined, scorer: Scorer["Service"]): Effect.Effect<void, ScoreError> => {
  const { bytes = 1, rows = 1 } = options ?? {}
  if (!(Number.isInteger(rows) && rows > 0)) {
    const detail = `batch.rows must be a whole number above 0, got ${rows}`
    return Effect.fail(failure(scorer.describe, [], new BadSetup({ detail })))
  }
  if (!(bytes > 0)) {
    return Effect.fail(
      failure(scorer.describe, [], new BadSetup({ detail: `batch.bytes must be above 0, got ${bytes}` }))
    )
  }
  return Effect.void
}

const limitOf = (options: BatchOptions | undefined, features: number): number =>
  Math.max(
    1,
    Math.min(options?.rows ?? 1000, Math.floor((options?.bytes ?? 4 * 1024 * 1024) / (4 * Math.max(1, features))))
  )

const lingerOf = (options: BatchOptions | undefined): number => Duration.toMillis(options?.linger ?? "100 millis")

const notAVector = (value: unknown): NotAVector =>
  new NotAVector({
    detail:
      value instanceof Float32Array
        ? "the vector is empty"
        : `expected a Float32Array, got ${value === null ? "null" : typeof value}`
  })

// A scorer may be anybody's.
const counted = (scorer: Scorer["Service"], batch: Batch.Batch): Effect.Effect<Float32Array, ScoreError> =>
  Effect.flatMap(scorer.score(batch), (scores) => {
    const reason = wrongCount(scores, batch.rows)
    return reason === undefined
      ? Effect.succeed(scores)
      : Effect.fail(new ScoreError({ endpoint: scorer.describe, attempt: 1, rows: rowsAtFault(reason, batch), reason }))
  })

const spanOf = (segment: Segment<object>, task: TaskContext): Batch.Span => ({
  origin: Origin.of(segment.block),
  start: segment.start,
  count: segment.count,
  partition: task.partition,
  position: segment.position
})

/**
 * Scores every row: `vector` names the field with the features or computes them, the score is added under `as`.
 *
 * **Details**
 *
 * Vectors that lie next to each other in memory, as those of a Parquet file do, are sent without being copied. Each task has at
 * most as many matrices under way as the scorer allows requests in flight, and all tasks of an executor share those.
 *
 * Where a `Dataset.catchTag("ScoreError", ...)` follows, the handler is asked once for each row of a batch that could not be scored,
 * with an error that names that row, and its answer takes the row's place; a row whose vector cannot be sent fails alone. Where
 * none follows, the first failure ends the partition at once. Settings that make no sense (`BadSetup`) always do.
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
  ): <A extends { readonly [P in K]: Vector }, E, R>(
    self: Dataset.Dataset<A, E, R>
  ) => Dataset.Dataset<A & Added<O>, E | ScoreError, R | Scorer>
  <A extends object, const O extends Options>(
    options: O & { readonly vector: (row: A) => Vector }
  ): <E, R>(self: Dataset.Dataset<A, E, R>) => Dataset.Dataset<A & Added<O>, E | ScoreError, R | Scorer>
  <A extends { readonly [P in K]: Vector }, E, R, const K extends string, const O extends Options>(
    self: Dataset.Dataset<A, E, R>,
    options: O & { readonly vector: K }
  ): Dataset.Dataset<A & Added<O>, E | ScoreError, R | Scorer>
  <A extends object, E, R, const O extends Options>(
    self: Dataset.Dataset<A, E, R>,
    options: O & { readonly vector: (row: A) => Vector }
  ): Dataset.Dataset<A & Added<O>, E | ScoreError, R | Scorer>
} = dual(
  2,
  <A extends Record<string, unknown>, E, R>(
    self: Dataset.Dataset<A, E, R>,
    options: Options & { readonly vector: string | ((row: A) => Vector) }
  ): Dataset.Dataset<A, E | ScoreError, R | Scorer> => {
    const { threshold, vector } = options
    const as = options.as ?? "score"
    const vectorOf = typeof vector === "function" ? vector : (row: A) => row[vector]
    const add: (row: A, score: number) => A =
      threshold === undefined
        ? (row, score) => ({ ...row, [as]: score })
        : (row, score) => ({ ...row, [as]: score, class: score >= threshold })

    type Rows = ReadonlyArray<Segment<ReadonlyArray<A>>>

    const toBatch = (
      scorer: Scorer["Service"],
      segments: Rows,
      task: TaskContext
    ): Result.Result<Batch.Batch, ScoreError> => {
      const vectors: Array<Vector> = []
      const spans = segments.map((segment) => spanOf(segment, task))
      const refuse = (row: number, reason: Reason) =>
        Result.fail(failure(scorer.describe, Batch.rangeAt(spans, row), reason))
      for (const { block, count, start } of segments) {
        for (let i = start; i < start + count; i++) {
          const row = block[i]
          const value = row === undefined ? undefined : vectorOf(row)
          if (!(value instanceof Float32Array)) return refuse(vectors.length, notAVector(value))
          vectors.push(value)
        }
      }
      const features = scorer.features() ?? vectors[0]?.length ?? 0
      const values = Batch.matrix(vectors, features)
      return typeof values === "number"
        ? refuse(values, new VectorLength({ expected: features, found: vectors[values]?.length ?? 0 }))
        : Result.succeed({ rows: vectors.length, features, values, spans })
    }

    // The rows that can be sent, and what is wrong with the others, by their index.
    const sift = (scorer: Scorer["Service"], segments: Rows, task: TaskContext) => {
      const good: Array<Segment<ReadonlyArray<A>>> = []
      const bad = new Map<number, ScoreError>()
      let expected = scorer.features()
      let index = 0
      for (const segment of segments) {
        const { block, count, position, start } = segment
        const spans = [spanOf(segment, task)]
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
          bad.set(index, failure(scorer.describe, Batch.rangeAt(spans, i), reason))
          runUntil(i)
        }
        runUntil(count)
      }
      return { good, bad }
    }

    const withOrigin = <B>(segments: Rows, rows: ReadonlyArray<B>): ReadonlyArray<B> => {
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

    const toRows = (segments: Rows, scores: Float32Array): ReadonlyArray<A> => {
      const rows: Array<A> = []
      for (const { block, count, start } of segments) {
        for (let i = start; i < start + count; i++) {
          const row = block[i]
          if (row !== undefined) rows.push(add(row, scores[rows.length] ?? 0))
        }
      }
      return withOrigin(segments, rows)
    }

    // The same where rows failed, each in its place: some before they were sent, or all that were sent.
    const toElements = (
      segments: Rows,
      bad: ReadonlyMap<number, ScoreError>,
      scored: Float32Array | ScoreError,
      spans: ReadonlyArray<Batch.Span>
    ): ReadonlyArray<A | Dataset.FailedElement<ScoreError>> => {
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
              scored instanceof Float32Array
                ? add(row, scored[sent] ?? 0)
                : Dataset.failed(partOf(scored, spans, sent, 1))
            )
            sent++
          }
        }
      }
      return withOrigin(segments, elements)
    }

    const nothingBad: ReadonlyMap<number, ScoreError> = new Map()

    const partition = (rows: Stream.Stream<A, E, R>, task: TaskContext, handled: (error: unknown) => boolean) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const scorer = yield* Scorer
          yield* checkBatch(options.batch, scorer)
          const groups = group(rows, {
            blocks: (values) => [values],
            size: (block: ReadonlyArray<A>) => block.length,
            limit: ([row]) => {
              const value = row === undefined ? undefined : vectorOf(row)
              return limitOf(options.batch, value instanceof Float32Array ? value.length : 1)
            },
            linger: lingerOf(options.batch)
          })
          const sifted = (segments: Rows) => {
            const { bad, good } = sift(scorer, segments, task)
            const batch = toBatch(scorer, good, task)
            if (Result.isFailure(batch)) return Effect.fail(batch.failure)
            const { spans } = batch.success
            return good.length === 0
              ? Effect.succeed(toElements(segments, bad, new Float32Array(0), spans))
              : Effect.map(Effect.result(counted(scorer, batch.success)), (scored) =>
                  toElements(segments, bad, Result.isSuccess(scored) ? scored.success : scored.failure, spans)
                )
          }
          return Stream.mapEffect(
            groups,
            ({ segments }): Effect.Effect<ReadonlyArray<A | Dataset.FailedElement<ScoreError>>, ScoreError> => {
              const batch = toBatch(scorer, segments, task)
              if (Result.isFailure(batch)) return handled(batch.failure) ? sifted(segments) : Effect.fail(batch.failure)
              return Effect.matchEffect(counted(scorer, batch.success), {
                onSuccess: (scores) => Effect.succeed(toRows(segments, scores)),
                // Where nobody handles it, the first failure ends the partition at once, whatever comes before it in order.
                onFailure: (error) =>
                  handled(error)
                    ? Effect.succeed(toElements(segments, nothingBad, error, batch.success.spans))
                    : Effect.fail(error)
              })
            },
            { concurrency: scorer.concurrency, unordered: options.unordered ?? false }
          ).pipe(flatten)
        })
      )
    return Dataset.mapPartitionsWithFailures(self, partition, { name: "Score" })
  }
)

// As `Stream.flattenArray`, but the arrays themselves are passed on, and with them their origins.
const flatten = <A, E, R>(self: Stream.Stream<ReadonlyArray<A>, E, R>): Stream.Stream<A, E, R> =>
  Stream.flattenArray(Stream.filter(self, isNonEmpty))

const isNonEmpty = <A>(values: ReadonlyArray<A>): values is readonly [A, ...Array<A>] => values.length > 0

interface Pending {
  readonly record: RecordBatch
  /** `undefined` where the record batch failed before any of its rows was sent. */
  readonly column: VectorColumn | undefined
  readonly scores: Float32Array
  left: number
  /** Why not all of its rows have scores. */
  error: ScoreError | undefined
}

const firstLength = ({ column }: Pending): number => {
  for (let row = 0; column !== undefined && row < column.rows; row++) {
    const length = column.lengthOf(row)
    if (length > 0) return length
  }
  return 0
}

/**
 * Scores every row of Arrow record batches: the scores are a new float32 column `as`, the last one (before `class`, where there
 * is a threshold); the other columns stay as they are.
 *
 * **Details**
 *
 * `vector` names a column of type list or fixed-size list of float, whose memory is sent as it is, or of double, which is
 * converted. Requests reach over the borders of record batches, at the price of a copy. Null vectors, vectors of another length
 * and missing columns fail with the row.
 *
 * An element is a record batch. Where a `Dataset.catchTag("ScoreError", ...)` follows, its handler is asked once for each record
 * batch that has rows without a score, with an error that names the first of them; the scores of its other rows are lost.
 *
 * @category combinators
 * @since 0.1.0
 */
export const scoreBatches: {
  (
    options: Options & { readonly vector: string }
  ): <E, R>(self: Dataset.Dataset<RecordBatch, E, R>) => Dataset.Dataset<RecordBatch, E | ScoreError, R | Scorer>
  <E, R>(
    self: Dataset.Dataset<RecordBatch, E, R>,
    options: Options & { readonly vector: string }
  ): Dataset.Dataset<RecordBatch, E | ScoreError, R | Scorer>
} = dual(
  2,
  <E, R>(
    self: Dataset.Dataset<RecordBatch, E, R>,
    options: Options & { readonly vector: string }
  ): Dataset.Dataset<RecordBatch, E | ScoreError, R | Scorer> => {
    const as = options.as ?? "score"
    const unordered = options.unordered ?? false
    const added = options.threshold === undefined ? [as] : [as, "class"]

    // What is wrong with the first vector of a segment that cannot be sent.
    const fault = (
      { block: { column, record }, count, position, start }: Segment<Pending>,
      expected: number,
      describe: string,
      task: TaskContext
    ): ScoreError | undefined => {
      for (let i = start; column !== undefined && i < start + count; i++) {
        const found = column.lengthOf(i)
        if (found === expected && found >= 0) continue
        const reason =
          found < 0
            ? new NotAVector({ detail: `column "${options.vector}" is null` })
            : new VectorLength({ expected, found })
        const origin = Origin.of(record)
        return failure(
          describe,
          Batch.rangeAt([{ origin, start, count, partition: task.partition, position }], i - start),
          reason
        )
      }
      return undefined
    }

    const toBatch = (segments: ReadonlyArray<Segment<Pending>>, features: number, task: TaskContext): Batch.Batch => {
      const spans = segments.map((segment) => ({ ...spanOf(segment, task), origin: Origin.of(segment.block.record) }))
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

    const partition = (
      records: Stream.Stream<RecordBatch, E, R>,
      task: TaskContext,
      handled: (error: unknown) => boolean
    ) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const scorer = yield* Scorer
          yield* checkBatch(options.batch, scorer)
          const arrow = yield* Effect.promise(() => import("apache-arrow"))

          const open = (record: RecordBatch): Effect.Effect<Pending, ScoreError> => {
            const column = vectorColumn(arrow, record, options.vector)
            const taken = record.schema.fields.find((field) => added.includes(field.name))
            if (typeof column !== "string" && taken === undefined) {
              const scores = new Float32Array(record.numRows)
              return Effect.succeed({ record, column, scores, left: record.numRows, error: undefined })
            }
            const origin = Origin.of(record)
            const spans = [{ origin, start: 0, count: record.numRows, partition: task.partition, position: 0 }]
            const reason =
              typeof column === "string"
                ? new NotAVector({ detail: column })
                : new BadSetup({ detail: `there is a column "${taken?.name}" already; name the score with \`as\`` })
            const error = failure(scorer.describe, Batch.ranges(spans), reason)
            // Nothing of it is sent: for the batcher it has no rows.
            return typeof column === "string" && handled(error)
              ? Effect.succeed({ record, column: undefined, scores: new Float32Array(0), left: 0, error })
              : Effect.fail(error)
          }

          const groups = group(Stream.mapEffect(records, open), {
            blocks: (values) => values,
            size: (pending: Pending) => pending.left,
            limit: (pending) => limitOf(options.batch, scorer.features() ?? firstLength(pending)),
            linger: lingerOf(options.batch)
          })

          const scoreGroup = (segments: ReadonlyArray<Segment<Pending>>): Effect.Effect<void, ScoreError> => {
            const full = segments.filter(({ block, count }) => count > 0 && block.error === undefined)
            const [first] = full
            if (first === undefined) return Effect.void
            const features = scorer.features() ?? firstLength(first.block)
            for (const segment of full) {
              const error = fault(segment, features, scorer.describe, task)
              if (error === undefined) continue
              if (!handled(error)) return Effect.fail(error)
              segment.block.error ??= error
            }
            const sent = full.filter(({ block }) => block.error === undefined)
            if (sent.length === 0) return Effect.void
            const batch = toBatch(sent, features, task)
            return Effect.matchEffect(counted(scorer, batch), {
              onSuccess: (scores) => {
                let at = 0
                for (const { block, count, start } of sent) {
                  block.scores.set(scores.subarray(at, at + count), start)
                  at += count
                }
                return Effect.void
              },
              onFailure: (error) => {
                if (!handled(error)) return Effect.fail(error)
                let at = 0
                for (const { block, count } of sent) {
                  block.error ??= partOf(error, batch.spans, at, count)
                  at += count
                }
                return Effect.void
              }
            })
          }

          // The record batches whose last row this was. In order, answers of later rows may be here before those of earlier ones,
          // but they are handed on after them.
          const done = (segments: ReadonlyArray<Segment<Pending>>) => {
            const finished: Array<RecordBatch | Dataset.FailedElement<ScoreError>> = []
            for (const { block, count } of segments) {
              block.left -= count
              if (block.left > 0) continue
              const { error, record, scores } = block
              finished.push(
                error === undefined
                  ? Origin.attach(withScores(arrow, record, scores, as, options.threshold), Origin.of(record))
                  : Dataset.failed(error, record.numRows)
              )
            }
            return finished
          }
          const scored = Stream.mapEffect(groups, ({ segments }) => Effect.as(scoreGroup(segments), segments), {
            concurrency: scorer.concurrency,
            unordered
          })
          return flatten(Stream.map(scored, done))
        })
      )
    return Dataset.mapPartitionsWithFailures(self, partition, { name: "ScoreBatches" })
  }
)
