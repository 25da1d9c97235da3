/** Sorts items by numbers of up to 48 bits, their digits. Equal digits keep their order. */
import { float64At, uint32At } from "../../codec/internal/elements.ts"

// Bits that a pass distributes by: its counters fit into the fastest cache.
const BITS = 12
const BUCKETS = 2 ** BITS
const MASK = BUCKETS - 1
const HALF = 2 ** (2 * BITS)
const PASSES = 4

// From this many items on, a pass over all of them for each twelve bits costs less than merging.
const MANY = 1536

const counters = new Uint32Array(PASSES * BUCKETS)

// The twelve bits that a pass looks at; the pass is its place from the lowest ones.
const bitsOf = (digit: number, pass: number): number => {
  const upper = Math.floor(digit / HALF)
  const half = pass < 2 ? digit - upper * HALF : upper
  return (half >>> (BITS * (pass & 1))) & MASK
}

const count = (digits: Float64Array, start: number, end: number): void => {
  counters.fill(0)
  for (let i = start; i < end; i++) {
    const digit = float64At(digits, i)
    const upper = Math.floor(digit / HALF)
    const lower = digit - upper * HALF
    const a = lower & MASK
    const b = BUCKETS + (lower >>> BITS)
    const c = 2 * BUCKETS + (upper & MASK)
    const d = 3 * BUCKETS + (upper >>> BITS)
    counters[a] = uint32At(counters, a) + 1
    counters[b] = uint32At(counters, b) + 1
    counters[c] = uint32At(counters, c) + 1
    counters[d] = uint32At(counters, d) + 1
  }
}

// Turns the numbers of items in the buckets of a pass into places; `false` if one bucket has them all.
const place = (pass: number, start: number, end: number): boolean => {
  let at = start
  for (let i = pass * BUCKETS; i < (pass + 1) * BUCKETS; i++) {
    const items = uint32At(counters, i)
    if (items === end - start) return false
    counters[i] = at
    at += items
  }
  return true
}

// Distributes by the lowest bits first; each pass keeps the order of the one before.
const radixDigits = (
  order: Uint32Array,
  digits: Float64Array,
  spare: Uint32Array,
  spareDigits: Float64Array,
  start: number,
  end: number
): void => {
  count(digits, start, end)
  let fromOrder = order
  let fromDigits = digits
  let toOrder = spare
  let toDigits = spareDigits
  for (let pass = 0; pass < PASSES; pass++) {
    if (!place(pass, start, end)) continue
    const first = pass * BUCKETS
    for (let i = start; i < end; i++) {
      const digit = float64At(fromDigits, i)
      const bucket = first + bitsOf(digit, pass)
      const at = uint32At(counters, bucket)
      counters[bucket] = at + 1
      toDigits[at] = digit
      toOrder[at] = uint32At(fromOrder, i)
    }
    const swapOrder = fromOrder
    const swapDigits = fromDigits
    fromOrder = toOrder
    fromDigits = toDigits
    toOrder = swapOrder
    toDigits = swapDigits
  }
  if (fromOrder !== order) {
    order.set(fromOrder.subarray(start, end), start)
    digits.set(fromDigits.subarray(start, end), start)
  }
}

// Insertion within short pieces, then merges.
const mergeDigits = (
  order: Uint32Array,
  digits: Float64Array,
  spare: Uint32Array,
  spareDigits: Float64Array,
  start: number,
  end: number
): void => {
  const PIECE = 16
  for (let from = start; from < end; from += PIECE) {
    const to = Math.min(from + PIECE, end)
    for (let i = from + 1; i < to; i++) {
      const digit = float64At(digits, i)
      const item = uint32At(order, i)
      let j = i - 1
      while (j >= from && float64At(digits, j) > digit) {
        digits[j + 1] = float64At(digits, j)
        order[j + 1] = uint32At(order, j)
        j--
      }
      digits[j + 1] = digit
      order[j + 1] = item
    }
  }
  let fromOrder = order
  let fromDigits = digits
  let toOrder = spare
  let toDigits = spareDigits
  for (let width = PIECE; width < end - start; width *= 2) {
    for (let from = start; from < end; from += 2 * width) {
      const middle = Math.min(from + width, end)
      const to = Math.min(from + 2 * width, end)
      let left = from
      let right = middle
      for (let out = from; out < to; out++) {
        const next =
          right >= to || (left < middle && float64At(fromDigits, left) <= float64At(fromDigits, right))
            ? left++
            : right++
        toDigits[out] = float64At(fromDigits, next)
        toOrder[out] = uint32At(fromOrder, next)
      }
    }
    const swapOrder = fromOrder
    const swapDigits = fromDigits
    fromOrder = toOrder
    fromDigits = toDigits
    toOrder = swapOrder
    toDigits = swapDigits
  }
  if (fromOrder !== order) {
    order.set(fromOrder.subarray(start, end), start)
    digits.set(fromDigits.subarray(start, end), start)
  }
}

/** Sorts the range `[start, end)` of both arrays by the digits, which are whole numbers below 2^48. */
export const sortDigits = (
  order: Uint32Array,
  digits: Float64Array,
  spare: Uint32Array,
  spareDigits: Float64Array,
  start: number,
  end: number
): void =>
  end - start < MANY
    ? mergeDigits(order, digits, spare, spareDigits, start, end)
    : radixDigits(order, digits, spare, spareDigits, start, end)
