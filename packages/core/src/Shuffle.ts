/**
 * Moves keyed rows from the tasks of one stage to those of the next.
 *
 * A map task calls {@link write} (or {@link writeCombined}) and returns a {@link MapStatus}, which is plain data; a reduce task reads
 * its {@link Slice} of all map tasks with {@link read}, {@link aggregate}, {@link sort}, {@link group} or {@link cogroup}. Everything
 * that crosses is bytes. All of them work under one memory budget and spill to disk beyond it.
 *
 * @since 0.1.0
 */
import { Context, type Effect, type Layer, type Order, Schema, type Stream } from "effect"
import type { Codec } from "./Codec.ts"
import type { Memory, Store } from "./internal/shuffle/store.ts"
import type { Partitioner } from "./Partitioner.ts"

/**
 * What crosses: all that the reduce side has to know.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wire<in out K, in out V> {
  /** Unique among the shuffles alive, usable as a file name: `<job>-<stage>`. */
  readonly id: string
  /** Named in errors: `reduceByKey`. */
  readonly operator: string
  /** For a hash partitioner, the same codec as the partitioner's. */
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
 * How values of one key become one. The functions may change their first argument and return it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Aggregator<in out V, in out C> {
  readonly create: (value: V) => C
  readonly mergeValue: (combined: C, value: V) => C
  readonly mergeCombiners: (self: C, that: C) => C
  /** Encodes what is combined. */
  readonly codec: Codec<C>
}

/**
 * What a map task wrote, and where: plain data.
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
  /** The data file; for the memory layer a name. */
  file: Schema.String,
  /** The reduce partitions that got rows, ascending. The arrays below run along it. */
  partitions: Schema.Array(Schema.Number),
  /** Where each begins in the file, and at the end the length of the file. */
  offsets: Schema.Array(Schema.Number),
  /** Rows (or combined keys) of each. */
  rows: Schema.Array(Schema.Number),
  /** Encoded bytes of each before compression: what the reduce side has to hold. */
  bytes: Schema.Array(Schema.Number)
})

/**
 * What a map task wrote, and where: plain data.
 *
 * @category models
 * @since 0.1.0
 */
export type MapStatus = typeof MapStatus.Type

/**
 * What a reduce task reads: the partitions `from` (inclusive) to `to` (exclusive) of some map outputs. One partition of all outputs as
 * a rule; several when small ones are coalesced; part of the outputs when a skewed one is split.
 *
 * @category models
 * @since 0.1.0
 */
export interface Slice {
  readonly statuses: ReadonlyArray<MapStatus>
  readonly from: number
  readonly to: number
}

/** The disk, or the budget of the memory layer, is full. */
export class NoSpace extends Schema.TaggedError<NoSpace>("@sluice/core/ShuffleError/NoSpace")("NoSpace", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `no space left for ${this.file}: ${this.detail}`
  }
}

/** A file is not what was written: its checksum or its length is wrong. */
export class Corrupt extends Schema.TaggedError<Corrupt>("@sluice/core/ShuffleError/Corrupt")("Corrupt", {
  file: Schema.String,
  /** Byte of the file at which the bad block begins. */
  offset: Schema.Number,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.file} is corrupt at byte ${this.offset}: ${this.detail}`
  }
}

/** A file is not there any more. */
export class Missing extends Schema.TaggedError<Missing>("@sluice/core/ShuffleError/Missing")("Missing", {
  file: Schema.String
}) {
  override get message(): string {
    return `${this.file} is missing`
  }
}

/** A row cannot be encoded. */
export class CodecFailed extends Schema.TaggedError<CodecFailed>("@sluice/core/ShuffleError/CodecFailed")("CodecFailed", {
  /** Where in the row, as in `row.user.onClick`. */
  path: Schema.String,
  /** What was met there, as in `function`. */
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.found} cannot be encoded`
  }
}

/** The values of a group larger than memory were asked for after the next group had been taken. */
export class GroupPassed extends Schema.TaggedError<GroupPassed>("@sluice/core/ShuffleError/GroupPassed")("GroupPassed", {}) {
  override get message(): string {
    return "the values of a group that does not fit into memory can be read once, before the next group is taken"
  }
}

/** The file system failed in another way. */
export class Unavailable extends Schema.TaggedError<Unavailable>("@sluice/core/ShuffleError/Unavailable")("Unavailable", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.detail}`
  }
}

/** What can be wrong. */
export const Reason = Schema.Union([NoSpace, Corrupt, Missing, CodecFailed, GroupPassed, Unavailable])

/** What can be wrong. */
export type Reason = typeof Reason.Type

/**
 * A shuffle failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class ShuffleError extends Schema.TaggedError<ShuffleError>("@sluice/core/ShuffleError")("ShuffleError", {
  operator: Schema.String,
  reason: Reason,
  /** The map task whose output is lost: the failure is mended by running it again. */
  lost: Schema.optional(Schema.Struct({ shuffle: Schema.String, map: Schema.Number, attempt: Schema.Number }))
}) {
  override get message(): string {
    return `${this.operator}: ${this.reason.message}`
  }
}

/**
 * Holds map outputs and spilled runs.
 *
 * @category services
 * @since 0.1.0
 */
export class Shuffle extends Context.Service<Shuffle, {
  /** Deletes the map outputs of a shuffle. */
  readonly remove: (shuffle: string) => Effect.Effect<void>
  readonly store: Store
  readonly memory: Memory
}>()("@sluice/core/Shuffle") {}

/**
 * Writes the output of a map task. An attempt that fails or is interrupted leaves nothing.
 *
 * @category map side
 * @since 0.1.0
 */
export declare const write: <Row, K, V, E, R>(
  exchange: Exchange<Row, K, V>,
  task: { readonly map: number; readonly attempt: number },
  rows: Stream.Stream<Row, E, R>
) => Effect.Effect<MapStatus, E | ShuffleError, R | Shuffle>

/**
 * As {@link write}, but values of one key are combined before they are written. Its output is read by {@link aggregate} with
 * `combined: true`.
 *
 * @category map side
 * @since 0.1.0
 */
export declare const writeCombined: <Row, K, V, C, E, R>(
  exchange: Exchange<Row, K, V>,
  aggregator: Aggregator<V, C>,
  task: { readonly map: number; readonly attempt: number },
  rows: Stream.Stream<Row, E, R>
) => Effect.Effect<MapStatus, E | ShuffleError, R | Shuffle>

/**
 * Rows in the order of the map tasks, and as each wrote them. `make` turns a key and a value into the row.
 *
 * @category reduce side
 * @since 0.1.0
 */
export declare const read: <K, V, B>(
  wire: Wire<K, V>,
  slice: Slice,
  make: (key: K, value: V) => B
) => Stream.Stream<B, ShuffleError, Shuffle>

/**
 * One row for every key. With `combined`, what {@link writeCombined} wrote; otherwise what {@link write} wrote.
 *
 * @category reduce side
 * @since 0.1.0
 */
export declare const aggregate: <K, V, C, B>(
  wire: Wire<K, V>,
  aggregator: Aggregator<V, C>,
  slice: Slice,
  options: { readonly combined: boolean; readonly make: (key: K, combined: C) => B }
) => Stream.Stream<B, ShuffleError, Shuffle>

/**
 * Rows in the order of their keys; equal keys in the order of the map tasks, and as each wrote them. `Order.String`,
 * `Order.Number` sort bytes and numbers; any other order sorts decoded keys.
 *
 * @category reduce side
 * @since 0.1.0
 */
export declare const sort: <K, V, B>(
  wire: Wire<K, V>,
  order: Order.Order<K>,
  slice: Slice,
  make: (key: K, value: V) => B
) => Stream.Stream<B, ShuffleError, Shuffle>

/**
 * The keys with a stream of their values, which may be larger than memory. Values come in the order of the map tasks. A group that
 * is not read is skipped at no cost; a large group can be read once, and before the next one is taken (small ones at any time).
 *
 * @category reduce side
 * @since 0.1.0
 */
export declare const group: <K, V>(
  wire: Wire<K, V>,
  slice: Slice
) => Stream.Stream<readonly [K, Stream.Stream<V, ShuffleError>], ShuffleError, Shuffle>

/**
 * One of the inputs of a {@link cogroup}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Input<in out K, in out V> {
  readonly wire: Wire<K, V>
  readonly slice: Slice
}

/**
 * The keys of several inputs, partitioned alike, with a stream of the values of each. As {@link group} otherwise; the streams of a
 * large group are read in the order of the inputs.
 *
 * @category reduce side
 * @since 0.1.0
 */
export declare const cogroup: <K, const Values extends ReadonlyArray<unknown>>(
  inputs: { readonly [I in keyof Values]: Input<K, Values[I]> }
) => Stream.Stream<
  readonly [K, { readonly [I in keyof Values]: Stream.Stream<Values[I], ShuffleError> }],
  ShuffleError,
  Shuffle
>

/**
 * Settings of a shuffle layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Bytes that all tasks of the executor hold together before they spill. Default 256 MiB. */
  readonly memoryBytes?: number | undefined
  /** Bytes of a block before compression. Default 128 KiB. */
  readonly blockBytes?: number | undefined
  /** Default `zstd` level 1; a block it does not make smaller is stored as it is. */
  readonly compression?: "zstd" | "none" | undefined
}

/**
 * Map outputs and runs stay in memory, as bytes: for tests and small data.
 *
 * @category layers
 * @since 0.1.0
 */
export declare const layerMemory: (options?: Options) => Layer.Layer<Shuffle>

/**
 * Map outputs and runs are files in a directory of this process, by default `sluice-<pid>-<random>` under the system's folder
 * for temporary files. It is deleted with the layer; directories whose process is gone are swept when the layer is built.
 *
 * @category layers
 * @since 0.1.0
 */
export declare const layerDisk: (
  options?: Options & { readonly directory?: string | undefined }
) => Layer.Layer<Shuffle, ShuffleError>
