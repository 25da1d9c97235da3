import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Snappy from "../../../../src/formats/internal/parquet/snappy.ts"

// Parts that occur again, near and far, and parts that do not.
const part = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 200 }))
    .map(([bytes, times]) => Uint8Array.from(Array.from({ length: times }, () => [...bytes]).flat()))
)
const bytes = fc
  .tuple(fc.array(part, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 20 }))
  .map(([parts, order]) => Buffer.concat([...parts, ...order.flatMap((n) => parts[n % parts.length] ?? [])]))

const decompressInto = (input: Uint8Array, length: number): Uint8Array => {
  const out = new Uint8Array(length)
  Snappy.decompressInto(input, out)
  return out
}

const same = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0

describe("Snappy", () => {
  it("restores what it compressed, whatever was compressed before", () => {
    fc.assert(
      fc.property(bytes, (input) => {
        assert.isTrue(same(Snappy.decompress(Snappy.compress(input), input.length), input))
        assert.isTrue(same(decompressInto(Snappy.compress(input), input.length), input))
      }),
      { numRuns: 1000 }
    )
  })

  it("finds repeats, and takes pages larger than those whose memory it keeps", () => {
    const noise = crypto.getRandomValues(new Uint8Array(50_000))
    const twice = Buffer.concat([noise, noise])
    assert.isBelow(Snappy.compress(twice).length, 60_000)
    for (const input of [twice, Buffer.alloc(20_000_000, noise), noise, Buffer.alloc(0)]) {
      assert.isTrue(same(Snappy.decompress(Snappy.compress(input), input.length), input))
      assert.isTrue(same(decompressInto(Snappy.compress(input), input.length), input))
    }
  })

  it("into given memory, restores of damaged bytes what the codec restores, or refuses them", () => {
    let refused = 0
    fc.assert(
      fc.property(
        bytes,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }))),
        fc.nat({ max: 2 }),
        (input, flips, cut) => {
          const whole = Buffer.from(Snappy.compress(input))
          const damaged = whole.subarray(0, whole.length - cut)
          for (const [at, by] of flips)
            if (damaged.length > 0) damaged[at % damaged.length] = (damaged[at % damaged.length] ?? 0) ^ by
          let restored: Uint8Array
          try {
            restored = decompressInto(damaged, input.length)
          } catch (error) {
            if (!(error instanceof Error) || error.name !== "SnappyError") throw error
            refused++
            return
          }
          assert.isTrue(same(restored, Snappy.decompress(damaged, input.length)))
        }
      ),
      { numRuns: 1000, seed: 1 }
    )
    assert.isAbove(refused, 10)
  })

  it("refuses damaged bytes or restores as many as were asked for, and works on", () => {
    const refused = { length: 0, rest: 0 }
    fc.assert(
      fc.property(
        bytes,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }))),
        fc.nat(),
        (input, flips, end) => {
          const compressed = Buffer.from(Snappy.compress(input))
          const cut = compressed.subarray(0, compressed.length - (end % 3))
          for (const [at, by] of flips) if (cut.length > 0) cut[at % cut.length] = (cut[at % cut.length] ?? 0) ^ by
          try {
            assert.lengthOf(Snappy.decompress(cut, input.length), input.length)
          } catch (error) {
            if (!(error instanceof Error) || error.name !== "SnappyError") throw error
            if (error.message.includes("damaged")) refused.rest++
            else refused.length++
          }
          assert.isTrue(same(Snappy.decompress(Snappy.compress(input), input.length), input))
        }
      ),
      { numRuns: 1000, seed: 1 }
    )
    assert.isAbove(refused.length, 10)
    assert.isAbove(refused.rest, 10)
    // Says that it has 2 GiB, and has none.
    assert.throws(() => Snappy.decompress(Buffer.from("ffffffff07", "hex"), 2 ** 31 - 1), /damaged/)
  })
})
