import { Effect, Order } from "effect"
import type { Codec } from "../../codec/Codec.ts"
import { none } from "../../codec/Codec.ts"
import { Corrupt, type Reason } from "./model.ts"
import { type Block, Blocks, storeAll, storedLength } from "./blocks.ts"
import { Malformed, Reader, Writer } from "../../codec/internal/bytes.ts"
import {
  asciiLength,
  compareStrings,
  hashBytes,
  numberPrefix,
  prefix,
  readPlain,
  skipPlain,
  stringPrefix
} from "../../codec/internal/plain.ts"
import type { Claim, SpillFile, Store } from "./store.ts"

/** How keys are put in order. */
export interface Kind {
  readonly name: "hash" | "string" | "number" | "order"
  readonly order: (self: unknown, that: unknown) => number
}

/** Equal keys together, in no order that means anything: by two hashes, then by bytes. */
export const byHash: Kind = { name: "hash", order: () => 0 }

/** By an order. Those of strings and numbers work on bytes. */
export const byOrder = <K>(order: Order.Order<K>): Kind => {
  const given: unknown = order
  return {
    name: given === Order.String ? "string" : given === Order.Number ? "number" : "order",
    // Keys come out of the codec of the order's own type.
    order: (self, that) => order(self as K, that as K)
  }
}

/** Bytes of the encodings an operator meets: what a record consists of. */
export interface Layout {
  readonly key: Codec<unknown>
  /** By input. */
  readonly values: ReadonlyArray<Codec<unknown>>
}

const skip = (codec: Codec<unknown>, reader: Reader): void => {
  // Every codec but `none` writes plain data.
  if (codec.id !== none.id) skipPlain(reader)
}

const a = new Reader(Buffer.alloc(0))
const b = new Reader(Buffer.alloc(0))

const point = (reader: Reader, bytes: Buffer, position: number): void => {
  reader.bytes = bytes
  reader.position = position
  reader.end = bytes.length
  reader.depth = 0
}

/** Compares keys whose prefixes are equal. `a` and `b` stand at the keys. */
const compareKeys = (kind: Kind, key: Codec<unknown>): number => {
  switch (kind.name) {
    case "string":
      return compareStrings(a, b)
    case "number":
      return 0
    case "order":
      return kind.order(key.read(a), key.read(b))
    case "hash": {
      const startA = a.position
      const startB = b.position
      skip(key, a)
      skip(key, b)
      const lengthA = a.position - startA
      const lengthB = b.position - startB
      const length = lengthA < lengthB ? lengthA : lengthB
      const bytesA = a.bytes
      const bytesB = b.bytes
      for (let i = 0; i < length; i++) {
        const difference = bytesA[startA + i] - bytesB[startB + i]
        if (difference !== 0) return difference
      }
      return lengthA - lengthB
    }
  }
}

/** Computes the prefix of the key between two positions of a buffer, and leaves `reader` anywhere. */
const prefixOf = (kind: Kind, reader: Reader, start: number, end: number): void => {
  switch (kind.name) {
    case "hash":
      return hashBytes(reader.bytes, start, end)
    case "string":
      reader.position = start
      return stringPrefix(reader)
    case "number":
      reader.position = start
      return numberPrefix(Number(readPlain(reader)))
    case "order":
      prefix.high = 0
      prefix.low = 0
  }
}

const grow = (array: Uint32Array): Uint32Array<ArrayBuffer> => {
  const grown = new Uint32Array(array.length * 2)
  grown.set(array)
  return grown
}

const digitAt = (bytes: Uint8Array, at: number, length: number): number => {
  if (length >= 6) {
    return (
      ((bytes[at] << 8) | bytes[at + 1]) * 4294967296 +
      (((bytes[at + 2] << 24) | (bytes[at + 3] << 16) | (bytes[at + 4] << 8) | bytes[at + 5]) >>> 0)
    )
  }
  let digit = 0
  for (let i = 0; i < 6; i++) digit = digit * 256 + (i < length ? bytes[at + i] : 0)
  return digit
}

// Sorts a range by its digits, stable: insertion within short pieces, then merges.
const sortDigits = (
  order: Uint32Array,
  digits: Float64Array,
  spare: Uint32Array,
  spareDigits: Float64Array,
  start: number,
  end: number
): void => {
  const PIECE = 16
  for (let from = start; from < end; from += PIECE) {
    const to = Math.min(from + PIECE, end)
    for (let i = from + 1; i < to; i++) {
      const digit = digits[i]
      const item = order[i]
      let j = i - 1
      while (j >= from && digits[j] > digit) {
        digits[j + 1] = digits[j]
        order[j + 1] = order[j]
        j--
      }
      digits[j + 1] = digit
      order[j + 1] = item
    }
  }
  let fromOrder = order
  let fromDigits = digits
  let toOrder = spare
  let toDigits = spareDigits
  for (let width = PIECE; width < end - start; width *= 2) {
    for (let from = start; from < end; from += 2 * width) {
      const middle = Math.min(from + width, end)
      const to = Math.min(from + 2 * width, end)
      let left = from
      let right = middle
      for (let out = from; out < to; out++) {
        if (right >= to || (left < middle && fromDigits[left] <= fromDigits[right])) {
          toDigits[out] = fromDigits[left]
          toOrder[out] = fromOrder[left++]
        } else {
          toDigits[out] = fromDigits[right]
          toOrder[out] = fromOrder[right++]
        }
      }
    }
    const swapOrder = fromOrder
    const swapDigits = fromDigits
    fromOrder = toOrder
    fromDigits = toDigits
    toOrder = swapOrder
    toDigits = swapDigits
  }
  if (fromOrder !== order) {
    order.set(fromOrder.subarray(start, end), start)
    digits.set(fromDigits.subarray(start, end), start)
  }
}

/** Records as bytes, and where each begins. */
export class Rows {
  readonly kind: Kind
  readonly layout: Layout
  count = 0
  bytes = 0
  blocks: Array<Buffer> = []
  /** The input each block came from. */
  inputs: Array<number> = []
  where = new Uint32Array(256)
  offset = new Uint32Array(256)
  high = new Uint32Array(256)
  low = new Uint32Array(256)
  /** Bytes of each key. */
  size = new Uint32Array(256)
  /** Where the groups begin in what {@link sorted} gave; by hash only. */
  starts = new Uint32Array(0)
  /** Decoded keys, for an order that bytes do not have. */
  keys: Array<unknown> = []

  constructor(kind: Kind, layout: Layout) {
    this.kind = kind
    this.layout = layout
  }

  /**
   * Bytes held: the blocks, the arrays, those that {@link sorted} will make, and three times their encoded size for decoded keys.
   */
  get held(): number {
    return (
      this.bytes +
      24 * this.where.length +
      24 * this.count +
      (this.kind.name === "order" ? 2 * this.bytes + 32 * this.count : 0)
    )
  }

  add(block: Block, input: number): void {
    const reader = new Reader(block.bytes)
    const { key, values } = this.layout
    const value = values[input]
    const keyed = key.id !== none.id
    const valued = value.id !== none.id
    const { kind } = this
    const index = this.blocks.length
    for (let i = 0; i < block.rows; i++) {
      if (this.count === this.where.length) {
        this.where = grow(this.where)
        this.offset = grow(this.offset)
        this.high = grow(this.high)
        this.low = grow(this.low)
        this.size = grow(this.size)
      }
      const start = reader.position
      const n = this.count++
      this.where[n] = index
      this.offset[n] = start
      if (kind.name === "order") this.keys.push(key.read(reader))
      else if (keyed) {
        skipPlain(reader)
        const end = reader.position
        if (kind.name === "hash") hashBytes(block.bytes, start, end)
        else {
          prefixOf(kind, reader, start, end)
          reader.position = end
        }
        this.high[n] = prefix.high
        this.low[n] = prefix.low
        this.size[n] = end - start
      }
      if (valued) skipPlain(reader)
    }
    if (reader.position !== reader.end) throw new Malformed("a block has more than its rows")
    this.blocks.push(block.bytes)
    this.inputs.push(input)
    this.bytes += block.bytes.length
  }

  compare(i: number, j: number): number {
    const highI = this.high[i]
    const highJ = this.high[j]
    if (highI !== highJ) return highI < highJ ? -1 : 1
    const lowI = this.low[i]
    const lowJ = this.low[j]
    if (lowI !== lowJ) return lowI < lowJ ? -1 : 1
    if (this.kind.name === "order") return this.kind.order(this.keys[i], this.keys[j])
    if (this.kind.name === "number") return 0
    point(a, this.blocks[this.where[i]], this.offset[i])
    point(b, this.blocks[this.where[j]], this.offset[j])
    return compareKeys(this.kind, this.layout.key)
  }

  /** The records in order, equal keys as they came. */
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

  // By merges: stable, and an order that contradicts itself cannot lead it astray.
  private byComparing(from: Uint32Array<ArrayBuffer>): Uint32Array {
    const count = from.length
    const PIECE = 12
    for (let start = 0; start < count; start += PIECE) {
      const end = Math.min(start + PIECE, count)
      for (let i = start + 1; i < end; i++) {
        const item = from[i]
        let j = i - 1
        while (j >= start && this.compare(from[j], item) > 0) {
          from[j + 1] = from[j]
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
        if (middle === end || this.compare(from[middle - 1], from[middle]) <= 0) {
          to.set(from.subarray(start, end), start)
          continue
        }
        let left = start
        let right = middle
        let out = start
        while (left < middle && right < end) {
          to[out++] = this.compare(from[left], from[right]) <= 0 ? from[left++] : from[right++]
        }
        while (left < middle) to[out++] = from[left++]
        while (right < end) to[out++] = from[right++]
      }
      const swap = from
      from = to
      to = swap
    }
    return from
  }

  private sameKey(i: number, j: number): boolean {
    const size = this.size[i]
    if (size !== this.size[j]) return false
    const bytesI = this.blocks[this.where[i]]
    const bytesJ = this.blocks[this.where[j]]
    const startI = this.offset[i]
    const startJ = this.offset[j]
    for (let k = 0; k < size; k++) if (bytesI[startI + k] !== bytesJ[startJ + k]) return false
    return true
  }

  // Every record finds its group in a hash table, only the groups are sorted, and the records are then dealt out.
  private grouped(): Uint32Array {
    const { count, high, low } = this
    let size = 1024
    while (size < 2 * count) size *= 2
    const mask = size - 1
    const slots = new Int32Array(size).fill(-1)
    const groupOf = new Int32Array(count)
    const leaders: Array<number> = []
    const sizes: Array<number> = []
    for (let i = 0; i < count; i++) {
      let slot = low[i] & mask
      for (;;) {
        const group = slots[slot]
        if (group < 0) {
          slots[slot] = groupOf[i] = leaders.length
          leaders.push(i)
          sizes.push(1)
          break
        }
        const leader = leaders[group]
        if (low[leader] === low[i] && high[leader] === high[i] && this.sameKey(leader, i)) {
          groupOf[i] = group
          sizes[group]++
          break
        }
        slot = (slot + 1) & mask
      }
    }
    const next = new Uint32Array(leaders.length)
    const starts = new Uint32Array(leaders.length)
    let at = 0
    let n = 0
    for (const leader of this.byComparing(Uint32Array.from(leaders))) {
      const group = groupOf[leader]
      next[group] = starts[n++] = at
      at += sizes[group]
    }
    this.starts = starts
    const order = new Uint32Array(count)
    for (let i = 0; i < count; i++) order[next[groupOf[i]]++] = i
    return order
  }

  // Strings, six bytes at a time: numbers are sorted, and only records that are equal so far are looked at again.
  private byDigits(): Uint32Array {
    const { count } = this
    const order = new Uint32Array(count)
    const digits = new Float64Array(count)
    for (let i = 0; i < count; i++) {
      order[i] = i
      digits[i] = this.high[i] * 65536 + (this.low[i] >>> 16)
    }
    const spare = new Uint32Array(count)
    const spareDigits = new Float64Array(count)
    const reader = new Reader(Buffer.alloc(0))
    // Ranges of records that are equal up to a depth.
    const todo: Array<readonly [start: number, end: number, depth: number]> = [[0, count, 0]]
    for (let range = todo.pop(); range !== undefined; range = todo.pop()) {
      const [start, end, depth] = range
      if (depth > 0) {
        let ended = 0
        for (let i = start; i < end; i++) {
          const n = order[i]
          point(reader, this.blocks[this.where[n]], this.offset[n])
          const length = asciiLength(reader)
          // Only characters of one byte may be compared by bytes beyond the first eight.
          if (length < 0) {
            ended = -1
            break
          }
          if (length <= depth) ended++
          digits[i] = digitAt(reader.bytes, reader.position + depth, Math.min(length - depth, 6))
        }
        if (ended !== 0) {
          // Strings that end here differ in zeros at the end at most: rare enough to be compared as a whole, as are others.
          order.set(this.byComparing(order.slice(start, end)), start)
          continue
        }
      }
      sortDigits(order, digits, spare, spareDigits, start, end)
      for (let i = start; i < end;) {
        const digit = digits[i]
        let j = i + 1
        while (j < end && digits[j] === digit) j++
        if (j - i > 1) {
          if (j - i < 4) order.set(this.byComparing(order.slice(i, j)), i)
          else todo.push([i, j, depth + 6])
        }
        i = j
      }
    }
    return order
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
    this.size = new Uint32Array(256)
  }
}

/** A sorted piece of the spill file. */
export interface Run {
  readonly offset: number
  readonly length: number
}

/** Stands at one record after another of a run, or of sorted rows in memory. */
export class Cursor {
  bytes: Buffer = Buffer.alloc(0)
  high = 0
  low = 0
  input = 0
  key: unknown
  start = 0
  keyEnd = 0
  end = 0
  /** Place among the cursors: equal keys come in this order. */
  readonly rank: number
  private readonly kind: Kind
  private readonly layout: Layout
  private readonly rows: Rows | undefined
  private readonly order: Uint32Array | undefined
  private readonly run: Blocks | undefined
  private readonly reader = new Reader(Buffer.alloc(0))
  private next = 0
  private left = 0

  constructor(rank: number, rows: Rows, order: Uint32Array | undefined, run: Blocks | undefined) {
    this.rank = rank
    this.kind = rows.kind
    this.layout = rows.layout
    this.order = order
    this.rows = order === undefined ? undefined : rows
    this.run = run
  }

  /** Moves to the next record at hand; `false` when a block has to be loaded. */
  advance(): boolean {
    const { kind, layout, reader, rows } = this
    if (rows !== undefined && this.order !== undefined) {
      if (this.next === rows.count) return false
      const n = this.order[this.next++]
      const where = rows.where[n]
      this.bytes = rows.blocks[where]
      this.input = rows.inputs[where]
      this.start = rows.offset[n]
      this.high = rows.high[n]
      this.low = rows.low[n]
      if (kind.name === "order") this.key = rows.keys[n]
      point(reader, this.bytes, this.start)
      skip(layout.key, reader)
      this.keyEnd = reader.position
      skip(layout.values[this.input], reader)
      this.end = reader.position
      return true
    }
    if (this.left === 0) return false
    this.left--
    this.input = layout.values.length === 1 ? 0 : reader.byte()
    const value = layout.values[this.input]
    if (value === undefined) throw new Malformed("a record of an unknown input")
    this.start = reader.position
    if (kind.name === "order") this.key = layout.key.read(reader)
    else skip(layout.key, reader)
    this.keyEnd = reader.position
    prefixOf(kind, reader, this.start, this.keyEnd)
    this.high = prefix.high
    this.low = prefix.low
    reader.position = this.keyEnd
    skip(value, reader)
    this.end = reader.position
    return true
  }

  /** Loads the next block and moves to its first record; `false` at the end. */
  readonly load: Effect.Effect<boolean, Reason> = Effect.suspend(() => {
    if (this.run === undefined) return Effect.succeed(this.advance())
    return Effect.flatMap(this.run.next, (block) => {
      if (block === undefined) return Effect.succeed(false)
      this.bytes = block.bytes
      this.left = block.rows
      point(this.reader, block.bytes, 0)
      return block.rows === 0 ? this.load : Effect.sync(() => this.advance())
    })
  })

  /** Order of the records two cursors stand at. */
  compare(that: Cursor): number {
    return this.compareKey(that) || this.rank - that.rank
  }

  /** Order of the keys two cursors stand at. */
  compareKey(that: Cursor): number {
    if (this.high !== that.high) return this.high < that.high ? -1 : 1
    if (this.low !== that.low) return this.low < that.low ? -1 : 1
    if (this.kind.name === "order") return this.kind.order(this.key, that.key)
    if (this.kind.name === "number") return 0
    point(a, this.bytes, this.start)
    point(b, that.bytes, that.start)
    return compareKeys(this.kind, this.layout.key)
  }
}

/** Merges cursors: {@link current} is the one at the least record. */
export class Merge {
  private readonly heap: Array<Cursor> = []

  get current(): Cursor | undefined {
    return this.heap[0]
  }

  push(cursor: Cursor): void {
    const { heap } = this
    let at = heap.length
    heap.push(cursor)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent].compare(cursor) <= 0) break
      heap[at] = heap[parent]
      at = parent
    }
    heap[at] = cursor
  }

  private sink(): void {
    const { heap } = this
    const { length } = heap
    if (length < 2) return
    const cursor = heap[0]
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && heap[child + 1].compare(heap[child]) < 0) child++
      if (cursor.compare(heap[child]) <= 0) break
      heap[at] = heap[child]
      at = child
    }
    heap[at] = cursor
  }

  /** Moves on; `false` when {@link refill} has to be run for that. */
  step(): boolean {
    const top = this.heap[0]
    if (top === undefined) return true
    if (!top.advance()) return false
    this.sink()
    return true
  }

  readonly refill: Effect.Effect<void, Reason> = Effect.suspend(() => {
    const top = this.heap[0]
    if (top === undefined) return Effect.void
    return Effect.map(top.load, (more) => {
      if (!more) {
        const last = this.heap.pop()
        if (last !== undefined && this.heap.length > 0) this.heap[0] = last
      }
      this.sink()
    })
  })
}

// Runs that are merged at once.
const FAN_IN = 64

/** Rows under a budget: what does not fit lies in sorted runs of one file. */
export class Sorter {
  readonly rows: Rows
  runs: Array<Run> = []
  spills = 0
  private readonly claim: Claim
  private readonly store: Store
  private readonly blockBytes: number
  private readonly create: Effect.Effect<SpillFile, Reason>
  private file: SpillFile | undefined
  private length = 0

  constructor(options: {
    readonly kind: Kind
    readonly layout: Layout
    readonly claim: Claim
    readonly store: Store
    readonly blockBytes: number
    readonly create: Effect.Effect<SpillFile, Reason>
  }) {
    this.rows = new Rows(options.kind, options.layout)
    this.claim = options.claim
    this.store = options.store
    this.blockBytes = options.blockBytes
    this.create = options.create
  }

  /** Takes a block, and spills when the budget is spent. */
  add(block: Block, input: number, from: string): Effect.Effect<void, Reason> {
    return Effect.suspend(() => {
      // What the next block adds is claimed before it comes.
      const spill = this.rows.count > 0 && !this.claim.resize(this.rows.held + 2 * block.bytes.length + 24 * block.rows)
      const take = Effect.suspend(() => {
        const fault = trapMalformed(() => this.rows.add(block, input), from)
        if (fault !== undefined) return Effect.fail(fault)
        this.claim.resize(this.rows.held)
        return Effect.void
      })
      return spill ? Effect.andThen(this.spill, take) : take
    })
  }

  readonly spill: Effect.Effect<void, Reason> = Effect.suspend(() => {
    if (this.rows.count === 0) return Effect.void
    this.spills++
    const merge = new Merge()
    const cursor = new Cursor(0, this.rows, this.rows.sorted(), undefined)
    cursor.advance()
    merge.push(cursor)
    return Effect.map(this.writeRun(merge), (run) => {
      this.runs.push(run)
      this.rows.clear()
      this.claim.resize(0)
    })
  })

  private writeRun(merge: Merge): Effect.Effect<Run, Reason> {
    const { blockBytes } = this
    const many = this.rows.layout.values.length > 1
    return Effect.gen({ self: this }, function* () {
      const file = this.file ?? (this.file = yield* this.create)
      const offset = this.length
      let writer = new Writer(blockBytes + 4096)
      let rows = 0
      let pending: Array<Block> = []
      const flush = Effect.suspend(() => {
        const blocks = pending
        pending = []
        return Effect.flatMap(storeAll(blocks, this.store.compress()), (stored) => {
          for (const one of stored) this.length += storedLength(one)
          return file.append(stored.flatMap(({ header, payload }) => [header, payload]))
        })
      })
      while (merge.current !== undefined) {
        const cursor = merge.current
        if (many) {
          writer.ensure(1)
          writer.bytes[writer.position++] = cursor.input
        }
        writer.copy(cursor.bytes, cursor.start, cursor.end)
        rows++
        if (writer.position >= blockBytes) {
          pending.push({ bytes: writer.take(), rows })
          writer = new Writer(blockBytes + 4096)
          rows = 0
          if (pending.length >= 8) yield* flush
        }
        if (!merge.step()) yield* merge.refill
      }
      if (rows > 0) pending.push({ bytes: writer.take(), rows })
      yield* flush
      return { offset, length: this.length - offset }
    })
  }

  private open(file: SpillFile, runs: ReadonlyArray<Run>, merge: Merge): Effect.Effect<void, Reason> {
    return Effect.forEach(
      runs,
      (run, rank) => {
        const cursor = new Cursor(rank, this.rows, undefined, new Blocks(file, [run], 2 * this.blockBytes))
        return Effect.map(cursor.load, (more) => {
          if (more) merge.push(cursor)
        })
      },
      { discard: true }
    )
  }

  /** All records in order. */
  readonly merged: Effect.Effect<Merge, Reason> = Effect.gen({ self: this }, function* () {
    const merge = new Merge()
    const { file } = this
    if (file !== undefined) {
      // Neighbours become one run, which is left alone until all have been: no record is written again more often than it has to be.
      for (let at = 0; this.runs.length > FAN_IN; at++) {
        const count = Math.min(FAN_IN, this.runs.length - FAN_IN + 1)
        if (at + count > this.runs.length) at = 0
        const some = new Merge()
        yield* this.open(file, this.runs.slice(at, at + count), some)
        this.runs.splice(at, count, yield* this.writeRun(some))
      }
      yield* this.open(file, this.runs, merge)
    }
    const cursor = new Cursor(this.runs.length, this.rows, this.rows.sorted(), undefined)
    if (cursor.advance()) merge.push(cursor)
    return merge
  })
}

/** Runs what reads bytes that a checksum has vouched for: malformed ones were written by another codec. */
export const trapMalformed = (read: () => void, file: string): Corrupt | undefined => {
  try {
    read()
    return undefined
  } catch (thrown) {
    if (thrown instanceof Malformed) {
      return new Corrupt({
        file,
        offset: 0,
        detail: `${thrown.detail}; was it written by another version of the program?`
      })
    }
    throw thrown
  }
}
