/**
 * Which row groups may have rows that meet conditions, by the statistics of their columns.
 *
 * The code that reads rows also reads minimum and maximum, so that all have the same type and unit. They are used only
 * if the writer ordered them as the rows are ordered; otherwise the row group is read.
 */
import type * as Arrow from "apache-arrow"
import type { Schema } from "effect"
import { type ColumnCondition, mayMatch, type Statistics } from "../../../task/Condition.ts"
import { type Compiled, compileField, isBadValue } from "./getters.ts"
import { Bool, Date_, Dictionary, Float, Int, LargeUtf8, Timestamp, Utf8, Utf8View } from "./arrowTypes.ts"
import type { ColumnChunk, Footer, RowGroup } from "./footer.ts"
import { type Leaf, orderOf, physical, timeUnitOf } from "./schema.ts"
import type { Libraries } from "./wasm.ts"

type Bound = number | bigint | Uint8Array | undefined
type Bounds = readonly [min: Bound, max: Bound]
const unknown: Bounds = [undefined, undefined]

/** Makes a column of two values, from the bytes of each: `undefined` if they are not values of the column's type. */
type Column = (bytes: Uint8Array) => ArrayLike<number | bigint> | undefined

const column = (leaf: Leaf, type: Arrow.DataType): Column | undefined => {
  const signed = orderOf(leaf) === "signed"
  const typeId: number = type.typeId
  switch (typeId) {
    case Int: {
      if (!("bitWidth" in type) || !("isSigned" in type) || signed !== type.isSigned) return undefined
      if (type.bitWidth === 64) {
        if (leaf.physical !== physical.int64) return undefined
        return (bytes) => (signed ? new BigInt64Array(bytes.buffer) : new BigUint64Array(bytes.buffer))
      }
      if (leaf.physical !== physical.int32) return undefined
      const Narrow =
        type.bitWidth === 8
          ? signed
            ? Int8Array
            : Uint8Array
          : type.bitWidth === 16
            ? signed
              ? Int16Array
              : Uint16Array
            : undefined
      return (bytes) => {
        const wide = signed ? new Int32Array(bytes.buffer) : new Uint32Array(bytes.buffer)
        if (Narrow === undefined) return wide
        const narrow = Narrow.from(wide)
        return wide.every((value, i) => value === narrow[i]) ? narrow : undefined
      }
    }
    case Float:
      if (!("precision" in type)) return undefined
      if (type.precision === 1 && leaf.physical === physical.float) return (bytes) => new Float32Array(bytes.buffer)
      return type.precision === 2 && leaf.physical === physical.double
        ? (bytes) => new Float64Array(bytes.buffer)
        : undefined
    case Date_:
      return "unit" in type && type.unit === 0 && leaf.physical === physical.int32 && signed
        ? (bytes) => new Int32Array(bytes.buffer)
        : undefined
    case Timestamp:
      return "unit" in type && timeUnitOf(leaf) === type.unit ? (bytes) => new BigInt64Array(bytes.buffer) : undefined
    default:
      return undefined
  }
}

const sizes: ReadonlyMap<number, number> = new Map([
  [physical.int32, 4],
  [physical.int64, 8],
  [physical.float, 4],
  [physical.double, 8]
])

const toBound = (value: unknown): Bound =>
  typeof value === "bigint"
    ? value
    : typeof value === "number"
      ? Number.isNaN(value)
        ? undefined
        : value
      : value instanceof Date
        ? value.getTime()
        : undefined

/** Reads minimum and maximum of a column as its rows are read. */
const boundsOf = (
  { arrow }: Libraries,
  leaf: Leaf,
  type: Arrow.DataType,
  compiled: Compiled
): ((min: Uint8Array, max: Uint8Array) => Bounds) | undefined => {
  const typeId: number = type.typeId
  if (typeId === Dictionary || typeId < 0) {
    const values = "dictionary" in type ? type.dictionary : undefined
    // A dictionary is a way to store the values, not another type.
    return arrow.DataType.isUtf8(values) && leaf.physical === physical.bytes ? (min, max) => [min, max] : undefined
  }
  if (typeId === Utf8 || typeId === LargeUtf8 || typeId === Utf8View) {
    return orderOf(leaf) === "unsigned" && leaf.physical === physical.bytes ? (min, max) => [min, max] : undefined
  }
  if (typeId === Bool) {
    if (leaf.physical !== physical.boolean) return undefined
    return (min, max) => (min.length === 1 && max.length === 1 ? [min[0], max[0]] : unknown)
  }
  const make = column(leaf, type)
  const size = sizes.get(leaf.physical)
  if (make === undefined || size === undefined) return undefined
  return (min, max) => {
    if (min.length !== size || max.length !== size) return unknown
    const bytes = new Uint8Array(2 * size)
    bytes.set(min)
    bytes.set(max, size)
    const data = make(bytes)
    if (data === undefined) return unknown
    const get = compiled(new arrow.Data(type, 0, 2, 0, { [arrow.BufferType.DATA]: data }))
    try {
      const low = toBound(get(0))
      const high = toBound(get(1))
      // If a writer compared NaN values, neither is correct.
      return low === undefined || high === undefined || low > high ? unknown : [low, high]
    } catch (error) {
      if (isBadValue(error)) return unknown
      throw error
    }
  }
}

/** A function that says whether a row group may have a row that meets all conditions. */
export const compileWhere = (
  libraries: Libraries,
  footer: Footer,
  file: Arrow.Schema,
  rows: Schema.Struct<Schema.Struct.Fields>,
  where: ReadonlyArray<ColumnCondition>
): ((group: RowGroup) => boolean) => {
  const checks = where.flatMap(({ column, expression }) => {
    const at = footer.schema.columns.findIndex(({ name }) => name === column)
    const leafAt = footer.schema.columns[at]?.leaves[0] ?? -1
    const leaf = footer.schema.leaves[leafAt]
    const type = file.fields[at]?.type
    // The schema decides what a missing value becomes, and nested values have no order.
    if (leaf === undefined || type === undefined || leaf.path.length !== 1 || leaf.repeated) return []
    const compiled = compileField(rows, column, type)
    // Files that do not name an order come from a time when all values were ordered as signed numbers.
    const ordered = footer.typeOrdered?.[leafAt] ?? orderOf(leaf) === "signed"
    const bounds = compiled !== undefined && ordered ? boundsOf(libraries, leaf, type, compiled) : undefined
    return [
      (group: RowGroup): boolean => {
        const chunk = group.columns[leafAt]
        return chunk === undefined || mayMatch(expression, statisticsOf(chunk, bounds))
      }
    ]
  })
  return (group) => checks.every((check) => check(group))
}

const statisticsOf = (
  { max: high, min: low, nullCount, values }: ColumnChunk,
  bounds: ((min: Uint8Array, max: Uint8Array) => Bounds) | undefined
): Statistics => {
  const [min, max] = low === undefined || high === undefined || bounds === undefined ? unknown : bounds(low, high)
  return { min, max, nulls: nullCount, values }
}
