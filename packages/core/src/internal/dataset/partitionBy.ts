import { Effect, Result, Schema, type Stream } from "effect"
import { Action } from "../../Action.ts"
import * as Commit from "../../Commit.ts"
import type { Manifest, PartitionColumn, WriteMode } from "../../Commit.ts"
import type { Writer } from "../../Format.ts"
import { InvalidPlan } from "../../JobError.ts"
import type { Plan } from "../../Plan.ts"
import { codecOf } from "../formats/rows.ts"

type Columns = Schema.Struct<Schema.Struct.Fields>

// A class has fields like a struct has.
const fieldsOf = (schema: Schema.Top): Schema.Struct.Fields | undefined =>
  "fields" in schema ? (schema as Columns).fields : undefined

const columnOf = (name: string, field: Schema.Constraint): PartitionColumn<unknown> => {
  const encode = Schema.encodeUnknownResult(Schema.toCodecStringTree(codecOf(field)))
  return {
    name,
    encode: (row) => {
      const value = (row as Readonly<Record<string, unknown>>)[name]
      if (value === null || value === undefined) return Result.succeed(null)
      const result = encode(value)
      if (Result.isFailure(result)) return Result.fail(result.failure.message)
      return typeof result.success === "string"
        ? Result.succeed(result.success)
        : Result.fail("is no single value, which a folder name has to be")
    }
  }
}

// A writer of fewer columns takes rows that have more.
const widened = <A>({ encode, extension, format }: Writer<Columns["Type"]>): Writer<A> => ({
  extension,
  format,
  encode: <E, R>(rows: Stream.Stream<A, E, R>) =>
    encode(rows as Stream.Stream<unknown, E, R> as Stream.Stream<Columns["Type"], E, R>)
})

/** Writes rows as `Commit.write` does, into folders by some of their columns where that is asked for. */
export const writePartitioned = <A, S extends Schema.Top, E, R>(
  plan: Plan,
  path: string,
  schema: S,
  options:
    | {
        readonly mode?: WriteMode | undefined
        readonly partitionBy?: ReadonlyArray<string> | undefined
        readonly partitionBufferBytes?: number | undefined
      }
    | undefined,
  whole: () => Writer<A>,
  others: (schema: Columns) => Writer<Columns["Type"]>
): Action<Manifest, E, R> => {
  const by = options?.partitionBy ?? []
  if (by.length === 0) return Commit.write(plan, path, whole(), { mode: options?.mode })
  const fields = fieldsOf(schema)
  const missing = by.find((name) => fields?.[name] === undefined)
  const kept = Object.entries(fields ?? {}).filter(([name]) => !by.includes(name))
  const detail =
    fields === undefined
      ? "partitionBy needs a struct schema, whose columns it can leave out of the files"
      : missing !== undefined
        ? `partitionBy names ${JSON.stringify(missing)}, which is no column; there are ${Object.keys(fields).join(", ")}`
        : kept.length === 0
          ? "partitionBy names every column; one at least has to be left for the files"
          : undefined
  const columns = by.flatMap((name) => {
    const field = fields?.[name]
    return field === undefined ? [] : [columnOf(name, field)]
  })
  const { spec } = Commit.write<A, E, R>(
    plan,
    path,
    detail === undefined ? widened(others(Schema.Struct(Object.fromEntries(kept)))) : whole(),
    {
      mode: options?.mode,
      partitionBy: { columns, bufferBytes: options?.partitionBufferBytes }
    }
  )
  return new Action(
    detail === undefined
      ? spec
      : { ...spec, drive: () => Effect.fail(new InvalidPlan({ operator: spec.name, detail })) }
  )
}
