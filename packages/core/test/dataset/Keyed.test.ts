import { Dataset, type Engine, JobError, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, HashMap, Option, Order, Stream } from "effect"
import * as fc from "fast-check"
import { groupsOf, holds, pairsOf, partitioned, roomy, sameElements, smallKey, tight } from "../support/engines.ts"

const on = <A, E>(name: string, effect: () => Effect.Effect<A, E, Engine.Engine>) =>
  it.live(name, () => Effect.provide(effect(), roomy))

const lists = <K, V, E, R>(groups: Dataset.Dataset<readonly [K, Stream.Stream<V>], E, R>) =>
  Dataset.collect(
    Dataset.mapEffect(groups, ([key, values]) => Effect.map(Stream.runCollect(values), (list) => [key, list] as const))
  )

const pairs = partitioned(fc.tuple(smallKey, fc.integer({ min: -9, max: 9 })))

describe("keyed operations", () => {
  it.live(
    "reduceByKey, foldByKey, aggregateByKey and combineByKey agree with arrays",
    () =>
      holds(pairs, ({ dataset, rows }) =>
        Effect.gen(function* () {
          const groups = groupsOf(rows)
          const sums = groups.map(([key, values]) => [key, values.reduce((a, b) => a + b)])
          sameElements(yield* Dataset.collect(Dataset.reduceByKey(dataset, (a, b) => a + b)), sums)
          sameElements(
            yield* Dataset.collect(
              Dataset.foldByKey(
                dataset,
                () => 0,
                (a, b) => a + b,
                { partitions: 3 }
              )
            ),
            sums
          )
          sameElements(
            (yield* Dataset.collect(
              Dataset.aggregateByKey(
                dataset,
                (): Array<number> => [],
                (list, value) => [...list, value],
                (a, b) => [...a, ...b]
              )
            )).map(([key, list]) => [key, [...list].toSorted()]),
            groups.map(([key, values]) => [key, [...values].toSorted()])
          )
          sameElements(
            yield* Dataset.collect(
              Dataset.combineByKey(dataset, {
                create: (value) => ({ sum: value, count: 1 }),
                add: (state, value) => ({ sum: state.sum + value, count: state.count + 1 }),
                merge: (a, b) => ({ sum: a.sum + b.sum, count: a.count + b.count })
              })
            ),
            groups.map(([key, values]) => [key, { sum: values.reduce((a, b) => a + b), count: values.length }])
          )
        })
      ),
    60_000
  )

  it.live(
    "groupByKey and groupBy agree with arrays, values in order",
    () =>
      holds(pairs, ({ dataset, rows }) =>
        Effect.gen(function* () {
          const groups = groupsOf(rows)
          sameElements(yield* lists(Dataset.groupByKey(dataset)), groups)
          sameElements(
            yield* lists(Dataset.groupBy(dataset, ([key]) => key, { partitions: 2 })),
            groupsOf(rows.map((row) => [row[0], row] as const))
          )
        })
      ),
    60_000
  )

  it.live(
    "mapValues, flatMapValues, keys, values, keyBy, countByKey and lookup agree with arrays",
    () =>
      holds(pairs, ({ dataset, rows }) =>
        Effect.gen(function* () {
          const key = rows[0]?.[0] ?? 1
          assert.deepStrictEqual(
            yield* Dataset.collect(Dataset.mapValues(dataset, (n) => n * 2)),
            rows.map(([k, n]) => [k, n * 2] as const)
          )
          assert.deepStrictEqual(
            yield* Dataset.collect(Dataset.flatMapValues(dataset, (n) => [n, n])),
            rows.flatMap(([k, n]) => [[k, n] as const, [k, n] as const])
          )
          assert.deepStrictEqual(
            yield* Dataset.collect(Dataset.keys(dataset)),
            rows.map(([k]) => k)
          )
          assert.deepStrictEqual(
            yield* Dataset.collect(Dataset.values(dataset)),
            rows.map(([, n]) => n)
          )
          assert.deepStrictEqual(
            yield* Dataset.collect(Dataset.keyBy(dataset, ([, n]) => n)),
            rows.map((row) => [row[1], row] as const)
          )
          const counts = yield* Dataset.countByKey(dataset)
          for (const [k, values] of groupsOf(rows)) {
            assert.deepStrictEqual(HashMap.get(counts, k), Option.some(values.length))
          }
          assert.deepStrictEqual(
            yield* Dataset.lookup(dataset, key),
            rows.filter(([k]) => Equal.equals(k, key)).map(([, n]) => n)
          )
        })
      ),
    60_000
  )

  on("groupByKey, distinct, cache, collect and the counts take their options in a pipe as after the dataset", () =>
    Effect.gen(function* () {
      const rows = pairsOf<string, number>([
        ["a", 1],
        ["b", 2],
        ["a", 1]
      ])
      const partitions = <A, E, R>(self: Dataset.Dataset<A, E, R>) =>
        Effect.map(Dataset.collect(Dataset.glom(self)), (all) => all.length)
      sameElements(yield* lists(rows.pipe(Dataset.groupByKey({ partitions: 5 }))), [
        ["a", [1, 1]],
        ["b", [2]]
      ])
      const grouped = [Dataset.groupByKey(rows, { partitions: 5 }), rows.pipe(Dataset.groupByKey({ partitions: 5 }))]
      for (const groups of grouped) assert.strictEqual(yield* partitions(Dataset.keys(groups)), 5)
      for (const once of [Dataset.distinct(rows, { partitions: 5 }), rows.pipe(Dataset.distinct({ partitions: 5 }))]) {
        assert.strictEqual(yield* partitions(once), 5)
        sameElements(yield* Dataset.collect(once), [
          ["a", 1],
          ["b", 2]
        ])
      }
      for (const cached of [Dataset.cache(rows, { storage: "disk" }), rows.pipe(Dataset.cache({ storage: "disk" }))]) {
        assert.include(yield* Dataset.explain(cached), "disk")
        assert.strictEqual(yield* Dataset.count(cached), 3)
      }
      const counted = HashMap.fromIterable<string, number>([
        ["a", 2],
        ["b", 1]
      ])
      assert.isTrue(Equal.equals(yield* rows.pipe(Dataset.countByKey({ partitions: 2 })), counted))
      assert.isTrue(Equal.equals(yield* Dataset.keys(rows).pipe(Dataset.countByValue({ partitions: 2 })), counted))
      const error = yield* Effect.flip(rows.pipe(Dataset.collect({ maxBytes: 1 })))
      assert.strictEqual(error.reason._tag, "ResultTooLarge")
    })
  )

  on("PairRDDFunctionsSuite: groupByKey with duplicates", () =>
    Effect.gen(function* () {
      const groups = yield* lists(
        Dataset.groupByKey(
          pairsOf([
            [1, 1],
            [1, 2],
            [1, 3],
            [1, 1],
            [2, 1]
          ])
        )
      )
      sameElements(groups, [
        [1, [1, 2, 3, 1]],
        [2, [1]]
      ])
    })
  )

  on("PairRDDFunctionsSuite: groupByKey with negative key hash codes", () =>
    Effect.gen(function* () {
      const groups = yield* lists(
        Dataset.groupByKey(
          pairsOf([
            [-1, 1],
            [-1, 2],
            [-1, 3],
            [2, 1]
          ])
        )
      )
      sameElements(groups, [
        [-1, [1, 2, 3]],
        [2, [1]]
      ])
    })
  )

  on("PairRDDFunctionsSuite: groupByKey with many output partitions", () =>
    Effect.gen(function* () {
      const groups = Dataset.groupByKey(
        pairsOf([
          [1, 1],
          [1, 2],
          [1, 3],
          [2, 1]
        ]),
        { partitions: 10 }
      )
      sameElements(yield* lists(groups), [
        [1, [1, 2, 3]],
        [2, [1]]
      ])
      assert.strictEqual((yield* Dataset.collect(Dataset.glom(Dataset.keys(groups)))).length, 10)
    })
  )

  on("PairRDDFunctionsSuite: aggregateByKey, reduceByKey with many output partitions and with collectAsMap", () =>
    Effect.gen(function* () {
      const pairs = pairsOf([
        [1, 1],
        [1, 1],
        [3, 2],
        [5, 1],
        [5, 3]
      ])
      const sets = Dataset.aggregateByKey(
        pairs,
        () => new Set<number>(),
        (set, n) => set.add(n),
        (a, b) => new Set([...a, ...b])
      )
      sameElements(yield* Dataset.collect(sets), [
        [1, new Set([1])],
        [3, new Set([2])],
        [5, new Set([1, 3])]
      ])
      const sums = yield* Dataset.collect(Dataset.reduceByKey(pairs, (a, b) => a + b, { partitions: 10 }))
      assert.deepStrictEqual(
        new Map(sums),
        new Map([
          [1, 2],
          [3, 2],
          [5, 4]
        ])
      )
    })
  )

  on("PairRDDFunctionsSuite: reduceByKey with a partitioner skips the shuffle", () =>
    Effect.gen(function* () {
      const keyed = Dataset.partitionBy(
        pairsOf([
          [1, 1],
          [1, 2],
          [1, 3],
          [1, 1],
          [0, 1]
        ]),
        Partitioner.hash(2)
      )
      const sums = Dataset.reduceByKey(keyed, (a, b) => a + b)
      sameElements(yield* Dataset.collect(sums), [
        [1, 7],
        [0, 1]
      ])
      const plan = yield* Dataset.explain(sums)
      assert.include(plan, "reduceByKey by hash in 2, in place already")
      assert.notInclude(plan, "Stage 2")
    })
  )

  on("PairRDDFunctionsSuite: foldByKey with mutable result type", () =>
    Effect.gen(function* () {
      const folded = pairsOf([
        [1, 1],
        [1, 2],
        [2, 9],
        [1, 3]
      ]).pipe(
        Dataset.mapValues((n) => [n]),
        Dataset.foldByKey(
          (): Array<number> => [],
          (left, right) => {
            left.push(...right)
            return left
          }
        )
      )
      sameElements(yield* Dataset.collect(folded), [
        [1, [1, 2, 3]],
        [2, [9]]
      ])
      sameElements(yield* Dataset.collect(folded), [
        [1, [1, 2, 3]],
        [2, [9]]
      ])
    })
  )

  on("PairRDDFunctionsSuite: keys and values, lookup", () =>
    Effect.gen(function* () {
      const dataset = pairsOf([
        [1, "a"],
        [2, "b"],
        [1, "c"]
      ])
      assert.deepStrictEqual(yield* Dataset.lookup(dataset, 1), ["a", "c"])
      assert.deepStrictEqual(yield* Dataset.lookup(dataset, 5), [])
      assert.deepStrictEqual(yield* Dataset.lookup(Dataset.partitionBy(dataset, Partitioner.hash(3)), 2), ["b"])
    })
  )

  on("PairRDDFunctionsSuite: sampleByKey", () =>
    Effect.gen(function* () {
      const dataset = Dataset.range(0, 4000, { partitions: 4 }).pipe(Dataset.keyBy((n) => n % 2))
      const sample = Dataset.sampleByKey(dataset, (key) => (key === 0 ? 0.25 : 0), { seed: 3 })
      const taken = yield* Dataset.collect(sample)
      assert.isTrue(taken.every(([key]) => key === 0))
      assert.isAbove(taken.length, 400)
      assert.isBelow(taken.length, 600)
      assert.deepStrictEqual(yield* Dataset.collect(sample), taken)
      const again = yield* Dataset.collect(
        Dataset.sampleByKey(dataset, (key) => (key === 0 ? 1.5 : 0), { seed: 3, withReplacement: true })
      )
      assert.isTrue(again.every(([key]) => key === 0))
      assert.isAbove(again.length, 2800)
      assert.isBelow(again.length, 3200)
      // A Poisson number with mean 1.5 is above 0 for 78 % of them.
      assert.closeTo(new Set(again.map(([, n]) => n)).size / 2000, 0.777, 0.04)
    })
  )

  for (const withReplacement of [false, true]) {
    it.live(`PairRDDFunctionsSuite: sampleByKeyExact, ${withReplacement ? "with" : "without"} replacement`, () =>
      holds(
        fc.tuple(pairs, fc.constantFrom(0, 0.1, 0.5, 0.99, 1, ...(withReplacement ? [2.5] : []))),
        ([{ dataset, rows }, fraction]) =>
          Effect.gen(function* () {
            const unique = Dataset.map(Dataset.zipWithIndex(dataset), ([[key], index]) => [key, index] as const)
            const sample = Dataset.sampleByKeyExact(unique, () => fraction, { seed: 7, withReplacement })
            const taken = yield* Dataset.collect(sample)
            const groups = groupsOf(rows.map(([key], index) => [key, index] as const))
            for (const [key, indexes] of groups) {
              const drawn = taken.filter(([other]) => Equal.equals(other, key)).map(([, index]) => index)
              assert.strictEqual(drawn.length, Math.ceil(fraction * indexes.length))
              assert.isTrue(drawn.every((index) => indexes.includes(index)))
              if (!withReplacement) assert.strictEqual(new Set(drawn).size, drawn.length)
            }
            assert.strictEqual(
              taken.length,
              groups.reduce((sum, [, values]) => sum + Math.ceil(fraction * values.length), 0)
            )
            sameElements(yield* Dataset.collect(sample), taken)
          })
      )
    )
  }

  on("sampleByKeyExact takes every value as often as any other, and other ones for another seed", () =>
    Effect.gen(function* () {
      const dataset = Dataset.map(Dataset.range(0, 20, { partitions: 2 }), (n) => ["key", n] as const)
      for (const [withReplacement, fraction] of [
        [false, 0.25],
        [true, 1.5]
      ] as const) {
        const times = new Array<number>(20).fill(0)
        const samples = new Set<string>()
        for (let seed = 0; seed < 200; seed++) {
          const drawn = yield* Dataset.collect(
            Dataset.values(Dataset.sampleByKeyExact(dataset, () => fraction, { seed, withReplacement }))
          )
          samples.add(String(drawn))
          for (const n of drawn) times[n] = (times[n] ?? 0) + 1
        }
        assert.isAbove(samples.size, 190)
        // 50 and 300 on average; 200 draws of a value differ from that by six standard deviations at most.
        const mean = 200 * fraction
        const deviation = Math.sqrt(mean * (withReplacement ? 1 : 1 - fraction))
        for (const n of times) assert.closeTo(n, mean, 6 * deviation)
      }
    })
  )

  it.live("sampleByKeyExact of a key with more values than memory", () =>
    Effect.provide(
      Effect.gen(function* () {
        const dataset = Dataset.map(Dataset.range(0, 20_000, { partitions: 4 }), (n) => [n % 10 < 8, n] as const)
        const sample = Dataset.sampleByKeyExact(dataset, (big) => (big ? 0.01 : 0.5), { seed: 1, partitions: 2 })
        const counts = yield* Dataset.countByKey(sample)
        assert.deepStrictEqual(
          [HashMap.get(counts, true), HashMap.get(counts, false)].map(Option.getOrNull),
          [160, 2000]
        )
      }),
      tight
    )
  )

  on('1, "1", 1n, true are different keys; NaN is one key, and so are 0 and -0', () =>
    Effect.gen(function* () {
      const rows: ReadonlyArray<readonly [unknown, number]> = [
        [1, 1],
        ["1", 1],
        [1n, 1],
        [true, 1],
        [NaN, 1],
        [NaN, 1],
        [0, 1],
        [-0, 1]
      ]
      const counts = yield* Dataset.collect(
        Dataset.reduceByKey(Dataset.fromIterable(rows, { partitions: 3 }), (a, b) => a + b)
      )
      sameElements(counts, [
        [1, 1],
        ["1", 1],
        [1n, 1],
        [true, 1],
        [NaN, 2],
        [0, 2]
      ])
    })
  )

  on("structs, dates and tuples are compared by what they hold", () =>
    Effect.gen(function* () {
      const rows = [
        [{ a: 1, b: [new Date(5), "x"] }, 1],
        [{ b: [new Date(5), "x"], a: 1 }, 2],
        [{ a: 1, b: [new Date(6), "x"] }, 4]
      ] as const
      const sums = yield* Dataset.collect(
        Dataset.values(
          Dataset.reduceByKey(Dataset.fromIterable(rows, { partitions: 3 }), (a: number, b: number) => a + b)
        )
      )
      assert.deepStrictEqual(sums.toSorted(), [3, 4])
    })
  )

  on("a combiner that throws ends the job with what it threw", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Dataset.collect(
          Dataset.reduceByKey(
            pairsOf([
              [1, 1],
              [1, 2]
            ]),
            (): number => {
              throw new Error("no sum today")
            }
          )
        )
      )
      assert.instanceOf(error, JobError.JobError)
      assert.strictEqual(error.reason._tag, "OperatorDefect")
      assert.include(error.message, "no sum today")
    })
  )

  on("a value that cannot be encoded is a typed error with operator and field", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Dataset.collect(Dataset.groupByKey(pairsOf([[1, { name: "a", onClick: () => 1 }]])))
      )
      assert.strictEqual(error.reason._tag, "ShuffleFailed")
      assert.include(error.message, "groupByKey")
      assert.include(error.message, "onClick")
    })
  )

  on("a failure of the program's own before a shuffle reaches the caller as it is", () =>
    Effect.gen(function* () {
      const failing = Dataset.range(0, 10, { partitions: 2 }).pipe(
        Dataset.mapEffect((n) => (n === 7 ? Effect.fail("seven" as const) : Effect.succeed([n % 2, n] as const))),
        Dataset.reduceByKey((a, b) => a + b)
      )
      assert.strictEqual(yield* Effect.flip(Dataset.collect(failing)), "seven")
    })
  )

  on("and a Catch after the shuffle handles it element by element", () =>
    Effect.gen(function* () {
      const handled = Dataset.range(0, 10, { partitions: 2 }).pipe(
        Dataset.mapEffect((n) => (n % 5 === 2 ? Effect.fail(n) : Effect.succeed([n % 2, n] as const))),
        Dataset.reduceByKey((a, b) => a + b),
        Dataset.catch((n) => Effect.succeed([-1, n] as const))
      )
      sameElements(yield* Dataset.collect(handled), [
        [0, 4 + 6 + 8 + 0],
        [1, 1 + 3 + 5 + 9],
        [-1, 2],
        [-1, 7]
      ])
    })
  )

  it.live("a group larger than the memory is a stream that is read to its end", () =>
    Effect.provide(
      Effect.gen(function* () {
        const sizes = yield* Dataset.range(0, 20_000, { partitions: 4 }).pipe(
          Dataset.map((n) => [n % 10 < 6 ? "big" : `small ${n % 100}`, `value ${n}`] as const),
          Dataset.groupByKey,
          Dataset.mapEffect(([key, values]) => Effect.map(Stream.runCount(values), (n) => [key, n] as const)),
          Dataset.collect
        )
        assert.strictEqual(sizes.find(([key]) => key === "big")?.[1], 12_000)
        assert.strictEqual(
          sizes.reduce((sum, [, n]) => sum + n, 0),
          20_000
        )
      }),
      tight
    )
  )

  on("a group that is skipped costs nothing and harms no other", () =>
    Effect.gen(function* () {
      const keys = yield* Dataset.collect(
        Dataset.keys(
          Dataset.groupByKey(
            pairsOf([
              ["a", 1],
              ["b", 2],
              ["a", 3]
            ])
          )
        )
      )
      assert.deepStrictEqual(keys.toSorted(Order.String), ["a", "b"])
    })
  )
})
