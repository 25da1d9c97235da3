/**
 * Conditions on columns, for `Dataset.where`. They are data, not functions, so that a source can skip parts that cannot
 * match.
 *
 * **Details**
 *
 * Comparisons are SQL's (Spark's `sources.Filter`): none holds for `null` or `undefined`, which only {@link isNull} finds, nor for `NaN`.
 * Strings compare by code point, as their UTF-8 bytes do, `Date`s by their time, `false` before `true`.
 *
 * **Example** (Rows of a range)
 *
 * ```ts import.meta.vitest
 * import { Condition, Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const people = Dataset.fromIterable([{ name: "Anna", age: 31 }, { name: "Paul", age: 17 }, { name: "Zoe", age: 64 }])
 * const adults = people.pipe(
 *   Dataset.where({ age: Condition.gte(18), name: Condition.startsWith("A") }),
 *   Dataset.map((person) => person.name)
 * )
 *
 * await Effect.runPromise(Effect.provide(Dataset.collect(adults), Engine.layer)) // => ["Anna"]
 * ```
 *
 * @since 0.1.0
 */
import { fieldOf } from "../codec/internal/fields.ts"
import { compareCodePoints } from "../storage/internal/path.ts"

/**
 * What values can be compared with.
 *
 * @category models
 * @since 0.1.0
 */
export type Comparable = number | bigint | string | boolean | Date

/**
 * The type of the columns that a value can be compared with.
 *
 * @category models
 * @since 0.1.0
 */
export type ColumnOf<V extends Comparable> = V extends number | bigint
  ? number | bigint
  : V extends string
    ? string
    : V extends boolean
      ? boolean
      : Date

/**
 * A condition as data.
 *
 * @category models
 * @since 0.1.0
 */
export type Expression =
  | { readonly _tag: "Compare"; readonly operator: "=" | "!=" | "<" | "<=" | ">" | ">="; readonly value: Comparable }
  | { readonly _tag: "OneOf"; readonly values: ReadonlyArray<Comparable> }
  | { readonly _tag: "StartsWith"; readonly prefix: string }
  | { readonly _tag: "IsNull" }
  | { readonly _tag: "NotNull" }
  | { readonly _tag: "And" | "Or"; readonly of: ReadonlyArray<Expression> }

/**
 * A condition on values of `V`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Condition<in V> {
  readonly expression: Expression
  readonly test: (value: V | null | undefined) => boolean
}

/**
 * A condition for each of some columns of a row; a row matches when all of them hold.
 *
 * @category models
 * @since 0.1.0
 */
export type Where<A> = { readonly [K in keyof A]?: Condition<NonNullable<A[K]>> }

/**
 * The condition on one column of a row, whose type is erased.
 *
 * @category models
 * @since 0.1.0
 */
export interface ColumnCondition {
  readonly column: string
  readonly expression: Expression
}

/**
 * What is known about the values of a column in one place, such as the statistics of a Parquet row group. Numbers,
 * dates (as milliseconds) and booleans (as 0 and 1) have numeric bounds, strings the bounds of their UTF-8 bytes. A
 * missing property is not known.
 *
 * @category models
 * @since 0.1.0
 */
export interface Statistics {
  readonly min: number | bigint | Uint8Array | undefined
  readonly max: number | bigint | Uint8Array | undefined
  /** How many values are null, and how many values there are, including nulls. */
  readonly nulls: number | undefined
  readonly values: number | undefined
}

const numeric = (value: Comparable): number | bigint | undefined =>
  typeof value === "number" || typeof value === "bigint"
    ? value
    : typeof value === "boolean"
      ? Number(value)
      : value instanceof Date
        ? value.getTime()
        : undefined

const compareNumbers = (left: number | bigint, right: number | bigint): number =>
  left < right ? -1 : left > right ? 1 : left == right ? 0 : Number.NaN

// `NaN` for values without an order.
const compare = (left: unknown, right: Comparable): number => {
  if (typeof left === "string") return typeof right === "string" ? compareCodePoints(left, right) : Number.NaN
  const one =
    typeof left === "number" || typeof left === "bigint" || typeof left === "boolean" || left instanceof Date
      ? numeric(left)
      : undefined
  const other = numeric(right)
  return one === undefined || other === undefined ? Number.NaN : compareNumbers(one, other)
}

const holds = (operator: Extract<Expression, { _tag: "Compare" }>["operator"], order: number): boolean => {
  switch (operator) {
    case "=":
      return order === 0
    case "!=":
      return !Number.isNaN(order) && order !== 0
    case "<":
      return order < 0
    case "<=":
      return order <= 0
    case ">":
      return order > 0
    case ">=":
      return order >= 0
  }
}

/**
 * Whether a value matches.
 *
 * @category guards
 * @since 0.1.0
 */
export const matches = (expression: Expression, value: unknown): boolean => {
  const missing = value === null || value === undefined
  switch (expression._tag) {
    case "Compare":
      return !missing && holds(expression.operator, compare(value, expression.value))
    case "OneOf":
      return !missing && expression.values.some((one) => compare(value, one) === 0)
    case "StartsWith":
      return typeof value === "string" && value.startsWith(expression.prefix)
    case "IsNull":
      return missing
    case "NotNull":
      return !missing
    case "And":
      return expression.of.every((one) => matches(one, value))
    case "Or":
      return expression.of.some((one) => matches(one, value))
  }
}

/**
 * Whether a row meets all conditions.
 *
 * @category guards
 * @since 0.1.0
 */
export const matchesAll = (where: ReadonlyArray<ColumnCondition>, row: Readonly<Record<string, unknown>>): boolean =>
  where.every(({ column, expression }) => matches(expression, fieldOf(row, column)))

// How a bound compares with a value; `undefined` if their types differ.
const compareBound = (bound: number | bigint | Uint8Array | undefined, value: Comparable): number | undefined => {
  if (bound === undefined) return undefined
  // Half a surrogate pair has a place in the order of strings, but no bytes.
  if (typeof value === "string") {
    return bound instanceof Uint8Array && value.isWellFormed() ? Buffer.compare(bound, Buffer.from(value)) : undefined
  }
  const number = numeric(value)
  if (bound instanceof Uint8Array || number === undefined) return undefined
  const order = compareNumbers(bound, number)
  return Number.isNaN(order) ? undefined : order
}

/**
 * Whether any value described by the statistics may match: `false` only if none can.
 *
 * @category guards
 * @since 0.1.0
 */
export const mayMatch = (expression: Expression, statistics: Statistics): boolean => {
  const { max, min, nulls, values } = statistics
  const allNull = nulls !== undefined && values !== undefined && nulls === values
  const between = (value: Comparable): boolean => {
    const low = compareBound(min, value)
    const high = compareBound(max, value)
    return (low === undefined || low <= 0) && (high === undefined || high >= 0)
  }
  switch (expression._tag) {
    case "IsNull":
      return nulls === undefined || nulls > 0
    case "NotNull":
      return !allNull
    case "And":
      return expression.of.every((one) => mayMatch(one, statistics))
    case "Or":
      return expression.of.some((one) => mayMatch(one, statistics))
    case "OneOf":
      return !allNull && expression.values.some(between)
    case "StartsWith": {
      if (allNull) return false
      if (!expression.prefix.isWellFormed()) return true
      const prefix = Buffer.from(expression.prefix)
      const start = (bound: Uint8Array) => Buffer.compare(bound.subarray(0, prefix.length), prefix)
      return !(max instanceof Uint8Array && start(max) < 0) && !(min instanceof Uint8Array && start(min) > 0)
    }
    case "Compare": {
      if (allNull) return false
      const { operator, value } = expression
      switch (operator) {
        case "=":
          return between(value)
        // Statistics leave out NaN, and may be wider than the values.
        case "!=":
          return true
        case "<":
        case "<=":
          return holds(operator, compareBound(min, value) ?? -1)
        case ">":
        case ">=":
          return holds(operator, compareBound(max, value) ?? 1)
      }
    }
  }
}

const literal = (value: Comparable): string =>
  typeof value === "string"
    ? JSON.stringify(value)
    : value instanceof Date
      ? Number.isNaN(value.getTime())
        ? "Invalid Date"
        : value.toISOString()
      : `${value}${typeof value === "bigint" ? "n" : ""}`

/**
 * A condition as text: `age >= 18 and age < 65`.
 *
 * @category printing
 * @since 0.1.0
 */
export const print = ({ column, expression }: ColumnCondition): string => {
  switch (expression._tag) {
    case "Compare":
      return `${column} ${expression.operator} ${literal(expression.value)}`
    case "OneOf":
      return `${column} in (${expression.values.map(literal).join(", ")})`
    case "StartsWith":
      return `${column} starts with ${literal(expression.prefix)}`
    case "IsNull":
      return `${column} is null`
    case "NotNull":
      return `${column} is not null`
    case "And":
    case "Or": {
      const text = expression.of
        .map((one) => print({ column, expression: one }))
        .join(expression._tag === "And" ? " and " : " or ")
      return `(${text})`
    }
  }
}

const make = <V>(expression: Expression): Condition<V> => ({ expression, test: (value) => matches(expression, value) })

const comparison =
  (operator: Extract<Expression, { _tag: "Compare" }>["operator"]) =>
  <V extends Comparable>(value: V): Condition<ColumnOf<V>> =>
    make({ _tag: "Compare", operator, value })

/**
 * Equal to the value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const eq: <V extends Comparable>(value: V) => Condition<ColumnOf<V>> = comparison("=")

/**
 * Not missing, and not equal to the value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const neq: <V extends Comparable>(value: V) => Condition<ColumnOf<V>> = comparison("!=")

/**
 * Less than the value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const lt: <V extends Comparable>(value: V) => Condition<ColumnOf<V>> = comparison("<")

/**
 * At most the value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const lte: <V extends Comparable>(value: V) => Condition<ColumnOf<V>> = comparison("<=")

/**
 * Greater than the value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const gt: <V extends Comparable>(value: V) => Condition<ColumnOf<V>> = comparison(">")

/**
 * At least the value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const gte: <V extends Comparable>(value: V) => Condition<ColumnOf<V>> = comparison(">=")

/**
 * Between two values, both included.
 *
 * @category constructors
 * @since 0.1.0
 */
export const between = <V extends Comparable>(from: V, to: ColumnOf<V> & Comparable): Condition<ColumnOf<V>> =>
  make({
    _tag: "And",
    of: [
      { _tag: "Compare", operator: ">=", value: from },
      { _tag: "Compare", operator: "<=", value: to }
    ]
  })

/**
 * Equal to one of the values.
 *
 * @category constructors
 * @since 0.1.0
 */
export const oneOf = <V extends Comparable>(...values: ReadonlyArray<V>): Condition<ColumnOf<V>> =>
  make({ _tag: "OneOf", values })

/**
 * A string that begins with the prefix.
 *
 * @category constructors
 * @since 0.1.0
 */
export const startsWith = (prefix: string): Condition<string> => make({ _tag: "StartsWith", prefix })

/**
 * `null`, `undefined` or missing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const isNull: Condition<unknown> = make({ _tag: "IsNull" })

/**
 * Neither `null` nor `undefined`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const isNotNull: Condition<unknown> = make({ _tag: "NotNull" })

/**
 * All of the conditions hold.
 *
 * @category combinators
 * @since 0.1.0
 */
export const and = <V>(...conditions: ReadonlyArray<Condition<V>>): Condition<V> =>
  make({ _tag: "And", of: conditions.map((condition) => condition.expression) })

/**
 * One of the conditions holds.
 *
 * @category combinators
 * @since 0.1.0
 */
export const or = <V>(...conditions: ReadonlyArray<Condition<V>>): Condition<V> =>
  make({ _tag: "Or", of: conditions.map((condition) => condition.expression) })

/**
 * The conditions of an object, by column.
 *
 * @category getters
 * @since 0.1.0
 */
export const columns = (
  where: Readonly<Record<string, Condition<never> | undefined>>
): ReadonlyArray<ColumnCondition> =>
  Object.entries(where).flatMap(([column, condition]) =>
    condition === undefined ? [] : [{ column, expression: condition.expression }]
  )
