/** From the paths that a user named to the data files. */
import { Effect, Schema, Stream } from "effect"
import { FormatError, NoInput, type Reason, StorageFailed } from "../../task/FormatError.ts"
import { type FileStatus, Storage } from "../../storage/Storage.ts"
import type { StorageError } from "../../storage/StorageError.ts"

export const fail = (format: string, path: string, reason: Reason): FormatError =>
  new FormatError({ format, path, reason })

export const storageFailed =
  (format: string, path: string) =>
  (error: StorageError): FormatError =>
    fail(format, path, new StorageFailed({ error }))

export const toPaths = (paths: string | ReadonlyArray<string>): ReadonlyArray<string> =>
  typeof paths === "string" ? [paths] : paths

export const baseName = (path: string): string => {
  const trimmed = path.endsWith("/") ? path.slice(0, -1) : path
  return trimmed.slice(trimmed.lastIndexOf("/") + 1)
}

// Spark's rule (`HadoopFSUtils.shouldFilterOutPathName`): `_x=1` is a partition folder, `_SUCCESS` is not data.
const isHidden = (name: string): boolean => name.startsWith(".") || (name.startsWith("_") && !name.includes("="))

export const isGlob = (path: string): boolean => /[*?[{]/.test(path)

const some = (names: ReadonlyArray<string>): string =>
  names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ")

const EmptyManifest = Schema.fromJsonString(
  Schema.Struct({ version: Schema.Literal(1), files: Schema.Array(Schema.Unknown).check(Schema.isMaxLength(0)) })
)

/**
 * The data files of a path: a file itself; for a directory, its files and those of its `key=value` folders; for a glob,
 * the same for each match. Names that begin with `_` or `.` are not data.
 */
export const expand = Effect.fn("Format.expand")(function* (format: string, paths: ReadonlyArray<string>) {
  const storage = yield* Storage
  const list = (path: string) => Effect.mapError(Stream.runCollect(storage.list(path)), storageFailed(format, path))

  const files: Array<FileStatus> = []
  let isEmpty = false
  const saysEmpty = (path: string) =>
    storage.stat(path).pipe(
      Effect.flatMap(({ length }) => storage.readRange(path, 0, length)),
      Effect.flatMap((bytes) => Schema.decodeEffect(EmptyManifest)(Buffer.from(bytes).toString("utf8"))),
      Effect.isSuccess
    )
  for (const path of paths) {
    const before = files.length
    const skipped: Array<string> = []

    const directory = Effect.fnUntraced(function* (path: string, prefix: string) {
      const pending: Array<readonly [path: string, prefix: string]> = [[path, prefix]]
      let next: readonly [path: string, prefix: string] | undefined
      while ((next = pending.shift()) !== undefined) {
        for (const entry of yield* list(next[0])) {
          const name = baseName(entry.path)
          if (isHidden(name)) skipped.push(next[1] + name)
          else if (entry.type === "file") files.push(entry)
          else if (name.includes("=")) pending.push([entry.path, `${next[1]}${name}/`])
          else skipped.push(`${next[1]}${name}/`)
        }
      }
    })

    const nothing = (what: string) =>
      fail(
        format,
        path,
        new NoInput({
          detail: skipped.length === 0 ? `${what}; it is empty` : `${what}; found ${some(skipped)}`
        })
      )

    if (isGlob(path)) {
      for (const entry of yield* list(path)) {
        const name = baseName(entry.path)
        if (isHidden(name)) skipped.push(name)
        else if (entry.type === "file") files.push(entry)
        else yield* directory(entry.path, `${name}/`)
      }
      if (files.length === before) return yield* nothing("no data file matches")
      continue
    }

    const status = yield* Effect.mapError(storage.stat(path), (error) =>
      error.reason._tag === "NotFound"
        ? fail(format, path, new NoInput({ detail: "no such file or directory" }))
        : storageFailed(format, path)(error)
    )
    if (status.type === "file") {
      files.push(status)
    } else {
      yield* directory(status.path, "")
      if (files.length > before) continue
      // Rows that are put into folders by their values leave no folder if there are no rows.
      if (skipped.includes("_SUCCESS") && (yield* saysEmpty(`${status.path}/_SUCCESS`))) isEmpty = true
      else return yield* nothing("directory has no data files")
    }
  }
  if (files.length === 0 && !isEmpty) {
    return yield* fail(format, "", new NoInput({ detail: "no paths given" }))
  }
  return files
})
