import { type Array as Arr, Effect, Predicate, Result, Schema, Stream } from "effect"
import { Action } from "../../engine/Action.ts"
import * as Commit from "../../commit/Commit.ts"
import type { Manifest, OutputOptions, PartitionColumn } from "../../commit/Commit.ts"
import type { Writer } from "../../task/Format.ts"
import { InvalidPlan } from "../../task/JobError.ts"
import type { Plan } from "../../plan/Plan.ts"
import { showValue } from "../../formats/internal/showValue.ts"
import { absent, textFields } from "../../formats/internal/text/fields.ts"

type Columns = Schema.Struct<Schema.Struct.Fields>

// A class has fields, as a struct has.
const hasFields = (schema: Schema.Top): schema is Columns => "fields" in schema

const illFormed = "contains half a surrogate pair, which a folder name cannot have"
const empty = "is the empty string, which a folder name cannot tell from a missing value"

type Row = Columns["Type"]

const areRows = <A>(values: Arr.NonEmptyReadonlyArray<A>): values is Arr.NonEmptyReadonlyArray<A & Row> =>
  values.every(Predicate.isReadonlyObject)

// The rows of a schema with fields are objects, or instances of a class. The array stays the same, and therefore keeps
// its origin.
const rowsOf = <A>(values: Arr.NonEmptyReadonlyArray<A>): Arr.NonEmptyReadonlyArray<A & Row> => {
  if (!areRows(values)) throw new TypeError("a row of a schema with fields is not an object")
  return values
}

const columnsOf = (fields: Schema.Struct.Fields): ReadonlyArray<PartitionColumn<unknown>> =>
  textFields(Schema.Struct(fields)).map((field) => ({
    name: field.name,
    encode: (row) => {
      const value = field.get(rowsOf([row])[0])
      const result = field.encode(value)
      const why = Result.isFailure(result)
        ? result.failure
        : result.success === "" && field.emptyIsNone
          ? empty
          : result.success?.isWellFormed() === false
            ? illFormed
            : undefined
      return why === undefined
        ? result
        : Result.fail(value === absent ? why : `${why}; the value is ${showValue(value)}`)
    }
  }))

// A writer of fewer columns accepts rows that have more.
const widened = <A>({ encode, extension, format, invalid }: Writer<Row>): Writer<A> => ({
  extension,
  format,
  invalid,
  encode: (rows) => encode(Stream.mapArray(rows, rowsOf))
})

/** Writes rows as `Commit.write` does, and into folders by some of their columns if that is asked for. */
export const writePartitioned = <A, S extends Schema.Top, E, R>(
  plan: Plan,
  path: string,
  schema: S,
  options:
    | (OutputOptions & {
        readonly partitionBy?: ReadonlyArray<string> | undefined
        readonly partitionBufferBytes?: number | undefined
      })
    | undefined,
  whole: () => Writer<A>,
  others: (schema: Columns) => Writer<Row>
): Action<Manifest, E, R> => {
  const by = options?.partitionBy ?? []
  const output: OutputOptions = {
    mode: options?.mode,
    whenLeased: options?.whenLeased,
    leaseWait: options?.leaseWait
  }
  if (by.length === 0) return Commit.write(plan, path, whole(), output)
  const fields = hasFields(schema) ? schema.fields : undefined
  const fieldOf = (name: string) => (fields !== undefined && Object.hasOwn(fields, name) ? fields[name] : undefined)
  const missing = by.find((name) => fieldOf(name) === undefined)
  const kept = Object.entries(fields ?? {}).filter(([name]) => !by.includes(name))
  const detail =
    fields === undefined
      ? "partitionBy needs a struct schema, whose columns it can leave out of the files"
      : missing !== undefined
        ? `partitionBy names ${JSON.stringify(missing)}, which is not a column; the columns are ${Object.keys(fields).join(", ")}`
        : by.includes("")
          ? "partitionBy names a column with an empty name, which a folder cannot have"
          : by.some((name) => !name.isWellFormed())
            ? `partitionBy names a column whose name ${illFormed}`
            : kept.length === 0
              ? "partitionBy names every column; at least one has to be left for the files"
              : undefined
  const columns = by.flatMap((name) => {
    const field = fieldOf(name)
    return field === undefined ? [] : columnsOf({ [name]: field })
  })
  const { spec } = Commit.write<A, E, R>(
    plan,
    path,
    detail === undefined ? widened(others(Schema.Struct(Object.fromEntries(kept)))) : whole(),
    {
      ...output,
      partitionBy: { columns, bufferBytes: options?.partitionBufferBytes }
    }
  )
  return new Action(
    detail === undefined
      ? spec
      : { ...spec, drive: () => Effect.fail(new InvalidPlan({ operator: spec.name, detail })) }
  )
}
