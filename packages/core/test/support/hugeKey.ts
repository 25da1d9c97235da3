import { Dataset } from "@sluice/core"
import { Effect } from "effect"
import { engine } from "./engines.ts"

// Joins where one key has about 64 MB of values: run in a small heap.
const values = (size: number) =>
  Dataset.map(Dataset.range(0, size, { partitions: 2 }), (n) => ["key", `${"x".repeat(2000)} ${n}`] as const)

const counts = Effect.gen(function* () {
  const many = values(32_000)
  const few = values(2)
  const all = { partitions: 1 }
  return [
    yield* Dataset.count(Dataset.join(many, few, all)),
    yield* Dataset.count(Dataset.subtractByKey(many, many, all))
  ]
})

console.log(JSON.stringify(await Effect.runPromise(Effect.provide(counts, engine(4 * 1024 * 1024)))))
