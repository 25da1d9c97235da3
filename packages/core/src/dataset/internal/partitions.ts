import { Array as Arr, Effect, Stream } from "effect"
import { dual } from "effect/Function"
import { InvalidPlan } from "../../task/JobError.ts"
import type { TaskContext } from "../../task/TaskContext.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import { firstOf, number, whole } from "../../codec/internal/checks.ts"
import { checked } from "./checked.ts"
import { type Dataset, fromPlan, isDataset, narrow } from "./model.ts"

/**
 * Settings of {@link mapPartitions}.
 *
 * @category models
 * @since 0.1.0
 */
export interface MapPartitionsOptions {
  /** As `explain` prints it. Default `MapPartitions`. */
  readonly name?: string | undefined
  /**
   * Whether `f` yields exactly one element for each that it gets. If so, the rows written are checked against the rows
   * read, and row counts from metadata stay known. Default `false`.
   */
  readonly oneToOne?: boolean | undefined
}

/**
 * Transforms the stream of each partition: for work with set-up and tear-down per partition. The stream is pulled, and closed
 * when the partition ends, fails or is interrupted.
 *
 * @category transforming
 * @since 0.1.0
 */
export const mapPartitions: {
  <A, E, R, B, E2, R2>(
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Stream.Stream<B, E2, R2>,
    options?: MapPartitionsOptions
  ): (self: Dataset<A, E, R>) => Dataset<B, E2, R2>
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Stream.Stream<B, E2, R2>,
    options?: MapPartitionsOptions
  ): Dataset<B, E2, R2>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    f: (rows: Stream.Stream<A, E, R>, task: TaskContext) => Stream.Stream<B, E2, R2>,
    options?: MapPartitionsOptions
  ): Dataset<B, E2, R2> =>
    narrow(self, {
      _tag: "MapPartitions",
      name: options?.name ?? "MapPartitions",
      oneToOne: options?.oneToOne ?? false,
      elementwise: false,
      f
    })
)

/**
 * The partitions of both, the first dataset's first. No element moves.
 *
 * @category transforming
 * @since 0.1.0
 */
export const union: {
  <B, E2, R2>(that: Dataset<B, E2, R2>): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A | B, E | E2, R | R2>
  <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, that: Dataset<B, E2, R2>): Dataset<A | B, E | E2, R | R2>
} = dual(2, <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, that: Dataset<B, E2, R2>): Dataset<A | B, E | E2, R | R2> =>
  fromPlan({ _tag: "Union", inputs: [self.plan, that.plan] })
)

/**
 * At most this many partitions, each a run of neighbouring ones with about the same number of bytes. Nothing is
 * shuffled; fewer partitions also means fewer tasks at once.
 *
 * @category shuffling
 * @since 0.1.0
 */
export const coalesce: {
  (partitions: number): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, partitions: number): Dataset<A, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, partitions: number): Dataset<A, E, R> =>
  checked("coalesce", whole("partitions", partitions), () =>
    fromPlan({ _tag: "Coalesce", child: self.plan, partitions })
  )
)

/**
 * Pairs every element with its position, counted from 0 over all partitions in order.
 *
 * **Details**
 *
 * If the sizes of the partitions are not known from metadata, a stage that counts them runs first, so the steps before
 * run twice.
 *
 * @category transforming
 * @since 0.1.0
 */
export const zipWithIndex = <A, E, R>(self: Dataset<A, E, R>): Dataset<readonly [A, number], E, R> =>
  fromPlan({ _tag: "ZipWithIndex", child: self.plan })

/**
 * Every pair of an element of the first dataset and one of the other. There is a partition for each pair of partitions.
 * The other dataset is read again for every array of rows of the first: `Dataset.cache` it if it is expensive. A failed
 * element fails each time it is read.
 *
 * @category transforming
 * @since 0.1.0
 */
export const cartesian: {
  <B, E2, R2>(that: Dataset<B, E2, R2>): <A, E, R>(self: Dataset<A, E, R>) => Dataset<readonly [A, B], E | E2, R | R2>
  <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, that: Dataset<B, E2, R2>): Dataset<readonly [A, B], E | E2, R | R2>
} = dual(
  2,
  <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, that: Dataset<B, E2, R2>): Dataset<readonly [A, B], E | E2, R | R2> =>
    fromPlan({ _tag: "Cartesian", inputs: [self.plan, that.plan] })
)

/**
 * Makes one stream from the streams of each partition of both datasets. Both must have the same number of partitions;
 * otherwise the job fails with `InvalidPlan` before any task runs.
 *
 * @category transforming
 * @since 0.1.0
 */
export const zipPartitions: {
  <A, E, R, B, E2, R2, C, E3, R3>(
    that: Dataset<B, E2, R2>,
    f: (left: Stream.Stream<A, E, R>, right: Stream.Stream<B, E2, R2>, task: TaskContext) => Stream.Stream<C, E3, R3>
  ): (self: Dataset<A, E, R>) => Dataset<C, E3, R3>
  <A, E, R, B, E2, R2, C, E3, R3>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    f: (left: Stream.Stream<A, E, R>, right: Stream.Stream<B, E2, R2>, task: TaskContext) => Stream.Stream<C, E3, R3>
  ): Dataset<C, E3, R3>
} = dual(
  3,
  <A, E, R, B, E2, R2, C, E3, R3>(
    self: Dataset<A, E, R>,
    that: Dataset<B, E2, R2>,
    f: (left: Stream.Stream<A, E, R>, right: Stream.Stream<B, E2, R2>, task: TaskContext) => Stream.Stream<C, E3, R3>
  ): Dataset<C, E3, R3> => zipped("ZipPartitions", self, that, f)
)

const zipped = <A, E, R, B, E2, R2, C, E3, R3>(
  name: string,
  self: Dataset<A, E, R>,
  that: Dataset<B, E2, R2>,
  f: (left: Stream.Stream<A, E, R>, right: Stream.Stream<B, E2, R2>, task: TaskRuntime) => Stream.Stream<C, E3, R3>
): Dataset<C, E3, R3> =>
  fromPlan({
    _tag: "ZipPartitions",
    name,
    functions: String(f),
    inputs: [self.plan, that.plan],
    f: ([left, right]: readonly [Stream.Stream<A, E, R>, Stream.Stream<B, E2, R2>], task) => f(left, right, task)
  })

/**
 * Pairs the elements of both datasets by position. Both must have the same number of partitions, with the same number
 * of elements in each; otherwise the job fails with `InvalidPlan`, for the elements when they are read.
 *
 * @category transforming
 * @since 0.1.0
 */
export const zip: {
  <B, E2, R2>(that: Dataset<B, E2, R2>): <A, E, R>(self: Dataset<A, E, R>) => Dataset<readonly [A, B], E | E2, R | R2>
  <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, that: Dataset<B, E2, R2>): Dataset<readonly [A, B], E | E2, R | R2>
} = dual(
  2,
  <A, E, R, B, E2, R2>(self: Dataset<A, E, R>, that: Dataset<B, E2, R2>): Dataset<readonly [A, B], E | E2, R | R2> =>
    zipped("Zip", self, that, (left, right, task) => {
      let lefts = 0
      let rights = 0
      const counted = Stream.zipWithArray(
        Stream.mapArray(left, (values) => {
          lefts += values.length
          return values
        }),
        Stream.mapArray(right, (values) => {
          rights += values.length
          return values
        }),
        (as, bs) => {
          const pairs = Arr.zip(as, bs)
          return [pairs, as.slice(pairs.length), bs.slice(pairs.length)]
        }
      )
      return Stream.concat(
        counted,
        Stream.fromEffectDrain(
          Effect.suspend(() =>
            lefts === rights
              ? Effect.void
              : task.abort(
                  new InvalidPlan({
                    operator: "zip",
                    detail: `partition ${task.partition} has at least ${lefts} elements on one side and ${rights} on the other`
                  })
                )
          )
        )
      )
    })
)

/**
 * Splits the elements at random into one dataset per weight, in proportion to the weights. Each reads the input again.
 *
 * @category transforming
 * @since 0.1.0
 */
export const randomSplit: {
  (weights: ReadonlyArray<number>, seed: number): <A, E, R>(self: Dataset<A, E, R>) => ReadonlyArray<Dataset<A, E, R>>
  <A, E, R>(self: Dataset<A, E, R>, weights: ReadonlyArray<number>, seed: number): ReadonlyArray<Dataset<A, E, R>>
} = dual(
  3,
  <A, E, R>(self: Dataset<A, E, R>, weights: ReadonlyArray<number>, seed: number): ReadonlyArray<Dataset<A, E, R>> => {
    const sum = weights.reduce((left, right) => left + right, 0)
    const problem = firstOf(
      ...weights.map((weight) => number("a weight", weight, 0)),
      number("the sum of the weights", sum, Number.MIN_VALUE)
    )
    const bound = (index: number): number =>
      index >= weights.length ? 1 : weights.slice(0, index).reduce((left, right) => left + right, 0) / sum
    return weights.map((_, index) =>
      checked("randomSplit", problem, () =>
        narrow(self, {
          _tag: "Sample",
          from: bound(index),
          fraction: bound(index + 1) - bound(index),
          // The upper bound of a part is exactly the lower bound of the next, so every element is in one part.
          upTo: bound(index + 1),
          seed,
          withReplacement: false
        })
      )
    )
  }
)

/**
 * Each partition as one array, which has to fit into memory.
 *
 * @category transforming
 * @since 0.1.0
 */
export const glom = <A, E, R>(self: Dataset<A, E, R>): Dataset<ReadonlyArray<A>, E, R> =>
  narrow(self, {
    _tag: "MapPartitions",
    name: "Glom",
    oneToOne: false,
    elementwise: false,
    f: (rows: Stream.Stream<A, E, R>) => Stream.fromEffect(Stream.runCollect(rows))
  })
