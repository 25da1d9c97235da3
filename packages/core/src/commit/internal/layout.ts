/** Where a write has its files before they are the output, and how they are looked at. */
import { Effect, Option, Stream } from "effect"
import type { Backend, FileStatus } from "../../storage/Storage.ts"
import type { StorageError } from "../../storage/StorageError.ts"
import { below } from "../../formats/internal/folderNames.ts"

export const trim = (path: string): string => path.replace(/(?<=[^/:])\/+$/, "")

export const parentOf = (path: string): readonly [parent: string, name: string] => {
  const cut = path.lastIndexOf("/")
  return cut < 0 ? [".", path] : [cut === 0 ? "/" : path.slice(0, cut), path.slice(cut + 1)]
}

export const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/** Beside the output: what lies there becomes the output by one rename. */
export const besideOf = (output: string): string => {
  const [parent, name] = parentOf(output)
  return `${parent === "/" ? "" : parent}/_sluice/${name}`
}

/** In the output, where nothing can be renamed into its place: it is a mount point, or its parent may not be written. */
export const insideOf = (output: string): string => `${output}/_sluice`

/** A job's own folder says whose it is; that is also how tasks find which of the two places it is in. */
export const ownerOf = (folder: string): string => `${folder}/_owner`

/** What the commit of a job works with. All of it is in the job's folder, so that whoever takes that away stops the commit. */
export interface CommitFolder {
  readonly root: string
  /** The files of the attempts that count, as they will be in the output. */
  readonly out: string
  /** What they replace. */
  readonly aside: string
  readonly old: string
  /** The next `_SUCCESS`, and what was there when its rename was decided on. */
  readonly manifest: string
  readonly intent: string
}

export const commitOf = (folder: string): CommitFolder => {
  const root = `${folder}/commit`
  return {
    root,
    out: `${root}/out`,
    aside: `${root}/aside`,
    old: `${root}/aside/old`,
    manifest: `${root}/_manifest`,
    intent: `${root}/_intent`
  }
}

export const optional = <A>(effect: Effect.Effect<A, StorageError>): Effect.Effect<Option.Option<A>, StorageError> =>
  effect.pipe(
    Effect.map(Option.some),
    Effect.catchReason("StorageError", "NotFound", () => Effect.succeed(Option.none<A>()))
  )

export const exists = (storage: Backend, path: string): Effect.Effect<boolean, StorageError> =>
  Effect.map(optional(storage.stat(path)), Option.isSome)

export const readText = (storage: Backend, path: string): Effect.Effect<string, StorageError> =>
  Effect.flatMap(storage.stat(path), ({ length }) =>
    Effect.map(storage.readRange(path, 0, length), (bytes) => Buffer.from(bytes).toString("utf8"))
  )

export const writeText = (storage: Backend, path: string, text: string, overwrite = true) =>
  storage.write(path, Stream.succeed<Uint8Array>(Buffer.from(text, "utf8")), { overwrite })

/** The entries of a directory; none where there is no directory. */
export const entriesOf = (storage: Backend, path: string): Effect.Effect<ReadonlyArray<FileStatus>, StorageError> =>
  Effect.map(optional(Stream.runCollect(storage.list(path))), (found) => Option.getOrElse(found, () => []))

/** What is at the output; a directory with nothing in it but a job's folders counts as empty. */
export const probe = Effect.fnUntraced(function* (storage: Backend, output: string) {
  const status = yield* optional(storage.stat(output))
  if (Option.isNone(status)) return "absent" as const
  if (status.value.type === "file") return "file" as const
  const entry = yield* storage.list(output).pipe(
    Stream.filter((entry) => nameOf(entry.path) !== "_sluice"),
    Stream.runHead
  )
  return Option.isNone(entry) ? ("empty" as const) : ("present" as const)
})

export type There = Effect.Success<ReturnType<typeof probe>>

/**
 * The files below an output but for its manifest, relative to it. A link to a directory is one of them, not what it leads to.
 * `output` is a real path.
 */
export const filesOf = Effect.fnUntraced(function* (storage: Backend, output: string) {
  const files: Array<string> = []
  const pending = [{ path: output, name: "" }]
  let folder: (typeof pending)[number] | undefined
  while ((folder = pending.shift()) !== undefined) {
    for (const entry of yield* entriesOf(storage, folder.path)) {
      const name = `${folder.name === "" ? "" : `${folder.name}/`}${decodeURIComponent(nameOf(entry.path))}`
      if (name === "_sluice" || name === "_SUCCESS") continue
      if (entry.type === "directory" && (yield* storage.realPath(entry.path)) === entry.path) {
        pending.push({ path: entry.path, name })
      } else {
        files.push(name)
      }
    }
  }
  return files
})

/** The folders that files lie in, the outermost first. */
const foldersOf = (files: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(files.filter((file) => file.includes("/")).map((file) => file.slice(0, file.lastIndexOf("/"))))
]

/** The folders of files that lie in some, for renames. */
export const makeFolders = (storage: Backend, root: string, files: ReadonlyArray<string>) =>
  Effect.forEach(foldersOf(files), (folder) => storage.mkdirs(below(root, folder)), { concurrency: 8, discard: true })

/** Removes the folders that files lay in, as far as they are empty. */
export const removeFolders = (storage: Backend, root: string, files: ReadonlyArray<string>) => {
  const folders = new Set<string>()
  for (let folder of foldersOf(files)) {
    while (folder !== "") {
      folders.add(folder)
      folder = folder.includes("/") ? folder.slice(0, folder.lastIndexOf("/")) : ""
    }
  }
  return Effect.forEach(
    [...folders].toSorted((left, right) => right.length - left.length),
    (folder) => Effect.ignore(storage.delete(below(root, folder))),
    { discard: true }
  )
}
