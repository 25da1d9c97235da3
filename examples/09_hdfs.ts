/**
 * HDFS from end to end: probe the connection, put a text there, score its letters where its blocks lie, show who holds them, and
 * remove what was made.
 *
 *     npm run -s hdfs -- --namenode http://host:9870
 *
 * Without `--namenode` the cluster is the one of `HADOOP_CONF_DIR` or `HDFS_NAMENODES`. `npm run hdfs:up` starts one to try.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Dataset, Job } from "@sluice/core"
import { HdfsAuth, HdfsClient, HdfsConfig, Probe } from "@sluice/hdfs"
import { Clock, Console, Effect, Layer, Option, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { createReadStream } from "node:fs"
import { fileURLToPath } from "node:url"
import { letters } from "./01_letters.ts"
import { runMain } from "./support/program.ts"

const text = fileURLToPath(new URL("data/devils-dictionary.txt", import.meta.url))

const connection = (namenode: Option.Option<string>) =>
  HdfsClient.layer.pipe(
    Layer.provideMerge(
      Option.match(namenode, {
        onNone: () => HdfsConfig.layerFromEnv(),
        onSome: (url) => HdfsConfig.layer({ nameNodes: [url] })
      })
    ),
    Layer.provide(HdfsAuth.layerSimple())
  )

const run = Effect.fnUntraced(function* (namenode: Option.Option<string>) {
  yield* Console.log("probe")
  const steps = yield* Stream.runCollect(Stream.tap(Probe.run(), (step) => Console.log(`  ${Probe.format(step)}`)))
  if (steps.some((step) => step.result === "failed")) return yield* Effect.fail(new Error("the probe has failed"))

  const hdfs = yield* HdfsClient.HdfsClient
  // Paths of datasets name the cluster where the environment does not.
  const base = Option.match(namenode, {
    onNone: () => "hdfs://",
    onSome: (url) => `${/^https:/i.test(url) ? "swebhdfs" : "hdfs"}://${new URL(url).host}`
  })
  const directory = `/tmp/sluice-example-${yield* Clock.currentTimeMillis}`
  const input = `${directory}/dictionary.txt`
  yield* Effect.gen(function* () {
    const bytes = yield* hdfs.write(input, NodeStream.fromReadable({ evaluate: () => createReadStream(text) }))
    yield* Console.log(`put ${bytes.toLocaleString("en-US")} bytes at ${input}`)
    for (const block of yield* hdfs.getFileBlockLocations(input)) {
      yield* Console.log(`  block of ${block.length.toLocaleString("en-US")} bytes on ${block.hosts.join(", ")}`)
    }
    const output = `${base}${directory}/letters`
    const { totals, value } = yield* Job.runReported(letters, { input: `${base}${input}`, output, overwrite: false })
    const { hdfsLocalBytes = 0, hdfsRemoteBytes = 0 } = totals.counters
    yield* Console.log(
      `scored ${value.rows.toLocaleString("en-US")} lines; read ${hdfsLocalBytes.toLocaleString("en-US")} bytes from this ` +
        `machine and ${hdfsRemoteBytes.toLocaleString("en-US")} from others`
    )
    const even = yield* Dataset.parquet(output, Schema.Struct({ text: Schema.String, score: Schema.Number })).pipe(
      Dataset.filter((row) => row.text.length >= 20),
      Dataset.reduce((left, right) => (left.score <= right.score ? left : right))
    )
    if (even._tag === "Some") yield* Console.log(`  most even line: ${even.value.text.trim()}`)
  }).pipe(Effect.ensuring(Effect.ignore(hdfs.delete(directory, { recursive: true }))))
  yield* Console.log(`removed ${directory}`)
})

const command = Command.make(
  "hdfs",
  {
    namenode: Flag.String("namenode").pipe(
      Flag.withDescription("HTTP address of a NameNode, http://host:9870 (default: HDFS_NAMENODES or HADOOP_CONF_DIR)"),
      Flag.optional
    )
  },
  Effect.fn("hdfs")(({ namenode }) => Effect.provide(run(namenode), connection(namenode)))
).pipe(Command.withDescription("Write, read and score a text on HDFS"))

export const program = Command.run(command, { version: "0.1.0" })

if (import.meta.main) runMain(program)
