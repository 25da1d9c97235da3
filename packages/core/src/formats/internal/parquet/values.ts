/** Writes values that Parquet can hold, and says why it cannot hold others. */
/** The reason why a value cannot be written, and where in its column it is. */
export class Refused extends Error {
  override readonly name = "Refused"
  readonly value: unknown
  /** From the top: `.tags`, `[3]`. */
  path = ""
  constructor(detail: string, value: unknown) {
    super(detail)
    this.value = value
  }
}

export const isNone = (value: unknown): value is null | undefined => value === null || value === undefined

export const aNumber = (value: unknown): number => {
  if (typeof value !== "number") throw new Refused("is not a number", value)
  return value
}

export const aFloat32 = (value: unknown): number => {
  const number = aNumber(value)
  if (Number.isFinite(number) && !Number.isFinite(Math.fround(number))) {
    throw new Refused("is too large for a 32-bit float", value)
  }
  return number
}

export const anInt32 = (value: unknown): number => {
  if (typeof value === "number" && (value | 0) === value) return value
  throw new Refused("is not a 32-bit integer", value)
}

export const anInt64 = (value: unknown): bigint => {
  if (typeof value === "bigint" && BigInt.asIntN(64, value) === value) return value
  throw new Refused("is not a 64-bit integer", value)
}

export const aTime = (value: unknown): bigint => {
  if (!(value instanceof Date)) throw new Refused("is not a Date", value)
  const time = value.getTime()
  if (Number.isNaN(time)) throw new Refused("is not a valid date", value)
  return BigInt(time)
}

export const aBoolean = (value: unknown): number => {
  if (typeof value !== "boolean") throw new Refused("is not a boolean", value)
  return value ? 1 : 0
}

/**
 * Writes a value at a place of a buffer, and returns how many bytes it took. `room` makes room for a number of bytes
 * from there on.
 */
export type WriteValue = (value: unknown, room: (bytes: number) => Buffer, at: number) => number

// If the size of a text is not known, three bytes per character are enough.
const shortText = 64 * 1024

export const writeText: WriteValue = (value, room, to) => {
  if (typeof value !== "string") throw new Refused("is not a string", value)
  // UTF-8 cannot write half of a surrogate pair; another character would take its place.
  if (!value.isWellFormed()) throw new Refused("contains half a surrogate pair, which UTF-8 cannot encode", value)
  const most = value.length <= shortText ? value.length * 3 : Buffer.byteLength(value)
  return room(most).write(value, to, "utf8")
}

export const writeBytes: WriteValue = (value, room, to) => {
  if (!(value instanceof Uint8Array)) throw new Refused("is not a Uint8Array", value)
  room(value.length).set(value, to)
  return value.length
}
