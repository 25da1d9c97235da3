import { Dataset, type Engine, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Option, Stream } from "effect"
import * as fc from "fast-check"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { engine, groupsOf, holds, pairsOf, partitioned, roomy, sameElements, smallKey } from "./wide.ts"

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
      const none = pairsOf<number, string>([], 0)
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
      // Of a map nobody knows whether it left the keys as they were.
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
      // Rows of the small side without a partner are nobody's when every task has them all.
      assert.notInclude(yield* Dataset.explain(Dataset.fullJoin(read("large.txt"), read("small.txt"))), "broadcasts")
    }).pipe(Effect.provide(roomy), Effect.ensuring(Effect.sync(() => Fs.rmSync(root, { recursive: true }))))
  })

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
