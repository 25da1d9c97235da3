/**
 * CSV by RFC 4180, typed by a struct `Schema`: the schema's string codec reads `"1.5"` for `Schema.Number`.
 *
 * An empty field is `null` where the schema allows `null`, and missing where it is optional. A file is one split unless
 * `multiline: false` says that no field has a line break in it.
 *
 * @since 0.1.0
 */
import { parse } from "csv-parse/sync"
import { Effect, Result, Schema, Stream } from "effect"
import type { ColumnCondition } from "../Condition.ts"
import type { PartitionedReadOptions, Source, Writer } from "../Format.ts"
import { Corrupt, type FormatError, SchemaMismatch, Unencodable } from "../FormatError.ts"
import { compress } from "../internal/formats/encode.ts"
import { bytesSource, detail, fingerprint } from "../internal/formats/files.ts"
import { foldersOf } from "../internal/formats/folders.ts"
import { fail, toPaths } from "../internal/formats/inputs.ts"
import { decodePiece, isGzip, readPieces } from "../internal/formats/lines.ts"
import { decodeRows } from "../internal/formats/rows.ts"
import { textFields } from "../internal/formats/textFields.ts"
import type { FileStatus } from "../Storage.ts"

const format = "csv"

/**
 * How CSV is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface CsvOptions {
  /** Whether the first record of each file names the columns (default `true`); else they are those of the schema, in order. */
  readonly header?: boolean | undefined
  /** One character. Default `","`. */
  readonly delimiter?: string | undefined
  /** One character, doubled to stand for itself. Default `"\""`. */
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
  /** Default `","`. */
  readonly delimiter?: string | undefined
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
): Source<Schema.Struct<Fields>["Type"]> => sourceOf(toPaths(path), schema, options, undefined)

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
  const cutOptions = (path: string) => ({
    format,
    path,
    maxBytes: options?.maxRecordBytes ?? 64 * 1024 * 1024,
    quote: multiline ? quote.charCodeAt(0) : undefined
  })

  const parsePiece = (path: string, offset: number, text: string) =>
    Effect.try({
      try: (): Array<Array<string>> =>
        parse(text, {
          delimiter,
          quote,
          relax_column_count: true,
          skip_empty_lines: true,
          record_delimiter: ["\r\n", "\n", "\r"]
        }),
      catch: (error) =>
        fail(format, path, new Corrupt({ offset, detail: error instanceof Error ? error.message : String(error) }))
    })

  const records = (
    part: { readonly path: string; readonly offset: number; readonly length: number },
    file: FileStatus
  ) =>
    Stream.mapEffect(readPieces(part, file, cutOptions(part.path)), (piece) =>
      Effect.flatMap(decodePiece(piece, cutOptions(part.path), "utf-8"), (text) =>
        parsePiece(part.path, piece.offset, text)
      )
    )

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
      const first = yield* records({ path: file.path, offset: 0, length: Math.min(file.length, 64 * 1024) }, file).pipe(
        Stream.runHead
      )
      const names = first._tag === "Some" ? (first.value[0] ?? []) : []
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
    folders,
    restrict: (more) => sourceOf(paths, schema, options, [...(where ?? []), ...more]),
    restricted: where,
    splittable: (file) => !multiline && !isGzip(file.path),
    prepare,
    read: (part, file, headers) => {
      const names = headers.get(part.path) ?? []
      const places = fields.map((field) => names.indexOf(field.name))
      const decode = (record: ReadonlyArray<string>): Result.Result<A, string> => {
        if (record.length !== names.length) {
          return Result.fail(`has ${record.length} fields, ${names.length} expected`)
        }
        const row: Record<string, unknown> = {}
        for (let f = 0; f < fields.length; f++) {
          const field = fields[f]
          const text = record[places[f] ?? -1]
          if (field === undefined || text === undefined) continue
          const result = field.decode(text)
          if (Result.isFailure(result)) return Result.fail(`column "${field.name}": ${result.failure}`)
          if (result.success !== undefined) row[field.name] = result.success
        }
        return Result.succeed(row as A)
      }
      return Stream.suspend(() => {
        let row = 0
        let skip = header && part.offset === 0
        return Stream.mapEffect(records(part, file), (records) => {
          const data = skip ? records.slice(1) : records
          skip = false
          const first = row
          row += data.length
          return decodeRows(
            format,
            part.path,
            first,
            data,
            decode,
            (record) => JSON.stringify(record),
            options?.onInvalidRow ?? "fail"
          )
        })
      })
    }
  })
}

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
  const needsQuote = (text: string) => text.includes(delimiter) || /["\r\n]|^\s|\s$/.test(text)
  const cell = (text: string) => (needsQuote(text) ? `"${text.replaceAll('"', '""')}"` : text)
  // One empty cell would be an empty line, which readers skip.
  const line = (cells: ReadonlyArray<string>) => (cells.length === 1 && cells[0] === "" ? '""' : cells.join(delimiter))
  return {
    format,
    extension: options?.compression === "gzip" ? ".csv.gz" : ".csv",
    encode: <E, R>(rows: Stream.Stream<A, E, R>): Stream.Stream<Uint8Array, E | FormatError, R> => {
      const text = Stream.mapArrayEffect(rows, (chunk) => {
        let out = ""
        for (const row of chunk) {
          const record = row as Readonly<Record<string, unknown>>
          const cells: Array<string> = []
          for (const field of fields) {
            const result = field.encode(record[field.name])
            if (Result.isFailure(result)) {
              return Effect.fail(fail(format, "", new Unencodable({ column: field.name, detail: result.failure })))
            }
            cells.push(cell(result.success))
          }
          out += line(cells) + "\n"
        }
        return Effect.succeed([out] as const)
      })
      const head =
        (options?.header ?? true) ? Stream.succeed(line(fields.map((field) => cell(field.name))) + "\n") : Stream.empty
      return Stream.concat(head, text).pipe(compress(options?.compression))
    }
  }
}
