/**
 * Loaded with `--import` before a program: when it ends, prints how many modules of files it has loaded, and how many
 * these are when each module of a bundle is counted.
 */
import { readFileSync } from "node:fs"
import { registerHooks } from "node:module"
import { fileURLToPath } from "node:url"

/** The bundler writes the path of a module before it. */
const inBundle = (path: string): number => readFileSync(path, "utf8").match(/^\/\/ \S+\.[jt]s$/gm)?.length ?? 1

const loaded = new Map<string, number>()
registerHooks({
  load: (url, context, next) => {
    if (url.startsWith("file:")) loaded.set(url, url.includes("/.cache/start/") ? inBundle(fileURLToPath(url)) : 1)
    return next(url, context)
  }
})
process.on("exit", () => {
  const modules = [...loaded.values()].reduce((sum, count) => sum + count, 0)
  console.log(`modules: ${loaded.size}\nmodules in them: ${modules}`)
})
