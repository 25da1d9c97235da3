/**
 * Parquet files, as rows typed by a `Schema` or as Arrow record batches.
 *
 * A split is a run of row groups. One row group is in memory at a time, as it is in the file and decoded; one of more than
 * 96 MiB of pages before compression is decoded in slices of about 64 MiB, so that what is held is its compressed bytes and
 * two slices. Only the columns asked for are read, each row group with as few ranged reads as can be. The schema is fitted
 * to each file's own before the first row is read.
 *
 * Vectors (`list<float>` without nulls) are copied out of their pages once and lie next to each other, a row group in one
 * buffer. They are written plain, without dictionary and statistics, and uncompressed where Snappy would find nothing.
 *
 * @since 0.1.0
 */
import type * as Arrow from "apache-arrow"
import { Effect, type Schema } from "effect"
import { firstOf, oneOf, optional, type Problem, whole } from "../codec/internal/checks.ts"
import type { PartitionedReadOptions, Source, VerifyOptions, Writer } from "../task/Format.ts"
import { expand, toPaths } from "./internal/inputs.ts"
import { describe } from "./internal/parquet/arrowRows.ts"
import { format, open } from "./internal/parquet/file.ts"
import type * as Footer from "./internal/parquet/footer.ts"
import { batchSource, rowSource } from "./internal/parquet/source.ts"
import { load } from "./internal/parquet/wasm.ts"
import { encodeBatches, type EncodeOptions, encodeRows } from "./internal/parquet/write.ts"
import { verifiedOr } from "./internal/verified.ts"

/**
 * What a footer says of a file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Metadata {
  readonly path: string
  readonly rows: number
  /** Columns, each `name: type` in Arrow's terms. */
  readonly columns: ReadonlyArray<string>
  readonly schema: Arrow.Schema
  readonly rowGroups: ReadonlyArray<Footer.RowGroup>
}

/**
 * How rows are read.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParquetOptions extends VerifyOptions {
  /** A row that the schema does not allow fails the task (`"fail"`, default) or is set aside (`"deadLetter"`). */
  readonly onInvalidRow?: "fail" | "deadLetter" | undefined
}

/**
 * How record batches are read.
 *
 * @category models
 * @since 0.1.0
 */
export interface BatchOptions extends VerifyOptions {
  /** Columns to read, default all. */
  readonly columns?: ReadonlyArray<string> | undefined
  /** Columns that must be lists of float or double, which is looked at before the first batch is read. */
  readonly vectors?: ReadonlyArray<string> | undefined
}

/**
 * How Parquet is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParquetWriterOptions {
  /** Default `"snappy"`, which leaves vectors as they are where it would find nothing to compress. */
  readonly compression?: "snappy" | "zstd" | "gzip" | "none" | undefined
  /** Most rows of a row group. Default 1 Mi; a row group also ends at about 64 MiB. */
  readonly rowGroupRows?: number | undefined
}

/**
 * Reads the footers of all files of a path.
 *
 * @category getters
 * @since 0.1.0
 */
export const metadata = Effect.fn("Parquet.metadata")(function* (path: string | ReadonlyArray<string>) {
  const libraries = yield* load
  const files = yield* expand(format, toPaths(path))
  const opened = yield* Effect.forEach(files, (file) => open(libraries, file), { concurrency: 16 })
  return opened.map((file): Metadata => ({
    path: file.status.path,
    rows: file.footer.rows,
    columns: describe(file.schema),
    schema: file.schema,
    rowGroups: file.footer.rowGroups
  }))
})

/**
 * The record batches of Parquet files. Each has an `Origin`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const batches = (path: string | ReadonlyArray<string>, options?: BatchOptions): Source<Arrow.RecordBatch> =>
  verifiedOr(options, toPaths(path), (paths) => batchSource(paths, options))

/**
 * The rows of Parquet files, typed by a struct schema.
 *
 * Columns whose type is the schema's own cost nothing more than reading them; others run the schema's decoder for that
 * column. 64-bit integers are `Schema.BigInt`, or `Schema.Number` where they are safe integers.
 *
 * Timestamps are `Schema.Date` (whole milliseconds, floored), `Schema.Number` (milliseconds) or `Schema.BigInt` (in the unit of the
 * column; `INT96` is read in microseconds, what is finer is cut off). A date that no `Date` reaches is an invalid row. A `null` is the missing key of an optional
 * field, unless that may be `null`. A column that cannot be read, because it is encrypted, there twice or a decimal of more than 76
 * digits, is a `SchemaMismatch` where it is asked for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const source = <const Fields extends Schema.Struct.Fields>(
  path: string | ReadonlyArray<string>,
  schema: Schema.Struct<Fields>,
  options?: ParquetOptions & PartitionedReadOptions<Schema.Struct<Fields>["Type"]>
): Source<Schema.Struct<Fields>["Type"]> =>
  verifiedOr(options, toPaths(path), (paths) =>
    rowSource(
      paths,
      schema,
      schema.ast.propertySignatures.map((field) => String(field.name)),
      options,
      undefined
    )
  )

const badWriting = (options: ParquetWriterOptions | undefined): Problem =>
  firstOf(
    optional(options?.compression, (one) => oneOf("compression", one, ["snappy", "zstd", "gzip", "none"])),
    optional(options?.rowGroupRows, (rows) => whole("rowGroupRows", rows))
  )

const writing = (options: ParquetWriterOptions | undefined): EncodeOptions => ({
  compression: options?.compression ?? "snappy",
  rowGroupRows: options?.rowGroupRows ?? 1024 * 1024,
  rowGroupBytes: 64 * 1024 * 1024
})

/**
 * Writes rows typed by a struct schema, row group by row group.
 *
 * `Schema.Number` is written as `double` (with `Parquet.Float32` and `Parquet.Int32` as `float` and `int32`),
 * `Schema.BigInt` as `int64`, `Schema.Date` as timestamp in milliseconds, vectors as `list<float>`.
 *
 * A value that Parquet cannot hold ends the writing with `Unencodable`, which names the column (within structs and lists the way to
 * the value), the row and the value: an integer of more than 64 bits, half of a surrogate pair, an invalid date, a finite number beyond
 * a 32-bit float. A row group ends at about 64 MiB, in structs and lists as well. Parquet has one kind of absence: a field that may be
 * missing and `null` comes back as `null`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const writer = <const Fields extends Schema.Struct.Fields>(
  schema: Schema.Struct<Fields>,
  options?: ParquetWriterOptions
): Writer<Schema.Struct<Fields>["Type"]> => ({
  format,
  extension: ".parquet",
  invalid: badWriting(options),
  encode: (rows) => encodeRows(rows, schema, writing(options))
})

/**
 * Writes record batches of one schema.
 *
 * @category constructors
 * @since 0.1.0
 */
export const batchWriter = (options?: ParquetWriterOptions): Writer<Arrow.RecordBatch> => ({
  format,
  extension: ".parquet",
  rowsOf: (batch) => batch.numRows,
  invalid: badWriting(options),
  encode: (batches) => encodeBatches(batches, writing(options))
})

export {
  /**
   * A number that is written as a 32-bit float.
   *
   * @category codecs
   * @since 0.1.0
   */
  Float32,
  /**
   * A number that is written as a 32-bit integer.
   *
   * @category codecs
   * @since 0.1.0
   */
  Int32
} from "./internal/parquet/write.ts"
