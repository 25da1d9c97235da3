/** Pages of column chunks for writing, and the chunks that they make up. */
import * as zlib from "node:zlib"
import * as Snappy from "./snappy.ts"
import * as Thrift from "./thrift.ts"

/** Compressions, by their numbers in the format. */
export const codecs = { none: 0, snappy: 1, gzip: 2, zstd: 6 } as const

export type Compression = keyof typeof codecs

/** Fields of a page header. */
export const page = {
  type: 1,
  plainLength: 2,
  length: 3,
  crc: 4,
  data: 5,
  dictionary: 7,
  dataV2: 8
} as const
export const dataPage = 0
export const dictionaryPage = 2
export const dataPageV2 = 3

/** Encodings, by their numbers in the format. */
export const encodings = { plain: 0, levels: 3, dictionary: 8 } as const

/** The approximate size of a page before compression. */
export const pageBytes = 1024 * 1024

/** Levels as runs of equal ones. */
export class Levels {
  bytes = Buffer.allocUnsafe(16 * 1024)
  length = 0
  level = -1
  count = 0
  readonly width: number
  constructor(width: number) {
    this.width = width
  }
  varint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.bytes[this.length++] = rest
  }
  add(level: number, count: number): void {
    if (level === this.level) {
      this.count += count
      return
    }
    this.flush()
    this.level = level
    this.count = count
  }
  flush(): void {
    if (this.count === 0) return
    if (this.length + 8 > this.bytes.length) {
      const bigger = Buffer.allocUnsafe(this.bytes.length * 2)
      bigger.set(this.bytes.subarray(0, this.length))
      this.bytes = bigger
    }
    this.varint(this.count * 2)
    this.bytes[this.length++] = this.level
    this.count = 0
  }
  /** The levels of a page, behind their length. */
  take(): Buffer {
    this.flush()
    const out = Buffer.allocUnsafe(4 + this.length)
    out.writeUInt32LE(this.length)
    this.bytes.copy(out, 4, 0, this.length)
    this.length = 0
    this.level = -1
    return out
  }
}

const compressors: Readonly<Record<Compression, ((bytes: Uint8Array) => Uint8Array) | undefined>> = {
  none: undefined,
  snappy: Snappy.compress,
  gzip: (bytes) => zlib.gzipSync(bytes),
  zstd: (bytes) => zlib.zstdCompressSync(bytes)
}

/** The bytes of a column chunk, and its metadata with the place still to be set. */
export interface EncodedColumn {
  readonly name: string
  readonly pieces: ReadonlyArray<Uint8Array>
  readonly length: number
  /** Bytes of the dictionary page that it begins with: 0 without one. */
  readonly dictionaryLength: number
  readonly metadata: Thrift.Struct
}

const lengthOf = (pieces: ReadonlyArray<Uint8Array>): number => pieces.reduce((sum, piece) => sum + piece.length, 0)

const joined = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [first, ...others] = pieces
  return first !== undefined && others.length === 0 ? first : Buffer.concat(pieces)
}

/** A page with its header; `its` is the part of the header for this kind of page. */
const encodePage = (
  kind: { readonly type: number; readonly id: number; readonly its: Thrift.Struct },
  body: ReadonlyArray<Uint8Array>,
  compression: Compression
) => {
  const compress = compressors[compression]
  const written = compress === undefined ? body : [compress(joined(body))]
  const plainLength = lengthOf(body)
  const length = lengthOf(written)
  const header = Thrift.write(
    new Map([
      [page.type, Thrift.i32(kind.type)],
      [page.plainLength, Thrift.i32(plainLength)],
      [page.length, Thrift.i32(length)],
      [kind.id, Thrift.structField(kind.its)]
    ])
  )
  return { pieces: [header, ...written], plainLength: header.length + plainLength, length: header.length + length }
}

/** What the metadata of a chunk says about its column. */
export interface ChunkOf {
  readonly name: string
  readonly path: ReadonlyArray<string>
  /** The type of its values, by its number in the format. */
  readonly physical: number
  readonly statistics?: Thrift.Struct | undefined
}

/** Puts the pages of a column chunk together. */
export class ChunkWriter {
  private readonly compression: Compression
  private pieces: Array<Uint8Array> = []
  private readonly used = new Set<number>([encodings.levels])
  private plainLength = 0
  private length = 0
  private dictionaryLength = 0
  private values = 0

  constructor(compression: Compression) {
    this.compression = compression
  }

  /** A page of `count` values, including nulls and empty lists: their levels, and their encoding. */
  data(count: number, encoding: number, body: ReadonlyArray<Uint8Array>): void {
    const its = new Map([
      [1, Thrift.i32(count)],
      [2, Thrift.i32(encoding)],
      [3, Thrift.i32(encodings.levels)],
      [4, Thrift.i32(encodings.levels)]
    ])
    const encoded = encodePage({ type: dataPage, id: page.data, its }, body, this.compression)
    this.pieces.push(...encoded.pieces)
    this.add(encoding, encoded)
    this.values += count
  }

  /** The page of the dictionary, which comes first. */
  dictionary(count: number, values: Uint8Array): void {
    const its = new Map([
      [1, Thrift.i32(count)],
      [2, Thrift.i32(encodings.plain)]
    ])
    const encoded = encodePage({ type: dictionaryPage, id: page.dictionary, its }, [values], this.compression)
    this.pieces = [...encoded.pieces, ...this.pieces]
    this.add(encodings.plain, encoded)
    this.dictionaryLength = encoded.length
  }

  private add(encoding: number, { length, plainLength }: { readonly length: number; readonly plainLength: number }) {
    this.used.add(encoding)
    this.plainLength += plainLength
    this.length += length
  }

  finish({ name, path, physical, statistics }: ChunkOf): EncodedColumn {
    const { dictionaryLength, length, pieces } = this
    const metadata: Thrift.Struct = new Map<number, Thrift.Field>([
      [1, Thrift.i32(physical)],
      [2, { type: 9, element: 5, value: Array.from(this.used, Thrift.i32) }],
      [3, { type: 9, element: 8, value: path.map(Thrift.utf8) }],
      [4, Thrift.i32(codecs[this.compression])],
      [5, Thrift.i64(this.values)],
      [6, Thrift.i64(this.plainLength)],
      [7, Thrift.i64(length)]
    ])
    if (statistics !== undefined) metadata.set(12, Thrift.structField(statistics))
    return { name, pieces, length, dictionaryLength, metadata }
  }
}
