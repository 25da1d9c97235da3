import { Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { choose } from "../../../src/plan/internal/partitioning.ts"
import type { Partitioning } from "../../../src/plan/Plan.ts"

type HashPartitioning = Extract<Partitioning, { readonly _tag: "Hash" }>
type RangePartitioning = Extract<Partitioning, { readonly _tag: "Range" }>

describe("where the rows of an exchange go", () => {
  const hash: HashPartitioning = { _tag: "Hash", partitions: (upstream) => upstream, make: (n) => Partitioner.hash(n) }
  const input = (partitions: number, partitioner?: Partitioner.Partitioner<never>) => ({ partitions, partitioner })
  const [three, four, forty] = [3, 4, 40].map((n) => Partitioner.hash(n))

  it("is as many partitions as the largest input has, one at least", () => {
    assert.strictEqual(choose(hash, [input(3), input(8), input(5)])?.partitions, 8)
    assert.strictEqual(choose(hash, [])?.partitions, 1)
    assert.strictEqual(choose({ ...hash, partitions: () => 6 }, [input(3), input(8)])?.partitions, 6)
  })

  it("is like the input that has most partitions of those that are in place already", () => {
    assert.strictEqual(choose(hash, [input(3, three), input(4, four)]), four)
    assert.strictEqual(choose(hash, [input(4, four), input(3, three)]), four)
    assert.strictEqual(choose(hash, [input(20), input(3, three)]), three, "a larger one moves")
    assert.strictEqual(choose(hash, [input(29), input(3, three)]), three)
    // Unless that are a tenth of the partitions or fewer, or a number was asked for.
    assert.strictEqual(choose(hash, [input(30), input(3, three)])?.partitions, 30)
    assert.strictEqual(choose({ ...hash, partitions: () => 5 }, [input(4, four)])?.partitions, 5)
    assert.strictEqual(choose(hash, [input(40, forty), input(4)]), forty)
  })

  it("is not like an input that is partitioned in another way", () => {
    const own = Partitioner.make<never>("own", 4, () => 0)
    const chosen = choose(hash, [input(4, own), input(3, three)])
    assert.strictEqual(chosen, three)
    assert.strictEqual(choose(hash, [input(4, own)])?._tag, "Hash")
  })

  it("takes a sample by order, unless there is one partition", () => {
    const range = (partitions: number): RangePartitioning => ({
      _tag: "Range",
      given: false,
      partitions: () => partitions,
      sample: () => Effect.void,
      make: (_, n) => Partitioner.hash(n)
    })
    assert.isUndefined(choose(range(2), [input(4)]))
    assert.strictEqual(choose(range(1), [input(4)])?.partitions, 1)
    assert.strictEqual(choose({ _tag: "Fixed", partitioner: four! }, [input(9)]), four)
  })
})
