/**
 * The digits as a dataset: the 1,797 images of `data/digits.csv`, repeated as often as a test needs.
 */
import { Dataset, Storage, Vector } from "@sluice/core"
import { Console, Effect, Option, Schema } from "effect"
import { fileURLToPath } from "node:url"
import { count, type Sample } from "./cli.ts"

const pixels = 64

const columns = Object.fromEntries(Array.from({ length: pixels }, (_, i) => [`p${i}`, Schema.Number]))

const Csv = Schema.Struct({ label: Schema.Number, ...columns })

/** A row of the examples' input. Rows whose `image` is a multiple of 5 were held out when the model was trained. */
const Digit = Schema.Struct({
  id: Schema.Number,
  image: Schema.Number,
  label: Schema.Number,
  features: Vector.float32(pixels)
})

/** Whether training never saw the image. The rule is written down in data/README.md. */
const isHeldOut = ({ image }: { readonly image: number }): boolean => image % 5 === 0

/** Writes `rows` digits as Parquet: row `id` is image `id % 1797`. */
const writeDigits = Effect.fn("writeDigits")(function* (path: string, rows: number) {
  const images = yield* Dataset.csv(fileURLToPath(new URL("../data/digits.csv", import.meta.url)), Csv).pipe(
    Dataset.map((row) => ({
      label: row.label,
      features: Float32Array.from({ length: pixels }, (_, i) => Number(Reflect.get(row, `p${i}`)))
    })),
    Dataset.collect
  )
  return yield* Dataset.range(0, rows, { partitions: 4 }).pipe(
    Dataset.flatMap((id) => {
      const image = id % images.length
      const digit = images[image]
      return digit === undefined ? [] : [{ id, image, ...digit }]
    }),
    Dataset.writeParquet(path, Digit, { mode: "overwrite" })
  )
})

/** The input of the examples that score. */
export const sample: Sample = {
  path: "out/digits",
  kind: "Parquet directory, file or glob",
  name: "digits, made in out/digits"
}

const rows = 200_000

/** Makes the digits unless they exist; they exist as a whole or not at all. */
export const ensure = Effect.gen(function* () {
  const storage = yield* Storage.Storage
  const there = yield* Effect.option(storage.stat(`${sample.path}/_SUCCESS`))
  if (Option.isSome(there)) return
  yield* Console.error(`making ${count(rows)} rows of digits in ${sample.path}`)
  yield* writeDigits(sample.path, rows)
})

const Labelled = Schema.Struct({ image: Schema.Number, label: Schema.Number, class: Schema.Boolean })

/** Whether an output with these columns of the digits, all by default, can be checked by {@link heldOutAccuracy}. */
export const hasLabels = (columns: ReadonlyArray<string> | undefined): boolean =>
  columns === undefined || ["image", "label"].every((name) => columns.includes(name))

/** How many held-out rows of a scored output have the right class. The model's question is whether the digit is odd. */
export const heldOutAccuracy = (output: string) =>
  Dataset.parquet(output, Labelled).pipe(
    Dataset.filter((row) => isHeldOut(row)),
    Dataset.aggregate(
      () => ({ right: 0, rows: 0 }),
      (sum, row) => {
        sum.rows++
        if (row.class === (row.label % 2 === 1)) sum.right++
        return sum
      },
      (left, right) => ({ right: left.right + right.right, rows: left.rows + right.rows })
    )
  )
