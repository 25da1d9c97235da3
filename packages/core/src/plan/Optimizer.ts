/**
 * Rewrites a logical plan into a cheaper one with the same meaning. Each rule is a named value; {@link optimize} applies them
 * in order, once, from the sources up.
 *
 * @stability unstable
 * @since 0.1.0
 */
import type { Source } from "../task/Format.ts"
import * as Operator from "../task/Operator.ts"
import * as Plan from "./Plan.ts"

/**
 * A rewrite. `apply` gets a node whose children are already rewritten, and returns it unchanged (the same reference) if
 * the rule does not fit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule {
  readonly name: string
  readonly apply: (node: Plan.Plan) => Plan.Plan
}

// A filter whose conditions are known.
const isWhere = (node: Plan.Plan): node is Extract<Plan.Plan, { _tag: "Narrow" }> =>
  node._tag === "Narrow" && node.operator._tag === "Filter" && node.operator.where !== undefined

// The source below filters whose conditions are known, if there is one.
const onSource = (node: Plan.Plan, f: (source: Source<unknown>) => Source<unknown> | undefined): Plan.Plan => {
  if (node._tag === "Read") {
    const source = f(node.source)
    return source === undefined || source === node.source ? node : { ...node, source }
  }
  if (!isWhere(node)) return node
  const child = onSource(node.child, f)
  return child === node.child ? node : { ...node, child }
}

const whereColumns = (node: Plan.Plan): ReadonlyArray<string> =>
  isWhere(node) && node.operator._tag === "Filter"
    ? [...(node.operator.where ?? []).map(({ column }) => column), ...whereColumns(node.child)]
    : []

// The source directly below a step that names the columns it uses reads only those. It never reads more than before.
const readOnly = (node: Extract<Plan.Plan, { _tag: "Narrow" }>, reads: ReadonlyArray<string>): Plan.Plan => {
  const { child } = node
  if (child._tag !== "Read") return node
  const { columns, project } = child.source
  if (columns !== undefined && !(columns.length > reads.length && reads.every((name) => columns.includes(name)))) {
    return node
  }
  return project === undefined ? node : { ...node, child: { ...child, source: project(reads) } }
}

/**
 * A `Select` above a source that can read columns becomes a source that reads only those. If filters with known
 * conditions lie between, the source also reads their columns, and the `Select` stays. A source below another step that
 * names the columns it uses reads only those.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pruneColumns: Rule = {
  name: "pruneColumns",
  apply: (node) => {
    if (node._tag !== "Narrow") return node
    if (node.operator._tag === "MapPartitions" && node.operator.reads !== undefined) {
      return readOnly(node, node.operator.reads)
    }
    if (node.operator._tag !== "Select") return node
    const { columns, f } = node.operator
    // A filter on record batches looks at whole batches.
    if (f !== undefined && isWhere(node.child)) return node
    const wanted = [...new Set([...columns, ...whereColumns(node.child)])]
    const child = onSource(node.child, (source) =>
      source.columns !== undefined && source.columns.every((column) => wanted.includes(column)) && isWhere(node.child)
        ? source
        : source.project?.(wanted)
    )
    if (child === node.child) return node
    return wanted.length === columns.length ? child : { ...node, child }
  }
}

/**
 * If two `Select`s follow each other, only the later one matters.
 *
 * @category combinators
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
 * @category combinators
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

// Steps before which rows may be dropped instead of after them: they look at every row on its own and keep it as it is.
const passes = (node: Plan.Plan): node is Extract<Plan.Plan, { _tag: "Narrow" }> =>
  node._tag === "Narrow" && Operator.passesRows(node.operator)

/**
 * A `Filter` whose conditions are known moves below steps that keep rows as they are (`Select`, other filters, `Union`, `Coalesce`),
 * closer to the source.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pushFilterDown: Rule = {
  name: "pushFilterDown",
  apply: (node) => {
    if (node._tag !== "Narrow" || node.operator._tag !== "Filter" || node.operator.where === undefined) return node
    const child = node.child
    if (passes(child) || child._tag === "Coalesce") {
      return { ...child, child: pushFilterDown.apply({ ...node, child: child.child }) }
    }
    if (child._tag === "Union") {
      return { ...child, inputs: child.inputs.map((input) => pushFilterDown.apply({ ...node, child: input })) }
    }
    return node
  }
}

/**
 * A source below `Filter`s skips the parts that their conditions rule out. The filters stay: a part that is left has other rows, too.
 *
 * @category combinators
 * @since 0.1.0
 */
export const restrictSources: Rule = {
  name: "restrictSources",
  apply: (node) => {
    if (node._tag !== "Narrow" || node.operator._tag !== "Filter" || node.operator.where === undefined) return node
    const { where } = node.operator
    return onSource(node, (source) =>
      where.every((condition) => source.restricted?.includes(condition) === true) ? source : source.restrict?.(where)
    )
  }
}

/**
 * A union of unions is one union.
 *
 * @category combinators
 * @since 0.1.0
 */
export const flattenUnions: Rule = {
  name: "flattenUnions",
  apply: (node) => (node._tag === "Union" && node.inputs.some((input) => input._tag === "Union") ? flat(node) : node)
}

// A union of a union with itself, repeated often, would have more inputs than fit into memory, so it stays as it is.
const flat = (node: Extract<Plan.Plan, { _tag: "Union" }>): Plan.Plan => {
  const inputs = node.inputs.flatMap((input) => (input._tag === "Union" ? input.inputs : [input]))
  return inputs.length <= 64 || new Set(inputs).size === inputs.length ? { ...node, inputs } : node
}

/**
 * The rules, in the order they are applied.
 *
 * @category combinators
 * @since 0.1.0
 */
export const rules: ReadonlyArray<Rule> = [
  flattenUnions,
  mergeSelects,
  pushFilterDown,
  pushSelectDown,
  restrictSources,
  pruneColumns
]

/**
 * Applies the rules, each over the whole plan.
 *
 * @category combinators
 * @since 0.1.0
 */
export const optimize = (plan: Plan.Plan): Plan.Plan =>
  rules.reduce((current, rule) => Plan.rewrite(current, rule.apply), plan)
