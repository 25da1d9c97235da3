/** From rows to the bytes of a text file. */
import { createGzip } from "node:zlib"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Array as Arr, Effect, Result, Stream } from "effect"
import { rowsOfText, type TextRows } from "../../codec/internal/lines.ts"
import { type FormatError, Unencodable } from "../../task/FormatError.ts"
import * as Origin from "../../task/Origin.ts"
import { lineOf, placeOf } from "../../storage/internal/place.ts"
import { oneOf, optional, type Problem } from "../../codec/internal/checks.ts"
import { fail } from "./inputs.ts"
import { showValue } from "./showValue.ts"

/** The reason why a row cannot be written. */
export interface Refusal {
  readonly column?: string | undefined
  readonly detail: string
  readonly value?: unknown
}

/** Where a row of an array was read from, for a message. */
export const originOf = (rows: object, index: number): string | undefined => {
  const origin = Origin.of(rows)
  if (origin === undefined) return undefined
  const at = Origin.at(origin, index)
  return `${at.path}, ${placeOf(lineOf(at))}`
}

// The failure of a row that cannot be written: of the array at the index, after that many rows.
const refused = (format: string, rows: object, before: number, { column, detail, value }: Refusal, index: number) => {
  const origin = originOf(rows, index)
  return fail(
    format,
    "",
    new Unencodable({
      row: before + index,
      detail,
      ...(column === undefined ? {} : { column }),
      ...(value === undefined ? {} : { value: showValue(value) }),
      ...(origin === undefined ? {} : { origin })
    })
  )
}

/**
 * The text of rows, one array at a time. `encode` yields the text of one row. If a text contains half a surrogate pair,
 * which UTF-8 cannot encode, `whyIllFormed` says where that is.
 */
export const encodeRows = <A, E, R>(
  format: string,
  rows: Stream.Stream<A, E, R>,
  encode: (row: A) => Result.Result<string, Refusal>,
  whyIllFormed: (row: A) => Refusal
): Stream.Stream<string, E | FormatError, R> =>
  Stream.suspend(() => {
    let written = 0
    return Stream.mapArrayEffect(rows, (chunk) => {
      const refuse = (refusal: Refusal, index: number) => Effect.fail(refused(format, chunk, written, refusal, index))
      let text = ""
      let index = 0
      for (const row of chunk) {
        const result = encode(row)
        if (Result.isFailure(result)) return refuse(result.failure, index)
        text += result.success
        index++
      }
      if (!text.isWellFormed()) {
        for (const [index, row] of chunk.entries()) {
          if (!Result.getOrElse(encode(row), () => "").isWellFormed()) return refuse(whyIllFormed(row), index)
        }
        return refuse({ detail: "is not valid Unicode" }, 0)
      }
      written += chunk.length
      return Effect.succeed([text] as const)
    })
  })

/** The same for rows of text, of which those that are bytes go on as they are. */
export const encodeLines = <E, R>(
  format: string,
  rows: Stream.Stream<TextRows, E, R>,
  encode: {
    /** The bytes of rows, some of which may be the first of the file. */
    readonly lines: (bytes: Buffer, first: boolean) => Uint8Array
    readonly row: (row: string, first: boolean) => Result.Result<string, Refusal>
    readonly whyIllFormed: (row: string) => Refusal
  }
): Stream.Stream<Uint8Array, E | FormatError, R> =>
  Stream.suspend(() => {
    let written = 0
    return Stream.mapArrayEffect(rows, (chunk) => {
      let refusal: readonly [Refusal, number] | undefined
      let illFormed: readonly [Refusal, number] | undefined
      let index = 0
      const pieces = Arr.map(chunk, (some) => {
        const at = index
        const first = written + at === 0
        index += rowsOfText(some)
        if (typeof some !== "string") return encode.lines(some.bytes, first)
        const text = encode.row(some, first)
        if (Result.isFailure(text)) refusal ??= [text.failure, at]
        else if (!text.success.isWellFormed()) illFormed ??= [encode.whyIllFormed(some), at]
        return Buffer.from(Result.getOrElse(text, () => some))
      })
      refusal ??= illFormed
      if (refusal !== undefined) return Effect.fail(refused(format, chunk, written, ...refusal))
      written += index
      return Effect.succeed(pieces)
    })
  })

/** Checks how a text is compressed. */
export const badCompression = (value: "gzip" | undefined): Problem =>
  optional(value, (one) => oneOf("compression", one, ["gzip"]))

/** Text as UTF-8, compressed if asked for. */
export const compress =
  (compression: "gzip" | undefined) =>
  <E, R>(text: Stream.Stream<string | Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> => {
    const bytes = Stream.map(text, (piece) => (typeof piece === "string" ? Buffer.from(piece, "utf8") : piece))
    return compression === undefined
      ? bytes
      : NodeStream.pipeThroughDuplex(bytes, {
          evaluate: () => createGzip(),
          // Compressing bytes in memory cannot fail; if it does, that is a defect.
          onError: (error): never => {
            throw error
          }
        })
  }
