import { Dataset, Engine } from "@sluice/core"
import { Effect } from "effect"

// A cache of about 400 MB: run in a heap of 256 MB.
const text = (n: number) => Buffer.alloc(1000, 97 + (n % 26)).toString("latin1")
const rows = Dataset.map(Dataset.range(0, 400_000, { partitions: 40 }), (n) => ({ n, text: text(n) }))

const counts = Effect.gen(function* () {
  const cached = Dataset.cache(rows)
  return [yield* Dataset.count(cached), yield* Dataset.count(cached)]
})

console.log(JSON.stringify(await Effect.runPromise(Effect.provide(counts, Engine.layer))))
