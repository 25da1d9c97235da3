import { Context, type Effect, Schema, type Scope } from "effect"
import type { Codec } from "../../codec/Codec.ts"
import type { Partitioner } from "../Partitioner.ts"
import type { Reason } from "../ShuffleError.ts"

/**
 * How the values of one key are combined into one. The functions may change their first argument and return it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Aggregator<in out V, in out C> {
  readonly create: (value: V) => C
  readonly mergeValue: (combined: C, value: V) => C
  readonly mergeCombiners: (self: C, that: C) => C
  /** Encodes the combined values. */
  readonly codec: Codec<C>
}

/**
 * What a map task wrote, and where. Plain data.
 *
 * @category models
 * @since 0.1.0
 */
export const MapStatus = Schema.Struct({
  /** Id of the exchange. */
  shuffle: Schema.String,
  /** Partition of the map stage. */
  map: Schema.Number,
  attempt: Schema.Number,
  /** The data file; for the memory layer, a name. */
  file: Schema.String,
  /**
   * The reduce partition of each segment of the file; the arrays below have the same order. In every pass, segments
   * ascend by partition; a task that spilled made several passes.
   */
  partitions: Schema.Array(Schema.Number),
  /** Where each segment begins in the file. */
  offsets: Schema.Array(Schema.Number),
  /** Bytes of each segment in the file. */
  lengths: Schema.Array(Schema.Number),
  /** Rows (or combined keys) of each segment. */
  rows: Schema.Array(Schema.Number),
  /** Encoded bytes of each segment before compression, which the reduce side has to hold. */
  bytes: Schema.Array(Schema.Number),
  /**
   * XOR and sum of the hashes of the rows of each segment, 32 bits each: the same for the same rows in any order. Those
   * of several segments of a partition can be combined. If they differ when a task runs again, it has not written the
   * same rows.
   */
  checksums: Schema.Array(Schema.Tuple([Schema.Number, Schema.Number]))
})

/**
 * What a map task wrote, and where. Plain data.
 *
 * @category models
 * @since 0.1.0
 */
export type MapStatus = typeof MapStatus.Type

/**
 * What the reduce side has to know about a shuffle.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wire<in out K, in out V> {
  /** Unique among the live shuffles, and usable as a file name: `<job>-<stage>`. */
  readonly id: string
  /** Named in errors: `reduceByKey`. */
  readonly operator: string
  /** For a hash partitioner, the codec of the partitioner. */
  readonly key: Codec<K>
  readonly value: Codec<V>
}

/**
 * What a map task writes: which rows become which keys and values, and where they go.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchange<in out Row, in out K, in out V> extends Wire<K, V> {
  readonly partitioner: Partitioner<K>
  readonly keyOf: (row: Row) => K
  readonly valueOf: (row: Row) => V
}

/**
 * What a reduce task reads: the partitions `from` (inclusive) to `to` (exclusive) of some map outputs. Usually one
 * partition of all outputs; several partitions if small ones are coalesced; some of the outputs if a skewed partition
 * is split.
 *
 * @category models
 * @since 0.1.0
 */
export interface Slice {
  readonly statuses: ReadonlyArray<MapStatus>
  readonly from: number
  readonly to: number
}

/**
 * A file that can be read by range: the output of a map task, or sorted runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source {
  /** Its name in errors. */
  readonly file: string
  /** Exactly these bytes, or `Corrupt` if the file is shorter. */
  readonly read: (offset: number, length: number) => Effect.Effect<Buffer, Reason>
}

/**
 * A file that is written and then read, in blocks of many rows.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpillFile extends Source {
  /** Adds the parts at the end of the file, in their order. Afterwards, their bytes are used for other parts. */
  readonly append: (parts: ReadonlyArray<Uint8Array>) => Effect.Effect<void, Reason>
  /** Lets the file outlive its scope. */
  readonly keep: Effect.Effect<void>
}

/**
 * Where map outputs and spilled runs are kept. A service that keeps them elsewhere implements this.
 *
 * @category models
 * @since 0.1.0
 */
export interface Store {
  /** A new file, deleted with the scope unless kept. */
  readonly create: (shuffle: string, name: string) => Effect.Effect<SpillFile, Reason, Scope.Scope>
  /** The output of a map task, wherever it is. A layer that fetches from other processes replaces this. */
  readonly open: (status: MapStatus) => Effect.Effect<Source, Reason, Scope.Scope>
  /** Deletes all files of a shuffle. */
  readonly remove: (shuffle: string) => Effect.Effect<void>
  /** Deletes one map output, which another has replaced. */
  readonly discard: (status: MapStatus) => Effect.Effect<void>
  /** Whether blocks written now should be compressed. */
  readonly compress: () => boolean
}

/**
 * The memory of the executor that one operator of a task holds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Claim {
  /** Asks to hold `bytes` in all. If the answer is no, the operator spills and asks again for what is left. */
  readonly resize: (bytes: number) => boolean
  /** Gives everything back. */
  readonly release: () => void
}

/**
 * The memory budget that all tasks of an executor share, and the sizes that follow from it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Memory {
  /** Bytes that all claims together hold. */
  readonly total: number
  /** Bytes of a block before compression. */
  readonly blockBytes: number
  readonly claim: () => Claim
}

/**
 * Holds map outputs and spilled runs.
 *
 * @category services
 * @since 0.1.0
 */
export class Shuffle extends Context.Service<
  Shuffle,
  {
    /** Deletes the map outputs of a shuffle. */
    readonly remove: (shuffle: string) => Effect.Effect<void>
    readonly store: Store
    readonly memory: Memory
    /** A problem with its settings: every job fails with it. */
    readonly invalid?: string | undefined
  }
>()("@sluice/core/Shuffle") {}
