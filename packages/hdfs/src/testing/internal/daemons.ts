/** The daemons of a cluster, configured and not yet started. */
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { exec } from "../../internal/processes.ts"
import { makeDaemon } from "./daemon.ts"
import { classArchive, formattedImage, jars } from "./distribution.ts"
import { dataNodeProperties, httpfsProperties } from "./properties.ts"
import { relay } from "./relay.ts"
import { type MasterPorts, type NodePorts, type Setting, superUser } from "./setting.ts"
import { log4j, type Properties, siteXml, writeConf } from "./siteFiles.ts"

// Quick to start rather than quick to run; small, because five of them share a machine.
const jvm = [
  "-XX:+UseSerialGC",
  "-XX:TieredStopAtLevel=1",
  "-XX:+UnlockDiagnosticVMOptions",
  "-XX:-BytecodeVerificationRemote",
  "-Xshare:auto",
  "-Djava.net.preferIPv4Stack=true"
]

/** Where Jetty leaves its files. */
export const javaTmp = (directory: string) => Path.join(directory, "java")

/** The jars first and in one order, as the archives of classes want it. */
const classpath = (conf: string, libs: string) =>
  [
    ...Fs.readdirSync(libs)
      .filter((name) => name.endsWith(".jar"))
      .toSorted()
      .map((name) => Path.join(libs, name)),
    conf
  ].join(Path.delimiter)

const jvmArgs = ({ directory, jvmArgs: more }: Setting, heap: string) => [
  ...jvm,
  `-Xmx${heap}`,
  `-Djava.io.tmpdir=${javaTmp(directory)}`,
  ...more
]

/** The arguments of `java` for a class of Hadoop with the configuration in `conf`. */
export const java = (
  setting: Setting,
  name: string,
  conf: string,
  mainClass: string,
  args: ReadonlyArray<string>,
  heap: string
): ReadonlyArray<string> => [
  ...jvmArgs(setting, heap),
  `-Dsluice.daemon=${name}`,
  "-cp",
  classpath(conf, setting.lib),
  mainClass,
  ...args
]

const nameNodeClass = "org.apache.hadoop.hdfs.server.namenode.NameNode"

/** What -format, -initializeSharedEdits and -bootstrapStandby do, without the seconds of a JVM. */
const initialize = Effect.fnUntraced(function* (setting: Setting, data: string, isFirst: boolean) {
  const { directory, env, masters } = setting
  const image = yield* formattedImage((conf) =>
    exec("java", java(setting, "format", conf, nameNodeClass, ["-format", "-nonInteractive"], "256m"), {
      env: { ...process.env, ...env }
    })
  )
  yield* Effect.sync(() => {
    Fs.cpSync(image, data, { recursive: true })
    if (masters.length === 1 || !isFirst) return
    const shared = Path.join(directory, "shared", "current")
    Fs.mkdirSync(shared, { recursive: true })
    for (const name of ["VERSION", "seen_txid"]) {
      Fs.cpSync(Path.join(image, "current", name), Path.join(shared, name))
    }
  })
})

export const nameNode = Effect.fnUntraced(function* (
  setting: Setting,
  common: Properties,
  { http }: MasterPorts,
  i: number
) {
  const { directory, env, httpHost, lib, masters } = setting
  const name = `namenode-${i + 1}`
  const conf = Path.join(directory, `conf-${name}`)
  const data = Path.join(directory, name)
  yield* writeConf(conf, {
    ...common,
    ...(masters.length > 1 ? { "dfs.ha.namenode.id": `nn${i + 1}` } : {}),
    "dfs.namenode.name.dir": `file://${data}`
  })
  yield* initialize(setting, data, i === 0)
  return yield* makeDaemon({
    name,
    host: "127.0.0.1",
    url: `http://${httpHost}:${http}`,
    // The last it does before it serves.
    ready: "/jmx?qry=Hadoop:service=NameNode,name=NameNode",
    args: java(setting, name, conf, nameNodeClass, [], "512m"),
    archive: () => classArchive(lib, "namenode"),
    env,
    logFile: Path.join(directory, `${name}.log`)
  })
})

/**
 * `nameNodesUp` says when it may call: a DataNode starts faster than its NameNode, and would pause for 5 s if its first
 * call found the NameNode still starting.
 */
export const dataNode = Effect.fnUntraced(function* (
  setting: Setting,
  common: Properties,
  ports: NodePorts,
  i: number,
  nameNodesUp: Promise<void>
) {
  const { directory, env, lib } = setting
  const name = `datanode-${i + 1}`
  const host = `127.0.0.${i + 2}`
  const conf = Path.join(directory, `conf-${name}`)
  const proxy = yield* relay(host, nameNodesUp)
  yield* writeConf(conf, { ...common, ...dataNodeProperties(host, Path.join(directory, name), ports, proxy.port) })
  return yield* makeDaemon({
    name,
    host,
    url: `http://${host}:${ports.http}`,
    ready: "/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo",
    args: java(setting, name, conf, "org.apache.hadoop.hdfs.server.datanode.DataNode", [], "384m"),
    archive: () => {
      const archive = classArchive(lib, "datanode")
      // If several would record the same, only one does.
      return i > 0 && archive.recording ? undefined : archive
    },
    env,
    logFile: Path.join(directory, `${name}.log`)
  })
})

export const httpfs = Effect.fnUntraced(function* (setting: Setting, common: Properties) {
  const { directory, env, httpHost, httpfsPort } = setting
  const lib = yield* jars("httpfs")
  const conf = Path.join(directory, "conf-httpfs")
  const temp = Path.join(directory, "httpfs-temp")
  yield* writeConf(conf, common)
  yield* Effect.sync(() => {
    Fs.writeFileSync(Path.join(conf, "httpfs-site.xml"), siteXml(httpfsProperties(conf, setting)))
    Fs.writeFileSync(Path.join(conf, "httpfs-signature.secret"), "not a secret: this gateway lives for a test")
    Fs.writeFileSync(Path.join(conf, "httpfs-log4j.properties"), log4j)
    Fs.mkdirSync(temp, { recursive: true })
  })
  return yield* makeDaemon({
    name: "httpfs",
    host: "127.0.0.1",
    url: `http://${httpHost}:${httpfsPort}`,
    ready: `/webhdfs/v1/?op=GETHOMEDIRECTORY&user.name=${superUser}`,
    args: [
      ...jvmArgs(setting, "384m"),
      "--add-opens",
      "java.base/java.lang=ALL-UNNAMED",
      `-Dhttpfs.home.dir=${directory}`,
      `-Dhttpfs.config.dir=${conf}`,
      `-Dhttpfs.log.dir=${directory}`,
      `-Dhttpfs.temp.dir=${temp}`,
      "-cp",
      classpath(conf, lib),
      "org.apache.hadoop.fs.http.server.HttpFSServerWebServer"
    ],
    archive: () => classArchive(lib, "httpfs"),
    env,
    logFile: Path.join(directory, "httpfs.log")
  })
})
