/**
 * `hdfs:`, `webhdfs:` and `swebhdfs:` paths of any cluster, connected when the first path is used.
 *
 * `HdfsStorage` is one cluster, with settings as values. This module takes the cluster from the path and the
 * environment, for programs whose paths come from their users. Until such a path is used it costs nothing: the client
 * is not even loaded.
 *
 * **Details**
 *
 * `hdfs:///name` is on the cluster of `HDFS_NAMENODES` or `HADOOP_CONF_DIR`. An authority that is a name of that
 * cluster (nameservice, NameNode host) means the same cluster; another nameservice of `HADOOP_CONF_DIR` means that one;
 * anything else is the HTTP address of a NameNode: `hdfs://host:9870/name` (`swebhdfs:` for HTTPS; without a port 9870,
 * or 9871). Each cluster has one client. The user is `HADOOP_USER_NAME`, or the user of the token in
 * `HADOOP_TOKEN_FILE_LOCATION`.
 *
 * @since 0.1.0
 */
import { type Backend, makeLocal, makeMemory, makeSchemes, route, Storage } from "@sluice/core/Storage"
import { InvalidPath, StorageError } from "@sluice/core/StorageError"
import { Effect, Layer, Scope, Semaphore } from "effect"

/**
 * Makes the backend, for `Storage.layerSchemes({ hdfs: HdfsSchemes.make, file: Storage.makeLocal })`. Connections end with the
 * scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Backend, never, Scope.Scope> = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const lock = yield* Semaphore.make(1)
  const byAuthority = new Map<string, Backend>()
  const byNameNodes = new Map<string, Backend>()

  const connect = Effect.fnUntraced(function* (secure: boolean, authority: string, key: string) {
    const known = byAuthority.get(key)
    if (known !== undefined) return known
    const module = yield* Effect.promise(() => import("./internal/connect.ts"))
    const options = yield* module.resolve(secure, authority)
    const cluster = options.nameNodes.join(",")
    const backend = byNameNodes.get(cluster) ?? (yield* Scope.provide(module.connect(options), scope))
    byNameNodes.set(cluster, backend)
    byAuthority.set(key, backend)
    return backend
  })

  const pick = (operation: string, path: string): Effect.Effect<Backend, StorageError> =>
    Effect.suspend(() => {
      const [, scheme = "", authority = ""] = /^(\w+):(?:\/\/([^/]*))?/.exec(path) ?? []
      const secure = scheme.toLowerCase() === "swebhdfs"
      const key = `${secure} ${authority}`
      const known = byAuthority.get(key)
      if (known !== undefined) return Effect.succeed(known)
      return lock
        .withPermits(1)(connect(secure, authority, key))
        .pipe(
          Effect.mapError(
            (error) => new StorageError({ operation, path, reason: new InvalidPath({ detail: error.message }) })
          )
        )
    })

  return route(pick, "cluster")
})

/**
 * `hdfs:`, `webhdfs:` and `swebhdfs:` of any cluster, besides `file:` and `memory:`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Storage> = Layer.effect(
  Storage,
  Effect.flatMap(make, (backend) => {
    // One for all three schemes, so that a cluster has one client.
    const hdfs = Effect.succeed(backend)
    return makeSchemes({ hdfs, webhdfs: hdfs, swebhdfs: hdfs, file: makeLocal, memory: makeMemory })
  })
)
