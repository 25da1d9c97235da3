/** The partitions that an engine keeps. `cache/table` has what is in memory; this reads, writes and makes room. */
import { Array as Arr, Cause, Effect, Exit, Fiber, Pull, Queue, Scope, Stream } from "effect"
import type { CacheHandle } from "../../plan/Plan.ts"
import { type MapStatus, type Shuffle, ShuffleError } from "../../shuffle/Shuffle.ts"
import { estimateBytes } from "../../codec/internal/estimate.ts"
import { mapArrays } from "../../task/internal/chain.ts"
import { Failed } from "../../task/internal/failed.ts"
import type { Rows } from "../../task/internal/rows.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import type { Cached } from "../../plan/internal/cached.ts"
import { abortOn, shuffleFailed } from "../../task/internal/failures.ts"
import * as Table from "./cache/table.ts"

type Values = Table.Values

export interface Cache extends Cached {
  /** Drops a partition, given the name that its file would have. */
  readonly drop: (id: string, partition: number) => Effect.Effect<void>
  readonly remove: (handle: CacheHandle) => Effect.Effect<void>
  /** Bytes in memory, including those of partitions that are being read in. */
  readonly held: () => number
}

/** The table of partitions in memory, and where the rest goes. */
interface Store {
  readonly table: Table.Table
  readonly shuffle: Shuffle["Service"]
}

// A partition that is being written to disk, beside the reader that pulls it.
interface Spilling {
  readonly queue: Queue.Queue<Values, Cause.Done>
  readonly fiber: Fiber.Fiber<MapStatus, unknown>
}

// The file is removed as well.
const discard = ({ shuffle, table }: Store, entry: Table.Entry): Effect.Effect<void> =>
  Effect.suspend(() => {
    Table.forget(table, entry)
    return entry._tag === "Disk" ? shuffle.store.discard(entry.status) : Effect.void
  })

// Whether the partition is kept. An entry of the same run stays: somebody may be reading it now.
const keep = (store: Store, entry: Table.Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const old = Table.find(store.table, entry.handle.id, entry.partition)
    if (old !== undefined && old.run === entry.run) return Effect.succeed(false)
    return Effect.map(old === undefined ? Effect.void : discard(store, old), () => {
      Table.add(store.table, entry)
      return true
    })
  })

const toDisk = ({ handle, partition }: Table.Key, attempt: number, rows: Rows) =>
  handle.write({ id: handle.id, map: partition, attempt }, rows)

const onDisk = (store: Store, filling: Table.Filling, status: MapStatus): Effect.Effect<void> => {
  const { dropped, filler, handle, partition, run } = filling
  return Effect.flatMap(
    dropped ? Effect.succeed(false) : keep(store, { _tag: "Disk", handle, partition, run, filler, status }),
    (kept) => (kept ? Effect.void : store.shuffle.store.discard(status))
  )
}

// A partition that cannot be kept is computed again next time: its rows are still yielded.
const besides = <A>(effect: Effect.Effect<A, unknown, unknown>): Effect.Effect<A | undefined, never, unknown> =>
  Effect.catch(effect, (error) =>
    error instanceof ShuffleError
      ? Effect.as(Effect.logWarning(`a cached partition was not kept: ${error.message}`), undefined)
      : // These rows have been computed: only the shuffle to which they are written can fail.
        Effect.die(error)
  )

// Makes room if possible. A partition that goes to disk is written by the task that needs its place.
const makeRoom = Effect.fnUntraced(function* (store: Store): Effect.fn.Return<void, never, unknown> {
  const { table } = store
  for (const entry of table.entries.values()) {
    if (table.held <= table.limit) return
    if (entry._tag !== "Memory") continue
    Table.forget(table, entry)
    if (entry.handle.storage !== "memory-then-disk") continue
    const { arrays, filler, handle, partition, run } = entry
    yield* Effect.acquireUseRelease(
      Effect.sync(() => Table.begin(table, { handle, partition, run, filler })),
      (filling) =>
        Effect.flatMap(besides(toDisk(filling, 0, Stream.fromArrays(...arrays))), (status) =>
          status === undefined ? Effect.void : onDisk(store, filling, status)
        ),
      (filling) => Effect.sync(() => table.fillings.delete(filling))
    )
  }
})

/** A partition that is filled while somebody reads it. */
interface Passing {
  readonly store: Store
  readonly filling: Table.Filling
  readonly task: TaskRuntime
  /** Ends with the reader. */
  readonly scope: Scope.Scope
  /** The file, if it is written to disk. */
  spilling: Spilling | undefined
}

// From now on it is written to disk, beginning with the part in memory.
const spill = Effect.fnUntraced(function* (passing: Passing): Effect.fn.Return<void, never, unknown> {
  const { filling, scope, store, task } = passing
  const arrays = Table.release(store.table, filling)
  const queue = yield* Queue.bounded<Values, Cause.Done>(2)
  const rest = Stream.fromPull(Effect.succeed(Queue.take(queue)))
  const fiber = yield* toDisk(filling, task.attempt, Stream.concat(Stream.fromArrays(...arrays), rest)).pipe(
    Effect.ensuring(Queue.shutdown(queue)),
    Effect.forkIn(scope)
  )
  passing.spilling = { queue, fiber }
})

const giveUp = ({ filling, spilling, store }: Passing): Effect.Effect<void> => {
  Table.drop(store.table, filling)
  return spilling === undefined ? Effect.void : Fiber.interrupt(spilling.fiber)
}

// The disk refuses it.
const refused = (
  { filling, store, task }: Passing,
  exit: Exit.Exit<MapStatus, unknown>
): Effect.Effect<void, unknown, unknown> => {
  Table.drop(store.table, filling)
  const written = Effect.asVoid(exit)
  return filling.handle.storage === "disk"
    ? Effect.catch(written, (error) =>
        // As in `besides`: rows that have been computed do not fail any more.
        error instanceof ShuffleError ? task.abort(shuffleFailed(error)) : Effect.die(error)
      )
    : besides(written)
}

const take = (passing: Passing, values: Values): Effect.Effect<void, unknown, unknown> => {
  const { filling, spilling, store } = passing
  const { table } = store
  if (filling.dropped) return Effect.void
  // Failed elements are not rows: they continue to their `Catch`, and a partition that has any is not kept.
  if (values.some((value) => value instanceof Failed)) return giveUp(passing)
  // Later steps may write into the array.
  const copy = Arr.copy(values)
  if (spilling !== undefined) {
    const { fiber, queue } = spilling
    return Effect.flatMap(Queue.offer(queue, copy), (taken) =>
      taken ? Effect.void : Effect.flatMap(Fiber.await(fiber), (exit) => refused(passing, exit))
    )
  }
  Table.hold(table, filling, copy, estimateBytes(values))
  if (table.held <= table.limit) return Effect.void
  return Effect.flatMap(filling.bytes > table.limit ? Effect.void : makeRoom(store), () => {
    if (table.held <= table.limit) return Effect.void
    return filling.handle.storage === "memory" ? giveUp(passing) : spill(passing)
  })
}

// The source has ended: the partition is complete.
const complete = (passing: Passing): Effect.Effect<void, unknown, unknown> => {
  const { filling, spilling, store } = passing
  if (filling.dropped) return Effect.void
  if (spilling !== undefined) {
    const { fiber, queue } = spilling
    return Effect.flatMap(Effect.andThen(Queue.end(queue), Fiber.await(fiber)), (exit) =>
      Exit.isSuccess(exit) ? onDisk(store, filling, exit.value) : refused(passing, exit)
    )
  }
  const { arrays, bytes, filler, handle, partition, run } = filling
  return Effect.map(keep(store, { _tag: "Memory", handle, partition, run, filler, arrays, bytes }), (kept) => {
    // The entry now owns what it holds.
    if (kept) filling.bytes = 0
  })
}

/** The same rows, which fill the cache as they pass. */
const fill = (store: Store, key: Table.Key, rows: Rows, task: TaskRuntime): Rows =>
  Stream.transformPull(rows, (pull, scope) =>
    Effect.gen(function* () {
      const { table } = store
      const filling = Table.begin(table, key)
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => {
          table.fillings.delete(filling)
          Table.drop(table, filling)
        })
      )
      const passing: Passing = { store, filling, task, scope, spilling: undefined }
      if (key.handle.storage === "disk") yield* spill(passing)
      return Pull.catchDone(
        Effect.tap(pull, (values) => take(passing, values)),
        () =>
          Effect.andThen(
            Effect.suspend(() => complete(passing)),
            Cause.done()
          )
      )
    })
  )

const accounted = ({ book, jobId }: Table.Filler, task: TaskRuntime): boolean =>
  jobId === task.jobId && (!book.ahead || book.exchanged > 0)

/** The rows of an entry, as a task reads them. */
const read = (entry: Table.Entry, task: TaskRuntime): Rows => {
  const { filler, handle } = entry
  const rows: Rows =
    entry._tag === "Memory"
      ? Stream.suspend(() =>
          Stream.fromIterable(entry.arrays).pipe(Stream.flatMap((values) => Stream.fromArray(values.slice())))
        )
      : abortOn(handle.read({ id: handle.id, slice: { statuses: [entry.status], from: 0, to: 1 } }), task)
  return mapArrays(rows, (values) => {
    const rows = task.weigh(values)
    task.metrics.rowsIn += rows
    if (accounted(filler, task)) task.book.exchanged += rows
    return values
  })
}

/**
 * The partitions that an engine keeps: in memory as they are, on disk as bytes with a checksum. When a new partition
 * does not fit into memory, the least recently used one is dropped, or with `memory-then-disk` first written to disk.
 *
 * A partition is kept only when its source has ended: a reader that stops early, fails or is interrupted leaves
 * nothing.
 */
export const cacheOf = (shuffle: Shuffle["Service"], limit: number): Cache => {
  const table = Table.make(limit)
  const store: Store = { table, shuffle }
  return {
    kept: (handle, partitions) => Table.kept(table, handle.id, partitions),
    get: (handle, partition, run) => {
      const entry = Table.use(table, handle.id, partition, run)
      return entry === undefined ? undefined : (task) => read(entry, task)
    },
    put: (handle, partition, run, rows, task) =>
      fill(store, { handle, partition, run, filler: { jobId: task.jobId, book: task.book } }, rows, task),
    drop: (id, partition) =>
      Effect.suspend(() => {
        const entry = Table.find(table, id, partition)
        return entry === undefined ? Effect.void : discard(store, entry)
      }),
    remove: ({ id }) =>
      Effect.suspend(() => {
        for (const entry of [...table.entries.values()]) if (entry.handle.id === id) Table.forget(table, entry)
        for (const filling of table.fillings) if (filling.handle.id === id) Table.drop(table, filling)
        return shuffle.remove(id)
      }),
    held: () => table.held
  }
}
