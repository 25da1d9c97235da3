/**
 * Text files: one row per line.
 *
 * Like every format, it has two halves (see `Format`). A source lists files, compares the requested columns with the
 * files' own, and yields splits with their bytes and hosts before the first row is read; then each task reads its
 * split. A writer turns the rows of a partition into the bytes of one file.
 *
 * Lines end at LF, CRLF or a lone CR, as Hadoop and Spark read them; a last line needs no break. Files are UTF-8, with
 * or without a byte order mark. Big files are cut into splits anywhere, even inside a character, and each line is read
 * once. A file whose name ends with `.gz` is one split.
 *
 * @since 0.1.0
 */
import { Effect, Result, Stream } from "effect"
import type { Source, Writer, VerifyOptions } from "../task/Format.ts"
import type { FormatError } from "../task/FormatError.ts"
import { bytes, firstOf, oneOf } from "../codec/internal/checks.ts"
import { rowsOfText } from "../codec/internal/lines.ts"
import { badCompression, compress, encodeLines, encodeRows, type Refusal } from "./internal/encode.ts"
import { bytesSource, detail } from "./internal/files.ts"
import { toPaths } from "./internal/inputs.ts"
import { isGzip, readBytesOfLines, readLines } from "./internal/text/lines.ts"
import { verifiedOr } from "./internal/verified.ts"
import * as Origin from "../task/Origin.ts"

/**
 * How text is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextOptions extends VerifyOptions {
  /**
   * What to do with bytes that are not UTF-8: `"utf-8"` (default) fails with `Corrupt`, `"replace"` reads them as
   * U+FFFD.
   */
  readonly encoding?: "utf-8" | "replace" | undefined
  /** Longest line in bytes; a longer one fails with `Corrupt` instead of filling memory. Default 64 MiB. */
  readonly maxLineBytes?: number | undefined
}

/**
 * How text is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextWriterOptions {
  /** Default none. */
  readonly compression?: "gzip" | undefined
}

/**
 * The lines of text files, without their line breaks. A path is a file, a directory or a glob.
 *
 * @category constructors
 * @since 0.1.0
 */
export const source = (path: string | ReadonlyArray<string>, options?: TextOptions): Source<string> =>
  verifiedOr(options, toPaths(path), (paths) => linesOf(paths, options))

const linesOf = (paths: ReadonlyArray<string>, options: TextOptions | undefined): Source<string> => {
  const settings = { encoding: options?.encoding ?? "utf-8", maxBytes: options?.maxLineBytes ?? 64 * 1024 * 1024 }
  return bytesSource({
    name: "text",
    detail: detail(paths, { encoding: options?.encoding, maxLineBytes: options?.maxLineBytes }),
    paths,
    columns: undefined,
    invalid: firstOf(
      oneOf("encoding", settings.encoding, ["utf-8", "replace"]),
      bytes("maxLineBytes", settings.maxBytes)
    ),
    prepare: () => Effect.void,
    splittable: (file) => !isGzip(file.path),
    hasPlaces: true,
    readLines: (part, file) => readBytesOfLines("text", part, file, settings),
    read: (part, file) =>
      Stream.map(readLines("text", part, file, settings), ({ afterByte, firstLine, lines, path }) =>
        Origin.attach(lines, {
          path,
          rowGroup: undefined,
          firstRow: firstLine,
          kept: undefined,
          ...(afterByte === undefined ? {} : { afterByte })
        })
      )
  })
}

const withBreak = "contains a line break, and would be read back as more than one line"
const illFormed = "contains half a surrogate pair, which UTF-8 cannot encode"
const mark = "\uFEFF"

/**
 * Writes one line per row, each ended by LF. A row that contains a line break or half a surrogate pair fails with
 * `Unencodable`. If the first row begins with a byte order mark, another one is written before it, because readers take
 * the first one for the file's.
 *
 * @category constructors
 * @since 0.1.0
 */
export const writer = (options?: TextWriterOptions): Writer<string> => {
  const common = {
    format: "text",
    extension: options?.compression === "gzip" ? ".txt.gz" : ".txt",
    invalid: badCompression(options?.compression)
  }
  const packed = compress(options?.compression)
  return {
    ...common,
    encode: <E, R>(rows: Stream.Stream<string, E, R>): Stream.Stream<Uint8Array, E | FormatError, R> =>
      Stream.suspend(() => {
        let first = true
        const encode = (line: string) => {
          const text = encodeLine(line, first)
          first = false
          return text
        }
        return encodeRows("text", rows, encode, whyIllFormed)
      }).pipe(packed),
    lines: {
      ...common,
      rowsOf: rowsOfText,
      encode: (rows) => packed(encodeLines("text", rows, { lines: withMark, row: encodeLine, whyIllFormed }))
    }
  }
}

const encodeLine = (line: string, first: boolean): Result.Result<string, Refusal> =>
  line.includes("\n") || line.includes("\r")
    ? Result.fail({ detail: withBreak, value: line })
    : Result.succeed(`${first && line.startsWith(mark) ? mark : ""}${line}\n`)

const whyIllFormed = (line: string): Refusal => ({ detail: illFormed, value: line })

const markBytes = Buffer.from(mark)
const withMark = (bytes: Buffer, first: boolean): Uint8Array =>
  first && markBytes.equals(bytes.subarray(0, markBytes.length)) ? Buffer.concat([markBytes, bytes]) : bytes
