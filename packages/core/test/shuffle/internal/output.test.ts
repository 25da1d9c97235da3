import { assert, describe, it } from "@effect/vitest"
import { Effect, Scope } from "effect"
import { Blocks } from "../../../src/shuffle/internal/blocks.ts"
import * as memoryBudget from "../../../src/shuffle/internal/memory.ts"
import { Allowance, Output } from "../../../src/shuffle/internal/output.ts"
import { memory } from "../../../src/shuffle/internal/store.ts"

/** Puts a record of that many bytes into the bucket of a partition. */
const put = (output: Output, partition: number, bytes: number): void => {
  const bucket = output.begin(partition)
  const capacity = bucket.writer.bytes.length
  bucket.writer.copy(Buffer.alloc(bytes, partition), 0, bytes)
  output.end(bucket, capacity, partition, bytes)
}

const make = Effect.fnUntraced(function* (blockBytes: number, partitions = 1) {
  const store = memory("none")
  const scope = yield* Effect.scope
  let files = 0
  const batches: Array<number> = []
  const create = Effect.map(Scope.provide(store.create("job-0", "map-0"), scope), (file) => {
    files++
    return {
      ...file,
      append: (parts: ReadonlyArray<Uint8Array>) => {
        batches.push(parts.length / 2)
        return file.append(parts)
      }
    }
  })
  return { output: new Output(blockBytes, partitions, store, create), store, batches, files: () => files }
})

describe("the output of a map task", () => {
  it.effect("holds what its buffers take, and nothing after a pass", () =>
    Effect.gen(function* () {
      const { output } = yield* make(10_000)
      // A buffer of 512 bytes and its bucket; it doubles when it is full.
      put(output, 3, 10)
      assert.strictEqual(output.held, 512 + 128)
      put(output, 3, 500)
      assert.strictEqual(output.held, 512 + 128)
      put(output, 3, 10)
      assert.strictEqual(output.held, 1024 + 128)
      put(output, 2000, 10)
      assert.strictEqual(output.held, 1024 + 512 + 2 * 128)
      // One block is full, and the next has a new buffer.
      put(output, 3, 10_000)
      assert.strictEqual(output.held, 10_520 + (10_000 + 4096) + 512 + 2 * 128)
      yield* output.pass
      assert.strictEqual(output.held, 0)
      put(output, 3, 10)
      assert.strictEqual(output.held, 512 + 128)
    })
  )

  it.effect("has the rows of every partition together in each pass, in ascending order, and names them", () =>
    Effect.gen(function* () {
      const { batches, files, output, store } = yield* make(1000)
      yield* output.pass
      assert.strictEqual(files(), 0, "no file before there are rows")
      // Below and above the partitions that are looked up by their number.
      const partitions = [1500, 7, 1023, 1024, 0]
      for (let pass = 0; pass < 2; pass++) {
        for (let n = 0; n < 30; n++) put(output, partitions[n % 5]!, 100 + pass)
        yield* output.pass
      }
      const status = yield* output.finish("job-0", { map: 4, attempt: 2 })
      assert.deepStrictEqual([status.map, status.attempt, files()], [4, 2, 1])
      assert.deepStrictEqual(batches, [5, 5])
      assert.deepStrictEqual(status.partitions, [0, 7, 1023, 1024, 1500, 0, 7, 1023, 1024, 1500])
      assert.deepStrictEqual(status.rows, Array(10).fill(6))
      assert.deepStrictEqual(status.bytes, [...Array(5).fill(600), ...Array(5).fill(606)])
      const file = yield* Effect.scoped(store.open(status))
      for (const [index, partition] of status.partitions.entries()) {
        const blocks = new Blocks(file, [{ offset: status.offsets[index]!, length: status.lengths[index]! }])
        const block = yield* blocks.next
        assert.deepStrictEqual([block?.rows, block?.bytes.length], [6, status.bytes[index]])
        assert.isTrue(block?.bytes.every((byte) => byte === (partition & 255)))
        assert.isUndefined(yield* blocks.next)
      }
    })
  )

  it.effect("is full with 128 blocks, and with four for each partition", () =>
    Effect.gen(function* () {
      for (const [partitions, most] of [
        [1, 128],
        [32, 128],
        [33, 132],
        [100, 400]
      ] as const) {
        const { output } = yield* make(1000, partitions)
        // Buffers for full blocks and one that is smaller.
        for (let n = 1; n < most; n++) put(output, 0, 1000)
        assert.isFalse(output.full, `${partitions} partitions`)
        put(output, 0, 1000)
        put(output, 0, 1000)
        assert.isTrue(output.full, `${partitions} partitions`)
        yield* output.flush
        assert.isFalse(output.full)
      }
    })
  )

  it.effect("uses its buffers again, and no byte of one block is in another", () =>
    Effect.gen(function* () {
      const { output, store } = yield* make(1000)
      const contents: Array<number> = []
      const fill = (from: number, to: number, bytes: number) => {
        for (let n = from; n < to; n++) {
          const bucket = output.begin(n % 3)
          const capacity = bucket.writer.bytes.length
          bucket.writer.copy(Buffer.alloc(bytes, n), 0, bytes)
          output.end(bucket, capacity, n, n)
        }
      }
      fill(0, 60, 700)
      const before = output.held
      yield* output.flush
      // Each partition had nine full buffers after its first, and one that was not full.
      assert.strictEqual(output.held, 27 * (1000 + 4096))
      assert.isBelow(output.held, before)
      const kept = output.held
      fill(60, 90, 600)
      assert.isBelow(output.held - kept, 1000, "there were enough")
      // A row that is larger than a buffer gets a larger one, which is given up.
      fill(90, 91, 20_000)
      fill(91, 95, 10)
      yield* output.flush
      assert.isAtMost(output.held, kept)
      fill(95, 110, 300)
      yield* output.pass
      assert.strictEqual(output.held, 0)
      fill(110, 120, 5)
      const status = yield* output.finish("job-0", { map: 0, attempt: 0 })
      assert.deepStrictEqual(status.partitions, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
      const file = yield* Effect.scoped(store.open(status))
      for (const [index, partition] of status.partitions.entries()) {
        const blocks = new Blocks(file, [{ offset: status.offsets[index]!, length: status.lengths[index]! }])
        for (let block = yield* blocks.next; block !== undefined; block = yield* blocks.next) {
          for (const byte of new Set(block.bytes)) {
            assert.strictEqual(byte % 3, partition)
            contents.push(...Array<number>(block.bytes.filter((other) => other === byte).length).fill(byte))
          }
        }
      }
      const written = new Map<number, number>()
      for (const n of contents) written.set(n, (written.get(n) ?? 0) + 1)
      const sizeOf = (n: number) => (n < 60 ? 700 : n < 90 ? 600 : n === 90 ? 20_000 : n < 95 ? 10 : n < 110 ? 300 : 5)
      assert.deepStrictEqual(
        [...written].toSorted(([x], [y]) => x - y),
        Array.from({ length: 120 }, (_, n) => [n, sizeOf(n)])
      )
    })
  )

  it.effect("is written in batches of 64 blocks, and a partition is one segment of several blocks", () =>
    Effect.gen(function* () {
      const { batches, output } = yield* make(100)
      for (let n = 0; n < 200; n++) put(output, n < 150 ? 5 : 6, 100)
      const status = yield* output.finish("job-0", { map: 0, attempt: 0 })
      assert.deepStrictEqual(batches, [64, 64, 64, 8])
      assert.deepStrictEqual(status.partitions, [5, 6])
      assert.deepStrictEqual(status.rows, [150, 50])
      assert.deepStrictEqual(status.bytes, [15_000, 5000])
      assert.deepStrictEqual(status.lengths, [150 * 124, 50 * 124])
      assert.deepStrictEqual(status.offsets, [0, 150 * 124])
    })
  )
})

describe("the allowance of a task", () => {
  it("asks for a sixteenth of the budget, rounded down, more than is held, and only when that is used up", () => {
    const asked: Array<number> = []
    let most = Infinity
    const allowance = new Allowance(
      {
        resize: (bytes) => {
          asked.push(bytes)
          return bytes <= most
        },
        release: () => {}
      },
      1601
    )
    assert.isTrue([0, 1, 50, 101].every((held) => allowance.allows(held)))
    assert.deepStrictEqual(asked, [101])
    assert.isTrue(allowance.allows(102))
    assert.deepStrictEqual(asked, [101, 202])
    most = 250
    assert.isFalse(allowance.allows(203))
    assert.isTrue(allowance.allows(202), "what was granted stays")
    allowance.clear()
    assert.deepStrictEqual(asked, [101, 202, 303, 0])
    assert.isTrue(allowance.allows(1))
    assert.deepStrictEqual(asked, [101, 202, 303, 0, 101], "after a pass it has nothing")
  })
})

describe("the budget of an executor", () => {
  it("gives each task an equal share, at once a quarter of it, and never more than there is", () => {
    const budget = memoryBudget.make({ total: 1000, blockBytes: 1 })
    const one = budget.claim()
    assert.isTrue(one.resize(1000))
    assert.isFalse(one.resize(1001))
    const two = budget.claim()
    // The first holds it all: a quarter of a half is given nevertheless.
    assert.isTrue(two.resize(125))
    assert.isFalse(two.resize(126))
    assert.isTrue(one.resize(900), "less is always granted")
    assert.isFalse(one.resize(901), "more than its half")
    assert.isTrue(one.resize(400))
    assert.isTrue(two.resize(500))
    assert.isFalse(two.resize(501))
    two.release()
    two.release()
    assert.isTrue(one.resize(1000), "what was released is there, once")
    one.release()
    const [three, four] = [budget.claim(), budget.claim()]
    assert.isTrue(three.resize(500) && four.resize(500))
    assert.isFalse(three.resize(501))
  })
})
