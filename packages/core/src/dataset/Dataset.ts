/**
 * A lazy, typed, partitioned collection: the value a program builds and an action runs.
 *
 * `Dataset<A, E, R>` holds a logical plan and nothing else. `A` is the type of its elements, `E` what the program's own
 * functions can fail with, `R` the services they need. Transformations return a new dataset; actions (`collect`, `count`,
 * `writeParquet`, ...) are `Effect`s that need an `Engine`.
 *
 * **Example** (Counting the even numbers)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const evens = Dataset.range(0, 1000, { partitions: 4 }).pipe(
 *   Dataset.filter((n) => n % 2 === 0),
 *   Dataset.count
 * )
 *
 * await Effect.runPromise(Effect.provide(evens, Engine.layer)) // => 500
 * ```
 *
 * @since 0.1.0
 */
import {
  type Array as Arr,
  Cause,
  Context,
  Effect,
  Layer,
  Option,
  Queue,
  type Result,
  type Schema,
  Stream,
  type Types
} from "effect"
import { dual } from "effect/Function"
import type { RecordBatch } from "apache-arrow"
import { Action, Engine } from "../engine/Action.ts"
import * as Commit from "../commit/Commit.ts"
import * as Condition from "../task/Condition.ts"
import type { Manifest, OutputOptions } from "../commit/Commit.ts"
import type { PartitionedReadOptions, Resolved, Source, Split, Writer } from "../task/Format.ts"
import * as Csv from "../formats/Csv.ts"
import * as JsonLines from "../formats/JsonLines.ts"
import * as Parquet from "../formats/Parquet.ts"
import * as Text from "../formats/Text.ts"
import { action, all, eachArray, mapAction, type Rows } from "./internal/action.ts"
import { checked, checkedAction } from "./internal/checked.ts"
import { writePartitioned } from "./internal/partitionBy.ts"
import { type Dataset, fromPlan, isDataset, narrow } from "./internal/model.ts"
import { bytes, firstOf, number, optional, type Problem, whole } from "../codec/internal/checks.ts"
import { estimateBytes } from "../codec/internal/estimate.ts"
import { Failed } from "../task/internal/failed.ts"
import { codecOf } from "../formats/internal/rows.ts"
import { type JobError, ResultTooLarge } from "../task/JobError.ts"
import * as Plan from "../plan/Plan.ts"
import type { TaskContext } from "../task/TaskContext.ts"

export { type Dataset, isDataset } from "./internal/model.ts"
export type { KeyOptions, PairOptions } from "./internal/exchange.ts"
export * from "./internal/caching.ts"
export * from "./internal/checkpoint.ts"
export * from "./internal/joins.ts"
export * from "./internal/keyed.ts"
export * from "./internal/lookup.ts"
export * from "./internal/partitions.ts"
export * from "./internal/stats.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Constructors
// ---------------------------------------------------------------------------------------------------------------------

/**
 * How many partitions a dataset made from memory has.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionOptions {
  /**
   * A whole number from 1 on, as everywhere: with another, actions fail with a `JobError` of reason `InvalidPlan`. Default 1. More
   * partitions than elements leaves some of them empty.
   */
  readonly partitions?: number | undefined
}

/**
 * A dataset that reads a {@link Source}.
 *
 * **When to use**
 *
 * Use to read something Sluice has no constructor for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromSource = <A>(source: Source<A>): Dataset<A> => fromPlan({ _tag: "Read", source })

const memorySplit = <A>(name: string, index: number, rows: number, read: Stream.Stream<A>): Split<A> => ({
  id: `${name}[${index}]`,
  label: `${name}[${index}]`,
  parts: [],
  bytes: 0,
  rows,
  hosts: [],
  read
})

const memorySource = <A>(
  name: string,
  detail: string,
  partitions: number,
  split: (index: number) => Split<A>
): Source<A> => ({
  name,
  detail,
  partitions,
  columns: undefined,
  resolve: () =>
    Effect.sync((): Resolved<A> => ({ splits: Array.from({ length: partitions }, (_, index) => split(index)) }))
})

// Naming the tuple makes tuples of array literals. `const` would as well, but keep the types `1` and `2` of the numbers: no
// function of numbers takes what is inferred from them.
type Tuples = {} | readonly []

/**
 * The elements of an iterable, cut into runs of equal size in order (as Spark's `parallelize`). The iterable is read once, at
 * the first action.
 *
 * **Example** (Two partitions)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const sum = Dataset.fromIterable([1, 2, 3], { partitions: 2 }).pipe(Dataset.fold(() => 0, (a, b) => a + b))
 *
 * await Effect.runPromise(Effect.provide(sum, Engine.layer)) // => 6
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromIterable: {
  <A extends Tuples>(iterable: Iterable<A>, options?: PartitionOptions): Dataset<A>
  <A>(iterable: Iterable<A>, options?: PartitionOptions): Dataset<A>
} = <A>(iterable: Iterable<A>, options?: PartitionOptions): Dataset<A> => {
  const partitions = options?.partitions ?? 1
  let values: ReadonlyArray<A> | undefined
  const all = () => (values ??= Array.isArray(iterable) ? iterable : Array.from(iterable))
  return checked("fromIterable", whole("partitions", partitions), () =>
    fromSource(
      memorySource("fromIterable", `in ${partitions}`, partitions, (index) => {
        const array = all()
        const start = Math.floor((index * array.length) / partitions)
        const end = Math.floor(((index + 1) * array.length) / partitions)
        return memorySplit("fromIterable", index, end - start, Stream.fromArray(array.slice(start, end)))
      })
    )
  )
}

/**
 * The elements given, in one partition. Literals have the types of their values, and array literals are tuples: `["a", 1]` is a
 * `[string, number]`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: {
  <As extends ReadonlyArray<Tuples>>(...values: As): Dataset<As[number]>
  <As extends ReadonlyArray<unknown>>(...values: As): Dataset<As[number]>
} = <As extends ReadonlyArray<unknown>>(...values: As): Dataset<As[number]> => fromIterable<As[number]>(values)

/**
 * A dataset without elements, in one partition.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: Dataset<never> = fromIterable<never>([])

const rangeArray = 8192

/**
 * The numbers from `start` up to but without `end`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const range = (
  start: number,
  end: number,
  options?: PartitionOptions & {
    /** Distance between two numbers, not 0. Default 1. */
    readonly step?: number | undefined
  }
): Dataset<number> => {
  const partitions = options?.partitions ?? 1
  const step = options?.step ?? 1
  const length = Math.max(0, Math.ceil((end - start) / step))
  const problem = firstOf(
    number("start", start),
    number("end", end),
    number("step", step),
    step === 0 ? "step is 0; it has to be another number" : undefined,
    whole("partitions", partitions),
    bytes("the number of elements", length, 0)
  )
  const source = () =>
    memorySource("range", `${start}..${end} by ${step} in ${partitions}`, partitions, (index) => {
      const from = Math.floor((index * length) / partitions)
      const to = Math.floor(((index + 1) * length) / partitions)
      const read = Stream.suspend(() => {
        let next = from
        return Stream.fromPull(
          Effect.succeed(
            Effect.suspend(() => {
              if (next >= to) return Cause.done()
              const size = Math.min(rangeArray, to - next)
              const values: Arr.NonEmptyArray<number> = [start + step * next]
              for (let i = 1; i < size; i++) values.push(start + step * (next + i))
              next += size
              return Effect.succeed(values)
            })
          )
        )
      })
      return memorySplit("range", index, to - from, read)
    })
  return checked("range", problem, () => fromSource(source()))
}

/**
 * One partition a stream. A stream is run anew for every action.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromStreams = <A, E = never, R = never>(
  streams: ReadonlyArray<Stream.Stream<A, E, R>>
): Dataset<A, E, R> =>
  mapPartitions(
    fromSource(
      memorySource("fromStreams", `${streams.length} streams`, streams.length, (index) => ({
        ...memorySplit("fromStreams", index, 1, Stream.succeed(index)),
        rows: undefined
      }))
    ),
    Stream.flatMap((index) => streams[index] ?? Stream.empty),
    { name: "fromStreams" }
  )

/**
 * The lines of text files, without their line breaks. A path is a file, a directory or a glob, or a list of them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const text = (path: string | ReadonlyArray<string>, options?: Text.TextOptions): Dataset<string> =>
  fromSource(Text.source(path, options))

/**
 * The rows of CSV files (RFC 4180), typed by a struct schema.
 *
 * @category constructors
 * @since 0.1.0
 */
export const csv = <const Fields extends Schema.Struct.Fields>(
  path: string | ReadonlyArray<string>,
  schema: Schema.Struct<Fields>,
  options?: Csv.CsvOptions & PartitionedReadOptions<Schema.Struct<Fields>["Type"]>
): Dataset<Schema.Struct<Fields>["Type"]> => fromSource(Csv.source(path, schema, options))

/**
 * The values of JSON Lines files, typed by a schema.
 *
 * @category constructors
 * @since 0.1.0
 */
export const jsonLines = <A, I>(
  path: string | ReadonlyArray<string>,
  schema: Schema.Codec<A, I>,
  options?: JsonLines.JsonLinesOptions & PartitionedReadOptions<A>
): Dataset<A> => fromSource(JsonLines.source(path, schema, options))

/**
 * The rows of Parquet files, typed by a struct schema. Only its columns are read, and they are compared with the file's before
 * the first row is.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parquet = <const Fields extends Schema.Struct.Fields>(
  path: string | ReadonlyArray<string>,
  schema: Schema.Struct<Fields>,
  options?: Parquet.ParquetOptions & PartitionedReadOptions<Schema.Struct<Fields>["Type"]>
): Dataset<Schema.Struct<Fields>["Type"]> => fromSource(Parquet.source(path, schema, options))

/**
 * The Arrow record batches of Parquet files, for work on whole columns.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parquetBatches = (
  path: string | ReadonlyArray<string>,
  options?: Parquet.BatchOptions
): Dataset<RecordBatch> => fromSource(Parquet.batches(path, options))

// ---------------------------------------------------------------------------------------------------------------------
// Transformations
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Applies a pure function to every element.
 *
 * @category transforming
 * @since 0.1.0
 */
export const map: {
  <A, B>(f: (value: A) => B): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A, E, R, B>(self: Dataset<A, E, R>, f: (value: A) => B): Dataset<B, E, R>
} = dual(2, <A, E, R, B>(self: Dataset<A, E, R>, f: (value: A) => B): Dataset<B, E, R> =>
  narrow(self, { _tag: "Map", f })
)

/**
 * Replaces every element by the elements of an iterable.
 *
 * @category transforming
 * @since 0.1.0
 */
export const flatMap: {
  <A, B>(f: (value: A) => Iterable<B>): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A, E, R, B>(self: Dataset<A, E, R>, f: (value: A) => Iterable<B>): Dataset<B, E, R>
} = dual(2, <A, E, R, B>(self: Dataset<A, E, R>, f: (value: A) => Iterable<B>): Dataset<B, E, R> =>
  narrow(self, { _tag: "FlatMap", f })
)

/**
 * Keeps the elements a predicate or a refinement holds for.
 *
 * @category transforming
 * @since 0.1.0
 */
export const filter: {
  <A, B extends A>(refinement: (value: A) => value is B): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A>(predicate: (value: A) => boolean): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R, B extends A>(self: Dataset<A, E, R>, refinement: (value: A) => value is B): Dataset<B, E, R>
  <A, E, R>(self: Dataset<A, E, R>, predicate: (value: A) => boolean): Dataset<A, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, f: (value: A) => boolean): Dataset<A, E, R> =>
  narrow(self, { _tag: "Filter", f })
)

/**
 * Keeps the rows whose columns meet conditions.
 *
 * **Details**
 *
 * As {@link filter}, but the conditions are data: a Parquet source skips the row groups whose statistics say that no row can match,
 * unread. `explain` shows how many are left. Rows that a schema does not allow go unnoticed in those that are skipped.
 *
 * @category transforming
 * @since 0.1.0
 */
export const where: {
  <A>(conditions: Condition.Where<NoInfer<A>>): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, conditions: Condition.Where<NoInfer<A>>): Dataset<A, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, conditions: Condition.Where<A>): Dataset<A, E, R> => {
  const where = Condition.columns(conditions)
  return narrow(self, {
    _tag: "Filter",
    where,
    f: (row: Readonly<Record<string, unknown>>) => Condition.matchesAll(where, row)
  })
})

/**
 * Maps and filters in one step: an element whose result is a `Result.fail` is dropped, as in Effect's `Array.filterMap`.
 *
 * @category transforming
 * @since 0.1.0
 */
export const filterMap: {
  <A, B, X>(f: (value: A) => Result.Result<B, X>): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A, E, R, B, X>(self: Dataset<A, E, R>, f: (value: A) => Result.Result<B, X>): Dataset<B, E, R>
} = dual(2, <A, E, R, B, X>(self: Dataset<A, E, R>, f: (value: A) => Result.Result<B, X>): Dataset<B, E, R> =>
  narrow(self, { _tag: "FilterMap", f })
)

/**
 * How many effects of {@link mapEffect} run at once in a partition, and whether their results keep the elements' order.
 *
 * @category models
 * @since 0.1.0
 */
export interface MapEffectOptions {
  /** Default 1. */
  readonly concurrency?: number | "unbounded" | undefined
  /** Emit results as they arrive. Default `false`. */
  readonly unordered?: boolean | undefined
}

const badConcurrency = (concurrency: MapEffectOptions["concurrency"]): Problem =>
  optional(concurrency, (value) =>
    value === "unbounded" || whole("concurrency", value) === undefined
      ? undefined
      : `${whole("concurrency", value)}, or "unbounded"`
  )

/**
 * Runs an effect for every element, a bounded number at once; a slow consumer stops it, and the first failure interrupts the
 * others.
 *
 * @category transforming
 * @since 0.1.0
 */
export const mapEffect: {
  <A, B, E2, R2>(
    f: (value: A) => Effect.Effect<B, E2, R2>,
    options?: MapEffectOptions
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E | E2, R | R2>
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    f: (value: A) => Effect.Effect<B, E2, R2>,
    options?: MapEffectOptions
  ): Dataset<B, E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    f: (value: A) => Effect.Effect<B, E2, R2>,
    options?: MapEffectOptions
  ): Dataset<B, E | E2, R | R2> =>
    checked("mapEffect", badConcurrency(options?.concurrency), () =>
      narrow(self, {
        _tag: "MapEffect",
        f,
        concurrency: options?.concurrency ?? 1,
        unordered: options?.unordered ?? false
      })
    )
)

/**
 * Runs an effect for every element and keeps the element.
 *
 * @category transforming
 * @since 0.1.0
 */
export const tap: {
  <A, X, E2, R2>(
    f: (value: A) => Effect.Effect<X, E2, R2>
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E | E2, R | R2>
  <A, E, R, X, E2, R2>(self: Dataset<A, E, R>, f: (value: A) => Effect.Effect<X, E2, R2>): Dataset<A, E | E2, R | R2>
} = dual(
  2,
  <A, E, R, X, E2, R2>(self: Dataset<A, E, R>, f: (value: A) => Effect.Effect<X, E2, R2>): Dataset<A, E | E2, R | R2> =>
    narrow(self, { _tag: "Tap", f })
)

/**
 * Applies a pure function to whole arrays of elements, as large as they come out of the source (never empty).
 *
 * **When to use**
 *
 * Use for work that is cheaper on many elements at once. Array borders carry no meaning: they depend on file, format and the
 * steps before.
 *
 * @category transforming
 * @since 0.1.0
 */
export const mapArray: {
  <A, B>(f: (values: ReadonlyArray<A>) => ReadonlyArray<B>): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A, E, R, B>(self: Dataset<A, E, R>, f: (values: ReadonlyArray<A>) => ReadonlyArray<B>): Dataset<B, E, R>
} = dual(2, <A, E, R, B>(self: Dataset<A, E, R>, f: (values: ReadonlyArray<A>) => ReadonlyArray<B>): Dataset<B, E, R> =>
  narrow(self, { _tag: "MapArray", f })
)

/**
 * Settings of {@link mapPartitions}.
 *
 * @category models
 * @since 0.1.0
 */
export interface MapPartitionsOptions {
  /** As `explain` prints it. Default `MapPartitions`. */
  readonly name?: string | undefined
  /**
   * Whether `f` yields exactly one element for each it gets. Then the rows written are checked against the rows read across
   * this step, and row counts from metadata stay known. Default `false`.
   */
  readonly oneToOne?: boolean | undefined
}

/**
 * Transforms the stream of each partition: for work with set-up and tear-down per partition. The stream is pulled, and closed
 * when the partition ends, fails or is interrupted.
 *
 * @category transforming
 * @since 0.1.0
 */
export const mapPartitions: {
  <A, E, R, B, E2, R2>(
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Stream.Stream<B, E2, R2>,
    options?: MapPartitionsOptions
  ): (self: Dataset<A, E, R>) => Dataset<B, E2, R2>
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Stream.Stream<B, E2, R2>,
    options?: MapPartitionsOptions
  ): Dataset<B, E2, R2>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Stream.Stream<B, E2, R2>,
    options?: MapPartitionsOptions
  ): Dataset<B, E2, R2> =>
    narrow(self, {
      _tag: "MapPartitions",
      name: options?.name ?? "MapPartitions",
      oneToOne: options?.oneToOne ?? false,
      elementwise: false,
      f
    })
)

/**
 * Transforms the stream of each partition element by element, where some may fail: `f` yields one element for each it gets, or a
 * {@link FailedElement} in its place. Those are handled by {@link catch_ | Dataset.catch}, and the partition goes on; where nothing
 * handles them, the first one ends the partition.
 *
 * **When to use**
 *
 * Use for work on many elements at once that can fail for some of them, such as requests that carry many rows each. What `f`'s own
 * stream fails with ends the partition, whatever handles it. `handled` says of an error whether a `Dataset.catch` takes it: where none
 * does, `f` may as well fail at once.
 *
 * **Gotchas**
 *
 * Elements that failed before this step go past it: `f` does not see them, and they come after the elements that `f` was working on.
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
    options?: { readonly name?: string | undefined }
  ): (self: Dataset<A, E, R>) => Dataset<Exclude<B, FailedElement<unknown>>, E | E2 | F, R | R2>
  <A, E, R, B, F, E2, R2>(
    self: Dataset<A, E, R>,
    f: (
      rows: Stream.Stream<A, E, R>,
      task: TaskContext,
      handled: (error: unknown) => boolean
    ) => Stream.Stream<B | FailedElement<F>, E2, R2>,
    options?: { readonly name?: string | undefined }
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
    options?: { readonly name?: string | undefined }
  ): Dataset<Exclude<B, FailedElement<unknown>>, E | E2 | F, R | R2> =>
    narrow(self, {
      _tag: "MapPartitions",
      name: options?.name ?? "MapPartitions",
      oneToOne: false,
      elementwise: true,
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
 * Makes an element that failed. `rows` says for how many rows it stands, where an element is a record batch.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failed = <E>(error: E, rows = 1): FailedElement<E> => new Failed(error, rows)

/**
 * Keeps some fields of each row. Directly above a Parquet source only these columns are read.
 *
 * @category transforming
 * @since 0.1.0
 */
export const select: {
  <A extends object, const K extends keyof A & string>(
    ...columns: ReadonlyArray<K>
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<Pick<A, K>, E, R>
} =
  (...columns) =>
  (self) =>
    narrow(self, { _tag: "Select", columns })

/**
 * The partitions of both, the first dataset's first. No element moves.
 *
 * @category transforming
 * @since 0.1.0
 */
export const union: {
  <B, E2, R2>(that: Dataset<B, E2, R2>): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A | B, E | E2, R | R2>
  <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, that: Dataset<B, E2, R2>): Dataset<A | B, E | E2, R | R2>
} = dual(2, <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, that: Dataset<B, E2, R2>): Dataset<A | B, E | E2, R | R2> =>
  fromPlan({ _tag: "Union", inputs: [self.plan, that.plan] })
)

/**
 * At most this many partitions, each a run of the present ones with about the same number of bytes. Nothing is shuffled; fewer
 * partitions also means fewer tasks at once.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const coalesce: {
  (partitions: number): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, partitions: number): Dataset<A, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, partitions: number): Dataset<A, E, R> =>
  checked("coalesce", whole("partitions", partitions), () =>
    fromPlan({ _tag: "Coalesce", child: self.plan, partitions })
  )
)

/**
 * A random part of the elements, the same one for the same seed and partitions.
 *
 * **Details**
 *
 * Without replacement each element is taken with probability `fraction` (0 to 1); with it, a Poisson number of times with that
 * mean (`fraction` may be above 1). The size of the sample varies.
 *
 * @category transforming
 * @since 0.1.0
 */
export const sample: {
  (options: SampleOptions): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, options: SampleOptions): Dataset<A, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, options: SampleOptions): Dataset<A, E, R> =>
  checked("sample", number("fraction", options.fraction, 0, options.withReplacement === true ? undefined : 1), () =>
    narrow(self, {
      _tag: "Sample",
      fraction: options.fraction,
      seed: options.seed,
      withReplacement: options.withReplacement ?? false
    })
  )
)

/**
 * What {@link sample} takes.
 *
 * @category models
 * @since 0.1.0
 */
export interface SampleOptions {
  readonly fraction: number
  readonly seed: number
  readonly withReplacement?: boolean | undefined
}

/**
 * Pairs every element with its position, counted from 0 over all partitions in order.
 *
 * **Details**
 *
 * Where the sizes of the partitions are not known from metadata, a stage that counts them runs first, so the steps before are
 * run twice.
 *
 * @category transforming
 * @since 0.1.0
 */
export const zipWithIndex = <A, E, R>(self: Dataset<A, E, R>): Dataset<readonly [A, number], E, R> =>
  fromPlan({ _tag: "ZipWithIndex", child: self.plan })

/**
 * Handles what the steps before can fail with, one element at a time: the element of the handler's effect takes the place of the
 * one that failed, and the partition goes on.
 *
 * **Gotchas**
 *
 * The failure of a partition's own stream (in `mapPartitions` or before it) is no element's, and there are no rows after it: instead of
 * going on without them the job fails, with a `JobError` of reason `PartitionFailed`. Handle such a failure inside `mapPartitions`, or
 * use {@link mapPartitionsWithFailures}. Failures of the engine (unreadable input, lost executors) never come here.
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
 * Handles one tag of what the steps before can fail with, as {@link catch}.
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
 * Provides one service that exists already to the steps before.
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

// ---------------------------------------------------------------------------------------------------------------------
// Actions
// ---------------------------------------------------------------------------------------------------------------------

/**
 * All elements in the order of their partitions, in the driver's memory.
 *
 * **Details**
 *
 * Fails with a `JobError` of reason `ResultTooLarge` when the elements take more than `maxBytes` (default 256 MiB), as
 * estimated from a sample of each array. One signature, not two: an overloaded function named in a `pipe` loses its types.
 *
 * @category actions
 * @since 0.1.0
 */
export const collect = <A, E, R>(self: Dataset<A, E, R>, options?: CollectOptions): Action<Array<A>, E, R> => {
  const limit = options?.maxBytes ?? 256 * 1024 * 1024
  const collecting = action(self, {
    name: "collect",
    task: (rows, task) =>
      Effect.suspend(() => {
        const arrays: Array<ReadonlyArray<A>> = []
        let size = 0
        return Effect.map(
          Stream.runForEachArray(rows, (values) =>
            Effect.suspend(() => {
              arrays.push(values)
              size += estimateBytes(values)
              return size > limit ? task.abort(new ResultTooLarge({ limit, size })) : Effect.void
            })
          ),
          () => ({ arrays, size })
        )
      }),
    drive: (run) => {
      const results: Array<ReadonlyArray<ReadonlyArray<A>>> = []
      let total = 0
      return Effect.map(
        run.tasks(all(run.partitions), (partition, { arrays, size }) => {
          results[partition] = arrays
          total += size
          return total > limit ? Effect.fail(new ResultTooLarge({ limit, size: total })) : Effect.void
        }),
        () => results.flatMap((arrays) => arrays.flat())
      )
    }
  })
  return checkedAction("collect", bytes("maxBytes", limit), collecting)
}

/**
 * What {@link collect} takes.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectOptions {
  /** Default 256 MiB. */
  readonly maxBytes?: number | undefined
}

/**
 * The number of elements.
 *
 * @category actions
 * @since 0.1.0
 */
export const count = <A, E, R>(self: Dataset<A, E, R>): Action<number, E, R> =>
  action(self, {
    name: "count",
    task: (rows) => {
      let n = 0
      return Effect.map(
        eachArray(rows, (values) => (n += values.length)),
        () => n
      )
    },
    drive: (run) => {
      let sum = 0
      return Effect.map(
        run.tasks(all(run.partitions), (_, n) => Effect.sync(() => (sum += n))),
        () => sum
      )
    }
  })

/**
 * Folds each partition from a zero of its own, then the partitions' results from another, in the order of the partitions.
 *
 * @category actions
 * @since 0.1.0
 */
export const aggregate: {
  <A, U>(
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U
  ): <E, R>(self: Dataset<A, E, R>) => Action<U, E, R>
  <A, E, R, U>(
    self: Dataset<A, E, R>,
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U
  ): Action<U, E, R>
} = dual(
  4,
  <A, E, R, U>(
    self: Dataset<A, E, R>,
    zero: () => U,
    add: (state: U, value: A) => U,
    merge: (left: U, right: U) => U
  ): Action<U, E, R> =>
    action(self, {
      name: "aggregate",
      task: (rows) =>
        Effect.suspend(() => {
          let state = zero()
          return Effect.map(
            eachArray(rows, (values) => {
              for (const value of values) state = add(state, value)
            }),
            () => state
          )
        }),
      drive: (run) => {
        const states: Array<U> = []
        return Effect.map(
          run.tasks(all(run.partitions), (partition, state) => Effect.sync(() => (states[partition] = state))),
          () => states.reduce(merge, zero())
        )
      }
    })
)

/**
 * {@link aggregate} with one function for both steps.
 *
 * @category actions
 * @since 0.1.0
 */
export const fold: {
  <A>(zero: () => A, f: (left: A, right: A) => A): <E, R>(self: Dataset<A, E, R>) => Action<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, zero: () => A, f: (left: A, right: A) => A): Action<A, E, R>
} = dual(3, <A, E, R>(self: Dataset<A, E, R>, zero: () => A, f: (left: A, right: A) => A): Action<A, E, R> =>
  aggregate(self, zero, f, f)
)

/**
 * Combines all elements with an associative function; `None` without elements.
 *
 * @category actions
 * @since 0.1.0
 */
export const reduce: {
  <A>(f: (left: A, right: A) => A): <E, R>(self: Dataset<A, E, R>) => Action<Option.Option<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, f: (left: A, right: A) => A): Action<Option.Option<A>, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, f: (left: A, right: A) => A): Action<Option.Option<A>, E, R> =>
  aggregate(
    self,
    () => Option.none<A>(),
    (state, value) => Option.some(Option.isSome(state) ? f(state.value, value) : value),
    (left, right) =>
      Option.isNone(left) ? right : Option.isNone(right) ? left : Option.some(f(left.value, right.value))
  )
)

/**
 * The first `n` elements. Reads the first partition, then four times as many as before, until there are enough (as Spark); within a
 * partition no more arrays than needed.
 *
 * @category actions
 * @since 0.1.0
 */
export const take: {
  (n: number): <A, E, R>(self: Dataset<A, E, R>) => Action<Array<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, n: number): Action<Array<A>, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, n: number): Action<Array<A>, E, R> => {
  const taking = action(self, {
    name: `take ${n}`,
    task: (rows) => {
      const taken: Array<A> = []
      return Effect.map(
        eachArray(Stream.take(rows, n), (values) => {
          for (const value of values) taken.push(value)
        }),
        () => taken
      )
    },
    drive: (run) =>
      Effect.gen(function* () {
        const found: Array<ReadonlyArray<A>> = []
        const size = () => found.reduce((sum, values) => sum + values.length, 0)
        for (let next = 0, round = 1; next < run.partitions && size() < n; round *= 4) {
          const last = Math.min(run.partitions, next + round)
          yield* run.tasks(
            Array.from({ length: last - next }, (_, index) => next + index),
            (partition, values) => Effect.sync(() => (found[partition] = values))
          )
          next = last
        }
        return found.flat().slice(0, n)
      })
  })
  // Nothing is needed of the result, so nothing runs.
  const wanted: Action<Array<A>, E, R> = n === 0
    ? new Action({ ...taking.spec, drive: () => Effect.succeed([]) })
    : taking
  return checkedAction("take", whole("n", n, 0), wanted)
})

/**
 * The first element, if there is one.
 *
 * @category actions
 * @since 0.1.0
 */
export const first = <A, E, R>(self: Dataset<A, E, R>): Action<Option.Option<A>, E, R> =>
  mapAction(take(self, 1), "first", (values) => (values.length === 0 ? Option.none() : Option.some(values[0] as A)))

/**
 * Whether there is no element. Reads as {@link take} of one does.
 *
 * @category actions
 * @since 0.1.0
 */
export const isEmpty = <A, E, R>(self: Dataset<A, E, R>): Action<boolean, E, R> =>
  mapAction(take(self, 1), "isEmpty", (values) => values.length === 0)

/**
 * Runs an effect for every element, where the element is.
 *
 * @category actions
 * @since 0.1.0
 */
export const forEach: {
  <A, X, E2, R2>(
    f: (value: A) => Effect.Effect<X, E2, R2>
  ): <E, R>(self: Dataset<A, E, R>) => Action<void, E | E2, R | R2>
  <A, E, R, X, E2, R2>(self: Dataset<A, E, R>, f: (value: A) => Effect.Effect<X, E2, R2>): Action<void, E | E2, R | R2>
} = dual(
  2,
  <A, E, R, X, E2, R2>(
    self: Dataset<A, E, R>,
    f: (value: A) => Effect.Effect<X, E2, R2>
  ): Action<void, E | E2, R | R2> =>
    action<A, E, R, void, void, E2, R2>(self, {
      name: "forEach",
      leaves: true,
      task: (rows) => Stream.runForEach(rows, f),
      drive: (run) => run.tasks(all(run.partitions), () => Effect.void)
    })
)

/**
 * Runs an effect for the stream of every partition, where the partition is.
 *
 * @category actions
 * @since 0.1.0
 */
export const forEachPartition: {
  <A, E, R, X, E2, R2>(
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Effect.Effect<X, E2, R2>
  ): (self: Dataset<A, E, R>) => Action<void, E2, R2>
  <A, E, R, X, E2, R2>(
    self: Dataset<A, E, R>,
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Effect.Effect<X, E2, R2>
  ): Action<void, E2, R2>
} = dual(
  2,
  <A, E, R, X, E2, R2>(
    self: Dataset<A, E, R>,
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Effect.Effect<X, E2, R2>
  ): Action<void, E2, R2> =>
    new Action({
      name: "forEachPartition",
      leaves: true,
      plan: self.plan,
      eachPartition: true,
      task: (rows, task) => Effect.asVoid(f(rows as Rows<A, E, R>, task)),
      drive: (run) => Effect.flatMap(run.result, ({ tasks }) => run.tasks(all(tasks), () => Effect.void))
    })
)

/**
 * The elements as one stream, partition after partition. The consumer's pace is the readers': one partition is read at a time and at
 * most two arrays of it are ahead of the consumer. Ending the stream early ends the job.
 *
 * @category actions
 * @since 0.1.0
 */
export const toStream = <A, E, R>(self: Dataset<A, E, R>): Stream.Stream<A, E | JobError, R | Engine> =>
  Stream.callback<A, E | JobError, R | Engine>(
    (queue) =>
      action(self, {
        name: "toStream",
        retries: false,
        task: (rows) => Stream.runForEachArray(rows, (values) => Queue.offerAll(queue, values)),
        drive: (run) =>
          Effect.forEach(all(run.partitions), (partition) => run.tasks([partition], () => Effect.void), {
            discard: true
          })
      }).pipe(
        Effect.matchCauseEffect({
          onFailure: (cause) => Queue.failCause(queue, cause),
          onSuccess: () => Queue.end(queue)
        })
      ),
    { bufferSize: 2 * rangeArray }
  )

// ---------------------------------------------------------------------------------------------------------------------
// Writing
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What the write actions take besides their format's options.
 *
 * @category models
 * @since 0.1.0
 */
export type WriteOptions = OutputOptions

/**
 * What the write actions take whose rows have columns.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionedWriteOptions<in out A> extends WriteOptions {
  /**
   * Columns whose values become folders, `country=DE/year=2024`, the first outermost, as Spark's `partitionBy`. They are left out
   * of the files. Characters that a folder name cannot have are percent-escaped, `null`, missing and the empty string are
   * `__HIVE_DEFAULT_PARTITION__`; the empty string of a column that may be `null` or missing is refused, for it would be read as that. The sources read them back with `partitionColumns`. Default none.
   */
  readonly partitionBy?: ReadonlyArray<keyof A & string> | undefined
  /** Bytes of rows, as estimated, that a task holds while it sorts them into folders; beyond, a folder gets several files. Default 64 MiB. */
  readonly partitionBufferBytes?: number | undefined
}

/**
 * Writes the elements with a {@link Writer}, a file a partition, into a directory that appears at once with its `_SUCCESS` or not
 * at all (see `Commit`). Yields the manifest.
 *
 * @category actions
 * @since 0.1.0
 */
export const write: {
  <A>(path: string, writer: Writer<A>, options?: WriteOptions): <E, R>(self: Dataset<A, E, R>) => Action<Manifest, E, R>
  <A, E, R>(self: Dataset<A, E, R>, path: string, writer: Writer<A>, options?: WriteOptions): Action<Manifest, E, R>
  // Again, for the errors: of several signatures TypeScript tells why the last does not fit.
  <A>(path: string, writer: Writer<A>, options?: WriteOptions): <E, R>(self: Dataset<A, E, R>) => Action<Manifest, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(self: Dataset<A, E, R>, path: string, writer: Writer<A>, options?: WriteOptions): Action<Manifest, E, R> =>
    Commit.write(self.plan, path, writer, options)
)

/**
 * Writes lines as text files; see {@link write}.
 *
 * @category actions
 * @since 0.1.0
 */
export const writeText: {
  (
    path: string,
    options?: WriteOptions & Text.TextWriterOptions
  ): <E, R>(self: Dataset<string, E, R>) => Action<Manifest, E, R>
  <E, R>(
    self: Dataset<string, E, R>,
    path: string,
    options?: WriteOptions & Text.TextWriterOptions
  ): Action<Manifest, E, R>
  // Again, for the errors: of several signatures TypeScript tells why the last does not fit.
  (
    path: string,
    options?: WriteOptions & Text.TextWriterOptions
  ): <E, R>(self: Dataset<string, E, R>) => Action<Manifest, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <E, R>(
    self: Dataset<string, E, R>,
    path: string,
    options?: WriteOptions & Text.TextWriterOptions
  ): Action<Manifest, E, R> => write(self, path, Text.writer(options), options)
)

/**
 * Writes rows as CSV files; see {@link write}.
 *
 * @category actions
 * @since 0.1.0
 */
export const writeCsv: {
  <const Fields extends Schema.Struct.Fields>(
    path: string,
    schema: Schema.Struct<Fields>,
    options?: PartitionedWriteOptions<Schema.Struct<Fields>["Type"]> & Csv.CsvWriterOptions
  ): <E, R>(self: Dataset<Schema.Struct<Fields>["Type"], E, R>) => Action<Manifest, E, R>
  <const Fields extends Schema.Struct.Fields, E, R>(
    self: Dataset<Schema.Struct<Fields>["Type"], E, R>,
    path: string,
    schema: Schema.Struct<Fields>,
    options?: PartitionedWriteOptions<Schema.Struct<Fields>["Type"]> & Csv.CsvWriterOptions
  ): Action<Manifest, E, R>
  // Again, for the errors: of several signatures TypeScript tells why the last does not fit.
  <const Fields extends Schema.Struct.Fields>(
    path: string,
    schema: Schema.Struct<Fields>,
    options?: PartitionedWriteOptions<Schema.Struct<Fields>["Type"]> & Csv.CsvWriterOptions
  ): <E, R>(self: Dataset<Schema.Struct<Fields>["Type"], E, R>) => Action<Manifest, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <const Fields extends Schema.Struct.Fields, E, R>(
    self: Dataset<Schema.Struct<Fields>["Type"], E, R>,
    path: string,
    schema: Schema.Struct<Fields>,
    options?: PartitionedWriteOptions<Schema.Struct<Fields>["Type"]> & Csv.CsvWriterOptions
  ): Action<Manifest, E, R> =>
    writePartitioned(
      self.plan,
      path,
      schema,
      options,
      () => Csv.writer(schema, options),
      (others) => Csv.writer(others, options)
    )
)

/**
 * Writes values as JSON Lines files; see {@link write}.
 *
 * @category actions
 * @since 0.1.0
 */
export const writeJsonLines: {
  <A, I>(
    path: string,
    schema: Schema.Codec<A, I>,
    options?: PartitionedWriteOptions<A> & JsonLines.JsonLinesWriterOptions
  ): <E, R>(self: Dataset<A, E, R>) => Action<Manifest, E, R>
  <A, I, E, R>(
    self: Dataset<A, E, R>,
    path: string,
    schema: Schema.Codec<A, I>,
    options?: PartitionedWriteOptions<A> & JsonLines.JsonLinesWriterOptions
  ): Action<Manifest, E, R>
  // Again, for the errors: of several signatures TypeScript tells why the last does not fit.
  <A, I>(
    path: string,
    schema: Schema.Codec<A, I>,
    options?: PartitionedWriteOptions<A> & JsonLines.JsonLinesWriterOptions
  ): <E, R>(self: Dataset<A, E, R>) => Action<Manifest, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <A, I, E, R>(
    self: Dataset<A, E, R>,
    path: string,
    schema: Schema.Codec<A, I>,
    options?: PartitionedWriteOptions<A> & JsonLines.JsonLinesWriterOptions
  ): Action<Manifest, E, R> =>
    writePartitioned(
      self.plan,
      path,
      schema,
      options,
      () => JsonLines.writer(schema, options),
      (others) => JsonLines.writer(codecOf(others), options)
    )
)

/**
 * Writes rows as Parquet files; see {@link write}.
 *
 * @category actions
 * @since 0.1.0
 */
export const writeParquet: {
  <const Fields extends Schema.Struct.Fields>(
    path: string,
    schema: Schema.Struct<Fields>,
    options?: PartitionedWriteOptions<Schema.Struct<Fields>["Type"]> & Parquet.ParquetWriterOptions
  ): <E, R>(self: Dataset<Schema.Struct<Fields>["Type"], E, R>) => Action<Manifest, E, R>
  <const Fields extends Schema.Struct.Fields, E, R>(
    self: Dataset<Schema.Struct<Fields>["Type"], E, R>,
    path: string,
    schema: Schema.Struct<Fields>,
    options?: PartitionedWriteOptions<Schema.Struct<Fields>["Type"]> & Parquet.ParquetWriterOptions
  ): Action<Manifest, E, R>
  // Again, for the errors: of several signatures TypeScript tells why the last does not fit.
  <const Fields extends Schema.Struct.Fields>(
    path: string,
    schema: Schema.Struct<Fields>,
    options?: PartitionedWriteOptions<Schema.Struct<Fields>["Type"]> & Parquet.ParquetWriterOptions
  ): <E, R>(self: Dataset<Schema.Struct<Fields>["Type"], E, R>) => Action<Manifest, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <const Fields extends Schema.Struct.Fields, E, R>(
    self: Dataset<Schema.Struct<Fields>["Type"], E, R>,
    path: string,
    schema: Schema.Struct<Fields>,
    options?: PartitionedWriteOptions<Schema.Struct<Fields>["Type"]> & Parquet.ParquetWriterOptions
  ): Action<Manifest, E, R> =>
    writePartitioned(
      self.plan,
      path,
      schema,
      options,
      () => Parquet.writer(schema, options),
      (others) => Parquet.writer(others, options)
    )
)

/**
 * Writes Arrow record batches as Parquet files; see {@link write}.
 *
 * @category actions
 * @since 0.1.0
 */
export const writeParquetBatches: {
  (
    path: string,
    options?: WriteOptions & Parquet.ParquetWriterOptions
  ): <E, R>(self: Dataset<RecordBatch, E, R>) => Action<Manifest, E, R>
  <E, R>(
    self: Dataset<RecordBatch, E, R>,
    path: string,
    options?: WriteOptions & Parquet.ParquetWriterOptions
  ): Action<Manifest, E, R>
  // Again, for the errors: of several signatures TypeScript tells why the last does not fit.
  (
    path: string,
    options?: WriteOptions & Parquet.ParquetWriterOptions
  ): <E, R>(self: Dataset<RecordBatch, E, R>) => Action<Manifest, E, R>
} = dual(
  (args) => isDataset(args[0]),
  <E, R>(
    self: Dataset<RecordBatch, E, R>,
    path: string,
    options?: WriteOptions & Parquet.ParquetWriterOptions
  ): Action<Manifest, E, R> => write(self, path, Parquet.batchWriter(options), options)
)

/**
 * The plan as text: as written, as optimised, and as stages with the partitions, rows, bytes and hosts that the metadata of the
 * sources tells. Reads no row.
 *
 * @category printing
 * @since 0.1.0
 */
export const explain = <A, E, R>(self: Dataset<A, E, R>): Effect.Effect<string, JobError, Engine> =>
  Effect.flatMap(Engine, (engine) => engine.explain({ name: "explain", plan: self.plan }))

/**
 * The plan as a Mermaid flow chart.
 *
 * **Example** (Drawing a plan)
 *
 * ```ts import.meta.vitest
 * import { Dataset } from "@sluice/core"
 *
 * Dataset.toMermaid(Dataset.map(Dataset.range(0, 3), (n) => n + 1)).split("\n")[0] // => "flowchart TD"
 * ```
 *
 * @category printing
 * @since 0.1.0
 */
export const toMermaid = <A, E, R>(self: Dataset<A, E, R>): string => Plan.toMermaid(self.plan)
