import { Dataset, Engine, Origin } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Stream } from "effect"

const rowsIn = 40
const firstRow = 1000

/** Numbers, each of which is its distance from the first row of the array they come in. */
const numbers = Dataset.fromStreams([
  Stream.suspend(() =>
    Stream.fromArray(
      Origin.attach(
        Array.from({ length: rowsIn }, (_, n) => n),
        { path: "a.parquet", rowGroup: 2, firstRow, kept: undefined }
      )
    )
  )
])

/** Each element with the row that it came from, if that is known. */
const rowsOf = <A>(self: Dataset.Dataset<A>) =>
  Dataset.mapPartitions(self, (rows) =>
    Stream.mapArray(rows, (values) => {
      const origin = Origin.of(values)
      return values.map((value, index) => [value, origin && Origin.at(origin, index)] as const) as [
        readonly [A, Origin.RowOrigin | undefined],
        ...Array<readonly [A, Origin.RowOrigin | undefined]>
      ]
    })
  ).pipe(Dataset.collect, Effect.provide(Engine.layer))

const number = (value: number | { readonly n: number }): number => (typeof value === "number" ? value : value.n)

describe("the origin of a row", () => {
  const keep: Readonly<
    Record<
      string,
      readonly [(self: Dataset.Dataset<number>) => Dataset.Dataset<number | { readonly n: number }>, number]
    >
  > = {
    "a source's own": [(self) => self, 40],
    map: [Dataset.map((n) => ({ n })), 40],
    filter: [Dataset.filter((n) => n % 3 === 1), 13],
    "filter, filter": [
      (self) =>
        Dataset.filter(
          Dataset.filter(self, (n) => n % 3 === 1),
          (n) => n % 2 === 1
        ),
      7
    ],
    "filter, map, filterMap": [
      (self) =>
        self.pipe(
          Dataset.filter((n) => n >= 10),
          Dataset.map((n) => n + 1),
          Dataset.filterMap((n) => (n % 5 === 0 ? Result.succeed({ n: n - 1 }) : Result.fail(n)))
        ),
      6
    ],
    select: [
      (self) =>
        self.pipe(
          Dataset.map((n) => ({ n, other: n })),
          Dataset.select("n"),
          Dataset.filter(({ n }) => n > 20)
        ),
      19
    ],
    "mapArray that keeps the number": [
      (self) =>
        Dataset.filter(
          Dataset.mapArray(self, (values) => [...values]),
          (n) => n > 5
        ),
      34
    ]
  }
  for (const [name, [operators, length]] of Object.entries(keep)) {
    it.effect(`is kept: ${name}`, () =>
      Effect.gen(function* () {
        const rows = yield* rowsOf(operators(numbers))
        assert.strictEqual(rows.length, length)
        for (const [value, origin] of rows) {
          assert.deepStrictEqual(origin, { path: "a.parquet", rowGroup: 2, row: firstRow + number(value) })
        }
      })
    )
  }

  const lose: Readonly<Record<string, (self: Dataset.Dataset<number>) => Dataset.Dataset<unknown>>> = {
    flatMap: Dataset.flatMap((n) => [n, n]),
    "filter, flatMap": (self) =>
      Dataset.flatMap(
        Dataset.filter(self, (n) => n > 3),
        (n) => [n, n]
      ),
    sample: Dataset.sample({ fraction: 0.5, seed: 1 }),
    "mapArray that changes the number": Dataset.mapArray((values) => values.slice(1))
  }
  for (const [name, operators] of Object.entries(lose)) {
    it.effect(`is not claimed where it would be another's: ${name}`, () =>
      Effect.gen(function* () {
        const rows = yield* rowsOf(operators(numbers))
        assert.isAbove(rows.length, 0)
        for (const [, origin] of rows) assert.isUndefined(origin)
      })
    )
  }

  it.effect("is the file's own line, whatever the size of the pieces it is read in", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 3000 }, (_, n) => `${n}`)
      const read = Effect.gen(function* () {
        yield* Dataset.writeText(Dataset.fromIterable(lines, { partitions: 1 }), "memory:///lines")
        return yield* Dataset.text("memory:///lines").pipe(
          Dataset.filter((line) => line.endsWith("7")),
          Dataset.mapPartitions((rows) =>
            Stream.mapArray(rows, (values) => {
              const origin = Origin.of(values)
              const named = values.map((value, index) => [value, origin && Origin.at(origin, index).row] as const)
              return named as [(typeof named)[number], ...typeof named]
            })
          ),
          Dataset.collect
        )
      })
      const rows = yield* Effect.provide(read, Engine.layer)
      assert.strictEqual(rows.length, 300)
      for (const [line, row] of rows) assert.strictEqual(row, Number(line))
    })
  )
})
