/**
 * Runs the laws of Parquet over random cases; the suite runs a few of them (`packages/core/test/formats/ParquetLaws.test.ts`).
 *
 *     node --conditions=@sluice/source scripts/parquet.ts identity|where|mutated [--seeds 10000] [--from 0]
 *     node --conditions=@sluice/source scripts/parquet.ts identity --from 123 --seeds 1
 *
 * A seed that fails is printed. The exit code is 1 when one did.
 */
import { Effect } from "effect"
import { parseArgs } from "node:util"
import { Storage } from "@sluice/core"
import { laws } from "../packages/core/test/formats/parquetSeeds.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { seeds: { type: "string", default: "1000" }, from: { type: "string", default: "0" } }
})

const law = positionals[0]
const run = Object.entries(laws).find(([name]) => name === law)?.[1]
if (run === undefined) {
  console.error(`which law? ${Object.keys(laws).join(", ")}`)
  process.exit(2)
}

const from = Number(values.from)
const to = from + Number(values.seeds)
const started = performance.now()
let failed = 0
for (let seed = from; seed < to; seed++) {
  const wrong = await Effect.runPromise(Effect.provide(run(seed), Storage.layerMemory)).catch(
    (error) => `defect: ${error}`
  )
  if (wrong === undefined) continue
  failed++
  console.log(`seed ${seed}: ${wrong.slice(0, 2000)}`)
}
const seconds = (performance.now() - started) / 1000
const peak = Math.round(process.resourceUsage().maxRSS / 1024)
console.log(`${law}: ${to - from} seeds in ${seconds.toFixed(0)} s, ${failed} failed, ${peak} MB at most`)
process.exitCode = failed === 0 ? 0 : 1
