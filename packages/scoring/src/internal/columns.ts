import type * as Arrow from "apache-arrow"

type Library = typeof Arrow

/** The vectors of a record batch: their numbers, and where each vector begins. */
export interface VectorColumn {
  readonly rows: number
  /** Length of the vector of a row, -1 for null. */
  readonly lengthOf: (row: number) => number
  /**
   * The first of `count` rows, from `start` on, whose vector is null or has a different length; -1 if there is none.
   */
  readonly firstOther: (start: number, count: number, features: number) => number
  /**
   * The numbers of `count` rows from `start` on, whose vectors have the same length. A view, unless they are doubles.
   */
  readonly values: (start: number, count: number, features: number) => Float32Array<ArrayBufferLike>
}

const missing = ({ schema }: Arrow.RecordBatch, name: string): string =>
  `there is no column "${name}"; the columns are ${schema.fields.map((field) => `"${field.name}"`).join(", ")}`

const firstOtherList = (offsets: Int32Array, start: number, count: number, features: number): number => {
  let from = offsets[start]
  for (let row = start; row < start + count; row++) {
    const to = offsets[row + 1]
    if (from === undefined || to === undefined || to - from !== features) return row
    from = to
  }
  return -1
}

/** The vector column of a record batch, or what is wrong with it. */
export const vectorColumn = (arrow: Library, record: Arrow.RecordBatch, name: string): VectorColumn | string => {
  const index = record.schema.fields.findIndex((field) => field.name === name)
  if (index < 0) return missing(record, name)
  const data: Arrow.Data | undefined = record.getChildAt(index)?.data[0]
  const child: Arrow.Data | undefined = data?.children[0]
  const type: Arrow.DataType | undefined = data?.type
  const isList = type instanceof arrow.List
  if (data === undefined || child === undefined || !(isList || type instanceof arrow.FixedSizeList)) {
    return `column "${name}" is ${String(type)}; expected a list or fixed-size list of float or double`
  }
  const numbers: unknown = child.values
  if (!(numbers instanceof Float32Array || numbers instanceof Float64Array)) {
    return `column "${name}" is ${String(type)}; expected a list or fixed-size list of float or double`
  }
  if (child.nullCount > 0) return `column "${name}" has vectors with null elements`
  const offsets: unknown = data.valueOffsets
  const width = type instanceof arrow.FixedSizeList ? type.listSize : 0
  const startOf =
    isList && offsets instanceof Int32Array ? (row: number) => offsets[row] ?? 0 : (row: number) => row * width
  const nulls = data.nullCount > 0
  const lengthOf = (row: number) => (nulls && !data.getValid(row) ? -1 : startOf(row + 1) - startOf(row))
  return {
    rows: data.length,
    lengthOf,
    firstOther: (start, count, features) => {
      // Every row passes here, and few columns have nulls.
      if (!nulls && isList && offsets instanceof Int32Array) return firstOtherList(offsets, start, count, features)
      if (!nulls && !isList && width === features) return -1
      for (let row = start; row < start + count; row++) if (lengthOf(row) !== features) return row
      return -1
    },
    values: (start, count, features) => {
      const from = startOf(start)
      const part = numbers.subarray(from, from + count * features)
      return part instanceof Float32Array ? part : Float32Array.from(part)
    }
  }
}

/** The record batch with only these columns, in their order, or what is wrong with them. */
export const selectColumns = (record: Arrow.RecordBatch, names: ReadonlyArray<string>): Arrow.RecordBatch | string => {
  const indexes: Array<number> = []
  for (const name of new Set(names)) {
    const index = record.schema.fields.findIndex((field) => field.name === name)
    if (index < 0) return missing(record, name)
    indexes.push(index)
  }
  return record.selectAt(indexes)
}

/** The record batch with the scores as its last column, followed by the classes if there is a threshold. */
export const withScores = (
  arrow: Library,
  record: Arrow.RecordBatch,
  scores: Float32Array,
  as: string,
  threshold: number | undefined
): Arrow.RecordBatch => {
  const length = record.numRows
  const fields: Array<Arrow.Field> = [...record.schema.fields, new arrow.Field(as, new arrow.Float32(), false)]
  const children: Array<Arrow.Data> = [
    ...record.data.children,
    arrow.makeData({ type: new arrow.Float32(), length, nullCount: 0, data: scores })
  ]
  if (threshold !== undefined) {
    const bits = new Uint8Array(Math.ceil(length / 8))
    for (let i = 0; i < length; i++)
      if ((scores[i] ?? 0) >= threshold) bits[i >> 3] = (bits[i >> 3] ?? 0) | (1 << (i & 7))
    fields.push(new arrow.Field("class", new arrow.Bool(), false))
    children.push(arrow.makeData({ type: new arrow.Bool(), length, nullCount: 0, data: bits }))
  }
  const schema = new arrow.Schema(fields, record.schema.metadata)
  return new arrow.RecordBatch(
    schema,
    arrow.makeData({ type: new arrow.Struct(fields), length, nullCount: 0, children })
  )
}
