/**
 * How an action fails when the engine, the input or the output is at fault, not the user's own functions.
 *
 * There is one class, `JobError`: its tagged `reason` says what went wrong, `at` says where, and `hint` says what to do
 * next. Engine failures never travel in the error channel of a dataset, so a handler inside the dataset cannot swallow
 * them.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { FormatError } from "./FormatError.ts"
import { StorageError } from "../storage/StorageError.ts"
import type { Reason as StorageReason } from "../storage/StorageError.ts"
import { lineOf, placeOf } from "../storage/internal/place.ts"

/** What to do about a storage that fails while the job writes. */
const outputHints: Readonly<Record<StorageReason["_tag"], string>> = {
  NotFound: "something else removed files of this job while it ran; stop that, then run again",
  AlreadyExists:
    "something else created this path while the job ran; remove it, then run again, or choose another path",
  NotADirectory: "choose an output path whose parents are directories",
  IsADirectory: "a directory has the name of a file that the job writes; move it away, or choose another output path",
  NotEmpty: "something else put files into a directory of this job; stop that, then run again",
  PermissionDenied: "fix the permissions, then run again, or choose a path that you may write",
  NoSpace: "free some space, then run again",
  InvalidPath: "choose an output path that this storage allows",
  EndOfFile: "something else changed files of this job while it ran; stop that, then run again",
  ExcessBytes: "something else changed files of this job while it ran; stop that, then run again",
  Unsupported: "write to a storage that supports this operation",
  Unavailable: "check that the storage is reachable, then run again"
}

const outputHint = (error: FormatError | StorageError): string => {
  if (error._tag === "StorageError") return outputHints[error.reason._tag]
  switch (error.reason._tag) {
    case "StorageFailed":
      return outputHints[error.reason.error.reason._tag]
    case "Unencodable":
      return "fix the rows, or write with a schema that allows the value, then run again"
    default:
      return "fix what the message names, then run again"
  }
}

/** What to do about a storage that fails while the job reads. */
const inputHint = (reason: StorageReason): string => {
  switch (reason._tag) {
    case "PermissionDenied":
      return "check that you may read the path"
    case "Unavailable":
      return "check that the storage is reachable, then run again"
    case "EndOfFile":
    case "ExcessBytes":
      return "run again when nothing writes to the input"
    case "Unsupported":
      return "copy the input to a storage that supports this operation"
    default:
      return "check that the path exists and is what the job expects"
  }
}

/**
 * The input could not be found, read or decoded.
 *
 * @category errors
 * @since 0.1.0
 */
export class InputFailed extends Schema.TaggedError<InputFailed>("@sluice/core/JobError/InputFailed")("InputFailed", {
  error: FormatError
}) {
  override get message(): string {
    return this.error.message
  }
  /** Whether the same call to the storage may succeed later. */
  get isRetryable(): boolean {
    return this.error.isRetryable
  }
  get hint(): string {
    const { reason } = this.error
    switch (reason._tag) {
      case "NoInput":
        return "check the path; a directory needs at least one file whose name does not begin with _ or ."
      case "ManifestMismatch":
        return "run the job that wrote these files again, or read them as they are, without verify"
      case "SchemaMismatch":
        return "name one of the file's columns, or change the schema of the dataset to the file's type"
      case "InvalidRow":
        return 'fix the row, or read with onInvalidRow: "deadLetter" to set such rows aside'
      case "InputChanged":
        return "run again when nothing writes to the input"
      case "Corrupt":
        return "write the file again (it may have been cut off), or leave it out"
      case "StorageFailed":
        return inputHint(reason.error.reason)
      case "Unencodable":
        return "fix the row, or change the schema of the dataset"
    }
  }
}

/**
 * The output could not be written.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutputFailed extends Schema.TaggedError<OutputFailed>("@sluice/core/JobError/OutputFailed")(
  "OutputFailed",
  {
    error: Schema.Union([FormatError, StorageError])
  }
) {
  override get message(): string {
    return this.error.message
  }
  /** Whether the same call to the storage may succeed later. */
  get isRetryable(): boolean {
    return this.error.isRetryable
  }
  get hint(): string {
    return `nothing was committed; ${outputHint(this.error)}`
  }
}

/**
 * The output already exists and the mode is `error-if-exists`.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutputExists extends Schema.TaggedError<OutputExists>("@sluice/core/JobError/OutputExists")(
  "OutputExists",
  {
    path: Schema.String,
    /** Whether the output is a single file, which no mode replaces. Missing for a folder. */
    isFile: Schema.optionalKey(Schema.Boolean)
  }
) {
  override get message(): string {
    return this.isFile === true ? `output ${this.path} is a file` : `output ${this.path} already exists`
  }
  get hint(): string {
    return this.isFile === true
      ? "a job writes a folder, not a file: choose another path, or move the file away"
      : 'choose another path, or pass mode: "overwrite" or mode: "append"'
  }
}

/**
 * Another job is writing the output.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutputLeased extends Schema.TaggedError<OutputLeased>("@sluice/core/JobError/OutputLeased")(
  "OutputLeased",
  {
    path: Schema.String,
    /** Id and name of the run that holds the lease, and the place where it runs. */
    job: Schema.String,
    name: Schema.String,
    host: Schema.String,
    pid: Schema.Number,
    /** When it took the lease, in milliseconds since 1970 UTC by its host's clock. */
    since: Schema.Number,
    /** Milliseconds since the last renewal that this job saw. */
    idleMillis: Schema.Number
  }
) {
  override get message(): string {
    const seconds = Math.round(this.idleMillis / 1000)
    return `output ${this.path} is being written by job ${this.job} (${this.name}), process ${this.pid} on ${this.host}; it last renewed its lease ${seconds} s ago`
  }
  get hint(): string {
    return 'wait until that job ends, choose another path, or pass whenLeased: "wait"; a dead job loses its lease after 60 s'
  }
}

/**
 * The job did not renew its lease on the output for more than a minute, and another job took it over.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>("@sluice/core/JobError/LeaseLost")("LeaseLost", {
  path: Schema.String
}) {
  override get message(): string {
    return `another job took over the output ${this.path}, because this job had not renewed its lease for more than 60 s`
  }
  get hint(): string {
    return "nothing was committed; find out what stopped this process (a suspended machine, an overloaded processor, a storage that did not answer), then run again"
  }
}

/**
 * The output cannot be written to this path. This is found before any row is read.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOutput extends Schema.TaggedError<InvalidOutput>("@sluice/core/JobError/InvalidOutput")(
  "InvalidOutput",
  {
    path: Schema.String,
    detail: Schema.String
  }
) {
  override get message(): string {
    return `output ${this.path} ${this.detail}`
  }
  get hint(): string {
    return "nothing was changed; write to another path, and move the result there when the job has ended"
  }
}

/**
 * Nothing can be appended to the output, because its manifest is missing or cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidManifest extends Schema.TaggedError<InvalidManifest>("@sluice/core/JobError/InvalidManifest")(
  "InvalidManifest",
  {
    path: Schema.String,
    detail: Schema.String
  }
) {
  override get message(): string {
    return `${this.path}/_SUCCESS ${this.detail}`
  }
  get hint(): string {
    return 'nothing was changed; restore _SUCCESS, write to a new path and read both, or replace the output with mode: "overwrite"'
  }
}

/**
 * A result is too large for the driver's memory.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResultTooLarge extends Schema.TaggedError<ResultTooLarge>("@sluice/core/JobError/ResultTooLarge")(
  "ResultTooLarge",
  {
    /** Bytes allowed. */
    limit: Schema.Number,
    /** Bytes found when the limit was passed. They are an estimate, as described at `Dataset.collect`. */
    size: Schema.Number
  }
) {
  override get message(): string {
    return `the result is larger than the limit of ${this.limit} bytes (${this.size} so far)`
  }
  get hint(): string {
    return "read it with Dataset.toStream, write it to files, or raise maxBytes"
  }
}

/**
 * A function of the program threw. That is a bug, not a failure that its type declares.
 *
 * @category errors
 * @since 0.1.0
 */
export class OperatorDefect extends Schema.TaggedError<OperatorDefect>("@sluice/core/JobError/OperatorDefect")(
  "OperatorDefect",
  {
    /** What the function threw. An error keeps its stack when it is encoded. */
    defect: Schema.Defect({ includeStack: true }),
    /** The row that the function was given, where that is known: for pure functions, on rows that come from files. */
    origin: Schema.optional(
      Schema.Struct({
        path: Schema.String,
        rowGroup: Schema.optional(Schema.Number),
        row: Schema.Number,
        afterByte: Schema.optional(Schema.Number)
      })
    )
  }
) {
  override readonly cause = this.defect
  override get message(): string {
    const { defect, origin } = this
    const at = origin === undefined ? "" : ` at ${origin.path}, ${placeOf(lineOf(origin))}`
    return `a function of the job threw${at}: ${defect instanceof Error ? defect.message : String(defect)}`
  }
  get hint(): string {
    return "fix the bug in that function; if the failure is expected, use Effect.fail, so that the type shows it"
  }
}

/**
 * Rows were lost or appeared twice between the source and the output. This is always a bug in the engine or a format.
 *
 * @category errors
 * @since 0.1.0
 */
export class RowsNotConserved extends Schema.TaggedError<RowsNotConserved>("@sluice/core/JobError/RowsNotConserved")(
  "RowsNotConserved",
  {
    /** Rows that came into the task; in the account of a job, the rows of all sources. */
    read: Schema.Number,
    /** Rows that operators dropped, less those that they added. */
    filtered: Schema.Number,
    deadLettered: Schema.Number,
    /** Left unread on purpose, by a `take` for example. */
    cut: Schema.Number,
    written: Schema.Number,
    /** Rows that the metadata of the source promises, if that number is what does not agree. */
    promised: Schema.optional(Schema.Number)
  }
) {
  override get message(): string {
    const { cut, deadLettered, filtered, promised, read, written } = this
    return promised === undefined
      ? `${read} rows came in; ${filtered} were filtered, ${deadLettered} set aside and ${cut} left unread, but ${written} came out`
      : `the metadata of the source says ${promised} rows, but ${read} were read`
  }
  get hint(): string {
    return "nothing was committed; this is a bug in Sluice: please report it with the output of Dataset.explain"
  }
}

/**
 * The stream of a whole partition failed with an error that `Dataset.catch` handles for single elements. A stream
 * yields no rows after it has failed, so nothing can take their place.
 *
 * @category errors
 * @since 0.1.0
 */
export class PartitionFailed extends Schema.TaggedError<PartitionFailed>("@sluice/core/JobError/PartitionFailed")(
  "PartitionFailed",
  {
    /** What the stream failed with. */
    error: Schema.Defect()
  }
) {
  override get message(): string {
    const { error } = this
    return `the stream of a partition failed, and the rest of its rows were lost: ${
      error instanceof Error
        ? error.message
        : typeof error === "string"
          ? error
          : (JSON.stringify(error) ?? String(error))
    }`
  }
  get hint(): string {
    return "Dataset.catch handles only single elements: handle this failure inside mapPartitions, or use mapPartitionsWithFailures"
  }
}

/**
 * More rows were set aside than the job allows.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyDeadLetters extends Schema.TaggedError<TooManyDeadLetters>(
  "@sluice/core/JobError/TooManyDeadLetters"
)("TooManyDeadLetters", {
  deadLettered: Schema.Number,
  /** Rows read when the limit was passed. */
  read: Schema.Number,
  /** How many rows may be set aside. */
  limit: Schema.Number,
  /** The first rows that were set aside. */
  first: Schema.Array(
    Schema.Struct({
      path: Schema.String,
      rowGroup: Schema.optional(Schema.Number),
      row: Schema.Number,
      line: Schema.optional(Schema.Number),
      afterByte: Schema.optional(Schema.Number),
      reason: Schema.String
    })
  )
}) {
  override get message(): string {
    const { deadLettered, first, limit, read } = this
    const shown = first.map((letter) => `\n  ${letter.path}, ${placeOf(letter)}: ${letter.reason}`).join("")
    return `${deadLettered} of ${read} rows were set aside, more than the ${limit} allowed. The first:${shown}`
  }
  get hint(): string {
    return "fix the rows, or allow more with EngineConfig.maxDeadLetters"
  }
}

/**
 * The plan cannot run as it is. This is found before any task runs.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPlan extends Schema.TaggedError<InvalidPlan>("@sluice/core/JobError/InvalidPlan")("InvalidPlan", {
  operator: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.operator}: ${this.detail}`
  }
  get hint(): string {
    return "change that operator or its options"
  }
}

/**
 * An action was run inside a task.
 *
 * @category errors
 * @since 0.1.0
 */
export class NestedAction extends Schema.TaggedError<NestedAction>("@sluice/core/JobError/NestedAction")(
  "NestedAction",
  {
    action: Schema.String
  }
) {
  override get message(): string {
    return `the action ${this.action} was run inside a task of another action`
  }
  get hint(): string {
    return "run that action first and use its result, or join the two datasets"
  }
}

/**
 * Driver and executor do not run the same program.
 *
 * @category errors
 * @since 0.1.0
 */
export class PlanMismatch extends Schema.TaggedError<PlanMismatch>("@sluice/core/JobError/PlanMismatch")(
  "PlanMismatch",
  {
    driver: Schema.String,
    executor: Schema.String
  }
) {
  override get message(): string {
    return `the driver has plan ${this.driver}, the executor has plan ${this.executor}`
  }
  get hint(): string {
    return "start the executors with the same version of the program as the driver"
  }
}

/**
 * The payload does not fit the schema of the job.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPayload extends Schema.TaggedError<InvalidPayload>("@sluice/core/JobError/InvalidPayload")(
  "InvalidPayload",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return `the payload does not fit the job's schema: ${this.detail}`
  }
  get hint(): string {
    return "pass a payload of the type that the job declares in Job.make"
  }
}

/**
 * An executor was lost while it ran a task, and the task has no attempts left.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExecutorLost extends Schema.TaggedError<ExecutorLost>("@sluice/core/JobError/ExecutorLost")(
  "ExecutorLost",
  {
    executor: Schema.String
  }
) {
  override get message(): string {
    return `executor ${this.executor} was lost while it ran this task`
  }
  get hint(): string {
    return "look at the log of that executor; the usual cause is that it ran out of memory"
  }
}

/**
 * Intermediate data could not be written, read or trusted.
 *
 * @category errors
 * @since 0.1.0
 */
export class ShuffleFailed extends Schema.TaggedError<ShuffleFailed>("@sluice/core/JobError/ShuffleFailed")(
  "ShuffleFailed",
  {
    operator: Schema.String,
    detail: Schema.String,
    /** The map task whose output is lost. It is run again, and the job fails only if that does not help. */
    lost: Schema.optional(Schema.Struct({ shuffle: Schema.String, map: Schema.Number, attempt: Schema.Number })),
    /** Whether another attempt can help, because what this attempt itself had spilled is damaged. */
    isRetryable: Schema.Boolean
  }
) {
  override get message(): string {
    return `${this.operator}: ${this.detail}`
  }
  get hint(): string {
    return "check the disk that holds the shuffle files; if a row cannot be encoded, give the operator a Schema for its rows"
  }
}

/**
 * A stage ran again because its output was lost, and yielded different rows than before, after the old rows had been
 * used in a way that cannot be undone.
 *
 * @category errors
 * @since 0.1.0
 */
export class Indeterminate extends Schema.TaggedError<Indeterminate>("@sluice/core/JobError/Indeterminate")(
  "Indeterminate",
  {
    /** The operator that reads the output of the stage. */
    operator: Schema.String,
    /** The steps of the stage, the last first, as `explain` prints them. */
    steps: Schema.Array(Schema.String),
    detail: Schema.String
  }
) {
  override get message(): string {
    return `what ${this.operator} reads${this.steps.length === 0 ? "" : ` (${this.steps.join(" of ")})`} is not the same each time: ${this.detail}`
  }
  get hint(): string {
    return "give a seed to random steps, sort before a step that depends on the order of rows, or keep the rows with Dataset.checkpoint"
  }
}

/**
 * What can be wrong.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  InputFailed,
  OutputFailed,
  OutputExists,
  OutputLeased,
  LeaseLost,
  InvalidOutput,
  InvalidManifest,
  ResultTooLarge,
  OperatorDefect,
  RowsNotConserved,
  PartitionFailed,
  TooManyDeadLetters,
  InvalidPlan,
  NestedAction,
  PlanMismatch,
  InvalidPayload,
  ExecutorLost,
  ShuffleFailed,
  Indeterminate
])

/**
 * What can be wrong.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * Where in the job it happened, as far as that is known.
 *
 * @category models
 * @since 0.1.0
 */
export const Location = Schema.Struct({
  stage: Schema.optional(Schema.Number),
  partition: Schema.optional(Schema.Number),
  attempt: Schema.optional(Schema.Number),
  executor: Schema.optional(Schema.String),
  host: Schema.optional(Schema.String),
  /** Label of the split the task read. */
  split: Schema.optional(Schema.String)
})

/**
 * Where in the job it happened, as far as that is known.
 *
 * @category models
 * @since 0.1.0
 */
export type Location = typeof Location.Type

/**
 * An action failed, and not because a function of the user failed with an error that its type declares.
 *
 * @category errors
 * @since 0.1.0
 */
export class JobError extends Schema.TaggedError<JobError>("@sluice/core/JobError")("JobError", {
  /** Id of the run. */
  job: Schema.String,
  /** Name of the action or job. */
  name: Schema.String,
  reason: Reason,
  at: Location
}) {
  override get message(): string {
    const { attempt, executor, partition, split, stage } = this.at
    const place =
      partition === undefined
        ? ""
        : ` (stage ${stage}, partition ${partition}${split === undefined ? "" : `, ${split}`}, attempt ${attempt}, executor ${executor})`
    return `${this.name}${place}: ${this.reason.message}\n  what to do: ${this.hint}`
  }

  /** What to do next, in a sentence. */
  get hint(): string {
    return this.reason.hint
  }
}
