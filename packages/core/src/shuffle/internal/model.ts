import { Schema } from "effect"
import type { Codec } from "../../codec/Codec.ts"

/**
 * How values of one key become one. The functions may change their first argument and return it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Aggregator<in out V, in out C> {
  readonly create: (value: V) => C
  readonly mergeValue: (combined: C, value: V) => C
  readonly mergeCombiners: (self: C, that: C) => C
  /** Encodes what is combined. */
  readonly codec: Codec<C>
}

/**
 * What a map task wrote, and where: plain data.
 *
 * @category models
 * @since 0.1.0
 */
export const MapStatus = Schema.Struct({
  /** Id of the exchange. */
  shuffle: Schema.String,
  /** Partition of the map stage. */
  map: Schema.Number,
  attempt: Schema.Number,
  /** The data file; for the memory layer a name. */
  file: Schema.String,
  /**
   * The reduce partition of each segment of the file; the arrays below run along it. Segments ascend by partition in every pass;
   * a task that spilled made several passes.
   */
  partitions: Schema.Array(Schema.Number),
  /** Where each begins in the file. */
  offsets: Schema.Array(Schema.Number),
  /** Bytes of each in the file. */
  lengths: Schema.Array(Schema.Number),
  /** Rows (or combined keys) of each. */
  rows: Schema.Array(Schema.Number),
  /** Encoded bytes of each before compression: what the reduce side has to hold. */
  bytes: Schema.Array(Schema.Number),
  /**
   * XOR and sum of the hashes of the rows of each, 32 bits each: the same for the same rows in any order, and those of several segments
   * of a partition can be put together. A task that is run again and has others has not written the same rows again.
   */
  checksums: Schema.Array(Schema.Tuple([Schema.Number, Schema.Number]))
})

/**
 * What a map task wrote, and where: plain data.
 *
 * @category models
 * @since 0.1.0
 */
export type MapStatus = typeof MapStatus.Type

/**
 * The disk, or the budget of the memory layer, is full.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoSpace extends Schema.TaggedError<NoSpace>("@sluice/core/ShuffleError/NoSpace")("NoSpace", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `no space left for ${this.file}: ${this.detail}`
  }
}

/**
 * A file is not what was written: its checksum or its length is wrong.
 *
 * @category errors
 * @since 0.1.0
 */
export class Corrupt extends Schema.TaggedError<Corrupt>("@sluice/core/ShuffleError/Corrupt")("Corrupt", {
  file: Schema.String,
  /** Byte of the file at which the bad block begins. */
  offset: Schema.Number,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.file} is corrupt at byte ${this.offset}: ${this.detail}`
  }
}

/**
 * A file is not there any more.
 *
 * @category errors
 * @since 0.1.0
 */
export class Missing extends Schema.TaggedError<Missing>("@sluice/core/ShuffleError/Missing")("Missing", {
  file: Schema.String
}) {
  override get message(): string {
    return `${this.file} is missing`
  }
}

/**
 * A row cannot be encoded.
 *
 * @category errors
 * @since 0.1.0
 */
export class CodecFailed extends Schema.TaggedError<CodecFailed>("@sluice/core/ShuffleError/CodecFailed")(
  "CodecFailed",
  {
    /** Where in the row, as in `row.user.onClick`. */
    path: Schema.String,
    /** What was met there, as in `function`. */
    found: Schema.String
  }
) {
  override get message(): string {
    return `${this.path}: ${this.found} cannot be encoded`
  }
}

/**
 * The values of a group larger than memory were asked for after the next group had been taken.
 *
 * @category errors
 * @since 0.1.0
 */
export class GroupPassed extends Schema.TaggedError<GroupPassed>("@sluice/core/ShuffleError/GroupPassed")(
  "GroupPassed",
  {}
) {
  override get message(): string {
    return "the values of a group that does not fit into memory can be read once, before the next group is taken"
  }
}

/**
 * The file system failed in another way.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unavailable extends Schema.TaggedError<Unavailable>("@sluice/core/ShuffleError/Unavailable")(
  "Unavailable",
  {
    file: Schema.String,
    detail: Schema.String
  }
) {
  override get message(): string {
    return `${this.file}: ${this.detail}`
  }
}

/**
 * What can be wrong.
 *
 * @category errors
 * @since 0.1.0
 */
export const Reason = Schema.Union([NoSpace, Corrupt, Missing, CodecFailed, GroupPassed, Unavailable])

/**
 * What can be wrong.
 *
 * @category errors
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type
