import { Effect } from "effect"
import type { Reason } from "../ShuffleError.ts"
import { type Block, type Stored, storeAll, storedLength } from "./blocks.ts"
import { Writer } from "../../codec/internal/bytes.ts"
import { elementAt } from "../../codec/internal/elements.ts"
import type { Claim, MapStatus, SpillFile, Store } from "./model.ts"

/** A block, and the buffer that it lies in. */
interface Sealed extends Block {
  readonly buffer: Buffer
}

/** The rows of one reduce partition that are still in memory. */
class Bucket {
  sealed: Array<Sealed> = []
  writer: Writer
  rows = 0
  /** XOR and sum of the hashes of the records, including those of the sealed blocks. */
  xor = 0
  sum = 0
  constructor(writer: Writer) {
    this.writer = writer
  }

  get block(): Sealed {
    const { rows, writer } = this
    return { buffer: writer.bytes, bytes: writer.take(), rows }
  }
}

/** What a pass wrote of one partition. */
interface Segment {
  readonly partition: number
  offset: number
  readonly checksum: readonly [number, number]
  length: number
  rows: number
  bytes: number
}

const NEAR = 1024

// Blocks that are compressed and written together.
const BATCH = 64

// A pass has as many blocks, and for each partition as many: enough that a reduce task reads long pieces, and few
// enough that most of the buffers are used for many blocks.
const PASS = { blocks: 128, each: 4 }

/**
 * The output of a map task: encoded rows by reduce partition. From time to time, and when its budget is used up, it appends a pass
 * over all the partitions to its one file, so that however many passes and partitions there are, nothing is merged and one file is
 * open. Its buffers go round: memory that was never touched before costs more than the bytes that are written into it.
 */
export class Output {
  /** Bytes of the buffers. */
  held = 0
  // Buffers that have been written, and will be used again.
  private spare: Array<Buffer> = []
  // Bytes of a buffer for a full block: a row reserves three bytes per character before its size is known.
  private readonly bufferBytes: number
  private readonly passBytes: number
  private readonly buckets = new Map<number, Bucket>()
  // The buckets of the first partitions again, because each row looks one up: an array is faster.
  private near: Array<Bucket | undefined> = []
  private readonly blockBytes: number
  private readonly store: Store
  private readonly create: Effect.Effect<SpillFile, Reason>
  private file: SpillFile | undefined
  private length = 0
  private readonly segments: Array<Segment> = []

  constructor(blockBytes: number, partitions: number, store: Store, create: Effect.Effect<SpillFile, Reason>) {
    this.blockBytes = blockBytes
    this.bufferBytes = blockBytes + 4096
    this.passBytes = this.bufferBytes * Math.max(PASS.blocks, PASS.each * partitions)
    this.store = store
    this.create = create
  }

  /** The buffer for the next record of a partition. {@link end} has to follow. */
  begin(partition: number): Bucket {
    let bucket = partition < NEAR ? this.near[partition] : this.buckets.get(partition)
    if (bucket === undefined) {
      if (this.near.length === 0) this.near = new Array<Bucket | undefined>(NEAR).fill(undefined)
      bucket = new Bucket(this.writer(Math.min(512, this.blockBytes)))
      this.held += 128
      this.buckets.set(partition, bucket)
      if (partition < NEAR) this.near[partition] = bucket
    }
    return bucket
  }

  /** Ends a record, given the size of the bucket's buffer when it began, and the two halves of the record's hash. */
  end(bucket: Bucket, capacity: number, high: number, low: number): void {
    const { writer } = bucket
    bucket.rows++
    bucket.xor ^= high
    bucket.sum = (bucket.sum + low) | 0
    if (writer.bytes.length !== capacity) this.held += writer.bytes.length - capacity
    if (writer.position < this.blockBytes) return
    bucket.sealed.push(bucket.block)
    bucket.writer = this.writer(this.bufferBytes)
    bucket.rows = 0
  }

  // With a buffer that was used before, or else with a new one.
  private writer(bytes: number): Writer {
    const buffer = this.spare.pop()
    if (buffer === undefined) {
      this.held += bytes
      return new Writer(bytes)
    }
    const writer = new Writer(0)
    writer.bytes = buffer
    return writer
  }

  /** Whether there is enough for a pass, whatever the budget says. */
  get full(): boolean {
    return this.held - this.spare.length * this.bufferBytes >= this.passBytes
  }

  /** Writes all buckets in the order of their partitions, and keeps the buffers. */
  readonly flush: Effect.Effect<void, Reason> = Effect.gen({ self: this }, function* () {
    const blocks: Array<{ readonly segment: Segment; readonly block: Sealed }> = []
    for (const [partition, bucket] of [...this.buckets].toSorted(([x], [y]) => x - y)) {
      const { rows, sealed, sum, xor } = bucket
      const checksum = [xor >>> 0, sum >>> 0] as const
      // Its place is known when its first block is written.
      const segment: Segment = { partition, offset: -1, checksum, length: 0, rows: 0, bytes: 0 }
      for (const block of sealed) blocks.push({ segment, block })
      if (rows > 0) blocks.push({ segment, block: bucket.block })
    }
    this.buckets.clear()
    this.near = []
    if (blocks.length === 0) return
    const file = this.file ?? (this.file = yield* this.create)
    for (let start = 0; start < blocks.length; start += BATCH) {
      const batch = blocks.slice(start, start + BATCH)
      const stored = yield* storeAll(
        batch.map(({ block }) => block),
        this.store.compress()
      )
      yield* file.append(stored.flatMap(({ header, payload }) => [header, payload]))
      for (const [index, one] of stored.entries()) {
        const { block, segment } = elementAt(batch, index)
        this.wrote(segment, one)
        if (block.buffer.length === this.bufferBytes) this.spare.push(block.buffer)
      }
    }
    this.held = this.spare.length * this.bufferBytes
  })

  /** Writes all buckets, and gives up the memory. */
  readonly pass: Effect.Effect<void, Reason> = Effect.suspend(() =>
    Effect.map(this.flush, () => {
      this.spare = []
      this.held = 0
    })
  )

  private wrote(segment: Segment, stored: Stored): void {
    if (segment.offset < 0) {
      segment.offset = this.length
      this.segments.push(segment)
    }
    segment.length += storedLength(stored)
    segment.rows += stored.rows
    segment.bytes += stored.bytes
    this.length += storedLength(stored)
  }

  /** Writes what is left and keeps the file. */
  finish(shuffle: string, task: { readonly map: number; readonly attempt: number }): Effect.Effect<MapStatus, Reason> {
    return Effect.gen({ self: this }, function* () {
      yield* this.pass
      if (this.file !== undefined) yield* this.file.keep
      return {
        shuffle,
        map: task.map,
        attempt: task.attempt,
        file: this.file?.file ?? "",
        partitions: this.segments.map(({ partition }) => partition),
        offsets: this.segments.map(({ offset }) => offset),
        lengths: this.segments.map(({ length }) => length),
        rows: this.segments.map(({ rows }) => rows),
        bytes: this.segments.map(({ bytes }) => bytes),
        checksums: this.segments.map(({ checksum }) => checksum)
      }
    })
  }
}

/** Asks for memory in steps, so that a row costs a comparison. */
export class Allowance {
  private granted = 0
  private readonly claim: Claim
  private readonly step: number
  constructor(claim: Claim, total: number) {
    this.claim = claim
    this.step = Math.max(1, Math.min(1024 * 1024, Math.floor(total / 16)))
  }

  /** Whether this many bytes may be held. */
  allows(held: number): boolean {
    if (held <= this.granted) return true
    if (!this.claim.resize(held + this.step)) return false
    this.granted = held + this.step
    return true
  }

  clear(): void {
    this.granted = 0
    this.claim.resize(0)
  }
}
