/**
 * How a matrix becomes a request body and an answer becomes scores.
 *
 * @since 0.1.0
 */
import { Result } from "effect"
import type { Batch } from "./Batch.ts"

/**
 * A codec between matrices and HTTP bodies.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protocol {
  readonly name: string
  readonly method: "PUT" | "POST"
  readonly headers: Readonly<Record<string, string>>
  /**
   * Content types that an answer may have, in lower case and without parameters. An answer without a type is always
   * read; one with another type is an error, whatever its size. By default, any type is read.
   */
  readonly accepts?: ReadonlyArray<string> | undefined
  /** The request body, which may be the memory of the batch itself. */
  readonly encode: (batch: Batch) => Uint8Array
  /**
   * One number per row, or what is wrong with the answer. The scorer checks that there is one per row, and that all are
   * finite.
   */
  readonly decode: (answer: ArrayBuffer, rows: number) => Result.Result<Float32Array, string>
}

const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1

/** Reverses the bytes of every float32, in place. */
const swap = (memory: ArrayBuffer): ArrayBuffer => {
  Buffer.from(memory).swap32()
  return memory
}

/**
 * The bytes of a matrix as little-endian float32: on a little-endian machine, its own memory.
 *
 * @category codecs
 * @since 0.1.0
 */
export const float32Bytes = (values: Float32Array<ArrayBufferLike>): Uint8Array =>
  littleEndian
    ? new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    : new Uint8Array(swap(values.slice().buffer))

const raw = {
  method: "PUT",
  headers: { "content-type": "application/octet-stream" },
  accepts: ["application/octet-stream"],
  encode: (batch: Batch) => float32Bytes(batch.values)
} as const

/**
 * `PUT` of a raw little-endian float32 matrix, row-major; the answer is one raw little-endian float32 per row.
 *
 * **Details**
 *
 * The content type of the answer is `application/octet-stream`, or missing. Any other type is refused, whatever the
 * size of the answer: sooner or later, the error page of a proxy has the right length.
 *
 * **Gotchas**
 *
 * Flask labels bytes as `text/html` unless told otherwise. If such a service cannot be changed to `Response(scores,
 * mimetype="application/octet-stream")`, accept its answers explicitly:
 *
 * **Example** (A service that calls its scores a page)
 *
 * ```ts import.meta.vitest
 * import { Protocol } from "@sluice/scoring"
 *
 * const protocol: Protocol.Protocol = { ...Protocol.rawFloat32, accepts: ["text/html"] }
 *
 * protocol.accepts // => ["text/html"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const rawFloat32: Protocol = {
  ...raw,
  name: "raw float32",
  decode: (answer, rows) => {
    if (answer.byteLength === rows * 4) {
      return Result.succeed(new Float32Array(littleEndian ? answer : swap(answer)))
    }
    const hint =
      answer.byteLength === rows
        ? "; that is one byte per row, so the service may answer booleans: set `protocol: Protocol.rawBool`"
        : ""
    return Result.fail(`expected ${rows * 4} bytes (float32 for ${rows} rows), got ${answer.byteLength}${hint}`)
  }
}

/**
 * As {@link rawFloat32}, but the answer is one byte per row, 0 or 1. The score is then 0 or 1.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rawBool: Protocol = {
  ...raw,
  name: "raw bool",
  decode: (answer, rows) => {
    if (answer.byteLength !== rows) {
      return Result.fail(`expected ${rows} bytes (one boolean for each of ${rows} rows), got ${answer.byteLength}`)
    }
    const bytes = new Uint8Array(answer)
    const wrong = bytes.findIndex((byte) => byte > 1)
    return wrong < 0
      ? Result.succeed(Float32Array.from(bytes))
      : Result.fail(`byte ${wrong} is ${bytes[wrong]}, but a boolean is 0 or 1`)
  }
}
