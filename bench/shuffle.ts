/**
 * Word count, group and sort as whole processes, side by side with Spark (`local[2]`): lines of text in eight files made by a seeded
 * generator, 219 MB of them, and 2 GB, for which Sluice has a heap of 512 MB. Every round of both must give the same answer: the
 * words and their counts, the number of groups, all lines in order.
 *
 * Needs `bench/rivals/setup.sh` once (python3, JDK 17). `--rounds N` (default 3), `--only 219MB` or `--only 2GB`, `--job NAME`,
 * `--no-spark`. Ends with 3 where the machine was not idle. The 2 GB take some 10 GB of the disk with the folder for temporary
 * files (`TMPDIR`).
 */
import { createHash } from "node:crypto"
import { createReadStream, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { example, median, type Process, publish, run, verdict } from "./support/bench.ts"
import { alone } from "./support/idle.ts"

const rivals = (path: string) => fileURLToPath(new URL(`rivals/${path}`, import.meta.url))
const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(name)
  return at < 0 ? undefined : process.argv[at + 1]
}
const rounds = Number(option("--rounds") ?? 3)
const spark = !process.argv.includes("--no-spark")
if (spark && !existsSync(fileURLToPath(new URL(".venv/classes", import.meta.url)))) {
  throw new Error("run bench/rivals/setup.sh first")
}

interface Size {
  readonly name: string
  readonly lines: number
  /** Megabytes of Sluice's heap, if they are limited. */
  readonly heap: number | undefined
  /** The most resident memory that Sluice should take, in megabytes. */
  readonly peak: number
}

const sizes: ReadonlyArray<Size> = [
  { name: "219MB", lines: 2_280_000, heap: undefined, peak: 650 },
  { name: "2GB", lines: 20_800_000, heap: 512, peak: 650 }
]

const partsOf = (output: string): ReadonlyArray<string> =>
  readdirSync(output)
    .filter((name) => name.startsWith("part-"))
    .toSorted()
    .map((name) => join(output, name))

/** What a job's processes print or write, briefly. */
type Answer = (process: Process, output: string) => string | Promise<string>

// The same words, in whatever order.
const words: Answer = (_, output) => {
  const lines = partsOf(output).flatMap((part) => readFileSync(part, "latin1").split("\n"))
  return createHash("sha256").update(lines.filter(Boolean).toSorted().join("\n"), "latin1").digest("hex").slice(0, 12)
}

// The same bytes, in however many files.
const bytes: Answer = async (_, output) => {
  const hash = createHash("sha256")
  for (const part of partsOf(output)) for await (const chunk of createReadStream(part)) hash.update(chunk)
  return hash.digest("hex").slice(0, 12)
}

interface Job {
  readonly name: string
  readonly file: string
  readonly rival: string
  readonly writes: boolean
  readonly answer: Answer
  /** The most of Spark's time that each size should take. */
  readonly bars: Readonly<Record<string, number>>
}

const jobs: ReadonlyArray<Job> = [
  {
    name: "word count",
    file: "05_word-count.ts",
    rival: "WordCount",
    writes: true,
    answer: words,
    bars: { "219MB": 0.38, "2GB": 0.7 }
  },
  {
    name: "group",
    file: "06_group.ts",
    rival: "Group",
    writes: false,
    answer: ({ stdout }) => /groups (\d+)/.exec(stdout)?.[1] ?? "none",
    bars: { "219MB": 0.35, "2GB": 0.7 }
  },
  {
    name: "sort",
    file: "07_sort.ts",
    rival: "Sort",
    writes: true,
    answer: bytes,
    bars: { "219MB": 0.3, "2GB": 0.7 }
  }
]

const chosen = <A extends { readonly name: string }>(all: ReadonlyArray<A>, name: string | undefined) => {
  const found = all.filter((one) => name === undefined || one.name === name)
  if (found.length === 0) throw new Error(`there is no ${String(name)}, only ${all.map((one) => one.name).join(", ")}`)
  return found
}

const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))

/** The processes of a job and of its rival, in turn; their answers are equal. */
const measure = async (job: Job, { heap, name }: Size, input: string) => {
  const ours: Array<Process> = []
  const theirs: Array<Process> = []
  const answers = new Set<string>()
  // Bundles the example if its sources have changed.
  await example(job.file, ["--help"])
  for (let round = 0; round < rounds; round++) {
    const output = join(folder, `sluice-${round}`)
    const process = await example(
      job.file,
      ["--input", input, ...(job.writes ? ["--output", output] : [])],
      heap === undefined ? [] : [`--max-old-space-size=${heap}`]
    )
    ours.push(process)
    answers.add(await job.answer(process, output))
    rmSync(output, { recursive: true, force: true })
    if (!spark) continue
    const rival = join(folder, `spark-${round}`)
    const other = await run(rivals("spark/run.sh"), [job.rival, input, rival])
    theirs.push(other)
    answers.add(await job.answer(other, join(rival, "run-0")))
    rmSync(rival, { recursive: true, force: true })
  }
  if (answers.size !== 1) throw new Error(`the answers to ${job.name} of ${name} differ: ${[...answers].join(" | ")}`)
  return { ours, theirs }
}

const cells = (values: ReadonlyArray<string>): string => values.map((value) => value.padStart(9)).join("")

const peakMB = (processes: ReadonlyArray<Process>): number =>
  Math.max(...processes.map((process) => process.peakBytes)) / 1e6

const columns = (processes: ReadonlyArray<Process>): ReadonlyArray<string> => {
  const seconds = processes.map((process) => process.seconds)
  return [
    median(seconds).toFixed(2),
    Math.min(...seconds).toFixed(2),
    Math.max(...seconds).toFixed(2),
    median(processes.map((process) => process.cpuSeconds)).toFixed(2),
    peakMB(processes).toFixed(0)
  ]
}

/** The lines about one size. */
const report = async (size: Size): Promise<ReadonlyArray<string>> => {
  const input = join(folder, `text-${size.name}`)
  await run("python3", [rivals("make-text.py"), input, "--lines", String(size.lines)])
  const rows: Array<string> = []
  const verdicts: Array<string> = []
  for (const job of chosen(jobs, option("--job"))) {
    const { ours, theirs } = await measure(job, size, input)
    rows.push(job.name.padEnd(12) + cells([...columns(ours), ...(spark ? columns(theirs) : [])]))
    const ratio = median(ours.map((process, round) => process.seconds / (theirs[round]?.seconds ?? Number.NaN)))
    const bar = job.bars[size.name]
    if (spark && bar !== undefined) verdicts.push(`${job.name} / spark: ${verdict(ratio, bar, "at most")}`)
    verdicts.push(`peak of ${job.name}: ${verdict(peakMB(ours), size.peak, "at most")} MB`)
  }
  rmSync(input, { recursive: true })
  const heap = size.heap === undefined ? "" : `; sluice in a heap of ${size.heap} MB, spark in its default`
  return [
    `${size.name}: ${size.lines.toLocaleString("en-US")} lines of text in 8 files${heap}`,
    "",
    "".padEnd(12) +
      cells([
        "sluice s",
        "min",
        "max",
        "CPU s",
        "peak MB",
        ...(spark ? ["spark s", "min", "max", "CPU s", "peak MB"] : [])
      ]),
    ...rows,
    "",
    ...verdicts,
    ""
  ]
}

try {
  const { load, result } = await alone(async () => {
    const reports: Array<ReadonlyArray<string>> = []
    for (const size of chosen(sizes, option("--only"))) reports.push(await report(size))
    return reports
  })
  publish("shuffle", [
    `whole processes, ${rounds} ${rounds === 1 ? "round" : "rounds"} in turn; answers equal`,
    load,
    "",
    ...result.flat()
  ])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
