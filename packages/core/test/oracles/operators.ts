/** The operators of random pipelines: each as a step of a `Dataset`, and as what it should do to arrays. */
import { Condition, Dataset, type Engine, Partitioner, type Storage, type TaskContext } from "@sluice/core"
import { Context, Effect, Option, Order, Result, Stream } from "effect"
import { poisson, uniform } from "../../src/task/internal/sampler.ts"
import {
  Bad,
  eachItem,
  eachRow,
  Failed,
  gathered,
  groups,
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
  textOf,
  unique,
  wrap
} from "./model.ts"
import { setAside } from "./sources.ts"
import type { Op, Pipe, Source } from "./spec.ts"

/** What steps need of the run they are in. */
export interface Env {
  /** Called for the rows that pass a `tap`: it may stop there for good, or throw. */
  readonly passing: () => Effect.Effect<void>
  /** The same for pure steps. */
  readonly touched: () => void
  /** A folder that nobody has. */
  readonly folder: () => string
  readonly keep: (cached: Rows) => void
  /** What is done from here on is done by the test: nothing goes wrong. */
  readonly calm: Effect.Effect<void>
  readonly facts: Facts
}

/** What the account of a job may say. */
export interface Facts {
  /** Whether some step drops or adds rows. */
  readonly filters: boolean
  /** Whether some step ends before its input does. */
  readonly cuts: boolean
  /** A later action may find a partition in a cache that an exchange has written once more for nobody: those rows are cut. */
  readonly caches: boolean
  /** The rows of the source, if it is read once and completely, and how many of them are set aside. */
  readonly read: number | undefined
  readonly setAside: number | undefined
  /** Whether the steps yield the same rows in the same order each time. */
  readonly steady: boolean
}

interface Unary {
  readonly model: (self: Model, op: Op) => Model
  readonly build: (self: Rows, op: Op, env: Env) => Rows | Effect.Effect<Rows, unknown, Engine.Engine | Storage.Storage>
}

interface Binary {
  readonly model2: (self: Model, that: Model, op: Op) => Model
  readonly build2: (self: Rows, that: Rows, op: Op, env: Env) => Rows
}

type Operator = Unary | Binary

export const isBinary = (operator: Operator): operator is Binary => "model2" in operator

/** A number of partitions, or none said. */
const partitionsOf = (op: Op) => (op.b % 3 === 0 ? {} : { partitions: 1 + (op.b % 5) })

const isBad = (op: Op, value: number) => value % (3 + (op.a % 5)) === op.b % 3
const failing = (op: Op, value: number): Effect.Effect<void, Bad | Odd> =>
  isBad(op, value) ? Effect.fail(value % 2 === 0 ? new Bad({ value }) : new Odd({ value })) : Effect.void
const failedItem = (value: number) => new Failed(value % 2 === 0 ? "Bad" : "Odd", value)

/** Takes turns in an order of its own each time. */
const dawdle = Effect.suspend(() => {
  let left = Math.floor(Math.random() * 3)
  const wait: Effect.Effect<void> = Effect.suspend(() =>
    left-- > 0 ? Effect.andThen(Effect.yieldNow, wait) : Effect.void
  )
  return wait
})

const byText = Order.mapInput(Order.String, textOf)
const total = Order.mapInput(
  Order.Tuple([Order.Number, Order.String]),
  ([key, value]: Row) => [value, textOf(key)] as const
)
const flipped = <A>(order: Order.Order<A>, op: Op): Order.Order<A> => (op.a % 2 === 0 ? order : Order.flip(order))
const add = (left: number, right: number) => wrap(left + right)

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

/** A value for each key, as it is made of the values in their order or in any. */
const byKey = (
  build: Unary["build"],
  model: (values: ReadonlyArray<number>, op: Op) => number,
  inOrder = false
): Unary => ({
  build,
  model: (self, op) => {
    need(self.ordered || !inOrder)
    return gathered(
      Array.from(groups(rowsOf(self)).values(), ({ key, values }): Row => [key, model(values, op)]),
      self
    )
  }
})

const joined = (
  build: Binary["build2"],
  model: (left: ReadonlyArray<number>, right: ReadonlyArray<number>) => ReadonlyArray<number>
): Binary => ({
  build2: build,
  model2: (self, that) => {
    const left = groups(rowsOf(self))
    const right = groups(rowsOf(that))
    const keys = new Map([...left, ...right].map(([text, { key }]) => [text, key]))
    const rows = [...keys].flatMap(([text, key]) =>
      model(left.get(text)?.values ?? [], right.get(text)?.values ?? []).map((value): Row => [key, value])
    )
    need(rows.length <= 2000)
    return gathered(rows, self, that)
  }
})

const combined = (left: number, right: number) => wrap(left * 31 + right)
const pairsOf = (left: ReadonlyArray<number>, right: ReadonlyArray<number>) =>
  left.flatMap((a) => right.map((b) => combined(a, b)))

const sorted = (build: Unary["build"], order: (op: Op) => Order.Order<Row>, isTotal: boolean): Unary => ({
  build,
  model: (self, op) => {
    // Rows that the order leaves equal stay as they were, where that is known.
    need(isTotal || self.ordered)
    const rows = [...rowsOf(self)].sort(order(op))
    return isClean(self) ? ofItems(rows, true) : gathered(rows, self)
  }
})

const dealt = (self: Model, op: Op, sort: ReadonlyArray<Row> | undefined): Model => {
  const rows = sort ?? rowsOf(self)
  if (!isClean(self)) return gathered(rows, self)
  const partitioner = Partitioner.hash(1 + (op.b % 5))
  const parts: Array<Array<Row>> = Array.from({ length: partitioner.partitions }, () => [])
  for (const row of rows) parts[partitioner.partition(row[0])]?.push(row)
  return ofParts(parts, self.ordered)
}

class Addend extends Context.Service<Addend, number>()("test/Addend") {}

/** Steps that have a row for each row, in the stage of their input. */
const keeping = new Set([
  ...["map", "rekey", "mapEffect", "failing", "failing tap", "tap", "catch", "catchTag", "mapValues", "keyBy"],
  ...["with a service", "rechunk", "coalesce"]
])
/** The same, but for the stages: some run those before them twice. */
const moving = new Set([
  ...["cache", "union", "repartition", "sort", "sortBy", "sortBy, equal keys", "sortByKey", "partitionBy"],
  ...["partitionBy, another function", "repartitionAndSortWithinPartitions", "a random key", "zipWithIndex"]
])
const dropping = new Set(["filter", "filterMap", "flatMap", "mapArray", "flatMapValues", "where and select"])
const cutting = new Set(["take each", "until each", "zipPartitions", "groupByKey, a few of each", "zip"])

const knows = ({ kind, min }: Source) => kind === "iterable" || (min === 0 && (kind === "csv" || kind === "jsonl"))

/** The steps of a pipeline and of those beside them. */
const stepsOf = (pipe: Pipe): ReadonlyArray<Op> =>
  pipe.ops.flatMap((op) => (op.other === undefined ? [op] : [op, ...stepsOf(op.other)]))
const sourcesOf = (pipe: Pipe): ReadonlyArray<Source> => [
  ...(pipe.source === "self" ? [] : [pipe.source]),
  ...pipe.ops.flatMap((op) => (op.other === undefined ? [] : sourcesOf(op.other)))
]

export const factsOf = (pipe: Pipe): Facts => {
  const steps = stepsOf(pipe).map(({ name }) => name)
  const sources = sourcesOf(pipe)
  const [source] = sources
  const inOneStage = steps.every((name) => keeping.has(name) || dropping.has(name))
  return {
    steady: !stepsOf(pipe).some(
      ({ a, b, name }) => name === "a random key" || (name === "mapEffect" && a % 4 > 0 && b % 2 === 1)
    ),
    // What an exchange or a cache has is there for every step that reads it, which counts as added.
    filters:
      stepsOf(pipe).some(({ other }) => other?.source === "self") ||
      !steps.every((name) => keeping.has(name) || moving.has(name) || name === "take each" || name === "until each") ||
      sources.some(({ kind, min }) => kind === "range" || kind === "streams" || min > 0),
    cuts: steps.some((name) => cutting.has(name)),
    caches: steps.includes("cache"),
    read:
      inOneStage && source !== undefined && knows(source) ? source.parts.flat().length + setAside(source) : undefined,
    setAside: sources.every((one) => setAside(one) === 0)
      ? 0
      : inOneStage && source !== undefined
        ? setAside(source)
        : undefined
  }
}

const storages = ["memory", "disk", "memory-then-disk"] as const

export const operators: Readonly<Record<string, Operator>> = {
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
    // Where it keeps the failed ones among the others is nobody's business.
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
  },
  reduceByKey: byKey(
    (self, op) => Dataset.reduceByKey(self, add, partitionsOf(op)),
    (values) => values.reduce(add)
  ),
  foldByKey: byKey(
    (self, op) => Dataset.foldByKey(self, () => 0, add, partitionsOf(op)),
    (values) => values.reduce(add, 0)
  ),
  aggregateByKey: byKey(
    (self, op) => {
      const counted = Dataset.aggregateByKey(
        self,
        () => ({ count: 0, sum: 0 }),
        ({ count, sum }, value) => ({ count: count + 1, sum: add(sum, value) }),
        (left, right) => ({ count: left.count + right.count, sum: add(left.sum, right.sum) }),
        partitionsOf(op)
      )
      return Dataset.mapValues(counted, ({ count, sum }) => combined(count, sum))
    },
    (values) => combined(values.length, values.reduce(add, 0))
  ),
  combineByKey: byKey(
    (self, op) =>
      Dataset.combineByKey(
        self,
        { create: (value) => value, add: (state, value) => Math.max(state, value), merge: (a, b) => Math.max(a, b) },
        partitionsOf(op)
      ),
    (values) => Math.max(...values)
  ),
  groupByKey: byKey(
    (self, op) =>
      Dataset.mapEffect(Dataset.groupByKey(self, partitionsOf(op)), ([key, values]) =>
        Effect.map(Stream.runCollect(values), (list): Row => [key, combined(list.length, list.reduce(add))])
      ),
    (values) => combined(values.length, values.reduce(add))
  ),
  "groupByKey in order": byKey(
    (self, op) =>
      Dataset.mapEffect(Dataset.groupByKey(self, partitionsOf(op)), ([key, values]) =>
        Effect.map(
          Stream.runFold(values, () => 0, combined),
          (value): Row => [key, value]
        )
      ),
    (values) => values.reduce(combined, 0),
    true
  ),
  "groupByKey, a few of each": byKey(
    (self, op) =>
      Dataset.mapEffect(Dataset.groupByKey(self, partitionsOf(op)), ([key, values]) =>
        Effect.map(Stream.runCount(Stream.take(values, op.a % 4)), (count): Row => [key, count])
      ),
    (values, op) => Math.min(values.length, op.a % 4)
  ),
  groupBy: {
    build: (self, op) =>
      Dataset.mapEffect(
        Dataset.groupBy(self, ([, value]) => value % (1 + (op.a % 6)), partitionsOf(op)),
        ([key, rows]) =>
          Effect.map(
            Stream.runFold(
              rows,
              () => 0,
              (sum, [, value]) => add(sum, value)
            ),
            (sum): Row => [key, sum]
          )
      ),
    model: (self, op) =>
      gathered(
        Array.from(
          groups(rowsOf(self).map(([, value]): Row => [value % (1 + (op.a % 6)), value])).values(),
          ({ key, values }): Row => [key, values.reduce(add, 0)]
        ),
        self
      )
  },
  distinct: {
    build: (self, op) => Dataset.distinct(self, partitionsOf(op)),
    model: (self) => gathered(unique(rowsOf(self)), self)
  },
  "distinct keys": {
    build: (self, op) => Dataset.map(Dataset.distinct(Dataset.keys(self), partitionsOf(op)), (key): Row => [key, 0]),
    model: (self) => gathered(unique(rowsOf(self).map(([key]): Row => [key, 0])), self)
  },
  sort: sorted(
    (self, op) => Dataset.sort(self, flipped(total, op), partitionsOf(op)),
    (op) => flipped(total, op),
    true
  ),
  sortBy: sorted(
    (self, op) =>
      Dataset.sortBy(
        self,
        ([key, value]) => [value % 10, textOf(key), value] as const,
        flipped(Order.Tuple([Order.Number, Order.String, Order.Number]), op),
        partitionsOf(op)
      ),
    (op) =>
      flipped(
        Order.mapInput(
          Order.Tuple([Order.Number, Order.String, Order.Number]),
          ([key, value]: Row) => [value % 10, textOf(key), value] as const
        ),
        op
      ),
    true
  ),
  "sortBy, equal keys": sorted(
    (self, op) => Dataset.sortBy(self, ([, value]) => value % 5, flipped(Order.Number, op), partitionsOf(op)),
    (op) =>
      flipped(
        Order.mapInput(Order.Number, ([, value]: Row) => value % 5),
        op
      ),
    false
  ),
  sortByKey: sorted(
    (self, op) => Dataset.sortByKey(self, flipped(byText, op), partitionsOf(op)),
    (op) =>
      flipped(
        Order.mapInput(byText, ([key]: Row) => key),
        op
      ),
    false
  ),
  partitionBy: {
    build: (self, op) => Dataset.partitionBy(self, Partitioner.hash(1 + (op.b % 5))),
    model: (self, op) => dealt(self, op, undefined)
  },
  "partitionBy, another function": {
    build: (self, op) =>
      Dataset.partitionBy(
        self,
        Partitioner.make("length", 1 + (op.b % 5), (key: unknown) => textOf(key).length)
      ),
    model: (self) => ofItems(self.items)
  },
  repartitionAndSortWithinPartitions: {
    build: (self, op) =>
      Dataset.repartitionAndSortWithinPartitions(self, Partitioner.hash(1 + (op.b % 5)), flipped(byText, op)),
    model: (self, op) => {
      need(self.ordered)
      const order = flipped(byText, op)
      return dealt(
        self,
        op,
        [...rowsOf(self)].sort(([a], [b]) => order(a, b))
      )
    }
  },
  sampleByKeyExact: {
    build: (self, op) => Dataset.sampleByKeyExact(self, () => 1, { seed: op.a, ...partitionsOf(op) }),
    model: (self) => gathered(rowsOf(self), self)
  },
  // Keys that are others whenever the rows are computed again.
  "a random key": {
    build: (self, op) =>
      self.pipe(
        Dataset.map((row) => [Math.floor(Math.random() * 100), row] as const),
        Dataset.partitionBy(Partitioner.hash(1 + (op.b % 5))),
        Dataset.values
      ),
    model: (self) => ofItems(self.items)
  },
  join: joined(
    (self, that, op) => Dataset.mapValues(Dataset.join(self, that, partitionsOf(op)), ([a, b]) => combined(a, b)),
    pairsOf
  ),
  leftJoin: joined(
    (self, that, op) =>
      Dataset.mapValues(Dataset.leftJoin(self, that, partitionsOf(op)), ([a, b]) => combined(a, orNone(b))),
    (left, right) => pairsOf(left, right.length === 0 ? [none] : right)
  ),
  rightJoin: joined(
    (self, that, op) =>
      Dataset.mapValues(Dataset.rightJoin(self, that, partitionsOf(op)), ([a, b]) => combined(orNone(a), b)),
    (left, right) => pairsOf(left.length === 0 ? [none] : left, right)
  ),
  fullJoin: joined(
    (self, that, op) =>
      Dataset.mapValues(Dataset.fullJoin(self, that, partitionsOf(op)), ([a, b]) => combined(orNone(a), orNone(b))),
    (left, right) => pairsOf(left.length === 0 ? [none] : left, right.length === 0 ? [none] : right)
  ),
  subtractByKey: joined(
    (self, that, op) => Dataset.subtractByKey(self, that, partitionsOf(op)),
    (left, right) => (right.length === 0 ? left : [])
  ),
  cogroup: joined(
    (self, that, op) =>
      Dataset.mapEffect(Dataset.cogroup(self, [that], partitionsOf(op)), ([key, [left, right]]) =>
        Effect.map(Effect.all([Stream.runCollect(left), Stream.runCollect(right)]), ([a, b]): Row => [
          key,
          combined(a.reduce(add, a.length), b.reduce(add, b.length))
        ])
      ),
    (left, right) => [combined(left.reduce(add, left.length), right.reduce(add, right.length))]
  ),
  subtract: {
    build2: (self, that, op) => Dataset.subtract(self, that, partitionsOf(op)),
    model2: (self, that) => {
      const without = new Set(rowsOf(that).map(textOf))
      return gathered(
        rowsOf(self).filter((row) => !without.has(textOf(row))),
        self,
        that
      )
    }
  },
  intersection: {
    build2: (self, that, op) => Dataset.intersection(self, that, partitionsOf(op)),
    model2: (self, that) => {
      const both = new Set(rowsOf(that).map(textOf))
      return gathered(unique(rowsOf(self).filter((row) => both.has(textOf(row)))), self, that)
    }
  }
}

const none = -1
const orNone = Option.getOrElse(() => none)

const split = (self: Rows, op: Op): readonly [Rows, Rows] => {
  const [few = self, most = self] = Dataset.randomSplit(self, [1, 3], op.b)
  return op.a % 2 === 0 ? [few, most] : [most, few]
}

const united = (self: Model, that: Model): Model => ({
  items: [...self.items, ...that.items],
  parts: self.parts === undefined || that.parts === undefined ? undefined : [...self.parts, ...that.parts],
  ordered: self.ordered && that.ordered
})
