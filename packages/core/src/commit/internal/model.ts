/** What a write is asked for, and what it leaves behind: the public models of `Commit`. */
import { type Duration, type Result, Schema } from "effect"

/**
 * What to do when the output is there already.
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
  /** When the output is there already. Default `error-if-exists`. */
  readonly mode?: WriteMode | undefined
  /** While another job writes the output. Default `wait` for `append`, which loses nothing by it, else `refuse`. */
  readonly whenLeased?: WhenLeased | undefined
  /** How long it waits at most, before `OutputLeased`. Default 10 minutes. */
  readonly leaseWait?: Duration.Input | undefined
}

/**
 * What `_SUCCESS` holds.
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
  /** Where this run put the rows it set aside, a line of JSON each. */
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
      /** Id of the input split it was made from, where it was made from one. */
      split: Schema.optional(Schema.String)
    })
  )
})

/**
 * What `_SUCCESS` holds.
 *
 * @category models
 * @since 0.1.0
 */
export type Manifest = typeof Manifest.Type

/** A manifest as the text of `_SUCCESS`. */
export const ManifestJson = Schema.fromJsonString(Manifest)

/**
 * A column that rows are put into folders by. `encode` gives its value as text, `null` where there is none, or why there is no text.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionColumn<in A> {
  readonly name: string
  readonly encode: (row: A) => Result.Result<string | null, string>
}

/**
 * How {@link write} puts rows into folders.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionBy<in A> {
  /** From the outermost folder to the innermost. The writer is to leave them out. */
  readonly columns: ReadonlyArray<PartitionColumn<A>>
  /** Bytes of rows, as estimated, that a task holds at most while it sorts them into folders. Default 64 MiB. */
  readonly bufferBytes?: number | undefined
}
