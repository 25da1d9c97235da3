/**
 * Why rows could not be moved between the tasks of two stages: one class, `ShuffleError`, with a tagged `reason`.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

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
 * A file no longer exists.
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
    /** What was found there, as in `function`. */
    found: Schema.String
  }
) {
  override get message(): string {
    return `${this.path}: ${this.found} cannot be encoded`
  }
}

/**
 * The program read the values of a group larger than memory after it had taken the next group.
 *
 * @category errors
 * @since 0.1.0
 */
export class GroupPassed extends Schema.TaggedError<GroupPassed>("@sluice/core/ShuffleError/GroupPassed")(
  "GroupPassed",
  {}
) {
  override get message(): string {
    return "a group does not fit into memory, so its values can be read only once, and only before the next group is taken"
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

/**
 * A shuffle failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class ShuffleError extends Schema.TaggedError<ShuffleError>("@sluice/core/ShuffleError")("ShuffleError", {
  operator: Schema.String,
  reason: Reason,
  /** The map task whose output is lost. Running it again writes the output again. */
  lost: Schema.optional(Schema.Struct({ shuffle: Schema.String, map: Schema.Number, attempt: Schema.Number }))
}) {
  override get message(): string {
    return `${this.operator}: ${this.reason.message}`
  }
}
