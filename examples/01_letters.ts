/**
 * How unevenly are the letters of a line distributed? Each line of text becomes a Parquet row `(text, score)`; the score is the
 * standard deviation of the 26 relative letter frequencies.
 *
 *     npm run -s letters -- --input DIR --output DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Console, Effect, Schema } from "effect"
import { Command } from "effect/cli"
import * as Cli from "./support/cli.ts"

const Row = Schema.Struct({ text: Schema.String, score: Schema.Number })

export const letters = Job.make("letters", {
  payload: Schema.Struct({ input: Schema.String, output: Schema.String, mode: Cli.Mode }),
  action: ({ input, mode, output }) =>
    Dataset.text(input).pipe(
      Dataset.map((text) => ({ text, score: score(text) })),
      Dataset.writeParquet(output, Row, { mode })
    )
})

/** Reads the output again: the line with the highest score. */
const mostUneven = (output: string) =>
  Dataset.parquet(output, Row).pipe(
    Dataset.filter(({ text }) => text.trim().length >= 20),
    Dataset.reduce((left, right) => (left.score >= right.score ? left : right))
  )

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

const command = Command.make(
  "letters",
  Cli.writes("letters", Cli.dictionary, "Parquet"),
  Effect.fn("letters")(function* (flags) {
    const files = Cli.files(flags)
    yield* Cli.wrote("lines scored", yield* Job.runReported(letters, files), `Parquet files in ${files.output}`)
    const row = yield* mostUneven(files.output)
    if (row._tag === "Some") {
      const { score, text } = row.value
      yield* Console.log(`most uneven line of at least 20 characters: ${score.toFixed(4)}  ${text.trim()}`)
    }
  })
).pipe(Command.withDescription("Score every line of text by its letter frequencies"))

export const program = Cli.run(command)

if (import.meta.main) Cli.runMain(program)
