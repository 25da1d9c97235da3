import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { grouped } from "../../../src/observe/internal/numbers.ts"

it("groups the digits of whole numbers as English does", () => {
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -2000, max: 2_000_000 })), (n) => {
      assert.strictEqual(grouped(n), n.toLocaleString("en-US"))
    })
  )
  assert.strictEqual(grouped(999.5), "1,000")
})
