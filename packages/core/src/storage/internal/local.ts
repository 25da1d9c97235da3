import { Effect, Random, Stream } from "effect"
import { Buffer } from "node:buffer"
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import process from "node:process"
import type { Backend, FileStatus } from "./model.ts"
import * as StorageError from "../StorageError.ts"
import { type Entry, list, type Tree } from "./glob.ts"
import {
  compareCodePoints,
  fail,
  format,
  parse,
  parseGlob,
  renameObstacle,
  resolveRange,
  rootIsKept,
  type Segments
} from "./path.ts"

// node:fs and not Effect's FileSystem: positional reads without a copy, exclusive links and fsync of directories.

const scheme = "file"
const pieceBytes = 1024 * 1024

const workingDirectory = (): Segments => process.cwd().split("/")

const native = (segments: Segments): string => `/${segments.join("/")}`

const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

const toReason = (cause: unknown): StorageError.Reason => {
  const detail = cause instanceof Error ? cause.message : String(cause)
  switch (codeOf(cause)) {
    case "ENOENT":
      return new StorageError.NotFound()
    case "EEXIST":
      return new StorageError.AlreadyExists()
    case "ENOTDIR":
      return new StorageError.NotADirectory()
    case "EISDIR":
      return new StorageError.IsADirectory()
    case "ENOTEMPTY":
      return new StorageError.NotEmpty()
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new StorageError.PermissionDenied({ detail })
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return new StorageError.NoSpace({ detail })
    case "ENAMETOOLONG":
    case "EINVAL":
    case "ELOOP":
      return new StorageError.InvalidPath({ detail })
    case "EXDEV":
      return new StorageError.Unsupported({
        detail: "is on another file system, so a rename cannot be atomic; write it there and delete the source"
      })
    // Mostly a mount point.
    case "EBUSY":
      return new StorageError.Unsupported({ detail: `is in use by the system (a mount point, for example): ${detail}` })
    default:
      return new StorageError.Unavailable({ detail, cause })
  }
}

/**
 * One step on the file system. Not interruptible: an abandoned promise would continue to change files after the effect
 * has ended. Each step is short.
 */
const attempt = <A>(operation: string, path: string, run: () => Promise<A>) =>
  Effect.uninterruptible(Effect.tryPromise({ try: run, catch: (cause) => fail(operation, path, toReason(cause)) }))

const unlessCode = <A>(promise: Promise<A>, ...codes: ReadonlyArray<string>): Promise<A | undefined> =>
  promise.catch((cause: unknown) => {
    const code = codeOf(cause)
    if (code !== undefined && codes.includes(code)) return undefined
    throw cause
  })

const statOrAbsent = (path: string) => unlessCode(Fs.stat(path), "ENOENT", "ENOTDIR")

const lstatOrAbsent = (path: string) => unlessCode(Fs.lstat(path), "ENOENT", "ENOTDIR")

const toStatus = (segments: Segments, stats: Stats): FileStatus => ({
  path: format(scheme, segments),
  type: stats.isDirectory() ? "directory" : "file",
  length: stats.isDirectory() ? 0 : stats.size,
  modified: Math.trunc(stats.mtimeMs)
})

const tree = (path: string): Tree => ({
  find: (segments) =>
    Effect.map(
      attempt("list", path, () => statOrAbsent(native(segments))),
      (stats) => stats && toStatus(segments, stats)
    ),
  entries: (segments) =>
    Effect.map(
      attempt("list", path, () =>
        unlessCode(Fs.readdir(native(segments), { withFileTypes: true }), "ENOENT", "ENOTDIR")
      ),
      (found) =>
        found
          ?.map((entry): Entry => ({ name: entry.name, isLink: entry.isSymbolicLink() }))
          .toSorted((a, b) => compareCodePoints(a.name, b.name))
    )
})

/** A directory opens like a file; it is refused here. */
const open = Effect.fnUntraced(function* (operation: string, path: string) {
  const segments = yield* parse(operation, path, scheme, workingDirectory)
  const handle = yield* Effect.acquireRelease(
    attempt(operation, path, () => Fs.open(native(segments), "r")),
    (handle) => Effect.promise(() => handle.close())
  )
  const stats = yield* attempt(operation, path, () => handle.stat())
  if (stats.isDirectory()) return yield* fail(operation, path, new StorageError.IsADirectory())
  return { handle, stats }
})

/** Fills `buffer` from `position`. It gets fewer bytes only at the end of the file. */
const fill = async (handle: Fs.FileHandle, buffer: Uint8Array, position: number): Promise<number> => {
  let at = 0
  while (at < buffer.length) {
    const { bytesRead } = await handle.read(buffer, at, buffer.length - at, position + at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return at
}

/** New memory, outside Node's pool and without the cost of zeroing it. */
const allocate = (length: number): Uint8Array => new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)

const read: Backend["read"] = (path, range) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { handle, stats } = yield* open("read", path)
      // Devices, pipes and the files of /proc have no size: they are read until they end.
      if (stats.size === 0 && range?.length === undefined && (range?.offset ?? 0) === 0) {
        return Stream.unfold(undefined, () =>
          Effect.map(
            attempt("read", path, async () => {
              const buffer = allocate(64 * 1024)
              const { bytesRead } = await handle.read(buffer, 0, buffer.length, null)
              return buffer.subarray(0, bytesRead)
            }),
            (piece) => (piece.length === 0 ? undefined : ([piece, undefined] as const))
          )
        )
      }
      const { end, start } = yield* resolveRange("read", path, stats.size, range)
      return Stream.unfold(start, (at) => {
        if (at >= end) return Effect.undefined
        const buffer = allocate(Math.min(pieceBytes, end - at))
        return Effect.flatMap(
          attempt("read", path, () => fill(handle, buffer, at)),
          (length) =>
            length === buffer.length
              ? Effect.succeed([buffer, at + length] as const)
              : Effect.fail(
                  fail(
                    "read",
                    path,
                    new StorageError.EndOfFile({ offset: start, length: end - start, available: at + length })
                  )
                )
        )
      })
    })
  )

/** Reads a short range without a look at the file first: `undefined` if the file ends before the range does. */
const readShort = async (path: string, offset: number, length: number): Promise<Uint8Array | undefined> => {
  const handle = await Fs.open(path, "r")
  try {
    const buffer = allocate(length)
    return (await fill(handle, buffer, offset)) === length ? buffer : undefined
  } finally {
    await handle.close()
  }
}

// Longer ranges are compared with the size of the file before there is memory for them.
const isShort = (offset: number, length: number): boolean =>
  Number.isSafeInteger(offset) && Number.isInteger(length) && offset >= 0 && length > 0 && length <= pieceBytes

const readRange: Backend["readRange"] = Effect.fn("Storage.readRange")(function* (path, offset, length) {
  if (isShort(offset, length)) {
    const segments = yield* parse("readRange", path, scheme, workingDirectory)
    // One step and not four: most of what they cost is the way to another thread and back.
    const bytes = yield* attempt("readRange", path, () => readShort(native(segments), offset, length))
    if (bytes !== undefined) return bytes
  }
  const { handle, stats } = yield* open("readRange", path)
  const { start } = yield* resolveRange("readRange", path, stats.size, { offset, length })
  const buffer = allocate(length)
  const filled = yield* attempt("readRange", path, () => fill(handle, buffer, start))
  if (filled < length) {
    return yield* fail("readRange", path, new StorageError.EndOfFile({ offset, length, available: start + filled }))
  }
  return buffer
}, Effect.scoped)

/**
 * Creates a directory and its parents. Node's own recursive `mkdir` never returns in /proc, where a new directory is ENOENT below
 * an existing parent, and calls a read-only file system ENOENT.
 */
const makeDirectories = async (path: string, tries = 20): Promise<void> => {
  try {
    await Fs.mkdir(path)
  } catch (cause) {
    const code = codeOf(cause)
    if (code === "ENOENT" && tries > 0 && path !== "/") {
      await makeDirectories(Path.dirname(path))
      // Tried again, because another job that ends now may have removed the empty parent.
      return makeDirectories(path, tries - 1)
    }
    const there = code === "ENOENT" ? undefined : await statOrAbsent(path)
    // Another process has just removed it, and perhaps created it again, unless it is a broken link.
    if (code === "EEXIST" && there === undefined && tries > 0) {
      if ((await lstatOrAbsent(path))?.isSymbolicLink() !== true) return makeDirectories(path, tries - 1)
    }
    // Some file systems refuse an existing directory with a different code.
    if (there?.isDirectory() !== true) throw cause
  }
}

/** Creates the parents of a path. */
const ensureParent = (operation: string, path: string, segments: Segments) =>
  attempt(operation, path, () => makeDirectories(native(segments.slice(0, -1)))).pipe(
    // A file in the way is EEXIST if it is the last of the parents, and otherwise ENOTDIR.
    Effect.catchReason("StorageError", "AlreadyExists", () =>
      Effect.fail(fail(operation, path, new StorageError.NotADirectory()))
    )
  )

/**
 * Creates the parents of a path, and runs an effect that puts something into them; again if another job that has just
 * ended removed the empty parent in between.
 */
const withParent = <A>(
  operation: string,
  path: string,
  segments: Segments,
  run: Effect.Effect<A, StorageError.StorageError>
): Effect.Effect<A, StorageError.StorageError> =>
  Effect.retry(Effect.andThen(ensureParent(operation, path, segments), run), {
    times: 20,
    while: (error) => error.reason._tag === "NotFound" && error.path === path
  })

/** Best effort: not every file system can sync a directory, and the file itself is already on disk. */
const syncDirectory = (directory: string) =>
  Effect.ignore(
    Effect.tryPromise(async () => {
      const handle = await Fs.open(directory, "r")
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    })
  )

const writeAll = async (handle: Fs.FileHandle, pieces: ReadonlyArray<Uint8Array>): Promise<void> => {
  for (const bytes of pieces) {
    for (let at = 0; at < bytes.length;) at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten
  }
}

// A copy of a small piece costs less than a separate write.
const smallBytes = 64 * 1024

/** The same bytes in fewer pieces: small ones next to each other become one, large ones are not copied. */
const gather = (pieces: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> => {
  const gathered: Array<Uint8Array> = []
  let small: Array<Uint8Array> = []
  const flush = () => {
    const [first, ...others] = small
    if (first !== undefined) gathered.push(others.length === 0 ? first : Buffer.concat(small))
    small = []
  }
  for (const piece of pieces) {
    if (piece.length < smallBytes) small.push(piece)
    else {
      flush()
      gathered.push(piece)
    }
  }
  flush()
  return gathered
}

/** Why a file cannot be written here, if it cannot. */
const obstacle = (stats: Stats | undefined, overwrite: boolean): StorageError.Reason | undefined =>
  stats === undefined
    ? undefined
    : stats.isDirectory()
      ? new StorageError.IsADirectory()
      : overwrite
        ? undefined
        : new StorageError.AlreadyExists()

/**
 * Renames a file without replacing another: `link` fails if the name is taken, `rename` does not. Without hard links,
 * the name is looked up first, and a writer in between is not noticed.
 */
const renameExclusive = async (from: string, to: string): Promise<void> => {
  try {
    await Fs.link(from, to)
  } catch (cause) {
    const code = codeOf(cause)
    if (code === undefined || !["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"].includes(code)) throw cause
    if ((await lstatOrAbsent(to)) !== undefined) throw Object.assign(new Error("file exists"), { code: "EEXIST" })
    return Fs.rename(from, to)
  }
  try {
    await Fs.unlink(from)
  } catch (cause) {
    // Another has renamed or deleted it in between, and told so: the name made here is one too many.
    await Fs.unlink(to)
    throw cause
  }
}

interface Temporary {
  readonly path: string
  readonly handle: Fs.FileHandle
}

/** The hidden file that becomes the target. With one seed, random names can collide; then the next is tried. */
const createTemporary = (path: string, segments: Segments): Effect.Effect<Temporary, StorageError.StorageError> =>
  Effect.gen(function* () {
    const name = segments.at(-1) ?? ""
    // At most 255 bytes per name.
    const shown = Buffer.byteLength(name) > 220 ? name.slice(0, 50) : name
    while (true) {
      const random = yield* Random.nextIntBetween(0, 0xffffffff)
      const temporary = native([
        ...segments.slice(0, -1),
        `.${shown}.${random.toString(16).padStart(8, "0")}._COPYING_`
      ])
      const handle = yield* attempt("write", path, () => unlessCode(Fs.open(temporary, "wx"), "EEXIST"))
      if (handle !== undefined) return { path: temporary, handle }
    }
  })

const write: Backend["write"] = Effect.fn("Storage.write")(function* (path, bytes, options) {
  const segments = yield* parse("write", path, scheme, workingDirectory)
  const target = native(segments)
  const overwrite = options?.overwrite ?? false
  const check = Effect.gen(function* () {
    const stats = yield* attempt("write", path, () => statOrAbsent(target))
    const reason = obstacle(stats, overwrite)
    if (reason !== undefined) return yield* fail("write", path, reason)
  })
  yield* check
  return yield* Effect.acquireUseRelease(
    withParent("write", path, segments, createTemporary(path, segments)),
    ({ handle, path: temporary }) =>
      Effect.gen(function* () {
        let written = 0
        yield* Stream.runForEachArray(bytes, (chunk) => {
          for (const piece of chunk) written += piece.length
          return attempt("write", path, () => writeAll(handle, gather(chunk)))
        })
        yield* attempt("write", path, () => handle.sync())
        yield* check
        yield* Effect.uninterruptible(
          Effect.andThen(
            attempt("write", path, () =>
              overwrite ? Fs.rename(temporary, target) : renameExclusive(temporary, target)
            ),
            syncDirectory(native(segments.slice(0, -1)))
          )
        )
        return written
      }),
    ({ handle, path: temporary }) =>
      Effect.promise(async () => {
        await handle.close().catch(() => undefined)
        // Gone already after a success.
        await Fs.rm(temporary, { force: true }).catch(() => undefined)
      })
  )
})

/** Moves what is at `source`, in one step. `stats` is what it is, `replaces` whether a file there is replaced. */
const move = (from: string, to: string, source: Segments, target: Segments, stats: Stats, replaces: boolean) =>
  attempt("rename", to, () =>
    stats.isFile() && !replaces
      ? renameExclusive(native(source), native(target))
      : Fs.rename(native(source), native(target))
  ).pipe(
    Effect.catch(
      Effect.fnUntraced(function* (error) {
        // If something has appeared at the target since it was looked up, systems refuse the rename in different words.
        if ((yield* attempt("rename", to, () => lstatOrAbsent(native(target)))) !== undefined) {
          const { _tag } = error.reason
          if (_tag === "NotEmpty" || _tag === "NotADirectory" || _tag === "IsADirectory") {
            return yield* fail("rename", to, new StorageError.AlreadyExists())
          }
        }
        // Which of the two is missing the system does not say.
        if (error.reason._tag === "NotFound") yield* attempt("rename", from, () => Fs.lstat(native(source)))
        return yield* error
      })
    )
  )

const rename: Backend["rename"] = Effect.fn("Storage.rename")(function* (from, to, options) {
  const source = yield* parse("rename", from, scheme, workingDirectory)
  const target = yield* parse("rename", to, scheme, workingDirectory)
  const stats = yield* attempt("rename", from, () => Fs.lstat(native(source)))
  const reason = renameObstacle(source, target)
  if (reason !== undefined) return yield* fail("rename", reason.isSource ? from : to, reason.reason)
  const existing = yield* attempt("rename", to, () => lstatOrAbsent(native(target)))
  // In one step even if nothing exists there: between a link and an unlink, the file would have both names.
  const replaces = options?.overwrite === true && stats.isFile() && existing?.isFile() !== false
  // `rename` leaves both if they are two names of one file.
  if (existing !== undefined && (!replaces || (existing.ino === stats.ino && existing.dev === stats.dev))) {
    return yield* fail("rename", to, new StorageError.AlreadyExists())
  }
  const once = move(from, to, source, target, stats, replaces)
  yield* (options?.parents ?? true) ? withParent("rename", to, target, once) : once
  // A name that decides something has to survive a power cut.
  if (replaces) yield* syncDirectory(native(target.slice(0, -1)))
}, Effect.uninterruptible)

/**
 * Removes a directory and all below it. If several do so at once, one of them removes the directory itself, and the others do not
 * find it; `Fs.rm` would tell all of them that they did.
 */
const removeDirectory = async (path: string, tries = 20): Promise<void> => {
  const names = await Fs.readdir(path)
  while (names.length > 0) {
    const removals = names.splice(-64).map((name) => Fs.rm(`${path}/${name}`, { recursive: true, force: true }))
    // All have ended by then, whatever one fails with.
    const failed = (await Promise.allSettled(removals)).find(({ status }) => status === "rejected")
    if (failed?.status === "rejected") throw failed.reason
  }
  try {
    await Fs.rmdir(path)
  } catch (cause) {
    // Somebody has put something there meanwhile.
    if (codeOf(cause) === "ENOTEMPTY" && tries > 0) return removeDirectory(path, tries - 1)
    throw cause
  }
}

const remove: Backend["delete"] = Effect.fn("Storage.delete")(function* (path, options) {
  const segments = yield* parse("delete", path, scheme, workingDirectory)
  if (segments.length === 0) return yield* fail("delete", path, rootIsKept)
  const target = native(segments)
  const stats = yield* attempt("delete", path, () => lstatOrAbsent(target))
  if (stats === undefined) return false
  return yield* attempt("delete", path, () =>
    !stats.isDirectory() ? Fs.unlink(target) : options?.recursive === true ? removeDirectory(target) : Fs.rmdir(target)
  ).pipe(
    Effect.as(true),
    // Another process was faster.
    Effect.catchReason("StorageError", "NotFound", () => Effect.succeed(false))
  )
})

const statAs = Effect.fnUntraced(function* (operation: string, path: string) {
  const segments = yield* parse(operation, path, scheme, workingDirectory)
  return toStatus(segments, yield* attempt(operation, path, () => Fs.stat(native(segments))))
})

const linkLeadsNowhere = (target: string) =>
  new StorageError.InvalidPath({
    detail: `is a link to ${target}, which does not exist; create that or remove the link`
  })

/** The path of the existing part, with links followed, and the names below it that are missing. */
const realPath = Effect.fn("Storage.realPath")(function* (path: string) {
  const segments = yield* parse("realPath", path, scheme, workingDirectory)
  for (let there = segments.length; ; there--) {
    const own = native(segments.slice(0, there))
    const real = yield* attempt("realPath", path, () => unlessCode(Fs.realpath(own), "ENOENT", "ENOTDIR"))
    if (real !== undefined) {
      return format(scheme, [...real.split("/").filter((name) => name !== ""), ...segments.slice(there)])
    }
    const target = yield* attempt("realPath", path, () => unlessCode(Fs.readlink(own), "ENOENT", "ENOTDIR", "EINVAL"))
    if (target === undefined) continue
    // Unless the link is younger than the first look.
    const again = yield* attempt("realPath", path, () => unlessCode(Fs.realpath(own), "ENOENT", "ENOTDIR"))
    if (again === undefined) return yield* fail("realPath", path, linkLeadsNowhere(target))
    there++
  }
})

export const make: Effect.Effect<Backend> = Effect.succeed<Backend>({
  list: (path) =>
    Stream.unwrap(
      Effect.map(parseGlob("list", path, scheme, workingDirectory), (patterns) => list(tree(path), path, patterns))
    ),
  stat: Effect.fn("Storage.stat")((path) => statAs("stat", path)),
  read,
  readRange,
  // Devices, pipes and the files of /proc have no size.
  unsized: true,
  write,
  rename,
  delete: remove,
  mkdirs: Effect.fn("Storage.mkdirs")(function* (path) {
    const segments = yield* parse("mkdirs", path, scheme, workingDirectory)
    yield* ensureParent("mkdirs", path, [...segments, ""])
  }),
  realPath,
  blocks: Effect.fn("Storage.blocks")(function* (path, known) {
    const { length, type } = known ?? (yield* statAs("blocks", path))
    if (type === "directory") return yield* fail("blocks", path, new StorageError.IsADirectory())
    return length === 0 ? [] : [{ offset: 0, length, hosts: [] }]
  })
})
