/**
 * Whether a written value is read back as the same value. Most types are always safe; for the others, such as a union
 * of a number and a string in text, each value is read back before it is written.
 */
import { Equal, Result, Schema, SchemaAST } from "effect"
import { isBytes, isDate } from "./representation.ts"

/** The form in which values are written: text has no types, JSON has some. */
export type Medium = "text" | "json"

const isAbsent = (ast: SchemaAST.AST): boolean => ast._tag === "Null" || ast._tag === "Undefined"

/** The types that a value can have, with nested unions flattened. */
const membersOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> =>
  ast._tag === "Union" && ast.encoding === undefined && ast.checks === undefined ? ast.types.flatMap(membersOf) : [ast]

// The kinds of JSON value that a type is written as; text has only one kind.
const kindsOf = (ast: SchemaAST.AST, medium: Medium): ReadonlyArray<string> => {
  switch (ast._tag) {
    case "Literal":
      return [medium === "text" || typeof ast.literal === "bigint" ? "string" : typeof ast.literal]
    case "Number":
      // `NaN` and the infinities are strings.
      return medium === "text" ? ["string"] : ["number", "string"]
    case "Boolean":
      return [medium === "text" ? "string" : "boolean"]
    case "Arrays":
      return ["array"]
    case "Objects":
      return ["object"]
    default:
      return ["string"]
  }
}

const tagOf = (ast: SchemaAST.AST): unknown => {
  if (ast._tag !== "Objects") return undefined
  const type = ast.propertySignatures.find((property) => property.name === "_tag")?.type
  return type?._tag === "Literal" ? type.literal : undefined
}

// No two members are written the same way.
const apart = (members: ReadonlyArray<SchemaAST.AST>, medium: Medium): boolean => {
  if (members.length < 2) return true
  const keys = members.flatMap((member) => {
    const tag = tagOf(member)
    if (tag !== undefined) return [`object ${String(tag)}`]
    const kinds = kindsOf(member, medium)
    return member._tag === "Literal" ? kinds.map((kind) => `${kind} ${String(member.literal)}`) : kinds
  })
  const kinds = new Set(keys.map((key) => key.split(" ", 1)[0]))
  // Members of one kind can be told apart if each is a single value, or has a tag.
  return (
    new Set(keys).size === keys.length &&
    [...kinds].every(
      (kind) => kind === undefined || !keys.includes(kind) || !keys.some((key) => key.startsWith(`${kind} `))
    )
  )
}

const isSafe = (ast: SchemaAST.AST, medium: Medium, above: ReadonlySet<SchemaAST.AST>): boolean => {
  if (ast.encoding !== undefined) return false
  if (above.has(ast)) return true
  const safe = (inner: SchemaAST.AST) => isSafe(inner, medium, new Set([...above, ast]))
  switch (ast._tag) {
    case "String":
    case "Number":
    case "Boolean":
    case "BigInt":
    case "Literal":
    case "Null":
    case "Undefined":
      return true
    case "Declaration":
      return isDate(ast) || isBytes(ast)
    case "Union": {
      const members = membersOf(ast)
      const there = members.filter((member) => !isAbsent(member))
      if (members.includes(ast) || members.length - there.length > 1) return false
      return apart(there, medium) && members.every(safe)
    }
    case "Arrays":
      return [...ast.elements, ...ast.rest].every((type) => !SchemaAST.isOptional(type) && safe(type))
    case "Objects":
      return (
        ast.propertySignatures.every((property) => typeof property.name === "string" && safe(property.type)) &&
        ast.indexSignatures.every((signature) => signature.parameter._tag === "String" && safe(signature.type))
      )
    default:
      return false
  }
}

const isEqual = <A>(schema: Schema.Schema<A>): ((left: A, right: A) => boolean) => {
  try {
    return Schema.toEquivalence(schema)
  } catch {
    return Equal.equals
  }
}

/**
 * A check that compares a value with what reading its encoding yields; `undefined` for a type whose values are all read
 * back unchanged. The check yields the reason why a value is not.
 */
export const readBack = <A>(
  schema: Schema.Schema<A>,
  medium: Medium,
  decode: (encoded: string) => Result.Result<A, string>
): ((value: A, encoded: string) => string | undefined) | undefined => {
  if (isSafe(schema.ast, medium, new Set())) return undefined
  const equal = isEqual(schema)
  return (value, encoded) => {
    const back = decode(encoded)
    if (Result.isFailure(back)) return `would be written as ${encoded}, which cannot be read back: ${back.failure}`
    return equal(back.success, value)
      ? undefined
      : `would be written as ${encoded}, which is read back as a different value`
  }
}

/** Whether the encoding of a type may contain a number. */
export const mayHaveNumbers = (ast: SchemaAST.AST, above: ReadonlySet<SchemaAST.AST> = new Set()): boolean => {
  const encoded = SchemaAST.toEncoded(ast)
  if (above.has(encoded)) return false
  const inside = (inner: SchemaAST.AST) => mayHaveNumbers(inner, new Set([...above, encoded]))
  switch (encoded._tag) {
    case "String":
    case "Boolean":
    case "BigInt":
    case "Null":
    case "Undefined":
    case "TemplateLiteral":
      return false
    case "Literal":
      return Object.is(encoded.literal, -0)
    case "Declaration":
      return !isDate(encoded) && !isBytes(encoded)
    case "Union":
      return encoded.types.some(inside)
    case "Arrays":
      return [...encoded.elements, ...encoded.rest].some(inside)
    case "Objects":
      return (
        encoded.propertySignatures.some((property) => inside(property.type)) ||
        encoded.indexSignatures.some((signature) => inside(signature.type))
      )
    default:
      return true
  }
}
