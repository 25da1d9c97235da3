/** What becomes of a commit that did not get to its end: it is finished if it was decided, and undone if it was not. */
import { Effect, Option, Schema } from "effect"
import type { Backend } from "../../storage/Storage.ts"
import { below } from "../../formats/internal/folderNames.ts"
import { exists, type Layout, makeFolders, nameOf, optional, readText, removeFolders, writeText } from "./layout.ts"

/** What a merge into an existing output will do, written down before its first rename. */
export const Intent = Schema.fromJsonString(
  Schema.Struct({
    /** The files that come, relative to the output. None of them was there before. */
    files: Schema.Array(Schema.String),
    /** The files that go once the new manifest is there. */
    removed: Schema.Array(Schema.String),
    /** The manifest before it. An HDFS gateway deletes that before it puts the next one there. */
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

// The manifest is the new one: what it does not name goes.
const retire = Effect.fnUntraced(function* (storage: Backend, { aside, output }: Layout, intent: Intent) {
  yield* Effect.forEach(
    intent.removed.map((file, index) => [file, index] as const),
    // Moved into the job's folder, not deleted: a job that has lost its folder to another cannot take away what is there by now.
    ([file, index]) => {
      const away = storage.rename(below(output, file), `${aside}/${index}`, { parents: false })
      return away.pipe(
        // A process was killed when the file had both names.
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

// The manifest is the old one: what came since goes. A file may have both names, if a process was killed between them.
const undo = Effect.fnUntraced(function* (storage: Backend, { output, success }: Layout, intent: Intent) {
  yield* Effect.forEach(intent.files, (file) => storage.delete(below(output, file)), { concurrency: 8, discard: true })
  yield* removeFolders(storage, output, intent.files)
  if (intent.previous !== null && !(yield* exists(storage, success))) {
    yield* writeText(storage, success, intent.previous)
  }
})

// A replaced output: the new one is in its place once it is no longer in the job's folder.
const putBack = Effect.fnUntraced(function* (storage: Backend, { folder, old, out, output }: Layout) {
  if (!(yield* exists(storage, old)) || !(yield* exists(storage, out))) return
  if (!(yield* exists(storage, output))) return yield* storage.rename(old, output)
  const kept = `${output}.old-${nameOf(folder)}`
  yield* storage.rename(old, kept)
  yield* Effect.logWarning(
    `something else was put at ${output} while it was being replaced; what was there before is at ${kept}`
  )
})

/** Ends what a job began, whoever that was, and deletes its folder. Can be run again after any of its steps. */
export const settle = Effect.fnUntraced(function* (storage: Backend, layout: Layout) {
  const { folder, intent: intentPath, manifest, success } = layout
  const text = yield* optional(readText(storage, intentPath))
  if (Option.isSome(text)) {
    const intent = yield* Schema.decodeEffect(Intent)(text.value)
    const next = yield* optional(readText(storage, manifest))
    const there = yield* optional(readText(storage, success))
    // A storage whose rename is two steps may have it under both names.
    const isDecided = Option.isNone(next) || (Option.isSome(there) && there.value === next.value)
    yield* isDecided ? retire(storage, layout, intent) : undo(storage, layout, intent)
  } else {
    yield* putBack(storage, layout)
  }
  // The intent first: in another order, an undone commit would look like one to be finished.
  yield* storage.delete(intentPath)
  yield* storage.delete(folder, { recursive: true })
})
