/** What becomes of a commit that did not get to its end: it is finished where it was decided, undone where it was not. */
import { Effect, Option, Schema } from "effect"
import type { Backend } from "../../storage/Storage.ts"
import { below } from "../../formats/internal/folderNames.ts"
import { commitOf, exists, makeFolders, nameOf, optional, readText, removeFolders, writeText } from "./layout.ts"

/** What a merge into an output that is there does, written down before its first rename. */
export const Intent = Schema.fromJsonString(
  Schema.Struct({
    /** The files that come, relative to the output. None of them was there before. */
    files: Schema.Array(Schema.String),
    /** The files that go once the new manifest is there. */
    removed: Schema.Array(Schema.String),
    /** The manifest there was: a gateway of HDFS deletes it before it puts the next one there. */
    previous: Schema.NullOr(Schema.String)
  })
)

export type Intent = typeof Intent.Type

/** Moves the files of an output into its place. The rename of the manifest is what decides: from then on the commit is finished, not undone. */
export const merge = Effect.fnUntraced(function* (storage: Backend, output: string, folder: string, intent: Intent) {
  const commit = commitOf(folder)
  yield* makeFolders(storage, output, intent.files)
  yield* Effect.forEach(intent.files, (file) => storage.rename(below(commit.out, file), below(output, file)), {
    concurrency: 8,
    discard: true
  })
  yield* storage.rename(commit.manifest, `${output}/_SUCCESS`, { overwrite: true, parents: false })
})

// The manifest is the new one: what it does not name goes.
const retire = Effect.fnUntraced(function* (storage: Backend, output: string, folder: string, intent: Intent) {
  const { aside } = commitOf(folder)
  yield* Effect.forEach(
    intent.removed.map((file, index) => [file, index] as const),
    // Into the job's folder rather than deleted: a job that has lost its folder to another cannot take away what is there by now.
    ([file, index]) => {
      const away = storage.rename(below(output, file), `${aside}/${index}`, { parents: false })
      return away.pipe(
        // A kill came when it was at both names.
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

// The manifest is the old one: what came since goes. A file may be at both names, where a kill came between them.
const undo = Effect.fnUntraced(function* (storage: Backend, output: string, intent: Intent) {
  yield* Effect.forEach(intent.files, (file) => storage.delete(below(output, file)), { concurrency: 8, discard: true })
  yield* removeFolders(storage, output, intent.files)
  if (intent.previous !== null && !(yield* exists(storage, `${output}/_SUCCESS`))) {
    yield* writeText(storage, `${output}/_SUCCESS`, intent.previous)
  }
})

// A replaced output: the new one is in its place once it is no longer in the job's folder.
const putBack = Effect.fnUntraced(function* (storage: Backend, output: string, folder: string) {
  const { old, out } = commitOf(folder)
  if (!(yield* exists(storage, old)) || !(yield* exists(storage, out))) return
  if (!(yield* exists(storage, output))) return yield* storage.rename(old, output)
  const kept = `${output}.old-${nameOf(folder)}`
  yield* storage.rename(old, kept)
  yield* Effect.logWarning(
    `something else was put at ${output} while it was being replaced; what was there before is at ${kept}`
  )
})

/** Ends what a job began, whoever it was that began it, and deletes its folder. Can be run again after any of its steps. */
export const settle = Effect.fnUntraced(function* (storage: Backend, output: string, folder: string) {
  const commit = commitOf(folder)
  const text = yield* optional(readText(storage, commit.intent))
  if (Option.isSome(text)) {
    const intent = yield* Schema.decodeEffect(Intent)(text.value)
    const next = yield* optional(readText(storage, commit.manifest))
    const there = yield* optional(readText(storage, `${output}/_SUCCESS`))
    // A storage whose rename is two steps may have it at both names.
    const isDecided = Option.isNone(next) || (Option.isSome(there) && there.value === next.value)
    yield* isDecided ? retire(storage, output, folder, intent) : undo(storage, output, intent)
  } else {
    yield* putBack(storage, output, folder)
  }
  // First what says that there is something to do: deleted in another order, an undone commit would look like one to be finished.
  yield* storage.delete(commit.intent)
  yield* storage.delete(folder, { recursive: true })
})
