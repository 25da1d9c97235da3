/**
 * HDFS as a backend of Sluice's `Storage`: `hdfs:`, `webhdfs:` and `swebhdfs:` paths in every source and sink.
 *
 * The authority of a URI must be the cluster of `HdfsConfig` (its nameservice, or a NameNode's host) or empty. Blocks carry
 * the hosts of their replicas. As in every backend, percent escapes of a URI are decoded and globs match names.
 *
 * **Details**
 *
 * A task reads each block from its executor's host where that has a replica. The counters `hdfsLocalBytes` and
 * `hdfsRemoteBytes` of a task's metrics say how many bytes came from there and from other hosts.
 *
 * A file is written under a hidden name beside its target and renamed: without `overwrite` the rename fails where the target
 * exists by then, with it the NameNode replaces the target in one step. An HttpFS gateway knows no such renames: there the
 * target is looked for first, deleted, and a crash in between leaves the old file gone and the new one under its hidden name.
 *
 * @since 0.1.0
 */
import { type Backend, type FileStatus, layerSchemes, makeLocal, makeMemory, type Storage } from "@sluice/core/Storage"
import * as S from "@sluice/core/StorageError"
import { Current } from "@sluice/core/TaskContext"
import { Effect, Glob, Layer, Stream } from "effect"
import { HdfsClient, type OpenOptions } from "./HdfsClient.ts"
import { HdfsConfig } from "./HdfsConfig.ts"
import { HdfsError } from "./HdfsError.ts"
import type * as M from "./HdfsModel.ts"
import { parent } from "./internal/path.ts"

/** A URI taken apart: `base` is scheme and authority, `path` what HDFS is given. */
interface Located {
  readonly base: string
  readonly segments: ReadonlyArray<string>
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
      return new S.Unsupported({ detail })
    default:
      return new S.Unavailable({ detail, cause: error })
  }
}

const decodeSegment = (segment: string, literal: (name: string) => string): string =>
  segment.replace(/(?:%[0-9A-Fa-f]{2})+|%/g, (escapes) => {
    const decoded = decodeURIComponent(escapes)
    if (decoded.includes("/") || decoded.includes("\0")) throw new URIError(escapes)
    return literal(decoded)
  })

const encodeSegment = (segment: string): string =>
  encodeURIComponent(segment.toWellFormed())
    .replace(/%(?:2[46BC]|3[ABD]|40)/g, decodeURIComponent)
    .replace(/\*/g, "%2A")

const toPath = (segments: ReadonlyArray<string>): string => `/${segments.join("/")}`

const hasGlob = /^(?:[^\\*?[{]|\\.)*[*?[{]/s

/**
 * Makes the backend, for `Storage.layerSchemes({ hdfs: HdfsStorage.make, file: Storage.makeLocal })`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Backend, never, HdfsClient | HdfsConfig> = Effect.gen(function* () {
  const client = yield* HdfsClient
  const { authorities, nameNodes } = yield* HdfsConfig
  const hosts = new Set([
    ...nameNodes.map((each) => new URL(each).hostname),
    ...authorities.flatMap((each) => [each, each.replace(/:\d+$/, "")])
  ])

  const locate = Effect.fnUntraced(function* (
    operation: string,
    uri: string,
    literal: (name: string) => string = (name) => name
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
    const segments: Array<string> = []
    for (const part of rest.split("/")) {
      const segment = yield* Effect.try({
        try: () => decodeSegment(part, literal),
        catch: () =>
          invalid(
            "the URI has a percent escape that is no UTF-8 or stands for a slash or NUL; write a percent sign as %25"
          )
      })
      if (segment === "" || segment === ".") continue
      if (segment !== "..") segments.push(segment)
      else if (segments.pop() === undefined) return yield* invalid("`..` leads above the root")
    }
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

  const format = (base: string, segments: ReadonlyArray<string>) => `${base}/${segments.map(encodeSegment).join("/")}`

  const toStatus = (base: string, segments: ReadonlyArray<string>, status: M.FileStatus): FileStatus => ({
    path: format(base, segments),
    type: status.type === "DIRECTORY" ? "directory" : "file",
    length: status.type === "DIRECTORY" ? 0 : status.length,
    modified: status.modificationTime
  })

  /** `undefined` where there is nothing, be it that a parent is a file. */
  const find = (segments: ReadonlyArray<string>) =>
    client.getFileStatus(toPath(segments)).pipe(
      Effect.catchIf(
        (error) => error.reason._tag === "FileNotFound" || error.reason._tag === "NotADirectory",
        () => Effect.undefined
      )
    )

  interface Found {
    readonly segments: ReadonlyArray<string>
    readonly status: M.FileStatus
  }

  /** The NameNode orders names by signed bytes, which puts everything but ASCII first: they are collected and sorted. */
  const entriesOf = (directory: ReadonlyArray<string>): Stream.Stream<Found, HdfsError> =>
    Stream.unwrap(
      Effect.map(Stream.runCollect(client.listStatusBatch(toPath(directory))), (entries) =>
        Stream.fromIterable(
          entries
            .map((status) => ({ segments: [...directory, status.pathSuffix], status }))
            .toSorted((a, b) => compareNames(a.status.pathSuffix, b.status.pathSuffix))
        )
      )
    ).pipe(
      // Deleted since it was listed itself.
      Stream.catchIf(
        (error) => error.reason._tag === "FileNotFound",
        () => Stream.empty
      )
    )

  /**
   * What patterns match below a directory, depth first in the order of names. `states` are the
   * patterns that may match next: every path is met once, however many ways there are to match it.
   */
  const walk = (
    patterns: ReadonlyArray<Pattern>,
    directory: ReadonlyArray<string>,
    states: ReadonlySet<number>
  ): Stream.Stream<Found, HdfsError> => {
    const open = close(patterns, states)
    const waiting = [...open].flatMap((state) => patterns[state] ?? [])
    if (waiting.length === 0) return Stream.empty
    const names = waiting.filter((pattern) => typeof pattern === "string")
    const candidates =
      names.length === waiting.length
        ? Stream.fromIterable(new Set(names)).pipe(
            Stream.mapEffect((segment) =>
              Effect.map(find([...directory, segment]), (status) => ({ segments: [...directory, segment], status }))
            ),
            Stream.flatMap(({ segments, status }) =>
              status === undefined ? Stream.empty : Stream.succeed({ segments, status })
            )
          )
        : entriesOf(directory)
    return Stream.flatMap(candidates, (found) => {
      const next = step(patterns, open, found.segments.at(-1) ?? "")
      if (next.size === 0) return Stream.empty
      const here = close(patterns, next).has(patterns.length) ? Stream.succeed(found) : Stream.empty
      return found.status.type === "DIRECTORY" ? Stream.concat(here, walk(patterns, found.segments, next)) : here
    })
  }

  const list: Backend["list"] = (uri) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { base, segments } = yield* locate("list", uri, Glob.escape)
        const patterns = segments.map(toPattern)
        const first = patterns.findIndex((pattern) => typeof pattern !== "string")
        const literals = patterns
          .slice(0, first === -1 ? undefined : first)
          .filter((pattern) => typeof pattern === "string")
        const status = yield* wrap("list", uri)(find(literals))
        if (status === undefined) {
          return first === -1 ? Stream.fail(storageError("list", uri, new S.NotFound())) : Stream.empty
        }
        const found =
          status.type !== "DIRECTORY"
            ? first === -1
              ? Stream.succeed({ segments: literals, status })
              : Stream.empty
            : first === -1
              ? entriesOf(literals)
              : walk(patterns, literals, new Set([first]))
        return wrapStream("list", uri)(Stream.map(found, (each) => toStatus(base, each.segments, each.status)))
      })
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
        const offset = range?.offset ?? 0
        const length = range?.length ?? Math.max(0, status.length - offset)
        if (!(offset >= 0 && length >= 0 && offset + length <= status.length)) {
          return yield* storageError("read", uri, new S.EndOfFile({ offset, length, available: status.length }))
        }
        return length === 0
          ? Stream.empty
          : wrapStream("read", uri)(client.open(path, { offset, length, status, ...(yield* local) }))
      })
    )

  const readRange = Effect.fn("HdfsStorage.readRange")(function* (uri: string, offset: number, length: number) {
    const path = toPath((yield* locate("readRange", uri)).segments)
    const outside = Effect.gen(function* () {
      const { length: available } = yield* fileStatus("readRange", uri, path)
      if (!(offset >= 0 && length >= 0 && offset + length <= available)) {
        return yield* storageError("readRange", uri, new S.EndOfFile({ offset, length, available }))
      }
    })
    if (!(offset >= 0 && length > 0)) {
      yield* outside
      return new Uint8Array(0)
    }
    // The server is asked for the bytes at once; only when it has not got them is the file looked at.
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

  const rename = Effect.fn("HdfsStorage.rename")(function* (fromUri: string, toUri: string) {
    const from = (yield* locate("rename", fromUri)).segments
    const to = (yield* locate("rename", toUri)).segments
    if (from.length === 0) {
      return yield* storageError("rename", fromUri, new S.InvalidPath({ detail: "the root cannot be renamed" }))
    }
    if (to.length > from.length && from.every((segment, i) => segment === to[i])) {
      return yield* storageError("rename", toUri, new S.InvalidPath({ detail: "lies inside what is to be renamed" }))
    }
    yield* wrap("rename", fromUri)(client.getFileStatus(toPath(from)))
    yield* mkdirsAt("rename", toUri, parent(toPath(to)))
    yield* wrap("rename", toUri)(client.rename(toPath(from), toPath(to)))
  })

  const remove = Effect.fn("HdfsStorage.delete")(function* (
    uri: string,
    options?: { readonly recursive?: boolean | undefined }
  ) {
    const { segments } = yield* locate("delete", uri)
    if (segments.length === 0) {
      return yield* storageError("delete", uri, new S.InvalidPath({ detail: "the root is never deleted" }))
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
    blocks: Effect.fn("HdfsStorage.blocks")(function* (uri) {
      const path = toPath((yield* locate("blocks", uri)).segments)
      const { length } = yield* fileStatus("blocks", uri, path)
      if (length === 0) return []
      const blocks = yield* wrap("blocks", uri)(client.getFileBlockLocations(path, { offset: 0, length }))
      return blocks.map((block) => ({ offset: block.offset, length: block.length, hosts: block.hosts }))
    })
  }
})

/** Within a task bytes come from its executor's host where that has them, and are counted. */
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

/** By code point; `<` would order by UTF-16 unit. */
const compareNames = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** One segment of a glob: a name, a pattern, or any number of segments. */
type Pattern = string | Glob.Glob | typeof anyDepth
const anyDepth = Symbol("**")

const toPattern = (segment: string): Pattern =>
  segment === "**"
    ? anyDepth
    : hasGlob.test(segment)
      ? Glob.make(segment, { dot: true })
      : segment.replace(/\\(.)/gs, "$1")

/** `**` matches no segment too. */
const close = (patterns: ReadonlyArray<Pattern>, states: ReadonlySet<number>): ReadonlySet<number> => {
  const open = new Set<number>()
  for (const state of states) {
    let at = state
    open.add(at)
    while (patterns[at] === anyDepth) open.add(++at)
  }
  return open
}

const step = (patterns: ReadonlyArray<Pattern>, open: ReadonlySet<number>, segment: string): ReadonlySet<number> => {
  const next = new Set<number>()
  for (const state of open) {
    const pattern = patterns[state]
    if (pattern === undefined) continue
    if (pattern === anyDepth) next.add(state)
    else if (typeof pattern === "string" ? pattern === segment : Glob.match(pattern, segment)) next.add(state + 1)
  }
  return next
}

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
