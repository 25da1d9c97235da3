/**
 * What the benchmarks share: the description of the machine, whole processes with their time and memory, and results
 * that are kept.
 */
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { cpus, release, totalmem, type } from "node:os"
import { fileURLToPath } from "node:url"

const version = (name: string): string => {
  const file = fileURLToPath(new URL(`../../node_modules/${name}/package.json`, import.meta.url))
  return `${name} ${String(JSON.parse(readFileSync(file, "utf8")).version)}`
}

/** Machine and versions, as the first lines of a result. */
export const machine = (): string =>
  [
    `${cpus().length} x ${cpus()[0]?.model ?? "?"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${type()} ${release()}`,
    `node ${process.version}, ${["effect", "@effect/platform-node", "parquet-wasm", "apache-arrow"].map(version).join(", ")}`,
    new Date().toISOString().slice(0, 10)
  ].join("\n")

export const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN

/** The cost of a finished process. */
export interface Process {
  readonly seconds: number
  /** Time on all processors, including its children; correct if no other process ended in the meantime. */
  readonly cpuSeconds: number
  /** Largest resident memory, bytes, of the process itself (not of its children): what the system has noted of it. */
  readonly peakBytes: number
  /** Resident memory over time, a sample every quarter of a second. */
  readonly samples: ReadonlyArray<number>
  readonly stdout: string
}

// Resident memory now, and the most so far.
const residentBytes = (pid: number): { readonly now: number; readonly most: number } => {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8")
    const [now, most] = ["VmRSS", "VmHWM"].map((name) => {
      const line = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)
      return Number(line?.[1] ?? 0) * 1024
    })
    return { now: now ?? 0, most: most ?? 0 }
  } catch {
    return { now: 0, most: 0 }
  }
}

// Seconds on processors of all child processes that have ended.
const cpuOfChildren = (): number => {
  const [, fields = ""] = /\) (.*)$/m.exec(readFileSync("/proc/self/stat", "utf8")) ?? []
  const [user, system] = fields.split(" ").slice(13, 15).map(Number)
  return ((user ?? Number.NaN) + (system ?? Number.NaN)) / 100
}

/** Runs a program to its end; a program that fails fails the benchmark. One that is aborted has ended when the promise rejects. */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  env: NodeJS.ProcessEnv = {},
  signal?: AbortSignal
): Promise<Process> =>
  new Promise((resolve, reject) => {
    const started = performance.now()
    const cpuBefore = cpuOfChildren()
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
    const samples: Array<number> = []
    let peakBytes = 0
    const timer = setInterval(() => {
      if (child.pid === undefined) return
      const { most, now } = residentBytes(child.pid)
      samples.push(now)
      peakBytes = Math.max(peakBytes, most)
    }, 250)
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-4000)))
    const abort = () => child.kill()
    signal?.addEventListener("abort", abort)
    child.once("error", reject)
    child.once("close", (code) => {
      clearInterval(timer)
      signal?.removeEventListener("abort", abort)
      const seconds = (performance.now() - started) / 1000
      const cpuSeconds = cpuOfChildren() - cpuBefore
      if (code === 0) resolve({ seconds, cpuSeconds, peakBytes, samples, stdout })
      else reject(new Error(`${command} ${args.join(" ")} ended with ${code}\n${stderr}`))
    })
  })

/** A program from the sources, run without npm. */
export const node = (
  path: string,
  args: ReadonlyArray<string>,
  options: ReadonlyArray<string> = []
): Promise<Process> =>
  run(process.execPath, ["--conditions=@sluice/source", ...options, path, ...args], {
    NODE_COMPILE_CACHE: fileURLToPath(new URL("../../.cache/node", import.meta.url))
  })

/** What npm's scripts load before an example, so that it runs from its bundle. */
const start = ["--import", fileURLToPath(new URL("../../scripts/start.ts", import.meta.url))]

/** An example, run as its users do, but without npm. */
export const example = (
  file: string,
  args: ReadonlyArray<string>,
  options: ReadonlyArray<string> = []
): Promise<Process> =>
  node(fileURLToPath(new URL(`../../examples/${file}`, import.meta.url)), args, [...start, ...options])

/** Prints a result and, with `--write`, keeps it under `bench/results`. */
export const publish = (name: string, lines: ReadonlyArray<string>): void => {
  const text = [
    `# ${name}`,
    ...machine()
      .split("\n")
      .map((line) => `# ${line}`),
    "",
    ...lines,
    ""
  ].join("\n")
  process.stdout.write(text)
  if (!process.argv.includes("--write") || process.exitCode === 3) return
  const folder = new URL("../results/", import.meta.url)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL(`${name}.txt`, folder), text)
}

/** `met` or `missed`, with the bar. */
export const verdict = (value: number, bar: number, better: "at least" | "at most"): string =>
  `${value.toFixed(2)} (bar: ${better} ${bar}, ${(better === "at least" ? value >= bar : value <= bar) ? "met" : "missed"})`
