import { type Context, Effect, Fiber, type Scope } from "effect"
import { millisOf } from "./meter.ts"

/** Something that has to end by a time, in milliseconds of a clock. */
export interface Deadline {
  readonly at: number
  readonly expire: () => void
}

/**
 * One timer for all requests of a scorer. All deadlines are equally far ahead, so the oldest always comes next: while
 * requests come and go, the timer stays where it is.
 */
export class Deadlines {
  // In the order in which they were added.
  private readonly waiting = new Set<Deadline>()
  private watcher: Fiber.Fiber<void> | undefined

  /** Calls `expire` at the deadline unless it is deleted before, by the clock of the context. */
  add(deadline: Deadline, context: Context.Context<never>): void {
    this.waiting.add(deadline)
    if (this.watcher?.pollUnsafe() !== undefined) this.watcher = undefined
    this.watcher ??= Effect.runForkWith(context)(this.watch)
  }

  delete(deadline: Deadline): void {
    this.waiting.delete(deadline)
  }

  /** Drops all deadlines. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.waiting.clear()
    return this.watcher === undefined ? Effect.void : Fiber.interrupt(this.watcher)
  })

  private readonly watch: Effect.Effect<void> = Effect.suspend(() => {
    const [next] = this.waiting
    if (next === undefined) return Effect.void
    return Effect.clockWith((clock) => {
      const left = Math.ceil(next.at - millisOf(clock))
      if (left > 0) return Effect.andThen(Effect.sleep(left), this.watch)
      this.waiting.delete(next)
      next.expire()
      return this.watch
    })
  })
}

/** Deadlines that end with the scope. */
export const make: Effect.Effect<Deadlines, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => new Deadlines()),
  (deadlines) => deadlines.close
)
