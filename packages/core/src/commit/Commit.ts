/**
 * Writes a dataset's partitions as files that appear all at once or not at all.
 *
 * **Details**
 *
 * A task writes under `<parent>/_sluice/<name>/<job>/<partition>-<attempt>/`, beside the output `<parent>/<name>`, so that the
 * commit of the job is one rename of a directory, which file systems and HDFS do atomically: a reader, or a process killed at
 * any moment, leaves either the whole output with its `_SUCCESS` or nothing at the final name. `overwrite` moves the old output
 * aside first, and the next run puts it back if a kill came between the two renames. `append` renames file after file, after writing
 * down that it will, and its commit is the rename of the next `_SUCCESS` over the old one: a run that finds such a note of a dead job
 * takes back what came before that rename, so that running the dead job again doubles nothing. Where the output cannot be replaced
 * as a whole (a mount point, a parent that may not be written) all this is done in it, under `<name>/_sluice/`, file by file.
 *
 * One job at a time writes an output. It takes a lease on it before its first row, renews it every 10 seconds, and loses it after 60
 * without renewal; see {@link WhenLeased}. What is committed is a success: an interrupt that comes while the files are renamed
 * does not make the action fail.
 *
 * Rows can be put into `column=value` folders below the output, as Hive and Spark do ({@link PartitionBy}); the same rename moves
 * them all.
 *
 * `_SUCCESS` holds a {@link Manifest} as JSON. Names that begin with `_` are skipped by Hadoop, Spark, pyarrow and Sluice alike.
 *
 * @since 0.1.0
 */
import { Clock, Duration, Effect, Exit, Fiber, Option, Pull, Result, Schema, Stream } from "effect"
import { crc32 } from "node:zlib"
import { Action, type Run } from "../engine/Action.ts"
import type { Writer } from "../task/Format.ts"
import { FormatError, Unencodable } from "../storage/FormatError.ts"
import { bytes, firstOf, oneOf, optional as given } from "../codec/internal/checks.ts"
import { type Claim, claim, folderOf, realOutput, release } from "./internal/claim.ts"
import { hold } from "./internal/gate.ts"
import { filesOf, optional, parentOf, readText, trim } from "./internal/layout.ts"
import { forget, isHeld, orLost, renewals } from "./internal/lease.ts"
import { isCommitted, publish, stage, type Staged } from "./internal/publish.ts"
import { settle } from "./internal/recover.ts"
import { RolledBack } from "../engine/internal/rollback.ts"
import { estimateBytes } from "../codec/internal/estimate.ts"
import { below, folderName } from "../formats/internal/folderNames.ts"
import { rowsIn } from "../task/internal/metrics.ts"
import type { TaskRuntime } from "../task/internal/runtime.ts"
import { InvalidManifest, InvalidPlan, LeaseLost, OutputExists, OutputFailed, Reason } from "../task/JobError.ts"
import type { Plan } from "../plan/Plan.ts"
import { type Backend, Storage } from "../storage/Storage.ts"
import type { StorageError } from "../storage/StorageError.ts"

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

const ManifestJson = Schema.fromJsonString(Manifest)

/**
 * Reads the manifest of an output.
 *
 * @category getters
 * @since 0.1.0
 */
export const readManifest = Effect.fn("Commit.readManifest")(function* (path: string) {
  const storage = yield* Storage
  return yield* readText(storage, `${trim(path)}/_SUCCESS`).pipe(Effect.flatMap(Schema.decodeEffect(ManifestJson)))
})

interface WrittenFile {
  /** In the folder of the attempt, and relative to the output. */
  readonly path: string
  readonly name: string
  readonly rows: number
  readonly bytes: number
  readonly checksum: string
}

/** What a task hands over: the files of one partition, none where there was no row. */
interface Written {
  readonly files: ReadonlyArray<WrittenFile>
}

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

// An error of the user's own streams on its way through the writer and the storage, whose errors are the engine's.
class Passing {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

// Sorts rows into folders. They are held until there are too many; then the folders that hold most write a file each, so that one
// file is open at a time and folders with few rows still get few files.
const intoFolders = Effect.fnUntraced(function* <A, E, R, E2, R2>(
  rows: Stream.Stream<A, E, R>,
  format: string,
  { bufferBytes = 64 * 1024 * 1024, columns }: PartitionBy<A>,
  put: (folder: string, number: number, rows: ReadonlyArray<A>) => Effect.Effect<unknown, E2, R2>
) {
  const held = new Map<string, { rows: Array<A>; bytes: number }>()
  const numbers = new Map<string, number>()
  let bytes = 0
  const flush = Effect.fnUntraced(function* (limit: number) {
    for (const [folder, group] of [...held].toSorted(([, left], [, right]) => right.bytes - left.bytes)) {
      if (bytes <= limit) return
      const number = numbers.get(folder) ?? 0
      numbers.set(folder, number + 1)
      held.delete(folder)
      bytes -= group.bytes
      yield* put(folder, number, group.rows)
    }
  })
  yield* Stream.runForEachArray(
    rows,
    Effect.fnUntraced(function* (values) {
      const each = estimateBytes(values) / Math.max(1, values.length)
      for (const row of values) {
        const names: Array<string> = []
        for (const column of columns) {
          const value = column.encode(row)
          if (Result.isFailure(value)) {
            return yield* new FormatError({
              format,
              path: "",
              reason: new Unencodable({ column: column.name, detail: value.failure })
            })
          }
          names.push(folderName(column.name, value.success))
        }
        const folder = names.join("/")
        let group = held.get(folder)
        if (group === undefined) {
          held.set(folder, (group = { rows: [], bytes: folderBytes }))
          bytes += folderBytes
        }
        group.rows.push(row)
        group.bytes += each
        bytes += each
      }
      if (bytes > bufferBytes) yield* flush(bufferBytes / 2)
    })
  )
  yield* flush(-1)
})

// What it takes to hold a folder, roughly.
const folderBytes = 512

const partName = (writer: Writer<never>, partition: number, job: string, suffix = ""): string =>
  `part-${String(partition).padStart(5, "0")}-${job}${suffix}${writer.extension}`

const putFile = Effect.fnUntraced(function* <A, E, R>(
  writer: Writer<A>,
  folder: string,
  name: string,
  rows: Stream.Stream<A, E, R>,
  storage: Backend,
  onBytes?: (count: number) => void
) {
  let checksum = 0
  let bytes = 0
  const body = writer.encode(rows).pipe(
    Stream.map((piece) => {
      checksum = crc32(piece, checksum)
      bytes += piece.byteLength
      onBytes?.(piece.byteLength)
      return piece
    })
  )
  const path = below(folder, name)
  yield* storage.write(path, body)
  return { path, name, bytes, checksum: `crc32:${checksum.toString(16).padStart(8, "0")}` }
})

// Where a run keeps what its tasks write until it commits.
const stagingOf = Effect.fnUntraced(function* (path: string, job: string) {
  const storage = yield* Storage
  const folder = yield* folderOf(storage, yield* realOutput(storage, path), job)
  return folder === undefined ? yield* new LeaseLost({ path }) : folder
})

const writePartition = <A>(writer: Writer<A>, path: string, partitionBy: PartitionBy<A> | undefined) =>
  Effect.fnUntraced(
    function* (rows: Stream.Stream<A, unknown, unknown>, task: TaskRuntime) {
      const storage = yield* Storage
      const { metrics } = task
      let taken = 0
      const counted = rows.pipe(
        Stream.mapError((error) => new Passing(error)),
        Stream.mapArray((values) => {
          taken += rowsIn(values, writer.rowsOf)
          return values
        })
      )
      const done = (files: ReadonlyArray<WrittenFile>): Written => ({ files })
      const attempt = `${yield* stagingOf(path, task.jobId)}/${task.partition}-${task.attempt}`
      const put = <E, R>(name: string, rows: Stream.Stream<A, E, R>) =>
        putFile(writer, attempt, name, rows, storage, (count) => (metrics.bytesWritten += count))
      if (partitionBy !== undefined) {
        const files: Array<WrittenFile> = []
        yield* intoFolders(counted, writer.format, partitionBy, (folder, number, rows) =>
          Effect.map(
            put(
              `${folder}/${partName(writer, task.partition, task.jobId, `.c${String(number).padStart(3, "0")}`)}`,
              Stream.fromArray(rows)
            ),
            (file) => files.push({ ...file, rows: rowsIn(rows, writer.rowsOf) })
          )
        )
        return done(files)
      }
      // Pulled once before the file is begun: a partition without rows leaves no file, but for the first, whose empty file carries
      // the columns.
      const pull = yield* Stream.toPull(counted)
      const head = yield* Pull.catchDone(Effect.map(pull, Option.some), () => Effect.succeedNone)
      if (Option.isNone(head) && task.partition !== 0) return done([])
      const file = yield* put(
        partName(writer, task.partition, task.jobId),
        Option.isNone(head)
          ? Stream.empty
          : Stream.concat(Stream.fromArray(head.value), Stream.fromPull(Effect.succeed(pull)))
      )
      return done([{ ...file, rows: taken }])
    },
    Effect.scoped,
    (effect, _rows, task) =>
      Effect.catch(effect, (error) =>
        error instanceof Passing ? Effect.fail(error.error) : task.abort(toReason(error))
      )
  )

const isReason = Schema.is(Reason)

const toReason = (error: Reason | StorageError | FormatError): Reason =>
  isReason(error) ? error : new OutputFailed({ error })

const failOutput = <A, R>(effect: Effect.Effect<A, StorageError, R>): Effect.Effect<A, OutputFailed, R> =>
  Effect.mapError(effect, (error) => new OutputFailed({ error }))

// What an append adds to.
const previousFiles = Effect.fnUntraced(function* (
  storage: Backend,
  { output, path }: Claim
): Effect.fn.Return<Manifest["files"], Reason> {
  const invalid = (detail: string) => new InvalidManifest({ path, detail })
  const text = yield* optional(readText(storage, `${output}/_SUCCESS`)).pipe(
    Effect.mapError((error) =>
      error.isRetryable ? new OutputFailed({ error }) : invalid(`cannot be read: ${error.reason.message}`)
    )
  )
  if (Option.isNone(text)) {
    const others = (yield* failOutput(filesOf(storage, output))).filter((file) => !/^[._]/.test(file))
    if (others.length === 0) return []
    return yield* invalid(
      `is missing, though ${others[0]} is there: whose files these are, and whether they are whole, is not known`
    )
  }
  return yield* Schema.decodeEffect(ManifestJson)(text.value).pipe(
    Effect.map((manifest) => manifest.files),
    Effect.mapError((error) =>
      invalid(
        text.value === ""
          ? "is empty, as other systems write it: which files are whole is not known"
          : `is not a manifest of this version: ${error.message}`
      )
    )
  )
})

interface WriteAction<in A> {
  readonly path: string
  readonly writer: Writer<A>
  readonly name: string
  readonly mode: WriteMode
  readonly waitMillis: number
  readonly isPartitioned: boolean
}

const drive = <A>(options: WriteAction<A>) =>
  Effect.fnUntraced(function* (run: Run) {
    const { mode, path, waitMillis } = options
    const { restore, storage } = run
    const request = { path, mode, job: run.jobId, name: options.name, waitMillis, inputs: run.inputs }
    const claimed = yield* claim(storage, request, restore)
    const results = new Map<number, Written & { readonly attempt: number }>()
    const renewing = yield* Effect.forkChild(renewals(storage, claimed.leases, path))
    const rows: Effect.Effect<ReadonlyArray<string | undefined>, unknown> = Effect.gen(function* () {
      if (mode === "append") yield* previousFiles(storage, claimed)
      results.clear()
      const { splitIds, tasks } = yield* run.result
      yield* run.tasks(
        Array.from({ length: tasks }, (_, index) => index),
        // The first attempt that ends well wins; the files of others stay in their folders and go with the staging.
        (partition, result, attempt) =>
          Effect.sync(() => {
            if (!results.has(partition)) results.set(partition, { ...(result as Written), attempt })
          })
      )
      return splitIds
    }).pipe(
      // With the folder it has: what the stages before have set aside is in there.
      Effect.catch((failure) => (failure instanceof RolledBack ? rows : Effect.fail(failure)))
    )
    let free = Effect.void
    const work = Effect.gen(function* () {
      const splitIds = yield* restore(Effect.raceFirst(rows, Fiber.join(renewing)))
      free = yield* hold
      // The last moment for an interrupt. One that comes later finds a success.
      yield* restore(Effect.void)
      return yield* commit(run, claimed, options, splitIds, results)
    }).pipe(Effect.catch((error) => orLost(storage, claimed.leases, path, error)))
    return yield* Effect.onExit(work, (exit) =>
      Effect.andThen(Fiber.interrupt(renewing), cleanUp(storage, claimed, Exit.isSuccess(exit))).pipe(
        Effect.ensuring(
          Effect.andThen(
            forget(claimed.leases),
            Effect.suspend(() => free)
          )
        )
      )
    )
  })

// Leftovers are worth a warning, not a failure: of a job that failed in place of the first one, of one that committed at all.
const cleanUp = Effect.fnUntraced(function* (storage: Backend, claimed: Claim, succeeded: boolean) {
  const { folder, leases, output } = claimed
  yield* Effect.andThen(settle(storage, output, folder), release(storage, output, leases)).pipe(
    Effect.catch((error) =>
      Effect.logWarning(`could not remove ${folder}: ${error.message}`).pipe(
        Effect.annotateLogs({ outcome: succeeded ? "success" : "failure" }),
        // Without its folder nobody is kept from the output: the next job sees to that.
        Effect.andThen(Effect.ignore(release(storage, output, leases)))
      )
    )
  )
})

const commit = Effect.fnUntraced(function* <A>(
  run: Run,
  claimed: Claim,
  { isPartitioned, mode, name, writer }: WriteAction<A>,
  splitIds: ReadonlyArray<string | undefined>,
  results: ReadonlyMap<number, Written & { readonly attempt: number }>
): Effect.fn.Return<Manifest, Reason> {
  const { storage } = run
  const conservation = run.account()
  const files: Array<Manifest["files"][number]> = []
  const staged: Array<Staged> = []
  for (const [partition, result] of Array.from(results).toSorted(([left], [right]) => left - right)) {
    const split = splitIds[partition]
    for (const { bytes, checksum, name, path, rows } of result.files) {
      staged.push({ from: path, name })
      files.push({
        path: name,
        rows,
        bytes,
        checksum,
        partition,
        attempt: result.attempt,
        ...(split === undefined ? {} : { split })
      })
    }
  }
  const rest = Effect.gen(function* () {
    for (const held of claimed.leases) {
      if (!(yield* isHeld(storage, held))) return yield* new LeaseLost({ path: claimed.path })
    }
    if (files.length === 0 && !isPartitioned) {
      // A file at least carries the columns, by which the output can be read back. One in no folder would be in the way of partitions.
      const file = yield* putFile(
        writer,
        `${claimed.folder}/0-0`,
        partName(writer, 0, run.jobId),
        Stream.empty,
        storage
      )
      staged.push({ from: file.path, name: file.name })
      files.push({ path: file.name, rows: 0, bytes: file.bytes, checksum: file.checksum, partition: 0, attempt: 0 })
    }
    const letters = run.letters().map(({ path, rows }, index) => ({
      from: path,
      name: `_dead_letters/part-${String(index).padStart(5, "0")}-${run.jobId}.jsonl`,
      rows
    }))
    staged.push(...letters)
    yield* stage(storage, claimed, staged)
    const names = staged.map((file) => file.name)
    const appends = mode === "append"
    const previous = appends && claimed.there === "present" ? yield* previousFiles(storage, claimed) : []
    const all = [...previous, ...files]
    const manifest: Manifest = {
      version: 1,
      job: run.jobId,
      name,
      fingerprint: run.fingerprint,
      format: writer.format,
      created: yield* Clock.currentTimeMillis,
      conservation,
      deadLetters: letters.map(({ name, rows }) => ({ path: name, rows })),
      rows: all.reduce((sum, file) => sum + file.rows, 0),
      bytes: all.reduce((sum, file) => sum + file.bytes, 0),
      files: all
    }
    yield* publish(storage, claimed, appends, names, `${JSON.stringify(manifest, undefined, 2)}\n`).pipe(
      // An answer may be lost, and the rename be done.
      Effect.catch((error) =>
        Effect.flatMap(isCommitted(storage, claimed, run.jobId), (done) => (done ? Effect.void : Effect.fail(error)))
      )
    )
    return manifest
  })
  return yield* Effect.mapError(rest, (error): Reason => {
    if (isReason(error)) return error
    return error._tag === "StorageError" && error.reason._tag === "AlreadyExists" && mode === "error-if-exists"
      ? new OutputExists({ path: claimed.path })
      : new OutputFailed({ error })
  })
})

/**
 * The action that writes a plan's rows as files of one format into a directory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const write = <A, E, R>(
  plan: Plan,
  path: string,
  writer: Writer<A>,
  options?: OutputOptions & { readonly partitionBy?: PartitionBy<A> | undefined }
): Action<Manifest, E, R> => {
  const output = trim(path)
  const name = `write ${writer.format} ${output}`
  const mode = options?.mode ?? "error-if-exists"
  const waits = (options?.whenLeased ?? (mode === "append" ? "wait" : "refuse")) === "wait"
  const leaseWait = Duration.fromInput(options?.leaseWait ?? "10 minutes")
  const waitMillis = waits ? Option.match(leaseWait, { onNone: () => 0, onSome: Duration.toMillis }) : 0
  const names = options?.partitionBy?.columns.map((column) => column.name) ?? []
  const twice = names.find((name, index) => names.indexOf(name) < index)
  const invalid =
    parentOf(output)[1] === ""
      ? "the output must be a directory below the root"
      : twice !== undefined
        ? `partitionBy names ${JSON.stringify(twice)} twice`
        : firstOf(
            oneOf("mode", mode, ["error-if-exists", "overwrite", "append"]),
            given(options?.whenLeased, (when) => oneOf("whenLeased", when, ["refuse", "wait"])),
            Option.isNone(leaseWait) ? 'leaseWait has to be a duration, such as "10 minutes"' : undefined,
            given(options?.partitionBy?.bufferBytes, (size) => bytes("partitionBufferBytes", size)),
            writer.invalid
          )
  return new Action({
    name,
    plan,
    // The rows are an `A` by the types of the dataset that holds the plan.
    task: (rows, task) =>
      writePartition(writer, output, options?.partitionBy)(rows as Stream.Stream<A, unknown, unknown>, task),
    letters: (jobId) =>
      Effect.mapBoth(stagingOf(output, jobId), { onFailure: toReason, onSuccess: (folder) => `${folder}/letters` }),
    drive:
      invalid !== undefined
        ? () => Effect.fail(new InvalidPlan({ operator: name, detail: invalid }))
        : drive({ path: output, mode, writer, name, waitMillis, isPartitioned: options?.partitionBy !== undefined }),
    commits: true
  })
}
