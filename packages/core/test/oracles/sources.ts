/** The sources of random pipelines: arrays and streams in memory, and files that others than Sluice have written. */
import { Condition, Dataset, Storage } from "@sluice/core"
import { Effect, Schema, Stream } from "effect"
import { parquetWriteBuffer } from "hyparquet-writer"
import { type Model, ofItems, ofParts, type Row, type Rows } from "./model.ts"
import type { Source } from "./spec.ts"

/** Keys of every kind; within a pool no two are equal. */
const pools: ReadonlyArray<ReadonlyArray<unknown>> = [
  [0, 1, 2, 3, 4, -5],
  ["a", "b", "c", "", "ü😀", "1"],
  [1, "1", 1n, true, null, undefined, Number.NaN, new Date(1), new Date(2), "", 0.5, 2 ** 40, -1n],
  [{ x: 1, y: "p" }, { x: 1, y: "q" }, { x: 2, y: "p" }, [1, "s"], [2, "s"], [1, ["s"]], { x: [new Date(5)] }],
  // All rows in few partitions, and few keys with many rows.
  ["only"]
]

const Row = Schema.Struct({ k: Schema.String, v: Schema.Number })

const textKey = (key: number) => `k${key % 7}`
const keyOf = (source: Source, key: number): unknown => {
  const pool = pools[source.pool % pools.length] ?? []
  return pool[key % pool.length]
}

const isFile = (source: Source) => ["text", "csv", "jsonl", "parquet"].includes(source.kind)

/** A range this much longer than the rows it is filtered down to has several arrays in a partition. */
const rangeStep = (source: Source) => (source.chunk > 5 ? 251 : 1)

export const modelOf = (source: Source): Model => {
  const row = ([key, value]: readonly [number, number]): Row => [
    isFile(source) ? textKey(key) : keyOf(source, key),
    value
  ]
  const parts = source.parts.map((part) => part.map(row))
  switch (source.kind) {
    case "iterable":
    case "range": {
      const rows: ReadonlyArray<Row> =
        source.kind === "iterable" ? parts.flat() : parts.flat().map((_, i) => [keyOf(source, i), i])
      // Runs of equal size, whatever the parts were; of a range, before it is filtered.
      const length = rows.length * (source.kind === "range" ? rangeStep(source) : 1)
      const step = source.kind === "range" ? rangeStep(source) : 1
      const from = (index: number) => Math.ceil(Math.floor((index * length) / parts.length) / step)
      return ofParts(
        parts.map((_, index) => rows.slice(from(index), from(index + 1))),
        true
      )
    }
    case "streams":
      return ofParts(parts, true)
    default: {
      const rows = parts.flat().filter(([, value]) => value >= source.min)
      return ofItems(rows, true)
    }
  }
}

/** Whether an invalid line follows. */
const isBad = ({ bad }: Source, index: number) => bad > 0 && index % bad === 0

/** The rows of a source that are set aside. */
export const setAside = (source: Source): number =>
  source.kind === "csv" || source.kind === "jsonl"
    ? source.parts.flatMap((part) => part.filter((_, i) => isBad(source, i))).length
    : 0

const csvCell = (text: string) => `"${text.replaceAll('"', '""')}"`

const fileOf = (source: Source, cells: Source["parts"][number]): Uint8Array => {
  const lines = (line: (key: string, value: number) => string, head = "", bad?: string) =>
    Buffer.from(
      head +
        cells
          .map(
            ([key, value], i) =>
              `${line(textKey(key), value)}\n${bad !== undefined && isBad(source, i) ? `${bad}\n` : ""}`
          )
          .join("")
    )
  switch (source.kind) {
    case "csv":
      return lines((key, value) => `${csvCell(key)},${value}`, "k,v\n", "k0,none")
    case "jsonl":
      return lines((k, v) => JSON.stringify({ k, v }), "", `{"k":"k0"}`)
    case "parquet":
      return new Uint8Array(
        parquetWriteBuffer({
          columnData: [
            { name: "more", data: cells.map(() => 0), type: "INT32", nullable: false },
            { name: "k", data: cells.map(([key]) => textKey(key)), type: "STRING", nullable: false },
            { name: "v", data: cells.map(([, value]) => value), type: "DOUBLE", nullable: false }
          ],
          rowGroupSize: source.chunk
        })
      )
    default:
      return lines((key, value) => JSON.stringify([key, value]))
  }
}

const Pair = Schema.fromJsonString(Schema.Tuple([Schema.String, Schema.Number]))
const decodePair = Schema.decodeSync(Pair)

/** Writes the files of a source, and makes the dataset that reads it. */
export const datasetOf = Effect.fnUntraced(function* (source: Source, folder: () => string) {
  const partitions = source.parts.length
  const cells = source.parts.flat()
  switch (source.kind) {
    case "iterable": {
      const rows = cells.map(([key, value]): Row => [keyOf(source, key), value])
      return Dataset.fromIterable<Row>(rows, { partitions }) satisfies Rows
    }
    case "range": {
      const step = rangeStep(source)
      return Dataset.range(0, cells.length * step, { partitions }).pipe(
        Dataset.filter((n) => n % step === 0),
        Dataset.map((n): Row => [keyOf(source, n / step), n / step])
      ) satisfies Rows
    }
    case "streams":
      return Dataset.fromStreams(
        source.parts.map((part) =>
          Stream.rechunk(
            Stream.fromIterable(part.map(([key, value]): Row => [keyOf(source, key), value])),
            source.chunk
          )
        )
      ) satisfies Rows
  }
  const storage = yield* Storage.Storage
  const path = folder()
  for (const [index, part] of source.parts.entries()) {
    const bytes = fileOf(source, part)
    yield* storage.write(`${path}/part-${index}.${source.kind}`, Stream.succeed(bytes), { overwrite: true })
  }
  const pairs = Dataset.map(({ k, v }: typeof Row.Type): Row => [k, v])
  const where = Dataset.where<typeof Row.Type>(source.min > 0 ? { v: Condition.gte(source.min) } : {})
  switch (source.kind) {
    case "csv":
      return Dataset.csv(path, Row, { onInvalidRow: "deadLetter" }).pipe(
        where,
        Dataset.select("v", "k"),
        pairs
      ) satisfies Rows
    case "jsonl":
      return Dataset.jsonLines(path, Row, { onInvalidRow: "deadLetter" }).pipe(where, pairs) satisfies Rows
    case "parquet":
      return Dataset.parquet(path, Row).pipe(where, Dataset.select("v", "k"), pairs) satisfies Rows
    default:
      return Dataset.text(path).pipe(
        Dataset.map((line): Row => decodePair(line)),
        Dataset.filter(([, value]) => value >= source.min)
      ) satisfies Rows
  }
})
