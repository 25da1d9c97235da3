/** From the columns of a record batch to rows typed by a schema: compiled once, then closures over typed arrays. */
import type * as Arrow from "apache-arrow"
import { Result, Schema, SchemaAST } from "effect"
import { SchemaMismatch } from "../../../storage/FormatError.ts"
import * as Vector from "../../Vector.ts"
import { fieldGetter, only, setField } from "../../../codec/internal/fields.ts"
import { codecOf } from "../rows.ts"
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
type Getter = (index: number) => unknown
export type Compiled = (data: Arrow.Data) => Getter

/** A value that the schema does not allow, with the reason in a sentence. */
class BadValue extends Error {
  override readonly name = "BadValue"
}

export const isBadValue = (error: unknown): boolean => error instanceof BadValue

interface Target {
  readonly ast: SchemaAST.AST
  readonly nullable: boolean
  /** Whether `undefined` is a key that is not there. */
  readonly optional: boolean
  /** What `null` becomes. */
  readonly absent: null | undefined
}

const strip = (ast: SchemaAST.AST, optional: boolean): Target => {
  if (ast._tag !== "Union") return { ast, nullable: optional, optional, absent: undefined }
  const members = ast.types.filter((type) => type._tag !== "Null" && type._tag !== "Undefined")
  const hasNull = ast.types.some((type) => type._tag === "Null")
  const only = members[0]
  return {
    ast: only !== undefined && members.length === 1 ? only : ast,
    nullable: optional || members.length < ast.types.length,
    optional,
    absent: hasNull ? null : undefined
  }
}

/** No transformation and no check anywhere: what the getter gives is what the schema asks for. */
export const isDirect = (ast: SchemaAST.AST): boolean => {
  if (ast.encoding !== undefined || ast.checks !== undefined) return false
  switch (ast._tag) {
    case "Union":
      return strip(ast, false).ast !== ast && ast.types.every(isDirect)
    case "Arrays":
      return ast.elements.length === 0 && ast.rest.length === 1 && ast.rest.every(isDirect)
    case "Objects":
      return ast.indexSignatures.length === 0 && ast.propertySignatures.every((field) => isDirect(field.type))
    case "Number":
    case "String":
    case "Boolean":
    case "BigInt":
    case "Null":
    case "Undefined":
    case "Unknown":
    case "Any":
      return true
    case "Declaration":
      return isDate(ast) || isBytes(ast) || Vector.of(ast) !== undefined
    default:
      return false
  }
}

/** Whether the values of a column are those of the file, checked or not. */
export const keepsValues = (schema: Schema.Struct<Schema.Struct.Fields>, column: string): boolean => {
  const field = schema.ast.propertySignatures.find((field) => field.name === column)
  const ast = field === undefined ? undefined : strip(field.type, false).ast
  if (ast === undefined || ast.encoding !== undefined) return false
  return ast._tag === "Union" ? ast.types.every((type) => type.encoding === undefined) : true
}

const representationOf = (ast: SchemaAST.AST): unknown => {
  const representation = ast.annotations?.["representation"]
  return typeof representation === "object" && representation !== null && "id" in representation
    ? representation.id
    : undefined
}
const isDate = (ast: SchemaAST.AST): boolean => representationOf(ast) === "effect/schema/Date"
const isBytes = (ast: SchemaAST.AST): boolean => representationOf(ast) === "effect/schema/Uint8Array"

const expectedName = (ast: SchemaAST.AST): string => {
  const vector = Vector.of(ast)
  if (vector !== undefined) return vector.length === undefined ? "list of floats" : `list of ${vector.length} floats`
  if (isDate(ast)) return "date or timestamp"
  if (isBytes(ast)) return "binary"
  switch (ast._tag) {
    case "Number":
      return "number"
    case "String":
      return "string"
    case "Boolean":
      return "boolean"
    case "BigInt":
      return "integer"
    case "Arrays":
      return "list"
    case "Objects":
      return "struct"
    default:
      return ast._tag.toLowerCase()
  }
}

/** What a schema asks for, in a word or two. */
export const typeName = (ast: SchemaAST.AST): string => expectedName(strip(ast, false).ast)

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
    throw new BadValue(`${value} does not fit a number exactly; ask for Schema.BigInt`)
  }
  return number
}

const bits = (bytes: Uint8Array, index: number): boolean => (((bytes[index >> 3] ?? 0) >> (index & 7)) & 1) === 1

// Milliseconds in a unit of Arrow's `TimeUnit` (second, millisecond, microsecond, nanosecond), as a ratio.
const toMillis =
  (unit: number) =>
  (value: bigint): number =>
    unit === 0 ? Number(value) * 1000 : unit === 1 ? Number(value) : Number(value) / (unit === 2 ? 1e3 : 1e6)

// The time of a `Date` is a whole number of milliseconds, before 1970 as well, where `new Date` would round up.
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
    throw new BadValue(`is ${millis} milliseconds from 1970, which no Date reaches; ask for Schema.BigInt`)
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

/** A getter for one Arrow type and one schema, or `undefined` where they do not go together. */
const compile = (type: Arrow.DataType, target: Target): Compiled | undefined => {
  const typeId: number = type.typeId
  if (typeId === Null) {
    return target.nullable ? () => () => target.absent : undefined
  }
  const inner = compileValue(type, target.ast)
  if (inner === undefined) return undefined
  return (data) => {
    const get = inner(data)
    // `nullCount` counts once a batch and decides for all rows of it.
    if (data.nullCount === 0) return get
    const { absent, nullable } = target
    return (index) => {
      if (data.getValid(index)) return get(index)
      if (nullable) return absent
      throw new BadValue("is null, which the schema does not allow; ask for Schema.NullOr")
    }
  }
}

const any: Target = { ast: Schema.Unknown.ast, nullable: true, optional: false, absent: null }

/** Whether a schema takes a value as it is, whatever its type. */
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
          return (index) => safe(values[index] ?? 0n)
        }
      : numbers
  }
  if (ast._tag === "BigInt") {
    return wide
      ? numbers
      : (data) => {
          const values: Int32Array = data.values
          return (index) => BigInt(values[index] ?? 0)
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
      for (let i = words - 1; i >= 0; i--) value = (value << 32n) | BigInt(values[index * words + i] ?? 0)
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
    return (index: number) => scale(values[index] ?? 0n)
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
    // Other widths are converted once a batch; a list of float32 is the column's own memory.
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
        throw new BadValue(`is a vector of ${view.length} elements, ${length} asked for`)
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

/** Gives this module the one function of the library that it needs for rare types. */
export const provide = (make: (data: Arrow.Data) => Arrow.Vector): void => {
  vectorOf = make
}

const dictionary = (type: Arrow.DataType, ast: SchemaAST.AST): Compiled | undefined => {
  const valueType = "dictionary" in type ? type.dictionary : undefined
  if (typeof valueType !== "object" || valueType === null || !("typeId" in valueType)) return undefined
  const inner = compileValue(valueType as Arrow.DataType, ast)
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

/** Reads rows out of batches of one file schema. */
export interface RowReader<out A> {
  readonly columns: ReadonlyArray<string>
  /** Reads rows `[from, to)` of a batch; those that the schema does not allow are left out and given to `onBad`. */
  readonly open: (
    batch: Arrow.RecordBatch
  ) => (from: number, to: number, onBad: (index: number, detail: string) => void) => Array<A>
}

export const describe = (schema: Arrow.Schema): ReadonlyArray<string> =>
  schema.fields.map((field) => `${field.name}: ${String(field.type)}`)

interface Column {
  readonly name: string
  readonly compiled: Compiled | undefined
  readonly decode: ((value: unknown) => unknown) | undefined
  /** The value where the file has no such column. */
  readonly absent: null | undefined
  /** Whether a row of which the value is `undefined` does not have the key. */
  readonly optional: boolean
}

const targetOf = (field: SchemaAST.PropertySignature): Target => {
  const encoded = SchemaAST.toEncoded(field.type)
  return strip(encoded, SchemaAST.isOptional(field.type) || SchemaAST.isOptional(encoded))
}

/** What reads the values of one column of a file for a struct schema; `undefined` where they do not go together. */
export const compileField = (
  schema: Schema.Struct<Schema.Struct.Fields>,
  name: string,
  type: Arrow.DataType
): Compiled | undefined => {
  const field = schema.ast.propertySignatures.find((field) => field.name === name)
  return field === undefined ? undefined : compile(type, targetOf(field))
}

/** Fits those columns of a struct schema that are read to a file's own schema, or says what does not fit. */
export const compileRows = <S extends Schema.Struct<Schema.Struct.Fields>>(
  schema: S,
  file: Arrow.Schema,
  only: ReadonlySet<string>
): RowReader<S["Type"]> | SchemaMismatch => {
  const columns: Array<Column> = []
  for (const field of schema.ast.propertySignatures) {
    const name = String(field.name)
    if (!only.has(name)) continue
    const target = targetOf(field)
    const there = file.fields.find((candidate) => candidate.name === name)
    const compiled = there === undefined ? undefined : compile(there.type, target)
    if (compiled === undefined && (there !== undefined || !target.nullable)) {
      return new SchemaMismatch({
        column: name,
        expected: expectedName(target.ast),
        ...(there === undefined ? {} : { found: String(there.type) }),
        available: describe(file)
      })
    }
    const own = schema.fields[name]
    const direct = isDirect(field.type)
    columns.push({
      name,
      compiled,
      absent: target.absent,
      optional: SchemaAST.isOptional(field.type),
      decode: direct || own === undefined ? undefined : decodeWith(name, own, target)
    })
  }
  return {
    columns: columns.filter((column) => column.compiled !== undefined).map((column) => column.name),
    open: (batch) => {
      const getters = columns.map((column): Getter => {
        const at = batch.schema.fields.findIndex((field) => field.name === column.name)
        const data = batch.data.children[at]
        const get: Getter =
          column.compiled === undefined || data === undefined ? () => column.absent : column.compiled(data)
        const decode = column.decode
        return decode === undefined ? get : (index) => decode(get(index))
      })
      const build = builder(
        columns.map((column) => column.name),
        columns.map((column) => column.optional)
      )
      return (from, to, onBad) => build(getters, from, to, onBad) as Array<S["Type"]>
    }
  }
}

const decodeWith = (name: string, schema: Schema.Constraint, target: Target): ((value: unknown) => unknown) => {
  const field = codecOf(schema)
  // Only within a struct a missing key is another thing than `undefined`.
  const decode = target.optional
    ? Schema.decodeUnknownResult(Schema.Struct({ [name]: field }))
    : Schema.decodeUnknownResult(field)
  const get = fieldGetter(name)
  return (value) => {
    const result = decode(target.optional ? only(name, value) : value)
    if (Result.isFailure(result)) throw new BadValue(String(result.failure.message ?? result.failure))
    return target.optional ? get(result.success as object) : result.success
  }
}

type Build = (
  getters: ReadonlyArray<Getter>,
  from: number,
  to: number,
  onBad: (index: number, detail: string) => void
) => Array<unknown>

const builders = new Map<string, Build>()

// Rows of one shape from a literal with the keys in place: V8 then makes them of one hidden class at once.
const builder = (names: ReadonlyArray<string>, optional: ReadonlyArray<boolean>): Build => {
  const key = JSON.stringify([names, optional])
  const known = builders.get(key)
  if (known !== undefined) return known
  const odd = names.map((name, c) => name === "__proto__" || optional[c] === true)
  const row = (getters: ReadonlyArray<Getter>, index: number): unknown => {
    const out: Record<string, unknown> = {}
    for (let c = 0; c < names.length; c++) {
      const name = names[c]
      const get = getters[c]
      if (name === undefined || get === undefined) continue
      if (odd[c] !== true) {
        out[name] = get(index)
        continue
      }
      const value = get(index)
      if (value !== undefined || optional[c] !== true) setField(out, name, value)
    }
    return out
  }
  const build: Build = (getters, from, to, onBad) => {
    const rows: Array<unknown> = []
    for (let index = from; index < to; index++) {
      try {
        rows.push(row(getters, index))
      } catch (error) {
        if (!(error instanceof BadValue)) throw error
        let column = ""
        for (let c = 0; c < names.length; c++) {
          try {
            getters[c]?.(index)
          } catch {
            column = names[c] ?? ""
            break
          }
        }
        onBad(index, `column "${column}" ${error.message}`)
      }
    }
    return rows
  }
  builders.set(key, build)
  return build
}
