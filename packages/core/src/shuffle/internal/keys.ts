import { Order } from "effect"
import { type Codec, none } from "../../codec/Codec.ts"
import { Reader } from "../../codec/internal/bytes.ts"
import { byteAt } from "../../codec/internal/elements.ts"
import { readPlain, skipPlain } from "../../codec/internal/decode.ts"
import { hashBytes } from "../../codec/internal/hash.ts"
import { compareStrings, numberPrefix, prefix, stringPrefix } from "../../codec/internal/prefix.ts"

/** How keys are ordered: as bytes, or decoded. */
export type Kind<K> =
  | { readonly name: "hash" | "string" | "number" }
  | { readonly name: "order"; readonly order: Order.Order<K> }

/** Brings equal keys together, in an order without meaning: by two hashes, then by bytes. */
export const byHash: Kind<unknown> = { name: "hash" }

/** By an `Order`. Those of strings and numbers work on bytes. */
export const byOrder = <K>(order: Order.Order<K>): Kind<K> => {
  const given: unknown = order
  if (given === Order.String) return { name: "string" }
  return given === Order.Number ? { name: "number" } : { name: "order", order }
}

/** The encodings of the records an operator meets. */
export interface Layout<out K> {
  readonly key: Pick<Codec<unknown>, "id"> & { readonly read: (reader: Reader) => K }
  /** By input. Values are skipped, not decoded. */
  readonly values: ReadonlyArray<Pick<Codec<unknown>, "id">>
}

export const skip = (codec: Pick<Codec<unknown>, "id">, reader: Reader): void => {
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
export const compareKeys = <K>(
  kind: Kind<K>,
  key: Layout<K>["key"],
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
      const length = a.position - position
      // No encoded value is the beginning of another: two that differ do so before either ends.
      for (let i = 0; i < length; i++) {
        const difference = byteAt(bytes, position + i) - byteAt(thatBytes, thatPosition + i)
        if (difference !== 0) return difference
      }
      return 0
    }
  }
}

/**
 * Computes the prefix of the key between two positions of a buffer. Afterwards, the position of `reader` is undefined.
 */
export const prefixOf = (kind: Kind<never>, reader: Reader, start: number, end: number): void => {
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
