import type { Reader } from "../../codec/internal/bytes.ts"
import { byteAt, uint32At } from "../../codec/internal/elements.ts"
import { asciiLength } from "../../codec/internal/prefix.ts"
import { grow } from "./groups.ts"

/** Up to which byte of a string the heads know it. */
export const HEAD = 16

/**
 * The bytes after the prefix, up to the sixteenth, of ASCII strings that are this long. Records lie all over the memory,
 * and most strings of a sort differ before this; so their order is found without the records.
 */
export class Heads {
  private third = new Uint32Array(4)
  private fourth = new Uint32Array(4)
  private known = new Uint8Array(4)

  /** Bytes held. */
  get held(): number {
    return this.third.byteLength + this.fourth.byteLength + this.known.byteLength
  }

  /** Adds the encoded string at the reader's position. */
  add(n: number, reader: Reader): void {
    if (n >= this.known.length) {
      this.third = grow(this.third)
      this.fourth = grow(this.fourth)
      const known = new Uint8Array(this.third.length)
      known.set(this.known)
      this.known = known
    }
    if (asciiLength(reader) < HEAD) return
    const { bytes, position } = reader
    this.third[n] = bytes.readUInt32BE(position + 8)
    this.fourth[n] = bytes.readUInt32BE(position + 12)
    this.known[n] = 1
  }

  /** Whether the head of a string is known. */
  has(n: number): boolean {
    return byteAt(this.known, n) === 1
  }

  /** Bytes 8 to 12. */
  thirdOf(n: number): number {
    return uint32At(this.third, n)
  }

  /** Bytes 12 to 16. */
  fourthOf(n: number): number {
    return uint32At(this.fourth, n)
  }

  /** The order of two strings with equal prefixes; 0 if their heads do not tell. */
  compare(i: number, j: number): number {
    if (!this.has(i) || !this.has(j)) return 0
    return this.thirdOf(i) - this.thirdOf(j) || this.fourthOf(i) - this.fourthOf(j)
  }
}
