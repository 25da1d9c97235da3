/**
 * What tasks add to accumulators: part of their result, under the accumulator's id, and added up where the accumulator
 * is.
 */

/** What a task has added, by the ids of the accumulators. */
export type Additions = ReadonlyMap<string, unknown>

/**
 * An accumulator as the engine sees it, whatever it sums: the value under its id was added to it, so it has its type.
 * That is why `combine` is a method, whose arguments TypeScript does not compare strictly.
 */
export interface Sum {
  readonly id: string
  readonly state: { value: unknown }
  combine(left: unknown, right: unknown): unknown
}

// Accumulators of this process. One that nobody holds is dropped, because nobody can read it.
const sums = new Map<string, WeakRef<Sum>>()
const forgotten = new FinalizationRegistry<string>((id) => sums.delete(id))
let made = 0

/** An id that no other accumulator of this process has. */
export const nextId = (): string => `accumulator-${made++}`

/** From now on, additions under its id reach it. */
export const register = (sum: Sum): void => {
  sums.set(sum.id, new WeakRef(sum))
  forgotten.register(sum, sum.id)
}

/** Adds to what a task has added so far. */
export const add = (additions: Map<string, unknown>, sum: Sum, value: unknown): void => {
  const { id } = sum
  additions.set(id, additions.has(id) ? sum.combine(additions.get(id), value) : value)
}

/** Adds to the accumulator itself. */
export const apply = (sum: Sum, value: unknown): void => {
  sum.state.value = sum.combine(sum.state.value, value)
}

/** Adds what a task that counts has added. */
export const applyAll = (additions: Additions): void => {
  for (const [id, value] of additions) {
    const sum = sums.get(id)?.deref()
    if (sum !== undefined) apply(sum, value)
  }
}
