import { Dataset, type Engine, Partitioner } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Order, Stream } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { roomy, sameElements, tight } from "../support/engines.ts"

type Pair = readonly [string, number]
type Pairs = Dataset.Dataset<Pair, number>

const size = 60
const bad = (n: number) => n % 7 === 3
const pairOf = (n: number): Pair => [`key ${n % 4}`, n]
const numbers = Array.from({ length: size }, (_, n) => n)
const good = numbers.filter((n) => !bad(n)).map(pairOf)
const failing = numbers.filter(bad)

const failed = (dataset: Dataset.Dataset<number>): Pairs =>
  Dataset.mapEffect(dataset, (n) => (bad(n) ? Effect.fail(n) : Effect.succeed(pairOf(n))))

const source = (): Pairs => failed(Dataset.range(0, size, { partitions: 3 }))
const others = Dataset.fromIterable<Pair>(
  [
    ["key 1", 100],
    ["key 3", 300],
    ["key 9", 900]
  ],
  { partitions: 2 }
)

const sorted = (values: Stream.Stream<number>) =>
  Effect.map(Stream.runCollect(values), (list) => list.toSorted((a, b) => a - b))

const add = (a: number, b: number) => a + b
const order = Order.Number
const hash = Partitioner.hash<string>(4)

// Everything that moves rows between tasks, or keeps them for others.
const operators: Readonly<Record<string, (self: Pairs) => Dataset.Dataset<unknown, number>>> = {
  repartition: (self) => Dataset.repartition(self, 4),
  coalesce: (self) => Dataset.coalesce(self, 2),
  partitionBy: (self) => Dataset.partitionBy(self, hash),
  repartitionAndSortWithinPartitions: (self) => Dataset.repartitionAndSortWithinPartitions(self, hash, Order.String),
  sortBy: (self) => Dataset.sortBy(self, ([, n]) => -n, order),
  sort: (self) => Dataset.sort(Dataset.values(self), order),
  sortByKey: (self) => Dataset.sortByKey(self, Order.String, { partitions: 3 }),
  distinct: (self) => Dataset.distinct(Dataset.keys(self)),
  reduceByKey: (self) => Dataset.reduceByKey(self, add),
  foldByKey: (self) => Dataset.foldByKey(self, () => 0, add),
  aggregateByKey: (self) => Dataset.aggregateByKey(self, () => 0, add, add),
  combineByKey: (self) => Dataset.combineByKey(self, { create: (n) => n, add, merge: add }),
  "reduceByKey in place": (self) => Dataset.reduceByKey(Dataset.partitionBy(self, hash), add),
  sampleByKeyExact: (self) => Dataset.sampleByKeyExact(self, () => 1, { seed: 1 }),
  groupByKey: (self) => Dataset.mapEffect(Dataset.groupByKey(self), ([, values]) => sorted(values)),
  groupBy: (self) =>
    Dataset.mapEffect(
      Dataset.groupBy(self, ([, n]) => n % 3),
      ([, rows]) => sorted(Stream.map(rows, ([, n]) => n))
    ),
  cogroup: (self) =>
    Dataset.mapEffect(Dataset.cogroup(self, [others]), ([key, [a, b]]) =>
      Effect.map(Effect.all([sorted(a), sorted(b)]), (lists) => [key, lists] as const)
    ),
  "cogroup, the other side": (self) =>
    Dataset.mapEffect(Dataset.cogroup(others, [self]), ([key, [a, b]]) =>
      Effect.map(Effect.all([sorted(a), sorted(b)]), (lists) => [key, lists] as const)
    ),
  join: (self) => Dataset.join(self, others),
  "join, the other side": (self) => Dataset.join(others, self),
  "join in place": (self) => Dataset.join(Dataset.partitionBy(self, hash), Dataset.partitionBy(others, hash)),
  leftJoin: (self) => Dataset.leftJoin(self, others),
  rightJoin: (self) => Dataset.rightJoin(self, others),
  fullJoin: (self) => Dataset.fullJoin(self, others),
  subtractByKey: (self) => Dataset.subtractByKey(self, others),
  "subtractByKey, the other side": (self) => Dataset.subtractByKey(others, self),
  intersection: (self) =>
    Dataset.intersection(
      Dataset.keys(self),
      Dataset.map(others, ([key]) => key)
    ),
  subtract: (self) => Dataset.subtract(Dataset.keys(self), Dataset.keys(others)),
  union: (self) => Dataset.union(self, others),
  cartesian: (self) => Dataset.cartesian(self, Dataset.make(1, 2)),
  "cartesian, the other side": (self) => Dataset.cartesian(Dataset.make(1, 2), self),
  cache: (self) => Dataset.cache(self),
  "cache on disk": (self) => Dataset.cache(self, { storage: "disk" })
}

const collected = (rows: ReadonlyArray<unknown>) => rows.filter((row) => !(row instanceof Caught))

class Caught {
  readonly n: number
  constructor(n: number) {
    this.n = n
  }
}

/** Rows and failures of an operator with a `Catch` after it: as the model's, and every failure once. */
const check = (operator: (self: Pairs) => Dataset.Dataset<unknown, number>, self: Pairs, model: Pairs) =>
  Effect.gen(function* () {
    const expected = yield* Dataset.collect(operator(model))
    const after = Dataset.catch(operator(self), (n) => Effect.succeed(new Caught(n)))
    for (let time = 0; time < 2; time++) {
      const rows = yield* Dataset.collect(after)
      sameElements(collected(rows), expected)
      assert.deepStrictEqual(
        rows.flatMap((row) => (row instanceof Caught ? [row.n] : [])).toSorted((a, b) => a - b),
        failing
      )
    }
    // Before it: the handler's elements are rows like any other.
    const before = operator(Dataset.catch(self, (n) => Effect.succeed<Pair>([`failed ${n}`, n])))
    const all = operator(Dataset.union(model, Dataset.fromIterable<Pair>(failing.map((n): Pair => [`failed ${n}`, n]))))
    sameElements(yield* Dataset.collect(before), yield* Dataset.collect(all))
    // Nowhere: the job fails with what the program failed with.
    assert.include(failing, yield* Effect.flip(Dataset.collect(operator(self))))
  })

describe("failures of the program's own on their way through a shuffle", () => {
  const model: Pairs = Dataset.fromIterable(good, { partitions: 3 })
  for (const [name, operator] of Object.entries(operators)) {
    it.live(name, () =>
      Effect.all([
        Effect.provide(check(operator, source(), model), roomy),
        Effect.provide(check(operator, source(), model), tight)
      ])
    )
  }

  it.live("joins by broadcast, on either side", () => {
    const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-failures-"))
    const write = (name: string, rows: number) =>
      Fs.writeFileSync(Path.join(root, name), Array.from({ length: rows }, (_, i) => `${i}\n`).join(""))
    write("numbers.txt", size)
    write("large.txt", 30)
    const read = (name: string) => Dataset.map(Dataset.text(Path.join(root, name)), Number)
    const small = failed(read("numbers.txt"))
    const large = Dataset.map(read("large.txt"), (n) => [`key ${n % 3}`, n] as const)
    const few = Dataset.filter(large, ([, n]) => n % 10 === 0)
    const check1: Effect.Effect<void, unknown, Engine.Engine> = Effect.gen(function* () {
      assert.include(yield* Dataset.explain(Dataset.join(large, small)), "broadcast")
      yield* check((self) => Dataset.join(large, self), small, Dataset.fromIterable(good))
      yield* check((self) => Dataset.join(self, few), small, Dataset.fromIterable(good))
    })
    return check1.pipe(Effect.provide(roomy), Effect.ensuring(Effect.sync(() => Fs.rmSync(root, { recursive: true }))))
  })
})
