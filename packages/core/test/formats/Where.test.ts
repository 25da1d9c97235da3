import { Condition, Dataset, Engine, type Format, Plan, Vector } from "@sluice/core"
import * as Optimizer from "@sluice/core/Optimizer"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as fc from "fast-check"
import { runPython, skipPython } from "./support.ts"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const Row = Schema.Struct({
  id: Schema.Number,
  big: Schema.BigInt,
  price: Schema.NullOr(Schema.Number),
  name: Schema.NullOr(Schema.String),
  when: Schema.Date,
  open: Schema.Boolean,
  // Written and read as text.
  code: Schema.NumberFromString
})
type Row = typeof Row.Type

const on = <A, E>(name: string, effect: () => Effect.Effect<A, E, Engine.Engine>) =>
  it.effect(name, () => Effect.provide(effect(), Engine.layer))

/** How many row groups a dataset reads of how many, as `explain` says. */
const groupsOf = <A, E, R>(self: Dataset.Dataset<A, E, R>) =>
  Effect.map(Dataset.explain(self), (text) => /, (\d+ of \d+) row groups/.exec(text)?.[1])

describe("Condition", () => {
  it("compares as SQL does: null, undefined and NaN meet no comparison", () => {
    const of = Condition.matches
    const age = Condition.gte(18).expression
    assert.deepStrictEqual(
      [17, 18, 18n, 19.5, null, undefined, Number.NaN, "20"].map((value) => of(age, value)),
      [false, true, true, true, false, false, false, false]
    )
    const not = Condition.neq(5).expression
    assert.deepStrictEqual(
      [5, 5n, 6, null, Number.NaN].map((value) => of(not, value)),
      [false, false, true, false, false]
    )
    assert.isTrue(of(Condition.eq(new Date(5)).expression, new Date(5)))
    assert.isTrue(of(Condition.eq(0).expression, -0))
    assert.isTrue(of(Condition.isNull.expression, undefined))
    assert.isFalse(of(Condition.isNotNull.expression, null))
    assert.isTrue(of(Condition.oneOf("a", "b").expression, "b"))
    assert.isTrue(of(Condition.and(Condition.gt(1), Condition.or(Condition.lt(3), Condition.eq(9))).expression, 9))
  })

  it("orders strings by code point, as their UTF-8 bytes are", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "z", "é", "\ue000", "\uffff", "😀", "𐀀"), maxLength: 4 })
    fc.assert(
      fc.property(text, text, (one, other) => {
        const order = Buffer.compare(Buffer.from(one), Buffer.from(other))
        assert.strictEqual(Condition.matches(Condition.lt(other).expression, one), order < 0)
        assert.strictEqual(Condition.matches(Condition.gte(other).expression, one), order >= 0)
      })
    )
  })

  it("prints", () => {
    assert.deepStrictEqual(
      Condition.columns({
        age: Condition.between(18, 65),
        city: Condition.oneOf("Graz", "Linz"),
        since: Condition.lt(new Date(0)),
        name: Condition.isNull
      }).map(Condition.print),
      ["(age >= 18 and age <= 65)", 'city in ("Graz", "Linz")', "since < 1970-01-01T00:00:00.000Z", "name is null"]
    )
  })

  it("types: columns of the row, compared with their own kind", () => {
    const rows = Dataset.fromIterable([{ a: 1, b: "x" as string | null }])
    expectTypeOf(rows.pipe(Dataset.where({ a: Condition.gt(0), b: Condition.startsWith("x") }))).toEqualTypeOf(rows)
    expectTypeOf(Dataset.where(rows, { b: Condition.isNull })).toEqualTypeOf(rows)
    // @ts-expect-error: no such column
    Dataset.where(rows, { c: Condition.gt(0) })
    // @ts-expect-error: a number is not a text
    Dataset.where(rows, { a: Condition.eq("1") })
    // @ts-expect-error: nor in a pipe
    rows.pipe(Dataset.where({ b: Condition.gt(1) }))
    // @ts-expect-error: an object has no order
    Condition.gt({})
  })
})

describe("Optimizer", () => {
  const source = (
    columns: ReadonlyArray<string> = ["a", "b", "c"],
    restricted: ReadonlyArray<Condition.ColumnCondition> = []
  ): Format.Source<{ readonly a: number; readonly b: number; readonly c: number }> => ({
    name: "columnar",
    detail: [columns.join("+"), ...restricted.map(Condition.print)].join(" "),
    partitions: 1,
    columns,
    resolve: () => Effect.succeed({ splits: [] }),
    project: (kept) => source(kept, restricted),
    restricted,
    restrict: (more) => source(columns, [...restricted, ...more])
  })
  const rows = Dataset.fromSource(source())
  const optimised = <A, E, R>(self: Dataset.Dataset<A, E, R>) => Plan.print(Optimizer.optimize(self.plan)).split("\n")

  it("restrictSources: every condition reaches the source, and the filters stay", () => {
    const twice = rows.pipe(
      Dataset.where({ a: Condition.gt(1) }),
      Dataset.where({ b: Condition.lt(2), c: Condition.eq(3) })
    )
    assert.deepStrictEqual(optimised(twice), [
      "Filter b < 2 and c = 3",
      "  Filter a > 1",
      "    Read columnar a+b+c a > 1 b < 2 c = 3"
    ])
    const plan = Optimizer.optimize(twice.plan)
    assert.strictEqual(Plan.print(Optimizer.optimize(plan)), Plan.print(plan))
  })

  it("pushFilterDown: through select, filter, union and coalesce, not through a step that makes other rows", () => {
    assert.deepStrictEqual(
      optimised(
        Dataset.union(rows, rows).pipe(
          Dataset.coalesce(1),
          Dataset.filter(() => true),
          Dataset.where({ a: Condition.gt(1) })
        )
      ),
      [
        "Filter",
        "  Coalesce to 1",
        "    Union of 2",
        "      Filter a > 1",
        "        Read columnar a+b+c a > 1",
        "      Filter a > 1",
        "        Read columnar a+b+c a > 1"
      ]
    )
    for (const other of [
      Dataset.map(rows, (row) => ({ a: -row.a })),
      Dataset.sample(rows, { fraction: 0.5, seed: 1 })
    ]) {
      const [filter, , read] = optimised(Dataset.where(other, { a: Condition.gt(1) }))
      assert.strictEqual(filter, "Filter a > 1")
      assert.strictEqual(read?.trim(), "Read columnar a+b+c")
    }
  })

  it("pruneColumns: a select above conditions reads their columns, too", () => {
    assert.deepStrictEqual(optimised(rows.pipe(Dataset.where({ b: Condition.gt(1) }), Dataset.select("a"))), [
      "Select a",
      "  Filter b > 1",
      "    Read columnar a+b b > 1"
    ])
    assert.deepStrictEqual(optimised(rows.pipe(Dataset.where({ a: Condition.gt(1) }), Dataset.select("a"))), [
      "Filter a > 1",
      "  Read columnar a a > 1"
    ])
    const plan = Optimizer.optimize(rows.pipe(Dataset.where({ b: Condition.gt(1) }), Dataset.select("a")).plan)
    assert.strictEqual(Plan.print(Optimizer.optimize(plan)), Plan.print(plan))
  })
})

describe("Parquet", () => {
  const rows = Array.from({ length: 1000 }, (_, i): Row => ({
    id: i,
    big: BigInt(i) * 10n ** 15n,
    price: i % 100 < 50 ? null : i / 8,
    name: i < 100 ? null : `n${String(i).padStart(4, "0")}`,
    when: new Date(i * 3_600_000 + 7),
    open: i >= 500,
    code: -i
  }))

  on("row groups that cannot match are not read", () =>
    Effect.gen(function* () {
      yield* Dataset.writeParquet(Dataset.fromIterable(rows), "memory:///in", Row, { rowGroupRows: 100 })
      const read = Dataset.parquet("memory:///in", Row)
      const cases: ReadonlyArray<readonly [Condition.Where<Row>, string, number]> = [
        [{ id: Condition.gte(950) }, "1 of 10", 50],
        [{ id: Condition.lt(100) }, "1 of 10", 100],
        [{ id: Condition.gt(999) }, "0 of 10", 0],
        [{ id: Condition.between(150, 250) }, "2 of 10", 101],
        [{ id: Condition.oneOf(5, 505, 5000) }, "2 of 10", 2],
        [{ id: Condition.or(Condition.lt(1), Condition.eq(999)) }, "2 of 10", 2],
        [{ id: Condition.neq(5) }, "10 of 10", 999],
        [{ big: Condition.gt(899n * 10n ** 15n) }, "1 of 10", 100],
        [{ price: Condition.lte(20) }, "2 of 10", 61],
        [{ price: Condition.isNull }, "10 of 10", 500],
        [{ name: Condition.isNull }, "1 of 10", 100],
        [{ name: Condition.isNotNull }, "9 of 10", 900],
        [{ name: Condition.startsWith("n03") }, "1 of 10", 100],
        [{ name: Condition.eq("n0512") }, "1 of 10", 1],
        [{ when: Condition.lt(new Date(100 * 3_600_000)) }, "1 of 10", 100],
        [{ when: Condition.gte(new Date(999 * 3_600_000 + 7)) }, "1 of 10", 1],
        [{ open: Condition.eq(true) }, "5 of 10", 500],
        [{ open: Condition.eq(false), id: Condition.gte(400) }, "1 of 10", 100],
        // The file has text in another order than the numbers made of it.
        [{ code: Condition.gt(-10) }, "10 of 10", 10]
      ]
      for (const [where, groups, count] of cases) {
        const found = Dataset.where(read, where)
        assert.strictEqual(yield* groupsOf(found), groups, JSON.stringify(Object.keys(where)))
        assert.strictEqual((yield* Dataset.collect(found)).length, count)
      }
      // Columns are still pruned.
      const plan = yield* Dataset.explain(read.pipe(Dataset.where({ id: Condition.gte(950) }), Dataset.select("name")))
      assert.match(plan, /1 partition, \d,\d{3} bytes/)
      assert.include(plan, 'columns=["name","id"]')
    })
  )

  on("agrees with a filter, whatever the rows and the conditions are", () =>
    Effect.gen(function* () {
      const value = fc.oneof(
        fc.constantFrom(null, 0, -0, 1, 2.5, Number.NaN, Infinity, -3),
        fc.integer({ min: -5, max: 5 })
      )
      const text = fc.option(fc.string({ unit: fc.constantFrom("a", "b", "é", "\uffff", "😀"), maxLength: 3 }))
      const number = fc.oneof(fc.integer({ min: -6, max: 6 }), fc.constantFrom(2.5, 0.1))
      const condition = fc.oneof(
        number.map((n) => Condition.lt(n)),
        number.map((n) => Condition.lte(n)),
        number.map((n) => Condition.gt(n)),
        number.map((n) => Condition.gte(n)),
        number.map((n) => Condition.eq(n)),
        number.map((n) => Condition.neq(n)),
        fc.array(number, { maxLength: 2 }).map((ns) => Condition.oneOf(...ns)),
        fc.constantFrom(Condition.isNull, Condition.isNotNull)
      )
      const other = fc.string({ unit: fc.constantFrom("a", "b", "é", "\uffff", "😀"), maxLength: 2 })
      const onText = fc.oneof(
        other.map((s) => Condition.lt(s)),
        other.map((s) => Condition.gte(s)),
        other.map((s) => Condition.eq(s)),
        other.map((s) => Condition.startsWith(s)),
        fc.constantFrom(Condition.isNull, Condition.isNotNull)
      )
      const Small = Schema.Struct({ n: Schema.NullOr(Schema.Number), s: Schema.NullOr(Schema.String) })
      let skipped = 0
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(
            fc.array(fc.record({ n: value, s: text }), { maxLength: 12 }),
            condition,
            onText,
            fc.integer({ min: 1, max: 4 }),
            (rows, n, s, rowGroupRows) =>
              Effect.runPromise(
                Effect.gen(function* () {
                  yield* Dataset.writeParquet(Dataset.fromIterable(rows), "memory:///in", Small, { rowGroupRows })
                  for (const where of [{ n }, { s }, { n, s }]) {
                    const found = Dataset.where(Dataset.parquet("memory:///in", Small), where)
                    const [left, all] = ((yield* groupsOf(found)) ?? "0 of 0").split(" of ").map(Number)
                    skipped += (all ?? 0) - (left ?? 0)
                    assert.deepStrictEqual(
                      yield* Dataset.collect(found),
                      rows.filter((row) =>
                        Object.entries(where).every(([key, { expression }]) =>
                          Condition.matches(expression, key === "n" ? row.n : row.s)
                        )
                      )
                    )
                  }
                }).pipe(Effect.provide(Engine.layer))
              )
          ),
          { numRuns: 60, seed: 20261123 }
        )
      )
      assert.isAbove(skipped, 100)
    })
  )

  it.effect.skipIf(skipPython)("skips row groups of files that others wrote", () => {
    const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-where-"))
    return Effect.gen(function* () {
      runPython(
        `
import sys, datetime, pyarrow as pa, pyarrow.parquet as pq
n = 1000
pq.write_table(pa.table({
  "i8": pa.array([i // 10 - 50 for i in range(n)], pa.int8()),
  "u32": pa.array([i + 2**31 for i in range(n)], pa.uint32()),
  "f32": pa.array([i / 4 for i in range(n)], pa.float32()),
  "us": pa.array([datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=i, microseconds=7) for i in range(n)], pa.timestamp("us")),
  "day": pa.array([datetime.date(2026, 1, 1) + datetime.timedelta(days=i) for i in range(n)], pa.date32()),
  "dict": pa.array(["abcdefghij"[i // 100] for i in range(n)]).dictionary_encode(),
  "long": pa.array([("%04d" % i) + "é" * 200 for i in range(n)]),
}), sys.argv[1], row_group_size=100)
`,
        Path.join(root, "in.parquet")
      )
      const Their = Schema.Struct({
        i8: Schema.Number,
        u32: Schema.Number,
        f32: Schema.Number,
        us: Schema.Date,
        day: Schema.Date,
        dict: Schema.String,
        long: Schema.String
      })
      const cases: ReadonlyArray<readonly [Condition.Where<typeof Their.Type>, string, number]> = [
        [{ i8: Condition.lt(-40) }, "1 of 10", 100],
        [{ u32: Condition.gte(2 ** 31 + 900) }, "1 of 10", 100],
        [{ f32: Condition.eq(250 / 4) }, "1 of 10", 1],
        [{ us: Condition.lte(new Date("2026-01-01T00:00:00Z")) }, "1 of 10", 1],
        [{ day: Condition.eq(new Date("2026-01-05")) }, "1 of 10", 1],
        [{ dict: Condition.eq("c") }, "1 of 10", 100],
        [{ long: Condition.startsWith("042") }, "1 of 10", 10]
      ]
      for (const [where, groups, count] of cases) {
        const found = Dataset.where(Dataset.parquet(Path.join(root, "in.parquet"), Their), where)
        assert.strictEqual(yield* groupsOf(found), groups, JSON.stringify(Object.keys(where)))
        assert.strictEqual((yield* Dataset.collect(found)).length, count, JSON.stringify(Object.keys(where)))
      }
    }).pipe(Effect.provide(Engine.layer), Effect.ensuring(Effect.sync(() => Fs.rmSync(root, { recursive: true }))))
  })

  on("a column of lists or a missing column says nothing", () =>
    Effect.gen(function* () {
      const Vectors = Schema.Struct({ v: Vector.Float32, id: Schema.Number })
      yield* Dataset.writeParquet(Dataset.fromIterable([{ v: Float32Array.of(1, 2), id: 1 }]), "memory:///in", Vectors)
      const Wider = Schema.Struct({ v: Vector.Float32, id: Schema.Number, more: Schema.NullOr(Schema.Number) })
      const read = Dataset.parquet("memory:///in", Wider)
      assert.lengthOf(yield* Dataset.collect(Dataset.where(read, { v: Condition.isNotNull })), 1)
      assert.lengthOf(yield* Dataset.collect(Dataset.where(read, { more: Condition.isNull })), 1)
      assert.lengthOf(yield* Dataset.collect(Dataset.where(read, { more: Condition.gt(0) })), 0)
    })
  )
})
