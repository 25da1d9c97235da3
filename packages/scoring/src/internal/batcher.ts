import { type Cause, Effect, Fiber, Pull, type Scope, Stream } from "effect"

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

/** An array that a stream emits. */
type Values<A> = readonly [A, ...Array<A>]

/** How a stream is cut into groups. */
interface Cut<A, B> {
  /** The blocks in an array that the stream emits. */
  readonly blocks: (values: Values<A>) => ReadonlyArray<B>
  readonly size: (block: B) => number
  /** Rows of a group. Called once, with the first block that has rows. */
  readonly limit: (block: B) => number
}

/** The rows that have arrived and are not in a group yet. */
class Cutter<A, B> {
  private limit: number | undefined
  private position = 0
  private segments: Array<Segment<B>> = []
  private rows = 0
  private readonly options: Cut<A, B>

  constructor(options: Cut<A, B>) {
    this.options = options
  }

  get isEmpty(): boolean {
    return this.segments.length === 0
  }

  /** The rows so far, as a group. */
  flush(): Group<B> {
    const { rows, segments } = this
    this.segments = []
    this.rows = 0
    return { segments, rows }
  }

  /** Adds the blocks of an array, and returns the groups that are now full. */
  add(values: Values<A>): Array<Group<B>> {
    const groups: Array<Group<B>> = []
    for (const block of this.options.blocks(values)) {
      const size = this.options.size(block)
      // A block without rows is kept too, because nothing may be lost.
      if (size === 0) this.segments.push({ block, start: 0, count: 0, position: this.position })
      else this.addRows(block, size, (this.limit ??= Math.max(1, this.options.limit(block))), groups)
    }
    return groups
  }

  private addRows(block: B, size: number, limit: number, groups: Array<Group<B>>): void {
    for (let start = 0; start < size;) {
      const count = Math.min(size - start, limit - this.rows)
      this.segments.push({ block, start, count, position: this.position })
      start += count
      this.position += count
      this.rows += count
      if (this.rows === limit) groups.push(this.flush())
    }
  }
}

/**
 * A pull that can be waited for in steps: `within` returns `undefined` if the next values take longer than `linger`
 * milliseconds. The pull continues, because interrupting it would lose rows, and the next call gets its values.
 */
const patient = <A, E, R>(pull: Pull.Pull<Values<A>, E, void, R>, scope: Scope.Scope, linger: number) => {
  let pending: Fiber.Fiber<Values<A>, E | Cause.Done<void>> | undefined
  const join = (fiber: Fiber.Fiber<Values<A>, E | Cause.Done<void>>) =>
    Effect.ensuring(
      Fiber.join(fiber),
      Effect.sync(() => {
        if (fiber.pollUnsafe() !== undefined) pending = undefined
      })
    )
  return {
    /** The next values, however long they take. */
    next: Effect.suspend(() => (pending === undefined ? pull : join(pending))),
    within: Effect.suspend(() => {
      const start =
        pending === undefined ? Effect.forkIn(pull, scope, { startImmediately: true }) : Effect.succeed(pending)
      return Effect.flatMap(start, (fiber) => {
        pending = fiber
        return fiber.pollUnsafe() === undefined
          ? Effect.raceFirst(join(fiber), Effect.as(Effect.sleep(linger), undefined))
          : join(fiber)
      })
    })
  }
}

/**
 * Cuts a stream of blocks of rows into groups of `limit` rows, across the borders of blocks and without touching a row.
 * A group that is not full is emitted when the next block takes longer than `linger` milliseconds, and at the end.
 *
 * `Stream.groupedWithin` would do for rows alone, but it builds an array per element and cannot count blocks or bytes.
 */
export const group = <A, B, E, R>(
  self: Stream.Stream<A, E, R>,
  options: Cut<A, B> & { readonly linger: number }
): Stream.Stream<Group<B>, E, R> =>
  Stream.transformPull(self, (pull, scope) =>
    Effect.sync(() => {
      const cutter = new Cutter(options)
      const { next: values, within } = patient(pull, scope, options.linger)
      let done: Pull.Pull<never, E> | undefined
      const next: Pull.Pull<Values<Group<B>>, E, void, R> = Effect.suspend(() => {
        if (done !== undefined) return done
        return Effect.flatMap(Effect.exit(cutter.isEmpty ? values : within), (exit): typeof next => {
          if (exit._tag === "Success") {
            if (exit.value === undefined) return Effect.succeed([cutter.flush()])
            const [first, ...rest] = cutter.add(exit.value)
            return first === undefined ? next : Effect.succeed([first, ...rest])
          }
          done = Effect.failCause(exit.cause)
          // After a failure, the partial group is not worth a request: the partition fails anyway.
          return !cutter.isEmpty && Pull.isDoneCause(exit.cause) ? Effect.succeed([cutter.flush()]) : done
        })
      })
      return next
    })
  )
