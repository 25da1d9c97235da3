/** Rows that are set aside, written by the attempt that found them. */
import { type Cause, Effect, Fiber, Queue, type Scope, Stream } from "effect"
import type { Backend } from "../../storage/Storage.ts"
import { OutputFailed, type Reason } from "../JobError.ts"
import type { DeadLetter } from "../TaskContext.ts"

/** Where an attempt wrote the rows it set aside. */
export interface LetterFile {
  readonly path: string
  readonly rows: number
}

/** The rows an attempt sets aside, as lines of JSON. */
export interface LetterWriter {
  /** Waits while the storage is behind. */
  readonly write: (letter: DeadLetter) => Effect.Effect<void>
  /** Ends the file; `undefined` if there is none. */
  readonly end: Effect.Effect<LetterFile | undefined>
}

// Lines that wait for the storage.
const ahead = 256

/** Opens the file with the first row. A failure to write ends the task through `abort`. */
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
