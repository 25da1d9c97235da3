/** Adds up a file of CSV with the parser alone: `csv-udsv.ts FILE`, as `bench/support/csv.ts` does. */
import { readFileSync } from "node:fs"
import { inferSchema, initParser } from "udsv"

const text = readFileSync(process.argv[2] ?? "", "utf8")
const parser = initParser(inferSchema(text))
const sums = { rows: 0, ids: 0, characters: 0, cents: 0 }
for (const [id, name, amount, country] of parser.typedArrs<[number, string, number, string]>(text)) {
  sums.rows++
  sums.ids += id
  sums.characters += name.length + country.length
  sums.cents += Math.round(amount * 100)
}
console.log(sums.rows, sums.ids, sums.characters, sums.cents)
