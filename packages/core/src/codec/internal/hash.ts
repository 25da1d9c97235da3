/** Hashes of encoded values, the same in every process. Both leave two halves in `prefix`. */
import type { Writer } from "./bytes.ts"
import { byteAt } from "./elements.ts"
import { prefix } from "./prefix.ts"

/** Two independent 32-bit hashes of bytes, the same in every process (MurmurHash3's steps on both). */
export const hashBytes = (bytes: Buffer, start: number, end: number): void => {
  let h = 0x9747b28c
  let g = 0x3c6ef372
  let i = start
  for (; i + 4 <= end; i += 4) {
    const word = bytes.readInt32LE(i)
    h = Math.imul(h ^ word, 0x5bd1e995)
    h ^= h >>> 15
    g = Math.imul(g + word, 0x9e3779b1)
    g ^= g >>> 13
  }
  let rest = (end - start) << 24
  for (let shift = 0; i < end; i++, shift += 8) rest ^= byteAt(bytes, i) << shift
  h = Math.imul(h ^ rest, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  g = Math.imul(g + rest, 0x27d4eb2f)
  g ^= g >>> 15
  g = Math.imul(g, 0x165667b1)
  prefix.high = (h ^ (h >>> 16)) >>> 0
  prefix.low = (g ^ (g >>> 16)) >>> 0
}

/**
 * Continues a hash, in {@link prefix}, over the bytes of a writer since `start`. Every record of a shuffle pays for
 * this, so it takes sixteen bytes per step in four lanes, as `MurmurHash3_x86_128` does.
 */
export const hashWritten = (writer: Writer, start: number, high: number, low: number): void => {
  const { bytes, position, view } = writer
  let h = high | 0
  let g = low | 0
  let i = start
  if (position - start >= 16) {
    let k = h ^ 0x3c6ef372
    let l = g ^ 0x1b873593
    for (; i + 16 <= position; i += 16) {
      h ^= spread(view.getInt32(i, true))
      h = (Math.imul(((h << 19) | (h >>> 13)) + g, 5) + 0x561ccd1b) | 0
      g ^= spread(view.getInt32(i + 4, true))
      g = (Math.imul(((g << 17) | (g >>> 15)) + k, 5) + 0x0bcaa747) | 0
      k ^= spread(view.getInt32(i + 8, true))
      k = (Math.imul(((k << 15) | (k >>> 17)) + l, 5) + 0x96cd1c35) | 0
      l ^= spread(view.getInt32(i + 12, true))
      l = (Math.imul(((l << 13) | (l >>> 19)) + h, 5) + 0x32ac3b17) | 0
    }
    h = Math.imul(h ^ (k >>> 15), 0x85ebca6b) + l
    g = Math.imul(g ^ (l >>> 13), 0xc2b2ae35) + k
  }
  for (; i + 4 <= position; i += 4) {
    h ^= spread(view.getInt32(i, true))
    h = (Math.imul(((h << 19) | (h >>> 13)) + g, 5) + 0x561ccd1b) | 0
    g = (Math.imul(((g << 17) | (g >>> 15)) + h, 5) + 0x0bcaa747) | 0
  }
  let rest = position - start
  for (; i < position; i++) rest = Math.imul(rest, 0x1000193) ^ byteAt(bytes, i)
  h ^= spread(rest)
  h ^= h >>> 13
  g = Math.imul(g + h, 0x27d4eb2f)
  g ^= g >>> 15
  h = Math.imul(h ^ g, 0xc2b2ae35)
  prefix.high = (h ^ (h >>> 16)) >>> 0
  prefix.low = (g ^ (g >>> 16)) >>> 0
}

const spread = (word: number): number => {
  const x = Math.imul(word, 0x239b961b)
  return Math.imul((x << 15) | (x >>> 17), 0x38b34ae5)
}
