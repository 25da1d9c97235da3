/** What a write is asked for, and what it leaves behind: the public models of `Commit`. */
import { type Duration, type Result, Schema } from "effect"
import type { Writer } from "../../task/Format.ts"

/**
 * What to do if the output already exists.
 *
 * @category models
 * @since 0.1.0
 */
export type WriteMode = "error-if-exists" | "overwrite" | "append"

/**
 * What to do while another job writes the output: fail at once with `OutputLeased`, or wait for it.
 *
 * @category models
 * @since 0.1.0
 */
export type WhenLeased = "refuse" | "wait"

/**
 * How an output is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface OutputOptions {
  /** What to do if the output already exists. Default `error-if-exists`. */
  readonly mode?: WriteMode | undefined
  /**
   * What to do while another job writes the output. Default `wait` for `append`, which loses nothing by waiting, and
   * otherwise `refuse`.
   */
  readonly whenLeased?: WhenLeased | undefined
  /** How long it waits at most before it fails with `OutputLeased`. Default 10 minutes. */
  readonly leaseWait?: Duration.Input | undefined
}

/**
 * The content of `_SUCCESS`.
 *
 * @category models
 * @since 0.1.0
 */
export const Manifest = Schema.Struct({
  version: Schema.Literal(1),
  /** Id and name of the run that wrote it (the last one, after appends). */
  job: Schema.String,
  name: Schema.String,
  /** Fingerprint of the plan that wrote it. */
  fingerprint: Schema.String,
  format: Schema.String,
  /** Milliseconds since 1970 UTC. */
  created: Schema.Number,
  /** What became of the rows of this run's sources: read = filtered + deadLettered + cut + written. A record batch counts its rows. */
  conservation: Schema.Struct({
    read: Schema.Number,
    filtered: Schema.Number,
    deadLettered: Schema.Number,
    cut: Schema.Number,
    written: Schema.Number
  }),
  /** The files of the rows that this run set aside, one line of JSON per row. */
  deadLetters: Schema.Array(
    Schema.Struct({
      /** Relative to the output. */
      path: Schema.String,
      rows: Schema.Number
    })
  ),
  /** Sums over `files`. */
  rows: Schema.Number,
  bytes: Schema.Number,
  files: Schema.Array(
    Schema.Struct({
      /** Relative to the output. */
      path: Schema.String,
      rows: Schema.Number,
      bytes: Schema.Number,
      /** `crc32:` and 8 hexadecimal digits. */
      checksum: Schema.String,
      partition: Schema.Number,
      attempt: Schema.Number,
      /** Id of the input split that the file was made from, if there was one. */
      split: Schema.optional(Schema.String)
    })
  )
})

/**
 * The content of `_SUCCESS`.
 *
 * @category models
 * @since 0.1.0
 */
export type Manifest = typeof Manifest.Type

/** A manifest as the text of `_SUCCESS`. */
export const ManifestJson = Schema.fromJsonString(Manifest)

/**
 * A column that decides the folder of a row. `encode` gives its value as text, `null` if it has none, or the reason why it has no text.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionColumn<in A> {
  readonly name: string
  readonly encode: (row: A) => Result.Result<string | null, string>
}

/**
 * How a write puts rows into folders.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionBy<in A> {
  /** From the outermost folder to the innermost. The writer has to leave them out of the files. */
  readonly columns: ReadonlyArray<PartitionColumn<A>>
  /** How many bytes of rows, as estimated, a task holds at most while it sorts them into folders. Default 64 MiB. */
  readonly bufferBytes?: number | undefined
}

/** A write as a program asked for it. */
export interface WriteRequest<in A> {
  readonly path: string
  readonly writer: Writer<A>
  /** The name of the action, for messages and the manifest. */
  readonly name: string
  readonly mode: WriteMode
  /** How long it waits for another job's lease, in milliseconds; 0 to be refused at once. */
  readonly waitMillis: number
  readonly partitionBy: PartitionBy<A> | undefined
}
