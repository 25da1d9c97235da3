import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { Corrupt, Missing, NoSpace, type Reason, Unavailable } from "../ShuffleError.ts"
import type { Source, SpillFile, Store } from "./model.ts"

// Files of up to a quarter of the memory are most likely still in the page cache.
const CACHED = Math.min(os.totalmem(), process.constrainedMemory() || Infinity) / 4

// A file in memory.
interface Held {
  readonly shuffle: string
  readonly parts: Array<Uint8Array>
  length: number
}

export const memory = (compression: "auto" | "zstd" | "none"): Store => {
  const files = new Map<string, Held>()
  const source = (name: string): Source => ({
    file: name,
    read: (offset, length) => {
      const file = files.get(name)
      if (file === undefined) return Effect.fail(new Missing({ file: name }))
      if (offset + length > file.length)
        return Effect.fail(new Corrupt({ file: name, offset, detail: "the file ends here" }))
      const bytes = Buffer.allocUnsafe(length)
      let start = 0
      for (const part of file.parts) {
        const from = Math.max(offset, start)
        const to = Math.min(offset + length, start + part.length)
        if (from < to) bytes.set(part.subarray(from - start, to - start), from - offset)
        start += part.length
        if (start >= offset + length) break
      }
      return Effect.succeed(bytes)
    }
  })
  return {
    create: (shuffle, name) => {
      const file = `${shuffle}/${name}`
      let kept = false
      return Effect.acquireRelease(
        Effect.sync((): SpillFile => {
          const entry: Held = { shuffle, parts: [], length: 0 }
          files.set(file, entry)
          return {
            ...source(file),
            append: (parts) =>
              Effect.sync(() => {
                for (const part of parts) {
                  entry.parts.push(Uint8Array.from(part))
                  entry.length += part.length
                }
              }),
            keep: Effect.sync(() => {
              kept = true
            })
          }
        }),
        () => Effect.sync(() => kept || files.delete(file))
      )
    },
    open: (status) => Effect.succeed(source(status.file)),
    remove: (shuffle) =>
      Effect.sync(() => {
        for (const [name, file] of files) if (file.shuffle === shuffle) files.delete(name)
      }),
    discard: (status) => Effect.sync(() => files.delete(status.file)),
    compress: () => compression === "zstd"
  }
}

/** Why a system call failed. */
export const reason = (file: string, error: unknown): Reason => {
  const detail = error instanceof Error ? error.message : String(error)
  switch (error instanceof Error && "code" in error ? error.code : undefined) {
    case "ENOSPC":
    case "EDQUOT":
      return new NoSpace({ file, detail })
    case "ENOENT":
      return new Missing({ file })
    default:
      return new Unavailable({ file, detail })
  }
}

const call = <A>(
  file: string,
  start: (done: (error: NodeJS.ErrnoException | null, value: A) => void) => void
): Effect.Effect<A, Reason> =>
  Effect.callback((resume) =>
    start((error, value) => resume(error === null ? Effect.succeed(value) : Effect.fail(reason(file, error))))
  )

// What is left of the parts after their first bytes.
const after = (parts: ReadonlyArray<Uint8Array>, bytes: number): ReadonlyArray<Uint8Array> => {
  let left = bytes
  for (const [index, part] of parts.entries()) {
    if (left < part.length) return [part.subarray(left), ...parts.slice(index + 1)]
    left -= part.length
  }
  return []
}

const writeAll = (file: string, fd: number, parts: ReadonlyArray<Uint8Array>): Effect.Effect<void, Reason> =>
  Effect.suspend(() => {
    // The system accepts 1024 parts at once.
    const now = parts.slice(0, 1024)
    const wanted = now.reduce((sum, part) => sum + part.length, 0)
    return Effect.flatMap(
      call<number>(file, (done) => fs.writev(fd, now, done)),
      (written) => {
        if (written === wanted && now.length === parts.length) return Effect.void
        // A short write is the first sign of a full disk: the rest is written again, and that write then fails.
        return writeAll(file, fd, after(parts, written))
      }
    )
  })

// From the page cache, a synchronous read (0.2 ms per megabyte) is cheaper than handing it to a thread and back.
const SMALL = 64 * 1024

const readAll = (
  file: string,
  fd: number,
  offset: number,
  length: number,
  cached: boolean
): Effect.Effect<Buffer, Reason> => {
  const bytes = Buffer.allocUnsafeSlow(length)
  const from = (done: number): Effect.Effect<Buffer, Reason> => {
    if (done === length) return Effect.succeed(bytes)
    const read =
      length > SMALL && !cached
        ? call<number>(file, (resume) => fs.read(fd, bytes, done, length - done, offset + done, resume))
        : Effect.try({
            try: () => fs.readSync(fd, bytes, done, length - done, offset + done),
            catch: (error) => reason(file, error)
          })
    return Effect.flatMap(read, (count) =>
      count === 0
        ? Effect.fail(new Corrupt({ file, offset: offset + done, detail: "the file ends here" }))
        : from(done + count)
    )
  }
  return from(0)
}

const close = (fd: number) =>
  Effect.sync(() => {
    fs.closeSync(fd)
  })

/** Files under an existing directory. */
export const disk = (directory: string, compression: "auto" | "zstd" | "none"): Store => {
  let bytes = 0
  const open = (file: string, flags: string) =>
    Effect.acquireRelease(
      Effect.try({
        try: () => fs.openSync(file, flags, 0o600),
        catch: (error) => reason(file, error)
      }),
      close
    )
  return {
    create: Effect.fnUntraced(function* (shuffle, name) {
      const folder = path.join(directory, shuffle)
      const file = path.join(folder, name)
      let kept = false
      let length = 0
      yield* Effect.try({
        try: () => fs.mkdirSync(folder, { recursive: true, mode: 0o700 }),
        catch: (error) => reason(file, error)
      })
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (kept) return
          bytes -= length
          fs.rmSync(file, { force: true })
        })
      )
      const fd = yield* open(file, "w+")
      return {
        file,
        read: (offset, count) => readAll(file, fd, offset, count, bytes <= CACHED),
        append: (parts) => {
          for (const part of parts) {
            length += part.length
            bytes += part.length
          }
          // While a thread of the pool writes, the descriptor must not be closed, or its number could be used again.
          return Effect.uninterruptible(writeAll(file, fd, parts))
        },
        keep: Effect.sync(() => {
          kept = true
        })
      }
    }),
    open: (status) =>
      Effect.map(open(status.file, "r"), (fd) => ({
        file: status.file,
        read: (offset, length) => Effect.uninterruptible(readAll(status.file, fd, offset, length, bytes <= CACHED))
      })),
    remove: (shuffle) =>
      Effect.sync(() => {
        const folder = path.join(directory, shuffle)
        let entries: ReadonlyArray<string>
        try {
          entries = fs.readdirSync(folder)
        } catch {
          // A shuffle to which nothing was written has no folder.
          return
        }
        for (const entry of entries)
          bytes -= fs.statSync(path.join(folder, entry), { throwIfNoEntry: false })?.size ?? 0
        fs.rmSync(folder, { recursive: true, force: true })
      }),
    discard: (status) =>
      Effect.sync(() => {
        if (status.file === "") return
        bytes -= fs.statSync(status.file, { throwIfNoEntry: false })?.size ?? 0
        fs.rmSync(status.file, { force: true })
      }),
    compress: () => compression === "zstd" || (compression === "auto" && bytes > CACHED)
  }
}
