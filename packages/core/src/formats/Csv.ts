/**
 * CSV by RFC 4180, typed by a struct `Schema`: the schema's string codec reads `"1.5"` for `Schema.Number`.
 *
 * An empty field is `null` where the schema allows `null`, and missing where it is optional; one that is quoted is the empty string
 * where the schema has strings, as in Spark. A file is one split unless `multiline: false` says that no field has a line break in it.
 *
 * @since 0.1.0
 */
import { isUtf8 } from "node:buffer"
import { Effect, Result, Schema, Stream } from "effect"
import type { ColumnCondition } from "../task/Condition.ts"
import type { FilePart, PartitionedReadOptions, Source, Writer, VerifyOptions } from "../task/Format.ts"
import { Corrupt, type FormatError, SchemaMismatch, Unencodable } from "../storage/FormatError.ts"
import { bytes, firstOf } from "../codec/internal/checks.ts"
import { badSyntax, type Cell, parseRecords, quotedEmpty } from "./internal/text/csvRecords.ts"
import { badCompression, compress, encodeRows, type Refusal } from "./internal/encode.ts"
import { bytesSource, detail, fingerprint } from "./internal/files.ts"
import { foldersOf, rowsOf } from "./internal/folders.ts"
import { fail, toPaths } from "./internal/inputs.ts"
import { afterByteOf, decodePiece, isGzip, readPieces } from "./internal/text/lines.ts"
import { badOnInvalidRow, decodeRows, type RawRows } from "./internal/rows.ts"
import { absent, textFields } from "./internal/text/fields.ts"
import { verifiedOr } from "./internal/verified.ts"
import type { FileStatus } from "../storage/Storage.ts"

const format = "csv"

const defaultRecordBytes = 64 * 1024 * 1024

/**
 * How CSV is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface CsvOptions extends VerifyOptions {
  /** Whether the first record of each file names the columns (default `true`); else they are those of the schema, in order. */
  readonly header?: boolean | undefined
  /** One character. Default `","`. */
  readonly delimiter?: string | undefined
  /** One character of ASCII, doubled to stand for itself. Default `"\""`. */
  readonly quote?: string | undefined
  /** Whether a quoted field may have line breaks (default `true`). With `false` big files are cut into splits. */
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
 * The rows of CSV files. Empty lines are skipped; a record of another number of fields than the header is an invalid row.
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

const sourceOf = <const Fields extends Schema.Struct.Fields>(
  paths: ReadonlyArray<string>,
  schema: Schema.Struct<Fields>,
  options: (CsvOptions & PartitionedReadOptions<Schema.Struct<Fields>["Type"]>) | undefined,
  where: ReadonlyArray<ColumnCondition> | undefined
): Source<Schema.Struct<Fields>["Type"]> => {
  type A = Schema.Struct<Fields>["Type"]
  const folders = foldersOf<A>(format, schema, { names: options?.partitionColumns, where })
  const fields = textFields(folders?.others ?? schema)
  const header = options?.header ?? true
  const delimiter = options?.delimiter ?? ","
  const quote = options?.quote ?? '"'
  const multiline = options?.multiline ?? true
  const tellsEmpty = fields.some((field) => field.emptyIsNone && field.takesEmpty)
  const onInvalidRow = options?.onInvalidRow ?? "fail"
  const cutOptions = (path: string) => ({
    format,
    path,
    maxBytes: options?.maxRecordBytes ?? defaultRecordBytes,
    quote: multiline ? quote.charCodeAt(0) : undefined
  })

  // Records with bytes that are not UTF-8.
  const noText = new WeakSet<Raw>()
  let hasNoText = false

  /** The records of a part, as many at a time as were read at once. */
  const recordsOf = (part: FilePart, file: FileStatus) =>
    Stream.suspend(() => {
      const cut = cutOptions(part.path)
      let firstLine = 0
      return Stream.mapEffect(readPieces(part, file, cut), (piece) => {
        return Effect.flatMap(
          decodePiece(piece, cut, onInvalidRow === "fail" ? "utf-8" : "replace"),
          (text): Effect.Effect<RawRows<Raw>, FormatError> => {
            const parsed = parseRecords(text, { delimiter, quote }, tellsEmpty)
            if (Result.isFailure(parsed)) {
              const advice = multiline ? "" : "; a file that has fields with line breaks is read with multiline: true"
              const corrupt = new Corrupt({ offset: piece.offset, detail: `${parsed.failure}${advice}` })
              return Effect.fail(fail(format, part.path, corrupt))
            }
            const { count, lines, records } = parsed.success
            if (onInvalidRow === "deadLetter" && !isUtf8(piece.bytes)) {
              for (const cells of records) if (cells.some(hasReplacement)) noText.add(cells)
              hasNoText = true
            }
            const first = firstLine
            firstLine += count
            return Effect.succeed({
              path: part.path,
              firstLine: first,
              afterByte: afterByteOf(part),
              rows: records,
              lines
            })
          }
        )
      })
    })

  /** The columns of each file, checked against the schema. */
  const prepare = Effect.fnUntraced(function* (files: ReadonlyArray<FileStatus>) {
    const headers = new Map<string, ReadonlyArray<string>>()
    for (const file of files) {
      if (!header) {
        headers.set(
          file.path,
          fields.map((field) => field.name)
        )
        continue
      }
      const part = { path: file.path, offset: 0, length: Math.min(file.length, 64 * 1024) }
      const first = yield* recordsOf(part, file).pipe(
        Stream.filter(({ rows }) => rows.length > 0),
        Stream.runHead
      )
      const cells = first._tag === "Some" ? (first.value.rows[0] ?? []) : []
      const names = cells.map(textOf)
      headers.set(file.path, names)
      if (file.length === 0) continue
      const missing = fields.find((field) => !field.optional && !names.includes(field.name))
      if (missing !== undefined) {
        return yield* fail(
          format,
          file.path,
          new SchemaMismatch({ column: missing.name, expected: missing.type, available: names })
        )
      }
      const twice = fields.find(({ name }) => names.indexOf(name) !== names.lastIndexOf(name))
      if (twice !== undefined) {
        return yield* fail(
          format,
          file.path,
          new SchemaMismatch({
            column: twice.name,
            expected: `${twice.type} once`,
            found: "there more than once",
            available: names
          })
        )
      }
    }
    return headers
  })

  return bytesSource<A, ReadonlyMap<string, ReadonlyArray<string>>>({
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
      badSyntax({ delimiter, quote }),
      badOnInvalidRow(options?.onInvalidRow),
      bytes("maxRecordBytes", options?.maxRecordBytes ?? defaultRecordBytes)
    ),
    folders,
    restrict: (more) => sourceOf(paths, schema, options, [...(where ?? []), ...more]),
    restricted: where,
    splittable: (file) => !multiline && !isGzip(file.path),
    prepare,
    read: (part, file, headers) => {
      const names = headers.get(part.path) ?? []
      const places = fields.map((field) => names.indexOf(field.name))
      const decode = (cells: Raw): Result.Result<unknown, string> => {
        if (hasNoText && noText.has(cells)) return Result.fail("is not UTF-8")
        if (cells.length !== names.length) return Result.fail(`has ${cells.length} fields, ${names.length} expected`)
        const row: Record<string, unknown> = {}
        for (let f = 0; f < fields.length; f++) {
          const field = fields[f]
          const cell = cells[places[f] ?? -1]
          if (field === undefined || cell === undefined) continue
          const result = cell === quotedEmpty ? field.decode("", true) : field.decode(cell)
          if (Result.isFailure(result)) return Result.fail(`column "${field.name}": ${result.failure}`)
          field.set(row, result.success)
        }
        return Result.succeed(row)
      }
      return Stream.suspend(() => {
        let skip = header && part.offset === 0
        return Stream.mapEffect(recordsOf(part, file), (records) => {
          const data = skip ? behindFirst(records) : records
          skip = skip && records.rows.length === 0
          return decodeRows(format, data, {
            decode,
            show: (cells) => JSON.stringify(cells.map(textOf)),
            onInvalidRow
          })
        })
      }).pipe(Stream.map((rows) => rowsOf(schema, folders, part.path, rows)))
    }
  })
}

type Raw = ReadonlyArray<Cell>

const textOf = (cell: Cell): string => (cell === quotedEmpty ? "" : cell)

// In a text that is not UTF-8: the replaced bytes are somewhere in the record, if it is not U+FFFD itself.
const hasReplacement = (cell: Cell): boolean => cell !== quotedEmpty && cell.includes("\uFFFD")

const behindFirst = <R>(records: RawRows<R>): RawRows<R> => {
  const { firstLine, lines, rows } = records
  if (rows.length === 0) return records
  const start = lines?.[1] ?? 1
  return {
    ...records,
    firstLine: firstLine + start,
    rows: rows.slice(1),
    lines: lines?.subarray(1).map((line) => line - start)
  }
}

const skipped = "is nothing, and in the only column would be an empty line, which is skipped"
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
