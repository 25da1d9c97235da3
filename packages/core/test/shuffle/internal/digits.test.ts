import { assert, describe, it } from "@effect/vitest"
import { sortDigits } from "../../../src/shuffle/internal/digits.ts"

// Numbers from 0 to 1, the same in every run.
const random = (n: number) => (Math.imul(n + 1, 0x9e3779b1) >>> 0) / 2 ** 32

const inputs: ReadonlyArray<readonly [string, (n: number, count: number) => number]> = [
  ["random", (n) => Math.floor(random(n) * 2 ** 48)],
  ["few", (n) => Math.floor(random(n) * 5) * 2 ** 40],
  ["equal", () => 2 ** 48 - 1],
  ["sorted", (n) => n * 65_537],
  ["reversed", (n, count) => (count - n) * 2 ** 30],
  ["of the lowest bits", (n) => Math.floor(random(n) * 2 ** 12)],
  ["of the bits around the halves", (n) => Math.floor(random(n) * 4) * 2 ** 23],
  ["of the highest bits", (n) => Math.floor(random(n) * 2 ** 12) * 2 ** 36]
]

describe("sortDigits", () => {
  for (const [name, digitOf] of inputs) {
    it(`sorts digits that are ${name} and keeps the order of equal ones, few or many, and leaves the others alone`, () => {
      for (const count of [0, 1, 2, 15, 16, 17, 100, 1535, 1536, 1537, 5000, 40_000]) {
        const before = 3
        const size = count + 2 * before
        const digits = Float64Array.from({ length: size }, (_, n) => digitOf(n, size))
        const order = Uint32Array.from({ length: size }, (_, n) => size - n)
        const items = Array.from(order, (item, i) => [digits[i], item] as const)
        const sorted = [
          ...items.slice(0, before),
          ...items.slice(before, before + count).toSorted(([x = 0], [y = 0]) => x - y),
          ...items.slice(before + count)
        ]
        sortDigits(order, digits, new Uint32Array(size), new Float64Array(size), before, before + count)
        assert.deepStrictEqual(
          [...order],
          sorted.map(([, item]) => item)
        )
        assert.deepStrictEqual(
          [...digits],
          sorted.map(([digit]) => digit)
        )
      }
    })
  }
})
