/**
 * The physical plan: stages, and the partitions each runs. The `Planner` makes it, the `Scheduler` runs it, `explain` prints it.
 *
 * @stability unstable
 * @since 0.1.0
 */
import type { Effect, Stream } from "effect"
import { grouped } from "../observe/internal/numbers.ts"
import type { TaskRuntime } from "../task/internal/runtime.ts"
import type { StageValue, ValueOf } from "../task/internal/values.ts"
import type { InvalidPlan } from "../task/JobError.ts"
import type { TaskSplit } from "../task/TaskContext.ts"

/**
 * One partition of a stage: what one task reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Partition {
  readonly split: TaskSplit | undefined
  readonly rows: number | undefined
  readonly bytes: number
  /** The hosts that have the data, the best first; empty if it does not matter. */
  readonly hosts: ReadonlyArray<string>
  readonly read: (task: TaskRuntime) => Stream.Stream<unknown, unknown, unknown>
}

/**
 * A cache that has all partitions of a dataset.
 *
 * @category models
 * @since 0.1.0
 */
export interface Kept {
  /** Id of its handle. */
  readonly id: string
  /** The stages that are needed only if one of the partitions turns out to be lost. */
  readonly stages: ReadonlyArray<number>
  /** The results of those stages when the partitions were computed. */
  readonly run: string
}

/**
 * A set of tasks that can run at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stage {
  readonly id: number
  /** Stages whose value this one needs. All of them have smaller ids. */
  readonly parents: ReadonlyArray<number>
  /** What it reads from caches that were complete when the plan was made. */
  readonly kept: ReadonlyArray<Kept>
  /** The shuffle that its tasks write, to be removed when the job ends. */
  readonly shuffles: boolean
  /** Why the stage exists, for `explain`. */
  readonly why: string
  readonly partitions: ReadonlyArray<Partition>
  /**
   * What its tasks read instead of one partition each, after the stages before it have run, for a number of slots.
   * Missing if the plan fixes the number of partitions.
   */
  readonly adapt: ((valueOf: ValueOf, slots: number) => ReadonlyArray<Partition>) | undefined
  /** Whether its tasks read rows of text as bytes and hand them on, because nothing between looks at them. */
  readonly asLines: boolean
  /** Its steps, the last first, as `explain` prints them. */
  readonly steps: ReadonlyArray<string>
  /**
   * What a task of an inner stage does, and how the results of its tasks are combined. For the result stage, the action
   * says that.
   */
  readonly work: StageWork | undefined
}

/**
 * What the tasks of an inner stage do.
 *
 * @category models
 * @since 0.1.0
 */
export interface StageWork {
  readonly task: (
    rows: Stream.Stream<unknown, unknown, unknown>,
    task: TaskRuntime
  ) => Effect.Effect<unknown, unknown, unknown>
  /**
   * Whether it only looks at rows that a later stage reads again, as for a count or a sample. They are not counted
   * twice in the account.
   */
  readonly ahead?: boolean | undefined
  /** Whether a sample of the rows will do, and the steps before it may see the rows of some places only. */
  readonly samples?: boolean | undefined
  /** Whether it takes rows of text as bytes. */
  readonly takesLines?: boolean | undefined
  /** Turns the results by partition into the value that later stages see. */
  combine(results: ReadonlyArray<unknown>): StageValue
}

/**
 * Stages in an order in which they can run; the last is the result stage.
 *
 * @category models
 * @since 0.1.0
 */
export interface StageGraph {
  readonly stages: ReadonlyArray<Stage>
  readonly fingerprint: string
  /** A stage to run first, because the bytes that it writes decide how the stages after it are planned. */
  readonly undecided: number | undefined
  /** Why the plan is impossible, if it is. */
  readonly invalid: InvalidPlan | undefined
}

/**
 * The stage whose tasks an action consumes.
 *
 * @category getters
 * @since 0.1.0
 */
export const result = (graph: StageGraph): Stage => {
  const stage = graph.stages.at(-1)
  if (stage === undefined) throw new Error("a stage graph has at least its result stage")
  return stage
}

/**
 * Rows of a stage's input, if every partition knows its number.
 *
 * @category getters
 * @since 0.1.0
 */
export const rows = (stage: Stage): number | undefined => {
  let sum = 0
  for (const partition of stage.partitions) {
    if (partition.rows === undefined) return undefined
    sum += partition.rows
  }
  return sum
}

/**
 * Bytes of a stage's input, as far as they are known from metadata.
 *
 * @category getters
 * @since 0.1.0
 */
export const bytes = (stage: Stage): number => stage.partitions.reduce((sum, partition) => sum + partition.bytes, 0)

const count = (n: number, noun: string) => `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`

/**
 * The stages as text, the result stage last.
 *
 * @category printing
 * @since 0.1.0
 */
export const print = (graph: StageGraph): string =>
  graph.stages
    .map((stage) => {
      const total = rows(stage)
      const size = bytes(stage)
      const facts = [
        `${count(stage.partitions.length, "partition")}${stage.adapt === undefined ? "" : " adapted to their size"}`,
        ...(total === undefined ? [] : [count(total, "row")]),
        ...(size === 0 ? [] : [count(size, "byte")]),
        ...(stage.asLines ? ["rows handed on as bytes"] : [])
      ]
      const hosts = [...new Set(stage.partitions.flatMap((partition) => partition.hosts))]
      const after = stage.parents.length === 0 ? "" : `, after stage ${stage.parents.join(", ")}`
      return [
        `Stage ${stage.id} (${stage.why}): ${facts.join(", ")}${after}`,
        ...(hosts.length === 0 ? [] : [`  hosts: ${hosts.toSorted().join(", ")}`]),
        ...stage.steps.map((step) => `  ${step}`)
      ].join("\n")
    })
    .join("\n")
