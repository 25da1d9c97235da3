import { assert, describe, it } from "@effect/vitest"
import { parse } from "csv-parse/sync"
import { Result } from "effect"
import * as fc from "fast-check"
import { recordsOf } from "../../../../src/formats/internal/text/csvRecords.ts"

const syntax = { delimiter: ",", quote: '"' }

/** Values of each record and the line it begins in, or why there are none. */
const ours = (text: string, its = syntax) =>
  Result.map(recordsOf(text, its), (records) =>
    Array.from({ length: records.length }, (_, record) => ({
      line: records.lines?.[record] ?? record,
      values: records.values(record)
    }))
  )

/** What another parser finds, by the same rules; `undefined` where it refuses the text. */
const theirs = (text: string, { delimiter, quote } = syntax): ReadonlyArray<ReadonlyArray<string>> | undefined => {
  try {
    return parse(text, {
      delimiter,
      quote,
      escape: quote,
      relax_column_count: true,
      skip_empty_lines: true,
      record_delimiter: ["\r\n", "\n", "\r"]
    })
  } catch {
    return undefined
  }
}

/** The lines that records begin in, by the parity of the quotes before them. */
const startsOf = (text: string, quote: string): ReadonlyArray<number> => {
  const starts: Array<number> = []
  const rest = text.replaceAll("\r\n", "\n").replaceAll("\r", "\n").split("\n")
  let quotes = 0
  for (const [line, content] of rest.entries()) {
    if (quotes % 2 === 0 && content !== "") starts.push(line)
    quotes += content.split(quote).length - 1
  }
  return starts
}

const alphabet = (characters: string, maxLength: number) =>
  fc.array(fc.constantFrom(...characters), { maxLength }).map((parts) => parts.join(""))

// Mostly right, so that not every text is refused; and anything at all.
const cells = fc.oneof(
  alphabet("ab1 é", 4),
  alphabet('ab"\r\n,é', 6).map((text) => `"${text.replaceAll('"', '""')}"`),
  { arbitrary: alphabet('a"', 3), weight: 1 }
)
const texts = fc.oneof(
  fc
    .array(
      fc.tuple(
        fc.array(cells, { maxLength: 4 }).map((row) => row.join(",")),
        fc.constantFrom("\n", "\r\n", "\r", "\n\n")
      ),
      { maxLength: 6 }
    )
    .map((rows) => rows.map((row) => row.join("")).join("")),
  alphabet('a,"\r\n', 14)
)

describe("records of CSV", () => {
  it("are those that another parser finds, or are refused by both, and begin where quotes are closed", () => {
    const tally = { split: 0, refused: 0 }
    fc.assert(
      fc.property(texts, (text) => {
        const expected = theirs(text)
        const found = ours(text)
        if (expected === undefined) {
          tally.refused++
          assert.isTrue(Result.isFailure(found), JSON.stringify(text))
          return
        }
        tally.split++
        const records = Result.getOrThrow(found)
        assert.deepStrictEqual(
          records.map(({ values }) => values),
          expected
        )
        assert.deepStrictEqual(
          records.map(({ line }) => line),
          startsOf(text, '"')
        )
      }),
      { numRuns: 3000 }
    )
    assert.isAbove(tally.split, tally.refused)
    assert.isAbove(tally.refused, 200)
  })

  it("have other characters around and between their fields", () => {
    const text = "'a''é'é1éx\n2éé'\n'"
    assert.deepStrictEqual(ours(text, { delimiter: "é", quote: "'" }), ours(`"a'é",1,x\n2,,"\n"`))
  })

  it("that are wrong are named by their line", () => {
    const wrong = (text: string) => Result.getOrThrow(Result.flip(recordsOf(text, syntax)))
    assert.strictEqual(
      wrong('a\n"b\nc",d\ne,f"g\n'),
      "the record in line 4 from here has a quote in a field that does not begin with one"
    )
    assert.strictEqual(wrong('a\n\n"b'), "the record in line 3 from here has a quoted field without an end")
    assert.strictEqual(
      wrong('"a" ,b'),
      "the record in line 1 from here has a character after the quote that ends a field"
    )
  })
})
