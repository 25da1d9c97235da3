/** Types that a schema declares instead of describing: dates and bytes. Only an annotation, which every check keeps, names them. */
import { Predicate, type SchemaAST } from "effect"

const idOf = (ast: SchemaAST.AST): unknown => {
  const representation = ast.annotations?.["representation"]
  return Predicate.hasProperty(representation, "id") ? representation.id : undefined
}

export const isDate = (ast: SchemaAST.AST): boolean => idOf(ast) === "effect/schema/Date"

export const isBytes = (ast: SchemaAST.AST): boolean => idOf(ast) === "effect/schema/Uint8Array"
