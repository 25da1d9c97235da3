import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Waiting } from "../../../src/commit/internal/partition.ts"

const rows = fc.array(
  fc.record({ folder: fc.constantFrom("a", "b", "c", "d"), bytes: fc.integer({ min: 0, max: 2000 }) })
)

describe("rows that wait for their folders", () => {
  it("come out once, in order, the largest folder first, and no more than the limit stay", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(rows, fc.integer({ min: -1, max: 6000 }))), (rounds) => {
        const waiting = new Waiting<number>()
        const asked = new Map<string, Array<number>>()
        const written = new Map<string, Array<number>>()
        const files = new Map<string, number>()
        const held = new Map<string, number>()
        let next = 0
        for (const [added, limit] of [...rounds, [[], -1] as const]) {
          for (const { bytes, folder } of added) {
            asked.set(folder, [...(asked.get(folder) ?? []), next])
            // A folder itself takes some bytes.
            held.set(folder, (held.get(folder) ?? 512) + bytes)
            waiting.add(folder, next++, bytes)
          }
          let last = Infinity
          for (const { folder, number, rows } of waiting.take(limit)) {
            assert.isAtMost(held.get(folder) ?? 0, last)
            last = held.get(folder) ?? 0
            held.delete(folder)
            assert.strictEqual(number, files.get(folder) ?? 0)
            files.set(folder, number + 1)
            assert.isNotEmpty(rows)
            written.set(folder, [...(written.get(folder) ?? []), ...rows])
          }
          const bytes = [...held.values()].reduce((sum, each) => sum + each, 0)
          assert.strictEqual(waiting.bytes, bytes)
          assert.isAtMost(bytes, Math.max(0, limit))
          // No folder is written that could have stayed.
          if (last < Infinity) assert.isAbove(bytes + last, limit)
        }
        assert.deepStrictEqual(written, asked)
      }),
      { numRuns: 200 }
    )
  })
})
