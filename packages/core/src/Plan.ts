/**
 * The logical plan: what a `Dataset` holds. A closed union of nodes, built by combinators, rewritten by the `Optimizer`, cut
 * into stages by the `Planner`. Nothing here runs.
 *
 * **Details**
 *
 * Element types live in `Dataset`'s type parameters only. Inside a plan a function takes and returns `unknown`; the node
 * types use method syntax, whose parameters TypeScript compares bivariantly, so that a typed function is stored without a
 * cast and nothing but the combinators of `Dataset` may build nodes.
 *
 * @since 0.1.0
 */
import type { Effect, Layer, Result, Stream } from "effect"
import { createHash } from "node:crypto"
import type { Source } from "./Format.ts"
import type { TaskContext } from "./TaskContext.ts"

/**
 * A step that works on one partition alone.
 *
 * @category models
 * @since 0.1.0
 */
export type Operator =
  | { readonly _tag: "Map"; f(value: unknown): unknown }
  | { readonly _tag: "Filter"; f(value: unknown): boolean }
  | { readonly _tag: "FilterMap"; f(value: unknown): Result.Result<unknown, unknown> }
  | { readonly _tag: "FlatMap"; f(value: unknown): Iterable<unknown> }
  | { readonly _tag: "MapArray"; f(values: ReadonlyArray<unknown>): ReadonlyArray<unknown> }
  | { readonly _tag: "Select"; readonly columns: ReadonlyArray<string> }
  | { readonly _tag: "Sample"; readonly fraction: number; readonly seed: number; readonly withReplacement: boolean }
  | {
    readonly _tag: "MapEffect"
    f(value: unknown): Effect.Effect<unknown, unknown, unknown>
    readonly concurrency: number | "unbounded"
    readonly unordered: boolean
  }
  | { readonly _tag: "Tap"; f(value: unknown): Effect.Effect<unknown, unknown, unknown> }
  /** Handles what the element-wise steps before it fail with (of one tag, where there is one), one element at a time. */
  | { readonly _tag: "Catch"; readonly tag: string | undefined; f(error: unknown): Effect.Effect<unknown, unknown, unknown> }
  | {
    readonly _tag: "MapPartitions"
    readonly name: string
    /** One row out for each row in, so that the rows can be accounted for across it. */
    readonly oneToOne: boolean
    f(rows: Stream.Stream<unknown, unknown, unknown>, task: TaskContext): Stream.Stream<unknown, unknown, unknown>
  }
  /** Provides services to the steps before it. The layer is built once per executor. */
  | { readonly _tag: "Provide"; readonly layer: Layer.Layer<never, unknown, unknown> }

/**
 * A node.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan =
  | { readonly _tag: "Read"; readonly source: Source<unknown> }
  | { readonly _tag: "Narrow"; readonly child: Plan; readonly operator: Operator }
  | { readonly _tag: "Union"; readonly inputs: ReadonlyArray<Plan> }
  /** Fewer partitions without moving rows between executors: each is a run of the child's. */
  | { readonly _tag: "Coalesce"; readonly child: Plan; readonly partitions: number }
  /** Pairs of element and position. Needs the sizes of the partitions before it, so a stage that counts them runs first. */
  | { readonly _tag: "ZipWithIndex"; readonly child: Plan }

/**
 * The nodes a node reads.
 *
 * @category getters
 * @since 0.1.0
 */
export const inputs = (plan: Plan): ReadonlyArray<Plan> => {
  switch (plan._tag) {
    case "Read":
      return []
    case "Union":
      return plan.inputs
    default:
      return [plan.child]
  }
}

/**
 * The plan with every node replaced, children first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const rewrite = (plan: Plan, f: (node: Plan) => Plan): Plan => {
  switch (plan._tag) {
    case "Read":
      return f(plan)
    case "Union":
      return f({ ...plan, inputs: plan.inputs.map((input) => rewrite(input, f)) })
    default:
      return f({ ...plan, child: rewrite(plan.child, f) })
  }
}

/**
 * The sources a plan reads, left to right; one that is read twice is there twice.
 *
 * @category getters
 * @since 0.1.0
 */
export const sources = (plan: Plan): ReadonlyArray<Source<unknown>> =>
  plan._tag === "Read" ? [plan.source] : inputs(plan).flatMap(sources)

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
      return operatorLabel(plan.operator)
    case "Union":
      return `Union of ${plan.inputs.length}`
    case "Coalesce":
      return `Coalesce to ${plan.partitions}`
    case "ZipWithIndex":
      return "ZipWithIndex"
  }
}

/**
 * One word or two for an operator, as `explain` prints it.
 *
 * @category printing
 * @since 0.1.0
 */
export const operatorLabel = (operator: Operator): string => {
  switch (operator._tag) {
    case "Select":
      return `Select ${operator.columns.join(", ")}`
    case "Sample":
      return `Sample ${operator.fraction}${operator.withReplacement ? " with replacement" : ""} seed ${operator.seed}`
    case "MapEffect":
      return `MapEffect concurrency ${operator.concurrency}${operator.unordered ? " unordered" : ""}`
    case "MapPartitions":
      return operator.name
    case "Catch":
      return operator.tag === undefined ? "Catch" : `Catch ${operator.tag}`
    default:
      return operator._tag
  }
}

/**
 * The plan as an indented tree, the last step first.
 *
 * @category printing
 * @since 0.1.0
 */
export const print = (plan: Plan, indent = ""): string =>
  [`${indent}${label(plan)}`, ...inputs(plan).map((input) => print(input, `${indent}  `))].join("\n")

/**
 * The plan as a Mermaid flow chart.
 *
 * @category printing
 * @since 0.1.0
 */
export const toMermaid = (plan: Plan): string => {
  const lines = ["flowchart TD"]
  let next = 0
  const visit = (node: Plan): string => {
    const id = `n${next++}`
    lines.push(`  ${id}["${label(node).replaceAll("\"", "#quot;")}"]`)
    for (const input of inputs(node)) {
      const child = visit(input)
      lines.push(`  ${child} --> ${id}`)
    }
    return id
  }
  visit(plan)
  return lines.join("\n")
}

// What makes two operators the same step: their settings and the text of their functions. Captured variables do not show in
// the text; a job's payload, which is where they come from, is hashed beside the plan.
const operatorIdentity = (operator: Operator): string => {
  switch (operator._tag) {
    case "Select":
    case "Sample":
      return operatorLabel(operator)
    case "Provide":
      return "Provide"
    case "MapPartitions":
      return `${operator.name} ${operator.f.toString()}`
    default:
      return `${operatorLabel(operator)} ${operator.f.toString()}`
  }
}

const identity = (plan: Plan): string => {
  const own = plan._tag === "Narrow" ? operatorIdentity(plan.operator) : label(plan)
  return `(${own} ${inputs(plan).map(identity).join(" ")})`
}

/**
 * A fingerprint of the plan: 16 hexadecimal digits that are the same in every process that builds the same plan from the same
 * program, and change when a step or a path changes.
 *
 * @category getters
 * @since 0.1.0
 */
export const fingerprint = (plan: Plan, salt = ""): string =>
  createHash("sha256").update(salt).update("\0").update(identity(plan)).digest("hex").slice(0, 16)
