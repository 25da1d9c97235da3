/**
 * What a request costs the client: `Scorer.score` compared with undici's own `request`, which is about the least that a
 * HTTP client for Node can do, and with `wrk`, a client in C. All send the same 1,000 rows of 100 floats to the same nginx
 * and uwsgi with a trivial model, on the same cores, each as a process of its own and in turn. A fourth client writes bytes
 * made beforehand to sockets and counts those that come back: that is Node without HTTP, and most of it is the kernel.
 *
 * Needs nginx, uwsgi and Flask, and `wrk`. `--rounds N` (default 3), `--seconds N` per client and round (default 4). Ends
 * with 3 if the machine was not idle.
 */
import { NodeServices } from "@effect/platform-node"
import * as Undici from "@effect/platform-node/Undici"
import { Batch, Scorer } from "@sluice/scoring"
import { Effect, Schema } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { synthetic } from "../examples/model-service/Model.ts"
import * as RealStack from "../examples/model-service/RealStack.ts"
import { median, publish, run, verdict } from "./support/bench.ts"
import { alone } from "./support/idle.ts"

const rows = 1000
const features = 100
const values = new Float32Array(rows * features)

const option = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(name)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const rounds = option("--rounds", 3)
const seconds = option("--seconds", 4)

/** The result of a client after its time. */
const Cost = Schema.Struct({ requests: Schema.Int, seconds: Schema.Finite, cpuSeconds: Schema.Finite })
type Cost = typeof Cost.Type

/** Calls `again` until the time is over, and returns the cost; a second beforehand warms up. */
const measured = async (load: (more: () => boolean) => Promise<void>): Promise<Cost> => {
  const until = (end: number) => () => performance.now() < end
  await load(until(performance.now() + 1000))
  const cpu = process.cpuUsage()
  const start = performance.now()
  const more = until(start + 1000 * seconds)
  let requests = 0
  await load(() => {
    const goesOn = more()
    if (goesOn) requests++
    return goesOn
  })
  const used = process.cpuUsage(cpu)
  return { requests, seconds: (performance.now() - start) / 1000, cpuSeconds: (used.user + used.system) / 1e6 }
}

const workers = (connections: number, worker: () => Promise<void>) =>
  Promise.all(Array.from({ length: connections }, worker)).then(() => {})

const undici = async (endpoint: string, connections: number): Promise<Cost> => {
  const agent = new Undici.Agent({ connections, pipelining: 1 })
  const { origin, pathname: path } = new URL(endpoint)
  const body = new Uint8Array(values.buffer)
  const headers = { "content-type": "application/octet-stream" }
  const cost = await measured((more) =>
    workers(connections, async () => {
      while (more()) {
        const answer = await agent.request({ origin, path, method: "PUT", headers, body })
        if ((await answer.body.arrayBuffer()).byteLength !== rows * 4) throw new Error("short answer")
      }
    })
  )
  await agent.close()
  return cost
}

/** Node without HTTP: what is sent is one buffer, and an answer is over when a head and the scores have come. */
const socket = async (endpoint: string, connections: number): Promise<Cost> => {
  const { host, hostname, pathname, port } = new URL(endpoint)
  const head = `PUT ${pathname} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/octet-stream\r\n`
  const bytes = Buffer.concat([
    Buffer.from(`${head}content-length: ${values.byteLength}\r\n\r\n`),
    new Uint8Array(values.buffer)
  ])
  const buffer = Buffer.allocUnsafeSlow(64 * 1024)
  const open = Array.from({ length: connections }, () => {
    let left = 0
    let answered = () => {}
    const callback = (length: number): boolean => {
      if (left === 0) {
        if (buffer.toString("latin1", 0, 12) !== "HTTP/1.1 200") throw new Error("no scores")
        left = buffer.indexOf("\r\n\r\n") + 4 + rows * 4
      }
      left -= length
      if (left === 0) answered()
      return true
    }
    const connection = Net.connect({ host: hostname, port: Number(port), noDelay: true, onread: { buffer, callback } })
    const ask = () =>
      new Promise<void>((resolve) => {
        answered = resolve
        connection.write(bytes)
      })
    return { ask, connection }
  })
  const cost = await measured((more) =>
    Promise.all(
      open.map(async ({ ask }) => {
        while (more()) await ask()
      })
    ).then(() => {})
  )
  for (const { connection } of open) connection.destroy()
  return cost
}

const scorer = (endpoint: string, connections: number): Promise<Cost> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const { score } = yield* Scorer.make({ endpoints: [endpoint], concurrency: connections })
        const batch = Batch.make(values, features)
        return yield* Effect.promise(() =>
          measured((more) =>
            workers(connections, () =>
              Effect.runPromise(Effect.whileLoop({ while: more, body: () => score(batch), step: () => {} }))
            )
          )
        )
      })
    )
  )

const clients = { undici, scorer, socket }

/** A client in a separate process. */
const client = async (name: keyof typeof clients, endpoint: string, connections: number): Promise<Cost> => {
  const args = ["--conditions=@sluice/source", import.meta.filename, "client", name, endpoint, String(connections)]
  const { stdout } = await run(process.execPath, [...args, "--seconds", String(seconds)])
  return Schema.decodeUnknownSync(Schema.fromJsonString(Cost))(stdout)
}

const wrk = async (folder: string, endpoint: string, connections: number): Promise<Cost> => {
  const script = join(folder, "put.lua")
  writeFileSync(
    script,
    `wrk.method = "PUT"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("\\0", ${values.byteLength})
done = function(summary) io.write(string.format("%d %d %d\\n", summary.requests, summary.duration, summary.errors.status)) end
`
  )
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", script, endpoint]
  const { cpuSeconds, stdout } = await run("wrk", args)
  const [requests, micros, errors] = stdout.trim().split("\n").at(-1)?.split(" ").map(Number) ?? []
  if (errors !== 0) throw new Error(`wrk: ${stdout}`)
  return Schema.decodeUnknownSync(Cost)({ requests, seconds: Number(micros) / 1e6, cpuSeconds })
}

const perRequest = ({ cpuSeconds, requests }: Cost) => (1000 * cpuSeconds) / requests
const perSecond = ({ requests, seconds }: Cost) => requests / seconds

const measure = async (folder: string, endpoint: string) => {
  const contenders = {
    sluice: (connections: number) => client("scorer", endpoint, connections),
    undici: (connections: number) => client("undici", endpoint, connections),
    sockets: (connections: number) => client("socket", endpoint, connections),
    wrk: (connections: number) => wrk(folder, endpoint, connections)
  }
  const lines: Array<string> = []
  const verdicts: Array<string> = []
  for (const connections of [8, 12, 16]) {
    const costs = {
      sluice: new Array<Cost>(),
      undici: new Array<Cost>(),
      sockets: new Array<Cost>(),
      wrk: new Array<Cost>()
    }
    for (let round = 0; round < rounds; round++) {
      costs.sluice.push(await contenders.sluice(connections))
      costs.undici.push(await contenders.undici(connections))
      costs.sockets.push(await contenders.sockets(connections))
      costs.wrk.push(await contenders.wrk(connections))
    }
    for (const [name, all] of Object.entries(costs)) {
      lines.push(
        `${connections} connections, ${name}`.padEnd(26) +
          median(all.map(perSecond)).toFixed(0).padStart(12) +
          median(all.map(perRequest)).toFixed(3).padStart(22)
      )
    }
    const ratio = (of: (cost: Cost) => number, rival: ReadonlyArray<Cost>) =>
      median(
        costs.sluice.map((cost, round) => of(cost) / rival.slice(round, round + 1).reduce((_, other) => of(other), NaN))
      )
    verdicts.push(
      `${connections} connections, CPU, sluice / undici.request: ${verdict(ratio(perRequest, costs.undici), 1.3, "at most")}`,
      `${connections} connections, requests/s, sluice / wrk:     ${verdict(ratio(perSecond, costs.wrk), 0.95, "at least")}`
    )
  }
  return { lines, verdicts }
}

const main = async (folder: string, endpoint: string) => {
  const { load, result } = await alone(() => measure(folder, endpoint))
  publish("request", [
    `${rows.toLocaleString("en-US")} rows x ${features} floats per request, nginx + uwsgi (2 processes) on the same machine`,
    `${rounds} rounds of ${seconds} s in turn; medians`,
    load,
    "",
    `${"".padEnd(26)}${"requests/s".padStart(12)}${"ms CPU per request".padStart(22)}`,
    ...result.lines,
    "",
    ...result.verdicts
  ])
}

const isClient = (name: string | undefined): name is keyof typeof clients => name !== undefined && name in clients

const [, , mode, name, endpoint, connections] = process.argv
if (mode === "client" && isClient(name) && endpoint !== undefined) {
  console.log(JSON.stringify(await clients[name](endpoint, Number(connections))))
} else {
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))
  const model = join(folder, "model.json")
  writeFileSync(model, JSON.stringify(synthetic(features)))
  try {
    await Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(RealStack.make({ model, processes: 2 }), ({ endpoint }) =>
          Effect.promise(() => main(folder, endpoint))
        )
      ).pipe(Effect.provide(NodeServices.layer))
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
