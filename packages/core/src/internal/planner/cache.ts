import { Effect, Exit, Stream } from "effect"
import type { CacheHandle } from "../../Plan.ts"
import { type MapStatus, type Shuffle, ShuffleError } from "../../Shuffle.ts"
import { ShuffleFailed } from "../../JobError.ts"
import { estimateBytes } from "../estimate.ts"
import { Failed, mapArrays, type Rows } from "../task/chain.ts"
import type { TaskRuntime } from "../task/runtime.ts"
import { abortOn, type Cached, shuffleFailed } from "./wide.ts"

type Entry =
  | {
      readonly _tag: "Memory"
      readonly handle: CacheHandle
      readonly arrays: ReadonlyArray<ReadonlyArray<unknown>>
      readonly bytes: number
    }
  | { readonly _tag: "Disk"; readonly handle: CacheHandle; readonly status: MapStatus }

export interface Cache extends Cached {
  /** Forgets a partition, given the name its file would have. */
  readonly drop: (id: string, partition: number) => void
  readonly remove: (handle: CacheHandle) => Effect.Effect<void>
}

/**
 * The partitions an engine keeps: in memory as they are, least recently used first out; on disk as bytes with a checksum. What is kept
 * in memory is dropped for what comes when it does not fit, or with `memory-then-disk` written down first.
 */
export const cacheOf = (shuffle: Shuffle["Service"], limit: number): Cache => {
  // In the order of their last use.
  const entries = new Map<string, Entry>()
  let held = 0
  const keyOf = (id: string, partition: number) => `${id} ${partition}`
  const forget = (key: string): void => {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    if (entry._tag === "Memory") held -= entry.bytes
  }

  const toDisk = (handle: CacheHandle, partition: number, attempt: number, rows: Rows) =>
    Effect.map(handle.write({ id: handle.id, map: partition, attempt }, rows), (status) => {
      const key = keyOf(handle.id, partition)
      forget(key)
      entries.set(key, { _tag: "Disk", handle, status })
    })

  // Makes room. A partition that goes to the disk is written by the task that needs its place.
  const admit = (
    handle: CacheHandle,
    partition: number,
    arrays: ReadonlyArray<ReadonlyArray<unknown>>,
    bytes: number
  ) =>
    Effect.gen(function* () {
      if (bytes > limit) return
      for (const [key, entry] of entries) {
        if (held + bytes <= limit) break
        if (entry._tag !== "Memory") continue
        forget(key)
        if (entry.handle.storage === "memory-then-disk") {
          const index = Number(key.slice(key.lastIndexOf(" ") + 1))
          yield* toDisk(entry.handle, index, 0, Stream.fromArrays(...entry.arrays))
        }
      }
      const key = keyOf(handle.id, partition)
      forget(key)
      held += bytes
      entries.set(key, { _tag: "Memory", handle, arrays, bytes })
    })

  // What cannot be kept is computed again another time: the rows are there all the same.
  const besides = (effect: Effect.Effect<unknown, unknown, unknown>) =>
    Effect.catch(effect, (error) =>
      error instanceof ShuffleError
        ? Effect.logWarning(`a cached partition was not kept: ${error.message}`)
        : // These rows have been computed: only the shuffle they are written to can fail.
          Effect.die(error)
    )

  const inMemory = (handle: CacheHandle, partition: number, rows: Rows, task: TaskRuntime): Rows =>
    Stream.suspend(() => {
      let arrays: Array<ReadonlyArray<unknown>> | undefined = []
      let bytes = 0
      const seen = mapArrays(rows, (values) => {
        if (arrays === undefined) return values
        bytes += estimateBytes(values)
        if ((bytes > limit && handle.storage === "memory") || values.some((value) => value instanceof Failed))
          arrays = undefined
        // Later steps may write into the array.
        else arrays.push(values.slice())
        return values
      })
      return Stream.onExit(seen, (exit) => {
        if (arrays === undefined || Exit.isFailure(exit)) return Effect.void
        return besides(
          bytes > limit
            ? toDisk(handle, partition, task.attempt, Stream.fromArrays(...arrays))
            : admit(handle, partition, arrays, bytes)
        )
      })
    })

  return {
    get: (handle, partition) => {
      const key = keyOf(handle.id, partition)
      const entry = entries.get(key)
      if (entry === undefined) return undefined
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
          task.metrics.elementsRead += values.length
          return values
        })
      }
    },
    put: (handle, partition, rows, task) => {
      if (handle.storage !== "disk") return inMemory(handle, partition, rows, task)
      // Elements that failed are no rows: they go on to their `Catch`, and a partition that has some is not kept.
      const failed: Array<Failed> = []
      const kept = mapArrays(rows, (values) =>
        values.filter((value) => {
          if (value instanceof Failed) failed.push(value)
          return !(value instanceof Failed)
        })
      )
      return Stream.unwrap(
        toDisk(handle, partition, task.attempt, kept).pipe(
          Effect.catch((error) =>
            error instanceof ShuffleError ? task.abort(shuffleFailed(error)) : Effect.fail(error)
          ),
          Effect.map(() => {
            const key = keyOf(handle.id, partition)
            const entry = entries.get(key)
            if (failed.length > 0) forget(key)
            return entry?._tag === "Disk"
              ? Stream.concat(
                  abortOn(handle.read({ id: handle.id, slice: { statuses: [entry.status], from: 0, to: 1 } }), task),
                  Stream.fromArray<unknown>(failed)
                )
              : Stream.fromEffect(
                  task.abort(
                    new ShuffleFailed({ operator: "cache", detail: "the partition is gone", isRetryable: false })
                  )
                )
          })
        )
      )
    },
    drop: (id, partition) => forget(keyOf(id, partition)),
    remove: (handle) =>
      Effect.suspend(() => {
        for (const [key, entry] of [...entries]) if (entry.handle.id === handle.id) forget(key)
        return shuffle.remove(handle.id)
      })
  }
}
