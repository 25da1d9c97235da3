/**
 * Parquet files as sources of batches and of rows: their splits, what is read of each, and what happens to rows that a
 * schema does not allow.
 */
import type * as Arrow from "apache-arrow"
import { Effect, Schema, Stream } from "effect"
import type { Problem } from "../../../codec/internal/checks.ts"
import { type FormatError, InvalidRow, SchemaMismatch } from "../../../task/FormatError.ts"
import { Storage } from "../../../storage/Storage.ts"
import type { ColumnCondition } from "../../../task/Condition.ts"
import type { FilePart, PartitionedReadOptions, Source, Split } from "../../../task/Format.ts"
import * as Origin from "../../../task/Origin.ts"
import * as TaskContext from "../../../task/TaskContext.ts"
import { selectColumns } from "../columns.ts"
import { detail, fingerprint, toResolved } from "../files.ts"
import { type Folders, foldersOf, rowsOf } from "../folders.ts"
import { expand, fail, storageFailed } from "../inputs.ts"
import { badOnInvalidRow } from "../rows.ts"
import { pack, type Unit } from "../splits.ts"
import { compileRows, describe, type RowReader } from "./arrowRows.ts"
import { format, open, type OpenFile, unreadable } from "./file.ts"
import type * as Footer from "./footer.ts"
import * as Plan from "./plan.ts"
import { assemble, batchesOf } from "./read.ts"
import { keepsValues } from "./target.ts"
import { type Libraries, load } from "./wasm.ts"
import { compileWhere } from "./where.ts"

const unitsOf = Effect.fnUntraced(function* (
  file: OpenFile,
  columns: ReadonlyArray<string> | undefined,
  mayMatch: (group: Footer.RowGroup) => boolean
) {
  const storage = yield* Storage
  const { path } = file.status
  const blocks = yield* Effect.mapError(storage.blocks(path), storageFailed(format, path))
  const wanted = columns === undefined ? undefined : new Set(columns)
  const asked = file.footer.rowGroups.flatMap((group, index) => (mayMatch(group) ? [index] : []))
  return Plan.plan(file.footer, wanted, Plan.limits, asked).map(({ group, index, ranges }): Unit => {
    // Counts what will be read, not what exists: a split with few columns spans more row groups.
    const length = ranges.reduce((sum, range) => sum + range.length, 0)
    return { file: file.status, offset: group.offset, length, rowGroup: index, rows: group.rows, blocks }
  })
})

const makeSource = <A>(options: {
  readonly paths: ReadonlyArray<string>
  readonly detail: string
  readonly columns: ReadonlyArray<string> | undefined
  readonly invalid?: Problem
  readonly project: (columns: ReadonlyArray<string>) => Source<A>
  readonly restrict?: ((where: ReadonlyArray<ColumnCondition>) => Source<A>) | undefined
  /** Conditions that rows have to meet, on columns whose values are as in the file. */
  readonly where?: ReadonlyArray<ColumnCondition> | undefined
  /** Which row groups may have rows that meet them. */
  readonly mayMatch?: ((libraries: Libraries, file: OpenFile) => (group: Footer.RowGroup) => boolean) | undefined
  /** Which files have such rows, by the columns that are in the paths. */
  readonly folders?: Folders<unknown> | undefined
  readonly rowsOf?: (element: A) => number
  /**
   * For files without rows, the element that carries the columns. Rows need none, because their schema has the columns.
   */
  readonly empty?: (libraries: Libraries, file: OpenFile) => A
  readonly read: (
    libraries: Libraries,
    files: ReadonlyArray<OpenFile>
  ) => Effect.Effect<
    (file: OpenFile, part: FilePart) => Stream.Stream<ReadonlyArray<A>, FormatError, Storage>,
    FormatError
  >
}): Source<A> => ({
  name: format,
  detail: options.detail,
  partitions: undefined,
  columns: options.columns,
  invalid: options.invalid,
  project: options.project,
  ...(options.restrict === undefined ? {} : { restrict: options.restrict, restricted: options.where }),
  resolve: Effect.fn("Parquet.resolve")(function* (split) {
    const libraries = yield* load
    const { folders } = options
    const found = yield* expand(format, options.paths)
    const statuses = folders === undefined ? found : yield* folders.select(found)
    const opened = yield* Effect.forEach(statuses, (status) => open(libraries, status), { concurrency: 16 })
    // A writer of batches that was given none does not know the columns.
    const some = opened.filter((file) => file.footer.rows > 0 || file.schema.fields.length > 0)
    const files = some.length === 0 ? opened : some
    for (const file of files) {
      const error = unreadable(file, options.columns)
      if (error !== undefined) return yield* error
    }
    const read = yield* options.read(libraries, files)
    const units = yield* Effect.forEach(
      files,
      (file) => unitsOf(file, options.columns, options.mayMatch?.(libraries, file) ?? (() => true)),
      {
        concurrency: 16
      }
    )
    const groups = files.reduce((sum, file) => sum + file.footer.rowGroups.length, 0)
    const first = files[0]
    if (units.every((some) => some.length === 0) && options.empty !== undefined && first?.schema.fields.length) {
      return { splits: [emptySplit(files, options.empty(libraries, first), options.rowsOf)] }
    }
    const byPath = new Map(files.map((file) => [file.status.path, file]))
    const resolved = toResolved(
      pack(units.flat(), split),
      (part) => {
        const file = byPath.get(part.path)
        return file === undefined ? Stream.empty : read(file, part)
      },
      { rowsOf: options.rowsOf }
    )
    const selected = folders?.note()
    const notes = [
      ...(options.where === undefined ? [] : [`${units.flat().length} of ${groups} row groups`]),
      ...(selected === undefined ? [] : [selected])
    ]
    return notes.length === 0 ? resolved : { ...resolved, note: notes.join(" in ") }
  })
})

/** A split without rows: its element tells a writer which columns there are. */
const emptySplit = <A>(
  files: ReadonlyArray<OpenFile>,
  element: A,
  rowsOf: ((element: A) => number) | undefined
): Split<A> => ({
  id: fingerprint(files.map(({ status: { length, modified, path } }) => [path, length, modified])),
  label: "empty",
  parts: [],
  bytes: 0,
  rows: 0,
  hosts: [],
  ...(rowsOf === undefined ? {} : { rowsOf }),
  read: Stream.succeed(element)
})

const isVector = (arrow: typeof Arrow, type: Arrow.DataType | undefined): boolean => {
  if (!(type instanceof arrow.List || type instanceof arrow.FixedSizeList)) return false
  const element: unknown = type.children[0]?.type
  return element instanceof arrow.Float && element.precision !== arrow.Precision.HALF
}

interface BatchSelection {
  readonly columns?: ReadonlyArray<string> | undefined
  readonly vectors?: ReadonlyArray<string> | undefined
}

/** The columns of a batch in the order in which they were asked for; the reader leaves them in that of the file. */
const inOrder = (batch: Arrow.RecordBatch, columns: ReadonlyArray<string> | undefined): Arrow.RecordBatch => {
  if (columns === undefined || batch.schema.fields.every(({ name }, i) => name === columns[i])) return batch
  const selected = selectColumns(batch, columns)
  if (typeof selected === "string") throw new Error(selected)
  return Origin.attach(selected, Origin.of(batch))
}

export const batchSource = (
  paths: ReadonlyArray<string>,
  options: BatchSelection | undefined,
  /** The columns that there are, if these are only some of the columns of the files. */
  among?: ReadonlyArray<string>
): Source<Arrow.RecordBatch> => {
  const columns = options?.columns === undefined ? undefined : [...new Set(options.columns)]
  return makeSource({
    paths,
    detail: detail(paths, { batches: true, columns }),
    columns,
    project: (selected) => batchSource(paths, { ...options, columns: selected }, among ?? columns),
    rowsOf: (batch) => batch.numRows,
    empty: (libraries, file) => {
      const { arrow } = libraries
      const asked = columns === undefined ? undefined : new Set(columns)
      const fields = file.schema.fields.filter((field) => asked === undefined || asked.has(field.name))
      const data = new Map(fields.map(({ name, type }) => [name, arrow.makeBuilder({ type }).finish().flush()]))
      return inOrder(
        assemble(libraries, file, fields, 0, (name) => data.get(name)),
        columns
      )
    },
    read: Effect.fnUntraced(function* (libraries, files) {
      for (const { schema, status } of files) {
        const mismatch = (column: string, expected: string, found?: string) =>
          fail(format, status.path, new SchemaMismatch({ column, expected, found, available: describe(schema) }))
        const names = new Set(schema.fields.map((field) => field.name).filter((name) => among?.includes(name) ?? true))
        const missing = columns?.find((name) => !names.has(name))
        if (missing !== undefined) return yield* mismatch(missing, "a column")
        for (const name of options?.vectors ?? []) {
          const type = schema.fields.find((field) => field.name === name)?.type
          if (!isVector(libraries.arrow, type)) {
            return yield* mismatch(name, "a list of float or double", type === undefined ? undefined : String(type))
          }
        }
      }
      return (file: OpenFile, part: FilePart) =>
        Stream.map(batchesOf(libraries, file, part, columns, false), (batches) =>
          batches.map((batch) => inOrder(batch, columns))
        )
    })
  })
}

interface RowOptions<in out A> extends PartitionedReadOptions<A> {
  readonly onInvalidRow?: "fail" | "deadLetter" | undefined
}

export const rowSource = <const Fields extends Schema.Struct.Fields>(
  paths: ReadonlyArray<string>,
  schema: Schema.Struct<Fields>,
  columns: ReadonlyArray<string>,
  options: RowOptions<Schema.Struct<Fields>["Type"]> | undefined,
  where: ReadonlyArray<ColumnCondition> | undefined
): Source<Schema.Struct<Fields>["Type"]> => {
  type A = Schema.Struct<Fields>["Type"]
  const names: ReadonlyArray<string> = options?.partitionColumns ?? []
  const folders = foldersOf<A>(format, schema, { names, columns, where })
  const own = folders?.others ?? schema
  const only = new Set(columns.filter((name) => !names.includes(name)))
  // The statistics of a column that the schema converts say nothing about the values that are compared.
  const kept = where?.filter(({ column }) => !names.includes(column) && keepsValues(schema, column))
  return makeSource<A>({
    paths,
    detail: detail(paths, {
      columns,
      schema: fingerprint(Schema.toRepresentation(schema)),
      onInvalidRow: options?.onInvalidRow,
      partitionColumns: options?.partitionColumns
    }),
    columns,
    invalid: badOnInvalidRow(options?.onInvalidRow),
    folders,
    project: (columns) => rowSource(paths, schema, columns, options, where),
    restrict: (more) => rowSource(paths, schema, columns, options, [...(where ?? []), ...more]),
    where: kept,
    mayMatch: (libraries, { footer, schema: file }) => compileWhere(libraries, footer, file, own, kept ?? []),
    read: Effect.fnUntraced(function* (libraries, files) {
      const readers = new Map<OpenFile, RowReader>()
      for (const file of files) {
        const reader = compileRows(own, file.schema, only)
        if (reader instanceof SchemaMismatch) return yield* fail(format, file.status.path, reader)
        readers.set(file, reader)
      }
      return (file: OpenFile, part: FilePart) => {
        const reader = readers.get(file)
        return reader === undefined
          ? Stream.empty
          : batchesOf(libraries, file, part, reader.columns, true).pipe(
              Stream.flattenIterable,
              Stream.rechunk(1),
              Stream.flatMap((batch) => rowsOfBatch(reader, batch, options?.onInvalidRow ?? "fail")),
              Stream.map((rows) => rowsOf(schema, folders, part.path, rows))
            )
      }
    })
  })
}

const starts = (rows: number, step: number): ReadonlyArray<number> =>
  Array.from({ length: Math.ceil(rows / step) }, (_, i) => i * step)

// Rows in one array: few enough to be collected young, and enough to make the cost per array small.
const chunkRows = 8192

const rowsOfBatch = (
  reader: RowReader,
  batch: Arrow.RecordBatch,
  onInvalidRow: "fail" | "deadLetter"
): Stream.Stream<ReadonlyArray<unknown>, FormatError> =>
  Stream.suspend(() => {
    const read = reader.open(batch)
    return Stream.mapEffect(Stream.fromIterable(starts(batch.numRows, chunkRows)).pipe(Stream.rechunk(1)), (from) =>
      toRows(read, batch, from, onInvalidRow)
    )
  })

const toRows = Effect.fnUntraced(function* (
  read: ReturnType<RowReader["open"]>,
  batch: Arrow.RecordBatch,
  from: number,
  onInvalidRow: "fail" | "deadLetter"
) {
  const to = Math.min(batch.numRows, from + chunkRows)
  const bad: Array<readonly [index: number, detail: string]> = []
  const rows = read(from, to, (index, detail) => {
    bad.push([index, detail])
  })
  const its = Origin.of(batch)
  if (its === undefined) throw new Error("a batch does not say where it was read")
  const { firstRow: batchRow, path, rowGroup } = its
  const origin = { ...its, firstRow: batchRow + from }
  const first = bad[0]
  if (first === undefined) return Origin.attach(rows, origin)
  const context = yield* TaskContext.Current
  if (onInvalidRow === "fail" || context === undefined) {
    return yield* fail(
      format,
      path,
      new InvalidRow({
        ...(rowGroup === undefined ? {} : { rowGroup }),
        row: batchRow + first[0],
        detail: first[1]
      })
    )
  }
  for (const [index, reason] of bad) {
    yield* context.deadLetter({
      path,
      rowGroup,
      row: batchRow + index,
      reason,
      value: String(batch.get(index))
    })
  }
  const dropped = new Set(bad.map(([index]) => index))
  const kept = Int32Array.from({ length: to - from }, (_, i) => i).filter((i) => !dropped.has(from + i))
  return Origin.attach(rows, { ...origin, kept })
})
