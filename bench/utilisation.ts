/**
 * How busy each client keeps a service that takes 50 ms per request and works on 8 at once: a blocking iterator, one
 * request per partition, and `Scoring.score` with 8 and with 12 requests in flight, against the same service. The
 * service measures itself: the share of its capacity in use between the start of its first request and the end of its
 * last.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { compare } from "../examples/04_blocking-vs-async.ts"
import { publish, verdict } from "./support/bench.ts"

const rows = 400_000
const table = await Effect.runPromise(
  Effect.provide(compare({ rows, batchRows: 1000, concurrency: 8, delayMillis: 50 }), NodeServices.layer)
)
for (const way of table) if (way.scored !== rows) throw new Error(`${way.name} scored ${way.scored} of ${rows} rows`)
const busy = (name: string) => table.find((way) => way.name === name)?.utilisation ?? 0

publish("utilisation", [
  `${rows.toLocaleString("en-US")} rows, 1,000 per request; 50 ms per request, 8 at once`,
  "",
  `${"".padEnd(16)}${"seconds".padStart(9)}${"rows/s".padStart(10)}${"busy".padStart(8)}`,
  ...table.map(
    (way) =>
      way.name.padEnd(16) +
      way.seconds.toFixed(2).padStart(9) +
      String(Math.round(way.rowsPerSecond)).padStart(10) +
      way.utilisation.toFixed(3).padStart(8)
  ),
  "",
  `async, 8 in flight, busy:  ${verdict(busy("async"), 0.95, "at least")}`,
  `async, 12 in flight, busy: ${verdict(busy("async, 1.5 x"), 0.95, "at least")}`
])
