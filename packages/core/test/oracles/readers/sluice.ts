/** Files as Sluice reads and writes them. */
import { Storage } from "@sluice/core"
import type { DataType } from "apache-arrow"
import { Effect, Schema } from "effect"
import * as Parquet from "../../../src/formats/Parquet.ts"
import { readAll, write as writeFile } from "../../formats/support.ts"
import { type Cell, type Column, doubleOf, doubleText, type File, type Type } from "./files.ts"

type Kind = "read" | "read as dates" | "write"

const schemaOf = (type: Type, kind: Kind): Schema.Codec<unknown, unknown> => {
  const schema = valueSchema(type, kind)
  return type.nullable ? Schema.NullOr(schema) : schema
}

const valueSchema = (type: Type, kind: Kind): Schema.Codec<unknown, unknown> => {
  switch (type.kind) {
    case "list":
      return Schema.Array(schemaOf(type.item, kind))
    case "struct":
      return Schema.Struct(Object.fromEntries(type.fields.map((field) => [field.name, schemaOf(field, kind)])))
    case "map":
      return Schema.Record(Schema.String, schemaOf(type.item, kind))
    case "boolean":
      return Schema.Boolean
    case "binary":
    case "fixed":
      return Schema.Uint8Array
    case "half":
    case "double":
      return Schema.Number
    case "float":
      return kind === "write" ? Parquet.Float32 : Schema.Number
    case "int32":
      return kind === "write" ? Parquet.Int32 : Schema.Number
    case "int64":
    case "uint64":
    case "time":
      return Schema.BigInt
    case "timestamp":
      return kind === "read" ? Schema.BigInt : Schema.Date
    case "date":
      return Schema.Date
    case "string":
    case "large_string":
    case "dictionary":
    case "decimal":
      return Schema.String
    default:
      return Schema.Number
  }
}

const structOf = (columns: ReadonlyArray<Column>, kind: Kind) =>
  Schema.Struct(Object.fromEntries(columns.map(({ name, type }) => [name, schemaOf(type, kind)])))

const nanos = [1_000_000_000n, 1_000_000n, 1000n, 1n]

/** Nanoseconds of one in the column's own unit. */
const unitOf = (arrow: DataType | undefined): bigint =>
  nanos[arrow !== undefined && "unit" in arrow ? Number(arrow.unit) : 3] ?? 1n

const child = (arrow: DataType | undefined, index: number): DataType | undefined => arrow?.children[index]?.type

const field = (value: unknown, name: string): unknown => Object(value)[name]

const cellOf = (type: Type, value: unknown, arrow: DataType | undefined): Cell => {
  if (value === null || value === undefined) return null
  switch (type.kind) {
    case "list":
      return Array.from(Object(value), (item) => cellOf(type.item, item, child(arrow, 0)))
    case "struct":
      return type.fields.map((one) =>
        cellOf(one, field(value, one.name), arrow?.children.find(({ name }) => name === one.name)?.type)
      )
    case "map":
      return Object.entries(Object(value))
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, item]) => [key, cellOf(type.item, item, child(child(arrow, 0), 1))])
    case "binary":
    case "fixed":
      return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value)
    case "half":
    case "float":
    case "double":
      return doubleText(Number(value))
    case "timestamp":
    case "time":
      return String(
        value instanceof Date ? BigInt(value.getTime()) * 1_000_000n : BigInt(String(value)) * unitOf(arrow)
      )
    case "date":
      return value instanceof Date ? String(value.getTime() / 86_400_000) : String(value)
    case "boolean":
      return Boolean(value)
    default:
      return String(value)
  }
}

/** Reads a file by a schema made for the table, times as they are in the file or as dates. */
export const read = Effect.fnUntraced(function* (path: string, columns: ReadonlyArray<Column>, asDates: boolean) {
  const [metadata] = yield* Parquet.metadata(path)
  const rows = yield* readAll(Parquet.source(path, structOf(columns, asDates ? "read as dates" : "read")))
  return columns.map(({ name, type }) => {
    const arrow = metadata?.schema.fields.find((one) => one.name === name)?.type
    return rows.map((row): Cell => cellOf(type, row[name], arrow))
  })
}, Effect.provide(Storage.layerLocal))

const valueOf = (type: Type, cell: Cell): unknown => {
  if (cell === null) return null
  switch (type.kind) {
    case "list":
      return Array.isArray(cell) ? cell.map((item: Cell) => valueOf(type.item, item)) : cell
    case "struct":
      return Array.isArray(cell)
        ? Object.fromEntries(type.fields.map((one, i) => [one.name, valueOf(one, cell[i] ?? null)]))
        : cell
    case "binary":
      return new Uint8Array(Buffer.from(String(cell), "hex"))
    case "float":
    case "double":
      return doubleOf(String(cell))
    case "int32":
      return Number(cell)
    case "int64":
      return BigInt(String(cell))
    case "timestamp":
      return new Date(Number(BigInt(String(cell)) / 1_000_000n))
    default:
      return cell
  }
}

export const write = Effect.fnUntraced(function* (path: string, { columns, options, rows }: File) {
  const schema = structOf(columns, "write")
  const values = Array.from({ length: rows }, (_, row) =>
    Object.fromEntries(columns.map(({ name, type, values }) => [name, valueOf(type, values[row] ?? null)]))
  )
  yield* writeFile(path, Parquet.writer(schema, options), values)
}, Effect.provide(Storage.layerLocal))
