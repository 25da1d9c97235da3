import { Dataset, type Engine, Partitioner, Shuffle } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Option, Stream } from "effect"
import * as fc from "fast-check"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import {
  engine,
  engineOver,
  groupsOf,
  holds,
  pairsOf,
  partitioned,
  roomy,
  sameElements,
  smallKey
} from "../support/engines.ts"

const on = <A, E>(name: string, effect: () => Effect.Effect<A, E, Engine.Engine>) =>
  it.live(name, () => Effect.provide(effect(), roomy))

const sides = fc.tuple(
  partitioned(fc.tuple(smallKey, fc.integer({ min: 0, max: 5 })), 60),
  partitioned(fc.tuple(smallKey, fc.constantFrom("p", "q", "r")), 60)
)

const left = () =>
  pairsOf([
    [1, 1],
    [1, 2],
    [2, 1],
    [3, 1]
  ])
const right = () =>
  pairsOf([
    [1, "x"],
    [2, "y"],
    [2, "z"],
    [4, "w"]
  ])

const execute = promisify(execFile)

// An engine with 4 KiB for its shuffles, and the files they leave.
const onDisk = <A, E>(use: (files: () => ReadonlyArray<string>) => Effect.Effect<A, E, Engine.Engine>) =>
  Effect.suspend(() => {
    const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-join-"))
    const files = () =>
      Fs.readdirSync(directory, { recursive: true, withFileTypes: true }).flatMap((entry) =>
        entry.isFile() && entry.name !== "owner.json" ? [entry.name] : []
      )
    const layer = engineOver(Shuffle.layerDisk({ directory, memoryBytes: 4096 }), { broadcastBytes: 0 })
    return Effect.ensuring(
      Effect.provide(use(files), layer),
      Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
    )
  })

describe("joins", () => {
  it.live(
    "all joins agree with arrays",
    () =>
      holds(sides, ([self, that]) =>
        Effect.gen(function* () {
          const matches = self.rows.flatMap(([k, v]) =>
            that.rows.flatMap(([l, w]) => (Equal.equals(k, l) ? [[k, [v, w]] as const] : []))
          )
          const lonely = self.rows.filter(([k]) => !that.rows.some(([l]) => Equal.equals(k, l)))
          const others = that.rows.filter(([l]) => !self.rows.some(([k]) => Equal.equals(k, l)))
          sameElements(yield* Dataset.collect(Dataset.join(self.dataset, that.dataset)), matches)
          sameElements(yield* Dataset.collect(Dataset.leftJoin(self.dataset, that.dataset)), [
            ...matches.map(([k, [v, w]]) => [k, [v, Option.some(w)]]),
            ...lonely.map(([k, v]) => [k, [v, Option.none()]])
          ])
          sameElements(yield* Dataset.collect(Dataset.rightJoin(self.dataset, that.dataset)), [
            ...matches.map(([k, [v, w]]) => [k, [Option.some(v), w]]),
            ...others.map(([k, w]) => [k, [Option.none(), w]])
          ])
          sameElements(yield* Dataset.collect(Dataset.fullJoin(self.dataset, that.dataset)), [
            ...matches.map(([k, [v, w]]) => [k, [Option.some(v), Option.some(w)]]),
            ...lonely.map(([k, v]) => [k, [Option.some(v), Option.none()]]),
            ...others.map(([k, w]) => [k, [Option.none(), Option.some(w)]])
          ])
          sameElements(yield* Dataset.collect(Dataset.subtractByKey(self.dataset, that.dataset)), lonely)
        })
      ),
    120_000
  )

  it.live(
    "cogroup of three agrees with arrays",
    () =>
      holds(fc.tuple(sides, partitioned(fc.tuple(smallKey, fc.boolean()), 40)), ([[one, two], three]) =>
        Effect.gen(function* () {
          const groups = yield* Dataset.collect(
            Dataset.mapEffect(Dataset.cogroup(one.dataset, [two.dataset, three.dataset]), ([key, [a, b, c]]) =>
              Effect.gen(function* () {
                return [
                  key,
                  [yield* Stream.runCollect(a), yield* Stream.runCollect(b), yield* Stream.runCollect(c)]
                ] as const
              })
            )
          )
          const keys = groupsOf([...one.rows, ...two.rows, ...three.rows].map(([key]) => [key, 0] as const))
          const of = <V>(rows: ReadonlyArray<readonly [unknown, V]>, key: unknown) =>
            rows.filter(([k]) => Equal.equals(k, key)).map(([, value]) => value)
          sameElements(
            groups,
            keys.map(([key]) => [key, [of(one.rows, key), of(two.rows, key), of(three.rows, key)]])
          )
        })
      ),
    60_000
  )

  on("PairRDDFunctionsSuite: join", () =>
    Effect.gen(function* () {
      sameElements(yield* Dataset.collect(Dataset.join(left(), right())), [
        [1, [1, "x"]],
        [1, [2, "x"]],
        [2, [1, "y"]],
        [2, [1, "z"]]
      ])
    })
  )

  on("PairRDDFunctionsSuite: leftOuterJoin, rightOuterJoin, fullOuterJoin", () =>
    Effect.gen(function* () {
      const { none, some } = Option
      sameElements(yield* Dataset.collect(Dataset.leftJoin(left(), right())), [
        [1, [1, some("x")]],
        [1, [2, some("x")]],
        [2, [1, some("y")]],
        [2, [1, some("z")]],
        [3, [1, none()]]
      ])
      sameElements(yield* Dataset.collect(Dataset.rightJoin(left(), right())), [
        [1, [some(1), "x"]],
        [1, [some(2), "x"]],
        [2, [some(1), "y"]],
        [2, [some(1), "z"]],
        [4, [none(), "w"]]
      ])
      sameElements(yield* Dataset.collect(Dataset.fullJoin(left(), right())), [
        [1, [some(1), some("x")]],
        [1, [some(2), some("x")]],
        [2, [some(1), some("y")]],
        [2, [some(1), some("z")]],
        [3, [some(1), none()]],
        [4, [none(), some("w")]]
      ])
    })
  )

  on("PairRDDFunctionsSuite: groupWith, cogroup with empty RDD and with one of 0 partitions", () =>
    Effect.gen(function* () {
      const lists = <E>(
        groups: Dataset.Dataset<readonly [number, readonly [Stream.Stream<number>, Stream.Stream<string>]], E>
      ) =>
        Dataset.collect(
          Dataset.mapEffect(groups, ([key, [a, b]]) =>
            Effect.map(Effect.all([Stream.runCollect(a), Stream.runCollect(b)]), (both) => [key, both] as const)
          )
        )
      sameElements(yield* lists(Dataset.cogroup(left(), [right()])), [
        [1, [[1, 2], ["x"]]],
        [2, [[1], ["y", "z"]]],
        [3, [[1], []]],
        [4, [[], ["w"]]]
      ])
      for (const none of [Dataset.fromStreams<readonly [number, string]>([]), pairsOf<number, string>([], 3)]) {
        const alone = [
          [1, [[1, 2], []]],
          [2, [[1], []]],
          [3, [[1], []]]
        ]
        sameElements(yield* lists(Dataset.cogroup(left(), [none])), alone)
        sameElements(yield* lists(Dataset.cogroup(left(), [Dataset.reduceByKey(none, (a) => a)])), alone)
      }
    })
  )

  on("PairRDDFunctionsSuite: subtract and subtractByKey with narrow dependency", () =>
    Effect.gen(function* () {
      const by = Partitioner.hash<number>(5)
      const self = Dataset.partitionBy(left(), by)
      const that = Dataset.partitionBy(right(), by)
      const rest = Dataset.subtractByKey(self, that)
      assert.include(yield* Dataset.explain(rest), "in place already and in place already")
      sameElements(yield* Dataset.collect(rest), [[3, 1]])
      // What is left is still partitioned by key.
      assert.include(yield* Dataset.explain(Dataset.groupByKey(rest)), "groupByKey by hash in 5, in place already")
      const numbers = Dataset.fromIterable([1, 2, 3, 4, 4], { partitions: 3 })
      sameElements(yield* Dataset.collect(Dataset.subtract(numbers, Dataset.make(1, 3, 9))), [2, 4, 4])
    })
  )

  on("PairRDDFunctionsSuite: join all-to-all", () =>
    Effect.gen(function* () {
      const ones = pairsOf([
        [1, 1],
        [1, 2],
        [1, 3]
      ])
      assert.strictEqual(
        yield* Dataset.count(
          Dataset.join(
            ones,
            pairsOf([
              [1, "x"],
              [1, "y"]
            ])
          )
        ),
        6
      )
    })
  )

  on("PairRDDFunctionsSuite: join with no matches, and with many output partitions", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.join(left(), pairsOf([[8, "x"]]))), [])
      const joined = Dataset.join(left(), right(), { partitions: 20 })
      assert.strictEqual(yield* Dataset.count(joined), 4)
      assert.strictEqual((yield* Dataset.collect(Dataset.glom(joined))).length, 20)
    })
  )

  on("PairRDDFunctionsSuite: subtractByKey", () =>
    Effect.gen(function* () {
      sameElements(yield* Dataset.collect(Dataset.subtractByKey(left(), right())), [[3, 1]])
      sameElements(yield* Dataset.collect(left().pipe(Dataset.subtractByKey(right()))), [[3, 1]])
    })
  )

  on("PairRDDFunctionsSuite: zero-partition and empty datasets", () =>
    Effect.gen(function* () {
      const none = Dataset.fromStreams<readonly [number, string]>([])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.join(left(), none)), [])
      assert.strictEqual(yield* Dataset.count(Dataset.leftJoin(left(), none)), 4)
      assert.strictEqual(yield* Dataset.count(Dataset.fullJoin(none, none)), 0)
      assert.strictEqual(yield* Dataset.count(Dataset.cogroup(none, [left()])), 3)
    })
  )

  on("what is partitioned by key already is not moved for a join", () =>
    Effect.gen(function* () {
      const by = Partitioner.hash(3)
      const one = Dataset.partitionBy(left(), by)
      const two = Dataset.partitionBy(right(), Partitioner.hash(3))
      const plan = yield* Dataset.explain(
        Dataset.join(
          Dataset.mapValues(one, String),
          Dataset.filter(two, () => true)
        )
      )
      assert.include(plan, "join by hash in 3, in place already and in place already")
      // Whether a map left the keys as they were is not known.
      const mapped = yield* Dataset.explain(
        Dataset.join(
          Dataset.map(one, (pair) => pair),
          two
        )
      )
      assert.match(mapped, /join by hash in 3, from stage \d and in place already/)
    })
  )

  it.live("a small file is joined by broadcast: the large side does not move", () => {
    const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-join-"))
    Fs.writeFileSync(Path.join(root, "small.txt"), "a x\nb y\n")
    Fs.writeFileSync(
      Path.join(root, "large.txt"),
      Array.from({ length: 500 }, (_, i) => `${"abc"[i % 3]} ${i}\n`).join("")
    )
    const read = (name: string) =>
      Dataset.map(Dataset.text(Path.join(root, name)), (line) => [line.slice(0, 1), line.slice(2)] as const)
    const joined = Dataset.join(read("large.txt"), read("small.txt"))
    return Effect.gen(function* () {
      const plan = yield* Dataset.explain(joined)
      assert.include(plan, "broadcasts for join")
      assert.notInclude(plan, "writes for")
      const rows = yield* Dataset.collect(joined)
      assert.strictEqual(rows.length, 334)
      assert.deepStrictEqual(rows[1], ["b", ["1", "y"]])
      const never = Effect.provide(
        Effect.all([Dataset.explain(joined), Dataset.collect(joined)]),
        engine(1 << 20, { broadcastBytes: 0 })
      )
      const [shuffled, same] = yield* never
      assert.include(shuffled, "writes for join")
      sameElements(same, rows)
      // When every task has all rows of the small side, no task can emit those without a partner.
      assert.notInclude(yield* Dataset.explain(Dataset.fullJoin(read("large.txt"), read("small.txt"))), "broadcasts")
    }).pipe(Effect.provide(roomy), Effect.ensuring(Effect.sync(() => Fs.rmSync(root, { recursive: true }))))
  })

  it.live("one key may have more values than memory on both sides", () =>
    onDisk((files) =>
      Effect.gen(function* () {
        // One key has 300 and 200 values of some 20 bytes, in a budget of 4 KiB; others have values on one side only.
        const make = (size: number, lonely: string) =>
          Dataset.map(
            Dataset.range(0, size + 300, { partitions: 3 }),
            (n) => [n < size ? "big" : n % 3 === 0 ? "small" : lonely, n] as const
          )
        for (const [lefts, rights] of [
          [300, 200],
          [200, 300]
        ] as const) {
          const self = Dataset.mapValues(make(lefts, "left only"), (n) => `left value ${n}`)
          const that = Dataset.mapValues(make(rights, "right only"), (n) => `right value ${n}`)
          const all = { partitions: 1 }
          const matches = lefts * rights + 100 * 100
          const numbers = (text: string) => Number(text.slice(text.lastIndexOf(" ")))
          const joined = yield* Dataset.join(self, that, all).pipe(
            Dataset.map(([key, [v, w]]) => [key, numbers(v) * 10_000 + numbers(w)] as const),
            Dataset.collect
          )
          assert.strictEqual(joined.length, matches)
          const big = joined.flatMap(([key, pair]) => (key === "big" ? [pair] : [])).toSorted((a, b) => a - b)
          let at = 0
          for (let v = 0; v < lefts; v++) for (let w = 0; w < rights; w++) assert.equal(big[at++], v * 10_000 + w)
          assert.strictEqual(big.length, at)
          const count = (rows: Dataset.Dataset<readonly [string, unknown]>) => Dataset.count(rows)
          assert.strictEqual(yield* count(Dataset.leftJoin(self, that, all)), matches + 200)
          assert.strictEqual(yield* count(Dataset.rightJoin(self, that, all)), matches + 200)
          assert.strictEqual(yield* count(Dataset.fullJoin(self, that, all)), matches + 400)
          const none = Dataset.filter(that, ([key]) => key === "right only")
          assert.strictEqual(yield* count(Dataset.join(self, none, all)), 0)
          assert.strictEqual(yield* count(Dataset.leftJoin(self, none, all)), lefts + 300)
          assert.strictEqual(yield* count(Dataset.fullJoin(self, none, all)), lefts + 300 + 200)
          assert.strictEqual(yield* count(Dataset.subtractByKey(self, that, all)), 200)
          assert.strictEqual(yield* count(Dataset.subtractByKey(self, none, all)), lefts + 300)
          // The spilled values of a key are removed with it, even if nobody reads to the end.
          assert.strictEqual((yield* Dataset.take(Dataset.join(self, that, all), 10)).length, 10)
          assert.deepStrictEqual(files(), [])
        }
      })
    )
  )

  it.live(
    "the values of one key are not held together where the other side has few, or only has the key",
    () =>
      Effect.gen(function* () {
        const { stdout } = yield* Effect.promise(() =>
          execute(process.execPath, [
            "--conditions=@sluice/source",
            "--max-old-space-size=56",
            Path.join(import.meta.dirname, "..", "support", "hugeKey.ts")
          ])
        )
        assert.deepStrictEqual(JSON.parse(stdout), [64_000, 0])
      }),
    120_000
  )

  on("a join is planned once per shared input, however often it is shared", () =>
    Effect.gen(function* () {
      let dataset: Dataset.Dataset<readonly [number, number]> = pairsOf([[1, 1]], 1)
      for (let i = 0; i < 12; i++) {
        dataset = Dataset.mapValues(Dataset.join(dataset, dataset), ([a]) => a)
      }
      const plan = yield* Dataset.explain(dataset)
      assert.isBelow(plan.length, 20_000)
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [[1, 1]])
    })
  )
})
