/**
 * Runs the law of the text formats at length: every value is read back as it was written, or refused.
 *
 *     node --conditions=@sluice/source scripts/write-read.ts [--seeds 10000] [--seed 1] [--path 0:1] [--format csv]
 *
 * A failing case is printed as small as possible, with the seed and path that repeat it.
 */
import * as fc from "fast-check"
import { parseArgs } from "node:util"
import { foldersLaw } from "../packages/core/test/laws/folders.ts"
import { formats, type Tally, writeRead } from "../packages/core/test/laws/writeRead.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "10000" },
    seed: { type: "string" },
    path: { type: "string" },
    format: { type: "string" }
  }
})

const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed)

const run = async <A>(name: string, tally: Tally, property: fc.IRawProperty<A>) => {
  if (values.format !== undefined && values.format !== name) return
  const found = await fc.check(property, {
    seed,
    numRuns: Number(values.seeds),
    ...(values.path === undefined ? {} : { path: values.path })
  })
  if (found.failed) {
    console.log(fc.defaultReportMessage(found), found.errorInstance)
    console.log(`again: --format ${name} --seed ${seed} --path ${found.counterexamplePath}`)
    process.exitCode = 1
  } else {
    console.log(`${name}: ${found.numRuns} cases from seed ${seed}, ${tally.held} read back, ${tally.refused} refused`)
  }
}

const tallyOf = (): Tally => ({ held: 0, refused: 0 })

for (const format of formats) {
  const tally = tallyOf()
  await run(format, tally, writeRead(format, tally))
}
const tally = tallyOf()
await run("folders", tally, foldersLaw(tally))
