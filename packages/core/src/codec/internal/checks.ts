/**
 * Checks of settings and arguments, made where a program passes them: the types of TypeScript cannot tell a whole
 * number from another number, and a program in JavaScript or a file of settings has no types. Each check yields what is
 * wrong with the value, or nothing.
 */
import { Duration, Option } from "effect"

export type Problem = string | undefined

const shown = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value) : typeof value === "bigint" ? `${value}n` : String(value)

/** The largest number that Spark and an array allow. */
const most = 2 ** 31 - 1

/** A number of something: partitions, elements, tasks at once. */
export const whole = (name: string, value: unknown, from = 1, to = most): Problem =>
  Number.isInteger(value) && Number(value) >= from && Number(value) <= to
    ? undefined
    : `${name} is ${shown(value)}; it has to be a whole number from ${from} to ${to}`

/** A number of bytes. */
export const bytes = (name: string, value: unknown, from = 1): Problem =>
  whole(name, value, from, Number.MAX_SAFE_INTEGER)

/** A number of some range. */
export const number = (name: string, value: unknown, from = -Number.MAX_VALUE, to = Number.MAX_VALUE): Problem => {
  if (typeof value === "number" && value >= from && value <= to) return undefined
  const range =
    from === -Number.MAX_VALUE ? "" : to === Number.MAX_VALUE ? `, ${from} or more` : `, from ${from} to ${to}`
  return `${name} is ${shown(value)}; it has to be a finite number${range}`
}

/** A span of time; `millisOf` is for one that passed. */
export const duration = (name: string, value: Duration.Input, from = 0): Problem => {
  const millis = spanOf(value)
  return millis !== undefined && millis >= from && Number.isFinite(millis)
    ? undefined
    : `${name} is ${shown(value)}; it has to be a finite duration of ${from} milliseconds or more, such as "3 seconds"`
}

// Effect treats NaN as no time.
const spanOf = (value: Duration.Input): number | undefined =>
  Number.isNaN(value) ? undefined : Option.getOrUndefined(Option.map(Duration.fromInput(value), Duration.toMillis))

/** Milliseconds of a checked span of time. */
export const millisOf = (value: Duration.Input): number => spanOf(value) ?? 0

/** One of a few words. */
export const oneOf = (name: string, value: unknown, allowed: ReadonlyArray<string>): Problem =>
  typeof value === "string" && allowed.includes(value)
    ? undefined
    : `${name} is ${shown(value)}; it has to be one of ${allowed.map((word) => JSON.stringify(word)).join(", ")}`

/** A setting that may be left out. */
export const optional = <A>(value: A | undefined, check: (value: A) => Problem): Problem =>
  value === undefined ? undefined : check(value)

/** The first problem, if there is one. */
export const firstOf = (...problems: ReadonlyArray<Problem>): Problem =>
  problems.find((problem) => problem !== undefined)
