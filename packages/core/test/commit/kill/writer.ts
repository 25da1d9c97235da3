/**
 * Writes outputs of several files in several directories at once, again and again, and says on stdout when each begins and
 * ends, until it is killed. Directories with an even number get a new output a round, the others overwrite theirs.
 */
import { Dataset, Engine } from "@sluice/core"
import { Effect } from "effect"
import { writeSync } from "node:fs"

const [root = "", lanes = "1", rows = "1"] = process.argv.slice(2)

const lane = Effect.fnUntraced(function* (lane: number) {
  for (let round = 0; ; round++) {
    writeSync(1, `begin ${lane} ${round}\n`)
    yield* Dataset.range(0, Number(rows), { partitions: 4 }).pipe(
      Dataset.map((n) => `${round} ${n}`),
      Dataset.writeText(lane % 2 === 0 ? `${root}/${lane}/out-${round}` : `${root}/${lane}/out`, {
        mode: lane % 2 === 0 ? "error-if-exists" : "overwrite"
      })
    )
    writeSync(1, `end ${lane} ${round}\n`)
  }
})

Effect.runFork(
  Effect.forEach(
    Array.from({ length: Number(lanes) }, (_, index) => index),
    lane,
    { concurrency: "unbounded" }
  ).pipe(Effect.provide(Engine.layer))
)
