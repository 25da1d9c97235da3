/**
 * The first example as whole processes, side by side with Spark (`local[2]`): 2.28 million lines of text, 219 MB in eight files made by
 * a seeded generator, to Parquet rows of a line and its score. What both wrote must be equal, row by row, before a time counts.
 * Sluice, but not Spark, reads its output again and finds the line with the highest score; that is in its time.
 *
 * Needs `bench/rivals/setup.sh` once (python3, JDK 17). `--rounds N` (default 3), `--lines N`, `--no-spark`. Ends with 3 where the
 * machine was not idle.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { example, median, type Process, publish, run, verdict } from "./support/bench.ts"
import { alone } from "./support/idle.ts"

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const option = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(name)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const rounds = option("--rounds", 3)
const lines = option("--lines", 2_280_000)
const python = here(".venv/bin/python")
const bars = { spark: 0.55, peakMB: 450 }

if (!existsSync(python)) throw new Error("run bench/rivals/setup.sh first")

const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))
const input = join(folder, "text")

const contenders: Array<readonly [name: string, run: (output: string) => Promise<Process>]> = [
  ["sluice", (output) => example("01_letters.ts", ["--input", input, "--output", output])]
]
if (!process.argv.includes("--no-spark")) {
  contenders.push(["spark", (output) => run(here("rivals/spark/run.sh"), ["Letters", input, output])])
}

/** Rows, and a checksum of the rows whatever their order. */
const check = async (output: string): Promise<string> => {
  const code = [
    "import duckdb, sys",
    "rows = f\"read_parquet('{sys.argv[1]}/*.parquet')\"",
    "print(*duckdb.execute(f'select count(*), sum(hash(text, score)::hugeint) from {rows}').fetchone())"
  ].join("\n")
  return (await run(python, ["-c", code, output])).stdout.trim()
}

/** The processes of each contender, in turn, after one round whose output is compared. */
const measure = async (): Promise<ReadonlyMap<string, ReadonlyArray<Process>>> => {
  const answers = new Set<string>()
  const times = new Map<string, Array<Process>>(contenders.map(([name]) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, contender] of contenders) {
      const output = join(folder, `${name}-${round}`)
      const process = await contender(output)
      if (round > 0) times.get(name)?.push(process)
      else answers.add(await check(output))
      rmSync(output, { recursive: true, force: true })
    }
  }
  if (answers.size !== 1) throw new Error(`the answers differ: ${[...answers].join(" | ")}`)
  return times
}

const peakMB = (processes: ReadonlyArray<Process>): number =>
  Math.max(...processes.map((process) => process.peakBytes)) / 1e6

try {
  await run("python3", [here("rivals/make-text.py"), input, "--lines", String(lines)])
  const { load, result } = await alone(measure)
  const of = (name: string) => result.get(name) ?? []
  const ratio = median(of("sluice").map((process, i) => process.seconds / (of("spark")[i]?.seconds ?? Number.NaN)))
  publish("letters", [
    `${lines.toLocaleString("en-US")} lines of text in 8 files to Parquet rows; whole processes, ${rounds} rounds in turn after one that warms up; outputs equal`,
    load,
    "",
    `${"".padEnd(10)}${"median s".padStart(10)}${"min".padStart(8)}${"max".padStart(8)}${"CPU s".padStart(8)}${"peak MB".padStart(10)}`,
    ...Array.from(result, ([name, processes]) => {
      const seconds = processes.map((process) => process.seconds)
      const shown = [median(seconds), Math.min(...seconds), Math.max(...seconds)].map((value) => value.toFixed(2))
      const [middle = "", least = "", most = ""] = shown
      const cpu = median(processes.map((process) => process.cpuSeconds))
      return (
        name.padEnd(10) +
        middle.padStart(10) +
        least.padStart(8) +
        most.padStart(8) +
        cpu.toFixed(2).padStart(8) +
        peakMB(processes).toFixed(0).padStart(10)
      )
    }),
    "",
    ...(of("spark").length === 0 ? [] : [`sluice / spark: ${verdict(ratio, bars.spark, "at most")}`]),
    `peak of sluice: ${verdict(peakMB(of("sluice")), bars.peakMB, "at most")} MB`
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
