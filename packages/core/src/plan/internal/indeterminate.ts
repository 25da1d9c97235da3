/**
 * What a plan says about steps that may yield different rows when a task runs again. What random functions do cannot be
 * known.
 */
import * as Operator from "../../task/Operator.ts"
import * as Plan from "../Plan.ts"

const known = new WeakMap<Plan.Plan, { readonly by: string | undefined }>()

/** The step after which rows come in a different order each time, if there is one. */
const unorderedBy = (node: Plan.Plan): string | undefined => {
  const found = known.get(node)
  if (found !== undefined) return found.by
  const by = findUnordered(node)
  known.set(node, { by })
  return by
}

const findUnordered = (node: Plan.Plan): string | undefined => {
  if (node._tag === "Narrow" && Operator.reorders(node.operator)) return Operator.label(node.operator)
  // Rows that spill come out in a different order than rows that do not.
  if (node._tag === "Exchange" && node.ordered !== true) return node.name
  for (const input of Plan.inputs(node)) {
    const by = unorderedBy(input)
    if (by !== undefined) return by
  }
  return undefined
}

const depends = (node: Plan.Plan): boolean =>
  node._tag === "ZipWithIndex" ||
  (node._tag === "Narrow" && Operator.dependsOnOrder(node.operator)) ||
  (node._tag === "Exchange" &&
    node.partitioning._tag === "Fixed" &&
    node.partitioning.partitioner._tag === "RoundRobin")

/** What `explain` adds to a step that depends on the order of its rows if that order changes from run to run. */
export const indeterminateNote = (node: Plan.Plan): string => {
  if (!depends(node)) return ""
  for (const input of Plan.inputs(node)) {
    const by = unorderedBy(input)
    if (by !== undefined)
      return `; indeterminate: depends on the order of rows, which changes from run to run after ${by}`
  }
  return ""
}
