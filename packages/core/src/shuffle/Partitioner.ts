/**
 * Assigns each key of a shuffle to one partition.
 *
 * Keys are compared as Effect's `Equal` compares plain data, by their encoded form: structs by their fields in any
 * order, dates by time, tuples by element; `NaN` equals `NaN`, `-0` equals `0` (and comes out as `0`), and `1`, `1n`
 * and `"1"` differ. The partition of a key is the same in every process.
 *
 * The number of partitions is a whole number from 1 on: with any other, an action on a dataset that uses the
 * partitioner fails with a `JobError` of reason `InvalidPlan`.
 *
 * @since 0.1.0
 */
import { Equal, type Order } from "effect"
import { type Codec, plain } from "../codec/Codec.ts"
import { whole } from "../codec/internal/checks.ts"
import { Writer } from "../codec/internal/bytes.ts"
import { outside } from "../codec/internal/elements.ts"
import { hashBytes } from "../codec/internal/hash.ts"
import { prefix } from "../codec/internal/prefix.ts"

/**
 * Decides which partition a key goes to.
 *
 * @category models
 * @since 0.1.0
 */
export type Partitioner<K> = HashPartitioner<K> | RangePartitioner<K> | RoundRobin | Custom<K>

/**
 * By the hash of the key's bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface HashPartitioner<in K> {
  readonly _tag: "Hash"
  readonly partitions: number
  /** Encodes the keys in every shuffle that uses this partitioner. */
  readonly codec: { readonly id: string }
  readonly partition: (key: K) => number
}

/**
 * By order: no key of a partition is greater than a key of the next.
 *
 * @category models
 * @since 0.1.0
 */
export interface RangePartitioner<in K> {
  readonly _tag: "Range"
  readonly partitions: number
  /** Upper bounds (inclusive) of all partitions but the last, in order. */
  readonly bounds: ReadonlyArray<unknown>
  readonly order: unknown
  readonly partition: (key: K) => number
}

/**
 * Distributes rows in turn, whatever their keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface RoundRobin {
  readonly _tag: "RoundRobin"
  readonly partitions: number
}

/**
 * By a function of the program.
 *
 * @category models
 * @since 0.1.0
 */
export interface Custom<in K> {
  readonly _tag: "Custom"
  /** Two custom partitioners with the same name and number of partitions count as the same. */
  readonly name: string
  readonly partitions: number
  /** A number outside `0..partitions` is taken modulo `partitions`. */
  readonly partition: (key: K) => number
}

/**
 * Partitions by the hash of the key's bytes. The codec is `Codec.plain` unless given.
 *
 * @category constructors
 * @since 0.1.0
 */
export const hash = <K = unknown>(
  partitions: number,
  options?: { readonly codec?: Codec<K> | undefined }
): HashPartitioner<K> => {
  const codec: Pick<Codec<K>, "id" | "write"> = options?.codec ?? plain
  const scratch = new Writer(256)
  scratch.canonical = true
  return {
    _tag: "Hash",
    partitions,
    codec,
    partition(key) {
      scratch.position = 0
      scratch.depth = 0
      codec.write(key, scratch)
      hashBytes(scratch.bytes, 0, scratch.position)
      return prefix.high % partitions
    }
  }
}

/**
 * Partitions by order, with bounds drawn from a sample of the keys. There are at most as many partitions as the sample
 * has distinct keys; an empty sample gives one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const range = <K>(options: {
  readonly partitions: number
  readonly sample: ReadonlyArray<K>
  readonly order: Order.Order<K>
}): RangePartitioner<K> => {
  const { order } = options
  const sorted = options.sample.toSorted(order)
  const greatest = sorted.at(-1)
  const bounds: Array<K> = []
  const right = whole("partitions", options.partitions) === undefined
  for (let i = 1; right && i < options.partitions; i++) {
    const key = sorted[Math.ceil((i * sorted.length) / options.partitions) - 1]
    // Equal bounds would leave a partition without keys; so would the greatest key as a bound.
    if (key === undefined || greatest === undefined || order(key, greatest) >= 0) continue
    const last = bounds.at(-1)
    if (last === undefined || order(last, key) < 0) bounds.push(key)
  }
  return {
    _tag: "Range",
    partitions: right ? bounds.length + 1 : options.partitions,
    bounds,
    order,
    partition(key) {
      let low = 0
      let high = bounds.length
      while (low < high) {
        const middle = (low + high) >>> 1
        const bound = bounds[middle]
        if (bound === undefined) return outside(middle)
        if (order(key, bound) <= 0) high = middle
        else low = middle + 1
      }
      return low
    }
  }
}

/**
 * Distributes rows in turn. Each map task begins at a different partition.
 *
 * @category constructors
 * @since 0.1.0
 */
export const roundRobin = (partitions: number): RoundRobin => ({
  _tag: "RoundRobin",
  partitions
})

/**
 * Partitions by a function.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <K>(name: string, partitions: number, partition: (key: K) => number): Custom<K> => ({
  _tag: "Custom",
  name,
  partitions,
  partition: (key) => {
    const rest = Math.floor(partition(key)) % partitions
    return (rest < 0 ? rest + partitions : rest) || 0
  }
})

/**
 * Whether two partitioners send equal keys to equal partitions, so that rows partitioned by one need not move for the
 * other.
 *
 * @category getters
 * @since 0.1.0
 */
export const equals = (self: Partitioner<never>, that: Partitioner<never>): boolean => {
  if (self === that) return true
  if (self.partitions !== that.partitions) return false
  switch (self._tag) {
    case "Hash":
      // Codecs of schemas share an id but not their bytes.
      return (
        that._tag === "Hash" && (self.codec === that.codec || (self.codec.id === "plain" && that.codec.id === "plain"))
      )
    case "Range":
      return that._tag === "Range" && self.order === that.order && Equal.equals(self.bounds, that.bounds)
    case "Custom":
      return that._tag === "Custom" && self.name === that.name
    case "RoundRobin":
      return false
  }
}
