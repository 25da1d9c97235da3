/** Loaded with `--import` before a program: prints how many modules of files the program has loaded when it ends. */
import { registerHooks } from "node:module"

const loaded = new Set<string>()
registerHooks({
  load: (url, context, next) => {
    if (url.startsWith("file:")) loaded.add(url)
    return next(url, context)
  }
})
process.on("exit", () => console.log(`modules: ${loaded.size}`))
