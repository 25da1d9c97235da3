import { Codec } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Aggregator } from "../../../src/shuffle/internal/model.ts"
import { Table } from "../../../src/shuffle/internal/table.ts"

const plain = <A>() => Codec.plain as unknown as Codec.Codec<A>

const sums: Aggregator<number, number> = {
  create: (n) => n,
  mergeValue: (a, b) => a + b,
  mergeCombiners: (a, b) => a * b,
  codec: plain()
}

const texts: Aggregator<string, string> = {
  create: (text) => text,
  mergeValue: (_, text) => text,
  mergeCombiners: (_, text) => text,
  codec: plain()
}

describe("a table", () => {
  it("has one entry per key, in the order in which the keys come, whatever is measured in between", () => {
    const keys = ["a", 1, "1", 1n, null, undefined, true, Number.NaN, { a: 1, b: 2 }, [1], new Date(1), "x".repeat(40)]
    const again = ["a", 1, "1", 1n, null, undefined, true, Number.NaN, { b: 2, a: 1 }, [1], new Date(1), "x".repeat(40)]
    const table = new Table<unknown, number, number>(plain(), sums)
    for (const [turn, key] of keys.entries()) {
      table.mergeValue(key, turn, turn)
      table.held()
    }
    for (const [turn, key] of again.entries()) {
      table.mergeValue(key, 100, turn)
      table.held()
    }
    assert.deepStrictEqual(table.keys, keys)
    assert.deepStrictEqual(
      table.values,
      keys.map((_, turn) => turn + 100)
    )
    table.mergeCombined(again[8], 2, 0)
    table.mergeCombined({ a: 3 }, 2, 0)
    assert.deepStrictEqual([table.values[8], table.values[12], table.size], [216, 2, 13])
    table.clear()
    assert.deepStrictEqual([table.size, table.held()], [0, 0])
    table.mergeValue("a", 5, 0)
    table.mergeValue({ a: 1, b: 2 }, 6, 1)
    assert.deepStrictEqual(
      [table.keys, table.values],
      [
        ["a", { a: 1, b: 2 }],
        [5, 6]
      ]
    )
  })

  it("keeps a key that was cut from a longer string, of any characters", () => {
    const line = `${"é".repeat(20)},${"x".repeat(20)},\ud800${"y".repeat(20)},short`
    const table = new Table<string, number, number>(plain(), sums)
    for (const [turn, key] of line.split(",").entries()) table.mergeValue(key, 1, turn)
    assert.deepStrictEqual(table.keys, line.split(","))
  })

  it("keeps every key when it grows, whichever came first", () => {
    for (let first = 0; first < 40; first++) {
      const table = new Table<string, number, number>(plain(), sums)
      const keys = Array.from({ length: 3000 }, (_, n) => `key ${(first * 3000 + n) * 7919}`)
      for (let time = 0; time < 2; time++) for (const [turn, key] of keys.entries()) table.mergeValue(key, 1, turn)
      assert.strictEqual(table.size, keys.length)
      assert.deepStrictEqual(table.keys, keys)
      assert.isTrue(table.values.every((count) => count === 2))
    }
  })

  it("knows what it holds: entries, keys and values", () => {
    const numbers = new Table<number, number, number>(plain(), sums)
    for (let n = 0; n < 1000; n++) numbers.mergeValue(n, n, n)
    // 96 bytes per entry, 16 for such a key, 8 for such a value.
    assert.strictEqual(numbers.held(), 1000 * (96 + 16 + 8))
    const long = new Table<string, string, string>(plain(), texts)
    for (let n = 0; n < 1000; n++) long.mergeValue(`${n}`.padStart(10), "v".repeat(500), n)
    // Two bytes for each of the 503 that encode a value, and the headers of its objects.
    assert.strictEqual(long.held(), 1000 * (96 + 10 + 2 * 503 + 32))
    const objects = new Table<{ readonly id: string }, number, number>(plain(), sums)
    for (let n = 0; n < 10; n++) objects.mergeValue({ id: `${n}`.repeat(200) }, n, n)
    assert.isAbove(objects.held(), 10 * (96 + 8 + 3 * 200))
    assert.isBelow(objects.held(), 10 * (96 + 8 + 3 * 250))
  })

  it("notices the few values that have most of the bytes if they came last", () => {
    const table = new Table<number, string, string>(plain(), texts)
    for (let n = 0; n < 1000; n++) table.mergeValue(n, "v", n)
    const before = table.held()
    // Not one of those that are sampled.
    table.mergeValue(17, "v".repeat(1_000_000), 5)
    assert.isAtLeast(table.held() - before, 2_000_000 * 0.9)
    const small = new Table<number, string, string>(plain(), texts)
    for (let n = 0; n < 10; n++) small.mergeValue(n, "v".repeat(n === 9 ? 1_000_000 : 1), n)
    assert.closeTo(small.held(), 2_000_000, 10_000, "all are looked at, none twice")
  })

  it("takes keys and values as deep as they may be, again and again", () => {
    let deep: unknown = "deepest"
    for (let n = 0; n < 256; n++) deep = [deep]
    const table = new Table<unknown, unknown, unknown>(plain(), {
      create: (value) => value,
      mergeValue: (_, value) => value,
      mergeCombiners: (_, value) => value,
      codec: Codec.plain
    })
    for (let turn = 0; turn < 3; turn++) {
      table.mergeValue(deep, deep, turn)
      assert.isAbove(table.held(), 2 * 256)
    }
    assert.strictEqual(table.size, 1)
  })

  it("uses the codec only for values that exist", () => {
    class Sum extends Schema.Class<Sum>("Sum")({ sum: Schema.Number }) {}
    const table = new Table<number, number, Sum>(plain(), {
      create: (sum) => new Sum({ sum }),
      mergeValue: (a, b) => new Sum({ sum: a.sum + b }),
      mergeCombiners: (a, b) => new Sum({ sum: a.sum + b.sum }),
      codec: Codec.fromSchema(Sum)
    })
    for (let n = 0; n < 200; n++) table.mergeValue(n, n, n)
    table.clear()
    // The entries met last before are of places that are not taken now.
    for (let n = 0; n < 70; n++) table.mergeValue(n, n, 0)
    assert.isAbove(table.held(), 70 * 96)
  })
})
