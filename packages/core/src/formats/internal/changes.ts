/** Makes sure that a file is read as it was when the job was planned, or not at all. */
import { Effect, Stream } from "effect"
import { type FormatError, InputChanged } from "../../task/FormatError.ts"
import { type FileStatus, Storage } from "../../storage/Storage.ts"
import type { StorageError } from "../../storage/StorageError.ts"
import { fail, storageFailed } from "./inputs.ts"

/** What the storage says about a file that existed when the job was planned. */
export const readFailed =
  (format: string, path: string) =>
  (error: StorageError): FormatError => {
    const { _tag } = error.reason
    return _tag === "NotFound" || _tag === "EndOfFile"
      ? fail(
          format,
          path,
          new InputChanged({
            detail: `the file was ${_tag === "NotFound" ? "deleted" : "made shorter"} after the job was planned`
          })
        )
      : storageFailed(format, path)(error)
  }

/** Fails if a file is not what it was. */
const unchanged = (format: string, file: FileStatus): Effect.Effect<void, FormatError, Storage> =>
  Effect.gen(function* () {
    const storage = yield* Storage
    const now = yield* Effect.mapError(storage.stat(file.path), readFailed(format, file.path))
    if (now.type === file.type && now.length === file.length && now.modified === file.modified) return
    const detail =
      now.length === file.length
        ? `the file was written at ${new Date(now.modified).toISOString()}, after the job was planned`
        : `the file had ${file.length} bytes when the job was planned, and has ${now.length} now`
    return yield* fail(format, file.path, new InputChanged({ detail }))
  })

/**
 * All bytes of a file. Fails if the file has changed. One look afterwards is enough, because nothing has been done with the bytes by
 * then.
 */
export const readWhole = (format: string, file: FileStatus): Effect.Effect<Uint8Array, FormatError, Storage> =>
  Effect.gen(function* () {
    const storage = yield* Storage
    const read = yield* Effect.result(storage.readRange(file.path, 0, file.length))
    yield* unchanged(format, file)
    return yield* Effect.mapError(Effect.fromResult(read), readFailed(format, file.path))
  })

/** What is read from a file. Fails if the file has changed before or after. */
export const readUnchanged = <A, R>(
  format: string,
  file: FileStatus,
  read: Stream.Stream<A, FormatError, R>
): Stream.Stream<A, FormatError, R | Storage> => {
  const check = Stream.fromEffectDrain(unchanged(format, file))
  return Stream.concat(Stream.concat(check, read), check)
}
