/**
 * A client of HDFS over WebHDFS or an HttpFS gateway: every operation of the REST specification, typed.
 *
 * Operations go to the active NameNode, also after a failover; only operations that are safe to repeat are repeated.
 * Bytes are streams: if a DataNode fails, reading resumes from another at the byte that it had reached; writing pulls
 * from its source and keeps nothing. All failures are `HdfsError`s.
 *
 * @since 0.1.0
 */
import { Context, Effect, Layer, type Scope } from "effect"
import { HdfsAuth } from "./HdfsAuth.ts"
import { HdfsConfig } from "./HdfsConfig.ts"
import * as Administration from "./internal/administration.ts"
import * as Asking from "./internal/asking.ts"
import { Blocks } from "./internal/blocks.ts"
import { connections } from "./internal/connections.ts"
import type { Operations } from "./internal/contract.ts"
import type * as Http from "./internal/http.ts"
import * as Metadata from "./internal/metadata.ts"
import * as Names from "./internal/names.ts"
import * as Reading from "./internal/reading.ts"
import * as WebHdfs from "./internal/webhdfs.ts"
import * as Writing from "./internal/writing.ts"

export type { CreateOptions, OpenOptions, RangeOptions, RenameMode } from "./internal/contract.ts"

/**
 * Service with the operations of HDFS. Paths are absolute and not encoded: `/data/a b%.txt`.
 *
 * @category services
 * @since 0.1.0
 */
export class HdfsClient extends Context.Service<HdfsClient, Operations>()("@sluice/hdfs/HdfsClient") {}

/**
 * Makes a client with its own connections, which end with the scope, and the timeouts and certificates of `HdfsConfig`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<HdfsClient["Service"], never, HdfsConfig | HdfsAuth | Scope.Scope> = Effect.suspend(
  () => Effect.flatMap(connections, makeOver)
)

const makeOver = Effect.fnUntraced(function* (http: Http.Http) {
  const config = yield* HdfsConfig
  const web = WebHdfs.make(http, config, yield* HdfsAuth)
  const asking = Asking.make(web)
  const known = new Blocks()
  const status = Metadata.status(asking, known)
  const cluster = Administration.cluster(asking)
  const { renameThroughGateway, ...names } = Names.make(asking, config.gateway, status, cluster.getTrashRoot)
  return HdfsClient.of({
    ...Reading.make(web, config, known, status),
    ...Writing.make(asking, config, { ...status, ...names, renameThroughGateway }),
    ...names,
    ...status,
    ...Metadata.acls(asking),
    ...Metadata.xAttrs(asking),
    ...Administration.policies(asking),
    ...Administration.snapshots(asking),
    ...Administration.quotas(asking),
    ...cluster
  })
})

/**
 * A client with its own pool of connections, which are kept alive, and the timeouts and certificates of `HdfsConfig`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<HdfsClient, never, HdfsConfig | HdfsAuth> = Layer.effect(HdfsClient, make)
