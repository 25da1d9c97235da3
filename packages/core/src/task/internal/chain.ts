import { Array as Arr, Effect, type Layer, Predicate, Stream } from "effect"
import { PartitionFailed } from "../JobError.ts"
import { isPure, type Operator, type Pure } from "../Operator.ts"
import * as Origin from "../Origin.ts"
import { Failed, type Guard, guardedBy, streamed, takes } from "./failed.ts"
import { droppingOne, segment } from "./account.ts"
import { compilePure, type Pass } from "./passes.ts"
import type { Rows } from "./rows.ts"
import type { TaskRuntime } from "./runtime.ts"

/**
 * A compiled run of narrow operators. `partition` is the partition of the dataset before it, which is the task's own
 * except after a `coalesce` or a `union`.
 */
export type Chain = (rows: Rows, task: TaskRuntime, partition: number) => Rows

// One step of a chain. `drop` takes the number of rows that the step dropped, less those that it added.
type Step = (rows: Rows, task: TaskRuntime, partition: number, drop: (n: number) => void) => Rows

/** Where the chain is cut into passes: pure operators together, every effectful one alone. For `explain`. */
export const fuse = (operators: ReadonlyArray<Operator>): ReadonlyArray<ReadonlyArray<Operator>> => {
  const groups: Array<[Operator, ...Array<Operator>]> = []
  for (const operator of operators) {
    const last = groups.at(-1)
    if (last !== undefined && isPure(operator) && isPure(last[0])) last.push(operator)
    else groups.push([operator])
  }
  return groups
}

// As `Stream.mapArray`, but for a function that may return an empty array.
export const mapArrays = (rows: Rows, pass: (values: ReadonlyArray<unknown>) => ReadonlyArray<unknown>): Rows =>
  Stream.transformPull(rows, (pull) => {
    const next: typeof pull = Effect.flatMap(pull, (values) => {
      const result = pass(values)
      return Arr.isReadonlyArrayNonEmpty(result) ? Effect.succeed(result) : next
    })
    return Effect.succeed(next)
  })

// Where a step makes many elements from one, a pass takes as many rows as make about this many elements. So few are dead
// when the collector next comes. It would find many alive, and V8 would then allocate what the program's functions
// return as old objects at once: these keep the young ones that they refer to until the whole heap is collected.
const MADE = 256
const ROWS = { first: 16, most: 512 }

// The origin of what follows in an array.
const originFrom = (origin: Origin.Origin, start: number): Origin.Origin =>
  origin.kept === undefined
    ? { ...origin, firstRow: origin.firstRow + start }
    : { ...origin, kept: origin.kept.subarray(start) }

/** As {@link mapArrays}, for a pass that makes many elements from one. */
const mapPieces = (rows: Rows, pass: Pass): Rows =>
  Stream.transformPull(rows, (pull) => {
    let values: ReadonlyArray<unknown> = []
    let origin: Origin.Origin | undefined
    let at = 0
    let size = ROWS.first
    const next: typeof pull = Effect.suspend(() => {
      while (at < values.length) {
        const piece = values.slice(at, at + size)
        const made = pass(piece, origin && originFrom(origin, at))
        at += piece.length
        const fitting = Math.floor((piece.length * MADE) / made.length)
        size = Math.max(1, Math.min(fitting, 2 * size, ROWS.most))
        if (Arr.isReadonlyArrayNonEmpty(made)) return Effect.succeed(made)
      }
      values = []
      return Effect.flatMap(pull, (array) => {
        values = array
        origin = Origin.of(array)
        at = 0
        return next
      })
    })
    return Effect.succeed(next)
  })

/** Provides the services of a layer to a stream. */
export const provideLayer = (rows: Rows, task: TaskRuntime, layer: Layer.Layer<never, unknown, unknown>): Rows =>
  Stream.unwrap(Effect.map(task.services(layer), (services) => Stream.provideContext(rows, services)))

// Elements that failed before a step that cannot see them bypass it, and come out with its next results.
const past = (rows: Rows, f: (rows: Rows) => Rows): Rows =>
  Stream.suspend(() => {
    let failed: Array<unknown> = []
    const take = () => {
      const taken = failed
      failed = []
      return taken
    }
    const others = mapArrays(rows, (values) => {
      if (!values.some((value) => value instanceof Failed)) return values
      failed.push(...values.filter((value) => value instanceof Failed))
      return values.filter((value) => !(value instanceof Failed))
    })
    return Stream.concat(
      mapArrays(f(others), (values) => (failed.length === 0 ? values : [...values, ...take()])),
      Stream.suspend(() => Stream.fromArray(take()))
    )
  })

// The first failed element ends the partition, because nothing handles it.
const failAtFirst = (rows: Rows): Rows =>
  Stream.mapArrayEffect(rows, (values) => {
    const failed = values.find((value) => value instanceof Failed)
    return failed instanceof Failed ? Effect.fail(failed.error) : Effect.succeed(values)
  })

const compileOperator = (operator: Exclude<Operator, Pure>, guard: Guard): Step => {
  const guarded = guard.travels
  const orFailed = (effect: Effect.Effect<unknown, unknown, unknown>, rows: number) =>
    guarded ? Effect.catch(effect, (error) => Effect.succeed(new Failed(error, rows))) : effect
  switch (operator._tag) {
    case "MapEffect":
    case "Tap": {
      const { concurrency, f, unordered } =
        operator._tag === "Tap"
          ? { f: (value: unknown) => Effect.as(operator.f(value), value), concurrency: 1, unordered: false }
          : operator
      return (rows, { rowsOf }, _, drop) => {
        const g =
          rowsOf === undefined
            ? f
            : (value: unknown) =>
                Effect.map(f(value), (result) => {
                  drop(rowsOf(value) - rowsOf(result))
                  return result
                })
        const guardedG = (value: unknown) =>
          value instanceof Failed ? Effect.succeed(value) : orFailed(g(value), rowsOf?.(value) ?? 1)
        return Stream.mapEffect(rows, guarded ? guardedG : (value) => g(value), { concurrency, unordered })
      }
    }
    case "Catch": {
      const { f, tag } = operator
      const handles = (error: unknown) => tag === undefined || Predicate.isTagged(error, tag)
      return (rows, { abort, rowsOf }, _, drop) => {
        const handle = (value: unknown) => {
          if (!(value instanceof Failed)) return Effect.succeed(value)
          if (!handles(value.error)) return guarded ? Effect.succeed(value) : Effect.fail(value.error)
          const handled =
            rowsOf === undefined
              ? f(value.error)
              : Effect.map(f(value.error), (result) => {
                  drop(value.rows - rowsOf(result))
                  return result
                })
          return orFailed(handled, value.rows)
        }
        // A failed stream yields no more rows, so continuing without them would lose them.
        const whole = Stream.catch(rows, (error) =>
          handles(error) ? Stream.fromEffect(abort(new PartitionFailed({ error }))) : Stream.fail(error)
        )
        return Stream.mapEffect(whole, handle)
      }
    }
    case "MapPartitions": {
      const { elementwise, f, oneToOne } = operator
      const handled = (error: unknown) => guarded && takes(guard, error)
      if (elementwise && guarded) return (rows, task) => past(rows, (others) => f(others, task, handled))
      if (elementwise) return (rows, task) => failAtFirst(f(rows, task, handled))
      if (oneToOne) return (rows, task) => f(rows, task, handled)
      return (rows, task) => droppingOne(rows, task, (rows) => f(rows, task, handled))
    }
    case "Provide": {
      const layer = operator.layer
      return (rows, task) => provideLayer(rows, task, layer)
    }
  }
}

/**
 * Compiles a run of narrow operators, first to last. Failed elements travel as `Failed` to the next `Catch`, which may
 * be in a later run (`guard`), and bypass the pure steps in between. If there is no `Catch`, or a step that sees the
 * partition's stream lies between, the first failure ends the partition. `guard` of the result says the same about the
 * rows that the run takes.
 */
export const compile = (
  operators: ReadonlyArray<Operator>,
  guard: Guard
): { readonly chain: Chain; readonly guard: Guard } => {
  // Steps after one that may end before its input does have a separate account.
  const backwards: Array<{ readonly step: Step; readonly holds: boolean; readonly apart: boolean }> = []
  let current = guard
  // Backwards, because later steps decide whether an element may fail here.
  for (const group of fuse(operators).toReversed()) {
    const pure = group.filter(isPure)
    if (pure.length > 0) {
      const pass = compilePure(pure, current.travels)
      const grows = pure.some((operator) => operator._tag === "FlatMap")
      backwards.push({
        step: (rows, { weigh }, partition, drop) => {
          const run = pass(partition, drop, weigh)
          return grows ? mapPieces(rows, run) : mapArrays(rows, (values) => run(values, Origin.of(values)))
        },
        holds: grows,
        apart: false
      })
      continue
    }
    for (const operator of group) {
      if (isPure(operator)) continue
      const streams = operator._tag === "MapPartitions" && !operator.elementwise
      backwards.push({
        step: compileOperator(operator, current),
        holds: operator._tag !== "Provide",
        apart: streams && !operator.oneToOne
      })
      if (operator._tag === "Catch") current = guardedBy(current, operator.tag)
      else if (streams) current = streamed(current)
    }
  }
  const segments: Array<{ steps: Array<Step>; holds: boolean; apart: boolean }> = []
  for (const { apart, holds, step } of backwards.toReversed()) {
    const last = segments.at(-1)
    if (last === undefined || apart || last.apart) segments.push({ steps: [step], holds, apart })
    else {
      last.steps.push(step)
      last.holds ||= holds
    }
  }
  return {
    chain: (rows, task, partition) => {
      const filter = (n: number) => {
        task.metrics.rowsFiltered += n
      }
      return segments.reduce((rows, { apart, holds, steps }) => {
        const run = (rows: Rows, drop: (n: number) => void) =>
          steps.reduce((current, step) => step(current, task, partition, drop), rows)
        return holds && !apart ? segment(rows, task, run) : run(rows, filter)
      }, rows)
    },
    guard: current
  }
}
