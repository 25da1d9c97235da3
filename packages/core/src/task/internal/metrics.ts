import type { Totals } from "../../observe/Events.ts"
import type { TaskMetrics } from "../TaskContext.ts"

export const makeMetrics = (): TaskMetrics => ({
  rowsRead: 0,
  bytesRead: 0,
  rowsAhead: 0,
  bytesAhead: 0,
  rowsIn: 0,
  rowsOut: 0,
  bytesWritten: 0,
  rowsFiltered: 0,
  rowsCut: 0,
  deadLettered: 0,
  counters: new Map(),
  gauges: new Map()
})

const addAll = (into: Map<string, number>, from: ReadonlyMap<string, number>): void => {
  for (const [key, value] of from) into.set(key, (into.get(key) ?? 0) + value)
}

export const addMetrics = (into: TaskMetrics, from: TaskMetrics): void => {
  into.rowsRead += from.rowsRead
  into.bytesRead += from.bytesRead
  into.rowsAhead += from.rowsAhead
  into.bytesAhead += from.bytesAhead
  into.rowsIn += from.rowsIn
  into.rowsOut += from.rowsOut
  into.bytesWritten += from.bytesWritten
  into.rowsFiltered += from.rowsFiltered
  into.rowsCut += from.rowsCut
  into.deadLettered += from.deadLettered
  addAll(into.counters, from.counters)
  addAll(into.gauges, from.gauges)
}

/** Rows in an array of elements. */
export const rowsIn = <A>(values: ReadonlyArray<A>, rowsOf: ((element: A) => number) | undefined): number =>
  rowsOf === undefined ? values.length : values.reduce((sum, value) => sum + rowsOf(value), 0)

export const totals = (metrics: TaskMetrics): Totals => ({
  ...metrics,
  counters: Object.fromEntries(metrics.counters),
  gauges: Object.fromEntries(metrics.gauges)
})
