/** The operators that bring rows together by key or by order. */
import { Dataset, Partitioner } from "@sluice/core"
import { Effect, Option, Order, Stream } from "effect"
import {
  gathered,
  groups,
  isClean,
  type Model,
  need,
  ofItems,
  ofParts,
  type Row,
  rowsOf,
  textOf,
  unique
} from "./model.ts"
import { add, combined, type Binary, type Operator, type Unary } from "./operator.ts"
import type { Op } from "./spec.ts"

/** A number of partitions, or none said. */
const partitionsOf = (op: Op) => (op.b % 3 === 0 ? {} : { partitions: 1 + (op.b % 5) })

const byText = Order.mapInput(Order.String, textOf)
const total = Order.mapInput(
  Order.Tuple([Order.Number, Order.String]),
  ([key, value]: Row) => [value, textOf(key)] as const
)
const flipped = <A>(order: Order.Order<A>, op: Op): Order.Order<A> => (op.a % 2 === 0 ? order : Order.flip(order))

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

const pairsOf = (left: ReadonlyArray<number>, right: ReadonlyArray<number>) =>
  left.flatMap((a) => right.map((b) => combined(a, b)))

const sorted = (build: Unary["build"], order: (op: Op) => Order.Order<Row>, isTotal: boolean): Unary => ({
  build,
  model: (self, op) => {
    // Rows that are equal in the order stay in place, if their order is known.
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

const none = -1
const orNone = Option.getOrElse(() => none)

export const stepsByKey: Readonly<Record<string, Operator>> = {
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
