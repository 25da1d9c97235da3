import type { RecordBatch } from "apache-arrow"

/**
 * The record batch with only these columns, in this order, or what is wrong with them. They share their memory with
 * those of the whole batch. (Arrow's own `select` by name mixes up columns that are not the first ones.)
 */
export const selectColumns = (batch: RecordBatch, names: ReadonlyArray<string>): RecordBatch | string => {
  const all = batch.schema.fields.map((field) => field.name)
  const indexes: Array<number> = []
  for (const name of new Set(names)) {
    const index = all.indexOf(name)
    if (index < 0) return `there is no column "${name}"; the columns are ${all.map((one) => `"${one}"`).join(", ")}`
    indexes.push(index)
  }
  return batch.selectAt(indexes)
}
