/**
 * Parquet files, as rows typed by a `Schema` or as Arrow record batches.
 *
 * A split is a run of row groups. One row group is in memory at a time, as it is in the file and decoded; one of more than
 * 96 MiB of pages before compression is decoded in slices of about 64 MiB, so that what is held is its compressed bytes and
 * two slices. Only the columns asked for are read, each row group with as few ranged reads as can be. The schema is fitted
 * to each file's own before the first row is read.
 *
 * Vectors (`list<float>` without nulls) are copied out of their pages once and lie next to each other, a row group in one
 * buffer. They are written plain, without dictionary and statistics, and uncompressed where Snappy would find nothing.
 *
 * @since 0.1.0
 */
import type * as Arrow from "apache-arrow"
import { Effect, Option, Schema, Stream } from "effect"
import type { ColumnCondition } from "../task/Condition.ts"
import type { FilePart, PartitionedReadOptions, Source, Split, VerifyOptions, Writer } from "../task/Format.ts"
import { Corrupt, type FormatError, InvalidRow, SchemaMismatch } from "../storage/FormatError.ts"
import { firstOf, oneOf, optional, type Problem, whole } from "../codec/internal/checks.ts"
import { compileRows, describe, keepsValues, type RowReader } from "./internal/parquet/arrowRows.ts"
import { compileWhere } from "./internal/parquet/where.ts"
import { detail, fingerprint, toResolved } from "./internal/files.ts"
import { type Folders, foldersOf } from "./internal/folders.ts"
import { expand, fail, storageFailed, toPaths } from "./internal/inputs.ts"
import * as Footer from "./internal/parquet/footer.ts"
import { readAs } from "./internal/parquet/types.ts"
import * as Vectors from "./internal/parquet/vectors.ts"
import { encodeBatches, type EncodeOptions, encodeRows } from "./internal/parquet/write.ts"
import { badOnInvalidRow } from "./internal/rows.ts"
import { pack, type Unit } from "./internal/splits.ts"
import { type Libraries, load } from "./internal/parquet/wasm.ts"
import { verifiedOr } from "./internal/verified.ts"
import * as Origin from "../task/Origin.ts"
import { type FileStatus, Storage } from "../storage/Storage.ts"
import * as TaskContext from "../task/TaskContext.ts"

const format = "parquet"

/**
 * What a footer says of a file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Metadata {
  readonly path: string
  readonly rows: number
  /** Columns, each `name: type` in Arrow's terms. */
  readonly columns: ReadonlyArray<string>
  readonly schema: Arrow.Schema
  readonly rowGroups: ReadonlyArray<Footer.RowGroup>
}

/**
 * How rows are read.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParquetOptions extends VerifyOptions {
  /** A row that the schema does not allow fails the task (`"fail"`, default) or is set aside (`"deadLetter"`). */
  readonly onInvalidRow?: "fail" | "deadLetter" | undefined
}

/**
 * How record batches are read.
 *
 * @category models
 * @since 0.1.0
 */
export interface BatchOptions extends VerifyOptions {
  /** Columns to read, default all. */
  readonly columns?: ReadonlyArray<string> | undefined
  /** Columns that must be lists of float or double, which is looked at before the first batch is read. */
  readonly vectors?: ReadonlyArray<string> | undefined
}

/**
 * How Parquet is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParquetWriterOptions {
  /** Default `"snappy"`, which leaves vectors as they are where it would find nothing to compress. */
  readonly compression?: "snappy" | "zstd" | "gzip" | "none" | undefined
  /** Most rows of a row group. Default 1 Mi; a row group also ends at about 64 MiB. */
  readonly rowGroupRows?: number | undefined
}

interface OpenFile {
  readonly status: FileStatus
  readonly footer: Footer.Footer
  readonly schema: Arrow.Schema
  readonly vectors: ReadonlyMap<string, Vectors.VectorColumn>
  /** Whether the decoder has to be told the types, and would choose others. */
  readonly ownTypes: boolean
  /** Footers of some of the columns, by their names. */
  readonly projections: Map<string, Footer.Footer>
}

const corrupt =
  (path: string) =>
  (error: unknown): FormatError =>
    fail(
      format,
      path,
      new Corrupt({
        detail: !(error instanceof Error)
          ? String(error)
          : error.name === "RuntimeError"
            ? `has a row group that ends the decoder (${error.message}): damaged, or with values of more than 2 GiB`
            : error.message
      })
    )

/** The schema of a file. One that a writer of Arrow put beside that of Parquet, and which does not fit it, is left out. */
const schemaOf = ({ arrow, codec }: Libraries, footer: Footer.Footer): readonly [Footer.Footer, Arrow.Schema] => {
  const read = (from: Footer.Footer) =>
    arrow.tableFromIPC(codec((wasm) => wasm.readSchema(Footer.emptyFile(from)).intoIPCStream())).schema
  try {
    return [footer, read(footer)]
  } catch (error) {
    const plain = Footer.withoutArrowSchema(footer)
    if (plain === footer) throw error
    return [plain, read(plain)]
  }
}

const tailBytes = 64 * 1024

const open = Effect.fnUntraced(function* (libraries: Libraries, status: FileStatus) {
  const storage = yield* Storage
  const { length, path } = status
  if (length < 12) {
    return yield* fail(
      format,
      path,
      new Corrupt({ detail: `has ${length} bytes, the smallest Parquet file has 12: truncated, or no Parquet file` })
    )
  }
  const read = (offset: number, length: number) =>
    Effect.mapError(storage.readRange(path, offset, length), storageFailed(format, path))
  const tailLength = Math.min(tailBytes, length)
  const tail = yield* read(length - tailLength, tailLength)
  const footerLength = Footer.footerLength(tail.subarray(tail.length - Footer.trailerBytes), length)
  if (typeof footerLength === "string") return yield* fail(format, path, new Corrupt({ detail: footerLength }))
  const fromEnd = footerLength + Footer.trailerBytes
  const bytes =
    fromEnd <= tail.length
      ? tail.subarray(tail.length - fromEnd, tail.length - Footer.trailerBytes)
      : yield* read(length - fromEnd, footerLength)
  return yield* Effect.try({
    try: (): OpenFile => {
      const parsed = Footer.parse(bytes, length)
      const [footer, decoder] = schemaOf(libraries, parsed)
      const schema = readAs(libraries.arrow, decoder, footer.schema)
      const vectors = Vectors.vectorColumns(footer.struct)
      return { status, footer, schema, vectors, ownTypes: schema !== decoder, projections: new Map() }
    },
    catch: corrupt(path)
  })
})

/**
 * Reads the footers of all files of a path.
 *
 * @category getters
 * @since 0.1.0
 */
export const metadata = Effect.fn("Parquet.metadata")(function* (path: string | ReadonlyArray<string>) {
  const libraries = yield* load
  const files = yield* expand(format, toPaths(path))
  const opened = yield* Effect.forEach(files, (file) => open(libraries, file), { concurrency: 16 })
  return opened.map((file): Metadata => ({
    path: file.status.path,
    rows: file.footer.rows,
    columns: describe(file.schema),
    schema: file.schema,
    rowGroups: file.footer.rowGroups
  }))
})

// A row group is one batch, but for those larger than this: pages before compression, which for plain encoded numbers is
// what they take in memory. These are decoded in slices.
const wholeBytes = 96 * 1024 * 1024
const sliceBytes = 64 * 1024 * 1024

// The input of the decoder, put together here again and again while it is small: new memory costs more than the copy.
const maxScratch = 64 * 1024 * 1024
let scratch = Buffer.alloc(0)
const joined = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  if (length > maxScratch) return Buffer.concat(pieces)
  if (length > scratch.length) scratch = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const piece of pieces) {
    scratch.set(piece, at)
    at += piece.length
  }
  return scratch.subarray(0, length)
}

// Rows of the first slice of a row group that is read as rows: those who take a few wait for no more, and it shows how much
// memory the others take.
const firstRows = 8192

/**
 * The batches of a row group: those of each call of the decoder together, the rows of one with those before it. With `probe` the
 * first has only a few rows.
 */
const readRowGroup = Effect.fnUntraced(function* (
  libraries: Libraries,
  file: OpenFile,
  index: number,
  columns: ReadonlyArray<string> | undefined,
  probe: boolean
) {
  const storage = yield* Storage
  const { path } = file.status
  const group = file.footer.rowGroups[index]
  if (group === undefined)
    return yield* fail(format, path, new Corrupt({ detail: `has no row group ${index} any more` }))
  const asked = columns === undefined ? undefined : new Set(columns)
  const fields = file.schema.fields.filter((field) => asked === undefined || asked.has(field.name))
  const wanted = new Set(fields.map((field) => field.name))
  const ranges = Footer.rangesOf(group, wanted)
  let pieces = yield* Effect.forEach(
    ranges,
    (range) => Effect.mapError(storage.readRange(path, range.offset, range.length), storageFailed(format, path)),
    { concurrency: 4 }
  )
  const bytes = Footer.plainLength(group, wanted)
  let step = Math.max(1, Math.ceil(group.rows / (bytes > wholeBytes ? Math.ceil(bytes / sliceBytes) : 1)))
  // Vectors of a row group lie in one piece, whatever is read of them.
  const first =
    probe && group.rows > 2 * firstRows && !fields.some((field) => file.vectors.has(field.name)) ? firstRows : step

  let decoders: ReadonlyMap<string, (rows: number) => Arrow.Data | undefined> | undefined
  // The other columns of a row group that is read in slices, where they fit: the decoder starts anew for each slice.
  let others: Arrow.RecordBatch | undefined

  const decodeRest = (names: ReadonlySet<string>, slice: Slice): Arrow.RecordBatch | undefined => {
    try {
      return decode(libraries, file, index, names, ranges, pieces, slice)
    } catch (error) {
      // Some encodings cannot be read from the middle on, which says nothing of the file.
      if (slice.firstRow === 0) throw error
      const all = { rows: group.rows, firstRow: 0 }
      const batch = decode(libraries, file, index, new Set([...wanted].filter(isOther)), ranges, pieces, all)
      others = batch
      return undefined
    }
  }
  const isOther = (name: string): boolean => decoders?.has(name) !== true

  const slice = (firstRow: number): Effect.Effect<ReadonlyArray<Arrow.RecordBatch>, FormatError> =>
    Effect.try({
      try: () => {
        const rows = firstRow === 0 ? Math.min(first, group.rows) : Math.min(step, group.rows - firstRow)
        if (decoders === undefined) {
          decoders = vectorDecoders(libraries, file, group, fields, ranges, pieces, step)
          const names = new Set([...wanted].filter(isOther))
          if (first === step && rows < group.rows && names.size > 0 && Footer.plainLength(group, names) <= wholeBytes) {
            others = decode(libraries, file, index, names, ranges, pieces, { rows: group.rows, firstRow })
          }
        }
        const found = new Map<string, Arrow.Data>()
        for (const { name } of fields) {
          const data = decoders.get(name)?.(rows)
          if (data !== undefined) found.set(name, data)
        }
        const missing = new Set([...wanted].filter((name) => !found.has(name)))
        const short = first < step && firstRow === 0
        let rest =
          missing.size === 0 || others !== undefined ? undefined : decodeRest(missing, { rows, firstRow, short })
        if (others !== undefined) {
          for (const name of missing) {
            const data = others.getChild(name)?.data[0]?.slice(firstRow, rows)
            if (data !== undefined) found.set(name, data)
          }
          const left = new Set([...wanted].filter((name) => !found.has(name)))
          // A vector that turned out to be none.
          rest = left.size === 0 ? undefined : decode(libraries, file, index, left, ranges, pieces, { rows, firstRow })
        }
        if (short && rest !== undefined) {
          const perRow = rest.data.byteLength / rows
          const more = perRow * (group.rows - rows)
          step = more > wholeBytes ? Math.max(firstRows, Math.ceil(sliceBytes / perRow)) : group.rows
        }
        // The stream keeps this function until the last batch is done with.
        if (firstRow + rows === group.rows) {
          pieces = []
          decoders = undefined
          others = undefined
        }
        const batch =
          found.size === 0 && rest !== undefined
            ? rest
            : assemble(libraries, file, fields, rows, (name) => found.get(name) ?? rest?.getChild(name)?.data[0])
        if (batch.numRows !== rows) throw new Error(`row group ${index} has ${batch.numRows} rows, not ${rows}`)
        return [Origin.attach(batch, { path, rowGroup: index, firstRow, kept: undefined })]
      },
      catch: corrupt(path)
    })
  return Stream.paginate(0, (firstRow) =>
    Effect.map(slice(firstRow), (batches) => {
      const next = batches.reduce((row, batch) => row + batch.numRows, firstRow)
      return [[batches], next < group.rows ? Option.some(next) : Option.none()] as const
    })
  )
})

/** For each column of vectors the function that reads its next rows. */
const vectorDecoders = (
  { arrow }: Libraries,
  file: OpenFile,
  group: Footer.RowGroup,
  fields: ReadonlyArray<Arrow.Field>,
  ranges: ReadonlyArray<Footer.Range>,
  pieces: ReadonlyArray<Uint8Array>,
  step: number
): ReadonlyMap<string, (rows: number) => Arrow.Data | undefined> => {
  const decoders = new Map<string, (rows: number) => Arrow.Data | undefined>()
  for (const { name, type } of fields) {
    const shape = file.vectors.get(name)
    const column = group.columns.find((column) => column.path[0] === name)
    if (shape === undefined || column === undefined || !arrow.DataType.isList(type)) continue
    const item = type.children[0]?.type
    if (item === undefined || !arrow.DataType.isFloat(item)) continue
    const chunk = Vectors.chunkOf(column, ranges, pieces)
    const decoder = Vectors.makeVectorDecoder(chunk, column, shape, group.rows, step)
    if (decoder === undefined) continue
    decoders.set(name, (rows) => {
      const vectors = decoder.next(rows)
      if (vectors === undefined) return undefined
      const { offsets: valueOffsets, values: data } = vectors
      const child = arrow.makeData({ type: new arrow.Float32(), length: data.length, data })
      return arrow.makeData({ type, length: rows, nullCount: 0, valueOffsets, child })
    })
  }
  return decoders
}

interface Slice {
  readonly rows: number
  readonly firstRow: number
  /** Whether only the pages are looked at that the slice has its rows in. */
  readonly short?: boolean
}

const decode = (
  libraries: Libraries,
  file: OpenFile,
  index: number,
  names: ReadonlySet<string>,
  read: ReadonlyArray<Footer.Range>,
  bytes: ReadonlyArray<Uint8Array>,
  { firstRow, rows, short = false }: Slice
): Arrow.RecordBatch => {
  const footer = projected(libraries, file, names)
  const columns = (footer.rowGroups[index]?.columns ?? []).filter((column) => names.has(column.path[0] ?? ""))
  const chunks = columns.map((column) => Vectors.chunkOf(column, read, bytes))
  // In lists a row has any number of values.
  const enough = (column: Footer.ColumnChunk): number | undefined =>
    short && !Footer.isRepeated(file.footer, column) ? rows : undefined
  const lengths = columns.map((column, i) =>
    Vectors.verify(chunks[i] ?? new Uint8Array(0), column, firstRow === 0 || !short, enough(column))
  )
  const ranges = columns.map(({ offset }, i) => ({ offset, length: lengths[i] ?? 0 }))
  const pieces = chunks.map((chunk, i) => chunk.subarray(0, lengths[i]))
  const input = joined(Footer.rowGroupFile(footer, index, ranges, pieces, lengths))
  // `intoIPCStream` consumes the table: nothing is left in the decoder's memory.
  const options = { batchSize: rows, limit: rows, offset: firstRow }
  const ipc = libraries.codec((wasm) => wasm.readParquet(input, options).intoIPCStream())
  const [batch, more] = libraries.arrow.tableFromIPC(ipc).batches
  if (batch === undefined || more !== undefined) throw new Error(`row group ${index} is not of one piece`)
  return batch
}

const assemble = (
  { arrow }: Libraries,
  file: OpenFile,
  fields: ReadonlyArray<Arrow.Field>,
  length: number,
  dataOf: (name: string) => Arrow.Data | undefined
): Arrow.RecordBatch => {
  const children = fields.map((field) => {
    const data = dataOf(field.name)
    if (data === undefined || data.length !== length) throw new Error(`column "${field.name}" has not ${length} rows`)
    return data
  })
  const type = new arrow.Struct([...fields])
  const schema = new arrow.Schema([...fields], file.schema.metadata)
  return new arrow.RecordBatch(schema, arrow.makeData({ type, length, nullCount: 0, children }))
}

const starts = (rows: number, step: number): ReadonlyArray<number> =>
  Array.from({ length: Math.ceil(rows / step) }, (_, i) => i * step)

const projected = (libraries: Libraries, file: OpenFile, wanted: ReadonlySet<string>): Footer.Footer => {
  const { fields, metadata } = file.schema
  const kept = fields.filter((field) => wanted.has(field.name))
  if (kept.length === fields.length && !file.ownTypes) return file.footer
  const key = JSON.stringify(kept.map((field) => field.name))
  const known = file.projections.get(key)
  if (known !== undefined) return known
  const { Schema, Table, tableToIPC } = libraries.arrow
  const made = Footer.project(file.footer, wanted, tableToIPC(new Table(new Schema(kept, metadata)), "stream"))
  file.projections.set(key, made)
  return made
}

/** What is wrong with those columns of a file that are to be read: `undefined` where all can be. */
const unreadable = (file: OpenFile, columns: ReadonlyArray<string> | undefined): FormatError | undefined => {
  for (const [column, found] of file.footer.schema.unreadable) {
    if (columns !== undefined && !columns.includes(column)) continue
    const expected = "a column that can be read"
    const available = describe(file.schema)
    return fail(format, file.status.path, new SchemaMismatch({ column, expected, found, available }))
  }
  return undefined
}

const batchesOf = (
  libraries: Libraries,
  file: OpenFile,
  part: FilePart,
  columns: ReadonlyArray<string> | undefined,
  probe: boolean
): Stream.Stream<ReadonlyArray<Arrow.RecordBatch>, FormatError, Storage> =>
  Stream.fromIterable(part.rowGroups ?? []).pipe(
    Stream.rechunk(1),
    Stream.flatMap((index) => Stream.unwrap(readRowGroup(libraries, file, index, columns, probe)))
  )

const unitsOf = Effect.fnUntraced(function* (
  file: OpenFile,
  columns: ReadonlyArray<string> | undefined,
  mayMatch: (group: Footer.RowGroup) => boolean
) {
  const storage = yield* Storage
  const { path } = file.status
  const blocks = yield* Effect.mapError(storage.blocks(path), storageFailed(format, path))
  const wanted = columns === undefined ? undefined : new Set(columns)
  return file.footer.rowGroups.flatMap((group, rowGroup): ReadonlyArray<Unit> => {
    if (group.rows === 0 || !mayMatch(group)) return []
    // What will be read, not what is there: a split of few columns spans more row groups.
    const length = Footer.rangesOf(group, wanted).reduce((sum, range) => sum + range.length, 0)
    return [{ file: file.status, offset: group.offset, length, rowGroup, rows: group.rows, blocks }]
  })
})

const makeSource = <A>(options: {
  readonly paths: ReadonlyArray<string>
  readonly detail: string
  readonly columns: ReadonlyArray<string> | undefined
  readonly invalid?: Problem
  readonly project: (columns: ReadonlyArray<string>) => Source<A>
  readonly restrict?: ((where: ReadonlyArray<ColumnCondition>) => Source<A>) | undefined
  /** What rows have to meet, on columns whose values are the file's own. */
  readonly where?: ReadonlyArray<ColumnCondition> | undefined
  /** Which row groups may have such rows. */
  readonly mayMatch?: ((libraries: Libraries, file: OpenFile) => (group: Footer.RowGroup) => boolean) | undefined
  /** The columns that are in the paths. */
  readonly folders?: Folders<A> | undefined
  readonly rowsOf?: (element: A) => number
  /** The element that has the columns, for files without rows; a row has none, its schema has them. */
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
    // A writer of batches that was given none knows no columns.
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
        if (file === undefined) return Stream.empty
        const rows = read(file, part)
        return folders === undefined ? rows : Stream.map(rows, (array) => folders.complete(part.path, array))
      },
      options.rowsOf
    )
    const selected = folders?.note()
    const notes = [
      ...(options.where === undefined ? [] : [`${units.flat().length} of ${groups} row groups`]),
      ...(selected === undefined ? [] : [selected])
    ]
    return notes.length === 0 ? resolved : { ...resolved, note: notes.join(" in ") }
  })
})

/** A split of no rows: its element tells those who write it on which columns there are. */
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

/**
 * The record batches of Parquet files. Each has an `Origin`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const batches = (path: string | ReadonlyArray<string>, options?: BatchOptions): Source<Arrow.RecordBatch> =>
  verifiedOr(options, toPaths(path), (paths) => batchSource(paths, options))

const batchSource = (paths: ReadonlyArray<string>, options: BatchOptions | undefined): Source<Arrow.RecordBatch> => {
  const columns = options?.columns
  return makeSource({
    paths,
    detail: detail(paths, { batches: true, columns }),
    columns,
    project: (columns) => batchSource(paths, { ...options, columns }),
    rowsOf: (batch) => batch.numRows,
    empty: (libraries, file) => {
      const { arrow } = libraries
      const asked = columns === undefined ? undefined : new Set(columns)
      const fields = file.schema.fields.filter((field) => asked === undefined || asked.has(field.name))
      const data = new Map(fields.map(({ name, type }) => [name, arrow.makeBuilder({ type }).finish().flush()]))
      return assemble(libraries, file, fields, 0, (name) => data.get(name))
    },
    read: Effect.fnUntraced(function* (libraries, files) {
      for (const { schema, status } of files) {
        const mismatch = (column: string, expected: string, found?: string) =>
          fail(format, status.path, new SchemaMismatch({ column, expected, found, available: describe(schema) }))
        const missing = columns?.find((name) => !schema.fields.some((field) => field.name === name))
        if (missing !== undefined) return yield* mismatch(missing, "a column")
        for (const name of options?.vectors ?? []) {
          const type = schema.fields.find((field) => field.name === name)?.type
          if (!isVector(libraries.arrow, type)) {
            return yield* mismatch(name, "a list of float or double", type === undefined ? undefined : String(type))
          }
        }
      }
      return (file: OpenFile, part: FilePart) => batchesOf(libraries, file, part, columns, false)
    })
  })
}

/**
 * The rows of Parquet files, typed by a struct schema.
 *
 * Columns whose type is the schema's own cost nothing more than reading them; others run the schema's decoder for that
 * column. 64-bit integers are `Schema.BigInt`, or `Schema.Number` where they are safe integers.
 *
 * Timestamps are `Schema.Date` (whole milliseconds, floored), `Schema.Number` (milliseconds) or `Schema.BigInt` (in the unit of the
 * column; `INT96` is read in microseconds, what is finer is cut off). A date that no `Date` reaches is an invalid row. A `null` is the missing key of an optional
 * field, unless that may be `null`. A column that cannot be read, because it is encrypted, there twice or a decimal of more than 76
 * digits, is a `SchemaMismatch` where it is asked for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const source = <const Fields extends Schema.Struct.Fields>(
  path: string | ReadonlyArray<string>,
  schema: Schema.Struct<Fields>,
  options?: ParquetOptions & PartitionedReadOptions<Schema.Struct<Fields>["Type"]>
): Source<Schema.Struct<Fields>["Type"]> =>
  verifiedOr(options, toPaths(path), (paths) =>
    rowSource(
      paths,
      schema,
      schema.ast.propertySignatures.map((field) => String(field.name)),
      options,
      undefined
    )
  )

const rowSource = <const Fields extends Schema.Struct.Fields>(
  paths: ReadonlyArray<string>,
  schema: Schema.Struct<Fields>,
  columns: ReadonlyArray<string>,
  options: (ParquetOptions & PartitionedReadOptions<Schema.Struct<Fields>["Type"]>) | undefined,
  where: ReadonlyArray<ColumnCondition> | undefined
): Source<Schema.Struct<Fields>["Type"]> => {
  type A = Schema.Struct<Fields>["Type"]
  const names: ReadonlyArray<string> = options?.partitionColumns ?? []
  const folders = foldersOf<A>(format, schema, { names, columns, where })
  // Without the columns of the folders a row is not yet an `A`; `folders` completes it.
  const own = folders === undefined ? schema : (folders.others as typeof schema)
  const only = new Set(columns.filter((name) => !names.includes(name)))
  // A column that the schema makes something else of says nothing of the values that are compared.
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
      const readers = new Map<OpenFile, RowReader<A>>()
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
              Stream.flatMap((batch) => rowsOfBatch(reader, batch, options?.onInvalidRow ?? "fail"))
            )
      }
    })
  })
}

// Rows that live together: few enough to die young, enough to make the work for an array small.
const chunkRows = 8192

const rowsOfBatch = <A>(
  reader: RowReader<A>,
  batch: Arrow.RecordBatch,
  onInvalidRow: "fail" | "deadLetter"
): Stream.Stream<ReadonlyArray<A>, FormatError> =>
  Stream.suspend(() => {
    const read = reader.open(batch)
    return Stream.mapEffect(Stream.fromIterable(starts(batch.numRows, chunkRows)).pipe(Stream.rechunk(1)), (from) =>
      toRows(read, batch, from, onInvalidRow)
    )
  })

const toRows = Effect.fnUntraced(function* <A>(
  read: ReturnType<RowReader<A>["open"]>,
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
  const path = its?.path ?? ""
  const batchRow = its?.firstRow ?? 0
  const origin = its === undefined ? undefined : { ...its, firstRow: batchRow + from }
  const first = bad[0]
  if (first === undefined) return Origin.attach(rows, origin)
  const context = yield* TaskContext.Current
  if (onInvalidRow === "fail" || context === undefined) {
    return yield* fail(
      format,
      path,
      new InvalidRow({
        ...(origin?.rowGroup === undefined ? {} : { rowGroup: origin.rowGroup }),
        row: batchRow + first[0],
        detail: first[1]
      })
    )
  }
  for (const [index, reason] of bad) {
    yield* context.deadLetter({
      path,
      rowGroup: origin?.rowGroup,
      row: batchRow + index,
      reason,
      value: String(batch.get(index))
    })
  }
  const dropped = new Set(bad.map(([index]) => index))
  const kept = Int32Array.from({ length: to - from }, (_, i) => i).filter((i) => !dropped.has(from + i))
  return Origin.attach(rows, origin === undefined ? undefined : { ...origin, kept })
})

const badWriting = (options: ParquetWriterOptions | undefined): Problem =>
  firstOf(
    optional(options?.compression, (one) => oneOf("compression", one, ["snappy", "zstd", "gzip", "none"])),
    optional(options?.rowGroupRows, (rows) => whole("rowGroupRows", rows))
  )

const writing = (options: ParquetWriterOptions | undefined): EncodeOptions => ({
  compression: options?.compression ?? "snappy",
  rowGroupRows: options?.rowGroupRows ?? 1024 * 1024,
  rowGroupBytes: 64 * 1024 * 1024
})

/**
 * Writes rows typed by a struct schema, row group by row group.
 *
 * `Schema.Number` is written as `double` (with `Parquet.Float32` and `Parquet.Int32` as `float` and `int32`),
 * `Schema.BigInt` as `int64`, `Schema.Date` as timestamp in milliseconds, vectors as `list<float>`.
 *
 * A value that Parquet cannot hold ends the writing with `Unencodable`, which names the column (within structs and lists the way to
 * the value), the row and the value: an integer of more than 64 bits, half of a surrogate pair, an invalid date, a finite number beyond
 * a 32-bit float. A row group ends at about 64 MiB, in structs and lists as well. Parquet has one kind of absence: a field that may be
 * missing and `null` comes back as `null`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const writer = <const Fields extends Schema.Struct.Fields>(
  schema: Schema.Struct<Fields>,
  options?: ParquetWriterOptions
): Writer<Schema.Struct<Fields>["Type"]> => ({
  format,
  extension: ".parquet",
  invalid: badWriting(options),
  encode: (rows) => encodeRows(rows, schema, writing(options))
})

/**
 * Writes record batches of one schema.
 *
 * @category constructors
 * @since 0.1.0
 */
export const batchWriter = (options?: ParquetWriterOptions): Writer<Arrow.RecordBatch> => ({
  format,
  extension: ".parquet",
  rowsOf: (batch) => batch.numRows,
  invalid: badWriting(options),
  encode: (batches) => encodeBatches(batches, writing(options))
})

export {
  /**
   * A number that is written as a 32-bit float.
   *
   * @category codecs
   * @since 0.1.0
   */
  Float32,
  /**
   * A number that is written as a 32-bit integer.
   *
   * @category codecs
   * @since 0.1.0
   */
  Int32
} from "./internal/parquet/write.ts"
