import { Array as Arr, Effect, type Option, Queue, Stream } from "effect"
import { dual } from "effect/Function"
import { Action, type Engine } from "../../engine/Action.ts"
import { bytes, whole } from "../../codec/internal/checks.ts"
import { estimateBytes } from "../../codec/internal/estimate.ts"
import { type JobError, ResultTooLarge } from "../../task/JobError.ts"
import type { TaskContext } from "../../task/TaskContext.ts"
import { action, all, eachArray } from "./action.ts"
import { checkedAction } from "./checked.ts"
import type { ADataset } from "./exchange.ts"
import { type Dataset, isDataset } from "./model.ts"

/**
 * All elements in the order of their partitions, in the driver's memory.
 *
 * **Details**
 *
 * Fails with a `JobError` of reason `ResultTooLarge` when the elements take more than `maxBytes` (default 256 MiB), as
 * estimated from a sample of each array.
 *
 * @category actions
 * @since 0.1.0
 */
export const collect: <A, E, R, O extends CollectOptions | ADataset>(
  self: Dataset<A, E, R> | O,
  options?: CollectOptions
) => [ADataset] extends [O] ? Action<Array<A>, E, R> : <A, E, R>(self: Dataset<A, E, R>) => Action<Array<A>, E, R> =
  dual(
    (args) => isDataset(args[0]),
    <A, E, R>(self: Dataset<A, E, R>, options?: CollectOptions): Action<Array<A>, E, R> => {
      const limit = options?.maxBytes ?? 256 * 1024 * 1024
      const collecting = action(self, {
        name: "collect",
        task: (rows, task) =>
          Effect.suspend(() => {
            const arrays: Array<ReadonlyArray<A>> = []
            let size = 0
            return Effect.map(
              Stream.runForEachArray(rows, (values) =>
                Effect.suspend(() => {
                  arrays.push(values)
                  size += estimateBytes(values)
                  return size > limit ? task.abort(new ResultTooLarge({ limit, size })) : Effect.void
                })
              ),
              () => ({ arrays, size })
            )
          }),
        drive: (run) => {
          const results: Array<ReadonlyArray<ReadonlyArray<A>>> = []
          let total = 0
          return Effect.map(
            run.tasks(all(run.partitions), (partition, { arrays, size }) => {
              results[partition] = arrays
              total += size
              return total > limit ? Effect.fail(new ResultTooLarge({ limit, size: total })) : Effect.void
            }),
            () => results.flatMap((arrays) => arrays.flat())
          )
        }
      })
      return checkedAction("collect", bytes("maxBytes", limit), collecting)
    }
  )

/**
 * What {@link collect} takes.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectOptions {
  /** Default 256 MiB. */
  readonly maxBytes?: number | undefined
}

/**
 * The number of elements.
 *
 * @category actions
 * @since 0.1.0
 */
export const count = <A, E, R>(self: Dataset<A, E, R>): Action<number, E, R> =>
  action(self, {
    name: "count",
    task: (rows) => {
      let n = 0
      return Effect.map(
        eachArray(rows, (values) => (n += values.length)),
        () => n
      )
    },
    drive: (run) => {
      let sum = 0
      return Effect.map(
        run.tasks(all(run.partitions), (_, n) => Effect.sync(() => (sum += n))),
        () => sum
      )
    }
  })

/**
 * The first `n` elements. Like Spark, it reads the first partition, then four times as many as before, until there are
 * enough; within a partition it reads no more arrays than needed.
 *
 * @category actions
 * @since 0.1.0
 */
export const take: {
  (n: number): <A, E, R>(self: Dataset<A, E, R>) => Action<Array<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, n: number): Action<Array<A>, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, n: number): Action<Array<A>, E, R> => {
  const taking = takenAs(self, `take ${n}`, n, (values) => values)
  // The result is not needed, so nothing runs.
  const wanted: Action<Array<A>, E, R> = n === 0
    ? new Action({ ...taking.spec, drive: () => Effect.succeed([]) })
    : taking
  return checkedAction("take", whole("n", n, 0), wanted)
})

const takenAs = <A, E, R, B>(
  self: Dataset<A, E, R>,
  name: string,
  n: number,
  end: (values: Array<A>) => B
): Action<B, E, R> =>
  action(self, {
    name,
    task: (rows) => {
      const taken: Array<A> = []
      return Effect.map(
        eachArray(Stream.take(rows, n), (values) => {
          for (const value of values) taken.push(value)
        }),
        () => taken
      )
    },
    drive: (run) =>
      Effect.gen(function* () {
        const found: Array<ReadonlyArray<A>> = []
        const size = () => found.reduce((sum, values) => sum + values.length, 0)
        for (let next = 0, round = 1; next < run.partitions && size() < n; round *= 4) {
          const last = Math.min(run.partitions, next + round)
          yield* run.tasks(
            Array.from({ length: last - next }, (_, index) => next + index),
            (partition, values) => Effect.sync(() => (found[partition] = values))
          )
          next = last
        }
        return end(found.flat().slice(0, n))
      })
  })

/**
 * The first element, if there is one.
 *
 * @category actions
 * @since 0.1.0
 */
export const first = <A, E, R>(self: Dataset<A, E, R>): Action<Option.Option<A>, E, R> =>
  takenAs(self, "first", 1, Arr.head)

/**
 * Whether there are no elements. Reads as much as {@link take} of one element.
 *
 * @category actions
 * @since 0.1.0
 */
export const isEmpty = <A, E, R>(self: Dataset<A, E, R>): Action<boolean, E, R> =>
  takenAs(self, "isEmpty", 1, (values) => values.length === 0)

/**
 * Runs an effect for every element, in the task that has it.
 *
 * @category actions
 * @since 0.1.0
 */
export const forEach: {
  <A, X, E2, R2>(
    f: (value: A) => Effect.Effect<X, E2, R2>
  ): <E, R>(self: Dataset<A, E, R>) => Action<void, E | E2, R | R2>
  <A, E, R, X, E2, R2>(self: Dataset<A, E, R>, f: (value: A) => Effect.Effect<X, E2, R2>): Action<void, E | E2, R | R2>
} = dual(
  2,
  <A, E, R, X, E2, R2>(
    self: Dataset<A, E, R>,
    f: (value: A) => Effect.Effect<X, E2, R2>
  ): Action<void, E | E2, R | R2> =>
    action(self, {
      name: "forEach",
      leaves: true,
      task: (rows) => Stream.runForEach(rows, f),
      drive: (run) => run.tasks(all(run.partitions), () => Effect.void)
    })
)

/**
 * Runs an effect for the stream of every partition, in its task.
 *
 * @category actions
 * @since 0.1.0
 */
export const forEachPartition: {
  <A, E, R, X, E2, R2>(
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Effect.Effect<X, E2, R2>
  ): (self: Dataset<A, E, R>) => Action<void, E2, R2>
  <A, E, R, X, E2, R2>(
    self: Dataset<A, E, R>,
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Effect.Effect<X, E2, R2>
  ): Action<void, E2, R2>
} = dual(
  2,
  <A, E, R, X, E2, R2>(
    self: Dataset<A, E, R>,
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Effect.Effect<X, E2, R2>
  ): Action<void, E2, R2> =>
    action(self, {
      name: "forEachPartition",
      leaves: true,
      eachPartition: true,
      task: (rows, task) => Effect.asVoid(f(rows, task)),
      drive: (run) => run.tasks(all(run.partitions), () => Effect.void)
    })
)

// Elements of an array as large as `range` makes them.
const ARRAY = 8192

/**
 * The elements as one stream, partition after partition. The consumer sets the pace: one partition is read at a time,
 * and at most two of its arrays are ahead of the consumer. Ending the stream early ends the job.
 *
 * @category actions
 * @since 0.1.0
 */
export const toStream = <A, E, R>(self: Dataset<A, E, R>): Stream.Stream<A, E | JobError, R | Engine> =>
  Stream.callback<A, E | JobError, R | Engine>(
    (queue) =>
      action(self, {
        name: "toStream",
        retries: false,
        task: (rows) => Stream.runForEachArray(rows, (values) => Queue.offerAll(queue, values)),
        drive: (run) =>
          Effect.forEach(all(run.partitions), (partition) => run.tasks([partition], () => Effect.void), {
            discard: true
          })
      }).pipe(
        Effect.matchCauseEffect({
          onFailure: (cause) => Queue.failCause(queue, cause),
          onSuccess: () => Queue.end(queue)
        })
      ),
    { bufferSize: 2 * ARRAY }
  )
