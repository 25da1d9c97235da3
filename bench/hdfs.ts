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

/** Random bytes; every mebibyte is different. */
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

/**
 * What the measurements use: a cluster, a file of random bytes in a folder of this machine, and the sums to compare.
 */
interface Given {
  readonly cluster: HadoopCluster.HadoopCluster
  readonly folder: string
  readonly local: string
  readonly sums: { readonly all: string; readonly ranges: string }
}

const prepare = Effect.gen(function* () {
  yield* build
  const cluster = yield* HadoopCluster.make({ replication: 1, blockSize: 128 * mebi })
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "sluice-bench-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
  )
  const local = join(folder, "data")
  return { cluster, folder, local, sums: yield* writeLocal(local) }
})

const urlOf = ({ cluster }: Given, path: string, query: string) => `${cluster.url}/webhdfs/v1${path}?${query}&${user}`

const curl = (args: ReadonlyArray<string>) => shell("curl", ["-sf", "--no-progress-meter", ...args])

const curlMany = Effect.fnUntraced(function* (
  { folder }: Given,
  urls: ReadonlyArray<string>,
  args: ReadonlyArray<string>
) {
  const list = join(folder, "urls")
  Fs.writeFileSync(list, urls.map((each) => `url = "${each}"\noutput = "/dev/null"\n`).join(""))
  return (yield* curl([...args, "-K", list])).seconds
})

const curlWrite = Effect.fnUntraced(function* (given: Given, path: string) {
  const create = `op=CREATE&overwrite=true&noredirect=true&replication=1&blocksize=${128 * mebi}`
  const located = yield* curl(["-X", "PUT", urlOf(given, path, create)])
  const { Location: location } = yield* decodeLocation(located.stdout)
  return located.seconds + (yield* curl(["-X", "PUT", "-T", given.local, location])).seconds
})

const client = ({ cluster, local }: Given, job: Job, path = file) =>
  Effect.flatMap(
    shell(process.execPath, [join(built, "hdfs-client.js"), job, cluster.url, path, String(bytes), local]),
    ({ samples, stdout }) => Effect.map(decodeMeasured(stdout), (measured) => ({ ...measured, samples }))
  )

const checksum = (given: Given, path: string) =>
  Effect.flatMap(curl(["-L", urlOf(given, path, "op=GETFILECHECKSUM")]), ({ stdout }) => decodeChecksum(stdout))

/** One comparison. */
interface Row {
  readonly title: string
  readonly job: Job
  /** The same with fresh memory for each chunk. */
  readonly fresh?: Job
  /** The written file, whose checksum is compared. */
  readonly path?: string
  readonly bar?: number
  readonly value: number
  readonly curl: Effect.Effect<number, unknown>
  readonly rate: (seconds: number) => string
}

const megaRate = (amount: number) => (seconds: number) => `${(amount / seconds).toFixed(0)} MiB/s`
const operationRate = (amount: number) => (seconds: number) => `${(amount / seconds).toFixed(0)} op/s`

/** One large file at a time. */
const fileRows = (given: Given): ReadonlyArray<Row> => [
  {
    title: `write ${bytes / mebi} MiB`,
    job: "write",
    fresh: "writeFresh",
    path: "/bench/written",
    bar: 0.9,
    value: bytes,
    curl: curlWrite(given, "/bench/curl"),
    rate: megaRate(bytes / mebi)
  },
  {
    title: `read ${bytes / mebi} MiB`,
    job: "read",
    fresh: "readFresh",
    bar: 0.9,
    value: bytes,
    curl: Effect.map(curl(["-L", "-o", "/dev/null", urlOf(given, file, "op=OPEN")]), ({ seconds }) => seconds),
    rate: megaRate(bytes / mebi)
  }
]

/** Many small requests. */
const requestRows = (given: Given): ReadonlyArray<Row> => {
  const url = (query: string) => urlOf(given, file, query)
  const stats = (concurrency: 1 | 16) => Array.from({ length: operations[concurrency] }, () => url("op=GETFILESTATUS"))
  const parallel = (most: number) => ["--parallel", "--parallel-immediate", "--parallel-max", String(most)]
  return [
    {
      title: "64 ranged reads of 1 MiB at once",
      job: "ranges",
      value: 64 * rangeLength,
      curl: curlMany(
        given,
        rangeOffsets(bytes).map((offset) => url(`op=OPEN&offset=${offset}&length=${rangeLength}`)),
        ["-L", ...parallel(64)]
      ),
      rate: megaRate(64)
    },
    {
      title: "GETFILESTATUS, kept connection",
      job: "stat",
      value: operations[1],
      curl: curlMany(given, stats(1), []),
      rate: operationRate(operations[1])
    },
    {
      title: "GETFILESTATUS, 16 at a time",
      job: "stat16",
      value: operations[16],
      curl: curlMany(given, stats(16), parallel(16)),
      rate: operationRate(operations[16])
    }
  ]
}

const mega = (count: number) => `${(count / 1e6).toFixed(0)} MB`

/** A comparison in rounds, the two sides in turn; yields its lines. */
const compare = Effect.fnUntraced(function* (given: Given, row: Row, stored: string) {
  const theirs: Array<number> = []
  const ours: Array<number> = []
  let before = 0
  let peak = 0
  let half: readonly [number, number] = [0, 0]
  for (let round = 0; round < rounds; round++) {
    theirs.push(yield* row.curl)
    const measured = yield* client(given, row.job, row.path)
    yield* check(row.title, measured.value, row.value)
    if (row.path !== undefined) {
      yield* check(row.path, (yield* checksum(given, row.path)).FileChecksum.bytes, stored)
    }
    ours.push(measured.seconds)
    before = Math.max(before, measured.before)
    peak = Math.max(peak, measured.peak)
    const middle = Math.floor(measured.samples.length / 2)
    half = [Math.max(...measured.samples.slice(0, middle)), Math.max(...measured.samples.slice(middle))]
  }
  const ratio = median(theirs) / median(ours)
  const speed =
    `${row.title}: curl ${row.rate(median(theirs))}, sluice ${row.rate(median(ours))}; sluice / curl ` +
    (row.bar === undefined ? ratio.toFixed(2) : verdict(ratio, row.bar, "at least"))
  if (row.fresh === undefined) return [speed, `  resident: ${mega(before)} before, at most ${mega(peak)}`]
  const fresh = yield* client(given, row.fresh, row.path)
  return [
    speed,
    `  resident, MB: ${verdict(peak / 1e6, 150, "at most")}; ${mega(before)} before; at most ${mega(half[0])} in the first ` +
      `half and ${mega(half[1])} in the second; ${mega(fresh.peak)} with fresh memory for each chunk`
  ]
})

/** How much of a table crosses the sockets when two of its columns are read. */
const pruned = Effect.fnUntraced(function* (given: Given) {
  const parquet = (job: "write" | "read") =>
    Effect.flatMap(shell(process.execPath, [join(built, "hdfs-parquet.js"), job, given.cluster.url]), ({ stdout }) =>
      decodeParquet(stdout)
    )
  yield* parquet("write")
  const summary = yield* curl([urlOf(given, "/bench/table", "op=GETCONTENTSUMMARY")])
  const size = (yield* decodeSummary(summary.stdout)).ContentSummary.length
  const { received, value } = yield* parquet("read")
  yield* check("the sums of two columns", value, expected())
  return (
    `2 of 20 Parquet columns: ${mega(received)} of ${mega(size)} came over the sockets, share ` +
    verdict(received / size, 0.15, "at most")
  )
})

const main = Effect.gen(function* () {
  const given = yield* prepare
  yield* curlWrite(given, file)
  yield* check("bytes read", (yield* client(given, "checksum")).value, given.sums.all)
  yield* check("ranges read", (yield* client(given, "rangesChecksum")).value, given.sums.ranges)
  const stored = (yield* checksum(given, file)).FileChecksum.bytes

  const lines: Array<string> = []
  const say = Effect.fnUntraced(function* (line: string) {
    yield* Console.error(line)
    lines.push(line)
  })
  for (const row of [...fileRows(given), ...requestRows(given)]) {
    yield* Effect.forEach(yield* compare(given, row, stored), say)
  }
  yield* say(`  seconds of each process: curl's with its start, ours without Node's; medians of ${rounds} rounds`)
  yield* say(yield* pruned(given))
  yield* Effect.sync(() => publish("hdfs", lines))
}).pipe(Effect.scoped)

await Effect.runPromise(main)
