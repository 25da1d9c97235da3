/**
 * The steps that work on one partition alone, and what the planner has to know about each. A new operator is added in
 * two places: a line in the table here, and the function that runs it in `internal/passes` or `internal/chain`.
 *
 * @stability unstable
 * @since 0.1.0
 */
import type { Effect, Layer, Result, Stream } from "effect"
import { type ColumnCondition, print as printCondition } from "./Condition.ts"
import type { TaskContext } from "./TaskContext.ts"

/**
 * A step that works on one partition alone. `keyed` names a step on pairs that leaves their keys as they are (`MapValues`).
 *
 * @category models
 * @since 0.1.0
 */
export type Operator =
  | { readonly _tag: "Map"; readonly keyed?: string | undefined; f(value: unknown): unknown }
  /**
   * `where` has the conditions on columns that `f` tests, if they are known: a source may skip parts that cannot match.
   */
  | { readonly _tag: "Filter"; readonly where?: ReadonlyArray<ColumnCondition> | undefined; f(value: unknown): boolean }
  | { readonly _tag: "FilterMap"; f(value: unknown): Result.Result<unknown, unknown> }
  | { readonly _tag: "FlatMap"; readonly keyed?: string | undefined; f(value: unknown): Iterable<unknown> }
  | { readonly _tag: "MapArray"; f(values: ReadonlyArray<unknown>): ReadonlyArray<unknown> }
  /** `f` selects the columns of an element that is a record batch. Without it, elements are rows. */
  | { readonly _tag: "Select"; readonly columns: ReadonlyArray<string>; f?(batch: unknown): unknown }
  | {
      readonly _tag: "Sample"
      readonly fraction: number
      /** Without replacement: the rows whose random number is at least `from` (default 0) and below `upTo` (default `fraction`). */
      readonly from?: number | undefined
      readonly upTo?: number | undefined
      readonly seed: number
      readonly withReplacement: boolean
    }
  | {
      readonly _tag: "MapEffect"
      f(value: unknown): Effect.Effect<unknown, unknown, unknown>
      readonly concurrency: number | "unbounded"
      readonly unordered: boolean
    }
  | { readonly _tag: "Tap"; f(value: unknown): Effect.Effect<unknown, unknown, unknown> }
  /**
   * Handles the failures of the element-wise steps before it (of one tag, if a tag is given), one element at a time.
   */
  | {
      readonly _tag: "Catch"
      readonly tag: string | undefined
      f(error: unknown): Effect.Effect<unknown, unknown, unknown>
    }
  | {
      readonly _tag: "MapPartitions"
      readonly name: string
      /** Whether one row comes out for each row that goes in, so that the account can be kept across the step. */
      readonly oneToOne: boolean
      /**
       * Whether it is an element-wise step: elements that failed before bypass it, and elements that fail in it come
       * out as `Failed`.
       */
      readonly elementwise: boolean
      /** The columns that `f` uses, if it does not use all: a source directly below need not read the others. */
      readonly reads?: ReadonlyArray<string> | undefined
      /**
       * `handled` says whether a `Catch` after the step takes an error, so that an element that fails with it continues
       * to that `Catch`.
       */
      f(
        rows: Stream.Stream<unknown, unknown, unknown>,
        task: TaskContext,
        handled: (error: unknown) => boolean
      ): Stream.Stream<unknown, unknown, unknown>
    }
  /** Provides services to the steps before it. The layer is built once per executor. */
  | { readonly _tag: "Provide"; readonly layer: Layer.Layer<never, unknown, unknown> }

/**
 * What the planner, the optimizer and the task ask about an operator. They are methods because TypeScript compares the
 * parameters of methods bivariantly: in the table below, each operator has a line for its own type.
 */
interface Properties<O extends Operator> {
  /** Whether it is a function of arrays without effects: several in a row are one pass. */
  readonly pure: boolean
  /** Whether one row comes out for each row that goes in, so that the row count of a source still holds. */
  keepsRows(operator: O): boolean
  /** Whether pairs keep their keys, and so their partitions. */
  keepsKeys(operator: O): boolean
  /** Whether more bytes may come out than went in. */
  mayGrow(operator: O): boolean
  /** Whether several tasks may each run it on a part of a partition. */
  isDivisible(operator: O): boolean
  /** Whether the order of the rows that go in decides which come out. */
  dependsOnOrder(operator: O): boolean
  /** Whether rows come out in a different order each time. */
  reorders(operator: O): boolean
  /**
   * Whether it looks at each row alone and keeps it as it is, without new columns, so that a filter on columns may come
   * before it.
   */
  passesRows(operator: O): boolean
  /** One word or two, as `explain` prints it. */
  label(operator: O): string
  /**
   * What else, besides the label, makes two operators the same step: the text of their functions. The text does not
   * show captured variables; they come from a job's payload, which is hashed along with the plan.
   */
  text(operator: O): string | undefined
}

type Tag = Operator["_tag"]

const yes = () => true
const no = () => false
const nothing = () => undefined

const textOf = ({ f }: Exclude<Operator, { readonly _tag: "Select" | "Sample" | "Provide" }>): string => f.toString()

const common = {
  keepsRows: no,
  keepsKeys: no,
  mayGrow: no,
  isDivisible: yes,
  dependsOnOrder: no,
  reorders: no,
  passesRows: no
}
const pure = { ...common, pure: true } as const
const effectful = { ...common, pure: false } as const

const table = {
  Map: {
    ...pure,
    keepsRows: yes,
    keepsKeys: ({ keyed }) => keyed !== undefined,
    label: ({ keyed }) => keyed ?? "Map",
    text: textOf
  },
  Filter: {
    ...pure,
    keepsKeys: yes,
    passesRows: ({ where }) => where === undefined,
    label: ({ where }) => (where === undefined ? "Filter" : `Filter ${where.map(printCondition).join(" and ")}`),
    text: textOf
  },
  FilterMap: { ...pure, label: () => "FilterMap", text: textOf },
  FlatMap: {
    ...pure,
    keepsKeys: ({ keyed }) => keyed !== undefined,
    mayGrow: yes,
    label: ({ keyed }) => keyed ?? "FlatMap",
    text: textOf
  },
  MapArray: { ...pure, mayGrow: yes, label: () => "MapArray", text: textOf },
  Select: {
    ...pure,
    keepsRows: yes,
    // A filter on record batches may look at anything of a batch.
    passesRows: ({ f }) => f === undefined,
    label: ({ columns, f }) => `${f === undefined ? "Select" : "SelectColumns"} ${columns.join(", ")}`,
    text: nothing
  },
  Sample: {
    ...pure,
    keepsKeys: yes,
    mayGrow: ({ withReplacement }) => withReplacement,
    isDivisible: no,
    dependsOnOrder: yes,
    label: ({ fraction, from, seed, withReplacement }) =>
      `Sample ${from === undefined ? "" : `${from} + `}${fraction}${withReplacement ? " with replacement" : ""} seed ${seed}`,
    text: nothing
  },
  MapEffect: {
    ...effectful,
    keepsRows: yes,
    reorders: ({ unordered }) => unordered,
    label: ({ concurrency, unordered }) => `MapEffect concurrency ${concurrency}${unordered ? " unordered" : ""}`,
    text: textOf
  },
  Tap: { ...effectful, keepsRows: yes, keepsKeys: yes, label: () => "Tap", text: textOf },
  Catch: {
    ...effectful,
    keepsRows: yes,
    label: ({ tag }) => (tag === undefined ? "Catch" : `Catch ${tag}`),
    text: textOf
  },
  MapPartitions: {
    ...effectful,
    keepsRows: ({ elementwise, oneToOne }) => oneToOne || elementwise,
    mayGrow: yes,
    isDivisible: no,
    label: ({ name }) => name,
    text: textOf
  },
  Provide: { ...effectful, keepsRows: yes, keepsKeys: yes, label: () => "Provide", text: nothing }
} as const satisfies { readonly [T in Tag]: Properties<Extract<Operator, { readonly _tag: T }>> }

const properties: { readonly [T in Tag]: Properties<Operator> } = table

/**
 * An operator without effects.
 *
 * @category models
 * @since 0.1.0
 */
export type Pure = Extract<
  Operator,
  { readonly _tag: { [T in Tag]: (typeof table)[T]["pure"] extends true ? T : never }[Tag] }
>

/**
 * Whether it is a function of arrays without effects, so that several in a row are one pass.
 *
 * @category getters
 * @since 0.1.0
 */
export const isPure = (operator: Operator): operator is Pure => properties[operator._tag].pure

/**
 * Whether one row comes out for each row that goes in.
 *
 * @category getters
 * @since 0.1.0
 */
export const keepsRows = (operator: Operator): boolean => properties[operator._tag].keepsRows(operator)

/**
 * Whether pairs keep their keys, and so their partitions.
 *
 * @category getters
 * @since 0.1.0
 */
export const keepsKeys = (operator: Operator): boolean => properties[operator._tag].keepsKeys(operator)

/**
 * Whether more bytes may come out than went in.
 *
 * @category getters
 * @since 0.1.0
 */
export const mayGrow = (operator: Operator): boolean => properties[operator._tag].mayGrow(operator)

/**
 * Whether several tasks may each run it on a part of a partition.
 *
 * @category getters
 * @since 0.1.0
 */
export const isDivisible = (operator: Operator): boolean => properties[operator._tag].isDivisible(operator)

/**
 * Whether the order of the rows that go in decides which come out.
 *
 * @category getters
 * @since 0.1.0
 */
export const dependsOnOrder = (operator: Operator): boolean => properties[operator._tag].dependsOnOrder(operator)

/**
 * Whether rows come out in a different order each time.
 *
 * @category getters
 * @since 0.1.0
 */
export const reorders = (operator: Operator): boolean => properties[operator._tag].reorders(operator)

/**
 * Whether a filter on columns may come before it.
 *
 * @category getters
 * @since 0.1.0
 */
export const passesRows = (operator: Operator): boolean => properties[operator._tag].passesRows(operator)

/**
 * One word or two for an operator, as `explain` prints it.
 *
 * @category printing
 * @since 0.1.0
 */
export const label = (operator: Operator): string => properties[operator._tag].label(operator)

/**
 * What makes two operators the same step: their settings and the text of their functions.
 *
 * @category getters
 * @since 0.1.0
 */
export const identity = (operator: Operator): string => {
  const text = properties[operator._tag].text(operator)
  return text === undefined ? label(operator) : `${label(operator)} ${text}`
}
