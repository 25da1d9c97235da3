import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { type Block, Blocks, storeAll, storedLength } from "../../../src/shuffle/internal/blocks.ts"
import { Corrupt } from "../../../src/shuffle/ShuffleError.ts"

const header = 24

/** The blocks one after another in a file, and where each begins. */
const fileOf = (blocks: ReadonlyArray<Block>, compress = false) =>
  Effect.map(storeAll(blocks, compress), (stored) => ({
    bytes: Buffer.concat(stored.flatMap(({ header, payload }) => [header, payload])),
    offsets: stored.map((_, index) => stored.slice(0, index).reduce((sum, one) => sum + storedLength(one), 0))
  }))

/** A reader of ranges of a file that notes what it asks for. */
const open = (
  bytes: Buffer,
  ranges: ReadonlyArray<{ readonly offset: number; readonly length: number }>,
  window: number
) => {
  const reads: Array<readonly [offset: number, length: number]> = []
  const blocks = new Blocks(
    {
      file: "spill",
      read: (offset, length) => {
        reads.push([offset, length])
        return offset + length > bytes.length
          ? Effect.fail(new Corrupt({ file: "spill", offset, detail: "the file ends here" }))
          : Effect.succeed(Buffer.from(bytes.subarray(offset, offset + length)))
      }
    },
    ranges,
    window
  )
  return { blocks, reads }
}

const all = Effect.fnUntraced(function* (blocks: Blocks) {
  const found: Array<Block> = []
  for (let block = yield* blocks.next; block !== undefined; block = yield* blocks.next) found.push(block)
  return found
})

const text = ({ bytes, rows }: Block) => [bytes.toString(), rows]

const blocks: ReadonlyArray<Block> = [300, 1, 40, 2000, 0, 257].map((length, n) => ({
  bytes: Buffer.alloc(length, `${n} `),
  rows: n + 1
}))

describe("blocks of a file", () => {
  for (const compress of [false, true]) {
    it.effect(`are read whatever the window, ${compress ? "compressed" : "as they are"}`, () =>
      Effect.gen(function* () {
        const { bytes, offsets } = yield* fileOf(blocks, compress)
        if (compress) assert.isBelow(bytes.length, 2000, "what repeats became smaller")
        const whole = [{ offset: 0, length: bytes.length }]
        for (const window of [1, header, header + 1, 100, 350, 1 << 20]) {
          const file = open(bytes, whole, window)
          assert.deepStrictEqual((yield* all(file.blocks)).map(text), blocks.map(text), `window ${window}`)
          assert.isUndefined(yield* file.blocks.next, "it stays at the end")
          assert.isTrue(file.reads.every(([offset, length]) => offset + length <= bytes.length))
        }
        assert.deepStrictEqual(yield* reads(bytes, whole, 1 << 20), [[0, bytes.length]])
        // Ranges that leave out the third block: it is not read.
        const ranges = [
          { offset: 0, length: offsets[2]! },
          { offset: offsets[3]!, length: 0 },
          { offset: offsets[3]!, length: bytes.length - offsets[3]! }
        ]
        for (const window of [1, 100, 1 << 20]) {
          const file = open(bytes, ranges, window)
          assert.deepStrictEqual((yield* all(file.blocks)).map(text), blocks.filter((_, n) => n !== 2).map(text))
          for (const [offset, length] of file.reads) {
            assert.isTrue(offset + length <= offsets[2]! || offset >= offsets[3]!, "reads within a range")
          }
        }
      })
    )
  }

  const reads = (bytes: Buffer, ranges: Parameters<typeof open>[1], window: number) => {
    const file = open(bytes, ranges, window)
    return Effect.as(all(file.blocks), file.reads)
  }

  it.effect("of nearly the same length are read hardly more than once, in a window for two of them or more", () =>
    Effect.gen(function* () {
      const length = 10_000
      const similar = Array.from({ length: 40 }, (_, n) => ({
        bytes: Buffer.alloc(length + ((n * 37) % 100), n),
        rows: 1
      }))
      const { bytes } = yield* fileOf(similar)
      for (const window of [2 * length, 3 * length, 8 * length]) {
        const file = open(bytes, [{ offset: 0, length: bytes.length }], window)
        assert.deepStrictEqual((yield* all(file.blocks)).map(text), similar.map(text))
        const read = file.reads.reduce((sum, [, length]) => sum + length, 0)
        assert.isBelow(read, 1.1 * bytes.length, `window ${window}`)
        assert.isTrue(file.reads.every(([, length]) => length < 1.2 * window))
      }
    })
  )

  it.effect("stay as they are where compression does not make them smaller", () =>
    Effect.gen(function* () {
      let seed = 1
      const bytes = Buffer.from(Array.from({ length: 1000 }, () => (seed = (seed * 48271) % 2147483647) & 255))
      const file = yield* fileOf([{ bytes, rows: 1 }], true)
      assert.strictEqual(file.bytes.length, header + bytes.length)
    })
  )

  it.effect("fail when a byte is another, wherever, and read nothing beyond the file for it", () =>
    Effect.gen(function* () {
      for (const compress of [false, true]) {
        const { bytes, offsets } = yield* fileOf(blocks.slice(0, 3), compress)
        const at = offsets[1]!
        for (let i = at; i < offsets[2]!; i++) {
          for (const flip of [1, 0x80, 0xff]) {
            const damaged = Buffer.from(bytes)
            damaged[i] = damaged[i]! ^ flip
            const file = open(damaged, [{ offset: 0, length: bytes.length }], 1)
            assert.deepStrictEqual(text((yield* file.blocks.next)!), text(blocks[0]!))
            const error = yield* Effect.flip(file.blocks.next)
            assert.instanceOf(error, Corrupt)
            assert.strictEqual(error.offset, at, "the bad block's own place")
            assert.isTrue(file.reads.every(([offset, length]) => offset + length <= bytes.length))
          }
        }
      }
    })
  )

  it.effect("say what is wrong", () =>
    Effect.gen(function* () {
      const { bytes } = yield* fileOf([blocks[0]!])
      const detail = (change: (bytes: Buffer) => void, length = bytes.length) => {
        const damaged = Buffer.from(bytes)
        change(damaged)
        const file = open(damaged, [{ offset: 0, length }], 1 << 20)
        return Effect.map(Effect.flip(file.blocks.next), (error) => ("detail" in error ? error.detail : ""))
      }
      assert.strictEqual(yield* detail((bytes) => bytes.writeUInt8(0, 0)), "no block begins here")
      assert.strictEqual(yield* detail((bytes) => bytes.writeUInt32LE(301, 4)), "a block longer than the file")
      assert.strictEqual(yield* detail((bytes) => bytes.writeUInt32LE(0xffffffff, 4)), "a block longer than the file")
      assert.strictEqual(yield* detail((bytes) => bytes.writeUInt32LE(2, 12)), "the checksum is wrong")
      assert.strictEqual(yield* detail((bytes) => bytes.writeUInt8(0, 100)), "the checksum is wrong")
      assert.strictEqual(yield* detail(() => {}, header - 1), "part of a block")
      assert.isTrue(
        Exit.isSuccess(yield* Effect.exit(open(bytes, [{ offset: 0, length: bytes.length }], header).blocks.next))
      )
    })
  )
})
