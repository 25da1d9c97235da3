/**
 * Reads the pages of column chunks: their headers, checked against the metadata, their bytes after decompression, and
 * the runs of numbers in them.
 */
import * as zlib from "node:zlib"
import type { ColumnChunk } from "./footer.ts"
import { codecs, dataPage, dataPageV2, encodings, page } from "./pages.ts"
import * as Snappy from "./snappy.ts"
import * as Thrift from "./thrift.ts"

export const corrupt = (detail: string): Thrift.ThriftError =>
  new Thrift.ThriftError(`has a column chunk that ${detail}`)

const levelsEnd = (): never => {
  throw corrupt("ends in the middle of its levels")
}

/** Numbers of at most 24 bits. */
const packedNumbers = (
  bytes: Uint8Array,
  from: number,
  width: number,
  count: number,
  onRun: (value: number, length: number) => void
): void => {
  const mask = (1 << width) - 1
  let held = 0
  let bits = 0
  let next = from
  for (let i = 0; i < count; i++) {
    while (bits < width) {
      held |= (bytes[next++] ?? levelsEnd()) << bits
      bits += 8
    }
    onRun(held & mask, 1)
    held >>>= width
    bits -= width
  }
}

/** The number of at most 32 bits that begins at a bit. */
const wideNumber = (bytes: Uint8Array, bit: number, width: number): number => {
  const from = Math.floor(bit / 8)
  const shift = bit % 8
  let value = 0
  for (let i = 0; i * 8 < shift + width; i++) value += (bytes[from + i] ?? levelsEnd()) * 2 ** (8 * i)
  return Math.floor(value / 2 ** shift) % 2 ** width
}

/** Runs of equal values, from Parquet's mix of run lengths and packed bits. */
export const runs = (
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
      // Every run passes here: a power costs more than the rest. The last seven bits do not fit into 32.
      header += shift < 28 ? (byte & 0x7f) << shift : (byte & 0x7f) * 2 ** 28
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
      // More bits than 31 would not fit into `held`.
      if (width > 24) for (let i = 0; i < length; i++) onRun(wideNumber(bytes, at * 8 + i * width, width), 1)
      else packedNumbers(bytes, at, width, length, onRun)
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

export interface Page {
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
export function* pagesOf(
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

const readableCodecs: ReadonlySet<number> = new Set([codecs.none, codecs.snappy, codecs.gzip, codecs.zstd])

const unzipped = (
  decompress: (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Uint8Array,
  bytes: Uint8Array,
  length: number
): Uint8Array => {
  try {
    return decompress(bytes, { maxOutputLength: length })
  } catch {
    throw corrupt("has a compressed page that is damaged")
  }
}

/** The bytes of a page before compression; `undefined` if only the codec can decompress them. */
export const plain = (codec: number, body: Uint8Array, length: number): Uint8Array | undefined => {
  // Some writers compress nothing to nothing.
  if (length === 0 && readableCodecs.has(codec)) return body.subarray(0, 0)
  switch (codec) {
    case codecs.none:
      return body
    case codecs.snappy: {
      // At best, Snappy writes three bytes for 64.
      if (length > 64 * body.length) throw corrupt("has a page that is larger than it can be")
      return Snappy.decompress(body, length)
    }
    case codecs.gzip:
      return unzipped(zlib.gunzipSync, body, length)
    case codecs.zstd:
      return unzipped(zlib.zstdDecompressSync, body, length)
    default:
      return undefined
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

export const dictionaryEncodings: ReadonlySet<number | undefined> = new Set([2, 8])

/**
 * Frees memory that is not used any more at once, instead of when the collector finds it: it seldom looks for large
 * buffers. Bytes that do not fill their buffer are a part of others, and stay.
 */
export const release = ({ buffer, length }: Uint8Array): void => {
  if (buffer instanceof ArrayBuffer && length === buffer.byteLength) buffer.transfer(0)
}

export const isDataPage = ({ type }: Page): boolean => type === dataPage || type === dataPageV2

/** Which levels the pages of a column have. */
interface Levels {
  readonly repetition: boolean
  readonly definition: boolean
}

/** Whether all pages of a column chunk can be read here, whose values have one of some encodings. */
export const isReadable = (
  chunk: Uint8Array,
  column: ColumnChunk,
  levels: Levels,
  allowed: ReadonlySet<number | undefined>
): boolean => {
  if (!readableCodecs.has(column.codec)) return false
  let all = true
  // To the last page, because the number of values is checked there.
  for (const found of pagesOf(chunk, column, false)) {
    const v2 = found.type === dataPageV2
    const own = Thrift.struct(found.header, v2 ? page.dataV2 : page.data)
    if (!isDataPage(found)) continue
    if (own === undefined || !allowed.has(Thrift.int(own, v2 ? 4 : 2)) || !(v2 || hasRuns(own, levels))) all = false
  }
  return all
}

// Levels that are not run lengths went out of use before lists existed.
const hasRuns = (v1: Thrift.Struct, { definition, repetition }: Levels): boolean =>
  (!definition || Thrift.int(v1, 3) === encodings.levels) && (!repetition || Thrift.int(v1, 4) === encodings.levels)

/** A data page: where its levels are, and how its values are encoded. */
export interface DataPage {
  readonly count: number
  readonly encoding: number | undefined
  /** The bytes that hold the levels. */
  readonly levels: Uint8Array
  readonly repetition: readonly [from: number, to: number]
  readonly definition: readonly [from: number, to: number]
  /** The values and where they begin; `undefined` if only the codec can decode them. */
  readonly values: () => { readonly bytes: Uint8Array; readonly from: number } | undefined
}

const dataPageV2Of = (
  own: Thrift.Struct,
  count: number,
  codec: number,
  { body, plainLength }: Page,
  decompress: typeof plain
): DataPage => {
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
      const bytes = decompress(compressed ? codec : codecs.none, body.subarray(levels), plainLength - levels)
      return bytes && { bytes, from: 0 }
    }
  }
}

const dataPageV1Of = (
  own: Thrift.Struct,
  count: number,
  codec: number,
  levels: Levels,
  { body, plainLength }: Page,
  decompress: typeof plain
): DataPage | undefined => {
  if (!hasRuns(own, levels)) return undefined
  const bytes = decompress(codec, body, plainLength)
  if (bytes === undefined) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const endOf = (from: number): number => {
    if (from + 4 > bytes.length) throw corrupt("ends in the middle of its levels")
    const end = from + 4 + view.getUint32(from, true)
    if (end > bytes.length) throw corrupt("has levels that are longer than their page")
    return end
  }
  const repetitionEnd = levels.repetition ? endOf(0) : 0
  const from = levels.definition ? endOf(repetitionEnd) : repetitionEnd
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
export const dataPageOf = (
  found: Page,
  codec: number,
  left: number,
  levels: Levels,
  decompress = plain
): DataPage | undefined => {
  const v2 = found.type === dataPageV2
  const own = Thrift.struct(found.header, v2 ? page.dataV2 : page.data)
  const count = own === undefined ? undefined : Thrift.int(own, 1)
  if (own === undefined || count === undefined || count < 0 || count > left) {
    throw corrupt("has more values than its metadata says")
  }
  return v2
    ? dataPageV2Of(own, count, codec, found, decompress)
    : dataPageV1Of(own, count, codec, levels, found, decompress)
}
