/** Counts rows of many small partitions, for `small.ts`: `partitions N` are empty, `folder PATH` has a text file for each. Prints seconds. */
import { Dataset, Engine } from "@sluice/core"
import { Effect } from "effect"

const [kind, argument = ""] = process.argv.slice(2)

const counted =
  kind === "folder"
    ? Dataset.count(Dataset.text(argument))
    : Dataset.count(Dataset.range(0, 0, { partitions: Number(argument) }))

const started = performance.now()
const count = await Effect.runPromise(Effect.provide(counted, Engine.layer))
console.log(JSON.stringify({ count, seconds: (performance.now() - started) / 1000 }))
