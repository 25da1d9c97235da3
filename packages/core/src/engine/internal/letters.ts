/** How many rows a job may set aside, and what it shows of them. */
import { Effect, Struct } from "effect"
import type { MaxDeadLetters } from "../../task/EngineConfig.ts"
import { TooManyDeadLetters } from "../../task/JobError.ts"
import type { DeadLetter } from "../../task/TaskContext.ts"

/** What a job knows about the rows that it set aside. */
export interface SetAside {
  /** The first of them, to show to a person. */
  readonly first: Array<DeadLetter>
  /** Rows set aside and rows read, by the tasks that count and those that still run. */
  readonly rows: () => { readonly deadLettered: number; readonly read: number }
  /** Rows that there will be in all, as far as is known. */
  readonly expected: () => number | undefined
}

/** How many of the rows set aside are kept to be shown. */
export const shown = 10

/**
 * Fails if more rows are set aside than allowed. While a job runs, a ratio applies to the rows that it will have read
 * at its end, so that a limit once exceeded stays exceeded.
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
