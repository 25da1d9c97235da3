/** Makes sure that a read yields exactly the requested bytes, no fewer and no more, whatever the backend does. */
import { Cause, Effect, Pull, Stream } from "effect"
import type { Backend, ByteRange } from "./model.ts"
import * as StorageError from "../StorageError.ts"
import { fail, resolveRange } from "./path.ts"

type Reads = Pick<Backend, "read" | "readRange" | "stat" | "unsized">

/**
 * Counts the bytes of a stream: it ends after `length` bytes, or it fails. It emits none beyond them. `lengthNow` is asked once if
 * the number is another: the file may have been replaced before it was opened.
 */
const count = (
  path: string,
  { length, offset }: { readonly length: number; readonly offset: number },
  bytes: Stream.Stream<Uint8Array, StorageError.StorageError>,
  lengthNow: Effect.Effect<number | undefined>
): Stream.Stream<Uint8Array, StorageError.StorageError> =>
  Stream.transformPull(bytes, (pull) =>
    Effect.sync(() => {
      let expected = length
      let received = 0
      const look = Effect.map(lengthNow, (now) => (expected = now ?? expected))
      const excess = () => fail("read", path, new StorageError.ExcessBytes({ offset, length: expected }))
      const end = () =>
        fail("read", path, new StorageError.EndOfFile({ offset, length: expected, available: offset + received }))
      return pull.pipe(
        Effect.flatMap((pieces) => {
          for (const piece of pieces) received += piece.length
          if (received <= expected) return Effect.succeed(pieces)
          return Effect.flatMap(look, (now) => (received <= now ? Effect.succeed(pieces) : Effect.fail(excess())))
        }),
        Pull.catchDone((): Pull.Pull<never, StorageError.StorageError> => {
          if (received === expected) return Cause.done()
          return Effect.flatMap(look, (now): Pull.Pull<never, StorageError.StorageError> =>
            received === now ? Cause.done() : Effect.fail(end())
          )
        })
      )
    })
  )

/** The range of a read without a length, from the backend's status of the file. */
const rangeOf = Effect.fnUntraced(function* (backend: Reads, path: string, range: ByteRange | undefined) {
  const status = yield* Effect.mapError(backend.stat(path), ({ reason }) => fail("read", path, reason))
  // The backend reports what is wrong with a directory.
  if (status.type === "directory" || (status.length === 0 && backend.unsized === true)) return undefined
  const { end, start } = yield* resolveRange("read", path, status.length, range)
  return { offset: start, length: end - start }
})

/** How many bytes there are from an offset on by now; `undefined` if that cannot be told. */
const lengthFrom = (backend: Reads, path: string, offset: number): Effect.Effect<number | undefined> =>
  Effect.match(backend.stat(path), {
    onFailure: () => undefined,
    onSuccess: ({ length, type }) => (type === "file" && length >= offset ? length - offset : undefined)
  })

/** `Backend.read`, checked against its contract. */
export const read = (
  backend: Reads,
  path: string,
  range: ByteRange | undefined
): Stream.Stream<Uint8Array, StorageError.StorageError> => {
  const { length, offset = 0 } = range ?? {}
  if (length !== undefined) return count(path, { offset, length }, backend.read(path, range), Effect.undefined)
  return Stream.unwrap(
    Effect.map(rangeOf(backend, path, range), (whole) => {
      const bytes = backend.read(path, range)
      return whole === undefined ? bytes : count(path, whole, bytes, lengthFrom(backend, path, offset))
    })
  )
}

/** `Backend.readRange`, checked against its contract. */
export const readRange = (
  backend: Reads,
  path: string,
  offset: number,
  length: number
): Effect.Effect<Uint8Array, StorageError.StorageError> =>
  Effect.flatMap(backend.readRange(path, offset, length), (bytes) => {
    if (bytes.length === length) return Effect.succeed(bytes)
    const reason =
      bytes.length > length
        ? new StorageError.ExcessBytes({ offset, length })
        : new StorageError.EndOfFile({ offset, length, available: offset + bytes.length })
    return Effect.fail(fail("readRange", path, reason))
  })
