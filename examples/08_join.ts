/**
 * Joins two datasets: which of the words of a text are headwords of its own dictionary, and how often are they used? The plan is
 * printed first: what is partitioned by key after `reduceByKey` does not move again.
 *
 *     npm run -s join -- --input DIR
 */
import { Dataset, Job } from "@sluice/core"
import { Console, Effect, Order, Result, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { fileURLToPath } from "node:url"
import { runMain } from "./support/program.ts"

/** Every word of the text with the number of its uses. */
export const uses = (input: string) =>
  Dataset.text(input).pipe(
    Dataset.flatMap((line) => line.toUpperCase().match(/[A-Z][A-Z-]+/g) ?? []),
    Dataset.map((word) => [word, 1] as const),
    Dataset.reduceByKey((left: number, right: number) => left + right)
  )

/** Every headword: in capitals at the beginning of a line, before a comma. */
export const headwords = (input: string) =>
  Dataset.text(input).pipe(
    Dataset.filterMap((line) => {
      const [, word, part] = /^([A-Z][A-Z-]+), (\w+)\./.exec(line) ?? []
      return word === undefined || part === undefined ? Result.failVoid : Result.succeed([word, part] as const)
    }),
    Dataset.reduceByKey((first) => first)
  )

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

const command = Command.make(
  "join",
  {
    input: Flag.String("input").pipe(
      Flag.withDescription("Text file, directory or glob (default: The Devil's Dictionary)"),
      Flag.withDefault(fileURLToPath(new URL("data/devils-dictionary.txt", import.meta.url)))
    )
  },
  Effect.fn("join")(function* (options) {
    yield* Console.log(yield* Dataset.explain(joined(options.input)))
    const { millis, value: rows } = yield* Job.runReported(join, options)
    yield* Console.log(`\nheadwords used most, found in ${(millis / 1000).toFixed(2)} s:`)
    for (const { count, part, word } of rows) yield* Console.log(`${String(count).padStart(6)}  ${word} (${part}.)`)
  })
).pipe(Command.withDescription("Join the words of a text with its headwords"))

export const program = Command.run(command, { version: "0.1.0" })

if (import.meta.main) runMain(program)
