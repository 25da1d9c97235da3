import { Effect, Stream } from "effect"
import { Action, type DriveFailure, type Run } from "../../engine/Action.ts"
import { shuffleFailed } from "../../task/internal/failures.ts"
import type { Reason } from "../../task/JobError.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import { refusing } from "./exchange.ts"
import type { Dataset } from "./model.ts"

type Rows<A, E, R> = Stream.Stream<A, E, R>

/**
 * An action whose tasks yield `U` and whose driver folds the results into a state, in the order of the partitions or
 * not. Here the types of a task's work are known to agree with the dataset whose rows it gets.
 */
export const action = <A, E, R, U, B, E2, R2>(
  self: Dataset<A, E, R>,
  options: {
    readonly name: string
    readonly eachPartition?: boolean | undefined
    readonly retries?: boolean | undefined
    readonly leaves?: boolean | undefined
    readonly task: (rows: Rows<A, E, R>, task: TaskRuntime) => Effect.Effect<U, E2, R2>
    readonly drive: (run: {
      readonly partitions: number
      readonly tasks: (
        partitions: ReadonlyArray<number>,
        onResult: (partition: number, result: U) => Effect.Effect<void, Reason>
      ) => Effect.Effect<void, DriveFailure>
    }) => Effect.Effect<B, DriveFailure>
  }
): Action<B, E2, R2> =>
  new Action({
    name: options.name,
    plan: self.plan,
    eachPartition: options.eachPartition,
    retries: options.retries,
    leaves: options.leaves,
    task: options.task,
    drive: (run: Run<U>) =>
      Effect.flatMap(run.result, ({ tasks }) => options.drive({ partitions: tasks, tasks: run.tasks }))
  })

/** An action that folds arrays into a state for each partition, and the states, in the order of the partitions, into one. */
export const folded = <A, E, R, S, B>(
  self: Dataset<A, E, R>,
  options: {
    readonly name: string
    readonly zero: () => S
    readonly add: (state: S, values: ReadonlyArray<A>, partition: number) => S
    readonly merge: (left: S, right: S) => S
    readonly end: (state: S) => B
  }
): Action<B, E, R> =>
  action(self, {
    name: options.name,
    task: (rows, task) =>
      Effect.suspend(() => {
        let state = options.zero()
        return Effect.map(
          Stream.runForEachArray(rows, (values) => {
            const added = refusing(
              options.name,
              () => {
                state = options.add(state, values, task.partition)
              },
              () => values
            )
            return Effect.catch(added, (error) => task.abort(shuffleFailed(error)))
          }),
          () => state
        )
      }),
    drive: (run) => {
      const states: Array<S> = []
      return Effect.map(
        run.tasks(all(run.partitions), (partition, state) => Effect.sync(() => (states[partition] = state))),
        () => options.end(states.reduce(options.merge, options.zero()))
      )
    }
  })

export const all = (partitions: number): ReadonlyArray<number> =>
  Array.from({ length: partitions }, (_, index) => index)

export const eachArray = <A, E, R>(rows: Rows<A, E, R>, f: (values: ReadonlyArray<A>) => void) =>
  Stream.runForEachArray(rows, (values) => Effect.sync(() => f(values)))
