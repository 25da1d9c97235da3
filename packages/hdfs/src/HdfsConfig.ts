/**
 * Where an HDFS cluster is and how patient a client is with it.
 *
 * `layer` takes the settings as values, `layerHadoopConf` reads the NameNodes from a Hadoop configuration folder, and
 * `layerFromEnv` chooses: `HDFS_NAMENODES` (HTTP addresses, separated by commas) if it is set, or `HADOOP_CONF_DIR`.
 *
 * @since 0.1.0
 */
import { Config, Context, Duration, Effect, Layer, Option, type Redacted, Schema } from "effect"
import * as Fs from "node:fs/promises"
import * as NodePath from "node:path"
import { wrongAddress } from "./internal/address.ts"
import { type HadoopConf, parseSite, resolve } from "./internal/siteXml.ts"

/**
 * Settings of a TLS connection (`swebhdfs:`, `https:`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Tls {
  /**
   * The certificate of the authority that signed the servers' certificates, PEM. Default: Node's list of public
   * authorities.
   */
  readonly ca?: string | undefined
  /** The client's certificate, PEM. */
  readonly cert?: string | undefined
  /** The client's private key, PEM. */
  readonly key?: Redacted.Redacted | undefined
  /** The name the server's certificate is checked against. Default: the host. */
  readonly servername?: string | undefined
}

/**
 * Service with the settings of one cluster.
 *
 * @category services
 * @since 0.1.0
 */
export class HdfsConfig extends Context.Service<
  HdfsConfig,
  {
    /** HTTP addresses of the NameNodes, or of one HttpFS gateway: `http://nn1:9870`. The first is tried first. */
    readonly nameNodes: ReadonlyArray<string>
    /** Authorities that mean this cluster in a URI, besides the hosts of `nameNodes`: the nameservice, `nn1:8020`. Default none. */
    readonly authorities: ReadonlyArray<string>
    /** Whether `nameNodes` is an HttpFS gateway, which knows no rename options. Default `false`. */
    readonly gateway: boolean
    /** The authentication that the cluster requires, for `HdfsAuth.layerFromEnv`. Default `simple`. */
    readonly authentication: "simple" | "kerberos"
    /** Time limit for a connection to be made. Default 60 s. */
    readonly connectTimeout: Duration.Input
    /**
     * Time limit for the head of an answer, for each further 1 KiB of an awaited body, and for the server to take 1 MiB
     * of an upload. Default 60 s.
     */
    readonly readTimeout: Duration.Input
    /**
     * Time limit for a metadata operation with all its attempts, and for the answer to an upload or a login. Default 5
     * min. Streams of bytes have no such limit.
     */
    readonly operationTimeout: Duration.Input
    /** Most bytes of an answer that is not the content of a file; a larger one is an error. Default 128 MiB. */
    readonly maxAnswerBytes: number
    /** Failovers to another NameNode within one operation. Default 15. */
    readonly maxFailovers: number
    /** Repetitions on the same server within one operation, or without 1 MiB of progress in a read. Default 10. */
    readonly maxRetries: number
    /** The first wait; it doubles, times a random 0.5 to 1.5. Default 500 ms. */
    readonly retryBase: Duration.Input
    /** The longest wait. Default 15 s. */
    readonly retryMax: Duration.Input
    /** Redirects followed within one request. Default 5. */
    readonly maxRedirects: number
    /** Other names for hosts in redirects, `{ "dn1.internal": "localhost:50075" }`, for DataNodes behind NAT. Default none. */
    readonly hosts: Readonly<Record<string, string>>
    /** Rewrites a redirect before it is followed, after `hosts`. */
    readonly rewriteLocation: ((location: URL) => URL) | undefined
    /** For `https:` addresses. */
    readonly tls: Tls | undefined
  }
>()("@sluice/hdfs/HdfsConfig") {}

/**
 * The default settings, which name no NameNode.
 *
 * @category configuration
 * @since 0.1.0
 */
export const defaults: HdfsConfig["Service"] = {
  nameNodes: [],
  authorities: [],
  gateway: false,
  authentication: "simple",
  connectTimeout: Duration.seconds(60),
  readTimeout: Duration.seconds(60),
  operationTimeout: Duration.minutes(5),
  maxAnswerBytes: 128 * 1024 * 1024,
  maxFailovers: 15,
  maxRetries: 10,
  retryBase: Duration.millis(500),
  retryMax: Duration.seconds(15),
  maxRedirects: 5,
  hosts: {},
  rewriteLocation: undefined,
  tls: undefined
}

/**
 * No usable address was found in the configuration; `detail` says which files and properties were read.
 *
 * @category errors
 * @since 0.1.0
 */
export class HdfsConfigError extends Schema.TaggedError<HdfsConfigError>("@sluice/hdfs/HdfsConfigError")(
  "HdfsConfigError",
  {
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * The options: `nameNodes` is required, everything else has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Partial<HdfsConfig["Service"]> {
  readonly nameNodes: ReadonlyArray<string>
}

const checked = <A extends { readonly nameNodes: ReadonlyArray<string> }>(
  source: string,
  settings: A
): Effect.Effect<A, HdfsConfigError> => {
  const detail = wrongAddress(source, settings.nameNodes)
  return detail === undefined ? Effect.succeed(settings) : Effect.fail(new HdfsConfigError({ detail }))
}

/**
 * Settings for a NameNode list: `HdfsConfig.layer({ nameNodes: ["http://nn1:9870", "http://nn2:9870"] })`. An address that is not an
 * `http:` or `https:` URL is an `HdfsConfigError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<HdfsConfig, HdfsConfigError> =>
  Layer.effect(HdfsConfig, checked("HdfsConfig.nameNodes", { ...defaults, ...options }))

const readConf = Effect.fnUntraced(function* (directory: string) {
  const properties = new Map<string, string>()
  for (const file of ["core-site.xml", "hdfs-site.xml"]) {
    const path = NodePath.join(directory, file)
    const text = yield* Effect.tryPromise({
      try: () => Fs.readFile(path, "utf8"),
      catch: () =>
        new HdfsConfigError({
          detail: `${path} cannot be read; HADOOP_CONF_DIR must hold core-site.xml and hdfs-site.xml`
        })
    })
    const parsed = parseSite(text)
    if (parsed === undefined)
      return yield* new HdfsConfigError({ detail: `${path} is not a Hadoop configuration file` })
    for (const [name, value] of parsed) properties.set(name, value)
  }
  return properties
})

/**
 * The NameNodes that a Hadoop configuration folder names.
 *
 * **Details**
 *
 * `fs.defaultFS` chooses the nameservice unless `nameservice` does; its NameNodes' `dfs.namenode.http-address` (or
 * `https-address` under `dfs.http.policy` HTTPS_ONLY) are used, with Hadoop's default ports 9870 and 9871.
 * `hadoop.security.authentication` says whether Kerberos is required. `${...}` is replaced from the properties of the
 * files.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromHadoopConf = Effect.fn("HdfsConfig.fromHadoopConf")(function* (
  directory: string,
  options?: { readonly nameservice?: string | undefined }
): Effect.fn.Return<HadoopConf, HdfsConfigError> {
  const properties = yield* readConf(directory)
  const conf = resolve(properties, options?.nameservice)
  if (typeof conf === "string") return yield* new HdfsConfigError({ detail: `${directory}: ${conf}` })
  return yield* checked(directory, conf)
})

/**
 * Settings from a Hadoop configuration folder; `options` take precedence.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHadoopConf = (
  directory: string,
  options?: Partial<HdfsConfig["Service"]> & { readonly nameservice?: string | undefined }
): Layer.Layer<HdfsConfig, HdfsConfigError> =>
  Layer.effect(
    HdfsConfig,
    Effect.flatMap(fromHadoopConf(directory, options), (conf) =>
      checked("HdfsConfig.nameNodes", { ...defaults, ...conf, ...options })
    )
  )

/**
 * The environment variables that this module reads: `HDFS_NAMENODES`, `HADOOP_CONF_DIR`.
 *
 * @category configuration
 * @since 0.1.0
 */
export const config: Config.Config<{
  readonly nameNodes: Option.Option<ReadonlyArray<string>>
  readonly confDir: Option.Option<string>
}> = Config.all({
  nameNodes: Config.Array(Schema.String, "HDFS_NAMENODES").pipe(Config.option),
  confDir: Config.String("HADOOP_CONF_DIR").pipe(Config.option)
})

/**
 * Settings from the environment: `HDFS_NAMENODES`, or the folder `HADOOP_CONF_DIR`; `options` take precedence.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromEnv = (
  options?: Partial<HdfsConfig["Service"]> & { readonly nameservice?: string | undefined }
): Layer.Layer<HdfsConfig, HdfsConfigError | Config.ConfigError> =>
  Layer.unwrap(
    Effect.map(config, ({ confDir, nameNodes }) => {
      if (Option.isSome(nameNodes)) {
        const settings = { ...defaults, nameNodes: nameNodes.value, ...options }
        return Layer.effect(HdfsConfig, checked("HDFS_NAMENODES", settings))
      }
      if (Option.isSome(confDir)) return layerHadoopConf(confDir.value, options)
      return Layer.effect(
        HdfsConfig,
        Effect.fail(
          new HdfsConfigError({
            detail:
              "no NameNode is known: set HDFS_NAMENODES=http://host:9870 or HADOOP_CONF_DIR to a folder with hdfs-site.xml"
          })
        )
      )
    })
  )
