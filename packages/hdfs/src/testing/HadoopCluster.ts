/**
 * Starts a real HDFS on this machine: one or two NameNodes, DataNodes on separate hosts, and an HttpFS gateway.
 *
 * The daemons are Hadoop's own, taken from Maven Central the first time (about 180 MB with the gateway's) and run with `java`.
 * They are kept in `.hadoop` beside this package, uncompressed and with archives of their classes, so that they start quickly:
 * about 600 MB. Every DataNode has its own loopback host name (127.0.0.2, .3, ...), so block locations and redirects look as on
 * a cluster. Each daemon can be stopped, killed, restarted and frozen; when the scope closes, the processes are ended and the
 * files removed. It needs Java 17 or later and Maven on the `PATH`.
 *
 * @since 0.1.0
 */
import { Effect, type Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Kdc } from "./Kdc.ts"
import { freePorts, HadoopError } from "../internal/processes.ts"
import { activation, awaitLive, jmx, runner } from "./internal/controls.ts"
import type { Daemon } from "./internal/daemon.ts"
import { dataNode, httpfs, javaTmp, nameNode } from "./internal/daemons.ts"
import { jars, jarsDir } from "./internal/distribution.ts"
import { commonProperties } from "./internal/properties.ts"
import { type MasterPorts, type Setting, superUser } from "./internal/setting.ts"
import { writeConf } from "./internal/siteFiles.ts"

export { HadoopError }
export type { Daemon }

/**
 * A running cluster.
 *
 * @category models
 * @since 0.1.0
 */
export interface HadoopCluster {
  /** The folder of configuration, logs and blocks. */
  readonly directory: string
  /** A `HADOOP_CONF_DIR` for clients: `core-site.xml` and `hdfs-site.xml`. */
  readonly confDir: string
  /** The name of the super-user. */
  readonly superUser: string
  /** For a secured cluster, the file with the keys of its own principals, including the super-user's. */
  readonly keytab: string | undefined
  readonly nameNodes: ReadonlyArray<Daemon>
  readonly dataNodes: ReadonlyArray<Daemon>
  readonly httpfs: Daemon | undefined
  /** The first NameNode's HTTP address, for WebHDFS. */
  readonly url: string
  /** The beans a JMX query finds, for example `Hadoop:service=NameNode,name=FSNamesystemState`. */
  readonly jmx: (daemon: Daemon, query: string) => Effect.Effect<ReadonlyArray<Record<string, unknown>>, HadoopError>
  /** Waits until this number of DataNodes is alive and the NameNode has left safe mode. */
  readonly awaitLive: (dataNodes: number) => Effect.Effect<void, HadoopError>
  /** Runs a Hadoop command class (`org.apache.hadoop.hdfs.tools.DFSAdmin`) as the super-user; yields what it printed. */
  readonly run: (mainClass: string, args: ReadonlyArray<string>) => Effect.Effect<string, HadoopError>
  /** With two NameNodes: makes `active` the active one and the other, if it runs, the standby. */
  readonly transition: (active: number) => Effect.Effect<void, HadoopError>
}

/**
 * Options of the cluster.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Default 3. */
  readonly dataNodes?: number | undefined
  /** 1 (default), or 2 for high availability with the edits in a shared local folder; the first becomes active. */
  readonly nameNodes?: 1 | 2 | undefined
  /** Starts an HttpFS gateway too. Default `false`. */
  readonly httpfs?: boolean | undefined
  /** Replicas of a block. Default 2, at most the number of DataNodes. */
  readonly replication?: number | undefined
  /** Bytes. Default 1 MiB, so that small files have several blocks. */
  readonly blockSize?: number | undefined
  /** More properties for `hdfs-site.xml` and `core-site.xml` of every daemon. */
  readonly properties?: Readonly<Record<string, string>> | undefined
  /**
   * The folder for all files; created and removed with the scope. Default: a new folder in the system's temporary one.
   */
  readonly directory?: string | undefined
  /**
   * Makes it a secured cluster of this realm: RPC and block transfer ask for Kerberos or a token, HTTP for SPNEGO (NameNode and
   * HttpFS, which are `localhost`), and only `/jmx` is open to all. The super-user's principal is `hdfs/localhost`.
   */
  readonly kerberos?: Kdc | undefined
  /** More JVM arguments for every daemon, before the class name. */
  readonly jvmArgs?: ReadonlyArray<string> | undefined
  /** More environment variables for every daemon. */
  readonly env?: Readonly<Record<string, string>> | undefined
}

/**
 * Why no cluster can run here, or `undefined` if Java and Maven are available.
 *
 * @category guards
 * @since 0.1.0
 */
export const unavailable: Effect.Effect<string | undefined> = Effect.sync(() => {
  const found = (command: string, args: ReadonlyArray<string>) =>
    ChildProcess.spawnSync(command, args, { stdio: "ignore" }).status === 0
  if (!found("java", ["-version"])) return "Java is not on the PATH: apt-get install openjdk-17-jre-headless"
  if (!Fs.existsSync(jarsDir("hdfs")) && !found("mvn", ["-v"])) {
    return "Maven is not on the PATH: apt-get install maven"
  }
  return undefined
})

const principal = `${superUser}/localhost`

/** The folder for all files, removed with the scope. */
const makeDirectory = (given: string | undefined) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      if (given === undefined) return Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-hdfs-"))
      Fs.mkdirSync(given, { recursive: true })
      return given
    }),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
  ).pipe(Effect.tap((directory) => Effect.sync(() => Fs.mkdirSync(javaTmp(directory)))))

/** Free ports for all daemons. */
const makePorts = Effect.fnUntraced(function* (nameNodes: 1 | 2, dataNodes: number) {
  const ports = (yield* freePorts(nameNodes * 2 + dataNodes * 3 + 1)).values()
  const port = (): number => {
    const next = ports.next()
    if (next.done === true) throw new Error("fewer ports than daemons need")
    return next.value
  }
  const master = (): MasterPorts => ({ rpc: port(), http: port() })
  const masters: NonEmptyReadonlyArray<MasterPorts> = nameNodes === 1 ? [master()] : [master(), master()]
  const nodes = Array.from({ length: dataNodes }, () => ({ data: port(), http: port(), ipc: port() }))
  return { masters, nodes, httpfsPort: port() }
})

const makeSetting = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Setting, HadoopError, Scope.Scope> {
  const { dataNodes = 3, env, jvmArgs = [], kerberos, nameNodes = 1 } = options
  const lib = yield* jars("hdfs")
  const keytab = kerberos === undefined ? undefined : yield* kerberos.keytab(["HTTP/localhost", principal])
  return {
    ...(yield* makePorts(nameNodes, dataNodes)),
    directory: yield* makeDirectory(options.directory),
    lib,
    httpHost: kerberos === undefined ? "127.0.0.1" : "localhost",
    secured: kerberos === undefined || keytab === undefined ? undefined : { realm: kerberos.realm, keytab },
    jvmArgs: [...(kerberos === undefined ? [] : [`-Djava.security.krb5.conf=${kerberos.config}`]), ...jvmArgs],
    env: { HADOOP_USER_NAME: superUser, ...env }
  }
})

/**
 * Starts a cluster and waits until all its DataNodes are alive; it ends with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fn("HadoopCluster.make")(function* (
  options: Options = {}
): Effect.fn.Return<HadoopCluster, HadoopError, Scope.Scope> {
  const { blockSize = 1024 * 1024, kerberos, properties = {}, replication = 2 } = options
  const setting = yield* makeSetting(options)
  const { directory, env, masters, nodes, secured } = setting
  const common = commonProperties(setting, { replication, blockSize, more: properties })
  const confDir = Path.join(directory, "conf")
  yield* writeConf(confDir, common)

  const nameNodes = yield* Effect.forEach(masters, (ports, i) => nameNode(setting, common, ports, i))
  const nameNodesUp = Promise.withResolvers<void>()
  const dataNodes = yield* Effect.forEach(nodes, (ports, i) => dataNode(setting, common, ports, i, nameNodesUp.promise))
  const gateway = options.httpfs === true ? yield* httpfs(setting, common) : undefined

  const ticket = kerberos === undefined || secured === undefined ? {} : yield* kerberos.login(principal, secured.keytab)
  const run = runner(setting, confDir, { ...env, ...ticket })
  const { current, transition } = activation(nameNodes, run)

  const startNameNodes = Effect.all(
    nameNodes.map((daemon) => daemon.start),
    { concurrency: "unbounded", discard: true }
  ).pipe(Effect.tap(() => Effect.sync(() => nameNodesUp.resolve())))
  yield* Effect.all(
    [
      masters.length > 1 ? Effect.andThen(startNameNodes, transition(0)) : startNameNodes,
      ...dataNodes.map((daemon) => daemon.start),
      gateway?.start ?? Effect.void
    ],
    { concurrency: "unbounded", discard: true }
  )
  yield* awaitLive(current, nodes.length)
  return {
    directory,
    confDir,
    superUser,
    keytab: secured?.keytab,
    nameNodes,
    dataNodes,
    httpfs: gateway,
    url: nameNodes[0].url,
    jmx,
    awaitLive: (count) => awaitLive(current, count),
    run,
    transition
  }
})
