import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { foldersLaw } from "../laws/folders.ts"
import { formats, type Tally, writeRead } from "../laws/writeRead.ts"

describe("what is written is read back, or refused", () => {
  for (const format of formats) {
    it(format, async () => {
      const tally: Tally = { held: 0, refused: 0 }
      await fc.assert(writeRead(format, tally), { numRuns: 120 })
      // A law that is refused everything holds of nothing. The format refused most is text, where 58 cases in 100 are
      // written: at most 30 of 120 would come once in 10^13 runs.
      expect(tally.held).toBeGreaterThan(30)
    })
  }

  it("in folders by columns, where `where` keeps what `filter` keeps", async () => {
    const tally: Tally = { held: 0, refused: 0 }
    await fc.assert(foldersLaw(tally), { numRuns: 40 })
    // 55 cases in 100 are written.
    expect(tally.held).toBeGreaterThan(5)
  })
})
