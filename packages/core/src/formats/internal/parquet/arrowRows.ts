/** From the columns of a record batch to rows typed by a schema: fitted to a file once, then read batch by batch. */
import type * as Arrow from "apache-arrow"
import { Result, Schema, SchemaAST } from "effect"
import { fieldGetter, only, setField } from "../../../codec/internal/fields.ts"
import { SchemaMismatch } from "../../../task/FormatError.ts"
import { codecOf } from "../rows.ts"
import { BadValue, compile, type Compiled, type Getter } from "./getters.ts"
import { expectedName, isDirect, type Target, targetOf } from "./target.ts"

/** Reads rows out of batches of one file schema. */
export interface RowReader {
  readonly columns: ReadonlyArray<string>
  /** Reads rows `[from, to)` of a batch; rows that the schema does not allow are left out and passed to `onBad`. */
  readonly open: (
    batch: Arrow.RecordBatch
  ) => (from: number, to: number, onBad: (index: number, detail: string) => void) => Array<unknown>
}

export const describe = (schema: Arrow.Schema): ReadonlyArray<string> =>
  schema.fields.map((field) => `${field.name}: ${String(field.type)}`)

interface Column {
  readonly name: string
  readonly compiled: Compiled | undefined
  readonly decode: ((value: unknown) => unknown) | undefined
  /** The value if the file has no such column. */
  readonly absent: null | undefined
  /** Whether a row lacks the key when the value is `undefined`. */
  readonly optional: boolean
}

/** Matches the requested columns of a struct schema with the schema of a file, or says what does not fit. */
export const compileRows = (
  schema: Schema.Struct<Schema.Struct.Fields>,
  file: Arrow.Schema,
  only: ReadonlySet<string>
): RowReader | SchemaMismatch => {
  const columns: Array<Column> = []
  for (const field of schema.ast.propertySignatures) {
    const name = String(field.name)
    if (!only.has(name)) continue
    const target = targetOf(field)
    const there = file.fields.find((candidate) => candidate.name === name)
    const compiled = there === undefined ? undefined : compile(there.type, target)
    if (compiled === undefined && (there !== undefined || !target.nullable)) {
      return new SchemaMismatch({
        column: name,
        expected: expectedName(target.ast),
        ...(there === undefined ? {} : { found: String(there.type) }),
        available: describe(file)
      })
    }
    const own = schema.fields[name]
    const direct = isDirect(field.type)
    columns.push({
      name,
      compiled,
      absent: target.absent,
      optional: SchemaAST.isOptional(field.type),
      decode: direct || own === undefined ? undefined : decodeWith(name, own, target)
    })
  }
  return {
    columns: columns.filter((column) => column.compiled !== undefined).map((column) => column.name),
    open: (batch) => {
      const opened = columns.map(({ absent, compiled, decode, name, optional }): OpenColumn => {
        const at = batch.schema.fields.findIndex((field) => field.name === name)
        const data = batch.data.children[at]
        const get: Getter = compiled === undefined || data === undefined ? () => absent : compiled(data)
        return { name, optional, get: decode === undefined ? get : (index) => decode(get(index)) }
      })
      return (from, to, onBad) => build(opened, from, to, onBad)
    }
  }
}

const decodeWith = (name: string, schema: Schema.Constraint, target: Target): ((value: unknown) => unknown) => {
  const right = <A>(result: Result.Result<A, Schema.SchemaError>): A => {
    if (Result.isFailure(result)) throw new BadValue(result.failure.message)
    return result.success
  }
  if (!target.optional) {
    const decode = Schema.decodeUnknownResult(codecOf(schema))
    return (value) => right(decode(value))
  }
  // Only in a struct does a missing key differ from `undefined`.
  const decode = Schema.decodeUnknownResult(Schema.Struct({ [name]: codecOf(schema) }))
  const get = fieldGetter(name)
  return (value) => get(right(decode(only(name, value))))
}

/** A column of an open batch. */
interface OpenColumn {
  readonly name: string
  readonly get: Getter
  /** Whether a row lacks the key when the value is `undefined`. */
  readonly optional: boolean
}

// Loops over the same columns in the same order for every row, so that V8 gives the rows one hidden class.
const build = (
  columns: ReadonlyArray<OpenColumn>,
  from: number,
  to: number,
  onBad: (index: number, detail: string) => void
): Array<unknown> => {
  const rows: Array<unknown> = []
  let reading: string | undefined
  for (let index = from; index < to; index++) {
    try {
      const row: Record<string, unknown> = {}
      for (const { get, name, optional } of columns) {
        reading = name
        const value = get(index)
        if (value !== undefined || !optional) setField(row, name, value)
      }
      rows.push(row)
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      onBad(index, `column "${reading}" ${error.message}`)
    }
  }
  return rows
}
