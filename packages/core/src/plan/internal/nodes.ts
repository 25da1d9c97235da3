/** How each node of a plan becomes part of a stage. */
import { Stream } from "effect"
import { elementAt } from "../../codec/internal/elements.ts"
import { heaviestHosts } from "../../storage/internal/hosts.ts"
import { countRows, dropping, droppingOne } from "../../task/internal/account.ts"
import { compile, fuse } from "../../task/internal/chain.ts"
import { cartesian, divert, withFailed } from "../../task/internal/exchange.ts"
import { Failed } from "../../task/internal/failed.ts"
import type { Rows } from "../../task/internal/rows.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import { type Offsets, offsetsOf } from "../../task/internal/values.ts"
import * as Operator from "../../task/Operator.ts"
import * as Plan from "../Plan.ts"
import type { Kept, Partition, StageWork } from "../Stage.ts"
import { type Measure, sumOrUndefined } from "./adaptive.ts"
import {
  type Downstream,
  type Building,
  inputSteps,
  keptOf,
  parentsOf,
  type Planning,
  provided,
  unskewed
} from "./building.ts"
import { goneFrom } from "./cached.ts"
import { planExchange } from "./exchange.ts"
import { indeterminateNote } from "./indeterminate.ts"
import { runOf } from "./run.ts"
import { coalesce, scan } from "./scan.ts"

type Node<Tag extends Plan.Plan["_tag"]> = Extract<Plan.Plan, { readonly _tag: Tag }>

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
  return {
    bytes: (index, valueOf) => {
      const { measure, partition } = elementAt(of, index)
      return measure.bytes(partition, valueOf)
    }
  }
}

// The position of the first row of each partition, from the numbers of rows of all.
const sumUp = (counts: ReadonlyArray<number>): Offsets => {
  const offsets: Array<number> = []
  let sum = 0
  for (const rows of counts) {
    offsets.push(sum)
    sum += rows
  }
  return { _tag: "Offsets", offsets }
}

const countsRows: StageWork = {
  ahead: true,
  task: (rows) =>
    Stream.runFold(
      Stream.chunks(rows),
      () => 0,
      (sum, values) => sum + values.length
    ),
  combine: sumUp
}

// The splits of a source, one partition each.
const readNode = (planning: Planning, node: Node<"Read">): Building => {
  if (node.source.invalid !== undefined) {
    planning.refuse(node.source.name, node.source.invalid)
  }
  const resolved = planning.metadata.get(node.source)
  const partitions = resolved === undefined ? [] : resolved.splits.map(scan)
  const size = partitions.reduce((sum, partition) => sum + partition.bytes, 0)
  return {
    partitions,
    parents: [],
    steps: [`${Plan.label(node)}${resolved?.note === undefined ? "" : `, ${resolved.note}`}`],
    hasPlaces: true,
    givesLines: resolved !== undefined && resolved.splits.every((split) => split.lines !== undefined),
    size: size > 0 ? size : undefined
  }
}

// The partitions of several inputs, side by side.
const zipPartitionsNode = (planning: Planning, node: Node<"ZipPartitions">, downstream: Downstream): Building => {
  const inputs = node.inputs.map((input) => planning.build(input, { ...downstream, keepsPartitions: true }))
  const counts = inputs.map((input) => input.partitions.length)
  if (counts.some((count) => count !== counts[0])) {
    planning.refuse(node.name, `its inputs have ${counts.join(" and ")} partitions; they must have the same number`)
  }
  return {
    partitions: Array.from({ length: Math.min(...counts) }, (_, index) =>
      inputs.map((input) => elementAt(input.partitions, index))
    ).map((beside): Partition => ({
      split: undefined,
      rows: undefined,
      bytes: beside.reduce((sum, partition) => sum + partition.bytes, 0),
      hosts: heaviestHosts(beside),
      read: (task) => {
        const failed: Array<Failed> = []
        return withFailed(
          dropping(
            beside.map((partition) => divert(partition.read(task), downstream.guard, failed, task)),
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

// Every partition of one input with every one of the other.
const cartesianNode = (planning: Planning, node: Node<"Cartesian">, downstream: Downstream): Building => {
  const left = planning.build(node.inputs[0], downstream)
  const right = planning.build(node.inputs[1], downstream)
  return {
    partitions: left.partitions.flatMap((one) =>
      right.partitions.map((other): Partition => ({
        split: undefined,
        rows: one.rows === undefined || other.rows === undefined ? undefined : one.rows * other.rows,
        bytes: one.bytes + other.bytes,
        hosts: heaviestHosts([one, other]),
        read: (task) => {
          const failed: Array<Failed> = []
          const right = () => countDropped(divert(other.read(task), downstream.guard, failed, task), task)
          return withFailed(
            droppingOne(divert(one.read(task), downstream.guard, failed, task), task, (rows) => cartesian(rows, right)),
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

// Partitions that are kept are read from the cache; the others are kept as they pass.
const cacheNode = (planning: Planning, node: Node<"Cache">, downstream: Downstream): Building => {
  const child = planning.build(node.child, { ...downstream, keepsPartitions: true })
  const { cached } = planning.options
  const { handle } = node
  if (cached === undefined)
    return { ...child, hasPlaces: false, givesLines: false, steps: [Plan.label(node), ...child.steps] }
  const { count, run: whole } = cached.kept(handle, child.partitions.length)
  const kept: Kept | undefined =
    whole === undefined || child.parents.length === 0 ? undefined : { id: handle.id, stages: child.parents, run: whole }
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
    // What passes is kept, so all of it has to pass, and as what it is.
    hasPlaces: false,
    givesLines: false,
    kept: kept === undefined ? child.kept : [kept, ...(child.kept ?? [])],
    measure: kept === undefined ? unskewed(child.measure) : undefined,
    steps: [
      `${Plan.label(node)}, ${count} of ${child.partitions.length} partitions kept`,
      ...(whole === undefined ? child.steps : [])
    ]
  }
}

// Consecutive steps that work on one partition alone.
const narrowNode = (planning: Planning, node: Node<"Narrow">, downstream: Downstream): Building => {
  const operators: Array<Operator.Operator> = []
  let below: Plan.Plan = node
  let note = ""
  while (below._tag === "Narrow") {
    note = indeterminateNote(below) || note
    operators.unshift(below.operator)
    below = below.child
  }
  const { chain, guard } = compile(operators, downstream.guard)
  const layers = operators.flatMap((operator) => (operator._tag === "Provide" ? [operator.layer] : []))
  const child = planning.build(below, { ...downstream, guard, layers: [...layers, ...downstream.layers] })
  const sameRows = operators.every(Operator.keepsRows)
  const divisible = operators.every(Operator.isDivisible)
  return {
    partitions: child.partitions.map((partition, index) => ({
      ...partition,
      rows: sameRows ? partition.rows : undefined,
      read: (task) => chain(partition.read(task), task, index)
    })),
    parents: child.parents,
    partitioner: operators.every(Operator.keepsKeys) ? child.partitioner : undefined,
    size: operators.some(Operator.mayGrow) ? undefined : child.size,
    hasPlaces: child.hasPlaces === true && divisible,
    measure: divisible ? child.measure : unskewed(child.measure),
    kept: child.kept,
    steps: [
      ...fuse(operators)
        .map((group) => {
          const labels = group.map(Operator.label).join(", ")
          return group.length === 1 ? labels : `Fused(${labels})`
        })
        .toReversed()
        .map((step, index) => (index === 0 ? `${step}${note}` : step)),
      ...child.steps
    ]
  }
}

// The partitions of the inputs, one input after the other.
const unionNode = (planning: Planning, node: Node<"Union">, downstream: Downstream): Building => {
  const inputs = node.inputs.map((input) => planning.build(input, downstream))
  return {
    partitions: inputs.flatMap((input) => input.partitions),
    parents: parentsOf(inputs),
    size: sumOrUndefined(inputs.map((input) => input.size)),
    hasPlaces: inputs.every((input) => input.hasPlaces === true),
    givesLines: inputs.every((input) => input.givesLines === true),
    measure: measureUnion(inputs),
    kept: keptOf(inputs),
    steps: [Plan.label(node), ...inputSteps(inputs)]
  }
}

// Fewer partitions, each a run of the old ones.
const coalesceNode = (planning: Planning, node: Node<"Coalesce">, downstream: Downstream): Building => {
  const child = planning.build(node.child, downstream)
  const partitions = coalesce(child.partitions, node.partitions)
  const partitioner = partitions === child.partitions ? child.partitioner : undefined
  return { ...child, partitions, partitioner, measure: undefined, steps: [Plan.label(node), ...child.steps] }
}

// Pairs of row and position.
const zipWithIndexNode = (planning: Planning, node: Node<"ZipWithIndex">, downstream: Downstream): Building => {
  const child = planning.build(node.child, downstream)
  // With row counts from footers, no counting stage is needed.
  const known = child.partitions.every((partition) => partition.rows !== undefined)
  const offsets =
    known || child.partitions.length < 2
      ? Number.NaN
      : planning.finish(provided(child, downstream.layers), "counts rows for ZipWithIndex", countsRows)
  const fromFooters = sumUp(child.partitions.map((partition) => partition.rows ?? 0))
  return {
    partitions: child.partitions.map((partition, index) => ({
      ...partition,
      read: (task) =>
        Stream.suspend(() => {
          const all = Number.isNaN(offsets) ? fromFooters : offsetsOf(task.stageValue(offsets))
          let position = elementAt(all.offsets, index)
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

/** Plans a node, and what it reads. */
export const buildNode = (planning: Planning, node: Plan.Plan, downstream: Downstream): Building => {
  switch (node._tag) {
    case "Read":
      return readNode(planning, node)
    case "Narrow":
      return narrowNode(planning, node, downstream)
    case "Union":
      return unionNode(planning, node, downstream)
    case "Coalesce":
      return coalesceNode(planning, node, downstream)
    case "ZipWithIndex":
      return zipWithIndexNode(planning, node, downstream)
    case "Exchange":
      return planExchange(planning, node, downstream)
    case "ZipPartitions":
      return zipPartitionsNode(planning, node, downstream)
    case "Cartesian":
      return cartesianNode(planning, node, downstream)
    case "Cache":
      return cacheNode(planning, node, downstream)
    case "Invalid":
      planning.refuse(node.operator, node.detail)
      return { partitions: [], parents: [], steps: [Plan.label(node)] }
  }
}
