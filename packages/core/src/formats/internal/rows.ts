/** Decodes rows one by one when some may be invalid. */
import { Effect, Result, Schema } from "effect"
import { type FormatError, InvalidRow } from "../../task/FormatError.ts"
import * as Origin from "../../task/Origin.ts"
import * as TaskContext from "../../task/TaskContext.ts"
import { oneOf, optional, type Problem } from "../../codec/internal/checks.ts"
import { fail } from "./inputs.ts"

export type OnInvalidRow = "fail" | "deadLetter"

/** Checks the options of sources of rows. */
export const badOnInvalidRow = (value: OnInvalidRow | undefined): Problem =>
  optional(value, (one) => oneOf("onInvalidRow", one, ["fail", "deadLetter"]))

/** A schema, or the schema of a struct's field, as a codec that needs no services. */
export const codecOf = (schema: Schema.Constraint): Schema.Codec<unknown, unknown> => Schema.make(schema.ast)

/** Rows of a text format as they are in the file. */
export interface RawRows<out Raw> {
  readonly path: string
  /** The line in which the first row begins, counted from 0. */
  readonly firstLine: number
  /** The byte after which lines are counted, if that is not the beginning of the file. */
  readonly afterByte: number | undefined
  readonly rows: ReadonlyArray<Raw>
  /** How many lines after the first row each row begins; `undefined` if there is one row per line. */
  readonly lines: Int32Array | undefined
}

const maxShown = 64 * 1024
const maxReason = 4096

// A part of a string keeps the whole string in memory, which here is everything that was read at once.
const copyOf = (text: string, length: number): string => Buffer.from(text.slice(0, length), "utf8").toString("utf8")

/** Decodes rows. A row that does not decode fails, or is set aside. */
export const decodeRows = Effect.fnUntraced(function* <Raw, A>(
  format: string,
  { afterByte, firstLine, lines, path, rows: raws }: RawRows<Raw>,
  options: {
    readonly decode: (raw: Raw) => Result.Result<A, string>
    readonly show: (raw: Raw) => string
    readonly onInvalidRow: OnInvalidRow
  }
): Effect.fn.Return<Array<A>, FormatError> {
  const rows: Array<A> = []
  // Where the rows begin. Not needed while there is one in every line.
  let kept: Array<number> | undefined = lines === undefined ? undefined : []
  let index = -1
  for (const raw of raws) {
    index++
    const result = options.decode(raw)
    const distance = lines?.[index] ?? index
    if (Result.isSuccess(result)) {
      rows.push(result.success)
      kept?.push(distance)
      continue
    }
    kept ??= Array.from({ length: index }, (_, line) => line)
    const row = firstLine + distance
    const place = afterByte === undefined ? { line: row + 1 } : { afterByte }
    const context = yield* TaskContext.Current
    if (options.onInvalidRow === "fail" || context === undefined) {
      return yield* fail(format, path, new InvalidRow({ row, ...place, detail: result.failure }))
    }
    yield* context.deadLetter({
      path,
      rowGroup: undefined,
      row,
      ...place,
      reason: copyOf(result.failure, maxReason),
      value: copyOf(options.show(raw), maxShown)
    })
  }
  return Origin.attach(rows, {
    path,
    rowGroup: undefined,
    firstRow: firstLine,
    kept: kept === undefined ? undefined : Int32Array.from(kept),
    ...(afterByte === undefined ? {} : { afterByte })
  })
})
