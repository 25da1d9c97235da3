/** What a task writes: the rows of one partition, in one file or in files of folders by columns. */
import { Effect, Option, Pull, Result, Stream } from "effect"
import { crc32 } from "node:zlib"
import { estimateBytes } from "../../codec/internal/estimate.ts"
import { below, folderName } from "../../formats/internal/folderNames.ts"
import { FormatError, Unencodable } from "../../storage/FormatError.ts"
import { type Backend, Storage } from "../../storage/Storage.ts"
import type { Writer } from "../../task/Format.ts"
import { rowsIn } from "../../task/internal/metrics.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import { LeaseLost } from "../../task/JobError.ts"
import { folderOf, realOutput } from "./claim.ts"
import type { PartitionBy } from "./model.ts"
import { toReason } from "./reasons.ts"

export interface WrittenFile {
  /** In the folder of the attempt, and relative to the output. */
  readonly path: string
  readonly name: string
  readonly rows: number
  readonly bytes: number
  readonly checksum: string
}

/** What a task hands over: the files of one partition, none where there was no row. */
export interface Written {
  readonly files: ReadonlyArray<WrittenFile>
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

export const partName = (writer: Writer<never>, partition: number, job: string, suffix = ""): string =>
  `part-${String(partition).padStart(5, "0")}-${job}${suffix}${writer.extension}`

export const putFile = Effect.fnUntraced(function* <A, E, R>(
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
export const stagingOf = Effect.fnUntraced(function* (path: string, job: string) {
  const storage = yield* Storage
  const folder = yield* folderOf(storage, yield* realOutput(storage, path), job)
  return folder === undefined ? yield* new LeaseLost({ path }) : folder
})

export const writePartition = <A>(writer: Writer<A>, path: string, partitionBy: PartitionBy<A> | undefined) =>
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
