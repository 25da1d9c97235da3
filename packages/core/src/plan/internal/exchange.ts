/** The ways to bring the rows of an exchange together, tried in order. */
import { Effect, Stream } from "effect"
import { elementAt } from "../../codec/internal/elements.ts"
import { grouped } from "../../observe/internal/numbers.ts"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import * as Plan from "../Plan.ts"
import type { Partition, StageWork } from "../Stage.ts"
import { droppingOne } from "../../task/internal/account.ts"
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
import { choose, type ChoiceInput, partitionsOf } from "./partitioning.ts"

/** An input of an exchange. */
interface OpenInput {
  readonly writer: Plan.ExchangeInput
  readonly child: Building
  /** Whether its rows are already where they belong. */
  readonly inPlace: boolean
}

// An upper bound of an input's bytes; an input of unknown size may have any number.
const sizeOf = (input: OpenInput | undefined): number => input?.child.size ?? Infinity

/** An exchange that is being planned. */
interface OpenExchange {
  readonly planning: Planning
  readonly node: Plan.Exchange
  readonly downstream: Downstream
  readonly inputs: ReadonlyArray<OpenInput>
  /** Where the rows go; `undefined` if only a sample can tell. */
  readonly chosen: Partitioner.Partitioner<never> | undefined
  /** How many partitions there are after it, and how `explain` describes where rows go. */
  readonly partitions: number
  readonly where: string
  /** The stage that writes an input, when it is planned. */
  readonly write: (input: OpenInput) => number
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
    const { inputs, node, planning } = site
    if (node.broadcast === undefined) return undefined
    const { sides } = node.broadcast
    const size = (side: 0 | 1): number => (sides[side] ? sizeOf(inputs[side]) : Infinity)
    const small = size(0) < size(1) ? 0 : 1
    return size(small) <= planning.options.broadcastBytes
      ? broadcastJoin(site, node.broadcast, small, elementAt(inputs, small).child)
      : undefined
  }
}

/** If an exchange only moves rows, and they are already where they belong, they stay. */
const skipShuffle: ExchangeRule = {
  name: "skipShuffle",
  apply: ({ inputs, node }) => {
    const [input] = inputs
    return input !== undefined && node.onlyMoves && inputs.every(({ inPlace }) => inPlace)
      ? { ...input.child, steps: [`${node.name}: in place already, nothing moves`, ...input.child.steps] }
      : undefined
  }
}

// The input of a join that is more likely to turn out small enough when it is written.
const broadcastCandidate = ({ downstream, inputs, node, planning }: OpenExchange): 0 | 1 | undefined => {
  const { adaptive, broadcastBytes } = planning.options
  if (node.broadcast === undefined || adaptive === undefined || broadcastBytes === 0) return undefined
  if (downstream.keepsPartitions || inputs.some(({ inPlace }) => inPlace)) return undefined
  const [left, right] = node.broadcast.sides
  if (!left || !right) return right ? 1 : left ? 0 : undefined
  return sizeOf(inputs[0]) < sizeOf(inputs[1]) ? 0 : 1
}

/**
 * If one side of a join turned out small when it was written, every task of the other gets all of it. Until it is
 * written, it is planned like any other, and decides.
 */
const broadcastWritten: ExchangeRule = {
  name: "broadcastWritten",
  apply: (site) => {
    const { inputs, node, partitions, planning, undecided, write } = site
    const small = broadcastCandidate(site)
    if (small === undefined || node.broadcast === undefined) return undefined
    const { broadcast } = node
    // It is written before the other, so that its number is the same when the plan is made again.
    const stage = write(elementAt(inputs, small))
    const { broadcastBytes, measured } = planning.options
    const bytes = measured?.get(stage)
    if (bytes === undefined && planning.decideBy(stage)) {
      undecided.push(`; by broadcast if stage ${stage} writes at most ${grouped(broadcastBytes)} bytes`)
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

/** An input that is read where it is, or from the stage that wrote it. */
interface PlannedSide {
  readonly input: OpenInput
  readonly stage: number | undefined
}

const stagesOf = (sides: ReadonlyArray<PlannedSide>): ReadonlyArray<number> => sides.flatMap(({ stage }) => stage ?? [])

const sideOf = ({ input: { child, writer }, stage }: PlannedSide, partition: number): Side =>
  stage === undefined
    ? { _tag: "InPlace", read: elementAt(child.partitions, partition).read, input: writer }
    : { _tag: "Moved", stage }

/** Inputs that are not in place move. */
const shuffle: ExchangeRule = {
  name: "shuffle",
  apply: (site) => {
    const { downstream, chosen, inputs, node, partitions, undecided, where, write } = site
    const sides = inputs.map((input): PlannedSide => ({ input, stage: input.inPlace ? undefined : write(input) }))
    const moved = stagesOf(sides)
    const placed = inputs.filter(({ inPlace }) => inPlace).map(({ child }) => child)
    const origins = sides.map(({ stage }) => (stage === undefined ? "in place already" : `from stage ${stage}`))
    return {
      partitions: Array.from({ length: partitions }, (_, index): Partition => ({
        split: undefined,
        rows: undefined,
        bytes: 0,
        hosts: [],
        read: readExchange(
          node,
          sides.map((side) => sideOf(side, index)),
          index,
          downstream.guard
        )
      })),
      parents: [...moved, ...parentsOf(placed).filter((stage) => !moved.includes(stage))],
      partitioner: node.keyed ? chosen : undefined,
      kept: keptOf(placed),
      measure: measureExchange(node, sides),
      givesLines: node.lines !== undefined,
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

const mapWork = (
  writer: Plan.ExchangeInput,
  partitionerOf: (task: TaskRuntime) => Partitioner.Partitioner<never>,
  guard: Downstream["guard"]
): StageWork => ({
  task: writeMap(writer, partitionerOf, guard),
  takesLines: writer.lines !== undefined,
  combine: combineMaps
})

const openExchange = (planning: Planning, node: Plan.Exchange, downstream: Downstream): OpenExchange => {
  const built = node.inputs.map((writer) => ({ writer, child: planning.build(writer.plan, downstream) }))
  const { partitioning } = node
  const choices = built.map(({ child, writer }): ChoiceInput => ({
    partitions: child.partitions.length,
    partitioner: writer.keyed ? child.partitioner : undefined,
    size: child.size
  }))
  const targetBytes = downstream.keepsPartitions ? undefined : planning.options.adaptive?.targetPartitionBytes
  const chosen = choose(partitioning, choices, targetBytes)
  const partitions =
    chosen?.partitions ??
    (partitioning._tag === "Fixed"
      ? partitioning.partitioner.partitions
      : partitionsOf(partitioning, choices, targetBytes))
  const where = chosen === undefined ? `by range in ${partitions}` : Plan.partitionerLabel(chosen)

  let samples: ReadonlyArray<number> | undefined
  const sampled = (): ReadonlyArray<number> =>
    (samples ??=
      chosen !== undefined || partitioning._tag !== "Range"
        ? []
        : built.map(({ child }) =>
            planning.finish(provided(child, downstream.layers), `samples keys for ${node.name}`, {
              ahead: true,
              samples: child.hasPlaces === true,
              task: (rows, task) =>
                separated(divert(rows, downstream.guard, [], task), task, (rows) =>
                  partitioning.sample(rows, task, partitions)
                ),
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

  const written = new Map<OpenInput, number>()
  const write = (input: OpenInput): number => {
    const known = written.get(input)
    if (known !== undefined) return known
    const parents = [...input.child.parents, ...sampled()]
    const stage = planning.finish(
      provided({ ...input.child, parents }, downstream.layers),
      `writes for ${node.name} ${where}${node.detail === undefined ? "" : `, ${node.detail}`}`,
      mapWork(input.writer, partitionerOf, downstream.guard),
      true
    )
    written.set(input, stage)
    return stage
  }

  return {
    planning,
    node,
    downstream,
    inputs: built.map(({ child, writer }) => ({
      writer,
      child,
      inPlace:
        chosen !== undefined &&
        writer.keyed &&
        child.partitioner !== undefined &&
        Partitioner.equals(child.partitioner, chosen)
    })),
    chosen,
    partitions,
    where,
    write,
    undecided: []
  }
}

// The sizes of the partitions of an exchange, if it may choose their number because the program did not.
const measureExchange = (node: Plan.Exchange, sides: ReadonlyArray<PlannedSide>): Measure | undefined => {
  const { broadcast, partitioning } = node
  if (partitioning._tag === "Fixed" || (partitioning._tag === "Range" && partitioning.given)) return undefined
  const measures = sides.map(({ input, stage }): Measure | undefined =>
    stage === undefined
      ? input.child.measure
      : { bytes: (partition, valueOf) => partitionBytes(valueOf(stage), partition) }
  )
  const known = measures.filter((measure) => measure !== undefined)
  if (known.length < measures.length) return undefined
  const moved = stagesOf(sides)
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
  { downstream, inputs, node, planning }: OpenExchange,
  broadcast: Plan.BroadcastPlan,
  small: 0 | 1,
  whole: Building
): Building => {
  const large = elementAt(inputs, 1 - small).child
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
              droppingOne(divert(partition.read(task), downstream.guard, failed, task), task, (rows) =>
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
