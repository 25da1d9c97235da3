/**
 * Reads columns with one value or none per row into Arrow memory without the codec, some rows at a time: one page is
 * decompressed at a time, and no more than the rows asked for are held. Encodings and types that writers seldom use
 * are left to the codec.
 */
import { isAscii, isUtf8 } from "node:buffer"
import type * as Arrow from "apache-arrow"
import { outside } from "../outside.ts"
import { Binary, Bool, Date_, Float, Int, Timestamp, Utf8 } from "./arrowTypes.ts"
import type { ColumnChunk } from "./footer.ts"
import { dictionaryPage, encodings, page } from "./pages.ts"
import {
  corrupt,
  dataPageOf,
  dictionaryEncodings,
  isDataPage,
  isReadable,
  type Page,
  pagesOf,
  plain,
  release,
  runs
} from "./readPages.ts"
import { type Leaf, physical, timeUnitOf } from "./schema.ts"
import * as Thrift from "./thrift.ts"

/** The values of some rows as Arrow's buffers. */
interface Buffers {
  readonly data: ArrayBufferView
  readonly valueOffsets?: Int32Array
}

/** Collects the values of a batch in Arrow memory. Rows without a value take as much room as Arrow gives them. */
interface Values {
  /** Begins a batch of about this size. */
  readonly begin: (bytes: number) => void
  /** Adds `count` values, plain encoded from a place of a page on, and returns the place after them. */
  readonly plain: (bytes: Uint8Array, from: number, count: number) => number
  readonly nulls: (count: number) => void
  /** Takes the values of a dictionary. */
  readonly learn: (bytes: Uint8Array, count: number) => void
  /** Adds the values of the dictionary with these numbers. */
  readonly named: (numbers: Int32Array, from: number, to: number) => void
  readonly take: () => Buffers
}

// Longer values are copied by the runtime, for which a call costs as much as a short copy.
const shortValue = 256

const tooFew = () => corrupt("has fewer values than its metadata says")
const unknownName = () => corrupt("names a value that its dictionary does not have")

/** Room for at least `needed` elements, and for twice as many as there was room for. */
const larger = (room: number, needed: number): number => Math.max(needed, Math.min(room * 2, room + 2 ** 24))

/** Numbers of 32 or 64 bits, as one or two words each. */
class FixedValues implements Values {
  private readonly words: 1 | 2
  private readonly over: (buffer: ArrayBuffer, length: number) => ArrayBufferView
  private readonly isReused: boolean
  private buffer = new ArrayBuffer(0)
  private out = new Int32Array(this.buffer)
  private outBytes = new Uint8Array(this.buffer)
  private used = 0
  private dictionary = new Int32Array(0)

  constructor(words: 1 | 2, over: (buffer: ArrayBuffer, length: number) => ArrayBufferView, isReused: boolean) {
    this.words = words
    this.over = over
    this.isReused = isReused
  }

  begin(): void {
    if (!this.isReused) this.hold(new ArrayBuffer(0))
    this.used = 0
  }

  private hold(buffer: ArrayBuffer): void {
    this.buffer = buffer
    this.out = new Int32Array(buffer)
    this.outBytes = new Uint8Array(buffer)
  }

  private reserve(count: number): void {
    const needed = this.used + count * this.words
    if (needed <= this.out.length) return
    const before = this.out
    this.hold(new ArrayBuffer(larger(before.length, needed) * 4))
    this.out.set(before.subarray(0, this.used))
  }

  plain(bytes: Uint8Array, from: number, count: number): number {
    const size = count * this.words * 4
    if (from + size > bytes.length) throw tooFew()
    this.reserve(count)
    const into = this.used * 4
    if (size > shortValue) this.outBytes.set(bytes.subarray(from, from + size), into)
    else for (let i = 0; i < size; i++) this.outBytes[into + i] = bytes[from + i] ?? outside(from + i)
    this.used += count * this.words
    return from + size
  }

  nulls(count: number): void {
    this.reserve(count)
    this.used += count * this.words
  }

  learn(bytes: Uint8Array, count: number): void {
    const size = count * this.words * 4
    if (size > bytes.length) throw tooFew()
    this.dictionary = new Int32Array(count * this.words)
    new Uint8Array(this.dictionary.buffer).set(bytes.subarray(0, size))
  }

  named(numbers: Int32Array, from: number, to: number): void {
    this.reserve(to - from)
    const { dictionary, out, words } = this
    for (let i = from; i < to; i++) {
      const at = (numbers[i] ?? outside(i)) * words
      for (let word = 0; word < words; word++) {
        const value = dictionary[at + word]
        if (value === undefined) throw unknownName()
        out[this.used++] = value
      }
    }
  }

  take(): Buffers {
    return { data: this.over(this.buffer, this.used / this.words) }
  }
}

/** A bit each. */
class BooleanValues implements Values {
  private out = new Uint8Array(0)
  private used = 0

  begin(): void {
    this.out = new Uint8Array(0)
    this.used = 0
  }

  private reserve(count: number): void {
    const needed = Math.ceil((this.used + count) / 8)
    if (needed <= this.out.length) return
    const bigger = new Uint8Array(larger(this.out.length, needed))
    bigger.set(this.out)
    this.out = bigger
  }

  /** `from` counts bits. */
  plain(bytes: Uint8Array, from: number, count: number): number {
    if (from + count > bytes.length * 8) throw tooFew()
    this.reserve(count)
    const { out } = this
    for (let bit = from; bit < from + count; bit++, this.used++) {
      if ((((bytes[bit >> 3] ?? outside(bit)) >> (bit & 7)) & 1) === 1) {
        out[this.used >> 3] = (out[this.used >> 3] ?? outside(this.used)) | (1 << (this.used & 7))
      }
    }
    return from + count
  }

  nulls(count: number): void {
    this.reserve(count)
    this.used += count
  }

  learn(): void {
    throw corrupt("has a dictionary of booleans")
  }

  named(): void {
    throw unknownName()
  }

  take(): Buffers {
    return { data: this.out }
  }
}

const mostBytes = 2 ** 31 - 1
// The metadata may lie.
const mostExpected = 16 * 1024 * 1024
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/** Byte strings, each after its length. */
class ByteValues implements Values {
  private readonly isText: boolean
  private readonly isReused: boolean
  private out = new Uint8Array(0)
  private outView = viewOf(this.out)
  private used = 0
  private offsets = new Int32Array(1)
  private count = 0
  private source: Uint8Array = new Uint8Array(0)
  private sourceView = viewOf(this.source)
  private dictionary: Uint8Array = new Uint8Array(0)
  /** Where the values of the dictionary begin and end. */
  private places = new Int32Array(0)

  constructor(isText: boolean, isReused: boolean) {
    this.isText = isText
    this.isReused = isReused
  }

  begin(bytes: number): void {
    this.used = 0
    this.count = 0
    if (this.isReused && this.out.length > 0) return
    this.out = new Uint8Array(Math.min(bytes, mostExpected))
    this.outView = viewOf(this.out)
    this.offsets = new Int32Array(1)
  }

  private reserve(bytes: number): void {
    const needed = this.used + bytes
    if (needed <= this.out.length) return
    if (needed > mostBytes) throw corrupt("has values of more than 2 GiB in one batch")
    const bigger = new Uint8Array(Math.min(mostBytes, larger(this.out.length, needed)))
    bigger.set(this.out.subarray(0, this.used))
    this.out = bigger
    this.outView = viewOf(bigger)
  }

  private reserveOffsets(count: number): void {
    const needed = this.count + count + 1
    if (needed <= this.offsets.length) return
    const bigger = new Int32Array(larger(this.offsets.length, needed))
    bigger.set(this.offsets.subarray(0, this.count + 1))
    this.offsets = bigger
  }

  private open(bytes: Uint8Array): void {
    if (this.source === bytes) return
    this.source = bytes
    this.sourceView = viewOf(bytes)
  }

  /** The place after a value of the open bytes that begins at a place, after its length. */
  private endOf(from: number): number {
    const { source, sourceView } = this
    if (from + 4 > source.length) throw tooFew()
    const end = from + 4 + sourceView.getUint32(from, true)
    if (end > source.length) throw corrupt("has a value that is longer than its page")
    return end
  }

  /** Copies bytes of the open ones; there has to be room for them. */
  private copy(from: number, to: number): void {
    const { out, outView, source, sourceView, used } = this
    if (to - from > shortValue) {
      out.set(source.subarray(from, to), used)
    } else {
      let at = from
      let into = used
      for (; at + 4 <= to; at += 4, into += 4) outView.setInt32(into, sourceView.getInt32(at, true), true)
      for (; at < to; at++, into++) outView.setUint8(into, sourceView.getUint8(at))
    }
    this.used += to - from
  }

  plain(bytes: Uint8Array, from: number, count: number): number {
    this.open(bytes)
    this.reserveOffsets(count)
    const { offsets } = this
    let at = from
    for (let i = 0; i < count; i++) {
      const end = this.endOf(at)
      this.reserve(end - at - 4)
      this.copy(at + 4, end)
      offsets[++this.count] = this.used
      at = end
    }
    return at
  }

  nulls(count: number): void {
    this.reserveOffsets(count)
    this.offsets.fill(this.used, this.count + 1, this.count + 1 + count)
    this.count += count
  }

  learn(bytes: Uint8Array, count: number): void {
    this.open(bytes)
    // Each value takes four bytes at least.
    if (count * 4 > bytes.length) throw tooFew()
    this.dictionary = bytes
    this.places = new Int32Array(count * 2)
    let at = 0
    for (let i = 0; i < count; i++) {
      const end = this.endOf(at)
      this.places[i * 2] = at + 4
      this.places[i * 2 + 1] = end
      at = end
    }
  }

  named(numbers: Int32Array, from: number, to: number): void {
    this.open(this.dictionary)
    this.reserveOffsets(to - from)
    const { offsets, places } = this
    for (let i = from; i < to; i++) {
      const at = (numbers[i] ?? outside(i)) * 2
      const start = places[at]
      const end = places[at + 1]
      if (start === undefined || end === undefined) throw unknownName()
      this.reserve(end - start)
      this.copy(start, end)
      offsets[++this.count] = this.used
    }
  }

  take(): Buffers {
    const data = this.out.subarray(0, this.used)
    const valueOffsets = this.offsets.subarray(0, this.count + 1)
    if (this.isText && !isAscii(data) && !(isUtf8(data) && startsAreCharacters(data, valueOffsets))) {
      throw corrupt("has a text that is not UTF-8")
    }
    return { data, valueOffsets }
  }
}

/** Whether no value begins in the middle of a character; if all bytes are UTF-8, then each value is. */
const startsAreCharacters = (data: Uint8Array, offsets: Int32Array): boolean => {
  for (const offset of offsets) {
    const byte = data[offset]
    if (byte !== undefined && (byte & 0xc0) === 0x80) return false
  }
  return true
}

const numbers32 = {
  float: (buffer: ArrayBuffer, length: number) => new Float32Array(buffer, 0, length),
  signed: (buffer: ArrayBuffer, length: number) => new Int32Array(buffer, 0, length),
  unsigned: (buffer: ArrayBuffer, length: number) => new Uint32Array(buffer, 0, length)
}
const numbers64 = {
  float: (buffer: ArrayBuffer, length: number) => new Float64Array(buffer, 0, length),
  signed: (buffer: ArrayBuffer, length: number) => new BigInt64Array(buffer, 0, length),
  unsigned: (buffer: ArrayBuffer, length: number) => new BigUint64Array(buffer, 0, length)
}

/** The numbers that an Arrow type consists of, if it is that simple. */
const numbersOf = (type: Arrow.DataType, leaf: Leaf, isReused: boolean): Values | undefined => {
  const typeId: number = type.typeId
  const is = (key: string, value: unknown): boolean => Object.entries(type).some(([k, v]) => k === key && v === value)
  const sign = is("isSigned", false) ? "unsigned" : "signed"
  switch (leaf.physical) {
    case physical.int32:
      return (typeId === Int && is("bitWidth", 32)) || (typeId === Date_ && is("unit", 0))
        ? new FixedValues(1, numbers32[sign], isReused)
        : undefined
    case physical.int64:
      return (typeId === Int && is("bitWidth", 64)) || (typeId === Timestamp && is("unit", timeUnitOf(leaf)))
        ? new FixedValues(2, numbers64[sign], isReused)
        : undefined
    case physical.float:
      return typeId === Float && is("precision", 1) ? new FixedValues(1, numbers32.float, isReused) : undefined
    case physical.double:
      return typeId === Float && is("precision", 2) ? new FixedValues(2, numbers64.float, isReused) : undefined
    default:
      return undefined
  }
}

/** `undefined` for types whose values are not stored as Arrow stores them. */
const valuesOf = (type: Arrow.DataType, leaf: Leaf, isReused: boolean): Values | undefined => {
  const typeId: number = type.typeId
  if (leaf.physical === physical.bytes) {
    return typeId === Utf8 || typeId === Binary
      ? new ByteValues(typeId === Utf8, isReused && typeId === Utf8)
      : undefined
  }
  if (leaf.physical === physical.boolean) return typeId === Bool ? new BooleanValues() : undefined
  return numbersOf(type, leaf, isReused)
}

/** Some rows of a column. */
export interface FlatRows extends Buffers {
  readonly nullCount: number
  /** A bit for each row, 1 if it has a value; `undefined` if all have one. */
  readonly nullBitmap: Uint8Array | undefined
}

/** A data page whose rows are being read. */
interface OpenPage {
  readonly count: number
  /** 1 for each row that has a value; `undefined` if all have one. */
  readonly present: Uint8Array | undefined
  /** The numbers of the values in the dictionary, or the bytes of the values. */
  readonly numbers: Int32Array | undefined
  readonly bytes: Uint8Array
  /** The next row. */
  row: number
  /** The next value: its number, or its place in the bytes. */
  at: number
}

/** Decodes a column chunk in order, some rows at a time. */
class FlatDecoder {
  private readonly column: ColumnChunk
  private readonly nullable: boolean
  private readonly values: Values
  /** Whether places of values are counted in bits. */
  private readonly inBits: boolean
  private readonly pages: Generator<Page, number>
  private page: OpenPage | undefined
  private read = 0
  // Reused from page to page.
  private levels = new Uint8Array(0)
  private numbers = new Int32Array(0)

  constructor(chunk: Uint8Array, column: ColumnChunk, leaf: Leaf, values: Values) {
    this.column = column
    this.nullable = leaf.nullable
    this.inBits = leaf.physical === physical.boolean
    this.values = values
    this.pages = pagesOf(chunk, column)
  }

  /** Throws if there are fewer. */
  next(rows: number): FlatRows {
    this.values.begin(Math.ceil((this.column.plainLength / this.column.values) * rows))
    const validity = new Validity(rows)
    for (let left = rows; left > 0;) {
      const page = this.page ?? this.nextPage()
      const count = Math.min(left, page.count - page.row)
      this.add(page, count, validity)
      left -= count
      this.page = page.row < page.count ? page : undefined
      if (this.page === undefined) release(page.bytes)
    }
    return { ...this.values.take(), ...validity.take() }
  }

  private add(page: OpenPage, count: number, validity: Validity): void {
    const { present } = page
    const end = page.row + count
    if (present === undefined) {
      this.addValues(page, count)
      validity.add(true, count)
      page.row = end
      return
    }
    while (page.row < end) {
      const there = present[page.row]
      let to = page.row + 1
      while (to < end && present[to] === there) to++
      const length = to - page.row
      if (there === 1) this.addValues(page, length)
      else this.values.nulls(length)
      validity.add(there === 1, length)
      page.row = to
    }
  }

  private addValues(page: OpenPage, count: number): void {
    if (page.numbers === undefined) {
      page.at = this.values.plain(page.bytes, page.at, count)
    } else {
      this.values.named(page.numbers, page.at, page.at + count)
      page.at += count
    }
  }

  private nextPage(): OpenPage {
    for (;;) {
      const next = this.pages.next()
      if (next.done === true) throw tooFew()
      const found = next.value
      if (found.type === dictionaryPage) this.learn(found)
      else if (isDataPage(found)) return this.open(found)
    }
  }

  private bytesOf({ body, plainLength }: Page): Uint8Array {
    return plain(this.column.codec, body, plainLength) ?? unreadable()
  }

  private learn(found: Page): void {
    const its = Thrift.struct(found.header, page.dictionary)
    const count = its === undefined ? undefined : Thrift.int(its, 1)
    if (count === undefined || count < 0) throw corrupt("has a dictionary without a number of values")
    this.values.learn(this.bytesOf(found), count)
  }

  private open(found: Page): OpenPage {
    const { column, nullable } = this
    const data = dataPageOf(found, column.codec, column.values - this.read, levelsOf(nullable)) ?? unreadable()
    this.read += data.count
    const { nulls, present } = nullable ? this.presence(data.levels, data.definition, data.count) : allPresent
    const { bytes, from } = data.values() ?? unreadable()
    const isNamed = dictionaryEncodings.has(data.encoding)
    const numbers = isNamed ? this.numbersOf(bytes, from, data.count - nulls) : undefined
    return {
      count: data.count,
      present,
      numbers,
      bytes,
      row: 0,
      at: isNamed ? 0 : this.inBits ? from * 8 : from
    }
  }

  private presence(bytes: Uint8Array, [from, to]: readonly [number, number], count: number) {
    if (count > this.levels.length) this.levels = new Uint8Array(count)
    const { levels } = this
    let at = 0
    let nulls = 0
    runs(bytes, from, to, 1, count, (level, length) => {
      if (level > 1) throw corrupt("has a level that its schema does not have")
      if (level === 0) nulls += length
      if (length === 1) levels[at] = level
      else levels.fill(level, at, at + length)
      at += length
    })
    return { nulls, present: nulls === 0 ? undefined : levels }
  }

  private numbersOf(bytes: Uint8Array, from: number, count: number): Int32Array {
    if (count > this.numbers.length) this.numbers = new Int32Array(count)
    const { numbers } = this
    if (count === 0) return numbers
    const width = bytes[from]
    if (width === undefined || width > 32) throw corrupt("does not say which values of its dictionary it has")
    let at = 0
    runs(bytes, from + 1, bytes.length, width, count, (number, length) => {
      if (length === 1) numbers[at] = number
      else numbers.fill(number, at, at + length)
      at += length
    })
    return numbers
  }
}

const levelsOf = (nullable: boolean) => ({ repetition: false, definition: nullable })

const allPresent = { nulls: 0, present: undefined }

/** Which of some rows have a value. */
class Validity {
  private readonly rows: number
  private bits: Uint8Array | undefined
  private row = 0
  private nulls = 0

  constructor(rows: number) {
    this.rows = rows
  }

  add(there: boolean, count: number): void {
    if (!there) {
      this.nulls += count
      this.bits ??= filled(this.row, this.rows)
    } else if (this.bits !== undefined) {
      fill(this.bits, this.row, this.row + count)
    }
    this.row += count
  }

  take(): Pick<FlatRows, "nullBitmap" | "nullCount"> {
    return { nullCount: this.nulls, nullBitmap: this.bits }
  }
}

const fill = (bits: Uint8Array, from: number, to: number): void => {
  let at = from
  for (; at < to && (at & 7) !== 0; at++) bits[at >> 3] = (bits[at >> 3] ?? outside(at)) | (1 << (at & 7))
  const whole = at + ((to - at) & ~7)
  if (whole > at) bits.fill(0xff, at >> 3, whole >> 3)
  for (at = Math.max(at, whole); at < to; at++) bits[at >> 3] = (bits[at >> 3] ?? outside(at)) | (1 << (at & 7))
}

/** Bits for `rows` rows, of which the first `count` are 1. */
const filled = (count: number, rows: number): Uint8Array => {
  const bits = new Uint8Array(Math.ceil(rows / 8))
  fill(bits, 0, count)
  return bits
}

// The headers of all pages were looked at before.
const unreadable = (): never => {
  throw corrupt("has a page of another kind than its header says")
}

/**
 * Reads the next rows of a column chunk, as often as it is called; `undefined` if only the codec can decode them.
 * Throws if the pages do not fit the metadata. With `isReused`, texts and numbers are valid until the next call.
 */
export const makeFlatDecoder = (
  chunk: Uint8Array,
  column: ColumnChunk,
  leaf: Leaf,
  type: Arrow.DataType,
  isReused: boolean
): ((rows: number) => FlatRows) | undefined => {
  if (leaf.repeated || leaf.path.length > 1 || column.values >= 2 ** 31 || column.values === 0) return undefined
  const values = valuesOf(type, leaf, isReused)
  if (values === undefined) return undefined
  const allowed = leaf.physical === physical.boolean ? plainOnly : plainOrNamed
  if (!isReadable(chunk, column, levelsOf(leaf.nullable), allowed)) return undefined
  const decoder = new FlatDecoder(chunk, column, leaf, values)
  return (rows) => decoder.next(rows)
}

const plainOnly: ReadonlySet<number | undefined> = new Set([encodings.plain])
const plainOrNamed: ReadonlySet<number | undefined> = new Set([encodings.plain, ...dictionaryEncodings])
