/**
 * A client of HDFS over WebHDFS or an HttpFS gateway: every operation of the REST specification, typed.
 *
 * Operations go to the active NameNode and move to another one when it changes; only what is safe to repeat is repeated.
 * Bytes are streams: reading resumes at the byte it reached on another DataNode when one fails, writing pulls from its source
 * and keeps nothing. All failures are `HdfsError`s.
 *
 * @since 0.1.0
 */
import {
  Cause,
  Clock,
  Context,
  Duration,
  Effect,
  Layer,
  Option,
  Random,
  Redacted,
  Schema,
  type Scope,
  Stream
} from "effect"
import { HdfsAuth } from "./HdfsAuth.ts"
import { HdfsConfig } from "./HdfsConfig.ts"
import * as E from "./HdfsError.ts"
import * as M from "./HdfsModel.ts"
import { connections } from "./internal/connections.ts"
import type * as Http from "./internal/http.ts"
import * as Path from "./internal/path.ts"
import type { Exchange } from "./internal/transport.ts"
import { decoder } from "./internal/transport.ts"
import * as WebHdfs from "./internal/webhdfs.ts"

/**
 * What a new file is made with; the server has a default for everything.
 *
 * @category models
 * @since 0.1.0
 */
export interface CreateOptions {
  /** Replaces a file. Default `false`. */
  readonly overwrite?: boolean | undefined
  /** Bytes. */
  readonly blockSize?: number | undefined
  readonly replication?: number | undefined
  /** Octal, `644`. */
  readonly permission?: string | undefined
  /** Octal; given, the server applies no mask of its own. */
  readonly unmaskedPermission?: string | undefined
  /** Creates the parents. Default `true`. */
  readonly createParent?: boolean | undefined
  /** The server's buffer, bytes. */
  readonly bufferSize?: number | undefined
  /**
   * How many bytes there will be, where that is known: servers take a body of a known length with less work. Another number
   * of bytes is a failure.
   */
  readonly length?: number | undefined
  /** An erasure coding policy, `RS-6-3-1024k`. */
  readonly ecPolicy?: string | undefined
  /** A storage policy, `COLD`. */
  readonly storagePolicy?: string | undefined
}

/**
 * What is read of a file.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenOptions {
  /** The first byte. Default 0. */
  readonly offset?: number | undefined
  /** Most bytes; fewer come when the file ends. Default: to the end. */
  readonly length?: number | undefined
  /** The server's buffer, bytes. */
  readonly bufferSize?: number | undefined
  /**
   * Where the bytes are put, again and again: a chunk holds until the next is pulled. For reading much in little memory, by who
   * is done with each chunk at once. Default: fresh memory for each chunk, which is the garbage collector's to free.
   */
  readonly buffer?: Uint8Array | undefined
  /** The file as it was: when the connection breaks and the file is another by then, the read fails with `FileChanged`. */
  readonly status?: M.FileStatus | undefined
  /**
   * Reads each block from this host's DataNode where it has a replica and answers, and from another one else. The block's other
   * hosts are excluded in the request (`excludedatanodes`), so it works where the NameNode cannot tell by the address where the
   * client is: in a container, behind a proxy. Default: the NameNode chooses.
   */
  readonly preferHost?: string | undefined
  /** Told of bytes as they arrive, and of the host they came from. */
  readonly onBytes?: ((host: string, count: number) => void) | undefined
}

/**
 * What is read of a range, besides the range.
 *
 * @category models
 * @since 0.1.0
 */
export type RangeOptions = Omit<OpenOptions, "offset" | "length" | "buffer">

/**
 * How a path is renamed.
 *
 * **Details**
 *
 * `none` fails where the target exists. `overwrite` replaces a file or an empty directory in one step. `legacy` is Hadoop's
 * old `FileSystem.rename`: it moves into a target that is a directory, and yields `false` instead of failing; it is the only
 * way HttpFS knows.
 *
 * @category models
 * @since 0.1.0
 */
export type RenameMode = "none" | "overwrite" | "legacy"

type Result<A> = Effect.Effect<A, E.HdfsError>

/**
 * Service with the operations of HDFS. Paths are absolute and as they are, not encoded: `/data/a b%.txt`.
 *
 * @category services
 * @since 0.1.0
 */
export class HdfsClient extends Context.Service<
  HdfsClient,
  {
    // Bytes
    /** The bytes of a file, pulled. Interrupting closes the connection; a broken one is resumed from another DataNode. */
    readonly open: (path: string, options?: OpenOptions) => Stream.Stream<Uint8Array, E.HdfsError>
    /** Exactly `length` bytes, in one buffer; `UnexpectedEnd` when the file has fewer. */
    readonly readRange: (path: string, offset: number, length: number, options?: RangeOptions) => Result<Uint8Array>
    /** Several ranges of one file at once, in the order asked. `concurrency` defaults to 8. */
    readonly readRanges: (
      path: string,
      ranges: ReadonlyArray<{ readonly offset: number; readonly length: number }>,
      options?: RangeOptions & { readonly concurrency?: number | undefined }
    ) => Result<ReadonlyArray<Uint8Array>>
    /** Writes a file under its own name, where others see it grow; yields the bytes written. Prefer `write`. */
    readonly create: <Err, R>(
      path: string,
      bytes: Stream.Stream<Uint8Array, Err, R>,
      options?: CreateOptions
    ) => Effect.Effect<number, E.HdfsError | Err, R>
    /**
     * Writes a file all or nothing: under a hidden name beside it, then renamed. When the stream fails, is interrupted or the
     * connection breaks, nothing is left. Yields the bytes written. A chunk is on its way before the next is pulled, so the
     * source may put them all in one buffer.
     */
    readonly write: <Err, R>(
      path: string,
      bytes: Stream.Stream<Uint8Array, Err, R>,
      options?: Omit<CreateOptions, "createParent">
    ) => Effect.Effect<number, E.HdfsError | Err, R>
    /** Adds to the end of a file; yields the bytes added. After a failure some of them may be there. */
    readonly append: <Err, R>(
      path: string,
      bytes: Stream.Stream<Uint8Array, Err, R>,
      options?: { readonly bufferSize?: number | undefined }
    ) => Effect.Effect<number, E.HdfsError | Err, R>
    /** Moves the blocks of `sources` to the end of `path`; the sources are gone then. */
    readonly concat: (path: string, sources: ReadonlyArray<string>) => Result<void>
    /** Cuts a file; `false` when the last block is still being recovered and the length is not final yet. */
    readonly truncate: (path: string, newLength: number) => Result<boolean>

    // Names
    /** `false` where there was nothing. */
    readonly delete: (path: string, options?: { readonly recursive?: boolean | undefined }) => Result<boolean>
    /** Moves a path to the user's trash, as `hdfs dfs -rm` does; yields where it is now. */
    readonly moveToTrash: (path: string) => Result<string>
    /** `mode` defaults to `none`. `true` unless `mode` is `legacy` and nothing was done. */
    readonly rename: (from: string, to: string, mode?: RenameMode) => Result<boolean>
    /** Creates a directory and its parents. `true` also when it was there. */
    readonly mkdirs: (
      path: string,
      options?: { readonly permission?: string | undefined; readonly unmaskedPermission?: string | undefined }
    ) => Result<boolean>
    readonly createSymlink: (
      link: string,
      target: string,
      options?: { readonly createParent?: boolean | undefined }
    ) => Result<void>

    // Status
    readonly getFileStatus: (path: string) => Result<M.FileStatus>
    /** Like `getFileStatus`, of a symbolic link itself. */
    readonly getFileLinkStatus: (path: string) => Result<M.FileStatus>
    readonly getLinkTarget: (path: string) => Result<string>
    readonly exists: (path: string) => Result<boolean>
    /** The entries of a directory in one answer; of a file, the file. */
    readonly listStatus: (path: string) => Result<ReadonlyArray<M.FileStatus>>
    /** The entries of a directory page by page, as they are pulled (`LISTSTATUS_BATCH`), in the server's order of names. */
    readonly listStatusBatch: (path: string) => Stream.Stream<M.FileStatus, E.HdfsError>
    readonly getContentSummary: (path: string) => Result<M.ContentSummary>
    readonly getFileChecksum: (path: string) => Result<M.FileChecksum>
    readonly getFileBlockLocations: (
      path: string,
      range?: { readonly offset: number; readonly length: number }
    ) => Result<ReadonlyArray<M.BlockLocation>>
    /** Succeeds when the user may do it: `r--`, `-w-`, `rwx`, ... */
    readonly checkAccess: (path: string, action: string) => Result<void>
    readonly setPermission: (path: string, permission: string) => Result<void>
    readonly setOwner: (
      path: string,
      owner: { readonly owner?: string | undefined; readonly group?: string | undefined }
    ) => Result<void>
    /** Milliseconds since 1970 UTC; what is left out stays. */
    readonly setTimes: (
      path: string,
      times: { readonly modificationTime?: number | undefined; readonly accessTime?: number | undefined }
    ) => Result<void>
    /** `false` for a directory. */
    readonly setReplication: (path: string, replication: number) => Result<boolean>

    // Access control lists
    readonly getAclStatus: (path: string) => Result<M.AclStatus>
    readonly setAcl: (path: string, entries: ReadonlyArray<string>) => Result<void>
    readonly modifyAclEntries: (path: string, entries: ReadonlyArray<string>) => Result<void>
    /** Entries without permissions: `user:ann`, `default:group:people`. */
    readonly removeAclEntries: (path: string, entries: ReadonlyArray<string>) => Result<void>
    readonly removeDefaultAcl: (path: string) => Result<void>
    readonly removeAcl: (path: string) => Result<void>

    // Extended attributes
    /** All attributes the user may see, or those named. */
    readonly getXAttrs: (path: string, names?: ReadonlyArray<string>) => Result<ReadonlyMap<string, Uint8Array>>
    readonly listXAttrs: (path: string) => Result<ReadonlyArray<string>>
    /** `flag`: `create` fails where it is, `replace` where it is not. Default: either. */
    readonly setXAttr: (path: string, name: string, value: Uint8Array, flag?: "create" | "replace") => Result<void>
    readonly removeXAttr: (path: string, name: string) => Result<void>

    // Storage policies and erasure coding
    readonly getAllStoragePolicies: Result<ReadonlyArray<M.StoragePolicy>>
    readonly getStoragePolicy: (path: string) => Result<M.StoragePolicy>
    readonly setStoragePolicy: (path: string, policy: string) => Result<void>
    readonly unsetStoragePolicy: (path: string) => Result<void>
    readonly satisfyStoragePolicy: (path: string) => Result<void>
    readonly getErasureCodingPolicy: (path: string) => Result<M.ErasureCodingPolicy | undefined>
    readonly setErasureCodingPolicy: (path: string, policy: string) => Result<void>
    readonly unsetErasureCodingPolicy: (path: string) => Result<void>
    readonly getErasureCodingPolicies: Result<ReadonlyArray<M.ErasureCodingPolicyInfo>>
    /** Codecs and their coders. */
    readonly getErasureCodingCodecs: Result<Readonly<Record<string, string>>>
    readonly enableErasureCodingPolicy: (policy: string) => Result<void>
    readonly disableErasureCodingPolicy: (policy: string) => Result<void>

    // Snapshots
    readonly allowSnapshot: (path: string) => Result<void>
    readonly disallowSnapshot: (path: string) => Result<void>
    /** Yields the snapshot's path. The server makes a name where none is given. */
    readonly createSnapshot: (path: string, name?: string) => Result<string>
    readonly renameSnapshot: (path: string, from: string, to: string) => Result<void>
    readonly deleteSnapshot: (path: string, name: string) => Result<void>
    /** What changed between two snapshots; an empty name is the present. */
    readonly getSnapshotDiff: (path: string, from: string, to: string) => Result<M.SnapshotDiffReport>
    /** The same page by page, for large differences. */
    readonly getSnapshotDiffListing: (
      path: string,
      from: string,
      to: string
    ) => Stream.Stream<M.SnapshotDiffListing, E.HdfsError>
    readonly getSnapshottableDirectories: Result<ReadonlyArray<M.SnapshottableDirectory>>
    readonly getSnapshots: (path: string) => Result<ReadonlyArray<M.Snapshot>>

    // Quotas
    readonly getQuotaUsage: (path: string) => Result<M.QuotaUsage>
    /** What is left out stays; -1 lifts a limit. */
    readonly setQuota: (
      path: string,
      quota: { readonly namespace?: number | undefined; readonly space?: number | undefined }
    ) => Result<void>
    readonly setQuotaByStorageType: (path: string, type: string, space: number) => Result<void>

    // The cluster and the user
    readonly getHomeDirectory: Result<string>
    readonly getTrashRoot: (path: string) => Result<string>
    readonly getTrashRoots: (options?: {
      readonly allUsers?: boolean | undefined
    }) => Result<ReadonlyArray<M.TrashRoot>>
    readonly getServerDefaults: Result<M.ServerDefaults>
    readonly getStatus: Result<M.FsStatus>
    readonly getDelegationToken: (options?: {
      /** The user who may renew it. Default: the user. */
      readonly renewer?: string | undefined
      readonly service?: string | undefined
      readonly kind?: string | undefined
    }) => Result<Redacted.Redacted>
    /** Yields the new time of expiry, milliseconds since 1970 UTC. */
    readonly renewDelegationToken: (token: Redacted.Redacted) => Result<number>
    readonly cancelDelegationToken: (token: Redacted.Redacted) => Result<void>
  }
>()("@sluice/hdfs/HdfsClient") {}

const BooleanAnswer = decoder(Schema.Struct({ boolean: Schema.Boolean }))
const PathAnswer = decoder(Schema.Struct({ Path: Schema.String }))
const FileStatusAnswer = decoder(Schema.Struct({ FileStatus: M.FileStatus }))
const FileStatuses = Schema.Struct({ FileStatuses: Schema.Struct({ FileStatus: Schema.Array(M.FileStatus) }) })
const FileStatusesAnswer = decoder(FileStatuses)
const ListingAnswer = decoder(
  Schema.Struct({
    DirectoryListing: Schema.Struct({ partialListing: FileStatuses, remainingEntries: Schema.Number })
  })
)
const ContentSummaryAnswer = decoder(Schema.Struct({ ContentSummary: M.ContentSummary }))
const QuotaUsageAnswer = decoder(Schema.Struct({ QuotaUsage: M.QuotaUsage }))
const FileChecksumAnswer = decoder(Schema.Struct({ FileChecksum: M.FileChecksum }))
const BlockLocationsAnswer = decoder(
  Schema.Struct({
    BlockLocations: Schema.Struct({ BlockLocation: Schema.Array(M.BlockLocation) })
  })
)
const AclStatusAnswer = decoder(Schema.Struct({ AclStatus: M.AclStatus }))
const XAttrsAnswer = decoder(
  Schema.Struct({
    XAttrs: Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.optional(Schema.NullOr(Schema.String)) }))
  })
)
// The names come as JSON within JSON.
const XAttrNamesAnswer = decoder(Schema.Struct({ XAttrNames: Schema.fromJsonString(Schema.Array(Schema.String)) }))
const StoragePoliciesAnswer = decoder(
  Schema.Struct({
    BlockStoragePolicies: Schema.Struct({ BlockStoragePolicy: Schema.Array(M.StoragePolicy) })
  })
)
const StoragePolicyAnswer = decoder(Schema.Struct({ BlockStoragePolicy: M.StoragePolicy }))
const ErasureCodingPolicyAnswer = decoder(M.ErasureCodingPolicy)
const ErasureCodingPoliciesAnswer = decoder(
  Schema.Struct({
    ErasureCodingPolicies: Schema.Struct({ ErasureCodingPolicyInfo: Schema.Array(M.ErasureCodingPolicyInfo) })
  })
)
const ErasureCodingCodecsAnswer = decoder(
  Schema.Struct({ ErasureCodingCodecs: Schema.Record(Schema.String, Schema.String) })
)
const SnapshotDiffAnswer = decoder(Schema.Struct({ SnapshotDiffReport: M.SnapshotDiffReport }))
const SnapshotDiffListingAnswer = decoder(Schema.Struct({ SnapshotDiffReportListing: M.SnapshotDiffListing }))
const SnapshottableAnswer = decoder(
  Schema.Struct({
    SnapshottableDirectoryList: Schema.NullOr(Schema.Array(M.SnapshottableDirectory))
  })
)
const SnapshotListAnswer = decoder(Schema.Struct({ SnapshotList: Schema.NullOr(Schema.Array(M.Snapshot)) }))
const TrashRootsAnswer = decoder(Schema.Struct({ Paths: Schema.NullOr(Schema.Array(M.TrashRoot)) }))
const ServerDefaultsAnswer = decoder(Schema.Struct({ FsServerDefaults: M.ServerDefaults }))
const FsStatusAnswer = decoder(Schema.Struct({ FsStatus: M.FsStatus }))
const TokenAnswer = decoder(Schema.Struct({ Token: Schema.NullOr(Schema.Struct({ urlString: Schema.String })) }))
const LongAnswer = decoder(Schema.Struct({ long: Schema.Number }))

/** Whether a server has said so, after which it does no more. */
const isAnswer = ({ reason }: E.HdfsError): boolean => {
  switch (reason._tag) {
    case "Connection":
    case "Timeout":
    case "Tls":
    case "Protocol":
    case "UnexpectedEnd":
      return false
    default:
      return true
  }
}

/** Files whose block locations are kept. */
const maxLocations = 1000

type Decode<A> = (exchange: Exchange, body: string) => Effect.Effect<A, E.HdfsError>

/**
 * Makes a client with connections of its own, which end with the scope, with the timeouts and certificates of `HdfsConfig`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<HdfsClient["Service"], never, HdfsConfig | HdfsAuth | Scope.Scope> = Effect.suspend(
  () => Effect.flatMap(connections, makeOver)
)

const makeOver = Effect.fnUntraced(function* (http: Http.Http) {
  const config = yield* HdfsConfig
  const web = WebHdfs.make(http, config, yield* HdfsAuth)
  /** Data transfer addresses by host name, as seen in block locations: what `excludedatanodes` is given. */
  const transferAddresses = new Map<string, string>()
  /** Blocks of files as last seen, for `preferHost`: when they are others by now, only the preference is wrong. */
  const locations = new Map<string, ReadonlyArray<M.BlockLocation>>()

  /** Runs an operation and decodes its answer, in a span of its name. */
  const ask = <A>(call: WebHdfs.Call, decode: Decode<A>, repeat: "always" | "never" = "always"): Result<A> =>
    Effect.suspend(() =>
      Effect.flatMap(web.text(call, repeat), (body) =>
        decode({ ...call, url: new URL(config.nameNodes[0] ?? "http://localhost") }, body)
      )
    ).pipe(
      // The place it would show is always this one.
      Effect.withSpan(`HdfsClient.${call.operation}`, { attributes: { path: call.path } }, { captureStackTrace: false })
    )

  const nothing: Decode<void> = () => Effect.void
  const get = <A>(operation: string, path: string, decode: Decode<A>, params?: WebHdfs.Call["params"]) =>
    ask({ method: "GET", operation, path, params }, decode)
  const put = (operation: string, path: string, params?: WebHdfs.Call["params"], repeat?: "always" | "never") =>
    ask({ method: "PUT", operation, path, params }, nothing, repeat)

  const getFileStatus = (path: string) =>
    Effect.map(get("GETFILESTATUS", path, FileStatusAnswer), (answer) => answer.FileStatus)

  const status = (path: string): Result<Option.Option<M.FileStatus>> =>
    getFileStatus(path).pipe(
      Effect.map(Option.some),
      Effect.catchIf(
        (error) => error.reason._tag === "FileNotFound",
        () => Effect.succeedNone
      )
    )

  const exists = (path: string) => Effect.map(status(path), Option.isSome)

  const getFileBlockLocations = (path: string, range?: { readonly offset: number; readonly length: number }) =>
    Effect.map(
      get(
        "GETFILEBLOCKLOCATIONS",
        path,
        BlockLocationsAnswer,
        range === undefined ? {} : { offset: range.offset, length: range.length }
      ),
      ({ BlockLocations }) => {
        for (const block of BlockLocations.BlockLocation) {
          block.hosts.forEach((host, i) => {
            const name = block.names[i]
            if (name !== undefined) transferAddresses.set(host, name)
          })
        }
        if ((range?.offset ?? 0) === 0) {
          locations.delete(path)
          locations.set(path, BlockLocations.BlockLocation)
          // Of the oldest are most probably read already.
          for (const oldest of locations.size > maxLocations ? locations.keys().take(1) : []) locations.delete(oldest)
        }
        return BlockLocations.BlockLocation
      }
    )

  // Reading

  interface Reading {
    readonly path: string
    readonly options: OpenOptions
    /** The next byte. */
    position: number
    /** The byte after the last, once the server said it. */
    end: number | undefined
    /** Hosts that failed, for the NameNode to leave out. */
    readonly failed: Set<string>
    /** Failures without a byte between them. */
    failures: number
    /** What `options.preferHost` has, while it is heeded: until it fails. */
    blocks: ReadonlyArray<M.BlockLocation> | undefined
  }

  /** The block to ask for and whom not to ask, where a host is preferred. */
  const piece = (reading: Reading, end: number | undefined) => {
    const block = reading.blocks?.find(
      ({ length, offset }) => offset <= reading.position && reading.position < offset + length
    )
    if (block === undefined) return { end, others: [] }
    const preferred = block.hosts.includes(reading.options.preferHost ?? "")
    return {
      end: Math.min(end ?? Number.POSITIVE_INFINITY, block.offset + block.length),
      others: preferred ? block.names.filter((_, i) => block.hosts[i] !== reading.options.preferHost) : []
    }
  }

  /** Errors after which the same bytes may come from somewhere else. */
  const elsewhere = (error: E.HdfsError): boolean => {
    switch (error.reason._tag) {
      case "Connection":
      case "Tls":
      case "UnexpectedEnd":
      case "Retriable":
      case "Standby":
        return true
      case "Timeout":
        return error.reason.phase !== "operation"
      default:
        return false
    }
  }

  /** Where the next bytes are. */
  const place = Effect.fnUntraced(function* (reading: Reading) {
    const { options, path, position } = reading
    const end = reading.end ?? (options.length === undefined ? undefined : (options.offset ?? 0) + options.length)
    const part = piece(reading, end)
    const excluded = [...part.others, ...[...reading.failed].flatMap((host) => transferAddresses.get(host) ?? [])]
    const exchange = yield* web.locate({
      method: "GET",
      operation: "OPEN",
      path,
      params: {
        offset: position,
        length: part.end === undefined ? undefined : part.end - position,
        buffersize: options.bufferSize,
        excludedatanodes: excluded.length === 0 ? undefined : excluded.join(",")
      }
    })
    return { exchange, end: part.end }
  })

  const openAt = (
    reading: Reading,
    { end, exchange }: Effect.Success<ReturnType<typeof place>>
  ): Stream.Stream<Uint8Array, E.HdfsError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { options, path } = reading
        const { head, stream } = yield* web.transport.bytes(exchange, options.buffer, (count) => {
          reading.position += count
          reading.failures = 0
          options.onBytes?.(exchange.url.hostname, count)
        })
        const failed = (reason: E.Reason) =>
          new E.HdfsError({ operation: "OPEN", path, endpoint: exchange.url.host, reason })
        if (head.status !== 200) {
          return yield* failed(new E.Protocol({ detail: `status ${head.status} instead of the bytes` }))
        }
        if (
          /^text\/html/i.test(String(head.headers["content-type"])) &&
          exchange.url.pathname.startsWith("/webhdfs/") === false
        ) {
          return yield* failed(new E.Protocol({ detail: "an HTML page instead of the bytes" }))
        }
        const length = Number(head.headers["content-length"] ?? Number.NaN)
        if (Number.isSafeInteger(length)) {
          const reached = reading.position + length
          if (reading.end === undefined) reading.end = reached
          else if ((end ?? reading.end) !== reached) {
            return yield* failed(
              new E.FileChanged({
                detail: `it ended at ${reading.end} when the read began and ends at ${reached} now`
              })
            )
          }
        }
        return Stream.concat(
          stream,
          Stream.suspend(() =>
            reading.end === undefined || reading.position === reading.end || reading.position === end
              ? Stream.empty
              : Stream.fail(failed(new E.UnexpectedEnd({ position: reading.position, expected: reading.end })))
          )
        )
      })
    )

  const resume = (reading: Reading, error: E.HdfsError): Stream.Stream<Uint8Array, E.HdfsError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        reading.failures++
        if (reading.blocks !== undefined && (elsewhere(error) || error.reason._tag === "BlockMissing")) {
          // The preferred host does not do it: the NameNode chooses.
          reading.blocks = undefined
          if (error.reason._tag === "BlockMissing") return attempt(reading)
        }
        // Every host with the bytes has failed once: they are asked again.
        const exhausted = error.reason._tag === "BlockMissing" && reading.failed.size > 0
        if (exhausted) reading.failed.clear()
        if (!(exhausted || elsewhere(error)) || reading.failures > config.maxRetries) {
          return yield* new E.HdfsError({
            operation: "OPEN",
            path: reading.path,
            attempts: reading.failures,
            reason: error.reason,
            ...(error.endpoint === undefined ? {} : { endpoint: error.endpoint })
          })
        }
        const now = yield* getFileStatus(reading.path)
        const before = reading.options.status
        if (
          before !== undefined &&
          (now.length !== before.length ||
            now.modificationTime !== before.modificationTime ||
            now.fileId !== before.fileId)
        ) {
          return yield* web.fail(
            { method: "GET", operation: "OPEN", path: reading.path },
            new E.FileChanged({
              detail: `it has changed since the read began, of which ${reading.position} bytes are read`
            })
          )
        }
        if (error.endpoint !== undefined && !exhausted) {
          // To leave a DataNode out the NameNode wants its data transfer address.
          reading.failed.add(error.endpoint.replace(/:\d+$/, ""))
          yield* getFileBlockLocations(reading.path, { offset: reading.position, length: 1 })
        }
        if (reading.failures > 1) yield* web.backoff(reading.failures - 1)
        return attempt(reading)
      })
    )

  const attempt = (reading: Reading): Stream.Stream<Uint8Array, E.HdfsError> =>
    Stream.unwrap(
      Effect.match(place(reading), {
        // The NameNodes have been asked for as long as that helps.
        onFailure: (error) => (error.reason._tag === "BlockMissing" ? resume(reading, error) : Stream.fail(error)),
        onSuccess: (found) => Stream.catch(openAt(reading, found), (error) => resume(reading, error))
      })
    )

  const open = (path: string, options?: OpenOptions) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const reading: Reading = {
          path,
          options: options ?? {},
          position: options?.offset ?? 0,
          end: undefined,
          failed: new Set(),
          failures: 0,
          blocks: undefined
        }
        if (options?.preferHost === undefined || config.gateway) return attempt(reading)
        const wanted = options.length === undefined ? undefined : reading.position + options.length
        const endOf = (blocks: ReadonlyArray<M.BlockLocation> | undefined) => {
          const last = blocks?.at(-1)
          return last === undefined ? 0 : last.offset + last.length
        }
        const known = locations.get(path)
        reading.blocks = wanted !== undefined && wanted <= endOf(known) ? known : yield* getFileBlockLocations(path)
        reading.end = Math.min(wanted ?? Number.POSITIVE_INFINITY, Math.max(endOf(reading.blocks), reading.position))
        // Block by block, each from where it lies.
        return Stream.flatMap(
          Stream.unfold(reading, (it) => Effect.succeed(it.position === it.end ? undefined : ([it, it] as const))),
          attempt
        )
      })
    ).pipe(Stream.withSpan("HdfsClient.OPEN", { attributes: { path } }))

  const readRange = Effect.fnUntraced(function* (path: string, offset: number, length: number, options?: RangeOptions) {
    const bytes = new Uint8Array(length)
    if (length === 0) return bytes
    let at = 0
    const buffer = new Uint8Array(Math.min(length, 64 * 1024))
    yield* Stream.runForEachArray(open(path, { ...options, offset, length, buffer }), (chunks) =>
      Effect.sync(() => {
        for (const chunk of chunks) {
          // More than was asked for is a server's fault; it is counted below.
          if (at + chunk.length <= length) bytes.set(chunk, at)
          at += chunk.length
        }
      })
    )
    if (at !== length) {
      return yield* web.fail(
        { method: "GET", operation: "OPEN", path },
        new E.UnexpectedEnd({ position: offset + at, expected: offset + length })
      )
    }
    return bytes
  })

  // Writing

  const send = Effect.fnUntraced(function* <Err, R>(
    call: WebHdfs.Call,
    bytes: Stream.Stream<Uint8Array, Err, R>,
    length?: number
  ) {
    let started = false
    for (let retries = 0; ; retries++) {
      const exchange = yield* web.locate(call)
      const result = yield* Effect.result(
        web.transport.upload(exchange, bytes, length, () => {
          started = true
        })
      )
      if (result._tag === "Success") return result.success
      const error = result.failure
      // As long as nothing of the source was taken, another DataNode may be tried.
      const again =
        !started &&
        error instanceof E.HdfsError &&
        error.endpoint === exchange.url.host &&
        (error.reason._tag === "Connection" || error.reason._tag === "Timeout") &&
        retries < config.maxRetries
      if (!again) return yield* Effect.fail(error)
      yield* web.backoff(retries + 1)
    }
  })

  const createParams = (options: CreateOptions | undefined) => ({
    overwrite: options?.overwrite ?? false,
    blocksize: options?.blockSize,
    replication: options?.replication,
    permission: options?.permission,
    unmaskedpermission: options?.unmaskedPermission,
    createparent: options?.createParent,
    buffersize: options?.bufferSize,
    ecpolicy: options?.ecPolicy,
    storagepolicy: options?.storagePolicy
  })

  const create = Effect.fn("HdfsClient.CREATE")(
    <Err, R>(path: string, bytes: Stream.Stream<Uint8Array, Err, R>, options?: CreateOptions) =>
      send({ method: "PUT", operation: "CREATE", path, params: createParams(options) }, bytes, options?.length)
  )

  const append = Effect.fn("HdfsClient.APPEND")(
    <Err, R>(
      path: string,
      bytes: Stream.Stream<Uint8Array, Err, R>,
      options?: { readonly bufferSize?: number | undefined }
    ) => send({ method: "POST", operation: "APPEND", path, params: { buffersize: options?.bufferSize } }, bytes)
  )

  const remove = (path: string, options?: { readonly recursive?: boolean | undefined }): Result<boolean> => {
    const call: WebHdfs.Call = {
      method: "DELETE",
      operation: "DELETE",
      path,
      params: { recursive: options?.recursive ?? false }
    }
    // Nothing there any more: the delete whose answer was lost did it.
    const look = Effect.map(exists(path), (there) => (there ? Option.none<string>() : Option.some(`{"boolean":true}`)))
    return web.text(call, look).pipe(
      Effect.flatMap((body) => BooleanAnswer({ ...call, url: new URL("http://localhost") }, body)),
      Effect.map((answer) => answer.boolean),
      Effect.withSpan("HdfsClient.DELETE", { attributes: { path } })
    )
  }

  const rename = Effect.fn("HdfsClient.RENAME")(function* (from: string, to: string, mode: RenameMode = "none") {
    const bad = Path.badPath(to)
    const call: WebHdfs.Call = {
      method: "PUT",
      operation: "RENAME",
      path: from,
      params: { destination: to, renameoptions: mode === "legacy" ? undefined : mode.toUpperCase() }
    }
    if (bad !== undefined) return yield* web.fail(call, new E.InvalidArgument({ detail: `the target: ${bad}` }))
    // The source gone and the target there: the rename whose answer was lost did it.
    const look = Effect.map(Effect.all([exists(from), exists(to)]), ([before, after]) =>
      !before && after ? Option.some(mode === "legacy" ? `{"boolean":true}` : "") : Option.none<string>()
    )
    const body = yield* web.text(call, look)
    if (body.trim() === "") return true
    const answer = yield* BooleanAnswer({ ...call, url: new URL("http://localhost") }, body)
    if (mode !== "legacy") {
      return yield* web.fail(
        call,
        new E.Unsupported({ detail: "this server does not know rename options and has done a plain rename" })
      )
    }
    return answer.boolean
  })

  /** The rename of an HttpFS gateway, which can only look before it leaps. */
  const renameThroughGateway = Effect.fnUntraced(function* (from: string, to: string, overwrite: boolean) {
    const call: WebHdfs.Call = { method: "PUT", operation: "RENAME", path: from }
    const there = yield* status(to)
    if (Option.isSome(there)) {
      if (there.value.type === "DIRECTORY") {
        return yield* web.fail(call, new E.IsADirectory({ detail: `${to} is a directory` }))
      }
      if (!overwrite) return yield* web.fail(call, new E.FileAlreadyExists({ detail: `${to} already exists` }))
      yield* remove(to)
    }
    if (!(yield* rename(from, to, "legacy"))) {
      return yield* web.fail(call, new E.FileAlreadyExists({ detail: `${to} already exists, or ${from} is gone` }))
    }
    return true
  })

  const write = Effect.fn("HdfsClient.write")(function* <Err, R>(
    path: string,
    bytes: Stream.Stream<Uint8Array, Err, R>,
    options?: Omit<CreateOptions, "createParent">
  ) {
    const call: WebHdfs.Call = { method: "PUT", operation: "CREATE", path }
    const overwrite = options?.overwrite ?? false
    const there = yield* status(path)
    if (Option.isSome(there)) {
      if (there.value.type === "DIRECTORY") {
        return yield* web.fail(call, new E.IsADirectory({ detail: `${path} is a directory` }))
      }
      if (!overwrite) return yield* web.fail(call, new E.FileAlreadyExists({ detail: `${path} already exists` }))
    }
    const id = (yield* Random.nextIntBetween(0, 2 ** 31)).toString(36)
    const now = (yield* Clock.currentTimeMillis).toString(36)
    // Readers of directories skip hidden names, and `._COPYING_` is what `hdfs dfs -put` uses.
    const temporary = Path.child(Path.parent(path), `.${Path.name(path)}.${now}${id}._COPYING_`)
    const work = Effect.gen(function* () {
      const sent = yield* create(temporary, bytes, { ...options, overwrite: false })
      const { length } = yield* getFileStatus(temporary)
      if (length !== sent) {
        return yield* web.fail(call, new E.UnexpectedEnd({ position: length, expected: sent }))
      }
      if (config.gateway) yield* renameThroughGateway(temporary, path, overwrite)
      else yield* rename(temporary, path, overwrite ? "overwrite" : "none")
      return sent
    })
    // A DataNode may still be opening the file when the request is given up without an answer: then it is looked for more than once.
    const clean = Effect.fnUntraced(
      function* (times: number) {
        for (let attempts = 0; attempts < times; attempts++) {
          const gone = yield* remove(temporary).pipe(
            // Below a file nothing can have been written.
            Effect.catchIf(
              (error) => error.reason._tag === "NotADirectory",
              () => Effect.succeed(true)
            )
          )
          if (gone) return
          if (attempts + 1 < times) yield* Effect.sleep(Duration.millis(50 * 2 ** attempts))
        }
      },
      Effect.timeout("30 seconds"),
      Effect.catch((error) => Effect.logWarning(`${temporary} may be left: ${error.message}`))
    )
    return yield* Effect.onExit(work, (exit) => {
      if (exit._tag === "Success") return Effect.void
      const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
      // Not an error of the source, which may be another file of HDFS.
      return clean(error instanceof E.HdfsError && error.path === temporary && isAnswer(error) ? 1 : 5)
    })
  })

  const moveToTrash = Effect.fn("HdfsClient.moveToTrash")(function* (path: string) {
    const root = yield* getTrashRoot(path)
    const target = Path.child(root, `Current${path}`)
    yield* mkdirs(Path.parent(target), { permission: "700" })
    const taken = yield* exists(target)
    const to = taken ? `${target}${yield* Clock.currentTimeMillis}` : target
    yield* config.gateway ? renameThroughGateway(path, to, false) : rename(path, to)
    return to
  })

  const mkdirs: HdfsClient["Service"]["mkdirs"] = (path, options) =>
    Effect.map(
      ask(
        {
          method: "PUT",
          operation: "MKDIRS",
          path,
          params: { permission: options?.permission, unmaskedpermission: options?.unmaskedPermission }
        },
        BooleanAnswer
      ),
      (answer) => answer.boolean
    )

  const getTrashRoot = (path: string) => Effect.map(get("GETTRASHROOT", path, PathAnswer), (answer) => answer.Path)

  const listStatusBatch = (path: string): Stream.Stream<M.FileStatus, E.HdfsError> =>
    Stream.paginate<{ readonly first: string; readonly last: string } | undefined, M.FileStatus, E.HdfsError>(
      undefined,
      Effect.fnUntraced(function* (previous) {
        // The NameNode knows the parameter in lower case only, HttpFS only as documented.
        const { DirectoryListing } = yield* get("LISTSTATUS_BATCH", path, ListingAnswer, {
          startAfter: previous?.last,
          startafter: previous?.last
        })
        const page = DirectoryListing.partialListing.FileStatuses.FileStatus
        const first = page[0]?.pathSuffix
        const last = page.at(-1)?.pathSuffix
        if (first !== undefined && first === previous?.first) {
          return yield* web.fail(
            { method: "GET", operation: "LISTSTATUS_BATCH", path },
            new E.Protocol({ detail: "the server gives the same page again and again" })
          )
        }
        return [
          page,
          DirectoryListing.remainingEntries > 0 && first !== undefined && last !== undefined
            ? Option.some({ first, last })
            : Option.none()
        ] as const
      })
    )

  const getSnapshotDiffListing = (path: string, from: string, to: string) =>
    Stream.paginate<{ readonly path: string; readonly index: number }, M.SnapshotDiffListing, E.HdfsError>(
      { path: "", index: -1 },
      (start) =>
        Effect.map(
          get("GETSNAPSHOTDIFFLISTING", path, SnapshotDiffListingAnswer, {
            oldsnapshotname: from,
            snapshotname: to,
            snapshotdiffstartpath: start.path,
            snapshotdiffindex: start.index
          }),
          ({ SnapshotDiffReportListing: page }) => [
            [page],
            page.lastIndex === -1 && page.lastPath === ""
              ? Option.none()
              : Option.some({ path: page.lastPath, index: page.lastIndex })
          ]
        )
    )

  const hex = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString("hex")}`

  return HdfsClient.of({
    open,
    readRange,
    readRanges: (path, ranges, options) =>
      Effect.forEach(ranges, ({ length, offset }) => readRange(path, offset, length, options), {
        concurrency: options?.concurrency ?? 8
      }),
    create,
    write,
    append,
    concat: (path, sources) =>
      ask({ method: "POST", operation: "CONCAT", path, params: { sources: sources.join(",") } }, nothing, "never"),
    truncate: (path, newLength) =>
      Effect.map(
        ask({ method: "POST", operation: "TRUNCATE", path, params: { newlength: newLength } }, BooleanAnswer, "never"),
        (answer) => answer.boolean
      ),

    delete: remove,
    moveToTrash,
    rename,
    mkdirs,
    createSymlink: (link, target, options) =>
      put("CREATESYMLINK", link, { destination: target, createparent: options?.createParent ?? false }, "never"),

    getFileStatus,
    getFileLinkStatus: (path) =>
      Effect.map(get("GETFILELINKSTATUS", path, FileStatusAnswer), (answer) => answer.FileStatus),
    getLinkTarget: (path) => Effect.map(get("GETLINKTARGET", path, PathAnswer), (answer) => answer.Path),
    exists,
    listStatus: (path) =>
      Effect.map(get("LISTSTATUS", path, FileStatusesAnswer), (answer) => answer.FileStatuses.FileStatus),
    listStatusBatch,
    getContentSummary: (path) =>
      Effect.map(get("GETCONTENTSUMMARY", path, ContentSummaryAnswer), (answer) => answer.ContentSummary),
    getFileChecksum: (path) =>
      Effect.map(get("GETFILECHECKSUM", path, FileChecksumAnswer), (answer) => answer.FileChecksum),
    getFileBlockLocations,
    checkAccess: (path, action) => get("CHECKACCESS", path, nothing, { fsaction: action }),
    setPermission: (path, permission) => put("SETPERMISSION", path, { permission }),
    setOwner: (path, { group, owner }) => put("SETOWNER", path, { owner, group }),
    setTimes: (path, { accessTime, modificationTime }) =>
      put("SETTIMES", path, { modificationtime: modificationTime ?? -1, accesstime: accessTime ?? -1 }),
    setReplication: (path, replication) =>
      Effect.map(
        ask({ method: "PUT", operation: "SETREPLICATION", path, params: { replication } }, BooleanAnswer),
        (answer) => answer.boolean
      ),

    getAclStatus: (path) => Effect.map(get("GETACLSTATUS", path, AclStatusAnswer), (answer) => answer.AclStatus),
    setAcl: (path, entries) => put("SETACL", path, { aclspec: entries.join(",") }),
    modifyAclEntries: (path, entries) => put("MODIFYACLENTRIES", path, { aclspec: entries.join(",") }),
    // The server wants the field of the permission, empty.
    removeAclEntries: (path, entries) =>
      put("REMOVEACLENTRIES", path, {
        aclspec: entries.map((entry) => (/^(default:)?[^:]*:[^:]*$/.test(entry) ? `${entry}:` : entry)).join(",")
      }),
    removeDefaultAcl: (path) => put("REMOVEDEFAULTACL", path),
    removeAcl: (path) => put("REMOVEACL", path),

    getXAttrs: Effect.fnUntraced(function* (path: string, names?: ReadonlyArray<string>) {
      const ask = (name: string | undefined) =>
        get("GETXATTRS", path, XAttrsAnswer, { "xattr.name": name, encoding: "hex" })
      // Several names would be several parameters of one name; one request each is as good.
      const answers = names === undefined ? [yield* ask(undefined)] : yield* Effect.forEach(names, (name) => ask(name))
      return new Map(
        answers.flatMap(({ XAttrs }) =>
          XAttrs.map(({ name, value }): [string, Uint8Array] => [
            name,
            new Uint8Array(Buffer.from((value ?? "").replace(/^0x/, ""), "hex"))
          ])
        )
      )
    }),
    listXAttrs: (path) => Effect.map(get("LISTXATTRS", path, XAttrNamesAnswer), (answer) => answer.XAttrNames),
    setXAttr: (path, name, value, flag) =>
      put(
        "SETXATTR",
        path,
        {
          "xattr.name": name,
          "xattr.value": hex(value),
          flag: flag === undefined ? "CREATE,REPLACE" : flag.toUpperCase()
        },
        flag === "create" ? "never" : "always"
      ),
    removeXAttr: (path, name) => put("REMOVEXATTR", path, { "xattr.name": name }, "never"),

    getAllStoragePolicies: Effect.map(
      get("GETALLSTORAGEPOLICY", "", StoragePoliciesAnswer),
      (answer) => answer.BlockStoragePolicies.BlockStoragePolicy
    ),
    getStoragePolicy: (path) =>
      Effect.map(get("GETSTORAGEPOLICY", path, StoragePolicyAnswer), (answer) => answer.BlockStoragePolicy),
    setStoragePolicy: (path, policy) => put("SETSTORAGEPOLICY", path, { storagepolicy: policy }),
    unsetStoragePolicy: (path) => ask({ method: "POST", operation: "UNSETSTORAGEPOLICY", path }, nothing),
    satisfyStoragePolicy: (path) => put("SATISFYSTORAGEPOLICY", path),
    getErasureCodingPolicy: Effect.fnUntraced(function* (path: string) {
      const body = yield* ask({ method: "GET", operation: "GETECPOLICY", path }, (_, text) => Effect.succeed(text))
      return body.trim() === "" || body.trim() === "null" || body.trim() === "{}"
        ? undefined
        : yield* ErasureCodingPolicyAnswer(
            { method: "GET", operation: "GETECPOLICY", path, url: new URL("http://localhost") },
            body
          )
    }),
    setErasureCodingPolicy: (path, policy) => put("SETECPOLICY", path, { ecpolicy: policy }),
    unsetErasureCodingPolicy: (path) => ask({ method: "POST", operation: "UNSETECPOLICY", path }, nothing),
    getErasureCodingPolicies: Effect.map(
      get("GETECPOLICIES", "", ErasureCodingPoliciesAnswer),
      (answer) => answer.ErasureCodingPolicies.ErasureCodingPolicyInfo
    ),
    getErasureCodingCodecs: Effect.map(
      get("GETECCODECS", "", ErasureCodingCodecsAnswer),
      (answer) => answer.ErasureCodingCodecs
    ),
    enableErasureCodingPolicy: (policy) => put("ENABLEECPOLICY", "", { ecpolicy: policy }),
    disableErasureCodingPolicy: (policy) => put("DISABLEECPOLICY", "", { ecpolicy: policy }),

    allowSnapshot: (path) => put("ALLOWSNAPSHOT", path),
    disallowSnapshot: (path) => put("DISALLOWSNAPSHOT", path),
    createSnapshot: (path, name) => {
      const call: WebHdfs.Call = { method: "PUT", operation: "CREATESNAPSHOT", path, params: { snapshotname: name } }
      return Effect.map(ask(call, PathAnswer, "never"), (answer) => answer.Path)
    },
    renameSnapshot: (path, from, to) =>
      put("RENAMESNAPSHOT", path, { oldsnapshotname: from, snapshotname: to }, "never"),
    deleteSnapshot: (path, name) =>
      ask({ method: "DELETE", operation: "DELETESNAPSHOT", path, params: { snapshotname: name } }, nothing, "never"),
    getSnapshotDiff: (path, from, to) =>
      Effect.map(
        get("GETSNAPSHOTDIFF", path, SnapshotDiffAnswer, { oldsnapshotname: from, snapshotname: to }),
        (answer) => answer.SnapshotDiffReport
      ),
    getSnapshotDiffListing,
    getSnapshottableDirectories: Effect.map(
      get("GETSNAPSHOTTABLEDIRECTORYLIST", "", SnapshottableAnswer),
      (answer) => answer.SnapshottableDirectoryList ?? []
    ),
    getSnapshots: (path) =>
      Effect.map(get("GETSNAPSHOTLIST", path, SnapshotListAnswer), (answer) => answer.SnapshotList ?? []),

    getQuotaUsage: (path) => Effect.map(get("GETQUOTAUSAGE", path, QuotaUsageAnswer), (answer) => answer.QuotaUsage),
    setQuota: (path, { namespace, space }) =>
      put("SETQUOTA", path, { namespacequota: namespace, storagespacequota: space }),
    setQuotaByStorageType: (path, type, space) =>
      put("SETQUOTABYSTORAGETYPE", path, { storagetype: type, storagespacequota: space }),

    getHomeDirectory: Effect.map(get("GETHOMEDIRECTORY", "", PathAnswer), (answer) => answer.Path),
    getTrashRoot,
    getTrashRoots: (options) =>
      Effect.map(
        get("GETTRASHROOTS", "", TrashRootsAnswer, { allusers: options?.allUsers ?? false }),
        (answer) => answer.Paths ?? []
      ),
    getServerDefaults: Effect.map(
      get("GETSERVERDEFAULTS", "", ServerDefaultsAnswer),
      (answer) => answer.FsServerDefaults
    ),
    getStatus: Effect.map(get("GETSTATUS", "", FsStatusAnswer), (answer) => answer.FsStatus),
    getDelegationToken: (options) =>
      Effect.flatMap(
        get("GETDELEGATIONTOKEN", "", TokenAnswer, {
          renewer: options?.renewer,
          service: options?.service,
          kind: options?.kind
        }),
        ({ Token }) =>
          Token === null
            ? Effect.fail(
                web.fail(
                  { method: "GET", operation: "GETDELEGATIONTOKEN", path: "" },
                  new E.Unsupported({ detail: "the cluster is not secured and gives no delegation tokens" })
                )
              )
            : Effect.succeed(Redacted.make(Token.urlString, { label: "delegation token" }))
      ),
    renewDelegationToken: (token) =>
      Effect.map(
        ask(
          { method: "PUT", operation: "RENEWDELEGATIONTOKEN", path: "", params: { token: Redacted.value(token) } },
          LongAnswer
        ),
        (answer) => answer.long
      ),
    cancelDelegationToken: (token) => put("CANCELDELEGATIONTOKEN", "", { token: Redacted.value(token) }, "never")
  })
})

/**
 * A client with a pool of connections of its own, kept alive, with the timeouts and certificates of `HdfsConfig`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<HdfsClient, never, HdfsConfig | HdfsAuth> = Layer.effect(HdfsClient, make)
