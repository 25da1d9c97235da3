/** Columns that are in the path of a file, and not in the file. */
import { Effect, Predicate, Result, Schema } from "effect"
import { type ColumnCondition, matchesAll } from "../../task/Condition.ts"
import { type FormatError, SchemaMismatch } from "../../task/FormatError.ts"
import * as Origin from "../../task/Origin.ts"
import type { FileStatus } from "../../storage/Storage.ts"
import { valuesOf } from "./folderNames.ts"
import { fail } from "./inputs.ts"
import { type TextField, textFields } from "./text/fields.ts"

type Columns = Schema.Struct<Schema.Struct.Fields>
type Values = Readonly<Record<string, unknown>>

export interface Folders<out A> {
  /** The columns that are left for the files. */
  readonly others: Columns
  /** Selects the files whose rows may meet the conditions. All files must have the columns. */
  readonly select: (files: ReadonlyArray<FileStatus>) => Effect.Effect<ReadonlyArray<FileStatus>, FormatError>
  /** What `explain` says about the last selection. */
  readonly note: () => string | undefined
  /** The rows of a file with the columns of its path. */
  readonly complete: (path: string, rows: ReadonlyArray<unknown>) => ReadonlyArray<A>
}

/**
 * Rows that were built field by field, each field decoded by its own schema. They have the type of the whole schema,
 * because there are no other fields. TypeScript cannot see that, so it is stated here, once.
 */
const typed = <A>(_schema: Schema.Schema<A>, rows: ReadonlyArray<unknown>): ReadonlyArray<A> => rows as ReadonlyArray<A>

/** The rows of a file, with the columns of its path if there are any. */
export const rowsOf = <A>(
  schema: Schema.Schema<A>,
  folders: Folders<A> | undefined,
  path: string,
  rows: ReadonlyArray<unknown>
): ReadonlyArray<A> => (folders === undefined ? typed(schema, rows) : folders.complete(path, rows))

// A schema of rows that are not plain objects has more to it than its fields.
const isStruct = (schema: Schema.Constraint): schema is Columns =>
  "fields" in schema && "propertySignatures" in schema.ast

/** The value of a column in the folders of a path, or why it has none. */
const valueIn = (
  texts: ReadonlyMap<string, string>,
  fields: ReadonlyArray<TextField>,
  name: string
): Result.Result<readonly [field: TextField, value: unknown], SchemaMismatch> => {
  const field = fields.find((field) => field.name === name)
  const text = texts.get(name)
  if (field === undefined || text === undefined) {
    return Result.fail(
      new SchemaMismatch({
        column: name,
        expected: field === undefined ? "a field of the schema's struct" : `${field.type} in the path`,
        available: field === undefined ? fields.map((field) => field.name) : [...texts.keys()]
      })
    )
  }
  const value = field.decode(text)
  if (Result.isSuccess(value)) return Result.succeed([field, value.success])
  const found = `${JSON.stringify(text)} in the path`
  return Result.fail(new SchemaMismatch({ column: name, expected: field.type, found, available: [...texts.keys()] }))
}

/** Reads the values of some columns in the path of a file. Files of one folder have the same: it is read once. */
const pathReader = (
  fields: ReadonlyArray<TextField>,
  names: ReadonlyArray<string>
): ((path: string) => Result.Result<Values, SchemaMismatch>) => {
  const read = (path: string): Result.Result<Values, SchemaMismatch> => {
    const texts = valuesOf(path)
    const row: Record<string, unknown> = {}
    for (const name of names) {
      const found = valueIn(texts, fields, name)
      if (Result.isFailure(found)) return Result.fail(found.failure)
      const [field, value] = found.success
      field.set(row, value)
    }
    return Result.succeed(row)
  }
  const known = new Map<string, Result.Result<Values, SchemaMismatch>>()
  return (path) => {
    const folder = path.slice(0, path.lastIndexOf("/") + 1)
    const found = known.get(folder)
    if (found !== undefined) return found
    const values = read(path)
    known.set(folder, values)
    return values
  }
}

/** The columns `names` of a schema, as the folders of files name them; `undefined` without names. */
export const foldersOf = <A>(
  format: string,
  schema: Schema.Schema<A>,
  options: {
    readonly names: ReadonlyArray<string> | undefined
    /** The columns that rows have to have. Default: all. */
    readonly columns?: ReadonlyArray<string> | undefined
    readonly where: ReadonlyArray<ColumnCondition> | undefined
  }
): Folders<A> | undefined => {
  const { columns, names = [], where = [] } = options
  if (names.length === 0) return undefined
  const struct = isStruct(schema) ? schema : undefined
  const kept = Object.entries(struct?.fields ?? {}).filter(([name]) => !names.includes(name))
  const conditions = where.filter(({ column }) => names.includes(column))
  const valuesIn = pathReader(struct === undefined ? [] : textFields(struct), names)
  let note: string | undefined
  return {
    others: Schema.Struct(Object.fromEntries(kept)),
    select: (files) =>
      Effect.gen(function* () {
        const selected: Array<FileStatus> = []
        for (const file of files) {
          const values = valuesIn(file.path)
          if (Result.isFailure(values)) return yield* fail(format, file.path, values.failure)
          if (matchesAll(conditions, values.success)) selected.push(file)
        }
        note = conditions.length === 0 ? undefined : `${selected.length} of ${files.length} files`
        return selected
      }),
    note: () => note,
    complete: (path, rows) => {
      const values = valuesIn(path)
      const all = Result.isSuccess(values) ? Object.entries(values.success) : []
      const own = Object.fromEntries(all.filter(([name]) => columns === undefined || columns.includes(name)))
      const completed = rows.map((row) => (Predicate.isObject(row) ? { ...row, ...own } : own))
      return Origin.attach(typed(schema, completed), Origin.of(rows))
    }
  }
}
