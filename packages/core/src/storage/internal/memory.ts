import { Clock, Effect, Stream } from "effect"
import type { Backend, FileStatus } from "./model.ts"
import * as StorageError from "../StorageError.ts"
import { list, type Tree } from "./glob.ts"
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

interface File {
  readonly _tag: "File"
  readonly bytes: Uint8Array
  readonly modified: number
}

interface Directory {
  readonly _tag: "Directory"
  readonly children: Map<string, File | Directory>
  modified: number
}

type Node = File | Directory

const scheme = "memory"
const pieceBytes = 1024 * 1024

const status = (segments: Segments, node: Node): FileStatus => ({
  path: format(scheme, segments),
  type: node._tag === "File" ? "file" : "directory",
  length: node._tag === "File" ? node.bytes.length : 0,
  modified: node.modified
})

/** A store of its own on every run. Each change is one synchronous step, and so atomic. */
export const make: Effect.Effect<Backend> = Effect.map(Clock.currentTimeMillis, (now): Backend => {
  const root: Directory = { _tag: "Directory", children: new Map(), modified: now }

  const lookup = (segments: Segments): Node | StorageError.NotFound | StorageError.NotADirectory => {
    let node: Node = root
    for (const name of segments) {
      if (node._tag === "File") return new StorageError.NotADirectory()
      const child: Node | undefined = node.children.get(name)
      if (child === undefined) return new StorageError.NotFound()
      node = child
    }
    return node
  }

  const isNode = (found: ReturnType<typeof lookup>): found is Node =>
    found._tag === "File" || found._tag === "Directory"

  const get = (operation: string, path: string, segments: Segments) =>
    Effect.suspend(() => {
      const found = lookup(segments)
      return isNode(found) ? Effect.succeed(found) : Effect.fail(fail(operation, path, found))
    })

  const getFile = Effect.fnUntraced(function* (operation: string, path: string) {
    const node = yield* get(operation, path, yield* parse(operation, path, scheme))
    return node._tag === "File" ? node : yield* fail(operation, path, new StorageError.IsADirectory())
  })

  /** The directory, created with its parents where there is none; `undefined` where a file is in the way. */
  const ensure = (segments: Segments, now: number): Directory | undefined => {
    let node = root
    for (const name of segments) {
      const child = node.children.get(name)
      if (child === undefined) {
        const created: Directory = { _tag: "Directory", children: new Map(), modified: now }
        node.children.set(name, created)
        node.modified = now
        node = created
      } else if (child._tag === "File") {
        return undefined
      } else {
        node = child
      }
    }
    return node
  }

  /** Why a file cannot be written here, if so. */
  const obstacle = (segments: Segments, overwrite: boolean): StorageError.Reason | undefined => {
    const found = lookup(segments)
    switch (found._tag) {
      case "Directory":
        return new StorageError.IsADirectory()
      case "File":
        return overwrite ? undefined : new StorageError.AlreadyExists()
      case "NotADirectory":
        return found
      case "NotFound":
        return undefined
    }
  }

  const tree: Tree = {
    find: (segments) =>
      Effect.sync(() => {
        const found = lookup(segments)
        return isNode(found) ? status(segments, found) : undefined
      }),
    entries: (segments) =>
      Effect.sync(() => {
        const found = lookup(segments)
        return found._tag === "Directory"
          ? Array.from(found.children.keys())
              .toSorted(compareCodePoints)
              .map((name) => ({ name, isLink: false }))
          : []
      })
  }

  return {
    list: (path) =>
      Stream.unwrap(Effect.map(parseGlob("list", path, scheme), (patterns) => list(tree, path, patterns))),

    stat: Effect.fn("Storage.stat")(function* (path) {
      const segments = yield* parse("stat", path, scheme)
      return status(segments, yield* get("stat", path, segments))
    }),

    read: (path, range) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const { bytes } = yield* getFile("read", path)
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
      const { bytes } = yield* getFile("readRange", path)
      const { end, start } = yield* resolveRange("readRange", path, bytes.length, { offset, length })
      return bytes.slice(start, end)
    }),

    write: Effect.fn("Storage.write")(function* (path, bytes, options) {
      const segments = yield* parse("write", path, scheme)
      const overwrite = options?.overwrite ?? false
      const before = obstacle(segments, overwrite)
      if (before !== undefined) return yield* fail("write", path, before)
      const pieces: Array<Uint8Array> = []
      yield* Stream.runForEachArray(bytes, (chunk) =>
        Effect.sync(() => {
          // A copy: the producer may use its buffers again.
          for (const piece of chunk) pieces.push(new Uint8Array(piece))
        })
      )
      const now = yield* Clock.currentTimeMillis
      const reason = obstacle(segments, overwrite)
      if (reason !== undefined) return yield* fail("write", path, reason)
      const name = segments.at(-1)
      const parent = ensure(segments.slice(0, -1), now)
      if (name === undefined || parent === undefined)
        return yield* fail("write", path, new StorageError.NotADirectory())
      const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
      let at = 0
      for (const piece of pieces) {
        whole.set(piece, at)
        at += piece.length
      }
      parent.children.set(name, { _tag: "File", bytes: whole, modified: now })
      parent.modified = now
      return whole.length
    }),

    rename: Effect.fn("Storage.rename")(function* (from, to, options) {
      const source = yield* parse("rename", from, scheme)
      const target = yield* parse("rename", to, scheme)
      const now = yield* Clock.currentTimeMillis
      const node = yield* get("rename", from, source)
      const reason = renameObstacle(source, target)
      if (reason !== undefined) return yield* fail("rename", reason.isSource ? from : to, reason.reason)
      const found = lookup(target)
      const replaces = options?.overwrite === true && node._tag === "File" && found._tag === "File"
      if (isNode(found) && (!replaces || found === node)) {
        return yield* fail("rename", to, new StorageError.AlreadyExists())
      }
      if (found._tag === "NotADirectory") return yield* fail("rename", to, found)
      const folder = lookup(target.slice(0, -1))
      if (options?.parents === false && folder._tag === "NotFound") return yield* fail("rename", to, folder)
      const parent = ensure(target.slice(0, -1), now)
      const holder = lookup(source.slice(0, -1))
      const oldName = source.at(-1)
      const newName = target.at(-1)
      if (parent === undefined || holder._tag !== "Directory" || oldName === undefined || newName === undefined) {
        return yield* fail("rename", to, new StorageError.NotADirectory())
      }
      holder.children.delete(oldName)
      parent.children.set(newName, node)
      holder.modified = parent.modified = now
    }),

    delete: Effect.fn("Storage.delete")(function* (path, options) {
      const segments = yield* parse("delete", path, scheme)
      const name = segments.at(-1)
      if (name === undefined) {
        return yield* fail("delete", path, rootIsKept)
      }
      const now = yield* Clock.currentTimeMillis
      const node = lookup(segments)
      const parent = lookup(segments.slice(0, -1))
      if (!isNode(node) || parent._tag !== "Directory") return false
      if (node._tag === "Directory" && node.children.size > 0 && options?.recursive !== true) {
        return yield* fail("delete", path, new StorageError.NotEmpty())
      }
      parent.children.delete(name)
      parent.modified = now
      return true
    }),

    mkdirs: Effect.fn("Storage.mkdirs")(function* (path) {
      const segments = yield* parse("mkdirs", path, scheme)
      const now = yield* Clock.currentTimeMillis
      if (ensure(segments, now) === undefined) return yield* fail("mkdirs", path, new StorageError.NotADirectory())
    }),

    realPath: Effect.fn("Storage.realPath")(function* (path) {
      return format(scheme, yield* parse("realPath", path, scheme))
    }),

    blocks: Effect.fn("Storage.blocks")(function* (path) {
      const { bytes } = yield* getFile("blocks", path)
      return bytes.length === 0 ? [] : [{ offset: 0, length: bytes.length, hosts: [] }]
    })
  }
})
