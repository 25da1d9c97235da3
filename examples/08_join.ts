/**
 * Joins two datasets: which words of a dictionary's text are headwords of it, and how often are they used? The plan comes first: it
 * shows that rows already partitioned by key (after `reduceByKey`) do not move again.
 *
 *     npm run -s join -- --input DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Console, Effect, Order, Result, Schema } from "effect"
import { Command } from "effect/cli"
import * as Cli from "./support/cli.ts"

export const joined = (input: string) => Dataset.join(uses(input), headwords(input))

export const join = Job.make("join", {
  payload: Schema.Struct({ input: Schema.String }),
  action: ({ input }) =>
    joined(input).pipe(
      Dataset.map(([word, [count, part]]) => ({ word, count, part })),
      Dataset.top(
        5,
        Order.mapInput(Order.Tuple([Order.Number, Order.String]), (row) => [row.count, row.word] as const)
      )
    )
})

/** Every word of the text with the number of its uses. */
const uses = (input: string) =>
  Dataset.text(input).pipe(
    Dataset.flatMap((line) => line.toUpperCase().match(/[A-Z][A-Z-]+/g) ?? []),
    Dataset.map((word) => [word, 1]),
    Dataset.reduceByKey((left: number, right: number) => left + right)
  )

/** Every headword with its part of speech: in capitals at the beginning of a line, before a comma. */
const headwords = (input: string) =>
  Dataset.text(input).pipe(
    Dataset.filterMap((line) => {
      const [, word, part] = /^([A-Z][A-Z-]+), (\w+)\./.exec(line) ?? []
      return word === undefined || part === undefined ? Result.failVoid : Result.succeed([word, part] as const)
    }),
    Dataset.reduceByKey((first) => first)
  )

const command = Command.make(
  "join",
  Cli.reads(Cli.dictionary),
  Effect.fn("join")(function* (flags) {
    yield* Console.log(yield* Dataset.explain(joined(flags.input)))
    const { millis, value: rows } = yield* Job.runReported(join, flags)
    yield* Console.log(`\nheadwords used most, found in ${Cli.seconds(millis)}:`)
    for (const { count, part, word } of rows) yield* Console.log(`${String(count).padStart(6)}  ${word} (${part}.)`)
  })
).pipe(Command.withDescription("Join the words of a text with its headwords"))

export const program = Cli.run(command)

if (import.meta.main) Cli.runMain(program)
