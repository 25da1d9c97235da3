/**
 * How busy each client keeps a service that takes 50 ms per request and works on 8 at once: a blocking iterator, one
 * request per partition, and `Scoring.score` with 8 and with 12 requests in flight. The service measures itself: the
 * share of its capacity in use between the start of its first request and the end of its last.
 *
 * With 8 in flight no client keeps 8 places busy: a place is empty from the moment it has answered until the next request
 * has arrived. The limit is about what undici's own `request` reaches in a loop, with bodies made beforehand, so that
 * is measured too. With 12 in flight, 4 requests wait at the service, which still works on 8 at once.
 */
import { NodeServices } from "@effect/platform-node"
import * as Undici from "@effect/platform-node/Undici"
import { Effect } from "effect"
import { compare } from "../examples/04_blocking-vs-async.ts"
import * as ModelService from "../examples/model-service/ModelService.ts"
import { publish, verdict } from "./support/bench.ts"
import { alone } from "./support/idle.ts"

const rows = 400_000
const batchRows = 1000
const capacity = 8
const delayMillis = 50
const requests = rows / batchRows
// The rows of the example.
const body = new Uint8Array(new Float32Array(64 * batchRows).buffer)

/** `inFlight` loops of undici's `request`, all of which have a body ready. */
const loop = async (endpoint: string, inFlight: number): Promise<void> => {
  const agent = new Undici.Agent({ connections: inFlight, pipelining: 1 })
  const { origin, pathname: path } = new URL(endpoint)
  const headers = { "content-type": "application/octet-stream" }
  let left = requests
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (left-- > 0) {
        const answer = await agent.request({ origin, path, method: "PUT", headers, body })
        if ((await answer.body.arrayBuffer()).byteLength !== batchRows * 4) throw new Error("short answer")
      }
    })
  )
  await agent.close()
}

/** The loops, as `compare` describes its ways. */
const bare = Effect.gen(function* () {
  const service = yield* ModelService.spawn({ delay: delayMillis, capacity })
  return yield* Effect.forEach([8, 12], (inFlight) =>
    Effect.gen(function* () {
      yield* service.resetStats
      const start = performance.now()
      yield* Effect.promise(() => loop(service.endpoint, inFlight))
      const seconds = (performance.now() - start) / 1000
      const { maxActive, rows: scored, utilisation } = yield* service.stats
      const name = `undici, ${inFlight} in flight`
      return { name, scored, seconds, rowsPerSecond: scored / seconds, utilisation, atOnce: maxActive }
    })
  )
}).pipe(Effect.scoped)

const ways = compare({ rows, batchRows, concurrency: capacity, delayMillis })
const measure = Effect.map(Effect.all([ways, bare]), ([ways, bare]) => [...ways, ...bare])

const { load, result: table } = await alone(() => Effect.runPromise(Effect.provide(measure, NodeServices.layer)))
for (const way of table) {
  if (way.scored !== rows) throw new Error(`${way.name} scored ${way.scored} of ${rows} rows`)
  if (way.atOnce > capacity) throw new Error(`${way.name} made the service work on ${way.atOnce} requests at once`)
}
const busy = (name: string) => table.find((way) => way.name === name)?.utilisation ?? Number.NaN
const limit = busy("undici, 8 in flight")
const empty = delayMillis * (1 / limit - 1)

publish("utilisation", [
  `${rows.toLocaleString("en-US")} rows, 1,000 per request; ${delayMillis} ms per request, ${capacity} at once`,
  load,
  "",
  `${"".padEnd(20)}${"seconds".padStart(9)}${"rows/s".padStart(10)}${"at once".padStart(9)}${"busy".padStart(8)}`,
  ...table.map(
    (way) =>
      way.name.padEnd(20) +
      way.seconds.toFixed(2).padStart(9) +
      String(Math.round(way.rowsPerSecond)).padStart(10) +
      String(way.atOnce).padStart(9) +
      way.utilisation.toFixed(3).padStart(8)
  ),
  "",
  `With 8 in flight, a place is empty from its answer until the next request has arrived. If undici.request asks in a loop,`,
  `that takes ${empty.toFixed(1)} ms, so the limit is ${limit.toFixed(2)}. With 12, the service works on 8 at once just the same,`,
  "and the next request is waiting.",
  "",
  `async, 8 in flight, busy, of that limit: ${verdict(busy("async") / limit, 0.95, "at least")}`,
  `async, 12 in flight, busy:               ${verdict(busy("async, 1.5 x"), 0.95, "at least")}`,
  `async, 12 in flight / undici with 12:    ${verdict(busy("async, 1.5 x") / busy("undici, 12 in flight"), 0.95, "at least")}`
])
