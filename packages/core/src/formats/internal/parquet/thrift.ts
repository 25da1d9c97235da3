/**
 * Thrift's compact protocol, read into a tree and written back, including unknown fields: enough to take a Parquet
 * footer apart and to build another. Every length is checked against the bytes that are left; one that does not fit
 * throws {@link ThriftError}.
 */

export class ThriftError extends Error {
  override readonly name = "ThriftError"
}

export type Struct = Map<number, Field>

export type Field =
  | { readonly type: 1 | 2 }
  | { readonly type: 3; readonly value: number }
  /** i16, i32, i64. */
  | { readonly type: 4 | 5 | 6; readonly value: bigint }
  | { readonly type: 7 | 8; readonly value: Uint8Array }
  | { readonly type: 9 | 10; readonly element: number; readonly value: ReadonlyArray<Field> }
  | { readonly type: 11; readonly key: number; readonly element: number; readonly value: ReadonlyArray<Field> }
  | { readonly type: 12; readonly value: Struct }

const maxDepth = 64

class Reader {
  readonly bytes: Uint8Array
  at = 0
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
  byte(): number {
    const value = this.bytes[this.at++]
    if (value === undefined) throw new ThriftError("ends too early")
    return value
  }
  varint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte()
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new ThriftError("has a number of more than 64 bits")
  }
  size(): number {
    const size = this.varint()
    // An element takes at least one byte, so there cannot be more.
    if (size > BigInt(this.bytes.length - this.at)) throw new ThriftError("says that it has more bytes than it has")
    return Number(size)
  }
  zigzag(): bigint {
    const value = this.varint()
    return (value >> 1n) ^ -(value & 1n)
  }
  take(length: number): Uint8Array {
    if (this.at + length > this.bytes.length) throw new ThriftError("ends too early")
    return this.bytes.subarray(this.at, (this.at += length))
  }
  struct(depth: number): Struct {
    if (depth > maxDepth) throw new ThriftError("is nested too deeply")
    const fields: Struct = new Map()
    let id = 0
    for (;;) {
      const header = this.byte()
      if (header === 0) return fields
      id = header >> 4 === 0 ? Number(this.zigzag()) : id + (header >> 4)
      const type = header & 0x0f
      fields.set(id, type === 1 || type === 2 ? { type } : this.value(type, depth))
    }
  }
  value(type: number, depth: number): Field {
    if (depth > maxDepth) throw new ThriftError("is nested too deeply")
    switch (type) {
      // Only in lists and maps; in a struct the header says which.
      case 1:
      case 2:
        return { type: this.byte() === 1 ? 1 : 2 }
      case 3:
        return { type, value: this.byte() }
      case 4:
      case 5:
      case 6:
        return { type, value: this.zigzag() }
      case 7:
        return { type, value: this.take(8) }
      case 8:
        return { type, value: this.take(this.size()) }
      case 9:
      case 10: {
        const header = this.byte()
        const element = header & 0x0f
        const size = header >> 4 === 15 ? this.size() : header >> 4
        return { type, element, value: Array.from({ length: size }, () => this.value(element, depth + 1)) }
      }
      case 11: {
        const size = this.size()
        const types = size === 0 ? 0 : this.byte()
        const key = types >> 4
        const element = types & 0x0f
        const value: Array<Field> = []
        for (let i = 0; i < size; i++) value.push(this.value(key, depth + 1), this.value(element, depth + 1))
        return { type, key, element, value }
      }
      case 12:
        return { type, value: this.struct(depth + 1) }
      default:
        throw new ThriftError(`has a field of the unknown type ${type}`)
    }
  }
}

export const read = (bytes: Uint8Array): Struct => new Reader(bytes).struct(0)

/** A struct and how many bytes it takes; more may follow. */
export const readPrefix = (bytes: Uint8Array): { readonly struct: Struct; readonly length: number } => {
  const reader = new Reader(bytes)
  const struct = reader.struct(0)
  return { struct, length: reader.at }
}

const writeVarint = (out: Array<number>, value: bigint): void => {
  let rest = BigInt.asUintN(64, value)
  while (rest >= 0x80n) {
    out.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  out.push(Number(rest))
}

const writeZigzag = (out: Array<number>, value: bigint): void => writeVarint(out, (value << 1n) ^ (value >> 63n))

const writeBytes = (out: Array<number>, bytes: Uint8Array): void => {
  for (const byte of bytes) out.push(byte)
}

const writeStruct = (out: Array<number>, fields: Struct): void => {
  let last = 0
  for (const [id, field] of [...fields].toSorted((a, b) => a[0] - b[0])) {
    const delta = id - last
    if (delta > 0 && delta < 16) {
      out.push((delta << 4) | field.type)
    } else {
      out.push(field.type)
      writeZigzag(out, BigInt(id))
    }
    if (field.type !== 1 && field.type !== 2) writeValue(out, field)
    last = id
  }
  out.push(0)
}

const writeValue = (out: Array<number>, field: Field): void => {
  switch (field.type) {
    case 1:
    case 2:
      // falls through: one byte each
      out.push(field.type)
      break
    case 3:
      out.push(field.value)
      break
    case 4:
    case 5:
    case 6:
      writeZigzag(out, field.value)
      break
    case 7:
      writeBytes(out, field.value)
      break
    case 8:
      writeVarint(out, BigInt(field.value.length))
      writeBytes(out, field.value)
      break
    case 9:
    case 10: {
      const size = field.value.length
      out.push((Math.min(size, 15) << 4) | field.element)
      if (size >= 15) writeVarint(out, BigInt(size))
      for (const value of field.value) writeValue(out, value)
      break
    }
    case 11:
      writeVarint(out, BigInt(field.value.length / 2))
      if (field.value.length > 0) out.push((field.key << 4) | field.element)
      for (const value of field.value) writeValue(out, value)
      break
    case 12:
      writeStruct(out, field.value)
      break
  }
}

export const write = (fields: Struct): Uint8Array => {
  const out: Array<number> = []
  writeStruct(out, fields)
  return Uint8Array.from(out)
}

/** An i16, i32 or i64, if it exists. */
export const int = (fields: Struct, id: number): number | undefined => {
  const field = fields.get(id)
  if (field === undefined || (field.type !== 4 && field.type !== 5 && field.type !== 6)) return undefined
  const value = Number(field.value)
  if (!Number.isSafeInteger(value)) throw new ThriftError(`has the number ${field.value}, which is impossibly large`)
  return value
}

export const binary = (fields: Struct, id: number): Uint8Array | undefined => {
  const field = fields.get(id)
  return field !== undefined && field.type === 8 ? field.value : undefined
}

/** A string; empty if it is missing. */
export const text = (fields: Struct, id: number): string => Buffer.from(binary(fields, id) ?? []).toString("utf8")

/** The elements of a list; none if it is missing. */
export const list = (fields: Struct, id: number): ReadonlyArray<Field> => {
  const field = fields.get(id)
  return field !== undefined && field.type === 9 ? field.value : []
}

export const structs = (fields: Struct, id: number): ReadonlyArray<Struct> =>
  list(fields, id).flatMap((field) => (field.type === 12 ? [field.value] : []))

export const struct = (fields: Struct, id: number): Struct | undefined => {
  const field = fields.get(id)
  return field !== undefined && field.type === 12 ? field.value : undefined
}

/** A copy with one field set, or removed if `field` is `undefined`. */
export const set = (
  fields: Struct,
  changes: ReadonlyArray<readonly [id: number, field: Field | undefined]>
): Struct => {
  const copy = new Map(fields)
  for (const [id, field] of changes) {
    if (field === undefined) copy.delete(id)
    else copy.set(id, field)
  }
  return copy
}

export const i64 = (value: number): Field => ({ type: 6, value: BigInt(value) })

export const i32 = (value: number): Field => ({ type: 5, value: BigInt(value) })

export const utf8 = (text: string): Field => ({ type: 8, value: Buffer.from(text) })

export const structField = (value: Struct): Field => ({ type: 12, value })

export const structList = (values: ReadonlyArray<Struct>): Field => ({
  type: 9,
  element: 12,
  value: values.map((value) => ({ type: 12, value }))
})
