/** Files as hyparquet reads and hyparquet-writer writes them. */
import { parquetReadObjects, type SchemaElement } from "hyparquet"
import { compressors } from "hyparquet-compressors"
import { ByteWriter, parquetWrite } from "hyparquet-writer"
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib"
import { type Cell, type Column, doubleOf, doubleText, type File, type Type } from "./files.ts"

/** The elements of a column, itself first. */
const elements = (name: string, type: Type): ReadonlyArray<SchemaElement> => {
  const head = { name, repetition_type: type.nullable ? "OPTIONAL" : "REQUIRED" } as const
  switch (type.kind) {
    case "list":
      return [
        { ...head, converted_type: "LIST", num_children: 1 },
        { name: "list", repetition_type: "REPEATED", num_children: 1 },
        ...elements("element", type.item)
      ]
    case "struct":
      return [
        { ...head, num_children: type.fields.length },
        ...type.fields.flatMap((field) => elements(field.name, field))
      ]
    case "boolean":
      return [{ ...head, type: "BOOLEAN" }]
    case "string":
      return [{ ...head, type: "BYTE_ARRAY", converted_type: "UTF8" }]
    case "binary":
      return [{ ...head, type: "BYTE_ARRAY" }]
    case "int32":
      return [{ ...head, type: "INT32" }]
    case "int64":
      return [{ ...head, type: "INT64" }]
    case "half":
      return [{ ...head, type: "FIXED_LEN_BYTE_ARRAY", type_length: 2, logical_type: { type: "FLOAT16" } }]
    case "float":
      return [{ ...head, type: "FLOAT" }]
    case "double":
      return [{ ...head, type: "DOUBLE" }]
    case "date":
      return [{ ...head, type: "INT32", converted_type: "DATE" }]
    case "timestamp":
      return [{ ...head, type: "INT64", converted_type: "TIMESTAMP_MILLIS" }]
    default:
      throw new RangeError(`hyparquet is not asked to write ${type.kind}`)
  }
}

const valueOf = (type: Type, cell: Cell): unknown => {
  if (cell === null) return null
  switch (type.kind) {
    case "list":
      return Array.isArray(cell) ? cell.map((item: Cell) => valueOf(type.item, item)) : cell
    case "struct":
      return Array.isArray(cell)
        ? Object.fromEntries(type.fields.map((field, i) => [field.name, valueOf(field, cell[i] ?? null)]))
        : cell
    case "binary":
      return new Uint8Array(Buffer.from(String(cell), "hex"))
    case "half":
    case "float":
    case "double":
      return doubleOf(String(cell))
    case "int64":
      return BigInt(String(cell))
    case "timestamp":
      return BigInt(String(cell)) / 1_000_000n
    case "int32":
    case "date":
      return Number(cell)
    default:
      return cell
  }
}

export const write = ({ columns, options }: File): Uint8Array => {
  const writer = new ByteWriter()
  const { columnIndex, encodings, offsetIndex, ...others } = options
  parquetWrite({
    writer,
    ...others,
    compressors: { GZIP: gzipSync, ZSTD: zstdCompressSync, BROTLI: brotliCompressSync },
    schema: [
      { name: "root", num_children: columns.length },
      ...columns.flatMap(({ name, type }) => elements(name, type))
    ],
    columnData: columns.map(({ name, type, values }) => ({
      name,
      data: values.map((cell) => valueOf(type, cell)),
      encoding: Object(encodings)[name],
      // The one needs the other.
      offsetIndex: offsetIndex === true || columnIndex === true,
      columnIndex: columnIndex === true
    }))
  })
  return new Uint8Array(writer.getBuffer())
}

const cellOf = (type: Type, value: unknown): Cell => {
  if (value === null || value === undefined) return null
  switch (type.kind) {
    case "list":
      return Array.from(Object(value), (item) => cellOf(type.item, item))
    case "struct":
      return type.fields.map((field) => cellOf(field, Object(value)[field.name]))
    case "map":
      return Object.entries(Object(value))
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, item]) => [key, cellOf(type.item, item)])
    case "binary":
    case "fixed":
      return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value)
    case "half":
    case "float":
    case "double":
      return doubleText(Number(value))
    case "time":
      return String(BigInt(String(value)) * 1000n)
    case "boolean":
      return Boolean(value)
    default:
      return String(value)
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const parsers = {
  timestampFromMilliseconds: (value: bigint) => value * 1_000_000n,
  timestampFromMicroseconds: (value: bigint) => value * 1000n,
  timestampFromNanoseconds: (value: bigint) => value,
  dateFromDays: (value: number | undefined) => value,
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && decoder.decode(bytes)
}

export const read = async (
  bytes: Uint8Array,
  columns: ReadonlyArray<Column>
): Promise<ReadonlyArray<ReadonlyArray<Cell>>> => {
  const file = Uint8Array.from(bytes).buffer
  const rows = await parquetReadObjects({ file, compressors, parsers, utf8: false })
  return columns.map(({ name, type }) => rows.map((row) => cellOf(type, row[name])))
}
