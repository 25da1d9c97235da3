import { Effect } from "effect"
import { Malformed, Reader, Writer } from "../../codec/internal/bytes.ts"
import { elementAt, uint32At } from "../../codec/internal/elements.ts"
import { prefix } from "../../codec/internal/prefix.ts"
import type { Reason } from "../ShuffleError.ts"
import { type Block, Blocks, storeAll, storedLength, trapMalformed } from "./blocks.ts"
import { compareKeys, type Kind, type Layout, point, prefixOf, skip } from "./keys.ts"
import type { Claim, SpillFile, Store } from "./model.ts"
import { Rows } from "./rows.ts"

/** A sorted piece of the spill file. */
export interface Run {
  readonly offset: number
  readonly length: number
}

/** A position that moves from record to record in a run, or in sorted rows in memory. */
export class Cursor<in out K> {
  bytes: Buffer = Buffer.alloc(0)
  high = 0
  low = 0
  input = 0
  /** The decoded key, for an order that cannot work on bytes. */
  key: { readonly decoded: K } | undefined
  start = 0
  keyEnd = 0
  end = 0
  /** Place among the cursors: equal keys come in this order. */
  readonly rank: number
  private readonly kind: Kind<K>
  private readonly layout: Layout<K>
  private readonly rows: Rows<K> | undefined
  private readonly order: Uint32Array | undefined
  private readonly run: Blocks | undefined
  private readonly reader = new Reader(Buffer.alloc(0))
  private next = 0
  private left = 0

  constructor(rank: number, rows: Rows<K>, order: Uint32Array | undefined, run: Blocks | undefined) {
    this.rank = rank
    this.kind = rows.kind
    this.layout = rows.layout
    this.order = order
    this.rows = order === undefined ? undefined : rows
    this.run = run
  }

  /** Moves to the next loaded record; `false` if a block has to be loaded. */
  advance(): boolean {
    const { kind, layout, reader, rows } = this
    if (rows !== undefined && this.order !== undefined) {
      if (this.next === rows.count) return false
      const n = uint32At(this.order, this.next++)
      this.bytes = rows.blockOf(n)
      this.input = rows.inputOf(n)
      this.start = uint32At(rows.offset, n)
      this.high = rows.highOf(n)
      this.low = rows.lowOf(n)
      if (kind.name === "order") this.key = { decoded: elementAt(rows.keys, n) }
      if (kind.name === "hash") this.keyEnd = rows.valueOf(n)
      else {
        point(reader, this.bytes, this.start)
        skip(layout.key, reader)
        this.keyEnd = reader.position
      }
      this.end = rows.endOf(n)
      return true
    }
    if (this.left === 0) return false
    this.left--
    this.input = layout.values.length === 1 ? 0 : reader.byte()
    const value = layout.values[this.input]
    if (value === undefined) throw new Malformed("a record of an unknown input")
    this.start = reader.position
    if (kind.name === "order") this.key = { decoded: layout.key.read(reader) }
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

  /** Order of the records at two cursors. */
  compare(that: Cursor<K>): number {
    return this.compareKey(that) || this.rank - that.rank
  }

  /** Order of the keys at two cursors. */
  compareKey(that: Cursor<K>): number {
    if (this.high !== that.high) return this.high < that.high ? -1 : 1
    if (this.low !== that.low) return this.low < that.low ? -1 : 1
    const { kind } = this
    if (kind.name === "number") return 0
    if (kind.name === "order" && this.key !== undefined && that.key !== undefined) {
      return kind.order(this.key.decoded, that.key.decoded)
    }
    return compareKeys(kind, this.layout.key, this.bytes, this.start, that.bytes, that.start)
  }
}

/** Where an encoded key lies. */
type KeyPlace = Pick<Cursor<unknown>, "bytes" | "start" | "keyEnd" | "high" | "low">

/** A key that outlives the block of its cursor. */
export class Key {
  private readonly bytes: Buffer
  private readonly high: number
  private readonly low: number
  constructor(cursor: KeyPlace) {
    this.bytes = cursor.bytes.subarray(cursor.start, cursor.keyEnd)
    this.high = cursor.high
    this.low = cursor.low
  }
  equals(cursor: KeyPlace): boolean {
    const { bytes } = this
    if (cursor.high !== this.high || cursor.low !== this.low || cursor.keyEnd - cursor.start !== bytes.length)
      return false
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== cursor.bytes[cursor.start + i]) return false
    return true
  }
}

/** Merges cursors: {@link current} is the cursor at the least record. */
export class Merge<in out K> {
  private readonly heap: Array<Cursor<K>> = []

  get current(): Cursor<K> | undefined {
    return this.heap[0]
  }

  push(cursor: Cursor<K>): void {
    const { heap } = this
    let at = heap.length
    heap.push(cursor)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || above.compare(cursor) <= 0) break
      heap[at] = above
      at = parent
    }
    heap[at] = cursor
  }

  private sink(): void {
    const { heap } = this
    const { length } = heap
    const [cursor] = heap
    if (cursor === undefined || length < 2) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      let least = heap[child]
      if (least === undefined) break
      const sibling = heap[child + 1]
      if (sibling !== undefined && sibling.compare(least) < 0) {
        least = sibling
        child++
      }
      if (cursor.compare(least) <= 0) break
      heap[at] = least
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

/** Rows within a budget: those that do not fit are in sorted runs of one file. */
export class Sorter<in out K> {
  readonly rows: Rows<K>
  runs: Array<Run> = []
  spills = 0
  private readonly claim: Claim
  private readonly store: Store
  private readonly blockBytes: number
  private readonly create: Effect.Effect<SpillFile, Reason>
  private file: SpillFile | undefined
  private length = 0

  constructor(options: {
    readonly kind: Kind<K>
    readonly layout: Layout<K>
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

  /** Takes a block, and spills if the budget is used up. */
  add(block: Block, input: number, from: string): Effect.Effect<void, Reason> {
    return Effect.suspend(() => {
      // The bytes of the next block are claimed before it comes.
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
    const merge = new Merge<K>()
    const cursor = new Cursor(0, this.rows, this.rows.sorted(), undefined)
    cursor.advance()
    merge.push(cursor)
    return Effect.map(this.writeRun(merge), (run) => {
      this.runs.push(run)
      this.rows.clear()
      this.claim.resize(0)
    })
  })

  private writeRun(merge: Merge<K>): Effect.Effect<Run, Reason> {
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

  private open(file: SpillFile, runs: ReadonlyArray<Run>, merge: Merge<K>): Effect.Effect<void, Reason> {
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
  readonly merged: Effect.Effect<Merge<K>, Reason> = Effect.gen({ self: this }, function* () {
    const merge = new Merge<K>()
    const { file } = this
    if (file !== undefined) {
      // Neighbouring runs become one, which is not merged again until all others have been merged: so no record is
      // written more often than necessary.
      for (let at = 0; this.runs.length > FAN_IN; at++) {
        const count = Math.min(FAN_IN, this.runs.length - FAN_IN + 1)
        if (at + count > this.runs.length) at = 0
        const some = new Merge<K>()
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
