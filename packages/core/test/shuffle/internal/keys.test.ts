import { Codec } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Order } from "effect"
import * as fc from "fast-check"
import { Writer } from "../../../src/codec/internal/bytes.ts"
import { byHash, byOrder, compareKeys } from "../../../src/shuffle/internal/keys.ts"

const encoded = (...values: ReadonlyArray<unknown>): Buffer => {
  const writer = new Writer(16)
  writer.canonical = true
  for (const value of values) Codec.plain.write(value, writer)
  return Buffer.from(writer.take())
}

/** Few distinct keys, so that many agree up to some depth. */
const key = fc.oneof(
  { arbitrary: fc.string({ unit: fc.constantFrom("a", "\0", "é"), maxLength: 40 }), weight: 2 },
  fc.constantFrom<unknown>(0, 1, -1, 127, 128, 2 ** 31, 0.5, null, undefined, 1n, 2n ** 70n),
  fc.array(fc.constantFrom<unknown>(0, "a", null, [0]), { maxLength: 20 }),
  fc.dictionary(fc.constantFrom("a", "b", "ab"), fc.constantFrom<unknown>(0, "a"))
)

/** Compares two keys, each the last of its buffer and at another place. */
const compared = (one: unknown, other: unknown): number =>
  compareKeys(
    byHash,
    Codec.plain,
    encoded("before", one),
    encoded("before").length,
    encoded(0, other),
    encoded(0).length
  )

describe("encoded keys", () => {
  it("are none the beginning of another, so that two differ before either ends", () => {
    fc.assert(
      fc.property(key, key, (one, other) => {
        const [short, long] = [encoded(one), encoded(other)].toSorted((a, b) => a.length - b.length)
        const begins = Buffer.compare(short!, long!.subarray(0, short!.length)) === 0
        assert.strictEqual(begins, short!.equals(long!))
      }),
      { numRuns: 1000 }
    )
  })

  it("of equal hashes are in the order of their bytes, also where a buffer ends with them", () => {
    fc.assert(
      fc.property(key, key, (one, other) => {
        const expected = Buffer.compare(encoded(one), encoded(other))
        assert.strictEqual(Math.sign(compared(one, other)), expected)
        assert.strictEqual(Math.sign(compared(other, one)), -expected || 0)
      }),
      { numRuns: 1000 }
    )
  })

  it("are decoded for an order of the program", () => {
    const byLength = byOrder(Order.mapInput(Order.Number, (text: unknown) => String(text).length))
    const compare = (one: string, other: string) =>
      compareKeys(byLength, Codec.plain, encoded(0, one), encoded(0).length, encoded(other), 0)
    assert.deepStrictEqual([compare("zz", "aaa"), compare("zzz", "aa"), compare("zz", "aa")], [-1, 1, 0])
  })

  it("go by their bytes for the orders of strings and numbers, and by the program for any other", () => {
    assert.deepStrictEqual(
      [byOrder(Order.String), byOrder(Order.Number), byOrder(Order.flip(Order.String))].map(({ name }) => name),
      ["string", "number", "order"]
    )
  })
})
