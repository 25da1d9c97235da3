/** What happens to a commit that did not complete: it is finished if it had been decided, and otherwise undone. */
import { Effect, Option, Schema } from "effect"
import type { Backend } from "../../storage/Storage.ts"
import { below } from "../../formats/internal/folderNames.ts"
import { exists, type Layout, makeFolders, nameOf, optional, readText, removeFolders, writeText } from "./layout.ts"

/** What a merge into an existing output will do, written down before its first rename. */
export const Intent = Schema.fromJsonString(
  Schema.Struct({
    /** The new files, relative to the output. None of them existed before. */
    files: Schema.Array(Schema.String),
    /** The files to remove when the new manifest is in place. */
    removed: Schema.Array(Schema.String),
    /** The old manifest. An HDFS gateway deletes it before it puts the next one in its place. */
    previous: Schema.NullOr(Schema.String)
  })
)

export type Intent = typeof Intent.Type

/**
 * Moves the staged files into an existing output. The rename of the manifest decides: from then on the commit is finished, not
 * undone.
 */
export const merge = Effect.fnUntraced(function* (storage: Backend, layout: Layout, intent: Intent) {
  const { manifest, out, output, success } = layout
  yield* makeFolders(storage, output, intent.files)
  yield* Effect.forEach(intent.files, (file) => storage.rename(below(out, file), below(output, file)), {
    concurrency: 8,
    discard: true
  })
  yield* storage.rename(manifest, success, { overwrite: true, parents: false })
})

// The manifest is the new one: files that it does not name are removed.
const retire = Effect.fnUntraced(function* (storage: Backend, { aside, output }: Layout, intent: Intent) {
  yield* Effect.forEach(
    intent.removed.map((file, index) => [file, index] as const),
    // Moved into the job's folder, not deleted: a job that has lost its folder cannot then remove files that another
    // job has written since.
    ([file, index]) => {
      const away = storage.rename(below(output, file), `${aside}/${index}`, { parents: false })
      return away.pipe(
        // A process was killed while the file had both names.
        Effect.catchReason("StorageError", "AlreadyExists", () =>
          Effect.andThen(storage.delete(`${aside}/${index}`), away)
        ),
        Effect.catchReason("StorageError", "NotFound", () => Effect.void)
      )
    },
    { concurrency: 8, discard: true }
  )
  yield* removeFolders(storage, output, intent.removed)
})

// The manifest is the old one: files added since are removed. A file may have both names, if a process was killed
// during its rename.
const undo = Effect.fnUntraced(function* (storage: Backend, { output, success }: Layout, intent: Intent) {
  yield* Effect.forEach(intent.files, (file) => storage.delete(below(output, file)), { concurrency: 8, discard: true })
  yield* removeFolders(storage, output, intent.files)
  if (intent.previous !== null && !(yield* exists(storage, success))) {
    yield* writeText(storage, success, intent.previous)
  }
})

// A replaced output: when the new one is no longer in the job's folder, it is in its place.
const putBack = Effect.fnUntraced(function* (storage: Backend, { folder, old, out, output }: Layout) {
  if (!(yield* exists(storage, old)) || !(yield* exists(storage, out))) return
  if (!(yield* exists(storage, output))) return yield* storage.rename(old, output)
  const kept = `${output}.old-${nameOf(folder)}`
  yield* storage.rename(old, kept)
  yield* Effect.logWarning(
    `something else was written to ${output} while it was being replaced; the old output is at ${kept}`
  )
})

/**
 * Finishes or undoes what a job began, this one or another, and deletes its folder. Can be run again after any of its
 * steps.
 */
export const settle = Effect.fnUntraced(function* (storage: Backend, layout: Layout) {
  const { folder, intent: intentPath, manifest, success } = layout
  const text = yield* optional(readText(storage, intentPath))
  if (Option.isSome(text)) {
    const intent = yield* Schema.decodeEffect(Intent)(text.value)
    const next = yield* optional(readText(storage, manifest))
    const there = yield* optional(readText(storage, success))
    // A storage whose rename takes two steps may have it under both names.
    const isDecided = Option.isNone(next) || (Option.isSome(there) && there.value === next.value)
    yield* isDecided ? retire(storage, layout, intent) : undo(storage, layout, intent)
  } else {
    yield* putBack(storage, layout)
  }
  // The intent first: in another order, an undone commit would look like one to be finished.
  yield* storage.delete(intentPath)
  yield* storage.delete(folder, { recursive: true })
})
