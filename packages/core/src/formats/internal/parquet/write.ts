/** From rows or record batches to Parquet, one row group at a time. */
import type * as Arrow from "apache-arrow"
import { Array as Arr, Effect, Result, Schema, SchemaAST, Stream } from "effect"
import { type FormatError, Unencodable } from "../../../task/FormatError.ts"
import { isDirect } from "./target.ts"
import { originOf } from "../encode.ts"
import { fieldGetter, only } from "../../../codec/internal/fields.ts"
import { fail } from "../inputs.ts"
import { type ColumnBuilder, type ColumnPlan, parquetType, plan } from "./build.ts"
import * as Footer from "./footer.ts"
import { FlatColumn } from "./flat.ts"
import { encodeNumbers, numberColumns } from "./numbers.ts"
import type { EncodedColumn } from "./pages.ts"
import { Refused } from "./values.ts"
import * as Vectors from "./vectors.ts"
import { codecOf } from "../rows.ts"
import { showValue } from "../showValue.ts"
import { type Libraries, load } from "./wasm.ts"

export interface EncodeOptions {
  readonly compression: "snappy" | "zstd" | "gzip" | "none"
  readonly rowGroupRows: number
  readonly rowGroupBytes: number
}

export const Float32 = Schema.Number.annotate({ parquet: "float" })
export const Int32 = Schema.Int.annotate({ parquet: "int32" })

const unencodable = (
  detail: string,
  where: { readonly column?: string; readonly row?: number; readonly value?: string; readonly origin?: string } = {}
): FormatError => fail("parquet", "", new Unencodable({ detail, ...where }))

const codes = { none: 0, snappy: 1, gzip: 2, zstd: 5 } as const

const isNested = (field: Arrow.Field): boolean => (field.type.children?.length ?? 0) > 0

/** Whether a list or a struct contains floats, which are mostly vectors. */
const holdsFloats = (arrow: Libraries["arrow"], field: Arrow.Field): boolean =>
  (field.type.children ?? []).some(
    (child: Arrow.Field) => arrow.DataType.isFloat(child.type) || holdsFloats(arrow, child)
  )

const toFile = ({ arrow, codec }: Libraries, table: Arrow.Table, options: EncodeOptions): Uint8Array => {
  const ipc = arrow.tableToIPC(table, "stream")
  return codec((wasm) => {
    let builder = new wasm.WriterPropertiesBuilder()
      .setCompression(codes[options.compression])
      .setMaxRowGroupSize(Math.max(1, table.numRows))
    // A dictionary and a minimum of vectors cost time and help nobody. The codec cannot name nested columns, so the
    // default fits vectors, and the top-level columns are named.
    if (table.schema.fields.some((field) => holdsFloats(arrow, field))) {
      builder = builder.setDictionaryEnabled(false).setStatisticsEnabled(wasm.EnabledStatistics.None)
      for (const field of table.schema.fields) {
        if (isNested(field)) continue
        builder = builder
          .setColumnStatisticsEnabled(field.name, wasm.EnabledStatistics.Page)
          .setColumnDictionaryEnabled(field.name, !arrow.DataType.isFloat(field.type))
      }
    }
    // Both calls consume their arguments.
    return wasm.writeParquet(wasm.Table.fromIPCStream(ipc), builder.build())
  })
}

/** Vectors that need no codec, as {@link Vectors.encodeVectors} takes them. */
const vectorData = (
  { DataType }: Libraries["arrow"],
  column: Arrow.Vector
): ReadonlyArray<Vectors.VectorData> | undefined => {
  const parts: Array<Vectors.VectorData> = []
  for (const data of column.data) {
    const child: Arrow.Data | undefined = data.children[0]
    if (!DataType.isList(data.type) || child === undefined || child.nullCount > 0) return undefined
    const offsets: unknown = data.valueOffsets
    const values: unknown = child.values
    if (!(offsets instanceof Int32Array) || !(values instanceof Float32Array)) return undefined
    parts.push({
      offsets,
      values,
      rows: data.length,
      valid: data.nullCount === 0 ? undefined : (row) => data.getValid(row)
    })
  }
  return parts
}

/** The rows of a row group: the already encoded columns, and a table of the others. */
interface RowGroup {
  readonly rows: number
  readonly encoded: ReadonlyArray<EncodedColumn>
  readonly table: Arrow.Table | undefined
}

const makeEncoder = (libraries: Libraries, schema: Arrow.Schema, options: EncodeOptions) => {
  const { arrow } = libraries
  const names = schema.fields.map((field) => field.name)
  const footer = Footer.ofFile(toFile(libraries, new arrow.Table(schema), options)).struct
  const shapes = Vectors.vectorColumns(footer)
  const numbers = numberColumns(footer)
  const appender = Footer.makeAppender(footer, names)
  return {
    append: ({ encoded, rows, table }: RowGroup): ReadonlyArray<Uint8Array> => {
      const extra: Array<EncodedColumn> = [...encoded]
      for (const [name, shape] of shapes) {
        const column = table?.getChild(name)
        const data = column === null || column === undefined ? undefined : vectorData(arrow, column)
        const vectors = data && Vectors.encodeVectors(name, shape, data, options.compression)
        if (vectors !== undefined) extra.push(vectors)
      }
      for (const [name, shape] of numbers) {
        const column = table?.getChild(name) ?? undefined
        const encoded = column && encodeNumbers(arrow, name, shape, column, options.compression)
        if (encoded !== undefined) extra.push(encoded)
      }
      const rest = names.filter((name) => extra.every((column) => column.name !== name))
      const file = rest.length === 0 || table === undefined ? undefined : toFile(libraries, table.select(rest), options)
      return appender.append(file, rows, extra)
    },
    close: appender.close
  }
}

/** The bytes of a Parquet file, from its row groups. */
const encodeGroups = <E, R>(
  libraries: Libraries,
  groups: Stream.Stream<RowGroup, E, R>,
  /** Known when the first row group comes, at the latest. */
  schema: () => Arrow.Schema,
  options: EncodeOptions
): Stream.Stream<Uint8Array, E | FormatError, R> =>
  Stream.suspend(() => {
    let encoder: ReturnType<typeof makeEncoder> | undefined
    const attempt = <A>(encode: () => A) =>
      Effect.try({ try: encode, catch: (error) => unencodable(error instanceof Error ? error.message : String(error)) })
    const append = (group: RowGroup) =>
      attempt(() => {
        encoder ??= makeEncoder(libraries, schema(), options)
        return encoder.append(group)
      })
    const close = attempt(() => {
      const none = { rows: 0, encoded: [], table: undefined }
      if (encoder !== undefined) return [encoder.close()]
      const empty = makeEncoder(libraries, schema(), options)
      return [...empty.append(none), empty.close()]
    })
    return Stream.mapEffect(groups, append).pipe(
      Stream.concat(Stream.fromEffect(close)),
      Stream.filter(Arr.isReadonlyArrayNonEmpty),
      Stream.flattenArray
    )
  })

export const encodeBatches = <E, R>(
  batches: Stream.Stream<Arrow.RecordBatch, E, R>,
  options: EncodeOptions
): Stream.Stream<Uint8Array, E | FormatError, R> =>
  Stream.unwrap(
    Effect.map(load, (libraries) => {
      let held: Array<Arrow.RecordBatch> = []
      let rows = 0
      let bytes = 0
      let schema: Arrow.Schema | undefined
      let shown: string | undefined
      const flush = () =>
        Effect.sync((): RowGroup | undefined => {
          if (held.length === 0) return undefined
          const table = new libraries.arrow.Table(held)
          held = []
          rows = 0
          bytes = 0
          return { rows: table.numRows, encoded: [], table }
        })
      const add = (batch: Arrow.RecordBatch): Effect.Effect<RowGroup | undefined, FormatError> => {
        const its = String(batch.schema)
        if (schema === undefined) {
          const names = batch.schema.fields.map((field) => field.name)
          const twice = names.find((name, i) => names.indexOf(name) !== i)
          if (twice !== undefined) return Effect.fail(unencodable(`has two columns "${twice}"`))
          const half = names.find((name) => !name.isWellFormed())
          if (half !== undefined)
            return Effect.fail(unencodable("contains half a surrogate pair in its name", { column: half }))
        }
        schema ??= batch.schema
        shown ??= its
        if (shown !== its) return Effect.fail(unencodable(`a batch of ${its} after one of ${shown}`))
        held.push(batch)
        rows += batch.numRows
        bytes += batch.data.byteLength
        return rows >= options.rowGroupRows || bytes >= options.rowGroupBytes ? flush() : Effect.succeed(undefined)
      }
      const groups = Stream.mapEffect(batches, add).pipe(
        Stream.concat(Stream.fromEffect(Effect.suspend(flush))),
        Stream.filter((group) => group !== undefined)
      )
      return encodeGroups(libraries, groups, () => schema ?? new libraries.arrow.Schema([]), options)
    })
  )

interface Column extends ColumnPlan {
  readonly name: string
  readonly get: (row: object) => unknown
  readonly encode: ((value: unknown) => unknown) | undefined
}

const encoderOf = (name: string, field: Schema.Constraint): ((value: unknown) => unknown) => {
  const optional = SchemaAST.isOptional(field.ast)
  const right = <A>(result: Result.Result<A, Schema.SchemaError>, value: unknown): A => {
    if (Result.isFailure(result)) throw new Refused(result.failure.message, value)
    return result.success
  }
  if (!optional) {
    const encode = Schema.encodeUnknownResult(codecOf(field))
    return (value) => right(encode(value), value)
  }
  // Only in a struct does a missing key differ from `undefined`.
  const encode = Schema.encodeUnknownResult(Schema.Struct({ [name]: codecOf(field) }))
  const get = fieldGetter(name)
  return (value) => get(right(encode(only(name, value)), value))
}

/** The columns of a struct schema, as they are written. */
const columnsOf = Effect.fnUntraced(function* (libraries: Libraries, schema: Schema.Struct<Schema.Struct.Fields>) {
  const columns: Array<Column> = []
  for (const property of schema.ast.propertySignatures) {
    const name = String(property.name)
    const own = schema.fields[name]
    const encoded = SchemaAST.toEncoded(property.type)
    const optional = SchemaAST.isOptional(property.type) || SchemaAST.isOptional(encoded)
    const column = plan(libraries, name, encoded, optional)
    if (column === undefined || own === undefined) {
      return yield* unencodable("has a type that Parquet cannot hold", { column: name })
    }
    // The builder of 32-bit integers checks them.
    const direct = isDirect(property.type) || parquetType(column.ast) === "int32"
    columns.push({ ...column, name, get: fieldGetter(name), encode: direct ? undefined : encoderOf(name, own) })
  }
  if (columns.length === 0) return yield* unencodable("a row without columns cannot be written")
  return columns
})

/** Where the values of a column go: directly into pages, or into Arrow memory from which the codec makes pages. */
class ColumnSink {
  readonly column: Column
  readonly flat: FlatColumn | undefined
  private builder: ColumnBuilder | undefined

  constructor(column: Column, compression: EncodeOptions["compression"]) {
    this.column = column
    this.flat =
      column.flat === undefined
        ? undefined
        : new FlatColumn(column.name, column.flat, column.field.nullable, compression)
  }

  /** Bytes added. Throws {@link Refused}, or what an encoder of the schema throws. */
  add(row: object): number {
    const { encode, get } = this.column
    const value = encode === undefined ? get(row) : encode(get(row))
    if (this.flat !== undefined) return this.flat.add(value)
    this.builder ??= this.column.build()
    return this.builder.add(value)
  }

  /** The values since the last time, as Arrow memory. */
  takeData(): Arrow.Data {
    const data = (this.builder ?? this.column.build()).finish()
    this.builder = undefined
    return data
  }
}

/** Builds row groups, row by row. */
class RowGroupBuilder {
  private readonly arrow: Libraries["arrow"]
  private readonly sinks: ReadonlyArray<ColumnSink>
  private readonly flat: ReadonlyArray<FlatColumn>
  private readonly nested: ReadonlyArray<ColumnSink>
  rows = 0
  bytes = 0
  /** The column that is being added. */
  column = ""

  constructor({ arrow }: Libraries, columns: ReadonlyArray<Column>, compression: EncodeOptions["compression"]) {
    this.arrow = arrow
    this.sinks = columns.map((column) => new ColumnSink(column, compression))
    this.flat = this.sinks.flatMap(({ flat }) => (flat === undefined ? [] : [flat]))
    this.nested = this.sinks.filter(({ flat }) => flat === undefined)
  }

  /** Throws {@link Refused}, or what an encoder of the schema throws. */
  add(row: unknown): void {
    if (typeof row !== "object" || row === null) throw new Refused("is not an object", row)
    for (const sink of this.sinks) {
      this.column = sink.column.name
      this.bytes += sink.add(row)
    }
    this.rows++
  }

  /** The rows that were added since the last time. */
  take(): RowGroup {
    const { rows } = this
    const group = { rows, encoded: this.flat.map((column) => column.finish()), table: this.takeTable(rows) }
    this.rows = 0
    this.bytes = 0
    return group
  }

  private takeTable(length: number): Arrow.Table | undefined {
    const { arrow, nested } = this
    if (nested.length === 0) return undefined
    const schema = new arrow.Schema(nested.map(({ column }) => column.field))
    const children = nested.map((sink) => sink.takeData())
    const data = arrow.makeData({ type: new arrow.Struct(schema.fields), length, nullCount: 0, children })
    return new arrow.Table([new arrow.RecordBatch(schema, data)])
  }
}

export const encodeRows = <A, E, R>(
  rows: Stream.Stream<A, E, R>,
  schema: Schema.Struct<Schema.Struct.Fields>,
  options: EncodeOptions
): Stream.Stream<Uint8Array, E | FormatError, R> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const libraries = yield* load
      const columns = yield* columnsOf(libraries, schema)
      const group = new RowGroupBuilder(libraries, columns, options.compression)
      // The row that is being added, and the first row of its array.
      let written = 0
      let first = 0
      const add = (chunk: ReadonlyArray<A>) =>
        Effect.try({
          try: () => {
            const full: Array<RowGroup> = []
            first = written
            for (const row of chunk) {
              group.add(row)
              written++
              if (group.rows >= options.rowGroupRows || group.bytes >= options.rowGroupBytes) full.push(group.take())
            }
            return full
          },
          catch: (error) => {
            const origin = originOf(chunk, written - first)
            const row = { row: written, ...(origin === undefined ? {} : { origin }) }
            return error instanceof Refused
              ? unencodable(error.message, { ...row, column: group.column + error.path, value: showValue(error.value) })
              : unencodable(error instanceof Error ? error.message : String(error), { ...row, column: group.column })
          }
        })
      const groups = Stream.chunks(rows).pipe(
        Stream.mapEffect(add),
        Stream.concat(Stream.sync(() => (group.rows === 0 ? [] : [group.take()]))),
        Stream.flattenIterable
      )
      const own = () => new libraries.arrow.Schema(columns.map((column) => column.field))
      return encodeGroups(libraries, groups, own, options)
    })
  )
