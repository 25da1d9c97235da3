import { Codec, Dataset, type Engine, type JobError, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, HashMap, Option, Schema, Stream } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { engine, groupsOf, roomy, sameElements, tight } from "../support/engines.ts"

// Each list holds equal keys; keys of different lists differ.
const equal: ReadonlyArray<ReadonlyArray<unknown>> = [
  [Number.NaN, Number.NaN, 0 / 0],
  [0, -0],
  [1, 1],
  ["1"],
  [1n, 1n],
  [2n ** 70n, 2n ** 70n],
  [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  [Infinity],
  [-Infinity],
  [true, true],
  ["true"],
  [null, null],
  [undefined, undefined],
  ["null"],
  [""],
  ["\ud800", "\ud800"],
  [new Date(0), new Date(0)],
  [new Date(1)],
  [new Date(Number.NaN), new Date(Number.NaN)],
  [
    { a: 1, b: "x" },
    { b: "x", a: 1 }
  ],
  [{ a: 1 }],
  [{ a: 1, b: undefined }],
  [{}, {}],
  [[], []],
  [
    [1, "x"],
    [1, "x"]
  ],
  [["x", 1]],
  [[Number.NaN], [Number.NaN]],
  [[0], [-0]],
  [[null]],
  [[undefined]],
  [{ at: { when: new Date(5), amount: -0 } }, { at: { amount: 0, when: new Date(5) } }],
  [Option.some(1), Option.some(1)],
  [Option.none(), Option.none()],
  [
    new Map([
      [1, "a"],
      [2, "b"]
    ]),
    new Map([
      [2, "b"],
      [1, "a"]
    ])
  ],
  [new Set([1, 2]), new Set([2, 1])],
  [new Uint8Array([1, 2]), new Uint8Array([1, 2])],
  [new Float64Array([0, 1]), new Float64Array([-0, 1])],
  [new Float32Array([0, 1]), new Float32Array([-0, 1])]
]

const keys = equal.flat()
const left = keys.map((key, n) => [key, n] as const)
// Every other list, and each key of it twice.
const right = equal.filter((_, index) => index % 2 === 0).flatMap((list) => [...list, ...list])
const other = right.map((key, n) => [key, `${n}`] as const)
const third = equal.slice(10).flat()

const pairs = () => Dataset.fromIterable(left, { partitions: 3 })
const others = () => Dataset.fromIterable(other, { partitions: 2 })

const valuesOf = <V>(rows: ReadonlyArray<readonly [unknown, V]>, key: unknown) =>
  rows.filter(([k]) => Equal.equals(k, key)).map(([, value]) => value)
const has = (rows: ReadonlyArray<unknown>, key: unknown) => rows.some((other) => Equal.equals(other, key))
const different = equal.map(([key]) => key)

const matches = left.flatMap(([k, v]) => valuesOf(other, k).map((w) => [k, [v, w]] as const))
const lonely = left.filter(([k]) => !has(right, k))

const collected = <V, E, R>(values: Stream.Stream<V, E, R>) =>
  Effect.map(Stream.runCollect(values), (list) => [...list])

const joins = (self: Dataset.Dataset<readonly [unknown, number]>, that: Dataset.Dataset<readonly [unknown, string]>) =>
  Effect.gen(function* () {
    sameElements(yield* Dataset.collect(Dataset.join(self, that)), matches)
    sameElements(
      yield* Dataset.collect(Dataset.join(that, self)),
      matches.map(([k, [v, w]]) => [k, [w, v]])
    )
    sameElements(yield* Dataset.collect(Dataset.leftJoin(self, that)), [
      ...matches.map(([k, [v, w]]) => [k, [v, Option.some(w)]]),
      ...lonely.map(([k, v]) => [k, [v, Option.none()]])
    ])
    sameElements(yield* Dataset.collect(Dataset.rightJoin(that, self)), [
      ...matches.map(([k, [v, w]]) => [k, [Option.some(w), v]]),
      ...lonely.map(([k, v]) => [k, [Option.none(), v]])
    ])
    sameElements(yield* Dataset.collect(Dataset.fullJoin(self, that)), [
      ...matches.map(([k, [v, w]]) => [k, [Option.some(v), Option.some(w)]]),
      ...lonely.map(([k, v]) => [k, [Option.some(v), Option.none()]])
    ])
    sameElements(yield* Dataset.collect(Dataset.subtractByKey(self, that)), lonely)
    sameElements(yield* Dataset.collect(Dataset.subtractByKey(that, self)), [])
  })

describe("keys of every kind", () => {
  it("are equal in the lists, and different between them", () => {
    assert.strictEqual(groupsOf(left).length, equal.length)
  })

  for (const [size, layer] of [
    ["in memory", roomy],
    ["spilled", tight]
  ] as const) {
    const on = <A, E>(name: string, effect: () => Effect.Effect<A, E, Engine.Engine>) =>
      it.live(`${name}, ${size}`, () => Effect.provide(effect(), layer))

    on("meet in aggregations and groups", () =>
      Effect.gen(function* () {
        const sums = different.map((key) => [key, valuesOf(left, key).reduce((a, b) => a + b, 0)])
        sameElements(yield* Dataset.collect(Dataset.reduceByKey(pairs(), (a, b) => a + b)), sums)
        sameElements(
          yield* Dataset.collect(
            Dataset.foldByKey(
              pairs(),
              () => 0,
              (a, b) => a + b
            )
          ),
          sums
        )
        sameElements(
          yield* Dataset.collect(
            Dataset.aggregateByKey(
              pairs(),
              () => 0,
              (a, b) => a + b,
              (a, b) => a + b
            )
          ),
          sums
        )
        const groups = different.map((key) => [key, valuesOf(left, key)])
        for (const grouped of [
          Dataset.groupByKey(pairs()),
          Dataset.mapValues(
            Dataset.groupBy(pairs(), ([key]) => key),
            (rows) => Stream.map(rows, ([, n]) => n)
          )
        ]) {
          sameElements(
            yield* Dataset.collect(
              Dataset.mapEffect(grouped, ([key, values]) =>
                Effect.map(collected(values), (list) => [key, list] as const)
              )
            ),
            groups
          )
        }
        sameElements(yield* Dataset.collect(Dataset.sampleByKeyExact(pairs(), () => 1, { seed: 1 })), left)
      })
    )

    on("meet in joins", () => joins(pairs(), others()))

    on("meet in cogroups of two, three and four", () =>
      Effect.gen(function* () {
        const thirds = Dataset.fromIterable(
          third.map((key) => [key, true] as const),
          { partitions: 2 }
        )
        const of = (key: unknown) =>
          [
            valuesOf(left, key),
            valuesOf(other, key),
            third.filter((k) => Equal.equals(k, key)).map(() => true),
            valuesOf(left, key)
          ] as const
        const two = yield* Dataset.collect(
          Dataset.mapEffect(Dataset.cogroup(pairs(), [others()]), ([key, [a, b]]) =>
            Effect.map(Effect.all([collected(a), collected(b)]), (lists) => [key, lists] as const)
          )
        )
        sameElements(
          two,
          different.map((key) => [key, of(key).slice(0, 2)])
        )
        const three = yield* Dataset.collect(
          Dataset.mapEffect(Dataset.cogroup(pairs(), [others(), thirds]), ([key, [a, b, c]]) =>
            Effect.map(Effect.all([collected(a), collected(b), collected(c)]), (lists) => [key, lists] as const)
          )
        )
        sameElements(
          three,
          different.map((key) => [key, of(key).slice(0, 3)])
        )
        const four = yield* Dataset.collect(
          Dataset.mapEffect(Dataset.cogroup(pairs(), [others(), thirds, pairs()]), ([key, [a, b, c, d]]) =>
            Effect.map(
              Effect.all([collected(a), collected(b), collected(c), collected(d)]),
              (lists) => [key, lists] as const
            )
          )
        )
        sameElements(
          four,
          different.map((key) => [key, of(key)])
        )
      })
    )

    on("meet in sets", () =>
      Effect.gen(function* () {
        const all = Dataset.fromIterable(keys, { partitions: 3 })
        const some = Dataset.fromIterable(right, { partitions: 2 })
        sameElements(yield* Dataset.collect(Dataset.distinct(all)), different)
        sameElements(
          yield* Dataset.collect(Dataset.intersection(all, some)),
          different.filter((key) => has(right, key))
        )
        sameElements(
          yield* Dataset.collect(Dataset.subtract(all, some)),
          keys.filter((key) => !has(right, key))
        )
        assert.strictEqual(yield* Dataset.countApproxDistinct(all, { relativeError: 0.01 }), equal.length)
      })
    )

    on("are counted and looked up", () =>
      Effect.gen(function* () {
        const byKey = yield* Dataset.countByKey(pairs())
        const byValue = yield* Dataset.countByValue(Dataset.fromIterable(keys, { partitions: 3 }))
        const moved = Dataset.cache(Dataset.partitionBy(pairs(), Partitioner.hash(4)))
        for (const list of equal) {
          for (const key of list) {
            assert.deepStrictEqual(HashMap.get(byKey, key), Option.some(list.length))
            assert.deepStrictEqual(HashMap.get(byValue, key), Option.some(list.length))
            assert.deepStrictEqual(yield* Dataset.lookup(pairs(), key), valuesOf(left, key))
            assert.deepStrictEqual(yield* Dataset.lookup(moved, key), valuesOf(left, key))
          }
        }
      })
    )

    on("go to one partition", () =>
      Effect.gen(function* () {
        const partitions = yield* Dataset.collect(Dataset.glom(Dataset.partitionBy(pairs(), Partitioner.hash(4))))
        sameElements(partitions.flat(), left)
        for (const key of different) {
          assert.strictEqual(partitions.filter((rows) => valuesOf(rows, key).length > 0).length, 1)
        }
        assert.isAbove(partitions.filter((rows) => rows.length > 0).length, 1)
      })
    )
  }

  it.live("that are instances of a class need a codec, and are equal when what it writes is", () =>
    Effect.gen(function* () {
      class City extends Schema.Class<City>("City")({ name: Schema.String, at: Schema.Date }) {}
      class Note extends Schema.Class<Note>("Note")({ text: Schema.String }) {}
      const city = (n: number) => new City({ name: `city ${n % 3}`, at: new Date(n % 3) })
      const key = Codec.fromSchema(City)
      const value = Codec.fromSchema(Note)
      const rows = Array.from({ length: 9 }, (_, n) => [city(n), new Note({ text: `${n}` })] as const)
      const cities = Dataset.fromIterable(rows, { partitions: 2 })
      const counted = [
        yield* Dataset.countByKey(cities, { key }),
        yield* Dataset.countByValue(Dataset.keys(cities), { key })
      ]
      for (const counts of counted) {
        assert.strictEqual(HashMap.size(counts), 3)
        assert.deepStrictEqual(HashMap.get(counts, city(1)), Option.some(3))
      }
      const texts = Dataset.mapValues(cities, ({ text }) => text)
      const groups = Dataset.cogroup(cities, [cities, texts], {
        key,
        left: value,
        others: [value, undefined]
      })
      const lists = yield* Dataset.collect(
        Dataset.mapEffect(groups, ([city, [a, b, c]]) =>
          Effect.map(Effect.all([collected(a), collected(b), collected(c)]), (lists) => [city, lists] as const)
        )
      )
      sameElements(
        lists,
        [0, 1, 2].map((n) => {
          const notes = rows.flatMap(([, note], i) => (i % 3 === n ? [note] : []))
          return [city(n), [notes, notes, notes.map(({ text }) => text)]]
        })
      )
      for (const refused of [
        Dataset.countByKey(cities),
        Dataset.countByValue(Dataset.keys(cities)),
        Dataset.count(Dataset.cogroup(cities, [cities], { key })),
        Dataset.countApproxDistinct(Dataset.map(Dataset.keys(cities), (city) => ({ city })))
      ]) {
        const error = yield* Effect.flip<unknown, JobError.JobError, Engine.Engine>(refused)
        assert.strictEqual(error.reason._tag, "ShuffleFailed")
        assert.match(error.message, /an instance of (City|Note)/)
      }
      assert.strictEqual(yield* Dataset.countApproxDistinct(Dataset.keys(cities), { codec: key }), 3)
    }).pipe(Effect.provide(roomy))
  )

  it.live("meet in joins by broadcast", () => {
    const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-keys-"))
    const write = (name: string, rows: number) =>
      Fs.writeFileSync(Path.join(root, name), Array.from({ length: rows }, (_, i) => `${i}\n`).join(""))
    write("left.txt", left.length)
    write("right.txt", other.length)
    const read = <Row>(name: string, rows: ReadonlyArray<Row>) =>
      Dataset.map(Dataset.text(Path.join(root, name)), (line) => rows[Number(line)] as Row)
    const self = read("left.txt", left)
    const that = read("right.txt", other)
    return Effect.gen(function* () {
      assert.include(yield* Dataset.explain(Dataset.join(self, that)), "broadcasts for join")
      yield* joins(self, that)
      // Either side of a broadcast may have the key that has no bytes.
      const odd = Dataset.map(that, ([, w]) => [{ onClick: () => 1 }, w] as const)
      const even = Dataset.map(self, ([, v]) => [{ onClick: () => 1 }, v] as const)
      for (const joined of [
        Dataset.keys(Dataset.join(odd, self)),
        Dataset.keys(Dataset.join(even, odd)),
        Dataset.keys(Dataset.leftJoin(even, that))
      ]) {
        const error = yield* Effect.flip(Dataset.collect(joined))
        assert.strictEqual(error.reason._tag, "ShuffleFailed")
        assert.include(error.message, "onClick")
      }
    }).pipe(
      Effect.provide(engine(64 * 1024 * 1024)),
      Effect.ensuring(Effect.sync(() => Fs.rmSync(root, { recursive: true })))
    )
  })
})
