import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Writer } from "../../../src/codec/internal/bytes.ts"
import { hashWritten } from "../../../src/codec/internal/hash.ts"
import { prefix } from "../../../src/codec/internal/prefix.ts"

const hashOf = (bytes: Uint8Array, before = 0, high = 0x9747b28c, low = 0x3c6ef372): string => {
  const writer = new Writer(before + bytes.length + 1)
  writer.bytes.set(bytes, before)
  writer.position = before + bytes.length
  hashWritten(writer, before, high, low)
  return `${prefix.high} ${prefix.low}`
}

describe("the hash of a record", () => {
  it("is that of its bytes, wherever they lie", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer({ min: 0, max: 40 }), (bytes, before) => {
        assert.strictEqual(hashOf(bytes, before), hashOf(bytes))
      })
    )
  })

  it("goes on with all bits of the hash before it", () => {
    for (const length of [0, 3, 4, 15, 16, 33]) {
      const bytes = new Uint8Array(length).fill(7)
      const seen = new Set([hashOf(bytes)])
      for (let bit = 0; bit < 32; bit++) {
        seen.add(hashOf(bytes, 0, 0x9747b28c ^ (1 << bit)))
        seen.add(hashOf(bytes, 0, 0x9747b28c, 0x3c6ef372 ^ (1 << bit)))
      }
      assert.strictEqual(seen.size, 65)
    }
  })

  it("is another for other bytes: one or two bits anywhere, other lengths, words in another order", () => {
    for (const length of [0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 48, 64]) {
      const base = Uint8Array.from({ length }, (_, i) => (i * 37) & 0xff)
      const seen = new Set([hashOf(base)])
      let tried = 1
      const note = (bytes: Uint8Array) => {
        seen.add(hashOf(bytes))
        tried++
      }
      const flipped = (bits: ReadonlyArray<number>) => {
        const bytes = base.slice()
        for (const bit of bits) bytes[bit >> 3]! ^= 1 << (bit & 7)
        return bytes
      }
      for (let one = 0; one < length * 8; one++) {
        note(flipped([one]))
        // The signs of two numbers: the highest bits of two words.
        for (let other = one + 1; other < length * 8; other += length > 16 ? 7 : 1) note(flipped([one, other]))
      }
      note(Uint8Array.from([...base, 0]))
      assert.strictEqual(seen.size, tried)
    }
    const words = [1, 2, 3, 4, 5, 6, 7, 8]
    const seen = new Set<string>()
    for (const [i, one] of words.entries()) {
      for (const [j, other] of words.entries()) {
        const swapped = words.with(i, other).with(j, one)
        seen.add(hashOf(new Uint8Array(Int32Array.from(swapped).buffer)))
      }
    }
    assert.strictEqual(seen.size, 1 + (8 * 7) / 2)
  })
})
