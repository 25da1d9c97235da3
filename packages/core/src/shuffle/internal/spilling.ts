import { Effect, Random, Scope } from "effect"
import { Refused } from "../../codec/internal/bytes.ts"
import { refusal } from "../../codec/internal/plain.ts"
import { CodecFailed, type Reason, ShuffleError } from "../ShuffleError.ts"
import { type Claim, type Memory, Shuffle } from "./model.ts"

// Puts what an operator needs around its work: an exclusive claim on memory, released with the scope, and errors with a name.
export const claimed = Effect.fnUntraced(function* (operator: string) {
  const { memory, store } = yield* Shuffle
  const claim = yield* Effect.acquireRelease(
    Effect.sync(() => memory.claim()),
    (held) => Effect.sync(held.release)
  )
  const scope = yield* Effect.scope
  const spill = (shuffle: string, name: string) => Scope.provide(store.create(shuffle, name), scope)
  return { memory, store, claim, spill, fail: (reason: Reason) => new ShuffleError({ operator, reason }) }
})

// Rows that a codec refuses fail with where in the row the fault lies.
export const encoding = <A>(row: () => unknown, write: () => A): A => {
  try {
    return write()
  } catch (thrown) {
    if (thrown instanceof Refused) throw new RowRefused(new CodecFailed(refusal(thrown, row())))
    throw thrown
  }
}

class RowRefused {
  readonly reason: CodecFailed
  constructor(reason: CodecFailed) {
    this.reason = reason
  }
}

export const guarded = <A>(run: () => A): Effect.Effect<A, CodecFailed> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (thrown) {
      if (thrown instanceof RowRefused) return Effect.fail(thrown.reason)
      throw thrown
    }
  })

export const unique = Random.nextIntBetween(0, 0xffffffff)

// Rows between two measurements of a table at first, and the share by which they grow.
const MEASURE = { every: 1024, share: 0.25 }

// A budget that a thousand rows may exceed is looked after row by row.
export const rowsBetween = (memory: Memory): number => (memory.total < 1024 * 1024 ? 1 : MEASURE.every)

export const measured = (memory: Memory, claim: Claim) => {
  const every = rowsBetween(memory)
  let seen = 0
  let next = every
  return {
    /** Whether the table is too large, looked at now and then. */
    full: (table: { readonly held: () => number; readonly size: number }, rows: number): boolean => {
      seen += rows
      if (seen < next) return false
      next = seen + Math.max(every, Math.floor(seen * MEASURE.share))
      // The growth until the next measurement is asked for as well.
      return table.size > 0 && !claim.resize(table.held() * (1 + MEASURE.share))
    },
    clear: (): void => {
      seen = 0
      next = every
      claim.resize(0)
    }
  }
}
