import * as zlib from "node:zlib"
import { Effect } from "effect"
import { Malformed } from "../../codec/internal/bytes.ts"
import { Corrupt, type Reason } from "../ShuffleError.ts"
import type { Source } from "./model.ts"

// The header of a block in a file: magic, stored bytes, bytes of the rows, number of rows, 1 if compressed, CRC-32 of
// these five and of the stored bytes.
const HEADER = 24
const MAGIC = 0x31424c53

/** Encoded rows, and their number. */
export interface Block {
  readonly bytes: Buffer
  readonly rows: number
}

/** A block as it is in a file. */
export interface Stored {
  readonly header: Buffer
  readonly payload: Buffer
  /** Bytes before compression. */
  readonly bytes: number
  readonly rows: number
}

const level = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } }

const frame = (block: Block, payload: Buffer): Stored => {
  const header = Buffer.allocUnsafe(HEADER)
  header.writeUInt32LE(MAGIC, 0)
  header.writeUInt32LE(payload.length, 4)
  header.writeUInt32LE(block.bytes.length, 8)
  header.writeUInt32LE(block.rows, 12)
  header.writeUInt32LE(payload === block.bytes ? 0 : 1, 16)
  header.writeUInt32LE(zlib.crc32(payload, zlib.crc32(header.subarray(0, 20))), 20)
  return { header, payload, bytes: block.bytes.length, rows: block.rows }
}

/** Bytes in the file. */
export const storedLength = (stored: Stored): number => HEADER + stored.payload.length

// Compresses on a thread of the pool.
const store = (block: Block, compress: boolean): Effect.Effect<Stored> =>
  compress && block.bytes.length > 256
    ? Effect.callback((resume) => {
        zlib.zstdCompress(block.bytes, { ...level, chunkSize: block.bytes.length + 1024 }, (error, packed) => {
          resume(
            Effect.sync(() =>
              frame(block, error !== null || packed.length >= block.bytes.length ? block.bytes : packed)
            )
          )
        })
      })
    : Effect.sync(() => frame(block, block.bytes))

/** Compresses several at once, on as many threads as the pool has by default. */
export const storeAll = (blocks: ReadonlyArray<Block>, compress: boolean): Effect.Effect<ReadonlyArray<Stored>> =>
  Effect.forEach(blocks, (block) => store(block, compress), { concurrency: 4 })

// Bytes read from a file at once, by default.
const WINDOW = 1024 * 1024

/** The blocks of some ranges of a file, each checked. `next` gives `undefined` at the end. */
export class Blocks {
  readonly source: Source
  private readonly ranges: ReadonlyArray<{ readonly offset: number; readonly length: number }>
  private range = 0
  private position = 0
  private window: Buffer = Buffer.alloc(0)
  private windowOffset = 0
  private readonly windowBytes: number

  constructor(
    source: Source,
    ranges: ReadonlyArray<{ readonly offset: number; readonly length: number }>,
    windowBytes: number = WINDOW
  ) {
    this.windowBytes = windowBytes
    this.source = source
    this.ranges = ranges
    this.position = ranges[0]?.offset ?? 0
  }

  private corrupt(detail: string): Effect.Effect<never, Reason> {
    return Effect.fail(new Corrupt({ file: this.source.file, offset: this.position, detail }))
  }

  // The bytes at the position, this many of which are in the window.
  private at(length: number): Buffer | undefined {
    const start = this.position - this.windowOffset
    return start >= 0 && start + length <= this.window.length ? this.window.subarray(start, start + length) : undefined
  }

  // Blocks have nearly the same length: a window of whole ones leaves little that has to be read again.
  private fill(length: number, end: number): Effect.Effect<void, Reason> {
    const { windowBytes } = this
    const wanted = length > HEADER ? Math.ceil(windowBytes / length) * length + (length >> 4) : windowBytes
    return Effect.map(
      this.source.read(this.position, Math.max(length, Math.min(wanted, end - this.position))),
      (bytes) => {
        this.window = bytes
        this.windowOffset = this.position
      }
    )
  }

  next: Effect.Effect<Block | undefined, Reason> = Effect.suspend(() => {
    for (;;) {
      const range = this.ranges[this.range]
      if (range === undefined) {
        this.window = Buffer.alloc(0)
        return Effect.succeed(undefined)
      }
      const end = range.offset + range.length
      if (this.position >= end) {
        this.range++
        this.position = this.ranges[this.range]?.offset ?? 0
        continue
      }
      if (end - this.position < HEADER) return this.corrupt("part of a block")
      const header = this.at(HEADER)
      if (header === undefined) return Effect.flatMap(this.fill(HEADER, end), () => this.next)
      const length = header.readUInt32LE(4)
      if (header.readUInt32LE(0) !== MAGIC) return this.corrupt("no block begins here")
      if (length > end - this.position - HEADER) return this.corrupt("a block longer than the file")
      const stored = this.at(HEADER + length)
      if (stored === undefined) return Effect.flatMap(this.fill(HEADER + length, end), () => this.next)
      const payload = stored.subarray(HEADER)
      if (zlib.crc32(payload, zlib.crc32(stored.subarray(0, 20))) !== stored.readUInt32LE(20)) {
        return this.corrupt("the checksum is wrong")
      }
      const bytes = stored.readUInt32LE(8)
      const rows = stored.readUInt32LE(12)
      const offset = this.position
      this.position += HEADER + length
      if (stored.readUInt32LE(16) === 0) return Effect.succeed({ bytes: payload, rows })
      // This takes 0.2 ms for a block; asking a thread of the pool would cost this thread as much.
      try {
        const unpacked = zlib.zstdDecompressSync(payload, { chunkSize: bytes + 64, maxOutputLength: bytes + 64 })
        if (unpacked.length === bytes) return Effect.succeed({ bytes: unpacked, rows })
      } catch {
        // Reported below.
      }
      this.position = offset
      return this.corrupt("a block does not decompress")
    }
  })
}

/** Runs a function that reads bytes with a correct checksum: if they are malformed, another codec wrote them. */
export const trapMalformed = (read: () => void, file: string): Corrupt | undefined => {
  try {
    read()
    return undefined
  } catch (thrown) {
    if (thrown instanceof Malformed) {
      return new Corrupt({
        file,
        offset: 0,
        detail: `${thrown.detail}; perhaps another version of the program wrote it`
      })
    }
    throw thrown
  }
}
