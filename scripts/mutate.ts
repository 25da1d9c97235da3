/**
 * Measures how much the tests notice: it makes small mistakes in the core modules, one at a time, and runs the tests
 * that reach each.
 *
 *     npm run mutate -- --module sorter --per-module 15 --seed 1
 *
 * A mutant is *killed* by a test that fails or by tests that do not end in time; it *survives* where all pass. Mutants that
 * the compiler refuses, and those that `scripts/mutate/equivalent.json` lists with the reason why they change nothing, do not count.
 * The choice depends on the seed and on the text of each mutant alone, so a change elsewhere in the file leaves it as it is. All work
 * happens in a copy of the checkout under `.cache`; a map from functions to the test files that run them is kept there too.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import { apply, choose, instrument, type Mutant, mutantsOf } from "./mutate/mutants.ts"
import type { Ran, Request } from "./mutate/runner.ts"

const modules = [
  "commit/Commit",
  "commit/internal/claim",
  "commit/internal/drive",
  "commit/internal/layout",
  "task/Condition",
  "shuffle/Partitioner",
  "commit/internal/lease",
  "commit/internal/manifest",
  "commit/internal/partition",
  "commit/internal/publish",
  "commit/internal/recover",
  "engine/internal/book",
  "engine/internal/stages",
  "engine/internal/stages/state",
  "formats/internal/text/lines",
  "formats/internal/parquet/footer",
  "formats/internal/parquet/plan",
  "formats/internal/parquet/where",
  "formats/internal/splits",
  "plan/internal/adaptive",
  "engine/internal/cache",
  "engine/internal/cache/table",
  "plan/internal/exchange",
  "plan/internal/scan",
  "plan/internal/nodes",
  "task/internal/exchange",
  "task/internal/run",
  "task/internal/values",
  "engine/internal/scheduler/state",
  "shuffle/internal/blocks",
  "codec/internal/bytes",
  "shuffle/internal/output",
  "codec/internal/encode",
  "codec/internal/decode",
  "codec/internal/lines",
  "codec/internal/shapes",
  "codec/internal/refusal",
  "codec/internal/prefix",
  "codec/internal/hash",
  "shuffle/internal/digits",
  "shuffle/internal/groups",
  "shuffle/internal/heads",
  "shuffle/internal/keys",
  "shuffle/internal/lines",
  "shuffle/internal/rows",
  "shuffle/internal/sorter",
  "shuffle/internal/spilling",
  "shuffle/internal/table",
  "task/internal/chain",
  "task/internal/passes"
]

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    /** Modules whose name contains this; may be given several times. */
    module: { type: "string", multiple: true, default: [] },
    "per-module": { type: "string", default: "15" },
    seed: { type: "string", default: "1" },
    /** Run at most this many test files for a mutant, the likeliest ones: for a first look. */
    files: { type: "string", default: "1000" },
    /** Find out first which test files run which functions; with `--no-map` their names decide. */
    map: { type: "boolean", default: true },
    /** Ask the compiler about the survivors. */
    types: { type: "boolean", default: true },
    /**
     * Try only the mutants that survived the last time; the others keep their outcome if their module has not changed.
     */
    survivors: { type: "boolean", default: false },
    /** Print the mutants that would be tried. */
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})
if (options.help) {
  console.log(
    "npm run mutate -- [--module NAME]... [--per-module 15] [--seed 1] [--files N] [--no-map] [--no-types] [--survivors] [--list]"
  )
  process.exit()
}
const perModule = Number(options["per-module"])
if (!Number.isInteger(perModule) || perModule < 1) throw new Error("--per-module takes a whole number of 1 or more")
const mostFiles = Number(options.files)
const named = modules.filter(
  (name) => options.module.length === 0 || options.module.some((part) => name.includes(part))
)
if (named.length === 0) throw new Error(`no module has that name; the modules are ${modules.join(", ")}`)

const root = Path.resolve(import.meta.dirname, "..")
const cache = Path.join(root, ".cache")
const copy = Path.join(cache, `mutate-${process.pid}`)
const sourceOf = (name: string): string => `packages/core/src/${name}.ts`
const sources = new Map(modules.map((name) => [name, Fs.readFileSync(Path.join(root, sourceOf(name)), "utf8")]))
const textOf = (name: string): string => sources.get(name) ?? ""

const digest = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16)
const versionOf = (name: string): string => `${name}@${digest(textOf(name))}`

type Outcome = "killed" | "timeout" | "survived" | "refused" | "equivalent"

interface Result {
  readonly name: string
  readonly mutant: Mutant
  readonly outcome: Outcome
  readonly note: string
}

interface Judged {
  readonly module: string
  readonly before: string
  readonly after: string
  readonly reason: string
}

const judged: ReadonlyArray<Judged> = JSON.parse(
  Fs.readFileSync(Path.join(import.meta.dirname, "mutate/equivalent.json"), "utf8")
)
const reasonOf = (name: string, mutant: Mutant): string | undefined =>
  judged.find(({ after, before, module }) => module === name && before === mutant.before && after === mutant.after)
    ?.reason

const show = (name: string, { after, before, line }: Mutant): string =>
  `${sourceOf(name)}:${line}\n    - ${before.slice(0, 300)}\n    + ${after.slice(0, 300)}`

// The results of mutants, by the text of their module. They are kept, so that `--survivors` can skip the others.
const outcomesPath = Path.join(cache, "mutate-outcomes.json")
const readOutcomes = (): Map<string, readonly [Outcome, note: string]> =>
  new Map(Fs.existsSync(outcomesPath) ? JSON.parse(Fs.readFileSync(outcomesPath, "utf8")) : [])
const outcomes = readOutcomes()
const keyOf = (name: string, { by, end, start }: Mutant): string => digest(`${textOf(name)}\0${start}\0${end}\0${by}`)

const chosen = named.flatMap((name) => {
  const all = mutantsOf(textOf(name))
  const some = choose(all, perModule, options.seed)
  console.log(`${name}: ${some.length} of ${all.length} mutants`)
  return some.map((mutant) => ({ name, mutant }))
})
if (options.list) {
  for (const { mutant, name } of chosen) console.log(show(name, mutant))
  process.exit()
}

// --- the copy

const makeCopy = (): void => {
  const { stdout } = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28
  })
  for (const file of stdout.split("\0")) {
    const from = Path.join(root, file)
    if (file === "" || !Fs.existsSync(from)) continue
    Fs.mkdirSync(Path.dirname(Path.join(copy, file)), { recursive: true })
    Fs.copyFileSync(from, Path.join(copy, file))
  }
  const folders = ["node_modules", ...["core", "hdfs", "scoring"].map((name) => `packages/${name}/node_modules`)]
  for (const folder of folders.filter((folder) => Fs.existsSync(Path.join(root, folder)))) {
    const { status, stderr } = spawnSync("cp", ["-al", Path.join(root, folder), Path.join(copy, folder)])
    if (status !== 0) throw new Error(`${folder} cannot be copied: ${String(stderr)}`)
  }
}

const write = (name: string, text: string): void => Fs.writeFileSync(Path.join(copy, sourceOf(name)), text)

// --- the process that runs the tests

const scratch = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-mutate-"))
const hits = Path.join(scratch, "hits")
Fs.mkdirSync(hits)
let runner: Promise<ChildProcess> | undefined

const kill = async (): Promise<void> => {
  const child = await runner
  runner = undefined
  if (child?.pid === undefined || child.exitCode !== null) return
  const ended = new Promise((resolve) => child.once("exit", resolve))
  // The whole group, because a busy worker does not notice that its parent has ended.
  process.kill(-child.pid, "SIGKILL")
  await ended
}

const start = (testMillis: number): Promise<ChildProcess> =>
  new Promise((resolve, reject) => {
    const args = ["--conditions=@sluice/source", Path.join(copy, "scripts/mutate/runner.ts"), hits, String(testMillis)]
    const child = spawn(process.execPath, args, {
      cwd: copy,
      detached: true,
      env: { ...process.env, TMPDIR: scratch },
      stdio: ["ignore", "ignore", "pipe", "ipc"]
    })
    let said = ""
    child.stderr?.on("data", (bytes) => (said = `${said}${bytes}`.slice(-4000)))
    child.once("message", () => resolve(child))
    child.once("exit", () => reject(new Error(`the test process ended: ${said}`)))
  })

/** The results of the test files; "timeout" if they took too long, "crash" if the process ended. */
const run = async (
  request: Request,
  limits: { readonly millis: number; readonly testMillis: number }
): Promise<ReadonlyArray<Ran> | "timeout" | "crash"> => {
  const child = await (runner ??= start(limits.testMillis))
  const answer = await new Promise<ReadonlyArray<Ran> | "timeout" | "crash">((resolve) => {
    const timer = setTimeout(() => resolve("timeout"), limits.millis)
    const settle = (value: ReadonlyArray<Ran> | "crash"): void => {
      clearTimeout(timer)
      resolve(value)
    }
    child.removeAllListeners("message").removeAllListeners("exit")
    child.once("message", (ran: ReadonlyArray<Ran>) => settle(ran))
    child.once("exit", () => settle("crash"))
    child.send(request)
  })
  if (typeof answer === "string") await kill()
  return answer
}

// --- which test files run which functions

interface Known {
  /** Digest of the test file's text. */
  readonly digest: string
  /** The modules as they were, `name@digest`; a hit is one of them with the number of a function. */
  readonly versions: ReadonlyArray<string>
  readonly hits: ReadonlyArray<string> | undefined
  readonly millis: number
}

const testFiles = (folder: string): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `${folder}/${name}`)
    .toSorted()

const testsPath = Path.join(cache, "mutate-tests.json")
const readTests = (): Map<string, Known> =>
  new Map(Fs.existsSync(testsPath) ? JSON.parse(Fs.readFileSync(testsPath, "utf8")) : [])

const mapTests = async (): Promise<ReadonlyMap<string, Known>> => {
  const kept = readTests()
  const tests = testFiles("packages/core/test").map((file) => ({
    file,
    own: digest(Fs.readFileSync(Path.join(root, file), "utf8"))
  }))
  const isKnown = (known: Known | undefined, own: string): boolean =>
    known?.digest === own && named.every((name) => known.versions.includes(versionOf(name)))
  const missing = tests.filter(({ file, own }) => !isKnown(kept.get(file), own))
  if (missing.length > 0) console.log(`${missing.length} test files are run to see what they reach`)
  for (const name of modules) write(name, instrument(textOf(name), versionOf(name)))
  for (const { file, own } of missing) {
    const ran = await run({ changed: [], tests: [file] }, { millis: 600_000, testMillis: 60_000 })
    const [only] = typeof ran === "string" ? [] : ran
    kept.delete(file)
    if (only !== undefined && only.failed === undefined) {
      kept.set(file, { digest: own, versions: modules.map(versionOf), hits: only.hits, millis: only.millis })
    } else console.log(`${file} fails and is left out: ${only?.failed?.join(": ") ?? String(ran)}`)
  }
  for (const name of modules) write(name, textOf(name))
  await kill()
  const known = new Map([...kept].filter(([file]) => tests.some((test) => test.file === file)))
  Fs.writeFileSync(testsPath, JSON.stringify([...known]))
  return known
}

/** The test files without the functions that they reach; their durations are known only from earlier runs. */
const unmapped = (): ReadonlyArray<readonly [file: string, known: Known]> => {
  const kept = readTests()
  return testFiles("packages/core/test").map((file) => [
    file,
    { digest: "", versions: [], hits: undefined, millis: kept.get(file)?.millis ?? 10_000 }
  ])
}

// --- the run

const compiles = (): boolean => spawnSync("npm", ["run", "-s", "check"], { cwd: copy, encoding: "utf8" }).status === 0

/** The test file that last killed a mutant of the module. */
const killers = new Map<string, string>()

// The test process must also drop the module that was mutated before.
let lastMutated: string | undefined

// A test file that hangs is given up together with those it runs with.
const partMillis = 20_000

/** Test files as they are run together: the likeliest alone, three more, and then as many as take a while. */
const partsOf = (
  tests: ReadonlyArray<readonly [file: string, known: Known]>
): ReadonlyArray<ReadonlyArray<readonly [file: string, known: Known]>> => {
  const parts: Array<Array<readonly [file: string, known: Known]>> = []
  let size = Infinity
  for (const test of tests.slice(4)) {
    if (size > partMillis) {
      parts.push([])
      size = 0
    }
    parts.at(-1)?.push(test)
    size += test[1].millis
  }
  return [tests.slice(0, 1), tests.slice(1, 4), ...parts].filter((part) => part.length > 0)
}

/**
 * Runs the test files that reach a function of a module, the likeliest to fail first; "survived" if all pass. If the
 * first few pass, `refuses` is asked: the compiler takes less time than the other tests.
 */
const judge = async (
  name: string,
  reaches: ReadonlyArray<readonly [file: string, known: Known]>,
  refuses: () => boolean
): Promise<readonly [outcome: Outcome, note: string]> => {
  const own = Path.basename(name).toLowerCase()
  const folder = Path.basename(Path.dirname(name))
  const place = (file: string): number => {
    if (file === killers.get(name)) return 0
    const base = Path.basename(file).toLowerCase()
    return base.startsWith(own) ? 1 : base.startsWith(folder) || file.includes(`/${folder}/`) ? 2 : 3
  }
  const tests = reaches
    .toSorted(([one, { millis: a }], [other, { millis: b }]) => place(one) - place(other) || a - b)
    .slice(0, mostFiles)
  const parts = partsOf(tests)
  for (const [index, part] of parts.entries()) {
    if (index === 2 && refuses()) return ["refused", ""]
    const limits = { millis: 60_000 + 5 * part.reduce((sum, [, { millis }]) => sum + millis, 0), testMillis: 60_000 }
    const changed = [sourceOf(name), ...(lastMutated === undefined ? [] : [lastMutated])]
    lastMutated = sourceOf(name)
    const request: Request = { changed, tests: part.map(([file]) => file) }
    let ran = await run(request, limits)
    if (typeof ran !== "string" && ran.some(({ failed, file }) => file === "" && failed !== undefined)) {
      // The end of a worker that an earlier mutant stopped is reported late: it counts only if a new process reports it
      // too.
      await kill()
      ran = await run(request, limits)
    }
    if (typeof ran === "string") return [ran === "timeout" ? "timeout" : "killed", ran]
    const failed = ran.find((one) => one.failed !== undefined)
    if (failed?.failed === undefined) continue
    const [title, message] = failed.failed
    const late = message.includes("timed out in")
    // Leftovers of a test that did not end may make the next one fail.
    if (late) await kill()
    if (failed.file !== "") killers.set(name, failed.file)
    return [late ? "timeout" : "killed", `${failed.file} > ${title}: ${message.split("\n")[0]?.slice(0, 160)}`]
  }
  if (parts.length <= 2 && refuses()) return ["refused", ""]
  return ["survived", reaches.length === 0 ? "no test runs it" : ""]
}

/** Survived, or was given up without a test to blame: the machine may be busy. */
const isOpen = ([outcome, note]: readonly [Outcome, string]): boolean =>
  outcome === "survived" || outcome === "equivalent" || note === "timeout" || note === "crash"

const tryMutants = async (): Promise<ReadonlyArray<Result>> => {
  const known = options.map ? [...(await mapTests())] : unmapped()
  const results: Array<Result> = []
  const checked = new Set<string>()
  for (const { mutant, name } of chosen) {
    const text = textOf(name)
    const reaches = known.filter(
      ([, { hits }]) => hits === undefined || hits.includes(`${versionOf(name)}:${mutant.inside}`)
    )
    const last = outcomes.get(keyOf(name, mutant))
    if (options.survivors && last !== undefined && !isOpen(last)) {
      results.push({ name, mutant, outcome: last[0], note: last[1] })
      continue
    }
    // Otherwise a test that fails anyway would count as one that noticed.
    if (!checked.has(name)) {
      const [outcome, note] = await judge(name, reaches.slice(0, 4), () => false)
      if (outcome !== "survived") throw new Error(`the tests of ${name} fail without a mutant: ${note}`)
      checked.add(name)
    }
    const reason = reasonOf(name, mutant)
    write(name, apply(text, mutant))
    const [outcome, note] =
      reason === undefined
        ? await judge(name, reaches, () => options.types && !compiles())
        : (["equivalent", reason] as const)
    write(name, text)
    results.push({ name, mutant, outcome, note })
    // Another run may have added to them.
    Fs.writeFileSync(outcomesPath, JSON.stringify([...readOutcomes().set(keyOf(name, mutant), [outcome, note])]))
    console.log(`${outcome} ${show(name, mutant)}${note === "" ? "" : `\n    ${note}`}`)
  }
  return results
}

const report = (results: ReadonlyArray<Result>): void => {
  const row = (name: string, some: ReadonlyArray<Result>): string => {
    const count = (outcome: Outcome): number => some.filter((result) => result.outcome === outcome).length
    const dead = count("killed") + count("timeout")
    const counted = dead + count("survived")
    const score = counted === 0 ? "" : `${Math.round((100 * dead) / counted)} %`
    const cells = [count("killed"), count("timeout"), count("survived"), count("refused"), count("equivalent"), score]
    return `${name.padEnd(32)}${cells.map((cell) => String(cell).padStart(12)).join("")}`
  }
  const survivors = results.filter(({ outcome }) => outcome === "survived")
  if (survivors.length > 0) console.log("\nsurvivors")
  for (const { mutant, name } of survivors) console.log(show(name, mutant))
  const heads = ["killed", "timeout", "survived", "refused", "equivalent", "score"]
  console.log(`\n${`seed ${options.seed}`.padEnd(32)}${heads.map((head) => head.padStart(12)).join("")}`)
  for (const name of named) {
    const some = results.filter((result) => result.name === name)
    if (some.length > 0) console.log(row(name, some))
  }
  console.log(row("all", results))
}

const clean = (): void => {
  Fs.rmSync(copy, { recursive: true, force: true })
  Fs.rmSync(scratch, { recursive: true, force: true })
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    void kill().finally(() => {
      clean()
      process.exit(1)
    })
  })
}

try {
  makeCopy()
  report(await tryMutants())
} finally {
  await kill()
  clean()
}
