/** The records of a text of CSV, and the lines they are in. */
import { parse } from "csv-parse/sync"
import { Result } from "effect"
import type { Problem } from "../../../codec/internal/checks.ts"

/** A field that is empty, and was quoted. */
export const quotedEmpty: unique symbol = Symbol("quotedEmpty")

export type Cell = string | typeof quotedEmpty

export interface CsvSyntax {
  readonly delimiter: string
  readonly quote: string
}

/** Checks what separates and encloses fields. */
export const badSyntax = ({ delimiter, quote }: CsvSyntax): Problem => {
  const shown = JSON.stringify
  if (!/^[^\r\n\ud800-\udfff\ufeff]$/.test(delimiter)) {
    return `delimiter is ${shown(delimiter)}; it has to be one character, and no line break`
  }
  // It is looked for in bytes.
  if (!/^[\0-\x7f]$/.test(quote) || quote === "\r" || quote === "\n") {
    return `quote is ${shown(quote)}; it has to be one character of ASCII, and no line break`
  }
  return delimiter === quote ? `delimiter and quote are both ${shown(quote)}; they have to differ` : undefined
}

/** How many line breaks a text has, CRLF being one. */
const breaksIn = (text: string): number => {
  let breaks = 0
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) breaks++
  for (let at = text.indexOf("\r"); at >= 0; at = text.indexOf("\r", at + 1)) if (text[at + 1] !== "\n") breaks++
  return breaks
}

/** How many lines a text has that ends with a line break or with the file. */
const linesIn = (text: string): number =>
  breaksIn(text) + (text === "" || text.endsWith("\n") || text.endsWith("\r") ? 0 : 1)

/** The lines that the records of a text begin in, but for empty ones, which are none. */
const startsOf = (text: string, quote: string): Int32Array => {
  const starts: Array<number> = []
  let line = 0
  let inside = false
  let begin = 0
  let beginLine = 0
  for (let i = 0; i <= text.length; i++) {
    const character = text[i]
    if (character === quote) inside = !inside
    const isBreak = character === "\n" || (character === "\r" && text[i + 1] !== "\n")
    if (isBreak) line++
    if (i < text.length && (inside || !isBreak)) continue
    const end = character === "\n" && text[i - 1] === "\r" ? i - 1 : i
    if (end > begin) starts.push(beginLine)
    begin = i + 1
    beginLine = line
  }
  return Int32Array.from(starts)
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/**
 * The records of a text, and how many lines behind its first each begins; `undefined` where they are one a line. With `tellsEmpty`
 * quoted empty fields are told from others.
 */
export const parseRecords = (
  text: string,
  { delimiter, quote }: CsvSyntax,
  tellsEmpty: boolean
): Result.Result<
  {
    readonly records: ReadonlyArray<ReadonlyArray<Cell>>
    readonly lines: Int32Array | undefined
    readonly count: number
  },
  string
> => {
  // Asking the parser for what was quoted makes it slow, so only where there may be some.
  const asks = tellsEmpty && text.includes(quote + quote)
  let records: ReadonlyArray<ReadonlyArray<Cell>>
  try {
    const parsed: unknown = parse(text, {
      delimiter,
      quote,
      escape: quote,
      relax_column_count: true,
      skip_empty_lines: true,
      record_delimiter: ["\r\n", "\n", "\r"],
      ...(asks
        ? {
            cast: (value: string, context: { readonly quoting: boolean }) =>
              value === "" && context.quoting ? quotedEmpty : value
          }
        : {})
    })
    records = parsed as ReadonlyArray<ReadonlyArray<Cell>>
  } catch (error) {
    return Result.fail(messageOf(error))
  }
  const count = linesIn(text)
  return Result.succeed({ records, count, lines: records.length === count ? undefined : startsOf(text, quote) })
}
