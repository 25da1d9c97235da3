/** The schema in a Parquet footer, as a tree that is checked before anything relies on it. */
import * as Thrift from "./thrift.ts"

export const physical = {
  boolean: 0,
  int32: 1,
  int64: 2,
  int96: 3,
  float: 4,
  double: 5,
  bytes: 6,
  fixed: 7
} as const

const elementField = {
  type: 1,
  repetition: 3,
  name: 4,
  children: 5,
  converted: 6,
  precision: 8,
  logical: 10
} as const
const logicalField = { decimal: 5, timestamp: 8, integer: 10, unknown: 11 } as const

/** `ConvertedType` as the format numbers it. */
const converted = {
  decimal: 5,
  date: 6,
  timestampMillis: 9,
  timestampMicros: 10,
  uint8: 11,
  uint64: 14,
  // From writers older than the format's name for columns of nulls.
  null: 24
} as const

const fileSchema = 2
const required = 0
const repeated = 2

/** Names from the top: `features`, `list`, `element`. */
export type Path = readonly [string, ...ReadonlyArray<string>]

/** A column with values (a leaf). */
export interface Leaf {
  readonly path: Path
  readonly physical: number
  /** Whether a row may have more or fewer values than one, as in lists and legacy repeated fields. */
  readonly repeated: boolean
  /** Whether its own element may be missing. */
  readonly nullable: boolean
  readonly converted: number | undefined
  readonly logical: Thrift.Struct | undefined
  readonly precision: number | undefined
}

/** A column of a row: its elements in the footer and its leaves, as `[from, to)`. */
export interface Top {
  readonly name: string
  readonly elements: readonly [from: number, to: number]
  readonly leaves: readonly [from: number, to: number]
}

export interface ParquetSchema {
  readonly columns: ReadonlyArray<Top>
  readonly leaves: ReadonlyArray<Leaf>
  /** Why a column cannot be read. */
  readonly unreadable: ReadonlyMap<string, string>
}

const maxDepth = 100

const isTop = (parents: Path | readonly []): parents is readonly [] => parents.length === 0

/** Throws `ThriftError`. */
export const schemaOf = (footer: Thrift.Struct): ParquetSchema => {
  const elements = Thrift.structs(footer, fileSchema)
  const leaves: Array<Leaf> = []
  const columns: Array<Top> = []
  const unreadable = new Map<string, string>()
  const root = elements[0]
  if (root === undefined) throw new Thrift.ThriftError("has no schema")
  let next = 1
  const childrenOf = (element: Thrift.Struct): number => {
    const children = Thrift.int(element, elementField.children) ?? 0
    if (children < 0 || children > elements.length - next) {
      throw new Thrift.ThriftError("has a schema that names columns it does not have")
    }
    return children
  }
  const visit = (parents: Path | readonly [], inList: boolean): string => {
    const element = elements[next++]
    if (element === undefined) throw new Thrift.ThriftError("has a schema that names columns it does not have")
    const name = Thrift.text(element, elementField.name)
    const path: Path = isTop(parents) ? [name] : [...parents, name]
    if (path.length > maxDepth) throw new Thrift.ThriftError("has a schema that is nested too deeply")
    const many = inList || Thrift.int(element, elementField.repetition) === repeated
    const type = Thrift.int(element, elementField.type)
    const children = childrenOf(element)
    const [top] = path
    if (type !== undefined && children === 0) {
      if (type < 0 || type > physical.fixed) throw new Thrift.ThriftError(`has a column of the unknown type ${type}`)
      const precision = Thrift.int(element, elementField.precision)
      const logical = Thrift.struct(element, elementField.logical)
      const decimal = logical === undefined ? undefined : Thrift.struct(logical, logicalField.decimal)
      const digits = decimal === undefined ? precision : Thrift.int(decimal, 2)
      const kind = Thrift.int(element, elementField.converted)
      if ((decimal !== undefined || kind === converted.decimal) && digits !== undefined && digits > maxPrecision) {
        unreadable.set(top, `a decimal of ${digits} digits, more than the ${maxPrecision} that can be read`)
      }
      const nullable = Thrift.int(element, elementField.repetition) !== required
      leaves.push({ path, physical: type, repeated: many, nullable, converted: kind, logical, precision: digits })
    } else {
      const names = new Set<string>()
      for (let i = 0; i < children; i++) {
        const inner = visit(path, many)
        if (names.has(inner)) unreadable.set(top, `a group with two fields "${inner}"`)
        names.add(inner)
      }
    }
    return name
  }
  const names = new Set<string>()
  for (let left = childrenOf(root); left > 0; left--) {
    const element = next
    const leaf = leaves.length
    const name = visit([], false)
    if (names.has(name)) unreadable.set(name, "in the file twice")
    names.add(name)
    columns.push({ name, elements: [element, next], leaves: [leaf, leaves.length] })
  }
  if (next !== elements.length) throw new Thrift.ThriftError("has a schema that does not name all of its columns")
  return { columns, leaves, unreadable }
}

const maxPrecision = 76

/**
 * The footer in a form that the decoder accepts: columns of nulls have their present type name, and no decimal is
 * longer than it can be (such columns are {@link ParquetSchema.unreadable}).
 */
export const forDecoder = (footer: Thrift.Struct): Thrift.Struct => {
  let changed = false
  const elements = Thrift.structs(footer, fileSchema).map((element) => {
    const kind = Thrift.int(element, elementField.converted)
    const logical = Thrift.struct(element, elementField.logical)
    const decimal = logical === undefined ? undefined : Thrift.struct(logical, logicalField.decimal)
    const digits = (decimal === undefined ? undefined : Thrift.int(decimal, 2)) ?? Thrift.int(element, 8) ?? 0
    if (kind === converted.null) {
      changed = true
      return Thrift.set(element, [
        [elementField.converted, undefined],
        [elementField.logical, Thrift.structField(new Map([[logicalField.unknown, Thrift.structField(new Map())]]))]
      ])
    }
    if ((kind === converted.decimal || decimal !== undefined) && digits > maxPrecision) {
      changed = true
      return Thrift.set(element, [
        [elementField.converted, undefined],
        [elementField.logical, undefined]
      ])
    }
    return element
  })
  return changed ? Thrift.set(footer, [[fileSchema, Thrift.structList(elements)]]) : footer
}

/** How the writer ordered the values of a column for its minimum and maximum; `undefined` if that is not known. */
export const orderOf = ({ converted: kind, logical, physical: type }: Leaf): "signed" | "unsigned" | undefined => {
  const integer = logical === undefined ? undefined : Thrift.struct(logical, logicalField.integer)
  const unsigned =
    integer !== undefined ? integer.get(2)?.type === 2 : kind !== undefined && kind >= converted.uint8 && kind <= 14
  switch (type) {
    case physical.int32:
    case physical.int64:
      return unsigned ? "unsigned" : "signed"
    case physical.boolean:
    case physical.float:
    case physical.double:
      return "signed"
    case physical.bytes:
      return kind === converted.decimal || (logical !== undefined && logical.has(logicalField.decimal))
        ? undefined
        : "unsigned"
    default:
      return undefined
  }
}

/** The unit of a timestamp column, in Arrow's numbers; `undefined` for other columns. */
export const timeUnitOf = ({ converted: kind, logical, physical: type }: Leaf): number | undefined => {
  if (type !== physical.int64) return undefined
  const timestamp = logical === undefined ? undefined : Thrift.struct(logical, logicalField.timestamp)
  if (timestamp === undefined) {
    return logical !== undefined
      ? undefined
      : kind === converted.timestampMillis
        ? 1
        : kind === converted.timestampMicros
          ? 2
          : undefined
  }
  const unit = Thrift.struct(timestamp, 2)
  return unit?.has(1) === true ? 1 : unit?.has(2) === true ? 2 : unit?.has(3) === true ? 3 : undefined
}
