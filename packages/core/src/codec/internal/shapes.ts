/** The names of the fields of objects, which are written as bytes before the values. */
import { Malformed, type Reader } from "./bytes.ts"
import { byteAt } from "./elements.ts"

/** The names of an object's fields, and their bytes before its values. */
interface Shape {
  readonly names: ReadonlyArray<string>
  readonly header: Buffer
}

/** A shape for writing. */
interface Written extends Shape {
  /** The names in order, and their bytes when equal objects need equal bytes. */
  readonly sorted: ReadonlyArray<string>
  readonly sortedHeader: Buffer
}

/** A shape for reading. */
interface Read extends Shape {
  /** Whether a name would set the prototype of the object. */
  readonly dangerous: boolean
}

const headerOf = (names: ReadonlyArray<string>): Buffer => {
  const parts: Array<Buffer> = []
  for (const name of names) {
    const wellFormed = name.isWellFormed()
    const bytes = Buffer.from(name, wellFormed ? "utf8" : "utf16le")
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length * 2 + (wellFormed ? 0 : 1))
    parts.push(length, bytes)
  }
  return Buffer.concat(parts)
}

const namesOf = (header: Buffer): ReadonlyArray<string> => {
  const names: Array<string> = []
  let position = 0
  while (position < header.length) {
    if (position + 4 > header.length) throw new Malformed("the names of an object are cut off")
    const field = header.readUInt32LE(position)
    const start = position + 4
    position = start + (field >>> 1)
    if (position > header.length) throw new Malformed("the names of an object are cut off")
    names.push(header.toString((field & 1) === 0 ? "utf8" : "utf16le", start, position))
  }
  return names
}

const shapeOf = (names: ReadonlyArray<string>): Written => {
  const sorted = names.toSorted((a, b) => (a < b ? -1 : 1))
  return { names, header: headerOf(names), sorted, sortedHeader: headerOf(sorted) }
}

const sameNames = (names: ReadonlyArray<string>, others: ReadonlyArray<string>): boolean => {
  const { length } = names
  if (length !== others.length) return false
  for (let i = 0; i < length; i++) if (names[i] !== others[i]) return false
  return true
}

// The last shapes, the latest first. Data has few of them, and comparing names that are the same string compares only
// pointers.
const RECENT = 8
const written: Array<Written> = []
const read: Array<Read> = []

const remember = <S>(shapes: Array<S>, shape: S): S => {
  shapes.unshift(shape)
  if (shapes.length > RECENT) shapes.pop()
  return shape
}

const moveToFront = <S>(shapes: Array<S>, shape: S, at: number): S => {
  if (at > 0) {
    shapes.splice(at, 1)
    shapes.unshift(shape)
  }
  return shape
}

/** The shape of an object with these fields. */
export const shapeWritten = (names: ReadonlyArray<string>): Written => {
  for (let at = 0; at < written.length; at++) {
    const shape = written[at]
    if (shape !== undefined && sameNames(shape.names, names)) return moveToFront(written, shape, at)
  }
  return remember(written, shapeOf(names))
}

const standsAt = (header: Buffer, bytes: Buffer, start: number): boolean => {
  for (let i = 0; i < header.length; i++) if (byteAt(header, i) !== byteAt(bytes, start + i)) return false
  return true
}

/** Reads the names at the reader's position. */
export const readShape = (reader: Reader): Read => {
  const length = reader.varint()
  const start = reader.take(length)
  const { bytes } = reader
  for (let at = 0; at < read.length; at++) {
    const shape = read[at]
    if (shape !== undefined && shape.header.length === length && standsAt(shape.header, bytes, start)) {
      return moveToFront(read, shape, at)
    }
  }
  const header = Buffer.from(bytes.subarray(start, start + length))
  const names = namesOf(header)
  return remember(read, { names, header, dangerous: names.includes("__proto__") })
}
