/**
 * The answers of WebHDFS, as schemas and types.
 *
 * Names and meanings are those of the WebHDFS REST specification. Fields that older servers leave out are optional; fields not
 * named here are ignored.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * Bytes of a file, or an offset in it: a whole number, and no more than HDFS can keep in a file (1,048,576 blocks of
 * 256 MiB), so that no impossible number is used.
 */
const FileBytes = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 48 }))

/**
 * A file or directory.
 *
 * @category models
 * @since 0.1.0
 */
export const FileStatus = Schema.Struct({
  /** Milliseconds since 1970 UTC; 0 if the cluster does not keep it. */
  accessTime: Schema.Number,
  /** Bytes; 0 for a directory. */
  blockSize: FileBytes,
  childrenNum: Schema.optional(Schema.Number),
  fileId: Schema.optional(Schema.Number),
  group: Schema.String,
  /** Bytes; 0 for a directory. */
  length: FileBytes,
  /** Milliseconds since 1970 UTC. */
  modificationTime: Schema.Number,
  owner: Schema.String,
  /** The name in its directory; empty if the path itself was asked for. */
  pathSuffix: Schema.String,
  /** Octal, `644`. */
  permission: Schema.String,
  replication: Schema.Number,
  storagePolicy: Schema.optional(Schema.Number),
  symlink: Schema.optional(Schema.String),
  aclBit: Schema.optional(Schema.Boolean),
  encBit: Schema.optional(Schema.Boolean),
  ecBit: Schema.optional(Schema.Boolean),
  ecPolicy: Schema.optional(Schema.String),
  snapshotEnabled: Schema.optional(Schema.Boolean),
  type: Schema.Literals(["FILE", "DIRECTORY", "SYMLINK"])
})
/**
 * A file or directory.
 *
 * @category models
 * @since 0.1.0
 */
export type FileStatus = typeof FileStatus.Type

/**
 * The totals of everything below a path.
 *
 * @category models
 * @since 0.1.0
 */
export const ContentSummary = Schema.Struct({
  directoryCount: Schema.Number,
  fileCount: Schema.Number,
  /** Bytes. */
  length: Schema.Number,
  /** Most files and directories allowed; -1 for no limit. */
  quota: Schema.Number,
  /** Bytes on disk, including replicas. */
  spaceConsumed: Schema.Number,
  /** Most bytes allowed, including replicas; -1 for no limit. */
  spaceQuota: Schema.Number,
  ecPolicy: Schema.optional(Schema.String)
})
/**
 * The totals of everything below a path.
 *
 * @category models
 * @since 0.1.0
 */
export type ContentSummary = typeof ContentSummary.Type

/**
 * Quotas of a directory, and how much of them is used.
 *
 * @category models
 * @since 0.1.0
 */
export const QuotaUsage = Schema.Struct({
  fileAndDirectoryCount: Schema.Number,
  /** -1 for no limit. */
  quota: Schema.Number,
  spaceConsumed: Schema.Number,
  /** -1 for no limit. */
  spaceQuota: Schema.Number
})
/**
 * Quotas of a directory, and how much of them is used.
 *
 * @category models
 * @since 0.1.0
 */
export type QuotaUsage = typeof QuotaUsage.Type

/**
 * HDFS's own checksum of a file.
 *
 * @category models
 * @since 0.1.0
 */
export const FileChecksum = Schema.Struct({
  /** `MD5-of-0MD5-of-512CRC32C`. */
  algorithm: Schema.String,
  /** Hexadecimal. */
  bytes: Schema.String,
  length: Schema.Number
})
/**
 * HDFS's own checksum of a file.
 *
 * @category models
 * @since 0.1.0
 */
export type FileChecksum = typeof FileChecksum.Type

/**
 * A block of a file, and the DataNodes that have it.
 *
 * @category models
 * @since 0.1.0
 */
export const BlockLocation = Schema.Struct({
  offset: FileBytes,
  length: FileBytes,
  corrupt: Schema.Boolean,
  /** Host names of the DataNodes. */
  hosts: Schema.Array(Schema.String),
  /** `ip:port` of the DataNodes' data transfer, in the order of `hosts`. */
  names: Schema.Array(Schema.String),
  topologyPaths: Schema.Array(Schema.String),
  cachedHosts: Schema.optional(Schema.Array(Schema.String)),
  storageTypes: Schema.optional(Schema.Array(Schema.String))
})
/**
 * A block of a file, and the DataNodes that have it.
 *
 * @category models
 * @since 0.1.0
 */
export type BlockLocation = typeof BlockLocation.Type

/**
 * Access control list of a path.
 *
 * @category models
 * @since 0.1.0
 */
export const AclStatus = Schema.Struct({
  /** `user:ann:rw-`, `default:group::r-x`, ... */
  entries: Schema.Array(Schema.String),
  owner: Schema.String,
  group: Schema.String,
  permission: Schema.optional(Schema.String),
  stickyBit: Schema.Boolean
})
/**
 * Access control list of a path.
 *
 * @category models
 * @since 0.1.0
 */
export type AclStatus = typeof AclStatus.Type

/**
 * A storage policy.
 *
 * @category models
 * @since 0.1.0
 */
export const StoragePolicy = Schema.Struct({
  id: Schema.Number,
  /** `HOT`, `COLD`, `ALL_SSD`, ... */
  name: Schema.String,
  storageTypes: Schema.Array(Schema.String),
  creationFallbacks: Schema.Array(Schema.String),
  replicationFallbacks: Schema.Array(Schema.String),
  copyOnCreateFile: Schema.Boolean
})
/**
 * A storage policy.
 *
 * @category models
 * @since 0.1.0
 */
export type StoragePolicy = typeof StoragePolicy.Type

/**
 * An erasure coding policy.
 *
 * @category models
 * @since 0.1.0
 */
export const ErasureCodingPolicy = Schema.Struct({
  /** `RS-6-3-1024k`. */
  name: Schema.String,
  cellSize: Schema.optional(Schema.Number),
  id: Schema.optional(Schema.Number),
  numDataUnits: Schema.optional(Schema.Number),
  numParityUnits: Schema.optional(Schema.Number),
  codecName: Schema.optional(Schema.String)
})
/**
 * An erasure coding policy.
 *
 * @category models
 * @since 0.1.0
 */
export type ErasureCodingPolicy = typeof ErasureCodingPolicy.Type

/**
 * An erasure coding policy of the cluster, and whether it is enabled.
 *
 * @category models
 * @since 0.1.0
 */
export const ErasureCodingPolicyInfo = Schema.Struct({
  state: Schema.Literals(["ENABLED", "DISABLED", "REMOVED"]),
  policy: ErasureCodingPolicy
})
/**
 * An erasure coding policy of the cluster, and whether it is enabled.
 *
 * @category models
 * @since 0.1.0
 */
export type ErasureCodingPolicyInfo = typeof ErasureCodingPolicyInfo.Type

/**
 * What differs between two snapshots of a directory.
 *
 * @category models
 * @since 0.1.0
 */
export const SnapshotDiffReport = Schema.Struct({
  snapshotRoot: Schema.String,
  fromSnapshot: Schema.String,
  /** Empty for the present state. */
  toSnapshot: Schema.String,
  diffList: Schema.Array(
    Schema.Struct({
      type: Schema.Literals(["CREATE", "MODIFY", "DELETE", "RENAME"]),
      /** Relative to the snapshot root; empty for the root itself. */
      sourcePath: Schema.String,
      targetPath: Schema.optional(Schema.String)
    })
  )
})
/**
 * What differs between two snapshots of a directory.
 *
 * @category models
 * @since 0.1.0
 */
export type SnapshotDiffReport = typeof SnapshotDiffReport.Type

const DiffEntry = Schema.Struct({
  dirId: Schema.Number,
  fileId: Schema.Number,
  sourcePath: Schema.String,
  targetPath: Schema.optional(Schema.String),
  isReference: Schema.Boolean
})

/**
 * One page of a snapshot difference.
 *
 * @category models
 * @since 0.1.0
 */
export const SnapshotDiffListing = Schema.Struct({
  createList: Schema.Array(DiffEntry),
  deleteList: Schema.Array(DiffEntry),
  modifyList: Schema.Array(DiffEntry),
  isFromEarlier: Schema.Boolean,
  /** Where the next page begins. */
  lastPath: Schema.String,
  /** Where the next page begins; -1 after the last. */
  lastIndex: Schema.Number
})
/**
 * One page of a snapshot difference.
 *
 * @category models
 * @since 0.1.0
 */
export type SnapshotDiffListing = typeof SnapshotDiffListing.Type

/**
 * A directory that allows snapshots.
 *
 * @category models
 * @since 0.1.0
 */
export const SnapshottableDirectory = Schema.Struct({
  dirStatus: FileStatus,
  parentFullPath: Schema.String,
  snapshotNumber: Schema.Number,
  snapshotQuota: Schema.Number
})
/**
 * A directory that allows snapshots.
 *
 * @category models
 * @since 0.1.0
 */
export type SnapshottableDirectory = typeof SnapshottableDirectory.Type

/**
 * A snapshot.
 *
 * @category models
 * @since 0.1.0
 */
export const Snapshot = Schema.Struct({
  dirStatus: FileStatus,
  fullPath: Schema.String,
  snapshotID: Schema.Number,
  deletionStatus: Schema.String
})
/**
 * A snapshot.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot = typeof Snapshot.Type

/**
 * Defaults the server uses for new files.
 *
 * @category models
 * @since 0.1.0
 */
export const ServerDefaults = Schema.Struct({
  /** Bytes. */
  blockSize: Schema.Number,
  bytesPerChecksum: Schema.Number,
  writePacketSize: Schema.Number,
  replication: Schema.Number,
  fileBufferSize: Schema.Number,
  encryptDataTransfer: Schema.Boolean,
  /** Minutes; 0 if there is no trash. */
  trashInterval: Schema.Number,
  checksumType: Schema.Number,
  keyProviderUri: Schema.optional(Schema.NullOr(Schema.String)),
  defaultStoragePolicyId: Schema.optional(Schema.Number)
})
/**
 * Defaults the server uses for new files.
 *
 * @category models
 * @since 0.1.0
 */
export type ServerDefaults = typeof ServerDefaults.Type

/**
 * Bytes of the whole file system, including replicas.
 *
 * @category models
 * @since 0.1.0
 */
export const FsStatus = Schema.Struct({
  capacity: Schema.Number,
  used: Schema.Number,
  remaining: Schema.Number
})
/**
 * Bytes of the whole file system, including replicas.
 *
 * @category models
 * @since 0.1.0
 */
export type FsStatus = typeof FsStatus.Type

/**
 * A trash directory of the cluster.
 *
 * @category models
 * @since 0.1.0
 */
export const TrashRoot = Schema.Struct({ path: Schema.String })
/**
 * A trash directory of the cluster.
 *
 * @category models
 * @since 0.1.0
 */
export type TrashRoot = typeof TrashRoot.Type
