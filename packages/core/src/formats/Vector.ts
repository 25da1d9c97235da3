/**
 * Vectors of 32-bit floats as a column type.
 *
 * A column of this type is read as views into the column's own memory: no copy per element, and the vectors of
 * successive rows lie next to each other.
 *
 * @since 0.1.0
 */
import { Schema, type SchemaAST } from "effect"

const representation = "@sluice/core/Vector/Float32"

/**
 * Schema of a `Float32Array` of any length.
 *
 * @category codecs
 * @since 0.1.0
 */
export const Float32 = Schema.declare((input): input is Float32Array => input instanceof Float32Array, {
  expected: "a Float32Array",
  identifier: representation
})

/**
 * Schema of a `Float32Array` of exactly `length` elements.
 *
 * @category codecs
 * @since 0.1.0
 */
export const float32 = (length: number) =>
  Schema.declare((input): input is Float32Array => input instanceof Float32Array && input.length === length, {
    expected: `a Float32Array of ${length} elements`,
    identifier: representation,
    length
  })

/**
 * The length that a schema of this module requires; `undefined` for any other schema.
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (ast: SchemaAST.AST): { readonly length: number | undefined } | undefined => {
  if (ast.annotations?.["identifier"] !== representation) return undefined
  const length = ast.annotations["length"]
  return { length: typeof length === "number" ? length : undefined }
}
