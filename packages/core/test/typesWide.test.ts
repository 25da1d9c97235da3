import { type Action, Codec, Dataset, type Engine, type JobError, Partitioner } from "@sluice/core"
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Data, type Effect, flow, type HashMap, identity, Option, Order, Schema, type Stream } from "effect"

class A extends Context.Service<A, number>()("typesWide/A") {}
class B extends Context.Service<B, string>()("typesWide/B") {}
class Bad extends Data.TaggedError("Bad")<{}> {}
class Worse extends Data.TaggedError("Worse")<{}> {}

declare const pairs: Dataset.Dataset<readonly [string, number], Bad, A>
declare const dates: Dataset.Dataset<readonly [string, Date], Worse, B>
declare const byNumber: Dataset.Dataset<readonly [number, Date]>
declare const numbers: Dataset.Dataset<number, Bad, A>

type Pairs<K, V> = Dataset.Dataset<readonly [K, V], Bad, A>
type Both<K, V> = Dataset.Dataset<readonly [K, V], Bad | Worse, A | B>

// The checks are the compiler's: nothing here runs.
describe("types of wide operations", () => {
  it("keys and values", () => {
    expectTypeOf(() => numbers.pipe(Dataset.keyBy((n) => `key ${n}`))).returns.toEqualTypeOf<Pairs<string, number>>()
    expectTypeOf(() => pairs.pipe(Dataset.mapValues((n) => n > 1))).returns.toEqualTypeOf<Pairs<string, boolean>>()
    expectTypeOf(() => Dataset.flatMapValues(pairs, (n) => [`${n}`])).returns.toEqualTypeOf<Pairs<string, string>>()
    expectTypeOf(() => Dataset.keys(pairs)).returns.toEqualTypeOf<Dataset.Dataset<string, Bad, A>>()
    expectTypeOf(() => pairs.pipe(Dataset.values)).returns.toEqualTypeOf<Dataset.Dataset<number, Bad, A>>()
    expectTypeOf(() => pairs.pipe(Dataset.sampleByKey((key) => key.length, { seed: 1 }))).returns.toEqualTypeOf<
      Pairs<string, number>
    >()
    expectTypeOf(() => pairs.pipe(Dataset.sampleByKeyExact((key) => key.length, { seed: 1 }))).returns.toEqualTypeOf<
      Pairs<string, number>
    >()
    // @ts-expect-error: no pairs
    void (() => Dataset.mapValues(numbers, (n) => n))
    // @ts-expect-error: no pairs
    void (() => Dataset.groupByKey(numbers))
  })

  it("literals of pairs are pairs, and of numbers numbers", () => {
    const made = Dataset.make(["a", 1], ["b", 2])
    expectTypeOf(made).toEqualTypeOf<Dataset.Dataset<[string, number]>>()
    expectTypeOf(
      Dataset.fromIterable([
        ["a", 1],
        ["b", 2]
      ])
    ).toEqualTypeOf<Dataset.Dataset<[string, number]>>()
    expectTypeOf(Dataset.make([1, "a", true])).toEqualTypeOf<Dataset.Dataset<[number, string, boolean]>>()
    expectTypeOf(Dataset.make(["a", 1] as const)).toEqualTypeOf<Dataset.Dataset<readonly ["a", 1]>>()
    expectTypeOf(Dataset.make(["a", 1], null)).toEqualTypeOf<Dataset.Dataset<[string, number] | null>>()
    expectTypeOf(Dataset.fromIterable(["a", "b"])).toEqualTypeOf<Dataset.Dataset<string>>()
    expectTypeOf(Dataset.make(1, null)).toEqualTypeOf<Dataset.Dataset<number | null>>()
    expectTypeOf(Dataset.fromIterable([1, undefined])).toEqualTypeOf<Dataset.Dataset<number | undefined>>()
    type Made<V> = Dataset.Dataset<readonly [string, V]>
    expectTypeOf(() => made.pipe(Dataset.mapValues((n) => n + 1))).returns.toEqualTypeOf<Made<number>>()
    expectTypeOf(() => made.pipe(Dataset.flatMapValues((n) => [`${n}`]))).returns.toEqualTypeOf<Made<string>>()
    expectTypeOf(() => made.pipe(Dataset.reduceByKey((a, b) => a + b))).returns.toEqualTypeOf<Made<number>>()
    expectTypeOf(() =>
      made.pipe(
        Dataset.foldByKey(
          () => 0,
          (a, b) => a + b
        )
      )
    ).returns.toEqualTypeOf<Made<number>>()
    expectTypeOf(() =>
      made.pipe(
        Dataset.aggregateByKey(
          () => "",
          (s, n) => s + n,
          (a, b) => a + b
        )
      )
    ).returns.toEqualTypeOf<Made<string>>()
    expectTypeOf(() =>
      made.pipe(
        Dataset.combineByKey({ create: (n) => [n], add: (list, n) => [...list, n], merge: (a, b) => [...a, ...b] })
      )
    ).returns.toEqualTypeOf<Made<Array<number>>>()
    expectTypeOf(() => made.pipe(Dataset.groupByKey)).returns.toEqualTypeOf<Made<Stream.Stream<number>>>()
    expectTypeOf(() => made.pipe(Dataset.join(Dataset.make(["a", true])))).returns.toEqualTypeOf<
      Made<readonly [number, boolean]>
    >()
    expectTypeOf(() => made.pipe(Dataset.cogroup([Dataset.make(["a", true])]))).returns.toEqualTypeOf<
      Made<readonly [Stream.Stream<number>, Stream.Stream<boolean>]>
    >()
    expectTypeOf(() => made.pipe(Dataset.lookup("a"))).returns.toEqualTypeOf<Action.Action<Array<number>>>()
    expectTypeOf(() => Dataset.make(1, 2).pipe(Dataset.reduce((a, b) => a + b))).returns.toEqualTypeOf<
      Action.Action<Option.Option<number>>
    >()
  })

  it("a map that returns an array literal makes pairs, and keeps every other type", () => {
    interface Sale {
      readonly country: string
      readonly amount: number
      readonly tags: ReadonlyArray<string>
    }
    const sales: Dataset.Dataset<Sale, Bad, A> = Dataset.empty
    type Sales<B> = Dataset.Dataset<B, Bad, A>
    expectTypeOf(() =>
      sales.pipe(
        Dataset.map((s) => [s.country, s.amount]),
        Dataset.reduceByKey((a, b) => a + b)
      )
    ).returns.toEqualTypeOf<Pairs<string, number>>()
    expectTypeOf(() =>
      Dataset.reduceByKey(
        Dataset.map(sales, (s) => [s.country, s.amount]),
        (a, b) => a + b
      )
    ).returns.toEqualTypeOf<Pairs<string, number>>()
    expectTypeOf(() =>
      sales.pipe(
        Dataset.map((s) => [s.country, 1]),
        Dataset.groupByKey
      )
    ).returns.toEqualTypeOf<Pairs<string, Stream.Stream<number>>>()
    expectTypeOf(() => Dataset.map(sales, (s) => (s.amount > 1 ? [s.country, 1] : ["", 2]))).returns.toEqualTypeOf<
      Sales<[string, number]>
    >()
    expectTypeOf(() =>
      sales.pipe(
        Dataset.map((s) => {
          if (s.amount > 1) return [s.country, 1]
          return ["", 2]
        })
      )
    ).returns.toEqualTypeOf<Sales<[string, number]>>()
    expectTypeOf(() => sales.pipe(Dataset.map((s) => [s.country, s.amount] as const))).returns.toEqualTypeOf<
      Pairs<string, number>
    >()
    expectTypeOf(() => sales.pipe(Dataset.map((s): Array<number> => [s.amount, 1]))).returns.toEqualTypeOf<
      Sales<Array<number>>
    >()
    expectTypeOf(() => sales.pipe(Dataset.map((s) => [...s.tags]))).returns.toEqualTypeOf<Sales<Array<string>>>()
    expectTypeOf(() => sales.pipe(Dataset.map((s) => s.tags.map((tag) => [tag, 1])))).returns.toEqualTypeOf<
      Sales<Array<Array<string | number>>>
    >()
    expectTypeOf(() => sales.pipe(Dataset.map((s) => s.tags))).returns.toEqualTypeOf<Sales<ReadonlyArray<string>>>()
    expectTypeOf(() => sales.pipe(Dataset.map((s) => ({ ...s, tags: [1, 2] })))).returns.toEqualTypeOf<
      Sales<{ tags: Array<number>; country: string; amount: number }>
    >()
    expectTypeOf(() => sales.pipe(Dataset.map((s) => (s.amount > 1 ? "a" : "b")))).returns.toEqualTypeOf<
      Sales<"a" | "b">
    >()
    expectTypeOf(() => sales.pipe(Dataset.map(() => 1))).returns.toEqualTypeOf<Sales<number>>()
    expectTypeOf(() => sales.pipe(Dataset.map(() => "x"))).returns.toEqualTypeOf<Sales<string>>()
    expectTypeOf(() => sales.pipe(Dataset.map(() => "x" as const))).returns.toEqualTypeOf<Sales<"x">>()
    expectTypeOf(() => sales.pipe(Dataset.map(() => null))).returns.toEqualTypeOf<Sales<null>>()
    expectTypeOf(() => sales.pipe(Dataset.map(() => undefined))).returns.toEqualTypeOf<Sales<undefined>>()
    expectTypeOf(() => sales.pipe(Dataset.map(() => {}))).returns.toEqualTypeOf<Sales<void>>()
    expectTypeOf(() => sales.pipe(Dataset.map((s): unknown => s))).returns.toEqualTypeOf<Sales<unknown>>()
    expectTypeOf(() =>
      sales.pipe(
        Dataset.map((s): never => {
          throw s
        })
      )
    ).returns.toEqualTypeOf<Sales<never>>()
    expectTypeOf(() => sales.pipe(Dataset.map((s) => (s.amount > 1 ? s : undefined)))).returns.toEqualTypeOf<
      Sales<Sale | undefined>
    >()
    expectTypeOf(() => sales.pipe(Dataset.map(String))).returns.toEqualTypeOf<Sales<string>>()
    expectTypeOf(() => sales.pipe(Dataset.map(identity))).returns.toEqualTypeOf<Sales<Sale>>()
    expectTypeOf(() => Dataset.map(sales, Option.some)).returns.toEqualTypeOf<Sales<Option.Option<Sale>>>()
    expectTypeOf(<X, Y>(f: (x: X) => Y) => Dataset.map(f)).toEqualTypeOf<
      <X, Y>(f: (x: X) => Y) => <E, R>(self: Dataset.Dataset<X, E, R>) => Dataset.Dataset<Y, E, R>
    >()
    expectTypeOf(<X, Y>(self: Dataset.Dataset<X>, f: (x: X) => Y) => Dataset.map(self, f)).toEqualTypeOf<
      <X, Y>(self: Dataset.Dataset<X>, f: (x: X) => Y) => Dataset.Dataset<Y>
    >()
    expectTypeOf(Dataset.map<number, string>(String)).toEqualTypeOf<
      <E, R>(self: Dataset.Dataset<number, E, R>) => Dataset.Dataset<string, E, R>
    >()
    const lists = Dataset.map(sales, (s): Array<number> => [s.amount, 1])
    // @ts-expect-error: no pairs
    void (() => Dataset.reduceByKey(lists, (a) => a))
  })

  it("aggregations", () => {
    expectTypeOf(() => Dataset.reduceByKey(pairs, (a, b) => a + b)).returns.toEqualTypeOf<Pairs<string, number>>()
    expectTypeOf(() =>
      Dataset.foldByKey(
        pairs,
        () => 0,
        (a, b) => a + b
      )
    ).returns.toEqualTypeOf<Pairs<string, number>>()
    expectTypeOf(() =>
      Dataset.aggregateByKey(
        pairs,
        () => "",
        (s, n) => s + n,
        (a, b) => a + b
      )
    ).returns.toEqualTypeOf<Pairs<string, string>>()
    expectTypeOf(() =>
      Dataset.combineByKey(pairs, { create: (n) => [n], add: (list, n) => [...list, n], merge: (a, b) => [...a, ...b] })
    ).returns.toEqualTypeOf<Pairs<string, Array<number>>>()
    expectTypeOf(() => pairs.pipe(Dataset.groupByKey)).returns.toEqualTypeOf<Pairs<string, Stream.Stream<number>>>()
    expectTypeOf(() => numbers.pipe(Dataset.groupBy((n) => n > 0))).returns.toEqualTypeOf<
      Pairs<boolean, Stream.Stream<number>>
    >()
    // @ts-expect-error: the values are numbers
    void (() => Dataset.reduceByKey(pairs, (a: string, b: string) => a + b))
    // @ts-expect-error: a codec of other values
    void (() => Dataset.reduceByKey(pairs, (a, b) => a + b, { value: Codec.fromSchema(Schema.String) }))
  })

  it("joins unite E and R, and missing sides are options", () => {
    expectTypeOf(() => Dataset.join(pairs, dates)).returns.toEqualTypeOf<Both<string, readonly [number, Date]>>()
    expectTypeOf(() => pairs.pipe(Dataset.join(dates))).returns.toEqualTypeOf<Both<string, readonly [number, Date]>>()
    expectTypeOf(() => pairs.pipe(Dataset.leftJoin(dates))).returns.toEqualTypeOf<
      Both<string, readonly [number, Option.Option<Date>]>
    >()
    expectTypeOf(() => Dataset.rightJoin(pairs, dates)).returns.toEqualTypeOf<
      Both<string, readonly [Option.Option<number>, Date]>
    >()
    expectTypeOf(() => Dataset.fullJoin(pairs, dates)).returns.toEqualTypeOf<
      Both<string, readonly [Option.Option<number>, Option.Option<Date>]>
    >()
    expectTypeOf(() => pairs.pipe(Dataset.subtractByKey(dates))).returns.toEqualTypeOf<Both<string, number>>()
    expectTypeOf(() => Dataset.cogroup(pairs, [dates, pairs])).returns.toEqualTypeOf<
      Both<string, readonly [Stream.Stream<number>, Stream.Stream<Date>, Stream.Stream<number>]>
    >()
    const date = Codec.fromSchema(Schema.Date)
    void (() => Dataset.cogroup(pairs, [dates, pairs], { others: [date, undefined] }))
    void (() => pairs.pipe(Dataset.cogroup([dates, pairs], { others: [date, undefined] })))
    // @ts-expect-error: a codec of other values
    void (() => Dataset.cogroup(pairs, [pairs], { others: [date] }))
    // @ts-expect-error: keys of another type
    void (() => pairs.pipe(Dataset.join(byNumber)))
  })

  it("orders", () => {
    expectTypeOf(() => pairs.pipe(Dataset.sortByKey(Order.String))).returns.toEqualTypeOf<Pairs<string, number>>()
    expectTypeOf(() => numbers.pipe(Dataset.sort(Order.Number))).returns.toEqualTypeOf<typeof numbers>()
    expectTypeOf(() => numbers.pipe(Dataset.sortBy((n) => `${n}`, Order.String))).returns.toEqualTypeOf<
      typeof numbers
    >()
    // @ts-expect-error: the keys are strings
    void (() => Dataset.sortByKey(pairs, Order.Number))
    // @ts-expect-error: the key is a number
    void (() => Dataset.sortBy(numbers, (n) => n, Order.String))
    // @ts-expect-error: the elements are numbers
    void (() => Dataset.takeOrdered(numbers, 1, Order.String))
  })

  it("options are of two types, with the parts that an operation has a use for", () => {
    const text = Codec.fromSchema(Schema.String)
    const number = Codec.fromSchema(Schema.Number)
    const date = Codec.fromSchema(Schema.Date)
    const options: Dataset.KeyOptions<string, number> = { partitions: 2, key: text, value: number }
    const joining: Dataset.JoinOptions<string, number, Date> = { partitions: 2, key: text, left: number, right: date }
    expectTypeOf(() => Dataset.reduceByKey(pairs, (a, b) => a + b, options)).returns.toEqualTypeOf<typeof pairs>()
    expectTypeOf(() => Dataset.sortByKey(pairs, Order.String, options)).returns.toEqualTypeOf<typeof pairs>()
    expectTypeOf(() => Dataset.partitionBy(pairs, Partitioner.hash<string>(2), options)).returns.toEqualTypeOf<
      typeof pairs
    >()
    expectTypeOf(() => Dataset.join(pairs, dates, joining)).returns.toEqualTypeOf<
      Both<string, readonly [number, Date]>
    >()
    expectTypeOf(() => Dataset.countByKey(pairs, { partitions: 2, key: text })).returns.toEqualTypeOf<
      Action.Action<HashMap.HashMap<string, number>, Bad, A>
    >()
    expectTypeOf(() =>
      Dataset.aggregateByKey(
        pairs,
        () => "",
        (s, n) => s + n,
        (a, b) => a + b,
        { value: text }
      )
    ).returns.toEqualTypeOf<Pairs<string, string>>()
    expectTypeOf(() => Dataset.repartition(numbers, 2, { value: number })).returns.toEqualTypeOf<typeof numbers>()
    expectTypeOf(() => pairs.pipe(Dataset.join(dates, { key: text, right: date }))).returns.toEqualTypeOf<
      Both<string, readonly [number, Date]>
    >()
    const first = () => 0
    const add = (state: number, n: number) => state + n
    // @ts-expect-error: what is combined to is a number
    void (() => Dataset.aggregateByKey(pairs, first, add, add, { value: text }))
    // @ts-expect-error: a sort makes its own ranges
    void (() => Dataset.sortByKey(pairs, Order.String, { partitioner: Partitioner.hash<string>(2) }))
    // @ts-expect-error: the partitioner has the number of partitions
    void (() => Dataset.partitionBy(pairs, Partitioner.hash<string>(2), { partitions: 2 }))
    // @ts-expect-error: only elements are moved, and no values
    void (() => Dataset.distinct(numbers, { value: number }))
    // @ts-expect-error: the values of the first dataset are not known here
    void (() => pairs.pipe(Dataset.join(dates, { left: number })))
  })

  it("partitions, sets and zips", () => {
    expectTypeOf(() => pairs.pipe(Dataset.partitionBy(Partitioner.hash<string>(2)))).returns.toEqualTypeOf<
      Pairs<string, number>
    >()
    expectTypeOf(() => numbers.pipe(Dataset.repartition(2), Dataset.distinct)).returns.toEqualTypeOf<typeof numbers>()
    expectTypeOf(() => numbers.pipe(Dataset.cartesian(dates))).returns.toEqualTypeOf<
      Dataset.Dataset<readonly [number, readonly [string, Date]], Bad | Worse, A | B>
    >()
    expectTypeOf(() => Dataset.zip(numbers, dates)).returns.toEqualTypeOf<
      Dataset.Dataset<readonly [number, readonly [string, Date]], Bad | Worse, A | B>
    >()
    expectTypeOf(() => numbers.pipe(Dataset.glom)).returns.toEqualTypeOf<
      Dataset.Dataset<ReadonlyArray<number>, Bad, A>
    >()
    expectTypeOf(() => numbers.pipe(Dataset.subtract(dates))).returns.toEqualTypeOf<
      Dataset.Dataset<number, Bad | Worse, A | B>
    >()
    expectTypeOf(() => numbers.pipe(Dataset.cache)).returns.toEqualTypeOf<typeof numbers>()
    void (() =>
      numbers.pipe(Dataset.intersection(dates, { partitions: 2 }), Dataset.subtract(dates, { partitions: 2 })))
    void (() => pairs.pipe(Dataset.partitionBy(Partitioner.hash<string>(2), { key: Codec.fromSchema(Schema.String) })))
    const odd = Partitioner.make("odd", 2, (key: number) => key)
    // @ts-expect-error: a partitioner of other keys
    void (() => Dataset.partitionBy(pairs, odd))
  })

  it("groupByKey, distinct, cache, collect and the counts take options in a pipe, and stand there without", () => {
    const text = Codec.fromSchema(Schema.String)
    expectTypeOf(() => numbers.pipe(Dataset.cache({ storage: "disk" }))).returns.toEqualTypeOf<typeof numbers>()
    expectTypeOf(() => numbers.pipe(Dataset.cache, Dataset.distinct)).returns.toEqualTypeOf<typeof numbers>()
    expectTypeOf(() => Dataset.cache(numbers, { storage: "disk" })).returns.toEqualTypeOf<typeof numbers>()
    expectTypeOf(() => numbers.pipe(Dataset.distinct({ partitions: 2 }))).returns.toEqualTypeOf<typeof numbers>()
    expectTypeOf(() => Dataset.distinct(numbers, { partitions: 2 })).returns.toEqualTypeOf<typeof numbers>()
    expectTypeOf(() => pairs.pipe(Dataset.groupByKey({ partitions: 2, key: text }))).returns.toEqualTypeOf<
      Pairs<string, Stream.Stream<number>>
    >()
    expectTypeOf(() => Dataset.groupByKey(pairs, { partitions: 2, key: text })).returns.toEqualTypeOf<
      Pairs<string, Stream.Stream<number>>
    >()
    expectTypeOf(() => numbers.pipe(Dataset.collect({ maxBytes: 1 }))).returns.toEqualTypeOf<
      Action.Action<Array<number>, Bad, A>
    >()
    expectTypeOf(() => numbers.pipe(Dataset.countByValue({ partitions: 2 }))).returns.toEqualTypeOf<
      Action.Action<HashMap.HashMap<number, number>, Bad, A>
    >()
    expectTypeOf(() => pairs.pipe(Dataset.countByKey({ partitions: 2, key: text }))).returns.toEqualTypeOf<
      Action.Action<HashMap.HashMap<string, number>, Bad, A>
    >()
    // A codec yields the type that it is made for, however much more specific its input is.
    const letters: Dataset.Dataset<readonly ["a" | "b", number]> = Dataset.empty
    expectTypeOf(() => letters.pipe(Dataset.groupByKey({ key: text }), Dataset.keys)).returns.toEqualTypeOf<
      Dataset.Dataset<string>
    >()
    expectTypeOf(<X, E, R>(self: Dataset.Dataset<X, E, R>, options?: Dataset.KeyOptions<X>) =>
      Dataset.cache(
        Dataset.distinct(
          Dataset.filter(self, () => true),
          options
        )
      )
    ).returns.toExtend<Dataset.Dataset<unknown, unknown, unknown>>()
    const generic = <X, K, E, R>(
      self: Dataset.Dataset<X, E, R>,
      f: (value: X) => K,
      options?: Dataset.KeyOptions<K, X>
    ): Dataset.Dataset<readonly [K, Stream.Stream<X>], E, R> => Dataset.groupByKey(Dataset.keyBy(self, f), options)
    void generic
    const positive = flow(
      Dataset.filter((n: number) => n > 0),
      Dataset.cache
    )
    expectTypeOf(() => positive(numbers)).returns.toEqualTypeOf<typeof numbers>()
    // @ts-expect-error: no such storage
    void (() => numbers.pipe(Dataset.cache({ storage: "tape" })))
    // @ts-expect-error: no such storage
    void (() => Dataset.cache(numbers, { storage: "tape" }))
    // @ts-expect-error: a codec of other elements
    void (() => numbers.pipe(Dataset.cache({ codec: text })))
    // @ts-expect-error: a codec of other elements
    void (() => numbers.pipe(Dataset.distinct({ key: text })))
    // @ts-expect-error: a partitioner of other keys
    void (() => numbers.pipe(Dataset.distinct({ partitioner: Partitioner.hash<string>(2) })))
    // @ts-expect-error: a codec of other values
    void (() => pairs.pipe(Dataset.groupByKey({ value: text })))
    // @ts-expect-error: no pairs
    void (() => numbers.pipe(Dataset.groupByKey))
    // @ts-expect-error: no pairs
    void (() => numbers.pipe(Dataset.groupByKey({ partitions: 2 })))
    // @ts-expect-error: no option
    void (() => numbers.pipe(Dataset.distinct({ partition: 2 })))
    const options: Dataset.KeyOptions<string> | undefined = undefined as Dataset.KeyOptions<string> | undefined
    // @ts-expect-error: options, or a dataset
    void (() => Dataset.distinct(options))
  })

  it("actions", () => {
    expectTypeOf(() => Dataset.sum(numbers)).returns.toEqualTypeOf<Action.Action<number, Bad, A>>()
    expectTypeOf(() => numbers.pipe(Dataset.max(Order.Number))).returns.toEqualTypeOf<
      Action.Action<Option.Option<number>, Bad, A>
    >()
    expectTypeOf(() => Dataset.countByKey(pairs)).returns.toEqualTypeOf<
      Action.Action<HashMap.HashMap<string, number>, Bad, A>
    >()
    expectTypeOf(() => pairs.pipe(Dataset.lookup("a"))).returns.toEqualTypeOf<Action.Action<Array<number>, Bad, A>>()
    expectTypeOf(() => numbers.pipe(Dataset.histogram([0, 1]))).returns.toEqualTypeOf<
      Action.Action<Array<number>, Bad, A>
    >()
    expectTypeOf(() => numbers.pipe(Dataset.histogram(2))).returns.toEqualTypeOf<
      Effect.Effect<Dataset.Histogram, Bad | JobError.JobError, A | Engine.Engine>
    >()
    expectTypeOf(() => Dataset.unpersist(numbers)).returns.toEqualTypeOf<Effect.Effect<void, never, Engine.Engine>>()
    // @ts-expect-error: no numbers
    void (() => Dataset.sum(pairs))
  })
})
