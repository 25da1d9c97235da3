/** What a struct schema asks of the columns of a file, and how messages name it. */
import { type Schema, SchemaAST } from "effect"
import * as Vector from "../../Vector.ts"
import { isBytes, isDate } from "../representation.ts"

/** What a schema asks of a column. */
export interface Target {
  readonly ast: SchemaAST.AST
  readonly nullable: boolean
  /** Whether `undefined` is written as a missing key. */
  readonly optional: boolean
  /** What `null` becomes. */
  readonly absent: null | undefined
}

export const strip = (ast: SchemaAST.AST, optional: boolean): Target => {
  if (ast._tag !== "Union") return { ast, nullable: optional, optional, absent: undefined }
  const members = ast.types.filter((type) => type._tag !== "Null" && type._tag !== "Undefined")
  const hasNull = ast.types.some((type) => type._tag === "Null")
  const only = members[0]
  return {
    ast: only !== undefined && members.length === 1 ? only : ast,
    nullable: optional || members.length < ast.types.length,
    optional,
    absent: hasNull ? null : undefined
  }
}

/** Without any transformation or check: the getter returns what the schema asks for. */
export const isDirect = (ast: SchemaAST.AST): boolean => {
  if (ast.encoding !== undefined || ast.checks !== undefined) return false
  switch (ast._tag) {
    case "Union":
      return strip(ast, false).ast !== ast && ast.types.every(isDirect)
    case "Arrays":
      return ast.elements.length === 0 && ast.rest.length === 1 && ast.rest.every(isDirect)
    case "Objects":
      return ast.indexSignatures.length === 0 && ast.propertySignatures.every((field) => isDirect(field.type))
    case "Number":
    case "String":
    case "Boolean":
    case "BigInt":
    case "Null":
    case "Undefined":
    case "Unknown":
    case "Any":
      return true
    case "Declaration":
      return isDate(ast) || isBytes(ast) || Vector.of(ast) !== undefined
    default:
      return false
  }
}

/** Whether the values of a column are as in the file, checked or not. */
export const keepsValues = (schema: Schema.Struct<Schema.Struct.Fields>, column: string): boolean => {
  const field = schema.ast.propertySignatures.find((field) => field.name === column)
  const ast = field === undefined ? undefined : strip(field.type, false).ast
  if (ast === undefined || ast.encoding !== undefined) return false
  return ast._tag === "Union" ? ast.types.every((type) => type.encoding === undefined) : true
}

export const expectedName = (ast: SchemaAST.AST): string => {
  const vector = Vector.of(ast)
  if (vector !== undefined) return vector.length === undefined ? "list of floats" : `list of ${vector.length} floats`
  if (isDate(ast)) return "date or timestamp"
  if (isBytes(ast)) return "binary"
  switch (ast._tag) {
    case "Number":
      return "number"
    case "String":
      return "string"
    case "Boolean":
      return "boolean"
    case "BigInt":
      return "integer"
    case "Arrays":
      return "list"
    case "Objects":
      return "struct"
    default:
      return ast._tag.toLowerCase()
  }
}

/** What a schema asks for, in one or two words. */
export const typeName = (ast: SchemaAST.AST): string => expectedName(strip(ast, false).ast)

export const targetOf = (field: SchemaAST.PropertySignature): Target => {
  const encoded = SchemaAST.toEncoded(field.type)
  return strip(encoded, SchemaAST.isOptional(field.type) || SchemaAST.isOptional(encoded))
}
