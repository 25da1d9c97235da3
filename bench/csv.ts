/**
 * CSV as whole processes: a million rows of four columns, 26 MB, read by a schema and added up. Compared with the
 * parser uDSV alone, which makes strings and numbers from the same cells, and with DuckDB on one thread. The sums of
 * all three must be equal before a time counts.
 *
 * Needs `bench/rivals/setup.sh` once (python3). `--rounds N` (default 5), `--rows N`. Exits with 3 if the machine was
 * not idle.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { median, node, type Process, publish, run, verdict } from "./support/bench.ts"
import { alone } from "./support/idle.ts"

const option = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(name)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const rounds = option("--rounds", 5)
const rows = option("--rows", 1_000_000)
const bar = 1.2
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const countries = ["DE", "FR", "IT", "PL", "ES"]

const line = (id: number): string =>
  `${id},name ${(id * 31) % 9973},${(((id * 7919) % 100_000) / 100).toFixed(2)},${countries[id % countries.length] ?? ""}\n`

const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))
const input = join(folder, "rows.csv")

const contenders: ReadonlyArray<readonly [name: string, run: () => Promise<Process>]> = [
  ["sluice", () => node(here("support/csv.ts"), [input])],
  ["udsv", () => node(here("rivals/script/csv-udsv.ts"), [input])],
  ["duckdb", () => run(here(".venv/bin/python"), [here("rivals/script/csv-duckdb.py"), input])]
]

/** The processes of each contender, in turn, after one round whose answers are compared. */
const measure = async (): Promise<ReadonlyMap<string, ReadonlyArray<Process>>> => {
  const answers = new Set<string>()
  const times = new Map<string, Array<Process>>(contenders.map(([name]) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, contender] of contenders) {
      const process = await contender()
      if (round > 0) times.get(name)?.push(process)
      else answers.add(process.stdout.trim())
    }
  }
  if (answers.size !== 1) throw new Error(`the answers differ: ${[...answers].join(" | ")}`)
  return times
}

try {
  writeFileSync(input, ["id,name,amount,country\n", ...Array.from({ length: rows }, (_, id) => line(id))].join(""))
  const { load, result } = await alone(measure)
  const cpu = (name: string) => median((result.get(name) ?? []).map((process) => process.cpuSeconds))
  publish("csv", [
    `${rows.toLocaleString("en-US")} rows of 4 columns, ${(statSync(input).size / 1e6).toFixed(0)} MB; whole processes, ${rounds} rounds in turn after one that warms up; answers equal`,
    load,
    "",
    `${"".padEnd(10)}${"CPU s".padStart(8)}${"wall s".padStart(8)}${"peak MB".padStart(10)}`,
    ...Array.from(result, ([name, processes]) => {
      const peak = Math.max(...processes.map((process) => process.peakBytes)) / 1e6
      const wall = median(processes.map((process) => process.seconds))
      return (
        name.padEnd(10) + cpu(name).toFixed(2).padStart(8) + wall.toFixed(2).padStart(8) + peak.toFixed(0).padStart(10)
      )
    }),
    "",
    `CPU seconds of sluice: ${verdict(cpu("sluice"), bar, "at most")}`
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
