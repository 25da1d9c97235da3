import { type Cause, Effect, Fiber, Pull, Stream } from "effect"

/** A run of rows of one block. */
export interface Segment<B> {
  readonly block: B
  readonly start: number
  readonly count: number
  /** Rows of the stream before the run. */
  readonly position: number
}

/** The rows of one request. */
export interface Group<B> {
  readonly segments: ReadonlyArray<Segment<B>>
  readonly rows: number
}

/**
 * Cuts a stream of blocks of rows into groups of `limit` rows, across the borders of blocks and without touching a row. A group
 * that is not full is emitted when the next block lets wait for longer than `linger` milliseconds, and at the end.
 *
 * `Stream.groupedWithin` would do for rows alone, but it builds an array per element and cannot count blocks or bytes.
 */
export const group = <A, B, E, R>(
  self: Stream.Stream<A, E, R>,
  options: {
    /** The blocks in an array that the stream emits. */
    readonly blocks: (values: readonly [A, ...Array<A>]) => ReadonlyArray<B>
    readonly size: (block: B) => number
    /** Rows of a group; asked once, with the first block that has rows. */
    readonly limit: (block: B) => number
    readonly linger: number
  }
): Stream.Stream<Group<B>, E, R> =>
  Stream.transformPull(self, (pull, scope) =>
    Effect.sync(() => {
      let limit: number | undefined
      let position = 0
      let segments: Array<Segment<B>> = []
      let rows = 0
      let done: Pull.Pull<never, E> | undefined
      // A pull that goes on while a group is sent: interrupting it would lose rows.
      let pending: Fiber.Fiber<readonly [A, ...Array<A>], E | Cause.Done<void>> | undefined

      const flush = (): Group<B> => {
        const full = { segments, rows }
        segments = []
        rows = 0
        return full
      }

      const cut = (values: readonly [A, ...Array<A>]): Array<Group<B>> => {
        const groups: Array<Group<B>> = []
        for (const block of options.blocks(values)) {
          const size = options.size(block)
          if (size > 0) limit ??= Math.max(1, options.limit(block))
          // A block without rows travels along: nothing may get lost.
          else segments.push({ block, start: 0, count: 0, position })
          for (let start = 0; start < size;) {
            const count = Math.min(size - start, (limit ?? 1) - rows)
            segments.push({ block, start, count, position })
            start += count
            position += count
            rows += count
            if (rows === limit) groups.push(flush())
          }
        }
        return groups
      }

      const next: Pull.Pull<readonly [Group<B>, ...Array<Group<B>>], E> = Effect.suspend(() => {
        if (done !== undefined) return done
        return Effect.flatMap(
          Effect.exit(segments.length === 0 && pending === undefined ? pull : lingering),
          (exit): typeof next => {
            if (exit._tag === "Success") {
              if (exit.value === undefined) return Effect.succeed([flush()])
              const [first, ...rest] = cut(exit.value)
              return first === undefined ? next : Effect.succeed([first, ...rest])
            }
            done = Effect.failCause(exit.cause)
            // On a failure the partial group is not worth a request: the partition is lost anyway.
            return segments.length > 0 && Pull.isDoneCause(exit.cause) ? Effect.succeed([flush()]) : done
          }
        )
      })

      const lingering = Effect.suspend(() => {
        const start =
          pending === undefined ? Effect.forkIn(pull, scope, { startImmediately: true }) : Effect.succeed(pending)
        return Effect.flatMap(start, (fiber) => {
          pending = fiber
          const taken = Effect.ensuring(
            Fiber.join(fiber),
            Effect.sync(() => {
              if (fiber.pollUnsafe() !== undefined) pending = undefined
            })
          )
          return segments.length === 0 || fiber.pollUnsafe() !== undefined
            ? taken
            : Effect.raceFirst(taken, Effect.as(Effect.sleep(options.linger), undefined))
        })
      })
      return next
    })
  )
