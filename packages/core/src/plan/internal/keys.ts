import type { Operator } from "../Plan.ts"

/** Whether pairs keep their keys, and so their partitions. */
export const keepsKeys = (operator: Operator): boolean => {
  switch (operator._tag) {
    case "Filter":
    case "Sample":
    case "Tap":
    case "Provide":
      return true
    case "Map":
    case "FlatMap":
      return operator.keyed !== undefined
    default:
      return false
  }
}
