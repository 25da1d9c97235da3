/**
 * The fuzz of the HDFS client, long: `node --conditions=@sluice/source scripts/hdfs-fuzz.ts --seeds 10000`. `--from N`
 * is the first seed (default 1), `--at-once N` how many run beside each other (default 8). Prints each seed with a
 * violation, and the results of all; exits with 1 if there was a violation.
 */
import { Effect } from "effect"
import { type Outcome, run } from "../packages/hdfs/test/fuzz/fuzz.ts"

const option = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(name)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const seeds = option("--seeds", 10_000)
const from = option("--from", 1)
const atOnce = option("--at-once", 8)

const results = new Map<string, number>()
let violations = 0
let peak = 0
const show = ({ operation, result, seed, violation, wrong }: Outcome) =>
  `seed ${seed}, ${operation}: ${result}${violation === undefined ? "" : `: ${violation}`} (${wrong.join("; ")})`

const lost = (what: string) => (cause: unknown) => {
  violations++
  console.log(`${what}: ${String(cause)}`)
}
process.on("uncaughtException", lost("uncaught exception"))
process.on("unhandledRejection", lost("unhandled rejection"))

await Effect.runPromise(
  Effect.forEach(
    Array.from({ length: seeds }, (_, i) => from + i),
    (seed) =>
      Effect.map(run(seed), (outcome) => {
        results.set(outcome.result, (results.get(outcome.result) ?? 0) + 1)
        if (seed % 100 === 0) peak = Math.max(peak, process.memoryUsage().rss)
        if (outcome.violation !== undefined) {
          violations++
          console.log(show(outcome))
        } else if (seeds === 1) console.log(show(outcome))
      }),
    { concurrency: atOnce, discard: true }
  )
)
console.log(
  [...results]
    .toSorted((a, b) => b[1] - a[1])
    .map(([result, count]) => `${result} ${count}`)
    .join(", ")
)
console.log(`${seeds} seeds from ${from}, ${violations} violations, at most ${Math.round(peak / 1e6)} MB resident`)
process.exit(violations === 0 ? 0 : 1)
