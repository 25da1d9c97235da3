/**
 * Makes the bundle of an example: everything it imports in a few files, because Node takes half a millisecond for each
 * module. What is imported lazily stays apart, and what is not JavaScript stays where it is.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import { pathToFileURL } from "node:url"
import { type OutputChunk, type Plugin, rolldown } from "rolldown"
import { cache, type Part, print, read, root, stamp } from "./stamps.ts"

// WebAssembly or native; and the names that undici exports are known only when it runs.
const external = /^(?:node:|undici$|parquet-wasm|kerberos$)/

/** Notes what the bundler reads, before it reads it: a change in the meantime makes the bundle stale, not wrong. */
const noting = (stamps: Map<string, string>): Plugin => {
  const note = (file: string): void => {
    const path = relative(root, file)
    if (!stamps.has(path)) stamps.set(path, stamp(path))
  }
  return {
    name: "note",
    load(id) {
      note(id)
      // What a package says about its modules counts as much as they do.
      for (let folder = dirname(id); folder !== root && folder.startsWith(root); folder = dirname(folder)) {
        note(join(folder, "package.json"))
      }
    }
  }
}

/** Keeps what modules know of themselves: their place, and which of them is the program. */
const inPlace = (program: string): Plugin => ({
  name: "in-place",
  transform: {
    filter: { code: "import.meta." },
    handler: (_, id, { magicString }) => {
      if (magicString === undefined) throw new Error("the bundler does not edit modules")
      const own = { url: pathToFileURL(id).href, dirname: dirname(id), filename: id }
      for (const [name, value] of Object.entries(own)) {
        magicString.replaceAll(new RegExp(`\\bimport\\.meta\\.${name}\\b`, "g"), JSON.stringify(value))
      }
      if (id !== program) magicString.replaceAll(/\bimport\.meta\.main\b/g, "false")
      return { code: magicString }
    }
  }
})

/** Writes a file under its name in one step, so that nobody sees half of it. */
const place = (name: string, text: string): void => {
  const file = join(cache, name)
  const aside = `${file}.${process.pid}`
  writeFileSync(aside, text)
  renameSync(aside, file)
}

/** The name of a chunk has the hash of its text: a file of that name is that chunk. */
const placeChunk = ({ code, fileName, map }: OutputChunk): Part => {
  const bytes = Buffer.byteLength(code)
  const file = join(cache, fileName)
  if (statSync(file, { throwIfNoEntry: false })?.size === bytes) utimesSync(file, new Date(), new Date())
  else {
    if (map !== null) place(`${fileName}.map`, map.toString())
    place(fileName, code)
  }
  return { name: fileName, bytes }
}

const week = 7 * 24 * 3600 * 1000

/** Removes what no list names and no running program can still want: it may load its lazy parts at any time. */
const clean = (): void => {
  const names = readdirSync(cache)
  const lists = names.filter((name) => name.endsWith(".list"))
  const kept = new Set(lists.flatMap((name) => read(join(cache, name))?.parts ?? []).map(({ name }) => name))
  for (const name of names) {
    const stat = statSync(join(cache, name), { throwIfNoEntry: false })
    const isOld = stat !== undefined && stat.mtimeMs < Date.now() - week
    if (isOld && !lists.includes(name) && !kept.has(name.replace(/\.map$/, "")))
      rmSync(join(cache, name), { force: true })
  }
}

// The clocks of file systems tick: what was written this shortly before may be written again with the same stamp.
const tick = 100

const isSettled = (stamps: ReadonlyArray<string>, began: number): boolean =>
  stamps.every((line) => {
    const [, , written, changed] = line.split("\t")
    return written === undefined || Math.max(Number(written), Number(changed)) < began - tick
  })

/** Bundles a program, and returns the file that runs in its place: the bundler names it first. */
export const bundle = async (program: string): Promise<string> => {
  const began = Date.now()
  const name = basename(program, ".ts")
  // Which versions are installed, and how this file bundles them.
  const own = ["node_modules/.package-lock.json", ...["bundle.ts", "stamps.ts"].map((file) => `scripts/start/${file}`)]
  const stamps = new Map(own.map((path) => [path, stamp(path)]))
  const build = await rolldown({
    cwd: root,
    input: { [name]: program },
    platform: "node",
    external,
    tsconfig: false,
    logLevel: "silent",
    resolve: { conditionNames: ["@sluice/source", "node", "import", "default"] },
    experimental: { nativeMagicString: true },
    plugins: [noting(stamps), inPlace(program)]
  })
  const { output } = await build.generate({
    dir: cache,
    format: "esm",
    sourcemap: true,
    sourcemapExcludeSources: true,
    entryFileNames: "[name]-[hash].js",
    chunkFileNames: `${name}-[name]-[hash].js`
  })
  await build.close()
  mkdirSync(cache, { recursive: true })
  const parts = output.filter((file) => file.type === "chunk").map(placeChunk)
  const lines = [...stamps.values()]
  if (isSettled(lines, began)) place(`${name}.list`, print({ parts, stamps: lines }))
  clean()
  return join(cache, output[0].fileName)
}
