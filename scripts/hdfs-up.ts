/**
 * Starts a real HDFS with three DataNodes to play with, in the background; `npm run hdfs:down` ends it.
 */
import { NodeRuntime } from "@effect/platform-node"
import { HadoopCluster } from "@sluice/hdfs/testing"
import { Console, Effect, Schema } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

const state = Path.join(Os.tmpdir(), "sluice-hdfs-up.json")

const decode = Schema.decodeEffect(
  Schema.fromJsonString(
    Schema.Struct({ url: Schema.String, confDir: Schema.String, httpfs: Schema.optional(Schema.String) })
  )
)

/** Keeps the cluster running until it gets a signal to end. */
const hold = Effect.gen(function* () {
  const cluster = yield* HadoopCluster.make({ httpfs: process.argv.includes("--httpfs") })
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      Fs.writeFileSync(
        state,
        JSON.stringify({ pid: process.pid, url: cluster.url, confDir: cluster.confDir, httpfs: cluster.httpfs?.url })
      )
    ),
    () => Effect.sync(() => Fs.rmSync(state, { force: true }))
  )
  return yield* Effect.never
}).pipe(Effect.scoped)

const start = Effect.gen(function* () {
  if (Fs.existsSync(state)) return yield* Console.log(`a cluster is already running: ${Fs.readFileSync(state, "utf8")}`)
  const log = Path.join(Os.tmpdir(), "sluice-hdfs-up.log")
  const out = Fs.openSync(log, "w")
  const child = ChildProcess.spawn(
    process.execPath,
    ["--conditions=@sluice/source", fileURLToPath(import.meta.url), "--hold", ...process.argv.slice(2)],
    { detached: true, stdio: ["ignore", out, out] }
  )
  child.unref()
  yield* Console.log("starting; the first time, this fetches Hadoop (about 110 MB)")
  while (!Fs.existsSync(state)) {
    if (child.exitCode !== null) return yield* Effect.fail(new Error(`the cluster did not start; see ${log}`))
    yield* Effect.sleep("200 millis")
  }
  const { confDir, httpfs, url } = yield* decode(Fs.readFileSync(state, "utf8"))
  yield* Console.log(
    `NameNode ${url}${httpfs === undefined ? "" : `, HttpFS ${httpfs}`}\n\n` +
      `  export HADOOP_CONF_DIR=${confDir} HADOOP_USER_NAME=hdfs\n  npx sluice-hdfs ls /\n\nnpm run hdfs:down ends it.`
  )
})

NodeRuntime.runMain(process.argv.includes("--hold") ? hold : start)
