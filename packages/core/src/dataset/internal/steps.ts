import type { RecordBatch, TypeMap } from "apache-arrow"
import type { Effect, Result } from "effect"
import { dual } from "effect/Function"
import { optional, type Problem, whole } from "../../codec/internal/checks.ts"
import * as Columns from "../../formats/internal/columns.ts"
import * as Condition from "../../task/Condition.ts"
import * as Origin from "../../task/Origin.ts"
import { checked } from "./checked.ts"
import { type Dataset, isDataset, narrow, type Tupled } from "./model.ts"

/**
 * Applies a pure function to every element.
 *
 * **Details**
 *
 * An array literal that the function returns is a tuple, so pairs need no annotation. For an array of any length, annotate the
 * function (`(row): Array<number> => ...`) or spread an array.
 *
 * **Example** (Pairs for `reduceByKey`)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const sales = Dataset.make({ country: "AT", amount: 2 }, { country: "AT", amount: 3 })
 * const sums = sales.pipe(
 *   Dataset.map((sale) => [sale.country, sale.amount]),
 *   Dataset.reduceByKey((a, b) => a + b),
 *   Dataset.collect
 * )
 *
 * await Effect.runPromise(Effect.provide(sums, Engine.layer)) // => [["AT", 5]]
 * ```
 *
 * @category transforming
 * @since 0.1.0
 */
export const map: {
  <A, B extends Tupled>(f: (value: A) => B): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A, E, R, B extends Tupled>(self: Dataset<A, E, R>, f: (value: A) => B): Dataset<B, E, R>
} = dual(2, <A, E, R, B>(self: Dataset<A, E, R>, f: (value: A) => B): Dataset<B, E, R> =>
  narrow(self, { _tag: "Map", f })
)

/**
 * Replaces every element by the elements of an iterable.
 *
 * @category transforming
 * @since 0.1.0
 */
export const flatMap: {
  <A, B>(f: (value: A) => Iterable<B>): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A, E, R, B>(self: Dataset<A, E, R>, f: (value: A) => Iterable<B>): Dataset<B, E, R>
} = dual(2, <A, E, R, B>(self: Dataset<A, E, R>, f: (value: A) => Iterable<B>): Dataset<B, E, R> =>
  narrow(self, { _tag: "FlatMap", f })
)

/**
 * Keeps the elements for which a predicate or a refinement holds.
 *
 * @category transforming
 * @since 0.1.0
 */
export const filter: {
  <A, B extends A>(refinement: (value: A) => value is B): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A>(predicate: (value: A) => boolean): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R, B extends A>(self: Dataset<A, E, R>, refinement: (value: A) => value is B): Dataset<B, E, R>
  <A, E, R>(self: Dataset<A, E, R>, predicate: (value: A) => boolean): Dataset<A, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, f: (value: A) => boolean): Dataset<A, E, R> =>
  narrow(self, { _tag: "Filter", f })
)

/**
 * Keeps the rows whose columns meet conditions.
 *
 * **Details**
 *
 * As {@link filter}, but the conditions are data: a Parquet source does not read row groups whose statistics say that
 * no row can match. `explain` shows how many are left. Invalid rows in the skipped row groups are not noticed.
 *
 * @category transforming
 * @since 0.1.0
 */
export const where: {
  <A>(conditions: Condition.Where<NoInfer<A>>): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, conditions: Condition.Where<NoInfer<A>>): Dataset<A, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, conditions: Condition.Where<A>): Dataset<A, E, R> => {
  const where = Condition.columns(conditions)
  return narrow(self, {
    _tag: "Filter",
    where,
    f: (row: Readonly<Record<string, unknown>>) => Condition.matchesAll(where, row)
  })
})

/**
 * Maps and filters in one step: an element whose result is a `Result.fail` is dropped, as in Effect's `Array.filterMap`.
 *
 * @category transforming
 * @since 0.1.0
 */
export const filterMap: {
  <A, B, X>(f: (value: A) => Result.Result<B, X>): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A, E, R, B, X>(self: Dataset<A, E, R>, f: (value: A) => Result.Result<B, X>): Dataset<B, E, R>
} = dual(2, <A, E, R, B, X>(self: Dataset<A, E, R>, f: (value: A) => Result.Result<B, X>): Dataset<B, E, R> =>
  narrow(self, { _tag: "FilterMap", f })
)

/**
 * How many effects of {@link mapEffect} run at once in a partition, and whether their results keep the order of the
 * elements.
 *
 * @category models
 * @since 0.1.0
 */
export interface MapEffectOptions {
  /** Default 1. */
  readonly concurrency?: number | "unbounded" | undefined
  /** Emit results as they arrive. Default `false`. */
  readonly unordered?: boolean | undefined
}

const badConcurrency = (concurrency: MapEffectOptions["concurrency"]): Problem =>
  optional(concurrency, (value) =>
    value === "unbounded" || whole("concurrency", value) === undefined
      ? undefined
      : `${whole("concurrency", value)}, or "unbounded"`
  )

/**
 * Runs an effect for every element, with a bounded number at once. A slow consumer stops it, and the first failure
 * interrupts the others.
 *
 * @category transforming
 * @since 0.1.0
 */
export const mapEffect: {
  <A, B, E2, R2>(
    f: (value: A) => Effect.Effect<B, E2, R2>,
    options?: MapEffectOptions
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E | E2, R | R2>
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    f: (value: A) => Effect.Effect<B, E2, R2>,
    options?: MapEffectOptions
  ): Dataset<B, E | E2, R | R2>
} = dual(
  (args) => isDataset(args[0]),
  <A, E, R, B, E2, R2>(
    self: Dataset<A, E, R>,
    f: (value: A) => Effect.Effect<B, E2, R2>,
    options?: MapEffectOptions
  ): Dataset<B, E | E2, R | R2> =>
    checked("mapEffect", badConcurrency(options?.concurrency), () =>
      narrow(self, {
        _tag: "MapEffect",
        f,
        concurrency: options?.concurrency ?? 1,
        unordered: options?.unordered ?? false
      })
    )
)

/**
 * Runs an effect for every element and keeps the element.
 *
 * @category transforming
 * @since 0.1.0
 */
export const tap: {
  <A, X, E2, R2>(
    f: (value: A) => Effect.Effect<X, E2, R2>
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<A, E | E2, R | R2>
  <A, E, R, X, E2, R2>(self: Dataset<A, E, R>, f: (value: A) => Effect.Effect<X, E2, R2>): Dataset<A, E | E2, R | R2>
} = dual(
  2,
  <A, E, R, X, E2, R2>(self: Dataset<A, E, R>, f: (value: A) => Effect.Effect<X, E2, R2>): Dataset<A, E | E2, R | R2> =>
    narrow(self, { _tag: "Tap", f })
)

/**
 * Applies a pure function to whole arrays of elements, in the sizes in which they come out of the source (never empty).
 *
 * **When to use**
 *
 * Use for work that is cheaper on many elements at once. The borders between arrays have no meaning: they depend on the
 * file, the format and the steps before.
 *
 * @category transforming
 * @since 0.1.0
 */
export const mapArray: {
  <A, B>(f: (values: ReadonlyArray<A>) => ReadonlyArray<B>): <E, R>(self: Dataset<A, E, R>) => Dataset<B, E, R>
  <A, E, R, B>(self: Dataset<A, E, R>, f: (values: ReadonlyArray<A>) => ReadonlyArray<B>): Dataset<B, E, R>
} = dual(2, <A, E, R, B>(self: Dataset<A, E, R>, f: (values: ReadonlyArray<A>) => ReadonlyArray<B>): Dataset<B, E, R> =>
  narrow(self, { _tag: "MapArray", f })
)

/**
 * Keeps some fields of each row. Directly above a Parquet source only these columns are read.
 *
 * @category transforming
 * @since 0.1.0
 */
export const select: {
  <A extends object, const K extends keyof A & string>(
    ...columns: ReadonlyArray<K>
  ): <E, R>(self: Dataset<A, E, R>) => Dataset<Pick<A, K>, E, R>
} =
  (...columns) =>
  (self) =>
    narrow(self, { _tag: "Select", columns })

/**
 * Keeps some columns of each record batch, in the order given. Directly above a Parquet source only these columns are
 * read.
 *
 * **Details**
 *
 * As {@link select}, but for elements that are record batches. The columns keep their memory: nothing is copied. A column
 * that the files do not have fails the job before its first task.
 *
 * **Example** (Copying two columns)
 *
 * ```ts import.meta.vitest
 * import { Dataset } from "@sluice/core"
 *
 * const copy = Dataset.parquetBatches("in").pipe(
 *   Dataset.selectColumns("id", "features"),
 *   Dataset.writeParquetBatches("out")
 * )
 * ```
 *
 * @category transforming
 * @since 0.1.0
 */
export const selectColumns: {
  <T extends TypeMap, const K extends keyof T & string>(
    ...columns: ReadonlyArray<K>
  ): <E, R>(self: Dataset<RecordBatch<T>, E, R>) => Dataset<RecordBatch<Pick<T, K>>, E, R>
} =
  <T extends TypeMap, const K extends keyof T & string>(...columns: ReadonlyArray<K>) =>
  <E, R>(self: Dataset<RecordBatch<T>, E, R>): Dataset<RecordBatch<Pick<T, K>>, E, R> =>
    narrow(self, {
      _tag: "Select",
      columns,
      f: (batch: RecordBatch<T>) => {
        const selected = Columns.selectColumns(batch, columns)
        if (typeof selected === "string") throw new TypeError(selected)
        return Origin.attach(selected, Origin.of(batch))
      }
    })
