/** The bytes that begin a value of plain data, and how deeply values may be nested. */

/**
 * The first byte of a value. Modules copy it into their own constants: V8 compiles those into comparisons, but not
 * imported ones.
 */
export const Tag = {
  UNDEFINED: 0,
  NULL: 1,
  FALSE: 2,
  TRUE: 3,
  /** A whole number below 2^31 in size, zigzag. */
  INT: 4,
  FLOAT: 5,
  /** One byte per character. */
  ASCII: 6,
  UTF8: 7,
  /** A string with lone surrogates, which UTF-8 cannot hold. */
  UTF16: 8,
  BIGINT64: 9,
  BIGINT: 10,
  DATE: 11,
  BYTES: 12,
  VIEW: 13,
  ARRAY_BUFFER: 14,
  MAP: 15,
  SET: 16,
  ARRAY: 17,
  OBJECT: 18,
  OPTION_NONE: 19,
  OPTION_SOME: 20,
  /** This and the tags above it: arrays of 0 to 15 elements. */
  SHORT_ARRAY: 32
} as const

/** Deeper data is taken for a cycle, and deeper bytes for an attack. */
export const MAX_DEPTH = 256

/** The byte after `VIEW`: 0 for a `DataView`, and otherwise the place in this list, from 1 on. */
export const typedArrays = [
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array
] as const
