/**
 * What the dataset adds to a bare Effect stream: map, filter, map, count over 10 million numbers, in one partition, interleaved.
 */
import { Dataset, Engine } from "@sluice/core"
import { Effect, Stream } from "effect"
import { median, publish, verdict } from "./support/bench.ts"
import { alone } from "./support/idle.ts"

const n = 10_000_000
const rounds = 7

const dataset = Dataset.range(0, n).pipe(
  Dataset.map((x) => x + 1),
  Dataset.filter((x) => x % 3 !== 0),
  Dataset.map((x) => x * 2),
  Dataset.count
)

const stream = Stream.range(0, n - 1).pipe(
  Stream.map((x) => x + 1),
  Stream.filter((x) => x % 3 !== 0),
  Stream.map((x) => x * 2),
  Stream.runCount
)

const program = Effect.gen(function* () {
  const times = { dataset: [] as Array<number>, stream: [] as Array<number> }
  for (let round = 0; round <= rounds; round++) {
    const counts: Array<number> = []
    for (const [name, effect] of [
      ["dataset", dataset],
      ["stream", stream]
    ] as const) {
      const start = performance.now()
      counts.push(yield* effect)
      // The first round warms up; its answers are compared.
      if (round > 0) times[name].push(performance.now() - start)
    }
    if (counts[0] !== counts[1]) return yield* Effect.die(new Error(`the answers differ: ${counts.join(", ")}`))
  }
  return times
})

const { load, result } = await alone(() => Effect.runPromise(Effect.provide(program, Engine.layer)))
const { dataset: ours, stream: theirs } = result
const ratios = ours.map((time, round) => time / (theirs[round] ?? Number.NaN))
publish("overhead", [
  `map, filter, map, count over ${n.toLocaleString("en-US")} numbers, ${rounds} rounds, interleaved, after one that warms up`,
  load,
  "",
  `Dataset, one partition   ${median(ours).toFixed(0)} ms`,
  `bare Effect stream       ${median(theirs).toFixed(0)} ms`,
  "",
  `ratio, round by round, median: ${verdict(median(ratios), 1.1, "at most")}`
])
