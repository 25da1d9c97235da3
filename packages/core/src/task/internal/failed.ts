import { Predicate } from "effect"

/**
 * A failed element on its way to the `Dataset.catch` that handles it. The rows around it continue.
 *
 * @category models
 * @since 0.1.0
 */
export class Failed<out E = unknown> {
  readonly error: E
  /** The rows that it stands for: those of a record batch, or 1. */
  readonly rows: number
  constructor(error: E, rows = 1) {
    this.error = error
    this.rows = rows
  }
}

/** What the `Catch`es after a step mean for it. */
export interface Guard {
  /**
   * Whether failed elements travel on as `Failed` to one of them. They do not if a step in between sees the partition's
   * stream.
   */
  readonly travels: boolean
  /** The tags they take out of the type, sorted. */
  readonly tags: "all" | ReadonlyArray<string>
}

export const unguarded: Guard = { travels: false, tags: [] }

/** Before a `Catch` of one tag, or of all. */
export const guardedBy = (guard: Guard, tag: string | undefined): Guard => ({
  travels: true,
  tags:
    tag === undefined || guard.tags === "all"
      ? "all"
      : guard.tags.includes(tag)
        ? guard.tags
        : [...guard.tags, tag].toSorted()
})

/** Before a step that sees the partition's stream. */
export const streamed = (guard: Guard): Guard => (guard.travels ? { ...guard, travels: false } : guard)

export const sameGuard = (one: Guard, other: Guard): boolean =>
  one.travels === other.travels && String(one.tags) === String(other.tags)

/** Whether, according to the types, this error does not reach the caller. */
export const takes = (guard: Guard, error: unknown): boolean =>
  guard.tags === "all" || guard.tags.some((tag) => Predicate.isTagged(error, tag))
