/**
 * Starts a real HDFS on this machine: one or two NameNodes, DataNodes on hosts of their own, an HttpFS gateway.
 *
 * The daemons are Hadoop's own, taken from Maven Central the first time (about 180 MB with the gateway's) and run with `java`.
 * They are kept in `.hadoop` beside this package, uncompressed and with archives of their classes, so that they start quickly:
 * about 600 MB. Every DataNode has its own loopback host name (127.0.0.2, .3, ...), so block locations and redirects look as on
 * a cluster. Each daemon can be stopped, killed, restarted and frozen; when the scope closes, the processes are ended and the
 * files removed. It needs Java 17 or later and Maven on the `PATH`.
 *
 * @since 0.1.0
 */
import { Effect, Schedule, Schema, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import type { Kdc } from "./Kdc.ts"
import { storeEntries } from "../internal/jar.ts"
import { exec, freePorts, HadoopError, tail } from "../internal/processes.ts"

export { HadoopError }

/**
 * One process of the cluster.
 *
 * @category models
 * @since 0.1.0
 */
export interface Daemon {
  readonly name: string
  /** Host and port of its web server, `http://127.0.0.2:41233`. */
  readonly url: string
  /** The host name it registers under. */
  readonly host: string
  readonly pid: Effect.Effect<number | undefined>
  /** Starts it and waits until its web server answers. Does nothing when it runs. */
  readonly start: Effect.Effect<void, HadoopError>
  /** Asks it to end (SIGTERM) and waits. */
  readonly stop: Effect.Effect<void>
  /** Ends it at once (SIGKILL), as a crash does. */
  readonly kill: Effect.Effect<void>
  /** `stop`, then `start`, on the same ports with the same data. */
  readonly restart: Effect.Effect<void, HadoopError>
  /** Stops it in its tracks (SIGSTOP): connections open, nothing answers. */
  readonly freeze: Effect.Effect<void>
  /** Lets it go on (SIGCONT). */
  readonly thaw: Effect.Effect<void>
  /** What it wrote so far. */
  readonly log: Effect.Effect<string>
}

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
 * How the cluster is to be.
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
  /** Where everything is kept; made and removed with the scope. Default: a new folder in the system's temporary one. */
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

/** What every daemon of a secured cluster is told. */
const secured = ({ realm }: Kdc, keytab: string): Record<string, string> => {
  const spnego = (prefix: string) => ({
    [`${prefix}.kerberos.principal`]: `HTTP/localhost@${realm}`,
    [`${prefix}.kerberos.keytab`]: keytab
  })
  const daemon = (name: string) => ({
    [`dfs.${name}.kerberos.principal`]: `${superUser}/localhost@${realm}`,
    [`dfs.${name}.keytab.file`]: keytab
  })
  return {
    "hadoop.security.authentication": "kerberos",
    "hadoop.http.authentication.type": "kerberos",
    "hadoop.http.authentication.kerberos.endpoint.whitelist": "/jmx",
    ...spnego("hadoop.http.authentication"),
    ...spnego("dfs.web.authentication"),
    ...daemon("namenode"),
    ...daemon("datanode"),
    "dfs.block.access.token.enable": "true",
    "dfs.data.transfer.protection": "authentication",
    // Block transfer is guarded by SASL, but its HTTP has no TLS here, for which ports below 1024 would be wanted.
    "ignore.secure.ports.for.testing": "true"
  }
}

const Beans = Schema.fromJsonString(
  Schema.Struct({ beans: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })
)

const superUser = "hdfs"
const versions = { hdfs: "3.5.0", httpfs: "3.4.1" }
const packageDir = fileURLToPath(new URL("../..", import.meta.url))
const cacheDir = process.env["SLUICE_HADOOP_CACHE"] ?? Path.join(packageDir, ".hadoop")

const jarsDir = (kind: keyof typeof versions) => Path.join(cacheDir, `${kind}-${versions[kind]}-stored`)

/**
 * Why no cluster can run here, or `undefined` when Java and Maven are there.
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

/** The folder of a distribution's jars, fetched with Maven if it does not exist yet. */
const jars = Effect.fnUntraced(function* (kind: keyof typeof versions) {
  const target = jarsDir(kind)
  if (Fs.existsSync(target)) return target
  const partial = `${target}.${process.pid}.${kind}`
  const pom = Path.join(packageDir, "hadoop", kind === "hdfs" ? "pom.xml" : "httpfs/pom.xml")
  yield* exec("mvn", ["-q", "-B", "-f", pom, "dependency:copy-dependencies", `-DoutputDirectory=${partial}`])
  yield* Effect.sync(() => {
    // At every start Jetty and Jersey look for their files by reading whole jars, and Java for its classes: 3 s of the CPU for a cluster.
    for (const name of Fs.readdirSync(partial)) storeEntries(Path.join(partial, name))
    // Two processes may fetch at once: the first to rename wins.
    if (Fs.existsSync(target)) Fs.rmSync(partial, { recursive: true })
    else Fs.renameSync(partial, target)
  })
  return target
})

/** Names the `java` of the `PATH`: an archive of classes fits the one that made it. */
const javaId = (): string => {
  for (const folder of (process.env["PATH"] ?? "").split(Path.delimiter)) {
    const file = Path.join(folder, "java")
    if (!Fs.existsSync(file)) continue
    const { mtimeMs, size } = Fs.statSync(file)
    return `${size.toString(36)}-${Math.trunc(mtimeMs).toString(36)}`
  }
  return "none"
}

let recordings = 0

/**
 * The classes of a kind of JVM in an archive beside the jars, which is mapped in place of loading, checking and linking them one by
 * one (AppCDS): that halves the CPU time of a start. Where there is none yet, a JVM of this kind writes it as it ends by itself.
 */
const classArchive = (lib: string, kind: string) => {
  const target = Path.join(lib, `${kind}-${javaId()}.jsa`)
  // One that does not fit is not used, and nothing is said of it.
  if (Fs.existsSync(target)) {
    return { args: ["-Xlog:disable", `-XX:SharedArchiveFile=${target}`], recording: false, ended: () => {} }
  }
  const partial = `${target}.${process.pid}-${++recordings}`
  return {
    args: ["-Xlog:disable", `-XX:ArchiveClassesAtExit=${partial}`],
    recording: true,
    /** Called when the JVM has ended. One that was killed may have written half of it. */
    ended: (killed: boolean) => {
      if (!Fs.existsSync(partial)) return
      if (killed) Fs.rmSync(partial)
      else Fs.renameSync(partial, target)
    }
  }
}

/** The folder of a NameNode that has been formatted, kept beside the jars. */
const formattedImage = Effect.fnUntraced(function* (
  format: (conf: string) => Effect.Effect<unknown, HadoopError>
): Effect.fn.Return<string, HadoopError> {
  const target = Path.join(cacheDir, `formatted-${versions.hdfs}`)
  if (Fs.existsSync(target)) return target
  const partial = `${target}.${process.pid}`
  const image = Path.join(partial, "image")
  yield* writeConf(partial, {
    "fs.defaultFS": "hdfs://127.0.0.1:8020",
    "dfs.namenode.name.dir": `file://${image}`,
    "hadoop.tmp.dir": Path.join(partial, "tmp"),
    // The group of the root directory is in the image.
    "dfs.permissions.superusergroup": superUser
  })
  yield* format(partial).pipe(
    Effect.tap(() =>
      Effect.sync(() => {
        // Two processes may format at once: the first to rename wins.
        if (!Fs.existsSync(target)) Fs.renameSync(image, target)
      })
    ),
    Effect.ensuring(Effect.sync(() => Fs.rmSync(partial, { recursive: true })))
  )
  return target
})

/**
 * A SOCKS 5 proxy that connects from an address of its own. A NameNode knows a DataNode by the address its calls come from, and
 * without this all would be 127.0.0.1, each as near to a reader as any other. It connects nobody before it is `open`.
 */
const relay = (localAddress: string, open: Promise<unknown>) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Net.Server; readonly sockets: Set<Net.Socket>; readonly port: number }>(
      (resume) => {
        const sockets = new Set<Net.Socket>()
        const hold = (socket: Net.Socket, other: () => Net.Socket | undefined) => {
          sockets.add(socket)
          socket.setNoDelay(true)
          socket.on("error", () => socket.destroy())
          socket.on("close", () => {
            sockets.delete(socket)
            other()?.destroy()
          })
        }
        const server = Net.createServer((socket) => {
          let upstream: Net.Socket | undefined
          let received = Buffer.alloc(0)
          let greeted = false
          hold(socket, () => upstream)
          const onData = (chunk: Buffer) => {
            received = Buffer.concat([received, chunk])
            if (!greeted) {
              if (received.length < 2 || received.length < 2 + received.readUInt8(1)) return
              received = received.subarray(2 + received.readUInt8(1))
              greeted = true
              socket.write(Buffer.from([5, 0]))
            }
            // CONNECT to an IPv4 address and a port, the only request a daemon makes.
            if (received.length < 10) return
            socket.off("data", onData)
            socket.pause()
            const rest = received.subarray(10)
            void open.then(() => {
              if (socket.destroyed) return
              const target = Net.connect(
                { host: received.subarray(4, 8).join("."), port: received.readUInt16BE(8), localAddress },
                () => {
                  socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
                  target.write(rest)
                  socket.pipe(target)
                  target.pipe(socket)
                }
              )
              upstream = target
              hold(target, () => socket)
            })
          }
          socket.on("data", onData)
        })
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          const port = address !== null && typeof address === "object" ? address.port : 0
          resume(Effect.succeed({ server, sockets, port }))
        })
      }
    ),
    ({ server, sockets }) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  )

const escapeXml = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const siteXml = (properties: Readonly<Record<string, string>>) =>
  `<?xml version="1.0"?>\n<configuration>\n${Object.entries(properties)
    .map(([name, value]) => `  <property><name>${name}</name><value>${escapeXml(value)}</value></property>\n`)
    .join("")}</configuration>\n`

const log4j = `log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
`

const writeConf = (directory: string, properties: Readonly<Record<string, string>>) =>
  Effect.sync(() => {
    Fs.mkdirSync(directory, { recursive: true })
    Fs.writeFileSync(Path.join(directory, "core-site.xml"), siteXml(properties))
    Fs.writeFileSync(Path.join(directory, "hdfs-site.xml"), siteXml(properties))
    Fs.writeFileSync(Path.join(directory, "log4j.properties"), log4j)
    // The numbers of /jmx are a second old at most, not ten.
    Fs.writeFileSync(Path.join(directory, "hadoop-metrics2.properties"), "*.period=1\n")
  })

// Quick to start rather than quick to run; small, because five of them share a machine.
const jvm = [
  "-XX:+UseSerialGC",
  "-XX:TieredStopAtLevel=1",
  "-XX:+UnlockDiagnosticVMOptions",
  "-XX:-BytecodeVerificationRemote",
  "-Xshare:auto",
  "-Djava.net.preferIPv4Stack=true"
]

const emptyBeans = /"beans" *: *\[ *\]/

interface DaemonSpec {
  readonly name: string
  readonly host: string
  readonly url: string
  /** Path that answers once it is up. */
  readonly ready: string
  readonly args: ReadonlyArray<string>
  /** Asked for at every start. */
  readonly archive: () => ReturnType<typeof classArchive> | undefined
  readonly env: Readonly<Record<string, string>>
  readonly logFile: string
}

const makeDaemon = Effect.fnUntraced(function* (spec: DaemonSpec): Effect.fn.Return<Daemon, never, Scope.Scope> {
  let child: ChildProcess.ChildProcess | undefined
  let recording = false
  let closed = false
  const running = () => child !== undefined && child.exitCode === null && child.signalCode === null
  const signal = (name: NodeJS.Signals) =>
    Effect.sync(() => {
      if (running()) child?.kill(name)
    })
  const ended = Effect.callback<void>((resume) => {
    if (child === undefined || !running()) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })
  const log = Effect.sync(() => (Fs.existsSync(spec.logFile) ? Fs.readFileSync(spec.logFile, "utf8") : ""))
  const kill = Effect.andThen(signal("SIGKILL"), ended)
  const stop = Effect.andThen(
    Effect.andThen(signal("SIGCONT"), signal("SIGTERM")),
    Effect.timeoutOrElse(ended, { duration: "10 seconds", orElse: () => kill })
  )
  const up = Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(spec.url + spec.ready, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)])
      })
      const text = await response.text()
      return { status: response.status, empty: emptyBeans.test(text) }
    },
    catch: (cause) => new HadoopError({ detail: `${spec.name} does not answer at ${spec.url}`, cause })
  }).pipe(
    Effect.flatMap(({ empty, status }) =>
      // One that wants a login is up.
      (status === 200 && !empty) || status === 401
        ? Effect.void
        : Effect.fail(new HadoopError({ detail: `${spec.name} answers ${status}${empty ? ", but is not ready" : ""}` }))
    )
  )
  const start = Effect.suspend(() => {
    if (running()) return Effect.void
    if (closed) return Effect.fail(new HadoopError({ detail: `the scope of ${spec.name} is closed` }))
    const archive = spec.archive()
    recording = archive?.recording === true
    const out = Fs.openSync(spec.logFile, "a")
    child = ChildProcess.spawn("java", [...(archive?.args ?? []), ...spec.args], {
      stdio: ["ignore", out, out],
      env: { ...process.env, ...spec.env }
    })
    child.once("exit", (code) => archive?.ended(code === null))
    Fs.closeSync(out)
    return up.pipe(
      Effect.retry({
        schedule: Schedule.spaced("150 millis"),
        while: () => running(),
        times: 600
      }),
      Effect.catch((error) =>
        Effect.flatMap(log, (text) => Effect.fail(new HadoopError({ detail: `${error.detail}\n${tail(text)}` })))
      )
    )
  })
  yield* Effect.addFinalizer(() => {
    closed = true
    return recording ? stop : kill
  })
  return {
    name: spec.name,
    url: spec.url,
    host: spec.host,
    pid: Effect.sync(() => (running() ? child?.pid : undefined)),
    start,
    stop,
    kill,
    restart: Effect.andThen(stop, start),
    freeze: signal("SIGSTOP"),
    thaw: signal("SIGCONT"),
    log
  }
})

/**
 * Starts a cluster and waits until all its DataNodes are alive; it ends with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fn("HadoopCluster.make")(function* (
  options?: Options
): Effect.fn.Return<HadoopCluster, HadoopError, Scope.Scope> {
  const nodes = options?.dataNodes ?? 3
  const masters = options?.nameNodes ?? 1
  const ha = masters > 1
  const lib = yield* jars("hdfs")
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => {
      if (options?.directory === undefined) return Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-hdfs-"))
      Fs.mkdirSync(options.directory, { recursive: true })
      return options.directory
    }),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
  )
  const ports = yield* freePorts(masters * 2 + nodes * 3 + 1)
  let next = 0
  const port = () => ports[next++] ?? 0
  const masterPorts = Array.from({ length: masters }, () => ({ rpc: port(), http: port() }))
  const nodePorts = Array.from({ length: nodes }, () => ({ data: port(), http: port(), ipc: port() }))
  const httpfsPort = port()
  const realm = options?.kerberos
  const keytab = realm === undefined ? undefined : yield* realm.keytab(["HTTP/localhost", `${superUser}/localhost`])
  const httpHost = realm === undefined ? "127.0.0.1" : "localhost"
  const jvmArgs = [
    ...(realm === undefined ? [] : [`-Djava.security.krb5.conf=${realm.config}`]),
    ...(options?.jvmArgs ?? [])
  ]
  const env = { HADOOP_USER_NAME: superUser, ...options?.env }
  // The jars first and in one order, as the archives of classes want it.
  const classpath = (conf: string, libs: string) =>
    [
      ...Fs.readdirSync(libs)
        .filter((name) => name.endsWith(".jar"))
        .toSorted()
        .map((name) => Path.join(libs, name)),
      conf
    ].join(Path.delimiter)
  const tmp = Path.join(directory, "java")
  yield* Effect.sync(() => Fs.mkdirSync(tmp))

  const common: Record<string, string> = {
    "fs.defaultFS": ha ? "hdfs://sluice" : `hdfs://127.0.0.1:${masterPorts[0]?.rpc}`,
    "hadoop.tmp.dir": Path.join(directory, "tmp"),
    [`hadoop.proxyuser.${superUser}.hosts`]: "*",
    [`hadoop.proxyuser.${superUser}.groups`]: "*",
    "dfs.replication": String(Math.min(options?.replication ?? 2, nodes)),
    "dfs.blocksize": String(options?.blockSize ?? 1024 * 1024),
    "dfs.bytes-per-checksum": "512",
    "dfs.namenode.fs-limits.min-block-size": "512",
    "dfs.namenode.datanode.registration.ip-hostname-check": "false",
    "dfs.namenode.heartbeat.recheck-interval": "2000",
    "dfs.heartbeat.interval": "1",
    "dfs.namenode.safemode.extension": "0",
    // Every replica is written at once, also where one of so few DataNodes has more to do, and a lost one is made up for soon.
    "dfs.namenode.redundancy.considerLoad": "false",
    "dfs.namenode.redundancy.interval.seconds": "1",
    "dfs.namenode.replication.work.multiplier.per.iteration": "100",
    "dfs.namenode.replication.max-streams": "50",
    "dfs.namenode.replication.max-streams-hard-limit": "100",
    "dfs.namenode.replication.min": "1",
    "dfs.namenode.delegation.token.always-use": "true",
    "dfs.namenode.acls.enabled": "true",
    "dfs.permissions.superusergroup": superUser,
    "fs.trash.interval": "60",
    "dfs.client.use.datanode.hostname": "false",
    "dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",
    "dfs.datanode.du.reserved": "0",
    "ipc.client.connect.max.retries": "3"
  }
  if (ha) {
    common["dfs.nameservices"] = "sluice"
    common["dfs.ha.namenodes.sluice"] = masterPorts.map((_, i) => `nn${i + 1}`).join(",")
    common["dfs.client.failover.proxy.provider.sluice"] =
      "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
    common["dfs.namenode.shared.edits.dir"] = `file://${Path.join(directory, "shared")}`
    common["dfs.ha.fencing.methods"] = "shell(/bin/true)"
    common["dfs.ha.tail-edits.period"] = "1s"
    masterPorts.forEach((each, i) => {
      common[`dfs.namenode.rpc-address.sluice.nn${i + 1}`] = `127.0.0.1:${each.rpc}`
      common[`dfs.namenode.http-address.sluice.nn${i + 1}`] = `${httpHost}:${each.http}`
    })
  } else {
    common["dfs.namenode.rpc-address"] = `127.0.0.1:${masterPorts[0]?.rpc}`
    common["dfs.namenode.http-address"] = `${httpHost}:${masterPorts[0]?.http}`
  }
  if (realm !== undefined && keytab !== undefined) Object.assign(common, secured(realm, keytab))
  Object.assign(common, options?.properties)
  const confDir = Path.join(directory, "conf")
  yield* writeConf(confDir, common)

  const java = (name: string, conf: string, mainClass: string, args: ReadonlyArray<string>, heap: string) => [
    ...jvm,
    `-Xmx${heap}`,
    // Jetty leaves its files there.
    `-Djava.io.tmpdir=${tmp}`,
    ...jvmArgs,
    `-Dsluice.daemon=${name}`,
    "-cp",
    classpath(conf, lib),
    mainClass,
    ...args
  ]

  const format = (conf: string) =>
    exec(
      "java",
      java("format", conf, "org.apache.hadoop.hdfs.server.namenode.NameNode", ["-format", "-nonInteractive"], "256m"),
      { env: { ...process.env, ...env } }
    )
  const nameNodes: Array<Daemon> = []
  for (let i = 0; i < masters; i++) {
    const name = `namenode-${i + 1}`
    const conf = Path.join(directory, `conf-${name}`)
    const data = Path.join(directory, name)
    yield* writeConf(conf, {
      ...common,
      ...(ha ? { "dfs.ha.namenode.id": `nn${i + 1}` } : {}),
      "dfs.namenode.name.dir": `file://${data}`
    })
    // What -format, -initializeSharedEdits and -bootstrapStandby do, without the seconds of a JVM.
    const image = yield* formattedImage(format)
    yield* Effect.sync(() => {
      Fs.cpSync(image, data, { recursive: true })
      if (!ha || i > 0) return
      const shared = Path.join(directory, "shared", "current")
      Fs.mkdirSync(shared, { recursive: true })
      for (const name of ["VERSION", "seen_txid"]) {
        Fs.cpSync(Path.join(image, "current", name), Path.join(shared, name))
      }
    })
    nameNodes.push(
      yield* makeDaemon({
        name,
        host: "127.0.0.1",
        url: `http://${httpHost}:${masterPorts[i]?.http}`,
        // The last it does before it serves.
        ready: "/jmx?qry=Hadoop:service=NameNode,name=NameNode",
        args: java(name, conf, "org.apache.hadoop.hdfs.server.namenode.NameNode", [], "512m"),
        archive: () => classArchive(lib, "namenode"),
        env,
        logFile: Path.join(directory, `${name}.log`)
      })
    )
  }

  // A DataNode is up before its NameNode. One whose first call finds the NameNode still starting would pause for 5 s.
  const nameNodesUp = Promise.withResolvers<void>()
  const dataNodes: Array<Daemon> = []
  for (let i = 0; i < nodes; i++) {
    const name = `datanode-${i + 1}`
    const host = `127.0.0.${i + 2}`
    const conf = Path.join(directory, `conf-${name}`)
    yield* writeConf(conf, {
      ...common,
      "hadoop.socks.server": `127.0.0.1:${(yield* relay(host, nameNodesUp.promise)).port}`,
      "hadoop.rpc.socket.factory.class.default": "org.apache.hadoop.net.SocksSocketFactory",
      // Blocks need no proxy.
      "hadoop.rpc.socket.factory.class.ClientProtocol": "org.apache.hadoop.net.StandardSocketFactory",
      // When its NameNode restarts: after the last of these retries it would pause for 5 s.
      "ipc.client.connect.max.retries": "300",
      "ipc.client.connect.retry.interval": "200",
      // More than a heartbeat, less than a NameNode takes to restart: the first call after that would fail on a dead connection.
      "ipc.client.connection.maxidletime": "1500",
      "dfs.datanode.data.dir": `file://${Path.join(directory, name)}`,
      "dfs.datanode.hostname": host,
      "dfs.datanode.address": `0.0.0.0:${nodePorts[i]?.data}`,
      "dfs.datanode.http.address": `0.0.0.0:${nodePorts[i]?.http}`,
      "dfs.datanode.ipc.address": `0.0.0.0:${nodePorts[i]?.ipc}`
    })
    dataNodes.push(
      yield* makeDaemon({
        name,
        host,
        url: `http://${host}:${nodePorts[i]?.http}`,
        ready: "/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo",
        args: java(name, conf, "org.apache.hadoop.hdfs.server.datanode.DataNode", [], "384m"),
        archive: () => {
          const archive = classArchive(lib, "datanode")
          // If several would record the same, only one does.
          return i > 0 && archive.recording ? undefined : archive
        },
        env,
        logFile: Path.join(directory, `${name}.log`)
      })
    )
  }

  let httpfs: Daemon | undefined
  if (options?.httpfs === true) {
    const gatewayLib = yield* jars("httpfs")
    const conf = Path.join(directory, "conf-httpfs")
    yield* writeConf(conf, common)
    yield* Effect.sync(() => {
      Fs.writeFileSync(
        Path.join(conf, "httpfs-site.xml"),
        siteXml({
          "httpfs.http.hostname": httpHost,
          "httpfs.http.port": String(httpfsPort),
          "httpfs.hadoop.config.dir": conf,
          [`httpfs.proxyuser.${superUser}.hosts`]: "*",
          [`httpfs.proxyuser.${superUser}.groups`]: "*",
          "httpfs.authentication.signature.secret.file": Path.join(conf, "httpfs-signature.secret"),
          ...(realm === undefined || keytab === undefined
            ? {}
            : {
                "httpfs.authentication.type": "kerberos",
                "httpfs.authentication.kerberos.principal": `HTTP/localhost@${realm.realm}`,
                "httpfs.authentication.kerberos.keytab": keytab,
                "httpfs.hadoop.authentication.type": "kerberos",
                "httpfs.hadoop.authentication.kerberos.principal": `${superUser}/localhost@${realm.realm}`,
                "httpfs.hadoop.authentication.kerberos.keytab": keytab
              })
        })
      )
      Fs.writeFileSync(Path.join(conf, "httpfs-signature.secret"), "not a secret: this gateway lives for a test")
      Fs.writeFileSync(Path.join(conf, "httpfs-log4j.properties"), log4j)
      Fs.mkdirSync(Path.join(directory, "httpfs-temp"), { recursive: true })
    })
    httpfs = yield* makeDaemon({
      name: "httpfs",
      host: "127.0.0.1",
      url: `http://${httpHost}:${httpfsPort}`,
      ready: `/webhdfs/v1/?op=GETHOMEDIRECTORY&user.name=${superUser}`,
      args: [
        ...jvm,
        "-Xmx384m",
        `-Djava.io.tmpdir=${tmp}`,
        ...jvmArgs,
        "--add-opens",
        "java.base/java.lang=ALL-UNNAMED",
        `-Dhttpfs.home.dir=${directory}`,
        `-Dhttpfs.config.dir=${conf}`,
        `-Dhttpfs.log.dir=${directory}`,
        `-Dhttpfs.temp.dir=${Path.join(directory, "httpfs-temp")}`,
        "-cp",
        classpath(conf, gatewayLib),
        "org.apache.hadoop.fs.http.server.HttpFSServerWebServer"
      ],
      archive: () => classArchive(gatewayLib, "httpfs"),
      env,
      logFile: Path.join(directory, "httpfs.log")
    })
  }

  const jmx = (daemon: Daemon, query: string) =>
    Effect.tryPromise({
      try: (signal) => fetch(`${daemon.url}/jmx?qry=${query}`, { signal }).then((response) => response.text()),
      catch: (cause) => cause
    }).pipe(
      Effect.flatMap(Schema.decodeEffect(Beans)),
      Effect.map(({ beans }) => beans),
      Effect.mapError((cause) => new HadoopError({ detail: `${daemon.name} did not answer /jmx?qry=${query}`, cause }))
    )

  const ticket = realm === undefined || keytab === undefined ? {} : yield* realm.login(`${superUser}/localhost`, keytab)
  const run = (mainClass: string, args: ReadonlyArray<string>) =>
    Effect.suspend(() => {
      const archive = classArchive(lib, "admin")
      return exec("java", [...archive.args, ...java("admin", confDir, mainClass, args, "256m")], {
        env: { ...process.env, ...env, ...ticket }
      }).pipe(Effect.onExit((exit) => Effect.sync(() => archive.ended(exit._tag === "Failure"))))
    })

  // Both begin as standbys.
  let active: number | undefined = ha ? undefined : 0
  const transition = Effect.fnUntraced(function* (target: number) {
    const admin = (args: ReadonlyArray<string>) => run("org.apache.hadoop.hdfs.tools.DFSHAAdmin", args)
    const from = active
    const alive = from !== undefined && (yield* nameNodes[from]?.pid ?? Effect.undefined) !== undefined
    if (alive && from !== target) yield* admin(["-failover", `nn${from + 1}`, `nn${target + 1}`])
    // Otherwise it asks the others whether they are standbys, and one of them may be dead.
    else yield* admin(["-transitionToActive", "--forceactive", `nn${target + 1}`])
    active = target
  })

  const awaitLive = (count: number) =>
    Effect.suspend(() => {
      const master = nameNodes[active ?? 0]
      return master === undefined ? Effect.succeed([]) : jmx(master, "Hadoop:service=NameNode,name=FSNamesystemState")
    }).pipe(
      Effect.flatMap((beans) => {
        const state = beans[0]
        return state?.["NumLiveDataNodes"] === count && state["FSState"] === "Operational"
          ? Effect.void
          : Effect.fail(new HadoopError({ detail: `not ${count} live DataNodes: ${JSON.stringify(state)}` }))
      }),
      Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 600 })
    )

  const startNameNodes = Effect.all(
    nameNodes.map((daemon) => daemon.start),
    { concurrency: "unbounded", discard: true }
  ).pipe(Effect.tap(() => Effect.sync(() => nameNodesUp.resolve())))
  yield* Effect.all(
    [
      ha ? Effect.andThen(startNameNodes, transition(0)) : startNameNodes,
      ...dataNodes.map((daemon) => daemon.start),
      httpfs?.start ?? Effect.void
    ],
    { concurrency: "unbounded", discard: true }
  )
  yield* awaitLive(nodes)
  return {
    directory,
    confDir,
    superUser,
    keytab,
    nameNodes,
    dataNodes,
    httpfs,
    url: nameNodes[0]?.url ?? "",
    jmx,
    awaitLive,
    run,
    transition
  }
})
