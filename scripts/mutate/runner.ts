/**
 * Runs test files of the folder that it was started in, again and again, each time with the sources as they are then.
 * It is a separate process, so that a mutant that never ends can be killed with it.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { createVitest } from "vitest/node"

export interface Request {
  readonly changed: ReadonlyArray<string>
  readonly tests: ReadonlyArray<string>
}

export interface Ran {
  readonly file: string
  readonly millis: number
  /** The title and the message of the first test that failed. */
  readonly failed: readonly [title: string, message: string] | undefined
  readonly hits: ReadonlyArray<string>
}

const [hitsFolder, testMillis] = process.argv.slice(2)
if (hitsFolder === undefined || testMillis === undefined) throw new Error("runner FOLDER MILLIS")
const root = process.cwd()

const vitest = await createVitest("test", {
  root,
  watch: false,
  bail: 1,
  maxWorkers: 1,
  fileParallelism: false,
  reporters: [{}],
  setupFiles: [Path.join(root, "scripts/mutate/setup.ts")],
  env: { MUTATE_HITS: hitsFolder },
  testTimeout: Number(testMillis),
  hookTimeout: Number(testMillis)
})

const hitsOf = (file: string): ReadonlyArray<string> => {
  const path = Path.join(hitsFolder, encodeURIComponent(file))
  return Fs.existsSync(path) ? Fs.readFileSync(path, "utf8").split("\n") : []
}

const run = async ({ changed, tests }: Request): Promise<ReadonlyArray<Ran>> => {
  for (const file of changed) vitest.invalidateFile(Path.join(root, file))
  // Otherwise it would report the run before again.
  vitest.state.filesMap.clear()
  vitest.state.errorsSet.clear()
  const specifications = (await vitest.globTestSpecifications([...tests])).filter(({ moduleId }) =>
    tests.includes(Path.relative(root, moduleId))
  )
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications)
  const ran = testModules.map((module): Ran => {
    const file = Path.relative(root, module.moduleId)
    const [test] = module.children.allTests("failed")
    const failed =
      module.state() === "failed"
        ? ([test?.fullName ?? file, (test?.result().errors ?? module.errors())[0]?.message ?? ""] as const)
        : undefined
    return { file, millis: module.diagnostic().duration, failed, hits: hitsOf(file) }
  })
  const [error] = unhandledErrors
  if (error === undefined || ran.some(({ failed }) => failed !== undefined)) return ran
  const message =
    typeof error === "object" && error !== null && "message" in error ? String(error.message) : String(error)
  return [...ran, { file: "", millis: 0, failed: ["an error that no test caught", message], hits: [] }]
}

process.on("message", (request: Request) => {
  void run(request).then(
    (ran) => process.send?.(ran),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    }
  )
})
process.on("disconnect", () => process.exit())
process.send?.("ready")
