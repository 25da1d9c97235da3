/**
 * JSON Lines: one JSON value per line, typed by a `Schema`.
 *
 * Values that JSON has no type for are written by the schema's canonical JSON codec: dates as ISO 8601, bigints as strings,
 * bytes as base64, `NaN` and the infinities as the strings of their names. `-0` is `-0`, and half a surrogate pair is
 * escaped. A field with the value `undefined` is written as `null`; a missing field stays missing.
 *
 * @since 0.1.0
 */
import { Effect, Predicate, Result, Schema, Stream } from "effect"
import type { ColumnCondition } from "../task/Condition.ts"
import type { PartitionedReadOptions, Source, Writer, VerifyOptions } from "../task/Format.ts"
import type { FormatError } from "../task/FormatError.ts"
import { bytes, firstOf } from "../codec/internal/checks.ts"
import { badCompression, compress, encodeRows, type Refusal } from "./internal/encode.ts"
import { bytesSource, detail, fingerprint } from "./internal/files.ts"
import { foldersOf, rowsOf } from "./internal/folders.ts"
import { toPaths } from "./internal/inputs.ts"
import { isGzip, type Lines, readLines } from "./internal/text/lines.ts"
import { mayHaveNumbers, readBack } from "./internal/readBack.ts"
import { badOnInvalidRow, codecOf, decodeRows, type RawRows } from "./internal/rows.ts"
import { verifiedOr } from "./internal/verified.ts"

const format = "jsonLines"

/**
 * How JSON Lines are read.
 *
 * @category models
 * @since 0.1.0
 */
export interface JsonLinesOptions extends VerifyOptions {
  /** A line that is not JSON or does not decode fails the task (`"fail"`, default) or is set aside (`"deadLetter"`). */
  readonly onInvalidRow?: "fail" | "deadLetter" | undefined
  /** Longest line in bytes. Default 64 MiB. */
  readonly maxLineBytes?: number | undefined
}

/**
 * How JSON Lines are written.
 *
 * @category models
 * @since 0.1.0
 */
export interface JsonLinesWriterOptions {
  /** Default none. */
  readonly compression?: "gzip" | undefined
}

/**
 * The values of JSON Lines files. Empty lines, and those of spaces and tabs, are skipped.
 *
 * @category constructors
 * @since 0.1.0
 */
export const source = <A, I>(
  path: string | ReadonlyArray<string>,
  schema: Schema.Codec<A, I>,
  options?: JsonLinesOptions & PartitionedReadOptions<A>
): Source<A> => verifiedOr(options, toPaths(path), (paths) => sourceOf(paths, schema, options, undefined))

const sourceOf = <A, I>(
  paths: ReadonlyArray<string>,
  schema: Schema.Codec<A, I>,
  options: (JsonLinesOptions & PartitionedReadOptions<A>) | undefined,
  where: ReadonlyArray<ColumnCondition> | undefined
): Source<A> => {
  const folders = foldersOf(format, schema, { names: options?.partitionColumns, where })
  const decode: (line: string) => Result.Result<unknown, string> =
    folders === undefined ? decoderOf(schema) : decoderOf(codecOf(folders.others))
  const onInvalidRow = options?.onInvalidRow ?? "fail"
  const settings = {
    encoding: onInvalidRow === "fail" ? "utf-8" : "mark",
    maxBytes: options?.maxLineBytes ?? 64 * 1024 * 1024
  } as const
  return bytesSource<A>({
    name: format,
    detail: detail(paths, {
      schema: fingerprint(Schema.toRepresentation(schema)),
      onInvalidRow: options?.onInvalidRow,
      partitionColumns: options?.partitionColumns
    }),
    paths,
    folders,
    restrict: (more) => sourceOf(paths, schema, options, [...(where ?? []), ...more]),
    restricted: where,
    columns: undefined,
    invalid: firstOf(badOnInvalidRow(options?.onInvalidRow), bytes("maxLineBytes", settings.maxBytes)),
    splittable: (file) => !isGzip(file.path),
    prepare: () => Effect.void,
    read: (part, file) =>
      readLines(format, part, file, settings).pipe(
        Stream.mapEffect((lines) =>
          decodeRows(format, withoutBlank(lines), {
            decode: ({ isText, line }) => (isText ? decode(line) : Result.fail("is not UTF-8")),
            show: ({ line }) => line,
            onInvalidRow
          })
        ),
        Stream.map((rows) => rowsOf(schema, folders, part.path, rows))
      )
  })
}

interface Line {
  readonly line: string
  readonly isText: boolean
}

// What JSON counts as white space; a line of other characters that look like white space is not JSON.
const isBlank = (line: string): boolean => /^[ \t]*$/.test(line)

const withoutBlank = ({ isBad, lines, ...place }: Lines): RawRows<Line> => {
  const rows: Array<Line> = []
  const at: Array<number> = []
  for (const [index, line] of lines.entries()) {
    if (isBlank(line)) continue
    rows.push({ line, isText: isBad === undefined || !isBad(index) })
    at.push(index)
  }
  return { ...place, rows, lines: at.length === lines.length ? undefined : Int32Array.from(at) }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const decoderOf = <A, I>(schema: Schema.Codec<A, I>): ((line: string) => Result.Result<A, string>) => {
  const decode = Schema.decodeUnknownResult(Schema.toCodecJson(schema))
  return (line) => {
    let json: unknown
    try {
      json = JSON.parse(line)
    } catch (error) {
      return Result.fail(`is not JSON: ${messageOf(error)}`)
    }
    return Result.mapError(decode(json), (error) => error.message)
  }
}

// Numbers that `JSON.stringify` would write as something else.
const hasNegativeZero = (json: unknown): boolean => {
  if (typeof json === "number") return Object.is(json, -0)
  if (Array.isArray(json)) return json.some(hasNegativeZero)
  if (!Predicate.isObject(json)) return false
  for (const key in json) if (hasNegativeZero(json[key])) return true
  return false
}

// Every supported Node has it, but TypeScript's library does not yet. Without it, the sign would be lost.
const rawJson = (text: string): unknown => {
  if (!Predicate.hasProperty(JSON, "rawJSON") || !Predicate.isFunction(JSON.rawJSON)) {
    throw new Error("this runtime has no JSON.rawJSON")
  }
  return JSON.rawJSON(text)
}

const negativeZero = rawJson("-0")

const encoderOf = <A, I>(schema: Schema.Codec<A, I>): ((row: A) => Result.Result<string, Refusal>) => {
  const encode = Schema.encodeUnknownResult(Schema.toCodecJson(schema))
  const differs = readBack(schema, "json", decoderOf(schema))
  const numbers = mayHaveNumbers(Schema.toCodecJson(schema).ast)
  return (row) => {
    const tree = encode(row)
    if (Result.isFailure(tree)) return Result.fail({ detail: tree.failure.message, value: row })
    const json: unknown = tree.success
    let text: string | undefined
    try {
      text =
        numbers && hasNegativeZero(json)
          ? JSON.stringify(json, (_, value: unknown) => (Object.is(value, -0) ? negativeZero : value))
          : JSON.stringify(json)
    } catch (error) {
      return Result.fail({ detail: `cannot be written as JSON: ${messageOf(error)}`, value: row })
    }
    if (text === undefined) return Result.fail({ detail: "cannot be written as JSON", value: row })
    const why = differs?.(row, text)
    return why === undefined ? Result.succeed(`${text}\n`) : Result.fail({ detail: why, value: row })
  }
}

/**
 * Writes one JSON value per row. A row whose JSON would be read back as a different value fails with `Unencodable`;
 * such rows have a union whose members look the same in JSON, or a type without a schema (`Schema.Unknown`).
 *
 * @category constructors
 * @since 0.1.0
 */
export const writer = <A, I>(schema: Schema.Codec<A, I>, options?: JsonLinesWriterOptions): Writer<A> => {
  const encode = encoderOf(schema)
  return {
    format,
    extension: options?.compression === "gzip" ? ".jsonl.gz" : ".jsonl",
    invalid: badCompression(options?.compression),
    encode: <E, R>(rows: Stream.Stream<A, E, R>): Stream.Stream<Uint8Array, E | FormatError, R> =>
      // JSON escapes half a surrogate pair, so its text is always well-formed.
      encodeRows(format, rows, encode, (row) => ({ detail: "is not valid Unicode", value: row })).pipe(
        compress(options?.compression)
      )
  }
}
