/** The steps by which the files of a job become the output. */
import { Effect, Option, Schema } from "effect"
import type { Backend } from "../../storage/Storage.ts"
import { AlreadyExists, StorageError } from "../../storage/StorageError.ts"
import { below } from "../../formats/internal/folderNames.ts"
import type { Claim } from "./claim.ts"
import { commitOf, exists, filesOf, makeFolders, optional, probe, readText, writeText } from "./layout.ts"
import { Intent, merge } from "./recover.ts"

/** A file of an attempt that counts, and its name in the output. */
export interface Staged {
  readonly from: string
  readonly name: string
}

/** Brings together what will be the output. */
export const stage = Effect.fnUntraced(function* (storage: Backend, claim: Claim, staged: ReadonlyArray<Staged>) {
  const { aside, out } = commitOf(claim.folder)
  yield* storage.mkdirs(out)
  // Made here and nowhere else: a job whose folder was taken away cannot move anything into it.
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

// Refused, as opposed to not answered: a mount point, a directory of another user's in a sticky one, a layer of an image.
const isRefused = (error: StorageError): boolean =>
  error.reason._tag === "Unsupported" || error.reason._tag === "PermissionDenied" || error.reason._tag === "NotEmpty"

/** Puts the staged files in their place: as a whole where nothing is there that stays, else file by file. */
export const publish = Effect.fnUntraced(function* (
  storage: Backend,
  { folder, isInside, output }: Claim,
  appends: boolean,
  files: ReadonlyArray<string>,
  manifest: string
) {
  const commit = commitOf(folder)
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
    const previous = yield* optional(readText(storage, `${output}/_SUCCESS`))
    const intent: Intent = {
      files,
      removed: appends ? [] : present,
      previous: Option.getOrNull(previous)
    }
    yield* writeText(storage, commit.manifest, manifest)
    // Encoding plain data cannot fail.
    yield* writeText(storage, commit.intent, yield* Effect.orDie(Schema.encodeEffect(Intent)(intent)))
    yield* merge(storage, output, folder, intent)
  })

  if (isInside || (appends && there === "present")) return yield* mergeInto
  yield* writeText(storage, `${commit.out}/_SUCCESS`, manifest)
  const away =
    there === "empty"
      ? storage.delete(output)
      : there === "present"
        ? storage.rename(output, commit.old, { parents: false })
        : Effect.void
  const isAway = yield* Effect.as(away, true).pipe(Effect.catchIf(isRefused, () => Effect.succeed(false)))
  if (!isAway) {
    yield* storage.delete(`${commit.out}/_SUCCESS`)
    return yield* mergeInto
  }
  yield* storage.rename(commit.out, output, { parents: false })
})

const Writer = Schema.fromJsonString(Schema.Struct({ job: Schema.String }))

/** Whether a job's commit came to its end, as the output tells. */
export const isCommitted = Effect.fnUntraced(function* (storage: Backend, { folder, output }: Claim, job: string) {
  const commit = commitOf(folder)
  if (yield* exists(storage, (yield* exists(storage, commit.intent)) ? commit.manifest : commit.out)) return false
  const writer = yield* readText(storage, `${output}/_SUCCESS`).pipe(
    Effect.flatMap(Schema.decodeEffect(Writer)),
    Effect.option
  )
  return Option.isSome(writer) && writer.value.job === job
})
