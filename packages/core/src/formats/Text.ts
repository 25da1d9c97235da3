/**
 * Text files: one row a line.
 *
 * Lines end at LF, CRLF or a lone CR, as Hadoop and Spark read them; a last line needs no break. Files are UTF-8, with or
 * without a byte order mark. Big files are cut into splits anywhere, even inside a character, and each line is read once;
 * a file whose name ends with `.gz` is one split.
 *
 * @since 0.1.0
 */
import { Effect, Stream } from "effect"
import type { Source, Writer } from "../Format.ts"
import { type FormatError, Unencodable } from "../FormatError.ts"
import { compress } from "../internal/formats/encode.ts"
import { bytesSource, detail } from "../internal/formats/files.ts"
import { fail, toPaths } from "../internal/formats/inputs.ts"
import { isGzip, readLines } from "../internal/formats/lines.ts"

/**
 * How text is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextOptions {
  /** What to do with bytes that are not UTF-8: `"utf-8"` (default) fails with `Corrupt`, `"replace"` reads U+FFFD. */
  readonly encoding?: "utf-8" | "replace" | undefined
  /** Longest line in bytes; a longer one fails with `Corrupt` instead of filling the memory. Default 64 MiB. */
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
export const source = (path: string | ReadonlyArray<string>, options?: TextOptions): Source<string> => {
  const settings = { encoding: options?.encoding ?? "utf-8", maxBytes: options?.maxLineBytes ?? 64 * 1024 * 1024 }
  const paths = toPaths(path)
  return bytesSource({
    name: "text",
    detail: detail(paths, { encoding: options?.encoding, maxLineBytes: options?.maxLineBytes }),
    paths,
    columns: undefined,
    prepare: () => Effect.void,
    splittable: (file) => !isGzip(file.path),
    read: (part, file) => readLines("text", part, file, settings)
  })
}

/**
 * Writes one line a row, each ended by LF. A row with a line break in it fails with `Unencodable`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const writer = (options?: TextWriterOptions): Writer<string> => ({
  format: "text",
  extension: options?.compression === "gzip" ? ".txt.gz" : ".txt",
  encode: <E, R>(rows: Stream.Stream<string, E, R>): Stream.Stream<Uint8Array, E | FormatError, R> =>
    rows.pipe(
      Stream.mapArrayEffect((lines) => {
        const text = lines.join("\n") + "\n"
        // Cheaper than looking into each line: as many breaks as lines, and no CR, is what is right.
        let breaks = 0
        for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) breaks++
        if (breaks === lines.length && !text.includes("\r")) return Effect.succeed([text] as const)
        const bad = lines.find((line) => /[\r\n]/.test(line)) ?? ""
        return Effect.fail(
          fail(
            "text",
            "",
            new Unencodable({
              detail: `a line with a line break in it cannot be read back: ${JSON.stringify(bad.slice(0, 80))}`
            })
          )
        )
      }),
      compress(options?.compression)
    )
})
