import { Condition } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"

type Value = number | bigint | string | boolean | Date
type Row = Value | null

const boundOf = (value: Value): number | bigint | Uint8Array =>
  typeof value === "string"
    ? Buffer.from(value)
    : value instanceof Date
      ? value.getTime()
      : typeof value === "boolean"
        ? Number(value)
        : value

/** The statistics of these values, which have one type and include at least one that is not null. */
const statisticsOf = (rows: ReadonlyArray<Row>): Condition.Statistics => {
  const values = rows.filter((row) => row !== null)
  const least = (sign: number) =>
    values.reduce((one, other) =>
      Condition.matches((sign < 0 ? Condition.lt(other) : Condition.gt(other)).expression, one) ? one : other
    )
  return {
    min: boundOf(least(-1)),
    max: boundOf(least(1)),
    nulls: rows.length - values.length,
    values: rows.length
  }
}

const unknown: Condition.Statistics = { min: undefined, max: undefined, nulls: undefined, values: undefined }

const may = (condition: Condition.Condition<never>, statistics: Condition.Statistics): boolean =>
  Condition.mayMatch(condition.expression, statistics)

const conditionsOn = (value: Value): ReadonlyArray<Condition.Condition<never>> => [
  Condition.eq(value),
  Condition.neq(value),
  Condition.lt(value),
  Condition.lte(value),
  Condition.gt(value),
  Condition.gte(value),
  Condition.oneOf(value),
  Condition.isNull,
  Condition.isNotNull,
  Condition.startsWith(String(value))
]

const kinds: Readonly<Record<string, fc.Arbitrary<Value>>> = {
  numbers: fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true })),
  bigints: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  "bigints near each other": fc.bigInt({ min: 2n ** 53n, max: 2n ** 53n + 3n }),
  strings: fc.string({ unit: fc.constantFrom("a", "b", "é", "\uffff", "😀"), maxLength: 3 }),
  booleans: fc.boolean(),
  dates: fc.date({ min: new Date(-3), max: new Date(3), noInvalidDate: true })
}

describe("Condition.mayMatch", () => {
  for (const [name, value] of Object.entries(kinds)) {
    it(`is never false where a value matches, whatever is known: ${name}`, () => {
      const rows = fc
        .array(fc.oneof({ weight: 4, arbitrary: value }, fc.constant(null)), { maxLength: 4 })
        .chain((rows) => fc.tuple(fc.constant(rows), value))
        .map(([rows, one]): ReadonlyArray<Row> => [...rows, one])
      const known = fc.record({ min: fc.boolean(), max: fc.boolean(), nulls: fc.boolean(), values: fc.boolean() })
      const combined = fc.tuple(value, value, fc.nat(9), fc.nat(9)).map(([one, other, i, j]) => {
        const [a, b] = [conditionsOn(one)[i]!, conditionsOn(other)[j]!]
        return [a, b, Condition.and(a, b), Condition.or(a, b)]
      })
      fc.assert(
        fc.property(rows, known, combined, (rows, known, conditions) => {
          const all = statisticsOf(rows)
          const some: Condition.Statistics = {
            min: known.min ? all.min : undefined,
            max: known.max ? all.max : undefined,
            nulls: known.nulls ? all.nulls : undefined,
            values: known.values ? all.values : undefined
          }
          for (const condition of conditions) {
            if (rows.some((row) => Condition.matches(condition.expression, row))) {
              assert.isTrue(may(condition, some), Condition.print({ column: "it", expression: condition.expression }))
            }
          }
        }),
        { numRuns: 300 }
      )
    })

    it(`is false where the bounds say that none can: ${name}`, () => {
      fc.assert(
        fc.property(value, value, value, (one, other, given) => {
          const statistics = statisticsOf([one, other])
          // An order holds somewhere between two values if it holds at one of them.
          for (const condition of [
            Condition.lt(given),
            Condition.lte(given),
            Condition.gt(given),
            Condition.gte(given)
          ]) {
            const somewhere = [one, other].some((value) => Condition.matches(condition.expression, value))
            assert.strictEqual(may(condition, statistics), somewhere)
          }
          const outside =
            [one, other].every((value) => Condition.matches(Condition.lt(given).expression, value)) ||
            [one, other].every((value) => Condition.matches(Condition.gt(given).expression, value))
          assert.strictEqual(may(Condition.eq(given), statistics), !outside)
          assert.strictEqual(may(Condition.oneOf(given, given), statistics), !outside)
          assert.isFalse(may(Condition.oneOf<Value>(), statistics))
        }),
        { numRuns: 300 }
      )
    })
  }

  it("knows the prefixes between two bounds", () => {
    const between = { ...unknown, min: Buffer.from("bb"), max: Buffer.from("dd") }
    assert.deepStrictEqual(
      ["", "a", "b", "ba", "bb", "bba", "c", "d", "dd", "dda", "de", "e"].map((prefix) =>
        may(Condition.startsWith(prefix), between)
      ),
      // All that begins with "dda" is above "dd".
      [true, false, true, false, true, true, true, true, true, false, false, false]
    )
    assert.isTrue(may(Condition.startsWith("a"), { ...between, min: undefined }))
    assert.isTrue(may(Condition.startsWith("e"), { ...between, max: undefined }))
  })

  it("knows values that are all null, and that none is", () => {
    const allNull = { ...unknown, nulls: 5, values: 5 }
    for (const condition of conditionsOn("a")) {
      assert.strictEqual(may(condition, allNull), condition === Condition.isNull)
    }
    const noNull = { ...unknown, nulls: 0, values: 5 }
    for (const condition of conditionsOn("a")) {
      assert.strictEqual(may(condition, noNull), condition !== Condition.isNull)
    }
    // One number alone says nothing of the others.
    for (const half of [
      { ...unknown, nulls: 5 },
      { ...unknown, values: 5 }
    ]) {
      for (const condition of conditionsOn("a")) assert.isTrue(may(condition, half))
    }
    assert.isTrue(may(Condition.and(Condition.isNull, Condition.isNotNull), { ...unknown, nulls: 1, values: 2 }))
    assert.isFalse(may(Condition.and(Condition.isNull, Condition.isNotNull), noNull))
    assert.isFalse(may(Condition.or(Condition.isNull, Condition.eq("a")), { ...noNull, min: Buffer.from("b") }))
  })

  it("takes bounds of another kind for none, and NaN for what has no order", () => {
    const numbers = { ...unknown, min: 1, max: 2 }
    const texts = { ...unknown, min: Buffer.from("a"), max: Buffer.from("b") }
    for (const condition of conditionsOn("z").slice(0, 7)) assert.isTrue(may(condition, numbers))
    for (const condition of conditionsOn(9).slice(0, 7)) assert.isTrue(may(condition, texts))
    for (const condition of conditionsOn(Number.NaN).slice(0, 7)) assert.isTrue(may(condition, numbers))
    for (const condition of conditionsOn(9).slice(0, 7)) {
      assert.isTrue(may(condition, { ...unknown, min: Number.NaN, max: Number.NaN }))
    }
  })
})
