/** Runs operators without effects: one pass over an array for all of them, without an Effect or a stream. */
import { Result } from "effect"
import * as Origin from "../Origin.ts"
import type { Operator, Pure } from "../Operator.ts"
import type { Weigh } from "./book.ts"
import { Failed } from "./failed.ts"
import { sampler } from "./sampler.ts"

type Of<T extends Pure["_tag"]> = Extract<Operator, { readonly _tag: T }>

/** An array of rows on its way through a pass. */
class Batch {
  values: ReadonlyArray<unknown>
  /** The same array if the pass has made it: then the next step may write over it. */
  owned: Array<unknown> | undefined = undefined
  origin: Origin.Origin | undefined
  /** The element that a function is working on, in case it throws; -1 if it gets the whole array. */
  at = 0

  constructor(values: ReadonlyArray<unknown>, origin: Origin.Origin | undefined) {
    this.values = values
    this.origin = origin
  }

  /** Continues with an array that a step has made. Its elements are still the rows of the origin, if there is one. */
  become(values: Array<unknown>, origin: Origin.Origin | undefined): void {
    this.values = values
    this.owned = values
    this.origin = origin
  }
}

// One operator on a whole array. `guarded` operators let failed elements pass.
type Step = (batch: Batch) => void

const mapping = (f: (value: unknown) => unknown, guarded: boolean): Step =>
  guarded
    ? (batch) => {
        const { owned, values } = batch
        const { length } = values
        const target = owned ?? new Array<unknown>(length)
        for (let i = 0; i < length; i++) {
          batch.at = i
          const value = values[i]
          target[i] = value instanceof Failed ? value : f(value)
        }
        batch.become(target, batch.origin)
      }
    : (batch) => {
        const { owned, values } = batch
        const { length } = values
        const target = owned ?? new Array<unknown>(length)
        for (let i = 0; i < length; i++) {
          batch.at = i
          target[i] = f(values[i])
        }
        batch.become(target, batch.origin)
      }

const isRow = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

const select =
  (columns: ReadonlyArray<string>) =>
  (row: unknown): unknown => {
    if (!isRow(row)) throw new TypeError("only a row that is an object has columns to select")
    const out: Record<string, unknown> = {}
    for (const column of columns) out[column] = row[column]
    return out
  }

// Where the rows that a filter kept are in the origin; an earlier filter may have kept only some of it.
const keptOf = (origin: Origin.Origin, kept: Int32Array): Origin.Origin => {
  const before = origin.kept
  if (before === undefined) return { ...origin, kept }
  const composed = kept.map((index) => {
    const row = before[index]
    if (row === undefined) throw new RangeError(`row ${index} of ${before.length} is not in its origin`)
    return row
  })
  return { ...origin, kept: composed }
}

const filtering =
  (operator: Of<"Filter" | "FilterMap">, guarded: boolean): Step =>
  (batch) => {
    const { origin, owned, values } = batch
    const { length } = values
    const kept = origin === undefined ? undefined : new Int32Array(length)
    const target: Array<unknown> = owned ?? []
    let n = 0
    for (let i = 0; i < length; i++) {
      batch.at = i
      const value = values[i]
      let result = value
      if (!guarded || !(value instanceof Failed)) {
        if (operator._tag === "Filter") {
          if (!operator.f(value)) continue
        } else {
          const mapped = operator.f(value)
          if (Result.isFailure(mapped)) continue
          result = mapped.success
        }
      }
      if (kept !== undefined) kept[n] = i
      target[n++] = result
    }
    target.length = n
    batch.become(target, origin === undefined || kept === undefined ? undefined : keptOf(origin, kept.subarray(0, n)))
  }

const flattening =
  ({ f }: Of<"FlatMap">, guarded: boolean): Step =>
  (batch) => {
    const { values } = batch
    const { length } = values
    const target: Array<unknown> = []
    for (let i = 0; i < length; i++) {
      batch.at = i
      const value = values[i]
      if (guarded && value instanceof Failed) target.push(value)
      else for (const item of f(value)) target.push(item)
    }
    batch.become(target, undefined)
  }

const sampling = (operator: Of<"Sample">, guarded: boolean, partition: number): Step => {
  const next = sampler(operator, partition)
  return (batch) => {
    const target: Array<unknown> = []
    for (const value of batch.values) {
      for (let n = guarded && value instanceof Failed ? 1 : next(); n > 0; n--) target.push(value)
    }
    batch.become(target, undefined)
  }
}

const mappingArrays =
  ({ f }: Of<"MapArray">, guarded: boolean): Step =>
  (batch) => {
    const { values } = batch
    batch.at = -1
    if (guarded) {
      const failures = values.filter((value) => value instanceof Failed)
      const rest = values.filter((value) => !(value instanceof Failed))
      const origin = batch.origin
      batch.become(rest.length === 0 ? failures : [...f(rest), ...failures], origin)
    } else {
      // The function may have returned an array that it keeps.
      batch.values = f(values)
      batch.owned = undefined
    }
    if (batch.values.length !== values.length) batch.origin = undefined
  }

const stepOf = (operator: Pure, guarded: boolean, partition: number): Step => {
  switch (operator._tag) {
    case "Map":
      return mapping(operator.f, guarded)
    case "Select":
      return mapping(operator.f ?? select(operator.columns), guarded)
    case "Filter":
    case "FilterMap":
      return filtering(operator, guarded)
    case "FlatMap":
      return flattening(operator, guarded)
    case "Sample":
      return sampling(operator, guarded, partition)
    case "MapArray":
      return mappingArrays(operator, guarded)
  }
}

/** A pass over an array of rows and their origin. */
export type Pass = (input: ReadonlyArray<unknown>, origin: Origin.Origin | undefined) => ReadonlyArray<unknown>

/** Compiles operators to one pass over an array, for the tasks of a partition. */
export const compilePure =
  (operators: ReadonlyArray<Pure>, guarded: boolean) =>
  (partition: number, drop: (n: number) => void, weigh: Weigh): Pass => {
    const steps = operators.map((operator) => stepOf(operator, guarded, partition))
    return (input, from) => {
      const batch = new Batch(input, from)
      const rowsIn = weigh(input)
      try {
        for (const step of steps) step(batch)
      } catch (thrown) {
        if (batch.origin !== undefined && batch.at >= 0) Origin.blame(thrown, Origin.at(batch.origin, batch.at))
        throw thrown
      }
      const { origin, values } = batch
      drop(rowsIn - weigh(values))
      // The array that came in has its origin.
      return values === input ? values : Origin.attach(values, origin)
    }
  }
