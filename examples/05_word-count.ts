/**
 * How often does each word occur? Words are what lies between spaces; the result is text, a line `word<TAB>count` each.
 *
 *     npm run -s word-count -- --input DIR --output DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Console, Effect, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { fileURLToPath } from "node:url"
import { runMain } from "./support/program.ts"

export const wordCount = Job.make("word-count", {
  payload: Schema.Struct({ input: Schema.String, output: Schema.String, overwrite: Schema.Boolean }),
  action: ({ input, output, overwrite }) =>
    Dataset.text(input).pipe(
      Dataset.flatMap((line) => line.split(" ")),
      Dataset.filter((word) => word !== ""),
      Dataset.map((word) => [word, 1] as const),
      Dataset.reduceByKey((left: number, right: number) => left + right),
      Dataset.map(([word, count]) => `${word}\t${count}`),
      Dataset.writeText(output, { mode: overwrite ? "overwrite" : "error-if-exists" })
    )
})

const command = Command.make(
  "word-count",
  {
    input: Flag.String("input").pipe(
      Flag.withDescription("Text file, directory or glob (default: The Devil's Dictionary)"),
      Flag.withDefault(fileURLToPath(new URL("data/devils-dictionary.txt", import.meta.url)))
    ),
    output: Flag.String("output").pipe(
      Flag.withDescription("Directory to write text into (default: out/word-count)"),
      Flag.withDefault("out/word-count")
    ),
    overwrite: Flag.Boolean("overwrite").pipe(
      Flag.withDescription("Replace an output that is there already"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("word-count")(function* (options) {
    const { millis, value: manifest } = yield* Job.runReported(wordCount, {
      ...options,
      // The default output is this example's own.
      overwrite: options.overwrite || options.output === "out/word-count"
    })
    yield* Console.log(
      `${manifest.rows.toLocaleString("en-US")} different words counted in ${(millis / 1000).toFixed(2)} s: ` +
        `text files in ${options.output}: ${manifest.files.length}`
    )
  })
).pipe(Command.withDescription("Count the words of text files"))

export const program = Command.run(command, { version: "0.1.0" })

if (import.meta.main) runMain(program)
