/** What every backend is, and what it tells. */
import type { Effect, Stream } from "effect"
import type { StorageError } from "../StorageError.ts"

/**
 * What a storage knows of a path without reading it.
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
  /** Host names; empty where the storage has no notion of hosts. */
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
  /** Whether a file replaces an existing one, in one step where the scheme can. Default `false`. */
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
   * The files and directories a glob matches, or the entries of a directory (one level), or the one file named.
   * `*`, `?`, `[a-c]` and `{a,b}` match within a path segment, `**` any number of segments, as in Hadoop's `globStatus`.
   * A path without a glob that does not exist fails with `NotFound`; a glob that matches nothing yields nothing. A matched
   * directory is yielded itself, not its entries, and `a/**` matches `a` too. Names that start with `.` or `_` are included.
   */
  readonly list: (path: string) => Stream.Stream<FileStatus, StorageError>
  /** Fails with `NotFound` where there is nothing. */
  readonly stat: (path: string) => Effect.Effect<FileStatus, StorageError>
  /**
   * The bytes of a file, or of a range of it, pulled: what the consumer does not take is not read. The file (or socket) is
   * closed when the stream ends, fails or is interrupted. An `offset` at the end of the file gives an empty stream, one
   * past it `EndOfFile`; a range with a `length` that reaches past the end fails with `EndOfFile` too. The `Storage` service
   * counts what a backend gives: fewer bytes than `length`, or than the status of the file says, are `EndOfFile`, more are
   * `ExcessBytes`, also where the file has changed in between.
   */
  readonly read: (path: string, range?: ByteRange) => Stream.Stream<Uint8Array, StorageError>
  /** Exactly `length` bytes from `offset`, in one buffer of its own; fewer is `EndOfFile`, more `ExcessBytes`. */
  readonly readRange: (path: string, offset: number, length: number) => Effect.Effect<Uint8Array, StorageError>
  /**
   * Writes a file atomically: `path` has all the bytes of `bytes` once the effect succeeds, and is as it was before when
   * the stream fails or is interrupted, or the process dies. Yields the bytes written. An existing file is replaced only
   * with `overwrite` (default `false`: `AlreadyExists`); a directory never is (`IsADirectory`).
   */
  readonly write: <E, R>(
    path: string,
    bytes: Stream.Stream<Uint8Array, E, R>,
    options?: { readonly overwrite?: boolean | undefined }
  ) => Effect.Effect<number, StorageError | E, R>
  /**
   * Renames a file or a directory, atomically where the scheme can. `to` must not exist (`AlreadyExists`): renaming never
   * moves into a directory, and replaces only a file by a file, with `overwrite`. Without `parents` (default `true`) the
   * directory of `to` must be there (`NotFound`).
   */
  readonly rename: (from: string, to: string, options?: RenameOptions) => Effect.Effect<void, StorageError>
  /** Deletes; yields `false` where there was nothing. A directory with entries needs `recursive` (`NotEmpty`). The root is never deleted. */
  readonly delete: (
    path: string,
    options?: { readonly recursive?: boolean | undefined }
  ) => Effect.Effect<boolean, StorageError>
  /** Creates a directory with its parents; one that exists is fine, a file there is `NotADirectory`. */
  readonly mkdirs: (path: string) => Effect.Effect<void, StorageError>
  /**
   * The one URI by which all names of a file or directory can be compared: links are followed, `.` and `..` resolved, names
   * written alike. The path need not exist, its last part or more of it may be missing; a link that leads nowhere is
   * `InvalidPath`.
   */
  readonly realPath: (path: string) => Effect.Effect<string, StorageError>
  /** Where the bytes of a file lie. One location that covers the file, without hosts, where the scheme has no blocks; none for an empty file. */
  readonly blocks: (path: string) => Effect.Effect<ReadonlyArray<BlockLocation>, StorageError>
  /**
   * Whether a file of which the status says 0 bytes may have some, as devices, pipes and the files of /proc do: such a file
   * is read until it ends. Default `false`.
   */
  readonly unsized?: boolean | undefined
}
