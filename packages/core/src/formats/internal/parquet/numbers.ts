/**
 * Encodes columns of numbers of record batches without the codec: without nulls, their Arrow memory is what plain pages
 * hold. Anything else is left to the codec.
 */
import type * as Arrow from "apache-arrow"
import { outside } from "../outside.ts"
import { type Bounds, statisticsOf } from "./bounds.ts"
import { ChunkWriter, type Compression, type EncodedColumn, encodings, Levels } from "./pages.ts"
import { physical, schemaOf } from "./schema.ts"
import * as Thrift from "./thrift.ts"

const schema = { elements: 2, repetition: 3 } as const
const required = 0

export interface NumberColumn {
  readonly physical: number
  readonly nullable: boolean
}

/** The columns with a single value, or none, per row. */
export const numberColumns = (footer: Thrift.Struct): ReadonlyMap<string, NumberColumn> => {
  const elements = Thrift.structs(footer, schema.elements)
  const { columns, leaves } = schemaOf(footer)
  return new Map(
    columns.flatMap((column) => {
      const element = elements[column.elements[0]]
      const leaf = leaves[column.leaves[0]]
      if (element === undefined || leaf === undefined || leaf.repeated || leaf.path.length > 1) return []
      const nullable = Thrift.int(element, schema.repetition) !== required
      return [[column.name, { physical: leaf.physical, nullable }]]
    })
  )
}

type Numbers = Int32Array | Float32Array | Float64Array

const physicalOf = ({ DataType, Precision }: typeof Arrow, type: Arrow.DataType): number | undefined => {
  if (DataType.isInt(type) && type.isSigned) {
    return type.bitWidth === 32 ? physical.int32 : type.bitWidth === 64 ? physical.int64 : undefined
  }
  if (!DataType.isFloat(type)) return undefined
  return type.precision === Precision.SINGLE
    ? physical.float
    : type.precision === Precision.DOUBLE
      ? physical.double
      : undefined
}

/** The memory of a column, in the parts in which its record batches came; all parts have one type. */
interface Memory {
  readonly numbers: ReadonlyArray<Numbers>
  readonly integers: ReadonlyArray<BigInt64Array>
}

const memoryOf = ({ data }: Arrow.Vector): Memory | undefined => {
  const numbers: Array<Numbers> = []
  const integers: Array<BigInt64Array> = []
  for (const { length, nullCount, values } of data) {
    const held: unknown = values
    if (nullCount > 0) return undefined
    if (held instanceof BigInt64Array) integers.push(held.subarray(0, length))
    else if (held instanceof Int32Array || held instanceof Float32Array || held instanceof Float64Array)
      numbers.push(held.subarray(0, length))
    else return undefined
  }
  return { numbers, integers }
}

const at = (values: Numbers, index: number): number => values[index] ?? outside(index)

const bytesOf = ({ buffer }: Numbers): Uint8Array => new Uint8Array(buffer)

const exactly = (min: Numbers, max: Numbers): Bounds => ({
  min: bytesOf(min),
  max: bytesOf(max),
  isMinExact: true,
  isMaxExact: true
})

const boundsOfNumbers = (parts: ReadonlyArray<Numbers>): Bounds | undefined => {
  let min = Infinity
  let max = -Infinity
  for (const values of parts) {
    for (let i = 0; i < values.length; i++) {
      const value = at(values, i)
      // NaN has no place in the order.
      if (value < min) min = value
      if (value > max) max = value
    }
  }
  const some = parts.find(({ length }) => length > 0)
  if (some === undefined || min > max) return undefined
  const one = (value: number): Numbers => {
    const alone = some.slice(0, 1)
    alone[0] = value
    return alone
  }
  // They also hold for equal values that are not identical.
  return exactly(one(min === 0 ? -0 : min), one(max === 0 ? 0 : max))
}

/** Compares integers of 64 bits by their halves: a `bigint` for each would cost ten times as much. */
const boundsOfIntegers = (parts: ReadonlyArray<BigInt64Array>): Bounds | undefined => {
  let any = false
  let [minHigh, minLow, maxHigh, maxLow] = [0x7fff_ffff, 0xffff_ffff, -0x8000_0000, 0]
  for (const values of parts) {
    const halves = new Int32Array(values.buffer, values.byteOffset, values.length * 2)
    for (let i = 0; i < halves.length; i += 2) {
      const low = at(halves, i) >>> 0
      const high = at(halves, i + 1)
      any = true
      if (high < minHigh || (high === minHigh && low < minLow)) {
        minHigh = high
        minLow = low
      }
      if (high > maxHigh || (high === maxHigh && low > maxLow)) {
        maxHigh = high
        maxLow = low
      }
    }
  }
  return any ? exactly(Int32Array.of(minLow, minHigh), Int32Array.of(maxLow, maxHigh)) : undefined
}

// As other writers do, because readers that skip rows skip whole pages.
const pageValues = 20_000

/**
 * A column chunk of plain encoded pages, or `undefined` if only the codec can encode it. Without compression, the pages
 * are views of the memory of the record batches.
 */
export const encodeNumbers = (
  arrow: typeof Arrow,
  name: string,
  shape: NumberColumn,
  column: Arrow.Vector,
  compression: Compression
): EncodedColumn | undefined => {
  const memory = physicalOf(arrow, column.type) === shape.physical ? memoryOf(column) : undefined
  if (memory === undefined) return undefined
  const chunk = new ChunkWriter(compression)
  const definition = new Levels(1)
  let pieces: Array<Uint8Array> = []
  let count = 0
  const endPage = () => {
    if (count === 0) return
    if (shape.nullable) definition.add(1, count)
    chunk.data(count, encodings.plain, shape.nullable ? [definition.take(), ...pieces] : pieces)
    pieces = []
    count = 0
  }
  for (const { buffer, byteOffset, BYTES_PER_ELEMENT: size, length } of [...memory.numbers, ...memory.integers]) {
    for (let from = 0; from < length;) {
      const taken = Math.min(length - from, pageValues - count)
      pieces.push(new Uint8Array(buffer, byteOffset + from * size, taken * size))
      from += taken
      count += taken
      if (count === pageValues) endPage()
    }
  }
  endPage()
  const bounds = boundsOfNumbers(memory.numbers) ?? boundsOfIntegers(memory.integers)
  return chunk.finish({ name, path: [name], physical: shape.physical, statistics: statisticsOf(0, bounds) })
}
