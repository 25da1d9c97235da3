import { assert, describe, it } from "@effect/vitest"
import { Order } from "effect"
import * as fc from "fast-check"
import * as Codec from "../../src/codec/Codec.ts"
import * as Partitioner from "../../src/shuffle/Partitioner.ts"

describe("Partitioner", () => {
  it("sends keys to the same partition in every process and version", () => {
    const keys = ["", "a", "hello", 0, 1, -1, 0.5, 10n, null, undefined, true, [1, "a"], { b: 1, a: 2 }]
    assert.deepStrictEqual(
      keys.map(Partitioner.hash(1000).partition),
      [89, 141, 616, 862, 133, 572, 134, 20, 163, 215, 817, 765, 445]
    )
  })

  it("sends keys that are equal to the same partition", () => {
    const hash = Partitioner.hash(1_000_003)
    const pairs: ReadonlyArray<readonly [unknown, unknown]> = [
      [
        { a: 1, b: 2 },
        { b: 2, a: 1 }
      ],
      [0, -0],
      [NaN, Number("x")],
      [new Date(7), new Date(7)],
      [
        ["x", 1n],
        ["x", 1n]
      ],
      [new Set(["x", "y"]), new Set(["y", "x"])]
    ]
    for (const [a, b] of pairs) assert.strictEqual(hash.partition(a), hash.partition(b))
    assert.notStrictEqual(hash.partition(1), hash.partition("1"))
  })

  it("spreads keys evenly", () => {
    for (const key of [
      (i: number): unknown => i,
      (i: number) => `key-${i}`,
      (i: number) => i * 1024,
      (i: number) => [i, "x"]
    ]) {
      const hash = Partitioner.hash(64)
      const counts = new Array<number>(64).fill(0)
      for (let i = 0; i < 64_000; i++) counts[hash.partition(key(i))]!++
      assert.isAbove(Math.min(...counts), 850)
      assert.isBelow(Math.max(...counts), 1150)
    }
  })

  it("splits by order, every key of a partition at most any of the next", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer()),
        fc.array(fc.integer()),
        fc.integer({ min: 1, max: 20 }),
        (sample, keys, partitions) => {
          const range = Partitioner.range({ partitions, sample, order: Order.Number })
          assert.isAtMost(range.partitions, partitions)
          const sorted = [...keys].toSorted(Order.Number).map(range.partition)
          assert.deepStrictEqual(
            sorted,
            [...sorted].toSorted((x, y) => x - y)
          )
          for (const partition of sorted) assert.isTrue(partition >= 0 && partition < range.partitions)
          assert.strictEqual(new Set(sample.map(range.partition)).size, sample.length === 0 ? 0 : range.partitions)
        }
      )
    )
  })

  it("splits a sample of equal weights into even parts", () => {
    const range = Partitioner.range({
      partitions: 8,
      sample: Array.from({ length: 800 }, (_, i) => i),
      order: Order.Number
    })
    assert.deepStrictEqual(range.bounds, [99, 199, 299, 399, 499, 599, 699])
  })

  it("knows when two sides are partitioned alike", () => {
    const order = Order.Number
    const range = (sample: ReadonlyArray<number>) => Partitioner.range({ partitions: 2, sample, order })
    assert.isTrue(Partitioner.equals(Partitioner.hash(4), Partitioner.hash(4)))
    assert.isFalse(Partitioner.equals(Partitioner.hash(4), Partitioner.hash(5)))
    assert.isFalse(
      Partitioner.equals(Partitioner.hash(4), Partitioner.hash(4, { codec: { ...Codec.plain, id: "schema" } }))
    )
    assert.isTrue(Partitioner.equals(range([1, 2, 3]), range([1, 2, 3])))
    assert.isFalse(Partitioner.equals(range([1, 2, 3]), range([4, 5, 6])))
    const one = Partitioner.make("first", 4, (key: string) => key.length)
    assert.isTrue(
      Partitioner.equals(
        one,
        Partitioner.make("first", 4, (key: string) => key.length)
      )
    )
    assert.isFalse(
      Partitioner.equals(
        one,
        Partitioner.make("last", 4, (key: string) => key.length)
      )
    )
    assert.isFalse(Partitioner.equals(Partitioner.roundRobin(4), Partitioner.roundRobin(4)))
  })
})
