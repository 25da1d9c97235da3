import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { formats, type Tally, writeRead } from "./laws/writeRead.ts"

describe("what is written is read back, or refused", () => {
  for (const format of formats) {
    it(format, async () => {
      const tally: Tally = { held: 0, refused: 0 }
      await fc.assert(writeRead(format, tally), { numRuns: 200 })
      // A law that is refused everything holds of nothing.
      expect(tally.held).toBeGreaterThan(tally.refused)
    })
  }
})
