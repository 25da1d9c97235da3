/**
 * Reads the values of a batch's columns, for one Arrow type and one schema: compiled once, then closures over typed
 * arrays.
 */
import type * as Arrow from "apache-arrow"
import { Predicate, Schema, SchemaAST } from "effect"
import { setField } from "../../../codec/internal/fields.ts"
import * as Vector from "../../Vector.ts"
import { outside } from "../outside.ts"
import { isBytes, isDate } from "../representation.ts"
import { strip, type Target, targetOf } from "./target.ts"
import {
  Binary,
  BinaryView,
  Bool,
  Date_,
  Decimal,
  Dictionary,
  Duration,
  FixedSizeBinary,
  FixedSizeList,
  Float,
  Int,
  LargeBinary,
  LargeList,
  LargeUtf8,
  List,
  Map_,
  Null,
  Struct,
  Time,
  Timestamp,
  Utf8,
  Utf8View
} from "./arrowTypes.ts"

/** Reads the value at an index of a batch's column. */
export type Getter = (index: number) => unknown
export type Compiled = (data: Arrow.Data) => Getter

/** A value that the schema does not allow, with the reason in a sentence. */
export class BadValue extends Error {
  override readonly name = "BadValue"
}

export const isBadValue = (error: unknown): boolean => error instanceof BadValue

const pow10 = (scale: number): bigint => 10n ** BigInt(scale)

const decimalString = (unscaled: bigint, scale: number): string => {
  if (scale <= 0) return String(unscaled * pow10(-scale))
  const negative = unscaled < 0n
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, "0")
  return `${negative ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

const safe = (value: bigint): number => {
  const number = Number(value)
  if (!Number.isSafeInteger(number)) {
    throw new BadValue(`${value} cannot be a number without losing digits; use Schema.BigInt`)
  }
  return number
}

const bits = (bytes: Uint8Array, index: number): boolean =>
  (((bytes[index >> 3] ?? outside(index)) >> (index & 7)) & 1) === 1

// Milliseconds in a unit of Arrow's `TimeUnit` (second, millisecond, microsecond, nanosecond), as a ratio.
const toMillis =
  (unit: number) =>
  (value: bigint): number =>
    unit === 0 ? Number(value) * 1000 : unit === 1 ? Number(value) : Number(value) / (unit === 2 ? 1e3 : 1e6)

// The time of a `Date` is a whole number of milliseconds. This also floors times before 1970, which `new Date` would
// round up.
const floorToMillis = (unit: number): ((value: bigint) => number) => {
  const per = unit === 2 ? 1000n : unit === 3 ? 1_000_000n : 1n
  return per === 1n
    ? toMillis(unit)
    : (value) => {
        const millis = value / per
        return Number(millis * per > value ? millis - 1n : millis)
      }
}

const toDate = (millis: number): Date => {
  const date = new Date(millis)
  if (Number.isNaN(date.getTime())) {
    throw new BadValue(`is ${millis} milliseconds from 1970, beyond the range of Date; use Schema.BigInt`)
  }
  return date
}

const offsetsOf = (data: Arrow.Data): ((index: number) => number) => {
  const offsets: ArrayLike<number | bigint> = data.valueOffsets
  return (index) => Number(offsets[index])
}

const bytesGetter = (data: Arrow.Data): ((index: number) => Uint8Array) => {
  const offset = offsetsOf(data)
  const values: Uint8Array = data.values
  return (index) => values.subarray(offset(index), offset(index + 1))
}

const textGetter = (data: Arrow.Data): ((index: number) => string) => {
  const bytes: Uint8Array = data.values
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const offsets: ArrayLike<number | bigint> = data.valueOffsets
  return (index) => buffer.toString("utf8", Number(offsets[index]), Number(offsets[index + 1]))
}

/** A getter for one Arrow type and one schema, or `undefined` if they do not match. */
export const compile = (type: Arrow.DataType, target: Target): Compiled | undefined => {
  const typeId: number = type.typeId
  if (typeId === Null) {
    return target.nullable ? () => () => target.absent : undefined
  }
  const inner = compileValue(type, target.ast)
  if (inner === undefined) return undefined
  return (data) => {
    const get = inner(data)
    // `nullCount` is computed once per batch and decides for all of its rows.
    if (data.nullCount === 0) return get
    const { absent, nullable } = target
    return (index) => {
      if (data.getValid(index)) return get(index)
      if (nullable) return absent
      throw new BadValue("is null, which the schema does not allow; use Schema.NullOr")
    }
  }
}

const any: Target = { ast: Schema.Unknown.ast, nullable: true, optional: false, absent: null }

/** Whether a schema accepts a value as it is, whatever its type. */
const isLoose = (ast: SchemaAST.AST): boolean =>
  ast._tag === "Unknown" ||
  ast._tag === "Any" ||
  ast._tag === "Union" ||
  ast._tag === "Literal" ||
  (ast._tag === "Declaration" && Vector.of(ast) === undefined && !isDate(ast) && !isBytes(ast))

const compileValue = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  const loose = isLoose(ast)
  const wants = (tag: SchemaAST.AST["_tag"]): boolean => loose || ast._tag === tag
  const typeId: number = type.typeId
  switch (typeId) {
    case Int:
      return integers(type, ast)
    case Float:
      if (!wants("Number")) return undefined
      return "precision" in type && type.precision === 0 ? halves : numbers
    case Bool:
      return wants("Boolean") ? booleans : undefined
    case Utf8:
    case LargeUtf8:
      return wants("String") ? textGetter : undefined
    case Utf8View:
      return wants("String") ? viaVector : undefined
    case Binary:
    case LargeBinary:
      return loose || isBytes(ast) ? bytesGetter : undefined
    case BinaryView:
      return loose || isBytes(ast) ? viaVector : undefined
    case FixedSizeBinary:
      return loose || isBytes(ast) ? fixedBytes(type) : undefined
    case Decimal:
      return decimals(type, ast)
    case Date_:
      return days(type, ast)
    case Timestamp:
      return timestamps(type, ast)
    case Time:
    case Duration:
      return ast._tag === "Number" ? numbersOfAny : ast._tag === "BigInt" || loose ? numbers : undefined
    case List:
    case LargeList:
    case FixedSizeList:
      return listsOf(type, ast)
    case Map_:
      return maps(type, ast)
    case Struct:
      return structs(type, ast)
    default:
      return typeId === Dictionary || typeId < 0 ? dictionary(type, ast) : loose ? viaVector : undefined
  }
}

const integers = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  const wide = "bitWidth" in type && type.bitWidth === 64
  if (ast._tag === "Number") {
    return wide
      ? (data) => {
          const values: BigInt64Array = data.values
          return (index) => safe(values[index] ?? outside(index))
        }
      : numbers
  }
  if (ast._tag === "BigInt") {
    return wide
      ? numbers
      : (data) => {
          const values: Int32Array = data.values
          return (index) => BigInt(values[index] ?? outside(index))
        }
  }
  return isLoose(ast) ? numbers : undefined
}

const halves: Compiled = (data) => (index) => halfToNumber(data.values[index])

const booleans: Compiled = (data) => {
  const values: Uint8Array = data.values
  const offset = data.offset
  return (index) => bits(values, offset + index)
}

const fixedBytes = (type: Arrow.DataType): Compiled => {
  const width = "byteWidth" in type && typeof type.byteWidth === "number" ? type.byteWidth : 0
  return (data) => {
    const values: Uint8Array = data.values
    return (index) => values.subarray(index * width, (index + 1) * width)
  }
}

const decimals = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  const scale = "scale" in type && typeof type.scale === "number" ? type.scale : 0
  const words = ("bitWidth" in type && typeof type.bitWidth === "number" ? type.bitWidth : 128) / 32
  const unscaled = (data: Arrow.Data) => {
    const values: Uint32Array = data.values
    return (index: number): bigint => {
      let value = 0n
      for (let i = words - 1; i >= 0; i--) value = (value << 32n) | BigInt(values[index * words + i] ?? outside(index))
      return BigInt.asIntN(words * 32, value)
    }
  }
  const text = (data: Arrow.Data) => {
    const get = unscaled(data)
    return (index: number): string => decimalString(get(index), scale)
  }
  if (ast._tag === "Number") {
    return (data) => {
      const get = text(data)
      return (index) => Number(get(index))
    }
  }
  if (ast._tag === "BigInt") return scale === 0 ? unscaled : undefined
  return ast._tag === "String" || isLoose(ast) ? text : undefined
}

const days = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  const perValue = "unit" in type && type.unit === 0 ? 86_400_000 : 1
  const millis = (data: Arrow.Data) => {
    const values: ArrayLike<number | bigint> = data.values
    return (index: number): number => Number(values[index]) * perValue
  }
  return dates(millis, millis, ast)
}

const timestamps = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  const unit = "unit" in type && typeof type.unit === "number" ? type.unit : 1
  if (ast._tag === "BigInt") return numbers
  const times = (scale: (value: bigint) => number) => (data: Arrow.Data) => {
    const values: BigInt64Array = data.values
    return (index: number) => scale(values[index] ?? outside(index))
  }
  return dates(times(toMillis(unit)), times(floorToMillis(unit)), ast)
}

const listsOf = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  const item = type.children[0]?.type
  if (item === undefined) return undefined
  const typeId: number = type.typeId
  const width =
    typeId === FixedSizeList && "listSize" in type && typeof type.listSize === "number" ? type.listSize : undefined
  const vector = Vector.of(ast)
  if (vector !== undefined) return vectors(item, width, vector.length)
  if (ast._tag !== "Arrays" && !isLoose(ast)) return undefined
  const rest = ast._tag === "Arrays" ? ast.rest[0] : undefined
  const get = compile(item, rest === undefined ? any : strip(rest, false))
  return get === undefined ? undefined : lists(get, width)
}

const maps = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  const [key, value] = type.children[0]?.type.children ?? []
  if (key === undefined || value === undefined || !(ast._tag === "Objects" || isLoose(ast))) return undefined
  const signature = ast._tag === "Objects" ? ast.indexSignatures[0] : undefined
  const keys = compile(key.type, any)
  const values = compile(value.type, signature === undefined ? any : strip(signature.type, false))
  if (keys === undefined || values === undefined) return undefined
  return (data) => {
    const entries = data.children[0]
    if (entries?.children[0] === undefined || entries.children[1] === undefined) return () => ({})
    const getKey = keys(entries.children[0])
    const getValue = values(entries.children[1])
    const offset = offsetsOf(data)
    return (index) => {
      const pairs: Array<readonly [string, unknown]> = []
      for (let i = offset(index); i < offset(index + 1); i++) pairs.push([String(getKey(i)), getValue(i)])
      return Object.fromEntries(pairs)
    }
  }
}

const structs = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  if (ast._tag !== "Objects" && !isLoose(ast)) return undefined
  const fields =
    ast._tag === "Objects" && ast.propertySignatures.length > 0
      ? ast.propertySignatures.map((field) => ({
          name: String(field.name),
          target: strip(field.type, SchemaAST.isOptional(field.type))
        }))
      : type.children.map((field) => ({ name: field.name, target: any }))
  const compiled: Array<readonly [name: string, child: number, get: Compiled, optional: boolean]> = []
  for (const { name, target } of fields) {
    const child = type.children.findIndex((field) => field.name === name)
    const childType = type.children[child]?.type
    const get = childType === undefined ? undefined : compile(childType, target)
    if (get !== undefined) compiled.push([name, child, get, target.optional])
    else if (childType !== undefined || !target.nullable) return undefined
  }
  return (data) => {
    const getters = compiled.flatMap(([name, child, get, optional]) => {
      const part = data.children[child]
      return part === undefined ? [] : [[name, get(part), optional] as const]
    })
    return (index) => {
      const out: Record<string, unknown> = {}
      for (const [name, get, optional] of getters) {
        const value = get(index)
        if (!optional || value !== undefined) setField(out, name, value)
      }
      return out
    }
  }
}

const numbers: Compiled = (data) => {
  const values: ArrayLike<unknown> = data.values
  return (index) => values[index]
}

const numbersOfAny: Compiled = (data) => {
  const values: ArrayLike<number | bigint> = data.values
  return (index) => Number(values[index])
}

const halfToNumber = (half: number): number => {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

const dates = (
  millis: (data: Arrow.Data) => (index: number) => number,
  wholeMillis: (data: Arrow.Data) => (index: number) => number,
  ast: SchemaAST.AST
): Compiled | undefined => {
  if (ast._tag === "Number") return millis
  if (!isLoose(ast) && !isDate(ast)) return undefined
  return (data) => {
    const get = wholeMillis(data)
    return (index) => toDate(get(index))
  }
}

const lists =
  (item: Compiled, width: number | undefined): Compiled =>
  (data) => {
    const child = data.children[0]
    if (child === undefined) return () => []
    const get = item(child)
    const offset = width === undefined ? offsetsOf(data) : (index: number) => index * width
    return (index) => {
      const out: Array<unknown> = []
      for (let i = offset(index), end = offset(index + 1); i < end; i++) out.push(get(i))
      return out
    }
  }

const vectors = (item: Arrow.DataType, width: number | undefined, length: number | undefined): Compiled | undefined => {
  const typeId: number = item.typeId
  const isFloat = typeId === Float && "precision" in item
  if (!isFloat && !(typeId === Int && "bitWidth" in item && item.bitWidth !== 64)) return undefined
  if (width !== undefined && length !== undefined && width !== length) return undefined
  return (data) => {
    const child = data.children[0]
    if (child === undefined) return () => new Float32Array(0)
    const checked =
      child.nullCount === 0
        ? undefined
        : (from: number, to: number): void => {
            for (let i = from; i < to; i++) if (!child.getValid(i)) throw new BadValue("has a null inside a vector")
          }
    const raw: Float32Array | Float64Array | Uint16Array = child.values
    // Other widths are converted once per batch; a list of float32 is the column's own memory.
    const values =
      raw instanceof Float32Array
        ? raw
        : isFloat && item.precision === 0
          ? Float32Array.from(raw, halfToNumber)
          : Float32Array.from(raw)
    if (width !== undefined) {
      return (index) => {
        checked?.(index * width, (index + 1) * width)
        return values.subarray(index * width, (index + 1) * width)
      }
    }
    const offsets: ArrayLike<number | bigint> = data.valueOffsets
    return (index) => {
      const from = Number(offsets[index])
      const to = Number(offsets[index + 1])
      checked?.(from, to)
      const view = values.subarray(from, to)
      if (length !== undefined && view.length !== length) {
        throw new BadValue(`is a vector of ${view.length} elements, but the schema asks for ${length}`)
      }
      return view
    }
  }
}

const viaVector: Compiled = (data) => {
  const vector = vectorOf(data)
  return (index) => vector.get(index)
}

let vectorOf: (data: Arrow.Data) => Arrow.Vector = () => {
  throw new BadValue("apache-arrow is not loaded")
}

/** Sets the one function of the library that this module needs for rare types. */
export const provide = (make: (data: Arrow.Data) => Arrow.Vector): void => {
  vectorOf = make
}

// Recognised by its type id: the library has a class for each type, but this file does not load it.
const isType = (value: unknown): value is Arrow.DataType =>
  Predicate.hasProperty(value, "typeId") && typeof value.typeId === "number"

const dictionary = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  const values: unknown = "dictionary" in type ? type.dictionary : undefined
  const inner = isType(values) ? compileValue(values, ast) : undefined
  if (inner === undefined) return undefined
  return (data) => {
    const chunk = data.dictionary?.data[0]
    if (chunk === undefined) return () => undefined
    const get = inner(chunk)
    const indices: ArrayLike<number> = data.values
    const cache: Array<unknown> = []
    return (index) => {
      const at = Number(indices[index])
      return at in cache ? cache[at] : (cache[at] = get(at))
    }
  }
}

/** Reads the values of one column of a file for a struct schema; `undefined` if they do not match. */
export const compileField = (
  schema: Schema.Struct<Schema.Struct.Fields>,
  name: string,
  type: Arrow.DataType
): Compiled | undefined => {
  const field = schema.ast.propertySignatures.find((field) => field.name === name)
  return field === undefined ? undefined : compile(type, targetOf(field))
}
