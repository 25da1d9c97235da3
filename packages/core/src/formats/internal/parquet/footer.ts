/**
 * Parquet footers: what a file holds and where, and footers for files of other row groups.
 *
 * Reading goes row group by row group: the bytes of the requested column chunks are fetched with as few reads as
 * possible and given to the decoder, with a footer that names only them, as a small file. Writing is the reverse: each
 * row group is encoded as a small file, and the last footer names them all. So neither side ever holds more than one
 * row group, and the decoder is called synchronously, so that a trap on corrupt bytes can be caught.
 */
import type { EncodedColumn } from "./pages.ts"
import { forDecoder, type ParquetSchema, type Path, schemaOf, type Top } from "./schema.ts"
import * as Thrift from "./thrift.ts"
import { outside } from "../outside.ts"

export interface ColumnChunk {
  readonly path: Path
  readonly offset: number
  /** Compressed bytes. */
  readonly length: number
  /** Bytes of its pages before compression. */
  readonly plainLength: number
  /** Values, including nulls and empty lists. */
  readonly values: number
  /** Parquet's number for the compression. */
  readonly codec: number
  /** `undefined`, like `min` and `max`, if the writer did not say. */
  readonly nullCount: number | undefined
  /** No value is less. Plain encoded, and ordered as the column's logical type says. */
  readonly min: Uint8Array | undefined
  /** No value is greater. */
  readonly max: Uint8Array | undefined
}

export interface RowGroup {
  readonly rows: number
  readonly offset: number
  /** Compressed bytes of all column chunks. */
  readonly length: number
  readonly columns: ReadonlyArray<ColumnChunk>
}

export interface Footer {
  /** As the decoder takes it. */
  readonly struct: Thrift.Struct
  readonly schema: ParquetSchema
  /** Whether minimum and maximum of each leaf are ordered as its type says; `undefined` where the file does not say. */
  readonly typeOrdered: ReadonlyArray<boolean> | undefined
  readonly rows: number
  readonly rowGroups: ReadonlyArray<RowGroup>
}

const magic = Uint8Array.of(0x50, 0x41, 0x52, 0x31)
const encryptedMagic = Uint8Array.of(0x50, 0x41, 0x52, 0x45)
export const trailerBytes = 8
const fileMetaData = {
  schema: 2,
  numRows: 3,
  rowGroups: 4,
  keyValue: 5,
  createdBy: 6,
  columnOrders: 7,
  encryption: 8,
  signingKey: 9
} as const
const schemaElement = { children: 5 } as const
const rowGroup = { columns: 1, plainLength: 2, numRows: 3, sorting: 4, fileOffset: 5, length: 6, ordinal: 7 } as const
const columnChunk = {
  filePath: 1,
  fileOffset: 2,
  metaData: 3,
  offsetIndexOffset: 4,
  offsetIndexLength: 5,
  columnIndexOffset: 6,
  columnIndexLength: 7,
  encryption: 8
} as const
const columnMetaData = {
  type: 1,
  path: 3,
  codec: 4,
  values: 5,
  uncompressed: 6,
  compressed: 7,
  dataPage: 9,
  indexPage: 10,
  dictionaryPage: 11,
  statistics: 12,
  bloomOffset: 14,
  bloomLength: 15
} as const
// Before format version 2.4, minimum and maximum had no defined order.
const statistic = { nullCount: 3, max: 5, min: 6 } as const

const equals = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** The length of the footer, from the last 8 bytes of a file, or a string that says what is wrong. */
export const footerLength = (trailer: Uint8Array, fileLength: number): number | string => {
  const end = trailer.subarray(trailer.length - 4)
  if (equals(end, encryptedMagic)) return "is an encrypted Parquet file"
  if (!equals(end, magic)) return "does not end with PAR1: it is truncated, or not a Parquet file"
  const length = Buffer.from(trailer.buffer, trailer.byteOffset, trailer.length).readUInt32LE(trailer.length - 8)
  if (length + trailerBytes + magic.length > fileLength) {
    return `says that its footer has ${length} bytes, but has only ${fileLength} bytes in all`
  }
  return length
}

const corrupt = (detail: string): Thrift.ThriftError => new Thrift.ThriftError(detail)

/** Metadata of a chunk whose offset of a dictionary is one: some writers put 0 where there is none. */
const withoutNoDictionary = (meta: Thrift.Struct): Thrift.Struct => {
  const dictionary = Thrift.int(meta, columnMetaData.dictionaryPage)
  const dataPage = Thrift.int(meta, columnMetaData.dataPage)
  return dictionary === undefined || (dataPage !== undefined && dictionary > 0 && dictionary < dataPage)
    ? meta
    : Thrift.set(meta, [[columnMetaData.dictionaryPage, undefined]])
}

// Before 1.2.9, parquet-mr did not count the header of the dictionary in the length of a chunk (PARQUET-816).
const leavesHeaderOut = (createdBy: string): boolean => {
  const [, major, minor, patch] = /^parquet-mr(?: version (\d+)\.(\d+)\.(\d+))?/.exec(createdBy) ?? []
  if (!createdBy.startsWith("parquet-mr")) return false
  return Number(major ?? 0) * 1e6 + Number(minor ?? 0) * 1e3 + Number(patch ?? 0) < 1_002_009
}
const maxDictionaryHeader = 100

const metaOf = (chunk: Thrift.Struct): Thrift.Struct => {
  const meta = Thrift.struct(chunk, columnChunk.metaData)
  if (meta === undefined) throw corrupt("has a column chunk without metadata")
  return meta
}

const size = (value: number | undefined, what: string): number => {
  if (value === undefined) throw corrupt(`has a column chunk without ${what}`)
  if (value < 0) throw corrupt(`has a column chunk with ${what} of ${value}`)
  return value
}

const columnOf = (chunk: Thrift.Struct, path: Path): ColumnChunk => {
  const meta = withoutNoDictionary(metaOf(chunk))
  const dataPage = size(Thrift.int(meta, columnMetaData.dataPage), "a place")
  const length = size(Thrift.int(meta, columnMetaData.compressed), "a length")
  const statistics = Thrift.struct(meta, columnMetaData.statistics)
  const nullCount = statistics && Thrift.int(statistics, statistic.nullCount)
  return {
    path,
    offset: Thrift.int(meta, columnMetaData.dictionaryPage) ?? dataPage,
    length,
    plainLength: size(Thrift.int(meta, columnMetaData.uncompressed) ?? length, "a length before compression"),
    values: size(Thrift.int(meta, columnMetaData.values), "a number of values"),
    codec: Thrift.int(meta, columnMetaData.codec) ?? -1,
    nullCount: nullCount === undefined || nullCount < 0 ? undefined : nullCount,
    min: statistics && Thrift.binary(statistics, statistic.min),
    max: statistics && Thrift.binary(statistics, statistic.max)
  }
}

const pathOf = (chunk: Thrift.Struct): Path => {
  const [first, ...others] = Thrift.list(metaOf(chunk), columnMetaData.path).map((field) =>
    field.type === 8 ? Buffer.from(field.value).toString("utf8") : ""
  )
  if (first === undefined) throw corrupt("has a column chunk without a path")
  return [first, ...others]
}

/** Throws `ThriftError`. */
export const parse = (bytes: Uint8Array, fileLength: number): Footer => {
  const read = Thrift.read(bytes)
  const schema = schemaOf(read)
  const unreadable = new Map(schema.unreadable)
  const { leaves } = schema
  const rows = Thrift.int(read, fileMetaData.numRows)
  if (rows === undefined || rows < 0) throw corrupt(`says that it has ${rows ?? "an unknown number of"} rows`)
  const end = fileLength - trailerBytes - bytes.length
  const padding = leavesHeaderOut(Thrift.text(read, fileMetaData.createdBy)) ? maxDictionaryHeader : 0

  const chunkOf = (chunk: Thrift.Struct, leaf: number, groupRows: number): readonly [Thrift.Struct, ColumnChunk] => {
    const its = leaves[leaf] ?? outside(leaf)
    const { path } = its
    const name = path.join(".")
    const elsewhere = Thrift.text(chunk, columnChunk.filePath)
    if (elsewhere !== "") throw corrupt(`has no rows itself, but names ${elsewhere} as the file that has them`)
    if (chunk.has(columnChunk.encryption)) {
      unreadable.set(path[0], "encrypted")
      const none = { values: groupRows, codec: -1, nullCount: undefined, min: undefined, max: undefined }
      return [chunk, { path, offset: magic.length, length: 0, plainLength: 0, ...none }]
    }
    const meta = withoutNoDictionary(metaOf(chunk))
    const found = columnOf(chunk, path)
    const length = Math.min(found.length + padding, Math.max(found.length, end - found.offset))
    // A row group without rows has no place in the file, and is not read.
    if (groupRows > 0 && (found.offset < magic.length || found.offset + length > end)) {
      throw corrupt(`places column ${name} outside the file: it may be truncated`)
    }
    if (Thrift.int(meta, columnMetaData.type) !== its.physical) {
      throw corrupt(`has column ${name} with a different type than its schema says`)
    }
    if (its.repeated ? found.values < groupRows : found.values !== groupRows) {
      throw corrupt(`has ${found.values} values of column ${name} in a row group of ${groupRows} rows`)
    }
    const metaData = Thrift.set(meta, [[columnMetaData.compressed, Thrift.i64(length)]])
    return [Thrift.set(chunk, [[columnChunk.metaData, Thrift.structField(metaData)]]), { ...found, length }]
  }

  const structs: Array<Thrift.Struct> = []
  let inGroups = 0
  const rowGroups = Thrift.structs(read, fileMetaData.rowGroups).map((group, index): RowGroup => {
    const groupRows = Thrift.int(group, rowGroup.numRows)
    if (groupRows === undefined || groupRows < 0)
      throw corrupt(`has row group ${index} of ${groupRows ?? "unknown"} rows`)
    inGroups += groupRows
    const chunks = Thrift.structs(group, rowGroup.columns)
    if (chunks.length !== leaves.length) {
      throw corrupt(`has ${chunks.length} columns in row group ${index}, but its schema has ${leaves.length}`)
    }
    const both = chunks.map((chunk, leaf) => chunkOf(chunk, leaf, groupRows))
    const columns = both.map(([, column]) => column)
    structs.push(Thrift.set(group, [[rowGroup.columns, Thrift.structList(both.map(([chunk]) => chunk))]]))
    const placed = groupRows === 0 ? [] : columns.filter((column) => column.length > 0)
    const offset = placed.reduce((least, column) => Math.min(least, column.offset), placed.length === 0 ? 4 : Infinity)
    const last = placed.reduce((most, column) => Math.max(most, column.offset + column.length), offset)
    return { rows: groupRows, offset, length: last - offset, columns }
  })
  // Some writers leave the sum at 0.
  if (inGroups !== rows && rows !== 0)
    throw corrupt(`says that it has ${rows} rows, but its row groups have ${inGroups}`)
  const orders = Thrift.structs(read, fileMetaData.columnOrders)
  return {
    struct: Thrift.set(forDecoder(read), [
      [fileMetaData.rowGroups, Thrift.structList(structs)],
      [fileMetaData.encryption, undefined],
      [fileMetaData.signingKey, undefined]
    ]),
    schema: { ...schema, unreadable },
    typeOrdered: orders.length === leaves.length ? orders.map((order) => order.has(1)) : undefined,
    rows: inGroups,
    rowGroups
  }
}

/** A run of bytes to read. */
export interface Range {
  readonly offset: number
  readonly length: number
}

/** Whether a row of the column may have more or fewer values than one. */
export const isRepeated = ({ schema }: Footer, { path }: ColumnChunk): boolean =>
  schema.leaves.some((leaf) => leaf.path === path && leaf.repeated)

const shifted = (fields: Thrift.Struct, id: number, by: (offset: number) => number) => {
  const offset = Thrift.int(fields, id)
  return [id, offset === undefined ? undefined : Thrift.i64(Math.max(0, by(offset)))] as const
}

// The same row group with its bytes in another place. Page indexes and bloom filters are left out, because they lie
// elsewhere in the file.
const moved = (group: Thrift.Struct, by: (offset: number) => number): Thrift.Struct =>
  Thrift.set(group, [
    shifted(group, rowGroup.fileOffset, by),
    [rowGroup.ordinal, undefined],
    [
      rowGroup.columns,
      Thrift.structList(
        Thrift.structs(group, rowGroup.columns).map((chunk) => {
          const meta = Thrift.struct(chunk, columnChunk.metaData)
          return Thrift.set(chunk, [
            [columnChunk.fileOffset, Thrift.i64(0)],
            [columnChunk.offsetIndexOffset, undefined],
            [columnChunk.offsetIndexLength, undefined],
            [columnChunk.columnIndexOffset, undefined],
            [columnChunk.columnIndexLength, undefined],
            [
              columnChunk.metaData,
              meta === undefined
                ? undefined
                : {
                    type: 12,
                    value: Thrift.set(meta, [
                      shifted(meta, columnMetaData.dataPage, by),
                      shifted(meta, columnMetaData.indexPage, by),
                      shifted(meta, columnMetaData.dictionaryPage, by),
                      [columnMetaData.bloomOffset, undefined],
                      [columnMetaData.bloomLength, undefined]
                    ])
                  }
            ]
          ])
        })
      )
    ]
  ])

const withLengths = (group: Thrift.Struct, lengths: ReadonlyArray<number>): Thrift.Struct =>
  Thrift.set(group, [
    [
      rowGroup.columns,
      Thrift.structList(
        Thrift.structs(group, rowGroup.columns).map((chunk, i) => {
          const length = lengths[i]
          const meta = metaOf(chunk)
          if (length === undefined || length === Thrift.int(meta, columnMetaData.compressed)) return chunk
          const metaData = Thrift.structField(Thrift.set(meta, [[columnMetaData.compressed, Thrift.i64(length)]]))
          return Thrift.set(chunk, [[columnChunk.metaData, metaData]])
        })
      )
    ]
  ])

const withRowGroups = (footer: Thrift.Struct, groups: ReadonlyArray<Thrift.Struct>): Thrift.Struct =>
  Thrift.set(footer, [
    [fileMetaData.rowGroups, Thrift.structList(groups)],
    [
      fileMetaData.numRows,
      Thrift.i64(
        groups.reduce((rows, group) => rows + size(Thrift.int(group, rowGroup.numRows), "a number of rows"), 0)
      )
    ]
  ])

const close = (footer: Thrift.Struct): Buffer => {
  const bytes = Thrift.write(footer)
  const trailer = Buffer.alloc(4)
  trailer.writeUInt32LE(bytes.length)
  return Buffer.concat([bytes, trailer, magic])
}

const arrowSchema = "ARROW:schema"

/** The footer without the Arrow schema in its metadata; unchanged if there is none. */
export const withoutArrowSchema = (footer: Footer): Footer => {
  const entries = Thrift.structs(footer.struct, fileMetaData.keyValue)
  const kept = entries.filter((entry) => Thrift.text(entry, 1) !== arrowSchema)
  return kept.length === entries.length
    ? footer
    : { ...footer, struct: Thrift.set(footer.struct, [[fileMetaData.keyValue, Thrift.structList(kept)]]) }
}

/** A file without rows, with the schema of another. */
export const emptyFile = (footer: Footer): Uint8Array => Buffer.concat([magic, close(withRowGroups(footer.struct, []))])

/**
 * The footer of the same file with only some of its top-level columns: the decoder has no other way to skip the rest.
 * `schemaMessage` is the Arrow schema of these columns, as an IPC stream; it carries the types that Parquet has not.
 */
export const project = (footer: Footer, columns: ReadonlySet<string>, schemaMessage: Uint8Array): Footer => {
  const elements = Thrift.structs(footer.struct, fileMetaData.schema)
  const root = elements[0]
  if (root === undefined) throw corrupt("has no schema")
  const tops = footer.schema.columns.filter(({ name }) => columns.has(name))
  const partsOf = <A>(all: ReadonlyArray<A>, range: (top: Top) => readonly [number, number]): ReadonlyArray<A> =>
    tops.flatMap((top) => all.slice(...range(top)))
  const kept = partsOf(elements, (top) => top.elements)
  const groups = Thrift.structs(footer.struct, fileMetaData.rowGroups).map((group) =>
    Thrift.set(group, [
      [rowGroup.sorting, undefined],
      [rowGroup.columns, Thrift.structList(partsOf(Thrift.structs(group, rowGroup.columns), (top) => top.leaves))]
    ])
  )
  const hint: Thrift.Struct = new Map([
    [1, Thrift.utf8(arrowSchema)],
    [2, Thrift.utf8(Buffer.from(schemaMessage).toString("base64"))]
  ])
  return {
    ...footer,
    struct: Thrift.set(footer.struct, [
      [
        fileMetaData.schema,
        Thrift.structList([
          Thrift.set(root, [[schemaElement.children, { type: 5, value: BigInt(tops.length) }]]),
          ...kept
        ])
      ],
      [fileMetaData.rowGroups, Thrift.structList(groups)],
      [fileMetaData.keyValue, Thrift.structList([hint])],
      [fileMetaData.columnOrders, undefined]
    ])
  }
}

/**
 * A file of one row group, from `ranges` of another file and their bytes. `lengths` are those of the column chunks,
 * according to their pages.
 */
export const rowGroupFile = (
  footer: Footer,
  index: number,
  ranges: ReadonlyArray<Range>,
  bytes: ReadonlyArray<Uint8Array>,
  lengths: ReadonlyArray<number>
): ReadonlyArray<Uint8Array> => {
  const placed: Array<Range & { readonly start: number }> = []
  let at = magic.length
  for (const range of ranges) {
    placed.push({ ...range, start: at })
    at += range.length
  }
  const move = (offset: number): number => {
    const range = placed.find((range) => offset >= range.offset && offset < range.offset + range.length)
    return range === undefined ? 0 : offset - range.offset + range.start
  }
  const group = Thrift.structs(footer.struct, fileMetaData.rowGroups)[index]
  const groups = group === undefined ? [] : [moved(withLengths(group, lengths), move)]
  return [magic, ...bytes, close(withRowGroups(footer.struct, groups))]
}

/** The footer at the end of a whole file. */
export const ofFile = (file: Uint8Array): { readonly struct: Thrift.Struct; readonly at: number } => {
  const length = footerLength(file.subarray(file.length - trailerBytes), file.length)
  if (typeof length === "string") throw new Thrift.ThriftError(length)
  const at = file.length - trailerBytes - length
  return { struct: Thrift.read(file.subarray(at, file.length - trailerBytes)), at }
}

/** Appends row groups to a file with the schema of `schema`, whose top-level columns are `names`. */
export const makeAppender = (schema: Thrift.Struct, names: ReadonlyArray<string>) => {
  const groups: Array<Thrift.Struct> = []
  let position = 0
  return {
    /**
     * The bytes by which the output grows: those of a file with the other columns of one row group, and those of
     * `extra`. Throws `ThriftError` if `file` is not a Parquet file.
     */
    append: (
      file: Uint8Array | undefined,
      rows: number,
      extra: ReadonlyArray<EncodedColumn>
    ): ReadonlyArray<Uint8Array> => {
      const pieces: Array<Uint8Array> = position === 0 ? [magic] : []
      if (position === 0) position = magic.length
      const columns = new Map<string, Array<Thrift.Struct>>()
      let group: Thrift.Struct = new Map([[rowGroup.numRows, Thrift.i64(rows)]])
      if (file !== undefined) {
        const { at, struct } = ofFile(file)
        const found = Thrift.structs(struct, fileMetaData.rowGroups)
        const only = found[0]
        if (found.length > 1) throw new Thrift.ThriftError("has more than one row group")
        if (only !== undefined) {
          const by = position - magic.length
          group = moved(only, (offset) => offset + by)
          let end = magic.length
          for (const column of Thrift.structs(only, rowGroup.columns).map((chunk) => columnOf(chunk, pathOf(chunk)))) {
            end = Math.max(end, column.offset + column.length)
          }
          const bytes = file.subarray(magic.length, Math.min(end, at))
          pieces.push(bytes)
          position += bytes.length
          for (const chunk of Thrift.structs(group, rowGroup.columns)) {
            const [name] = pathOf(chunk)
            const there = columns.get(name)
            if (there === undefined) columns.set(name, [chunk])
            else there.push(chunk)
          }
        }
      }
      for (const column of extra) {
        const { dictionaryLength } = column
        const metadata = Thrift.set(column.metadata, [
          [columnMetaData.dataPage, Thrift.i64(position + dictionaryLength)],
          [columnMetaData.dictionaryPage, dictionaryLength === 0 ? undefined : Thrift.i64(position)]
        ])
        columns.set(column.name, [
          new Map([
            [columnChunk.fileOffset, Thrift.i64(0)],
            [columnChunk.metaData, Thrift.structField(metadata)]
          ])
        ])
        pieces.push(...column.pieces)
        position += column.length
      }
      if (rows === 0) return pieces
      const all = names.flatMap((name) => columns.get(name) ?? [])
      const sum = (id: number) =>
        Thrift.i64(all.reduce((sum, chunk) => sum + size(Thrift.int(metaOf(chunk), id), "a length"), 0))
      groups.push(
        Thrift.set(group, [
          [rowGroup.columns, Thrift.structList(all)],
          [rowGroup.plainLength, sum(columnMetaData.uncompressed)],
          [rowGroup.length, sum(columnMetaData.compressed)],
          [rowGroup.fileOffset, undefined]
        ])
      )
      return pieces
    },
    /** The footer of all that was appended. */
    close: (): Uint8Array => close(withRowGroups(schema, groups))
  }
}
