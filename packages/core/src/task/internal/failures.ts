/** Keeps errors of the program and errors of the engine apart. */
import { Effect, Stream } from "effect"
import { ShuffleError } from "../../shuffle/Shuffle.ts"
import { type Reason, ShuffleFailed } from "../JobError.ts"
import type { TaskRuntime } from "./runtime.ts"

/** The reason of a job that fails because its shuffle does. */
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

/** An error of the program on its way through a part of the engine, whose own errors belong to the engine. */
class OfProgram {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

/**
 * Runs a part of the engine on the rows of a task. Its own failures become a reason that ends the task; the failures of
 * the rows stay errors of the program.
 */
export const separatedBy =
  <F>(reasonOf: (failure: F) => Reason) =>
  <Row, R, A, R2>(
    rows: Stream.Stream<Row, unknown, R>,
    task: TaskRuntime,
    f: <E>(rows: Stream.Stream<Row, E, R>) => Effect.Effect<A, E | F, R2>
  ): Effect.Effect<A, unknown, R2> =>
    Effect.catch(f(Stream.mapError(rows, (error) => new OfProgram(error))), (error) =>
      error instanceof OfProgram ? Effect.fail(error.error) : task.abort(reasonOf(error))
    )

/** The same for parts of the shuffle. */
export const separated = separatedBy((failure: unknown) => {
  // The failures of the rows are taken out before, so that only failures of the shuffle are left here.
  if (!(failure instanceof ShuffleError)) throw failure
  return shuffleFailed(failure)
})
