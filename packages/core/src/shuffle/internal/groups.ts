import { byteAt, elementAt, int32At, uint32At } from "../../codec/internal/elements.ts"

/** Twice as long, with the same beginning. */
export const grow = (array: Uint32Array): Uint32Array<ArrayBuffer> => {
  const grown = new Uint32Array(array.length * 2)
  grown.set(array)
  return grown
}

// All about a group lies in one line of a processor's cache: the hash of its key, the bytes of its key and
// where its first record is, its number, and how many records it has.
const WIDTH = 8
const LOW = 0
const HIGH = 1
const SIZE = 2
const BLOCK = 3
const OFFSET = 4
const LEADER = 5
const RECORDS = 6

/** The different keys of records in blocks, numbered as they come. */
export class Groups {
  count = 0
  private readonly blocks: ReadonlyArray<Buffer>
  private groups = new Uint32Array(32 * WIDTH)
  private slots = new Int32Array(64).fill(-1)

  constructor(blocks: ReadonlyArray<Buffer>) {
    this.blocks = blocks
  }

  /** Bytes of the arrays. */
  get held(): number {
    return 4 * (this.groups.length + this.slots.length)
  }

  highOf(group: number): number {
    return uint32At(this.groups, group * WIDTH + HIGH)
  }

  lowOf(group: number): number {
    return uint32At(this.groups, group * WIDTH + LOW)
  }

  /** Bytes of its key. */
  sizeOf(group: number): number {
    return uint32At(this.groups, group * WIDTH + SIZE)
  }

  /** Its first record. */
  leaderOf(group: number): number {
    return uint32At(this.groups, group * WIDTH + LEADER)
  }

  /** How many records it has. */
  recordsOf(group: number): number {
    return uint32At(this.groups, group * WIDTH + RECORDS)
  }

  /** The group of the next record, whose key is from `start` to `end` of a block and has this hash. */
  add(record: number, block: number, start: number, end: number, high: number, low: number): number {
    const { groups, slots } = this
    const bytes = elementAt(this.blocks, block)
    const mask = slots.length - 1
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const group = int32At(slots, slot)
      if (group < 0) {
        slots[slot] = this.count
        return this.open(record, block, start, end, high, low)
      }
      const at = group * WIDTH
      if (
        uint32At(groups, at + LOW) === low &&
        uint32At(groups, at + HIGH) === high &&
        uint32At(groups, at + SIZE) === end - start &&
        this.hasKey(at, bytes, start, end)
      ) {
        groups[at + RECORDS] = uint32At(groups, at + RECORDS) + 1
        return group
      }
    }
  }

  private hasKey(at: number, bytes: Buffer, start: number, end: number): boolean {
    const own = elementAt(this.blocks, uint32At(this.groups, at + BLOCK))
    let from = uint32At(this.groups, at + OFFSET)
    for (let i = start; i < end; i++) if (byteAt(own, from++) !== byteAt(bytes, i)) return false
    return true
  }

  private open(record: number, block: number, start: number, end: number, high: number, low: number): number {
    const group = this.count++
    const at = group * WIDTH
    if (at === this.groups.length) this.groups = grow(this.groups)
    const { groups } = this
    groups[at + LOW] = low
    groups[at + HIGH] = high
    groups[at + SIZE] = end - start
    groups[at + BLOCK] = block
    groups[at + OFFSET] = start
    groups[at + LEADER] = record
    groups[at + RECORDS] = 1
    if (2 * this.count > this.slots.length) this.spread()
    return group
  }

  // Twice as many slots.
  private spread(): void {
    const slots = new Int32Array(2 * this.slots.length).fill(-1)
    const mask = slots.length - 1
    for (let group = 0; group < this.count; group++) {
      let slot = this.lowOf(group) & mask
      while (int32At(slots, slot) >= 0) slot = (slot + 1) & mask
      slots[slot] = group
    }
    this.slots = slots
  }
}
