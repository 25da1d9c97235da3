/**
 * HDFS from end to end: probe the connection, write a text, show which hosts have its blocks, score it there, and
 * remove everything.
 *
 *     npm run -s hdfs -- --namenode http://host:9870
 *
 * Without `--namenode`, `HDFS_NAMENODES` or `HADOOP_CONF_DIR` names the cluster. `npm run hdfs:up` starts one to try.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { type Commit, Dataset, Job } from "@sluice/core"
import { HdfsAuth, HdfsClient, HdfsConfig, Probe } from "@sluice/hdfs"
import { Clock, Console, Effect, Layer, Option, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { createReadStream } from "node:fs"
import { letters } from "./01_letters.ts"
import * as Cli from "./support/cli.ts"

/** Paths of datasets begin with the cluster, `hdfs://host:9870`; those of the client do not. */
const tour = Effect.fnUntraced(function* (cluster: string) {
  yield* probe
  const directory = yield* temporary
  const input = `${directory}/dictionary.txt`
  const output = `${cluster}${directory}/letters`
  yield* put(Cli.dictionary.path, input)
  yield* showBlocks(input)
  yield* showScored(yield* Job.runReported(letters, { input: cluster + input, output, mode: "error-if-exists" }))
  yield* showMostEven(output)
}, Effect.scoped)

const probe = Effect.gen(function* () {
  yield* Console.log("probe")
  const steps = yield* Stream.runCollect(Stream.tap(Probe.run(), (step) => Console.log(`  ${Probe.format(step)}`)))
  if (steps.some((step) => step.result === "failed")) {
    return yield* Effect.fail(new Error("the probe failed; the last step above says what to check"))
  }
})

/** A directory that is removed when the scope ends. */
const temporary = Effect.gen(function* () {
  const hdfs = yield* HdfsClient.HdfsClient
  const directory = `/tmp/sluice-example-${yield* Clock.currentTimeMillis}`
  yield* Effect.addFinalizer(() =>
    hdfs.delete(directory, { recursive: true }).pipe(
      Effect.andThen(Console.log(`removed ${directory}`)),
      Effect.catch((error) => Console.error(`could not remove ${directory}: ${error.message}`))
    )
  )
  return directory
})

const put = Effect.fnUntraced(function* (local: string, path: string) {
  const hdfs = yield* HdfsClient.HdfsClient
  const bytes = yield* hdfs.write(path, NodeStream.fromReadable({ evaluate: () => createReadStream(local) }))
  yield* Console.log(`put ${Cli.count(bytes)} bytes at ${path}`)
})

const showBlocks = Effect.fnUntraced(function* (path: string) {
  const hdfs = yield* HdfsClient.HdfsClient
  for (const block of yield* hdfs.getFileBlockLocations(path)) {
    yield* Console.log(`  block of ${Cli.count(block.length)} bytes on ${block.hosts.join(", ")}`)
  }
})

const showScored = ({ totals, value }: Job.Report<Commit.Manifest>) => {
  const { hdfsLocalBytes = 0, hdfsRemoteBytes = 0 } = totals.counters
  return Console.log(
    `scored ${Cli.count(value.rows)} lines; read ${Cli.count(hdfsLocalBytes)} bytes from this machine and ` +
      `${Cli.count(hdfsRemoteBytes)} from others`
  )
}

const showMostEven = Effect.fnUntraced(function* (output: string) {
  const even = yield* Dataset.parquet(output, Schema.Struct({ text: Schema.String, score: Schema.Number })).pipe(
    Dataset.filter((row) => row.text.length >= 20),
    Dataset.reduce((left, right) => (left.score <= right.score ? left : right))
  )
  if (even._tag === "Some") yield* Console.log(`  most even line: ${even.value.text.trim()}`)
})

const connection = (nameNode: Option.Option<URL>) =>
  HdfsClient.layer.pipe(
    Layer.provideMerge(
      Option.match(nameNode, {
        onNone: () => HdfsConfig.layerFromEnv(),
        onSome: (url) => HdfsConfig.layer({ nameNodes: [url.href] })
      })
    ),
    Layer.provide(HdfsAuth.layerSimple())
  )

/** The beginning of every dataset's path; `hdfs://` alone means the cluster of the environment. */
const clusterOf = (nameNode: Option.Option<URL>): string =>
  Option.match(nameNode, {
    onNone: () => "hdfs://",
    onSome: ({ host, protocol }) => `${protocol === "https:" ? "swebhdfs" : "hdfs"}://${host}`
  })

const command = Command.make(
  "hdfs",
  {
    namenode: Flag.String("namenode").pipe(
      Flag.withMetavar("URL"),
      Flag.filterMap(
        (text) => Option.filter(Option.fromNullishOr(URL.parse(text)), (url) => /^https?:$/.test(url.protocol)),
        () => "the HTTP address of a NameNode, such as http://host:9870"
      ),
      Flag.withDescription("HTTP address of a NameNode, http://host:9870 (default: HDFS_NAMENODES or HADOOP_CONF_DIR)"),
      Flag.optional
    )
  },
  Effect.fn("hdfs")(({ namenode }) => Effect.provide(tour(clusterOf(namenode)), connection(namenode)))
).pipe(Command.withDescription("Write, read and score a text on HDFS"))

export const program = Cli.run(command)

if (import.meta.main) Cli.runMain(program)
