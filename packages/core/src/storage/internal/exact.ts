/** Makes sure that a read yields exactly the requested bytes, no fewer and no more, whatever the backend does. */
import { Cause, Effect, Pull, Stream } from "effect"
import type { Backend, ByteRange } from "./model.ts"
import * as StorageError from "../StorageError.ts"
import { fail, resolveRange } from "./path.ts"

type Reads = Pick<Backend, "read" | "readRange" | "stat" | "unsized">

/** Counts the bytes of a stream: it ends after `length` bytes, or it fails. It emits none beyond them. */
const count = (
  path: string,
  offset: number,
  length: number,
  bytes: Stream.Stream<Uint8Array, StorageError.StorageError>
): Stream.Stream<Uint8Array, StorageError.StorageError> =>
  Stream.transformPull(bytes, (pull) =>
    Effect.sync(() => {
      let received = 0
      return pull.pipe(
        Effect.flatMap((pieces) => {
          for (const piece of pieces) received += piece.length
          return received > length
            ? Effect.fail(fail("read", path, new StorageError.ExcessBytes({ offset, length })))
            : Effect.succeed(pieces)
        }),
        Pull.catchDone((): Pull.Pull<never, StorageError.StorageError> =>
          received === length
            ? Cause.done()
            : Effect.fail(
                fail("read", path, new StorageError.EndOfFile({ offset, length, available: offset + received }))
              )
        )
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

/** `Backend.read`, checked against its contract. */
export const read = (
  backend: Reads,
  path: string,
  range: ByteRange | undefined
): Stream.Stream<Uint8Array, StorageError.StorageError> =>
  range?.length === undefined
    ? Stream.unwrap(
        Effect.map(rangeOf(backend, path, range), (whole) =>
          whole === undefined
            ? backend.read(path, range)
            : count(path, whole.offset, whole.length, backend.read(path, range))
        )
      )
    : count(path, range.offset, range.length, backend.read(path, range))

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
