/**
 * JSON Lines: one JSON value a line, typed by a `Schema`.
 *
 * What JSON has no type for is written by the schema's canonical JSON codec: dates as ISO 8601, bigints as strings, bytes
 * as base64.
 *
 * @since 0.1.0
 */
import { Effect, Result, Schema, Stream } from "effect"
import type { ColumnCondition } from "../Condition.ts"
import type { PartitionedReadOptions, Source, Writer } from "../Format.ts"
import { type FormatError, Unencodable } from "../FormatError.ts"
import { compress } from "../internal/formats/encode.ts"
import { bytesSource, detail, fingerprint } from "../internal/formats/files.ts"
import { foldersOf } from "../internal/formats/folders.ts"
import { fail, toPaths } from "../internal/formats/inputs.ts"
import { isGzip, readLines } from "../internal/formats/lines.ts"
import { codecOf, decodeRows } from "../internal/formats/rows.ts"
import * as Origin from "../Origin.ts"

const format = "jsonLines"

/**
 * How JSON Lines are read.
 *
 * @category models
 * @since 0.1.0
 */
export interface JsonLinesOptions {
  /** A line that is no JSON or does not decode fails the task (`"fail"`, default) or is set aside (`"deadLetter"`). */
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
 * The values of JSON Lines files. Empty lines are skipped.
 *
 * @category constructors
 * @since 0.1.0
 */
export const source = <A, I>(
  path: string | ReadonlyArray<string>,
  schema: Schema.Codec<A, I>,
  options?: JsonLinesOptions & PartitionedReadOptions<A>
): Source<A> => sourceOf(toPaths(path), schema, options, undefined)

const sourceOf = <A, I>(
  paths: ReadonlyArray<string>,
  schema: Schema.Codec<A, I>,
  options: (JsonLinesOptions & PartitionedReadOptions<A>) | undefined,
  where: ReadonlyArray<ColumnCondition> | undefined
): Source<A> => {
  const folders = foldersOf(format, schema, { names: options?.partitionColumns, where })
  // Without the columns of the folders a row is not yet an `A`; `folders` completes it.
  const lines = folders === undefined ? schema : (codecOf(folders.others) as Schema.Codec<A, I>)
  const decodeValue = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.toCodecJson(lines)))
  const decode = (line: string) => Result.mapError(decodeValue(line), (error) => error.message)
  const settings = { encoding: "utf-8", maxBytes: options?.maxLineBytes ?? 64 * 1024 * 1024 } as const
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
    splittable: (file) => !isGzip(file.path),
    prepare: () => Effect.void,
    read: (part, file) =>
      Stream.mapEffect(readLines(format, part, file, settings), (lines) =>
        decodeRows(
          format,
          part.path,
          Origin.of(lines)?.firstRow ?? 0,
          lines.filter((line) => line.trim() !== ""),
          decode,
          (line) => line,
          options?.onInvalidRow ?? "fail"
        )
      )
  })
}

/**
 * Writes one JSON value a row.
 *
 * @category constructors
 * @since 0.1.0
 */
export const writer = <A, I>(schema: Schema.Codec<A, I>, options?: JsonLinesWriterOptions): Writer<A> => {
  const encodeValue = Schema.encodeUnknownResult(Schema.fromJsonString(Schema.toCodecJson(schema)))
  return {
    format,
    extension: options?.compression === "gzip" ? ".jsonl.gz" : ".jsonl",
    encode: <E, R>(rows: Stream.Stream<A, E, R>): Stream.Stream<Uint8Array, E | FormatError, R> =>
      rows.pipe(
        Stream.mapArrayEffect((chunk) => {
          let text = ""
          for (const row of chunk) {
            const result = encodeValue(row)
            if (Result.isFailure(result)) {
              return Effect.fail(fail(format, "", new Unencodable({ detail: result.failure.message })))
            }
            text += result.success + "\n"
          }
          return Effect.succeed([text] as const)
        }),
        compress(options?.compression)
      )
  }
}
