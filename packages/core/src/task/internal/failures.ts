/** Where errors of the program and errors of the engine are told apart. */
import { Effect, Stream } from "effect"
import { ShuffleError } from "../../shuffle/Shuffle.ts"
import { ShuffleFailed } from "../JobError.ts"
import type { Rows } from "./rows.ts"
import type { TaskRuntime } from "./runtime.ts"

/** The reason a job fails for when its shuffle does. */
export const shuffleFailed = (error: ShuffleError): ShuffleFailed =>
  new ShuffleFailed({
    operator: error.operator,
    detail: error.reason.message,
    isRetryable: error.lost === undefined && (error.reason._tag === "Corrupt" || error.reason._tag === "Missing"),
    ...(error.lost === undefined ? {} : { lost: error.lost })
  })

/** Ends the task when the shuffle fails. */
export const abortOn = <A, R>(rows: Stream.Stream<A, ShuffleError, R>, task: TaskRuntime): Stream.Stream<A, never, R> =>
  Stream.catch(rows, (error) => Stream.fromEffect(task.abort(shuffleFailed(error))))

/** An error of the program's own on its way through the shuffle, whose errors are the engine's. */
class OfProgram {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

/** Runs something of the shuffle on the rows of a task: its own failures end the task, the rows' failures stay the program's. */
export const separated = <A>(
  rows: Rows,
  task: TaskRuntime,
  f: (rows: Rows) => Effect.Effect<A, unknown, unknown>
): Effect.Effect<A, unknown, unknown> =>
  Effect.catch(f(Stream.mapError(rows, (error) => new OfProgram(error))), (error) =>
    error instanceof OfProgram
      ? Effect.fail(error.error)
      : error instanceof ShuffleError
        ? task.abort(shuffleFailed(error))
        : // The rows' failures are `OfProgram`, and nothing else here fails in another way than the shuffle's.
          Effect.die(error)
  )
