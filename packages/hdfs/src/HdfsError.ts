/**
 * The error that every HDFS operation fails with.
 *
 * One class, `HdfsError`, names the operation, the path and the server that answered last; its tagged `reason` is what the
 * server's `RemoteException` or the connection said, and `hint` is what to do next. Nothing in it can hold a secret: of a
 * server only host and port are kept, never the query of a URL.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * The path does not exist (Java's `FileNotFoundException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class FileNotFound extends Schema.TaggedError<FileNotFound>("@sluice/hdfs/HdfsError/FileNotFound")(
  "FileNotFound",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The user may not do this (`AccessControlException`, or a bare 403).
 *
 * @category errors
 * @since 0.1.0
 */
export class AccessControl extends Schema.TaggedError<AccessControl>("@sluice/hdfs/HdfsError/AccessControl")(
  "AccessControl",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The NameNode is a standby (`StandbyException`). Seen by a caller only when no NameNode of the list is active.
 *
 * @category errors
 * @since 0.1.0
 */
export class Standby extends Schema.TaggedError<Standby>("@sluice/hdfs/HdfsError/Standby")("Standby", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The server asked to try again (`RetriableException`, `NameNodeNotYetStarted`, 502, 503, 504) at every attempt, or a
 * DataNode lost its own connection to the NameNode.
 *
 * @category errors
 * @since 0.1.0
 */
export class Retriable extends Schema.TaggedError<Retriable>("@sluice/hdfs/HdfsError/Retriable")("Retriable", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The NameNode is in safe mode and takes no writes (`SafeModeException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class SafeMode extends Schema.TaggedError<SafeMode>("@sluice/hdfs/HdfsError/SafeMode")("SafeMode", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * Somebody else is writing the file, or the lease of this writer was lost (`LeaseExpiredException`,
 * `AlreadyBeingCreatedException`, `RecoveryInProgressException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class Lease extends Schema.TaggedError<Lease>("@sluice/hdfs/HdfsError/Lease")("Lease", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The path exists but must not (`FileAlreadyExistsException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class FileAlreadyExists extends Schema.TaggedError<FileAlreadyExists>(
  "@sluice/hdfs/HdfsError/FileAlreadyExists"
)("FileAlreadyExists", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A file stands where a directory is needed (`ParentNotDirectoryException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class NotADirectory extends Schema.TaggedError<NotADirectory>("@sluice/hdfs/HdfsError/NotADirectory")(
  "NotADirectory",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A directory stands where a file is needed.
 *
 * @category errors
 * @since 0.1.0
 */
export class IsADirectory extends Schema.TaggedError<IsADirectory>("@sluice/hdfs/HdfsError/IsADirectory")(
  "IsADirectory",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A directory with entries was deleted or replaced without `recursive` (`PathIsNotEmptyDirectoryException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class NotEmpty extends Schema.TaggedError<NotEmpty>("@sluice/hdfs/HdfsError/NotEmpty")("NotEmpty", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A quota of a directory is used up (`NSQuotaExceededException`, `DSQuotaExceededException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>("@sluice/hdfs/HdfsError/QuotaExceeded")(
  "QuotaExceeded",
  {
    /** `namespace`: files and directories; `space`: bytes with their replicas. */
    kind: Schema.Literals(["namespace", "space"]),
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The delegation token is not valid, or has expired (`InvalidToken`, `ExpiredTokenException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidToken extends Schema.TaggedError<InvalidToken>("@sluice/hdfs/HdfsError/InvalidToken")(
  "InvalidToken",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The server requires a login (401), or no credentials could be obtained.
 *
 * @category errors
 * @since 0.1.0
 */
export class Authentication extends Schema.TaggedError<Authentication>("@sluice/hdfs/HdfsError/Authentication")(
  "Authentication",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * No DataNode can take the block: disks full, or too few DataNodes alive.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoSpace extends Schema.TaggedError<NoSpace>("@sluice/hdfs/HdfsError/NoSpace")("NoSpace", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * No live DataNode has a good replica of a block of the file (`BlockMissingException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class BlockMissing extends Schema.TaggedError<BlockMissing>("@sluice/hdfs/HdfsError/BlockMissing")(
  "BlockMissing",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * HDFS does not accept an argument: a bad path, a bad permission, an offset past the end.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidArgument extends Schema.TaggedError<InvalidArgument>("@sluice/hdfs/HdfsError/InvalidArgument")(
  "InvalidArgument",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * This server does not know the operation (an older Hadoop, or HttpFS), or the operation is switched off.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unsupported extends Schema.TaggedError<Unsupported>("@sluice/hdfs/HdfsError/Unsupported")("Unsupported", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The server does not speak WebHDFS: it answered HTML instead of JSON, with a redirect loop, with a redirect to another
 * scheme, or without required fields.
 *
 * @category errors
 * @since 0.1.0
 */
export class Protocol extends Schema.TaggedError<Protocol>("@sluice/hdfs/HdfsError/Protocol")("Protocol", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The answer to a metadata operation is larger than `HdfsConfig.maxAnswerBytes`.
 *
 * @category errors
 * @since 0.1.0
 */
export class AnswerTooLarge extends Schema.TaggedError<AnswerTooLarge>("@sluice/hdfs/HdfsError/AnswerTooLarge")(
  "AnswerTooLarge",
  {
    /** Bytes. */
    limit: Schema.Number
  }
) {
  override get message(): string {
    return `the answer has more than ${this.limit} bytes`
  }
}

/**
 * A step took longer than its limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class Timeout extends Schema.TaggedError<Timeout>("@sluice/hdfs/HdfsError/Timeout")("Timeout", {
  /** `connect`: no connection; `read`: no bytes; `write`: no bytes taken; `operation`: all attempts together. */
  phase: Schema.Literals(["connect", "read", "write", "operation"]),
  millis: Schema.Number
}) {
  override get message(): string {
    const what = {
      connect: "no connection",
      read: "no answer",
      write: "no bytes were taken",
      operation: "not finished"
    }
    return `${what[this.phase]} within ${this.millis} ms (${this.phase} timeout)`
  }
}

/**
 * The server cannot be reached, or the connection broke.
 *
 * @category errors
 * @since 0.1.0
 */
export class Connection extends Schema.TaggedError<Connection>("@sluice/hdfs/HdfsError/Connection")("Connection", {
  /** Node's code: `ECONNREFUSED`, `ECONNRESET`, `ENOTFOUND`, `UND_ERR_SOCKET`, ... */
  code: Schema.String,
  detail: Schema.String,
  /** `false` if it is certain that no part of the request reached the server. */
  sent: Schema.Boolean
}) {
  override get message(): string {
    return `${this.code}: ${this.detail}`
  }
}

/**
 * The TLS handshake failed: an unknown authority, a wrong host name, a client certificate refused.
 *
 * @category errors
 * @since 0.1.0
 */
export class Tls extends Schema.TaggedError<Tls>("@sluice/hdfs/HdfsError/Tls")("Tls", {
  code: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.code}: ${this.detail}`
  }
}

/**
 * The bytes ended before the file did, from every DataNode asked.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnexpectedEnd extends Schema.TaggedError<UnexpectedEnd>("@sluice/hdfs/HdfsError/UnexpectedEnd")(
  "UnexpectedEnd",
  {
    /** The offset in the file at which the bytes ended. */
    position: Schema.Number,
    /** The offset they should have reached. */
    expected: Schema.Number
  }
) {
  override get message(): string {
    return `the bytes ended at offset ${this.position} of ${this.expected}`
  }
}

/**
 * The file is not the same as when reading or writing began.
 *
 * @category errors
 * @since 0.1.0
 */
export class FileChanged extends Schema.TaggedError<FileChanged>("@sluice/hdfs/HdfsError/FileChanged")("FileChanged", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/**
 * Any other exception of the server.
 *
 * @category errors
 * @since 0.1.0
 */
export class Remote extends Schema.TaggedError<Remote>("@sluice/hdfs/HdfsError/Remote")("Remote", {
  /** The Java class, `org.apache.hadoop.hdfs.protocol.SnapshotException`. */
  javaClassName: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.javaClassName}: ${this.detail}`
  }
}

/**
 * What can be wrong.
 *
 * @category errors
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  FileNotFound,
  AccessControl,
  Standby,
  Retriable,
  SafeMode,
  Lease,
  FileAlreadyExists,
  NotADirectory,
  IsADirectory,
  NotEmpty,
  QuotaExceeded,
  InvalidToken,
  Authentication,
  NoSpace,
  BlockMissing,
  InvalidArgument,
  Unsupported,
  Protocol,
  AnswerTooLarge,
  Timeout,
  Connection,
  Tls,
  UnexpectedEnd,
  FileChanged,
  Remote
])

/**
 * What can be wrong.
 *
 * @category errors
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

const hints: Partial<Record<Reason["_tag"], string>> = {
  AccessControl: "ask the owner of the path for permission, or act as another user (HdfsAuth.layerSimple, doAs)",
  Standby: "list every NameNode of the cluster in HdfsConfig.nameNodes, or read them from HADOOP_CONF_DIR",
  Retriable: "the NameNode may still be starting: try again later",
  SafeMode: "wait until the DataNodes have reported enough blocks, or run `hdfs dfsadmin -safemode leave`",
  Lease: "wait until the other writer has closed the file, or run `hdfs debug recoverLease -path <path>`",
  FileAlreadyExists: "pass { overwrite: true } to replace a file, or choose another name",
  NotEmpty: "pass { recursive: true } to delete a directory with its contents",
  QuotaExceeded:
    "delete files below the directory, or raise its quota with `hdfs dfsadmin -setQuota` or `-setSpaceQuota`",
  InvalidToken: "get a new delegation token",
  Authentication:
    "give credentials: on a cluster with Kerberos run kinit and use HdfsAuth.layerKerberos or layerCommand, or use a " +
    "delegation token (layerToken, layerTokenFile); on a cluster without Kerberos give a user name (layerSimple)",
  NoSpace: "free or add disk space, or start more DataNodes; `hdfs dfsadmin -report` shows them",
  BlockMissing:
    "start the DataNodes that have the block; `hdfs fsck <path> -files -blocks -locations` shows which ones",
  Unsupported:
    "use a newer Hadoop, a NameNode instead of an HttpFS gateway, or switch the operation on in the server's configuration",
  Protocol:
    "check that this is the HTTP address of a NameNode (port 9870) or of HttpFS (14000), and not of a proxy or a login page",
  AnswerTooLarge:
    "list a large directory page by page (listStatusBatch), or raise HdfsConfig.maxAnswerBytes if there is enough memory",
  Tls: "set HdfsConfig.tls.ca to the certificate of the server's authority, and cert and key if the server requires them",
  UnexpectedEnd: "look at the logs of the DataNodes that have the file",
  FileChanged: "start reading or writing the file again from the beginning",
  Timeout:
    "check the network between here and the server, and HdfsConfig's connectTimeout, readTimeout and operationTimeout",
  Connection:
    "check host and port (WebHDFS is on the NameNode's HTTP port, 9870 by default, not on 8020); for a DataNode that " +
    "is unreachable from here set HdfsConfig.hosts or rewriteLocation; `sluice-hdfs probe` tests every step"
}

/**
 * An HDFS operation failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class HdfsError extends Schema.TaggedError<HdfsError>("@sluice/hdfs/HdfsError")("HdfsError", {
  /** The operation's name in the WebHDFS specification: `OPEN`, `CREATE`, `GETFILESTATUS`, ... */
  operation: Schema.String,
  /** The path as the caller gave it; empty for operations without one. */
  path: Schema.String,
  /** `host:port` of the NameNode, DataNode or gateway that answered last. */
  endpoint: Schema.optional(Schema.String),
  /** How often it was tried. */
  attempts: Schema.optional(Schema.Number),
  reason: Reason
}) {
  override readonly cause = this.reason

  override get message(): string {
    const where = this.endpoint === undefined ? "" : ` at ${this.endpoint}`
    const often = this.attempts === undefined || this.attempts < 2 ? "" : ` (${this.attempts} attempts)`
    const next = this.hint === undefined ? "" : `; ${this.hint}`
    return `${this.operation} ${this.path}${where}${often}: ${this.reason._tag}: ${this.reason.message}${next}`
  }

  /** What to do next, if there is anything to suggest. */
  get hint(): string | undefined {
    return hints[this.reason._tag]
  }

  /** Whether the same call may succeed later although nobody changes anything. */
  get isRetryable(): boolean {
    switch (this.reason._tag) {
      case "Standby":
      case "Retriable":
      case "SafeMode":
      case "Timeout":
      case "Connection":
      case "UnexpectedEnd":
      case "BlockMissing":
      case "Lease":
        return true
      default:
        return false
    }
  }
}
