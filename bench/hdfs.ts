/**
 * HDFS through WebHDFS, this client against curl doing the same requests on the same cluster.
 *
 * Starts a real three-DataNode cluster. `--write` stores the table in `bench/results/hdfs.md`; `--megabytes` sizes the file
 * (default 1024), `--rounds` repeats each measurement (default 3). Every measurement runs in a process of its own and the
 * two take turns, so that a noisy machine is noisy for both; the table has the medians.
 */
import * as HdfsAuth from "@sluice/hdfs/HdfsAuth"
import * as HdfsClient from "@sluice/hdfs/HdfsClient"
import * as HdfsConfig from "@sluice/hdfs/HdfsConfig"
import { HadoopCluster } from "@sluice/hdfs/testing"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Clock, Console, Effect, Layer, Schema, Stream } from "effect"
import * as ChildProcess from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const { values } = parseArgs({
  options: {
    write: { type: "boolean", default: false },
    megabytes: { type: "string", default: "1024" },
    rounds: { type: "string", default: "3" },
    worker: { type: "string" },
    url: { type: "string", default: "" },
    local: { type: "string", default: "" }
  }
})

const bytes = Number(values.megabytes) * 1024 * 1024
const ranges = 64
const rangeLength = 1024 * 1024
const operations = 2000
const file = "/bench/file"

const layer = (url: string) =>
  HdfsClient.layer.pipe(
    Layer.provide(HdfsConfig.layer({ nameNodes: [url] })),
    Layer.provide(HdfsAuth.layerSimple({ user: "hdfs" }))
  )

// One measurement of this client, in a process of its own.

const jobs: Record<string, Effect.Effect<unknown, unknown, HdfsClient.HdfsClient>> = {
  write: Effect.flatMap(HdfsClient.HdfsClient, (client) =>
    client.write(
      "/bench/written",
      NodeStream.fromReadable({ evaluate: () => Fs.createReadStream(values.local, { highWaterMark: 256 * 1024 }) }),
      { overwrite: true, replication: 1, blockSize: 128 * 1024 * 1024 }
    )
  ),
  read: Effect.flatMap(HdfsClient.HdfsClient, (client) => {
    let count = 0
    return Effect.andThen(
      Stream.runForEachArray(client.open(file), (chunks) =>
        Effect.sync(() => {
          for (const chunk of chunks) count += chunk.length
        })
      ),
      Effect.suspend(() => (count === bytes ? Effect.void : Effect.die(`${count} bytes instead of ${bytes}`)))
    )
  }),
  ranges: Effect.flatMap(HdfsClient.HdfsClient, (client) =>
    Effect.forEach(
      Array.from({ length: ranges }, (_, i) => Math.floor((bytes - rangeLength) / ranges) * i),
      (offset) => client.readRange(file, offset, rangeLength),
      { concurrency: ranges, discard: true }
    )
  ),
  metadata: Effect.flatMap(HdfsClient.HdfsClient, (client) =>
    Effect.forEach(Array.from({ length: operations }), () => client.getFileStatus(file), { discard: true })
  ),
  metadata16: Effect.flatMap(HdfsClient.HdfsClient, (client) =>
    Effect.forEach(Array.from({ length: operations }), () => client.getFileStatus(file), {
      discard: true,
      concurrency: 16
    })
  )
}

const worker = Effect.gen(function* () {
  const before = process.memoryUsage().rss / 1024 / 1024
  const started = yield* Clock.currentTimeMillis
  yield* jobs[values.worker ?? ""] ?? Effect.die("no such worker")
  const seconds = ((yield* Clock.currentTimeMillis) - started) / 1000
  yield* Console.log(JSON.stringify({ seconds, before, megabytes: process.resourceUsage().maxRSS / 1024 }))
}).pipe(Effect.provide(layer(values.url)))

// The comparison.

const Measured = Schema.fromJsonString(
  Schema.Struct({ seconds: Schema.Number, before: Schema.Number, megabytes: Schema.Number })
)

const run = (command: string, args: ReadonlyArray<string>) =>
  Effect.callback<string, string>((resume) => {
    const child = ChildProcess.spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()))
    child.on("error", (cause) => resume(Effect.fail(`${command}: ${cause.message}`)))
    child.on("close", (code) =>
      resume(code === 0 ? Effect.succeed(output) : Effect.fail(`${command} ended with ${code}`))
    )
  })

const timed = <E>(effect: Effect.Effect<unknown, E>) =>
  Effect.gen(function* () {
    const started = yield* Clock.currentTimeMillis
    yield* effect
    return ((yield* Clock.currentTimeMillis) - started) / 1000
  })

const median = (numbers: ReadonlyArray<number>) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN

const compare = Effect.gen(function* () {
  const cluster = yield* HadoopCluster.make({ replication: 1, blockSize: 128 * 1024 * 1024 })
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-bench-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
  )
  const local = Path.join(directory, "data")
  yield* Effect.sync(() => {
    const block = Crypto.randomBytes(1024 * 1024)
    const handle = Fs.openSync(local, "w")
    for (let i = 0; i < Number(values.megabytes); i++) Fs.writeSync(handle, block)
    Fs.closeSync(handle)
  })
  const base = `${cluster.url}/webhdfs/v1`
  const user = "user.name=hdfs"
  const curlWrite = (path: string) =>
    Effect.gen(function* () {
      const answer = yield* run("curl", [
        "-sf",
        "-X",
        "PUT",
        `${base}${path}?op=CREATE&overwrite=true&noredirect=true&${user}`
      ])
      const { Location } = yield* Schema.decodeEffect(
        Schema.fromJsonString(Schema.Struct({ Location: Schema.String }))
      )(answer)
      yield* run("curl", ["-sf", "-X", "PUT", "-T", local, Location])
    })
  const list = Path.join(directory, "curl.cfg")
  const config = (lines: ReadonlyArray<string>) => Effect.sync(() => Fs.writeFileSync(list, lines.join("\n")))
  const curlMetadata = (parallel: ReadonlyArray<string>) =>
    Effect.andThen(
      config(
        Array.from(
          { length: operations },
          () => `url = "${base}${file}?op=GETFILESTATUS&${user}"\noutput = "/dev/null"`
        )
      ),
      run("curl", ["-sf", "--no-progress-meter", ...parallel, "-K", list])
    )
  const curl: Record<string, Effect.Effect<unknown, unknown>> = {
    write: curlWrite("/bench/curl"),
    read: run("curl", ["-sfL", "-o", "/dev/null", `${base}${file}?op=OPEN&${user}`]),
    ranges: Effect.andThen(
      config(
        Array.from(
          { length: ranges },
          (_, i) =>
            `url = "${base}${file}?op=OPEN&offset=${Math.floor((bytes - rangeLength) / ranges) * i}&length=${rangeLength}&${user}"\noutput = "/dev/null"`
        )
      ),
      run("curl", ["-sfL", "--no-progress-meter", "--parallel", "--parallel-max", String(ranges), "-K", list])
    ),
    metadata: curlMetadata([]),
    metadata16: curlMetadata(["--parallel", "--parallel-max", "16"])
  }
  const sluice = (job: string) =>
    run(process.execPath, [
      "--conditions=@sluice/source",
      fileURLToPath(import.meta.url),
      "--worker",
      job,
      "--url",
      cluster.url,
      "--local",
      local,
      "--megabytes",
      values.megabytes
    ]).pipe(Effect.flatMap(Schema.decodeEffect(Measured)))

  yield* curlWrite(file)
  const rows: Array<string> = []
  const titles: Record<string, (seconds: number) => string> = {
    write: (seconds) => `${(Number(values.megabytes) / seconds).toFixed(0)} MiB/s`,
    read: (seconds) => `${(Number(values.megabytes) / seconds).toFixed(0)} MiB/s`,
    ranges: (seconds) => `${((ranges * rangeLength) / 1024 / 1024 / seconds).toFixed(0)} MiB/s`,
    metadata: (seconds) => `${(operations / seconds).toFixed(0)} op/s`,
    metadata16: (seconds) => `${(operations / seconds).toFixed(0)} op/s`
  }
  const names: Record<string, string> = {
    write: `write ${values.megabytes} MiB`,
    read: `read ${values.megabytes} MiB`,
    ranges: `${ranges} ranged reads of 1 MiB at once`,
    metadata: "GETFILESTATUS, one at a time, keep-alive",
    metadata16: "GETFILESTATUS, 16 at a time"
  }
  for (const job of Object.keys(jobs)) {
    const theirs: Array<number> = []
    const ours: Array<number> = []
    let memory = 0
    let before = 0
    for (let round = 0; round < Number(values.rounds); round++) {
      theirs.push(yield* timed(curl[job] ?? Effect.void))
      const measured = yield* sluice(job)
      ours.push(measured.seconds)
      memory = Math.max(memory, measured.megabytes)
      before = Math.max(before, measured.before)
    }
    const print = titles[job] ?? String
    rows.push(
      `| ${names[job]} | ${print(median(theirs))} | ${print(median(ours))} | ${(median(theirs) / median(ours)).toFixed(2)} | ${before.toFixed(0)} MB | ${memory.toFixed(0)} MB |`
    )
    yield* Console.log(rows.at(-1))
  }
  const table = [
    "# HDFS through WebHDFS, against curl",
    "",
    `${new Date(yield* Clock.currentTimeMillis).toISOString().slice(0, 10)}, ${Os.cpus().length} cores (${Os.cpus()[0]?.model.trim()}), Node ${process.version}, ` +
      `Hadoop 3.5.0, three DataNodes, client and cluster on one machine, replication 1, medians of ${values.rounds} rounds.`,
    "",
    "| job | curl | sluice | sluice / curl | resident before the job | most resident |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
    "",
    "curl's time includes starting its process, ours does not include starting Node. Run: `npm run bench:hdfs -- --write`.",
    ""
  ].join("\n")
  if (values.write) {
    yield* Effect.sync(() => Fs.writeFileSync(fileURLToPath(new URL("results/hdfs.md", import.meta.url)), table))
  }
}).pipe(Effect.scoped)

await Effect.runPromise(values.worker === undefined ? compare : worker)
