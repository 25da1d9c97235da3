import { Predicate, Result, Schema, SchemaAST } from "effect"
import { setField } from "../../../codec/internal/fields.ts"
import { typeName } from "../parquet/target.ts"
import { readBack } from "../readBack.ts"
import { codecOf } from "../rows.ts"

/** Marks a column for which a row has no value. */
export const absent: unique symbol = Symbol("absent")

/** A column of a struct whose values are written as text. */
export interface TextField {
  readonly name: string
  /** What the schema asks for, in a word. */
  readonly type: string
  /**
   * The value of a text, or {@link absent}. An empty text that was `quoted` is the empty string if the type includes
   * that.
   */
  readonly decode: (text: string, quoted?: boolean) => Result.Result<unknown, string>
  /** The text of a value; `null` if there is none, which is read like the empty text. */
  readonly encode: (value: unknown) => Result.Result<string | null, string>
  /** The value of a row, or {@link absent}. */
  readonly get: (row: unknown) => unknown
  readonly set: (row: Record<string, unknown>, value: unknown) => void
  readonly optional: boolean
  /** The empty text means no value, not the empty string. */
  readonly emptyIsNone: boolean
  /** The type includes the empty string, or another value with an empty text. */
  readonly takesEmpty: boolean
  /** A type whose texts are always read as this type: without checks or transformation. */
  readonly plain: "string" | "number" | "integer" | undefined
  /** What the empty text always stands for, if it means no value. */
  readonly nothing: { readonly value: unknown } | undefined
}

const isNone = (ast: SchemaAST.AST): boolean => ast._tag === "Null" || ast._tag === "Undefined"

// The members of a union other than `null` and `undefined`: those are the empty text, and the text "null" is not one of them.
const present = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> =>
  ast._tag === "Union" && ast.encoding === undefined ? ast.types.flatMap(present) : isNone(ast) ? [] : [ast]

/** A type without transformation, and without a check that a number read as it is might not pass. */
const plainOf = (ast: SchemaAST.AST): TextField["plain"] => {
  if (ast.encoding !== undefined) return undefined
  const checks = (ast.checks ?? []).map(checkId)
  if (ast._tag === "String") return checks.length === 0 ? "string" : undefined
  if (ast._tag !== "Number") return undefined
  if (checks.includes(isInt)) return checks.every((id) => id === isInt || id === isFinite) ? "integer" : undefined
  return checks.every((id) => id === isFinite) ? "number" : undefined
}

const isInt = "effect/schema/isInt"
const isFinite = "effect/schema/isFinite"

const checkId = (check: SchemaAST.Check<never>): unknown => check.annotations?.representation?.id

/** What is left of a schema without `null` and `undefined`. */
const textOf = (own: Schema.Constraint): Schema.Constraint => {
  const [first, ...others] = present(own.ast)
  if (own.ast.encoding !== undefined || first === undefined) return own
  const schema: Schema.Constraint = Schema.make(first)
  return others.length === 0 ? schema : Schema.Union([schema, ...others.map((member) => Schema.make(member))])
}

const decoded = <A>(result: Result.Result<A, { readonly message: string }>): Result.Result<A, string> =>
  Result.mapError(result, (error) => error.message)

const missing = "is null or missing"
const noText = Result.succeed(null)

/** What a missing value and the empty text stand for in a column. */
const noneOf = (name: string, own: Schema.Constraint) => {
  const column = Schema.Struct({ [name]: codecOf(own) })
  const { ast } = own
  const encoded = SchemaAST.toEncoded(ast)
  const types = encoded._tag === "Union" ? encoded.types : [encoded]
  const optional = SchemaAST.isOptional(encoded)
  // An object made by a literal inherits some keys, which then do not look missing.
  const nothing: Readonly<Record<string, unknown>> = Object.create(null)
  // The empty text stands for only one of several kinds of absence.
  const stands = types.some((type) => type._tag === "Null")
    ? { [name]: null }
    : optional
      ? nothing
      : types.some((type) => type._tag === "Undefined")
        ? { [name]: undefined }
        : undefined
  const read = (row: Readonly<Record<string, unknown>>): unknown => (Object.hasOwn(row, name) ? row[name] : absent)
  const decodeRow = Schema.decodeUnknownResult(column)
  const encodeRow = Schema.encodeUnknownResult(column)
  return {
    optional: optional || types.some((type) => type._tag === "Undefined"),
    exists: stands !== undefined,
    decode: (): Result.Result<unknown, string> =>
      stands === undefined ? Result.fail(missing) : Result.map(decoded(decodeRow(stands)), read),
    /** Whether a value is written as no value, or why it cannot be. */
    encode: (value: unknown): Result.Result<boolean, string> => {
      const result = encodeRow(value === absent ? nothing : { [name]: value })
      if (Result.isFailure(result))
        return Result.fail(value === null || value === undefined || value === absent ? missing : result.failure.message)
      const out = read(result.success)
      if (out !== null && out !== undefined && out !== absent) return Result.succeed(false)
      const back = stands === undefined ? absent : read(stands)
      // A key with the value `undefined` that may be missing is read back as missing.
      if (out === back || (out === undefined && back === absent)) return Result.succeed(true)
      const what = out === null ? "null" : out === undefined ? "undefined" : "missing"
      return Result.fail(
        `is ${what}, which an empty text cannot express: it would be read as ${back === null ? "null" : "missing"}`
      )
    }
  }
}

/** The columns of a struct, in which the empty text stands for `null` or missing. */
export const textFields = (schema: Schema.Struct<Schema.Struct.Fields>): ReadonlyArray<TextField> =>
  schema.ast.propertySignatures.flatMap((property): ReadonlyArray<TextField> => {
    const name = String(property.name)
    const own = Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined
    if (own === undefined) return []
    const { ast } = own
    const none = noneOf(name, own)
    const text = textOf(own)
    const codec = Schema.toCodecStringTree(codecOf(text))
    const decodeText = Schema.decodeUnknownResult(codec)
    const encodeText = Schema.encodeUnknownResult(codec)
    // The checks of a union are not those of its members.
    const checked =
      ast._tag === "Union" && ast.checks !== undefined
        ? Schema.decodeUnknownResult(Schema.toType(codecOf(own)))
        : undefined
    const decode = (value: string): Result.Result<unknown, string> => {
      const result = decodeText(value)
      return decoded(checked === undefined || Result.isFailure(result) ? result : checked(result.success))
    }
    const differs = readBack(codecOf(text), "text", decode)
    const differsFromNone = readBack(codecOf(own), "text", () => none.decode())
    const inherited = name in Object.prototype
    const plain = checked === undefined ? plainOf(text.ast) : undefined
    // A schema with a transformation may make a new value each time.
    const nothing =
      none.exists && ast.encoding === undefined
        ? Result.getOrUndefined(Result.map(none.decode(), (value) => ({ value })))
        : undefined
    return [
      {
        name,
        type: typeName(property.type),
        optional: none.optional,
        emptyIsNone: none.exists,
        takesEmpty: Result.isSuccess(decode("")),
        plain,
        nothing,
        decode: (value, quoted) => {
          if (value !== "" || !none.exists) return plain === "string" ? Result.succeed(value) : decode(value)
          if (quoted !== true) return none.decode()
          const result = decode("")
          return Result.isSuccess(result) ? result : none.decode()
        },
        encode: (value) => {
          if (value === null || value === undefined || value === absent || ast.encoding !== undefined) {
            const nothing = none.encode(value)
            if (Result.isFailure(nothing)) return Result.fail(nothing.failure)
            if (nothing.success) {
              const why = value === absent ? undefined : differsFromNone?.(value, "nothing")
              return why === undefined ? noText : Result.fail(why)
            }
          }
          const result = encodeText(value)
          if (Result.isFailure(result)) return Result.fail(result.failure.message)
          const encoded = result.success
          if (typeof encoded !== "string")
            return Result.fail("is not a single value, and a text field cannot hold anything else")
          if (checked !== undefined) {
            const right = checked(value)
            if (Result.isFailure(right)) return Result.fail(right.failure.message)
          }
          const why = differs?.(value, encoded)
          if (why !== undefined) return Result.fail(why)
          return Result.succeed(Object.is(value, -0) && encoded === "0" ? "-0" : encoded)
        },
        get: (row) =>
          Predicate.hasProperty(row, name) && !(inherited && !Object.hasOwn(row, name)) ? row[name] : absent,
        set: (row, value) => {
          if (value !== absent) setField(row, name, value)
        }
      }
    ]
  })
