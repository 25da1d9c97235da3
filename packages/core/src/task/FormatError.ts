/**
 * The error of reading and writing rows: what is wrong with the data, as opposed to with the storage below it.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { StorageError } from "../storage/StorageError.ts"
import { placeOf } from "../storage/internal/place.ts"

/**
 * There is nothing to read: the path does not exist, matches nothing, or holds no data file.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoInput extends Schema.TaggedError<NoInput>("@sluice/core/FormatError/NoInput")("NoInput", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A column is missing, or its type is not the requested one. This is found in the metadata, before the first row is
 * read.
 *
 * @category errors
 * @since 0.1.0
 */
export class SchemaMismatch extends Schema.TaggedError<SchemaMismatch>("@sluice/core/FormatError/SchemaMismatch")(
  "SchemaMismatch",
  {
    column: Schema.String,
    expected: Schema.String,
    /** The type in the file. Missing if the file has no such column. */
    found: Schema.optional(Schema.String),
    /** The columns of the file, each `name: type`. */
    available: Schema.Array(Schema.String)
  }
) {
  override get message(): string {
    const what =
      this.found === undefined
        ? `there is no column "${this.column}" (${this.expected} was asked for)`
        : `column "${this.column}" is ${this.found}, but ${this.expected} was asked for`
    return `${what}; the columns are ${this.available.join(", ")}`
  }
}

/**
 * One row does not decode.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRow extends Schema.TaggedError<InvalidRow>("@sluice/core/FormatError/InvalidRow")("InvalidRow", {
  /** Row group, where the format has them. */
  rowGroup: Schema.optional(Schema.Number),
  /** Row in the row group, or the line in which the row begins (see `afterByte`), counted from 0. */
  row: Schema.Number,
  /** In text formats, the line of the file in which the row begins, counted from 1, where that is known. */
  line: Schema.optional(Schema.Number),
  /**
   * In text formats, for a later split of a file, where the number of lines before the split is not known: the byte of
   * the file after which lines are counted. `row` 0 is the first line that begins after it.
   */
  afterByte: Schema.optional(Schema.Number),
  detail: Schema.String
}) {
  override get message(): string {
    return `${placeOf(this)}: ${this.detail}`
  }
}

/**
 * The file is not what its format says: truncated, wrong magic number, bad checksum, not UTF-8.
 *
 * @category errors
 * @since 0.1.0
 */
export class Corrupt extends Schema.TaggedError<Corrupt>("@sluice/core/FormatError/Corrupt")("Corrupt", {
  /** Byte offset where the fault was noticed, if known. */
  offset: Schema.optional(Schema.Number),
  detail: Schema.String
}) {
  override get message(): string {
    return this.offset === undefined ? this.detail : `at byte ${this.offset}: ${this.detail}`
  }
}

/**
 * The file has changed since the job was planned: its length differs, it was written again, or it was deleted.
 *
 * @category errors
 * @since 0.1.0
 */
export class InputChanged extends Schema.TaggedError<InputChanged>("@sluice/core/FormatError/InputChanged")(
  "InputChanged",
  { detail: Schema.String }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A value cannot be written in this format, such as `undefined` in a required column or a line break in a text line.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unencodable extends Schema.TaggedError<Unencodable>("@sluice/core/FormatError/Unencodable")(
  "Unencodable",
  {
    /** The column; in structs and lists, the path of the value, as in `person.tags[3]`. */
    column: Schema.optional(Schema.String),
    /** The row in its file, counted from 0; if a folder is to be named after the row, the row in its task. */
    row: Schema.optional(Schema.Number),
    /** The value as shortened JSON. */
    value: Schema.optional(Schema.String),
    /** Where the row was read, where that is known. */
    origin: Schema.optional(Schema.String),
    detail: Schema.String
  }
) {
  override get message(): string {
    const row =
      this.row === undefined ? "" : `row ${this.row}${this.origin === undefined ? "" : `, from ${this.origin}`}`
    const column = this.column === undefined ? "" : `column "${this.column}"`
    const value = this.value === undefined ? "" : ` (value ${this.value})`
    const where = [row, column].filter((part) => part !== "").join(", ")
    return `${where === "" ? "" : `${where}: `}${this.detail}${value}`
  }
}

/**
 * The storage below failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class StorageFailed extends Schema.TaggedError<StorageFailed>("@sluice/core/FormatError/StorageFailed")(
  "StorageFailed",
  {
    error: StorageError
  }
) {
  override get message(): string {
    return this.error.message
  }
}

/**
 * The files of an output are not the ones in its manifest (`_SUCCESS`), or there is no manifest.
 *
 * @category errors
 * @since 0.1.0
 */
export class ManifestMismatch extends Schema.TaggedError<ManifestMismatch>("@sluice/core/FormatError/ManifestMismatch")(
  "ManifestMismatch",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * What can be wrong.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  NoInput,
  SchemaMismatch,
  InvalidRow,
  Corrupt,
  InputChanged,
  Unencodable,
  StorageFailed,
  ManifestMismatch
])

/**
 * What can be wrong.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * Rows could not be read or written.
 *
 * @category errors
 * @since 0.1.0
 */
export class FormatError extends Schema.TaggedError<FormatError>("@sluice/core/FormatError")("FormatError", {
  /** `text`, `csv`, `jsonLines`, `parquet`. */
  format: Schema.String,
  /** The file, or the path asked for. */
  path: Schema.String,
  reason: Reason
}) {
  override get message(): string {
    return `${this.format} ${this.path}: ${this.reason.message}`
  }

  /** Whether the same call may succeed later. */
  get isRetryable(): boolean {
    return this.reason._tag === "StorageFailed" && this.reason.error.isRetryable
  }
}
