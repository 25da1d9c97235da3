/**
 * Columns with one value or none per row, encoded as their values are added: a page is compressed when it is full, so
 * that an unfinished row group takes little more memory than it will take in the file.
 */
import { outside } from "../outside.ts"
import { type Bounds, ByteBounds, statisticsOf } from "./bounds.ts"
import { ChunkWriter, type Compression, type EncodedColumn, encodings, pageBytes } from "./pages.ts"
import { physical } from "./schema.ts"
import {
  aBoolean,
  aFloat32,
  anInt32,
  anInt64,
  aNumber,
  aTime,
  isNone,
  Refused,
  type WriteValue,
  writeBytes,
  writeText
} from "./values.ts"

export type FlatType = "text" | "binary" | "double" | "float" | "int32" | "int64" | "boolean" | "timestamp"

/** The values of a page, plain encoded. */
interface PageValues {
  /** Bytes added. Throws {@link Refused}. */
  readonly add: (value: unknown) => number
  /** Size of the page in bytes. */
  readonly length: number
  /** How many bytes a null counts as. */
  readonly nullBytes: number
  /** The bytes of the page. The next page overwrites them. */
  readonly take: () => Uint8Array
  /** Bounds of the values of all pages since the last time. */
  readonly bounds: () => Bounds | undefined
}

const firstBytes = 1024

/** Byte strings, each after its length. */
class ByteValues implements PageValues {
  readonly nullBytes = 4
  length = 0
  private buffer = Buffer.allocUnsafeSlow(firstBytes)
  private readonly write: WriteValue
  private readonly limits: ByteBounds

  constructor(write: WriteValue, limits: ByteBounds) {
    this.write = write
    this.limits = limits
  }

  private readonly room = (bytes: number): Buffer => {
    const needed = this.length + 4 + bytes
    if (needed > this.buffer.length) {
      const bigger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, needed))
      bigger.set(this.buffer.subarray(0, this.length))
      this.buffer = bigger
    }
    return this.buffer
  }

  add(value: unknown): number {
    const from = this.length + 4
    const bytes = this.write(value, this.room, from)
    this.buffer.writeInt32LE(bytes, this.length)
    this.length = from + bytes
    this.limits.add(this.buffer, from, this.length)
    return bytes + 4
  }

  take(): Uint8Array {
    const page = this.buffer.subarray(0, this.length)
    this.length = 0
    return page
  }

  bounds(): Bounds | undefined {
    return this.limits.take()
  }
}

interface Numbers<A> {
  [index: number]: A
  readonly length: number
  readonly buffer: ArrayBuffer
}

interface FixedType<A> {
  readonly bytes: number
  readonly over: (buffer: ArrayBuffer) => Numbers<A>
  /** Throws {@link Refused}. */
  readonly check: (value: unknown) => A
  /** Bounds that also hold for equal values that are not identical, such as both zeros. */
  readonly widest?: (min: A, max: A) => readonly [min: A, max: A]
}

/** Numbers of the same number of bytes. */
class FixedValues<A extends number | bigint> implements PageValues {
  readonly nullBytes: number
  private readonly type: FixedType<A>
  private values: Numbers<A>
  private count = 0
  private min: A | undefined
  private max: A | undefined

  constructor(type: FixedType<A>) {
    this.type = type
    this.nullBytes = type.bytes
    this.values = type.over(new ArrayBuffer(firstBytes))
  }

  get length(): number {
    return this.count * this.type.bytes
  }

  add(value: unknown): number {
    const checked = this.type.check(value)
    if (this.count === this.values.length) {
      const bigger = new ArrayBuffer(this.values.length * 2 * this.type.bytes)
      new Uint8Array(bigger).set(new Uint8Array(this.values.buffer))
      this.values = this.type.over(bigger)
    }
    this.values[this.count++] = checked
    const { max, min } = this
    if (min === undefined || max === undefined) {
      // NaN has no place in the order.
      if (!Number.isNaN(checked)) this.min = this.max = checked
    } else if (checked < min) {
      this.min = checked
    } else if (checked > max) {
      this.max = checked
    }
    return this.type.bytes
  }

  take(): Uint8Array {
    const page = new Uint8Array(this.values.buffer, 0, this.length)
    this.count = 0
    return page
  }

  bounds(): Bounds | undefined {
    const { max, min, type } = this
    this.min = this.max = undefined
    if (min === undefined || max === undefined) return undefined
    const [least, greatest] = type.widest?.(min, max) ?? [min, max]
    return { min: this.bytesOf(least), max: this.bytesOf(greatest), isMinExact: true, isMaxExact: true }
  }

  private bytesOf(value: A): Uint8Array {
    const one = this.type.over(new ArrayBuffer(this.type.bytes))
    one[0] = value
    return new Uint8Array(one.buffer)
  }
}

/** A bit each. */
class BooleanValues extends FixedValues<number> {
  constructor() {
    super({ bytes: 1, over: (buffer) => new Uint8Array(buffer), check: aBoolean })
  }

  override take(): Uint8Array {
    return packed(super.take(), 1)
  }
}

const zeros = (min: number, max: number) => [min === 0 ? -0 : min, max === 0 ? 0 : max] as const

const float64: FixedType<number> = {
  bytes: 8,
  over: (buffer) => new Float64Array(buffer),
  check: aNumber,
  widest: zeros
}
const float32: FixedType<number> = {
  bytes: 4,
  over: (buffer) => new Float32Array(buffer),
  check: aFloat32,
  widest: zeros
}
const integer32: FixedType<number> = { bytes: 4, over: (buffer) => new Int32Array(buffer), check: anInt32 }
const integer64: FixedType<bigint> = { bytes: 8, over: (buffer) => new BigInt64Array(buffer), check: anInt64 }
const time64: FixedType<bigint> = { bytes: 8, over: (buffer) => new BigInt64Array(buffer), check: aTime }

interface Kind {
  readonly physical: number
  readonly values: (limits: ByteBounds) => PageValues
  /** Whether repeated values are written as numbers of a dictionary. */
  readonly repeats?: boolean
}

const kinds: Readonly<Record<FlatType, Kind>> = {
  text: { physical: physical.bytes, values: (limits) => new ByteValues(writeText, limits), repeats: true },
  binary: { physical: physical.bytes, values: (limits) => new ByteValues(writeBytes, limits) },
  double: { physical: physical.double, values: () => new FixedValues(float64) },
  float: { physical: physical.float, values: () => new FixedValues(float32) },
  int32: { physical: physical.int32, values: () => new FixedValues(integer32) },
  int64: { physical: physical.int64, values: () => new FixedValues(integer64) },
  boolean: { physical: physical.boolean, values: () => new BooleanValues() },
  timestamp: { physical: physical.int64, values: () => new FixedValues(time64) }
}

/** Numbers of `width` bits, the first one in the lowest bits; a multiple of eight of them, the last ones 0. */
const packed = (values: ArrayLike<number>, width: number): Uint8Array => {
  const groups = Math.ceil(values.length / 8)
  const out = new Uint8Array(groups * width)
  let at = 0
  let held = 0
  let bits = 0
  for (let i = 0; i < groups * 8; i++) {
    if (i < values.length) held |= (values[i] ?? outside(i)) << bits
    bits += width
    for (; bits >= 8; bits -= 8) {
      out[at++] = held & 0xff
      held >>>= 8
    }
  }
  return out
}

const varint = (value: number): ReadonlyArray<number> => {
  const out: Array<number> = []
  let rest = value
  for (; rest >= 0x80; rest >>>= 7) out.push((rest & 0x7f) | 0x80)
  out.push(rest)
  return out
}

/** Numbers of `width` bits as one run: a single number if all are the same, and packed numbers otherwise. */
const run = (values: ArrayLike<number>, width: number, isOne: boolean): Buffer => {
  if (!isOne)
    return Buffer.concat([Uint8Array.from(varint(Math.ceil(values.length / 8) * 2 + 1)), packed(values, width)])
  const value = values[0] ?? outside(0)
  const bytes = Array.from({ length: Math.ceil(width / 8) }, (_, i) => (value >> (8 * i)) & 0xff)
  return Buffer.from([...varint(values.length * 2), ...bytes])
}

/** Which values of a page are not null. */
class Presence {
  private bytes = new Uint8Array(firstBytes)
  count = 0
  nulls = 0

  add(there: boolean): void {
    if (this.count === this.bytes.length) {
      const bigger = new Uint8Array(this.count * 2)
      bigger.set(this.bytes)
      this.bytes = bigger
    }
    this.bytes[this.count++] = there ? 1 : 0
    if (!there) this.nulls++
  }

  /** The levels of the page, after their length. */
  take(): Uint8Array {
    const { bytes, count, nulls } = this
    this.count = this.nulls = 0
    const levels = run(bytes.subarray(0, count), 1, nulls === 0 || nulls === count)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(levels.length)
    return Buffer.concat([length, levels])
  }
}

const mostEntries = 32 * 1024
const mostBytes = 1024 * 1024
// After how many texts to check whether they repeat, and how many of them may be new.
const sample = 1024
const mostNew = 0.75

/** Texts that occur more than once, and the numbers that name them in a page. */
class Dictionary {
  private readonly known = new Map<string, { readonly number: number; readonly bytes: number }>()
  private readonly entries: ByteValues
  private indexes = new Int32Array(firstBytes)
  private count = 0
  private total = 0

  constructor(limits: ByteBounds) {
    this.entries = new ByteValues(writeText, limits)
  }

  /** Whether there are too many texts, or too few repeated ones, for a dictionary to save anything. */
  get isFull(): boolean {
    const { entries, known, total } = this
    return known.size >= mostEntries || entries.length >= mostBytes || (total >= sample && known.size > total * mostNew)
  }

  add(value: unknown): number {
    const found = typeof value === "string" ? this.known.get(value) : undefined
    const { bytes, number } = found ?? this.learn(value)
    if (this.count === this.indexes.length) {
      const bigger = new Int32Array(this.count * 2)
      bigger.set(this.indexes)
      this.indexes = bigger
    }
    this.indexes[this.count++] = number
    this.total++
    return bytes
  }

  private learn(value: unknown) {
    const entry = { bytes: this.entries.add(value), number: this.known.size }
    // A copy: a part of a text would keep the whole text in memory.
    this.known.set(Buffer.from(String(value), "utf8").toString("utf8"), entry)
    return entry
  }

  /** Whether the page has values. */
  get hasValues(): boolean {
    return this.count > 0
  }

  /** The numbers of the page. */
  take(): Uint8Array {
    const { count, indexes, known } = this
    this.count = 0
    const width = Math.max(1, 32 - Math.clz32(known.size - 1))
    return Buffer.concat([Uint8Array.of(width), run(indexes.subarray(0, count), width, known.size === 1)])
  }

  /** Adds the page of all texts to the pages that name them. */
  close(chunk: ChunkWriter): void {
    if (this.known.size > 0) chunk.dictionary(this.known.size, this.entries.take())
  }
}

// As other writers do, because readers that skip rows skip whole pages.
const mostValues = 20_000

/** The columns of a row group, one after another. */
export class FlatColumn {
  private readonly name: string
  private readonly kind: Kind
  private readonly nullable: boolean
  private readonly compression: Compression
  private readonly limits = new ByteBounds()
  private readonly values: PageValues
  private readonly presence = new Presence()
  private chunk: ChunkWriter
  private dictionary: Dictionary | undefined
  /** Values of the page. */
  private count = 0
  /** Nulls of the chunk. */
  private nulls = 0

  constructor(name: string, type: FlatType, nullable: boolean, compression: Compression) {
    this.name = name
    this.kind = kinds[type]
    this.nullable = nullable
    this.compression = compression
    this.values = this.kind.values(this.limits)
    this.dictionary = this.kind.repeats === true ? new Dictionary(this.limits) : undefined
    this.chunk = new ChunkWriter(compression)
  }

  /** Bytes added, before they are compressed. Throws {@link Refused}. */
  add(value: unknown): number {
    const bytes = isNone(value) ? this.addNull(value) : this.addValue(value)
    this.count++
    if (this.dictionary?.isFull === true) this.giveUp()
    else if (this.values.length >= pageBytes || this.count >= mostValues) this.endPage()
    return bytes
  }

  private addNull(value: unknown): number {
    if (!this.nullable) throw new Refused("is null or missing", value)
    this.presence.add(false)
    this.nulls++
    return this.values.nullBytes
  }

  private addValue(value: unknown): number {
    const bytes = (this.dictionary ?? this.values).add(value)
    if (this.nullable) this.presence.add(true)
    return bytes
  }

  /** The column chunk of the values since the last time. */
  finish(): EncodedColumn {
    this.endPage()
    this.dictionary?.close(this.chunk)
    const encoded = this.chunk.finish({
      name: this.name,
      path: [this.name],
      physical: this.kind.physical,
      statistics: statisticsOf(this.nulls, this.values.bounds())
    })
    this.chunk = new ChunkWriter(this.compression)
    this.dictionary = this.dictionary && new Dictionary(this.limits)
    this.nulls = 0
    return encoded
  }

  // If values have not repeated so far, they are no longer looked up, in this row group and later ones.
  private giveUp(): void {
    this.endPage()
    this.dictionary?.close(this.chunk)
    this.dictionary = undefined
  }

  private endPage(): void {
    if (this.count === 0) return
    const levels = this.nullable ? [this.presence.take()] : []
    if (this.dictionary?.hasValues === true) {
      this.chunk.data(this.count, encodings.dictionary, [...levels, this.dictionary.take()])
    } else {
      const values = this.values.take()
      // Without compression, the page itself is written later.
      this.chunk.data(this.count, encodings.plain, [
        ...levels,
        this.compression === "none" ? Buffer.from(values) : values
      ])
    }
    this.count = 0
  }
}
