/** From the cells of CSV records to rows. How to read each column is chosen once per file. */
import { Result } from "effect"
import type { Records } from "./csvRecords.ts"
import { absent, type TextField } from "./fields.ts"
import { setField } from "../../../codec/internal/fields.ts"

/** Reads a cell without quotes, or says that the schema's own decoder has to do it. */
type Reader = (text: string, from: number, to: number) => unknown

const other = Symbol("other")

const slice: Reader = (text, from, to) => text.slice(from, to)

const powersOfTen: ReadonlyArray<number> = Array.from({ length: 16 }, (_, digits) => 10 ** digits)

/**
 * Decimal numbers of up to 15 digits, without an exponent: the digits as a whole number, and a power of ten to divide it by, are
 * both exact, so that their quotient is the number nearest to the text, as `Number` has it.
 */
const shortNumber: Reader = (text, from, to) => {
  const negative = text.charCodeAt(from) === 45
  const first = negative ? from + 1 : from
  if (first === to || to - first > 16) return other
  let value = 0
  let point = -1
  for (let at = first; at < to; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit >= 0 && digit <= 9) value = value * 10 + digit
    else if (digit === -2 && point < 0 && at > first && at < to - 1) point = at
    else return other
  }
  if (point < 0 && to - first > 15) return other
  const power = point < 0 ? 1 : powersOfTen[to - point - 1]
  if (power === undefined) return other
  return negative ? -value / power : value / power
}

const wholeNumber: Reader = (text, from, to) => {
  const value = shortNumber(text, from, to)
  return Number.isSafeInteger(value) ? value : other
}

const never: Reader = () => other

const readers: Readonly<Record<NonNullable<TextField["plain"]> | "none", Reader>> = {
  string: slice,
  number: shortNumber,
  integer: wholeNumber,
  none: never
}

interface Column {
  readonly field: TextField
  readonly name: string
  /** The number of the cell in a record. */
  readonly place: number
  readonly read: Reader
  /** The value of an empty cell. */
  readonly empty: unknown
}

const columnOf = (field: TextField, place: number): Column => ({
  field,
  name: field.name,
  place,
  read: readers[field.plain ?? "none"],
  empty: field.nothing === undefined ? other : field.nothing.value
})

/** Decodes the records of files whose columns are `names`, in order. */
export const rowDecoder = (fields: ReadonlyArray<TextField>, names: ReadonlyArray<string>) => {
  const columns = fields.flatMap((field) => {
    const place = names.indexOf(field.name)
    return place < 0 ? [] : [columnOf(field, place)]
  })
  return (records: Records, record: number): Result.Result<unknown, string> => {
    const first = records.firstCell(record)
    const count = records.firstCell(record + 1) - first
    if (count !== names.length) return Result.fail(`has ${count} fields, but ${names.length} were expected`)
    const { text } = records
    const row: Record<string, unknown> = {}
    for (const { empty, field, name, place, read } of columns) {
      const cell = first + place
      const from = records.from(cell)
      const to = records.to(cell)
      let value = from === to ? empty : records.isQuoted(cell) ? other : read(text, from, to)
      if (value === other) {
        const decoded = field.decode(records.value(cell), records.isQuoted(cell))
        if (Result.isFailure(decoded)) return Result.fail(`column "${name}": ${decoded.failure}`)
        value = decoded.success
      }
      if (value !== absent) setField(row, name, value)
    }
    return Result.succeed(row)
  }
}
