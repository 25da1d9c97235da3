/**
 * CSV by RFC 4180, typed by a struct `Schema`: the schema's string codec reads `"1.5"` for `Schema.Number`.
 *
 * An empty field is `null` if the schema allows `null`, and missing if it is optional; a quoted empty field is the
 * empty string if the schema has strings, as in Spark. A file is one split unless `multiline: false` says that no field
 * contains a line break.
 *
 * @since 0.1.0
 */
import { isUtf8 } from "node:buffer"
import { Effect, Result, Schema, Stream } from "effect"
import type { ColumnCondition } from "../task/Condition.ts"
import type { FilePart, PartitionedReadOptions, Source, Writer, VerifyOptions } from "../task/Format.ts"
import { Corrupt, type FormatError, SchemaMismatch, Unencodable } from "../task/FormatError.ts"
import { bytes, firstOf } from "../codec/internal/checks.ts"
import { badSyntax, type Records, recordsOf } from "./internal/text/csvRecords.ts"
import { rowDecoder } from "./internal/text/csvRows.ts"
import { badCompression, compress, encodeRows, type Refusal } from "./internal/encode.ts"
import { bytesSource, detail, fingerprint } from "./internal/files.ts"
import { foldersOf, rowsOf } from "./internal/folders.ts"
import { fail, toPaths } from "./internal/inputs.ts"
import { afterByteOf, decodePiece, emit, isGzip, readPieces, type TextPart } from "./internal/text/lines.ts"
import { badOnInvalidRow, decodeRows, type RawRows } from "./internal/rows.ts"
import { absent, type TextField, textFields } from "./internal/text/fields.ts"
import { verifiedOr } from "./internal/verified.ts"
import type { FileStatus } from "../storage/Storage.ts"
import { deferred } from "../task/internal/rows.ts"

const format = "csv"

/**
 * How CSV is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface CsvOptions extends VerifyOptions {
  /**
   * Whether the first record of each file names the columns (default `true`). If not, the columns are those of the
   * schema, in order.
   */
  readonly header?: boolean | undefined
  /** One character. Default `","`. */
  readonly delimiter?: string | undefined
  /** One character of ASCII, doubled to stand for itself. Default `"\""`. */
  readonly quote?: string | undefined
  /** Whether a quoted field may contain line breaks (default `true`). With `false`, big files are cut into splits. */
  readonly multiline?: boolean | undefined
  /** A row that does not decode fails the task (`"fail"`, default) or is set aside (`"deadLetter"`). */
  readonly onInvalidRow?: "fail" | "deadLetter" | undefined
  /** Longest record in bytes. Default 64 MiB. */
  readonly maxRecordBytes?: number | undefined
}

/**
 * How CSV is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface CsvWriterOptions {
  /** Default `true`. */
  readonly header?: boolean | undefined
  /** One character. Default `","`. */
  readonly delimiter?: string | undefined
  /** One character of ASCII, doubled to stand for itself. Default `"\""`. */
  readonly quote?: string | undefined
  /** Default none. */
  readonly compression?: "gzip" | undefined
}

/**
 * The rows of CSV files. Empty lines are skipped; a record with more or fewer fields than the header is an invalid row.
 *
 * @category constructors
 * @since 0.1.0
 */
export const source = <const Fields extends Schema.Struct.Fields>(
  path: string | ReadonlyArray<string>,
  schema: Schema.Struct<Fields>,
  options?: CsvOptions & PartitionedReadOptions<Schema.Struct<Fields>["Type"]>
): Source<Schema.Struct<Fields>["Type"]> =>
  verifiedOr(options, toPaths(path), (paths) => sourceOf(paths, schema, options, undefined))

/** The options, with defaults for those that are not given. */
const settingsOf = (options: CsvOptions | undefined) => ({
  header: options?.header ?? true,
  delimiter: options?.delimiter ?? ",",
  quote: options?.quote ?? '"',
  multiline: options?.multiline ?? true,
  onInvalidRow: options?.onInvalidRow ?? "fail",
  maxRecordBytes: options?.maxRecordBytes ?? 64 * 1024 * 1024
})

type Settings = ReturnType<typeof settingsOf>

const sourceOf = <const Fields extends Schema.Struct.Fields>(
  paths: ReadonlyArray<string>,
  schema: Schema.Struct<Fields>,
  options: (CsvOptions & PartitionedReadOptions<Schema.Struct<Fields>["Type"]>) | undefined,
  where: ReadonlyArray<ColumnCondition> | undefined
): Source<Schema.Struct<Fields>["Type"]> => {
  type A = Schema.Struct<Fields>["Type"]
  const folders = foldersOf<A>(format, schema, { names: options?.partitionColumns, where })
  const fields = textFields(folders?.others ?? schema)
  const settings = settingsOf(options)
  return bytesSource<A, Headers>({
    name: format,
    detail: detail(paths, {
      schema: fingerprint(Schema.toRepresentation(schema)),
      header: options?.header,
      delimiter: options?.delimiter,
      quote: options?.quote,
      multiline: options?.multiline,
      onInvalidRow: options?.onInvalidRow,
      partitionColumns: options?.partitionColumns
    }),
    paths,
    columns: Object.keys(schema.fields),
    invalid: firstOf(
      badSyntax(settings),
      badOnInvalidRow(options?.onInvalidRow),
      bytes("maxRecordBytes", settings.maxRecordBytes)
    ),
    folders,
    restrict: (more) => sourceOf(paths, schema, options, [...(where ?? []), ...more]),
    restricted: where,
    splittable: (file) => !settings.multiline && !isGzip(file.path),
    prepare: (files) => headersOf(files, fields, settings),
    read: (part, file, headers) =>
      readRows(part, file, rowDecoder(fields, headers.get(part.path) ?? []), settings).pipe(
        Stream.map((rows) => rowsOf(schema, folders, part.path, rows))
      )
  })
}

/** Records that were read together. */
interface Piece {
  readonly records: Records
  /** The line of the first one, counted from 0. */
  readonly firstLine: number
  /** Whether a record contains replaced bytes, which were not UTF-8. */
  readonly replaced: boolean
}

/** The records of a part. */
const readRecords = (part: TextPart, file: FileStatus, settings: Settings) => {
  const { maxRecordBytes, multiline, onInvalidRow, quote } = settings
  const cut = {
    format,
    path: part.path,
    maxBytes: maxRecordBytes,
    quote: multiline ? quote.charCodeAt(0) : undefined
  }
  return deferred(() => {
    let firstLine = 0
    return Stream.mapEffect(readPieces(part, file, cut), (piece) =>
      Effect.flatMap(
        decodePiece(piece, cut, onInvalidRow === "fail" ? "utf-8" : "replace"),
        (text): Effect.Effect<Piece, FormatError> => {
          const records = recordsOf(text, settings)
          if (Result.isFailure(records)) {
            const advice = multiline ? "" : "; if fields contain line breaks, read the file with multiline: true"
            const corrupt = new Corrupt({ offset: piece.offset, detail: `${records.failure}${advice}` })
            return Effect.fail(fail(format, part.path, corrupt))
          }
          const first = firstLine
          firstLine += records.success.lineCount
          const replaced = onInvalidRow === "deadLetter" && !isUtf8(piece.bytes)
          return Effect.succeed({ records: records.success, firstLine: first, replaced })
        }
      )
    )
  })
}

/** The columns of each file, by its path. */
type Headers = ReadonlyMap<string, ReadonlyArray<string>>

/** The columns of each file, checked against the schema. */
const headersOf = Effect.fnUntraced(function* (
  files: ReadonlyArray<FileStatus>,
  fields: ReadonlyArray<TextField>,
  settings: Settings
) {
  const entries = yield* Effect.forEach(
    files,
    Effect.fnUntraced(function* (file) {
      const names = settings.header ? yield* headerOf(file, settings) : fields.map((field) => field.name)
      const mismatch = settings.header && file.length > 0 ? misfit(fields, names) : undefined
      return mismatch === undefined ? ([file.path, names] as const) : yield* fail(format, file.path, mismatch)
    }),
    { concurrency: 16 }
  )
  return new Map(entries)
})

const headBytes = 64 * 1024

/** The first record of a file. */
const headerOf = Effect.fnUntraced(function* (file: FileStatus, settings: Settings) {
  const part = { path: file.path, offset: 0, length: Math.min(file.length, headBytes) }
  const first = yield* readRecords(part, file, settings).pipe(
    Stream.filter(({ records }) => records.length > 0),
    Stream.runHead
  )
  return first._tag === "Some" ? first.value.records.values(0) : []
})

/** The reason why a file with these column names cannot be read. */
const misfit = (fields: ReadonlyArray<TextField>, names: ReadonlyArray<string>): SchemaMismatch | undefined => {
  const missing = fields.find((field) => !field.optional && !names.includes(field.name))
  if (missing !== undefined) {
    return new SchemaMismatch({ column: missing.name, expected: missing.type, available: names })
  }
  const twice = fields.find(({ name }) => names.indexOf(name) !== names.lastIndexOf(name))
  if (twice === undefined) return undefined
  const expected = `one ${twice.type} column`
  return new SchemaMismatch({ column: twice.name, expected, found: "in the file more than once", available: names })
}

// A collector copies the rows of an array that is still in use. Those of a short one are mostly gone when it runs.
const rowsAtOnce = 2048

/** Some consecutive records of a piece. */
interface Run extends Piece {
  readonly from: number
  readonly to: number
}

const runsOf = (piece: Piece, skipped: number): ReadonlyArray<Run> =>
  Array.from({ length: Math.ceil((piece.records.length - skipped) / rowsAtOnce) }, (_, index) => {
    const from = skipped + index * rowsAtOnce
    return { ...piece, from, to: Math.min(piece.records.length, from + rowsAtOnce) }
  })

/** The rows of a part. */
const readRows = (part: TextPart, file: FileStatus, decode: ReturnType<typeof rowDecoder>, settings: Settings) =>
  deferred(() => {
    let hasHeader = settings.header && part.offset === 0
    const runs = Stream.map(readRecords(part, file, settings), (piece) => {
      const { length } = piece.records
      const skipped = hasHeader && length > 0 ? 1 : 0
      hasHeader = hasHeader && length === 0
      return runsOf(piece, skipped)
    })
    return Stream.mapEffect(emit(runs), (run) => {
      const { records, replaced } = run
      return decodeRows(format, rawRows(part, run), {
        decode: (record) =>
          replaced && records.values(record).some((cell) => cell.includes("\uFFFD"))
            ? Result.fail("is not UTF-8")
            : decode(records, record),
        show: (record) => JSON.stringify(records.values(record)),
        onInvalidRow: settings.onInvalidRow
      })
    })
  })

/** The numbers of the records, with the lines in which they begin. */
const rawRows = (part: FilePart, { firstLine, from, records, to }: Run): RawRows<number> => {
  const { lines } = records
  const start = from === 0 ? 0 : (lines?.[from] ?? from)
  const rows: Array<number> = []
  for (let record = from; record < to; record++) rows.push(record)
  return {
    path: part.path,
    firstLine: firstLine + start,
    afterByte: afterByteOf(part),
    rows,
    lines: lines?.subarray(from, to).map((line) => line - start)
  }
}

const skipped = "would be an empty line, because it is the only column and has no value, and empty lines are skipped"
const illFormed = "contains half a surrogate pair, which UTF-8 cannot encode"

/**
 * Writes CSV by RFC 4180, except that records end with LF.
 *
 * @category constructors
 * @since 0.1.0
 */
export const writer = <const Fields extends Schema.Struct.Fields>(
  schema: Schema.Struct<Fields>,
  options?: CsvWriterOptions
): Writer<Schema.Struct<Fields>["Type"]> => {
  type A = Schema.Struct<Fields>["Type"]
  const fields = textFields(schema)
  const delimiter = options?.delimiter ?? ","
  const quote = options?.quote ?? '"'
  const needsQuote = (text: string) => text.includes(delimiter) || text.includes(quote) || /[\r\n]|^\s|\s$/.test(text)
  const quoted = (text: string) => `${quote}${text.replaceAll(quote, quote + quote)}${quote}`
  const cell = (text: string) => (needsQuote(text) ? quoted(text) : text)
  const only = fields.length === 1
  const head = fields.map(({ name }) => (only && name === "" ? quoted("") : cell(name))).join(delimiter) + "\n"

  const refused = (column: string, detail: string, value: unknown): Result.Result<never, Refusal> =>
    Result.fail({ column, detail, value: value === absent ? undefined : value })

  const line = (row: A): Result.Result<string, Refusal> => {
    let text = ""
    for (let f = 0; f < fields.length; f++) {
      const field = fields[f]
      if (field === undefined) continue
      const value = field.get(row)
      const result = field.encode(value)
      if (Result.isFailure(result)) return refused(field.name, result.failure, value)
      const encoded = result.success
      if (f > 0) text += delimiter
      if (encoded === null) {
        // One empty cell would be an empty line, which readers skip.
        if (!only) continue
        if (field.takesEmpty) return refused(field.name, skipped, value)
        text += quoted("")
      } else {
        text += encoded === "" && (only || field.emptyIsNone) ? quoted("") : cell(encoded)
      }
    }
    return Result.succeed(`${text}\n`)
  }

  const whyIllFormed = (row: A): Refusal => {
    const found = fields.find((field) => {
      const result = field.encode(field.get(row))
      return Result.isSuccess(result) && result.success !== null && !result.success.isWellFormed()
    })
    const value = found?.get(row)
    return { column: found?.name, detail: illFormed, value }
  }

  return {
    format,
    extension: options?.compression === "gzip" ? ".csv.gz" : ".csv",
    invalid: firstOf(badSyntax({ delimiter, quote }), badCompression(options?.compression)),
    encode: <E, R>(rows: Stream.Stream<A, E, R>): Stream.Stream<Uint8Array, E | FormatError, R> => {
      const name = fields.find((field) => !field.name.isWellFormed())?.name
      if (name !== undefined) {
        return Stream.fail(fail(format, "", new Unencodable({ column: name, detail: `its name ${illFormed}` })))
      }
      const text = encodeRows(format, rows, line, whyIllFormed)
      return Stream.concat((options?.header ?? true) ? Stream.succeed(head) : Stream.empty, text).pipe(
        compress(options?.compression)
      )
    }
  }
}
