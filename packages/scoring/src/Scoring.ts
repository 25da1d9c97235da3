/**
 * The operators that score a dataset.
 *
 * Rows are grouped into matrices, a bounded number of which is on its way to the model at once. A slow model stops the reader
 * and a slow writer stops the requests. The first failure interrupts all requests in flight; a partition ends only when every
 * answer has arrived.
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
import { Duration, Effect, Stream } from "effect"
import { dual } from "effect/Function"
import * as Batch from "./Batch.ts"
import { group, type Segment } from "./internal/batcher.ts"
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
  /** Keep the order of the rows. `false` gives results as they arrive. Default `true`. */
  readonly ordered?: boolean | undefined
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

    const toBatch = Effect.fnUntraced(function* (
      scorer: Scorer["Service"],
      segments: ReadonlyArray<Segment<ReadonlyArray<A>>>,
      task: TaskContext
    ): Effect.fn.Return<Batch.Batch, ScoreError> {
      const vectors: Array<Vector> = []
      const spans = segments.map((segment) => spanOf(segment, task))
      for (const { block, count, start } of segments) {
        for (let i = start; i < start + count; i++) {
          const row = block[i]
          const value = row === undefined ? undefined : vectorOf(row)
          if (!(value instanceof Float32Array)) {
            return yield* failure(
              scorer.describe,
              Batch.rangeAt(spans, vectors.length),
              new NotAVector({ detail: `expected a Float32Array, got ${value === null ? "null" : typeof value}` })
            )
          }
          vectors.push(value)
        }
      }
      const features = scorer.features() ?? vectors[0]?.length ?? 0
      const values = Batch.matrix(vectors, features)
      return typeof values === "number"
        ? yield* failure(
            scorer.describe,
            Batch.rangeAt(spans, values),
            new VectorLength({ expected: features, found: vectors[values]?.length ?? 0 })
          )
        : { rows: vectors.length, features, values, spans }
    })

    const toRows = (segments: ReadonlyArray<Segment<ReadonlyArray<A>>>, scores: Float32Array): ReadonlyArray<A> => {
      const rows: Array<A> = []
      for (const { block, count, start } of segments) {
        for (let i = start; i < start + count; i++) {
          const row = block[i]
          if (row !== undefined) rows.push(add(row, scores[rows.length] ?? 0))
        }
      }
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

    const partition = (rows: Stream.Stream<A, E, R>, task: TaskContext) =>
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
          return Stream.mapEffect(
            groups,
            ({ segments }) =>
              Effect.flatMap(toBatch(scorer, segments, task), (batch) =>
                Effect.map(counted(scorer, batch), (scores) => toRows(segments, scores))
              ),
            { concurrency: scorer.concurrency, unordered: options.ordered === false }
          ).pipe(flatten)
        })
      )
    return Dataset.mapPartitions(self, partition, { name: "Score", oneToOne: true })
  }
)

// As `Stream.flattenArray`, but the arrays themselves are passed on, and with them their origins.
const flatten = <A, E, R>(self: Stream.Stream<ReadonlyArray<A>, E, R>): Stream.Stream<A, E, R> =>
  Stream.flattenArray(Stream.filter(self, isNonEmpty))

const isNonEmpty = <A>(values: ReadonlyArray<A>): values is readonly [A, ...Array<A>] => values.length > 0

interface Pending {
  readonly record: RecordBatch
  readonly column: VectorColumn
  readonly scores: Float32Array
  left: number
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
    const ordered = options.ordered !== false
    const added = options.threshold === undefined ? [as] : [as, "class"]

    const toBatch = (
      scorer: Scorer["Service"],
      segments: ReadonlyArray<Segment<Pending>>,
      task: TaskContext
    ): Effect.Effect<Batch.Batch, ScoreError> => {
      const spans = segments.map((segment) => ({ ...spanOf(segment, task), origin: Origin.of(segment.block.record) }))
      const first = segments.find(({ count }) => count > 0)
      if (first === undefined) return Effect.succeed(Batch.make(new Float32Array(0), 0))
      const features = scorer.features() ?? first.block.column.lengthOf(first.start)
      let rows = 0
      for (const { block, count, start } of segments) {
        for (let i = start; i < start + count; i++, rows++) {
          const found = block.column.lengthOf(i)
          if (found === features && found >= 0) continue
          const reason =
            found < 0
              ? new NotAVector({ detail: `column "${options.vector}" is null` })
              : new VectorLength({ expected: features, found })
          return Effect.fail(failure(scorer.describe, Batch.rangeAt(spans, rows), reason))
        }
      }
      if (segments.length === 1) {
        const values = first.block.column.values(first.start, first.count, features)
        return Effect.succeed({ rows, features, values, spans })
      }
      const values = new Float32Array(rows * features)
      let at = 0
      for (const { block, count, start } of segments) {
        values.set(block.column.values(start, count, features), at)
        at += count * features
      }
      return Effect.succeed({ rows, features, values, spans })
    }

    const partition = (records: Stream.Stream<RecordBatch, E, R>, task: TaskContext) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const scorer = yield* Scorer
          yield* checkBatch(options.batch, scorer)
          const arrow = yield* Effect.promise(() => import("apache-arrow"))

          const open = Effect.fnUntraced(function* (record: RecordBatch): Effect.fn.Return<Pending, ScoreError> {
            const column = vectorColumn(arrow, record, options.vector)
            const taken = record.schema.fields.find((field) => added.includes(field.name))
            if (typeof column !== "string" && taken === undefined) {
              return { record, column, scores: new Float32Array(record.numRows), left: record.numRows }
            }
            const origin = Origin.of(record)
            const spans = [{ origin, start: 0, count: record.numRows, partition: task.partition, position: 0 }]
            const reason =
              typeof column === "string"
                ? new NotAVector({ detail: column })
                : new BadSetup({ detail: `there is a column "${taken?.name}" already; name the score with \`as\`` })
            return yield* failure(scorer.describe, Batch.ranges(spans), reason)
          })

          const groups = group(Stream.mapEffect(records, open), {
            blocks: (values) => values,
            size: (pending: Pending) => pending.record.numRows,
            limit: (pending) => limitOf(options.batch, pending.column.lengthOf(0)),
            linger: lingerOf(options.batch)
          })
          // The record batches whose last row this was.
          const done = (
            segments: ReadonlyArray<Segment<Pending>>,
            scores: Float32Array
          ): ReadonlyArray<RecordBatch> => {
            const finished: Array<RecordBatch> = []
            let at = 0
            for (const { block, count, start } of segments) {
              block.scores.set(scores.subarray(at, at + count), start)
              at += count
              block.left -= count
              // In order, answers of later rows may be here before those of earlier ones, but they are handed on after them.
              if (block.left === 0) {
                finished.push(
                  Origin.attach(
                    withScores(arrow, block.record, block.scores, as, options.threshold),
                    Origin.of(block.record)
                  )
                )
              }
            }
            return finished
          }
          const scored = Stream.mapEffect(
            groups,
            ({ segments }) =>
              Effect.flatMap(toBatch(scorer, segments, task), (batch) =>
                Effect.map(
                  batch.rows === 0 ? Effect.succeed(new Float32Array(0)) : counted(scorer, batch),
                  (scores) => ({ segments, scores })
                )
              ),
            { concurrency: scorer.concurrency, unordered: !ordered }
          )
          return flatten(Stream.map(scored, ({ scores, segments }) => done(segments, scores)))
        })
      )
    return Dataset.mapPartitions(self, partition, { name: "ScoreBatches", oneToOne: true })
  }
)
