/**
 * Writes the list of what `@sluice/core` exports: every module whose name begins with a capital, whatever folder it lies in.
 *
 *     node scripts/exports.ts [--check]
 *
 * With `--check` nothing is written; the exit code is 1 where the list is not up to date.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const folder = Path.resolve(import.meta.dirname, "../packages/core")
const file = Path.join(folder, "package.json")

const entry = (module: string) => ({
  "@sluice/source": `./src/${module}.ts`,
  types: `./dist/${module}.d.ts`,
  default: `./dist/${module}.js`
})

/** `formats/Csv` for each public module. */
const modules = Fs.readdirSync(Path.join(folder, "src"), { recursive: true, encoding: "utf8" })
  .map((path) => path.split(Path.sep).join("/"))
  .filter((path) => /^[a-z]+\/[A-Z]\w*\.ts$/.test(path))
  .map((path) => path.slice(0, -".ts".length))
  .toSorted()

const exported = {
  "./package.json": "./package.json",
  ".": entry("index"),
  "./testing": entry("testing/index"),
  ...Object.fromEntries(
    modules
      .flatMap((module): ReadonlyArray<readonly [string, string]> => {
        const [of = "", name = ""] = module.split("/")
        if (of === "testing") return [[`./${module}`, module]]
        // The formats have been importable by their folder as well.
        return of === "formats"
          ? [
              [`./${name}`, module],
              [`./${module}`, module]
            ]
          : [[`./${name}`, module]]
      })
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([path, module]) => [path, entry(module)])
  )
}

const before = Fs.readFileSync(file, "utf8")
const after = `${JSON.stringify({ ...JSON.parse(before), exports: exported }, undefined, 2)}\n`
if (process.argv.includes("--check")) {
  if (before !== after) {
    console.error("packages/core/package.json does not list what there is: run `node scripts/exports.ts`")
    process.exitCode = 1
  }
} else {
  Fs.writeFileSync(file, after)
}
