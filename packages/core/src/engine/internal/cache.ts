import { Cause, Effect, Exit, Fiber, Pull, Queue, Scope, Stream } from "effect"
import type { CacheHandle } from "../../plan/Plan.ts"
import { type MapStatus, type Shuffle, ShuffleError } from "../../shuffle/Shuffle.ts"
import { estimateBytes } from "../../codec/internal/estimate.ts"
import type { Book } from "../../task/internal/book.ts"
import { mapArrays } from "../../task/internal/chain.ts"
import { Failed } from "../../task/internal/failed.ts"
import type { Rows } from "../../task/internal/rows.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import type { Cached } from "../../plan/internal/cached.ts"
import { abortOn, shuffleFailed } from "../../task/internal/failures.ts"

type Arrays = ReadonlyArray<readonly [unknown, ...Array<unknown>]>

interface Key {
  readonly handle: CacheHandle
  readonly partition: number
  /** Identifies the run of the stages before it: partitions of two such runs do not belong together. */
  readonly run: string
  readonly filler: Filler
}

// The stage that filled it. A job that reads its own rows has them in its account already, unless that stage only
// looked ahead.
interface Filler {
  readonly jobId: string
  readonly book: Book
}

const accounted = ({ book, jobId }: Filler, task: TaskRuntime): boolean =>
  jobId === task.jobId && (!book.ahead || book.exchanged > 0)

type Entry = Key &
  (
    | { readonly _tag: "Memory"; readonly arrays: Arrays; readonly bytes: number }
    | { readonly _tag: "Disk"; readonly status: MapStatus }
  )

export interface Cache extends Cached {
  /** Drops a partition, given the name that its file would have. */
  readonly drop: (id: string, partition: number) => Effect.Effect<void>
  readonly remove: (handle: CacheHandle) => Effect.Effect<void>
  /** Bytes in memory, including those of partitions that are being read in. */
  readonly held: () => number
}

// A partition that is being read into the cache.
interface Filling extends Key {
  /** The rows read so far, while it goes into memory. */
  arrays: Array<readonly [unknown, ...Array<unknown>]>
  bytes: number
  /** It will not be kept: an element failed, there is no room, or the dataset was dropped. */
  dropped: boolean
}

// A partition that is being written to disk, beside the reader that pulls it.
interface Spilling {
  readonly queue: Queue.Queue<readonly [unknown, ...Array<unknown>], Cause.Done>
  readonly fiber: Fiber.Fiber<MapStatus, unknown>
}

const keyOf = (id: string, partition: number) => `${id} ${partition}`

/**
 * The partitions that an engine keeps: in memory as they are, on disk as bytes with a checksum. When a new partition
 * does not fit into memory, the least recently used one is dropped, or with `memory-then-disk` first written to disk.
 *
 * A partition is kept only when its source has ended: a reader that stops early, fails or is interrupted leaves
 * nothing.
 */
export const cacheOf = (shuffle: Shuffle["Service"], limit: number): Cache => {
  // In the order of their last use.
  const entries = new Map<string, Entry>()
  const fillings = new Set<Filling>()
  let held = 0

  const forget = (entry: Entry): void => {
    const key = keyOf(entry.handle.id, entry.partition)
    if (entries.get(key) !== entry) return
    entries.delete(key)
    if (entry._tag === "Memory") held -= entry.bytes
  }
  // The file is removed as well.
  const discard = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() => {
      forget(entry)
      return entry._tag === "Disk" ? shuffle.store.discard(entry.status) : Effect.void
    })

  // An entry of the same run stays: somebody may be reading it now.
  const keep = (entry: Entry): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const key = keyOf(entry.handle.id, entry.partition)
      const old = entries.get(key)
      if (old !== undefined && old.run === entry.run) return Effect.succeed(false)
      return Effect.as(
        Effect.andThen(
          old === undefined ? Effect.void : discard(old),
          Effect.sync(() => entries.set(key, entry))
        ),
        true
      )
    })

  const drop = (filling: Filling): void => {
    held -= filling.bytes
    filling.bytes = 0
    filling.arrays = []
    filling.dropped = true
  }

  const toDisk = (filling: Filling, attempt: number, rows: Rows) =>
    filling.handle.write({ id: filling.handle.id, map: filling.partition, attempt }, rows)

  const onDisk = ({ dropped, filler, handle, partition, run }: Filling, status: MapStatus): Effect.Effect<void> =>
    Effect.flatMap(
      dropped ? Effect.succeed(false) : keep({ _tag: "Disk", handle, partition, run, filler, status }),
      (kept) => (kept ? Effect.void : shuffle.store.discard(status))
    )

  // A partition that cannot be kept is computed again next time: its rows are still yielded.
  const besides = <A>(effect: Effect.Effect<A, unknown, unknown>): Effect.Effect<A | undefined, never, unknown> =>
    Effect.catch(effect, (error) =>
      error instanceof ShuffleError
        ? Effect.as(Effect.logWarning(`a cached partition was not kept: ${error.message}`), undefined)
        : // These rows have been computed: only the shuffle to which they are written can fail.
          Effect.die(error)
    )

  const begin = (key: Key): Filling => {
    const filling: Filling = { ...key, arrays: [], bytes: 0, dropped: false }
    fillings.add(filling)
    return filling
  }

  // Makes room if possible. A partition that goes to disk is written by the task that needs its place.
  const room = Effect.gen(function* () {
    for (const entry of entries.values()) {
      if (held <= limit) return
      if (entry._tag !== "Memory") continue
      forget(entry)
      if (entry.handle.storage !== "memory-then-disk") continue
      const { arrays, filler, handle, partition, run } = entry
      yield* Effect.acquireUseRelease(
        Effect.sync(() => begin({ handle, partition, run, filler })),
        (filling) =>
          Effect.flatMap(besides(toDisk(filling, 0, Stream.fromArrays(...arrays))), (status) =>
            status === undefined ? Effect.void : onDisk(filling, status)
          ),
        (filling) => Effect.sync(() => fillings.delete(filling))
      )
    }
  })

  const spill = (filling: Filling, attempt: number, scope: Scope.Scope) =>
    Effect.gen(function* () {
      const { arrays } = filling
      held -= filling.bytes
      filling.bytes = 0
      filling.arrays = []
      const queue = yield* Queue.bounded<readonly [unknown, ...Array<unknown>], Cause.Done>(2)
      const rest = Stream.fromPull(Effect.succeed(Queue.take(queue)))
      const fiber = yield* toDisk(filling, attempt, Stream.concat(Stream.fromArrays(...arrays), rest)).pipe(
        Effect.ensuring(Queue.shutdown(queue)),
        Effect.forkIn(scope)
      )
      return { queue, fiber } satisfies Spilling
    })

  const passing = (key: Key, rows: Rows, task: TaskRuntime): Rows =>
    Stream.transformPull(rows, (pull, scope) =>
      Effect.gen(function* () {
        const { storage } = key.handle
        const filling = begin(key)
        yield* Scope.addFinalizer(
          scope,
          Effect.sync(() => {
            fillings.delete(filling)
            drop(filling)
          })
        )
        let spilling = storage === "disk" ? yield* spill(filling, task.attempt, scope) : undefined

        const giveUp = Effect.suspend(() => {
          drop(filling)
          return spilling === undefined ? Effect.void : Fiber.interrupt(spilling.fiber)
        })
        // The disk refuses it.
        const refused = (exit: Exit.Exit<MapStatus, unknown>): Effect.Effect<void, unknown, unknown> => {
          drop(filling)
          const written = Effect.asVoid(exit)
          return storage === "disk"
            ? Effect.catch(written, (error) =>
                error instanceof ShuffleError ? task.abort(shuffleFailed(error)) : Effect.die(error)
              )
            : besides(written)
        }
        const take = (values: readonly [unknown, ...Array<unknown>]): Effect.Effect<void, unknown, unknown> => {
          if (filling.dropped) return Effect.void
          // Failed elements are not rows: they continue to their `Catch`, and a partition that has any is not kept.
          if (values.some((value) => value instanceof Failed)) return giveUp
          // Later steps may write into the array.
          const copy = values.slice() as unknown as readonly [unknown, ...Array<unknown>]
          if (spilling !== undefined) {
            const { fiber, queue } = spilling
            return Effect.flatMap(Queue.offer(queue, copy), (taken) =>
              taken ? Effect.void : Effect.flatMap(Fiber.await(fiber), refused)
            )
          }
          const bytes = estimateBytes(values)
          filling.arrays.push(copy)
          filling.bytes += bytes
          held += bytes
          if (held <= limit) return Effect.void
          return Effect.flatMap(filling.bytes > limit ? Effect.void : room, () => {
            if (held <= limit) return Effect.void
            if (storage === "memory") return giveUp
            return Effect.map(spill(filling, task.attempt, scope), (started) => {
              spilling = started
            })
          })
        }
        const ended = Effect.suspend((): Effect.Effect<void, unknown, unknown> => {
          if (filling.dropped) return Effect.void
          if (spilling !== undefined) {
            const { fiber, queue } = spilling
            return Effect.flatMap(Effect.andThen(Queue.end(queue), Fiber.await(fiber)), (exit) =>
              Exit.isSuccess(exit) ? onDisk(filling, exit.value) : refused(exit)
            )
          }
          const { arrays, bytes } = filling
          return Effect.map(keep({ _tag: "Memory", ...key, arrays, bytes }), (kept) => {
            // The entry now owns what it holds.
            if (kept) filling.bytes = 0
          })
        })
        return Pull.catchDone(Effect.tap(pull, take), () => Effect.andThen(ended, Cause.done()))
      })
    )

  return {
    kept: (handle, partitions) => {
      const runs = new Set<string>()
      let count = 0
      for (let partition = 0; partition < partitions; partition++) {
        const entry = entries.get(keyOf(handle.id, partition))
        if (entry === undefined) continue
        count++
        runs.add(entry.run)
      }
      const [run] = runs
      return { count, run: count === partitions && runs.size === 1 ? run : undefined }
    },
    get: (handle, partition, run) => {
      const key = keyOf(handle.id, partition)
      const entry = entries.get(key)
      if (entry === undefined || entry.run !== run) return undefined
      entries.delete(key)
      entries.set(key, entry)
      return (task) => {
        const rows: Rows =
          entry._tag === "Memory"
            ? Stream.suspend(() =>
                Stream.fromIterable(entry.arrays).pipe(Stream.flatMap((values) => Stream.fromArray(values.slice())))
              )
            : abortOn(handle.read({ id: handle.id, slice: { statuses: [entry.status], from: 0, to: 1 } }), task)
        return mapArrays(rows, (values) => {
          const rows = task.weigh(values)
          task.metrics.rowsIn += rows
          if (accounted(entry.filler, task)) task.book.exchanged += rows
          return values
        })
      }
    },
    put: (handle, partition, run, rows, task) =>
      passing({ handle, partition, run, filler: { jobId: task.jobId, book: task.book } }, rows, task),
    drop: (id, partition) =>
      Effect.suspend(() => {
        const entry = entries.get(keyOf(id, partition))
        return entry === undefined ? Effect.void : discard(entry)
      }),
    remove: (handle) =>
      Effect.suspend(() => {
        for (const entry of [...entries.values()]) if (entry.handle.id === handle.id) forget(entry)
        for (const filling of fillings) if (filling.handle.id === handle.id) drop(filling)
        return shuffle.remove(handle.id)
      }),
    held: () => held
  }
}
