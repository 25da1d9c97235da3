/**
 * Loaded before an example: lets Node run its bundle instead of its 500 modules, which takes a quarter of the time.
 *
 *     node --import ./scripts/start.ts examples/02_classify.ts
 *
 * The bundle is made when there is none, or when anything it was made from has changed. If that is not possible, the
 * example runs from its sources as it would without this file.
 */
import { existsSync, realpathSync } from "node:fs"
import { registerHooks } from "node:module"
import { basename, dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { isMainThread } from "node:worker_threads"
import { cache, isFresh, read, root } from "./start/stamps.ts"

const bundleOf = async (program: string): Promise<string | undefined> => {
  const listed = read(join(cache, `${basename(program, ".ts")}.list`))
  const [first] = listed?.parts ?? []
  if (listed !== undefined && first !== undefined && isFresh(listed)) return join(cache, first.name)
  try {
    const { bundle } = await import("./start/bundle.ts")
    return await bundle(program)
  } catch {
    // No bundler, nowhere to write, or sources with an error that Node reports better.
    return undefined
  }
}

const given = process.argv[1]

// Workers inherit the options of the process, and have programs of their own.
if (isMainThread && given !== undefined && existsSync(given)) {
  const program = realpathSync(given)
  const file = dirname(program) === join(root, "examples") ? await bundleOf(program) : undefined
  if (file !== undefined) {
    const url = pathToFileURL(file).href
    const named = pathToFileURL(given).href
    const hook = registerHooks({
      resolve: (specifier, context, next) => {
        if (specifier !== named) return next(specifier, context)
        hook.deregister()
        return { url, format: "module", shortCircuit: true }
      }
    })
  }
}
