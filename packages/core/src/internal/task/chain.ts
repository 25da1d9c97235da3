import { Effect, Stream } from "effect"
import * as Origin from "../../Origin.ts"
import { Dropped, type Operator } from "../../Plan.ts"
import { sampler } from "./sampler.ts"
import type { TaskRuntime } from "./runtime.ts"

/** The rows of one partition inside the engine, where types are erased. */
export type Rows = Stream.Stream<unknown, unknown, unknown>

/** A compiled run of narrow operators. */
export type Chain = (rows: Rows, task: TaskRuntime) => Rows

type PureOperator = Extract<
  Operator,
  { _tag: "Map" | "Filter" | "FilterMap" | "FlatMap" | "MapArray" | "Select" | "Sample" }
>

/** An element whose effect failed, on its way to the `Catch` that handles it. */
class Failed {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

const isPure = (operator: Operator): operator is PureOperator => {
  switch (operator._tag) {
    case "Map":
    case "Filter":
    case "FilterMap":
    case "FlatMap":
    case "MapArray":
    case "Select":
    case "Sample":
      return true
    default:
      return false
  }
}

/** Where the chain is cut into passes: pure operators together, every effectful one alone. For `explain`. */
export const fuse = (operators: ReadonlyArray<Operator>): ReadonlyArray<ReadonlyArray<Operator>> => {
  const groups: Array<Array<Operator>> = []
  for (const operator of operators) {
    const last = groups.at(-1)
    if (last !== undefined && isPure(operator) && isPure(last[0]!)) last.push(operator)
    else groups.push([operator])
  }
  return groups
}

const select = (columns: ReadonlyArray<string>) => (row: unknown): unknown => {
  const out: Record<string, unknown> = {}
  for (const column of columns) out[column] = (row as Record<string, unknown>)[column]
  return out
}

// One pass over an array: no Effect, no stream and one array for all the operators. `mapped` arrays are ours to overwrite.
const compilePure = (operators: ReadonlyArray<PureOperator>, guarded: boolean) => (task: TaskRuntime) => {
  const steps = operators.map((operator) =>
    operator._tag === "Sample" ? sampler(operator, task.partition) : operator
  )
  return (input: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
    let origin = Origin.of(input)
    const rowsIn = input.length
    let values: Array<unknown> = input as Array<unknown>
    let owned = false
    for (const step of steps) {
      const length = values.length
      if (typeof step === "function") {
        const copies: Array<unknown> = []
        for (let i = 0; i < length; i++) {
          for (let n = guarded && values[i] instanceof Failed ? 1 : step(); n > 0; n--) copies.push(values[i])
        }
        values = copies
        owned = true
        origin = undefined
        continue
      }
      switch (step._tag) {
        case "Select":
        case "Map": {
          const f = step._tag === "Map" ? step.f : select(step.columns)
          const target: Array<unknown> = owned ? values : new Array<unknown>(length)
          if (guarded) {
            for (let i = 0; i < length; i++) {
              const value = values[i]
              target[i] = value instanceof Failed ? value : f(value)
            }
          } else {
            for (let i = 0; i < length; i++) target[i] = f(values[i])
          }
          values = target
          owned = true
          break
        }
        case "Filter":
        case "FilterMap": {
          const kept = origin === undefined ? undefined : new Int32Array(length)
          const target: Array<unknown> = owned ? values : []
          let n = 0
          for (let i = 0; i < length; i++) {
            const value = values[i]
            let result: unknown = value
            if (!guarded || !(value instanceof Failed)) {
              if (step._tag === "Filter") {
                if (!step.f(value)) continue
              } else {
                result = step.f(value)
                if (result === Dropped) continue
              }
            }
            if (kept !== undefined) kept[n] = origin!.kept === undefined ? i : origin!.kept[i]!
            target[n++] = result
          }
          target.length = n
          values = target
          owned = true
          if (kept !== undefined) origin = { ...origin!, kept: kept.subarray(0, n) }
          break
        }
        case "FlatMap": {
          const target: Array<unknown> = []
          for (let i = 0; i < length; i++) {
            const value = values[i]
            if (guarded && value instanceof Failed) target.push(value)
            else for (const item of step.f(value)) target.push(item)
          }
          values = target
          owned = true
          origin = undefined
          break
        }
        case "MapArray": {
          if (guarded) {
            const failures = values.filter((value) => value instanceof Failed)
            values = [...step.f(values.filter((value) => !(value instanceof Failed))), ...failures]
            owned = true
          } else {
            // The function may have returned an array it keeps.
            values = step.f(values) as Array<unknown>
            owned = false
          }
          if (values.length !== length) origin = undefined
          break
        }
      }
    }
    task.metrics.rowsFiltered += rowsIn - values.length
    return Origin.attach(values, owned || values !== input ? origin : undefined)
  }
}

// As `Stream.mapArray`, but for a function that may leave nothing of an array.
const mapArrays = (rows: Rows, pass: (values: ReadonlyArray<unknown>) => ReadonlyArray<unknown>): Rows =>
  Stream.transformPull(rows, (pull) => {
    const next: typeof pull = Effect.flatMap(pull, (values) => {
      const result = pass(values)
      return result.length === 0 ? next : Effect.succeed(result as readonly [unknown, ...Array<unknown>])
    })
    return Effect.succeed(next)
  })

const countRows = (rows: Rows, count: (n: number) => void): Rows =>
  Stream.mapArray(rows, (values) => {
    count(values.length)
    return values
  })

const compileOperator = (operator: Exclude<Operator, PureOperator>, guarded: boolean): Chain => {
  switch (operator._tag) {
    case "MapEffect": {
      const { concurrency, f, unordered } = operator
      const guard = (value: unknown) =>
        value instanceof Failed
          ? Effect.succeed(value)
          : Effect.catch(f(value), (error) => Effect.succeed(new Failed(error)))
      return (rows) => Stream.mapEffect(rows, guarded ? guard : (value) => f(value), { concurrency, unordered })
    }
    case "Tap": {
      const f = operator.f
      const keep = (value: unknown) =>
        value instanceof Failed
          ? Effect.succeed(value)
          : Effect.catch(Effect.as(f(value), value), (error) => Effect.succeed(new Failed(error)))
      return (rows) => Stream.mapEffect(rows, guarded ? keep : (value) => Effect.as(f(value), value))
    }
    case "Catch": {
      const f = operator.f
      return (rows) =>
        Stream.mapEffect(
          // What is not the failure of one element (a partition's own stream) ends the partition with the handler's value.
          Stream.catch(rows, (error) => Stream.succeed(new Failed(error))),
          (value) => value instanceof Failed ? f(value.error) : Effect.succeed(value)
        )
    }
    case "MapPartitions": {
      const { f, oneToOne } = operator
      if (oneToOne) return (rows, task) => f(rows, task)
      return (rows, task) =>
        countRows(
          f(countRows(rows, (n) => task.metrics.rowsFiltered += n), task),
          (n) => task.metrics.rowsFiltered -= n
        )
    }
    case "Provide": {
      const layer = operator.layer
      return (rows, task) =>
        Stream.unwrap(Effect.map(task.services(layer), (services) => Stream.provideContext(rows, services)))
    }
  }
}

/**
 * Compiles a run of narrow operators, first to last. Between the start of the run (or a step that is not element-wise) and a
 * `Catch`, elements that failed travel as `Failed`; elsewhere the first failure ends the partition.
 */
export const compile = (operators: ReadonlyArray<Operator>): Chain => {
  const lastCatch = operators.findLastIndex((operator) => operator._tag === "Catch")
  const stages: Array<Chain> = []
  let index = 0
  for (const group of fuse(operators)) {
    const guarded = index < lastCatch
    const pure = group.filter(isPure)
    if (pure.length > 0) {
      const pass = compilePure(pure, guarded)
      stages.push((rows, task) => mapArrays(rows, pass(task)))
    } else {
      for (const operator of group) if (!isPure(operator)) stages.push(compileOperator(operator, guarded))
    }
    index += group.length
  }
  return (rows, task) => stages.reduce((current, stage) => stage(current, task), rows)
}
