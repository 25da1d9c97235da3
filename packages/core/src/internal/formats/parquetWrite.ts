/** From rows or record batches to Parquet, one row group at a time. */
import type * as Arrow from "apache-arrow"
import { Array as Arr, Effect, Result, Schema, SchemaAST, Stream } from "effect"
import { type FormatError, Unencodable } from "../../FormatError.ts"
import * as Vector from "../../Vector.ts"
import { isDirect } from "./arrowRows.ts"
import { fail } from "./inputs.ts"
import * as Footer from "./parquetFooter.ts"
import * as Vectors from "./parquetVectors.ts"
import { type Libraries, load } from "./wasm.ts"

export interface EncodeOptions {
  readonly compression: "snappy" | "zstd" | "gzip" | "none"
  readonly rowGroupRows: number
  readonly rowGroupBytes: number
}

export const Float32 = Schema.Number.annotate({ parquet: "float" })
export const Int32 = Schema.Int.annotate({ parquet: "int32" })

const unencodable = (detail: string, column?: string): FormatError =>
  fail("parquet", "", new Unencodable(column === undefined ? { detail } : { column, detail }))

const codes = { none: 0, snappy: 1, gzip: 2, zstd: 5 } as const

const isNested = (field: Arrow.Field): boolean => (field.type.children?.length ?? 0) > 0

/** Whether there are floats in a list or a struct: mostly vectors. */
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
    // A dictionary and a minimum of vectors are all cost and no gain. The codec cannot name columns inside others, so
    // what holds for vectors is the default and top-level columns are named.
    if (table.schema.fields.some((field) => holdsFloats(arrow, field))) {
      builder = builder.setDictionaryEnabled(false).setStatisticsEnabled(wasm.EnabledStatistics.None)
      for (const field of table.schema.fields) {
        if (isNested(field)) continue
        builder = builder
          .setColumnStatisticsEnabled(field.name, wasm.EnabledStatistics.Page)
          .setColumnDictionaryEnabled(field.name, !arrow.DataType.isFloat(field.type))
      }
    }
    // Both calls consume what they are given.
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

const makeEncoder = (libraries: Libraries, schema: Arrow.Schema, options: EncodeOptions) => {
  const { arrow } = libraries
  const names = schema.fields.map((field) => field.name)
  const footer = Footer.ofFile(toFile(libraries, new arrow.Table(schema), options)).struct
  const shapes = Vectors.vectorColumns(footer)
  const appender = Footer.makeAppender(footer, names)
  return {
    append: (table: Arrow.Table): ReadonlyArray<Uint8Array> => {
      const extra: Array<Vectors.EncodedColumn> = []
      for (const [name, shape] of shapes) {
        const column = table.getChild(name)
        const data = column === null ? undefined : vectorData(arrow, column)
        const encoded = data && Vectors.encodeVectors(name, shape, data, options.compression)
        if (encoded !== undefined) extra.push(encoded)
      }
      const rest = names.filter((name) => extra.every((column) => column.name !== name))
      const file =
        rest.length === 0 ? undefined : toFile(libraries, extra.length === 0 ? table : table.select(rest), options)
      return appender.append(file, table.numRows, extra)
    },
    close: appender.close
  }
}

/** The bytes of a Parquet file, from tables of one schema that are each one row group. */
const encodeTables = <E, R>(
  libraries: Libraries,
  tables: Stream.Stream<Arrow.Table, E, R>,
  empty: () => Arrow.Table,
  options: EncodeOptions
): Stream.Stream<Uint8Array, E | FormatError, R> =>
  Stream.suspend(() => {
    let encoder: ReturnType<typeof makeEncoder> | undefined
    const attempt = <A>(encode: () => A) =>
      Effect.try({ try: encode, catch: (error) => unencodable(error instanceof Error ? error.message : String(error)) })
    const append = (table: Arrow.Table) =>
      attempt(() => {
        encoder ??= makeEncoder(libraries, table.schema, options)
        return encoder.append(table)
      })
    return Stream.mapEffect(tables, append).pipe(
      Stream.concat(Stream.suspend(() => (encoder === undefined ? Stream.fromEffect(append(empty())) : Stream.empty))),
      Stream.concat(Stream.fromEffect(attempt(() => (encoder === undefined ? [] : [encoder.close()])))),
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
      let schema: string | undefined
      const flush = () =>
        Effect.sync(() => {
          if (held.length === 0) return undefined
          const table = new libraries.arrow.Table(held)
          held = []
          rows = 0
          bytes = 0
          return table
        })
      const add = (batch: Arrow.RecordBatch): Effect.Effect<Arrow.Table | undefined, FormatError> => {
        const its = String(batch.schema)
        schema ??= its
        if (schema !== its) return Effect.fail(unencodable(`a batch of ${its} after one of ${schema}`))
        held.push(batch)
        rows += batch.numRows
        bytes += batch.data.byteLength
        return rows >= options.rowGroupRows || bytes >= options.rowGroupBytes ? flush() : Effect.succeed(undefined)
      }
      const tables = Stream.mapEffect(batches, add).pipe(
        Stream.concat(Stream.fromEffect(Effect.suspend(flush))),
        Stream.filter((table) => table !== undefined)
      )
      return encodeTables(libraries, tables, () => new libraries.arrow.Table(), options)
    })
  )

interface ColumnBuilder {
  readonly field: Arrow.Field
  /** Bytes added. Throws `Error` with the reason for what cannot be written. */
  readonly add: (value: unknown) => number
  readonly finish: () => Arrow.Data
}

const unwrapNull = (ast: SchemaAST.AST): { readonly ast: SchemaAST.AST; readonly nullable: boolean } => {
  if (ast._tag !== "Union") return { ast, nullable: SchemaAST.isOptional(ast) }
  const members = ast.types.filter((type) => type._tag !== "Null" && type._tag !== "Undefined")
  const only = members[0]
  return {
    ast: only !== undefined && members.length === 1 ? only : ast,
    nullable: SchemaAST.isOptional(ast) || members.length < ast.types.length
  }
}

const parquetType = (ast: SchemaAST.AST): unknown => {
  const own = ast.annotations?.["parquet"]
  if (own !== undefined) return own
  for (const check of ast.checks ?? []) {
    const annotation = check.annotations?.["parquet"]
    if (annotation !== undefined) return annotation
  }
  return undefined
}

const typeOf = (arrow: Libraries["arrow"], ast: SchemaAST.AST): Arrow.DataType | undefined => {
  const id = ast.annotations?.["representation"]
  const name = typeof id === "object" && id !== null && "id" in id ? id.id : undefined
  if (Vector.of(ast) !== undefined) {
    return new arrow.List(new arrow.Field("item", new arrow.Float32(), false))
  }
  if (name === "effect/schema/Date") return new arrow.TimestampMillisecond("UTC")
  if (name === "effect/schema/Uint8Array") return new arrow.Binary()
  switch (ast._tag) {
    case "Number": {
      const type = parquetType(ast)
      return type === "float" ? new arrow.Float32() : type === "int32" ? new arrow.Int32() : new arrow.Float64()
    }
    case "BigInt":
      return new arrow.Int64()
    case "String":
    case "TemplateLiteral":
      return new arrow.Utf8()
    case "Boolean":
      return new arrow.Bool()
    case "Literal":
      return typeof ast.literal === "string"
        ? new arrow.Utf8()
        : typeof ast.literal === "number"
          ? new arrow.Float64()
          : new arrow.Bool()
    case "Union":
      return ast.types.every((type) => type._tag === "Literal" && typeof type.literal === "string")
        ? new arrow.Utf8()
        : undefined
    case "Arrays": {
      const rest = ast.rest[0]
      if (rest === undefined || ast.elements.length > 0) return undefined
      const item = unwrapNull(rest)
      const type = typeOf(arrow, item.ast)
      return type === undefined ? undefined : new arrow.List(new arrow.Field("item", type, item.nullable))
    }
    case "Objects": {
      if (ast.indexSignatures.length > 0) return undefined
      const fields: Array<Arrow.Field> = []
      for (const field of ast.propertySignatures) {
        const inner = unwrapNull(field.type)
        const type = typeOf(arrow, inner.ast)
        if (type === undefined) return undefined
        fields.push(new arrow.Field(String(field.name), type, inner.nullable || SchemaAST.isOptional(field.type)))
      }
      return new arrow.Struct(fields)
    }
    default:
      return undefined
  }
}

interface Nulls {
  readonly nullCount: number
  readonly nullBitmap?: Uint8Array
}

const nullsOf = ({ arrow }: Libraries, valid: ReadonlyArray<boolean> | undefined): Nulls =>
  valid === undefined
    ? { nullCount: 0 }
    : {
        nullCount: valid.reduce((count, there) => (there ? count : count + 1), 0),
        nullBitmap: arrow.util.packBools(valid)
      }

interface Values<A> {
  readonly length: number
  readonly BYTES_PER_ELEMENT: number
  [index: number]: A
  set(values: ArrayLike<A>): void
}

const valueColumn = <A extends number | bigint, V extends Values<A>>(
  libraries: Libraries,
  field: Arrow.Field,
  options: {
    readonly make: (length: number) => V
    readonly check: (value: unknown) => A
    readonly toData: (values: V, rows: Nulls & { readonly length: number }) => Arrow.Data
  }
): ColumnBuilder => {
  let values = options.make(1024)
  let valid: Array<boolean> | undefined
  let length = 0
  return {
    field,
    add: (value) => {
      if (length === values.length) {
        const bigger = options.make(length * 2)
        bigger.set(values)
        values = bigger
      }
      const there = value !== null && value !== undefined
      if (there) values[length] = options.check(value)
      else if (!field.nullable) throw new Error("is null or missing")
      else valid ??= Array.from({ length }, () => true)
      valid?.push(there)
      length++
      return values.BYTES_PER_ELEMENT
    },
    finish: () => options.toData(values, { length, ...nullsOf(libraries, valid) })
  }
}

const vectorColumn = (
  libraries: Libraries,
  field: Arrow.Field,
  type: Arrow.List,
  exact: number | undefined
): ColumnBuilder => {
  const { arrow } = libraries
  let values = new Float32Array(16 * 1024)
  let offsets = new Int32Array(1024)
  let valid: Array<boolean> | undefined
  let length = 0
  let used = 0
  return {
    field,
    add: (value) => {
      if (length + 1 === offsets.length) {
        const bigger = new Int32Array(offsets.length * 2)
        bigger.set(offsets)
        offsets = bigger
      }
      const there = value instanceof Float32Array
      if (there) {
        if (exact !== undefined && value.length !== exact) {
          throw new Error(`is a vector of ${value.length} elements, ${exact} asked for`)
        }
        if (used + value.length > values.length) {
          const bigger = new Float32Array(Math.max(values.length * 2, used + value.length))
          bigger.set(values.subarray(0, used))
          values = bigger
        }
        values.set(value, used)
        used += value.length
      } else if (value !== null && value !== undefined) {
        throw new Error("is no Float32Array")
      } else if (!field.nullable) {
        throw new Error("is null or missing")
      } else {
        valid ??= Array.from({ length }, () => true)
      }
      valid?.push(there)
      offsets[++length] = used
      return there ? value.byteLength + 4 : 4
    },
    finish: () => {
      const child = arrow.makeData({ type: new arrow.Float32(), length: used, data: values.subarray(0, used) })
      const valueOffsets = offsets.subarray(0, length + 1)
      return arrow.makeData({ type, length, valueOffsets, child, ...nullsOf(libraries, valid) })
    }
  }
}

const sizeOf = (value: unknown): number =>
  typeof value === "string" || value instanceof Uint8Array
    ? value.length + 4
    : Array.isArray(value)
      ? value.length * 8
      : 8

const anyColumn = ({ arrow }: Libraries, field: Arrow.Field): ColumnBuilder => {
  const builder = arrow.makeBuilder({ type: field.type, nullValues: [null, undefined] })
  return {
    field,
    add: (value) => {
      if ((value === null || value === undefined) && !field.nullable) throw new Error("is null or missing")
      builder.append(value)
      return sizeOf(value)
    },
    finish: () => builder.finish().flush()
  }
}

const aNumber = (value: unknown): number => {
  if (typeof value !== "number") throw new Error("is no number")
  return value
}

const anInt32 = (value: unknown): number => {
  if (typeof value === "number" && (value | 0) === value) return value
  throw new Error(`is ${String(value)}, no 32-bit integer`)
}

const anInt64 = (value: unknown): bigint => {
  if (typeof value === "bigint" && BigInt.asIntN(64, value) === value) return value
  throw new Error(`is ${String(value)}, no 64-bit integer`)
}

const columnBuilder = (libraries: Libraries, field: Arrow.Field, ast: SchemaAST.AST): ColumnBuilder => {
  const { arrow } = libraries
  const { type } = field
  const vector = Vector.of(ast)
  if (vector !== undefined && arrow.DataType.isList(type)) return vectorColumn(libraries, field, type, vector.length)
  if (ast._tag === "Number") {
    switch (parquetType(ast)) {
      case "float":
        return valueColumn(libraries, field, {
          make: (length) => new Float32Array(length),
          check: aNumber,
          toData: (data, rows) =>
            arrow.makeData({ type: new arrow.Float32(), data: data.subarray(0, rows.length), ...rows })
        })
      case "int32":
        return valueColumn(libraries, field, {
          make: (length) => new Int32Array(length),
          check: anInt32,
          toData: (data, rows) =>
            arrow.makeData({ type: new arrow.Int32(), data: data.subarray(0, rows.length), ...rows })
        })
      default:
        return valueColumn(libraries, field, {
          make: (length) => new Float64Array(length),
          check: aNumber,
          toData: (data, rows) =>
            arrow.makeData({ type: new arrow.Float64(), data: data.subarray(0, rows.length), ...rows })
        })
    }
  }
  if (ast._tag === "BigInt") {
    return valueColumn(libraries, field, {
      make: (length) => new BigInt64Array(length),
      check: anInt64,
      toData: (data, rows) => arrow.makeData({ type: new arrow.Int64(), data: data.subarray(0, rows.length), ...rows })
    })
  }
  return anyColumn(libraries, field)
}

export const encodeRows = <A, E, R>(
  rows: Stream.Stream<A, E, R>,
  schema: Schema.Struct<Schema.Struct.Fields>,
  options: EncodeOptions
): Stream.Stream<Uint8Array, E | FormatError, R> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const libraries = yield* load
      const { arrow } = libraries
      const plans: Array<{
        readonly name: string
        readonly field: Arrow.Field
        readonly ast: SchemaAST.AST
        readonly encode: ((value: unknown) => unknown) | undefined
      }> = []
      for (const property of schema.ast.propertySignatures) {
        const name = String(property.name)
        const own = schema.fields[name]
        const encoded = SchemaAST.toEncoded(property.type)
        const inner = unwrapNull(encoded)
        const type = typeOf(arrow, inner.ast)
        if (type === undefined || own === undefined) {
          return yield* unencodable("has a type that Parquet cannot hold", name)
        }
        // The builder of 32-bit integers has their check.
        const direct = isDirect(property.type) || parquetType(inner.ast) === "int32"
        const encode = direct ? undefined : Schema.encodeUnknownResult(own as Schema.Codec<unknown>)
        plans.push({
          name,
          field: new arrow.Field(name, type, inner.nullable || SchemaAST.isOptional(property.type)),
          ast: inner.ast,
          encode:
            encode === undefined
              ? undefined
              : (value) => {
                  const result = encode(value)
                  if (Result.isFailure(result)) throw new Error(result.failure.message)
                  return result.success
                }
        })
      }
      const arrowSchema = new arrow.Schema(plans.map((plan) => plan.field))
      const builders = () => plans.map((plan) => columnBuilder(libraries, plan.field, plan.ast))
      const toTable = (columns: ReadonlyArray<ColumnBuilder>, length: number): Arrow.Table => {
        const data = arrow.makeData({
          type: new arrow.Struct(arrowSchema.fields),
          length,
          nullCount: 0,
          children: columns.map((column) => column.finish())
        })
        return new arrow.Table([new arrow.RecordBatch(arrowSchema, data)])
      }
      let columns = builders()
      let count = 0
      let bytes = 0
      let column = ""
      const flush = () => {
        const table = count === 0 ? undefined : toTable(columns, count)
        columns = builders()
        count = 0
        bytes = 0
        return table
      }
      const add = (chunk: ReadonlyArray<A>) =>
        Effect.try({
          try: () => {
            const full: Array<Arrow.Table> = []
            for (const row of chunk) {
              const record = row as Readonly<Record<string, unknown>>
              for (let c = 0; c < plans.length; c++) {
                const plan = plans[c]
                if (plan === undefined) continue
                column = plan.name
                const value = record[plan.name]
                bytes += columns[c]?.add(plan.encode === undefined ? value : plan.encode(value)) ?? 0
              }
              count++
              if (count >= options.rowGroupRows || bytes >= options.rowGroupBytes) {
                const table = flush()
                if (table !== undefined) full.push(table)
              }
            }
            return full
          },
          catch: (error) => unencodable(error instanceof Error ? error.message : String(error), column)
        })
      const tables = Stream.chunks(rows).pipe(
        Stream.mapEffect(add),
        Stream.concat(
          Stream.sync(() => {
            const table = flush()
            return table === undefined ? [] : [table]
          })
        ),
        Stream.flattenIterable
      )
      return encodeTables(libraries, tables, () => toTable(builders(), 0), options)
    })
  )
