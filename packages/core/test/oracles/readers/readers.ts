/** Files of every writer, read by every reader. */
import { Effect, Exit, Cause } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"
import type { Cell, Column, File, Type } from "./files.ts"
import { disagreement } from "../../formats/parquetAgreement.ts"
import { layerLocal } from "../../../src/storage/Storage.ts"
import * as Hyparquet from "./hyparquet.ts"
import * as Sluice from "./sluice.ts"

type Columns = ReadonlyArray<ReadonlyArray<Cell>>
type Answer = { readonly columns: Columns } | { readonly error: string }

interface Python {
  readonly write: (path: string, file: File) => Promise<string | undefined>
  readonly read: (path: string) => Promise<Readonly<Record<"pyarrow" | "duckdb", Answer>>>
  readonly close: () => void
}

/** One process for all files. */
export const startPython = (python: string): Python => {
  const child = spawn(python, [path.join(import.meta.dirname, "readers.py")], { stdio: ["pipe", "pipe", "inherit"] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ask = async (command: unknown) => {
    child.stdin.write(`${JSON.stringify(command)}\n`)
    const { done, value } = await lines.next()
    if (done === true) throw new Error("Python has ended")
    return JSON.parse(value)
  }
  return {
    write: async (target, { columns, options, writer }) =>
      (await ask({ do: "write", path: target, writer, columns, options })).error,
    read: (target) => ask({ do: "read", path: target }),
    close: () => child.stdin.end()
  }
}

export interface Report {
  /** Faults of Sluice: values that differ from the written ones, or from those of every other reader. */
  readonly wrong: ReadonlyArray<string>
  /** Why Sluice refused a file that others read. */
  readonly refused: string | undefined
  /** What the others do among themselves. */
  readonly notes: ReadonlyArray<string>
}

const attempt = async (read: () => Promise<Columns>): Promise<Answer> => {
  try {
    return { columns: await read() }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

const sluiceAnswer = (effect: Effect.Effect<Columns, unknown>): Promise<Answer> =>
  Effect.runPromise(
    Effect.map(Effect.exit(effect), (exit): Answer => {
      if (Exit.isSuccess(exit)) return { columns: exit.value }
      const error = Cause.squash(exit.cause)
      return { error: error instanceof Error ? error.message : String(error) }
    })
  )

const has = (type: Type, test: (type: Type) => boolean): boolean => {
  if (test(type)) return true
  switch (type.kind) {
    case "list":
    case "map":
      return has(type.item, test)
    case "struct":
      return type.fields.some((field) => has(field, test))
    default:
      return false
  }
}

/** Times down to a unit, in nanoseconds. */
const floorTo = (unit: bigint, type: Type, cell: Cell): Cell => {
  if (cell === null) return null
  switch (type.kind) {
    case "timestamp": {
      const value = BigInt(String(cell))
      return String(value - (((value % unit) + unit) % unit))
    }
    case "list":
      return Array.isArray(cell) ? cell.map((item: Cell) => floorTo(unit, type.item, item)) : cell
    case "map":
      return Array.isArray(cell)
        ? cell.map((entry: Cell) => (Array.isArray(entry) ? [entry[0], floorTo(unit, type.item, entry[1])] : entry))
        : cell
    case "struct":
      return Array.isArray(cell) ? type.fields.map((field, i) => floorTo(unit, field, cell[i] ?? null)) : cell
    default:
      return cell
  }
}

const differences = (
  columns: ReadonlyArray<Column>,
  found: Columns,
  expected: Columns,
  skip: (column: Column) => boolean
) => {
  const out: Array<string> = []
  for (const [index, column] of columns.entries()) {
    if (skip(column)) continue
    const actual = found[index] ?? []
    const wanted = expected[index] ?? []
    if (actual.length !== wanted.length) out.push(`${column.name} has ${actual.length} rows and not ${wanted.length}`)
    const row = wanted.findIndex((cell, i) => JSON.stringify(cell) !== JSON.stringify(actual[i] ?? null))
    if (row < 0) continue
    out.push(
      `${column.name} ${JSON.stringify(column.type)} row ${row}: ${JSON.stringify(actual[row])?.slice(0, 200)} and not ${JSON.stringify(wanted[row]).slice(0, 200)}`
    )
  }
  return out
}

const never = () => false

// Known limits of the others. A decimal is a float to hyparquet; DuckDB has no more than 38 digits, and no half floats.
const beyondHyparquet = ({ type }: Column) => has(type, ({ kind }) => kind === "decimal")
const beyondDuckDb = ({ type }: Column) => has(type, (of) => of.kind === "decimal" && of.precision > 38)

/** Writes a file, has all read it, and compares. */
export const check = async (file: File, python: Python, folder: string): Promise<Report> => {
  const target = path.join(folder, `${file.seed}.parquet`)
  try {
    const failed = await write(file, python, target)
    if (failed !== undefined) {
      return file.writer === "sluice"
        ? { wrong: [`not written: ${failed}`], refused: undefined, notes: [] }
        : { wrong: [], refused: undefined, notes: [`${file.writer} does not write it: ${failed.slice(0, 120)}`] }
    }
    const bytes = fs.readFileSync(target)
    const others = {
      ...(await python.read(target)),
      hyparquet: await attempt(() => Hyparquet.read(bytes, file.columns))
    }
    // Times as they are in the file, or as dates.
    const asDates = file.seed % 2 === 1
    const sluice = await sluiceAnswer(Sluice.read(target, file.columns, asDates))
    const report = compare(file, others, sluice, asDates)
    if ("error" in sluice) return report
    // Alone, the codec cannot read a file whose Arrow schema does not fit its columns.
    const differs = await Effect.runPromise(
      disagreement(target).pipe(
        Effect.orElseSucceed(() => undefined),
        Effect.provide(layerLocal)
      )
    )
    return differs === undefined
      ? report
      : { ...report, wrong: [...report.wrong, `sluice reads of ${file.writer} without the codec: ${differs}`] }
  } finally {
    fs.rmSync(target, { force: true })
  }
}

const write = async (file: File, python: Python, target: string): Promise<string | undefined> => {
  switch (file.writer) {
    case "sluice": {
      const exit = await Effect.runPromise(Effect.exit(Sluice.write(target, file)))
      return Exit.isSuccess(exit) ? undefined : String(Cause.squash(exit.cause))
    }
    case "hyparquet":
      try {
        fs.writeFileSync(target, Hyparquet.write(file))
        return undefined
      } catch (error) {
        return String(error)
      }
    default:
      return python.write(target, file)
  }
}

const compare = (
  { columns, options, writer }: File,
  others: Readonly<Record<"pyarrow" | "duckdb" | "hyparquet", Answer>>,
  sluice: Answer,
  asDates: boolean
): Report => {
  const written: Columns = columns.map(({ values }) => values)
  const notes: Array<string> = []
  const wrong: Array<string> = []
  const agreeing: Array<Columns> = []
  for (const [reader, answer] of Object.entries(others)) {
    const skip = reader === "hyparquet" ? beyondHyparquet : reader === "duckdb" ? beyondDuckDb : never
    const trouble =
      "error" in answer ? [`error: ${answer.error.slice(0, 200)}`] : differences(columns, answer.columns, written, skip)
    if (trouble.length === 0) {
      if ("columns" in answer) agreeing.push(answer.columns)
      continue
    }
    const lines = trouble.map((line) => `${reader} reads of ${writer}: ${line}`)
    if (writer === "sluice") wrong.push(...lines)
    else notes.push(...lines)
  }
  if ("error" in sluice) {
    // A file that pyarrow refuses is not Parquet.
    if ("error" in others.pyarrow) return { wrong, refused: undefined, notes: [...notes, `refused: ${sluice.error}`] }
    return { wrong, refused: sluice.error, notes }
  }
  // If a writer cannot keep its input, pyarrow's reading counts.
  const lossy = agreeing.length === 0
  if (lossy && "error" in others.pyarrow) return { wrong, refused: undefined, notes: [...notes, "nobody reads it"] }
  const reference = lossy && "columns" in others.pyarrow ? others.pyarrow.columns : written
  // A `Date` has milliseconds, and `INT96` is read in microseconds.
  const unit = asDates ? 1_000_000n : options["use_deprecated_int96_timestamps"] === true ? 1000n : 1n
  const expected = reference.map((column, i) => {
    const type = columns[i]?.type
    return type === undefined ? column : column.map((cell) => floorTo(unit, type, cell))
  })
  const how = asDates ? "sluice, as dates," : "sluice"
  wrong.push(
    ...differences(columns, sluice.columns, expected, never).map((line) => `${how} reads of ${writer}: ${line}`)
  )
  return { wrong, refused: undefined, notes }
}

/** The same trouble with fewer columns, rows and options. */
export const shrink = async (file: File, python: Python, folder: string, tries = 150): Promise<File> => {
  const kindOf = async (candidate: File) => {
    const { refused, wrong } = await check(candidate, python, folder)
    return wrong.length > 0 ? "wrong" : refused !== undefined ? "refused" : "right"
  }
  const kind = await kindOf(file)
  let smallest = file
  let left = tries
  search: while (left > 0) {
    for (const candidate of smaller(smallest)) {
      if (left-- <= 0) break search
      if ((await kindOf(candidate)) === kind) {
        smallest = candidate
        continue search
      }
    }
    break
  }
  return smallest
}

const withRows = (file: File, from: number, to: number): File => ({
  ...file,
  rows: to - from,
  columns: file.columns.map((column) => ({ ...column, values: column.values.slice(from, to) }))
})

function* smaller(file: File): Iterable<File> {
  if (file.columns.length > 1) {
    for (const index of file.columns.keys()) yield { ...file, columns: file.columns.toSpliced(index, 1) }
  }
  const half = file.rows >> 1
  if (half > 0) {
    yield withRows(file, 0, half)
    yield withRows(file, half, file.rows)
  }
  for (const name of Object.keys(file.options)) {
    const { [name]: _, ...options } = file.options
    yield { ...file, options }
  }
  if (file.rows > 1 && file.rows <= 6) {
    for (let row = 0; row < file.rows; row++) {
      yield {
        ...file,
        rows: file.rows - 1,
        columns: file.columns.map((column) => ({ ...column, values: column.values.toSpliced(row, 1) }))
      }
    }
  }
}

export const temporaryFolder = (): string => fs.mkdtempSync(path.join(os.tmpdir(), "sluice-readers-"))
