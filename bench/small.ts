/**
 * What a partition costs that has next to nothing in it: the rows of 100,000 empty partitions, and of 20,000 files of one line each,
 * counted. Each is a process of its own; the time is that of the action, without the start of Node. The counts are checked before a
 * time counts.
 *
 * `--rounds N` (default 5). Exits with 3 if the machine was not idle.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { median, node, publish, verdict } from "./support/bench.ts"
import { alone } from "./support/idle.ts"

const at = process.argv.indexOf("--rounds")
const rounds = at < 0 ? 5 : Number(process.argv[at + 1])
const program = fileURLToPath(new URL("support/small.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))

interface Work {
  readonly name: string
  readonly args: ReadonlyArray<string>
  readonly partitions: number
  readonly rows: number
  /** Seconds. */
  readonly bar: number
}

const partitions = 100_000
const files = 20_000
const works: ReadonlyArray<Work> = [
  { name: "empty partitions", args: ["partitions", String(partitions)], partitions, rows: 0, bar: 2 },
  { name: "files of one row", args: ["folder", folder], partitions: files, rows: files, bar: 3 }
]

interface Times {
  readonly work: Work
  readonly seconds: Array<number>
  readonly cpu: Array<number>
  peak: number
}

const measure = async (): Promise<ReadonlyArray<Times>> => {
  const all = works.map((work): Times => ({ work, seconds: [], cpu: [], peak: 0 }))
  for (let round = 0; round <= rounds; round++) {
    for (const times of all) {
      const { args, name, rows } = times.work
      const { cpuSeconds, peakBytes, stdout } = await node(program, args)
      const { count, seconds }: { readonly count: number; readonly seconds: number } = JSON.parse(stdout)
      if (count !== rows) throw new Error(`${name}: ${count} rows, and there are ${rows}`)
      if (round === 0) continue
      times.seconds.push(seconds)
      times.cpu.push(cpuSeconds)
      times.peak = Math.max(times.peak, peakBytes)
    }
  }
  return all
}

try {
  for (let n = 0; n < files; n++) writeFileSync(join(folder, `${String(n).padStart(6, "0")}.txt`), `row ${n}\n`)
  const { load, result } = await alone(measure)
  publish("small", [
    `rows counted, ${rounds} rounds in turn after one that warms up; a process each, the time of the action`,
    load,
    "",
    ...result.map(({ cpu, peak, seconds, work }) => {
      const each = (median(seconds) / work.partitions) * 1e6
      return `${work.partitions.toLocaleString("en-US").padStart(7)} ${work.name}: ${median(seconds).toFixed(2)} s, ${each.toFixed(0)} us each; ${median(cpu).toFixed(2)} CPU s and ${(peak / 1e6).toFixed(0)} MB with the start`
    }),
    "",
    ...result.map(({ seconds, work }) => `${work.name}, seconds: ${verdict(median(seconds), work.bar, "at most")}`)
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
