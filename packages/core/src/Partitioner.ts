/**
 * Which partition of a shuffle a key goes to.
 *
 * Keys are compared as Effect's `Equal` compares plain data, by what they encode to: structs by their fields in any order, dates
 * by time, tuples by element; `NaN` equals `NaN`, `-0` equals `0` (and comes out as `0`), and `1`, `1n` and `"1"` differ. The
 * partition of a key is the same in every process.
 *
 * @since 0.1.0
 */
import type { Order } from "effect"
import type { Codec } from "./Codec.ts"

/**
 * Which partition a key goes to.
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
  /** Encodes the keys; the codec of the keys of every shuffle that uses this partitioner. */
  readonly codec: { readonly id: string }
  readonly partition: (key: K) => number
}

/**
 * By order: every key of a partition is at most any key of the next.
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
 * Rows dealt out in turn; it ignores keys.
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
  /** Two custom partitioners with the same name and partitions are taken for the same. */
  readonly name: string
  readonly partitions: number
  /** A number outside `0..partitions` counts modulo. */
  readonly partition: (key: K) => number
}

/**
 * Partitions by the hash of the key's bytes. The codec is `Codec.plain` unless given.
 *
 * @category constructors
 * @since 0.1.0
 */
export declare const hash: <K = unknown>(
  partitions: number,
  options?: { readonly codec?: Codec<K> | undefined }
) => HashPartitioner<K>

/**
 * Partitions by order, with bounds drawn from a sample of the keys. There are at most as many partitions as the sample has
 * different keys; an empty sample gives one.
 *
 * @category constructors
 * @since 0.1.0
 */
export declare const range: <K>(options: {
  readonly partitions: number
  readonly sample: ReadonlyArray<K>
  readonly order: Order.Order<K>
}) => RangePartitioner<K>

/**
 * Deals rows out in turn, each map task beginning at another partition.
 *
 * @category constructors
 * @since 0.1.0
 */
export declare const roundRobin: (partitions: number) => RoundRobin

/**
 * Partitions by a function.
 *
 * @category constructors
 * @since 0.1.0
 */
export declare const make: <K>(name: string, partitions: number, partition: (key: K) => number) => Custom<K>

/**
 * Whether two partitioners send equal keys to equal partitions, so that data partitioned by one need not move for the other.
 *
 * @category comparisons
 * @since 0.1.0
 */
export declare const equals: (self: Partitioner<never>, that: Partitioner<never>) => boolean
