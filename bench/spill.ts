/**
 * Work that is larger than memory, in a heap of 512 MB: `groupByKey` where one key has 60 % of 8 GB, every group read as a stream, and a
 * sort of the same 8 GB into eight files. The lines come from a seeded generator, and both answers are checked: rows and checksum of
 * every key; order, rows and checksum of the sorted lines, over all files.
 *
 * `--gigabytes N` for less than 8. Needs some five times as much of the disk with the folder for temporary files (`TMPDIR`), and leaves
 * nothing there, Ctrl-C or not.
 */
import { Schema } from "effect"
import { once } from "node:events"
import {
  createReadStream,
  createWriteStream,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { finished } from "node:stream/promises"
import { fileURLToPath } from "node:url"
import { publish, run } from "./support/bench.ts"
import { hashOf, plus, Report } from "./support/spill.ts"

const HEAP = 512
const FILES = 8

const at = process.argv.indexOf("--gigabytes")
const gigabytes = at < 0 ? 8 : Number(process.argv[at + 1])
const bytes = gigabytes * 1e9
const needed = 5 * bytes
const { bavail, bsize } = statfsSync(tmpdir())
if (!(bytes > 0)) throw new Error("--gigabytes needs a number above 0")
if (bavail * bsize < needed) {
  throw new Error(`${tmpdir()} has ${((bavail * bsize) / 1e9).toFixed(0)} GB left, and this takes ${needed / 1e9}`)
}

const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"))
const abort = new AbortController()
const { signal } = abort
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => abort.abort(new Error(name)))

/** What the input holds for each key, and in all. */
interface Expected {
  readonly counts: Float64Array
  readonly checksums: Float64Array
  rows: number
  bytes: number
  checksum: number
}

const keyOf = (index: number): string => `key-${String(index).padStart(7, "0")}`

/** Writes lines of `key<TAB>words`, three in five with one key and the others with 12,500 keys per gigabyte. */
const generate = async (input: string): Promise<Expected> => {
  const keys = Math.max(1000, Math.round(12_500 * gigabytes))
  const hot = Math.floor(keys / 3)
  const expected: Expected = {
    counts: new Float64Array(keys),
    checksums: new Float64Array(keys),
    rows: 0,
    bytes: 0,
    checksum: 0
  }
  let state = 7
  const below = (bound: number): number => {
    state = (state + 0x9e3779b9) | 0
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return Math.floor((((z ^ (z >>> 15)) >>> 0) / 2 ** 32) * bound)
  }
  // Words with the frequencies of a real book, in a different order.
  const book = readFileSync(fileURLToPath(new URL("../examples/data/devils-dictionary.txt", import.meta.url)), "utf8")
  const words = book.split(/\s+/).filter((word) => /^[!-~]+$/.test(word))
  const drawn: Array<string> = []
  for (let i = 0; i < 1_000_000; i++) drawn.push(words[below(words.length)] ?? "")
  const pool = drawn.join(" ")
  for (let file = 0; file < FILES; file++) {
    const output = createWriteStream(join(input, `part-${file}.txt`), { highWaterMark: 4 * 2 ** 20 })
    for (const end = (bytes * (file + 1)) / FILES; expected.bytes < end;) {
      signal.throwIfAborted()
      const lines: Array<string> = []
      for (let i = 0; i < 5000; i++) {
        const index = below(10) < 6 ? hot : below(keys)
        const start = below(pool.length - 200)
        const value = pool.slice(start, start + 40 + below(100))
        const line = `${keyOf(index)}\t${value}`
        lines.push(line)
        expected.counts[index] = (expected.counts[index] ?? 0) + 1
        expected.checksums[index] = plus(expected.checksums[index] ?? 0, hashOf(value))
        expected.checksum = plus(expected.checksum, hashOf(line))
      }
      const text = lines.join("\n") + "\n"
      expected.rows += lines.length
      expected.bytes += text.length
      if (!output.write(text, "latin1")) await once(output, "drain", { signal })
    }
    output.end()
    await finished(output)
  }
  return expected
}

/** The lines of an output, in the order of its files. */
const forEachLine = async (output: string, take: (line: string) => void): Promise<void> => {
  const parts = readdirSync(output).filter((name) => name.startsWith("part-"))
  for (const name of parts.toSorted()) {
    let rest = ""
    const text = createReadStream(join(output, name), { encoding: "latin1", highWaterMark: 2 ** 20, signal })
    for await (const piece of text) {
      const lines = (rest + String(piece)).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) take(line)
    }
    if (rest !== "") throw new Error(`${name} ends within a line`)
  }
}

const same = (what: string, actual: unknown, wanted: unknown): void => {
  if (actual !== wanted) throw new Error(`wrong answer: ${what} ${String(actual)}, not ${String(wanted)}`)
}

const checkGroups = async (output: string, { checksums, counts }: Expected): Promise<void> => {
  const seen = new Set<string>()
  await forEachLine(output, (line) => {
    const [key = "", count, checksum] = line.split("\t")
    if (seen.has(key)) throw new Error(`wrong answer: ${key} twice`)
    seen.add(key)
    const index = Number(key.slice(4))
    same(`rows of ${key}`, Number(count), counts[index])
    same(`checksum of ${key}`, Number(checksum), checksums[index])
  })
  same("groups", seen.size, counts.filter((count) => count > 0).length)
}

const checkSorted = async (output: string, expected: Expected): Promise<void> => {
  let last = ""
  let rows = 0
  let checksum = 0
  await forEachLine(output, (line) => {
    if (line < last) throw new Error(`wrong answer: after ${last} comes ${line}`)
    last = line
    rows++
    checksum = plus(checksum, hashOf(line))
  })
  same("rows", rows, expected.rows)
  same("checksum", checksum, expected.checksum)
}

const jobs = [
  { name: "group", check: checkGroups },
  { name: "sort", check: checkSorted }
] as const

const columns = ["", "seconds", "MB/s", "map GB", "runs GB", "heap", "buffers", "resident"] as const
const row = (cells: ReadonlyArray<string>): string =>
  cells.map((cell, i) => (i ? cell.padStart(10) : cell.padEnd(6))).join("")
const megabytes = (value: number): string => (value / 1e6).toFixed(0)

try {
  const input = mkdtempSync(join(folder, "text-"))
  const expected = await generate(input)
  const rows: Array<string> = []
  let budget = 0
  process.stderr.write(`${(expected.bytes / 1e9).toFixed(2)} GB generated\n`)
  for (const { check, name } of jobs) {
    const output = join(folder, name)
    const program = fileURLToPath(new URL("support/spill.ts", import.meta.url))
    const ended = await run(
      process.execPath,
      [
        `--max-old-space-size=${HEAP}`,
        "--conditions=@sluice/source",
        program,
        name,
        input,
        output,
        join(folder, "tmp")
      ],
      {},
      signal
    )
    const report = Schema.decodeSync(Schema.fromJsonString(Report))(ended.stdout)
    budget = report.budget
    await check(output, expected)
    rmSync(output, { recursive: true })
    process.stderr.write(`${name}: the right answer after ${ended.seconds.toFixed(1)} s\n`)
    rows.push(
      row([
        name,
        ended.seconds.toFixed(1),
        (expected.bytes / 1e6 / ended.seconds).toFixed(0),
        (report.outputs / 1e9).toFixed(2),
        (report.runs / 1e9).toFixed(2),
        ...[report.heap, report.arrayBuffers, report.resident].map(megabytes)
      ])
    )
  }
  publish("spill", [
    `${(expected.bytes / 1e9).toFixed(2)} GB in ${expected.rows.toLocaleString("en-US")} lines, ` +
      `${expected.counts.length.toLocaleString("en-US")} keys, one with 60 %; every answer checked`,
    `heap of at most ${HEAP} MB (--max-old-space-size), shuffle budget ${(budget / 2 ** 20).toFixed(0)} MiB (the default)`,
    "map: what map tasks wrote; runs: what reduce tasks spilled; peaks in MB",
    "",
    row(columns),
    ...rows
  ])
} catch (error) {
  // The exit code says that it was stopped; the process that stopped it reports the rest.
  if (!signal.aborted) throw error
  process.exitCode = 130
} finally {
  rmSync(folder, { recursive: true, force: true })
}
