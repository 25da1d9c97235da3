import { Effect, Stream } from "effect"
import { Action } from "../../engine/Action.ts"
import type { Reason } from "../../task/JobError.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import type { Dataset } from "./model.ts"

export type Rows<A, E, R> = Stream.Stream<A, E, R>

// An action whose tasks yield `U` and whose driver folds the results into a state, optionally in the order of the
// partitions.
export const action = <A, E, R, U, B, E2 = never, R2 = never>(
  self: Dataset<A, E, R>,
  options: {
    readonly name: string
    readonly eachPartition?: boolean | undefined
    readonly retries?: boolean | undefined
    readonly leaves?: boolean | undefined
    readonly task: (rows: Rows<A, E, R>, task: TaskRuntime) => Effect.Effect<U, E | E2, R | R2>
    readonly drive: (run: {
      readonly partitions: number
      readonly tasks: (
        partitions: ReadonlyArray<number>,
        onResult: (partition: number, result: U) => Effect.Effect<void, Reason>
      ) => Effect.Effect<void, unknown>
    }) => Effect.Effect<B, unknown>
  }
): Action<B, E | E2, R | R2> =>
  new Action({
    name: options.name,
    plan: self.plan,
    eachPartition: options.eachPartition,
    retries: options.retries,
    leaves: options.leaves,
    // `rows` is what the plan yields; the types of `Dataset` say that its types are `A`, `E` and `R`.
    task: (rows, task) => options.task(rows as Rows<A, E, R>, task),
    drive: (run) =>
      Effect.flatMap(run.result, ({ tasks }) =>
        options.drive({
          partitions: tasks,
          tasks: (partitions, onResult) =>
            run.tasks(partitions, (partition, result) => onResult(partition, result as U))
        })
      )
  })

export const all = (partitions: number): ReadonlyArray<number> =>
  Array.from({ length: partitions }, (_, index) => index)

export const eachArray = <A, E, R>(rows: Rows<A, E, R>, f: (values: ReadonlyArray<A>) => void) =>
  Stream.runForEachArray(rows, (values) => Effect.sync(() => f(values)))

export const mapAction = <A, B, E, R>(self: Action<A, E, R>, name: string, f: (value: A) => B): Action<B, E, R> =>
  new Action({
    ...self.spec,
    name,
    drive: (run) => Effect.map(self.spec.drive(run), (value) => f(value as A))
  })
