/**
 * Sorts lines into eight files, each in order and all of it before the next: a sample of the lines decides where each file ends.
 *
 *     npm run -s sort -- --input DIR --output DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Effect, Order, Schema } from "effect"
import { Command } from "effect/cli"
import * as Cli from "./support/cli.ts"

export const sort = Job.make("sort", {
  payload: Schema.Struct({ input: Schema.String, output: Schema.String, mode: Cli.Mode }),
  action: ({ input, mode, output }) =>
    Dataset.text(input).pipe(Dataset.sort(Order.String, { partitions: 8 }), Dataset.writeText(output, { mode }))
})

const command = Command.make(
  "sort",
  Cli.writes("sort", Cli.dictionary, "text"),
  Effect.fn("sort")(function* (flags) {
    const files = Cli.files(flags)
    const report = yield* Job.runReported(sort, files)
    yield* Cli.wrote("lines sorted", report, `text files in ${files.output}`)
  })
).pipe(Command.withDescription("Sort the lines of text files"))

export const program = Cli.run(command)

if (import.meta.main) Cli.runMain(program)
