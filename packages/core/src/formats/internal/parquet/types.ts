/** The Arrow types that the columns of a Parquet file are read as. */
import type * as Arrow from "apache-arrow"
import { type Leaf, type ParquetSchema, physical } from "./schema.ts"
import { ThriftError } from "./thrift.ts"

const mapped = (
  arrow: typeof Arrow,
  field: Arrow.Field,
  leaves: ReadonlyArray<Leaf>,
  next: { at: number }
): Arrow.Field => {
  const type: Arrow.DataType = field.type
  const children: ReadonlyArray<Arrow.Field> = type.children ?? []
  if (children.length === 0) {
    const leaf = leaves[next.at++]
    // A 96-bit timestamp can be in years that 64-bit nanoseconds cannot reach.
    return leaf?.physical === physical.int96 && type instanceof arrow.Timestamp
      ? field.clone({ type: new arrow.Timestamp(arrow.TimeUnit.MICROSECOND, type.timezone) })
      : field
  }
  const inner = children.map((child) => mapped(arrow, child, leaves, next))
  const first = inner[0]
  if (type instanceof arrow.LargeList && first !== undefined) return field.clone({ type: new arrow.List(first) })
  if (inner.every((child, i) => child === children[i])) return field
  if (type instanceof arrow.Struct) return field.clone({ type: new arrow.Struct(inner) })
  if (first === undefined) return field
  if (type instanceof arrow.List) return field.clone({ type: new arrow.List(first) })
  if (type instanceof arrow.FixedSizeList) return field.clone({ type: new arrow.FixedSizeList(type.listSize, first) })
  return type instanceof arrow.Map_ ? field.clone({ type: new arrow.Map_(first, type.keysSorted) }) : field
}

/**
 * The schema that the decoder is asked for: its own, except for lists with 64-bit offsets, which a row group does not
 * need, and `INT96`, which is read in microseconds, as Spark and DuckDB do.
 */
export const readAs = (
  arrow: typeof Arrow,
  decoder: Arrow.Schema,
  { columns, leaves }: ParquetSchema
): Arrow.Schema => {
  if (decoder.fields.length !== columns.length) throw new ThriftError("has a schema that cannot be read")
  const next = { at: 0 }
  const fields = decoder.fields.map((field) => mapped(arrow, field, leaves, next))
  return fields.every((field, i) => field === decoder.fields[i]) ? decoder : new arrow.Schema(fields, decoder.metadata)
}
