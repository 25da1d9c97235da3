/**
 * The records of a CSV text: where each cell begins and ends, and in which lines records begin. It takes one pass over
 * the text, and allocates nothing per cell.
 */
import { Result } from "effect"
import type { Problem } from "../../../codec/internal/checks.ts"
import { outside } from "../outside.ts"

export interface CsvSyntax {
  readonly delimiter: string
  readonly quote: string
}

/** Checks the delimiter and the quote. */
export const badSyntax = ({ delimiter, quote }: CsvSyntax): Problem => {
  const shown = JSON.stringify
  if (!/^[^\r\n\ud800-\udfff\ufeff]$/.test(delimiter)) {
    return `delimiter is ${shown(delimiter)}; it has to be one character other than a line break`
  }
  // The reader looks for it in bytes.
  if (!/^[\0-\x7f]$/.test(quote) || quote === "\r" || quote === "\n") {
    return `quote is ${shown(quote)}; it has to be one ASCII character other than a line break`
  }
  return delimiter === quote ? `delimiter and quote are both ${shown(quote)}; they must differ` : undefined
}

const LF = 10
const CR = 13

/** A growing array of numbers. */
class Numbers {
  private values: Int32Array
  length = 0

  constructor(capacity: number) {
    this.values = new Int32Array(Math.max(16, capacity))
  }

  add(value: number): void {
    if (this.length === this.values.length) {
      const bigger = new Int32Array(this.length * 2)
      bigger.set(this.values)
      this.values = bigger
    }
    this.values[this.length++] = value
  }

  at(index: number): number {
    return this.values[index] ?? outside(index)
  }

  toArray(): Int32Array {
    return this.values.slice(0, this.length)
  }
}

/** Records of a text. */
export class Records {
  readonly text: string
  private readonly quote: string
  private readonly quoteCode: number
  // Beginning and end of each cell, with its quotes, cell after cell.
  private readonly places: Numbers
  // The number of the first cell of each record, and after the last one the number of all cells.
  private readonly firsts: Numbers
  /** How many lines the text has. */
  readonly lineCount: number
  /** How many lines after the first record each begins; `undefined` if each line is a record. */
  readonly lines: Int32Array | undefined

  constructor(text: string, quote: string, places: Numbers, firsts: Numbers, lines: Numbers, lineCount: number) {
    this.text = text
    this.quote = quote
    this.quoteCode = quote.charCodeAt(0)
    this.places = places
    this.firsts = firsts
    this.lineCount = lineCount
    this.lines = lines.length === lineCount ? undefined : lines.toArray()
  }

  get length(): number {
    return this.firsts.length - 1
  }

  /** The number of a record's first cell; the cells of the record end where the next one begins. */
  firstCell(record: number): number {
    return this.firsts.at(record)
  }

  from(cell: number): number {
    return this.places.at(2 * cell)
  }

  to(cell: number): number {
    return this.places.at(2 * cell + 1)
  }

  isQuoted(cell: number): boolean {
    const from = this.from(cell)
    return from < this.to(cell) && this.text.charCodeAt(from) === this.quoteCode
  }

  /** The value of a cell, without the quotes around it. */
  value(cell: number): string {
    const from = this.from(cell)
    const to = this.to(cell)
    if (from === to || this.text.charCodeAt(from) !== this.quoteCode) return this.text.slice(from, to)
    const inner = this.text.slice(from + 1, to - 1)
    return inner.includes(this.quote) ? inner.replaceAll(this.quote + this.quote, this.quote) : inner
  }

  values(record: number): ReadonlyArray<string> {
    const first = this.firstCell(record)
    return Array.from({ length: this.firstCell(record + 1) - first }, (_, cell) => this.value(first + cell))
  }
}

// A guess of how many cells a text has.
const cellLength = 8

/** Reads cell after cell, and keeps track of the position. */
class Splitter {
  private readonly text: string
  private readonly delimiter: number
  private readonly quote: string
  private readonly quoteCode: number
  private readonly places: Numbers
  private readonly firsts: Numbers
  private readonly lines: Numbers
  private at = 0
  private line = 0

  constructor(text: string, { delimiter, quote }: CsvSyntax) {
    this.text = text
    this.delimiter = delimiter.charCodeAt(0)
    this.quote = quote
    this.quoteCode = quote.charCodeAt(0)
    this.places = new Numbers((2 * text.length) / cellLength)
    this.firsts = new Numbers(text.length / cellLength / 4)
    this.lines = new Numbers(text.length / cellLength / 4)
  }

  /** Reads the next cell, or yields a string that says what is wrong. */
  split(): Records | string {
    const { firsts, lines, places, quote, text } = this
    while (this.at < text.length) {
      // Empty lines are skipped.
      if (this.skipBreak()) continue
      firsts.add(places.length / 2)
      lines.add(this.line)
      const wrong = this.record()
      if (wrong !== undefined) return wrong
    }
    firsts.add(places.length / 2)
    const ended = text === "" || text.endsWith("\n") || text.endsWith("\r")
    return new Records(text, quote, places, firsts, lines, this.line + (ended ? 0 : 1))
  }

  /** LF, CRLF or a lone CR. */
  private skipBreak(): boolean {
    const { at, text } = this
    const code = text.charCodeAt(at)
    if (code !== LF && code !== CR) return false
    this.at = code === CR && text.charCodeAt(at + 1) === LF ? at + 2 : at + 1
    this.line++
    return true
  }

  private record(): string | undefined {
    const { delimiter, places, text } = this
    for (;;) {
      const from = this.at
      const wrong = text.charCodeAt(from) === this.quoteCode ? this.quoted() : this.plain()
      if (wrong !== undefined) return wrong
      places.add(from)
      places.add(this.at)
      if (this.at === text.length || this.skipBreak()) return undefined
      if (text.charCodeAt(this.at) !== delimiter) return this.wrong(`has a character after the quote that ends a field`)
      this.at++
    }
  }

  private plain(): string | undefined {
    const { delimiter, quoteCode, text } = this
    let at = this.at
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code === delimiter || code === LF || code === CR) break
      if (code === quoteCode) return this.wrong("has a quote in a field that does not begin with one")
    }
    this.at = at
    return undefined
  }

  private quoted(): string | undefined {
    const { quote, quoteCode, text } = this
    const from = this.at
    let end = text.indexOf(quote, from + 1)
    while (end >= 0 && text.charCodeAt(end + 1) === quoteCode) end = text.indexOf(quote, end + 2)
    if (end < 0) return this.wrong("has a quoted field without an end")
    for (let at = from + 1; at < end; at++) {
      const code = text.charCodeAt(at)
      if (code === LF || (code === CR && text.charCodeAt(at + 1) !== LF)) this.line++
    }
    this.at = end + 1
    return undefined
  }

  private wrong(what: string): string {
    return `the record in line ${this.lines.at(this.lines.length - 1) + 1} from here ${what}`
  }
}

/** The records of a text that begins with one, or what is wrong with it. */
export const recordsOf = (text: string, syntax: CsvSyntax): Result.Result<Records, string> => {
  const records = new Splitter(text, syntax).split()
  return typeof records === "string" ? Result.fail(records) : Result.succeed(records)
}
