/**
 * How an action fails when the engine, the input or the output is at fault, as opposed to the user's own functions.
 *
 * One class, `JobError`: what went wrong is its tagged `reason`, where is in `at`, and `hint` says what to do next. Engine
 * failures never travel in the error channel of a dataset, so a handler inside the dataset cannot swallow them.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { FormatError } from "../storage/FormatError.ts"
import { StorageError } from "../storage/StorageError.ts"
import { lineOf, placeOf } from "../storage/internal/place.ts"

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
  /** Whether the storage may answer another time. */
  get isRetryable(): boolean {
    return this.error.isRetryable
  }
  get hint(): string {
    switch (this.error.reason._tag) {
      case "NoInput":
        return "check the path; a directory needs at least one file whose name begins with neither _ nor ."
      case "ManifestMismatch":
        return "write it again with the job that wrote it, or read it as it is, without verify"
      case "SchemaMismatch":
        return "name one of the file's columns, or change the schema of the dataset to the type of the file"
      case "InvalidRow":
        return 'fix the row, or read with onInvalidRow: "deadLetter" to set such rows aside'
      case "InputChanged":
        return "run again once nobody writes to the input any more"
      case "Corrupt":
        return "repair the file, for example by writing it again if it was cut off, or leave it out"
      default:
        return "check that the storage answers and that you may read the path"
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
  /** Whether the storage may answer another time. */
  get isRetryable(): boolean {
    return this.error.isRetryable
  }
  get hint(): string {
    return this.error._tag === "FormatError" && this.error.reason._tag === "Unencodable"
      ? "nothing was left at the final names; write with a schema that takes the value, or fix the rows, then run again"
      : "nothing was left at the final names; free some space or fix the permissions, then run again"
  }
}

/**
 * The output is there already and the mode is `error-if-exists`.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutputExists extends Schema.TaggedError<OutputExists>("@sluice/core/JobError/OutputExists")(
  "OutputExists",
  {
    path: Schema.String,
    /** Whether it is a single file, which no mode replaces. Missing for a folder. */
    isFile: Schema.optionalKey(Schema.Boolean)
  }
) {
  override get message(): string {
    return this.isFile === true ? `output ${this.path} is a file` : `output ${this.path} exists already`
  }
  get hint(): string {
    return this.isFile === true
      ? "an output is a folder of files: choose another path, or move the file away"
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
    /** Id of the run that holds the lease, its name, and where it runs. */
    job: Schema.String,
    name: Schema.String,
    host: Schema.String,
    pid: Schema.Number,
    /** When it took the lease, milliseconds since 1970 UTC by its host's clock. */
    since: Schema.Number,
    /** Milliseconds since it was last seen to renew it. */
    idleMillis: Schema.Number
  }
) {
  override get message(): string {
    const idle = `${Math.round(this.idleMillis / 1000)} s ago`
    return `output ${this.path} is being written by job ${this.job} (${this.name}), process ${this.pid} on ${this.host}; it was last heard of ${idle}`
  }
  get hint(): string {
    return 'wait for that job, choose another path, or pass whenLeased: "wait"; a job that died loses its lease after 60 s'
  }
}

/**
 * The job did not renew its lease on the output for more than a minute, and another took it over.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>("@sluice/core/JobError/LeaseLost")("LeaseLost", {
  path: Schema.String
}) {
  override get message(): string {
    return `another job took ${this.path} over, after this one had not renewed its lease for more than 60 s`
  }
  get hint(): string {
    return "nothing was committed; run again, and look for what stopped the process: a suspended machine, a full processor, a storage out of reach"
  }
}

/**
 * The output cannot be where it is asked for, said before any row is read.
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
    return "nothing was touched; write to another path, and move the result when the job has ended"
  }
}

/**
 * What is at the output has no manifest that can be read, so that nothing can be appended to it.
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
    return 'nothing was touched; restore _SUCCESS, or write to a new path and read both, or replace the output with mode: "overwrite"'
  }
}

/**
 * A result that has to fit into the driver does not.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResultTooLarge extends Schema.TaggedError<ResultTooLarge>("@sluice/core/JobError/ResultTooLarge")(
  "ResultTooLarge",
  {
    /** Bytes allowed. */
    limit: Schema.Number,
    /** Bytes found when the limit was passed (estimated, as `Dataset.collect` says). */
    size: Schema.Number
  }
) {
  override get message(): string {
    return `the result has more than ${this.limit} bytes (${this.size} so far)`
  }
  get hint(): string {
    return "use Dataset.toStream or a write action, or raise maxBytes"
  }
}

/**
 * A function of the program threw: a bug in it, not a failure it declares.
 *
 * @category errors
 * @since 0.1.0
 */
export class OperatorDefect extends Schema.TaggedError<OperatorDefect>("@sluice/core/JobError/OperatorDefect")(
  "OperatorDefect",
  {
    /** What it threw. Encoded, an error keeps its stack. */
    defect: Schema.Defect({ includeStack: true }),
    /** The row it was given, where that is known: pure functions, of rows that come from files. */
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
    return "the function has a bug; failures it expects belong into Effect.fail, where the type shows them"
  }
}

/**
 * Rows went missing or appeared twice between the source and the output. Always a bug in the engine or a format.
 *
 * @category errors
 * @since 0.1.0
 */
export class RowsNotConserved extends Schema.TaggedError<RowsNotConserved>("@sluice/core/JobError/RowsNotConserved")(
  "RowsNotConserved",
  {
    /** Rows that came into the task, or that all sources gave where it is the job's account. */
    read: Schema.Number,
    /** Dropped by operators less those they added. */
    filtered: Schema.Number,
    deadLettered: Schema.Number,
    /** Left unread on purpose, by a `take` for example. */
    cut: Schema.Number,
    written: Schema.Number,
    /** Rows that the source's own metadata promises, where that is what does not agree. */
    promised: Schema.optional(Schema.Number)
  }
) {
  override get message(): string {
    const { cut, deadLettered, filtered, promised, read, written } = this
    return promised === undefined
      ? `${read} rows came in; ${filtered} were filtered, ${deadLettered} set aside and ${cut} left unread, but ${written} came out`
      : `the source says that it has ${promised} rows, but ${read} were read`
  }
  get hint(): string {
    return "nothing was committed; please report this with the output of Dataset.explain"
  }
}

/**
 * The stream of a whole partition failed with something that `Dataset.catch` would handle. There are no rows after the failure of a
 * stream, so nothing can take their place.
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
    return `the stream of a partition failed, and the rest of its rows with it: ${
      error instanceof Error
        ? error.message
        : typeof error === "string"
          ? error
          : (JSON.stringify(error) ?? String(error))
    }`
  }
  get hint(): string {
    return "Dataset.catch handles single elements: handle this failure inside mapPartitions, or use mapPartitionsWithFailures"
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
  /** How many of them may be set aside. */
  limit: Schema.Number,
  /** The first of them. */
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
    return `${deadLettered} of ${read} rows were set aside, more than the ${limit} that are allowed. The first:${shown}`
  }
  get hint(): string {
    return "correct the rows, or allow more with EngineConfig.maxDeadLetters"
  }
}

/**
 * The plan cannot run as it is, said before any task.
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
    return "change the operator named"
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
    return "run it first and pass its result on, or join the two datasets"
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
    return `the driver's plan is ${this.driver}, the executor's ${this.executor}`
  }
  get hint(): string {
    return "start the executors with the same version of the program as the driver"
  }
}

/**
 * A job's payload is not of its schema.
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
    return "pass a payload of the type Job.make declares"
  }
}

/**
 * An executor left while it ran a task, and no attempt is left.
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
    return `executor ${this.executor} was lost`
  }
  get hint(): string {
    return "look at that executor's log; out of memory is the usual cause"
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
    /** The map task whose output is lost: it is run again, and only when that does not help does the job fail. */
    lost: Schema.optional(Schema.Struct({ shuffle: Schema.String, map: Schema.Number, attempt: Schema.Number })),
    /** What the attempt itself had spilled is damaged: another attempt writes it again. */
    isRetryable: Schema.Boolean
  }
) {
  override get message(): string {
    return `${this.operator}: ${this.detail}`
  }
  get hint(): string {
    return "check the disk that holds the shuffle files, or give the operator a Schema for its rows"
  }
}

/**
 * A stage was run again because what it had written was lost, and yielded other rows than before, after rows of before had been used in
 * a way that cannot be taken back.
 *
 * @category errors
 * @since 0.1.0
 */
export class Indeterminate extends Schema.TaggedError<Indeterminate>("@sluice/core/JobError/Indeterminate")(
  "Indeterminate",
  {
    /** The operator that reads what the stage writes. */
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
    return "give what is random in these steps a seed, sort before a step that depends on the order of rows, or keep their rows with Dataset.checkpoint"
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
 * Where in the job it happened, as far as it is known.
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
 * Where in the job it happened, as far as it is known.
 *
 * @category models
 * @since 0.1.0
 */
export type Location = typeof Location.Type

/**
 * An action failed for a reason that is not the user's functions'.
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
