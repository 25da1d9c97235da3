import type { Layer } from "effect"
import type * as Partitioner from "../../shuffle/Partitioner.ts"
import type { Resolved, Source } from "../../task/Format.ts"
import type * as Plan from "../Plan.ts"
import type { Kept, Partition, StageWork } from "../Stage.ts"
import { provideLayer } from "../../task/internal/chain.ts"
import type { Guard } from "../../task/internal/failed.ts"
import type { Limits, Measure } from "./adaptive.ts"
import type { Cached } from "./cached.ts"

// What the steps after a node mean for it.
export interface Downstream {
  /** What becomes of elements that fail. */
  readonly guard: Guard
  /** Layers provided to it, the nearest first. A stage that ends here has to provide them to itself. */
  readonly layers: ReadonlyArray<Layer.Layer<never, unknown, unknown>>
  /** How many partitions it has matters to them: it is not planned again when the sizes of shuffles are known. */
  readonly keepsPartitions: boolean
}

// The part of a stage that is planned so far.
export interface Building {
  readonly partitions: ReadonlyArray<Partition>
  readonly parents: ReadonlyArray<number>
  readonly steps: ReadonlyArray<string>
  /** How its rows, which are pairs, are partitioned by their first; `undefined` where that is not known. */
  readonly partitioner?: Partitioner.Partitioner<never> | undefined
  /** What it reads of caches that were whole when it was planned. */
  readonly kept?: ReadonlyArray<Kept> | undefined
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

/** What planning a node needs of the plan it is in. */
export interface Planning {
  readonly options: Options
  /** What the metadata of each source said. */
  readonly metadata: ReadonlyMap<Source<unknown>, Resolved<unknown>>
  /** Says that the plan cannot be run, and why; the first reason counts. */
  readonly refuse: (operator: string, detail: string) => void
  /** Plans another node. */
  readonly build: (node: Plan.Plan, downstream: Downstream) => Building
  /** Ends a stage, and yields its number. */
  readonly finish: (building: Building, why: string, work: StageWork | undefined, shuffles?: boolean) => number
  /** The plan has to be made again when this stage has run: how much it writes decides. `false` where another is to run before. */
  readonly decideBy: (stage: number) => boolean
}

// The steps of several inputs, indented. An input seen before is only named: a plan is a graph, and its print must not explode.
export const inputSteps = (inputs: ReadonlyArray<Building>): ReadonlyArray<string> =>
  inputs.flatMap((input, index) =>
    inputs.indexOf(input) < index ? [`  ${input.steps[0] ?? ""} (again)`] : input.steps.map((step) => `  ${step}`)
  )

export const keptOf = (inputs: ReadonlyArray<Building>): ReadonlyArray<Kept> => [
  ...new Set(inputs.flatMap((input) => input.kept ?? []))
]

export const parentsOf = (inputs: ReadonlyArray<Building>): ReadonlyArray<number> => [
  ...new Set(inputs.flatMap((input) => input.parents))
]

/** The same partitions, but none may be read in parts. */
export const unskewed = (measure: Measure | undefined): Measure | undefined =>
  measure?.skew === undefined ? measure : { bytes: measure.bytes }

/** With the layers of the steps after it: what a stage that ends here has to provide to itself. */
export const provided = (building: Building, layers: Downstream["layers"]): Building =>
  layers.length === 0
    ? building
    : {
        ...building,
        partitions: building.partitions.map((partition) => ({
          ...partition,
          read: (task) => layers.reduce((rows, layer) => provideLayer(rows, task, layer), partition.read(task))
        }))
      }
