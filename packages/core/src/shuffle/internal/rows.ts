import { none } from "../../codec/Codec.ts"
import { Malformed, Reader } from "../../codec/internal/bytes.ts"
import { elementAt, outside, uint32At } from "../../codec/internal/elements.ts"
import { skipPlain } from "../../codec/internal/decode.ts"
import { asciiLength, prefix } from "../../codec/internal/prefix.ts"
import type { Block } from "./blocks.ts"
import { sortDigits } from "./digits.ts"
import { grow, Groups } from "./groups.ts"
import { HEAD, Heads } from "./heads.ts"
import { compareKeys, type Kind, type Layout, point, prefixOf } from "./keys.ts"

// The next six bytes as a number, with zeros after the end.
const digitAt = (bytes: Buffer, at: number, length: number): number => {
  if (length >= 6) return bytes.readUIntBE(at, 6)
  return length <= 0 ? 0 : bytes.readUIntBE(at, length) * 2 ** (8 * (6 - length))
}

/** Records as bytes, with the position of each. */
export class Rows<in out K> {
  readonly kind: Kind<K>
  readonly layout: Layout<K>
  count = 0
  bytes = 0
  blocks: Array<Buffer> = []
  /** The input that each block came from. */
  inputs: Array<number> = []
  where = new Uint32Array(256)
  offset = new Uint32Array(256)
  /** The two halves of the prefix of each key; not by hash. */
  private high = new Uint32Array(256)
  private low = new Uint32Array(256)
  /** By string only. */
  private heads = new Heads()
  /** The group of each record, and the groups; by hash only. */
  private groupOf = new Uint32Array(256)
  private groups = new Groups(this.blocks)
  /** Where the groups begin in the result of {@link sorted}; by hash only. */
  starts = new Uint32Array(0)
  /** Decoded keys, for an order that cannot work on bytes. */
  keys: Array<K> = []

  constructor(kind: Kind<K>, layout: Layout<K>) {
    this.kind = kind
    this.layout = layout
  }

  /**
   * Bytes held: the blocks, the arrays, the arrays that {@link sorted} will make, and for decoded keys three times
   * their encoded size.
   */
  get held(): number {
    const { bytes, count, groups, heads, where } = this
    const { name } = this.kind
    if (name === "hash") return bytes + 12 * where.length + 4 * count + groups.held + 36 * groups.count
    return bytes + 16 * where.length + heads.held + 24 * count + (name === "order" ? 2 * bytes + 32 * count : 0)
  }

  add(block: Block, input: number): void {
    const reader = new Reader(block.bytes)
    const { key, values } = this.layout
    const value = elementAt(values, input)
    const keyed = key.id !== none.id
    const valued = value.id !== none.id
    const { kind } = this
    const index = this.blocks.length
    // The keys of the groups are compared with those of this block while it is read.
    this.blocks.push(block.bytes)
    this.inputs.push(input)
    for (let i = 0; i < block.rows; i++) {
      if (this.count === this.where.length) {
        this.grow()
      }
      const start = reader.position
      const n = this.count++
      this.where[n] = index
      this.offset[n] = start
      if (kind.name === "order") this.keys.push(key.read(reader))
      else if (keyed) {
        skipPlain(reader)
        const end = reader.position
        prefixOf(kind, reader, start, end)
        if (kind.name === "string") {
          reader.position = start
          this.heads.add(n, reader)
        }
        reader.position = end
        if (kind.name === "hash") this.groupOf[n] = this.groups.add(n, index, start, end, prefix.high, prefix.low)
        else {
          this.high[n] = prefix.high
          this.low[n] = prefix.low
        }
      } else if (kind.name === "hash") this.groupOf[n] = this.groups.add(n, index, start, start, 0, 0)
      if (valued) skipPlain(reader)
    }
    if (reader.position !== reader.end) throw new Malformed("a block has more bytes than its rows")
    this.bytes += block.bytes.length
  }

  private grow(): void {
    this.where = grow(this.where)
    this.offset = grow(this.offset)
    if (this.kind.name === "hash") this.groupOf = grow(this.groupOf)
    else {
      this.high = grow(this.high)
      this.low = grow(this.low)
    }
  }

  /** The block that holds a record. */
  blockOf(n: number): Buffer {
    return this.blocks[uint32At(this.where, n)] ?? outside(n)
  }

  /** The input a record came from. */
  inputOf(n: number): number {
    return this.inputs[uint32At(this.where, n)] ?? outside(n)
  }

  /** The upper half of the prefix, or of the hash, of a record's key. */
  highOf(n: number): number {
    return this.kind.name === "hash" ? this.groups.highOf(uint32At(this.groupOf, n)) : uint32At(this.high, n)
  }

  /** The lower half. */
  lowOf(n: number): number {
    return this.kind.name === "hash" ? this.groups.lowOf(uint32At(this.groupOf, n)) : uint32At(this.low, n)
  }

  /** Where the value of a record begins; by hash only. */
  valueOf(n: number): number {
    return uint32At(this.offset, n) + this.groups.sizeOf(uint32At(this.groupOf, n))
  }

  /** Where a record ends: at the next one, or with its block. */
  endOf(n: number): number {
    const next = n + 1
    return next < this.count && uint32At(this.where, next) === uint32At(this.where, n)
      ? uint32At(this.offset, next)
      : this.blockOf(n).length
  }

  /** Moves a reader to the beginning of a record. */
  point(reader: Reader, n: number): void {
    point(reader, this.blockOf(n), uint32At(this.offset, n))
  }

  compare(i: number, j: number): number {
    const { kind, offset } = this
    const highI = this.highOf(i)
    const highJ = this.highOf(j)
    if (highI !== highJ) return highI < highJ ? -1 : 1
    const lowI = this.lowOf(i)
    const lowJ = this.lowOf(j)
    if (lowI !== lowJ) return lowI < lowJ ? -1 : 1
    if (kind.name === "order") return kind.order(elementAt(this.keys, i), elementAt(this.keys, j))
    if (kind.name === "number") return 0
    if (kind.name === "string") {
      const order = this.heads.compare(i, j)
      if (order !== 0) return order
    }
    const { key } = this.layout
    return compareKeys(kind, key, this.blockOf(i), uint32At(offset, i), this.blockOf(j), uint32At(offset, j))
  }

  /** The records in order; equal keys in the order in which they came. */
  sorted(): Uint32Array {
    switch (this.kind.name) {
      case "hash":
        return this.grouped()
      case "string":
        return this.byDigits()
      default:
        return this.byComparing(Uint32Array.from({ length: this.count }, (_, i) => i))
    }
  }

  // A merge sort is stable, and works even if an `Order` contradicts itself.
  private byComparing(from: Uint32Array<ArrayBuffer>): Uint32Array {
    const count = from.length
    const PIECE = 12
    for (let start = 0; start < count; start += PIECE) {
      const end = Math.min(start + PIECE, count)
      for (let i = start + 1; i < end; i++) {
        const item = uint32At(from, i)
        let j = i - 1
        while (j >= start && this.compare(uint32At(from, j), item) > 0) {
          from[j + 1] = uint32At(from, j)
          j--
        }
        from[j + 1] = item
      }
    }
    let to = new Uint32Array(count)
    for (let width = PIECE; width < count; width *= 2) {
      for (let start = 0; start < count; start += 2 * width) {
        const middle = Math.min(start + width, count)
        const end = Math.min(start + 2 * width, count)
        if (middle === end || this.compare(uint32At(from, middle - 1), uint32At(from, middle)) <= 0) {
          to.set(from.subarray(start, end), start)
          continue
        }
        let left = start
        let right = middle
        let out = start
        while (left < middle && right < end) {
          const one = uint32At(from, left)
          const other = uint32At(from, right)
          if (this.compare(one, other) <= 0) {
            to[out++] = one
            left++
          } else {
            to[out++] = other
            right++
          }
        }
        while (left < middle) to[out++] = uint32At(from, left++)
        while (right < end) to[out++] = uint32At(from, right++)
      }
      const swap = from
      from = to
      to = swap
    }
    return from
  }

  // Only the groups are sorted, and then the records are distributed.
  private grouped(): Uint32Array {
    const { count, groupOf, groups } = this
    // By group, where its next record goes.
    const next = new Uint32Array(groups.count)
    const starts = new Uint32Array(groups.count)
    let at = 0
    for (const [n, group] of this.sortedGroups().entries()) {
      next[group] = starts[n] = at
      at += groups.recordsOf(group)
    }
    this.starts = starts
    const order = new Uint32Array(count)
    for (let i = 0; i < count; i++) {
      const group = uint32At(groupOf, i)
      const place = uint32At(next, group)
      order[place] = i
      next[group] = place + 1
    }
    return order
  }

  // By hash, and by bytes where hashes are equal: an order that another process has too.
  private sortedGroups(): Uint32Array {
    const { groups } = this
    const { count } = groups
    const order = new Uint32Array(count)
    const digits = new Float64Array(count)
    for (let group = 0; group < count; group++) {
      order[group] = group
      digits[group] = groups.highOf(group) * 65536 + (groups.lowOf(group) >>> 16)
    }
    sortDigits(order, digits, new Uint32Array(count), new Float64Array(count), 0, count)
    for (let i = 0; i < count;) {
      const digit = digits[i]
      let j = i + 1
      while (j < count && digits[j] === digit) j++
      if (j - i > 1) {
        const equal = Array.from(order.subarray(i, j))
        equal.sort((x, y) => this.compare(groups.leaderOf(x), groups.leaderOf(y)))
        order.set(equal, i)
      }
      i = j
    }
    return order
  }

  // Strings, six bytes at a time: numbers are sorted, and only records that are equal so far are compared further.
  private byDigits(): Uint32Array {
    const { count } = this
    const order = new Uint32Array(count)
    const digits = new Float64Array(count)
    for (let i = 0; i < count; i++) {
      order[i] = i
      digits[i] = uint32At(this.high, i) * 65536 + (uint32At(this.low, i) >>> 16)
    }
    const spare = new Uint32Array(count)
    const spareDigits = new Float64Array(count)
    // Ranges of records that are equal up to a depth.
    const todo: Array<readonly [start: number, end: number, depth: number]> = [[0, count, 0]]
    for (let range = todo.pop(); range !== undefined; range = todo.pop()) {
      const [start, end, depth] = range
      let next = depth + 6
      if (depth > 0 && depth < HEAD && this.digitsOfHeads(order, digits, start, end, depth)) {
        next = Math.min(next, HEAD)
      } else if (depth > 0 && !this.digitsOfRecords(order, digits, start, end, depth)) {
        order.set(this.byComparing(order.slice(start, end)), start)
        continue
      }
      sortDigits(order, digits, spare, spareDigits, start, end)
      for (let i = start; i < end;) {
        const digit = digits[i]
        let j = i + 1
        while (j < end && digits[j] === digit) j++
        if (j - i > 1) {
          if (j - i < 4) order.set(this.byComparing(order.slice(i, j)), i)
          else todo.push([i, j, next])
        }
        i = j
      }
    }
    return order
  }

  // The digits of a range at a depth of 6 or 12, if the heads of all its strings are known.
  private digitsOfHeads(order: Uint32Array, digits: Float64Array, start: number, end: number, depth: number): boolean {
    const { heads, low } = this
    for (let i = start; i < end; i++) {
      const n = uint32At(order, i)
      if (!heads.has(n)) return false
      digits[i] = depth === 6 ? (uint32At(low, n) & 0xffff) * 2 ** 32 + heads.thirdOf(n) : heads.fourthOf(n)
    }
    return true
  }

  // The digits at any depth. `false` if a string ends there, because then it can differ from others only in zeros at the
  // end, or has other characters than ASCII, because beyond the first eight bytes only those may be compared by bytes.
  // Both are rare enough to be compared as a whole.
  private digitsOfRecords(
    order: Uint32Array,
    digits: Float64Array,
    start: number,
    end: number,
    depth: number
  ): boolean {
    const reader = new Reader(Buffer.alloc(0))
    for (let i = start; i < end; i++) {
      this.point(reader, uint32At(order, i))
      const length = asciiLength(reader)
      if (length <= depth) return false
      digits[i] = digitAt(reader.bytes, reader.position + depth, length - depth)
    }
    return true
  }

  clear(): void {
    this.count = 0
    this.bytes = 0
    this.blocks = []
    this.inputs = []
    this.keys = []
    this.where = new Uint32Array(256)
    this.offset = new Uint32Array(256)
    this.high = new Uint32Array(256)
    this.low = new Uint32Array(256)
    this.heads = new Heads()
    this.groupOf = new Uint32Array(256)
    this.groups = new Groups(this.blocks)
  }
}
