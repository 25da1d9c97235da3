/**
 * Writes the list of what each package exports: every module whose name begins with a capital, whatever folder it lies in.
 *
 *     node scripts/exports.ts [--check]
 *
 * With `--check` nothing is written; the exit code is 1 if a list is not up to date.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const packages = Path.resolve(import.meta.dirname, "../packages")

const entry = (module: string) => ({
  "@sluice/source": `./src/${module}.ts`,
  types: `./dist/${module}.d.ts`,
  default: `./dist/${module}.js`
})

/** The paths by which a module, such as `formats/Csv` or `HdfsClient`, is imported. */
const pathsOf = (module: string): ReadonlyArray<string> => {
  const [name = "", of] = module.split("/").toReversed()
  if (of === "testing") return [`./${module}`]
  // The formats have been importable by their folder as well.
  return of === "formats" ? [`./${name}`, `./${module}`] : [`./${name}`]
}

const exportsOf = (folder: string) => {
  const files = Fs.readdirSync(Path.join(folder, "src"), { recursive: true, encoding: "utf8" }).map((path) =>
    path.split(Path.sep).join("/")
  )
  const modules = files
    .filter((path) => /^(?:[a-z]+\/)?[A-Z]\w*\.ts$/.test(path))
    .map((path) => path.slice(0, -".ts".length))
    .flatMap((module) => pathsOf(module).map((path): readonly [path: string, module: string] => [path, module]))
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
  return {
    "./package.json": "./package.json",
    ".": entry("index"),
    ...(files.includes("testing/index.ts") ? { "./testing": entry("testing/index") } : {}),
    ...Object.fromEntries(modules.map(([path, module]) => [path, entry(module)]))
  }
}

for (const name of Fs.readdirSync(packages)) {
  const file = Path.join(packages, name, "package.json")
  if (!Fs.existsSync(file)) continue
  const before = Fs.readFileSync(file, "utf8")
  const exported = exportsOf(Path.join(packages, name))
  const after = `${JSON.stringify({ ...JSON.parse(before), exports: exported }, undefined, 2)}\n`
  if (before === after) continue
  if (process.argv.includes("--check")) {
    console.error(`packages/${name}/package.json does not list all modules: run \`node scripts/exports.ts\``)
    process.exitCode = 1
  } else {
    Fs.writeFileSync(file, after)
  }
}
