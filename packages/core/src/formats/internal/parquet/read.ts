/**
 * Row groups as record batches. One row group is in memory at a time, as it is in the file and decoded.
 */
import type * as Arrow from "apache-arrow"
import { Effect, Option, Stream } from "effect"
import { Corrupt, type FormatError } from "../../../storage/FormatError.ts"
import { Storage } from "../../../storage/Storage.ts"
import type { FilePart } from "../../../task/Format.ts"
import * as Origin from "../../../task/Origin.ts"
import { fail, storageFailed } from "../inputs.ts"
import { corrupt, format, type OpenFile, projected } from "./file.ts"
import * as Footer from "./footer.ts"
import * as Vectors from "./vectors.ts"
import type { Libraries } from "./wasm.ts"

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

export const assemble = (
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

export const batchesOf = (
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
