/**
 * The common part of scoring rows and scoring record batches: from the stream of a partition to the stream of its
 * scored elements.
 */
import * as Dataset from "@sluice/core/Dataset"
import type * as Origin from "@sluice/core/Origin"
import type { TaskContext } from "@sluice/core/TaskContext"
import { Duration, Effect, Stream } from "effect"
import type * as Batch from "../Batch.ts"
import { BadSetup, type Reason, ScoreError } from "../ScoreError.ts"
import { Scorer } from "../Scorer.ts"
import { group, type Group, type Segment } from "./batcher.ts"
import type { BatchOptions, Options } from "./options.ts"
import { rowsAtFault, wrongCount } from "./scores.ts"

/** How rows lie in blocks. */
interface Blocks<A, B> {
  /** The blocks in an array that the stream emits. */
  readonly of: (values: readonly [A, ...Array<A>]) => ReadonlyArray<B>
  readonly size: (block: B) => number
  /** Numbers in a row of a block. */
  readonly features: (block: B) => number
}

/** What differs between rows and record batches. */
interface Steps<A, B, S, C> {
  readonly groups: <E, R>(stream: Stream.Stream<A, E, R>) => Stream.Stream<Group<B>, E | ScoreError, R>
  /** Scores a group, several at once. */
  readonly score: (segments: ReadonlyArray<Segment<B>>) => Effect.Effect<S, ScoreError>
  /** The elements that are now complete. Called in the order in which the groups are passed on. */
  readonly finish: (scored: S) => ReadonlyArray<C | Dataset.FailedElement<ScoreError>>
}

/** Scores each partition of a dataset. */
export const scored = <A, E, R, B, S, C>(
  self: Dataset.Dataset<A, E, R>,
  step: { readonly name: string; readonly reads?: ReadonlyArray<string> | undefined },
  options: Options,
  stepsOf: (run: Run) => Effect.Effect<Steps<A, B, S, C>>
) =>
  Dataset.mapPartitionsWithFailures(
    self,
    (stream: Stream.Stream<A, E, R>, task, handled) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const scorer = yield* Scorer
          const run = new Run(scorer, task, handled, options.batch ?? {})
          yield* run.check
          const { finish, groups, score } = yield* stepsOf(run)
          const answers = Stream.mapEffect(groups(stream), ({ segments }) => score(segments), {
            concurrency: scorer.concurrency,
            unordered: options.unordered ?? false
          })
          return flatten(Stream.map(answers, finish))
        })
      ),
    step
  )

// As `Stream.flattenArray`, but it passes on the arrays themselves, and so their origins.
const flatten = <A, E, R>(self: Stream.Stream<ReadonlyArray<A>, E, R>): Stream.Stream<A, E, R> =>
  Stream.flattenArray(Stream.filter(self, isNonEmpty))

const isNonEmpty = <A>(values: ReadonlyArray<A>): values is readonly [A, ...Array<A>] => values.length > 0

/** The scoring of one partition. */
export class Run {
  readonly scorer: Scorer["Service"]
  /** Whether a `Dataset.catch` takes an error. */
  readonly handled: (error: unknown) => boolean
  private readonly task: TaskContext
  private readonly options: BatchOptions

  constructor(
    scorer: Scorer["Service"],
    task: TaskContext,
    handled: (error: unknown) => boolean,
    options: BatchOptions
  ) {
    this.scorer = scorer
    this.task = task
    this.handled = handled
    this.options = options
  }

  /** The error of rows that are not sent. */
  failure(rows: ScoreError["rows"], reason: Reason): ScoreError {
    return new ScoreError({ endpoint: this.scorer.describe, attempt: 0, rows, reason })
  }

  /** Fails on batch options that no batch could satisfy. */
  get check(): Effect.Effect<void, ScoreError> {
    const { bytes = 1, rows = 1 } = this.options
    const refuse = (detail: string) => Effect.fail(this.failure([], new BadSetup({ detail })))
    if (!(Number.isInteger(rows) && rows > 0)) return refuse(`batch.rows must be a whole number above 0, got ${rows}`)
    return bytes > 0 ? Effect.void : refuse(`batch.bytes must be above 0, got ${bytes}`)
  }

  /** The rows of a segment as an error names them. */
  span({ count, position, start }: Segment<unknown>, origin: Origin.Origin | undefined): Batch.Span {
    return { origin, start, count, partition: this.task.partition, position }
  }

  /** Cuts the blocks of a stream into the groups that are sent. */
  group<A, B, E, R>(stream: Stream.Stream<A, E, R>, blocks: Blocks<A, B>): Stream.Stream<Group<B>, E, R> {
    const { bytes = 4 * 1024 * 1024, linger = "100 millis", rows = 1000 } = this.options
    return group(stream, {
      blocks: blocks.of,
      size: blocks.size,
      limit: (block) => Math.max(1, Math.min(rows, Math.floor(bytes / (4 * Math.max(1, blocks.features(block)))))),
      linger: Duration.toMillis(linger)
    })
  }

  /**
   * The scores of a batch, or why it has none if something handles that. If nothing does, the first failure ends the
   * partition.
   */
  send(batch: Batch.Batch): Effect.Effect<Float32Array | ScoreError, ScoreError> {
    return Effect.matchEffect(counted(this.scorer, batch), {
      onSuccess: Effect.succeed,
      onFailure: (error) => (this.handled(error) ? Effect.succeed(error) : Effect.fail(error))
    })
  }
}

// Checked because anybody may have written the scorer.
const counted = (scorer: Scorer["Service"], batch: Batch.Batch): Effect.Effect<Float32Array, ScoreError> =>
  Effect.flatMap(scorer.score(batch), (scores) => {
    const reason = wrongCount(scores, batch.rows)
    return reason === undefined
      ? Effect.succeed(scores)
      : Effect.fail(new ScoreError({ endpoint: scorer.describe, attempt: 1, rows: rowsAtFault(reason, batch), reason }))
  })
