/** Where a write keeps its files until they become the output, and how it lists them. */
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

/**
 * Where the jobs of an output stage their files. From `beside` the output, one rename of a directory makes them the
 * output. `inside` is for an output that cannot be replaced by a rename: it is a mount point, or its parent may not be
 * written.
 */
export type Place = "beside" | "inside"

/** In the order in which a job asks for them. */
export const places: ReadonlyArray<Place> = ["beside", "inside"]

/** The staging folder of an output: it holds the leases, and a folder for each job. */
export const stagingOf = (output: string, place: Place): string => {
  if (place === "inside") return `${output}/_sluice`
  const [parent, name] = parentOf(output)
  return `${parent === "/" ? "" : parent}/_sluice/${name}`
}

/**
 * An output and the folder of one job that writes it. Everything that a commit works with is in that folder, so that
 * taking the folder away stops the commit.
 */
export interface Layout {
  readonly output: string
  /** The manifest in the output. */
  readonly success: string
  readonly place: Place
  /** The folder of the job. */
  readonly folder: string
  /** A file that says whose folder it is. Tasks find the folder by it. */
  readonly owner: string
  /** The rows that tasks set aside. */
  readonly letters: string
  /** The files of the attempts that count, under the names they will have in the output. */
  readonly out: string
  /** The place for the files that the commit replaces. */
  readonly aside: string
  /** The whole output, if a rename replaces it. */
  readonly old: string
  /** The next manifest, and the content of the output when the rename was decided. */
  readonly manifest: string
  readonly intent: string
}

export const layoutOf = (output: string, place: Place, job: string): Layout => {
  const folder = `${stagingOf(output, place)}/${job}`
  const commit = `${folder}/commit`
  return {
    output,
    success: `${output}/_SUCCESS`,
    place,
    folder,
    owner: `${folder}/_owner`,
    letters: `${folder}/letters`,
    out: `${commit}/out`,
    aside: `${commit}/aside`,
    old: `${commit}/aside/old`,
    manifest: `${commit}/_manifest`,
    intent: `${commit}/_intent`
  }
}

/** The folder of one attempt of a task. */
export const attemptOf = ({ folder }: Layout, partition: number, attempt: number): string =>
  `${folder}/${partition}-${attempt}`

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

/** The entries of a directory; none if there is no directory. */
export const entriesOf = (storage: Backend, path: string): Effect.Effect<ReadonlyArray<FileStatus>, StorageError> =>
  Effect.map(optional(Stream.runCollect(storage.list(path))), (found) => Option.getOrElse(found, () => []))

/**
 * What is at the output. A directory that holds nothing but the folders of jobs counts as empty. The commit of another
 * job may move the output away between the two steps; then the answer is that the output was absent for a moment.
 */
export const probe = Effect.fnUntraced(function* (storage: Backend, output: string) {
  const status = yield* optional(storage.stat(output))
  if (Option.isNone(status)) return "absent" as const
  if (status.value.type === "file") return "file" as const
  const entry = yield* storage.list(output).pipe(
    Stream.filter((entry) => nameOf(entry.path) !== "_sluice"),
    Stream.runHead,
    optional
  )
  if (Option.isNone(entry)) return "absent" as const
  return Option.isNone(entry.value) ? ("empty" as const) : ("present" as const)
})

export type There = Effect.Success<ReturnType<typeof probe>>

/**
 * The files below an output except its manifest, relative to it. A link to a directory counts as a file, and is not
 * followed. `output` is a real path.
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

/** The folders that files lie in. */
const foldersOf = (files: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(files.filter((file) => file.includes("/")).map((file) => file.slice(0, file.lastIndexOf("/"))))
]

/** Makes the folders of files, so that the files can be renamed into them. */
export const makeFolders = (storage: Backend, root: string, files: ReadonlyArray<string>) =>
  Effect.forEach(foldersOf(files), (folder) => storage.mkdirs(below(root, folder)), { concurrency: 8, discard: true })

/** Removes the folders that the files were in, if they are empty. */
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
