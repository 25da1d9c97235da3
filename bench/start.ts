/**
 * The cost of starting: `classify --help` as a whole process, through npm, through node alone, and from its sources without
 * a bundle, and how many modules it loads. An empty program says how much of that is npm and Node.
 *
 * `--rounds N` (default 11), after one that warms up. Ends with 3 if the machine was not idle.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { example, median, node, publish, run, verdict } from "./support/bench.ts"
import { alone } from "./support/idle.ts"

const at = process.argv.indexOf("--rounds")
const rounds = at < 0 ? 11 : Number(process.argv[at + 1])

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
const program = path("../examples/02_classify.ts")

const answers = (stdout: string): string => {
  if (!stdout.includes("USAGE") || !stdout.includes("--endpoint")) throw new Error(`that is not the help:\n${stdout}`)
  return stdout
}

const measure = async (folder: string) => {
  const npm = ["--prefix", path("..")]
  const ways = {
    npm: () => run("npm", [...npm, "run", "-s", "classify", "--", "--help"]),
    node: () => example("02_classify.ts", ["--help"]),
    sources: () => node(program, ["--help"]),
    emptyNpm: () => run("npm", ["--prefix", folder, "run", "-s", "empty"]),
    emptyNode: () => run(process.execPath, [join(folder, "empty.mjs")])
  }
  const costs = { npm: cost(), node: cost(), sources: cost(), emptyNpm: cost(), emptyNode: cost() }
  for (let round = 0; round <= rounds; round++) {
    for (const way of ["npm", "node", "sources", "emptyNpm", "emptyNode"] as const) {
      const { cpuSeconds, seconds, stdout } = await ways[way]()
      if (way === "npm" || way === "node" || way === "sources") answers(stdout)
      // The first round makes the bundle and fills the compile cache.
      if (round === 0) continue
      costs[way].seconds.push(seconds)
      costs[way].cpu.push(cpuSeconds)
    }
  }
  return costs
}

const cost = () => ({ seconds: new Array<number>(), cpu: new Array<number>() })

const counting = ["--import", path("./support/modules.ts")]

const count = ({ stdout }: { readonly stdout: string }): string => {
  const [, files, modules] = /^modules: (\d+)\nmodules in them: (\d+)$/m.exec(answers(stdout)) ?? []
  return `${files}, made of ${modules} modules`
}

const folder = mkdtempSync(join(tmpdir(), "sluice-start-"))
try {
  writeFileSync(join(folder, "empty.mjs"), "")
  writeFileSync(join(folder, "package.json"), JSON.stringify({ scripts: { empty: "node empty.mjs" } }))
  const { load, result } = await alone(() => measure(folder))
  const line = (name: string, { cpu, seconds }: ReturnType<typeof cost>) =>
    `${name.padEnd(28)} ${median(seconds).toFixed(2)} s, ${median(cpu).toFixed(2)} CPU-s`
  publish("start", [
    `classify --help, whole processes, medians of ${rounds} rounds in turn, with a warm compile cache`,
    load,
    "",
    line("through npm", result.npm),
    line("through node", result.node),
    line("through node, from sources", result.sources),
    line("an empty program, npm", result.emptyNpm),
    line("an empty program, node", result.emptyNode),
    "",
    `files loaded: ${count(await example("02_classify.ts", ["--help"], counting))}`,
    `files loaded from the sources: ${count(await node(program, ["--help"], counting))}`,
    `seconds through npm: ${verdict(median(result.npm.seconds), 0.3, "at most")}`,
    `seconds through node: ${verdict(median(result.node.seconds), 0.15, "at most")}`
  ])
} finally {
  rmSync(folder, { recursive: true })
}
