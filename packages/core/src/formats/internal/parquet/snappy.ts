/** Decompresses Snappy's raw format into given memory. Every length is checked, and one that does not fit throws. */

class SnappyError extends Error {
  override readonly name = "SnappyError"
}

const short = 24

const cutOff = (): never => {
  throw new SnappyError("has a compressed page that is cut off")
}

/** Fills all of `out`. */
export const decompress = (input: Uint8Array, out: Uint8Array): void => {
  let at = 0
  let length = 0
  for (let shift = 0; ; shift += 7) {
    const byte = input[at++]
    if (byte === undefined || shift > 28) throw new SnappyError("has a compressed page without a length")
    length += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) break
  }
  if (length !== out.length) throw new SnappyError(`has a page of ${length} bytes, but its header says ${out.length}`)
  let to = 0
  while (at < input.length) {
    const tag = input[at++] ?? cutOff()
    const kind = tag & 3
    let size: number
    let back = 0
    if (kind === 0) {
      size = (tag >> 2) + 1
      if (size > 60) {
        const extra = size - 60
        size = 1
        for (let i = 0; i < extra; i++) size += (input[at + i] ?? cutOff()) * 2 ** (8 * i)
        at += extra
      }
      if (at + size > input.length || to + size > length) cutOff()
      if (size > short) out.set(input.subarray(at, at + size), to)
      else for (let i = 0; i < size; i++) out[to + i] = input[at + i] ?? cutOff()
      at += size
      to += size
      continue
    }
    if (kind === 1) {
      size = ((tag >> 2) & 7) + 4
      back = ((tag >> 5) << 8) | (input[at] ?? cutOff())
      at += 1
    } else {
      size = (tag >> 2) + 1
      back = (input[at] ?? cutOff()) | ((input[at + 1] ?? cutOff()) << 8)
      if (kind === 3) back += (input[at + 2] ?? cutOff()) * 2 ** 16 + (input[at + 3] ?? cutOff()) * 2 ** 24
      at += kind === 2 ? 2 : 4
    }
    if (back === 0 || back > to || to + size > length) cutOff()
    if (size > short && back >= size) out.copyWithin(to, to - back, to - back + size)
    // An overlap repeats what was just written.
    else for (let i = 0; i < size; i++) out[to + i] = out[to - back + i] ?? cutOff()
    to += size
  }
  if (to !== length) cutOff()
}

const hashBits = 14
const table = new Int32Array(1 << hashBits)
// How far back a copy of three bytes reaches.
const farthest = 65_535
const shortest = 4
// Room after the last element, for copies of four bytes at a time.
const slack = 32

/** The most bytes that `length` bytes can become. */
export const maxCompressed = (length: number): number => slack + length + Math.ceil(length / 6)

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/**
 * Compresses into `out`, which has {@link maxCompressed} bytes of room, and returns how many it took. It looks for
 * repeats like the reference implementation: at the last place whose four bytes have the same hash, and less and less
 * often if it finds none.
 */
export const compress = (input: Uint8Array, out: Uint8Array): number => {
  const from = viewOf(input)
  const to = viewOf(out)
  table.fill(-1)
  const last = input.length - shortest
  let used = writeLength(to, input.length)
  let literal = 0
  let at = 0
  let misses = 32
  while (at <= last) {
    const word = from.getInt32(at, true)
    const slot = Math.imul(word, 0x1e35a7bd) >>> (32 - hashBits)
    const before = table[slot] ?? -1
    table[slot] = at
    if (before < 0 || at - before > farthest || from.getInt32(before, true) !== word) {
      at += misses++ >> 5
      continue
    }
    const end = endOfMatch(from, before + shortest, at + shortest)
    if (literal < at) used = writeLiteral(from, to, literal, at, used)
    used = writeCopy(to, at - before, end - at, used)
    literal = at = end
    misses = 32
  }
  return literal < input.length ? writeLiteral(from, to, literal, input.length, used) : used
}

/** The first place where the bytes from `right` on differ from those from `left` on. */
const endOfMatch = (bytes: DataView, left: number, right: number): number => {
  const back = right - left
  const { byteLength } = bytes
  let at = right
  while (at + 4 <= byteLength && bytes.getInt32(at, true) === bytes.getInt32(at - back, true)) at += 4
  while (at < byteLength && bytes.getUint8(at) === bytes.getUint8(at - back)) at++
  return at
}

const writeLength = (out: DataView, length: number): number => {
  let used = 0
  let rest = length
  for (; rest >= 0x80; rest >>>= 7) out.setUint8(used++, (rest & 0x7f) | 0x80)
  out.setUint8(used++, rest)
  return used
}

const writeLiteral = (input: DataView, out: DataView, from: number, to: number, start: number): number => {
  const length = to - from
  let used = start
  if (length <= 60) {
    out.setUint8(used++, (length - 1) << 2)
  } else {
    const bytes = length <= 0x100 ? 1 : length <= 0x1_0000 ? 2 : length <= 0x100_0000 ? 3 : 4
    out.setUint8(used++, (59 + bytes) << 2)
    for (let i = 0; i < bytes; i++) out.setUint8(used++, ((length - 1) >>> (8 * i)) & 0xff)
  }
  const end = used + length
  const { byteLength } = input
  let at = from
  for (; at < to && at + 4 <= byteLength; at += 4, used += 4) out.setInt32(used, input.getInt32(at, true), true)
  for (; at < to; at++) out.setUint8(used++, input.getUint8(at))
  return end
}

/** Copies of at most 64 bytes, and none of a rest of fewer than four. */
const writeCopy = (out: DataView, back: number, length: number, start: number): number => {
  let used = start
  let rest = length
  for (; rest >= 68; rest -= 64) used = writeFarCopy(out, back, 64, used)
  if (rest > 64) {
    used = writeFarCopy(out, back, 60, used)
    rest -= 60
  }
  if (rest > 11 || back >= 2048) return writeFarCopy(out, back, rest, used)
  out.setUint16(used, 1 | ((rest - 4) << 2) | ((back >> 8) << 5) | ((back & 0xff) << 8), true)
  return used + 2
}

const writeFarCopy = (out: DataView, back: number, length: number, used: number): number => {
  out.setUint8(used, 2 | ((length - 1) << 2))
  out.setUint16(used + 1, back, true)
  return used + 3
}
