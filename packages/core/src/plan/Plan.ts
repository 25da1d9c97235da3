/**
 * The logical plan: what a `Dataset` holds.
 *
 * It is a closed union of nodes. The combinators build it, the `Optimizer` rewrites it into a cheaper plan with the
 * same meaning, and the `Planner` turns it into stages (`Stage`): a run of narrow steps becomes one chain, and a stage
 * ends where a later step needs all of its results. All of these are pure functions: nothing here runs.
 *
 * **Details**
 *
 * Element types exist only in the type parameters of `Dataset`. Inside a plan a function takes and returns `unknown`.
 * The node types use method syntax, whose parameters TypeScript compares bivariantly, so that a typed function is
 * stored without a cast; therefore only the combinators of `Dataset` may build nodes.
 *
 * @since 0.1.0
 */
import type { Effect, Stream } from "effect"
import { createHash } from "node:crypto"
import type { Source } from "../task/Format.ts"
import type { ExchangeSource, Reader, Writer } from "../task/internal/exchange.ts"
import type { TaskRuntime } from "../task/internal/runtime.ts"
import * as Operator from "../task/Operator.ts"
import type { Partitioner } from "../shuffle/Partitioner.ts"
import type { MapStatus, Shuffle, ShuffleError } from "../shuffle/Shuffle.ts"

/**
 * Where the rows of an exchange go. `partitions` gets the largest number of partitions of the inputs; if it gives the
 * same, the planner may choose more.
 *
 * @category models
 * @since 0.1.0
 */
export type Partitioning =
  | { readonly _tag: "Fixed"; readonly partitioner: Partitioner<never> }
  /** By hash, like an input that is already partitioned by hash, if there is one. */
  | {
      readonly _tag: "Hash"
      readonly partitions: (upstream: number) => number
      readonly make: (partitions: number) => Partitioner<never>
    }
  /**
   * By order, with bounds from a sample that a separate stage draws. `samples` holds the results of the tasks of that
   * stage.
   */
  | {
      readonly _tag: "Range"
      /** Whether the program asked for this number of partitions. */
      readonly given: boolean
      readonly partitions: (upstream: number) => number
      sample(
        rows: Stream.Stream<unknown, unknown, unknown>,
        task: TaskRuntime,
        partitions: number
      ): Effect.Effect<unknown, unknown, unknown>
      make(samples: ReadonlyArray<unknown>, partitions: number): Partitioner<never>
    }

/**
 * One side of an exchange.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExchangeInput extends Writer {
  readonly plan: Plan
  /**
   * Whether the rows are pairs that begin with the key of the exchange: a side that is already partitioned that way
   * need not move.
   */
  readonly keyed: boolean
}

export type { ExchangeSource } from "../task/internal/exchange.ts"

/**
 * How to exchange two inputs without moving the larger one: every task gets all rows of the smaller one.
 *
 * @category models
 * @since 0.1.0
 */
export interface BroadcastPlan {
  /** For each input, whether it may be the one that every task gets. */
  readonly sides: readonly [boolean, boolean]
  /** The rows of an input that has already been written to a shuffle. */
  rows(side: 0 | 1, source: ExchangeSource): Stream.Stream<unknown, ShuffleError, Shuffle>
  /** The rows of a partition of the small input as bytes, in which form they move. */
  collect(
    side: 0 | 1,
    rows: Stream.Stream<unknown, unknown, unknown>
  ): Effect.Effect<ReadonlyArray<Uint8Array>, unknown, unknown>
  /** The result for a partition of the other input. */
  probe(
    side: 0 | 1,
    collected: ReadonlyArray<Uint8Array>,
    rows: Stream.Stream<unknown, unknown, unknown>,
    task: TaskRuntime
  ): Stream.Stream<unknown, unknown, unknown>
}

/**
 * Rows move to the task of their key, and are brought together there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchange extends Reader {
  readonly _tag: "Exchange"
  /** `reduceByKey`. */
  readonly name: string
  /** What `explain` adds: `combined before the shuffle`. */
  readonly detail?: string | undefined
  /** The text of its functions, for the fingerprint. */
  readonly functions: string
  readonly inputs: ReadonlyArray<ExchangeInput>
  readonly partitioning: Partitioning
  /** Only moves rows: an input that is already partitioned that way is the result as it is. */
  readonly onlyMoves: boolean
  /**
   * Rows come in the order in which the map tasks wrote them, or in the order of their keys: the same each time,
   * however much memory there is.
   */
  readonly ordered?: boolean | undefined
  /** The result is pairs that begin with the key, so it counts as partitioned by it. */
  readonly keyed: boolean
  readonly broadcast?: BroadcastPlan | undefined
}

/**
 * A dataset whose partitions are kept when they have been computed.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheHandle {
  /** Unique in the process. */
  readonly id: string
  readonly storage: "memory" | "disk" | "memory-then-disk"
  write(
    to: { readonly id: string; readonly map: number; readonly attempt: number },
    rows: Stream.Stream<unknown, unknown, unknown>
  ): Effect.Effect<MapStatus, unknown, unknown>
  read(source: ExchangeSource): Stream.Stream<unknown, ShuffleError, Shuffle>
}

/**
 * A node. Plans are graphs: a node may be the input of several others.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan =
  | { readonly _tag: "Read"; readonly source: Source<unknown> }
  | { readonly _tag: "Narrow"; readonly child: Plan; readonly operator: Operator.Operator }
  | { readonly _tag: "Union"; readonly inputs: ReadonlyArray<Plan> }
  /** Fewer partitions without moving rows between executors: each is a run of the child's. */
  | { readonly _tag: "Coalesce"; readonly child: Plan; readonly partitions: number }
  /** Pairs of element and position. It needs the sizes of the partitions, so a stage that counts them runs first. */
  | { readonly _tag: "ZipWithIndex"; readonly child: Plan }
  | Exchange
  /** The partitions, side by side, of several inputs with the same number of partitions. */
  | {
      readonly _tag: "ZipPartitions"
      readonly name: string
      readonly functions: string
      readonly inputs: ReadonlyArray<Plan>
      f(
        rows: ReadonlyArray<Stream.Stream<unknown, unknown, unknown>>,
        task: TaskRuntime
      ): Stream.Stream<unknown, unknown, unknown>
    }
  /** Every partition of the first input with every one of the second. */
  | { readonly _tag: "Cartesian"; readonly inputs: readonly [Plan, Plan] }
  | { readonly _tag: "Cache"; readonly child: Plan; readonly handle: CacheHandle }
  /** A step with impossible arguments. */
  | { readonly _tag: "Invalid"; readonly operator: string; readonly detail: string }

/**
 * The nodes a node reads, left to right.
 *
 * @category getters
 * @since 0.1.0
 */
export const inputs = (plan: Plan): ReadonlyArray<Plan> => {
  switch (plan._tag) {
    case "Read":
    case "Invalid":
      return []
    case "Union":
    case "ZipPartitions":
    case "Cartesian":
      return plan.inputs
    case "Exchange":
      return plan.inputs.map((input) => input.plan)
    default:
      return [plan.child]
  }
}

// Calls `f` once for every node, children first, however often a node is an input.
const fold = <B>(plan: Plan, f: (node: Plan, children: (child: Plan) => B) => B): B => {
  const done = new Map<Plan, { readonly value: B }>()
  const visit = (node: Plan): B => {
    const known = done.get(node)
    if (known !== undefined) return known.value
    const value = f(node, visit)
    done.set(node, { value })
    return value
  }
  return visit(plan)
}

/**
 * The plan with every node replaced, children first. A shared node is replaced once.
 *
 * @category combinators
 * @since 0.1.0
 */
export const rewrite = (plan: Plan, f: (node: Plan) => Plan): Plan =>
  fold<Plan>(plan, (node, child) => {
    switch (node._tag) {
      case "Read":
      case "Invalid":
        return f(node)
      case "Union":
      case "ZipPartitions":
        return f({ ...node, inputs: node.inputs.map(child) })
      case "Cartesian":
        return f({ ...node, inputs: [child(node.inputs[0]), child(node.inputs[1])] })
      case "Exchange":
        return f({
          ...node,
          inputs: node.inputs.map((input) => ({ ...input, plan: child(input.plan) }))
        })
      default:
        return f({ ...node, child: child(node.child) })
    }
  })

/**
 * The sources a plan reads, left to right, each once.
 *
 * @category getters
 * @since 0.1.0
 */
export const sources = (plan: Plan): ReadonlyArray<Source<unknown>> => {
  const found = new Set<Source<unknown>>()
  fold<void>(plan, (node, child) => {
    if (node._tag === "Read") found.add(node.source)
    else inputs(node).forEach(child)
  })
  return [...found]
}

/**
 * One line for a node, as `explain` prints it.
 *
 * @category printing
 * @since 0.1.0
 */
export const label = (plan: Plan): string => {
  switch (plan._tag) {
    case "Read":
      return `Read ${plan.source.name} ${plan.source.detail}`
    case "Narrow":
      return Operator.label(plan.operator)
    case "Union":
      return `Union of ${plan.inputs.length}`
    case "Coalesce":
      return `Coalesce to ${plan.partitions}`
    case "ZipWithIndex":
    case "Cartesian":
      return plan._tag
    case "Exchange":
      return `${plan.name} ${partitioningLabel(plan.partitioning)}${plan.detail === undefined ? "" : `, ${plan.detail}`}`
    case "ZipPartitions":
      return plan.name
    case "Cache":
      return `Cache in ${plan.handle.storage}`
    case "Invalid":
      return `Invalid ${plan.operator}: ${plan.detail}`
  }
}

const partitioningLabel = (partitioning: Partitioning): string =>
  partitioning._tag === "Fixed" ? partitionerLabel(partitioning.partitioner) : `by ${partitioning._tag.toLowerCase()}`

/**
 * A partitioner, as `explain` prints it.
 *
 * @category printing
 * @since 0.1.0
 */
export const partitionerLabel = (partitioner: Partitioner<never>): string =>
  partitioner._tag === "Custom"
    ? `by ${partitioner.name} in ${partitioner.partitions}`
    : partitioner._tag === "RoundRobin"
      ? `round robin in ${partitioner.partitions}`
      : `by ${partitioner._tag.toLowerCase()} in ${partitioner.partitions}`

/**
 * The plan as an indented tree, the last step first. A node that is an input of several others is printed once, with a
 * number.
 *
 * @category printing
 * @since 0.1.0
 */
export const print = (plan: Plan): string => {
  const uses = new Map<Plan, number>()
  fold<void>(plan, (node, child) => {
    for (const input of inputs(node)) {
      uses.set(input, (uses.get(input) ?? 0) + 1)
      child(input)
    }
  })
  const numbers = new Map<Plan, number>()
  const lines: Array<string> = []
  const visit = (node: Plan, indent: string): void => {
    const shared = (uses.get(node) ?? 0) > 1 && node._tag !== "Read"
    const number = numbers.get(node)
    if (number !== undefined) {
      lines.push(`${indent}#${number} again`)
      return
    }
    if (shared) numbers.set(node, numbers.size + 1)
    lines.push(`${indent}${shared ? `#${numbers.size} ` : ""}${label(node)}`)
    for (const input of inputs(node)) visit(input, `${indent}  `)
  }
  visit(plan, "")
  return lines.join("\n")
}

/**
 * The plan as a Mermaid flow chart.
 *
 * @category printing
 * @since 0.1.0
 */
export const toMermaid = (plan: Plan): string => {
  const nodes: Array<string> = []
  let next = 0
  fold<string>(plan, (node, child) => {
    const id = `n${next++}`
    nodes.push(`  ${id}["${label(node).replaceAll('"', "#quot;")}"]`)
    for (const input of inputs(node)) {
      const from = child(input)
      nodes.push(`  ${from} --> ${id}`)
    }
    return id
  })
  return ["flowchart TD", ...nodes].join("\n")
}

const ownIdentity = (plan: Plan): string => {
  switch (plan._tag) {
    case "Narrow":
      return Operator.identity(plan.operator)
    case "Exchange":
    case "ZipPartitions":
      return `${label(plan)} ${plan.functions}`
    // Keeping rows in a cache does not change them.
    case "Cache":
      return "Cache"
    default:
      return label(plan)
  }
}

const hash = (text: string): string => createHash("sha256").update(text).digest("hex")

// One hash per node, of its own text and its inputs' hashes.
const identity = (plan: Plan): string =>
  fold<string>(plan, (node, child) => hash(`${ownIdentity(node)} (${inputs(node).map(child).join(" ")})`))

/**
 * A fingerprint of the plan: 16 hexadecimal digits that are the same in every process that builds the same plan from the same
 * program, and change when a step or a path changes.
 *
 * @category getters
 * @since 0.1.0
 */
export const fingerprint = (plan: Plan, salt = ""): string => hash(`${salt}\0${identity(plan)}`).slice(0, 16)
