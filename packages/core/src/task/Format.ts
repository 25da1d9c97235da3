/**
 * The contract between a file format and the engine: a {@link Source} plans splits from metadata and reads a split as a
 * stream of arrays of rows, and a {@link Writer} encodes a stream of rows as bytes.
 *
 * The formats themselves are in `formats/`. A source without files (a range, an array) is a `Source` too.
 *
 * @since 0.1.0
 */
import type { Effect, Stream } from "effect"
import type { ColumnCondition } from "./Condition.ts"
import type { Lines, TextRows } from "../codec/internal/lines.ts"
import type { FormatError } from "./FormatError.ts"
import type { Storage } from "../storage/Storage.ts"

/**
 * How input files are cut into splits. The defaults are Spark's `spark.sql.files.maxPartitionBytes` and
 * `openCostInBytes`.
 *
 * @category models
 * @since 0.1.0
 */
export interface SplitOptions {
  /** Most bytes of a split. Default 128 MiB. */
  readonly splitBytes: number
  /** How many bytes opening a file counts as when small files are packed into one split. Default 4 MiB. */
  readonly openCostBytes: number
}

/**
 * Options of sources whose rows have columns.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionedReadOptions<in out A> {
  /**
   * Columns that are in the paths of the files and not in the files, `country=DE/year=2024`, as `partitionBy` writes
   * them: Spark's partition columns. They have the types of the schema; `__HIVE_DEFAULT_PARTITION__` becomes `null` if
   * the schema allows it, missing if the field is optional, and otherwise the empty string. A `Dataset.where` on them
   * skips files. Default none.
   */
  readonly partitionColumns?: ReadonlyArray<keyof A & string> | undefined
}

/**
 * Options of all sources of files.
 *
 * @category models
 * @since 0.1.0
 */
export interface VerifyOptions {
  /**
   * `"manifest"` reads exactly the files that `_SUCCESS` of each directory names: other files are not read, and if one
   * is missing or has a different length, the job fails before its first row. The task that reads the first part of a
   * file compares its checksum, and reads the whole file once more for this. Other tasks continue in the meantime: a
   * job commits its output only if all checksums are right, but rows that `Dataset.toStream` has already handed over
   * cannot be taken back. Default: the files that exist, as in Spark.
   */
  readonly verify?: "manifest" | undefined
}

/**
 * The part of one file that belongs to a split.
 *
 * @category models
 * @since 0.1.0
 */
export interface FilePart {
  readonly path: string
  readonly offset: number
  readonly length: number
  /** Parquet: the row groups read, in order. */
  readonly rowGroups?: ReadonlyArray<number> | undefined
}

/**
 * One partition of a source: what a task reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Split<out A> {
  /** Identity that two runs over the same unchanged input agree on: paths, ranges, lengths and modification times. */
  readonly id: string
  /** For people to read: `part-0.parquet[0..3]`. */
  readonly label: string
  readonly parts: ReadonlyArray<FilePart>
  /** Bytes that will be read, as far as is known from metadata (0 for sources in memory). */
  readonly bytes: number
  /** Number of rows, if the metadata says. */
  readonly rows: number | undefined
  /**
   * The three hosts that have the most of the bytes, most first. Fewer if there are fewer, none if it does not matter.
   */
  readonly hosts: ReadonlyArray<string>
  /** Rows of one element, where an element is a batch. Default 1. A method, so that a split stays covariant in its elements. */
  rowsOf?(element: A): number
  /** The rows, pulled, in arrays. It fails only with failures of the engine, which a program cannot catch. */
  readonly read: Stream.Stream<A, FormatError, Storage>
  /** The same rows as bytes, if they are lines of text, for tasks that hand them on and do not look at them. */
  readonly lines?: Stream.Stream<Lines, FormatError, Storage> | undefined
  /**
   * The rows in about this many places, evenly spread over the split, for a sample; `undefined` if that would hardly be
   * less than all of it. Missing if the split cannot be read from any place.
   */
  readonly places?: ((count: number) => Places<A> | undefined) | undefined
}

/**
 * A part of the rows of a split, from many places of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Places<out A> {
  /** Bytes that will be read. */
  readonly bytes: number
  readonly read: Stream.Stream<A, FormatError, Storage>
}

/**
 * The metadata of a source.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resolved<out A> {
  readonly splits: ReadonlyArray<Split<A>>
  /** What `explain` adds to the source: `3 of 10 row groups`. */
  readonly note?: string | undefined
}

/**
 * A leaf of a plan.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source<out A> {
  /** Format or constructor: `parquet`, `range`. Part of the plan fingerprint. */
  readonly name: string
  /** What is read, as `explain` prints it and the fingerprint hashes it: paths and options. */
  readonly detail: string
  /** Number of partitions, if it is known before resolving. */
  readonly partitions: number | undefined
  /** The columns of a row, if they are known. */
  readonly columns: ReadonlyArray<string> | undefined
  /** Why it cannot be used, such as an invalid option. Actions then fail with `InvalidPlan`, and it is not resolved. */
  readonly invalid?: string | undefined
  /**
   * Lists files, reads footers, compares the requested types with those of the files, and plans the splits. Reads no
   * rows.
   */
  readonly resolve: (options: SplitOptions) => Effect.Effect<Resolved<A>, FormatError, Storage>
  /** The same source reading only these columns, if the format can do that. */
  readonly project?: ((columns: ReadonlyArray<string>) => Source<A>) | undefined
  /** The conditions it has been restricted by. */
  readonly restricted?: ReadonlyArray<ColumnCondition> | undefined
  /**
   * The same source without the parts in which no row can match according to metadata. The remaining rows are still
   * filtered.
   */
  readonly restrict?: ((where: ReadonlyArray<ColumnCondition>) => Source<A>) | undefined
}

/**
 * Turns rows into the bytes of one file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Writer<in A> {
  readonly format: string
  /** With the dot: `.parquet`, `.csv.gz`. */
  readonly extension: string
  /** Why it cannot be used, such as an invalid option. Actions then fail with `InvalidPlan`. */
  readonly invalid?: string | undefined
  /** Rows of one element, where an element is a batch. Default 1. */
  readonly rowsOf?: ((element: A) => number) | undefined
  readonly encode: <E, R>(rows: Stream.Stream<A, E, R>) => Stream.Stream<Uint8Array, E | FormatError, R>
  /** The writer of the same files for rows that come as bytes, if it writes lines of text. */
  readonly lines?: Writer<TextRows> | undefined
}
