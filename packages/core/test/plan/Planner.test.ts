import {
  Dataset,
  Engine,
  EngineConfig,
  Events,
  Executor,
  type Format,
  FormatError,
  type JobError,
  Storage
} from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"

const test = <E>(name: string, body: () => Effect.Effect<unknown, E, Engine.Engine | Storage.Storage>) =>
  it.effect(name, () => Effect.provide(body(), Engine.layer))

const stages = (text: string) => text.slice(text.indexOf("== Stages ==") + "== Stages ==\n".length)

describe("explain", () => {
  test(
    "prints the plan as written, optimised and as stages, and reads no row",
    Effect.fnUntraced(function* () {
      let read = 0
      const text = yield* Dataset.range(0, 1000, { partitions: 4 }).pipe(
        Dataset.map((n) => {
          read++
          return n
        }),
        Dataset.filter((n) => n > 1),
        Dataset.mapEffect((n) => Effect.succeed(n), { concurrency: 8 }),
        Dataset.sample({ fraction: 0.5, seed: 1 }),
        Dataset.catch(() => Effect.succeed(1)),
        Dataset.coalesce(2),
        Dataset.explain
      )
      assert.strictEqual(
        text,
        [
          "== Logical plan ==",
          "Coalesce to 2",
          "  Catch",
          "    Sample 0.5 seed 1",
          "      MapEffect concurrency 8",
          "        Filter",
          "          Map",
          "            Read range 0..1000 by 1 in 4",
          "",
          "== Optimised plan ==",
          "Coalesce to 2",
          "  Catch",
          "    Sample 0.5 seed 1",
          "      MapEffect concurrency 8",
          "        Filter",
          "          Map",
          "            Read range 0..1000 by 1 in 4",
          "",
          "== Stages ==",
          "Stage 0 (result of explain): 2 partitions",
          "  Coalesce to 2",
          "  Catch",
          "  Sample 0.5 seed 1",
          "  MapEffect concurrency 8",
          "  Fused(Map, Filter)",
          "  Read range 0..1000 by 1 in 4"
        ].join("\n")
      )
      assert.strictEqual(read, 0)
    })
  )

  test(
    "keeps row counts through steps that keep the rows, and counts only where it must",
    Effect.fnUntraced(function* () {
      const dataset = Dataset.range(0, 1000, { partitions: 4 })
      const known = stages(
        yield* Dataset.explain(
          dataset.pipe(
            Dataset.map((n) => n),
            Dataset.zipWithIndex
          )
        )
      )
      assert.include(known, "Stage 0 (result of explain): 4 partitions, 1,000 rows")
      assert.notInclude(known, "Stage 1")
      const counted = stages(
        yield* Dataset.explain(
          dataset.pipe(
            Dataset.filter((n) => n > 1),
            Dataset.zipWithIndex
          )
        )
      )
      assert.include(counted, "Stage 0 (counts rows for ZipWithIndex): 4 partitions")
      assert.include(counted, "Stage 1 (result of explain): 4 partitions, after stage 0")
    })
  )

  test(
    "shows the hosts, rows and bytes of the splits",
    Effect.fnUntraced(function* () {
      const text = stages(yield* Dataset.explain(Dataset.fromSource(hosted(["b", "a"]))))
      assert.include(text, "2 partitions, 2 rows, 200 bytes")
      assert.include(text, "hosts: a, b")
    })
  )
})

describe("column pruning", () => {
  test(
    "a select directly above Parquet reads only its columns",
    Effect.fnUntraced(function* () {
      const Row = Schema.Struct({ a: Schema.Number, b: Schema.String })
      yield* Dataset.writeParquet(Dataset.make({ a: 1, b: "x" }), "memory:///in", Row)
      const dataset = Dataset.parquet("memory:///in", Row).pipe(
        Dataset.sample({ fraction: 1, seed: 1 }),
        Dataset.select("a")
      )
      const text = yield* Dataset.explain(dataset)
      assert.notInclude(stages(text), "Select")
      assert.deepStrictEqual(yield* Dataset.collect(dataset), [{ a: 1 }])
      const above = dataset.pipe(
        Dataset.select("a"),
        Dataset.map((row) => row.a)
      )
      assert.deepStrictEqual(yield* Dataset.collect(above), [1])
    })
  )
})

/** Two splits of one row on two hosts. */
const hosted = (hosts: ReadonlyArray<string>): Format.Source<string> => ({
  name: "hosted",
  detail: "",
  partitions: undefined,
  columns: undefined,
  resolve: () =>
    Effect.succeed({
      splits: hosts.map((host, index) => ({
        id: `${index}`,
        label: `split ${index}`,
        parts: [],
        bytes: 100,
        rows: 1,
        hosts: [host],
        read: Stream.make(host)
      }))
    })
})

describe("locality", () => {
  it.effect("tasks run on the executor of the host that has their split", () =>
    Effect.gen(function* () {
      const places = yield* Dataset.fromSource(hosted(["b", "a", "b", "a"])).pipe(
        Dataset.mapPartitions((rows, task) => Stream.map(rows, (host) => [host, task.executor.host] as const)),
        Dataset.collect
      )
      for (const [host, ran] of places) assert.strictEqual(ran, host)
      assert.strictEqual(places.length, 4)
    }).pipe(
      Effect.provide(
        Engine.layerNoDeps.pipe(
          Layer.provide(
            Executor.layerLocal({
              executors: [
                { id: "x", host: "a", slots: 1 },
                { id: "y", host: "b", slots: 1 }
              ]
            })
          ),
          Layer.provide([Storage.layer, Events.layer]),
          Layer.provide(EngineConfig.layer({ localityWait: "1 second" }))
        )
      )
    )
  )
})

describe("metadata that cannot be read", () => {
  test(
    "fails explain and every action the same way, before any task",
    Effect.fnUntraced(function* () {
      const source: Format.Source<number> = {
        name: "broken",
        detail: "",
        partitions: undefined,
        columns: undefined,
        resolve: () =>
          Effect.fail(
            new FormatError.FormatError({
              format: "broken",
              path: "p",
              reason: new FormatError.NoInput({ detail: "nothing there" })
            })
          )
      }
      for (const effect of [Dataset.explain(Dataset.fromSource(source)), Dataset.count(Dataset.fromSource(source))]) {
        const error = yield* Effect.flip<string | number, JobError.JobError, Engine.Engine>(effect)
        assert.strictEqual(error.reason._tag, "InputFailed")
        assert.deepStrictEqual(error.at, {})
        assert.include(error.message, "nothing there")
      }
    })
  )
})
