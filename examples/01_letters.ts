/**
 * The first example of the article: how unlike an even distribution are the letters of a line? Each line of text becomes a row
 * `(text, score)` of Parquet, where the score is the standard deviation of the 26 relative letter frequencies.
 *
 *     npm run -s letters -- --input DIR --output DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Console, Effect, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { fileURLToPath } from "node:url"
import { runMain } from "./support/program.ts"

const Row = Schema.Struct({ text: Schema.String, score: Schema.Number })

/** The standard deviation of the relative frequencies of a to z, upper and lower case alike; 0 for a line without letters. */
export const score = (text: string): number => {
  const counts = new Int32Array(26)
  let total = 0
  for (let i = 0; i < text.length; i++) {
    const letter = (text.charCodeAt(i) | 32) - 97
    if (letter >= 0 && letter < 26) {
      counts[letter] = (counts[letter] ?? 0) + 1
      total++
    }
  }
  if (total === 0) return 0
  let squares = 0
  for (const count of counts) {
    const difference = count / total - 1 / 26
    squares += difference * difference
  }
  return Math.sqrt(squares / 26)
}

export const letters = Job.make("letters", {
  payload: Schema.Struct({ input: Schema.String, output: Schema.String, overwrite: Schema.Boolean }),
  action: ({ input, output, overwrite }) =>
    Dataset.text(input).pipe(
      Dataset.map((text) => ({ text, score: score(text) })),
      Dataset.writeParquet(output, Row, { mode: overwrite ? "overwrite" : "error-if-exists" })
    )
})

const command = Command.make(
  "letters",
  {
    input: Flag.String("input").pipe(
      Flag.withDescription("Text file, directory or glob (default: The Devil's Dictionary)"),
      Flag.withDefault(fileURLToPath(new URL("data/devils-dictionary.txt", import.meta.url)))
    ),
    output: Flag.String("output").pipe(
      Flag.withDescription("Directory to write Parquet into (default: out/letters)"),
      Flag.withDefault("out/letters")
    ),
    overwrite: Flag.Boolean("overwrite").pipe(
      Flag.withDescription("Replace an output that is there already"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("letters")(function* (options) {
    const { millis, value: manifest } = yield* Job.runReported(letters, {
      ...options,
      // The default output is this example's own.
      overwrite: options.overwrite || options.output === "out/letters"
    })
    yield* Console.log(
      `${manifest.rows.toLocaleString("en-US")} lines scored in ${(millis / 1000).toFixed(2)} s: ` +
        `Parquet files in ${options.output}: ${manifest.files.length}`
    )
    const rows = Dataset.parquet(options.output, Row)
    const odd = yield* rows.pipe(
      Dataset.filter(({ text }) => text.trim().length >= 20),
      Dataset.reduce((left, right) => (left.score >= right.score ? left : right))
    )
    if (odd._tag === "Some") {
      yield* Console.log(
        `most uneven line of at least 20 characters: ${odd.value.score.toFixed(4)}  ${odd.value.text.trim()}`
      )
    }
  })
).pipe(Command.withDescription("Score every line of text by its letter frequencies"))

export const program = Command.run(command, { version: "0.1.0" })

if (import.meta.main) runMain(program)
