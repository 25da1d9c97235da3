import { Dataset, Engine } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Data, Effect, Exit, Layer, Result, Stream } from "effect"

/** The elements by partition. */
const glom = <A, E, R>(self: Dataset.Dataset<A, E, R>) =>
  Dataset.collect(Dataset.mapPartitions(self, (rows) => Stream.fromEffect(Stream.runCollect(rows))))

const test = <E>(name: string, body: () => Effect.Effect<unknown, E, Engine.Engine>) =>
  it.effect(name, () => Effect.provide(body(), Engine.layer))

class Odd extends Data.TaggedError("Odd")<{ readonly n: number }> {}
class Zero extends Data.TaggedError("Zero")<{}> {}

describe("Dataset.provide", () => {
  class Service extends Context.Service<Service, number>()("test/Service") {}
  const add = (n: number) => Effect.map(Service, (m) => n + m)

  test(
    "gives services to the steps before, in other stages too",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 4, { partitions: 2 }).pipe(
        Dataset.mapEffect(add),
        Dataset.filter((n) => n > 10),
        Dataset.zipWithIndex,
        Dataset.provideService(Service, 10)
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [
        [11, 0],
        [12, 1],
        [13, 2]
      ])
    })
  )

  test(
    "the nearest wins, and a layer may need another",
    Effect.fnUntraced(function* () {
      class Base extends Context.Service<Base, number>()("test/Base") {}
      const dataset = Dataset.make(1).pipe(
        Dataset.mapEffect(add),
        Dataset.provideService(Service, 10),
        Dataset.mapEffect(add),
        Dataset.provide(
          Layer.effect(
            Service,
            Effect.map(Base, (n) => n * 2)
          )
        ),
        Dataset.provideService(Base, 50)
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [111])
    })
  )

  test(
    "the failure of a layer is typed",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.make(1).pipe(
        Dataset.mapEffect(add),
        Dataset.provide(Layer.effect(Service, new Odd({ n: 1 })))
      )
      assert.instanceOf(yield* Effect.flip(Dataset.collect(dataset)), Odd)
    })
  )
})

describe("Dataset.catch", () => {
  const check = (n: number): Effect.Effect<number, Odd | Zero> =>
    n === 0 ? Effect.fail(new Zero()) : n % 2 === 1 ? Effect.fail(new Odd({ n })) : Effect.succeed(n)

  test(
    "takes the place of every element that failed and goes on",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 6, { partitions: 2 }).pipe(
        Dataset.mapEffect(check),
        Dataset.catch((error) => Effect.succeed(error._tag))
      )
      assert.deepStrictEqual(yield* glom(dataset), [
        ["Zero", "Odd", 2],
        ["Odd", 4, "Odd"]
      ])
    })
  )

  test(
    "pure steps between do not see the failed",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 6).pipe(
        Dataset.mapEffect(check, { concurrency: 3 }),
        Dataset.map((n) => n * 10),
        Dataset.filter((n) => n > 20),
        Dataset.filterMap((n) => Result.succeed(n + 1)),
        Dataset.flatMap((n) => [n, n]),
        Dataset.tap((n) => Effect.sync(() => assert.isNumber(n))),
        Dataset.mapEffect((n) => Effect.succeed(-n)),
        Dataset.catch((error) => Effect.succeed(error._tag))
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), ["Zero", "Odd", "Odd", -41, -41, "Odd"])
    })
  )

  test(
    "one tag at a time, the others travel on to their own handler",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 4).pipe(
        Dataset.mapEffect(check),
        Dataset.catchTag("Odd", (error) => Effect.succeed(`odd ${error.n}`)),
        Dataset.catchTag("Zero", () => Effect.succeed("zero"))
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), ["zero", "odd 1", 2, "odd 3"])
    })
  )

  test(
    "a failing handler fails its element only, if there is another handler",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 4).pipe(
        Dataset.mapEffect(check),
        Dataset.catch((error) => (error._tag === "Odd" ? Effect.fail("again") : Effect.succeed(-1))),
        Dataset.catch((error) => Effect.succeed(error))
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [-1, "again", 2, "again"])
    })
  )

  test(
    "an error without a handler is the action's",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(1, 4).pipe(
        Dataset.mapEffect(check),
        Dataset.catchTag("Zero", () => Effect.succeed(0))
      )
      const error = yield* Effect.flip(Dataset.collect(dataset))
      assert.deepStrictEqual(error, new Odd({ n: 1 }))
    })
  )

  test(
    "reaches through union, coalesce and zipWithIndex",
    Effect.fnUntraced(function* () {
      const failing = Dataset.range(0, 4, { partitions: 2 }).pipe(Dataset.mapEffect(check))
      const dataset = Dataset.union(failing, failing).pipe(
        Dataset.filter((n) => n < 100),
        Dataset.coalesce(2),
        Dataset.zipWithIndex,
        Dataset.catch((error) => Effect.succeed(error._tag))
      )
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [
        "Zero",
        "Odd",
        [2, 2],
        "Odd",
        "Zero",
        "Odd",
        [2, 6],
        "Odd"
      ])
    })
  )

  test(
    "the stream of a partition that fails ends the job: its other rows are not left out in silence",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 8, { partitions: 2 }).pipe(
        Dataset.map((n) => n + 2),
        Dataset.mapEffect((n) => (n === 4 ? Effect.fail("four") : Effect.succeed(n))),
        Dataset.mapPartitions((rows) => Stream.map(rows, (n) => n * 10)),
        Dataset.catch((error) => Effect.succeed(error))
      )
      const error = yield* Effect.flip(Dataset.collect(dataset))
      assert.strictEqual(error.reason._tag, "PartitionFailed")
      assert.include(error.message, "four")
      assert.include(error.message, "mapPartitionsWithFailures")
      // What the step itself handles is its own.
      const handled = Dataset.range(0, 8, { partitions: 2 }).pipe(
        Dataset.mapEffect((n) => (n === 2 ? Effect.fail("two") : Effect.succeed(n))),
        Dataset.mapPartitions(Stream.catch((error) => Stream.succeed(error))),
        Dataset.catch(() => Effect.succeed("never"))
      )
      assert.deepStrictEqual(yield* glom(handled), [
        [0, 1, "two"],
        [4, 5, 6, 7]
      ])
    })
  )

  test(
    "a defect is not caught",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.make(1).pipe(
        Dataset.mapEffect(() => Effect.die(new Error("bug"))),
        Dataset.catch(() => Effect.succeed(0))
      )
      const exit = yield* Effect.exit(Dataset.collect(dataset))
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("bug"))
    })
  )
})
