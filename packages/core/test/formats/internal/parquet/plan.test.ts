import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Footer from "../../../../src/formats/internal/parquet/footer.ts"
import * as Plan from "../../../../src/formats/internal/parquet/plan.ts"
import * as Thrift from "../../../../src/formats/internal/parquet/thrift.ts"

const MiB = 1024 * 1024

const column = (path: string, offset: number, length: number, plainLength = length * 2): Footer.ColumnChunk => {
  const [top = "", ...inner] = path.split(".")
  return {
    path: [top, ...inner],
    offset,
    length,
    plainLength,
    values: 1,
    codec: 0,
    nullCount: undefined,
    min: undefined,
    max: undefined
  }
}

const group = (rows: number, ...columns: ReadonlyArray<Footer.ColumnChunk>): Footer.RowGroup => ({
  rows,
  offset: 4,
  length: 0,
  columns
})

const footer = (...rowGroups: ReadonlyArray<Footer.RowGroup>) => ({ rowGroups })

/** The reads of a row group, each as `[offset, length]`. */
const reads = (columns: ReadonlyArray<Footer.ColumnChunk>, wanted?: ReadonlyArray<string>, limits = Plan.limits) =>
  Plan.plan(footer(group(1, ...columns)), wanted && new Set(wanted), limits).flatMap(({ ranges }) =>
    ranges.map(({ length, offset }) => [offset, length])
  )

/** The column chunks of a row group, each as `[name, range, place in the range]`. */
const places = (columns: ReadonlyArray<Footer.ColumnChunk>, wanted?: ReadonlyArray<string>) =>
  Plan.plan(footer(group(1, ...columns)), wanted && new Set(wanted), Plan.limits).flatMap(({ ranges }) =>
    ranges.flatMap(({ chunks }, i) => chunks.map(({ at, column }) => [column.path.join("."), i, at] as const))
  )

/** The slices of a row group with one column, each as `[first row, rows]`, with a `true` where it is short. */
const slices = (rows: number, plainLength: number, limits: Partial<Plan.Limits> = {}) =>
  Plan.plan(footer(group(rows, column("a", 4, 1, plainLength))), undefined, { ...Plan.limits, ...limits }).flatMap(
    (one) => one.slices.map(({ firstRow, rows, short }) => (short ? [firstRow, rows, short] : [firstRow, rows]))
  )

describe("the ranges of a row group", () => {
  const columns = [
    column("c", 3 * MiB + 200, 10),
    column("a", 4, 96),
    column("b", 100 + MiB, 100),
    column("b", MiB + 50, 10)
  ]

  it("go on over a mebibyte that is not wanted, and no further", () => {
    assert.deepStrictEqual(reads(columns, ["a"]), [[4, 96]])
    // From 100 on a mebibyte less 50, then 40 bytes.
    assert.deepStrictEqual(reads(columns, ["a", "b"]), [[4, MiB + 196]])
    assert.deepStrictEqual(reads(columns, ["b", "c"]), [
      [MiB + 50, 150],
      [3 * MiB + 200, 10]
    ])
    assert.deepStrictEqual(reads(columns), [
      [4, MiB + 196],
      [3 * MiB + 200, 10]
    ])
    const near = [column("a", 0, 10), column("b", 10 + MiB, 5), column("c", 16 + 2 * MiB, 1)]
    assert.deepStrictEqual(reads(near), [
      [0, 15 + MiB],
      [16 + 2 * MiB, 1]
    ])
    assert.deepStrictEqual(reads(columns, []), [])
    assert.deepStrictEqual(reads(columns, ["d"]), [])
  })

  it("are as many as the largest gap that they go on over makes them", () => {
    const apart = [column("a", 0, 10), column("b", 11, 10), column("c", 23, 10)]
    const withGap = (gapBytes: number) => reads(apart, undefined, { ...Plan.limits, gapBytes })
    assert.deepStrictEqual(withGap(2), [[0, 33]])
    assert.deepStrictEqual(withGap(1), [
      [0, 21],
      [23, 10]
    ])
    assert.deepStrictEqual(withGap(0), [
      [0, 10],
      [11, 10],
      [23, 10]
    ])
  })

  it("are not made shorter by a column within another", () => {
    const within = [column("a", 0, 100), column("b", 10, 5), column("c", 90, 20)]
    assert.deepStrictEqual(reads(within), [[0, 110]])
    assert.deepStrictEqual(places(within), [
      ["a", 0, 0],
      ["b", 0, 10],
      ["c", 0, 90]
    ])
  })

  it("name each column chunk where it lies, whatever the order of the columns", () => {
    assert.deepStrictEqual(places(columns), [
      ["a", 0, 0],
      ["b", 0, MiB + 46],
      ["b", 0, MiB + 96],
      ["c", 1, 0]
    ])
    assert.deepStrictEqual(places(columns, ["c", "b"]), [
      ["b", 0, 0],
      ["b", 0, 50],
      ["c", 1, 0]
    ])
  })

  it("have all leaves of a nested column, and of no other that is named like one of them", () => {
    const nested = [
      column("point.x", 4, 10),
      column("x", 14, 10),
      column("point.y", 24 + 2 * MiB, 10),
      column("tags.list.element", 34 + 2 * MiB, 5)
    ]
    assert.deepStrictEqual(places(nested, ["point"]), [
      ["point.x", 0, 0],
      ["point.y", 1, 0]
    ])
    assert.deepStrictEqual(places(nested, ["tags"]), [["tags.list.element", 0, 0]])
    assert.deepStrictEqual(places(nested, ["x"]), [["x", 0, 0]])
    assert.deepStrictEqual(places(nested, ["y", "list", "element", "point.x"]), [])
  })

  it("have every byte of every wanted column chunk once, in order, and none between them beyond the gap", () => {
    const chunk = fc.record({
      name: fc.constantFrom("a", "b", "c.x", "c.y"),
      offset: fc.nat(300),
      length: fc.nat(60)
    })
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 12 }),
        fc.option(fc.subarray(["a", "b", "c"]), { nil: undefined }),
        fc.nat(40),
        (chunks, wanted, gapBytes) => {
          const columns = chunks.map(({ length, name, offset }) => column(name, offset, length))
          const asked = columns.filter((one) => wanted === undefined || wanted.includes(one.path[0] ?? ""))
          const [planned] = Plan.plan(footer(group(1, ...columns)), wanted && new Set(wanted), {
            ...Plan.limits,
            gapBytes
          })
          const ranges = planned?.ranges ?? []
          const named = ranges.flatMap(({ chunks }) => chunks.map(({ column }) => column))
          assert.sameMembers(named, asked)
          for (const [i, { chunks, length, offset }] of ranges.entries()) {
            const before = ranges[i - 1]
            if (before !== undefined) assert.isAbove(offset - (before.offset + before.length), gapBytes)
            assert.strictEqual(offset, Math.min(...chunks.map(({ column }) => column.offset)))
            assert.strictEqual(offset + length, Math.max(...chunks.map(({ column }) => column.offset + column.length)))
            let end = offset
            for (const { at, column } of chunks) {
              assert.strictEqual(offset + at, column.offset)
              assert.isAtMost(column.offset - end, gapBytes)
              end = Math.max(end, column.offset + column.length)
            }
          }
        }
      )
    )
  })
})

describe("the place of a dictionary", () => {
  it("is where a column chunk is read from if it lies before the data pages", () => {
    const chunk = (dictionary: number | undefined): Thrift.Struct =>
      new Map([
        [
          3,
          Thrift.structField(
            Thrift.set(
              new Map([
                [1, Thrift.i32(1)],
                [5, Thrift.i64(7)],
                [6, Thrift.i64(400)],
                [7, Thrift.i64(200)],
                [9, Thrift.i64(150)]
              ]),
              [[11, dictionary === undefined ? undefined : Thrift.i64(dictionary)]]
            )
          )
        ]
      ])
    const rangesOf = (dictionary: number | undefined) => {
      const bytes = Thrift.write(
        new Map([
          [
            2,
            Thrift.structList([
              new Map([
                [4, Thrift.utf8("root")],
                [5, Thrift.i32(1)]
              ]),
              new Map([
                [1, Thrift.i32(1)],
                [3, Thrift.i32(0)],
                [4, Thrift.utf8("a")]
              ])
            ])
          ],
          [3, Thrift.i64(7)],
          [
            4,
            Thrift.structList([
              new Map([
                [1, Thrift.structList([chunk(dictionary)])],
                [3, Thrift.i64(7)]
              ])
            ])
          ]
        ])
      )
      const parsed = Footer.parse(bytes, 1000 + bytes.length)
      return Plan.plan(parsed, undefined, Plan.limits).map(({ ranges }) =>
        ranges.map(({ length, offset }) => [offset, length])
      )
    }
    assert.deepStrictEqual(rangesOf(undefined), [[[150, 200]]])
    assert.deepStrictEqual(rangesOf(100), [[[100, 200]]])
    // Written by those who have none.
    assert.deepStrictEqual(rangesOf(0), [[[150, 200]]])
  })
})

describe("the row groups of a plan", () => {
  const groups = footer(
    group(5, column("a", 4, 10)),
    group(0, column("a", 0, 0)),
    group(7, column("a", 14, 10)),
    group(9, column("a", 24, 10))
  )
  const indexes = (asked?: Iterable<number>) =>
    Plan.plan(groups, undefined, Plan.limits, asked).map(({ group, index }) => [index, group.rows])

  it("are those that are asked for, in that order, and that have rows", () => {
    assert.deepStrictEqual(indexes(), [
      [0, 5],
      [2, 7],
      [3, 9]
    ])
    assert.deepStrictEqual(indexes([3, 1, 0]), [
      [3, 9],
      [0, 5]
    ])
    assert.deepStrictEqual(indexes([]), [])
    assert.deepStrictEqual(indexes([1]), [])
    assert.throws(() => indexes([0, 4]), "has no row group 4 any more")
  })

  it("are read one by one, even where they lie next to each other", () => {
    assert.deepStrictEqual(
      Plan.plan(groups, undefined, Plan.limits).map(({ ranges }) =>
        ranges.map(({ length, offset }) => [offset, length])
      ),
      [[[4, 10]], [[14, 10]], [[24, 10]]]
    )
  })
})

describe("the slices of a row group", () => {
  it("are one until its wanted columns have more bytes than are decoded in one piece", () => {
    assert.deepStrictEqual(slices(1000, 96 * MiB), [[0, 1000]])
    assert.deepStrictEqual(slices(1000, 96 * MiB + 1), [
      [0, 500],
      [500, 500]
    ])
    assert.deepStrictEqual(slices(1000, 129 * MiB), [
      [0, 334],
      [334, 334],
      [668, 332]
    ])
    const wide = footer(group(1000, column("a", 4, 1, 90 * MiB), column("b", 5, 1, 90 * MiB)))
    const of = (columns: ReadonlySet<string> | undefined) => Plan.plan(wide, columns, Plan.limits)[0]?.slices.length
    assert.strictEqual(of(undefined), 3)
    assert.strictEqual(of(new Set(["a"])), 1)
    assert.strictEqual(of(new Set(["b"])), 1)
    assert.strictEqual(of(new Set()), 1)
  })

  it("have a row each at least, however large it is", () => {
    assert.deepStrictEqual(slices(2, 1024 * MiB), [
      [0, 1],
      [1, 1]
    ])
  })

  it("begin with a few rows where these are asked for and there are many more", () => {
    assert.deepStrictEqual(slices(21, 1, { firstRows: 10 }), [
      [0, 10, true],
      [10, 11]
    ])
    assert.deepStrictEqual(slices(20, 1, { firstRows: 10 }), [[0, 20]])
    assert.deepStrictEqual(slices(100, 40, { firstRows: 10, wholeBytes: 30, sliceBytes: 20 }), [
      [0, 10, true],
      [10, 50],
      [60, 40]
    ])
  })

  it("do not begin with more rows than fit into a slice", () => {
    assert.deepStrictEqual(slices(10, 100, { firstRows: 4, wholeBytes: 30, sliceBytes: 34 }), [
      [0, 4],
      [4, 4],
      [8, 2]
    ])
    assert.deepStrictEqual(slices(10, 100, { firstRows: 4, wholeBytes: 30, sliceBytes: 50 }), [
      [0, 4, true],
      [4, 5],
      [9, 1]
    ])
    assert.deepStrictEqual(slices(10, 100, { firstRows: 4, wholeBytes: 30, sliceBytes: 25 })[0], [0, 3])
  })

  it("after a few rows are as large as the memory these took allows", () => {
    const first = { firstRow: 0, rows: 10, short: true }
    const after = (bytes: number) =>
      Plan.slicesAfter(group(100), first, bytes, { ...Plan.limits, wholeBytes: 300, sliceBytes: 200 }).map(
        ({ firstRow, rows, short }) => [firstRow, rows, short]
      )
    // 90 rows of 3.3 bytes, which is no more than can be decoded in one piece.
    assert.deepStrictEqual(after(33), [[10, 90, false]])
    // Of 5 bytes: 40 at a time.
    assert.deepStrictEqual(after(50), [
      [10, 40, false],
      [50, 40, false],
      [90, 10, false]
    ])
    // Of 100 bytes: no fewer than there were.
    assert.lengthOf(after(1000), 9)
    // Nothing tells how large the others are.
    assert.deepStrictEqual(after(0), [[10, 90, false]])
  })

  it("have every row once, in order", () => {
    fc.assert(
      fc.property(
        fc.nat(3000),
        fc.nat(5000),
        fc.record({
          wholeBytes: fc.integer({ min: 1, max: 2000 }),
          sliceBytes: fc.integer({ min: 1, max: 2000 }),
          firstRows: fc.option(fc.integer({ min: 1, max: 500 }), { nil: undefined })
        }),
        (rows, plainLength, limits) => {
          let next = 0
          for (const [firstRow, count] of slices(rows, plainLength, limits)) {
            assert.strictEqual(firstRow, next)
            assert.isAbove(Number(count), 0)
            next += Number(count)
          }
          assert.strictEqual(next, rows)
        }
      )
    )
  })
})
