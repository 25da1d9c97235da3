import { Cause, Effect, Scope, Stream } from "effect"
import type { Split } from "../../task/Format.ts"
import { InputFailed, RowsNotConserved } from "../../task/JobError.ts"
import type { Partition } from "../Stage.ts"
import { Current } from "../../task/TaskContext.ts"
import { rowsOfBatch } from "../../task/internal/account.ts"
import { rowsIn } from "../../task/internal/metrics.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import { joined } from "./adaptive.ts"

// Rows that a later stage reads again are counted apart.
const readsInto =
  ({ book, metrics }: TaskRuntime) =>
  (rows: number, bytes: number): void => {
    if (book.ahead) {
      metrics.rowsAhead += rows
      metrics.bytesAhead += bytes
    } else {
      metrics.rowsRead += rows
      metrics.bytesRead += bytes
    }
  }

const notPromised = (read: number, promised: number): RowsNotConserved =>
  new RowsNotConserved({ read, filtered: 0, deadLettered: 0, cut: 0, written: 0, promised })

/** A partition of a source. */
export const scan = (split: Split<unknown>): Partition => ({
  split: { id: split.id, label: split.label, parts: split.parts, rows: split.rows, bytes: split.bytes },
  rows: split.rows,
  bytes: split.bytes,
  hosts: split.hosts,
  read: (task) => {
    const { book, metrics, sampling } = task
    const places = sampling?.places === undefined ? undefined : split.places?.(sampling.places)
    const lines = task.asLines ? split.lines : undefined
    const { bytes: size, rows: expected } = places === undefined ? split : { bytes: places.bytes, rows: undefined }
    const countRead = readsInto(task)
    // Bytes are counted in proportion to the rows, so that progress moves within a split; formats that do not know
    // their number of rows count the whole split at its end.
    let bytes = 0
    let rows = 0
    const rowsOf = lines === undefined ? split.rowsOf?.bind(split) : rowsOfBatch
    // A row that the source itself sets aside was read, too.
    const source: TaskRuntime = {
      ...task,
      deadLetter: (letter) => {
        rows++
        countRead(1, 0)
        metrics.rowsIn++
        book.unread++
        return task.deadLetter(letter)
      }
    }
    let isEnded = false
    const count = <A>(values: ReadonlyArray<A>): void => {
      const n = rowsIn(values, rowsOf)
      rows += n
      metrics.rowsIn += n
      const share =
        expected === undefined || expected === 0 ? 0 : Math.min(size - bytes, Math.round((n / expected) * size))
      bytes += share
      countRead(n, share)
    }
    const ended = Effect.suspend(() => {
      countRead(0, size - bytes)
      bytes = size
      if (sampling !== undefined) {
        sampling.bytes += split.bytes
        sampling.bytesOfPlaces += size
      }
      if (expected !== undefined && expected !== rows) return task.abort(notPromised(rows, expected))
      isEnded = true
      return Effect.void
    })
    const closed = () => {
      if (isEnded) return
      // Rows left over in a source that knows its number of rows were left on purpose.
      const rest = Math.max(0, (expected ?? rows) - rows)
      metrics.rowsIn += rest
      metrics.rowsCut += rest
    }
    // In one step, which is most of what an empty split costs.
    return Stream.transformPull(
      Stream.provideService(lines ?? (places ?? split).read, Current, source),
      (pull, scope) => {
        const counted = Effect.map(
          Effect.catch(pull, (error) =>
            Cause.isDone(error) ? Effect.andThen(ended, Effect.fail(error)) : task.abort(new InputFailed({ error }))
          ),
          (values) => {
            count(values)
            return values
          }
        )
        return Effect.as(Scope.addFinalizer(scope, Effect.sync(closed)), counted)
      }
    )
  }
})

/** Consecutive runs of partitions with about the same number of bytes (or of partitions, if bytes are not known). */
export const coalesce = (partitions: ReadonlyArray<Partition>, target: number): ReadonlyArray<Partition> => {
  if (partitions.length <= target) return partitions
  const sized = partitions.some((partition) => partition.bytes > 0)
  const weightOf = (partition: Partition) => (sized ? partition.bytes : 1)
  const groups: Array<Array<Partition>> = []
  let left = partitions.reduce((sum, partition) => sum + weightOf(partition), 0)
  let next = 0
  for (let g = 0; g < target; g++) {
    const share = left / (target - g)
    const group: Array<Partition> = []
    let weight = 0
    // Every group gets at least one, and leaves at least one for each group after it.
    for (const partition of partitions.slice(next, partitions.length - (target - g - 1))) {
      const more = weightOf(partition)
      if (group.length > 0 && g < target - 1 && weight + more / 2 > share) break
      weight += more
      group.push(partition)
    }
    next += group.length
    left -= weight
    groups.push(group)
  }
  return groups.map((group) => joined(group, (partition, _, task) => partition.read(task)))
}
