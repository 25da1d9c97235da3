import { Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { choose as chooseBy, type ChoiceInput, partitionsOf } from "../../../src/plan/internal/partitioning.ts"
import type { Partitioning } from "../../../src/plan/Plan.ts"

type HashPartitioning = Extract<Partitioning, { readonly _tag: "Hash" }>
type RangePartitioning = Extract<Partitioning, { readonly _tag: "Range" }>

describe("where the rows of an exchange go", () => {
  const hash: HashPartitioning = { _tag: "Hash", partitions: (upstream) => upstream, make: (n) => Partitioner.hash(n) }
  const input = (partitions: number, partitioner?: Partitioner.Partitioner<never>) => ({ partitions, partitioner })
  const range = (partitions: number): RangePartitioning => ({
    _tag: "Range",
    given: false,
    partitions: () => partitions,
    sample: () => Effect.void,
    make: (_, n) => Partitioner.hash(n)
  })
  const choose = (partitioning: Partitioning, inputs: ReadonlyArray<ChoiceInput>, targetBytes?: number) =>
    chooseBy(partitioning, inputs, targetBytes)
  const sized = (partitions: number, size: number | undefined, partitioner?: Partitioner.Partitioner<never>) => ({
    partitions,
    partitioner,
    size
  })
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

  it("is as many partitions as it takes for each to have the target, if the sizes of inputs say so", () => {
    assert.strictEqual(choose(hash, [sized(2, 240)], 60)?.partitions, 4)
    assert.strictEqual(choose(hash, [sized(2, 241)], 60)?.partitions, 5)
    assert.strictEqual(choose(hash, [sized(2, 240), sized(3, 120)], 60)?.partitions, 6, "a partition holds all inputs")
    assert.strictEqual(choose(hash, [sized(2, 240), sized(9, undefined)], 60)?.partitions, 9, "of unknown size")
    assert.strictEqual(choose(hash, [sized(8, 240)], 60)?.partitions, 8, "never fewer than the largest input")
    assert.strictEqual(choose(hash, [sized(2, 240)])?.partitions, 2, "where their number matters")
    // Two hundred at most for the sizes alone.
    assert.strictEqual(choose(hash, [sized(2, 1e9)], 60)?.partitions, 200)
    assert.strictEqual(choose(hash, [sized(201, 1e9)], 60)?.partitions, 201)
    // What is in place stays, and a number that was asked for is kept.
    assert.strictEqual(choose(hash, [sized(3, 1e9, three)], 60), three)
    assert.strictEqual(choose({ ...hash, partitions: () => 6 }, [sized(3, 1e9)], 60)?.partitions, 6)
  })

  it("has that many ranges of an order too, unless it would take a sample to make more than one", () => {
    const order = { ...range(0), partitions: (upstream: number) => upstream }
    assert.strictEqual(partitionsOf(order, [sized(2, 240)], 60), 4)
    assert.strictEqual(partitionsOf(order, [sized(1, 240)], 60), 1)
    assert.strictEqual(partitionsOf(range(3), [sized(2, 240)], 60), 3, "asked for")
    assert.isUndefined(choose(order, [sized(2, 240)], 60))
    assert.strictEqual(choose(order, [sized(1, 240)], 60)?.partitions, 1)
  })

  it("takes a sample by order, unless there is one partition", () => {
    assert.isUndefined(choose(range(2), [input(4)]))
    assert.strictEqual(choose(range(1), [input(4)])?.partitions, 1)
    assert.strictEqual(choose({ _tag: "Fixed", partitioner: four! }, [input(9)]), four)
  })
})
