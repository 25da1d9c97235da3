/** Reads plain data from bytes. */
import { Option } from "effect"
import { Malformed, type Reader } from "./bytes.ts"
import { byteAt } from "./elements.ts"
import { readShape } from "./shapes.ts"
import { MAX_DEPTH, Tag, typedArrays } from "./tags.ts"

const { UNDEFINED, NULL, FALSE, TRUE, INT, FLOAT, ASCII, UTF8, UTF16, BIGINT64, BIGINT, DATE } = Tag
const { BYTES, VIEW, ARRAY_BUFFER, MAP, SET, ARRAY, OBJECT, OPTION_NONE, OPTION_SOME, SHORT_ARRAY } = Tag

const readView = (reader: Reader): unknown => {
  const kind = reader.byte()
  const length = reader.varint()
  const start = reader.take(length)
  // A copy: it is aligned, and does not keep the whole block in memory.
  const buffer = new Uint8Array(reader.bytes.subarray(start, start + length)).buffer
  if (kind === 0) return new DataView(buffer)
  const Typed = typedArrays[kind - 1]
  if (Typed === undefined) throw new Malformed("an unknown kind of typed array")
  if (length % Typed.BYTES_PER_ELEMENT !== 0) throw new Malformed("a typed array of part of an element")
  return new Typed(buffer)
}

const readArray = (length: number, reader: Reader): Array<unknown> => {
  // Every element has at least one byte.
  if (length > reader.end - reader.position) throw new Malformed("the bytes end within an array")
  const values: Array<unknown> = []
  for (let i = 0; i < length; i++) values.push(readPlain(reader))
  return values
}

const readInt = (reader: Reader): number => {
  const { bytes, end } = reader
  let position = reader.position
  let rest = 0
  let shift = 0
  for (;;) {
    if (position >= end || shift > 28) throw new Malformed("a number is cut off")
    const byte = byteAt(bytes, position++)
    rest |= (byte & 0x7f) << shift
    if (byte < 0x80) break
    shift += 7
  }
  reader.position = position
  return (rest >>> 1) ^ -(rest & 1)
}

const readNested = (tag: number, reader: Reader): unknown => {
  if (reader.depth >= MAX_DEPTH) throw new Malformed(`data nested deeper than ${MAX_DEPTH} levels`)
  reader.depth++
  let value: unknown
  if (tag >= SHORT_ARRAY && tag < SHORT_ARRAY + 16) value = readArray(tag - SHORT_ARRAY, reader)
  else {
    switch (tag) {
      case ARRAY:
        value = readArray(reader.varint(), reader)
        break
      case OBJECT: {
        const { dangerous, names } = readShape(reader)
        const object: Record<string, unknown> = {}
        for (const name of names) {
          const item = readPlain(reader)
          if (dangerous)
            Object.defineProperty(object, name, { value: item, enumerable: true, configurable: true, writable: true })
          else object[name] = item
        }
        value = object
        break
      }
      case MAP: {
        const map = new Map<unknown, unknown>()
        for (let n = reader.varint(); n > 0; n--) map.set(readPlain(reader), readPlain(reader))
        value = map
        break
      }
      case SET: {
        const set = new Set<unknown>()
        for (let n = reader.varint(); n > 0; n--) set.add(readPlain(reader))
        value = set
        break
      }
      case OPTION_SOME:
        value = Option.some(readPlain(reader))
        break
      default:
        throw new Malformed(`an unknown kind of value, ${tag}`)
    }
  }
  reader.depth--
  return value
}

/** Reads the value at the reader's position. */
export const readPlain = (reader: Reader): unknown => {
  const tag = reader.byte()
  switch (tag) {
    case UNDEFINED:
      return undefined
    case NULL:
      return null
    case FALSE:
      return false
    case TRUE:
      return true
    case INT:
      return readInt(reader)
    case FLOAT:
      return reader.bytes.readDoubleLE(reader.take(8))
    case ASCII: {
      const length = reader.varint()
      const start = reader.take(length)
      return reader.bytes.toString("latin1", start, start + length)
    }
    case UTF8: {
      const length = reader.varint()
      const start = reader.take(length)
      return reader.bytes.toString("utf8", start, start + length)
    }
    case UTF16: {
      const length = reader.varint()
      const start = reader.take(length)
      return reader.bytes.toString("utf16le", start, start + length)
    }
    case BIGINT64:
      return reader.bytes.readBigInt64LE(reader.take(8))
    case BIGINT: {
      const length = reader.varint()
      const start = reader.take(length)
      const digits = reader.bytes.toString("latin1", start, start + length)
      if (!/^-?[0-9a-f]+$/.test(digits)) throw new Malformed("a bigint with other characters than digits")
      return digits.startsWith("-") ? -BigInt(`0x${digits.slice(1)}`) : BigInt(`0x${digits}`)
    }
    case DATE:
      return new Date(reader.bytes.readDoubleLE(reader.take(8)))
    case BYTES: {
      const length = reader.varint()
      const start = reader.take(length)
      return new Uint8Array(reader.bytes.subarray(start, start + length))
    }
    case VIEW:
      return readView(reader)
    case ARRAY_BUFFER: {
      const length = reader.varint()
      const start = reader.take(length)
      return new Uint8Array(reader.bytes.subarray(start, start + length)).buffer
    }
    case OPTION_NONE:
      return Option.none()
    default:
      return readNested(tag, reader)
  }
}

/** Skips the value at the reader's position without building it. */
export const skipPlain = (reader: Reader): void => {
  // Values still to be skipped: a nested one adds its parts.
  for (let left = 1; left > 0; left--) {
    const tag = reader.byte()
    if (tag === ASCII) {
      reader.take(reader.varint())
      continue
    }
    switch (tag) {
      case UNDEFINED:
      case NULL:
      case FALSE:
      case TRUE:
      case OPTION_NONE:
        break
      case INT:
        reader.varint()
        break
      case FLOAT:
      case BIGINT64:
      case DATE:
        reader.take(8)
        break
      case UTF8:
      case UTF16:
      case BIGINT:
      case BYTES:
      case ARRAY_BUFFER:
        reader.take(reader.varint())
        break
      case VIEW:
        reader.take(1)
        reader.take(reader.varint())
        break
      case MAP:
        left += 2 * reader.varint()
        break
      case SET:
      case ARRAY:
        left += reader.varint()
        break
      case OBJECT:
        left += readShape(reader).names.length
        break
      case OPTION_SOME:
        left++
        break
      default:
        if (tag < SHORT_ARRAY || tag >= SHORT_ARRAY + 16) throw new Malformed(`an unknown kind of value, ${tag}`)
        left += tag - SHORT_ARRAY
    }
  }
}
