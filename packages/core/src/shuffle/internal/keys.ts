import { Order } from "effect"
import { type Codec, none } from "../../codec/Codec.ts"
import { Reader } from "../../codec/internal/bytes.ts"
import { readPlain, skipPlain } from "../../codec/internal/decode.ts"
import { hashBytes } from "../../codec/internal/hash.ts"
import { compareStrings, numberPrefix, prefix, stringPrefix } from "../../codec/internal/prefix.ts"

/** How keys are ordered. */
export interface Kind {
  readonly name: "hash" | "string" | "number" | "order"
  readonly order: (self: unknown, that: unknown) => number
}

/** Brings equal keys together, in an order without meaning: by two hashes, then by bytes. */
export const byHash: Kind = { name: "hash", order: () => 0 }

/** By an `Order`. Those of strings and numbers work on bytes. */
export const byOrder = <K>(order: Order.Order<K>): Kind => {
  const given: unknown = order
  return {
    name: given === Order.String ? "string" : given === Order.Number ? "number" : "order",
    // Keys come from the codec of the order's own type.
    order: (self, that) => order(self as K, that as K)
  }
}

/** How many bytes the parts of a record take, in the encodings of an operator. */
export interface Layout {
  readonly key: Codec<unknown>
  /** By input. */
  readonly values: ReadonlyArray<Codec<unknown>>
}

export const skip = (codec: Codec<unknown>, reader: Reader): void => {
  // Every codec but `none` writes plain data.
  if (codec.id !== none.id) skipPlain(reader)
}

const a = new Reader(Buffer.alloc(0))
const b = new Reader(Buffer.alloc(0))

export const point = (reader: Reader, bytes: Buffer, position: number): void => {
  reader.bytes = bytes
  reader.position = position
  reader.end = bytes.length
  reader.depth = 0
}

/** Compares a key in one buffer with a key in another, given that their prefixes are equal. */
export const compareKeys = (
  kind: Kind,
  key: Codec<unknown>,
  bytes: Buffer,
  position: number,
  thatBytes: Buffer,
  thatPosition: number
): number => {
  point(a, bytes, position)
  point(b, thatBytes, thatPosition)
  switch (kind.name) {
    case "string":
      return compareStrings(a, b)
    case "number":
      return 0
    case "order":
      return kind.order(key.read(a), key.read(b))
    case "hash": {
      skip(key, a)
      skip(key, b)
      const keyBytes = a.position - position
      const thatKeyBytes = b.position - thatPosition
      const length = keyBytes < thatKeyBytes ? keyBytes : thatKeyBytes
      for (let i = 0; i < length; i++) {
        const difference = bytes[position + i] - thatBytes[thatPosition + i]
        if (difference !== 0) return difference
      }
      return keyBytes - thatKeyBytes
    }
  }
}

/**
 * Computes the prefix of the key between two positions of a buffer. Afterwards, the position of `reader` is undefined.
 */
export const prefixOf = (kind: Kind, reader: Reader, start: number, end: number): void => {
  switch (kind.name) {
    case "hash":
      return hashBytes(reader.bytes, start, end)
    case "string":
      reader.position = start
      return stringPrefix(reader)
    case "number":
      reader.position = start
      return numberPrefix(Number(readPlain(reader)))
    case "order":
      prefix.high = 0
      prefix.low = 0
  }
}
