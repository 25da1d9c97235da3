/**
 * HDFS as a backend of Sluice's `Storage`: `hdfs:`, `webhdfs:` and `swebhdfs:` paths in every source and sink.
 *
 * The authority of a URI must be the cluster of `HdfsConfig` (its nameservice, or a NameNode's host) or empty. Blocks carry
 * the hosts of their replicas. As in every backend, percent escapes of a URI are decoded and globs match names.
 *
 * **Details**
 *
 * A task reads each block from its executor's host if that has a replica. The counters `hdfsLocalBytes` and
 * `hdfsRemoteBytes` of a task's metrics say how many bytes came from that host and from others.
 *
 * A file is written under a hidden name beside its target and then renamed. Without `overwrite`, the rename fails if
 * the target exists by then; with it, the NameNode replaces the target in one step. An HttpFS gateway does not know
 * such renames: there the target is looked up and deleted first, and after a crash in between the old file is gone and
 * the new one is left under its hidden name.
 *
 * @since 0.1.0
 */
import { type Backend, layerSchemes, makeLocal, makeMemory, type Storage } from "@sluice/core/Storage"
import * as StoragePath from "@sluice/core/StoragePath"
import { Effect, Layer } from "effect"
import { HdfsClient } from "./HdfsClient.ts"
import { HdfsConfig } from "./HdfsConfig.ts"
import { changes } from "./internal/storageChanges.ts"
import { locator } from "./internal/storagePaths.ts"
import { reads } from "./internal/storageReads.ts"

/**
 * Makes the backend, for `Storage.layerSchemes({ hdfs: HdfsStorage.make, file: Storage.makeLocal })`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Backend, never, HdfsClient | HdfsConfig> = Effect.gen(function* () {
  const client = yield* HdfsClient
  const config = yield* HdfsConfig
  const locate = locator(config)
  return {
    ...reads(client, locate),
    ...changes(client, config.gateway, locate),
    // Links are off in HDFS. Scheme and authority stay: they choose the cluster.
    realPath: Effect.fn("HdfsStorage.realPath")(function* (uri) {
      const { base, segments } = yield* locate("realPath", uri)
      return `${base}${StoragePath.encode(segments)}`
    })
  }
})

/**
 * `hdfs:`, `webhdfs:` and `swebhdfs:` of one cluster, besides `file:` and `memory:`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Storage, never, HdfsClient | HdfsConfig> = Layer.unwrap(
  Effect.map(make, (backend) => {
    const hdfs = Effect.succeed(backend)
    return layerSchemes({ hdfs, webhdfs: hdfs, swebhdfs: hdfs, file: makeLocal, memory: makeMemory })
  })
)
