/** Bounds of the values of a column chunk: no value is less than the minimum or greater than the maximum. */
import { outside } from "../outside.ts"
import * as Thrift from "./thrift.ts"

export interface Bounds {
  readonly min: Uint8Array
  readonly max: Uint8Array
  readonly isMinExact: boolean
  readonly isMaxExact: boolean
}

// A footer with complete texts would be as long as the texts.
const most = 64

/** The beginning of the least or the greatest of some byte strings. */
class Extreme {
  readonly bytes = new Uint8Array(most)
  length = 0
  /** Whether the byte string is longer than that. */
  isCut = false

  set(from: Uint8Array, start: number, end: number): void {
    this.length = Math.min(end - start, most)
    this.bytes.set(from.subarray(start, start + this.length))
    this.isCut = end - start > most
  }

  /** How a byte string compares with this one, as far as this one is known. */
  compare(from: Uint8Array, start: number, end: number): number {
    const length = Math.min(end - start, this.length)
    for (let i = 0; i < length; i++) {
      const difference = (from[start + i] ?? outside(start + i)) - (this.bytes[i] ?? outside(i))
      if (difference !== 0) return difference
    }
    return Math.min(end - start, most) - this.length
  }
}

// The last byte that can be increased by one without making the text invalid: an ASCII byte, but not the last one of
// ASCII.
const lastRaisable = (bytes: Uint8Array): number => bytes.findLastIndex((byte) => byte < 0x7f)

/** Bounds of byte strings, which are ordered by their bytes. */
export class ByteBounds {
  private readonly least = new Extreme()
  private readonly greatest = new Extreme()
  private any = false

  add(bytes: Uint8Array, start: number, end: number): void {
    const { greatest, least } = this
    if (!this.any) {
      this.any = true
      least.set(bytes, start, end)
      greatest.set(bytes, start, end)
      return
    }
    if (least.compare(bytes, start, end) < 0) least.set(bytes, start, end)
    const above = greatest.compare(bytes, start, end)
    if (above > 0) greatest.set(bytes, start, end)
    else if (above === 0 && end - start > most) greatest.isCut = true
  }

  /** `undefined` without values, or if there is no short maximum. */
  take(): Bounds | undefined {
    const { any, greatest, least } = this
    this.any = false
    if (!any) return undefined
    const min = least.bytes.slice(0, least.length)
    const max = greatest.bytes.slice(0, greatest.length)
    if (!greatest.isCut) return { min, max, isMinExact: !least.isCut, isMaxExact: true }
    const at = lastRaisable(max)
    if (at < 0) return undefined
    max[at] = (max[at] ?? outside(at)) + 1
    return { min, max: max.subarray(0, at + 1), isMinExact: !least.isCut, isMaxExact: false }
  }
}

const bool = (value: boolean): Thrift.Field => ({ type: value ? 1 : 2 })

/** In the form of a chunk's metadata. */
export const statisticsOf = (nulls: number, bounds: Bounds | undefined): Thrift.Struct => {
  const statistics: Thrift.Struct = new Map([[3, Thrift.i64(nulls)]])
  return bounds === undefined
    ? statistics
    : Thrift.set(statistics, [
        [5, { type: 8, value: bounds.max }],
        [6, { type: 8, value: bounds.min }],
        [7, bool(bounds.isMaxExact)],
        [8, bool(bounds.isMinExact)]
      ])
}
