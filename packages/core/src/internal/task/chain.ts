import { Effect, type Layer, Predicate, Result, Stream } from "effect"
import * as Origin from "../../Origin.ts"
import type { Operator } from "../../Plan.ts"
import { sampler } from "./sampler.ts"
import type { TaskRuntime } from "./runtime.ts"

/** The rows of one partition inside the engine, where types are erased. */
export type Rows = Stream.Stream<unknown, unknown, unknown>

/**
 * A compiled run of narrow operators. `partition` is the one of the dataset before it, which is the task's own but after a `coalesce`
 * or a `union`.
 */
export type Chain = (rows: Rows, task: TaskRuntime, partition: number) => Rows

// One step of a chain. `drop` takes the elements the step dropped less those it added.
type Step = (rows: Rows, task: TaskRuntime, partition: number, drop: (n: number) => void) => Rows

type PureOperator = Extract<
  Operator,
  { _tag: "Map" | "Filter" | "FilterMap" | "FlatMap" | "MapArray" | "Select" | "Sample" }
>

/** An element whose effect failed, on its way to the `Catch` that handles it. */
export class Failed {
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
    if (last !== undefined && isPure(operator) && isPure(last[0])) last.push(operator)
    else groups.push([operator])
  }
  return groups
}

const select =
  (columns: ReadonlyArray<string>) =>
  (row: unknown): unknown => {
    const out: Record<string, unknown> = {}
    for (const column of columns) out[column] = (row as Record<string, unknown>)[column]
    return out
  }

// One pass over an array: no Effect, no stream and one array for all the operators. `mapped` arrays are ours to overwrite.
const compilePure =
  (operators: ReadonlyArray<PureOperator>, guarded: boolean) => (partition: number, drop: (n: number) => void) => {
    const steps = operators.map((operator) => (operator._tag === "Sample" ? sampler(operator, partition) : operator))
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
            const before = origin?.kept
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
                  const mapped = step.f(value)
                  if (Result.isFailure(mapped)) continue
                  result = mapped.success
                }
              }
              if (kept !== undefined) kept[n] = before === undefined ? i : before[i]
              target[n++] = result
            }
            target.length = n
            values = target
            owned = true
            if (origin !== undefined && kept !== undefined) origin = { ...origin, kept: kept.subarray(0, n) }
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
              const rest = values.filter((value) => !(value instanceof Failed))
              values = rest.length === 0 ? failures : [...step.f(rest), ...failures]
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
      drop(rowsIn - values.length)
      return Origin.attach(values, owned || values !== input ? origin : undefined)
    }
  }

// As `Stream.mapArray`, but for a function that may leave nothing of an array.
export const mapArrays = (rows: Rows, pass: (values: ReadonlyArray<unknown>) => ReadonlyArray<unknown>): Rows =>
  Stream.transformPull(rows, (pull) => {
    const next: typeof pull = Effect.flatMap(pull, (values) => {
      const result = pass(values)
      return result.length === 0 ? next : Effect.succeed(result as readonly [unknown, ...Array<unknown>])
    })
    return Effect.succeed(next)
  })

// Where a step makes many elements of one, a whole array of the source would become one of millions, which outlive the young
// generation: pieces of it do not.
const PIECE = 512

const pieces = (rows: Rows): Rows =>
  Stream.transformPull(rows, (pull) => {
    let values: ReadonlyArray<unknown> = []
    let at = 0
    const next: typeof pull = Effect.suspend(() => {
      if (at >= values.length) {
        return Effect.flatMap(pull, (array) => {
          if (array.length <= PIECE) return Effect.succeed(array)
          values = array
          at = 0
          return next
        })
      }
      const piece = values.slice(at, at + PIECE)
      at += PIECE
      return Effect.succeed(piece as ReadonlyArray<unknown> as readonly [unknown, ...Array<unknown>])
    })
    return Effect.succeed(next)
  })

export const countRows = (rows: Rows, count: (n: number) => void): Rows =>
  Stream.mapArray(rows, (values) => {
    count(values.length)
    return values
  })

/** Provides the services of a layer to a stream. */
export const provideLayer = (rows: Rows, task: TaskRuntime, layer: Layer.Layer<never, unknown, unknown>): Rows =>
  Stream.unwrap(Effect.map(task.services(layer), (services) => Stream.provideContext(rows, services)))

const compileOperator = (operator: Exclude<Operator, PureOperator>, guarded: boolean): Step => {
  const orFailed = (effect: Effect.Effect<unknown, unknown, unknown>) =>
    guarded ? Effect.catch(effect, (error) => Effect.succeed(new Failed(error))) : effect
  switch (operator._tag) {
    case "MapEffect": {
      const { concurrency, f, unordered } = operator
      const guard = (value: unknown) => (value instanceof Failed ? Effect.succeed(value) : orFailed(f(value)))
      return (rows) => Stream.mapEffect(rows, guarded ? guard : (value) => f(value), { concurrency, unordered })
    }
    case "Tap": {
      const f = operator.f
      const keep = (value: unknown) =>
        value instanceof Failed ? Effect.succeed(value) : orFailed(Effect.as(f(value), value))
      return (rows) => Stream.mapEffect(rows, guarded ? keep : (value) => Effect.as(f(value), value))
    }
    case "Catch": {
      const { f, tag } = operator
      const handle = (value: unknown) => {
        if (!(value instanceof Failed)) return Effect.succeed(value)
        if (tag === undefined || Predicate.isTagged(value.error, tag)) return orFailed(f(value.error))
        return guarded ? Effect.succeed(value) : Effect.fail(value.error)
      }
      return (rows) => Stream.mapEffect(rows, handle)
    }
    case "MapPartitions": {
      const { f, oneToOne } = operator
      if (oneToOne) return (rows, task) => f(rows, task)
      return (rows, task, _, drop) => countRows(f(countRows(rows, drop), task), (n) => drop(-n))
    }
    case "Provide": {
      const layer = operator.layer
      return (rows, task) => provideLayer(rows, task, layer)
    }
  }
}

// Runs steps and counts the elements that went in and neither came out nor were dropped.
const tracked = (steps: ReadonlyArray<Step>, rows: Rows, ...[task, partition, drop]: Tail<Parameters<Step>>) => {
  let inside = 0
  const counting = (n: number) => {
    inside -= n
    drop(n)
  }
  const before = countRows(rows, (n) => (inside += n))
  const after = steps.reduce((current, step) => step(current, task, partition, counting), before)
  return { rows: countRows(after, (n) => (inside -= n)), inside: () => inside }
}

type Tail<T extends ReadonlyArray<unknown>> = T extends readonly [unknown, ...infer Rest] ? Rest : never

// Before a `Catch`: what is not the failure of one element (a partition's own stream) ends the partition with a `Failed`. The rows
// that were read and did not get here are dropped by the program's own will: they count as filtered, or a write would call them lost.
const beforeCatch =
  (steps: ReadonlyArray<Step>): Step =>
  (rows, ...rest) => {
    const before = tracked(steps, rows, ...rest)
    const [, , drop] = rest
    return Stream.catch(before.rows, (error) =>
      Stream.suspend(() => {
        drop(before.inside() - 1)
        return Stream.succeed(new Failed(error))
      })
    )
  }

// The same for a step that may end before its input does.
const mayEndEarly =
  (steps: ReadonlyArray<Step>, step: Step): Step =>
  (rows, ...rest) => {
    const before = tracked(steps, rows, ...rest)
    const [, , drop] = rest
    return Stream.concat(step(before.rows, ...rest), Stream.fromEffectDrain(Effect.sync(() => drop(before.inside()))))
  }

/**
 * Compiles a run of narrow operators, first to last. Elements that failed travel as `Failed` to the next `Catch`, which may be in
 * a later run (`guarded`), and pass the pure steps on the way; where there is none, or a step that sees the partition's stream
 * is between, the first failure ends the partition. `guarded` of the result says the same of the rows the run takes.
 */
export const compile = (
  operators: ReadonlyArray<Operator>,
  guarded: boolean
): { readonly chain: Chain; readonly guarded: boolean } => {
  const backwards: Array<{ readonly step: Step; readonly operator: Operator | undefined }> = []
  let guard = guarded
  // Backwards: what comes later says whether an element may fail here.
  for (const group of fuse(operators).toReversed()) {
    const pure = group.filter(isPure)
    if (pure.length > 0) {
      const pass = compilePure(pure, guard)
      const grows = pure.some((operator) => operator._tag === "FlatMap")
      backwards.push({
        step: (rows, _, partition, drop) => mapArrays(grows ? pieces(rows) : rows, pass(partition, drop)),
        operator: undefined
      })
      continue
    }
    for (const operator of group) {
      if (isPure(operator)) continue
      backwards.push({ step: compileOperator(operator, guard), operator })
      if (operator._tag === "Catch") guard = true
      else if (operator._tag === "MapPartitions") guard = false
    }
  }
  let steps: Array<Step> = []
  for (const { operator, step } of backwards.toReversed()) {
    if (operator?._tag === "Catch") steps = [beforeCatch(steps), step]
    else if (operator?._tag === "MapPartitions" && !operator.oneToOne) steps = [mayEndEarly(steps, step)]
    else steps.push(step)
  }
  return {
    chain: (rows, task, partition) => {
      const drop = (n: number) => {
        task.metrics.rowsFiltered += n
      }
      return steps.reduce((current, step) => step(current, task, partition, drop), rows)
    },
    guarded: guard
  }
}
