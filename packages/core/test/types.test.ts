import { type Action, Broadcast, type Commit, Dataset, type Engine, Job, type JobError } from "@sluice/core"
import { describe, expectTypeOf, it } from "@effect/vitest"
import type * as Arrow from "apache-arrow"
import { Context, Data, Effect, Layer, type Option, Result, Schema, Stream } from "effect"

class A extends Context.Service<A, number>()("types/A") {}
class B extends Context.Service<B, string>()("types/B") {}
class Bad extends Data.TaggedError("Bad")<{}> {}
class Worse extends Data.TaggedError("Worse")<{}> {}

type Numbers = Dataset.Dataset<number>
declare const numbers: Numbers
declare const full: Dataset.Dataset<number, Bad, A>
declare const both: Dataset.Dataset<number, Bad | Worse, A | B>

const needsB = (n: number) => Effect.flatMap(B, (b) => (n > 0 ? Effect.succeed(`${n}${b}`) : Effect.fail(new Worse())))

// The checks are the compiler's: nothing here runs.
describe("types", () => {
  it("constructors", () => {
    expectTypeOf(() => Dataset.make(1, "a")).returns.toEqualTypeOf<Dataset.Dataset<number | string>>()
    expectTypeOf(() => Dataset.fromIterable(new Set(["a"]))).returns.toEqualTypeOf<Dataset.Dataset<string>>()
    expectTypeOf(() => Dataset.range(0, 1)).returns.toEqualTypeOf<Numbers>()
    expectTypeOf(() => Dataset.fromStreams([Stream.fromEffect(needsB(1))])).returns.toEqualTypeOf<
      Dataset.Dataset<string, Worse, B>
    >()
    expectTypeOf(() => Dataset.text("x")).returns.toEqualTypeOf<Dataset.Dataset<string>>()
    expectTypeOf(() =>
      Dataset.parquet("x", Schema.Struct({ a: Schema.Number, b: Schema.String }))
    ).returns.toEqualTypeOf<Dataset.Dataset<{ readonly a: number; readonly b: string }>>()
  })

  it("pure steps change A and keep E and R", () => {
    expectTypeOf(() => full.pipe(Dataset.map((n) => `${n}`))).returns.toEqualTypeOf<Dataset.Dataset<string, Bad, A>>()
    expectTypeOf(() => Dataset.map(full, (n) => `${n}`)).returns.toEqualTypeOf<Dataset.Dataset<string, Bad, A>>()
    expectTypeOf(() => full.pipe(Dataset.flatMap((n) => [`${n}`]))).returns.toEqualTypeOf<
      Dataset.Dataset<string, Bad, A>
    >()
    expectTypeOf(() => full.pipe(Dataset.filter((n) => n > 0))).returns.toEqualTypeOf<Dataset.Dataset<number, Bad, A>>()
    expectTypeOf(() =>
      Dataset.make<[1, "a"]>(1, "a").pipe(Dataset.filter((x): x is "a" => x === "a"))
    ).returns.toEqualTypeOf<Dataset.Dataset<"a">>()
    expectTypeOf(() =>
      full.pipe(Dataset.filterMap((n) => (n > 0 ? Result.succeed(`${n}`) : Result.fail(n))))
    ).returns.toEqualTypeOf<Dataset.Dataset<string, Bad, A>>()
    expectTypeOf(() => full.pipe(Dataset.mapArray((values) => values.map(String)))).returns.toEqualTypeOf<
      Dataset.Dataset<string, Bad, A>
    >()
    expectTypeOf(() => full.pipe(Dataset.coalesce(1), Dataset.sample({ fraction: 1, seed: 1 }))).returns.toEqualTypeOf<
      Dataset.Dataset<number, Bad, A>
    >()
    expectTypeOf(() => full.pipe(Dataset.zipWithIndex)).returns.toEqualTypeOf<
      Dataset.Dataset<readonly [number, number], Bad, A>
    >()
    expectTypeOf(() => Dataset.make({ a: 1, b: "x" }).pipe(Dataset.select("a"))).returns.toExtend<
      Dataset.Dataset<{ readonly a: number }>
    >()
  })

  it("record batches have the columns that are read and kept in their type", () => {
    type ColumnsOf<D> = D extends Dataset.Dataset<Arrow.RecordBatch<infer T>, infer _E, infer _R> ? T : never
    const all = Dataset.parquetBatches("in")
    const typed = all as Dataset.Dataset<Arrow.RecordBatch<{ id: Arrow.Int32; name: Arrow.Utf8 }>>
    expectTypeOf(all).toEqualTypeOf<Dataset.Dataset<Arrow.RecordBatch>>()
    const some = all.pipe(Dataset.selectColumns("id", "name"))
    expectTypeOf<keyof ColumnsOf<typeof some>>().toEqualTypeOf<"id" | "name">()
    const read = Dataset.parquetBatches("in", { columns: ["id", "name"], vectors: [] })
    expectTypeOf<keyof ColumnsOf<typeof read>>().toEqualTypeOf<"id" | "name">()
    const one = typed.pipe(Dataset.selectColumns("id"))
    expectTypeOf<ColumnsOf<typeof one>>().branded.toEqualTypeOf<{ id: Arrow.Int32 }>()
    // Batches of known columns go where batches of any columns do.
    expectTypeOf(one).toExtend<Dataset.Dataset<Arrow.RecordBatch>>()
    const wrong = [
      // @ts-expect-error there is no such column any more
      () => some.pipe(Dataset.selectColumns("features")),
      // @ts-expect-error the column is not read
      () => read.pipe(Dataset.selectColumns("features")),
      // @ts-expect-error there is no such column
      () => typed.pipe(Dataset.selectColumns("ids")),
      // @ts-expect-error rows are not record batches
      () => Dataset.make({ a: 1 }).pipe(Dataset.selectColumns("a"))
    ]
    expectTypeOf(wrong).toBeArray()
  })

  it("effectful steps add to E and R", () => {
    expectTypeOf(() => full.pipe(Dataset.mapEffect(needsB, { concurrency: 2 }))).returns.toEqualTypeOf<
      Dataset.Dataset<string, Bad | Worse, A | B>
    >()
    expectTypeOf(() => full.pipe(Dataset.tap(needsB))).returns.toEqualTypeOf<
      Dataset.Dataset<number, Bad | Worse, A | B>
    >()
    expectTypeOf(() => Dataset.union(full, Dataset.mapEffect(numbers, needsB))).returns.toEqualTypeOf<
      Dataset.Dataset<string | number, Bad | Worse, A | B>
    >()
  })

  it("mapPartitions has the E and R of the stream it returns", () => {
    expectTypeOf(() =>
      full.pipe(Dataset.mapPartitions((rows) => Stream.mapEffect(rows, needsB)))
    ).returns.toEqualTypeOf<Dataset.Dataset<string, Bad | Worse, A | B>>()
    expectTypeOf(() =>
      Dataset.mapPartitions(full, (rows) => Stream.catch(rows, () => Stream.empty))
    ).returns.toEqualTypeOf<Dataset.Dataset<number, never, A>>()
  })

  it("handlers take from E", () => {
    expectTypeOf(() => both.pipe(Dataset.catchTag("Bad", () => Effect.succeed("x")))).returns.toEqualTypeOf<
      Dataset.Dataset<string | number, Worse, A | B>
    >()
    expectTypeOf(() => both.pipe(Dataset.catch((error) => Effect.succeed(error._tag)))).returns.toEqualTypeOf<
      Dataset.Dataset<number | "Bad" | "Worse", never, A | B>
    >()
    expectTypeOf(() => full.pipe(Dataset.catch(() => needsB(1)))).returns.toEqualTypeOf<
      Dataset.Dataset<string | number, Worse, A | B>
    >()
    // @ts-expect-error there is no such tag
    const unknown = () => full.pipe(Dataset.catchTag("Worse", () => Effect.succeed(1)))
    void unknown
  })

  it("provide takes from R and adds what the layer needs and fails with", () => {
    expectTypeOf(() => both.pipe(Dataset.provideService(A, 1))).returns.toEqualTypeOf<
      Dataset.Dataset<number, Bad | Worse, B>
    >()
    expectTypeOf(() => full.pipe(Dataset.provide(Layer.effect(A, Effect.as(needsB(1), 1))))).returns.toEqualTypeOf<
      Dataset.Dataset<number, Bad | Worse, B>
    >()
    const prices = Broadcast.make<number>("types/Prices")
    expectTypeOf(() =>
      numbers.pipe(
        Dataset.mapEffect((n) => Effect.map(prices, (m) => n * m)),
        Dataset.provide(Broadcast.layer(prices, Effect.succeed(2)))
      )
    ).returns.toEqualTypeOf<Numbers>()
    // @ts-expect-error the service is a number
    const wrong = () => both.pipe(Dataset.provideService(A, "1"))
    void wrong
  })

  it("actions are effects of JobError and Engine besides", () => {
    expectTypeOf(() => full.pipe(Dataset.collect)).returns.toEqualTypeOf<Action.Action<Array<number>, Bad, A>>()
    expectTypeOf(() => full.pipe(Dataset.count)).returns.toEqualTypeOf<Action.Action<number, Bad, A>>()
    expectTypeOf(() => full.pipe(Dataset.take(1))).returns.toEqualTypeOf<Action.Action<Array<number>, Bad, A>>()
    expectTypeOf(() => full.pipe(Dataset.first)).returns.toEqualTypeOf<Action.Action<Option.Option<number>, Bad, A>>()
    expectTypeOf(() => full.pipe(Dataset.reduce((a, b) => a + b))).returns.toEqualTypeOf<
      Action.Action<Option.Option<number>, Bad, A>
    >()
    expectTypeOf(() =>
      full.pipe(
        Dataset.aggregate(
          () => "",
          (s, n) => `${s}${n}`,
          (l, r) => l + r
        )
      )
    ).returns.toEqualTypeOf<Action.Action<string, Bad, A>>()
    expectTypeOf(() => full.pipe(Dataset.forEach(needsB))).returns.toEqualTypeOf<
      Action.Action<void, Bad | Worse, A | B>
    >()
    expectTypeOf(() => full.pipe(Dataset.forEachPartition((rows) => Stream.runDrain(rows)))).returns.toEqualTypeOf<
      Action.Action<void, Bad, A>
    >()
    expectTypeOf(() => Dataset.map(full, String).pipe(Dataset.writeText("x"))).returns.toEqualTypeOf<
      Action.Action<Commit.Manifest, Bad, A>
    >()
    expectTypeOf(() => Dataset.toStream(full)).returns.toEqualTypeOf<
      Stream.Stream<number, Bad | JobError.JobError, A | Engine.Engine>
    >()
    expectTypeOf(() => Effect.map(Dataset.count(full), String)).returns.toEqualTypeOf<
      Effect.Effect<string, Bad | JobError.JobError, A | Engine.Engine>
    >()
  })

  it("a job's layer is provided, but for what it needs itself", () => {
    expectTypeOf(() =>
      Job.run(
        Job.make("job", {
          payload: Schema.Struct({ n: Schema.Number }),
          layer: Layer.effect(A, Effect.as(needsB(1), 1)),
          action: ({ n }) => Dataset.count(Dataset.tap(full, () => Effect.succeed(n)))
        }),
        { n: 1 }
      )
    ).returns.toEqualTypeOf<Effect.Effect<number, Bad | Worse | JobError.JobError, B | Engine.Engine>>()
  })

  it("wrong uses do not compile", () => {
    const wrong = [
      // @ts-expect-error numbers have no length
      () => numbers.pipe(Dataset.map((n) => n.length)),
      // @ts-expect-error numbers are not text
      () => numbers.pipe(Dataset.writeText("x")),
      () =>
        numbers.pipe(
          Dataset.map((n) => Effect.succeed(n)),
          // @ts-expect-error a map is pure
          Dataset.map((n) => n + 1)
        ),
      // @ts-expect-error a dataset is not an effect
      () => Effect.runPromise(numbers),
      // @ts-expect-error an engine is missing
      () => Effect.runPromise(Dataset.count(numbers)),
      // @ts-expect-error there is no such column
      () => Dataset.make({ a: 1 }).pipe(Dataset.select("b")),
      // @ts-expect-error the row has another type
      () => Dataset.make({ a: 1 }).pipe(Dataset.writeParquet("x", Schema.Struct({ a: Schema.String }))),
      // @ts-expect-error the payload has another type
      () => Job.run(Job.make("job", { payload: Schema.Number, action: () => Dataset.count(numbers) }), "1"),
      // @ts-expect-error a mode is one of three
      () => Dataset.make("a").pipe(Dataset.writeText("x", { mode: "replace" }))
    ]
    expectTypeOf(wrong).toBeArray()
  })
})
