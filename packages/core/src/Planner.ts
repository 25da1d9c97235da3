/**
 * Turns an optimised logical plan into stages: narrow steps are fused into chains, and a stage ends where a later one needs all
 * of its results. A pure function of the plan and of what the sources' metadata said.
 *
 * @since 0.1.0
 */
import { Effect, type Layer, Stream } from "effect"
import type { FormatError } from "./FormatError.ts"
import type { Resolved, Source, Split } from "./Format.ts"
import { adapt, joined, type Limits, type Measure, sumOrUndefined } from "./internal/planner/adaptive.ts"
import { keepsKeys } from "./internal/planner/keys.ts"
import {
  balanced,
  type Cached,
  cartesian,
  choose,
  combineMaps,
  divert,
  mapBytes,
  partitionBytes,
  readExchange,
  readWhole,
  separated,
  type Side,
  writeMap
} from "./internal/planner/wide.ts"
import { compile, Failed, fuse, provideLayer, type Rows } from "./internal/task/chain.ts"
import { rowsIn } from "./internal/task/metrics.ts"
import type { TaskRuntime } from "./internal/task/runtime.ts"
import { InputFailed, InvalidPlan } from "./JobError.ts"
import * as Partitioner from "./Partitioner.ts"
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
  /** How many partitions it has matters to them: it is not planned anew when the sizes of shuffles are known. */
  readonly steady: boolean
}

// The part of a stage that is planned so far.
interface Building {
  readonly partitions: ReadonlyArray<Partition>
  readonly parents: ReadonlyArray<number>
  readonly steps: ReadonlyArray<string>
  /** How its rows, which are pairs, are partitioned by their first; `undefined` where that is not known. */
  readonly partitioner?: Partitioner.Partitioner<never> | undefined
  /** Stages that are needed only when a partition that was kept is lost. */
  readonly fallback?: ReadonlyArray<number> | undefined
  /** At most this many bytes, where the sources' metadata and the steps since allow to say. */
  readonly size?: number | undefined
  /** The sizes of its partitions at run time, where tasks may read several of them or parts of one. */
  readonly measure?: Measure | undefined
}

/**
 * The sizes the planner decides by. Defaults are Spark's.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Largest input of a join, in bytes of its files, that every task gets instead of moving both. Default 10 MiB; 0 for never. */
  readonly broadcastBytes: number
  /** How stages that read shuffles are adapted to the sizes they find; not at all where this is missing. */
  readonly adaptive?: Limits | undefined
  /** Bytes that stages have written, those that were `undecided` of the plans before. */
  readonly measured?: ReadonlyMap<number, number> | undefined
  /** Partitions that are kept from earlier actions. */
  readonly cached?: Cached | undefined
}

const abortOn = <A, R>(rows: Stream.Stream<A, FormatError, R>, task: TaskRuntime): Stream.Stream<A, never, R> =>
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
        const share = Math.min(split.bytes - bytes, Math.round((n / split.rows) * split.bytes))
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
      next < partitions.length &&
      partitions.length - next > target - g - 1 &&
      (group.length === 0 || g === target - 1 || weight + weights[next] / 2 <= share)
    ) {
      weight += weights[next]
      group.push(partitions[next++])
    }
    left -= weight
    groups.push(group)
  }
  return groups.map((group) => joined(group, (partition, _, task) => partition.read(task)))
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

// Whether as many bytes at most come out as went in, as far as one can say.
const mayGrow = (operator: Plan.Operator): boolean =>
  operator._tag === "FlatMap" ||
  operator._tag === "MapArray" ||
  operator._tag === "MapPartitions" ||
  (operator._tag === "Sample" && operator.withReplacement)

// The steps of several inputs, indented. One that was there before is named only: a plan is a graph, its print is not to explode.
const inputSteps = (inputs: ReadonlyArray<Building>): ReadonlyArray<string> =>
  inputs.flatMap((input, index) =>
    inputs.indexOf(input) < index ? [`  ${input.steps[0] ?? ""} (again)`] : input.steps.map((step) => `  ${step}`)
  )

const fallbackOf = (inputs: ReadonlyArray<Building>): ReadonlyArray<number> => [
  ...new Set(inputs.flatMap((input) => input.fallback ?? []))
]

const countDropped = (rows: Rows, task: TaskRuntime): Rows =>
  Stream.mapArray(rows, (values) => {
    task.metrics.rowsFiltered += values.length
    return values
  })

// Which input of a join every task may get whole: the smaller one that is small enough.
const broadcastSide = (node: Plan.Exchange, children: ReadonlyArray<Building>, limit: number): 0 | 1 | undefined => {
  const sides = node.broadcast?.sides
  if (sides === undefined) return undefined
  const size = (side: 0 | 1): number => (sides[side] ? (children[side]?.size ?? Infinity) : Infinity)
  const small = size(0) < size(1) ? 0 : 1
  return size(small) <= limit ? small : undefined
}

// Which input of a join might turn out to be small enough, once it is written: the one of which less is known against it.
const broadcastCandidate = (broadcast: Plan.BroadcastPlan, children: ReadonlyArray<Building>): 0 | 1 | undefined => {
  const [left, right] = broadcast.sides
  if (!left || !right) return right ? 1 : left ? 0 : undefined
  return (children[0]?.size ?? Infinity) < (children[1]?.size ?? Infinity) ? 0 : 1
}

// The sizes of the partitions of an exchange, which are all its own: none was asked for.
const measureExchange = (
  node: Plan.Exchange,
  sides: ReadonlyArray<Side | undefined>,
  children: ReadonlyArray<Building>
): Measure | undefined => {
  const { partitioning } = node
  if (partitioning._tag === "Fixed" || (partitioning._tag === "Range" && partitioning.given)) return undefined
  const measures = sides.map((side, index): Measure | undefined =>
    side?._tag === "Moved"
      ? { bytes: (partition, valueOf) => partitionBytes(valueOf(side.stage), partition) }
      : children[index].measure
  )
  const known = measures.filter((measure) => measure !== undefined)
  if (known.length < measures.length) return undefined
  const moved = sides.flatMap((side) => (side?._tag === "Moved" ? [side.stage] : []))
  const { broadcast } = node
  return {
    bytes: (partition, valueOf) => known.reduce((sum, measure) => sum + measure.bytes(partition, valueOf), 0),
    // A part of one side meets the whole of the other: as with a broadcast, which must leave no row of the whole side over.
    skew:
      broadcast === undefined || moved.length < 2
        ? undefined
        : moved.map((stage, index) => ({
            stage,
            splits: broadcast.sides[index === 0 ? 1 : 0],
            bytes: (partition, valueOf) => partitionBytes(valueOf(stage), partition),
            maps: (partition, valueOf) => mapBytes(valueOf(stage), partition)
          }))
  }
}

// The partitions of one input after those of another.
const measureUnion = (inputs: ReadonlyArray<Building>): Measure | undefined => {
  const of: Array<{ readonly measure: Measure; readonly partition: number }> = []
  for (const { measure, partitions } of inputs) {
    if (measure === undefined) return undefined
    for (const partition of partitions.keys()) of.push({ measure, partition })
  }
  return { bytes: (partition, valueOf) => of[partition]?.measure.bytes(of[partition].partition, valueOf) ?? 0 }
}

// Whether a partition may be given to it in parts.
const sparesParts = (operator: Plan.Operator): boolean =>
  operator._tag !== "MapPartitions" && operator._tag !== "Sample"

const unskewed = (measure: Measure | undefined): Measure | undefined =>
  measure?.skew === undefined ? measure : { bytes: measure.bytes }

const parentsOf = (inputs: ReadonlyArray<Building>): ReadonlyArray<number> => [
  ...new Set(inputs.flatMap((input) => input.parents))
]

// What a stage that broadcasts amounts to.
interface Collected {
  readonly blocks: ReadonlyArray<Uint8Array>
  /** Elements that failed, on their way to a `Catch` after the join. */
  readonly failed: ReadonlyArray<Failed>
}

const countRows: StageWork = {
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
    const { fallback, measure, parents, partitions, steps } = building
    // What the other inner stages yield is by partition.
    const adapts = adaptive !== undefined && measure !== undefined && (shuffles || work === undefined)
    stages.push({
      id,
      partitions,
      adapt: adapts ? (valueOf, slots) => adapt(partitions, measure, adaptive, valueOf, slots) : undefined,
      parents,
      fallback: fallback ?? [],
      steps,
      why,
      work,
      shuffles
    })
    return id
  }

  const provided = (building: Building, layers: After["layers"]): Building =>
    layers.length === 0
      ? building
      : {
          ...building,
          partitions: building.partitions.map((partition) => ({
            ...partition,
            read: (task) => layers.reduce((rows, layer) => provideLayer(rows, task, layer), partition.read(task))
          }))
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
        other.after.guarded === after.guarded &&
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

  const exchange = (node: Plan.Exchange, after: After): Building => {
    const children = node.inputs.map((input) => build(input.plan, after))
    const broadcast = broadcastSide(node, children, options.broadcastBytes)
    if (node.broadcast !== undefined && broadcast !== undefined) {
      return broadcastJoin(node, node.broadcast, children, broadcast, after)
    }
    const chosen = choose(
      node.partitioning,
      children.map((child, index) => ({
        partitions: child.partitions.length,
        partitioner: node.inputs[index].keyed ? child.partitioner : undefined
      }))
    )
    const inPlace = children.map(
      (child, index) =>
        chosen !== undefined &&
        node.inputs[index].keyed &&
        child.partitioner !== undefined &&
        Partitioner.equals(child.partitioner, chosen)
    )
    if (node.onlyMoves && inPlace.every(Boolean)) {
      return { ...children[0], steps: [`${node.name}: in place already, nothing moves`, ...children[0].steps] }
    }
    const { partitioning } = node
    const samples =
      chosen !== undefined || partitioning._tag !== "Range"
        ? []
        : children.map((child) =>
            finish(provided(child, after.layers), `samples keys for ${node.name}`, {
              task: (rows, task) =>
                separated(divert(rows, after.guarded, []), task, (rows) => partitioning.sample(rows, task)),
              combine: (results) => results
            })
          )
    const upstream = Math.max(1, ...children.map((child) => child.partitions.length))
    const partitions =
      chosen !== undefined || partitioning._tag === "Fixed"
        ? (chosen?.partitions ?? 1)
        : partitioning.partitions(upstream)
    const partitionerOf = (task: TaskRuntime): Partitioner.Partitioner<never> =>
      chosen ??
      (partitioning._tag === "Range"
        ? partitioning.make(
            samples.flatMap((stage) => task.stageValue(stage) as ReadonlyArray<unknown>),
            partitions
          )
        : Partitioner.roundRobin(partitions))
    const where = chosen === undefined ? `by range in ${partitions}` : Plan.partitionerLabel(chosen)
    const write = (index: number): number =>
      finish(
        provided({ ...children[index], parents: [...children[index].parents, ...samples] }, after.layers),
        `writes for ${node.name} ${where}${node.detail === undefined ? "" : `, ${node.detail}`}`,
        { task: writeMap(node.inputs[index], partitionerOf, after.guarded), combine: combineMaps },
        true
      )
    const candidate =
      node.broadcast === undefined ||
      adaptive === undefined ||
      options.broadcastBytes === 0 ||
      after.steady ||
      inPlace.some(Boolean)
        ? undefined
        : broadcastCandidate(node.broadcast, children)
    const early = candidate === undefined ? undefined : write(candidate)
    if (node.broadcast !== undefined && candidate !== undefined && early !== undefined) {
      const bytes = options.measured?.get(early)
      if (bytes === undefined) undecided ??= early
      else if (bytes <= options.broadcastBytes) {
        const { broadcast } = node
        const whole: Building = {
          partitions: [
            {
              split: undefined,
              rows: undefined,
              bytes,
              hosts: [],
              read: readWhole(early, partitions, (source) => broadcast.rows(candidate, source))
            }
          ],
          parents: [early],
          steps: [`all that stage ${early} wrote`]
        }
        return broadcastJoin(
          node,
          broadcast,
          children.map((child, index) => (index === candidate ? whole : child)),
          candidate,
          { ...after, layers: [] }
        )
      }
    }
    const sides = node.inputs.map((_, index): Side | undefined =>
      inPlace[index]
        ? undefined
        : { _tag: "Moved", stage: index === candidate && early !== undefined ? early : write(index) }
    )
    const moved = sides.flatMap((side) => (side?._tag === "Moved" ? [side.stage] : []))
    return {
      partitions: Array.from({ length: partitions }, (_, index): Partition => ({
        split: undefined,
        rows: undefined,
        bytes: 0,
        hosts: [],
        read: readExchange(
          node,
          sides.map(
            (side, input): Side =>
              side ?? { _tag: "InPlace", read: children[input].partitions[index].read, input: node.inputs[input] }
          ),
          index,
          after.guarded
        )
      })),
      parents: [
        ...moved,
        ...parentsOf(children.filter((_, index) => inPlace[index])).filter((stage) => !moved.includes(stage))
      ],
      partitioner: node.keyed ? chosen : undefined,
      fallback: fallbackOf(children.filter((_, index) => inPlace[index])),
      measure: measureExchange(node, sides, children),
      steps: [
        `${node.name} ${where}, ${sides
          .map((side) => (side?._tag === "Moved" ? `from stage ${side.stage}` : "in place already"))
          .join(
            " and "
          )}${early === undefined || early !== undecided ? "" : `; by broadcast if stage ${early} writes at most ${options.broadcastBytes.toLocaleString("en-US")} bytes`}`,
        ...inputSteps(children.filter((_, index) => inPlace[index]))
      ]
    }
  }

  const broadcastJoin = (
    node: Plan.Exchange,
    broadcast: Plan.BroadcastPlan,
    children: ReadonlyArray<Building>,
    small: 0 | 1,
    after: After
  ): Building => {
    const child = children[small]
    const large = children[1 - small]
    const stage = finish(provided(child, after.layers), `broadcasts for ${node.name}`, {
      task: (rows, task) =>
        Effect.suspend(() => {
          const failed: Array<Failed> = []
          return Effect.map(
            separated(divert(rows, after.guarded, failed), task, (rows) => broadcast.collect(small, rows)),
            (blocks): Collected => ({ blocks, failed })
          )
        }),
      combine: (results): Collected => {
        const collected = results as ReadonlyArray<Collected>
        return {
          blocks: collected.flatMap(({ blocks }) => blocks),
          failed: collected.flatMap(({ failed }) => failed)
        }
      }
    })
    return {
      partitions: large.partitions.map((partition, index) => ({
        ...partition,
        rows: undefined,
        read: (task) =>
          Stream.suspend(() => {
            const collected = task.stageValue(stage) as Collected
            const failed = index === 0 ? [...collected.failed] : []
            return Stream.concat(
              balanced([divert(partition.read(task), after.guarded, failed)], task, ([rows]) =>
                broadcast.probe(small, collected.blocks, rows, task)
              ),
              Stream.suspend(() => Stream.fromArray(failed))
            )
          })
      })),
      parents: [...new Set([...large.parents, stage])],
      partitioner: large.partitioner,
      fallback: large.fallback,
      measure: unskewed(large.measure),
      steps: [`${node.name} with the rows of stage ${stage} in every task`, ...large.steps]
    }
  }

  const buildNode = (node: Plan.Plan, after: After): Building => {
    switch (node._tag) {
      case "Read": {
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
        return exchange(node, after)
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
            hosts: [...new Set(inputs.flatMap((input) => input.partitions[index].hosts))],
            read: (task) => {
              const failed: Array<Failed> = []
              return Stream.concat(
                balanced(
                  inputs.map((input) => divert(input.partitions[index].read(task), after.guarded, failed)),
                  task,
                  (rows) => node.f(rows, task)
                ),
                Stream.suspend(() => Stream.fromArray(failed))
              )
            }
          })),
          parents: parentsOf(inputs),
          fallback: fallbackOf(inputs),
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
              hosts: [...new Set([...one.hosts, ...other.hosts])],
              read: (task) => {
                const failed: Array<Failed> = []
                const right = () => countDropped(divert(other.read(task), after.guarded, failed), task)
                return Stream.concat(
                  balanced([divert(one.read(task), after.guarded, failed)], task, ([rows]) => cartesian(rows, right)),
                  Stream.suspend(() => Stream.fromArray(failed))
                )
              }
            }))
          ),
          parents: parentsOf([left, right]),
          fallback: fallbackOf([left, right]),
          steps: [Plan.label(node), ...inputSteps([left, right])]
        }
      }
      case "Cache": {
        const child = build(node.child, { ...after, steady: true })
        const { cached } = options
        const { handle } = node
        if (cached === undefined) return { ...child, steps: [Plan.label(node), ...child.steps] }
        const kept = child.partitions.filter((_, index) => cached.get(handle, index) !== undefined).length
        const whole = kept === child.partitions.length
        return {
          ...child,
          partitions: child.partitions.map((partition, index) => ({
            ...partition,
            read: (task) =>
              Stream.suspend(() => {
                const found = cached.get(handle, index)
                return found === undefined ? cached.put(handle, index, partition.read(task), task) : found(task)
              })
          })),
          parents: whole ? [] : child.parents,
          fallback: whole ? child.parents : undefined,
          measure: whole ? undefined : unskewed(child.measure),
          steps: [
            `${Plan.label(node)}, ${kept} of ${child.partitions.length} partitions kept`,
            ...(whole ? [] : child.steps)
          ]
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
        const layers = operators.flatMap((operator) => (operator._tag === "Provide" ? [operator.layer] : []))
        const child = build(below, { ...after, guarded, layers: [...layers, ...after.layers] })
        const sameRows = operators.every(keepsRowCount)
        return {
          partitions: child.partitions.map((partition, index) => ({
            ...partition,
            rows: sameRows ? partition.rows : undefined,
            read: (task) => chain(partition.read(task), task, index)
          })),
          parents: child.parents,
          partitioner: operators.every(keepsKeys) ? child.partitioner : undefined,
          size: operators.some(mayGrow) ? undefined : child.size,
          measure: operators.every(sparesParts) ? child.measure : unskewed(child.measure),
          fallback: child.fallback,
          steps: [
            ...fuse(operators)
              .map((group) =>
                group.length === 1 ? Plan.operatorLabel(group[0]) : `Fused(${group.map(Plan.operatorLabel).join(", ")})`
              )
              .toReversed(),
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
          fallback: fallbackOf(inputs),
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
                  return value instanceof Failed ? value : ([value, index] as const)
                })
              })
          })),
          parents: Number.isNaN(offsets) ? child.parents : [...child.parents, offsets],
          fallback: child.fallback,
          measure: unskewed(child.measure),
          steps: [Plan.label(node), ...child.steps]
        }
      }
    }
  }

  finish(build(logical, { guarded: false, layers: [], steady: false }), `result of ${action}`, undefined)
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
  const sources = [...new Set(Plan.sources(logical))]
  const resolved = yield* Effect.forEach(sources, (source) => source.resolve(options), { concurrency: 8 })
  return new Map(sources.map((source, index) => [source, resolved[index]] as const))
})
