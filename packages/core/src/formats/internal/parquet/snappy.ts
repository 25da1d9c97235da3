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
