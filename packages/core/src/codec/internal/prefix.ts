/** The order of encoded keys, and the eight bytes of each that sorting compares first. */
import { Malformed, type Reader } from "./bytes.ts"
import { readPlain } from "./decode.ts"
import { byteAt } from "./elements.ts"
import { Tag } from "./tags.ts"

const { ASCII, UTF8, UTF16 } = Tag

/** The two halves of the last result of {@link stringPrefix}, {@link numberPrefix} or `hashBytes`. */
export const prefix = { high: 0, low: 0 }

/**
 * The first eight bytes of an encoded string, so that strings in the order of their UTF-16 units have prefixes in the
 * same order. Bytes order UTF-8 as units order UTF-16 up to U+D7FF; all above share one byte, and a full comparison
 * decides the rest.
 */
export const stringPrefix = (reader: Reader): void => {
  const { bytes } = reader
  const tag = reader.byte()
  if (tag === UTF16) {
    reader.position--
    return loneSurrogatePrefix(String(readPlain(reader)))
  }
  if (tag !== ASCII && tag !== UTF8) throw new Malformed("a key that should be a string is not")
  const length = reader.varint()
  const start = reader.take(length)
  if (tag === ASCII && length >= 8) {
    prefix.high = bytes.readUInt32BE(start)
    prefix.low = bytes.readUInt32BE(start + 4)
    return
  }
  let high = 0
  let low = 0
  let over = false
  for (let i = 0; i < 8; i++) {
    let byte = i < length && !over ? byteAt(bytes, start + i) : 0
    if (byte >= 0xee) {
      byte = 0xee
      over = true
    }
    if (i < 4) high = (high << 8) | byte
    else low = (low << 8) | byte
  }
  prefix.high = high >>> 0
  prefix.low = low >>> 0
}

// The first eight bytes of the text before the first unit that UTF-8 orders differently, with one byte in place of that
// unit.
const loneSurrogatePrefix = (text: string): void => {
  const at = text.search(/[\ud800-\uffff]/)
  const ordered = Buffer.from(at < 0 ? text : text.slice(0, at), "utf8")
  const bytes = Buffer.alloc(8)
  ordered.copy(bytes)
  if (at >= 0 && ordered.length < 8) bytes[ordered.length] = 0xee
  prefix.high = bytes.readUInt32BE(0)
  prefix.low = bytes.readUInt32BE(4)
}

/** Moves to the characters of an encoded string and returns their number, or -1 if they do not have one byte each. */
export const asciiLength = (reader: Reader): number => (reader.byte() === ASCII ? reader.varint() : -1)

/** Compares two encoded strings by their UTF-16 units, as `<` does. */
export const compareStrings = (a: Reader, b: Reader): number => {
  const tagA = a.byte()
  const tagB = b.byte()
  if (tagA === ASCII && tagB === ASCII) {
    const lengthA = a.varint()
    const lengthB = b.varint()
    const startA = a.take(lengthA)
    const startB = b.take(lengthB)
    const bytesA = a.bytes
    const bytesB = b.bytes
    const length = lengthA < lengthB ? lengthA : lengthB
    for (let i = 0; i < length; i++) {
      const difference = byteAt(bytesA, startA + i) - byteAt(bytesB, startB + i)
      if (difference !== 0) return difference
    }
    return lengthA - lengthB
  }
  a.position--
  b.position--
  const textA = String(readPlain(a))
  const textB = String(readPlain(b))
  return textA < textB ? -1 : textA > textB ? 1 : 0
}

const double = new DataView(new ArrayBuffer(8))

/** The number's bits in the order of `Order.Number`: NaN first, `-0` as `0`. */
export const numberPrefix = (value: number): void => {
  if (value !== value) {
    prefix.high = 0
    prefix.low = 0
    return
  }
  double.setFloat64(0, value === 0 ? 0 : value)
  const high = double.getUint32(0)
  const low = double.getUint32(4)
  const negative = high >= 0x80000000
  prefix.high = (negative ? ~high : high | 0x80000000) >>> 0
  prefix.low = (negative ? ~low : low) >>> 0
}
