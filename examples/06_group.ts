/**
 * How many groups do lines form by their first six characters? The lines of a group are a stream and may be larger than memory;
 * this job counts the groups and never looks at their lines.
 *
 *     npm run -s group -- --input DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Console, Effect, Schema } from "effect"
import { Command } from "effect/cli"
import * as Cli from "./support/cli.ts"

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
  Cli.reads(Cli.dictionary),
  Effect.fn("group")(function* (flags) {
    const { millis, value: groups } = yield* Job.runReported(group, flags)
    yield* Console.log(`groups ${groups}`)
    yield* Console.error(`grouped in ${Cli.seconds(millis)}`)
  })
).pipe(Command.withDescription("Group lines by their first six characters"))

export const program = Cli.run(command)

if (import.meta.main) Cli.runMain(program)
