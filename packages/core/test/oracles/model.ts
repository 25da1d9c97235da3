/** The rows and errors of random pipelines, and what a pipeline should yield, worked out on plain arrays. */
import type { Dataset } from "@sluice/core"
import { Data } from "effect"

export type Row = readonly [key: unknown, value: number]

export class Bad extends Data.TaggedError("Bad")<{ readonly value: number }> {}
export class Odd extends Data.TaggedError("Odd")<{ readonly value: number }> {}

/** The dataset that the steps of a pipeline make. */
export type Rows = Dataset.Dataset<Row, Bad | Odd>

/** A row whose step failed, on its way to a handler. */
export class Failed {
  readonly tag: "Bad" | "Odd"
  readonly value: number
  constructor(tag: "Bad" | "Odd", value: number) {
    this.tag = tag
    this.value = value
  }
}

export type Item = Row | Failed

export interface Model {
  /** All elements, partition after partition. */
  readonly items: ReadonlyArray<Item>
  /** The elements by partition, if their partitions are promised. */
  readonly parts: ReadonlyArray<ReadonlyArray<Item>> | undefined
  /** Whether the order of `items` is promised. */
  readonly ordered: boolean
}

/** Thrown for a step that its input does not allow, or whose result nothing promises. */
export class Inapplicable extends Error {}

export const need = (condition: boolean): void => {
  if (!condition) throw new Inapplicable()
}

export const ofParts = (parts: ReadonlyArray<ReadonlyArray<Item>>, ordered: boolean): Model => ({
  items: parts.flat(),
  parts,
  ordered
})

export const ofItems = (items: ReadonlyArray<Item>, ordered = false): Model => ({ items, parts: undefined, ordered })

/** Applies a function to every element or, of a partition, to all of them. */
export const eachItem = (self: Model, f: (item: Item) => ReadonlyArray<Item>): Model => ({
  items: self.items.flatMap(f),
  parts: self.parts?.map((part) => part.flatMap(f)),
  ordered: self.ordered
})

/** Failed elements pass the pure steps. */
export const eachRow = (self: Model, f: (row: Row) => ReadonlyArray<Item>): Model =>
  eachItem(self, (item) => (item instanceof Failed ? [item] : f(item)))

export const isClean = (self: Model): boolean => !self.items.some((item) => item instanceof Failed)

export const rowsOf = (self: Model): ReadonlyArray<Row> =>
  self.items.filter((item): item is Row => !(item instanceof Failed))

export const failedOf = (self: Model): ReadonlyArray<Failed> => self.items.filter((item) => item instanceof Failed)

/** The partitions of a model without failed elements, in a promised order. */
export const partsInOrder = (self: Model): ReadonlyArray<ReadonlyArray<Row>> => {
  need(self.parts !== undefined && self.ordered && isClean(self))
  return (self.parts ?? []).map((part) => rowsOf(ofItems(part)))
}

/** Rows that were brought together again, with the failed elements. */
export const gathered = (rows: ReadonlyArray<Row>, ...inputs: ReadonlyArray<Model>): Model =>
  ofItems([...rows, ...inputs.flatMap(failedOf)])

/** A text for a value, the same for equal ones. */
export const textOf = (value: unknown): string => {
  if (value instanceof Date) return `date ${value.getTime()}`
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
    return `{${fields.map(([name, field]) => `${name}: ${textOf(field)}`).join()}}`
  }
  if (typeof value === "string") return JSON.stringify(value)
  if (typeof value === "bigint") return `${value}n`
  return Object.is(value, -0) ? "0" : String(value)
}

export const groups = (
  rows: ReadonlyArray<Row>
): Map<string, { readonly key: unknown; readonly values: Array<number> }> => {
  const found = new Map<string, { readonly key: unknown; readonly values: Array<number> }>()
  for (const [key, value] of rows) {
    const text = textOf(key)
    const group = found.get(text)
    if (group === undefined) found.set(text, { key, values: [value] })
    else group.values.push(value)
  }
  return found
}

/** The rows without those equal to one before. */
export const unique = (rows: ReadonlyArray<Row>): ReadonlyArray<Row> => [
  ...new Map(rows.map((row) => [textOf(row), row])).values()
]

/** Values stay small however often they are added and multiplied, and no sum depends on its order. */
export const wrap = (value: number): number => ((value % 1009) + 1009) % 1009
