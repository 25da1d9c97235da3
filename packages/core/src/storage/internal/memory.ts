import { Clock, Effect, Stream } from "effect"
import type { Backend, FileStatus } from "./model.ts"
import * as StorageError from "../StorageError.ts"
import { list, type Tree } from "./glob.ts"
import * as MemoryTree from "./memoryTree.ts"
import { compareCodePoints, fail, format, parse, parseGlob, resolveRange, rootIsKept, type Segments } from "./path.ts"

const scheme = "memory"
const pieceBytes = 1024 * 1024

const toStatus = (segments: Segments, node: MemoryTree.Node): FileStatus => ({
  path: format(scheme, segments),
  type: node._tag === "File" ? "file" : "directory",
  length: node._tag === "File" ? node.bytes.length : 0,
  modified: node.modified
})

const treeOf = (root: MemoryTree.Directory): Tree => ({
  find: (segments) =>
    Effect.sync(() => {
      const found = MemoryTree.lookup(root, segments)
      return MemoryTree.isNode(found) ? toStatus(segments, found) : undefined
    }),
  entries: (segments) =>
    Effect.sync(() => {
      const found = MemoryTree.lookup(root, segments)
      if (found._tag !== "Directory") return undefined
      return Array.from(found.children)
        .toSorted(([a], [b]) => compareCodePoints(a, b))
        .map(([name, node]) => ({ name, isLink: false, status: toStatus([...segments, name], node) }))
    })
})

const getFile = Effect.fnUntraced(function* (root: MemoryTree.Directory, operation: string, path: string) {
  const found = MemoryTree.lookup(root, yield* parse(operation, path, scheme))
  if (found._tag === "File") return found
  return yield* fail(operation, path, found._tag === "Directory" ? new StorageError.IsADirectory() : found)
})

/** All bytes of a stream. Copies: the producer may use its buffers again. */
const gather = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Effect.Effect<Uint8Array, E, R> =>
  Effect.suspend(() => {
    const pieces: Array<Uint8Array> = []
    const copied = Stream.runForEachArray(bytes, (chunk) =>
      Effect.sync(() => {
        for (const piece of chunk) pieces.push(new Uint8Array(piece))
      })
    )
    return Effect.map(copied, () => {
      const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
      let at = 0
      for (const piece of pieces) {
        whole.set(piece, at)
        at += piece.length
      }
      return whole
    })
  })

const reads = (root: MemoryTree.Directory): Pick<Backend, "list" | "stat" | "read" | "readRange" | "blocks"> => ({
  list: (path) =>
    Stream.unwrap(Effect.map(parseGlob("list", path, scheme), (patterns) => list(treeOf(root), path, patterns))),

  stat: Effect.fn("Storage.stat")(function* (path) {
    const segments = yield* parse("stat", path, scheme)
    const found = MemoryTree.lookup(root, segments)
    return MemoryTree.isNode(found) ? toStatus(segments, found) : yield* fail("stat", path, found)
  }),

  read: (path, range) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { bytes } = yield* getFile(root, "read", path)
        const { end, start } = yield* resolveRange("read", path, bytes.length, range)
        return Stream.unfold(start, (at) =>
          Effect.sync(() => {
            if (at >= end) return undefined
            const next = Math.min(end, at + pieceBytes)
            return [bytes.slice(at, next), next] as const
          })
        )
      })
    ),

  readRange: Effect.fn("Storage.readRange")(function* (path, offset, length) {
    const { bytes } = yield* getFile(root, "readRange", path)
    const { end, start } = yield* resolveRange("readRange", path, bytes.length, { offset, length })
    return bytes.slice(start, end)
  }),

  blocks: Effect.fn("Storage.blocks")(function* (path) {
    const { bytes } = yield* getFile(root, "blocks", path)
    return bytes.length === 0 ? [] : [{ offset: 0, length: bytes.length, hosts: [] }]
  })
})

const changes = (root: MemoryTree.Directory): Pick<Backend, "write" | "rename" | "delete" | "mkdirs"> => ({
  write: Effect.fn("Storage.write")(function* (path, bytes, options) {
    const segments = yield* parse("write", path, scheme)
    const overwrite = options?.overwrite ?? false
    const before = MemoryTree.writeObstacle(root, segments, overwrite)
    if (before !== undefined) return yield* fail("write", path, before)
    const whole = yield* gather(bytes)
    const reason = MemoryTree.write(root, segments, whole, overwrite, yield* Clock.currentTimeMillis)
    if (reason !== undefined) return yield* fail("write", path, reason)
    return whole.length
  }),

  rename: Effect.fn("Storage.rename")(function* (from, to, options) {
    const source = yield* parse("rename", from, scheme)
    const target = yield* parse("rename", to, scheme)
    const refused = MemoryTree.rename(root, source, target, options, yield* Clock.currentTimeMillis)
    if (refused !== undefined) return yield* fail("rename", refused.isSource ? from : to, refused.reason)
  }),

  delete: Effect.fn("Storage.delete")(function* (path, options) {
    const segments = yield* parse("delete", path, scheme)
    if (segments.length === 0) return yield* fail("delete", path, rootIsKept)
    const isRecursive = options?.recursive === true
    const removed = MemoryTree.remove(root, segments, isRecursive, yield* Clock.currentTimeMillis)
    return typeof removed === "boolean" ? removed : yield* fail("delete", path, removed)
  }),

  mkdirs: Effect.fn("Storage.mkdirs")(function* (path) {
    const segments = yield* parse("mkdirs", path, scheme)
    const made = MemoryTree.makeDirectories(root, segments, yield* Clock.currentTimeMillis)
    if (made._tag === "NotADirectory") return yield* fail("mkdirs", path, made)
  })
})

/** A store of its own on every run. */
export const make: Effect.Effect<Backend> = Effect.map(Clock.currentTimeMillis, (now): Backend => {
  const root = MemoryTree.directory(now)
  return {
    ...reads(root),
    ...changes(root),
    realPath: Effect.fn("Storage.realPath")((path) =>
      Effect.map(parse("realPath", path, scheme), (segments) => format(scheme, segments))
    )
  }
})
