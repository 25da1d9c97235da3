/**
 * How often does each word occur? A word is anything between spaces; the result is text, one line `word<TAB>count` per word.
 *
 *     npm run -s word-count -- --input DIR --output DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Effect, Schema } from "effect"
import { Command } from "effect/cli"
import * as Cli from "./support/cli.ts"

export const wordCount = Job.make("word-count", {
  payload: Schema.Struct({ input: Schema.String, output: Schema.String, mode: Cli.Mode }),
  action: ({ input, mode, output }) =>
    Dataset.text(input).pipe(
      Dataset.flatMap((line) => line.split(" ")),
      Dataset.filter((word) => word !== ""),
      Dataset.map((word) => [word, 1]),
      Dataset.reduceByKey((left: number, right: number) => left + right),
      Dataset.map(([word, count]) => `${word}\t${count}`),
      Dataset.writeText(output, { mode })
    )
})

const command = Command.make(
  "word-count",
  Cli.writes("word-count", Cli.dictionary, "text"),
  Effect.fn("word-count")(function* (flags) {
    const files = Cli.files(flags)
    const report = yield* Job.runReported(wordCount, files)
    yield* Cli.wrote("distinct words counted", report, `text files in ${files.output}`)
  })
).pipe(Command.withDescription("Count the words of text files"))

export const program = Cli.run(command)

if (import.meta.main) Cli.runMain(program)
