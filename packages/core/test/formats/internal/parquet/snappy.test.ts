import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Snappy from "../../../../src/formats/internal/parquet/snappy.ts"

const compressed = (bytes: Uint8Array): Uint8Array => {
  const out = new Uint8Array(Snappy.maxCompressed(bytes.length))
  return out.slice(0, Snappy.compress(bytes, out))
}

const restored = (bytes: Uint8Array, length: number): Uint8Array => {
  const out = new Uint8Array(length)
  Snappy.decompress(bytes, out)
  return out
}

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

describe("Snappy", () => {
  it("restores what it compressed", () => {
    fc.assert(
      fc.property(bytes, (input) => {
        assert.deepStrictEqual(Buffer.from(restored(compressed(input), input.length)), input)
      }),
      { numRuns: 1000 }
    )
  })

  it("finds repeats as far as 64 KiB back, and compresses nothing where there are none", () => {
    const noise = crypto.getRandomValues(new Uint8Array(60_000))
    const twice = Buffer.concat([noise, noise])
    assert.isBelow(compressed(twice).length, 64_000)
    assert.deepStrictEqual(Buffer.from(restored(compressed(twice), twice.length)), twice)
    const alone = compressed(noise)
    assert.isAtMost(alone.length, Snappy.maxCompressed(noise.length))
    assert.deepStrictEqual(restored(alone, noise.length), noise)
    // Further back than a copy reaches.
    const far = Buffer.concat([noise, crypto.getRandomValues(new Uint8Array(10_000)), noise])
    assert.deepStrictEqual(Buffer.from(restored(compressed(far), far.length)), far)
  })
})
