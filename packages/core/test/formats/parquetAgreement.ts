/** The law that columns read without the codec are what the codec reads. */
import type * as Arrow from "apache-arrow"
import { Effect } from "effect"
import * as Parquet from "../../src/formats/Parquet.ts"
import { load } from "../../src/formats/internal/parquet/wasm.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { rowsOf } from "./parquetLaws.ts"

/** What Arrow's memory says about a row, so that no conversion hides a difference. */
const shown = (column: Arrow.Vector, at: number): string => {
  if (column.type.typeId === -1) return String(column.get(at))
  let row = at
  for (const data of column.data) {
    if (row >= data.length) {
      row -= data.length
      continue
    }
    if (!data.getValid(row)) return "null"
    const values: unknown = data.values
    const offsets: unknown = data.valueOffsets
    if (offsets instanceof Int32Array && values instanceof Uint8Array) {
      return Buffer.from(values.subarray(offsets[row], offsets[row + 1])).toString("hex")
    }
    const isNumber =
      values instanceof Float32Array ||
      values instanceof Float64Array ||
      values instanceof BigInt64Array ||
      values instanceof Int32Array
    return isNumber ? (Object.is(values[row], -0) ? "-0" : String(values[row])) : String(column.get(at))
  }
  return "nothing"
}

/** How the batches of a file differ from what the codec reads of it; nothing if they do not. Fails if it cannot read it. */
export const disagreement = Effect.fnUntraced(function* (path: string) {
  const libraries = yield* load
  const storage = yield* Storage
  const bytes = yield* storage.readRange(path, 0, (yield* storage.stat(path)).length)
  const { arrow, codec } = libraries
  const ours = new arrow.Table(yield* rowsOf(Parquet.batches(path)))
  const theirs = yield* Effect.try({
    try: () => arrow.tableFromIPC(codec((wasm) => wasm.readParquet(bytes).intoIPCStream())),
    catch: String
  })
  if (ours.numRows !== theirs.numRows) return `${ours.numRows} rows and not ${theirs.numRows}`
  for (const { name, type } of ours.schema.fields) {
    const column = ours.getChild(name)
    const its = theirs.getChild(name)
    if (column === null || its === null) return `no column ${name}`
    // Timestamps of 96 bits and large lists are read as other types on purpose.
    if (String(type) !== String(its.type)) continue
    for (let row = 0; row < ours.numRows; row++) {
      const [own, codecs] = [shown(column, row), shown(its, row)]
      if (own !== codecs) return `column ${name}: ${String(type)}, row ${row}: ${own} and not ${codecs}`
    }
    if (column.nullCount !== its.nullCount) return `column ${name} has ${column.nullCount} nulls, not ${its.nullCount}`
  }
  return undefined
})
