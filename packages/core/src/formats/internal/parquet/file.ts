/** Open Parquet files: their footers, read once, and the Arrow schema that their rows are read with. */
import type * as Arrow from "apache-arrow"
import { Effect } from "effect"
import { Corrupt, type FormatError, SchemaMismatch } from "../../../task/FormatError.ts"
import { type FileStatus, Storage } from "../../../storage/Storage.ts"
import { fail, storageFailed } from "../inputs.ts"
import { describe } from "./arrowRows.ts"
import * as Footer from "./footer.ts"
import { readAs } from "./types.ts"
import * as Vectors from "./vectors.ts"
import type { Libraries } from "./wasm.ts"

export const format = "parquet"

export interface OpenFile {
  readonly status: FileStatus
  readonly footer: Footer.Footer
  readonly schema: Arrow.Schema
  readonly vectors: ReadonlyMap<string, Vectors.VectorColumn>
  /** Whether the decoder has to be told the types, because it would choose others. */
  readonly ownTypes: boolean
  /** Footers of some of the columns, by their names. */
  readonly projections: Map<string, Footer.Footer>
}

export const corrupt =
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

/** The schema of a file. An Arrow schema in the file that does not fit the Parquet schema is left out. */
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

export const open = Effect.fnUntraced(function* (libraries: Libraries, status: FileStatus) {
  const storage = yield* Storage
  const { length, path } = status
  if (length < 12) {
    return yield* fail(
      format,
      path,
      new Corrupt({
        detail: `has ${length} bytes, but the smallest Parquet file has 12: it is truncated, or not a Parquet file`
      })
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

export const projected = (libraries: Libraries, file: OpenFile, wanted: ReadonlySet<string>): Footer.Footer => {
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

/** What is wrong with the columns of a file that are to be read; `undefined` if all can be read. */
export const unreadable = (file: OpenFile, columns: ReadonlyArray<string> | undefined): FormatError | undefined => {
  for (const [column, found] of file.footer.schema.unreadable) {
    if (columns !== undefined && !columns.includes(column)) continue
    const expected = "a column that can be read"
    const available = describe(file.schema)
    return fail(format, file.status.path, new SchemaMismatch({ column, expected, found, available }))
  }
  return undefined
}
