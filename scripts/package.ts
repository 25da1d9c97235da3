/**
 * Packs every published package as npm would and lets publint and attw judge the archive. Each needs a README.md and the
 * project's LICENSE. Run `npm run build` first.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "..")

/** Runs a program, and shows its output only if it fails. */
const run = (command: string, ...args: ReadonlyArray<string>): boolean => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { cwd: root, encoding: "utf8" })
  if (status === 0) return true
  console.error([`${command} ${args.join(" ")}`, error?.message ?? "", stdout, stderr].join("\n"))
  process.exitCode = 1
  return false
}

/** Whether a package has a README.md and the same LICENSE as the project. npm packs both, whatever `files` says. */
const described = (name: string): boolean => {
  const at = (file: string): string => Path.join(root, "packages", name, file)
  const missing = ["README.md", "LICENSE"].filter((file) => !Fs.existsSync(at(file)))
  const problems = missing.map((file) => `packages/${name} has no ${file}`)
  if (missing.length === 0 && !Fs.readFileSync(at("LICENSE")).equals(Fs.readFileSync(Path.join(root, "LICENSE")))) {
    problems.push(`packages/${name}/LICENSE differs from LICENSE: copy it again`)
  }
  if (problems.length === 0) return true
  console.error(problems.join("\n"))
  process.exitCode = 1
  return false
}

/** The help of a command, from its sources and as it is published. */
const help = (...args: ReadonlyArray<string>): string =>
  spawnSync(process.execPath, [...args, "--help"], { cwd: root, encoding: "utf8" }).stdout

const [published, sources] = [
  help("packages/hdfs/dist/cli.js"),
  help("--conditions=@sluice/source", "packages/hdfs/src/cli.ts")
]
if (published !== sources || !published.includes("probe")) {
  console.error(`packages/hdfs/dist/cli.js does not say what its sources say:\n${published}`)
  process.exitCode = 1
}

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-pack-"))
try {
  for (const name of Fs.readdirSync(Path.join(root, "packages")).toSorted()) {
    const complete = described(name)
    const target = Path.join(folder, name)
    Fs.mkdirSync(target)
    const packed = run("npm", "pack", "--silent", "--workspace", `packages/${name}`, "--pack-destination", target)
    const [archive] = Fs.readdirSync(target)
    if (!packed || archive === undefined) {
      process.exitCode = 1
      continue
    }
    const file = Path.join(target, archive)
    const published = run("publint", "run", "--strict", file)
    const typed = run("attw", "--profile", "esm-only", "--no-definitely-typed", "--format", "ascii", file)
    if (complete && published && typed) console.log(`${archive}: ${Math.ceil(Fs.statSync(file).size / 1024)} KiB, good`)
  }
} finally {
  Fs.rmSync(folder, { recursive: true, force: true })
}
