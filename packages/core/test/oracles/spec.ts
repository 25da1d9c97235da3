/** A random pipeline as data: printed, made smaller, and run again from its JSON. */

/** The index of a key in its pool, and a number. */
export type Cell = readonly [key: number, value: number]

export interface Source {
  readonly kind: (typeof sources)[number]
  /** Rows of each partition, or of each file. */
  readonly parts: ReadonlyArray<ReadonlyArray<Cell>>
  /** Which keys: an index into `pools`. Files have strings whatever this is. */
  readonly pool: number
  /** Rows of an array, of a row group. */
  readonly chunk: number
  /** Only rows with at least this value: a condition that a file may push down. */
  readonly min: number
  /** In CSV and JSON Lines: after how many rows an invalid line follows, which is set aside; 0 for never. */
  readonly bad: number
}

export interface Pipe {
  /** `self`: the dataset that the step beside it is applied to, the same value. */
  readonly source: Source | "self"
  readonly ops: ReadonlyArray<Op>
}

/** A step. Each operator gives `a` and `b` its own meaning. */
export interface Op {
  readonly name: string
  readonly a: number
  readonly b: number
  readonly other?: Pipe
}

/** The faults while an action runs. */
export interface Fault {
  readonly kind: (typeof faults)[number]
  /** The first call to be hit, from 1. */
  readonly nth: number
  readonly times: number
}

export interface Act {
  readonly name: string
  readonly a: number
  readonly fault?: Fault
}

export interface Settings {
  readonly slots: number
  readonly executors: number
  readonly disk: boolean
  readonly memoryBytes: number
  readonly adaptive: "off" | "default" | "tiny"
  readonly broadcast: boolean
  readonly cacheBytes: number
  readonly splitBytes: number
}

export interface Spec {
  readonly settings: Settings
  readonly pipe: Pipe
  readonly acts: ReadonlyArray<Act>
}

export const sources = ["iterable", "range", "streams", "text", "csv", "jsonl", "parquet"] as const

export const faults = [
  "interrupt",
  "throw",
  "storage read",
  "storage readRange",
  "storage write",
  "storage list",
  "storage stat",
  "storage rename",
  "storage delete",
  "storage mkdirs",
  "shuffle missing",
  "shuffle corrupt",
  "shuffle unavailable",
  "shuffle full"
] as const

/** Uniform numbers from a seed (mulberry32). */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) >>> 0
    for (let i = 0; i < 3; i++) this.next()
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  /** Below `n`. */
  int(n: number): number {
    return Math.floor(this.next() * n)
  }
  chance(probability: number): boolean {
    return this.next() < probability
  }
  pick<A>(values: ReadonlyArray<A>): A {
    const value = values[this.int(values.length)]
    if (value === undefined) throw new RangeError("nothing to choose from")
    return value
  }
}
