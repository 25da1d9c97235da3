/** Random schemas with values of theirs, of what is hard on text. */
import { Option, Schema } from "effect"
import * as fc from "fast-check"

/** A type and its values. */
export interface Typed {
  readonly schema: Schema.Top
  readonly values: fc.Arbitrary<unknown>
  /** Whether a value may be left out. */
  readonly missing?: boolean
}

const parts = [
  ...["", " ", "a", "b", "1", "0", "-", ".", ",", ";", "|", "\t", '"', "'", '""', "''", "\n", "\r", "\r\n", "\\", "~"],
  ...["\u0000", "\u0007", "\uFEFF", "\u00a0", "\u0085", "\u2028", "\uFFFD", "é", "\u{1F600}", "\ud800", "\udc00"],
  ...["%", "%2F", "=", "/", "..", ":", "?", "#", "*", "[", "{", "}", "null", "NaN", "-0", "true", "undefined"],
  ...["__HIVE_DEFAULT_PARTITION__", "__proto__", "2020-01-01T00:00:00.000Z"]
]

/** Strings of what separates, quotes, breaks and escapes. */
const strings = fc
  .array(fc.constantFrom(...parts.filter((part) => part.isWellFormed())), { maxLength: 4 })
  .map((found) => found.join(""))

/** The same, some with half a surrogate pair. */
export const anyStrings = fc.oneof(
  { weight: 20, arbitrary: strings },
  { weight: 1, arbitrary: fc.array(fc.constantFrom(...parts), { maxLength: 3 }).map((found) => found.join("")) }
)

export const names = fc.oneof(
  fc.constantFrom(
    "id",
    "__proto__",
    "constructor",
    "toString",
    "valueOf",
    "_tag",
    ".hidden",
    "_a",
    "a=b",
    "a%",
    "0",
    ""
  ),
  strings
)

const numbers = fc.oneof(
  fc.constantFrom(
    0,
    -0,
    Number.NaN,
    Infinity,
    -Infinity,
    1e21,
    1e-7,
    2 ** 53,
    -(2 ** 53),
    Number.MAX_VALUE,
    Number.MIN_VALUE
  ),
  fc.double(),
  fc.integer()
)

const bigints = fc.oneof(fc.bigInt(-(2n ** 80n), 2n ** 80n), fc.constantFrom(0n, 2n ** 53n + 1n, -(2n ** 63n)))
const dates = fc.oneof(
  fc.integer({ min: -8.64e15, max: 8.64e15 }),
  fc.constantFrom(-1, -999, -1000.5, -1001, 0, 1, -8.64e15, 8.64e15)
)

const scalar = fc
  .constantFrom<ReadonlyArray<Typed>>(
    [{ schema: Schema.String, values: anyStrings }],
    [{ schema: Schema.String.check(Schema.isMinLength(1)), values: anyStrings.filter((text) => text !== "") }],
    [{ schema: Schema.Number, values: numbers }],
    [{ schema: Schema.Int, values: fc.integer() }],
    [{ schema: Schema.BigInt, values: bigints }],
    [{ schema: Schema.Boolean, values: fc.boolean() }],
    [{ schema: Schema.Date, values: dates.map((millis) => new Date(millis)) }],
    [{ schema: Schema.Literals(["a", "", "null"]), values: fc.constantFrom("a", "", "null") }],
    [{ schema: Schema.Literals([1, "1", "b"]), values: fc.constantFrom(1, "1", "b") }],
    [{ schema: Schema.Union([Schema.Number, Schema.String]), values: fc.oneof(numbers, strings) }],
    [
      {
        schema: Schema.Union([Schema.Date, Schema.String]),
        values: fc.oneof(
          dates.map((millis) => new Date(millis)),
          strings
        )
      }
    ],
    [
      {
        schema: Schema.Union([Schema.Boolean, Schema.Literal("yes")]),
        values: fc.oneof(fc.boolean(), fc.constant("yes"))
      }
    ],
    // The sign of a zero is lost where the schema makes the text.
    [
      { schema: Schema.FiniteFromString, values: fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0) }
    ],
    [
      {
        schema: Schema.OptionFromNullOr(Schema.String),
        values: fc.option(strings, { nil: undefined }).map(Option.fromUndefinedOr)
      }
    ]
  )
  .map(([typed]) => typed as Typed)

const or = (typed: Typed, schema: Schema.Top, ...more: ReadonlyArray<unknown>): Typed => ({
  schema,
  values: fc.oneof({ weight: 2, arbitrary: typed.values }, { weight: 1, arbitrary: fc.constantFrom(...more) })
})

/** One of the ways a field may have nothing. */
const withAbsence = (typed: Typed): fc.Arbitrary<Typed> => {
  const { schema } = typed
  return fc.constantFrom<Typed>(
    typed,
    typed,
    or(typed, Schema.NullOr(schema), null),
    or(typed, Schema.NullOr(schema).check(Schema.makeFilter(() => true)), null),
    or(typed, Schema.UndefinedOr(schema), undefined),
    { ...typed, schema: Schema.optionalKey(schema), missing: true },
    { ...or(typed, Schema.optional(schema), undefined), missing: true },
    { ...or(typed, Schema.optionalKey(Schema.NullOr(schema)), null), missing: true }
  )
}

/** Columns that a text can hold. */
export const columns = scalar.chain(withAbsence)

const bytes = fc.uint8Array({ maxLength: 4 })

/** Types of JSON: nested, and without a schema. */
export const nested: fc.Arbitrary<Typed> = fc.letrec<{ any: Typed }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    scalar,
    tie("any").map((typed): Typed => ({
      schema: Schema.Array(typed.schema),
      values: fc.array(typed.values, { maxLength: 3 })
    })),
    tie("any").map((typed): Typed => ({
      schema: Schema.Record(Schema.String, typed.schema),
      values: fc.array(fc.tuple(names, typed.values), { maxLength: 3 }).map((entries) => Object.fromEntries(entries))
    })),
    fc.tuple(tie("any"), tie("any")).map(([left, right]): Typed => ({
      schema: Schema.Tuple([left.schema, right.schema]),
      values: fc.tuple(left.values, right.values)
    })),
    tie("any").map((typed): Typed => ({
      schema: Schema.Union([
        Schema.TaggedStruct("a", { value: typed.schema }),
        Schema.TaggedStruct("b", { value: Schema.String })
      ]),
      values: fc.oneof(
        typed.values.map((value) => ({ _tag: "a", value })),
        strings.map((value) => ({ _tag: "b", value }))
      )
    })),
    fc
      .uniqueArray(names, { maxLength: 3 })
      .chain((keys) =>
        fc.tuple(...keys.map(() => tie("any").chain(withAbsence))).map((types) => structOf(keys, types))
      ),
    fc.constant<Typed>({ schema: Schema.Uint8Array, values: bytes.map((found) => new Uint8Array(found)) }),
    fc.constant<Typed>({
      schema: Schema.Unknown,
      values: fc.oneof(numbers, strings, fc.constant({ a: undefined }), fc.constant([1n]))
    })
  )
})).any

/** A struct of columns, and its rows. */
export const structOf = (keys: ReadonlyArray<string>, types: ReadonlyArray<Typed>): Typed => ({
  schema: Schema.Struct(Object.fromEntries(keys.map((key, index) => [key, (types[index] as Typed).schema]))),
  values: fc
    .tuple(
      ...types.map(({ missing, values }) => fc.tuple(values, missing === true ? fc.boolean() : fc.constant(false)))
    )
    .map((found) =>
      Object.fromEntries(
        found.flatMap(([value, leaves], index) => (leaves ? [] : [[keys[index] as string, value] as const]))
      )
    )
})

/** Structs of some columns. */
export const structs = (types: fc.Arbitrary<Typed>): fc.Arbitrary<Typed & { readonly keys: ReadonlyArray<string> }> =>
  fc
    .uniqueArray(names, { minLength: 1, maxLength: 4 })
    .chain((keys) => fc.tuple(...keys.map(() => types)).map((found) => ({ ...structOf(keys, found), keys })))
