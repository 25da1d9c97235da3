import type { Layer } from "effect"
import { elementAt } from "../../codec/internal/elements.ts"
import type * as Partitioner from "../../shuffle/Partitioner.ts"
import type { Resolved, Source } from "../../task/Format.ts"
import type * as Plan from "../Plan.ts"
import type { Kept, Partition, StageWork } from "../Stage.ts"
import { provideLayer } from "../../task/internal/chain.ts"
import type { Guard } from "../../task/internal/failed.ts"
import type { Limits, Measure } from "./adaptive.ts"
import type { Cached } from "./cached.ts"

// What a node has to know about the steps after it.
export interface Downstream {
  /** What happens to elements that fail. */
  readonly guard: Guard
  /** Layers provided to the node, the nearest first. A stage that ends here has to provide them itself. */
  readonly layers: ReadonlyArray<Layer.Layer<never, unknown, unknown>>
  /**
   * Whether its number of partitions matters to them, so that it is not planned again when the sizes of shuffles are
   * known.
   */
  readonly keepsPartitions: boolean
}

// The part of a stage that has been planned so far.
export interface Building {
  readonly partitions: ReadonlyArray<Partition>
  readonly parents: ReadonlyArray<number>
  readonly steps: ReadonlyArray<string>
  /** How its rows, if they are pairs, are partitioned by key; `undefined` if that is not known. */
  readonly partitioner?: Partitioner.Partitioner<never> | undefined
  /** What it reads from caches that were complete when it was planned. */
  readonly kept?: ReadonlyArray<Kept> | undefined
  /** An upper bound of its bytes, if the metadata of the sources and the steps after them allow one. */
  readonly size?: number | undefined
  /** Whether a sample of its rows can be drawn from places in its partitions: all steps look at each row alone. */
  readonly hasPlaces?: boolean | undefined
  /** Whether its rows are text that a task can also read as bytes: no step looks at them. */
  readonly givesLines?: boolean | undefined
  /** The sizes of its partitions at run time, if tasks may read several of them or parts of one. */
  readonly measure?: Measure | undefined
}

/**
 * The sizes by which the planner decides. The defaults are Spark's.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The largest input of a join, in bytes of its files, that every task gets so that neither input moves. Default 10
   * MiB; 0 for never.
   */
  readonly broadcastBytes: number
  /** How stages that read shuffles are adapted to the sizes they find; without it they are not. */
  readonly adaptive?: Limits | undefined
  /** Bytes written by the stages that were `undecided` in earlier plans. */
  readonly measured?: ReadonlyMap<number, number> | undefined
  /** Whether the action takes rows of text as bytes. */
  readonly takesLines?: boolean | undefined
  /** Partitions that are kept from earlier actions. */
  readonly cached?: Cached | undefined
}

/** What a node needs to know about its plan. */
export interface Planning {
  readonly options: Options
  /** The metadata of each source. */
  readonly metadata: ReadonlyMap<Source<unknown>, Resolved<unknown>>
  /** Reports that the plan cannot run, and why; the first reason counts. */
  readonly refuse: (operator: string, detail: string) => void
  /** Plans another node. */
  readonly build: (node: Plan.Plan, downstream: Downstream) => Building
  /** Ends a stage, and yields its number. */
  readonly finish: (building: Building, why: string, work: StageWork | undefined, shuffles?: boolean) => number
  /**
   * Says that the plan has to be made again when this stage has run, because the bytes that it writes decide. `false`
   * if another stage has to run before.
   */
  readonly decideBy: (stage: number) => boolean
}

// The steps of several inputs, indented. An input that was printed before is only named: a plan is a graph, and its
// text must not explode.
export const inputSteps = (inputs: ReadonlyArray<Building>): ReadonlyArray<string> =>
  inputs.flatMap((input, index) =>
    inputs.indexOf(input) < index ? [`  ${elementAt(input.steps, 0)} (again)`] : input.steps.map((step) => `  ${step}`)
  )

export const keptOf = (inputs: ReadonlyArray<Building>): ReadonlyArray<Kept> => [
  ...new Set(inputs.flatMap((input) => input.kept ?? []))
]

export const parentsOf = (inputs: ReadonlyArray<Building>): ReadonlyArray<number> => [
  ...new Set(inputs.flatMap((input) => input.parents))
]

/** The same partitions, none of which may be read in parts. */
export const unskewed = (measure: Measure | undefined): Measure | undefined =>
  measure?.skew === undefined ? measure : { bytes: measure.bytes }

/** Provides the layers of the steps after it, which a stage that ends here has to provide itself. */
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
