/**
 * Whether a commit of this process is in progress. A signal that arrives during a commit has to wait: a committed
 * output is a success, and a program that reports an interrupt would be run again.
 */
import { Effect } from "effect"

let commits = 0
let waiting: Array<() => void> = []

/** Holds signals back from here on. Returns the effect that lets them through again. */
export const hold: Effect.Effect<Effect.Effect<void>> = Effect.sync(() => {
  commits++
  return Effect.sync(() => {
    if (--commits > 0) return
    const now = waiting
    waiting = []
    for (const resume of now) resume()
  })
})

/** Whether a commit is in progress. */
export const isHeld = (): boolean => commits > 0

/** Runs an effect when no commit is in progress. */
export const whenFree = (run: () => void): void => {
  if (commits === 0) run()
  else waiting.push(run)
}
