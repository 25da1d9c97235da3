/** How many rows a job may set aside, and what it shows of them. */
import { Effect, Struct } from "effect"
import type { MaxDeadLetters } from "../../task/EngineConfig.ts"
import { TooManyDeadLetters } from "../../task/JobError.ts"
import type { DeadLetter } from "../../task/TaskContext.ts"

/** What a job knows of the rows it set aside. */
export interface SetAside {
  /** The first of them: what a person looks at. */
  readonly first: Array<DeadLetter>
  /** Rows set aside, and rows read, by what counts and what still runs. */
  readonly rows: () => { readonly deadLettered: number; readonly read: number }
  /** Rows that there will be in all, as far as can be told. */
  readonly expected: () => number | undefined
}

/** Rows that are kept of those set aside, to be shown. */
export const shown = 10

/**
 * Fails where more rows are set aside than may be. While a job runs, a ratio is one of the rows it will have read at its end: what is
 * beyond it then is beyond it for good.
 */
export const checkLimit = (
  { first, expected, rows }: SetAside,
  limits: MaxDeadLetters,
  final: boolean
): Effect.Effect<void, TooManyDeadLetters> =>
  Effect.suspend(() => {
    const { deadLettered, read } = rows()
    if (deadLettered === 0) return Effect.void
    const all = final ? read : expected()
    const byRatio =
      limits.ratio === undefined || all === undefined ? Infinity : Math.floor(limits.ratio * Math.max(read, all))
    const limit = Math.min(limits.rows ?? Infinity, byRatio)
    return deadLettered <= limit
      ? Effect.void
      : Effect.fail(
          new TooManyDeadLetters({
            deadLettered,
            read,
            limit,
            first: first.map((letter) => Struct.omit(letter, ["value"]))
          })
        )
  })
