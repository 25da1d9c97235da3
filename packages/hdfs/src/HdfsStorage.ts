/**
 * HDFS as a backend of Sluice's `Storage`: `hdfs:`, `webhdfs:` and `swebhdfs:` paths in every source and sink.
 *
 * The authority of a URI must be the cluster of `HdfsConfig` (its nameservice, or a NameNode's host) or empty. Blocks carry
 * the hosts of their replicas. As in every backend, percent escapes of a URI are decoded and globs match names.
 *
 * **Details**
 *
 * A task reads each block from its executor's host if that has a replica. The counters `hdfsLocalBytes` and
 * `hdfsRemoteBytes` of a task's metrics say how many bytes came from that host and from others.
 *
 * A file is written under a hidden name beside its target and then renamed. Without `overwrite`, the rename fails if
 * the target exists by then; with it, the NameNode replaces the target in one step. An HttpFS gateway does not know
 * such renames: there the target is looked up and deleted first, and after a crash in between the old file is gone and
 * the new one is left under its hidden name.
 *
 * @since 0.1.0
 */
import {
  type Backend,
  type BlockLocation,
  type FileStatus,
  layerSchemes,
  makeLocal,
  makeMemory,
  type RenameOptions,
  type Storage
} from "@sluice/core/Storage"
import * as S from "@sluice/core/StorageError"
import * as StoragePath from "@sluice/core/StoragePath"
import { Current } from "@sluice/core/TaskContext"
import { Effect, Glob, Layer, Stream } from "effect"
import { HdfsClient, type OpenOptions } from "./HdfsClient.ts"
import { HdfsConfig } from "./HdfsConfig.ts"
import { HdfsError } from "./HdfsError.ts"
import type * as M from "./HdfsModel.ts"
import { parent } from "./internal/path.ts"

/** The parts of a URI: `base` is scheme and authority, `path` is the path for HDFS. */
interface Located {
  readonly base: string
  readonly segments: StoragePath.Segments
}

const storageError = (operation: string, path: string, reason: S.Reason) =>
  new S.StorageError({ operation, path, reason })

const toReason = (error: HdfsError): S.Reason => {
  const detail = error.message
  switch (error.reason._tag) {
    case "FileNotFound":
      return new S.NotFound()
    case "FileAlreadyExists":
      return new S.AlreadyExists()
    case "NotADirectory":
      return new S.NotADirectory()
    case "IsADirectory":
      return new S.IsADirectory()
    case "NotEmpty":
      return new S.NotEmpty()
    case "AccessControl":
    case "Authentication":
    case "InvalidToken":
      return new S.PermissionDenied({ detail })
    case "QuotaExceeded":
    case "NoSpace":
      return new S.NoSpace({ detail })
    case "InvalidArgument":
      return new S.InvalidPath({ detail })
    case "Unsupported":
    case "AnswerTooLarge":
      return new S.Unsupported({ detail })
    default:
      return new S.Unavailable({ detail, cause: error })
  }
}

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

const toPath = (segments: StoragePath.Segments): string => `/${segments.join("/")}`

/**
 * Makes the backend, for `Storage.layerSchemes({ hdfs: HdfsStorage.make, file: Storage.makeLocal })`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Backend, never, HdfsClient | HdfsConfig> = Effect.gen(function* () {
  const client = yield* HdfsClient
  const { authorities, gateway, nameNodes } = yield* HdfsConfig
  const hosts = new Set([
    ...nameNodes.map((each) => new URL(each).hostname),
    ...authorities.flatMap((each) => [each, each.replace(/:\d+$/, "")])
  ])

  const locate = Effect.fnUntraced(function* (
    operation: string,
    uri: string,
    literal?: (name: string) => string
  ): Effect.fn.Return<Located, S.StorageError> {
    const invalid = (detail: string) => storageError(operation, uri, new S.InvalidPath({ detail }))
    const match = /^([A-Za-z][\w+.-]*):(?:\/\/([^/]*))?(\/.*)?$/s.exec(uri)
    if (match === null) return yield* invalid("not an HDFS path; write it as hdfs:///name or hdfs://nameservice/name")
    const [, scheme = "", authority = "", rest = "/"] = match
    if (authority !== "" && !hosts.has(authority) && !hosts.has(authority.replace(/:\d+$/, ""))) {
      return yield* invalid(
        `${authority} is not the cluster this storage is connected to (${[...hosts].join(", ")}); ` +
          "name it in HdfsConfig.nameNodes or authorities, or leave it out: hdfs:///name"
      )
    }
    const segments = yield* StoragePath.decode(operation, uri, rest, literal)
    return { base: `${scheme.toLowerCase()}://${authority}`, segments }
  })

  const wrap =
    (operation: string, path: string) =>
    <A, R>(effect: Effect.Effect<A, HdfsError, R>) =>
      Effect.mapError(effect, (error) => storageError(operation, path, toReason(error)))

  const wrapStream =
    (operation: string, path: string) =>
    <A, R>(stream: Stream.Stream<A, HdfsError, R>) =>
      Stream.mapError(stream, (error) => storageError(operation, path, toReason(error)))

  const toStatus = (base: string, segments: StoragePath.Segments, status: M.FileStatus): FileStatus => ({
    path: `${base}${StoragePath.encode(segments)}`,
    type: status.type === "DIRECTORY" ? "directory" : "file",
    length: status.type === "DIRECTORY" ? 0 : status.length,
    modified: status.modificationTime
  })

  const treeOf = (base: string, wrapped: ReturnType<typeof wrap>): StoragePath.Tree => ({
    find: (segments) =>
      client.getFileStatus(toPath(segments)).pipe(
        Effect.map((status) => toStatus(base, segments, status)),
        Effect.catchIf(
          (error) => error.reason._tag === "FileNotFound" || error.reason._tag === "NotADirectory",
          () => Effect.undefined
        ),
        wrapped
      ),
    // The NameNode orders names by signed bytes, which puts everything but ASCII first, so they are collected and
    // sorted.
    entries: (directory) =>
      Stream.runCollect(client.listStatusBatch(toPath(directory))).pipe(
        Effect.map((entries) =>
          entries
            // The listing of a file is the file itself, without a name.
            .filter(({ pathSuffix }) => pathSuffix !== "")
            .map((status) => ({
              name: status.pathSuffix,
              isLink: false,
              status: toStatus(base, [...directory, status.pathSuffix], status)
            }))
            .toSorted((a, b) => StoragePath.compare(a.name, b.name))
        ),
        // Deleted since it was listed.
        Effect.catchIf(
          (error) => error.reason._tag === "FileNotFound",
          () => Effect.succeed([])
        ),
        wrapped,
        Effect.flatMap((entries) => {
          const twice = entries.find(({ name }, i) => name === entries[i - 1]?.name)
          const uri = `${base}${StoragePath.encode(directory)}`
          return twice === undefined
            ? Effect.succeed(entries)
            : // Its rows would be read twice.
              Effect.fail(storageError("list", uri, new S.Unavailable({ detail: `${twice.name} is listed twice` })))
        })
      )
  })

  const list: Backend["list"] = (uri) =>
    Stream.unwrap(
      Effect.map(locate("list", uri, Glob.escape), ({ base, segments }) =>
        StoragePath.list(treeOf(base, wrap("list", uri)), uri, StoragePath.patterns(segments))
      )
    )

  const fileStatus = Effect.fnUntraced(function* (operation: string, uri: string, path: string) {
    const status = yield* wrap(operation, uri)(client.getFileStatus(path))
    if (status.type === "DIRECTORY") return yield* storageError(operation, uri, new S.IsADirectory())
    return status
  })

  const read: Backend["read"] = (uri, range) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const path = toPath((yield* locate("read", uri)).segments)
        const status = yield* fileStatus("read", uri, path)
        const { end, start: offset } = yield* StoragePath.resolveRange("read", uri, status.length, range)
        return end === offset
          ? Stream.empty
          : wrapStream("read", uri)(client.open(path, { offset, length: end - offset, status, ...(yield* local) }))
      })
    )

  const readRange = Effect.fn("HdfsStorage.readRange")(function* (uri: string, offset: number, length: number) {
    const path = toPath((yield* locate("readRange", uri)).segments)
    const outside = Effect.gen(function* () {
      const { length: available } = yield* fileStatus("readRange", uri, path)
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

  const write: Backend["write"] = Effect.fn("HdfsStorage.write")(function* <E, R>(
    uri: string,
    bytes: Stream.Stream<Uint8Array, E, R>,
    options?: { readonly overwrite?: boolean | undefined }
  ) {
    const { segments } = yield* locate("write", uri)
    if (segments.length === 0) return yield* storageError("write", uri, new S.IsADirectory())
    return yield* client
      .write(toPath(segments), bytes, { overwrite: options?.overwrite })
      .pipe(
        Effect.mapError((error) => (error instanceof HdfsError ? storageError("write", uri, toReason(error)) : error))
      )
  })

  const rename = Effect.fn("HdfsStorage.rename")(function* (fromUri: string, toUri: string, options?: RenameOptions) {
    const from = (yield* locate("rename", fromUri)).segments
    const to = (yield* locate("rename", toUri)).segments
    const obstacle = StoragePath.renameObstacle(from, to)
    if (obstacle !== undefined) {
      return yield* storageError("rename", obstacle.isSource ? fromUri : toUri, obstacle.reason)
    }
    const target = toPath(to)
    const parents = options?.parents ?? true
    const once = Effect.gen(function* () {
      yield* wrap("rename", fromUri)(client.getFileStatus(toPath(from)))
      if (parents) yield* mkdirsAt("rename", toUri, parent(target))
      const overwrite = options?.overwrite ?? false
      if (overwrite || gateway) {
        const there = yield* client.getFileStatus(target).pipe(
          Effect.map((status) => status.type),
          Effect.catchIf(
            (error) => error.reason._tag === "FileNotFound",
            () => Effect.undefined
          ),
          wrap("rename", toUri)
        )
        // The NameNode replaces an empty directory too, and a gateway moves into a directory.
        if (there === "DIRECTORY" || (there !== undefined && !overwrite)) {
          return yield* storageError("rename", toUri, new S.AlreadyExists())
        }
        if (gateway && there !== undefined) yield* wrap("rename", toUri)(client.delete(target))
      }
      const done = yield* wrap(
        "rename",
        toUri
      )(client.rename(toPath(from), target, gateway ? "legacy" : overwrite ? "overwrite" : "none"))
      // A gateway does not say why: the parent is missing, or another writer was faster.
      if (!done) {
        return yield* storageError(
          "rename",
          toUri,
          (yield* wrap("rename", toUri)(client.exists(target))) ? new S.AlreadyExists() : new S.NotFound()
        )
      }
    })
    // Tried again if another job that has just ended removed the empty parent in between.
    return yield* Effect.retry(once, {
      times: 20,
      while: (error) => parents && error.reason._tag === "NotFound" && error.path === toUri
    })
  })

  const remove = Effect.fn("HdfsStorage.delete")(function* (
    uri: string,
    options?: { readonly recursive?: boolean | undefined }
  ) {
    const { segments } = yield* locate("delete", uri)
    if (segments.length === 0) {
      return yield* storageError("delete", uri, StoragePath.rootIsKept)
    }
    return yield* client.delete(toPath(segments), options).pipe(
      Effect.catchIf(
        (error) => error.reason._tag === "NotADirectory",
        () => Effect.succeed(false)
      ),
      wrap("delete", uri)
    )
  })

  const mkdirsAt = (operation: string, uri: string, path: string) =>
    Effect.asVoid(client.mkdirs(path)).pipe(
      Effect.mapError((error) =>
        storageError(
          operation,
          uri,
          error.reason._tag === "FileAlreadyExists" ? new S.NotADirectory() : toReason(error)
        )
      )
    )

  return {
    list,
    stat: Effect.fn("HdfsStorage.stat")(function* (uri) {
      const { base, segments } = yield* locate("stat", uri)
      return toStatus(base, segments, yield* wrap("stat", uri)(client.getFileStatus(toPath(segments))))
    }),
    read,
    readRange,
    write,
    rename,
    delete: remove,
    mkdirs: Effect.fn("HdfsStorage.mkdirs")(function* (uri) {
      const { segments } = yield* locate("mkdirs", uri)
      yield* mkdirsAt("mkdirs", uri, toPath(segments))
    }),
    // Links are off in HDFS. Scheme and authority stay: they choose the cluster.
    realPath: Effect.fn("HdfsStorage.realPath")(function* (uri) {
      const { base, segments } = yield* locate("realPath", uri)
      return `${base}${StoragePath.encode(segments)}`
    }),
    blocks: Effect.fn("HdfsStorage.blocks")(function* (uri) {
      const path = toPath((yield* locate("blocks", uri)).segments)
      const { length } = yield* fileStatus("blocks", uri, path)
      if (length === 0) return []
      const blocks = yield* wrap("blocks", uri)(client.getFileBlockLocations(path, { offset: 0, length }))
      return covering(blocks, length)
    })
  }
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

/**
 * `hdfs:`, `webhdfs:` and `swebhdfs:` of one cluster, besides `file:` and `memory:`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Storage, never, HdfsClient | HdfsConfig> = Layer.unwrap(
  Effect.map(make, (backend) => {
    const hdfs = Effect.succeed(backend)
    return layerSchemes({ hdfs, webhdfs: hdfs, swebhdfs: hdfs, file: makeLocal, memory: makeMemory })
  })
)
