/** Decoding rows one by one, where some may be bad. */
import { Effect, Result, type Schema, SchemaAST } from "effect"
import { type FormatError, InvalidRow } from "../../FormatError.ts"
import * as Origin from "../../Origin.ts"
import * as TaskContext from "../../TaskContext.ts"
import { fail } from "./inputs.ts"

export type OnInvalidRow = "fail" | "deadLetter"

/** The schema of a struct's field, as a codec that needs no services. */
export const codecOf = (schema: Schema.Constraint): Schema.Codec<unknown, unknown> =>
  schema as Schema.Codec<unknown, unknown>

/** Decodes an array of raw rows, whose first is row `firstRow`. */
export const decodeRows = Effect.fnUntraced(function* <Raw, A>(
  format: string,
  path: string,
  firstRow: number,
  raws: ReadonlyArray<Raw>,
  decode: (raw: Raw) => Result.Result<A, string>,
  show: (raw: Raw) => string,
  onInvalidRow: OnInvalidRow
): Effect.fn.Return<Array<A>, FormatError> {
  const rows: Array<A> = []
  const kept: Array<number> = []
  for (let i = 0; i < raws.length; i++) {
    const raw = raws[i]
    if (raw === undefined) continue
    const result = decode(raw)
    if (Result.isSuccess(result)) {
      rows.push(result.success)
      kept.push(i)
      continue
    }
    const context = yield* TaskContext.Current
    if (onInvalidRow === "fail" || context === undefined) {
      return yield* fail(format, path, new InvalidRow({ row: firstRow + i, detail: result.failure }))
    }
    yield* context.deadLetter({
      path,
      rowGroup: undefined,
      row: firstRow + i,
      reason: result.failure,
      value: show(raw).slice(0, 64 * 1024)
    })
  }
  return Origin.attach(rows, {
    path,
    rowGroup: undefined,
    firstRow,
    kept: rows.length === raws.length ? undefined : Int32Array.from(kept)
  })
})

/** Whether a field may be `null`, or missing. */
export const absence = (ast: SchemaAST.AST): { readonly nullable: boolean; readonly optional: boolean } => {
  const encoded = SchemaAST.toEncoded(ast)
  const types = encoded._tag === "Union" ? encoded.types : [encoded]
  return {
    nullable: types.some((type) => type._tag === "Null"),
    optional: SchemaAST.isOptional(ast) || types.some((type) => type._tag === "Undefined")
  }
}
