import { Context, type Effect, Layer, type Stream, type Types } from "effect"
import { dual } from "effect/Function"
import { Failed } from "../../task/internal/failed.ts"
import type { TaskContext } from "../../task/TaskContext.ts"
import { type Dataset, isDataset, narrow } from "./model.ts"

/**
 * Settings of {@link mapPartitionsWithFailures}.
 *
 * @category models
 * @since 0.1.0
 */
export interface FailuresOptions {
  /** As `explain` prints it. Default `MapPartitions`. */
  readonly name?: string | undefined
  /** The columns that `f` uses. Default: all. A Parquet source directly below the step reads only these. */
  readonly reads?: ReadonlyArray<string> | undefined
}

/**
 * Transforms the stream of each partition when single elements may fail: `f` yields one element for each that it gets,
 * or a {@link FailedElement} in its place. {@link catch_ | Dataset.catch} handles those, and the partition continues;
 * if nothing handles them, the first one ends the partition.
 *
 * **When to use**
 *
 * Use for work on many elements at once that can fail for some of them, such as requests that carry many rows each. A
 * failure of `f`'s own stream ends the partition, whatever handlers there are. `handled` says whether a `Dataset.catch`
 * handles an error: if none does, `f` may as well fail at once.
 *
 * **Gotchas**
 *
 * Elements that failed before this step bypass it: `f` does not see them, and they come after the elements that `f` was
 * working on.
 *
 * **Example** (Failing an element and going on)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect, Stream } from "effect"
 *
 * const halves = Dataset.make(2, 3, 4).pipe(
 *   Dataset.mapPartitionsWithFailures((rows) =>
 *     Stream.map(rows, (n) => n % 2 === 0 ? n / 2 : Dataset.failed(`${n} is odd` as const))
 *   ),
 *   Dataset.catch((reason) => Effect.succeed(reason)),
 *   Dataset.collect
 * )
 *
 * await Effect.runPromise(Effect.provide(halves, Engine.layer)) // => [1, "3 is odd", 2]
 * ```
 *
 * @category transforming
 * @since 0.1.0
 */
export const mapPartitionsWithFailures: {
  <A, E, R, B, F, E2, R2>(
    f: (
      rows: Stream.Stream<A, E, R>,
      task: TaskContext,
      handled: (error: unknown) => boolean
    ) => Stream.Stream<B | FailedElement<F>, E2, R2>,
    options?: FailuresOptions
  ): (self: Dataset<A, E, R>) => Dataset<Exclude<B, FailedElement<unknown>>, E | E2 | F, R | R2>
  <A, E, R, B, F, E2, R2>(
    self: Dataset<A, E, R>,
    f: (
      rows: Stream.Stream<A, E, R>,
      task: TaskContext,
      handled: (error: unknown) => boolean
    ) => Stream.Stream<B | FailedElement<F>, E2, R2>,
    options?: FailuresOptions
  ): Dataset<Exclude<B, FailedElement<unknown>>, E | E2 | F, R | R2>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, B, F, E2, R2>(
    self: Dataset<A, E, R>,
    f: (
      rows: Stream.Stream<A, E, R>,
      task: TaskContext,
      handled: (error: unknown) => boolean
    ) => Stream.Stream<B | FailedElement<F>, E2, R2>,
    options?: FailuresOptions
  ): Dataset<Exclude<B, FailedElement<unknown>>, E | E2 | F, R | R2> =>
    narrow(self, {
      _tag: "MapPartitions",
      name: options?.name ?? "MapPartitions",
      oneToOne: false,
      elementwise: true,
      reads: options?.reads,
      f
    })
)

/**
 * An element that failed, in the stream of {@link mapPartitionsWithFailures}.
 *
 * @category models
 * @since 0.1.0
 */
export type FailedElement<E> = Failed<E>

/**
 * Makes a failed element. If elements are record batches, `rows` says how many rows it stands for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failed = <E>(error: E, rows = 1): FailedElement<E> => new Failed(error, rows)

/**
 * Handles failures of the steps before it, one element at a time: the result of the handler takes the place of the
 * failed element, and the partition continues.
 *
 * **Gotchas**
 *
 * A failure of a partition's own stream (in `mapPartitions` or before it) does not belong to an element, and no rows
 * come after it. Instead of continuing without them, the job fails with a `JobError` of reason `PartitionFailed`.
 * Handle such a failure inside `mapPartitions`, or use {@link mapPartitionsWithFailures}. Failures of the engine
 * (unreadable input, lost executors) never reach the handler.
 *
 * **Example** (Replacing what does not parse)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const parse = (text: string) => text === "" ? Effect.fail("empty") : Effect.succeed(text.length)
 * const lengths = Dataset.make("ab", "", "abc").pipe(
 *   Dataset.mapEffect(parse),
 *   Dataset.catch(() => Effect.succeed(-1)),
 *   Dataset.collect
 * )
 *
 * await Effect.runPromise(Effect.provide(lengths, Engine.layer)) // => [2, -1, 3]
 * ```
 *
 * @category transforming
 * @since 0.1.0
 */
const catch_: {
  <E, B, E2, R2>(
    f: (error: E) => Effect.Effect<B, E2, R2>
  ): <A, R>(self: Dataset<A, E, R>) => Dataset<A | B, E2, R | R2>
  <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, f: (error: E) => Effect.Effect<B, E2, R2>): Dataset<A | B, E2, R | R2>
} = dual(
  2,
  <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, f: (error: E) => Effect.Effect<B, E2, R2>): Dataset<A | B, E2, R | R2> =>
    narrow(self, { _tag: "Catch", tag: undefined, f })
)
export { catch_ as catch }

/**
 * Handles the errors of one tag, as {@link catch} does.
 *
 * @category transforming
 * @since 0.1.0
 */
export const catchTag: {
  <E, const K extends Types.Tags<E>, B, E2, R2>(
    tag: K,
    f: (error: Types.ExtractTag<E, K>) => Effect.Effect<B, E2, R2>
  ): <A, R>(self: Dataset<A, E, R>) => Dataset<A | B, E2 | Types.ExcludeTag<E, K>, R | R2>
  <A, E, R, const K extends Types.Tags<E>, B, E2, R2>(
    self: Dataset<A, E, R>,
    tag: K,
    f: (error: Types.ExtractTag<E, K>) => Effect.Effect<B, E2, R2>
  ): Dataset<A | B, E2 | Types.ExcludeTag<E, K>, R | R2>
} = dual(
  3,
  <A, E, R, const K extends Types.Tags<E>, B, E2, R2>(
    self: Dataset<A, E, R>,
    tag: K,
    f: (error: Types.ExtractTag<E, K>) => Effect.Effect<B, E2, R2>
  ): Dataset<A | B, E2 | Types.ExcludeTag<E, K>, R | R2> => narrow(self, { _tag: "Catch", tag, f })
)

/**
 * Provides services to the steps before. The layer is built once per executor, at its first task that needs it, and released
 * when no run uses it any more.
 *
 * @category services
 * @since 0.1.0
 */
export const provide: {
  <ROut, E2, RIn>(
    layer: Layer.Layer<ROut, E2, RIn>
  ): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E | E2, RIn | Exclude<R, ROut>>
  <A, E, R, ROut, E2, RIn>(
    self: Dataset<A, E, R>,
    layer: Layer.Layer<ROut, E2, RIn>
  ): Dataset<A, E | E2, RIn | Exclude<R, ROut>>
} = dual(
  2,
  <A, E, R, ROut, E2, RIn>(
    self: Dataset<A, E, R>,
    layer: Layer.Layer<ROut, E2, RIn>
  ): Dataset<A, E | E2, RIn | Exclude<R, ROut>> => narrow(self, { _tag: "Provide", layer })
)

/**
 * Provides one existing service to the steps before.
 *
 * @category services
 * @since 0.1.0
 */
export const provideService: {
  <I, S>(key: Context.Key<I, S>, service: S): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E, Exclude<R, I>>
  <A, E, R, I, S>(self: Dataset<A, E, R>, key: Context.Key<I, S>, service: S): Dataset<A, E, Exclude<R, I>>
} = dual(3, <A, E, R, I, S>(self: Dataset<A, E, R>, key: Context.Key<I, S>, service: S): Dataset<A, E, Exclude<R, I>> =>
  provide(self, Layer.succeedContext(Context.make(key, service)))
)
