/** Which row groups may have rows that meet conditions, by the statistics of their columns. */
import type * as Arrow from "apache-arrow"
import { type ColumnCondition, mayMatch, type Statistics } from "../../Condition.ts"
import { Bool, Date_, Dictionary, Float, Int, LargeUtf8, Timestamp, Utf8, Utf8View } from "./arrowTypes.ts"
import type { ColumnChunk, RowGroup } from "./parquetFooter.ts"

// Of a time unit of Arrow, by its number.
const perMilli = [0.001, 1, 1000, 1_000_000]

type Bound = number | bigint | Uint8Array | undefined

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const finite = (value: number): number | undefined => (Number.isNaN(value) ? undefined : value)

// How a bound is written: plain-encoded, in the physical type of the column. `side` rounds what has more digits than a `Date`.
const decoderOf = (type: Arrow.DataType): ((bytes: Uint8Array, side: -1 | 1) => Bound) | undefined => {
  const typeId: number = type.typeId
  const sized =
    (length: number, get: (view: DataView, side: -1 | 1) => Bound) =>
    (bytes: Uint8Array, side: -1 | 1): Bound =>
      bytes.length === length ? get(view(bytes), side) : undefined
  switch (typeId) {
    case Int:
      if (!("bitWidth" in type) || !("isSigned" in type)) return undefined
      return type.bitWidth === 64
        ? sized(8, (view) => (type.isSigned === true ? view.getBigInt64(0, true) : view.getBigUint64(0, true)))
        : sized(4, (view) => (type.isSigned === true ? view.getInt32(0, true) : view.getUint32(0, true)))
    case Float:
      if (!("precision" in type) || type.precision === 0) return undefined
      return type.precision === 1
        ? sized(4, (view) => finite(view.getFloat32(0, true)))
        : sized(8, (view) => finite(view.getFloat64(0, true)))
    case Bool:
      return sized(1, (view) => view.getUint8(0))
    case Utf8:
    case LargeUtf8:
    case Utf8View:
      return (bytes) => bytes
    case Date_:
      return sized(4, (view) => view.getInt32(0, true) * 86_400_000)
    case Timestamp: {
      const unit = "unit" in type && typeof type.unit === "number" ? perMilli[type.unit] : undefined
      if (unit === undefined) return undefined
      return sized(8, (view, side) => Number(view.getBigInt64(0, true)) / unit + (unit > 1 ? side : 0))
    }
    case Dictionary:
      return "dictionary" in type ? decoderOf(type.dictionary as Arrow.DataType) : undefined
    default:
      return undefined
  }
}

/** A function that says whether a row group may have a row that meets all conditions. */
export const compileWhere = (
  schema: Arrow.Schema,
  where: ReadonlyArray<ColumnCondition>
): ((group: RowGroup) => boolean) => {
  const checks = where.map(({ column, expression }) => {
    const type = schema.fields.find((field) => field.name === column)?.type
    const decode = type === undefined ? undefined : decoderOf(type)
    return (group: RowGroup): boolean => {
      const chunk = group.columns.find(({ path }) => path.length === 1 && path[0] === column)
      return chunk === undefined || mayMatch(expression, statisticsOf(chunk, decode))
    }
  })
  return (group) => checks.every((check) => check(group))
}

const statisticsOf = (
  { max, min, nullCount, values }: ColumnChunk,
  decode: ((bytes: Uint8Array, side: -1 | 1) => Bound) | undefined
): Statistics => ({
  min: min === undefined ? undefined : decode?.(min, -1),
  max: max === undefined ? undefined : decode?.(max, 1),
  nulls: nullCount,
  values
})
