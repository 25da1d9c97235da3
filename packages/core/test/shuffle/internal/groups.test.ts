import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Groups } from "../../../src/shuffle/internal/groups.ts"

describe("the groups of records", () => {
  it("are the different keys, as they come, whatever their hashes have in common", () => {
    const record = fc.record({
      key: fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 5 }),
      // How many different hashes there are: from one for all keys to nearly one for each.
      high: fc.constantFrom(1, 2, 1000),
      low: fc.constantFrom(1, 3, 1000)
    })
    fc.assert(
      fc.property(
        fc.array(record, { maxLength: 400, size: "max" }),
        fc.integer({ min: 1, max: 50 }),
        (records, per) => {
          const blocks: Array<Buffer> = []
          const groups = new Groups(blocks)
          const known = new Map<string, { readonly group: number; readonly leader: number; records: number }>()
          const hashOf = (key: string, modulo: number) =>
            [...key].reduce((hash, char) => (hash * 31 + char.charCodeAt(0)) % 1009, 7) % modulo
          for (let from = 0; from < records.length; from += per) {
            const some = records.slice(from, from + per)
            // Each key after a byte that belongs to another.
            blocks.push(Buffer.from(some.map(({ key }) => `-${key}`).join("")))
            let at = 0
            for (const [index, { high, key, low }] of some.entries()) {
              const start = at + 1
              at = start + key.length
              const id = `${high} ${low} ${key}`
              const group = groups.add(
                from + index,
                blocks.length - 1,
                start,
                at,
                high * 2000 + hashOf(key, high),
                low * 2000 + hashOf(key, low)
              )
              const before = known.get(id)
              if (before === undefined) known.set(id, { group, leader: from + index, records: 1 })
              else before.records++
              assert.strictEqual(group, before?.group ?? known.size - 1)
            }
          }
          assert.strictEqual(groups.count, known.size)
          for (const [id, { group, leader, records }] of known) {
            const [high, low, key = ""] = id.split(" ")
            assert.deepStrictEqual(
              [groups.leaderOf(group), groups.recordsOf(group), groups.sizeOf(group)],
              [leader, records, key.length]
            )
            assert.strictEqual(groups.highOf(group), Number(high) * 2000 + hashOf(key, Number(high)))
            assert.strictEqual(groups.lowOf(group), Number(low) * 2000 + hashOf(key, Number(low)))
          }
        }
      ),
      { numRuns: 150 }
    )
  })

  it("keep their numbers when there are many", () => {
    const keys = Array.from({ length: 5000 }, (_, n) => `key ${n}`)
    const block = Buffer.from(keys.join(""))
    const groups = new Groups([block])
    for (let round = 0; round < 2; round++) {
      let at = 0
      for (const [n, key] of keys.entries()) {
        // Hashes of which every 16 are the same, and whose upper bits are set.
        const group = groups.add(round * 5000 + n, 0, at, at + key.length, 0xffffffff - (n >> 4), 0xfffffff0 - (n >> 4))
        assert.strictEqual(group, n)
        at += key.length
      }
    }
    assert.strictEqual(groups.count, 5000)
    assert.isTrue(keys.every((_, n) => groups.recordsOf(n) === 2 && groups.leaderOf(n) === n))
    assert.isAtLeast(groups.held, 5000 * (32 + 8))
  })
})
