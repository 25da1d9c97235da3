/**
 * The law of columns in folders: rows that were written into folders by some of their columns are read back as they were, or are refused;
 * and `where` on them, which skips files, keeps the rows that `filter` keeps.
 */
import { Condition, Dataset, Engine, Events, Executor, JobError, Storage } from "@sluice/core"
import { Effect, Layer, Schema } from "effect"
import * as fc from "fast-check"
import assert from "node:assert"
import { columns, names, structOf } from "./values.ts"
import type { Tally } from "./writeRead.ts"

const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal({ executors: [{ slots: 2 }] })),
  Layer.provideMerge(Layer.mergeAll(Storage.layerMemory, Events.layer))
)

// Only a random schema itself knows its types.
type Columns = Schema.Struct<Record<string, Schema.Codec<unknown, unknown>>>
type Row = Readonly<Record<string, unknown>>

const isComparable = (value: unknown): value is Condition.Comparable =>
  value instanceof Date || ["number", "bigint", "string", "boolean"].includes(typeof value)

/** Conditions on a column that has some values. */
const conditionsOn = (values: ReadonlyArray<unknown>): fc.Arbitrary<Condition.Condition<{}>> => {
  const some = values.filter(isComparable)
  const none = [Condition.isNull, Condition.isNotNull]
  if (some.length === 0) return fc.constantFrom(...none)
  return (
    fc
      .tuple(fc.constantFrom(...some), fc.nat({ max: 6 }))
      .map(([value, kind]): Condition.Condition<never> =>
        kind === 0
          ? Condition.eq(value)
          : kind === 1
            ? Condition.neq(value)
            : kind === 2
              ? Condition.lt(value)
              : kind === 3
                ? Condition.gte(value)
                : kind === 4 && typeof value === "string"
                  ? Condition.startsWith(value.slice(0, 1))
                  : (none[kind % 2] ?? Condition.isNull)
      )
      // Made of a value of the column.
      .map((condition) => condition as Condition.Condition<{}>)
  )
}

const cases = fc
  .record({
    keys: fc.uniqueArray(
      names.filter((name) => name !== "row"),
      { minLength: 1, maxLength: 2 }
    ),
    types: fc.tuple(columns, columns),
    format: fc.constantFrom("csv", "jsonLines"),
    partitions: fc.integer({ min: 1, max: 3 })
  })
  .chain(({ keys, types, ...how }) => {
    const typed = structOf(
      ["row", ...keys],
      [{ schema: Schema.Int, values: fc.constant(0) }, ...types.slice(0, keys.length)]
    )
    return fc.array(typed.values, { minLength: 1, maxLength: 8 }).chain((found) => {
      const rows = found.map((row, index): Row => ({ ...(row as Row), row: index }))
      const [first = ""] = keys
      return conditionsOn(rows.map((row) => (Object.hasOwn(row, first) ? row[first] : undefined))).map((condition) => ({
        ...how,
        keys,
        rows,
        schema: typed.schema as Schema.Constraint as Columns,
        where: Object.fromEntries([[first, condition]])
      }))
    })
  })

type Case = typeof cases extends fc.Arbitrary<infer A> ? A : never

const inOrder = (rows: ReadonlyArray<Row>): ReadonlyArray<Row> =>
  rows.toSorted((left, right) => Number(left["row"]) - Number(right["row"]))

const holds = Effect.fnUntraced(function* ({ format, keys, partitions, rows, schema, where }: Case, tally: Tally) {
  const dataset = Dataset.fromIterable(rows, { partitions })
  const by = { partitionBy: keys }
  const written = yield* Effect.result(
    format === "csv"
      ? Dataset.writeCsv(dataset, "memory:///out", schema, by)
      : Dataset.writeJsonLines(dataset, "memory:///out", schema, by)
  )
  if (written._tag === "Failure") {
    assert(written.failure instanceof JobError.JobError, String(written.failure))
    const { reason } = written.failure
    const tag = reason._tag === "OutputFailed" ? reason.error.reason._tag : reason._tag
    assert(["Unencodable", "InvalidPlan"].includes(tag), written.failure.message)
    tally.refused++
    return
  }
  const options = { partitionColumns: keys }
  const read =
    format === "csv"
      ? Dataset.csv("memory:///out", schema, options)
      : Dataset.jsonLines("memory:///out", schema, options)
  const found = inOrder(yield* Dataset.collect(read))
  const optional = (name: string) =>
    schema.ast.propertySignatures.find((property) => property.name === name)?.type.context?.isOptional === true
  // A key that is `undefined` and may be missing comes back missing.
  const expected = rows.map((row) =>
    Object.fromEntries(Object.entries(row).filter(([name, value]) => value !== undefined || !optional(name)))
  )
  assert.deepStrictEqual(found, expected)
  const conditions = Condition.columns(where)
  const kept = inOrder(yield* Dataset.collect(Dataset.where(read, where)))
  const filtered = inOrder(yield* Dataset.collect(Dataset.filter(read, (row) => Condition.matchesAll(conditions, row))))
  assert.deepStrictEqual(kept, filtered)
  tally.held++
})

/** The law. */
export const foldersLaw = (tally: Tally) =>
  fc.asyncProperty(
    cases.map((one) =>
      Object.assign(one, {
        [fc.toStringMethod]: () =>
          JSON.stringify({ ...one, schema: Schema.toRepresentation(one.schema) }, (_, value: unknown) =>
            typeof value === "bigint" ? `${value}n` : value
          )
      })
    ),
    (one) => Effect.runPromise(Effect.provide(holds(one, tally), engine))
  )
