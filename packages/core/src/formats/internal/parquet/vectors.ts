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
  dictionaryPage,
  type EncodedColumn,
  encodings,
  Levels,
  pageBytes
} from "./pages.ts"
import {
  corrupt,
  dataPageOf,
  type DataPage,
  dictionaryEncodings,
  isDataPage,
  type Page,
  pagesOf,
  plain,
  runs,
  verify
} from "./readPages.ts"
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

// Memory for the pages of vectors; a larger page has its own.
const maxScratch = 4 * 1024 * 1024

interface Vectors {
  readonly offsets: Int32Array
  readonly values: Float32Array
}

const floatsOf = (bytes: Uint8Array): Float32Array => {
  const values = new Float32Array(bytes.length >> 2)
  new Uint8Array(values.buffer).set(bytes.subarray(0, values.byteLength))
  return values
}

// The limit of what is decoded in one piece.
const maxValues = 64 * 1024 * 1024

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

let scratch = Buffer.alloc(0)

/** As {@link plain}, until the next call: the vectors of a page are copied before the next page. */
const decompressed: typeof plain = (codec, body, length) => {
  if (codec !== codecs.snappy || length === 0 || length > maxScratch) return plain(codec, body, length)
  if (length > scratch.length) scratch = Buffer.allocUnsafeSlow(length)
  const out = scratch.subarray(0, length)
  Snappy.decompressInto(body, out)
  return out
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
    if (!isDataPage(found)) return true
    const data = dataPageOf(found, codec, values - this.used, { repetition: true, definition: true }, decompressed)
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
