/** The interface of every backend, and its models. */
import type { Effect, Stream } from "effect"
import type { StorageError } from "../StorageError.ts"

/**
 * What a storage knows about a path without reading it.
 *
 * @category models
 * @since 0.1.0
 */
export interface FileStatus {
  /** The whole URI. */
  readonly path: string
  readonly type: "file" | "directory"
  /** Bytes; 0 for a directory. */
  readonly length: number
  /** Last modification, milliseconds since 1970 UTC. */
  readonly modified: number
}

/**
 * A run of bytes of a file and the hosts that have a replica of it (HDFS: one block).
 *
 * @category models
 * @since 0.1.0
 */
export interface BlockLocation {
  readonly offset: number
  readonly length: number
  /** Host names; empty if the storage does not know hosts. */
  readonly hosts: ReadonlyArray<string>
}

/**
 * A run of bytes. `offset` counts from the start of the file; without `length` it reaches the end.
 *
 * @category models
 * @since 0.1.0
 */
export interface ByteRange {
  readonly offset: number
  readonly length?: number | undefined
}

/**
 * How a path is renamed.
 *
 * @category models
 * @since 0.1.0
 */
export interface RenameOptions {
  /** Whether a file replaces an existing one, in one step if the scheme can do that. Default `false`. */
  readonly overwrite?: boolean | undefined
  /** Whether the parents of the target are created. Default `true`. */
  readonly parents?: boolean | undefined
}

/**
 * One way to keep files: what a scheme needs to implement.
 *
 * **Details**
 *
 * Every method takes URIs of the backend's own scheme. Parents of a written or renamed-to path are created. A directory is
 * listed in code point order of its names.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backend {
  /**
   * The files and directories that a glob matches, or the entries of a directory (one level), or the named file. `*`,
   * `?`, `[a-c]` and `{a,b}` match within a path segment, `**` any number of segments, as in Hadoop's `globStatus`. A
   * path without a glob that does not exist fails with `NotFound`; a glob that matches nothing yields nothing. A
   * matched directory is yielded itself, not its entries, and `a/**` matches `a` too. Names that start with `.` or `_`
   * are included.
   */
  readonly list: (path: string) => Stream.Stream<FileStatus, StorageError>
  /** Fails with `NotFound` if nothing exists there. */
  readonly stat: (path: string) => Effect.Effect<FileStatus, StorageError>
  /**
   * The bytes of a file, or of a range of it, pulled: bytes that the consumer does not take are not read. The file (or
   * socket) is closed when the stream ends, fails or is interrupted. An `offset` at the end of the file gives an empty
   * stream, one past it `EndOfFile`; a range with a `length` that reaches past the end fails with `EndOfFile` too. The
   * `Storage` service counts the bytes of a backend: fewer than `length`, or than the status of the file says, are
   * `EndOfFile`, and more are `ExcessBytes`, also if the file has changed in between.
   */
  readonly read: (path: string, range?: ByteRange) => Stream.Stream<Uint8Array, StorageError>
  /** Exactly `length` bytes from `offset`, in one new buffer; fewer are `EndOfFile`, more are `ExcessBytes`. */
  readonly readRange: (path: string, offset: number, length: number) => Effect.Effect<Uint8Array, StorageError>
  /**
   * Writes a file atomically: `path` has all bytes of `bytes` when the effect succeeds, and stays as it was if the
   * stream fails or is interrupted, or the process dies. Yields the bytes written. An existing file is replaced only
   * with `overwrite` (default `false`: `AlreadyExists`); a directory never is (`IsADirectory`).
   */
  readonly write: <E, R>(
    path: string,
    bytes: Stream.Stream<Uint8Array, E, R>,
    options?: { readonly overwrite?: boolean | undefined }
  ) => Effect.Effect<number, StorageError | E, R>
  /**
   * Renames a file or a directory, atomically if the scheme can do that. `to` must not exist (`AlreadyExists`):
   * renaming never moves into a directory, and replaces only a file by a file, with `overwrite`. Without `parents`
   * (default `true`), the directory of `to` must exist (`NotFound`).
   */
  readonly rename: (from: string, to: string, options?: RenameOptions) => Effect.Effect<void, StorageError>
  /**
   * Deletes; yields `false` if nothing existed. A directory with entries needs `recursive` (`NotEmpty`). The root is
   * never deleted.
   */
  readonly delete: (
    path: string,
    options?: { readonly recursive?: boolean | undefined }
  ) => Effect.Effect<boolean, StorageError>
  /** Creates a directory with its parents. An existing directory is fine; a file there is `NotADirectory`. */
  readonly mkdirs: (path: string) => Effect.Effect<void, StorageError>
  /**
   * The one URI by which all names of a file or directory can be compared: links are followed, `.` and `..` are
   * resolved, and names are written the same way. The path need not exist: its last part or more may be missing. A
   * broken link is `InvalidPath`.
   */
  readonly realPath: (path: string) => Effect.Effect<string, StorageError>
  /**
   * Where the bytes of a file are. If the scheme has no blocks, one location without hosts that covers the file; none
   * for an empty file. `known` is the status of the file, if the caller has it: without blocks, no look at the file is needed then.
   */
  readonly blocks: (path: string, known?: FileStatus) => Effect.Effect<ReadonlyArray<BlockLocation>, StorageError>
  /**
   * Whether a file with a status of 0 bytes may have some, as devices, pipes and the files of /proc do. Such a file is
   * read until it ends. Default `false`.
   */
  readonly unsized?: boolean | undefined
}
