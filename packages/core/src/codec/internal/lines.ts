/** Rows of text as bytes, for steps that do not look at them. */
import { isAscii } from "node:buffer"
import { Reader, type Writer } from "./bytes.ts"
import { readPlain } from "./decode.ts"
import { Tag } from "./tags.ts"

const LF = 10
const CR = 13

/** Consecutive rows as they are in a text file: UTF-8, each ended by LF, and no other line break. */
export class Lines {
  readonly bytes: Buffer
  /** Where the LF of each row is. */
  readonly ends: Uint32Array

  constructor(bytes: Buffer, ends: Uint32Array) {
    this.bytes = bytes
    this.ends = ends
  }
}

/** Rows of text, some of which may be strings: those that a {@link Lines} cannot have. */
export type TextRows = string | Lines

export const rowsOfText = (rows: TextRows): number => (typeof rows === "string" ? 1 : rows.ends.length)

const twiceAsLong = (ends: Uint32Array): Uint32Array<ArrayBuffer> => {
  const grown = new Uint32Array(2 * ends.length)
  grown.set(ends)
  return grown
}

/** The rows of bytes that are UTF-8 and have only line breaks that end a row, as `LF`, `CRLF` or `CR`. */
export const linesOf = (bytes: Buffer): Lines => {
  if (bytes.includes(CR)) return linesOf(Buffer.from(bytes.toString("utf8").replaceAll(/\r\n?/g, "\n")))
  if (bytes.length > 0 && bytes[bytes.length - 1] !== LF) return linesOf(Buffer.concat([bytes, Buffer.of(LF)]))
  let ends = new Uint32Array(Math.max(16, bytes.length >> 5))
  let rows = 0
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (rows === ends.length) ends = twiceAsLong(ends)
    ends[rows++] = at
  }
  return new Lines(bytes, ends.subarray(0, rows))
}

const { ASCII, UTF8 } = Tag

// A native call costs more than a short loop.
const SHORT = 24

/** Appends the row `[start, end)` of bytes as `writePlain` writes its string. */
export const writeLine = (writer: Writer, bytes: Buffer, start: number, end: number, ascii: boolean): void => {
  const length = end - start
  writer.ensure(length + 9)
  writer.bytes[writer.position++] = ascii || isAscii(bytes.subarray(start, end)) ? ASCII : UTF8
  writer.varint(length)
  if (length < SHORT) writer.copy(bytes, start, end)
  else {
    writer.ensure(length)
    bytes.copy(writer.bytes, writer.position, start, end)
    writer.position += length
  }
}

/** Collects encoded strings as rows of text. */
export class LineCollector {
  private bytes: Buffer
  private position = 0
  private rows: Array<TextRows> = []
  private ends = new Uint32Array(1024)
  private count = 0
  private readonly reader = new Reader(Buffer.alloc(0))

  constructor(bytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(bytes)
  }

  /** Adds the string that begins at a place. One that cannot be a row of lines stays a string. */
  add(from: Buffer, position: number): void {
    const { reader } = this
    reader.bytes = from
    reader.position = position
    reader.end = from.length
    const tag = reader.byte()
    if (tag !== ASCII && tag !== UTF8) return this.keep(position)
    const length = reader.varint()
    const start = reader.take(length)
    const at = this.position
    const end = at + length
    if (end >= this.bytes.length) this.grow(length + 1)
    const { bytes } = this
    from.copy(bytes, at, start, start + length)
    bytes[end] = LF
    if (bytes.indexOf(LF, at) !== end) return this.keep(position)
    this.position = end + 1
    if (this.count === this.ends.length) this.ends = twiceAsLong(this.ends)
    this.ends[this.count++] = end
  }

  /** What has been added since the last time. */
  take(): Array<TextRows> {
    this.close()
    const { rows } = this
    this.rows = []
    return rows
  }

  private keep(position: number): void {
    const { reader } = this
    this.close()
    reader.position = position
    reader.depth = 0
    this.rows.push(String(readPlain(reader)))
  }

  private grow(more: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.position + more, 2 * this.bytes.length))
    this.bytes.copy(grown, 0, 0, this.position)
    this.bytes = grown
  }

  // Ends the current bytes. The next ones are probably about as many.
  private close(): void {
    const { count, position } = this
    if (count === 0) return
    const ends = this.ends.slice(0, count)
    const bytes = this.bytes.subarray(0, position)
    if (bytes.includes(CR)) {
      let start = 0
      for (const end of ends) {
        const line = bytes.subarray(start, end + 1)
        start = end + 1
        this.rows.push(
          line.includes(CR)
            ? line.toString("utf8", 0, line.length - 1)
            : new Lines(line, Uint32Array.of(line.length - 1))
        )
      }
    } else this.rows.push(new Lines(bytes, ends))
    this.bytes = Buffer.allocUnsafeSlow(Math.max(4096, position + (position >> 3)))
    this.position = 0
    this.count = 0
  }
}
