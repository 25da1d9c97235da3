/**
 * Rewrites a logical plan into a cheaper one with the same meaning. Each rule is a named value; {@link optimize} applies them
 * in order until nothing changes.
 *
 * @since 0.1.0
 */
import * as Plan from "./Plan.ts"

/**
 * A rewrite. `apply` gets a node whose children are rewritten already and returns it unchanged (the same reference) where
 * the rule does not fit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule {
  readonly name: string
  readonly apply: (node: Plan.Plan) => Plan.Plan
}

/**
 * `Select` directly above a source that can read columns becomes a source that reads only those.
 *
 * @category rules
 * @since 0.1.0
 */
export const pruneColumns: Rule = {
  name: "pruneColumns",
  apply: (node) =>
    node._tag === "Narrow" &&
    node.operator._tag === "Select" &&
    node.child._tag === "Read" &&
    node.child.source.project !== undefined
      ? { _tag: "Read", source: node.child.source.project(node.operator.columns) }
      : node
}

/**
 * Of two `Select`s in a row only the later one matters.
 *
 * @category rules
 * @since 0.1.0
 */
export const mergeSelects: Rule = {
  name: "mergeSelects",
  apply: (node) =>
    node._tag === "Narrow" &&
    node.operator._tag === "Select" &&
    node.child._tag === "Narrow" &&
    node.child.operator._tag === "Select"
      ? { ...node, child: node.child.child }
      : node
}

/**
 * `Select` moves below steps that keep the rows themselves (`Sample`, `Union`), closer to the source.
 *
 * @category rules
 * @since 0.1.0
 */
export const pushSelectDown: Rule = {
  name: "pushSelectDown",
  apply: (node) => {
    if (node._tag !== "Narrow" || node.operator._tag !== "Select") return node
    const child = node.child
    if (child._tag === "Narrow" && child.operator._tag === "Sample") {
      return { ...child, child: pushSelectDown.apply({ ...node, child: child.child }) }
    }
    if (child._tag === "Union") {
      return { ...child, inputs: child.inputs.map((input) => pushSelectDown.apply({ ...node, child: input })) }
    }
    if (child._tag === "Coalesce") {
      return { ...child, child: pushSelectDown.apply({ ...node, child: child.child }) }
    }
    return node
  }
}

/**
 * A union of unions is one union.
 *
 * @category rules
 * @since 0.1.0
 */
export const flattenUnions: Rule = {
  name: "flattenUnions",
  apply: (node) => (node._tag === "Union" && node.inputs.some((input) => input._tag === "Union") ? flat(node) : node)
}

// A union of a union with itself, time after time, has more inputs than memory has room for: it stays as it is.
const flat = (node: Extract<Plan.Plan, { _tag: "Union" }>): Plan.Plan => {
  const inputs = node.inputs.flatMap((input) => (input._tag === "Union" ? input.inputs : [input]))
  return inputs.length <= 64 || new Set(inputs).size === inputs.length ? { ...node, inputs } : node
}

/**
 * The rules, in the order they are applied.
 *
 * @category rules
 * @since 0.1.0
 */
export const rules: ReadonlyArray<Rule> = [flattenUnions, mergeSelects, pushSelectDown, pruneColumns]

/**
 * Applies the rules, each over the whole plan.
 *
 * @category combinators
 * @since 0.1.0
 */
export const optimize = (plan: Plan.Plan): Plan.Plan =>
  rules.reduce((current, rule) => Plan.rewrite(current, rule.apply), plan)
