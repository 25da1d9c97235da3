/**
 * Turns an optimised logical plan into stages: narrow steps are fused into chains, and a stage ends where a later one needs all
 * of its results. A pure function of the plan and of what the sources' metadata said.
 *
 * @since 0.1.0
 */
import { Effect, type Layer, Stream } from "effect"
import type { FormatError } from "./FormatError.ts"
import type { Resolved, Source, Split } from "./Format.ts"
import { compile, Failed, fuse, provideLayer } from "./internal/task/chain.ts"
import { rowsIn } from "./internal/task/metrics.ts"
import type { TaskRuntime } from "./internal/task/runtime.ts"
import { InputFailed } from "./JobError.ts"
import * as Plan from "./Plan.ts"
import type { Partition, Stage, StageGraph, StageWork } from "./Stage.ts"
import { Current } from "./TaskContext.ts"

/**
 * What the metadata of each source of the plan said.
 *
 * @category models
 * @since 0.1.0
 */
export type Metadata = ReadonlyMap<Source<unknown>, Resolved<unknown>>

// What the steps after a node mean for it.
interface After {
  /** Elements that failed travel on as `Failed`: a `Catch` takes them. */
  readonly guarded: boolean
  /** Layers provided to it, the nearest first. A stage that ends here has to provide them to itself. */
  readonly layers: ReadonlyArray<Layer.Layer<never, unknown, unknown>>
}

// The part of a stage that is planned so far.
interface Building {
  readonly partitions: ReadonlyArray<Partition>
  readonly parents: ReadonlyArray<number>
  readonly steps: ReadonlyArray<string>
}

const abortOn = <A, R>(
  rows: Stream.Stream<A, FormatError, R>,
  task: TaskRuntime
): Stream.Stream<A, never, R> =>
  Stream.catch(rows, (error) => Stream.fromEffect(task.abort(new InputFailed({ error }))))

const scan = (split: Split<unknown>): Partition => ({
  split: { id: split.id, label: split.label, parts: split.parts, rows: split.rows, bytes: split.bytes },
  rows: split.rows,
  bytes: split.bytes,
  hosts: split.hosts,
  read: (task) => {
    // Bytes are counted as their share of the rows, so that progress moves within a split; formats that do not know their
    // rows count the whole split at its end.
    let bytes = 0
    const rowsOf = split.rowsOf?.bind(split)
    // A row the source itself sets aside was read all the same.
    const source: TaskRuntime = {
      ...task,
      deadLetter: (letter) => {
        task.metrics.rowsRead++
        task.metrics.elementsRead++
        return task.deadLetter(letter)
      }
    }
    const read = Stream.provideService(split.read, Current, source)
    const counted = Stream.mapArray(read, (rows) => {
      const n = rowsIn(rows, rowsOf)
      task.metrics.rowsRead += n
      task.metrics.elementsRead += rows.length
      if (split.rows !== undefined && split.rows > 0) {
        const share = Math.min(split.bytes - bytes, Math.round(n / split.rows * split.bytes))
        bytes += share
        task.metrics.bytesRead += share
      }
      return rows
    })
    const ended = Effect.sync(() => {
      task.metrics.bytesRead += split.bytes - bytes
      bytes = split.bytes
    })
    return abortOn(Stream.concat(counted, Stream.fromEffectDrain(ended)), task)
  }
})

// Runs of the child's partitions with about the same number of bytes (or of partitions, where bytes are not known), in order.
const coalesce = (partitions: ReadonlyArray<Partition>, target: number): ReadonlyArray<Partition> => {
  if (partitions.length <= target) return partitions
  const weights = partitions.some((partition) => partition.bytes > 0)
    ? partitions.map((partition) => partition.bytes)
    : partitions.map(() => 1)
  const groups: Array<Array<Partition>> = []
  let left = weights.reduce((sum, weight) => sum + weight, 0)
  let next = 0
  for (let g = 0; g < target; g++) {
    const share = left / (target - g)
    const group: Array<Partition> = []
    let weight = 0
    // Every group gets at least one, and leaves at least one for each group after it.
    while (
      next < partitions.length && partitions.length - next > target - g - 1 &&
      (group.length === 0 || g === target - 1 || weight + weights[next]! / 2 <= share)
    ) {
      weight += weights[next]!
      group.push(partitions[next++]!)
    }
    left -= weight
    groups.push(group)
  }
  return groups.map((group): Partition => {
    const rows = group.map((partition) => partition.rows)
    return {
      split: {
        id: group.map((partition) => partition.split?.id ?? "").join("+"),
        label: group.length === 1 ? group[0]!.split?.label ?? "" : `${group[0]!.split?.label ?? ""} and ${group.length - 1} more`,
        parts: group.flatMap((partition) => partition.split?.parts ?? []),
        rows: sumOrUndefined(rows),
        bytes: group.reduce((sum, partition) => sum + partition.bytes, 0)
      },
      rows: sumOrUndefined(rows),
      bytes: group.reduce((sum, partition) => sum + partition.bytes, 0),
      hosts: [...new Set(group.flatMap((partition) => partition.hosts))],
      read: (task) => Stream.flatMap(Stream.fromArray(group), (partition) => partition.read(task))
    }
  })
}

const sumOrUndefined = (values: ReadonlyArray<number | undefined>): number | undefined => {
  let sum = 0
  for (const value of values) {
    if (value === undefined) return undefined
    sum += value
  }
  return sum
}

const keepsRowCount = (operator: Plan.Operator): boolean => {
  switch (operator._tag) {
    case "Map":
    case "Select":
    case "MapEffect":
    case "Tap":
    case "Catch":
    case "Provide":
      return true
    case "MapPartitions":
      return operator.oneToOne
    default:
      return false
  }
}

const countRows: StageWork = {
  task: (rows) => Stream.runFold(Stream.chunks(rows), () => 0, (sum, values) => sum + values.length),
  combine: (results) => {
    const offsets: Array<number> = []
    let sum = 0
    for (const rows of results) {
      offsets.push(sum)
      sum += Number(rows)
    }
    return offsets
  }
}

/**
 * Plans the stages.
 *
 * @category constructors
 * @since 0.1.0
 */
export const plan = (logical: Plan.Plan, metadata: Metadata, action: string): StageGraph => {
  const stages: Array<Stage> = []

  const finish = (building: Building, why: string, work: StageWork | undefined): number => {
    const id = stages.length
    stages.push({ ...building, id, why, work })
    return id
  }

  const provided = (building: Building, layers: After["layers"]): Building =>
    layers.length === 0 ? building : {
      ...building,
      partitions: building.partitions.map((partition) => ({
        ...partition,
        read: (task) => layers.reduce((rows, layer) => provideLayer(rows, task, layer), partition.read(task))
      }))
    }

  const build = (node: Plan.Plan, after: After): Building => {
    switch (node._tag) {
      case "Read": {
        const resolved = metadata.get(node.source)
        return {
          partitions: resolved === undefined ? [] : resolved.splits.map(scan),
          parents: [],
          steps: [Plan.label(node)]
        }
      }
      case "Narrow": {
        const operators: Array<Plan.Operator> = []
        let below: Plan.Plan = node
        while (below._tag === "Narrow") {
          operators.unshift(below.operator)
          below = below.child
        }
        const { chain, guarded } = compile(operators, after.guarded)
        const layers = operators.flatMap((operator) => operator._tag === "Provide" ? [operator.layer] : [])
        const child = build(below, { guarded, layers: [...layers, ...after.layers] })
        const sameRows = operators.every(keepsRowCount)
        return {
          partitions: child.partitions.map((partition, index) => ({
            ...partition,
            rows: sameRows ? partition.rows : undefined,
            read: (task) => chain(partition.read(task), task, index)
          })),
          parents: child.parents,
          steps: [
            ...fuse(operators).map((group) =>
              group.length === 1
                ? Plan.operatorLabel(group[0]!)
                : `Fused(${group.map(Plan.operatorLabel).join(", ")})`
            ).reverse(),
            ...child.steps
          ]
        }
      }
      case "Union": {
        const inputs = node.inputs.map((input) => build(input, after))
        return {
          partitions: inputs.flatMap((input) => input.partitions),
          parents: [...new Set(inputs.flatMap((input) => input.parents))],
          steps: [Plan.label(node), ...inputs.flatMap((input) => input.steps.map((step) => `  ${step}`))]
        }
      }
      case "Coalesce": {
        const child = build(node.child, after)
        const partitions = coalesce(child.partitions, node.partitions)
        return { ...child, partitions, steps: [Plan.label(node), ...child.steps] }
      }
      case "ZipWithIndex": {
        const child = build(node.child, after)
        // Row counts from footers make the counting stage needless.
        const known = child.partitions.every((partition) => partition.rows !== undefined)
        const offsets = known || child.partitions.length < 2
          ? Number.NaN
          : finish(provided(child, after.layers), "counts rows for ZipWithIndex", countRows)
        const fromFooters = countRows.combine(child.partitions.map((partition) => partition.rows ?? 0))
        return {
          partitions: child.partitions.map((partition, index) => ({
            ...partition,
            read: (task) =>
              Stream.suspend(() => {
                const all = Number.isNaN(offsets) ? fromFooters : task.stageValue(offsets)
                let position = Array.isArray(all) ? Number(all[index]) : 0
                return Stream.map(partition.read(task), (value) => {
                  const index = position++
                  return value instanceof Failed ? value : [value, index] as const
                })
              })
          })),
          parents: Number.isNaN(offsets) ? child.parents : [...child.parents, offsets],
          steps: [Plan.label(node), ...child.steps]
        }
      }
    }
  }

  finish(build(logical, { guarded: false, layers: [] }), `result of ${action}`, undefined)
  return { stages, fingerprint: Plan.fingerprint(logical) }
}

/**
 * Reads the metadata of every source of a plan, all at once: what {@link plan} needs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolve = Effect.fn("Planner.resolve")(function*(
  logical: Plan.Plan,
  options: Parameters<Source<unknown>["resolve"]>[0]
) {
  const sources = [...new Set(Plan.sources(logical))]
  const resolved = yield* Effect.forEach(sources, (source) => source.resolve(options), { concurrency: 8 })
  return new Map(sources.map((source, index) => [source, resolved[index]!] as const))
})
