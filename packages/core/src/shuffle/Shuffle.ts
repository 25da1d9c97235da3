/**
 * Moves keyed rows from the tasks of one stage to those of the next.
 *
 * A step that needs the rows of one key together ends a stage. The stage before it writes each row, as bytes, to the
 * partition of its key (`Partitioner`); the stage after it reads its partition of all map outputs, merged, grouped or
 * sorted.
 *
 * A map task calls {@link write} (or {@link writeCombined}) and returns a {@link MapStatus}, which is plain data; a
 * reduce task reads its {@link Slice} of all map tasks with {@link read}, {@link aggregate}, {@link sort}, {@link
 * group} or {@link cogroup}. All rows cross as bytes. All of them work under one memory budget and spill to disk beyond
 * it.
 *
 * @since 0.1.0
 */
import { Effect, Layer } from "effect"
import { bytes, firstOf, oneOf, optional } from "../codec/internal/checks.ts"
import { makeFolder } from "./internal/folder.ts"
import * as memoryBudget from "./internal/memory.ts"
import { Shuffle, type Store } from "./internal/model.ts"
import * as stores from "./internal/store.ts"
import { type Reason, ShuffleError } from "./ShuffleError.ts"

export { cogroup, type Cogrouped, group, type Input } from "./internal/group.ts"
export {
  type Aggregator,
  type Claim,
  type Exchange,
  MapStatus,
  type Memory,
  Shuffle,
  type Slice,
  type Source,
  type SpillFile,
  type Store,
  type Wire
} from "./internal/model.ts"
export { aggregate, read, sort } from "./internal/read.ts"
export { write, writeCombined } from "./internal/write.ts"
export {
  CodecFailed,
  Corrupt,
  GroupPassed,
  Missing,
  NoSpace,
  Reason,
  ShuffleError,
  Unavailable
} from "./ShuffleError.ts"

/**
 * Settings of a shuffle layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Bytes that all tasks of an executor may hold together before they spill. Default 256 MiB. */
  readonly memoryBytes?: number | undefined
  /** Bytes of a block before compression. Default 128 KiB. */
  readonly blockBytes?: number | undefined
  /**
   * `zstd` is level 1; a block that it does not make smaller is stored as it is. Default `auto`: `none` while the files
   * fit into the page cache (a quarter of the memory of the machine or container), where compression costs time and
   * saves none, and `zstd` beyond that.
   */
  readonly compression?: "auto" | "zstd" | "none" | undefined
}

const serviceOf = (store: Store, options: Options): Shuffle["Service"] => {
  const invalid = firstOf(
    optional(options.memoryBytes, (size) => bytes("memoryBytes", size)),
    optional(options.blockBytes, (size) => bytes("blockBytes", size)),
    optional(options.compression, (one) => oneOf("compression", one, ["auto", "zstd", "none"]))
  )
  const total = Math.max(1, options.memoryBytes ?? 256 * 1024 * 1024)
  const blockBytes = Math.max(1, Math.min(options.blockBytes ?? 128 * 1024, Math.max(64, total / 8)))
  return { store, memory: memoryBudget.make({ total, blockBytes }), remove: store.remove, invalid }
}

/**
 * Keeps map outputs and sorted runs in memory, as bytes: for tests and small data.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (options: Options = {}): Layer.Layer<Shuffle> =>
  Layer.sync(Shuffle, () => serviceOf(stores.memory(options.compression ?? "none"), options))

/**
 * Keeps map outputs and sorted runs in files of a directory of this process, `sluice-<pid>-<random>` under `directory`
 * (by default the system's folder for temporary files). The directory is deleted with the layer; those of dead
 * processes are deleted when the layer is built.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerDisk = (
  options: Options & { readonly directory?: string | undefined } = {}
): Layer.Layer<Shuffle, ShuffleError> =>
  Layer.effect(
    Shuffle,
    Effect.gen(function* () {
      const directory = yield* Effect.mapError(
        makeFolder(options.directory),
        (reason) => new ShuffleError({ operator: "Shuffle", reason })
      )
      return serviceOf(stores.disk(directory, options.compression ?? "auto"), options)
    })
  )

/**
 * Every use fails for this reason.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerUnavailable = (reason: Reason): Layer.Layer<Shuffle> =>
  Layer.succeed(
    Shuffle,
    serviceOf(
      {
        create: () => Effect.fail(reason),
        open: () => Effect.fail(reason),
        remove: () => Effect.void,
        discard: () => Effect.void,
        compress: () => false
      },
      {}
    )
  )
