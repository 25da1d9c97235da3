/** Rows that are set aside: written by the attempt that met them, counted for the job, and limited. */
import { type Cause, Effect, Fiber, Queue, type Scope, Stream, Struct } from "effect"
import type { MaxDeadLetters } from "../../task/EngineConfig.ts"
import { OutputFailed, type Reason, TooManyDeadLetters } from "../../task/JobError.ts"
import type { Backend } from "../../storage/Storage.ts"
import type { DeadLetter } from "../../task/TaskContext.ts"

/** Where an attempt wrote the rows it set aside. */
export interface LetterFile {
  readonly path: string
  readonly rows: number
}

/** The rows an attempt sets aside, as lines of JSON. */
export interface LetterWriter {
  /** Waits while the storage is behind. */
  readonly write: (letter: DeadLetter) => Effect.Effect<void>
  /** Ends the file; `undefined` where there is none. */
  readonly end: Effect.Effect<LetterFile | undefined>
}

// Lines that wait for the storage.
const ahead = 256

/** Opens the file with the first row. What fails on the way ends the task through `abort`. */
export const makeLetterWriter = Effect.fnUntraced(function* (
  storage: Backend,
  file: Effect.Effect<string, Reason>,
  abort: (reason: Reason) => Effect.Effect<never>
): Effect.fn.Return<LetterWriter, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let rows = 0
  let open:
    | { readonly path: string; readonly queue: Queue.Queue<string, Cause.Done>; readonly fiber: Fiber.Fiber<void> }
    | undefined
  // Rows of a task may be set aside at the same time.
  const start = yield* Effect.cached(
    Effect.gen(function* () {
      const path = yield* Effect.catch(file, abort)
      const queue = yield* Queue.bounded<string, Cause.Done>(ahead)
      const encoder = new TextEncoder()
      const body = Stream.mapArray(Stream.fromQueue(queue), (lines) => [encoder.encode(lines.join(""))] as const)
      const fiber = yield* storage.write(path, body).pipe(
        Effect.catch((error) => abort(new OutputFailed({ error }))),
        Effect.asVoid,
        Effect.forkIn(scope)
      )
      return (open = { path, queue, fiber })
    })
  )
  return {
    write: (letter) =>
      Effect.flatMap(start, ({ queue }) => {
        rows++
        return Effect.asVoid(Queue.offer(queue, `${JSON.stringify(letter)}\n`))
      }),
    end: Effect.suspend(() => {
      if (open === undefined) return Effect.undefined
      const { fiber, path, queue } = open
      return Effect.as(Effect.andThen(Queue.end(queue), Fiber.join(fiber)), { path, rows })
    })
  }
})

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
