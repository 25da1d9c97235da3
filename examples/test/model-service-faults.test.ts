import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schedule } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Model from "../model-service/Model.ts"
import * as ModelService from "../model-service/ModelService.ts"

const platform = Layer.merge(NodeServices.layer, NodeHttpClient.layerUndici)
const model = Model.synthetic(4)

const put = Effect.fnUntraced(function* (endpoint: string, rows: number = 2) {
  const response = yield* HttpClient.execute(
    HttpClientRequest.put(endpoint).pipe(HttpClientRequest.bodyUint8Array(new Uint8Array(rows * 16)))
  )
  return { status: response.status, headers: response.headers, body: yield* response.arrayBuffer }
})

/** One row of 64 features: that of the digits model. */
const putDigits = (endpoint: string) => put(endpoint, 16)

/** Asks until the answer is as wanted; the test's own time limit ends it. */
const until = (service: ModelService.ModelService["Service"], wanted: (stats: ModelService.Stats) => boolean) =>
  service.stats.pipe(Effect.repeat({ schedule: Schedule.spaced("5 millis"), until: wanted }))

describe("ModelService", () => {
  it.live("strikes the requests a fault names, and no others", () =>
    Effect.gen(function* () {
      const { endpoint, setFaults } = yield* ModelService.make({
        model,
        faults: [{ _tag: "Status", status: 503, retryAfter: 2, every: 2, after: 1, times: 2 }]
      })
      const statuses: Array<number> = []
      for (let i = 0; i < 8; i++) {
        const answer = yield* put(endpoint)
        statuses.push(answer.status)
        if (answer.status === 503) assert.strictEqual(answer.headers["retry-after"], "2")
      }
      assert.deepStrictEqual(statuses, [200, 200, 503, 200, 503, 200, 200, 200])

      yield* setFaults([{ _tag: "NotFinite", row: 1 }])
      assert.deepStrictEqual([...new Float32Array((yield* put(endpoint)).body)], [0.5, NaN])
      yield* setFaults([{ _tag: "Short", bytes: 3 }])
      assert.strictEqual((yield* put(endpoint)).body.byteLength, 5)
      yield* setFaults([{ _tag: "Trickle", delayMs: 1 }])
      assert.deepStrictEqual([...new Float32Array((yield* put(endpoint)).body)], [0.5, 0.5])
      for (const fault of [{ _tag: "Cut", bytes: 5 }, { _tag: "Reset" }] as const) {
        yield* setFaults([fault])
        assert.strictEqual((yield* Effect.flip(put(endpoint)))._tag, "HttpClientError")
      }
    }).pipe(Effect.scoped, Effect.provide(platform))
  )

  it.live("leaves a hanging request open until its client goes", () =>
    Effect.gen(function* () {
      const service = yield* ModelService.make({ model, faults: [{ _tag: "Hang" }] })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Effect.forkScoped(put(service.endpoint))
          assert.strictEqual((yield* until(service, (stats) => stats.bytesIn === 32)).open, 1)
        })
      )
      const after = yield* until(service, (stats) => stats.open === 0)
      assert.deepStrictEqual([after.aborted, after.succeeded, after.openSockets], [1, 0, 0])
    }).pipe(Effect.scoped, Effect.provide(platform))
  )

  it.live("works on as many requests at once as it has capacity, and counts how busy that was", () =>
    Effect.gen(function* () {
      const service = yield* ModelService.spawn({ delay: "20 millis", capacity: 2 })
      yield* Effect.forEach(Array.from({ length: 10 }), () => putDigits(service.endpoint), { concurrency: 10 })
      const stats = yield* service.stats
      assert.deepStrictEqual(
        [stats.requests, stats.succeeded, stats.rows, stats.bytesIn, stats.bytesOut, stats.maxActive],
        [10, 10, 10, 2560, 40, 2]
      )
      // Five rounds of 20 ms on two workers.
      assert.isAtLeast(stats.busyMs, 190)
      assert.isAbove(stats.utilisation, 0.3)
      assert.isAtMost(stats.utilisation, 1)
      assert.isAbove(stats.wireBytesIn, stats.bytesIn)

      yield* service.resetStats
      assert.strictEqual((yield* service.stats).requests, 0)
      yield* service.setFaults([{ _tag: "Status", status: 500 }])
      assert.strictEqual((yield* putDigits(service.endpoint)).status, 500)
    }).pipe(Effect.scoped, Effect.provide(platform))
  )

  it.live("turns requests away when its queue is full", () =>
    Effect.gen(function* () {
      // The first one is worked on for longer than the test lasts.
      const service = yield* ModelService.make({ model, delay: "1 hour", capacity: 1, queueLimit: 1 })
      const fibers = yield* Effect.forEach(Array.from({ length: 5 }), () => Effect.forkChild(put(service.endpoint)))
      const stats = yield* until(service, ({ refused }) => refused === 3)
      assert.deepStrictEqual([stats.requests, stats.open, stats.maxActive, stats.succeeded], [5, 2, 1, 0])
      const answers = fibers.flatMap((fiber) => {
        const exit = fiber.pollUnsafe()
        return exit !== undefined && Exit.isSuccess(exit) ? [exit.value.status] : []
      })
      for (const status of answers) assert.strictEqual(status, 503)
      yield* Fiber.interruptAll(fibers)
    }).pipe(Effect.scoped, Effect.provide(platform))
  )

  it.live("ends with its parent, even a killed one", () =>
    Effect.gen(function* () {
      const server = fileURLToPath(new URL("../model-service/server.ts", import.meta.url))
      const parent = `
        const child = require("node:child_process").spawn(process.execPath, [${JSON.stringify(server)}, "--with-parent"])
        child.stdout.once("data", (line) => console.log(JSON.stringify({ pid: child.pid, line: String(line) })))`
      const pid = yield* Effect.callback<number>((resume) => {
        const launcher = spawn(process.execPath, ["-e", parent], { stdio: ["ignore", "pipe", "inherit"] })
        launcher.stdout.once("data", (text) => {
          launcher.kill("SIGKILL")
          resume(Effect.succeed(Number(/"pid":(\d+)/.exec(String(text))?.[1])))
        })
      })
      const gone = Effect.sync(() => {
        try {
          return !process.kill(pid, 0)
        } catch {
          return true
        }
      })
      yield* gone.pipe(Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (ended) => ended }))
    })
  )
})
