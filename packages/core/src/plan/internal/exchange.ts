/** The ways to bring the rows of an exchange together, tried in order. */
import { Effect, Stream } from "effect"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import * as Plan from "../Plan.ts"
import type { Partition } from "../Stage.ts"
import { dropping } from "../../task/internal/account.ts"
import {
  divert,
  exchanged,
  readExchange,
  readWhole,
  type Side,
  withFailed,
  writeMap
} from "../../task/internal/exchange.ts"
import type { Failed } from "../../task/internal/failed.ts"
import { separated } from "../../task/internal/failures.ts"
import type { TaskRuntime } from "../../task/internal/runtime.ts"
import {
  type Collected,
  collectedOf,
  combineMaps,
  mapBytes,
  partitionBytes,
  samplesOf
} from "../../task/internal/values.ts"
import type { Measure } from "./adaptive.ts"
import {
  type Downstream,
  type Building,
  keptOf,
  inputSteps,
  parentsOf,
  type Planning,
  provided,
  unskewed
} from "./building.ts"
import { indeterminateNote } from "./indeterminate.ts"
import { choose } from "./partitioning.ts"

/** An exchange that is being planned. */
interface OpenExchange {
  readonly planning: Planning
  readonly node: Plan.Exchange
  readonly downstream: Downstream
  readonly children: ReadonlyArray<Building>
  /** Where the rows go; `undefined` if only a sample can tell. */
  readonly chosen: Partitioner.Partitioner<never> | undefined
  /** For each input, whether its rows are already where they belong. */
  readonly inPlace: ReadonlyArray<boolean>
  /** How many partitions there are after it, and how `explain` describes where rows go. */
  readonly partitions: number
  readonly where: string
  /** The stage that writes an input, when it is planned. */
  readonly write: (input: number) => number
  /** What `explain` adds about the ways that are not decided yet. */
  readonly undecided: Array<string>
}

/** A way to bring the rows together, if it fits. */
interface ExchangeRule {
  readonly name: string
  readonly apply: (site: OpenExchange) => Building | undefined
}

/** If the files of one side of a join are small, every task of the other gets all of it. */
const broadcastSmallFiles: ExchangeRule = {
  name: "broadcastSmallFiles",
  apply: (site) => {
    const { children, node, planning } = site
    if (node.broadcast === undefined) return undefined
    const { sides } = node.broadcast
    const size = (side: 0 | 1): number => (sides[side] ? (children[side]?.size ?? Infinity) : Infinity)
    const small = size(0) < size(1) ? 0 : 1
    return size(small) <= planning.options.broadcastBytes
      ? broadcastJoin(site, node.broadcast, small, children[small])
      : undefined
  }
}

/** If an exchange only moves rows, and they are already where they belong, they stay. */
const skipShuffle: ExchangeRule = {
  name: "skipShuffle",
  apply: ({ children, inPlace, node }) =>
    node.onlyMoves && inPlace.every(Boolean)
      ? { ...children[0], steps: [`${node.name}: in place already, nothing moves`, ...children[0].steps] }
      : undefined
}

// The input of a join that is more likely to turn out small enough when it is written.
const broadcastCandidate = ({ downstream, children, inPlace, node, planning }: OpenExchange): 0 | 1 | undefined => {
  const { adaptive, broadcastBytes } = planning.options
  if (node.broadcast === undefined || adaptive === undefined || broadcastBytes === 0) return undefined
  if (downstream.keepsPartitions || inPlace.some(Boolean)) return undefined
  const [left, right] = node.broadcast.sides
  if (!left || !right) return right ? 1 : left ? 0 : undefined
  return (children[0]?.size ?? Infinity) < (children[1]?.size ?? Infinity) ? 0 : 1
}

/**
 * If one side of a join turned out small when it was written, every task of the other gets all of it. Until it is
 * written, it is planned like any other, and decides.
 */
const broadcastWritten: ExchangeRule = {
  name: "broadcastWritten",
  apply: (site) => {
    const { node, partitions, planning, undecided, write } = site
    const small = broadcastCandidate(site)
    if (small === undefined || node.broadcast === undefined) return undefined
    const { broadcast } = node
    // It is written before the other, so that its number is the same when the plan is made again.
    const stage = write(small)
    const { broadcastBytes, measured } = planning.options
    const bytes = measured?.get(stage)
    if (bytes === undefined && planning.decideBy(stage)) {
      undecided.push(`; by broadcast if stage ${stage} writes at most ${broadcastBytes.toLocaleString("en-US")} bytes`)
    }
    if (bytes === undefined || bytes > broadcastBytes) return undefined
    const read = readWhole(stage, partitions, (source) => broadcast.rows(small, source))
    return broadcastJoin({ ...site, downstream: { ...site.downstream, layers: [] } }, broadcast, small, {
      partitions: [{ split: undefined, rows: undefined, bytes, hosts: [], read }],
      parents: [stage],
      steps: [`everything that stage ${stage} wrote`]
    })
  }
}

/** Inputs that are not in place move. */
const shuffle: ExchangeRule = {
  name: "shuffle",
  apply: (site) => {
    const { downstream, children, chosen, inPlace, node, partitions, undecided, where, write } = site
    const sides = node.inputs.map((_, index): Side | undefined =>
      inPlace[index] ? undefined : { _tag: "Moved", stage: write(index) }
    )
    const moved = sides.flatMap((side) => (side?._tag === "Moved" ? [side.stage] : []))
    const placed = children.filter((_, index) => inPlace[index])
    const origins = sides.map((side) => (side?._tag === "Moved" ? `from stage ${side.stage}` : "in place already"))
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
          downstream.guard
        )
      })),
      parents: [...moved, ...parentsOf(placed).filter((stage) => !moved.includes(stage))],
      partitioner: node.keyed ? chosen : undefined,
      kept: keptOf(placed),
      measure: measureExchange(node, sides, children),
      steps: [
        `${node.name} ${where}, ${origins.join(" and ")}${undecided.join("")}${indeterminateNote(node)}`,
        ...inputSteps(placed)
      ]
    }
  }
}

/** The rules, in the order in which they are tried; the last always fits. */
const exchangeRules: ReadonlyArray<ExchangeRule> = [broadcastSmallFiles, skipShuffle, broadcastWritten, shuffle]

/** Plans an exchange. */
export const planExchange = (planning: Planning, node: Plan.Exchange, downstream: Downstream): Building => {
  const site = openExchange(planning, node, downstream)
  for (const rule of exchangeRules) {
    const building = rule.apply(site)
    if (building !== undefined) return building
  }
  throw new Error(`no rule plans ${node.name}`)
}

const openExchange = (planning: Planning, node: Plan.Exchange, downstream: Downstream): OpenExchange => {
  const children = node.inputs.map((input) => planning.build(input.plan, downstream))
  const { partitioning } = node
  const chosen = choose(
    partitioning,
    children.map((child, index) => ({
      partitions: child.partitions.length,
      partitioner: node.inputs[index].keyed ? child.partitioner : undefined
    }))
  )
  const partitions =
    chosen?.partitions ??
    (partitioning._tag === "Fixed"
      ? partitioning.partitioner.partitions
      : partitioning.partitions(Math.max(1, ...children.map((child) => child.partitions.length))))
  const where = chosen === undefined ? `by range in ${partitions}` : Plan.partitionerLabel(chosen)

  let samples: ReadonlyArray<number> | undefined
  const sampled = (): ReadonlyArray<number> =>
    (samples ??=
      chosen !== undefined || partitioning._tag !== "Range"
        ? []
        : children.map((child) =>
            planning.finish(provided(child, downstream.layers), `samples keys for ${node.name}`, {
              ahead: true,
              task: (rows, task) =>
                separated(divert(rows, downstream.guard, [], task), task, (rows) => partitioning.sample(rows, task)),
              combine: (values) => ({ _tag: "Samples", values })
            })
          ))
  const partitionerOf = (task: TaskRuntime): Partitioner.Partitioner<never> =>
    chosen ??
    (partitioning._tag === "Range"
      ? partitioning.make(
          sampled().flatMap((stage) => samplesOf(task.stageValue(stage)).values),
          partitions
        )
      : Partitioner.roundRobin(partitions))

  const written = new Map<number, number>()
  const write = (input: number): number => {
    const known = written.get(input)
    if (known !== undefined) return known
    const parents = [...children[input].parents, ...sampled()]
    const stage = planning.finish(
      provided({ ...children[input], parents }, downstream.layers),
      `writes for ${node.name} ${where}${node.detail === undefined ? "" : `, ${node.detail}`}`,
      { task: writeMap(node.inputs[input], partitionerOf, downstream.guard), combine: combineMaps },
      true
    )
    written.set(input, stage)
    return stage
  }

  return {
    planning,
    node,
    downstream,
    children,
    chosen,
    inPlace: children.map(
      (child, index) =>
        chosen !== undefined &&
        node.inputs[index].keyed &&
        child.partitioner !== undefined &&
        Partitioner.equals(child.partitioner, chosen)
    ),
    partitions,
    where,
    write,
    undecided: []
  }
}

// The sizes of the partitions of an exchange, if it may choose their number because the program did not.
const measureExchange = (
  node: Plan.Exchange,
  sides: ReadonlyArray<Side | undefined>,
  children: ReadonlyArray<Building>
): Measure | undefined => {
  const { broadcast, partitioning } = node
  if (partitioning._tag === "Fixed" || (partitioning._tag === "Range" && partitioning.given)) return undefined
  const measures = sides.map((side, index): Measure | undefined =>
    side?._tag === "Moved"
      ? { bytes: (partition, valueOf) => partitionBytes(valueOf(side.stage), partition) }
      : children[index].measure
  )
  const known = measures.filter((measure) => measure !== undefined)
  if (known.length < measures.length) return undefined
  const moved = sides.flatMap((side) => (side?._tag === "Moved" ? [side.stage] : []))
  return {
    bytes: (partition, valueOf) => known.reduce((sum, measure) => sum + measure.bytes(partition, valueOf), 0),
    // A part of one side is joined with the whole other side. As with a broadcast, this works only if no unmatched row
    // of the whole side is emitted.
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

// A join in which every task of one input gets all rows of the other, `whole`.
const broadcastJoin = (
  { downstream, children, node, planning }: OpenExchange,
  broadcast: Plan.BroadcastPlan,
  small: 0 | 1,
  whole: Building
): Building => {
  const large = children[1 - small]
  const stage = planning.finish(provided(whole, downstream.layers), `broadcasts for ${node.name}`, {
    task: (rows, task) =>
      Effect.suspend(() => {
        const failed: Array<Failed> = []
        return Effect.map(
          separated(divert(rows, downstream.guard, failed, task), task, (rows) => broadcast.collect(small, rows)),
          (blocks): Collected => ({ _tag: "Collected", blocks, failed })
        )
      }),
    combine: (collected: ReadonlyArray<Collected>) => ({
      _tag: "Collected",
      blocks: collected.flatMap(({ blocks }) => blocks),
      failed: collected.flatMap(({ failed }) => failed)
    })
  })
  return {
    partitions: large.partitions.map((partition, index) => ({
      ...partition,
      rows: undefined,
      read: (task) =>
        Stream.suspend(() => {
          const collected = collectedOf(task.stageValue(stage))
          const failed: Array<Failed> = []
          return Stream.concat(
            withFailed(
              dropping([divert(partition.read(task), downstream.guard, failed, task)], task, ([rows]) =>
                broadcast.probe(small, collected.blocks, rows, task)
              ),
              failed,
              task
            ),
            exchanged(Stream.fromArray<unknown>(index === 0 ? collected.failed : []), task)
          )
        })
    })),
    parents: [...new Set([...large.parents, stage])],
    partitioner: large.partitioner,
    kept: large.kept,
    measure: unskewed(large.measure),
    steps: [`${node.name} with the rows of stage ${stage} in every task`, ...large.steps]
  }
}
