/**
 * Turns an optimised logical plan into stages: narrow steps are fused into chains, and a stage ends where a later one needs all
 * of its results. A pure function of the plan and of what the sources' metadata said.
 *
 * @stability unstable
 * @since 0.1.0
 */
import { Effect, Stream } from "effect"
import type { Resolved, Source } from "../task/Format.ts"
import { heaviestHosts } from "../storage/internal/hosts.ts"
import { adapt, type Measure, sumOrUndefined } from "./internal/adaptive.ts"
import {
  type After,
  type Building,
  keptOf,
  inputSteps,
  type Options,
  parentsOf,
  type Planning,
  provided,
  unskewed
} from "./internal/building.ts"
import { planExchange } from "./internal/exchange.ts"
import { indeterminateNote } from "./internal/indeterminate.ts"
import { goneFrom } from "./internal/cached.ts"
import { runOf } from "./internal/run.ts"
import { coalesce, scan } from "./internal/scan.ts"
import { cartesian, divert, withFailed } from "./internal/wide.ts"
import { countRows, dropping } from "../task/internal/account.ts"
import { compile, fuse } from "../task/internal/chain.ts"
import { Failed, sameGuard, unguarded } from "../task/internal/failed.ts"
import type { Rows } from "../task/internal/rows.ts"
import type { TaskRuntime } from "../task/internal/runtime.ts"
import { InvalidPlan } from "../task/JobError.ts"
import * as Operator from "../task/Operator.ts"
import * as Plan from "./Plan.ts"
import type { Kept, Partition, Stage, StageGraph, StageWork } from "./Stage.ts"

export type { Options } from "./internal/building.ts"

/**
 * What the metadata of each source of the plan said.
 *
 * @category models
 * @since 0.1.0
 */
export type Metadata = ReadonlyMap<Source<unknown>, Resolved<unknown>>

const countDropped = (rows: Rows, task: TaskRuntime): Rows =>
  countRows(rows, task, (n) => {
    task.metrics.rowsFiltered += n
  })

// The partitions of one input after those of another.
const measureUnion = (inputs: ReadonlyArray<Building>): Measure | undefined => {
  const of: Array<{ readonly measure: Measure; readonly partition: number }> = []
  for (const { measure, partitions } of inputs) {
    if (measure === undefined) return undefined
    for (const partition of partitions.keys()) of.push({ measure, partition })
  }
  return { bytes: (partition, valueOf) => of[partition]?.measure.bytes(of[partition].partition, valueOf) ?? 0 }
}

const offsetsOf: StageWork = {
  ahead: true,
  task: (rows) =>
    Stream.runFold(
      Stream.chunks(rows),
      () => 0,
      (sum, values) => sum + values.length
    ),
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
export const plan = (
  logical: Plan.Plan,
  metadata: Metadata,
  action: string,
  options: Options = { broadcastBytes: 10 * 1024 * 1024 }
): StageGraph => {
  const stages: Array<Stage> = []
  let invalid: InvalidPlan | undefined
  let undecided: number | undefined
  const { adaptive } = options

  const finish = (building: Building, why: string, work: StageWork | undefined, shuffles = false): number => {
    const id = stages.length
    const { kept, measure, parents, partitions, steps } = building
    // What the other inner stages yield is by partition.
    const adapts = adaptive !== undefined && measure !== undefined && (shuffles || work === undefined)
    stages.push({
      id,
      partitions,
      adapt: adapts ? (valueOf, slots) => adapt(partitions, measure, adaptive, valueOf, slots) : undefined,
      parents,
      kept: kept ?? [],
      steps,
      why,
      work,
      shuffles
    })
    return id
  }
  const planning: Planning = {
    options,
    build: (node, after) => build(node, after),
    finish,
    decideBy: (stage) => {
      undecided ??= stage
      return undecided === stage
    }
  }

  // A node that is an input of several others is planned once, unless they mean different things for it.
  const built = new Map<Plan.Plan, Array<{ readonly after: After; readonly building: Building }>>()
  const open = new Map<Plan.Plan, boolean>()
  // Whether its plan may hang on what is written at run time.
  const isOpen = (node: Plan.Plan): boolean => {
    const known = open.get(node)
    if (known !== undefined) return known
    const found = (node._tag === "Exchange" && node.broadcast !== undefined) || Plan.inputs(node).some(isOpen)
    open.set(node, found)
    return found
  }
  const build = (node: Plan.Plan, after: After): Building => {
    const known = built.get(node) ?? []
    const same = known.find(
      (other) =>
        sameGuard(other.after.guard, after.guard) &&
        (other.after.steady === after.steady || !isOpen(node)) &&
        other.after.layers.length === after.layers.length &&
        other.after.layers.every((layer, index) => layer === after.layers[index])
    )
    if (same !== undefined) return same.building
    const building = buildNode(node, after)
    known.push({ after, building })
    built.set(node, known)
    return building
  }

  const buildNode = (node: Plan.Plan, after: After): Building => {
    switch (node._tag) {
      case "Read": {
        if (node.source.invalid !== undefined) {
          invalid ??= new InvalidPlan({ operator: node.source.name, detail: node.source.invalid })
        }
        const resolved = metadata.get(node.source)
        const partitions = resolved === undefined ? [] : resolved.splits.map(scan)
        const size = partitions.reduce((sum, partition) => sum + partition.bytes, 0)
        return {
          partitions,
          parents: [],
          steps: [`${Plan.label(node)}${resolved?.note === undefined ? "" : `, ${resolved.note}`}`],
          size: size > 0 ? size : undefined
        }
      }
      case "Exchange":
        return planExchange(planning, node, after)
      case "Invalid":
        invalid ??= new InvalidPlan({ operator: node.operator, detail: node.detail })
        return { partitions: [], parents: [], steps: [Plan.label(node)] }
      case "ZipPartitions": {
        const inputs = node.inputs.map((input) => build(input, { ...after, steady: true }))
        const counts = inputs.map((input) => input.partitions.length)
        if (counts.some((count) => count !== counts[0])) {
          invalid ??= new InvalidPlan({
            operator: node.name,
            detail: `its inputs have ${counts.join(" and ")} partitions; they must have as many`
          })
        }
        return {
          partitions: Array.from({ length: Math.min(...counts) }, (_, index): Partition => ({
            split: undefined,
            rows: undefined,
            bytes: inputs.reduce((sum, input) => sum + input.partitions[index].bytes, 0),
            hosts: heaviestHosts(inputs.map((input) => input.partitions[index])),
            read: (task) => {
              const failed: Array<Failed> = []
              return withFailed(
                dropping(
                  inputs.map((input) => divert(input.partitions[index].read(task), after.guard, failed, task)),
                  task,
                  (rows) => node.f(rows, task)
                ),
                failed,
                task
              )
            }
          })),
          parents: parentsOf(inputs),
          kept: keptOf(inputs),
          steps: [Plan.label(node), ...inputSteps(inputs)]
        }
      }
      case "Cartesian": {
        const left = build(node.inputs[0], after)
        const right = build(node.inputs[1], after)
        return {
          partitions: left.partitions.flatMap((one) =>
            right.partitions.map((other): Partition => ({
              split: undefined,
              rows: one.rows === undefined || other.rows === undefined ? undefined : one.rows * other.rows,
              bytes: one.bytes + other.bytes,
              hosts: heaviestHosts([one, other]),
              read: (task) => {
                const failed: Array<Failed> = []
                const right = () => countDropped(divert(other.read(task), after.guard, failed, task), task)
                return withFailed(
                  dropping([divert(one.read(task), after.guard, failed, task)], task, ([rows]) =>
                    cartesian(rows, right)
                  ),
                  failed,
                  task
                )
              }
            }))
          ),
          parents: parentsOf([left, right]),
          kept: keptOf([left, right]),
          steps: [Plan.label(node), ...inputSteps([left, right])]
        }
      }
      case "Cache": {
        const child = build(node.child, { ...after, steady: true })
        const { cached } = options
        const { handle } = node
        if (cached === undefined) return { ...child, steps: [Plan.label(node), ...child.steps] }
        const { count, run: whole } = cached.kept(handle, child.partitions.length)
        const kept: Kept | undefined =
          whole === undefined || child.parents.length === 0
            ? undefined
            : { id: handle.id, stages: child.parents, run: whole }
        return {
          ...child,
          partitions: child.partitions.map((partition, index) => ({
            ...partition,
            read: (task) =>
              Stream.suspend(() => {
                const run = runOf(child, task.stageValue)
                const found = cached.get(handle, index, run ?? whole ?? "")
                if (found !== undefined) return found(task)
                return run === undefined
                  ? Stream.fromEffect(task.abort(goneFrom(handle, index)))
                  : cached.put(handle, index, run, partition.read(task), task)
              })
          })),
          parents: kept === undefined ? child.parents : [],
          kept: kept === undefined ? child.kept : [kept, ...(child.kept ?? [])],
          measure: kept === undefined ? unskewed(child.measure) : undefined,
          steps: [
            `${Plan.label(node)}, ${count} of ${child.partitions.length} partitions kept`,
            ...(whole === undefined ? child.steps : [])
          ]
        }
      }
      case "Narrow": {
        const operators: Array<Operator.Operator> = []
        let below: Plan.Plan = node
        let note = ""
        while (below._tag === "Narrow") {
          note = indeterminateNote(below) || note
          operators.unshift(below.operator)
          below = below.child
        }
        const { chain, guard } = compile(operators, after.guard)
        const layers = operators.flatMap((operator) => (operator._tag === "Provide" ? [operator.layer] : []))
        const child = build(below, { ...after, guard, layers: [...layers, ...after.layers] })
        const sameRows = operators.every(Operator.keepsRows)
        return {
          partitions: child.partitions.map((partition, index) => ({
            ...partition,
            rows: sameRows ? partition.rows : undefined,
            read: (task) => chain(partition.read(task), task, index)
          })),
          parents: child.parents,
          partitioner: operators.every(Operator.keepsKeys) ? child.partitioner : undefined,
          size: operators.some(Operator.mayGrow) ? undefined : child.size,
          measure: operators.every(Operator.isDivisible) ? child.measure : unskewed(child.measure),
          kept: child.kept,
          steps: [
            ...fuse(operators)
              .map((group) =>
                group.length === 1 ? Operator.label(group[0]) : `Fused(${group.map(Operator.label).join(", ")})`
              )
              .toReversed()
              .map((step, index) => (index === 0 ? `${step}${note}` : step)),
            ...child.steps
          ]
        }
      }
      case "Union": {
        const inputs = node.inputs.map((input) => build(input, after))
        return {
          partitions: inputs.flatMap((input) => input.partitions),
          parents: parentsOf(inputs),
          size: sumOrUndefined(inputs.map((input) => input.size)),
          measure: measureUnion(inputs),
          kept: keptOf(inputs),
          steps: [Plan.label(node), ...inputSteps(inputs)]
        }
      }
      case "Coalesce": {
        const child = build(node.child, after)
        const partitions = coalesce(child.partitions, node.partitions)
        const partitioner = partitions === child.partitions ? child.partitioner : undefined
        return { ...child, partitions, partitioner, measure: undefined, steps: [Plan.label(node), ...child.steps] }
      }
      case "ZipWithIndex": {
        const child = build(node.child, after)
        // Row counts from footers make the counting stage needless.
        const known = child.partitions.every((partition) => partition.rows !== undefined)
        const offsets =
          known || child.partitions.length < 2
            ? Number.NaN
            : finish(provided(child, after.layers), "counts rows for ZipWithIndex", offsetsOf)
        const fromFooters = offsetsOf.combine(child.partitions.map((partition) => partition.rows ?? 0))
        return {
          partitions: child.partitions.map((partition, index) => ({
            ...partition,
            read: (task) =>
              Stream.suspend(() => {
                const all = Number.isNaN(offsets) ? fromFooters : task.stageValue(offsets)
                let position = Array.isArray(all) ? Number(all[index]) : 0
                return Stream.map(partition.read(task), (value) => {
                  const index = position++
                  return value instanceof Failed ? value : ([value, index] as const)
                })
              })
          })),
          parents: Number.isNaN(offsets) ? child.parents : [...child.parents, offsets],
          kept: child.kept,
          measure: unskewed(child.measure),
          steps: [`${Plan.label(node)}${indeterminateNote(node)}`, ...child.steps]
        }
      }
    }
  }

  finish(build(logical, { guard: unguarded, layers: [], steady: false }), `result of ${action}`, undefined)
  return { stages, fingerprint: Plan.fingerprint(logical), undecided, invalid }
}

/**
 * Reads the metadata of every source of a plan, all at once: what {@link plan} needs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolve = Effect.fn("Planner.resolve")(function* (
  logical: Plan.Plan,
  options: Parameters<Source<unknown>["resolve"]>[0]
) {
  const sources = [...new Set(Plan.sources(logical))].filter((source) => source.invalid === undefined)
  const resolved = yield* Effect.forEach(sources, (source) => source.resolve(options), { concurrency: 8 })
  return new Map(sources.map((source, index) => [source, resolved[index]] as const))
})
