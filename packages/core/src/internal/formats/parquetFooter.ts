/**
 * Parquet footers: what a file holds and where, and footers for files of other row groups.
 *
 * Reading goes row group by row group: the bytes of the wanted column chunks are fetched with as few reads as can be and
 * given, with a footer that names only them, to the decoder as a small file of their own. Writing is the reverse: each row
 * group is encoded as a small file, and the last footer names them all. So neither side ever holds more than one row group,
 * and the decoder is called synchronously, where a trap on corrupt bytes can be caught.
 */
import * as Thrift from "./thrift.ts"

export interface ColumnChunk {
  /** From the top: `features`, `list`, `element`. */
  readonly path: ReadonlyArray<string>
  readonly offset: number
  /** Compressed bytes. */
  readonly length: number
  /** Bytes of its pages before compression. */
  readonly plainLength: number
  /** Values, nulls and empty lists among them. */
  readonly values: number
  /** Parquet's number of the compression. */
  readonly codec: number
  /** `undefined`, as `min` and `max`, where the writer did not say. */
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
  readonly struct: Thrift.Struct
  readonly rows: number
  readonly rowGroups: ReadonlyArray<RowGroup>
}

const magic = Uint8Array.of(0x50, 0x41, 0x52, 0x31)
const encryptedMagic = Uint8Array.of(0x50, 0x41, 0x52, 0x45)
export const trailerBytes = 8
const fileMetaData = { schema: 2, numRows: 3, rowGroups: 4, keyValue: 5, columnOrders: 7 } as const
const schemaElement = { name: 4, children: 5 } as const
const rowGroup = { columns: 1, plainLength: 2, numRows: 3, sorting: 4, fileOffset: 5, length: 6, ordinal: 7 } as const
const columnChunk = {
  fileOffset: 2,
  metaData: 3,
  offsetIndexOffset: 4,
  offsetIndexLength: 5,
  columnIndexOffset: 6,
  columnIndexLength: 7
} as const
const columnMetaData = {
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
// Minimum and maximum before format version 2.4 had no defined order.
const statistic = { nullCount: 3, max: 5, min: 6 } as const

const equals = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** Length of the footer, from the last 8 bytes of a file. A string says what is wrong. */
export const footerLength = (trailer: Uint8Array, fileLength: number): number | string => {
  const end = trailer.subarray(trailer.length - 4)
  if (equals(end, encryptedMagic)) return "is an encrypted Parquet file"
  if (!equals(end, magic)) return "does not end with PAR1: truncated, or no Parquet file"
  const length = Buffer.from(trailer.buffer, trailer.byteOffset, trailer.length).readUInt32LE(trailer.length - 8)
  if (length + trailerBytes + magic.length > fileLength) {
    return `names a footer of ${length} bytes, but has only ${fileLength} in all`
  }
  return length
}

const columnOf = (chunk: Thrift.Struct): ColumnChunk => {
  const meta = Thrift.struct(chunk, columnChunk.metaData)
  if (meta === undefined) throw new Thrift.ThriftError("has a column chunk without metadata")
  const dataPage = Thrift.int(meta, columnMetaData.dataPage)
  const length = Thrift.int(meta, columnMetaData.compressed)
  if (dataPage === undefined || length === undefined) throw new Thrift.ThriftError("has a column chunk without a place")
  const dictionary = Thrift.int(meta, columnMetaData.dictionaryPage)
  const statistics = Thrift.struct(meta, columnMetaData.statistics)
  return {
    path: Thrift.list(meta, columnMetaData.path).map((field) =>
      field.type === 8 ? Buffer.from(field.value).toString("utf8") : ""
    ),
    offset: dictionary !== undefined && dictionary > 0 && dictionary < dataPage ? dictionary : dataPage,
    length,
    plainLength: Thrift.int(meta, columnMetaData.uncompressed) ?? length,
    values: Thrift.int(meta, columnMetaData.values) ?? 0,
    codec: Thrift.int(meta, columnMetaData.codec) ?? -1,
    nullCount: statistics && Thrift.int(statistics, statistic.nullCount),
    min: statistics && Thrift.binary(statistics, statistic.min),
    max: statistics && Thrift.binary(statistics, statistic.max)
  }
}

/** Throws `ThriftError`. */
export const parse = (bytes: Uint8Array, fileLength: number): Footer => {
  const struct = Thrift.read(bytes)
  const rowGroups = Thrift.structs(struct, fileMetaData.rowGroups).map((group): RowGroup => {
    const columns = Thrift.structs(group, rowGroup.columns).map(columnOf)
    let offset = columns.length === 0 ? magic.length : Infinity
    let end = offset === Infinity ? 0 : offset
    for (const column of columns) {
      if (column.offset < 0 || column.length < 0 || column.offset + column.length > fileLength) {
        throw new Thrift.ThriftError(`places column ${column.path.join(".")} outside the file: truncated?`)
      }
      offset = Math.min(offset, column.offset)
      end = Math.max(end, column.offset + column.length)
    }
    return { rows: Thrift.int(group, rowGroup.numRows) ?? 0, offset, length: end - offset, columns }
  })
  return { struct, rows: Thrift.int(struct, fileMetaData.numRows) ?? 0, rowGroups }
}

/** A run of bytes to read. */
export interface Range {
  readonly offset: number
  readonly length: number
}

// Reading on over a gap this small is cheaper than asking twice.
const maxGap = 1024 * 1024

/** The reads that bring the wanted columns of a row group. */
export const rangesOf = (group: RowGroup, columns: ReadonlySet<string> | undefined): ReadonlyArray<Range> => {
  const wanted = group.columns
    .filter((column) => columns === undefined || columns.has(column.path[0] ?? ""))
    .toSorted((a, b) => a.offset - b.offset)
  const ranges: Array<Range> = []
  for (const column of wanted) {
    const last = ranges[ranges.length - 1]
    const end = column.offset + column.length
    if (last !== undefined && column.offset - (last.offset + last.length) <= maxGap) {
      ranges[ranges.length - 1] = { offset: last.offset, length: Math.max(last.length, end - last.offset) }
    } else {
      ranges.push({ offset: column.offset, length: column.length })
    }
  }
  return ranges
}

/** Bytes of the pages of the wanted columns of a row group before compression. */
export const plainLength = (group: RowGroup, columns: ReadonlySet<string> | undefined): number =>
  group.columns.reduce(
    (sum, column) => (columns === undefined || columns.has(column.path[0] ?? "") ? sum + column.plainLength : sum),
    1
  )

const shifted = (fields: Thrift.Struct, id: number, by: (offset: number) => number) => {
  const offset = Thrift.int(fields, id)
  return [id, offset === undefined ? undefined : Thrift.i64(Math.max(0, by(offset)))] as const
}

// The same row group with its bytes elsewhere. Page indexes and bloom filters lie elsewhere still: they are left out.
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

const withRowGroups = (footer: Thrift.Struct, groups: ReadonlyArray<Thrift.Struct>): Thrift.Struct =>
  Thrift.set(footer, [
    [fileMetaData.rowGroups, Thrift.structList(groups)],
    [
      fileMetaData.numRows,
      Thrift.i64(groups.reduce((rows, group) => rows + (Thrift.int(group, rowGroup.numRows) ?? 0), 0))
    ]
  ])

const close = (footer: Thrift.Struct): Buffer => {
  const bytes = Thrift.write(footer)
  const trailer = Buffer.alloc(4)
  trailer.writeUInt32LE(bytes.length)
  return Buffer.concat([bytes, trailer, magic])
}

/** A file of no rows with the schema of another. */
export const emptyFile = (footer: Footer): Uint8Array => Buffer.concat([magic, close(withRowGroups(footer.struct, []))])

/**
 * The footer of the same file with only some of its top-level columns: the decoder has no other way to skip the rest.
 * `schemaMessage` is the Arrow schema of these columns, as an IPC stream; it carries the types that Parquet has not.
 */
export const project = (footer: Footer, columns: ReadonlySet<string>, schemaMessage: Uint8Array): Footer => {
  const elements = Thrift.structs(footer.struct, fileMetaData.schema)
  const kept: Array<Thrift.Struct> = []
  let top = 0
  for (let at = 1; at < elements.length;) {
    // Depth first: an element is followed by its children.
    let end = at
    for (let open = 1; open > 0 && end < elements.length; end++) {
      const element = elements[end]
      open += (element === undefined ? 0 : (Thrift.int(element, schemaElement.children) ?? 0)) - 1
    }
    const element = elements[at]
    if (element !== undefined && columns.has(Thrift.text(element, schemaElement.name))) {
      kept.push(...elements.slice(at, end))
      top++
    }
    at = end
  }
  const root = elements[0]
  if (root === undefined) throw new Thrift.ThriftError("has no schema")
  const groups = Thrift.structs(footer.struct, fileMetaData.rowGroups).map((group) =>
    Thrift.set(group, [
      [rowGroup.sorting, undefined],
      [
        rowGroup.columns,
        Thrift.structList(
          Thrift.structs(group, rowGroup.columns).filter((chunk) => columns.has(columnOf(chunk).path[0] ?? ""))
        )
      ]
    ])
  )
  const hint: Thrift.Struct = new Map([
    [1, Thrift.utf8("ARROW:schema")],
    [2, Thrift.utf8(Buffer.from(schemaMessage).toString("base64"))]
  ])
  return {
    ...footer,
    struct: Thrift.set(footer.struct, [
      [
        fileMetaData.schema,
        Thrift.structList([Thrift.set(root, [[schemaElement.children, { type: 5, value: BigInt(top) }]]), ...kept])
      ],
      [fileMetaData.rowGroups, Thrift.structList(groups)],
      [fileMetaData.keyValue, Thrift.structList([hint])],
      [fileMetaData.columnOrders, undefined]
    ])
  }
}

/** A file of one row group, from the bytes that {@link rangesOf} named: its pieces in order. */
export const rowGroupFile = (
  footer: Footer,
  index: number,
  ranges: ReadonlyArray<Range>,
  bytes: ReadonlyArray<Uint8Array>
): ReadonlyArray<Uint8Array> => {
  const starts: Array<number> = []
  let at = magic.length
  for (const range of ranges) {
    starts.push(at)
    at += range.length
  }
  const move = (offset: number): number => {
    const i = ranges.findIndex((range) => offset >= range.offset && offset < range.offset + range.length)
    const range = ranges[i]
    return range === undefined ? 0 : offset - range.offset + (starts[i] ?? 0)
  }
  const group = Thrift.structs(footer.struct, fileMetaData.rowGroups)[index]
  const groups = group === undefined ? [] : [moved(group, move)]
  return [magic, ...bytes, close(withRowGroups(footer.struct, groups))]
}

/** A column chunk that was not encoded with the others: `metadata` wants only the place of its first page. */
export interface ExtraColumn {
  readonly name: string
  readonly pieces: ReadonlyArray<Uint8Array>
  readonly length: number
  readonly metadata: Thrift.Struct
}

/** The footer at the end of a whole file. */
export const ofFile = (file: Uint8Array): { readonly struct: Thrift.Struct; readonly at: number } => {
  const length = footerLength(file.subarray(file.length - trailerBytes), file.length)
  if (typeof length === "string") throw new Thrift.ThriftError(length)
  const at = file.length - trailerBytes - length
  return { struct: Thrift.read(file.subarray(at, file.length - trailerBytes)), at }
}

/** Puts row groups behind each other as a file with the schema of `schema`, whose top-level columns are `names`. */
export const makeAppender = (schema: Thrift.Struct, names: ReadonlyArray<string>) => {
  const groups: Array<Thrift.Struct> = []
  let position = 0
  return {
    /**
     * The bytes that the output grows by: those of a file with the other columns of one row group, and of `extra`.
     * Throws `ThriftError` where `file` is no Parquet file.
     */
    append: (
      file: Uint8Array | undefined,
      rows: number,
      extra: ReadonlyArray<ExtraColumn>
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
          for (const column of Thrift.structs(only, rowGroup.columns).map(columnOf)) {
            end = Math.max(end, column.offset + column.length)
          }
          const bytes = file.subarray(magic.length, Math.min(end, at))
          pieces.push(bytes)
          position += bytes.length
          for (const chunk of Thrift.structs(group, rowGroup.columns)) {
            const name = columnOf(chunk).path[0] ?? ""
            const there = columns.get(name)
            if (there === undefined) columns.set(name, [chunk])
            else there.push(chunk)
          }
        }
      }
      for (const column of extra) {
        const metadata = Thrift.set(column.metadata, [[columnMetaData.dataPage, Thrift.i64(position)]])
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
      const size = (id: number) =>
        Thrift.i64(
          all.reduce((sum, chunk) => {
            const metadata = Thrift.struct(chunk, columnChunk.metaData)
            return sum + (metadata === undefined ? 0 : (Thrift.int(metadata, id) ?? 0))
          }, 0)
        )
      groups.push(
        Thrift.set(group, [
          [rowGroup.columns, Thrift.structList(all)],
          [rowGroup.plainLength, size(columnMetaData.uncompressed)],
          [rowGroup.length, size(columnMetaData.compressed)],
          [rowGroup.fileOffset, undefined]
        ])
      )
      return pieces
    },
    /** The footer of all that was appended. */
    close: (): Uint8Array => close(withRowGroups(schema, groups))
  }
}
