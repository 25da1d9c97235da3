/**
 * Columns of rows, built value by value: each value is checked as it is added, and its bytes count towards the size of
 * the row group.
 */
import type * as Arrow from "apache-arrow"
import { SchemaAST } from "effect"
import * as Vector from "../../Vector.ts"
import { fieldGetter } from "../../../codec/internal/fields.ts"
import { outside } from "../outside.ts"
import { isBytes, isDate } from "../representation.ts"
import type { FlatType } from "./flat.ts"
import {
  aBoolean,
  aFloat32,
  anInt32,
  anInt64,
  aNumber,
  aTime,
  isNone,
  Refused,
  type WriteValue,
  writeBytes,
  writeText
} from "./values.ts"
import type { Libraries } from "./wasm.ts"

const at = (error: unknown, step: string): unknown => {
  if (error instanceof Refused) error.path = step + error.path
  return error
}

export interface ColumnBuilder {
  /** Bytes added. Throws {@link Refused}. */
  readonly add: (value: unknown) => number
  /** Adds a value that a null around it hides. */
  readonly skip: () => void
  readonly finish: () => Arrow.Data
}

const unwrapNull = (ast: SchemaAST.AST): { readonly ast: SchemaAST.AST; readonly nullable: boolean } => {
  if (ast._tag !== "Union") return { ast, nullable: SchemaAST.isOptional(ast) }
  const members = ast.types.filter((type) => type._tag !== "Null" && type._tag !== "Undefined")
  const only = members[0]
  return {
    ast: only !== undefined && members.length === 1 ? only : ast,
    nullable: SchemaAST.isOptional(ast) || members.length < ast.types.length
  }
}

export const parquetType = (ast: SchemaAST.AST): unknown => {
  const own = ast.annotations?.["parquet"]
  if (own !== undefined) return own
  for (const check of ast.checks ?? []) {
    const annotation = check.annotations?.["parquet"]
    if (annotation !== undefined) return annotation
  }
  return undefined
}

/** A column of a row, or a field of a struct: its Arrow type, and what it is made of. */
export interface ColumnPlan {
  readonly field: Arrow.Field
  readonly ast: SchemaAST.AST
  /** The type of its values, if each row has one or none. */
  readonly flat: FlatType | undefined
  readonly build: () => ColumnBuilder
}

/** Which values are not null. Empty until the first null. */
class Validity {
  bits: Uint8Array | undefined
  nulls = 0
  add(index: number, there: boolean): void {
    if (there && this.bits === undefined) return
    if (this.bits === undefined) {
      this.bits = new Uint8Array(Math.max(64, (index >> 2) + 1))
      this.bits.fill(0xff, 0, index >> 3)
      this.bits[index >> 3] = (1 << (index & 7)) - 1
    }
    if (index >> 3 >= this.bits.length) {
      const bigger = new Uint8Array(this.bits.length * 2)
      bigger.set(this.bits)
      this.bits = bigger
    }
    if (there) this.bits[index >> 3] = (this.bits[index >> 3] ?? outside(index)) | (1 << (index & 7))
    else this.nulls++
  }
  get data(): { readonly nullCount: number; readonly nullBitmap?: Uint8Array } {
    return this.bits === undefined ? { nullCount: 0 } : { nullCount: this.nulls, nullBitmap: this.bits }
  }
}

interface Values<A> {
  readonly length: number
  readonly BYTES_PER_ELEMENT: number
  [index: number]: A
  set(values: ArrayLike<A>): void
  subarray(from: number, to: number): Values<A>
}

type Rows = ReturnType<() => Validity["data"]> & { readonly length: number }

const fixed = <A extends number | bigint, V extends Values<A>>(
  nullable: boolean,
  make: (length: number) => V,
  check: (value: unknown) => A,
  toData: (values: V, rows: Rows) => Arrow.Data
): ColumnBuilder => {
  let values = make(64)
  let length = 0
  const valid = new Validity()
  const grow = (): void => {
    if (length < values.length) return
    const bigger = make(length * 2)
    bigger.set(values)
    values = bigger
  }
  return {
    add: (value) => {
      grow()
      if (!isNone(value)) {
        values[length] = check(value)
        valid.add(length, true)
      } else if (nullable) {
        valid.add(length, false)
      } else {
        throw new Refused("is null or missing", value)
      }
      length++
      return values.BYTES_PER_ELEMENT
    },
    skip: () => {
      grow()
      valid.add(length, !nullable)
      length++
    },
    finish: () => toData(values, { length, ...valid.data })
  }
}

/** Values of any length, one after another: strings, bytes, vectors, lists. */
const ranged = (
  nullable: boolean,
  append: (value: unknown) => number,
  end: () => number,
  toData: (rows: Rows & { readonly valueOffsets: Int32Array }) => Arrow.Data
): ColumnBuilder => {
  let offsets = new Int32Array(64)
  let length = 0
  const valid = new Validity()
  const close = (there: boolean): void => {
    valid.add(length, there)
    length++
    if (length === offsets.length) {
      const bigger = new Int32Array(length * 2)
      bigger.set(offsets)
      offsets = bigger
    }
    offsets[length] = end()
  }
  return {
    add: (value) => {
      if (isNone(value)) {
        if (!nullable) throw new Refused("is null or missing", value)
        close(false)
        return 4
      }
      const bytes = append(value)
      close(true)
      return bytes + 4
    },
    skip: () => {
      close(!nullable)
    },
    finish: () => toData({ length, valueOffsets: offsets.subarray(0, length + 1), ...valid.data })
  }
}

const bytesColumn = (
  nullable: boolean,
  write: WriteValue,
  toData: (data: Uint8Array, rows: Rows & { readonly valueOffsets: Int32Array }) => Arrow.Data
): ColumnBuilder => {
  let data = Buffer.allocUnsafeSlow(1024)
  let used = 0
  const room = (bytes: number): Buffer => {
    if (used + bytes > data.length) {
      const bigger = Buffer.allocUnsafeSlow(Math.max(data.length * 2, used + bytes))
      bigger.set(data.subarray(0, used))
      data = bigger
    }
    return data
  }
  return ranged(
    nullable,
    (value) => {
      const bytes = write(value, room, used)
      used += bytes
      return bytes
    },
    () => used,
    (rows) => toData(data.subarray(0, used), rows)
  )
}

const vectorColumn = (
  { arrow }: Libraries,
  nullable: boolean,
  type: Arrow.List,
  exact: number | undefined
): ColumnBuilder => {
  let values = new Float32Array(64)
  let used = 0
  return ranged(
    nullable,
    (value) => {
      if (!(value instanceof Float32Array)) throw new Refused("is not a Float32Array", value)
      if (exact !== undefined && value.length !== exact) {
        throw new Refused(`is a vector of ${value.length} elements, but the schema asks for ${exact}`, value)
      }
      if (used + value.length > values.length) {
        const bigger = new Float32Array(Math.max(values.length * 2, used + value.length))
        bigger.set(values.subarray(0, used))
        values = bigger
      }
      values.set(value, used)
      used += value.length
      return value.byteLength
    },
    () => used,
    (rows) =>
      arrow.makeData({
        type,
        child: arrow.makeData({ type: new arrow.Float32(), length: used, data: values.subarray(0, used) }),
        ...rows
      })
  )
}

const packBits = (values: Uint8Array, length: number): Uint8Array => {
  const out = new Uint8Array((length + 7) >> 3)
  for (let i = 0; i < length; i++) if (values[i] === 1) out[i >> 3] = (out[i >> 3] ?? outside(i)) | (1 << (i & 7))
  return out
}

const isLiterals = (ast: SchemaAST.AST, type: "string" | "number" | "bigint" | "boolean"): boolean =>
  ast._tag === "Union"
    ? ast.types.length > 0 && ast.types.every((one) => isLiterals(one, type))
    : ast._tag === "Literal" && typeof ast.literal === type

type Make = (nullable: boolean) => ColumnBuilder

/** The Arrow type of a schema, and how to build a column of it. */
interface Typed {
  readonly type: Arrow.DataType
  readonly flat?: FlatType
  readonly make: Make
}

const text = (arrow: Libraries["arrow"]): Typed => {
  const type = new arrow.Utf8()
  const make: Make = (nullable) =>
    bytesColumn(nullable, writeText, (data, rows) => arrow.makeData({ type, data, ...rows }))
  return { type, flat: "text", make }
}

const binary = (arrow: Libraries["arrow"]): Typed => {
  const type = new arrow.Binary()
  const make: Make = (nullable) =>
    bytesColumn(nullable, writeBytes, (data, rows) => arrow.makeData({ type, data, ...rows }))
  return { type, flat: "binary", make }
}

const double = (arrow: Libraries["arrow"]): Typed => {
  const type = new arrow.Float64()
  const make: Make = (nullable) =>
    fixed(
      nullable,
      (length) => new Float64Array(length),
      aNumber,
      (values, rows) => arrow.makeData({ type, data: values.subarray(0, rows.length), ...rows })
    )
  return { type, flat: "double", make }
}

const float = (arrow: Libraries["arrow"]): Typed => {
  const type = new arrow.Float32()
  const make: Make = (nullable) =>
    fixed(
      nullable,
      (length) => new Float32Array(length),
      aFloat32,
      (values, rows) => arrow.makeData({ type, data: values.subarray(0, rows.length), ...rows })
    )
  return { type, flat: "float", make }
}

const int32 = (arrow: Libraries["arrow"]): Typed => {
  const type = new arrow.Int32()
  const make: Make = (nullable) =>
    fixed(
      nullable,
      (length) => new Int32Array(length),
      anInt32,
      (values, rows) => arrow.makeData({ type, data: values.subarray(0, rows.length), ...rows })
    )
  return { type, flat: "int32", make }
}

const int64 = (arrow: Libraries["arrow"]): Typed => {
  const type = new arrow.Int64()
  const make: Make = (nullable) =>
    fixed(
      nullable,
      (length) => new BigInt64Array(length),
      anInt64,
      (values, rows) => arrow.makeData({ type, data: values.subarray(0, rows.length), ...rows })
    )
  return { type, flat: "int64", make }
}

const boolean = (arrow: Libraries["arrow"]): Typed => {
  const type = new arrow.Bool()
  const make: Make = (nullable) =>
    fixed(
      nullable,
      (length) => new Uint8Array(length),
      aBoolean,
      (values, rows) => arrow.makeData({ type, data: packBits(values, rows.length), ...rows })
    )
  return { type, flat: "boolean", make }
}

const timestamp = (arrow: Libraries["arrow"]): Typed => {
  const type = new arrow.TimestampMillisecond("UTC")
  const make: Make = (nullable) =>
    fixed(
      nullable,
      (length) => new BigInt64Array(length),
      aTime,
      (values, rows) => arrow.makeData({ type, data: values.subarray(0, rows.length), ...rows })
    )
  return { type, flat: "timestamp", make }
}

const numberOf = (arrow: Libraries["arrow"], ast: SchemaAST.AST): Typed => {
  const own = parquetType(ast)
  return own === "float" ? float(arrow) : own === "int32" ? int32(arrow) : double(arrow)
}

/** Literals of one type are written like any value of that type. */
const literals = (arrow: Libraries["arrow"], ast: SchemaAST.Literal | SchemaAST.Union): Typed | undefined => {
  const some =
    ast._tag === "Union"
      ? { ...ast, types: ast.types.filter((type) => type._tag !== "Null" && type._tag !== "Undefined") }
      : ast
  if (isLiterals(some, "string")) return text(arrow)
  if (isLiterals(some, "number")) return double(arrow)
  if (isLiterals(some, "bigint")) return int64(arrow)
  return isLiterals(some, "boolean") ? boolean(arrow) : undefined
}

const list = (libraries: Libraries, ast: SchemaAST.Arrays): Typed | undefined => {
  const rest = ast.rest[0]
  if (rest === undefined || ast.elements.length > 0) return undefined
  const item = plan(libraries, "item", rest, false)
  if (item === undefined) return undefined
  const type = new libraries.arrow.List(item.field)
  return { type, make: (nullable) => listColumn(libraries, nullable, type, item.build()) }
}

const struct = (libraries: Libraries, ast: SchemaAST.Objects): Typed | undefined => {
  if (ast.indexSignatures.length > 0 || ast.propertySignatures.length === 0) return undefined
  const fields: Array<ColumnPlan> = []
  for (const { name, type } of ast.propertySignatures) {
    const field = plan(libraries, String(name), type, SchemaAST.isOptional(type))
    if (field === undefined) return undefined
    fields.push(field)
  }
  const type = new libraries.arrow.Struct(fields.map(({ field }) => field))
  return { type, make: (nullable) => structColumn(libraries, nullable, type, fields) }
}

/** `undefined` for what Parquet has no type for. */
const typed = (libraries: Libraries, ast: SchemaAST.AST): Typed | undefined => {
  const { arrow } = libraries
  const vector = Vector.of(ast)
  if (vector !== undefined) {
    const type = new arrow.List(new arrow.Field("item", new arrow.Float32(), false))
    return { type, make: (nullable) => vectorColumn(libraries, nullable, type, vector.length) }
  }
  if (isDate(ast)) return timestamp(arrow)
  if (isBytes(ast)) return binary(arrow)
  switch (ast._tag) {
    case "Number":
      return numberOf(arrow, ast)
    case "BigInt":
      return int64(arrow)
    case "String":
    case "TemplateLiteral":
      return text(arrow)
    case "Boolean":
      return boolean(arrow)
    case "Literal":
    case "Union":
      return literals(arrow, ast)
    case "Arrays":
      return list(libraries, ast)
    case "Objects":
      return struct(libraries, ast)
    default:
      return undefined
  }
}

/** How to write a column of a schema; `undefined` if Parquet has no type for it. */
export const plan = (
  libraries: Libraries,
  name: string,
  ast: SchemaAST.AST,
  optional: boolean
): ColumnPlan | undefined => {
  const inner = unwrapNull(ast)
  const its = typed(libraries, inner.ast)
  if (its === undefined || !name.isWellFormed()) return undefined
  const field = new libraries.arrow.Field(name, its.type, inner.nullable || optional)
  return { field, ast: inner.ast, flat: its.flat, build: () => its.make(field.nullable) }
}

const listColumn = ({ arrow }: Libraries, nullable: boolean, type: Arrow.List, items: ColumnBuilder): ColumnBuilder => {
  let used = 0
  return ranged(
    nullable,
    (value) => {
      if (!Array.isArray(value)) throw new Refused("is not an array", value)
      let bytes = 0
      let i = 0
      try {
        for (; i < value.length; i++) bytes += items.add(value[i])
      } catch (error) {
        throw at(error, `[${i}]`)
      }
      used += value.length
      return bytes
    },
    () => used,
    (rows) => arrow.makeData({ type, child: items.finish(), ...rows })
  )
}

const structColumn = (
  { arrow }: Libraries,
  nullable: boolean,
  type: Arrow.Struct,
  plans: ReadonlyArray<ColumnPlan>
): ColumnBuilder => {
  const fields = plans.map(({ build, field }) => ({ name: field.name, get: fieldGetter(field.name), column: build() }))
  const valid = new Validity()
  let length = 0
  const skip = (): void => {
    valid.add(length++, !nullable)
    for (const { column } of fields) column.skip()
  }
  return {
    add: (value) => {
      if (isNone(value)) {
        if (!nullable) throw new Refused("is null or missing", value)
        skip()
        return 8 * fields.length
      }
      if (typeof value !== "object" || Array.isArray(value)) throw new Refused("is not an object", value)
      let bytes = 0
      for (const { column, get, name } of fields) {
        try {
          bytes += column.add(get(value))
        } catch (error) {
          throw at(error, `.${name}`)
        }
      }
      valid.add(length++, true)
      return bytes
    },
    skip,
    finish: () => arrow.makeData({ type, length, ...valid.data, children: fields.map(({ column }) => column.finish()) })
  }
}
