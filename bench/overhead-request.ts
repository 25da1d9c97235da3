/**
 * What the scorer costs the client per request: CPU and wall time of `Scorer.score` beside undici's own `request`, which is
 * about the least a JavaScript client can do. The service is another process and does nothing but answer.
 *
 * `node --conditions=@sluice/source bench/overhead-request.ts [rows] [features] [requests]`
 */
import * as Undici from "@effect/platform-node/Undici"
import { Batch, Scorer } from "@sluice/scoring"
import { Effect } from "effect"
import { fork } from "node:child_process"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { availableParallelism } from "node:os"

const [rows = 1000, features = 100, requests = 2000] = process.argv.slice(2).map(Number)
const concurrency = 8
const rounds = 5

const serve = () => {
  const answer = Buffer.from(new Float32Array(Number(process.env["ROWS"])).buffer)
  const server = Http.createServer((request, response) => {
    request.resume()
    request.on("end", () => response.writeHead(200, { "content-length": answer.length }).end(answer))
  })
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port))
  process.on("disconnect", () => process.exit())
}

interface Cost {
  readonly cpu: number
  readonly wall: number
}

const measure = async (run: () => Promise<void>): Promise<Cost> => {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await run()
  const used = process.cpuUsage(cpu)
  return { cpu: (used.user + used.system) / 1000 / requests, wall: (performance.now() - start) / requests }
}

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

const main = async () => {
  const service = fork(import.meta.filename, [], { env: { ...process.env, SERVE: "1", ROWS: String(rows) } })
  const port = await new Promise<number>((resume) => service.once("message", (message) => resume(Number(message))))
  const origin = `http://127.0.0.1:${port}`
  const values = new Float32Array(rows * features)
  const batch = Batch.make(values, features)
  const body = new Uint8Array(values.buffer)

  const agent = new Undici.Agent({ connections: concurrency, pipelining: 1 })
  const undici = async () => {
    let left = requests
    const worker = async () => {
      while (left-- > 0) {
        const answer = await agent.request({ origin, path: "/score", method: "PUT", body })
        if ((await answer.body.arrayBuffer()).byteLength !== rows * 4) throw new Error("short answer")
      }
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
  }

  const program = Effect.gen(function* () {
    const scorer = yield* Scorer.make({ endpoints: [`${origin}/score`], concurrency })
    const scorers = Effect.forEach(Array.from({ length: requests }), () => scorer.score(batch), {
      concurrency,
      discard: true
    })
    const costs: { readonly undici: Array<Cost>; readonly scorer: Array<Cost> } = { undici: [], scorer: [] }
    for (let round = 0; round <= rounds; round++) {
      const a = yield* Effect.promise(() => measure(undici))
      const b = yield* Effect.promise(() => measure(() => Effect.runPromise(scorers)))
      // The first round warms up.
      if (round > 0) {
        costs.undici.push(a)
        costs.scorer.push(b)
      }
    }
    return costs
  })
  const costs = await Effect.runPromise(Effect.scoped(program))
  await agent.close()
  service.disconnect()

  const show = (name: string, of: ReadonlyArray<Cost>) => {
    const cpu = median(of.map((cost) => cost.cpu))
    const wall = median(of.map((cost) => cost.wall))
    console.log(`${name.padEnd(14)} ${cpu.toFixed(3)} ms CPU  ${wall.toFixed(3)} ms wall`)
    return cpu
  }
  console.log(
    `${rows} rows x ${features} floats a request, ${requests} requests, ${concurrency} at once, median of ${rounds};` +
      ` Node ${process.versions.node}, ${availableParallelism()} processors`
  )
  const least = show("undici", costs.undici)
  const ours = show("Scorer", costs.scorer)
  console.log(`added          ${(ours - least).toFixed(3)} ms CPU per request`)
}

if (process.env["SERVE"] === "1") serve()
else await main()
