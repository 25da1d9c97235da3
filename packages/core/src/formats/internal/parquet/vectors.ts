/**
 * Decodes and encodes columns of vectors without the codec: without nulls, a page is the memory of the vectors after
 * some runs of levels, so that one copy is enough. Anything of another shape is left to the codec.
 */
import * as zlib from "node:zlib"
import type { ColumnChunk } from "./footer.ts"
import { schemaOf } from "./schema.ts"
import {
  ChunkWriter,
  codecs,
  type Compression,
  dataPage,
  dataPageV2,
  dictionaryPage,
  type EncodedColumn,
  encodings,
  Levels,
  page,
  pageBytes
} from "./pages.ts"
import * as Snappy from "./snappy.ts"
import * as Thrift from "./thrift.ts"
import { outside } from "../outside.ts"

const schema = { elements: 2, type: 1, repetition: 3, name: 4, children: 5 } as const
const float = 4
const required = 0
const repeated = 2

export interface VectorColumn {
  /** The elements of its schema, the outermost first. */
  readonly elements: ReadonlyArray<Thrift.Struct>
  readonly nullable: boolean
  readonly nullableItems: boolean
  readonly maxLevel: number
}

/** The top-level columns that are lists of 32-bit floats. */
export const vectorColumns = (footer: Thrift.Struct): ReadonlyMap<string, VectorColumn> => {
  const all = Thrift.structs(footer, schema.elements)
  const columns = new Map<string, VectorColumn>()
  for (const top of schemaOf(footer).columns) {
    const elements = all.slice(...top.elements)
    const [outer, middle, leaf] = elements
    if (outer === undefined || middle === undefined || leaf === undefined || elements.length !== 3) continue
    const [first, second, third] = elements.map((element) => Thrift.int(element, schema.repetition))
    if (first === repeated || second !== repeated || third === repeated) continue
    if (Thrift.int(outer, schema.children) !== 1 || Thrift.int(leaf, schema.type) !== float) continue
    const nullable = first !== required
    const nullableItems = third !== required
    columns.set(Thrift.text(outer, schema.name), {
      elements,
      nullable,
      nullableItems,
      maxLevel: 1 + (nullable ? 1 : 0) + (nullableItems ? 1 : 0)
    })
  }
  return columns
}

interface Vectors {
  readonly offsets: Int32Array
  readonly values: Float32Array
}

const corrupt = (detail: string): Thrift.ThriftError => new Thrift.ThriftError(`has a column chunk that ${detail}`)

const levelsEnd = (): never => {
  throw corrupt("ends in the middle of its levels")
}

/** Runs of equal values, from Parquet's mix of run lengths and packed bits. */
const runs = (
  bytes: Uint8Array,
  from: number,
  end: number,
  width: number,
  count: number,
  onRun: (value: number, length: number) => void
): void => {
  let at = from
  let left = count
  while (left > 0) {
    let header = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined || at > end || shift > 28) throw corrupt("ends in the middle of its levels")
      header += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    if (header % 2 === 1) {
      const length = Math.min(left, (header - 1) * 4)
      if (at + Math.ceil((length * width) / 8) > end) throw corrupt("ends in the middle of its levels")
      if (width === 1) {
        let i = 0
        for (; i + 8 <= length; i += 8) {
          const byte = bytes[at + (i >> 3)] ?? levelsEnd()
          if (byte === 0xff) onRun(1, 8)
          else for (let bit = 0; bit < 8; bit++) onRun((byte >> bit) & 1, 1)
        }
        for (; i < length; i++) onRun(((bytes[at + (i >> 3)] ?? levelsEnd()) >> (i & 7)) & 1, 1)
        at += (header - 1) / 2
        left -= length
        continue
      }
      const mask = (1 << width) - 1
      let held = 0
      let bits = 0
      let next = at
      for (let i = 0; i < length; i++) {
        while (bits < width) {
          held |= (bytes[next++] ?? levelsEnd()) << bits
          bits += 8
        }
        onRun(held & mask, 1)
        held >>>= width
        bits -= width
      }
      at += ((header - 1) / 2) * width
      left -= length
    } else {
      const size = (width + 7) >> 3
      if (at + size > end) throw corrupt("ends in the middle of its levels")
      let value = 0
      for (let i = 0; i < size; i++) value += (bytes[at++] ?? levelsEnd()) * 2 ** (8 * i)
      const length = Math.min(left, header / 2)
      onRun(value, length)
      left -= length
    }
  }
}

interface Page {
  readonly header: Thrift.Struct
  readonly type: number
  readonly plainLength: number
  readonly body: Uint8Array
}

// A page may say that it is larger than its whole column is according to the metadata, but not this much larger.
const maxOddPage = 64 * 1024 * 1024

/** Values of a data page, including nulls and empty lists. */
const valuesOf = (header: Thrift.Struct): number => {
  const own = Thrift.struct(header, page.dataV2) ?? Thrift.struct(header, page.data)
  return own === undefined ? 0 : (Thrift.int(own, 1) ?? 0)
}

/**
 * The pages of a column chunk, up to its number of values. Throws if they do not fit it or if a checksum is wrong.
 */
function* pagesOf(
  chunk: Uint8Array,
  column: ColumnChunk,
  checksums = true,
  enough = column.values
): Generator<Page, number> {
  let values = 0
  let at = 0
  while (at < chunk.length && (values < enough || at === 0)) {
    const { length: headerLength, struct: header } = Thrift.readPrefix(chunk.subarray(at))
    const length = Thrift.int(header, page.length)
    const plainLength = Thrift.int(header, page.plainLength)
    at += headerLength
    if (length === undefined || plainLength === undefined || length < 0 || plainLength < 0) throw corrupt("has no page")
    if (at + length > chunk.length) throw corrupt("ends in the middle of a page")
    if (plainLength > Math.max(maxOddPage, column.plainLength)) throw corrupt("has a page that is larger than it")
    const count = valuesOf(header)
    if (count < 0) throw corrupt(`has a page of ${count} values`)
    values += count
    if (values > column.values) throw corrupt("has more values than its metadata says")
    const body = chunk.subarray(at, at + length)
    const crc = checksums ? Thrift.int(header, page.crc) : undefined
    if (crc !== undefined && zlib.crc32(body) !== crc >>> 0) throw corrupt("has a page with a wrong checksum")
    yield { header, type: Thrift.int(header, page.type) ?? -1, plainLength, body }
    at += length
  }
  if (values < enough) throw corrupt("has fewer values than its metadata says")
  return at
}

const plain = (codec: number, body: Uint8Array, length: number): Uint8Array | undefined => {
  switch (codec) {
    case codecs.none:
      return body
    case codecs.snappy: {
      // At best, Snappy writes three bytes for 64.
      if (length > 64 * body.length) throw corrupt("has a page that is larger than it can be")
      return Snappy.decompress(body, length)
    }
    case codecs.gzip:
      return zlib.gunzipSync(body, { maxOutputLength: Math.max(1, length) })
    case codecs.zstd:
      return zlib.zstdDecompressSync(body, { maxOutputLength: Math.max(1, length) })
    default:
      return undefined
  }
}

const floatsOf = (bytes: Uint8Array): Float32Array => {
  const values = new Float32Array(bytes.length >> 2)
  new Uint8Array(values.buffer).set(bytes.subarray(0, values.byteLength))
  return values
}

const dictionaryEncodings: ReadonlySet<number | undefined> = new Set([2, 8])

// The limit of what is decoded in one piece.
const maxValues = 64 * 1024 * 1024

/** A data page: where its levels are, and how its values are encoded. */
interface DataPage {
  readonly count: number
  readonly encoding: number | undefined
  /** The bytes that hold the levels. */
  readonly levels: Uint8Array
  readonly repetition: readonly [from: number, to: number]
  readonly definition: readonly [from: number, to: number]
  /** The values and where they begin; `undefined` if only the codec can decode them. */
  readonly values: () => { readonly bytes: Uint8Array; readonly from: number } | undefined
}

const dataPageV2Of = (own: Thrift.Struct, count: number, codec: number, { body, plainLength }: Page): DataPage => {
  const definitionLength = Thrift.int(own, 5) ?? 0
  const repetitionLength = Thrift.int(own, 6) ?? 0
  const levels = definitionLength + repetitionLength
  if (definitionLength < 0 || repetitionLength < 0 || levels > body.length || levels > plainLength) {
    throw corrupt("has levels that are longer than their page")
  }
  return {
    count,
    encoding: Thrift.int(own, 4),
    levels: body,
    repetition: [0, repetitionLength],
    definition: [repetitionLength, levels],
    values: () => {
      const compressed = own.get(7)?.type !== 2
      const bytes = plain(compressed ? codec : codecs.none, body.subarray(levels), plainLength - levels)
      return bytes && { bytes, from: 0 }
    }
  }
}

const dataPageV1Of = (
  own: Thrift.Struct,
  count: number,
  codec: number,
  { body, plainLength }: Page
): DataPage | undefined => {
  // Levels that are not run lengths went out of use before lists existed.
  if (Thrift.int(own, 3) !== 3 || Thrift.int(own, 4) !== 3) return undefined
  const bytes = plain(codec, body, plainLength)
  if (bytes === undefined) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const endOf = (from: number): number => {
    if (from + 4 > bytes.length) throw corrupt("ends in the middle of its levels")
    const end = from + 4 + view.getUint32(from, true)
    if (end > bytes.length) throw corrupt("has levels that are longer than their page")
    return end
  }
  const repetitionEnd = endOf(0)
  const from = endOf(repetitionEnd)
  return {
    count,
    encoding: Thrift.int(own, 2),
    levels: bytes,
    repetition: [4, repetitionEnd],
    definition: [repetitionEnd + 4, from],
    values: () => ({ bytes, from })
  }
}

/** `undefined` if only the codec can decode it. `left` values of the column chunk are still to come. */
const dataPageOf = (found: Page, codec: number, left: number): DataPage | undefined => {
  const v2 = found.type === dataPageV2
  const own = Thrift.struct(found.header, v2 ? page.dataV2 : page.data)
  const count = own === undefined ? undefined : Thrift.int(own, 1)
  if (own === undefined || count === undefined || count < 0 || count > left) {
    throw corrupt("has more values than its metadata says")
  }
  return v2 ? dataPageV2Of(own, count, codec, found) : dataPageV1Of(own, count, codec, found)
}

/**
 * Decodes the vectors of a column chunk in order, some rows at a time; `undefined` if only the codec can decode them.
 */
export interface VectorDecoder {
  readonly next: (rows: number) => Vectors | undefined
}

/** `step`: how many rows will be asked for at a time. */
export const makeVectorDecoder = (
  chunk: Uint8Array,
  column: ColumnChunk,
  { maxLevel }: VectorColumn,
  rows: number,
  step: number
): VectorDecoder | undefined => {
  if (column.values < rows || column.values >= 2 ** 31 || rows === 0) return undefined
  // A slice gets somewhat more than its share, because it ends where a page ends.
  const capacity = step >= rows ? column.values : Math.ceil((column.values / rows) * step * 1.1)
  if (capacity > maxValues) return undefined
  // Checked before memory is allocated for as many values as the metadata says.
  verify(chunk, column, false)
  return new ChunkDecoder(chunk, column, maxLevel, rows, capacity)
}

class ChunkDecoder implements VectorDecoder {
  private readonly column: ColumnChunk
  private readonly maxLevel: number
  private readonly rows: number
  private readonly capacity: number
  private readonly pages: Generator<Page, number>
  // Where each row starts, counted from the first value of the chunk; `values` holds those from `base` on.
  private readonly starts: Int32Array
  private values: Float32Array
  private base = 0
  private used = 0
  private row = 0
  private given = 0
  private position = 0
  private ended = false
  private plainVectors = true
  private dictionary: Float32Array | undefined

  constructor(chunk: Uint8Array, column: ColumnChunk, maxLevel: number, rows: number, capacity: number) {
    this.column = column
    this.maxLevel = maxLevel
    this.rows = rows
    this.capacity = capacity
    this.pages = pagesOf(chunk, column)
    this.starts = new Int32Array(rows + 1)
    this.values = new Float32Array(capacity)
  }

  next(count: number): Vectors | undefined {
    if (!this.plainVectors) return undefined
    const last = this.given + count
    // A row ends where the next one starts.
    while (!this.ended && this.row <= last) {
      const next = this.pages.next()
      if (next.done === true) {
        this.end()
      } else if (!this.readPage(next.value)) {
        this.plainVectors = false
        return undefined
      }
    }
    const { base } = this
    const offsets = this.starts.subarray(this.given, last + 1)
    const end = offsets[count] ?? this.used
    const found = {
      offsets: base === 0 ? offsets : offsets.map((start) => start - base),
      values: this.values.subarray(0, end - base)
    }
    this.given = last
    if (last < this.rows) this.keepFrom(end)
    return found
  }

  private end(): void {
    this.ended = true
    this.starts[this.rows] = this.used
    if (this.used !== this.column.values || this.row !== this.rows || this.starts[0] !== 0) {
      throw corrupt("has fewer values than its metadata says")
    }
  }

  /** Values that were handed out own their memory: those after them need new memory. */
  private keepFrom(end: number): void {
    const rest = this.values.subarray(end - this.base, this.used - this.base)
    this.values = new Float32Array(Math.max(this.capacity, rest.length))
    this.values.set(rest)
    this.base = end
  }

  private readonly repetition = (level: number, length: number): void => {
    if (level !== 0) {
      this.position += length
      return
    }
    if (this.row + length > this.rows) throw corrupt("has more rows than its row group")
    for (let i = 0; i < length; i++) this.starts[this.row++] = this.position++
  }

  private readonly definition = (level: number): void => {
    if (level !== this.maxLevel) this.plainVectors = false
  }

  private reserve(count: number): void {
    const held = this.used - this.base
    if (held + count <= this.values.length) return
    const bigger = new Float32Array(Math.max(held + count, Math.ceil(this.values.length * 1.5)))
    bigger.set(this.values.subarray(0, held))
    this.values = bigger
  }

  /** Whether the page could be decoded here. */
  private readPage(found: Page): boolean {
    const { codec, plainLength, values } = this.column
    if (found.plainLength > plainLength) throw corrupt("has a page that is larger than it")
    if (found.type === dictionaryPage) {
      const bytes = plain(codec, found.body, found.plainLength)
      this.dictionary = bytes === undefined ? undefined : floatsOf(bytes)
      return bytes !== undefined
    }
    if (found.type !== dataPage && found.type !== dataPageV2) return true
    const data = dataPageOf(found, codec, values - this.used)
    if (data === undefined) return false
    this.position = this.used
    runs(data.levels, ...data.repetition, 1, data.count, this.repetition)
    runs(data.levels, ...data.definition, this.maxLevel === 1 ? 1 : 2, data.count, this.definition)
    const encoded = data.values()
    if (encoded === undefined || !this.plainVectors) return false
    this.reserve(data.count)
    if (!this.readValues(data, encoded.bytes, encoded.from)) return false
    this.used += data.count
    return true
  }

  private readValues({ count, encoding }: DataPage, bytes: Uint8Array, from: number): boolean {
    const { dictionary: known, values: out } = this
    let to = this.used - this.base
    if (encoding === encodings.plain) {
      const size = count * 4
      if (from + size > bytes.length) throw corrupt("has fewer values than its metadata says")
      new Uint8Array(out.buffer).set(bytes.subarray(from, from + size), to * 4)
      return true
    }
    const width = bytes[from]
    if (!dictionaryEncodings.has(encoding) || known === undefined || width === undefined || width > 24) return false
    runs(bytes, from + 1, bytes.length, width, count, (index, length) => {
      const value = known[index]
      if (value === undefined) throw corrupt("names a value that its dictionary does not have")
      for (let i = 0; i < length; i++) out[to++] = value
    })
    return true
  }
}

/** Checks the pages of the first `enough` values of a column chunk, and returns how many bytes they take. */
export const verify = (chunk: Uint8Array, column: ColumnChunk, checksums: boolean, enough?: number): number => {
  const pages = pagesOf(chunk, column, checksums, enough)
  for (;;) {
    const next = pages.next()
    if (next.done === true) return next.value
  }
}

/** Some rows of a column of vectors. */
export interface VectorData extends Vectors {
  readonly rows: number
  /** `undefined` where no row is null. */
  readonly valid: ((row: number) => boolean) | undefined
}

// Snappy only finds repeats, which deflate with a fixed code does as well.
const repeats = (values: Float32Array): boolean => {
  const length = Math.min(64 * 1024, values.byteLength)
  const middle = (values.byteLength - length) >> 1
  const sample = new Uint8Array(values.buffer, values.byteOffset + middle, length)
  const options = { level: 1, strategy: zlib.constants.Z_FIXED }
  return length > 0 && zlib.deflateRawSync(sample, options).length < length * 0.9
}

/**
 * Adds the levels of the rows of a page, and returns where it ends and what is in it; `undefined` if a null has values.
 */
const addLevels = (
  { offsets, rows, valid }: VectorData,
  from: number,
  { empty, maxLevel }: { readonly empty: number; readonly maxLevel: number },
  repetition: Levels,
  definition: Levels
): { readonly row: number; readonly first: number; readonly end: number; readonly levels: number } | undefined => {
  const first = offsets[from] ?? outside(from)
  const full = first + pageBytes / 4
  let end = first
  let levels = 0
  let row = from
  for (; row < rows && (row === from || end < full); row++) {
    const next = offsets[row + 1] ?? end
    const size = next - end
    end = next
    repetition.add(0, 1)
    if (size === 0) {
      definition.add(valid === undefined || valid(row) ? empty : 0, 1)
      levels++
    } else {
      if (valid !== undefined && !valid(row)) return undefined
      if (size > 1) repetition.add(1, size - 1)
      definition.add(maxLevel, size)
      levels += size
    }
  }
  return { row, first, end, levels }
}

/**
 * A column chunk of plain encoded pages, or `undefined` if only the codec can encode it. Without compression, the pages
 * are views of the vectors. Vectors that Snappy would not make smaller are not compressed.
 */
export const encodeVectors = (
  name: string,
  { elements, maxLevel, nullable }: VectorColumn,
  data: ReadonlyArray<VectorData>,
  compression: Compression
): EncodedColumn | undefined => {
  if (compression === "snappy" && data.some((part) => repeats(part.values))) return undefined
  const chunk = new ChunkWriter(compression === "snappy" ? "none" : compression)
  const repetition = new Levels(1)
  const definition = new Levels(maxLevel === 1 ? 1 : 2)
  const levels = { empty: nullable ? 1 : 0, maxLevel }
  for (const part of data) {
    for (let from = 0; from < part.rows;) {
      const added = addLevels(part, from, levels, repetition, definition)
      if (added === undefined) return undefined
      from = added.row
      const { buffer, byteOffset } = part.values
      chunk.data(added.levels, encodings.plain, [
        repetition.take(),
        definition.take(),
        new Uint8Array(buffer, byteOffset + added.first * 4, (added.end - added.first) * 4)
      ])
    }
  }
  return chunk.finish({ name, path: elements.map((element) => Thrift.text(element, schema.name)), physical: float })
}
