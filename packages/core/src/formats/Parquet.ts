/**
 * Parquet files, as rows typed by a `Schema` or as Arrow record batches.
 *
 * A split is a run of row groups. One row group is in memory at a time, both as it is in the file and decoded. If its
 * pages have more than 96 MiB before compression, it is decoded in slices of about 64 MiB, so that memory holds its
 * compressed bytes and two slices. Rows without lists, structs and decimals are decoded a few thousand at a time. Only
 * the requested columns are read, each row group with as few ranged reads as possible. The schema is matched with that
 * of each file before the first row is read.
 *
 * Vectors (`list<float>` without nulls) are copied out of their pages once and lie next to each other, in one buffer
 * per row group. They are written plain, without dictionary and statistics, and uncompressed if Snappy would not make
 * them smaller.
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
 * What a footer says about a file.
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
  /** Columns to read, in this order. Default all. */
  readonly columns?: ReadonlyArray<string> | undefined
  /** Columns that must be lists of float or double. This is checked before the first batch is read. */
  readonly vectors?: ReadonlyArray<string> | undefined
}

/**
 * How Parquet is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParquetWriterOptions {
  /** Default `"snappy"`, which leaves vectors as they are if they would not become smaller. */
  readonly compression?: "snappy" | "zstd" | "gzip" | "none" | undefined
  /** Most rows of a row group. Default 1 Mi; a row group also ends at about 16 MiB of rows, or 64 MiB of batches. */
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
export const batches: {
  <const C extends string>(
    path: string | ReadonlyArray<string>,
    options: BatchOptions & { readonly columns: ReadonlyArray<C> }
  ): Source<Arrow.RecordBatch<{ [K in C]: Arrow.DataType }>>
  (path: string | ReadonlyArray<string>, options?: BatchOptions): Source<Arrow.RecordBatch>
} = (path: string | ReadonlyArray<string>, options?: BatchOptions): Source<Arrow.RecordBatch> =>
  verifiedOr(options, toPaths(path), (paths) => batchSource(paths, options))

/**
 * The rows of Parquet files, typed by a struct schema.
 *
 * Columns that already have the type of the schema cost no more than reading them; for others, the schema's decoder for
 * the column runs. 64-bit integers are `Schema.BigInt`, or `Schema.Number` if all are safe integers.
 *
 * Timestamps are `Schema.Date` (whole milliseconds, floored), `Schema.Number` (milliseconds) or `Schema.BigInt` (in the
 * unit of the column; `INT96` is read in microseconds, and finer digits are cut off). A row with a date beyond the
 * range of `Date` is invalid. A `null` becomes a missing key if the field is optional, unless the field may be `null`.
 * A requested column that cannot be read, because it is encrypted, appears twice or is a decimal of more than 76
 * digits, is a `SchemaMismatch`.
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

const writing = (options: ParquetWriterOptions | undefined, rowGroupBytes: number): EncodeOptions => ({
  compression: options?.compression ?? "snappy",
  rowGroupRows: options?.rowGroupRows ?? 1024 * 1024,
  rowGroupBytes
})

/**
 * Writes rows typed by a struct schema, row group by row group.
 *
 * `Schema.Number` is written as `double` (with `Parquet.Float32` and `Parquet.Int32` as `float` and `int32`),
 * `Schema.BigInt` as `int64`, `Schema.Date` as timestamp in milliseconds, vectors as `list<float>`.
 *
 * A value that Parquet cannot hold ends the write with `Unencodable`, which names the column (in structs and lists, the
 * path of the value), the row and the value: an integer of more than 64 bits, half of a surrogate pair, an invalid
 * date, a finite number beyond a 32-bit float. A row group ends at about 16 MiB, also with structs and lists. Parquet
 * has only one kind of absence: a field that may be missing or `null` is read back as `null`.
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
  encode: (rows) => encodeRows(rows, schema, writing(options, 16 * 1024 * 1024))
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
  encode: (batches) => encodeBatches(batches, writing(options, 64 * 1024 * 1024))
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
