/**
 * Word count, group and sort as whole processes, side by side with Spark (`local[2]`): 2.28 million lines of text, 219 MB in eight
 * files made by a seeded generator. Every round of both must give the same answer: the words and their counts, the number of groups,
 * all lines in order.
 *
 * Needs `bench/rivals/setup.sh` once (python3, JDK 17). `--rounds N` (default 3), `--lines N`, `--no-spark`.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { example, median, type Process, publish, run } from "./support/bench.ts"

const rivals = (path: string) => fileURLToPath(new URL(`rivals/${path}`, import.meta.url))
const option = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(name)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const rounds = option("--rounds", 3)
const lines = option("--lines", 2_280_000)
const spark = !process.argv.includes("--no-spark")
if (spark && !existsSync(fileURLToPath(new URL(".venv/classes", import.meta.url)))) {
  throw new Error("run bench/rivals/setup.sh first")
}

const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))
const input = join(folder, "text")

const parts = (output: string): ReadonlyArray<string> =>
  readdirSync(output)
    .filter((name) => name.startsWith("part-"))
    .toSorted()
    .map((name) => readFileSync(join(output, name), "latin1"))

const digest = (text: string): string => createHash("sha256").update(text, "latin1").digest("hex").slice(0, 12)

interface Job {
  readonly name: string
  readonly file: string
  readonly rival: string
  readonly writes: boolean
  readonly answer: (process: Process, output: string) => string
}

const jobs: ReadonlyArray<Job> = [
  {
    name: "word count",
    file: "05_word-count.ts",
    rival: "WordCount",
    writes: true,
    answer: (_, output) =>
      digest(
        parts(output)
          .flatMap((part) => part.split("\n"))
          .filter(Boolean)
          .toSorted()
          .join("\n")
      )
  },
  {
    name: "group",
    file: "06_group.ts",
    rival: "Group",
    writes: false,
    answer: (process) => /groups (\d+)/.exec(process.stdout)?.[1] ?? "none"
  },
  {
    name: "sort",
    file: "07_sort.ts",
    rival: "Sort",
    writes: true,
    answer: (_, output) => digest(parts(output).join(""))
  }
]

try {
  await run("python3", [rivals("make-text.py"), input, "--lines", String(lines)])
  const rows: Array<string> = []
  for (const job of jobs) {
    const ours: Array<Process> = []
    const theirs: Array<Process> = []
    const answers = new Set<string>()
    for (let round = 0; round < rounds; round++) {
      const output = join(folder, `sluice-${round}`)
      const process = await example(job.file, ["--input", input, ...(job.writes ? ["--output", output] : [])])
      ours.push(process)
      answers.add(job.answer(process, output))
      rmSync(output, { recursive: true, force: true })
      if (!spark) continue
      const rival = join(folder, `spark-${round}`)
      const other = await run(rivals("spark/run.sh"), [job.rival, input, rival])
      theirs.push(other)
      answers.add(job.answer(other, join(rival, "run-0")))
      rmSync(rival, { recursive: true, force: true })
    }
    if (answers.size !== 1) throw new Error(`the answers to ${job.name} differ: ${[...answers].join(" | ")}`)
    const seconds = (processes: ReadonlyArray<Process>) => processes.map((process) => process.seconds)
    const show = (values: ReadonlyArray<number>) =>
      median(values).toFixed(2).padStart(9) +
      Math.min(...values)
        .toFixed(2)
        .padStart(8) +
      Math.max(...values)
        .toFixed(2)
        .padStart(8)
    const ratio = median(ours.map((process, round) => process.seconds / (theirs[round]?.seconds ?? Number.NaN)))
    rows.push(
      job.name.padEnd(12) +
        show(seconds(ours)) +
        `${(Math.max(...ours.map((process) => process.peakBytes)) / 1e6).toFixed(0)} MB`.padStart(10) +
        (spark ? show(seconds(theirs)) + ratio.toFixed(2).padStart(9) : "")
    )
  }
  publish("shuffle", [
    `${lines.toLocaleString("en-US")} lines of text in 8 files; whole processes, ${rounds} rounds in turn; answers equal`,
    "",
    `${"".padEnd(12)}${"sluice s".padStart(9)}${"min".padStart(8)}${"max".padStart(8)}${"peak".padStart(10)}` +
      (spark ? `${"spark s".padStart(9)}${"min".padStart(8)}${"max".padStart(8)}${"ratio".padStart(9)}` : ""),
    ...rows
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
