/** Snappy's raw format, by a codec in WebAssembly that checks every length; one that does not fit throws. */
import { snappyCompressor, snappyUncompressor } from "hysnappy"

class SnappyError extends Error {
  override readonly name = "SnappyError"
}

// The memory of an instance never shrinks, so an instance that was given a larger page than this is dropped.
const mostKept = 8 * 1024 * 1024

/** One instance of the codec, made when it is first needed, and again after a large page or a failure. */
const kept = <A extends ReadonlyArray<unknown>>(instantiate: () => (...args: A) => Uint8Array) => {
  let instance: ((...args: A) => Uint8Array) | undefined
  return (bytes: number, ...args: A): Uint8Array => {
    const run = instance ?? instantiate()
    instance = undefined
    const result = run(...args)
    if (bytes <= mostKept) instance = run
    return result
  }
}

const compressor = kept(snappyCompressor)
const decompressor = kept(snappyUncompressor)

/** In memory of its own. */
export const compress = (bytes: Uint8Array): Uint8Array => compressor(bytes.length, bytes)

/** The length that compressed bytes begin with. */
const lengthOf = (bytes: Uint8Array): number => {
  let length = 0
  for (let at = 0, shift = 0; shift <= 28; at++, shift += 7) {
    const byte = bytes[at]
    if (byte === undefined) break
    length += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return length
  }
  throw new SnappyError("has a compressed page without a length")
}

/** `length` bytes, in memory of their own. */
export const decompress = (bytes: Uint8Array, length: number): Uint8Array => {
  // The codec makes room for as many bytes as it is told, and writes as many as the compressed bytes say.
  const its = lengthOf(bytes)
  if (its !== length) throw new SnappyError(`has a page of ${its} bytes, but its header says ${length}`)
  try {
    return decompressor(bytes.length + length, bytes, length)
  } catch {
    throw new SnappyError("has a compressed page that is cut off or damaged")
  }
}

// Shorter runs of bytes are copied faster one by one.
const short = 24

const cutOff = (): never => {
  throw new SnappyError("has a compressed page that is cut off or damaged")
}

/**
 * As {@link decompress}, into all of `out`, for bytes most of which did not repeat, such as those of vectors: the engine
 * copies these ten times as fast as the codec, which copies byte by byte, into memory of its own first.
 */
export const decompressInto = (input: Uint8Array, out: Uint8Array): void => {
  const length = lengthOf(input)
  if (length !== out.length) throw new SnappyError(`has a page of ${length} bytes, but its header says ${out.length}`)
  const byteAt = (index: number): number => input[index] ?? cutOff()
  let at = input.findIndex((byte) => byte < 0x80) + 1
  let to = 0
  while (at < input.length) {
    const tag = byteAt(at++)
    const kind = tag & 3
    let size = (tag >> 2) + 1
    if (kind === 0) {
      if (size > 60) {
        const extra = size - 60
        size = 1
        for (let i = 0; i < extra; i++) size += byteAt(at + i) * 2 ** (8 * i)
        at += extra
      }
      if (at + size > input.length || to + size > length) cutOff()
      if (size > short) out.set(input.subarray(at, at + size), to)
      else for (let i = 0; i < size; i++) out[to + i] = byteAt(at + i)
      at += size
      to += size
      continue
    }
    let back = byteAt(at++)
    if (kind === 1) {
      size = ((tag >> 2) & 7) + 4
      back |= (tag >> 5) << 8
    } else {
      for (let i = 1; i < 2 * (kind - 1); i++) back |= byteAt(at++) << (8 * i)
      back >>>= 0
    }
    if (back === 0 || back > to || to + size > length) cutOff()
    if (size > short && back >= size) out.copyWithin(to, to - back, to - back + size)
    // An overlap repeats what was just written.
    else for (let i = 0; i < size; i++) out[to + i] = out[to - back + i] ?? cutOff()
    to += size
  }
  if (to !== length) cutOff()
}
