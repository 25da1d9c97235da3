/** What a storage on HDFS reads. */
import type { Backend, BlockLocation, FileStatus } from "@sluice/core/Storage"
import * as S from "@sluice/core/StorageError"
import * as StoragePath from "@sluice/core/StoragePath"
import { Current } from "@sluice/core/TaskContext"
import { Effect, Glob, Stream } from "effect"
import type { HdfsClient, OpenOptions } from "../HdfsClient.ts"
import type * as M from "../HdfsModel.ts"
import { storageError, toReason, wrap, wrapStream } from "./storageErrors.ts"
import { type Locate, toPath } from "./storagePaths.ts"

type Client = HdfsClient["Service"]

/**
 * The blocks as a cover of the file: bytes that the NameNode's list leaves out have no host, and bytes that are in it
 * twice count once.
 */
const covering = (blocks: ReadonlyArray<M.BlockLocation>, length: number): ReadonlyArray<BlockLocation> => {
  const cover: Array<BlockLocation> = []
  let at = 0
  const add = (end: number, hosts: ReadonlyArray<string>) => {
    if (end <= at) return
    cover.push({ offset: at, length: end - at, hosts })
    at = end
  }
  for (const block of blocks.toSorted((a, b) => a.offset - b.offset)) {
    add(Math.min(block.offset, length), [])
    add(Math.min(block.offset + block.length, length), block.hosts)
  }
  add(length, [])
  return cover
}

const toStatus = (base: string, segments: StoragePath.Segments, status: M.FileStatus): FileStatus => ({
  path: `${base}${StoragePath.encode(segments)}`,
  type: status.type === "DIRECTORY" ? "directory" : "file",
  length: status.type === "DIRECTORY" ? 0 : status.length,
  modified: status.modificationTime
})

/** The entries of a directory; `undefined` if it is gone, or a file by now: the listing of a file is the file itself, without a name. */
const entriesOf = (client: Client, base: string, directory: StoragePath.Segments) =>
  Stream.runCollect(client.listStatusBatch(toPath(directory))).pipe(
    Effect.map((found) => {
      if (found.some(({ pathSuffix }) => pathSuffix === "")) return undefined
      const entries = found.map((status) => ({
        name: status.pathSuffix,
        isLink: false,
        status: toStatus(base, [...directory, status.pathSuffix], status)
      }))
      // The NameNode orders names by signed bytes, which puts everything but ASCII first.
      return entries.toSorted((a, b) => StoragePath.compare(a.name, b.name))
    }),
    Effect.catchIf(
      (error) => error.reason._tag === "FileNotFound" || error.reason._tag === "NotADirectory",
      () => Effect.undefined
    )
  )

const twiceIn = (entries: ReadonlyArray<StoragePath.Entry>): string | undefined => {
  let before: string | undefined
  for (const { name } of entries) {
    if (name === before) return name
    before = name
  }
  return undefined
}

const treeOf = (client: Client, base: string, uri: string): StoragePath.Tree => ({
  find: (segments) =>
    client.getFileStatus(toPath(segments)).pipe(
      Effect.map((status) => toStatus(base, segments, status)),
      Effect.catchIf(
        (error) => error.reason._tag === "FileNotFound" || error.reason._tag === "NotADirectory",
        () => Effect.undefined
      ),
      wrap("list", uri)
    ),
  entries: Effect.fnUntraced(function* (directory) {
    const entries = yield* wrap("list", uri)(entriesOf(client, base, directory))
    const twice = twiceIn(entries ?? [])
    if (twice === undefined) return entries
    // Its rows would be read twice.
    const listed = `${base}${StoragePath.encode(directory)}`
    return yield* storageError("list", listed, new S.Unavailable({ detail: `${twice} is listed twice` }))
  })
})

/** Within a task, bytes come from its executor's host if that has them, and are counted. */
const local = Effect.map(Current, (task): Pick<OpenOptions, "preferHost" | "onBytes"> => {
  if (task === undefined) return {}
  const { executor, metrics } = task
  return {
    preferHost: executor.host,
    onBytes: (host, count) => {
      const counter = host === executor.host ? "hdfsLocalBytes" : "hdfsRemoteBytes"
      metrics.counters.set(counter, (metrics.counters.get(counter) ?? 0) + count)
    }
  }
})

const fileStatus = Effect.fnUntraced(function* (client: Client, operation: string, uri: string, path: string) {
  const status = yield* wrap(operation, uri)(client.getFileStatus(path))
  if (status.type === "DIRECTORY") return yield* storageError(operation, uri, new S.IsADirectory())
  return status
})

const readRange = (client: Client, locate: Locate): Backend["readRange"] =>
  Effect.fn("HdfsStorage.readRange")(function* (uri, offset, length) {
    const path = toPath((yield* locate("readRange", uri)).segments)
    const outside = Effect.gen(function* () {
      const { length: available } = yield* fileStatus(client, "readRange", uri, path)
      yield* StoragePath.resolveRange("readRange", uri, available, { offset, length })
    })
    if (!(offset >= 0 && length > 0)) {
      yield* outside
      return new Uint8Array(0)
    }
    // The server is asked for the bytes at once; the file is looked up only if the server does not have them.
    return yield* client
      .readRange(path, offset, length, yield* local)
      .pipe(
        Effect.catch((error) =>
          Effect.andThen(
            error.reason._tag === "UnexpectedEnd" || error.reason._tag === "InvalidArgument" ? outside : Effect.void,
            Effect.fail(storageError("readRange", uri, toReason(error)))
          )
        )
      )
  })

export const reads = (
  client: Client,
  locate: Locate
): Pick<Backend, "list" | "stat" | "read" | "readRange" | "blocks"> => ({
  list: (uri) =>
    Stream.unwrap(
      Effect.map(locate("list", uri, Glob.escape), ({ base, segments }) =>
        StoragePath.list(treeOf(client, base, uri), uri, StoragePath.patterns(segments))
      )
    ),
  stat: Effect.fn("HdfsStorage.stat")(function* (uri) {
    const { base, segments } = yield* locate("stat", uri)
    return toStatus(base, segments, yield* wrap("stat", uri)(client.getFileStatus(toPath(segments))))
  }),
  read: (uri, range) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const path = toPath((yield* locate("read", uri)).segments)
        const status = yield* fileStatus(client, "read", uri, path)
        const { end, start: offset } = yield* StoragePath.resolveRange("read", uri, status.length, range)
        return end === offset
          ? Stream.empty
          : wrapStream("read", uri)(client.open(path, { offset, length: end - offset, status, ...(yield* local) }))
      })
    ),
  readRange: readRange(client, locate),
  blocks: Effect.fn("HdfsStorage.blocks")(function* (uri) {
    const path = toPath((yield* locate("blocks", uri)).segments)
    const { length } = yield* fileStatus(client, "blocks", uri, path)
    if (length === 0) return []
    const blocks = yield* wrap("blocks", uri)(client.getFileBlockLocations(path, { offset: 0, length }))
    return covering(blocks, length)
  })
})
