import { Effect } from "effect"
import type { Reason } from "../ShuffleError.ts"
import { type Block, storeAll, storedLength } from "./blocks.ts"
import { Writer } from "../../codec/internal/bytes.ts"
import type { Claim, MapStatus, SpillFile, Store } from "./model.ts"

/** The rows of one reduce partition that are still in memory. */
class Bucket {
  sealed: Array<Block> = []
  writer: Writer
  rows = 0
  /** XOR and sum of the hashes of the records, including those of the sealed blocks. */
  xor = 0
  sum = 0
  constructor(bytes: number) {
    this.writer = new Writer(bytes)
  }
}

const NEAR = 1024

// Blocks that are compressed and written together.
const BATCH = 64

/**
 * The output of a map task: encoded rows by reduce partition. Beyond its budget it appends a pass over all the partitions to its
 * one file, so that however many passes and partitions there are, nothing is merged and one file is open.
 */
export class Output {
  /** Bytes of the buffers. */
  held = 0
  private readonly buckets = new Map<number, Bucket>()
  // The buckets of the first partitions again, because each row looks one up: an array is faster.
  private near: Array<Bucket | undefined> = []
  private readonly blockBytes: number
  private readonly store: Store
  private readonly create: Effect.Effect<SpillFile, Reason>
  private file: SpillFile | undefined
  private length = 0
  private readonly partitions: Array<number> = []
  private readonly offsets: Array<number> = []
  private readonly lengths: Array<number> = []
  private readonly rows: Array<number> = []
  private readonly bytes: Array<number> = []
  private readonly checksums: Array<readonly [number, number]> = []

  constructor(blockBytes: number, store: Store, create: Effect.Effect<SpillFile, Reason>) {
    this.blockBytes = blockBytes
    this.store = store
    this.create = create
  }

  /** The buffer for the next record of a partition. {@link end} has to follow. */
  begin(partition: number): Bucket {
    let bucket = partition < NEAR ? this.near[partition] : this.buckets.get(partition)
    if (bucket === undefined) {
      if (this.near.length === 0) this.near = new Array<Bucket | undefined>(NEAR).fill(undefined)
      bucket = new Bucket(Math.min(512, this.blockBytes))
      this.held += bucket.writer.bytes.length + 128
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
    bucket.sealed.push({ bytes: writer.take(), rows: bucket.rows })
    // A row reserves three bytes per character before its size is known.
    bucket.writer = new Writer(this.blockBytes + 4096)
    bucket.rows = 0
    this.held += bucket.writer.bytes.length
  }

  /** Writes all buckets in the order of their partitions. */
  readonly pass: Effect.Effect<void, Reason> = Effect.gen({ self: this }, function* () {
    const blocks: Array<{ readonly partition: number; readonly block: Block }> = []
    const sums = new Map<number, readonly [number, number]>()
    for (const [partition, { rows, sealed, sum, writer, xor }] of [...this.buckets].toSorted(([x], [y]) => x - y)) {
      sums.set(partition, [xor >>> 0, sum >>> 0])
      for (const block of sealed) blocks.push({ partition, block })
      if (rows > 0) blocks.push({ partition, block: { bytes: writer.take(), rows } })
    }
    this.buckets.clear()
    this.near = []
    if (blocks.length === 0) return
    const file = this.file ?? (this.file = yield* this.create)
    let last = -1
    for (let start = 0; start < blocks.length; start += BATCH) {
      const batch = blocks.slice(start, start + BATCH)
      const stored = yield* storeAll(
        batch.map(({ block }) => block),
        this.store.compress()
      )
      yield* file.append(stored.flatMap(({ header, payload }) => [header, payload]))
      batch.forEach(({ partition }, index) => {
        const { bytes, rows } = stored[index]
        const length = storedLength(stored[index])
        if (partition !== last) {
          this.partitions.push(partition)
          this.offsets.push(this.length)
          this.lengths.push(0)
          this.rows.push(0)
          this.bytes.push(0)
          this.checksums.push(sums.get(partition) ?? [0, 0])
          last = partition
        }
        const at = this.partitions.length - 1
        this.lengths[at] += length
        this.rows[at] += rows
        this.bytes[at] += bytes
        this.length += length
      })
    }
    this.held = 0
  })

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
        partitions: this.partitions,
        offsets: this.offsets,
        lengths: this.lengths,
        rows: this.rows,
        bytes: this.bytes,
        checksums: this.checksums
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
