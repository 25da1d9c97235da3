import type { Schema } from "effect"
import { dual } from "effect/Function"
import type { RecordBatch } from "apache-arrow"
import type { Action } from "../../engine/Action.ts"
import * as Commit from "../../commit/Commit.ts"
import type { Manifest, OutputOptions } from "../../commit/Commit.ts"
import * as Csv from "../../formats/Csv.ts"
import * as JsonLines from "../../formats/JsonLines.ts"
import * as Parquet from "../../formats/Parquet.ts"
import * as Text from "../../formats/Text.ts"
import { codecOf } from "../../formats/internal/rows.ts"
import type { Writer } from "../../task/Format.ts"
import { type Dataset, isDataset } from "./model.ts"
import { writePartitioned } from "./partitionBy.ts"

/**
 * What the write actions take besides the options of their format.
 *
 * @category models
 * @since 0.1.0
 */
export type WriteOptions = OutputOptions

/**
 * What the write actions take if their rows have columns.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionedWriteOptions<in out A> extends WriteOptions {
  /**
   * Columns whose values become folders, `country=DE/year=2024`, the first one outermost, as with Spark's
   * `partitionBy`. They are left out of the files. Characters that a folder name cannot have are percent-escaped.
   * `null`, missing values and the empty string become `__HIVE_DEFAULT_PARTITION__`; in a column that may be `null` or
   * missing, the empty string is refused, because it would be read back as that. The sources read them back with
   * `partitionColumns`. Default none.
   */
  readonly partitionBy?: ReadonlyArray<keyof A & string> | undefined
  /**
   * Estimated bytes of rows that a task holds while it sorts them into folders; beyond that, a folder gets several
   * files. Default 64 MiB.
   */
  readonly partitionBufferBytes?: number | undefined
}

/**
 * Writes the elements with a {@link Writer}, one file per partition, into a directory that appears at once with its `_SUCCESS` or not
 * at all (see `Commit`). Yields the manifest.
 *
 * @category actions
 * @since 0.1.0
 */
export const write: {
  <A>(path: string, writer: Writer<A>, options?: WriteOptions): <E, R>(self: Dataset<A, E, R>) => Action<Manifest, E, R>
  <A, E, R>(self: Dataset<A, E, R>, path: string, writer: Writer<A>, options?: WriteOptions): Action<Manifest, E, R>
  // Repeated for better errors: if no signature fits, TypeScript explains only why the last does not.
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
  // Repeated for better errors: if no signature fits, TypeScript explains only why the last does not.
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
  // Repeated for better errors: if no signature fits, TypeScript explains only why the last does not.
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
  // Repeated for better errors: if no signature fits, TypeScript explains only why the last does not.
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
  // Repeated for better errors: if no signature fits, TypeScript explains only why the last does not.
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
  // Repeated for better errors: if no signature fits, TypeScript explains only why the last does not.
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
