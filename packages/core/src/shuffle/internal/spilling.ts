import { Effect, Random, Scope } from "effect"
import { Refused } from "../../codec/internal/bytes.ts"
import { isElement, outside } from "../../codec/internal/elements.ts"
import { refusal } from "../../codec/internal/refusal.ts"
import { CodecFailed, type Reason, ShuffleError } from "../ShuffleError.ts"
import { type Claim, type Memory, Shuffle, type SpillFile, type Store } from "./model.ts"
import type { Table } from "./table.ts"

/** What an operator needs for its work. */
export interface Claimed {
  readonly memory: Memory
  readonly store: Store
  /** A separate claim on memory, released with the scope. */
  readonly claim: Claim
  /** Makes a file that is deleted with the scope unless it is kept. */
  readonly spill: (shuffle: string, name: string) => Effect.Effect<SpillFile, Reason>
  /** Names the operator. */
  readonly fail: (reason: Reason) => ShuffleError
}

/** Claims memory for an operator until the scope closes. */
export const claimed = Effect.fnUntraced(function* (
  operator: string
): Effect.fn.Return<Claimed, never, Shuffle | Scope.Scope> {
  const { memory, store } = yield* Shuffle
  const claim = yield* Effect.acquireRelease(
    Effect.sync(() => memory.claim()),
    (held) => Effect.sync(held.release)
  )
  const scope = yield* Effect.scope
  const spill = (shuffle: string, name: string) => Scope.provide(store.create(shuffle, name), scope)
  return { memory, store, claim, spill, fail: (reason: Reason) => new ShuffleError({ operator, reason }) }
})

/** Runs a function that encodes. If a codec refuses a value, the failure says where in `item` the value is. */
export const encoding = (item: () => unknown, run: () => Effect.Effect<void, Reason>): Effect.Effect<void, Reason> =>
  Effect.suspend(() => {
    try {
      return run()
    } catch (thrown) {
      if (thrown instanceof Refused) return Effect.fail(new CodecFailed(refusal(thrown, item())))
      throw thrown
    }
  })

/**
 * The loop of every operator that spills: it takes the items in order, spills each time `take` says that it is full,
 * and continues with the next item. What is left at the end is not spilled.
 */
export const takeAll = (options: {
  readonly count: number
  readonly item: (index: number) => unknown
  readonly take: (index: number) => boolean
  readonly spill: Effect.Effect<void, Reason>
}): Effect.Effect<void, Reason> => {
  const { count, item, spill, take } = options
  let next = 0
  const rest: Effect.Effect<void, Reason> = encoding(
    () => item(next - 1),
    () => {
      while (next < count) if (take(next++)) return Effect.andThen(spill, rest)
      return Effect.void
    }
  )
  return rest
}

/** Distinguishes the files of attempts that run at the same time. */
export const unique = Random.nextIntBetween(0, 0xffffffff)

// Rows between the first two measurements of a table, and the factor by which this distance grows.
const MEASURE = { every: 1024, share: 0.25 }

/** A table that is emptied before it outgrows its claim on memory. */
export class BoundedTable<K, V, C> {
  readonly entries: Table<K, V, C>
  private readonly claim: Claim
  private readonly every: number
  private seen = 0
  private next: number

  constructor(entries: Table<K, V, C>, memory: Memory, claim: Claim) {
    this.entries = entries
    this.claim = claim
    // A table whose budget a thousand rows may exceed is measured after every row.
    this.every = memory.total < 1024 * 1024 ? 1 : MEASURE.every
    this.next = this.every
  }

  /** Whether the table is too large after this many more rows. It is measured only now and then. */
  full(rows: number): boolean {
    this.seen += rows
    if (this.seen < this.next) return false
    this.next = this.seen + Math.max(this.every, Math.floor(this.seen * MEASURE.share))
    // The growth until the next measurement is claimed as well.
    return this.entries.size > 0 && !this.claim.resize(this.entries.held() * (1 + MEASURE.share))
  }

  /**
   * Merges the values of rows, in order, with `drained` each time the table is too large. As {@link takeAll}, but the loop
   * between two measurements does nothing else: a map task that combines spends most of its time in it.
   */
  mergeAll<Row>(
    rows: ReadonlyArray<Row>,
    keyOf: (row: Row) => K,
    valueOf: (row: Row) => V,
    drained: Effect.Effect<void, Reason>
  ): Effect.Effect<void, Reason> {
    const { entries } = this
    let next = 0
    const rest: Effect.Effect<void, Reason> = encoding(
      () => rows[next - 1],
      () => {
        while (next < rows.length) {
          const from = next
          const end = Math.min(rows.length, from + this.next - this.seen)
          while (next < end) {
            const at = next++
            const row = rows[at]
            if (!isElement(row, rows, at)) return outside(at)
            entries.mergeValue(keyOf(row), valueOf(row), at)
          }
          if (this.full(end - from)) return Effect.andThen(drained, rest)
        }
        return Effect.void
      }
    )
    return rest
  }

  /** Gives all entries to `put`, which says whether its target is full, and leaves the table empty. */
  drain(put: (key: K, combined: C) => boolean, spill: Effect.Effect<void, Reason>): Effect.Effect<void, Reason> {
    return Effect.suspend(() => {
      const { entries } = this
      return takeAll({
        count: entries.size,
        item: (i) => [entries.keyAt(i), entries.valueAt(i)],
        take: (i) => put(entries.keyAt(i), entries.valueAt(i)),
        spill
      })
    }).pipe(
      Effect.andThen(spill),
      Effect.map(() => {
        this.entries.clear()
        this.seen = 0
        this.next = this.every
        this.claim.resize(0)
      })
    )
  }
}
