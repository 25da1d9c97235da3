/**
 * Writes a dataset's partitions as files that appear all at once or not at all.
 *
 * **Details**
 *
 * A task writes under `<parent>/_sluice/<name>/<job>/<partition>-<attempt>/`, beside the output `<parent>/<name>`, so that the
 * commit of the job is one rename of a directory, which file systems and HDFS do atomically: a reader, or a process killed at
 * any moment, leaves either the whole output with its `_SUCCESS` or nothing at the final name. `overwrite` moves the old output
 * aside first, and the next run puts it back if a kill came between the two renames. `append` stages inside the output and
 * renames file after file, after writing down that it will: a run that finds such a note of a dead job finishes it first.
 *
 * Rows can be put into `column=value` folders below the output, as Hive and Spark do ({@link PartitionBy}); the same rename moves
 * them all.
 *
 * `_SUCCESS` holds a {@link Manifest} as JSON. Names that begin with `_` are skipped by Hadoop, Spark, pyarrow and Sluice alike.
 *
 * @since 0.1.0
 */
import { Clock, Effect, Exit, Option, Pull, Result, Schema, Stream } from "effect"
import { hostname } from "node:os"
import { crc32 } from "node:zlib"
import { Action, type Run } from "./Action.ts"
import type { Writer } from "./Format.ts"
import { FormatError, Unencodable } from "./FormatError.ts"
import { bytes, firstOf, oneOf, optional as given } from "./internal/checks.ts"
import { estimateBytes } from "./internal/estimate.ts"
import { below, folderName } from "./internal/formats/folderNames.ts"
import { rowsIn } from "./internal/task/metrics.ts"
import type { TaskRuntime } from "./internal/task/runtime.ts"
import { InvalidPlan, OutputExists, OutputFailed, type Reason, RowsNotConserved } from "./JobError.ts"
import type { Plan } from "./Plan.ts"
import { type Backend, Storage } from "./Storage.ts"
import type { StorageError } from "./StorageError.ts"

/**
 * What to do when the output is there already.
 *
 * @category models
 * @since 0.1.0
 */
export type WriteMode = "error-if-exists" | "overwrite" | "append"

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
  /** Elements (rows, or record batches where those were written) of this run: read = filtered + deadLettered + written. */
  conservation: Schema.Struct({
    read: Schema.Number,
    filtered: Schema.Number,
    deadLettered: Schema.Number,
    written: Schema.Number
  }),
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
  return yield* readFile(storage, `${trim(path)}/_SUCCESS`).pipe(Effect.flatMap(Schema.decodeEffect(ManifestJson)))
})

const trim = (path: string): string => path.replace(/(?<=[^/:])\/+$/, "")

const readFile = (storage: Backend, path: string): Effect.Effect<string, StorageError> =>
  Effect.flatMap(storage.stat(path), ({ length }) =>
    Effect.map(storage.readRange(path, 0, length), (bytes) => Buffer.from(bytes).toString("utf8"))
  )

const writeFile = (storage: Backend, path: string, text: string) =>
  storage.write(path, Stream.succeed<Uint8Array>(Buffer.from(text, "utf8")), { overwrite: true })

// A staging folder says whose it is, so that another run can tell a dead job's leftovers from a live job's work.
const Owner = Schema.fromJsonString(Schema.Struct({ pid: Schema.Number, host: Schema.String }))

// The folders of this process's running jobs. A process number does not tell: in containers each is number 1.
const running = new Set<string>()

// What an append will rename, written down before the first rename.
const Intent = Schema.fromJsonString(Schema.Struct({ files: Schema.Array(Schema.String), manifest: Schema.String }))

// A folder without an owner is a job's that is about to write it, or that died before it did.
const startingMillis = 60_000

const isDead = ({ host, pid }: typeof Owner.Type, job: string): boolean => {
  if (host !== hostname()) return false
  if (pid === process.pid) return !running.has(job)
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH"
  }
}

interface Layout {
  readonly output: string
  /** Holds one folder a job. */
  readonly staging: string
  readonly job: string
  readonly appends: boolean
}

const parentOf = (path: string): readonly [parent: string, name: string] => {
  const cut = path.lastIndexOf("/")
  return cut < 0 ? [".", path] : [cut === 0 ? "/" : path.slice(0, cut), path.slice(cut + 1)]
}

const layoutOf = (output: string, jobId: string, appends: boolean): Layout => {
  const [parent, name] = parentOf(output)
  const staging = appends ? `${output}/_sluice` : `${parent === "/" ? "" : parent}/_sluice/${name}`
  return { output, staging, job: `${staging}/${jobId}`, appends }
}

const optional = <A>(effect: Effect.Effect<A, StorageError>): Effect.Effect<Option.Option<A>, StorageError> =>
  effect.pipe(
    Effect.map(Option.some),
    Effect.catchReason("StorageError", "NotFound", () => Effect.succeed(Option.none<A>()))
  )

// Finishes or undoes what a job that died in its commit had begun, and deletes its files.
const recover = Effect.fnUntraced(function* (storage: Backend, layout: Layout) {
  const jobs = yield* Stream.runCollect(storage.list(layout.staging)).pipe(optional)
  for (const { modified, path } of Option.getOrElse(jobs, () => [])) {
    const job = `${layout.staging}/${path.slice(path.lastIndexOf("/") + 1)}`
    const owner = yield* readFile(storage, `${job}/_owner`).pipe(
      Effect.flatMap(Schema.decodeEffect(Owner)),
      Effect.option
    )
    const dead = Option.isSome(owner)
      ? isDead(owner.value, job)
      : (yield* Clock.currentTimeMillis) - modified > startingMillis
    if (!dead) continue
    const old = `${job}/old`
    if (
      Option.isSome(yield* optional(storage.stat(old))) &&
      Option.isNone(yield* optional(storage.stat(layout.output)))
    ) {
      yield* storage.rename(old, layout.output)
    }
    const intent = yield* readFile(storage, `${job}/_intent`).pipe(
      Effect.flatMap(Schema.decodeEffect(Intent)),
      Effect.option
    )
    if (Option.isSome(intent)) yield* appendFiles(storage, layout.output, job, intent.value)
    yield* storage.delete(job, { recursive: true })
  }
  yield* removeStaging(storage, layout)
})

// The folders above a job's, as far as no other job is in them.
const removeStaging = (storage: Backend, layout: Layout) =>
  Effect.ignore(
    Effect.andThen(
      storage.delete(layout.staging),
      layout.appends ? Effect.void : storage.delete(parentOf(layout.staging)[0])
    )
  )

// The folders of files that lie in some, for renames.
const makeFolders = (storage: Backend, root: string, files: ReadonlyArray<string>) =>
  Effect.forEach(foldersOf(files), (folder) => storage.mkdirs(below(root, folder)), { concurrency: 8, discard: true })

const appendFiles = Effect.fnUntraced(function* (
  storage: Backend,
  output: string,
  job: string,
  intent: { readonly files: ReadonlyArray<string>; readonly manifest: string }
) {
  yield* makeFolders(storage, output, intent.files)
  yield* Effect.forEach(
    intent.files,
    (file) =>
      storage.rename(below(`${job}/out`, file), below(output, file)).pipe(
        // Renamed before the job died.
        Effect.catchReason("StorageError", "NotFound", () => Effect.void)
      ),
    { concurrency: 8, discard: true }
  )
  yield* writeFile(storage, `${output}/_SUCCESS`, intent.manifest)
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
  readonly read: number
  readonly filtered: number
  readonly deadLettered: number
  readonly written: number
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

const foldersOf = (files: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(files.filter((file) => file.includes("/")).map((file) => file.slice(0, file.lastIndexOf("/"))))
]

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

const writePartition = <A>(
  writer: Writer<A>,
  output: string,
  appends: boolean,
  partitionBy: PartitionBy<A> | undefined
) =>
  Effect.fnUntraced(
    function* (rows: Stream.Stream<A, unknown, unknown>, task: TaskRuntime) {
      const storage = yield* Storage
      const { metrics } = task
      const counted = rows.pipe(
        Stream.mapError((error) => new Passing(error)),
        Stream.mapArray((values) => {
          metrics.rowsOut += rowsIn(values, writer.rowsOf)
          metrics.elementsOut += values.length
          return values
        })
      )
      const done = (files: ReadonlyArray<WrittenFile>): Written => ({
        files,
        read: metrics.elementsRead,
        filtered: metrics.rowsFiltered,
        deadLettered: metrics.deadLettered,
        written: metrics.elementsOut
      })
      const attempt = `${layoutOf(output, task.jobId, appends).job}/${task.partition}-${task.attempt}`
      const part = `part-${String(task.partition).padStart(5, "0")}-${task.jobId}`
      const put = Effect.fnUntraced(function* <E, R>(name: string, rows: Stream.Stream<A, E, R>) {
        let checksum = 0
        let bytes = 0
        const body = writer.encode(rows).pipe(
          Stream.map((piece) => {
            checksum = crc32(piece, checksum)
            bytes += piece.byteLength
            metrics.bytesWritten += piece.byteLength
            return piece
          })
        )
        const path = below(attempt, name)
        yield* storage.write(path, body)
        return { path, name, bytes, checksum: `crc32:${checksum.toString(16).padStart(8, "0")}` }
      })
      if (partitionBy !== undefined) {
        const files: Array<WrittenFile> = []
        yield* intoFolders(counted, writer.format, partitionBy, (folder, number, rows) =>
          Effect.map(
            put(`${folder}/${part}.c${String(number).padStart(3, "0")}${writer.extension}`, Stream.fromArray(rows)),
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
        `${part}${writer.extension}`,
        Option.isNone(head)
          ? Stream.empty
          : Stream.concat(Stream.fromArray(head.value), Stream.fromPull(Effect.succeed(pull)))
      )
      return done([{ ...file, rows: metrics.rowsOut }])
    },
    Effect.scoped,
    (effect, _rows, task) =>
      Effect.catch(effect, (error) =>
        error instanceof Passing ? Effect.fail(error.error) : task.abort(new OutputFailed({ error }))
      )
  )

const failOutput = <A, R>(effect: Effect.Effect<A, StorageError, R>): Effect.Effect<A, Reason, R> =>
  Effect.mapError(effect, (error) => new OutputFailed({ error }))

// Whether something is at the output; a directory without entries counts as nothing.
const probe = Effect.fnUntraced(function* (storage: Backend, output: string) {
  const status = yield* optional(storage.stat(output))
  if (Option.isNone(status)) return "absent" as const
  if (status.value.type === "file") return "file" as const
  const entry = yield* Stream.runHead(storage.list(output))
  return Option.isNone(entry) ? ("empty" as const) : ("present" as const)
})

const drive = <A>(options: {
  readonly output: string
  readonly mode: WriteMode
  readonly writer: Writer<A>
  readonly name: string
}) =>
  Effect.fnUntraced(function* (run: Run) {
    const { mode, output, writer } = options
    const { storage } = run
    const appends = mode === "append"
    const layout = layoutOf(output, run.jobId, appends)
    // Whatever the mode of the job that died.
    yield* failOutput(recover(storage, layoutOf(output, run.jobId, false)))
    yield* failOutput(recover(storage, layoutOf(output, run.jobId, true)))
    const there = yield* failOutput(probe(storage, output))
    if (there === "file" || (mode === "error-if-exists" && there === "present")) {
      return yield* Effect.fail(new OutputExists({ path: output }))
    }
    const results = new Map<number, Written & { readonly attempt: number }>()
    const work = Effect.gen(function* () {
      running.add(layout.job)
      yield* failOutput(
        writeFile(storage, `${layout.job}/_owner`, JSON.stringify({ pid: process.pid, host: hostname() }))
      )
      const { splitIds, tasks } = yield* run.result
      yield* run.tasks(
        Array.from({ length: tasks }, (_, index) => index),
        // The first attempt that ends well wins; the files of others stay in their folders and go with the staging.
        (partition, result, attempt) =>
          Effect.sync(() => {
            if (!results.has(partition)) results.set(partition, { ...(result as Written), attempt })
          })
      )
      // From here on a Ctrl-C waits: the renames are quick, and half of them would be worse than none.
      return yield* Effect.uninterruptible(commit(run, layout, mode, writer, options.name, splitIds, results))
    })
    return yield* Effect.onExit(work, (exit) => {
      const clean = Effect.gen(function* () {
        const old = `${layout.job}/old`
        if (Exit.isFailure(exit) && Option.isSome(yield* optional(storage.stat(old))))
          yield* storage.rename(old, output)
        yield* storage.delete(layout.job, { recursive: true })
        yield* removeStaging(storage, layout)
        if (appends && there === "absent") yield* Effect.ignore(storage.delete(output))
      })
      // Leftovers of a job that failed are worth a warning, not a second failure in place of the first.
      return Effect.catch(clean, (error) =>
        Effect.logWarning(`could not remove ${layout.job}: ${error.message}`).pipe(
          Effect.annotateLogs({ outcome: Exit.isSuccess(exit) ? "success" : "failure" })
        )
      ).pipe(Effect.ensuring(Effect.sync(() => running.delete(layout.job))))
    })
  })

const commit = Effect.fnUntraced(function* <A>(
  run: Run,
  layout: Layout,
  mode: WriteMode,
  writer: Writer<A>,
  name: string,
  splitIds: ReadonlyArray<string | undefined>,
  results: ReadonlyMap<number, Written & { readonly attempt: number }>
): Effect.fn.Return<Manifest, Reason> {
  const { storage } = run
  const conservation = { read: 0, filtered: 0, deadLettered: 0, written: 0 }
  const files: Array<Manifest["files"][number]> = []
  const staged: Array<{ readonly from: string; readonly name: string }> = []
  for (const [partition, result] of Array.from(results).toSorted(([left], [right]) => left - right)) {
    conservation.read += result.read
    conservation.filtered += result.filtered
    conservation.deadLettered += result.deadLettered
    conservation.written += result.written
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
  if (conservation.read - conservation.filtered - conservation.deadLettered !== conservation.written) {
    return yield* new RowsNotConserved(conservation)
  }
  const out = `${layout.job}/out`
  const rest = Effect.gen(function* () {
    yield* storage.mkdirs(out)
    yield* makeFolders(
      storage,
      out,
      staged.map((file) => file.name)
    )
    yield* Effect.forEach(staged, ({ from, name }) => storage.rename(from, below(out, name)), {
      concurrency: 8,
      discard: true
    })
    const extra: Array<string> = []
    if (run.deadLetters.length > 0) {
      const letters = `_dead_letters-${run.jobId}.jsonl`
      yield* writeFile(
        storage,
        `${out}/${letters}`,
        run.deadLetters.map((letter) => `${JSON.stringify(letter)}\n`).join("")
      )
      extra.push(letters)
    }
    const there = yield* probe(storage, layout.output)
    const previous =
      layout.appends && there === "present"
        ? yield* readFile(storage, `${layout.output}/_SUCCESS`).pipe(
            Effect.flatMap(Schema.decodeEffect(ManifestJson)),
            Effect.map((manifest) => manifest.files),
            Effect.orElseSucceed((): Manifest["files"] => [])
          )
        : []
    const all = [...previous, ...files]
    const manifest: Manifest = {
      version: 1,
      job: run.jobId,
      name,
      fingerprint: run.fingerprint,
      format: writer.format,
      created: yield* Clock.currentTimeMillis,
      conservation,
      rows: all.reduce((sum, file) => sum + file.rows, 0),
      bytes: all.reduce((sum, file) => sum + file.bytes, 0),
      files: all
    }
    const json = `${JSON.stringify(manifest, undefined, 2)}\n`
    if (layout.appends) {
      const intent = { files: [...staged.map((file) => file.name), ...extra], manifest: json }
      yield* writeFile(storage, `${layout.job}/_intent`, JSON.stringify(intent))
      yield* appendFiles(storage, layout.output, layout.job, intent)
      return manifest
    }
    yield* writeFile(storage, `${out}/_SUCCESS`, json)
    if (there === "empty") yield* storage.delete(layout.output)
    if (there === "present" && mode === "overwrite") {
      const old = `${layout.job}/old`
      yield* storage.rename(layout.output, old)
    }
    // When this fails, the clean-up puts the old output back.
    yield* storage.rename(out, layout.output)
    return manifest
  })
  return yield* Effect.mapError(rest, (error): Reason =>
    error.reason._tag === "AlreadyExists" && mode === "error-if-exists"
      ? new OutputExists({ path: layout.output })
      : new OutputFailed({ error })
  )
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
  options?: {
    readonly mode?: WriteMode | undefined
    readonly partitionBy?: PartitionBy<A> | undefined
  }
): Action<Manifest, E, R> => {
  const output = trim(path)
  const name = `write ${writer.format} ${output}`
  const mode = options?.mode ?? "error-if-exists"
  const names = options?.partitionBy?.columns.map((column) => column.name) ?? []
  const twice = names.find((name, index) => names.indexOf(name) < index)
  const invalid =
    parentOf(output)[1] === ""
      ? "the output must be a directory below the root"
      : twice !== undefined
        ? `partitionBy names ${JSON.stringify(twice)} twice`
        : firstOf(
            oneOf("mode", mode, ["error-if-exists", "overwrite", "append"]),
            given(options?.partitionBy?.bufferBytes, (size) => bytes("partitionBufferBytes", size)),
            writer.invalid
          )
  return new Action({
    name,
    plan,
    // The rows are an `A` by the types of the dataset that holds the plan.
    task: (rows, task) =>
      writePartition(
        writer,
        output,
        mode === "append",
        options?.partitionBy
      )(rows as Stream.Stream<A, unknown, unknown>, task),
    drive:
      invalid !== undefined
        ? () => Effect.fail(new InvalidPlan({ operator: name, detail: invalid }))
        : drive({ output, mode, writer, name })
  })
}
