/**
 * What a cache holds, without I/O: its partitions in the order of their last use, and those that are being read into
 * it.
 */
import type { CacheHandle } from "../../../plan/Plan.ts"
import type { MapStatus } from "../../../shuffle/Shuffle.ts"
import type { Book } from "../../../task/internal/book.ts"

/** Elements as they pass: never none. */
export type Values = readonly [unknown, ...Array<unknown>]

export interface Key {
  readonly handle: CacheHandle
  readonly partition: number
  /** Identifies the run of the stages before it: partitions of two such runs do not belong together. */
  readonly run: string
  readonly filler: Filler
}

/**
 * The stage that filled it. A job that reads its own rows has them in its account already, unless that stage only
 * looked ahead.
 */
export interface Filler {
  readonly jobId: string
  readonly book: Book
}

export type Entry = Key &
  (
    | { readonly _tag: "Memory"; readonly arrays: ReadonlyArray<Values>; readonly bytes: number }
    | { readonly _tag: "Disk"; readonly status: MapStatus }
  )

/** A partition that is being read into the cache. */
export interface Filling extends Key {
  /** The rows read so far, while it goes into memory. */
  arrays: Array<Values>
  bytes: number
  /** It will not be kept: an element failed, there is no room, or the dataset was dropped. */
  dropped: boolean
}

export interface Table {
  /** Most bytes in memory. */
  readonly limit: number
  /** In the order of their last use. */
  readonly entries: Map<string, Entry>
  readonly fillings: Set<Filling>
  /** Bytes in memory, including those of `fillings`. */
  held: number
}

export const make = (limit: number): Table => ({ limit, entries: new Map(), fillings: new Set(), held: 0 })

const keyOf = (id: string, partition: number) => `${id} ${partition}`

export const find = ({ entries }: Table, id: string, partition: number): Entry | undefined =>
  entries.get(keyOf(id, partition))

/** The entry of a run, which is now the last used. */
export const use = ({ entries }: Table, id: string, partition: number, run: string): Entry | undefined => {
  const key = keyOf(id, partition)
  const entry = entries.get(key)
  if (entry === undefined || entry.run !== run) return undefined
  entries.delete(key)
  entries.set(key, entry)
  return entry
}

export const add = ({ entries }: Table, entry: Entry): void =>
  void entries.set(keyOf(entry.handle.id, entry.partition), entry)

export const forget = (table: Table, entry: Entry): void => {
  const key = keyOf(entry.handle.id, entry.partition)
  if (table.entries.get(key) !== entry) return
  table.entries.delete(key)
  if (entry._tag === "Memory") table.held -= entry.bytes
}

export const begin = ({ fillings }: Table, key: Key): Filling => {
  const filling: Filling = { ...key, arrays: [], bytes: 0, dropped: false }
  fillings.add(filling)
  return filling
}

/** Takes an array into memory for a filling. */
export const hold = (table: Table, filling: Filling, values: Values, bytes: number): void => {
  filling.arrays.push(values)
  filling.bytes += bytes
  table.held += bytes
}

/** Takes the arrays out of a filling, because they go elsewhere. */
export const release = (table: Table, filling: Filling): ReadonlyArray<Values> => {
  const { arrays } = filling
  table.held -= filling.bytes
  filling.bytes = 0
  filling.arrays = []
  return arrays
}

/** Marks a filling that will not be kept. */
export const drop = (table: Table, filling: Filling): void => {
  release(table, filling)
  filling.dropped = true
}

/** How many partitions of a dataset are kept, and their run if all are kept and have the same run. */
export const kept = (
  table: Table,
  id: string,
  partitions: number
): { readonly count: number; readonly run: string | undefined } => {
  const runs = new Set<string>()
  let count = 0
  for (let partition = 0; partition < partitions; partition++) {
    const entry = find(table, id, partition)
    if (entry === undefined) continue
    count++
    runs.add(entry.run)
  }
  const [run] = runs
  return { count, run: count === partitions && runs.size === 1 ? run : undefined }
}
