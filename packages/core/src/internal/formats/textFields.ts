import { Result, Schema, SchemaAST } from "effect"
import { typeName } from "./arrowRows.ts"
import { absence, codecOf } from "./rows.ts"

/** A column of a struct whose values are written as text. */
export interface TextField {
  readonly name: string
  /** What the schema asks for, in a word. */
  readonly type: string
  readonly decode: (text: string) => Result.Result<unknown, string>
  readonly encode: (value: unknown) => Result.Result<string, string>
  readonly optional: boolean
  readonly nullable: boolean
}

// Of a type that may be `null` the others: `null` is the empty text, and the text "null" is none.
const present = (schema: Schema.Constraint): Schema.Constraint =>
  "members" in schema && SchemaAST.isUnion(schema.ast)
    ? Schema.Union(
        (schema.members as ReadonlyArray<Schema.Constraint>).filter((member) => !SchemaAST.isNull(member.ast))
      )
    : schema

/** The columns of a struct, the empty string standing for what is `null` or missing. */
export const textFields = (schema: Schema.Struct<Schema.Struct.Fields>): ReadonlyArray<TextField> =>
  schema.ast.propertySignatures.flatMap((property): ReadonlyArray<TextField> => {
    const name = String(property.name)
    const own = schema.fields[name]
    if (own === undefined) return []
    const { nullable, optional } = absence(property.type)
    const codec = Schema.toCodecStringTree(codecOf(present(own)))
    const decode = Schema.decodeUnknownResult(codec)
    const encode = Schema.encodeUnknownResult(codec)
    return [
      {
        name,
        type: typeName(property.type),
        nullable,
        optional,
        decode: (text) => {
          if (text === "" && nullable) return Result.succeed(null)
          if (text === "" && optional) return Result.succeed(undefined)
          return Result.mapError(decode(text), (error) => error.message)
        },
        encode: (value) => {
          if (value === null || value === undefined) {
            return nullable || optional ? Result.succeed("") : Result.fail("is null or missing")
          }
          const result = encode(value)
          if (Result.isFailure(result)) return Result.fail(result.failure.message)
          return typeof result.success === "string"
            ? Result.succeed(result.success)
            : Result.fail("is no single value; CSV has no nested types")
        }
      }
    ]
  })
