/** Writes plain data as bytes. */
import { Option } from "effect"
import { Refused, type Writer } from "./bytes.ts"
import { describe, isPlainObject, TOO_DEEP } from "./refusal.ts"
import { shapeWritten } from "./shapes.ts"
import { MAX_DEPTH, Tag, typedArrays } from "./tags.ts"

const { UNDEFINED, NULL, FALSE, TRUE, INT, FLOAT, ASCII, UTF8, UTF16, BIGINT64, BIGINT, DATE } = Tag
const { BYTES, VIEW, ARRAY_BUFFER, MAP, SET, ARRAY, OBJECT, OPTION_NONE, OPTION_SOME, SHORT_ARRAY } = Tag

const writeString = (value: string, writer: Writer): void => {
  const length = value.length
  if (length < 32) {
    // A native call costs as much as about thirty characters of this loop.
    writer.ensure(length + 2)
    const { bytes, position } = writer
    bytes[position] = ASCII
    bytes[position + 1] = length
    const start = position + 2
    let all = 0
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      bytes[start + i] = code
      all |= code
    }
    if (all < 128) {
      writer.position = start + length
      return
    }
  }
  // A string has at most three bytes of UTF-8 per UTF-16 unit, and most have one. So the length field is the one for
  // ASCII, and moves if that turns out to be wrong.
  writer.ensure(length * 3 + 10)
  const tag = writer.position
  writer.position = tag + 1
  writer.varint(length)
  const written = writer.bytes.write(value, writer.position, "utf8")
  if (written === length) {
    writer.bytes[tag] = ASCII
    writer.position += written
    return
  }
  writer.position = tag + 1
  if (value.isWellFormed()) {
    writer.bytes[tag] = UTF8
    writer.varint(written)
    writer.position += writer.bytes.write(value, writer.position, "utf8")
  } else {
    writer.bytes[tag] = UTF16
    writer.varint(length * 2)
    writer.position += writer.bytes.write(value, writer.position, "utf16le")
  }
}

const writeDouble = (value: number, writer: Writer): void => {
  writer.ensure(8)
  writer.position = writer.bytes.writeDoubleLE(value, writer.position)
}

const writeNumber = (value: number, writer: Writer): void => {
  writer.ensure(9)
  if (
    (value | 0) === value &&
    value < 0x40000000 &&
    value >= -0x40000000 &&
    (value !== 0 || writer.canonical || !Object.is(value, -0))
  ) {
    const { bytes } = writer
    let rest = ((value << 1) ^ (value >> 31)) >>> 0
    bytes[writer.position++] = INT
    while (rest > 0x7f) {
      bytes[writer.position++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    bytes[writer.position++] = rest
    return
  }
  writer.bytes[writer.position++] = FLOAT
  // One NaN, so that equal keys have equal bytes.
  writeDouble(value === value ? value : NaN, writer)
}

const writeBigInt = (value: bigint, writer: Writer): void => {
  writer.ensure(9)
  if (BigInt.asIntN(64, value) === value) {
    writer.bytes[writer.position++] = BIGINT64
    writer.position = writer.bytes.writeBigInt64LE(value, writer.position)
    return
  }
  writer.bytes[writer.position++] = BIGINT
  const digits = value < 0n ? `-${(-value).toString(16)}` : value.toString(16)
  writer.varint(digits.length)
  writer.ensure(digits.length)
  writer.position += writer.bytes.write(digits, writer.position, "latin1")
}

const writeBytes = (tag: number, kind: number, bytes: Uint8Array, writer: Writer): void => {
  writer.ensure(2)
  writer.bytes[writer.position++] = tag
  if (tag === VIEW) writer.bytes[writer.position++] = kind
  writer.varint(bytes.length)
  writer.copy(bytes, 0, bytes.length)
}

// Sorted by their bytes: equal maps and sets hold their entries in any order.
const writeUnordered = (entries: ReadonlyArray<ReadonlyArray<unknown>>, writer: Writer): void => {
  const parts: Array<Buffer> = []
  const start = writer.position
  for (const entry of entries) {
    writer.position = start
    for (const value of entry) writePlain(value, writer)
    parts.push(Buffer.from(writer.bytes.subarray(start, writer.position)))
  }
  writer.position = start
  for (const part of parts.toSorted(Buffer.compare)) writer.copy(part, 0, part.length)
}

const writeObject = (value: object, writer: Writer): void => {
  if (writer.depth >= MAX_DEPTH) throw new Refused(TOO_DEEP)
  writer.depth++
  if (Array.isArray(value)) {
    const length = value.length
    if (length < 16) {
      writer.ensure(1)
      writer.bytes[writer.position++] = SHORT_ARRAY + length
    } else {
      writer.ensure(9)
      writer.bytes[writer.position++] = ARRAY
      writer.varint(length)
    }
    for (let i = 0; i < length; i++) writePlain(value[i], writer)
  } else if (isPlainObject(value)) {
    if (Object.getOwnPropertySymbols(value).length > 0) throw new Refused("a field whose name is a symbol")
    const shape = shapeWritten(Object.keys(value))
    const header = writer.canonical ? shape.sortedHeader : shape.header
    writer.ensure(9)
    writer.bytes[writer.position++] = OBJECT
    writer.varint(header.length)
    writer.copy(header, 0, header.length)
    for (const name of writer.canonical ? shape.sorted : shape.names) writePlain(value[name], writer)
  } else if (value instanceof Uint8Array && !(value instanceof Uint8ClampedArray)) {
    writeBytes(BYTES, 0, value, writer)
  } else if (value instanceof Date) {
    writer.ensure(9)
    writer.bytes[writer.position++] = DATE
    writeDouble(value.getTime(), writer)
  } else if (Option.isOption(value)) {
    writer.ensure(1)
    if (Option.isSome(value)) {
      writer.bytes[writer.position++] = OPTION_SOME
      writePlain(value.value, writer)
    } else writer.bytes[writer.position++] = OPTION_NONE
  } else if (value instanceof Map) {
    writer.ensure(1)
    writer.bytes[writer.position++] = MAP
    writer.varint(value.size)
    if (writer.canonical) writeUnordered([...value], writer)
    else {
      for (const [key, item] of value) {
        writePlain(key, writer)
        writePlain(item, writer)
      }
    }
  } else if (value instanceof Set) {
    writer.ensure(1)
    writer.bytes[writer.position++] = SET
    writer.varint(value.size)
    if (writer.canonical)
      writeUnordered(
        [...value].map((item) => [item]),
        writer
      )
    else for (const item of value) writePlain(item, writer)
  } else if (ArrayBuffer.isView(value)) {
    const kind = 1 + typedArrays.findIndex((typed) => value instanceof typed)
    if (kind === 0 && !(value instanceof DataView)) throw new Refused(describe(value))
    const floats = writer.canonical && (value instanceof Float32Array || value instanceof Float64Array)
    const { buffer, byteLength, byteOffset } = floats ? value.map((n) => (n === 0 ? 0 : n)) : value
    writeBytes(VIEW, kind, new Uint8Array(buffer, byteOffset, byteLength), writer)
  } else if (value instanceof ArrayBuffer) {
    writeBytes(ARRAY_BUFFER, 0, new Uint8Array(value), writer)
  } else throw new Refused(describe(value))
  writer.depth--
}

/** Appends a value. */
export const writePlain = (value: unknown, writer: Writer): void => {
  switch (typeof value) {
    case "string":
      return writeString(value, writer)
    case "number":
      return writeNumber(value, writer)
    case "object": {
      if (value !== null) return writeObject(value, writer)
      writer.ensure(1)
      writer.bytes[writer.position++] = NULL
      return
    }
    case "boolean": {
      writer.ensure(1)
      writer.bytes[writer.position++] = value ? TRUE : FALSE
      return
    }
    case "undefined": {
      writer.ensure(1)
      writer.bytes[writer.position++] = UNDEFINED
      return
    }
    case "bigint":
      return writeBigInt(value, writer)
    default:
      throw new Refused(`a ${typeof value}`)
  }
}
