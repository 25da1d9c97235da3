import { Option } from "effect"
import { Malformed, type Reader, Refused, type Writer } from "./bytes.ts"

// The first byte of a value.
const UNDEFINED = 0
const NULL = 1
const FALSE = 2
const TRUE = 3
/** A whole number below 2^31 in size, zigzag. */
const INT = 4
const FLOAT = 5
/** One byte per character. */
const ASCII = 6
const UTF8 = 7
/** A string with lone surrogates, which UTF-8 cannot hold. */
const UTF16 = 8
const BIGINT64 = 9
const BIGINT = 10
const DATE = 11
const BYTES = 12
const VIEW = 13
const ARRAY_BUFFER = 14
const MAP = 15
const SET = 16
const ARRAY = 17
const OBJECT = 18
const OPTION_NONE = 19
const OPTION_SOME = 20
/** This and the tags above it: arrays of 0 to 15 elements. */
const SHORT_ARRAY = 32

// Deeper data is taken for a cycle, and deeper bytes for an attack.
const MAX_DEPTH = 256

const views = [
  DataView,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array
] as const

// --- writing

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

/** The names of an object's fields as they stand before its values. */
interface Shape {
  readonly names: ReadonlyArray<string>
  readonly header: Buffer
  /** Places of the fields in the order of their names. */
  readonly sorted: ReadonlyArray<number>
  readonly sortedHeader: Buffer
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

const shapeOf = (names: ReadonlyArray<string>): Shape => {
  const sorted = names.map((_, index) => index).toSorted((a, b) => (names[a] < names[b] ? -1 : 1))
  return {
    names,
    header: headerOf(names),
    sorted,
    sortedHeader: headerOf(sorted.map((index) => names[index])),
    dangerous: names.includes("__proto__")
  }
}

// The last shapes, the latest first. Data has few of them, and comparing names that are the same string compares only
// pointers.
const RECENT = 8
const written: Array<Shape> = []
const readShapes: Array<Shape> = []

const remember = (shapes: Array<Shape>, shape: Shape, at: number): Shape => {
  if (at < 0) {
    shapes.unshift(shape)
    if (shapes.length > RECENT) shapes.pop()
  } else if (at > 0) {
    shapes.splice(at, 1)
    shapes.unshift(shape)
  }
  return shape
}

const findShape = (names: ReadonlyArray<string>): Shape => {
  const { length } = names
  outer: for (let s = 0; s < written.length; s++) {
    const shape = written[s]
    if (shape.names.length !== length) continue
    for (let i = 0; i < length; i++) if (shape.names[i] !== names[i]) continue outer
    return s === 0 ? shape : remember(written, shape, s)
  }
  return remember(written, shapeOf(names), -1)
}

const isPlainObject = (value: object): value is Record<string, unknown> => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const describe = (value: object): string => {
  const name: unknown = value.constructor?.name
  return `an instance of ${typeof name === "string" && name !== "" ? name : "a class without a name"}`
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
  if (writer.depth >= MAX_DEPTH) throw new Refused(`data nested deeper than ${MAX_DEPTH} levels, or a cycle,`)
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
    const shape = findShape(Object.keys(value))
    const header = writer.canonical ? shape.sortedHeader : shape.header
    writer.ensure(9)
    writer.bytes[writer.position++] = OBJECT
    writer.varint(header.length)
    writer.copy(header, 0, header.length)
    const { names, sorted } = shape
    if (writer.canonical) for (const index of sorted) writePlain(value[names[index]], writer)
    else for (let i = 0; i < names.length; i++) writePlain(value[names[i]], writer)
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
    const kind = views.findIndex((view) => value instanceof view)
    if (kind < 0) throw new Refused(describe(value))
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

/** Where in the value the first thing lies that {@link writePlain} refuses: `["user", "onClick"]`. */
const locate = (
  value: unknown,
  path: string,
  depth = 0
): { readonly path: string; readonly found: string } | undefined => {
  if (typeof value === "function" || typeof value === "symbol") return { path, found: `a ${typeof value}` }
  if (typeof value !== "object" || value === null) return undefined
  if (depth >= MAX_DEPTH) return { path, found: `data nested deeper than ${MAX_DEPTH} levels, or a cycle,` }
  const first = (entries: Iterable<readonly [string, unknown]>) => {
    for (const [step, item] of entries) {
      const found = locate(item, path + step, depth + 1)
      if (found !== undefined) return found
    }
    return undefined
  }
  if (Array.isArray(value)) return first(value.map((item, index) => [`[${index}]`, item] as const))
  if (value instanceof Map) {
    return first(
      [...value].flatMap(
        ([key, item]) =>
          [
            [".key", key],
            [`.get(${String(key)})`, item]
          ] as const
      )
    )
  }
  if (value instanceof Set) return first([...value].map((item) => [".item", item] as const))
  if (Option.isOption(value)) return Option.isSome(value) ? locate(value.value, `${path}.value`, depth + 1) : undefined
  if (isPlainObject(value)) {
    return Object.getOwnPropertySymbols(value).length > 0
      ? { path, found: "a field whose name is a symbol" }
      : first(Object.entries(value).map(([name, item]) => [`.${name}`, item] as const))
  }
  if (
    value instanceof Date ||
    value instanceof ArrayBuffer ||
    views.some((view) => value instanceof view) ||
    value instanceof Uint8Array
  ) {
    return undefined
  }
  return { path, found: describe(value) }
}

/** How a message describes a value that was refused. */
export const refusal = (refused: Refused, row: unknown): { readonly path: string; readonly found: string } =>
  refused.path === undefined
    ? (locate(row, "row") ?? { path: "row", found: refused.found })
    : { path: `row${refused.path}`, found: refused.found }

// --- reading

const readShape = (reader: Reader): Shape => {
  const length = reader.varint()
  const start = reader.take(length)
  const { bytes } = reader
  outer: for (let s = 0; s < readShapes.length; s++) {
    const shape = readShapes[s]
    const { header } = shape
    if (header.length !== length) continue
    for (let i = 0; i < length; i++) if (header[i] !== bytes[start + i]) continue outer
    return s === 0 ? shape : remember(readShapes, shape, s)
  }
  const header = Buffer.from(bytes.subarray(start, start + length))
  const names = namesOf(header)
  return remember(
    readShapes,
    { names, header, sorted: [], sortedHeader: header, dangerous: names.includes("__proto__") },
    -1
  )
}

const readView = (reader: Reader): unknown => {
  const kind = reader.byte()
  const length = reader.varint()
  const start = reader.take(length)
  // A copy: it is aligned, and does not keep the whole block in memory.
  const buffer = new Uint8Array(reader.bytes.subarray(start, start + length)).buffer
  if (kind === 0) return new DataView(buffer)
  const View = views[kind]
  if (View === undefined || View === DataView) throw new Malformed("an unknown kind of typed array")
  const Typed = View as Exclude<typeof View, DataViewConstructor>
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
    const byte = bytes[position++]
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
        for (let i = 0; i < names.length; i++) {
          const name = names[i]
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

// --- what sorting and hashing look at

/** The two halves of what {@link stringPrefix}, {@link numberPrefix} or {@link hashBytes} last computed. */
export const prefix = { high: 0, low: 0 }

/**
 * The first eight bytes of an encoded string, so that strings in the order of their UTF-16 units have prefixes in the
 * same order. Bytes order UTF-8 as units order UTF-16 up to U+D7FF; all above share one byte, and a full comparison
 * decides the rest.
 */
export const stringPrefix = (reader: Reader): void => {
  const { bytes } = reader
  const tag = reader.byte()
  let high = 0
  let low = 0
  if (tag === UTF16) {
    reader.position--
    const text = String(readPlain(reader))
    const safe = Buffer.from(text.replace(/[\ud800-\uffff][^]*/, ""), "utf8")
    const end = safe.length < 8 && /[\ud800-\uffff]/.test(text) ? safe.length : -1
    for (let i = 0; i < 4; i++) {
      high = (high << 8) | (i === end ? 0xee : (safe[i] ?? 0))
      low = (low << 8) | (i + 4 === end ? 0xee : (safe[i + 4] ?? 0))
    }
  } else {
    if (tag !== ASCII && tag !== UTF8) throw new Malformed("a key that should be a string is not")
    const length = reader.varint()
    const start = reader.take(length)
    if (tag === ASCII && length >= 8) {
      high = (bytes[start] << 24) | (bytes[start + 1] << 16) | (bytes[start + 2] << 8) | bytes[start + 3]
      low = (bytes[start + 4] << 24) | (bytes[start + 5] << 16) | (bytes[start + 6] << 8) | bytes[start + 7]
    } else {
      let over = false
      for (let i = 0; i < 8; i++) {
        let byte = i < length && !over ? bytes[start + i] : 0
        if (byte >= 0xee) {
          byte = 0xee
          over = true
        }
        if (i < 4) high = (high << 8) | byte
        else low = (low << 8) | byte
      }
    }
  }
  prefix.high = high >>> 0
  prefix.low = low >>> 0
}

/** Moves to the characters of an encoded string and returns their number, or -1 if they do not have one byte each. */
export const asciiLength = (reader: Reader): number => (reader.byte() === ASCII ? reader.varint() : -1)

/** Compares two encoded strings by their UTF-16 units, as `<` does. */
export const compareStrings = (a: Reader, b: Reader): number => {
  const tagA = a.byte()
  const tagB = b.byte()
  if (tagA === ASCII && tagB === ASCII) {
    const lengthA = a.varint()
    const lengthB = b.varint()
    const startA = a.take(lengthA)
    const startB = b.take(lengthB)
    const bytesA = a.bytes
    const bytesB = b.bytes
    const length = lengthA < lengthB ? lengthA : lengthB
    for (let i = 0; i < length; i++) {
      const difference = bytesA[startA + i] - bytesB[startB + i]
      if (difference !== 0) return difference
    }
    return lengthA - lengthB
  }
  a.position--
  b.position--
  const textA = String(readPlain(a))
  const textB = String(readPlain(b))
  return textA < textB ? -1 : textA > textB ? 1 : 0
}

const double = new DataView(new ArrayBuffer(8))

/** The number's bits in the order of `Order.Number`: NaN first, `-0` as `0`. */
export const numberPrefix = (value: number): void => {
  if (value !== value) {
    prefix.high = 0
    prefix.low = 0
    return
  }
  double.setFloat64(0, value === 0 ? 0 : value)
  const high = double.getUint32(0)
  const low = double.getUint32(4)
  const negative = high >= 0x80000000
  prefix.high = (negative ? ~high : high | 0x80000000) >>> 0
  prefix.low = (negative ? ~low : low) >>> 0
}

/** Two independent 32-bit hashes of bytes, the same in every process (MurmurHash3's steps on both). */
export const hashBytes = (bytes: Uint8Array, start: number, end: number): void => {
  let h = 0x9747b28c
  let g = 0x3c6ef372
  let i = start
  for (; i + 4 <= end; i += 4) {
    const word = bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24)
    h = Math.imul(h ^ word, 0x5bd1e995)
    h ^= h >>> 15
    g = Math.imul(g + word, 0x9e3779b1)
    g ^= g >>> 13
  }
  let rest = (end - start) << 24
  for (let shift = 0; i < end; i++, shift += 8) rest ^= bytes[i] << shift
  h = Math.imul(h ^ rest, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  g = Math.imul(g + rest, 0x27d4eb2f)
  g ^= g >>> 15
  g = Math.imul(g, 0x165667b1)
  prefix.high = (h ^ (h >>> 16)) >>> 0
  prefix.low = (g ^ (g >>> 16)) >>> 0
}

/**
 * Continues a hash, in {@link prefix}, over the bytes of a writer since `start`. Every record of a shuffle pays for
 * this, so it takes sixteen bytes per step in four lanes, as `MurmurHash3_x86_128` does.
 */
export const hashWritten = (writer: Writer, start: number, high: number, low: number): void => {
  const { bytes, position, view } = writer
  let h = high | 0
  let g = low | 0
  let i = start
  if (position - start >= 16) {
    let k = h ^ 0x3c6ef372
    let l = g ^ 0x1b873593
    for (; i + 16 <= position; i += 16) {
      h ^= spread(view.getInt32(i, true))
      h = (Math.imul(((h << 19) | (h >>> 13)) + g, 5) + 0x561ccd1b) | 0
      g ^= spread(view.getInt32(i + 4, true))
      g = (Math.imul(((g << 17) | (g >>> 15)) + k, 5) + 0x0bcaa747) | 0
      k ^= spread(view.getInt32(i + 8, true))
      k = (Math.imul(((k << 15) | (k >>> 17)) + l, 5) + 0x96cd1c35) | 0
      l ^= spread(view.getInt32(i + 12, true))
      l = (Math.imul(((l << 13) | (l >>> 19)) + h, 5) + 0x32ac3b17) | 0
    }
    h = Math.imul(h ^ (k >>> 15), 0x85ebca6b) + l
    g = Math.imul(g ^ (l >>> 13), 0xc2b2ae35) + k
  }
  for (; i + 4 <= position; i += 4) {
    h ^= spread(view.getInt32(i, true))
    h = (Math.imul(((h << 19) | (h >>> 13)) + g, 5) + 0x561ccd1b) | 0
    g = (Math.imul(((g << 17) | (g >>> 15)) + h, 5) + 0x0bcaa747) | 0
  }
  let rest = position - start
  for (; i < position; i++) rest = Math.imul(rest, 0x1000193) ^ bytes[i]
  h ^= spread(rest)
  h ^= h >>> 13
  g = Math.imul(g + h, 0x27d4eb2f)
  g ^= g >>> 15
  h = Math.imul(h ^ g, 0xc2b2ae35)
  prefix.high = (h ^ (h >>> 16)) >>> 0
  prefix.low = (g ^ (g >>> 16)) >>> 0
}

const spread = (word: number): number => {
  const x = Math.imul(word, 0x239b961b)
  return Math.imul((x << 15) | (x >>> 17), 0x38b34ae5)
}
