/** Adds up a file of CSV: `csv.ts FILE` prints its rows, the sum of `id`, the characters of both texts and the cents of `amount`. */
import { NodeServices } from "@effect/platform-node"
import { Dataset, Engine } from "@sluice/core"
import { Console, Effect, Schema } from "effect"

const Row = Schema.Struct({ id: Schema.Number, name: Schema.String, amount: Schema.Number, country: Schema.String })

const sums = Dataset.csv(process.argv[2] ?? "", Row).pipe(
  Dataset.aggregate(
    () => ({ rows: 0, ids: 0, characters: 0, cents: 0 }),
    (sums, { amount, country, id, name }) => {
      sums.rows++
      sums.ids += id
      sums.characters += name.length + country.length
      sums.cents += Math.round(amount * 100)
      return sums
    },
    (left, right) => ({
      rows: left.rows + right.rows,
      ids: left.ids + right.ids,
      characters: left.characters + right.characters,
      cents: left.cents + right.cents
    })
  ),
  Effect.flatMap(({ cents, characters, ids, rows }) => Console.log(rows, ids, characters, cents))
)

await Effect.runPromise(sums.pipe(Effect.provide(Engine.layer), Effect.provide(NodeServices.layer)))
