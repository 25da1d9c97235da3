/** The steps by which the files of a job become the output. */
import { Effect, Option, Schema } from "effect"
import type { Backend } from "../../storage/Storage.ts"
import { AlreadyExists, StorageError } from "../../storage/StorageError.ts"
import { below } from "../../formats/internal/folderNames.ts"
import type { Claim } from "./claim.ts"
import { exists, filesOf, makeFolders, optional, probe, readText, type There, writeText } from "./layout.ts"
import { Intent, merge } from "./recover.ts"

/** A file of an attempt that counts, and its name in the output. */
export interface Staged {
  readonly from: string
  readonly name: string
}

/** Collects what will be the output. */
export const stage = Effect.fnUntraced(function* (storage: Backend, { layout }: Claim, staged: ReadonlyArray<Staged>) {
  const { aside, out } = layout
  yield* storage.mkdirs(out)
  // The folder is made only here: a job whose folder was taken away cannot move anything into it.
  yield* storage.mkdirs(aside)
  yield* makeFolders(
    storage,
    out,
    staged.map((file) => file.name)
  )
  yield* Effect.forEach(staged, ({ from, name }) => storage.rename(from, below(out, name)), {
    concurrency: 8,
    discard: true
  })
})

// The storage refused (it did answer): a mount point, another user's directory in a sticky one, a layer of an image.
const isRefused = (error: StorageError): boolean =>
  error.reason._tag === "Unsupported" || error.reason._tag === "PermissionDenied" || error.reason._tag === "NotEmpty"

/** What a job puts into an output. */
export interface Publication {
  /** The names of the staged files in the output. */
  readonly files: ReadonlyArray<string>
  /** The text of the next `_SUCCESS`. */
  readonly manifest: string
}

/** Whether the files have to be moved one by one, because the output cannot be renamed, or keeps its old files. */
const isMerge = ({ layout, mode }: Claim, there: There): boolean =>
  layout.place === "inside" || (mode === "append" && there === "present")

/** Moves the staged files to their place: as a whole if no existing file stays, otherwise file by file. */
export const publish = Effect.fnUntraced(function* (storage: Backend, claim: Claim, { files, manifest }: Publication) {
  const { layout, mode } = claim
  const { output, success } = layout
  const there = yield* probe(storage, output)

  const mergeInto = Effect.gen(function* () {
    const present = yield* filesOf(storage, output)
    const taken = new Set(present)
    const twice = files.find((file) => taken.has(file))
    if (twice !== undefined) {
      return yield* new StorageError({
        operation: "rename",
        path: below(output, twice),
        reason: new AlreadyExists()
      })
    }
    const previous = yield* optional(readText(storage, success))
    const intent: Intent = {
      files,
      removed: mode === "append" ? [] : present,
      previous: Option.getOrNull(previous)
    }
    yield* writeText(storage, layout.manifest, manifest)
    // Encoding plain data cannot fail.
    yield* writeText(storage, layout.intent, yield* Effect.orDie(Schema.encodeEffect(Intent)(intent)))
    yield* merge(storage, layout, intent)
  })

  if (isMerge(claim, there)) return yield* mergeInto
  yield* writeText(storage, `${layout.out}/_SUCCESS`, manifest)
  const away =
    there === "empty"
      ? storage.delete(output)
      : there === "present"
        ? storage.rename(output, layout.old, { parents: false })
        : Effect.void
  const isAway = yield* Effect.as(away, true).pipe(Effect.catchIf(isRefused, () => Effect.succeed(false)))
  if (!isAway) {
    yield* storage.delete(`${layout.out}/_SUCCESS`)
    return yield* mergeInto
  }
  yield* storage.rename(layout.out, output, { parents: false })
})

const Writer = Schema.fromJsonString(Schema.Struct({ job: Schema.String }))

/** Whether the commit of a job was completed, according to the output. */
export const isCommitted = Effect.fnUntraced(function* (storage: Backend, { layout }: Claim, job: string) {
  if (yield* exists(storage, (yield* exists(storage, layout.intent)) ? layout.manifest : layout.out)) return false
  const writer = yield* readText(storage, layout.success).pipe(
    Effect.flatMap(Schema.decodeEffect(Writer)),
    Effect.option
  )
  return Option.isSome(writer) && writer.value.job === job
})
