import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as fc from "fast-check"
import { recordsOf } from "../../../../src/formats/internal/text/csvRecords.ts"
import { rowDecoder } from "../../../../src/formats/internal/text/csvRows.ts"
import { textFields } from "../../../../src/formats/internal/text/fields.ts"

const syntax = { delimiter: ",", quote: '"' }

/** The value that a cell is read as in a column of a schema: `undefined` where it is refused. */
const cell = (schema: Schema.Codec<unknown, unknown>, text: string): unknown => {
  const records = Result.getOrThrow(recordsOf(`${text},`, syntax))
  const decode = rowDecoder(textFields(Schema.Struct({ c: schema })), ["c", "other"])
  return Result.getOrUndefined(
    Result.map(decode(records, 0), (row) => Object.getOwnPropertyDescriptor(row, "c")?.value)
  )
}

const digits = (maxLength: number) =>
  fc.array(fc.constantFrom(..."0123456789"), { maxLength }).map((parts) => parts.join(""))
const numbers = fc.oneof(
  fc
    .tuple(fc.constantFrom("", "-", "+"), digits(18), fc.constantFrom("", "."), digits(18))
    .map((parts) => parts.join("")),
  fc.double().map(String),
  fc.array(fc.constantFrom(..."01-+.eE "), { maxLength: 6 }).map((parts) => parts.join(""))
)

describe("cells of CSV", () => {
  for (const [name, schema] of [
    ["numbers", Schema.Number],
    ["finite numbers", Schema.Finite],
    ["integers", Schema.Int]
  ] as const) {
    it(`are the ${name} that the schema reads in their text, and nothing else is`, () => {
      const decode = Schema.decodeUnknownResult(Schema.toCodecStringTree(schema))
      const tally = { read: 0, refused: 0 }
      fc.assert(
        fc.property(numbers, (text) => {
          const expected = Result.getOrUndefined(decode(text))
          tally[expected === undefined ? "refused" : "read"]++
          assert.isTrue(Object.is(cell(schema, text), expected), text)
          assert.isTrue(Object.is(cell(schema, `"${text}"`), expected), text)
        }),
        { numRuns: 2000 }
      )
      assert.isAbove(tally.read, 200)
      assert.isAbove(tally.refused, 200)
    })
  }

  it("are checked where the schema has more to say than its type", () => {
    const Short = Schema.String.check(Schema.isMaxLength(2))
    assert.deepStrictEqual([cell(Short, "ab"), cell(Short, "abc")], ["ab", undefined])
    const Positive = Schema.Int.check(Schema.isGreaterThan(0))
    assert.deepStrictEqual([cell(Positive, "1"), cell(Positive, "0")], [1, undefined])
  })

  it("that are empty are null, or the empty string where they are quoted", () => {
    const Text = Schema.NullOr(Schema.String)
    assert.deepStrictEqual([cell(Text, ""), cell(Text, '""'), cell(Text, '"a"')], [null, "", "a"])
    assert.deepStrictEqual([cell(Schema.String, ""), cell(Schema.NullOr(Schema.Number), "")], ["", null])
  })
})
