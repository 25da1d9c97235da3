/**
 * The error that every storage operation fails with, whatever the scheme of the path.
 *
 * One class, `StorageError`, names the operation and the path; its tagged `reason` says what went wrong and
 * whether trying again can help. The reasons follow the exceptions of Hadoop's `FileSystem` contract.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * The path does not exist (Hadoop's `FileNotFoundException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedError<NotFound>("@sluice/core/StorageError/NotFound")("NotFound", {}) {
  override get message(): string {
    return "no such file or directory"
  }
}

/**
 * The path exists but must not (Hadoop's `FileAlreadyExistsException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class AlreadyExists extends Schema.TaggedError<AlreadyExists>("@sluice/core/StorageError/AlreadyExists")(
  "AlreadyExists",
  {}
) {
  override get message(): string {
    return "already exists"
  }
}

/**
 * The path, or one of its parents, is a file where a directory is needed.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotADirectory extends Schema.TaggedError<NotADirectory>("@sluice/core/StorageError/NotADirectory")(
  "NotADirectory",
  {}
) {
  override get message(): string {
    return "is a file, not a directory"
  }
}

/**
 * The path is a directory where a file is needed.
 *
 * @category errors
 * @since 0.1.0
 */
export class IsADirectory extends Schema.TaggedError<IsADirectory>("@sluice/core/StorageError/IsADirectory")(
  "IsADirectory",
  {}
) {
  override get message(): string {
    return "is a directory, not a file"
  }
}

/**
 * A directory with entries was deleted or replaced without `recursive` (Hadoop's `PathIsNotEmptyDirectoryException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class NotEmpty extends Schema.TaggedError<NotEmpty>("@sluice/core/StorageError/NotEmpty")("NotEmpty", {}) {
  override get message(): string {
    return "directory is not empty; pass { recursive: true } to delete it with its contents"
  }
}

/**
 * The caller may not do this (Hadoop's `AccessControlException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>(
  "@sluice/core/StorageError/PermissionDenied"
)("PermissionDenied", {
  detail: Schema.String
}) {
  override get message(): string {
    return `permission denied: ${this.detail}`
  }
}

/**
 * The disk or the quota is full.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoSpace extends Schema.TaggedError<NoSpace>("@sluice/core/StorageError/NoSpace")("NoSpace", {
  detail: Schema.String
}) {
  override get message(): string {
    return `no space left: ${this.detail}`
  }
}

/**
 * The path is not one this storage can name: bad URI, unknown scheme, `..` above the root, a glob where a file is needed.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPath extends Schema.TaggedError<InvalidPath>("@sluice/core/StorageError/InvalidPath")(
  "InvalidPath",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * A range lies outside the file, or the file ended before the range did (Java's `EOFException`).
 *
 * @category errors
 * @since 0.1.0
 */
export class EndOfFile extends Schema.TaggedError<EndOfFile>("@sluice/core/StorageError/EndOfFile")("EndOfFile", {
  /** First byte asked for. */
  offset: Schema.Number,
  /** Bytes asked for. */
  length: Schema.Number,
  /** Bytes the file has. */
  available: Schema.Number
}) {
  override get message(): string {
    return `bytes ${this.offset}..${this.offset + this.length} were asked for, but the file has ${this.available}`
  }
}

/**
 * The storage gave more bytes than were asked for: the file grew while it was read, or a server ignores the range.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExcessBytes extends Schema.TaggedError<ExcessBytes>("@sluice/core/StorageError/ExcessBytes")(
  "ExcessBytes",
  {
    /** First byte asked for. */
    offset: Schema.Number,
    /** Bytes asked for, or bytes up to the end of the file according to its status. */
    length: Schema.Number
  }
) {
  override get message(): string {
    return (
      `more than the ${this.length} bytes from offset ${this.offset} were received: the file has grown, or its server ` +
      "ignores the range; read the file when nothing writes to it"
    )
  }
}

/**
 * The storage cannot do this at all (no append in memory, no block locations, ...).
 *
 * @category errors
 * @since 0.1.0
 */
export class Unsupported extends Schema.TaggedError<Unsupported>("@sluice/core/StorageError/Unsupported")(
  "Unsupported",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The storage did not answer, or answered with a temporary fault. This is the only reason for which trying again can
 * help.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unavailable extends Schema.TaggedError<Unavailable>("@sluice/core/StorageError/Unavailable")(
  "Unavailable",
  {
    detail: Schema.String,
    cause: Schema.optional(Schema.Defect())
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * What can be wrong.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  NotFound,
  AlreadyExists,
  NotADirectory,
  IsADirectory,
  NotEmpty,
  PermissionDenied,
  NoSpace,
  InvalidPath,
  EndOfFile,
  ExcessBytes,
  Unsupported,
  Unavailable
])

/**
 * What can be wrong.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * A storage operation failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class StorageError extends Schema.TaggedError<StorageError>("@sluice/core/StorageError")("StorageError", {
  /** The operation as in the `Storage` service: `list`, `stat`, `read`, ... */
  operation: Schema.String,
  /** The path as the caller gave it. */
  path: Schema.String,
  reason: Reason
}) {
  override get message(): string {
    return `${this.operation} ${this.path}: ${this.reason.message}`
  }

  /** Whether the same call may succeed later. */
  get isRetryable(): boolean {
    return this.reason._tag === "Unavailable"
  }
}
