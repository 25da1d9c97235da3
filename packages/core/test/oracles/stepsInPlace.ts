/** The operators that bring no rows together: steps on rows, on partitions and on whole datasets. */
import { Condition, Dataset, type TaskContext } from "@sluice/core"
import { Context, Effect, Result, Stream } from "effect"
import { poisson, uniform } from "../../src/task/internal/sampler.ts"
import {
  Bad,
  eachItem,
  eachRow,
  Failed,
  isClean,
  type Item,
  type Model,
  need,
  Odd,
  ofItems,
  ofParts,
  partsInOrder,
  type Row,
  type Rows,
  rowsOf,
  wrap
} from "./model.ts"
import { add, combined, type Operator, type Unary } from "./operator.ts"
import type { Op } from "./spec.ts"

const isBad = (op: Op, value: number) => value % (3 + (op.a % 5)) === op.b % 3
const failing = (op: Op, value: number): Effect.Effect<void, Bad | Odd> =>
  isBad(op, value) ? Effect.fail(value % 2 === 0 ? new Bad({ value }) : new Odd({ value })) : Effect.void
const failedItem = (value: number) => new Failed(value % 2 === 0 ? "Bad" : "Odd", value)

/** Yields the streams in turn, in a different order each time. */
const dawdle = Effect.suspend(() => {
  let left = Math.floor(Math.random() * 3)
  const wait: Effect.Effect<void> = Effect.suspend(() =>
    left-- > 0 ? Effect.andThen(Effect.yieldNow, wait) : Effect.void
  )
  return wait
})

const caught = (value: number): Row => ["caught", value]

const narrow = (
  build: Unary["build"],
  model: (row: Row, op: Op) => ReadonlyArray<Item>,
  ordered: (op: Op) => boolean = () => true
): Unary => ({
  build,
  model: (self, op) => {
    const result = eachRow(self, (row) => model(row, op))
    return { ...result, ordered: result.ordered && ordered(op) }
  }
})

/** A step that sees each partition, and needs to know what is in it. */
const perPartition = (
  build: (rows: Stream.Stream<Row, Bad | Odd>, op: Op, task: TaskContext.TaskContext) => Stream.Stream<Row, Bad | Odd>,
  model: (rows: ReadonlyArray<Row>, op: Op, partition: number) => ReadonlyArray<Row>
): Unary => ({
  build: (self, op) => Dataset.mapPartitions(self, (rows, task) => build(rows, op, task)),
  model: (self, op) =>
    ofParts(
      partsInOrder(self).map((part, partition) => model(part, op, partition)),
      true
    )
})

const sampled = (self: Model, times: (op: Op, next: () => number) => number, op: Op) =>
  ofParts(
    partsInOrder(self).map((part, partition) => {
      const next = uniform(op.b, partition)
      return part.flatMap((row) => Array.from({ length: times(op, next) }, () => row))
    }),
    true
  )

class Addend extends Context.Service<Addend, number>()("test/Addend") {}

const storages = ["memory", "disk", "memory-then-disk"] as const

const split = (self: Rows, op: Op): readonly [Rows, Rows] => {
  const [few = self, most = self] = Dataset.randomSplit(self, [1, 3], op.b)
  return op.a % 2 === 0 ? [few, most] : [most, few]
}

const united = (self: Model, that: Model): Model => ({
  items: [...self.items, ...that.items],
  parts: self.parts === undefined || that.parts === undefined ? undefined : [...self.parts, ...that.parts],
  ordered: self.ordered && that.ordered
})

export const stepsInPlace: Readonly<Record<string, Operator>> = {
  map: narrow(
    (self, op, env) =>
      Dataset.map(self, ([key, value]): Row => {
        env.touched()
        return [key, wrap(value + op.a)]
      }),
    ([key, value], op) => [[key, wrap(value + op.a)]]
  ),
  rekey: narrow(
    (self, op) => Dataset.map(self, ([, value]): Row => [`r${value % (1 + (op.a % 9))}`, value]),
    ([, value], op) => [[`r${value % (1 + (op.a % 9))}`, value]]
  ),
  filter: narrow(
    (self, op) => Dataset.filter(self, ([, value]) => value % (2 + (op.a % 4)) !== op.b % 2),
    (row, op) => (row[1] % (2 + (op.a % 4)) === op.b % 2 ? [] : [row])
  ),
  filterMap: narrow(
    (self, op) =>
      Dataset.filterMap(self, ([key, value]) =>
        value % 3 === op.b % 3 ? Result.fail(value) : Result.succeed<Row>([key, wrap(value + 1)])
      ),
    ([key, value], op) => (value % 3 === op.b % 3 ? [] : [[key, wrap(value + 1)]])
  ),
  flatMap: narrow(
    (self) =>
      Dataset.flatMap(self, ([key, value]) => Array.from({ length: value % 3 }, (_, i): Row => [key, wrap(value + i)])),
    ([key, value]) => Array.from({ length: value % 3 }, (_, i): Row => [key, wrap(value + i)])
  ),
  mapArray: narrow(
    (self, op) =>
      Dataset.mapArray(self, (values) =>
        values.filter(([, value]) => value % 4 !== op.a % 4).map(([key, value]): Row => [key, wrap(value + 2)])
      ),
    ([key, value], op) => (value % 4 === op.a % 4 ? [] : [[key, wrap(value + 2)]])
  ),
  mapEffect: narrow(
    (self, op) =>
      Dataset.mapEffect(self, ([key, value]) => Effect.as(dawdle, [key, wrap(value + 3)] as const), {
        concurrency: 1 + (op.a % 4),
        unordered: op.b % 2 === 1
      }),
    ([key, value]) => [[key, wrap(value + 3)]],
    (op) => op.b % 2 === 0 || op.a % 4 === 0
  ),
  failing: narrow(
    (self, op) =>
      Dataset.mapEffect(self, (row) => Effect.as(failing(op, row[1]), row), { concurrency: 1 + (op.b % 3) }),
    (row, op) => (isBad(op, row[1]) ? [failedItem(row[1])] : [row])
  ),
  "failing tap": narrow(
    (self, op) => Dataset.tap(self, ([, value]) => failing(op, value)),
    (row, op) => (isBad(op, row[1]) ? [failedItem(row[1])] : [row])
  ),
  "with a service": narrow(
    (self, op) =>
      self.pipe(
        Dataset.mapEffect(([key, value]) => Effect.map(Addend, (addend): Row => [key, add(value, addend)])),
        Dataset.provideService(Addend, op.a)
      ),
    ([key, value], op) => [[key, add(value, op.a)]]
  ),
  tap: narrow(
    (self, _, env) => Dataset.tap(self, () => env.passing()),
    (row) => [row]
  ),
  catch: {
    build: (self) => Dataset.catch(self, ({ value }) => Effect.succeed(caught(value))),
    model: (self) => eachItem(self, (item) => [item instanceof Failed ? caught(item.value) : item])
  },
  catchTag: {
    build: (self) => Dataset.catchTag(self, "Odd", ({ value }) => Effect.succeed(caught(value))),
    model: (self) =>
      eachItem(self, (item) => [item instanceof Failed && item.tag === "Odd" ? caught(item.value) : item])
  },
  mapValues: narrow(
    (self, op) => Dataset.mapValues(self, (value) => wrap(value * (1 + (op.a % 5)))),
    ([key, value], op) => [[key, wrap(value * (1 + (op.a % 5)))]]
  ),
  flatMapValues: narrow(
    (self) => Dataset.flatMapValues(self, (value) => (value % 5 === 0 ? [] : [value, wrap(value + 7)])),
    ([key, value]) =>
      value % 5 === 0
        ? []
        : [
            [key, value],
            [key, wrap(value + 7)]
          ]
  ),
  keyBy: narrow(
    (self, op) =>
      Dataset.map(
        Dataset.keyBy(self, ([, value]) => value % (2 + (op.a % 5))),
        ([key, [, value]]): Row => [key, value]
      ),
    ([, value], op) => [[value % (2 + (op.a % 5)), value]]
  ),
  "where and select": narrow(
    (self, op) =>
      self.pipe(
        Dataset.map(([key, value]) => ({ k: key, v: value, more: 1 })),
        Dataset.where({ v: Condition.gte(op.a % 400) }),
        Dataset.select("v", "k"),
        Dataset.map(({ k, v }): Row => [k, v])
      ),
    (row, op) => (row[1] >= op.a % 400 ? [row] : [])
  ),
  rechunk: {
    build: (self, op) => Dataset.mapPartitions(self, Stream.rechunk(1 + (op.a % 5)), { oneToOne: op.b % 2 === 0 }),
    model: (self) => {
      need(isClean(self))
      return self
    }
  },
  "take each": perPartition(
    (rows, op) => Stream.take(rows, op.a % 7),
    (rows, op) => rows.slice(0, op.a % 7)
  ),
  "drop each": perPartition(
    (rows, op) => Stream.drop(rows, op.a % 7),
    (rows, op) => rows.slice(op.a % 7)
  ),
  "until each": perPartition(
    (rows, op) => Stream.takeUntil(rows, ([, value]) => value % 5 === op.a % 5),
    (rows, op) => {
      const end = rows.findIndex(([, value]) => value % 5 === op.a % 5)
      return end < 0 ? rows : rows.slice(0, end + 1)
    }
  ),
  "count each": {
    build: (self) =>
      Dataset.mapPartitions(self, (rows) =>
        Stream.fromEffect(Effect.map(Stream.runCount(rows), (n): Row => ["count", n]))
      ),
    model: (self) => {
      need(self.parts !== undefined && isClean(self))
      return ofParts(
        (self.parts ?? []).map((part): ReadonlyArray<Row> => [["count", part.length]]),
        true
      )
    }
  },
  glom: {
    build: (self) => Dataset.map(Dataset.glom(self), (rows): Row => ["glom", wrap(rows.length)]),
    model: (self) => {
      need(self.parts !== undefined && isClean(self))
      return ofParts(
        (self.parts ?? []).map((part): ReadonlyArray<Row> => [["glom", wrap(part.length)]]),
        true
      )
    }
  },
  sample: {
    build: (self, op) => Dataset.sample(self, { fraction: (op.a % 11) / 10, seed: op.b }),
    model: (self, op) => sampled(self, ({ a }, next) => (next() < (a % 11) / 10 ? 1 : 0), op)
  },
  "sample with replacement": {
    build: (self, op) => Dataset.sample(self, { fraction: (op.a % 5) / 2, seed: op.b, withReplacement: true }),
    model: (self, op) => sampled(self, ({ a }, next) => poisson(next, (a % 5) / 2), op)
  },
  randomSplit: {
    build: (self, op) => Dataset.union(...split(self, op)),
    model: (self, op) => {
      const part = (side: boolean) => sampled(self, (_, next) => (next() < 0.25 === side ? 1 : 0), op)
      return united(part(op.a % 2 === 0), part(op.a % 2 === 1))
    }
  },
  zipWithIndex: {
    build: (self) =>
      Dataset.map(Dataset.zipWithIndex(self), ([[key, value], index]): Row => [key, combined(value, index)]),
    model: (self) => {
      need(self.ordered && isClean(self))
      let index = 0
      const parts = self.parts ?? [self.items]
      const rows = parts.map((part) =>
        rowsOf(ofItems(part)).map(([key, value]): Row => [key, combined(value, index++)])
      )
      return self.parts === undefined ? ofItems(rows.flat(), true) : ofParts(rows, true)
    }
  },
  "index only": {
    build: (self) => Dataset.map(Dataset.zipWithIndex(self), ([, index]): Row => ["index", index]),
    model: (self) => {
      need(isClean(self))
      let index = 0
      const rows = (self.parts ?? [self.items]).map((part) => part.map((): Row => ["index", index++]))
      return self.parts === undefined ? ofItems(rows.flat(), true) : ofParts(rows, true)
    }
  },
  coalesce: {
    build: (self, op) => Dataset.coalesce(self, 1 + (op.a % 4)),
    model: (self, op) =>
      self.parts !== undefined && self.parts.length <= 1 + (op.a % 4) ? self : ofItems(self.items, self.ordered)
  },
  repartition: {
    build: (self, op) => Dataset.repartition(self, 1 + (op.a % 5)),
    model: (self) => ofItems(self.items)
  },
  cache: {
    build: (self, op, env) => {
      const cached = Dataset.cache(self, { storage: storages[op.a % 3] })
      env.keep(cached)
      return cached
    },
    // Where it keeps the failed ones among the others does not matter.
    model: (self) => (isClean(self) ? self : { ...self, ordered: false })
  },
  checkpoint: {
    build: (self, _, env) => Dataset.checkpoint(self, env.folder()),
    model: (self) => {
      need(isClean(self))
      // Files without rows do not become partitions.
      return self.parts?.every((part) => part.length > 0) === true ? self : ofItems(self.items, self.ordered)
    }
  },
  union: {
    build2: (self, that) => Dataset.union(self, that),
    model2: (self, that) => united(self, that)
  },
  cartesian: {
    build2: (self, that) =>
      Dataset.map(Dataset.cartesian(self, that), ([left, right]): Row => [left[0], combined(left[1], right[1])]),
    model2: (self, that) => {
      need(isClean(self) && isClean(that) && self.items.length * that.items.length <= 1000)
      const product = (left: ReadonlyArray<Item>, right: ReadonlyArray<Item>) =>
        rowsOf(ofItems(left)).flatMap(([key, a]) => rowsOf(ofItems(right)).map(([, b]): Row => [key, combined(a, b)]))
      // The other side is read for each array of rows, whose borders carry no meaning.
      return self.parts === undefined || that.parts === undefined
        ? ofItems(product(self.items, that.items))
        : ofParts(
            self.parts.flatMap((left) => (that.parts ?? []).map((right) => product(left, right))),
            false
          )
    }
  },
  zip: {
    build2: (self, that) =>
      Dataset.map(Dataset.zip(self, that), ([left, right]): Row => [left[0], combined(left[1], right[1])]),
    model2: (self, that) => {
      const left = partsInOrder(self)
      const right = partsInOrder(that)
      need(left.length === right.length && left.every((part, i) => part.length === right[i]?.length))
      return ofParts(
        left.map((part, i) =>
          part.map(([key, value], j): Row => [key, combined(value, right[i]?.[j]?.[1] ?? Number.NaN)])
        ),
        true
      )
    }
  },
  zipPartitions: {
    build2: (self, that, op) =>
      Dataset.zipPartitions(self, that, (left, right) =>
        Stream.concat(Stream.take(left, op.a % 9), op.b % 2 === 0 ? right : Stream.take(right, op.b % 5))
      ),
    model2: (self, that, op) => {
      const left = partsInOrder(self)
      const right = partsInOrder(that)
      need(left.length === right.length)
      return ofParts(
        left.map((part, i) => [
          ...part.slice(0, op.a % 9),
          ...(right[i] ?? []).slice(0, op.b % 2 === 0 ? undefined : op.b % 5)
        ]),
        true
      )
    }
  }
}
