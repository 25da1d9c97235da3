import { type Array as Arr, Cause, Effect, type Schema, Stream } from "effect"
import type { DataType, RecordBatch } from "apache-arrow"
import { bytes, firstOf, number, whole } from "../../codec/internal/checks.ts"
import * as Csv from "../../formats/Csv.ts"
import * as JsonLines from "../../formats/JsonLines.ts"
import * as Parquet from "../../formats/Parquet.ts"
import * as Text from "../../formats/Text.ts"
import type { PartitionedReadOptions, Resolved, Source, Split } from "../../task/Format.ts"
import { checked } from "./checked.ts"
import { type Dataset, fromPlan, type Tupled } from "./model.ts"
import { mapPartitions } from "./partitions.ts"

/**
 * How many partitions a dataset made from memory has.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionOptions {
  /**
   * A whole number from 1 on, as everywhere: with any other, actions fail with a `JobError` of reason `InvalidPlan`.
   * Default 1. If there are more partitions than elements, some are empty.
   */
  readonly partitions?: number | undefined
}

/**
 * A dataset that reads a {@link Source}.
 *
 * **When to use**
 *
 * Use to read something that Sluice has no constructor for.
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
export const fromIterable = <A extends Tupled>(iterable: Iterable<A>, options?: PartitionOptions): Dataset<A> => {
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
export const make = <As extends ReadonlyArray<Tupled>>(...values: As): Dataset<As[number]> =>
  fromIterable<As[number]>(values)

/**
 * A dataset without elements, in one partition.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: Dataset<never> = fromIterable<never>([])

const rangeArray = 8192

/**
 * The numbers from `start` up to, but not including, `end`.
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
    step === 0 ? "step is 0; it must not be 0" : undefined,
    whole("partitions", partitions),
    bytes("the number of elements", length, 0)
  )
  const source = () =>
    memorySource("range", `${start}..${end} by ${step} in ${partitions}`, partitions, (index) => {
      const from = Math.floor((index * length) / partitions)
      const to = Math.floor(((index + 1) * length) / partitions)
      if (from === to) return memorySplit("range", index, 0, Stream.empty)
      const read = Stream.fromPull(
        Effect.sync(() => {
          let next = from
          return Effect.suspend(() => {
            if (next >= to) return Cause.done()
            const size = Math.min(rangeArray, to - next)
            const values: Arr.NonEmptyArray<number> = [start + step * next]
            for (let i = 1; i < size; i++) values.push(start + step * (next + i))
            next += size
            return Effect.succeed(values)
          })
        })
      )
      return memorySplit("range", index, to - from, read)
    })
  return checked("range", problem, () => fromSource(source()))
}

/**
 * One partition per stream. Every action runs the streams again.
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
 * The rows of Parquet files, typed by a struct schema. Only the columns of the schema are read, and they are compared
 * with the file's before the first row is read.
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
 * The Arrow record batches of Parquet files, for work on whole columns. If `columns` names those to read, they are in
 * the type.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parquetBatches: {
  <const C extends string>(
    path: string | ReadonlyArray<string>,
    options: Parquet.BatchOptions & { readonly columns: ReadonlyArray<C> }
  ): Dataset<RecordBatch<{ [K in C]: DataType }>>
  (path: string | ReadonlyArray<string>, options?: Parquet.BatchOptions): Dataset<RecordBatch>
} = (path: string | ReadonlyArray<string>, options?: Parquet.BatchOptions): Dataset<RecordBatch> =>
  fromSource(Parquet.batches(path, options))
