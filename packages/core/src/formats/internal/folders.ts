/** Columns that are in the path of a file and not in the file. */
import { Effect, Result, Schema } from "effect"
import { type ColumnCondition, matchesAll } from "../../task/Condition.ts"
import { type FormatError, SchemaMismatch } from "../../storage/FormatError.ts"
import * as Origin from "../../task/Origin.ts"
import type { FileStatus } from "../../storage/Storage.ts"
import { valuesOf } from "./folderNames.ts"
import { fail } from "./inputs.ts"
import { textFields } from "./text/fields.ts"

type Columns = Schema.Struct<Schema.Struct.Fields>
type Values = Readonly<Record<string, unknown>>

export interface Folders<out A> {
  /** What is left for the files. */
  readonly others: Columns
  /** Selects the files whose rows may meet the conditions. All files must have the columns. */
  readonly select: (files: ReadonlyArray<FileStatus>) => Effect.Effect<ReadonlyArray<FileStatus>, FormatError>
  /** What `explain` says of the last selection. */
  readonly note: () => string | undefined
  /** The rows of a file with the columns of its path. */
  readonly complete: (path: string, rows: ReadonlyArray<unknown>) => ReadonlyArray<A>
}

// A schema of other than plain rows has more to it than its fields.
const structOf = (schema: Schema.Top): Columns | undefined =>
  "fields" in schema && "propertySignatures" in schema.ast ? (schema as Columns) : undefined

/** The columns `names` of a schema, as the folders of files name them; `undefined` without names. */
export const foldersOf = <A>(
  format: string,
  schema: Schema.Schema<A>,
  options: {
    readonly names: ReadonlyArray<string> | undefined
    /** The columns that rows are to have, default all. */
    readonly columns?: ReadonlyArray<string> | undefined
    readonly where: ReadonlyArray<ColumnCondition> | undefined
  }
): Folders<A> | undefined => {
  const { columns, names = [], where = [] } = options
  if (names.length === 0) return undefined
  const struct = structOf(schema)
  const fields = struct === undefined ? [] : textFields(struct)
  const kept = Object.entries(struct?.fields ?? {}).filter(([name]) => !names.includes(name))
  const conditions = where.filter(({ column }) => names.includes(column))
  let note: string | undefined

  const decode = (path: string): Result.Result<Values, SchemaMismatch> => {
    const texts = valuesOf(path)
    const row: Record<string, unknown> = {}
    for (const name of names) {
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
      if (Result.isFailure(value)) {
        return Result.fail(
          new SchemaMismatch({
            column: name,
            expected: field.type,
            found: `${JSON.stringify(text)} in the path`,
            available: [...texts.keys()]
          })
        )
      }
      field.set(row, value.success)
    }
    return Result.succeed(row)
  }

  // Files of one folder have one row's worth of values.
  const known = new Map<string, Result.Result<Values, SchemaMismatch>>()
  const valuesIn = (path: string): Result.Result<Values, SchemaMismatch> => {
    const folder = path.slice(0, path.lastIndexOf("/") + 1)
    const found = known.get(folder)
    if (found !== undefined) return found
    const values = decode(path)
    known.set(folder, values)
    return values
  }

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
      // The fields of the files and of the folders are together those of the schema.
      const completed = rows.map((row) => ({
        ...(row as Values),
        ...own
      })) as ReadonlyArray<unknown> as ReadonlyArray<A>
      return Origin.attach(completed, Origin.of(rows))
    }
  }
}
