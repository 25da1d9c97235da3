/**
 * How many groups do lines fall into by their first six characters? The lines of a group are a stream, which may be larger than memory;
 * here they are moved and never looked at.
 *
 *     npm run -s group -- --input DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Console, Effect, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { fileURLToPath } from "node:url"
import { runMain } from "./support/program.ts"

export const group = Job.make("group", {
  payload: Schema.Struct({ input: Schema.String }),
  action: ({ input }) =>
    Dataset.text(input).pipe(
      Dataset.groupBy((line) => line.slice(0, 6)),
      Dataset.count
    )
})

const command = Command.make(
  "group",
  {
    input: Flag.String("input").pipe(
      Flag.withDescription("Text file, directory or glob (default: The Devil's Dictionary)"),
      Flag.withDefault(fileURLToPath(new URL("data/devils-dictionary.txt", import.meta.url)))
    )
  },
  Effect.fn("group")(function* (options) {
    const { millis, value: groups } = yield* Job.runReported(group, options)
    yield* Console.log(`groups ${groups}`)
    yield* Console.error(`grouped in ${(millis / 1000).toFixed(2)} s`)
  })
).pipe(Command.withDescription("Group lines by their first six characters"))

export const program = Command.run(command, { version: "0.1.0" })

if (import.meta.main) runMain(program)
