/**
 * Rows as bytes: what a shuffle, a cache on disk and another process see.
 *
 * {@link plain} takes plain data: `null`, `undefined`, booleans, numbers, strings, bigints, dates, typed arrays, `ArrayBuffer`,
 * maps, sets, arrays, plain objects and Effect's `Option`. What it cannot take (functions, symbols, class instances) is a
 * {@link CodecError} that names the field. {@link fromSchema} takes whatever a schema encodes.
 *
 * @since 0.1.0
 */
import { Effect, Schema } from "effect"
import type { Reader, Writer } from "./internal/shuffle/bytes.ts"

/**
 * Encodes values of one type into bytes and back. Made by this module only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codec<in out A> {
  /** Says which bytes it writes: two codecs with the same id read each other's. */
  readonly id: string
  /** Appends the value. Throws a `Refused` for what it cannot take. */
  readonly write: (value: A, writer: Writer) => void
  /** Takes the value at the reader's position. Throws a `Malformed` for bytes no codec wrote. */
  readonly read: (reader: Reader) => A
}

/**
 * A value that cannot be encoded, or bytes that cannot be decoded.
 *
 * @category errors
 * @since 0.1.0
 */
export class CodecError extends Schema.TaggedError<CodecError>("@sluice/core/CodecError")("CodecError", {
  /** Where in the value, as in `row.user.onClick`. */
  path: Schema.String,
  /** What was met there, as in `function`. */
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.found} cannot be encoded; give the operator a Schema for its rows, or drop the field`
  }
}

/**
 * Plain data of any shape.
 *
 * @category constructors
 * @since 0.1.0
 */
export declare const plain: Codec<unknown>

/**
 * No bytes at all: the value of a shuffle that moves keys only, the key of one that moves rows only.
 *
 * @category constructors
 * @since 0.1.0
 */
export declare const none: Codec<undefined>

/**
 * Values as the schema encodes them; their encoded form must be plain data.
 *
 * @category constructors
 * @since 0.1.0
 */
export declare const fromSchema: <A, I>(schema: Schema.Codec<A, I>) => Codec<A>

/**
 * The bytes of a value.
 *
 * @category encoding
 * @since 0.1.0
 */
export declare const encode: {
  <A>(codec: Codec<A>): (value: A) => Effect.Effect<Uint8Array, CodecError>
  <A>(value: A, codec: Codec<A>): Effect.Effect<Uint8Array, CodecError>
}

/**
 * The value of bytes that {@link encode} made. Bytes that nothing made fail, they are never read as a wrong value's.
 *
 * @category decoding
 * @since 0.1.0
 */
export declare const decode: {
  <A>(codec: Codec<A>): (bytes: Uint8Array) => Effect.Effect<A, CodecError>
  <A>(bytes: Uint8Array, codec: Codec<A>): Effect.Effect<A, CodecError>
}
