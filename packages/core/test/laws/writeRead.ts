/**
 * The law of text formats: every value is read back as it was written, or is refused with a typed error. For random
 * schemas, values, options, numbers of files and sizes of splits.
 */
import { Effect, Schema, Stream } from "effect"
import * as fc from "fast-check"
import assert from "node:assert"
import type { Source, Writer } from "../../src/task/Format.ts"
import { FormatError } from "../../src/task/FormatError.ts"
import * as Csv from "../../src/formats/Csv.ts"
import * as JsonLines from "../../src/formats/JsonLines.ts"
import * as Text from "../../src/formats/Text.ts"
import * as Storage from "../../src/storage/Storage.ts"
import { anyStrings, columns, nested, structs } from "./values.ts"

interface Case {
  /** As it is printed where the law does not hold. */
  readonly described: unknown
  readonly rows: ReadonlyArray<unknown>
  readonly expected: ReadonlyArray<unknown>
  readonly writer: Writer<unknown>
  readonly source: (path: string) => Source<unknown>
}

const compressions = fc.constantFrom<"gzip" | undefined>("gzip", undefined, undefined)

// Only a random schema itself knows its types.
type Columns = Schema.Struct<Record<string, Schema.Codec<unknown, unknown>>>

const csv: fc.Arbitrary<Case> = fc
  .record({
    typed: structs(columns),
    header: fc.boolean(),
    multiline: fc.boolean(),
    delimiter: fc.constantFrom(",", ";", "|", "\t", "'", ":", "é", "1"),
    quote: fc.constantFrom('"', "'", "~", "\u0000", "a"),
    compression: compressions
  })
  .filter(({ delimiter, quote }) => delimiter !== quote)
  .chain(({ typed, ...options }) =>
    fc.array(typed.values, { maxLength: 8 }).map((rows): Case => {
      const schema = typed.schema as Schema.Constraint as Columns
      return {
        described: { schema: Schema.toRepresentation(schema), options, rows },
        rows,
        expected: rows.map((row) => withoutUndefined(schema, row as Readonly<Record<string, unknown>>)),
        writer: Csv.writer(schema, options) as Writer<unknown>,
        source: (path) => Csv.source(path, schema, options)
      }
    })
  )

// A key that is `undefined` and may be missing comes back missing.
const withoutUndefined = (schema: Columns, row: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(
    Object.entries(row).filter(
      ([name, value]) =>
        value !== undefined ||
        schema.ast.propertySignatures.find((property) => property.name === name)?.type.context?.isOptional !== true
    )
  )

const json: fc.Arbitrary<Case> = fc
  .record({ typed: fc.oneof(structs(nested), structs(columns), nested), compression: compressions })
  .chain(({ compression, typed }) =>
    fc.array(typed.values, { maxLength: 8 }).map((rows): Case => {
      const schema = typed.schema as Schema.Constraint as Schema.Codec<unknown, unknown>
      return {
        described: { schema: Schema.toRepresentation(schema), compression, rows },
        rows,
        expected: rows,
        writer: JsonLines.writer(schema, { compression }),
        source: (path) => JsonLines.source(path, schema)
      }
    })
  )

const text: fc.Arbitrary<Case> = fc
  .record({ rows: fc.array(anyStrings, { maxLength: 12 }), compression: compressions })
  .map(({ compression, rows }): Case => ({
    described: { compression, rows },
    rows,
    expected: rows,
    writer: Text.writer({ compression }) as Writer<unknown>,
    source: (path) => Text.source(path)
  }))

const cases = { csv, jsonLines: json, text } as const

export const formats = ["csv", "jsonLines", "text"] as const

/** How often a row was refused; a law that refuses all says nothing. */
export interface Tally {
  held: number
  refused: number
}

const holds = Effect.fnUntraced(function* (
  { expected, rows, source, writer }: Case,
  how: { readonly files: number; readonly chunk: number; readonly splitBytes: number },
  tally: Tally
) {
  const storage = yield* Storage.Storage
  const written = yield* Effect.forEach(
    Array.from({ length: how.files }, (_, file) => file),
    (file) => {
      const from = Math.floor((rows.length * file) / how.files)
      const to = Math.floor((rows.length * (file + 1)) / how.files)
      const some = Stream.rechunk(Stream.fromArray(rows.slice(from, to)), how.chunk)
      return storage.write(`memory:///d/part-${file}${writer.extension}`, writer.encode(some), { overwrite: true })
    }
  ).pipe(Effect.result)
  const found =
    written._tag === "Failure"
      ? written
      : yield* source("memory:///d")
          .resolve({ splitBytes: how.splitBytes, openCostBytes: 0 })
          .pipe(
            Effect.flatMap(({ splits }) => Effect.forEach(splits, (split) => Stream.runCollect(split.read))),
            Effect.map((splits) => splits.flat()),
            Effect.result
          )
  if (found._tag === "Failure") {
    assert(found.failure instanceof FormatError, String(found.failure))
    assert(["Unencodable", "Corrupt"].includes(found.failure.reason._tag), found.failure.message)
    // A completely written file can be read, except for fields with line breaks if the options rule them out.
    if (written._tag === "Success") assert(found.failure.message.includes("multiline"), found.failure.message)
    tally.refused++
    return
  }
  assert.deepStrictEqual(found.success, expected)
  tally.held++
})

/** The law for one format. */
export const writeRead = (format: (typeof formats)[number], tally: Tally) =>
  fc.asyncProperty(
    cases[format].map((one) => Object.assign(one, { [fc.toStringMethod]: () => JSON.stringify(one.described, shown) })),
    fc.record({
      files: fc.integer({ min: 1, max: 3 }),
      chunk: fc.integer({ min: 1, max: 5 }),
      splitBytes: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(1e6))
    }),
    (one, how) => Effect.runPromise(Effect.provide(holds(one, how, tally), Storage.layerMemory))
  )

const shown = (_: string, value: unknown): unknown =>
  typeof value === "bigint" ? `${value}n` : Object.is(value, -0) ? "-0" : value === undefined ? "undefined" : value
