/**
 * The `sluice-hdfs` command: `ls`, `cat`, `put`, `get`, `stat`, `blocks` and `probe`.
 *
 * It reads `HADOOP_CONF_DIR` or `HDFS_NAMENODES`, or takes `--namenode`; it logs in as a user of an unsecured cluster,
 * with a token in `HADOOP_TOKEN_FILE_LOCATION`, or with the ticket of `kinit` if the configuration asks for Kerberos.
 *
 * @since 0.1.0
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as NodeSink from "@effect/platform-node/NodeSink"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Program from "@sluice/core/Program"
import { Cause, Console, Effect, Layer, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Fs from "node:fs"
import * as HdfsAuth from "../HdfsAuth.ts"
import * as HdfsClient from "../HdfsClient.ts"
import * as HdfsConfig from "../HdfsConfig.ts"
import type { FileStatus } from "../HdfsModel.ts"
import * as Probe from "../Probe.ts"

const root = Command.make("sluice-hdfs").pipe(
  Command.withDescription("Reads and writes HDFS over WebHDFS"),
  Command.withSharedFlags({
    namenode: Flag.String("namenode").pipe(
      Flag.withDescription("HTTP address of a NameNode or HttpFS, http://host:9870; separate several with commas"),
      Flag.optional
    ),
    user: Flag.String("user").pipe(Flag.withDescription("The user name, on an unsecured cluster"), Flag.optional),
    doas: Flag.String("doas").pipe(Flag.withDescription("The user to act as"), Flag.optional),
    kerberos: Flag.Boolean("kerberos").pipe(
      Flag.withDescription("Logs in with the ticket of kinit, even if the configuration does not ask for Kerberos"),
      Flag.withDefault(false)
    ),
    gateway: Flag.Boolean("gateway").pipe(
      Flag.withDescription("The address is an HttpFS gateway"),
      Flag.withDefault(false)
    )
  })
)

const connection = Layer.unwrap(
  Effect.gen(function* () {
    const { doas, gateway, kerberos, namenode, user } = yield* root
    const settings = { gateway, ...(kerberos ? ({ authentication: "kerberos" } as const) : {}) }
    const config = Option.isSome(namenode)
      ? HdfsConfig.layer({ nameNodes: namenode.value.split(","), ...settings })
      : HdfsConfig.layerFromEnv(settings)
    const auth = HdfsAuth.layerFromEnv({ doAs: Option.getOrUndefined(doas), user: Option.getOrUndefined(user) })
    return HdfsClient.layer.pipe(Layer.provide(auth), Layer.provideMerge(config))
  })
)

/** Connects, runs, and reports what went wrong in one line. */
const connected = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.provide(connection),
    Effect.catch((error) =>
      Effect.andThen(
        Console.error(error.message),
        Effect.sync(() => {
          process.exitCode = 1
        })
      )
    )
  )

const sink = (open: () => NodeJS.WritableStream, endOnDone: boolean) =>
  NodeSink.fromWritable({ evaluate: open, endOnDone, onError: (cause) => new Cause.UnknownError(cause) })

const path = Argument.String("path").pipe(Argument.withDescription("An absolute HDFS path"))
const local = (description: string) =>
  Argument.String("local").pipe(Argument.withDescription(`${description}; - is the standard input or output`))

/** Octal permission as `ls` shows it. */
const mode = (status: FileStatus): string => {
  const bits = Number.parseInt(status.permission, 8)
  const triple = (shift: number) =>
    `${(bits >> shift) & 4 ? "r" : "-"}${(bits >> shift) & 2 ? "w" : "-"}${(bits >> shift) & 1 ? "x" : "-"}`
  return `${status.type === "DIRECTORY" ? "d" : "-"}${triple(6)}${triple(3)}${triple(0)}`
}

const line = (status: FileStatus, name: string): string =>
  [
    mode(status),
    String(status.replication || "-").padStart(3),
    status.owner,
    status.group,
    String(status.length).padStart(12),
    new Date(status.modificationTime).toISOString().slice(0, 16).replace("T", " "),
    name
  ].join(" ")

const ls = Command.make(
  "ls",
  { path },
  Effect.fn(function* ({ path }) {
    const client = yield* HdfsClient.HdfsClient
    yield* Stream.runForEach(client.listStatusBatch(path), (status) =>
      Console.log(line(status, status.pathSuffix === "" ? path : status.pathSuffix))
    )
  }, connected)
).pipe(Command.withDescription("Lists a directory"))

const stat = Command.make(
  "stat",
  { path },
  Effect.fn(function* ({ path }) {
    const client = yield* HdfsClient.HdfsClient
    yield* Console.log(JSON.stringify(yield* client.getFileStatus(path), null, 2))
  }, connected)
).pipe(Command.withDescription("Shows the status of a path as JSON"))

const blocks = Command.make(
  "blocks",
  { path },
  Effect.fn(function* ({ path }) {
    const client = yield* HdfsClient.HdfsClient
    for (const block of yield* client.getFileBlockLocations(path)) {
      yield* Console.log(`${block.offset} ${block.length} ${block.hosts.join(",")}${block.corrupt ? " CORRUPT" : ""}`)
    }
  }, connected)
).pipe(Command.withDescription("Shows offset, length and hosts of each block"))

const cat = Command.make(
  "cat",
  { path },
  Effect.fn(function* ({ path }) {
    const client = yield* HdfsClient.HdfsClient
    yield* Stream.run(
      client.open(path),
      sink(() => process.stdout, false)
    )
  }, connected)
).pipe(Command.withDescription("Writes a file to the standard output"))

const get = Command.make(
  "get",
  { path, local: local("Where to write it") },
  Effect.fn(function* ({ local, path }) {
    const client = yield* HdfsClient.HdfsClient
    yield* Stream.run(
      client.open(path),
      local === "-" ? sink(() => process.stdout, false) : sink(() => Fs.createWriteStream(local), true)
    )
  }, connected)
).pipe(Command.withDescription("Copies a file from HDFS"))

const put = Command.make(
  "put",
  {
    local: local("What to read"),
    path,
    overwrite: Flag.Boolean("overwrite").pipe(Flag.withDescription("Replaces a file"), Flag.withDefault(false))
  },
  Effect.fn(function* ({ local, overwrite, path }) {
    const client = yield* HdfsClient.HdfsClient
    const bytes = NodeStream.fromReadable<Uint8Array>({
      evaluate: () => (local === "-" ? process.stdin : Fs.createReadStream(local, { highWaterMark: 256 * 1024 }))
    })
    yield* Console.log(`${yield* client.write(path, bytes, { overwrite })} bytes`)
  }, connected)
).pipe(Command.withDescription("Copies a file to HDFS, completely or not at all"))

const probe = Command.make(
  "probe",
  {
    file: Flag.String("file").pipe(Flag.withDescription("What the last step reads"), Flag.optional)
  },
  Effect.fn(function* ({ file }) {
    let ok = true
    yield* Stream.runForEach(Probe.run({ file: Option.getOrUndefined(file) }), (step) => {
      if (step.result === "failed") ok = false
      return Console.log(Probe.format(step))
    })
    yield* Effect.sync(() => {
      process.exitCode = ok ? 0 : 1
    })
  }, connected)
).pipe(Command.withDescription("Checks the connection step by step"))

/** Runs the command with the arguments of the process, and ends the process. */
export const main = (): void =>
  root.pipe(
    Command.withSubcommands([ls, cat, get, put, stat, blocks, probe]),
    Command.run({ version: "0.1.0" }),
    Effect.provide(NodeServices.layer),
    Program.runMain
  )
