/**
 * How rows become bytes for a shuffle, a cache on disk or another process.
 *
 * Equal keys have equal bytes, whatever the order of their fields, so the bytes of a key decide its partition and its
 * group.
 *
 * {@link plain} takes plain data: `null`, `undefined`, booleans, numbers, strings, bigints, dates, typed arrays,
 * `ArrayBuffer`, maps, sets, arrays, plain objects and Effect's `Option`. Anything else (functions, symbols, class
 * instances) is a {@link CodecError} that names the field. {@link fromSchema} takes any value that a schema encodes.
 *
 * @since 0.1.0
 */
import { Effect, Result, Schema } from "effect"
import { dual } from "effect/Function"
import { Malformed, Reader, Refused, Writer } from "./internal/bytes.ts"
import { readPlain } from "./internal/decode.ts"
import { writePlain } from "./internal/encode.ts"
import { refusal } from "./internal/refusal.ts"

/**
 * Encodes values of one type into bytes and back. Made by this module only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codec<in out A> {
  /** Says which bytes the codec writes: two codecs with the same id can read each other's bytes. */
  readonly id: string
  /** Appends the value. Throws a `Refused` for a value that it cannot encode. */
  readonly write: (value: A, writer: Writer) => void
  /** Reads the value at the reader's position. Throws a `Malformed` for bytes that no codec wrote. */
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
  /** What was found there, as in `function`. */
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
export const plain: Codec<unknown> = { id: "plain", write: writePlain, read: readPlain }

/**
 * Writes no bytes: for the values of a shuffle that moves only keys, and for the keys of one that moves only rows.
 *
 * @category constructors
 * @since 0.1.0
 */
export const none: Codec<undefined> = { id: "none", write: () => {}, read: () => undefined }

/**
 * Values as the schema encodes them; their encoded form must be plain data.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromSchema = <A, I>(schema: Schema.Codec<A, I>): Codec<A> => {
  const toPlain = Schema.encodeUnknownResult(schema)
  const fromPlain = Schema.decodeUnknownResult(schema)
  return {
    // The schema's structure is part of the plan's fingerprint already; a name is enough to tell it from `plain`.
    id: "schema",
    write: (value, writer) => {
      const encoded = toPlain(value)
      if (Result.isFailure(encoded)) throw new Refused(`a value the schema refuses (${encoded.failure.message})`, "")
      writePlain(encoded.success, writer)
    },
    read: (reader) => {
      const decoded = fromPlain(readPlain(reader))
      if (Result.isFailure(decoded)) throw new Malformed(decoded.failure.message)
      return decoded.success
    }
  }
}

/**
 * The bytes of a value.
 *
 * @category codecs
 * @since 0.1.0
 */
export const encode: {
  <A>(codec: Codec<A>): (value: A) => Effect.Effect<Uint8Array, CodecError>
  <A>(value: A, codec: Codec<A>): Effect.Effect<Uint8Array, CodecError>
} = dual(2, <A>(value: A, codec: Codec<A>): Effect.Effect<Uint8Array, CodecError> =>
  Effect.suspend(() => {
    const writer = new Writer(256)
    try {
      codec.write(value, writer)
    } catch (thrown) {
      if (thrown instanceof Refused) return Effect.fail(new CodecError(refusal(thrown, value)))
      throw thrown
    }
    return Effect.succeed(writer.take())
  })
)

/**
 * The value of bytes that {@link encode} wrote. Other bytes fail; they are never read as a wrong value.
 *
 * @category codecs
 * @since 0.1.0
 */
export const decode: {
  <A>(codec: Codec<A>): (bytes: Uint8Array) => Effect.Effect<A, CodecError>
  <A>(bytes: Uint8Array, codec: Codec<A>): Effect.Effect<A, CodecError>
} = dual(2, <A>(bytes: Uint8Array, codec: Codec<A>): Effect.Effect<A, CodecError> =>
  Effect.suspend(() => {
    const reader = new Reader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    try {
      const value = codec.read(reader)
      if (reader.position === reader.end) return Effect.succeed(value)
      return Effect.fail(new CodecError({ path: `byte ${reader.position}`, found: "more than one value" }))
    } catch (thrown) {
      if (thrown instanceof Malformed) {
        return Effect.fail(new CodecError({ path: `byte ${reader.position}`, found: thrown.detail }))
      }
      throw thrown
    }
  })
)
