/** What a task writes: the rows of one partition, as one file or as files in folders by columns. */
import { Effect, Option, Pull, Result, Stream } from "effect"
import { crc32 } from "node:zlib"
import { estimateBytes } from "../../codec/internal/estimate.ts"
import { originOf } from "../../formats/internal/encode.ts"
import { below, folderName } from "../../formats/internal/folderNames.ts"
import { FormatError, Unencodable } from "../../task/FormatError.ts"
import { type Backend, Storage } from "../../storage/Storage.ts"
import type { Writer } from "../../task/Format.ts"
import { separatedBy } from "../../task/internal/failures.ts"
import { rowsIn } from "../../task/internal/metrics.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import { layoutOfJob } from "./claim.ts"
import { attemptOf, type Layout } from "./layout.ts"
import type { PartitionBy, PartitionColumn, WriteRequest } from "./model.ts"
import { toReason } from "./reasons.ts"

/** A file of an attempt. */
export interface WrittenFile {
  readonly path: string
  /** Relative to the folder of the attempt, and later to the output. */
  readonly name: string
  readonly rows: number
  readonly bytes: number
  readonly checksum: string
}

/** What a task hands to the driver: the files of one partition; no file if there was no row. */
export interface Written {
  readonly files: ReadonlyArray<WrittenFile>
}

/** Whose files they are: the attempt of a task, or the driver. */
interface Author<in A> {
  readonly storage: Backend
  readonly writer: Writer<A>
  /** The folder of the attempt. */
  readonly folder: string
  readonly partition: number
  readonly job: string
  readonly onBytes?: ((count: number) => void) | undefined
}

interface NewFile<A, E, R> {
  readonly rows: Stream.Stream<A, E, R>
  /** The folder in the output, which may hold several files; without it, the file lies in the output itself. */
  readonly in?: { readonly folder: string; readonly number: number }
}

const writeFile = Effect.fnUntraced(function* <A, E, R>(
  { folder, job, onBytes, partition, storage, writer }: Author<A>,
  { in: inside, rows }: NewFile<A, E, R>
) {
  const [before, suffix] =
    inside === undefined ? ["", ""] : [`${inside.folder}/`, `.c${String(inside.number).padStart(3, "0")}`]
  const name = `${before}part-${String(partition).padStart(5, "0")}-${job}${suffix}${writer.extension}`
  const path = below(folder, name)
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
  yield* storage.write(path, body)
  return { path, name, bytes, checksum: `crc32:${checksum.toString(16).padStart(8, "0")}` }
})

// Roughly what it costs to keep a folder in the table, in bytes.
const folderBytes = 512

/** The rows that wait to be written, by folder. */
export class Waiting<A> {
  readonly #groups = new Map<string, { readonly rows: Array<A>; bytes: number }>()
  readonly #numbers = new Map<string, number>()
  #bytes = 0

  /** Estimated bytes of these rows. */
  get bytes(): number {
    return this.#bytes
  }

  add(folder: string, row: A, bytes: number): void {
    let group = this.#groups.get(folder)
    if (group === undefined) {
      this.#groups.set(folder, (group = { rows: [], bytes: folderBytes }))
      this.#bytes += folderBytes
    }
    group.rows.push(row)
    group.bytes += bytes
    this.#bytes += bytes
  }

  /** Takes out the rows of one folder after another, the largest first, until no more than `limit` bytes wait; -1 for all. */
  *take(limit: number): Generator<{ readonly folder: string; readonly number: number; readonly rows: Array<A> }> {
    for (const [folder, { bytes, rows }] of [...this.#groups].toSorted(([, a], [, b]) => b.bytes - a.bytes)) {
      if (this.#bytes <= limit) return
      const number = this.#numbers.get(folder) ?? 0
      this.#numbers.set(folder, number + 1)
      this.#groups.delete(folder)
      this.#bytes -= bytes
      yield { folder, number, rows }
    }
  }
}

const folderFor = <A>(
  row: A,
  columns: ReadonlyArray<PartitionColumn<A>>
): Result.Result<string, { readonly column: string; readonly detail: string }> => {
  const names: Array<string> = []
  for (const { encode, name } of columns) {
    const value = encode(row)
    if (Result.isFailure(value)) return Result.fail({ column: name, detail: value.failure })
    names.push(folderName(name, value.success))
  }
  return Result.succeed(names.join("/"))
}

// Sorts rows into folders. Rows wait until there are too many; then each of the largest folders writes a file, so that
// only one file is open at a time and folders with few rows still get few files.
const writeFolders = Effect.fnUntraced(function* <A, E, R>(
  author: Author<A>,
  rows: Stream.Stream<A, E, R>,
  { bufferBytes = 64 * 1024 * 1024, columns }: PartitionBy<A>
) {
  const { format, rowsOf } = author.writer
  const files: Array<WrittenFile> = []
  const waiting = new Waiting<A>()
  let seen = 0
  const write = Effect.fnUntraced(function* (limit: number) {
    for (const { folder, number, rows } of waiting.take(limit)) {
      const file = yield* writeFile(author, { rows: Stream.fromArray(rows), in: { folder, number } })
      files.push({ ...file, rows: rowsIn(rows, rowsOf) })
    }
  })
  yield* Stream.runForEachArray(
    rows,
    Effect.fnUntraced(function* (values) {
      const each = estimateBytes(values) / Math.max(1, values.length)
      for (const [index, row] of values.entries()) {
        const folder = folderFor(row, columns)
        if (Result.isFailure(folder)) {
          const origin = originOf(values, index)
          const at = { row: seen + index, ...(origin === undefined ? {} : { origin }) }
          return yield* new FormatError({ format, path: "", reason: new Unencodable({ ...folder.failure, ...at }) })
        }
        waiting.add(folder.success, row, each)
      }
      seen += values.length
      if (waiting.bytes > bufferBytes) yield* write(bufferBytes / 2)
    })
  )
  yield* write(-1)
  return files
})

const writeOne = Effect.fnUntraced(function* <A, E, R>(author: Author<A>, rows: Stream.Stream<A, E, R>) {
  let taken = 0
  const counted = Stream.mapArray(rows, (values) => {
    taken += rowsIn(values, author.writer.rowsOf)
    return values
  })
  // Pulled once before the file is begun: a partition without rows leaves no file, except for the first, whose empty file carries the
  // columns.
  const pull = yield* Stream.toPull(counted)
  const head = yield* Pull.catchDone(Effect.map(pull, Option.some), () => Effect.succeedNone)
  if (Option.isNone(head) && author.partition !== 0) return []
  const file = yield* writeFile(author, {
    rows: Option.isNone(head)
      ? Stream.empty
      : Stream.concat(Stream.fromArray(head.value), Stream.fromPull(Effect.succeed(pull)))
  })
  return [{ ...file, rows: taken }]
})

const separated = separatedBy(toReason)

/** The task of a write. */
const writePartition =
  <A>({ partitionBy, path, writer }: WriteRequest<A>) =>
  (rows: Stream.Stream<A, unknown, unknown>, task: TaskRuntime) =>
    separated(rows, task, (own) =>
      Effect.gen(function* () {
        const { attempt, jobId, metrics, partition } = task
        const storage = yield* Storage
        const folder = attemptOf(yield* layoutOfJob(path, jobId), partition, attempt)
        const onBytes = (count: number) => void (metrics.bytesWritten += count)
        const author: Author<A> = { storage, writer, folder, partition, job: jobId, onBytes }
        const files =
          partitionBy === undefined ? yield* writeOne(author, own) : yield* writeFolders(author, own, partitionBy)
        return { files } satisfies Written
      }).pipe(Effect.scoped)
    )

/** The same for rows of text that come as bytes, if the writer takes them and the task has them. */
export const writePartitionOrLines = <A>(request: WriteRequest<A>) => {
  const { lines } = request.writer
  const write = writePartition(request)
  if (lines === undefined) return write
  const writeLines = writePartition({ ...request, writer: lines, partitionBy: undefined })
  return (rows: Stream.Stream<never, unknown, unknown>, task: TaskRuntime) =>
    task.asLines ? writeLines(rows, task) : write(rows, task)
}

/** Writes a file without rows for an output that would otherwise have no file. */
export const writeEmpty = <A>(storage: Backend, layout: Layout, { job, writer }: Pick<Author<A>, "job" | "writer">) =>
  Effect.map(
    writeFile({ storage, writer, folder: attemptOf(layout, 0, 0), partition: 0, job }, { rows: Stream.empty }),
    (file): WrittenFile => ({ ...file, rows: 0 })
  )
