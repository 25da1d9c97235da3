import { Effect, type Stream } from "effect"
import { dual } from "effect/Function"
import { Engine } from "../../engine/Action.ts"
import * as Codec from "../../codec/Codec.ts"
import * as Partitioner from "../../shuffle/Partitioner.ts"
import type { CacheHandle } from "../../plan/Plan.ts"
import * as Shuffle from "../../shuffle/Shuffle.ts"
import { oneOf } from "../../codec/internal/checks.ts"
import { checked } from "./checked.ts"
import { type ADataset, type AnyCodecs, type CodedBy, codecOr, type Decoded } from "./exchange.ts"
import { type Dataset, fromPlan, isDataset } from "./model.ts"

/**
 * Where a cached dataset is kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheOptions<in out A> {
  /**
   * `memory` (default): as they are, within `EngineConfig.cacheBytes` for all cached datasets; the least recently used
   * partition is dropped first. `disk`: as bytes with a checksum. `memory-then-disk`: partitions dropped from memory
   * are written to disk.
   */
  readonly storage?: CacheHandle["storage"] | undefined
  /** Encodes elements for the disk. Default `Codec.plain`. */
  readonly codec?: Codec.Codec<A> | undefined
}

let handles = 0

/**
 * Keeps the partitions of a dataset in the engine when they are first computed, for later actions. A partition that was
 * dropped or lost is computed again; one that was only partly read (by `Dataset.take`, say) is not kept. The cache ends
 * with the engine, or with {@link unpersist}.
 *
 * **Gotchas**
 *
 * Only the returned dataset is cached. Elements in memory are shared between actions: do not change them.
 *
 * **Example** (On the disk)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine } from "@sluice/core"
 * import { Effect } from "effect"
 *
 * const cached = Dataset.range(0, 1000).pipe(
 *   Dataset.map((n) => n * n),
 *   Dataset.cache({ storage: "disk" })
 * )
 * const both = Effect.all([Dataset.count(cached), Dataset.sum(cached)])
 *
 * await Effect.runPromise(Effect.provide(both, Engine.layer)) // => [1000, 332833500]
 * ```
 *
 * @category caching
 * @since 0.1.0
 */
export const cache: <A, E, R, O extends (AnyCodecs<"codec"> & Pick<CacheOptions<never>, "storage">) | ADataset>(
  self: Dataset<A, E, R> | O,
  options?: CacheOptions<A>
) => [ADataset] extends [O]
  ? Dataset<A, E, R>
  : <A extends CodedBy<O, "codec">, E, R>(self: Dataset<A, E, R>) => Dataset<Decoded<O, "codec", A>, E, R> = dual(
  (args) => isDataset(args[0]),
  <A, E, R>(self: Dataset<A, E, R>, options?: CacheOptions<A>): Dataset<A, E, R> => {
    const id = `cache-${handles++}`
    const value = codecOr(options?.codec)
    const wire = { operator: "cache", key: Codec.none, value }
    const handle: CacheHandle = {
      id,
      storage: options?.storage ?? "memory",
      write: (to, rows: Stream.Stream<A, unknown, unknown>) =>
        Shuffle.write(
          { ...wire, id: to.id, partitioner: Partitioner.roundRobin(1), keyOf: () => undefined, valueOf: (row) => row },
          to,
          rows
        ),
      read: (source) => Shuffle.read({ ...wire, id: source.id }, source.slice, (_, row) => row)
    }
    return checked("cache", oneOf("storage", handle.storage, ["memory", "disk", "memory-then-disk"]), () =>
      fromPlan({ _tag: "Cache", child: self.plan, handle })
    )
  }
)

/**
 * {@link cache} at a storage level: `memory` is Spark's `MEMORY_ONLY`, `disk` is `DISK_ONLY`, `memory-then-disk` is
 * `MEMORY_AND_DISK`.
 *
 * @category caching
 * @since 0.1.0
 */
export const persist: {
  (level: CacheHandle["storage"]): <A, E, R>(self: Dataset<A, E, R>) => Dataset<A, E, R>
  <A, E, R>(self: Dataset<A, E, R>, level: CacheHandle["storage"]): Dataset<A, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, level: CacheHandle["storage"]): Dataset<A, E, R> =>
  cache(self, { storage: level })
)

/**
 * Drops the partitions that {@link cache} has kept of this dataset. Does nothing if the dataset is not cached.
 *
 * @category caching
 * @since 0.1.0
 */
export const unpersist = <A, E, R>(self: Dataset<A, E, R>): Effect.Effect<void, never, Engine> =>
  Effect.flatMap(Engine, (engine) => (self.plan._tag === "Cache" ? engine.uncache(self.plan.handle) : Effect.void))
