/**
 * Sorts whole lines into eight files that follow one another: a sample of the lines says where one file ends and the next begins.
 *
 *     npm run -s sort -- --input DIR --output DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Console, Effect, Order, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { fileURLToPath } from "node:url"
import { runMain } from "./support/program.ts"

export const sort = Job.make("sort", {
  payload: Schema.Struct({ input: Schema.String, output: Schema.String, overwrite: Schema.Boolean }),
  action: ({ input, output, overwrite }) =>
    Dataset.text(input).pipe(
      Dataset.sort(Order.String, { partitions: 8 }),
      Dataset.writeText(output, { mode: overwrite ? "overwrite" : "error-if-exists" })
    )
})

const command = Command.make(
  "sort",
  {
    input: Flag.String("input").pipe(
      Flag.withDescription("Text file, directory or glob (default: The Devil's Dictionary)"),
      Flag.withDefault(fileURLToPath(new URL("data/devils-dictionary.txt", import.meta.url)))
    ),
    output: Flag.String("output").pipe(
      Flag.withDescription("Directory to write text into (default: out/sort)"),
      Flag.withDefault("out/sort")
    ),
    overwrite: Flag.Boolean("overwrite").pipe(
      Flag.withDescription("Replace an output that is there already"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("sort")(function* (options) {
    const { millis, value: manifest } = yield* Job.runReported(sort, {
      ...options,
      // The default output is this example's own.
      overwrite: options.overwrite || options.output === "out/sort"
    })
    yield* Console.log(
      `${manifest.rows.toLocaleString("en-US")} lines sorted in ${(millis / 1000).toFixed(2)} s: ` +
        `text files in ${options.output}: ${manifest.files.length}`
    )
  })
).pipe(Command.withDescription("Sort the lines of text files"))

export const program = Command.run(command, { version: "0.1.0" })

if (import.meta.main) runMain(program)
