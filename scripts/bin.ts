/**
 * Bundles the commands of the packages over what `tsc` made of them: each with everything it imports, because Node takes
 * half a millisecond for each module. Part of `npm run build`. What other packages say of copies of them is beside the command.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { rolldown } from "rolldown"

const folder = Path.resolve(import.meta.dirname, "../packages/hdfs")
const dist = Path.join(folder, "dist")

/** The folder of the package that a module belongs to. */
const packageOf = (file: string): string | undefined =>
  /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file.replaceAll(Path.sep, "/"))?.[0]

const licenceOf = (path: string): string => {
  const name = Fs.readdirSync(path).find((file) => /^licen[cs]e(?:\.|$)/i.test(file))
  if (name === undefined) throw new Error(`${path} has no licence that could be copied`)
  return `${path.replace(/^.*node_modules\//, "")}\n\n${Fs.readFileSync(Path.join(path, name), "utf8").trim()}\n`
}

// What is left in its place: native, WebAssembly, CommonJS, or with parts that come without a licence to copy.
const external = /^(?:node:|undici$|apache-arrow$|fast-xml-parser$|parquet-wasm|kerberos$|ws$)/

const build = await rolldown({
  cwd: folder,
  input: { cli: Path.join(folder, "src/cli.ts") },
  platform: "node",
  external,
  tsconfig: false,
  transform: { target: "es2024" },
  resolve: { conditionNames: ["@sluice/source", "node", "import", "default"] }
})
Fs.rmSync(Path.join(dist, "command"), { recursive: true, force: true })
const { output } = await build.write({
  dir: dist,
  format: "esm",
  sourcemap: true,
  sourcemapExcludeSources: true,
  entryFileNames: "[name].js",
  chunkFileNames: "command/[name]-[hash].js"
})
await build.close()
const copied = new Set(
  output.flatMap((file) => (file.type === "chunk" ? file.moduleIds.flatMap((id) => packageOf(id) ?? []) : []))
)
Fs.writeFileSync(
  Path.join(dist, "command/LICENSES.txt"),
  [...copied]
    .toSorted()
    .map(licenceOf)
    .join(`\n${"-".repeat(80)}\n\n`)
)
