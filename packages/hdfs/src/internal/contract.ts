/** The types of the operations of an HDFS client, apart from their implementation. */
import type { Effect, Redacted, Stream } from "effect"
import type { HdfsError } from "../HdfsError.ts"
import type * as M from "../HdfsModel.ts"

/**
 * Options of a new file; the server has a default for everything.
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
  /** Octal. If it is given, the server does not apply its own mask. */
  readonly unmaskedPermission?: string | undefined
  /** Creates the parents. Default `true`. */
  readonly createParent?: boolean | undefined
  /** The server's buffer, bytes. */
  readonly bufferSize?: number | undefined
  /**
   * How many bytes there will be, if that is known: a body of known length is less work for servers. A different number
   * of bytes is a failure.
   */
  readonly length?: number | undefined
  /** An erasure coding policy, `RS-6-3-1024k`. */
  readonly ecPolicy?: string | undefined
  /** A storage policy, `COLD`. */
  readonly storagePolicy?: string | undefined
}

/**
 * Options of a read.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenOptions {
  /** The first byte. Default 0. */
  readonly offset?: number | undefined
  /** Most bytes; there are fewer if the file's status says that it ends before. Default: up to that end. */
  readonly length?: number | undefined
  /** The server's buffer, bytes. */
  readonly bufferSize?: number | undefined
  /**
   * Memory to use for every chunk: a chunk is valid until the next one is pulled. This saves memory if each chunk is
   * processed at once. Default: new memory for each chunk.
   */
  readonly buffer?: Uint8Array | undefined
  /**
   * The status of the file to read: its length says where the read ends. If the connection breaks and the file has
   * changed by then, the read fails with `FileChanged`. Default: `open` asks for the status first.
   */
  readonly status?: M.FileStatus | undefined
  /**
   * Reads each block from the DataNode of this host if it has a replica and answers, and otherwise from another one.
   * The request excludes the block's other hosts (`excludedatanodes`), so it also works if the NameNode cannot tell
   * from the address where the client is, as in a container or behind a proxy. Default: the NameNode chooses.
   */
  readonly preferHost?: string | undefined
  /** Called for bytes as they arrive, with the host that they came from. */
  readonly onBytes?: ((host: string, count: number) => void) | undefined
}

/**
 * Options of a range read, besides the range.
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
 * `none` fails if the target exists. `overwrite` replaces a file or an empty directory in one step. `legacy` is
 * Hadoop's old `FileSystem.rename`: it moves into a target that is a directory, and yields `false` instead of failing;
 * it is the only mode that HttpFS knows.
 *
 * @category models
 * @since 0.1.0
 */
export type RenameMode = "none" | "overwrite" | "legacy"

/** The result of an operation, or its failure. */
export type Result<A> = Effect.Effect<A, HdfsError>

/** Reading the bytes of files. */
export interface Reads {
  /**
   * The bytes of a file, pulled: every one that was asked for, or a failure. Interrupting closes the connection; a broken one is
   * resumed from another DataNode.
   */
  readonly open: (path: string, options?: OpenOptions) => Stream.Stream<Uint8Array, HdfsError>
  /** Exactly `length` bytes, in one buffer; `UnexpectedEnd` when the file has fewer. */
  readonly readRange: (path: string, offset: number, length: number, options?: RangeOptions) => Result<Uint8Array>
  /** Several ranges of one file at once, in the given order. `concurrency` defaults to 8. */
  readonly readRanges: (
    path: string,
    ranges: ReadonlyArray<{ readonly offset: number; readonly length: number }>,
    options?: RangeOptions & { readonly concurrency?: number | undefined }
  ) => Result<ReadonlyArray<Uint8Array>>
}

/** Writing the bytes of files. */
export interface Writes {
  /** Writes a file under its final name, where others can see it grow; yields the bytes written. Prefer `write`. */
  readonly create: <Err, R>(
    path: string,
    bytes: Stream.Stream<Uint8Array, Err, R>,
    options?: CreateOptions
  ) => Effect.Effect<number, HdfsError | Err, R>
  /**
   * Writes a file completely or not at all: under a hidden name beside it, which is then renamed. If the stream fails
   * or is interrupted, or the connection breaks, nothing is left. Yields the bytes written. A chunk has been sent
   * before the next is pulled, so the source may put all of them into one buffer.
   */
  readonly write: <Err, R>(
    path: string,
    bytes: Stream.Stream<Uint8Array, Err, R>,
    options?: Omit<CreateOptions, "createParent">
  ) => Effect.Effect<number, HdfsError | Err, R>
  /** Adds to the end of a file; yields the bytes added. After a failure, some of them may have been added. */
  readonly append: <Err, R>(
    path: string,
    bytes: Stream.Stream<Uint8Array, Err, R>,
    options?: { readonly bufferSize?: number | undefined }
  ) => Effect.Effect<number, HdfsError | Err, R>
  /** Moves the blocks of `sources` to the end of `path`; the sources are gone then. */
  readonly concat: (path: string, sources: ReadonlyArray<string>) => Result<void>
  /** Truncates a file; `false` if the last block is still being recovered and the length is not final yet. */
  readonly truncate: (path: string, newLength: number) => Result<boolean>
}

/** Names. */
export interface Names {
  /** `false` if nothing existed. */
  readonly delete: (path: string, options?: { readonly recursive?: boolean | undefined }) => Result<boolean>
  /** Moves a path to the user's trash, as `hdfs dfs -rm` does; yields its new place. */
  readonly moveToTrash: (path: string) => Result<string>
  /** `mode` defaults to `none`. `true` unless `mode` is `legacy` and nothing was done. */
  readonly rename: (from: string, to: string, mode?: RenameMode) => Result<boolean>
  /** Creates a directory and its parents. `true` also if it existed. */
  readonly mkdirs: (
    path: string,
    options?: { readonly permission?: string | undefined; readonly unmaskedPermission?: string | undefined }
  ) => Result<boolean>
  readonly createSymlink: (
    link: string,
    target: string,
    options?: { readonly createParent?: boolean | undefined }
  ) => Result<void>
}

/** Status. */
export interface Status {
  readonly getFileStatus: (path: string) => Result<M.FileStatus>
  /** Like `getFileStatus`, but of a symbolic link itself. */
  readonly getFileLinkStatus: (path: string) => Result<M.FileStatus>
  readonly getLinkTarget: (path: string) => Result<string>
  readonly exists: (path: string) => Result<boolean>
  /** The entries of a directory in one answer; for a file, the file. */
  readonly listStatus: (path: string) => Result<ReadonlyArray<M.FileStatus>>
  /** The entries of a directory page by page, as they are pulled (`LISTSTATUS_BATCH`), in the server's order of names. */
  readonly listStatusBatch: (path: string) => Stream.Stream<M.FileStatus, HdfsError>
  readonly getContentSummary: (path: string) => Result<M.ContentSummary>
  readonly getFileChecksum: (path: string) => Result<M.FileChecksum>
  readonly getFileBlockLocations: (
    path: string,
    range?: { readonly offset: number; readonly length: number }
  ) => Result<ReadonlyArray<M.BlockLocation>>
  /** Succeeds if the user has this access: `r--`, `-w-`, `rwx`, ... */
  readonly checkAccess: (path: string, action: string) => Result<void>
  readonly setPermission: (path: string, permission: string) => Result<void>
  readonly setOwner: (
    path: string,
    owner: { readonly owner?: string | undefined; readonly group?: string | undefined }
  ) => Result<void>
  /** Milliseconds since 1970 UTC; a time that is left out stays. */
  readonly setTimes: (
    path: string,
    times: { readonly modificationTime?: number | undefined; readonly accessTime?: number | undefined }
  ) => Result<void>
  /** `false` for a directory. */
  readonly setReplication: (path: string, replication: number) => Result<boolean>
}

/** Access control lists. */
export interface Acls {
  readonly getAclStatus: (path: string) => Result<M.AclStatus>
  readonly setAcl: (path: string, entries: ReadonlyArray<string>) => Result<void>
  readonly modifyAclEntries: (path: string, entries: ReadonlyArray<string>) => Result<void>
  /** Entries without permissions: `user:ann`, `default:group:people`. */
  readonly removeAclEntries: (path: string, entries: ReadonlyArray<string>) => Result<void>
  readonly removeDefaultAcl: (path: string) => Result<void>
  readonly removeAcl: (path: string) => Result<void>
}

/** Extended attributes. */
export interface XAttrs {
  /** All attributes that the user may see, or the named ones. */
  readonly getXAttrs: (path: string, names?: ReadonlyArray<string>) => Result<ReadonlyMap<string, Uint8Array>>
  readonly listXAttrs: (path: string) => Result<ReadonlyArray<string>>
  /** `flag`: `create` fails if it exists, `replace` if it does not. Default: either. */
  readonly setXAttr: (path: string, name: string, value: Uint8Array, flag?: "create" | "replace") => Result<void>
  readonly removeXAttr: (path: string, name: string) => Result<void>
}

/** Storage policies and erasure coding. */
export interface Policies {
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
}

/** Snapshots. */
export interface Snapshots {
  readonly allowSnapshot: (path: string) => Result<void>
  readonly disallowSnapshot: (path: string) => Result<void>
  /** Yields the path of the snapshot. The server makes up a name if none is given. */
  readonly createSnapshot: (path: string, name?: string) => Result<string>
  readonly renameSnapshot: (path: string, from: string, to: string) => Result<void>
  readonly deleteSnapshot: (path: string, name: string) => Result<void>
  /** The changes between two snapshots; an empty name is the present state. */
  readonly getSnapshotDiff: (path: string, from: string, to: string) => Result<M.SnapshotDiffReport>
  /** The same page by page, for large differences. */
  readonly getSnapshotDiffListing: (
    path: string,
    from: string,
    to: string
  ) => Stream.Stream<M.SnapshotDiffListing, HdfsError>
  readonly getSnapshottableDirectories: Result<ReadonlyArray<M.SnapshottableDirectory>>
  readonly getSnapshots: (path: string) => Result<ReadonlyArray<M.Snapshot>>
}

/** Quotas. */
export interface Quotas {
  readonly getQuotaUsage: (path: string) => Result<M.QuotaUsage>
  /** A quota that is left out stays; -1 removes a limit. */
  readonly setQuota: (
    path: string,
    quota: { readonly namespace?: number | undefined; readonly space?: number | undefined }
  ) => Result<void>
  readonly setQuotaByStorageType: (path: string, type: string, space: number) => Result<void>
}

/** The cluster and the user. */
export interface Cluster {
  readonly getHomeDirectory: Result<string>
  readonly getTrashRoot: (path: string) => Result<string>
  readonly getTrashRoots: (options?: { readonly allUsers?: boolean | undefined }) => Result<ReadonlyArray<M.TrashRoot>>
  readonly getServerDefaults: Result<M.ServerDefaults>
  readonly getStatus: Result<M.FsStatus>
  readonly getDelegationToken: (options?: {
    /** The user who may renew it. Default: the current user. */
    readonly renewer?: string | undefined
    readonly service?: string | undefined
    readonly kind?: string | undefined
  }) => Result<Redacted.Redacted>
  /** Yields the new time of expiry, milliseconds since 1970 UTC. */
  readonly renewDelegationToken: (token: Redacted.Redacted) => Result<number>
  readonly cancelDelegationToken: (token: Redacted.Redacted) => Result<void>
}

/** All operations. */
export interface Operations extends Reads, Writes, Names, Status, Acls, XAttrs, Policies, Snapshots, Quotas, Cluster {}
