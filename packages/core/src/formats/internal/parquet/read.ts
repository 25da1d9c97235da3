/**
 * Reads row groups as record batches. One row group is in memory at a time, as it is in the file; a few of its rows are
 * decoded at a time if they are to be rows and need no codec, and otherwise as many as fit.
 */
import type * as Arrow from "apache-arrow"
import { Effect, Option, Stream } from "effect"
import type { FormatError } from "../../../task/FormatError.ts"
import { Storage } from "../../../storage/Storage.ts"
import type { FilePart } from "../../../task/Format.ts"
import * as Origin from "../../../task/Origin.ts"
import { storageFailed } from "../inputs.ts"
import { corrupt, format, type OpenFile, projected } from "./file.ts"
import * as Footer from "./footer.ts"
import * as Plan from "./plan.ts"
import { makeFlatDecoder } from "./readFlat.ts"
import { release, verify } from "./readPages.ts"
import * as Thrift from "./thrift.ts"
import * as Vectors from "./vectors.ts"
import type { Libraries } from "./wasm.ts"

// Small inputs of the decoder are built in this buffer, which is reused: new memory costs more than the copy.
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

/** Reads the ranges of a row group, and cuts them into its column chunks. */
const fetchChunks = Effect.fnUntraced(function* (path: string, ranges: ReadonlyArray<Plan.PlannedRange>) {
  const storage = yield* Storage
  const pieces = yield* Effect.forEach(
    ranges,
    (range) =>
      Effect.map(storage.readRange(path, range.offset, range.length), (bytes) => ({
        bytes,
        chunks: range.chunks.map(({ at, column }) => [column, bytes.subarray(at, at + column.length)] as const)
      })),
    { concurrency: 4 }
  ).pipe(Effect.mapError(storageFailed(format, path)))
  const chunks: Chunks = new Map(pieces.flatMap(({ chunks }) => chunks))
  return { chunks, ranges: pieces.map(({ bytes }) => bytes) }
})

type Chunks = ReadonlyMap<Footer.ColumnChunk, Uint8Array>

/** The bytes of a row group. */
interface Fetched {
  readonly chunks: Chunks
  /** What was read: memory that nothing else uses. */
  readonly ranges: ReadonlyArray<Uint8Array>
}

/** The next rows of a column; `undefined` if it turns out that only the codec can decode them. */
type NextRows = (rows: number) => Arrow.Data | undefined

/** Decodes a row group slice by slice, and releases its bytes with the last. */
class RowGroupDecoder {
  private readonly libraries: Libraries
  private readonly file: OpenFile
  private readonly plan: Plan.RowGroupPlan
  private readonly fields: ReadonlyArray<Arrow.Field>
  private readonly fetched: Fetched
  private slices: ReadonlyArray<Plan.Slice>
  // The columns that need no codec.
  private own: ReadonlyMap<string, NextRows>
  /** Whether slices are as small as the arrays of rows that are made of them. */
  private readonly isStepwise: boolean
  // The other columns of a row group that is read in slices, if they fit into memory: the decoder would start from the
  // top for each slice.
  private others: Arrow.RecordBatch | undefined

  constructor(
    libraries: Libraries,
    file: OpenFile,
    plan: Plan.RowGroupPlan,
    fields: ReadonlyArray<Arrow.Field>,
    fetched: Fetched,
    forRows: boolean
  ) {
    this.libraries = libraries
    this.file = file
    this.plan = plan
    this.fields = fields
    this.fetched = fetched
    const { chunks } = fetched
    const [first] = plan.slices
    const flat = flatDecoders(libraries, file, plan, fields, chunks, forRows)
    this.isStepwise = forRows && flat.size === fields.length
    this.slices = this.isStepwise ? [Plan.firstStep(plan.group)] : plan.slices
    this.own = new Map([...flat, ...vectorDecoders(libraries, file, plan, fields, chunks, first.rows)])
    if (!this.isStepwise && !first.short && plan.slices.length > 1) {
      const names = this.without(this.own)
      if (names.size > 0 && Plan.fitsWhole(plan.group, names, Plan.limits)) this.others = this.decodeWhole(names)
    }
  }

  /** Whether there is another slice. */
  get more(): boolean {
    return this.slices.length > 0
  }

  next(): Arrow.RecordBatch {
    const [slice, ...later] = this.slices
    if (slice === undefined) throw new Error(`row group ${this.plan.index} has no more slices`)
    this.slices = later
    const { rows } = slice
    const found = new Map<string, Arrow.Data>()
    for (const [name, next] of this.own) {
      const data = next(rows)
      if (data !== undefined) found.set(name, data)
    }
    const rest = this.decodeRest(found, slice)
    const batch =
      found.size === 0 && rest !== undefined
        ? rest
        : assemble(
            this.libraries,
            this.file,
            this.fields,
            rows,
            (name) => found.get(name) ?? rest?.getChild(name)?.data[0]
          )
    if (batch.numRows !== rows) throw new Error(`row group ${this.plan.index} has ${batch.numRows} rows, not ${rows}`)
    const bytes = batch.data.byteLength
    if (this.isStepwise) this.slices = Plan.stepsAfter(this.plan.group, slice, bytes)
    else if (slice.short) this.slices = Plan.slicesAfter(this.plan.group, slice, bytes, Plan.limits)
    if (!this.more) this.free()
    return batch
  }

  /**
   * The columns of a slice that are still missing: from those that were decoded for all slices, or from the decoder.
   */
  private decodeRest(found: Map<string, Arrow.Data>, slice: Plan.Slice): Arrow.RecordBatch | undefined {
    const missing = this.without(found)
    if (missing.size === 0) return undefined
    if (this.others === undefined) {
      try {
        return this.decode(missing, slice)
      } catch (error) {
        // Some encodings cannot be read from the middle on. That does not mean that the file is damaged.
        if (slice.firstRow === 0) throw error
        this.others = this.decodeWhole(this.without(this.own))
      }
    }
    for (const name of missing) {
      const data = this.others.getChild(name)?.data[0]?.slice(slice.firstRow, slice.rows)
      if (data !== undefined) found.set(name, data)
    }
    const left = this.without(found)
    // A column that turned out not to hold vectors.
    return left.size === 0 ? undefined : this.decode(left, slice)
  }

  private without(found: ReadonlyMap<string, unknown>): ReadonlySet<string> {
    return new Set(this.fields.map(({ name }) => name).filter((name) => !found.has(name)))
  }

  private decodeWhole(names: ReadonlySet<string>): Arrow.RecordBatch {
    return this.decode(names, { firstRow: 0, rows: this.plan.group.rows, short: false })
  }

  private decode(names: ReadonlySet<string>, slice: Plan.Slice): Arrow.RecordBatch {
    return decode(this.libraries, this.file, this.plan, names, this.fetched.chunks, slice)
  }

  // The stream keeps this decoder until its last batch is used up. Whatever decodes copies the values.
  private free(): void {
    this.fetched.ranges.forEach(release)
    this.own = new Map()
    this.others = undefined
  }
}

const readRowGroup = Effect.fnUntraced(function* (
  libraries: Libraries,
  file: OpenFile,
  plan: Plan.RowGroupPlan,
  fields: ReadonlyArray<Arrow.Field>,
  forRows: boolean
) {
  const { path } = file.status
  const fetched = yield* fetchChunks(path, plan.ranges)
  const decoder = yield* Effect.try({
    try: () => new RowGroupDecoder(libraries, file, plan, fields, fetched, forRows),
    catch: corrupt(path)
  })
  return Stream.paginate(0, (firstRow) =>
    Effect.try({
      try: () => {
        const batch = decoder.next()
        const next = decoder.more ? Option.some(firstRow + batch.numRows) : Option.none<number>()
        const origin = { path, rowGroup: plan.index, firstRow, kept: undefined }
        return [[[Origin.attach(batch, origin)]], next] as const
      },
      catch: corrupt(path)
    })
  )
})

/** Says in which column a chunk is damaged. */
const inColumn = <A>({ index }: Plan.RowGroupPlan, name: string, read: () => A): A => {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw new Thrift.ThriftError(`${error.message} (row group ${index}, column ${JSON.stringify(name)})`)
  }
}

/** For each column of single values that needs no codec, the function that reads its next rows. */
const flatDecoders = (
  { arrow }: Libraries,
  file: OpenFile,
  plan: Plan.RowGroupPlan,
  fields: ReadonlyArray<Arrow.Field>,
  chunks: Chunks,
  // Rows are made of a batch before the next one is asked for, and hold no memory of it but that of bytes.
  forRows: boolean
): ReadonlyMap<string, NextRows> => {
  const decoders = new Map<string, NextRows>()
  for (const { name, type } of fields) {
    const at = file.footer.schema.leaves.findIndex((leaf) => leaf.path[0] === name)
    const leaf = file.footer.schema.leaves[at]
    const column = plan.group.columns[at]
    if (leaf === undefined || column === undefined) continue
    const next = inColumn(plan, name, () => makeFlatDecoder(chunkOf(chunks, column), column, leaf, type, forRows))
    if (next === undefined) continue
    decoders.set(name, (rows) => inColumn(plan, name, () => arrow.makeData({ type, length: rows, ...next(rows) })))
  }
  return decoders
}

/** For each column of vectors, the function that reads its next rows. */
const vectorDecoders = (
  { arrow }: Libraries,
  file: OpenFile,
  plan: Plan.RowGroupPlan,
  fields: ReadonlyArray<Arrow.Field>,
  chunks: Chunks,
  step: number
): ReadonlyMap<string, NextRows> => {
  const { group } = plan
  const decoders = new Map<string, NextRows>()
  for (const { name, type } of fields) {
    const shape = file.vectors.get(name)
    const column = group.columns.find((column) => column.path[0] === name)
    if (shape === undefined || column === undefined || !arrow.DataType.isList(type)) continue
    const item = type.children[0]?.type
    if (item === undefined || !arrow.DataType.isFloat(item)) continue
    const decoder = inColumn(plan, name, () =>
      Vectors.makeVectorDecoder(chunkOf(chunks, column), column, shape, group.rows, step)
    )
    if (decoder === undefined) continue
    decoders.set(name, (rows) => {
      const vectors = inColumn(plan, name, () => decoder.next(rows))
      if (vectors === undefined) return undefined
      const { offsets: valueOffsets, values: data } = vectors
      const child = arrow.makeData({ type: new arrow.Float32(), length: data.length, data })
      return arrow.makeData({ type, length: rows, nullCount: 0, valueOffsets, child })
    })
  }
  return decoders
}

const chunkOf = (chunks: Chunks, column: Footer.ColumnChunk): Uint8Array => {
  const chunk = chunks.get(column)
  if (chunk === undefined) throw new Error(`column "${column.path.join(".")}" was not read`)
  return chunk
}

const decode = (
  libraries: Libraries,
  file: OpenFile,
  plan: Plan.RowGroupPlan,
  names: ReadonlySet<string>,
  chunks: Chunks,
  { firstRow, rows, short }: Plan.Slice
): Arrow.RecordBatch => {
  const { group, index } = plan
  const columns = group.columns.filter((column) => names.has(column.path[0]))
  const found = columns.map((column) => {
    const chunk = chunkOf(chunks, column)
    // In lists a row has any number of values.
    const enough = short && !Footer.isRepeated(file.footer, column) ? rows : undefined
    const length = inColumn(plan, column.path.join("."), () => verify(chunk, column, true, enough))
    return { offset: column.offset, piece: chunk.subarray(0, length) }
  })
  const pieces = found.map(({ piece }) => piece)
  const lengths = pieces.map((piece) => piece.length)
  const ranges = found.map(({ offset, piece }) => ({ offset, length: piece.length }))
  const footer = projected(libraries, file, names)
  const input = joined(Footer.rowGroupFile(footer, index, ranges, pieces, lengths))
  // `intoIPCStream` consumes the table, so nothing is left in the decoder's memory.
  const options = { batchSize: rows, limit: rows, offset: firstRow }
  const ipc = libraries.codec((wasm) => wasm.readParquet(input, options).intoIPCStream())
  const [batch, more] = libraries.arrow.tableFromIPC(ipc).batches
  if (batch === undefined || more !== undefined)
    throw new Error(`row group ${index} was decoded in more than one piece`)
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
    if (data === undefined || data.length !== length)
      throw new Error(`column "${field.name}" does not have ${length} rows`)
    return data
  })
  const type = new arrow.Struct([...fields])
  const schema = new arrow.Schema([...fields], file.schema.metadata)
  return new arrow.RecordBatch(schema, arrow.makeData({ type, length, nullCount: 0, children }))
}

/** The batches of some row groups. With `forRows`, the first of each has only a few rows, and others if they can. */
export const batchesOf = (
  libraries: Libraries,
  file: OpenFile,
  part: FilePart,
  columns: ReadonlyArray<string> | undefined,
  forRows: boolean
): Stream.Stream<ReadonlyArray<Arrow.RecordBatch>, FormatError, Storage> =>
  Stream.suspend(() => {
    const asked = columns === undefined ? undefined : new Set(columns)
    const fields = file.schema.fields.filter((field) => asked === undefined || asked.has(field.name))
    const names = new Set(fields.map((field) => field.name))
    // The vectors of a row group lie in one piece, however many of them are read.
    const probes = forRows && !fields.some((field) => file.vectors.has(field.name))
    return Effect.try({
      try: () =>
        Plan.plan(
          file.footer,
          names,
          probes ? { ...Plan.limits, firstRows: Plan.stepRows } : Plan.limits,
          part.rowGroups ?? []
        ),
      catch: corrupt(file.status.path)
    }).pipe(
      Stream.fromIterableEffect,
      Stream.rechunk(1),
      Stream.flatMap((one) => Stream.unwrap(readRowGroup(libraries, file, one, fields, forRows)))
    )
  })
