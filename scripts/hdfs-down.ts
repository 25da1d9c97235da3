/**
 * Ends the HDFS of `npm run hdfs:up` and removes its files.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Schema } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const state = Path.join(Os.tmpdir(), "sluice-hdfs-up.json")
const log = Path.join(Os.tmpdir(), "sluice-hdfs-up.log")
const decode = Schema.decodeEffect(Schema.fromJsonString(Schema.Struct({ pid: Schema.Number, confDir: Schema.String })))

NodeRuntime.runMain(
  Effect.gen(function* () {
    if (!Fs.existsSync(state)) return yield* Console.log("no cluster is running")
    const { confDir, pid } = yield* decode(Fs.readFileSync(state, "utf8"))
    const signal = (name: NodeJS.Signals | 0) =>
      Effect.sync(() => {
        try {
          return process.kill(pid, name)
        } catch {
          return false
        }
      })
    const alive = yield* signal("SIGTERM")
    // Its last act is to remove the files.
    for (let i = 0; i < 300 && (yield* signal(0)); i++) yield* Effect.sleep("100 millis")
    for (const file of [state, log]) yield* Effect.sync(() => Fs.rmSync(file, { force: true }))
    yield* Console.log(alive ? `ended; ${Path.dirname(confDir)} is removed` : "it had already ended")
  })
)
