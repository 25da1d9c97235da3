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
