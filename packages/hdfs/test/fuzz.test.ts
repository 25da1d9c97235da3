import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { run } from "./fuzz/fuzz.ts"

// `scripts/hdfs-fuzz.ts --seeds N` runs more of them, and `--from SEED --seeds 1` one alone.

const fails = (from: number, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => from + i),
    run,
    { concurrency: 16 }
  ).pipe(
    Effect.map((all) => all.filter(({ violation }) => violation !== undefined)),
    Effect.map((wrong) => wrong.map((each) => JSON.stringify(each)).join("\n"))
  )

describe("whatever the servers send, an operation ends with the right bytes or a typed error", () => {
  it.live(
    "the same seeds each time",
    () => Effect.map(fails(1, 300), (problems) => assert.strictEqual(problems, "")),
    60_000
  )

  it.live(
    "seeds of today",
    () => {
      const from = 1_000_000 + Math.floor(Math.random() * 1_000_000_000)
      console.log(`hdfs fuzz: seeds from ${from}`)
      return Effect.map(fails(from, 100), (problems) => assert.strictEqual(problems, ""))
    },
    60_000
  )
})
