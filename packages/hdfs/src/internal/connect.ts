import { type Config, Effect, Layer, Option, type Scope } from "effect"
import type { Backend } from "@sluice/core/Storage"
import * as HdfsAuth from "../HdfsAuth.ts"
import * as HdfsClient from "../HdfsClient.ts"
import * as HdfsConfig from "../HdfsConfig.ts"
import type { HdfsError } from "../HdfsError.ts"
import * as HdfsStorage from "../HdfsStorage.ts"
import { wrongAddress } from "./address.ts"

type Failure = HdfsConfig.HdfsConfigError | Config.ConfigError | HdfsError

/** The cluster of the environment; `undefined` if it names none. */
const ofEnvironment = Effect.gen(function* () {
  const { confDir, nameNodes } = yield* HdfsConfig.config
  if (Option.isSome(nameNodes)) {
    const detail = wrongAddress("HDFS_NAMENODES", nameNodes.value)
    if (detail !== undefined) return yield* new HdfsConfig.HdfsConfigError({ detail })
    return { nameNodes: nameNodes.value, authorities: [], authentication: "simple" as const, confDir: undefined }
  }
  if (Option.isNone(confDir)) return undefined
  return { ...(yield* HdfsConfig.fromHadoopConf(confDir.value)), confDir: confDir.value }
})

const withoutPort = (authority: string) => authority.replace(/:\d+$/, "")

/**
 * The cluster that an authority means: that of the environment, by one of its names; another nameservice of its
 * configuration folder; or a WebHDFS address.
 */
export const resolve = Effect.fnUntraced(function* (
  secure: boolean,
  authority: string
): Effect.fn.Return<HdfsConfig.Options, HdfsConfig.HdfsConfigError | Config.ConfigError> {
  const own = yield* ofEnvironment
  if (authority === "") {
    if (own !== undefined) return own
    return yield* new HdfsConfig.HdfsConfigError({
      detail:
        "no NameNode is known: name it in the path, hdfs://host:9870/name (its HTTP address), or set HADOOP_CONF_DIR to a " +
        "folder with hdfs-site.xml, or HDFS_NAMENODES=http://host:9870"
    })
  }
  if (own !== undefined) {
    const names = [...own.authorities, ...own.nameNodes.map((each) => new URL(each).host)]
    if (names.some((name) => name === authority || withoutPort(name) === withoutPort(authority))) return own
    // A name without a dot or a port is more probably a nameservice than a host.
    if (own.confDir !== undefined && /^[\w-]+$/.test(authority)) {
      return yield* Effect.mapError(
        HdfsConfig.fromHadoopConf(own.confDir, { nameservice: authority }),
        ({ detail }) =>
          new HdfsConfig.HdfsConfigError({
            detail: `${detail}; for a host, add its HTTP port: hdfs://${authority}:9870/`
          })
      )
    }
  }
  const address = authority === withoutPort(authority) ? `${authority}:${secure ? 9871 : 9870}` : authority
  if (!URL.canParse(`http://${address}`)) {
    return yield* new HdfsConfig.HdfsConfigError({ detail: `${authority} is not a host with an optional port` })
  }
  return {
    nameNodes: [`${secure ? "https" : "http"}://${address}`],
    authorities: [authority],
    authentication: own?.authentication ?? "simple"
  }
})

/** A backend with its own client, for as long as the scope is open. */
export const connect = Effect.fnUntraced(function* (
  options: HdfsConfig.Options
): Effect.fn.Return<Backend, Failure, Scope.Scope> {
  const services = yield* Layer.build(
    HdfsClient.layer.pipe(Layer.provide(HdfsAuth.layerFromEnv()), Layer.provideMerge(HdfsConfig.layer(options)))
  )
  return yield* Effect.provide(HdfsStorage.make, services)
})
