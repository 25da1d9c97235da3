/**
 * HDFS through WebHDFS, this client against curl doing the same requests on the same cluster, which is started here: three
 * DataNodes, one replica, blocks of 128 MiB. Each measurement is a process of its own (`hdfs-client.ts` over the built
 * packages, as its users run it); the two take turns in each round. What comes out is checked before a time counts.
 *
 * `--megabytes N` (default 1024), `--rounds N` (default 3), `--no-build` for the packages as they were built last.
 */
import { HadoopCluster } from "@sluice/hdfs/testing"
import { Console, Effect, Schema } from "effect"
import { createHash, randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { median, publish, run, verdict } from "./support/bench.ts"
import { expected, type Job, operations, rangeLength, rangeOffsets } from "./support/hdfs.ts"

const option = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(name)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const rounds = option("--rounds", 3)
const mebi = 1024 * 1024
const bytes = option("--megabytes", 1024) * mebi
const file = "/bench/file"
const user = "user.name=hdfs"

const root = fileURLToPath(new URL("..", import.meta.url))
const built = join(root, ".cache/bench-hdfs")

const shell = (command: string, args: ReadonlyArray<string>) => Effect.promise(() => run(command, args))

/** The programs as JavaScript over `dist`: a user's process neither strips types nor loads sources. */
const build = Effect.gen(function* () {
  if (!process.argv.includes("--no-build")) yield* shell("npm", ["run", "-s", "build"])
  yield* Effect.sync(() => {
    Fs.mkdirSync(join(built, "support"), { recursive: true })
    for (const name of ["hdfs-client", "hdfs-parquet", "support/hdfs", "support/resident"]) {
      const source = Fs.readFileSync(new URL(`${name}.ts`, import.meta.url), "utf8")
      Fs.writeFileSync(join(built, `${name}.js`), stripTypeScriptTypes(source).replaceAll('.ts"', '.js"'))
    }
    Fs.writeFileSync(join(built, "package.json"), '{ "type": "module" }')
  })
})

const decoder = <const Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Struct(fields)))
const decodeMeasured = decoder({
  seconds: Schema.Number,
  value: Schema.Union([Schema.Number, Schema.String]),
  before: Schema.Number,
  peak: Schema.Number
})
const decodeParquet = decoder({ value: Schema.Union([Schema.Number, Schema.String]), received: Schema.Number })
const decodeLocation = decoder({ Location: Schema.String })
const decodeChecksum = decoder({ FileChecksum: Schema.Struct({ bytes: Schema.String }) })
const decodeSummary = decoder({ ContentSummary: Schema.Struct({ length: Schema.Number }) })

const check = (what: string, found: unknown, wanted: unknown) =>
  found === wanted ? Effect.void : Effect.die(`${what}: ${String(found)} instead of ${String(wanted)}`)

/** Random bytes, each mebibyte another. */
const writeLocal = (path: string) =>
  Effect.sync(() => {
    const block = randomBytes(mebi)
    const all = createHash("sha256")
    const handle = Fs.openSync(path, "w")
    for (let i = 0; i < bytes / mebi; i++) {
      block.writeUInt32BE(i)
      all.update(block)
      Fs.writeSync(handle, block)
    }
    const ranges = createHash("sha256")
    const range = Buffer.alloc(rangeLength)
    Fs.closeSync(handle)
    const again = Fs.openSync(path, "r")
    for (const offset of rangeOffsets(bytes)) {
      Fs.readSync(again, range, 0, rangeLength, offset)
      ranges.update(range)
    }
    Fs.closeSync(again)
    return { all: all.digest("hex"), ranges: ranges.digest("hex") }
  })

const main = Effect.gen(function* () {
  yield* build
  const cluster = yield* HadoopCluster.make({ replication: 1, blockSize: 128 * mebi })
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "sluice-bench-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
  )
  const local = join(folder, "data")
  const sums = yield* writeLocal(local)
  const url = (path: string, query: string) => `${cluster.url}/webhdfs/v1${path}?${query}&${user}`

  const curl = (args: ReadonlyArray<string>) => shell("curl", ["-sf", "--no-progress-meter", ...args])
  const curlMany = Effect.fnUntraced(function* (urls: ReadonlyArray<string>, args: ReadonlyArray<string>) {
    const list = join(folder, "urls")
    Fs.writeFileSync(list, urls.map((each) => `url = "${each}"\noutput = "/dev/null"\n`).join(""))
    return (yield* curl([...args, "-K", list])).seconds
  })
  const curlWrite = Effect.fnUntraced(function* (path: string) {
    const create = url(path, `op=CREATE&overwrite=true&noredirect=true&replication=1&blocksize=${128 * mebi}`)
    const located = yield* curl(["-X", "PUT", create])
    const { Location: location } = yield* decodeLocation(located.stdout)
    return located.seconds + (yield* curl(["-X", "PUT", "-T", local, location])).seconds
  })
  const stats = (concurrency: 1 | 16) =>
    Array.from({ length: operations[concurrency] }, () => url(file, "op=GETFILESTATUS"))

  const client = (job: Job, path = file) =>
    Effect.flatMap(
      shell(process.execPath, [join(built, "hdfs-client.js"), job, cluster.url, path, String(bytes), local]),
      ({ samples, stdout }) => Effect.map(decodeMeasured(stdout), (measured) => ({ ...measured, samples }))
    )
  const checksum = (path: string) =>
    Effect.flatMap(curl(["-L", url(path, "op=GETFILECHECKSUM")]), ({ stdout }) => decodeChecksum(stdout))

  yield* curlWrite(file)
  yield* check("bytes read", (yield* client("checksum")).value, sums.all)
  yield* check("ranges read", (yield* client("rangesChecksum")).value, sums.ranges)
  const stored = yield* checksum(file)

  const rows: ReadonlyArray<{
    readonly title: string
    readonly job: Job
    readonly fresh?: Job
    readonly path?: string
    readonly bar?: number
    readonly value: number
    readonly curl: Effect.Effect<number, unknown>
    readonly rate: (seconds: number) => string
  }> = [
    {
      title: `write ${bytes / mebi} MiB`,
      job: "write",
      fresh: "writeFresh",
      path: "/bench/written",
      bar: 0.9,
      value: bytes,
      curl: curlWrite("/bench/curl"),
      rate: (seconds) => `${(bytes / mebi / seconds).toFixed(0)} MiB/s`
    },
    {
      title: `read ${bytes / mebi} MiB`,
      job: "read",
      fresh: "readFresh",
      bar: 0.9,
      value: bytes,
      curl: Effect.map(curl(["-L", "-o", "/dev/null", url(file, "op=OPEN")]), ({ seconds }) => seconds),
      rate: (seconds) => `${(bytes / mebi / seconds).toFixed(0)} MiB/s`
    },
    {
      title: "64 ranged reads of 1 MiB at once",
      job: "ranges",
      value: 64 * rangeLength,
      curl: curlMany(
        rangeOffsets(bytes).map((offset) => url(file, `op=OPEN&offset=${offset}&length=${rangeLength}`)),
        ["-L", "--parallel", "--parallel-immediate", "--parallel-max", "64"]
      ),
      rate: (seconds) => `${(64 / seconds).toFixed(0)} MiB/s`
    },
    {
      title: "GETFILESTATUS, kept connection",
      job: "stat",
      value: operations[1],
      curl: curlMany(stats(1), []),
      rate: (seconds) => `${(operations[1] / seconds).toFixed(0)} op/s`
    },
    {
      title: "GETFILESTATUS, 16 at a time",
      job: "stat16",
      value: operations[16],
      curl: curlMany(stats(16), ["--parallel", "--parallel-immediate", "--parallel-max", "16"]),
      rate: (seconds) => `${(operations[16] / seconds).toFixed(0)} op/s`
    }
  ]

  const lines: Array<string> = []
  const say = (line: string) =>
    Effect.andThen(
      Console.error(line),
      Effect.sync(() => lines.push(line))
    )
  const mega = (count: number) => `${(count / 1e6).toFixed(0)} MB`
  for (const row of rows) {
    const theirs: Array<number> = []
    const ours: Array<number> = []
    let before = 0
    let peak = 0
    let half: readonly [number, number] = [0, 0]
    for (let round = 0; round < rounds; round++) {
      theirs.push(yield* row.curl)
      const measured = yield* client(row.job, row.path)
      yield* check(row.title, measured.value, row.value)
      if (row.path !== undefined)
        yield* check(row.path, (yield* checksum(row.path)).FileChecksum.bytes, stored.FileChecksum.bytes)
      ours.push(measured.seconds)
      before = Math.max(before, measured.before)
      peak = Math.max(peak, measured.peak)
      const middle = Math.floor(measured.samples.length / 2)
      half = [Math.max(...measured.samples.slice(0, middle)), Math.max(...measured.samples.slice(middle))]
    }
    const ratio = median(theirs) / median(ours)
    yield* say(
      `${row.title}: curl ${row.rate(median(theirs))}, sluice ${row.rate(median(ours))}; sluice / curl ` +
        (row.bar === undefined ? ratio.toFixed(2) : verdict(ratio, row.bar, "at least"))
    )
    if (row.fresh === undefined) {
      yield* say(`  resident: ${mega(before)} before, at most ${mega(peak)}`)
    } else {
      yield* say(
        `  resident, MB: ${verdict(peak / 1e6, 150, "at most")}; ${mega(before)} before; at most ${mega(half[0])} in the first ` +
          `half and ${mega(half[1])} in the second; ${mega((yield* client(row.fresh, row.path)).peak)} with fresh memory for each chunk`
      )
    }
  }
  yield* say(`  seconds of each process: curl's with its start, ours without Node's; medians of ${rounds} rounds`)

  const parquet = (job: "write" | "read") =>
    Effect.flatMap(shell(process.execPath, [join(built, "hdfs-parquet.js"), job, cluster.url]), ({ stdout }) =>
      decodeParquet(stdout)
    )
  yield* parquet("write")
  const summary = yield* curl([url("/bench/table", "op=GETCONTENTSUMMARY")])
  const size = (yield* decodeSummary(summary.stdout)).ContentSummary.length
  const { received, value } = yield* parquet("read")
  yield* check("the sums of two columns", value, expected())
  yield* say(
    `2 of 20 Parquet columns: ${mega(received)} of ${mega(size)} came over the sockets, share ` +
      verdict(received / size, 0.15, "at most")
  )
  yield* Effect.sync(() => publish("hdfs", lines))
}).pipe(Effect.scoped)

await Effect.runPromise(main)
