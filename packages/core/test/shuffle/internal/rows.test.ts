import { Codec } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Order } from "effect"
import * as fc from "fast-check"
import { type Block } from "../../../src/shuffle/internal/blocks.ts"
import { Malformed, Reader, Writer } from "../../../src/codec/internal/bytes.ts"
import { byHash, byOrder, type Kind, type Layout } from "../../../src/shuffle/internal/keys.ts"
import { Rows } from "../../../src/shuffle/internal/rows.ts"

/** Plain data takes keys of every type. */
const layoutOf = <K>(): Layout<K> => ({
  key: Codec.plain as unknown as Codec.Codec<K>,
  values: [Codec.plain, Codec.plain]
})

const blockOf = (keys: ReadonlyArray<unknown>, from: number): Block => {
  const writer = new Writer(16)
  for (const [index, key] of keys.entries()) {
    writer.canonical = true
    Codec.plain.write(key, writer)
    writer.canonical = false
    Codec.plain.write(`value ${from + index}`, writer)
  }
  return { bytes: writer.take(), rows: keys.length }
}

/** The keys in blocks of different sizes, from two inputs. */
const rowsOf = <K>(kind: Kind<K>, keys: ReadonlyArray<K>): Rows<K> => {
  const rows = new Rows(kind, layoutOf<K>())
  for (let at = 0, size = 1; at < keys.length; at += size, size = (size * 3) % 17) {
    rows.add(blockOf(keys.slice(at, at + size), at), size % 2)
  }
  return rows
}

const sortedBy = <K>(kind: Kind<K>, keys: ReadonlyArray<K>): ReadonlyArray<number> => [...rowsOf(kind, keys).sorted()]

const stable = <K>(order: Order.Order<K>, keys: ReadonlyArray<K>): ReadonlyArray<number> =>
  keys.map((_, index) => index).toSorted((a, b) => order(keys[a]!, keys[b]!))

describe("rows in memory", () => {
  // Long enough for every depth at which strings are compared, and so few that many are equal up to there.
  const start = fc.constantFrom(
    "",
    "sixsix",
    "eight888",
    "fourteen chars",
    "twenty characters...",
    "é",
    "aaaaaaaé",
    "\0\0"
  )
  const end = fc.string({
    unit: fc.constantFrom("a", "b", "\0", "é", "\ud7ff", "\ud800", "\uffff", "😀"),
    maxLength: 3
  })
  const strings = fc.tuple(start, start, end).map((parts) => parts.join(""))
  const many = <K>(key: fc.Arbitrary<K>) => fc.array(key, { maxLength: 150, size: "max" })

  it("are sorted by strings as `<` does, equal ones as they came", () => {
    fc.assert(
      fc.property(many(strings), (keys) => {
        assert.deepStrictEqual(sortedBy(byOrder(Order.String), keys), stable(Order.String, keys))
      }),
      { numRuns: 150 }
    )
    const ascii = fc.tuple(
      fc.constantFrom("", "common start of words "),
      fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 4 })
    )
    fc.assert(
      fc.property(many(ascii), (pairs) => {
        const keys = pairs.map((parts) => parts.join(""))
        assert.deepStrictEqual(sortedBy(byOrder(Order.String), keys), stable(Order.String, keys))
      }),
      { numRuns: 100 }
    )
  })

  it("are sorted by numbers and by any other order, equal ones as they came", () => {
    const numbers = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double(), fc.constantFrom(0, -0, NaN, 5e-324, -5e-324))
    const downwards = Order.mapInput(Order.flip(Order.Number), (row: { readonly n: number }) => row.n)
    fc.assert(
      fc.property(many(numbers), (keys) => {
        assert.deepStrictEqual(sortedBy(byOrder(Order.Number), keys), stable(Order.Number, keys))
        const rows = keys.map((n) => ({ n }))
        assert.deepStrictEqual(sortedBy(byOrder(downwards), rows), stable(downwards, rows))
      }),
      { numRuns: 100 }
    )
  })

  it("are together by key, in the order they came, and it is known where each group begins", () => {
    const keys = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom("a", "b", "", null, undefined, 1n))
    fc.assert(
      fc.property(many(keys), (keys) => {
        const rows = rowsOf(byHash, keys)
        const order = [...rows.sorted()]
        const groups = [...rows.starts].map((start, index, starts) => order.slice(start, starts[index + 1]))
        const seen = new Set(groups.map(([first]) => keys[first!]))
        assert.strictEqual(seen.size, groups.length)
        assert.strictEqual(seen.size, new Set(keys).size)
        for (const group of groups) {
          assert.isTrue(group.every((row) => keys[row] === keys[group[0]!]))
          assert.deepStrictEqual(
            group,
            group.toSorted((a, b) => a - b)
          )
        }
        assert.strictEqual(groups.flat().length, keys.length)
        // The groups come in an order that another process has too.
        for (let n = 1; n < groups.length; n++) assert.isBelow(rows.compare(groups[n - 1]![0]!, groups[n]![0]!), 0)
      }),
      { numRuns: 150 }
    )
  })

  it("hold what their bytes and places take, and nothing when cleared", () => {
    const rows = new Rows(byHash, layoutOf())
    const empty = rows.held
    rows.add(blockOf(["a", "b"], 0), 0)
    const two = rows.held - empty
    assert.isAbove(two, rows.bytes)
    for (let n = 0; n < 300; n++) rows.add(blockOf(["a", "b"], 0), 0)
    // Where each is and its group, and its place in the order.
    assert.isAbove(rows.held, 602 * 12 + rows.bytes + 4 * 602)
    const keys = Array.from({ length: 602 }, (_, n) => `key ${n}`)
    const different = new Rows(byHash, layoutOf())
    different.add(blockOf(keys, 0), 0)
    const held = different.held - different.bytes - (rows.held - rows.bytes)
    assert.isAbove(held, 602 * (32 + 8 + 28), "each key has a line in the table, a slot, and a place in an order")
    const decoded = new Rows(byOrder(Order.flip(Order.String)), layoutOf())
    decoded.add(blockOf(["a", "b"], 0), 0)
    const encoded = new Rows(byOrder(Order.String), layoutOf<string>())
    encoded.add(blockOf(["a", "b"], 0), 0)
    assert.isAtLeast(encoded.held, encoded.bytes + 2 * (16 + 24))
    assert.isAtLeast(decoded.held - encoded.held, 2 * decoded.bytes, "decoded keys are held too")
    rows.clear()
    assert.deepStrictEqual([rows.held, rows.count, rows.bytes, rows.blocks.length], [empty, 0, 0, 0])
    rows.add(blockOf(["b", "a", "b"], 0), 1)
    assert.deepStrictEqual([...rows.sorted()].map((n) => n % 2).toSorted(), [0, 0, 1])
  })

  it("by hash, say where the value of each begins and where the record ends", () => {
    fc.assert(
      fc.property(many(fc.constantFrom("", "a", "b", "a longer key", null, 7)), (keys) => {
        const rows = rowsOf<unknown>(byHash, keys)
        for (const n of keys.keys()) {
          const value = rows.blockOf(n).subarray(rows.valueOf(n), rows.endOf(n))
          const reader = new Reader(value)
          assert.strictEqual(Codec.plain.read(reader), `value ${n}`)
          assert.strictEqual(reader.position, value.length)
        }
      }),
      { numRuns: 60 }
    )
  })

  it("without keys are one group", () => {
    const writer = new Writer(16)
    for (const value of ["x", "y", "z"]) Codec.plain.write(value, writer)
    const rows = new Rows(byHash, { key: Codec.none, values: [Codec.plain] })
    rows.add({ bytes: writer.take(), rows: 3 }, 0)
    assert.deepStrictEqual([[...rows.sorted()], [...rows.starts], rows.valueOf(1)], [[0, 1, 2], [0], 3])
  })

  it("are refused if a block has different rows than it says", () => {
    const block = blockOf(["a", "b", "c"], 0)
    for (const count of [2, 4]) {
      assert.throws(() => new Rows(byHash, layoutOf()).add({ bytes: block.bytes, rows: count }, 0))
      try {
        new Rows(byOrder(Order.String), layoutOf()).add({ bytes: block.bytes, rows: count }, 0)
        assert.fail("it was taken")
      } catch (thrown) {
        assert.instanceOf(thrown, Malformed)
      }
    }
  })
})
