import { HadoopCluster } from "@sluice/hdfs/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { missing } from "./hadoop.ts"

/** Command lines of the running processes that name a folder. */
const processesOf = (directory: string) =>
  Fs.readdirSync("/proc").flatMap((pid) => {
    try {
      const command = Fs.readFileSync(`/proc/${pid}/cmdline`, "utf8")
      return command.includes(directory) ? [command.replaceAll("\0", " ")] : []
    } catch {
      // It has ended, or is not a process.
      return []
    }
  })

describe.skipIf(missing !== undefined && process.env["SLUICE_REQUIRE_ALL"] !== "1")("HadoopCluster", () => {
  const directory = Path.join(Os.tmpdir(), `sluice-hdfs-start-${process.pid}`)
  const assertNothingLeft = () => {
    assert.isFalse(Fs.existsSync(directory))
    assert.deepStrictEqual(processesOf(directory), [])
  }

  it.live("a start that fails shows the daemon's log and leaves no file", () =>
    Effect.gen(function* () {
      const start = Effect.scoped(HadoopCluster.make({ directory, dataNodes: 2, jvmArgs: ["-XX:NoSuchOption"] }))
      const error = yield* Effect.flip(start)
      assert.include(error.message, "NoSuchOption")
      assertNothingLeft()
    })
  )

  it.live("a start that is interrupted leaves no process and no file", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.scoped(HadoopCluster.make({ directory, dataNodes: 2 })))
      while (processesOf(directory).length < 3) yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(fiber)
      assertNothingLeft()
    })
  )
})
