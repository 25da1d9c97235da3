import { Dataset, Engine, EngineConfig, Events, Executor, JobError, Partitioner, Shuffle, Storage } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Order, Schema } from "effect"
import * as fc from "fast-check"

const engineOf = (executors: ReadonlyArray<Executor.LocalExecutor>, shuffle: Layer.Layer<Shuffle.Shuffle>) =>
  Engine.layerWithShuffle.pipe(
    Layer.provide(Executor.layerLocal({ executors })),
    Layer.provide(shuffle),
    Layer.provideMerge(Layer.mergeAll(Storage.layerMemory, Events.layer))
  )
const engine = engineOf([{ slots: 2 }], Shuffle.layerMemory())

const numbers = Dataset.range(0, 100, { partitions: 3 })
const pairs = Dataset.map(numbers, (n) => [n % 5, n] as const)
const Row = Schema.Struct({ n: Schema.Number })
const rows = Dataset.map(numbers, (n) => ({ n }))
const at = (partitions: number) => ({ partitions })
const key = Partitioner.hash<number>

type AnyAction = Effect.Effect<unknown, unknown, Engine.Engine>
type Make = (count: number) => Dataset.Dataset<unknown, never> | AnyAction

/** Everything that takes a number of something, by the name that the error has. */
const steps: ReadonlyArray<readonly [operator: string, setting: string, make: Make]> = [
  ["range", "partitions", (n) => Dataset.range(0, 10, at(n))],
  ["fromIterable", "partitions", (n) => Dataset.fromIterable([1, 2], at(n))],
  ["mapEffect", "concurrency", (n) => Dataset.mapEffect(numbers, Effect.succeed, { concurrency: n })],
  ["coalesce", "partitions", (n) => Dataset.coalesce(numbers, n)],
  ["repartition", "partitions", (n) => Dataset.repartition(numbers, n)],
  ["partitionBy", "partitions", (n) => Dataset.partitionBy(pairs, key(n))],
  ["partitionBy", "partitions", (n) => Dataset.partitionBy(pairs, Partitioner.roundRobin(n))],
  [
    "partitionBy",
    "partitions",
    (n) =>
      Dataset.partitionBy(
        pairs,
        Partitioner.make<number>("mine", n, (k) => k)
      )
  ],
  [
    "partitionBy",
    "partitions",
    (n) => Dataset.partitionBy(pairs, Partitioner.range({ partitions: n, sample: [1, 2, 3], order: Order.Number }))
  ],
  [
    "repartitionAndSortWithinPartitions",
    "partitions",
    (n) => Dataset.repartitionAndSortWithinPartitions(pairs, key(n), Order.Number)
  ],
  ["reduceByKey", "partitions", (n) => Dataset.reduceByKey(pairs, (a, b) => a + b, at(n))],
  ["reduceByKey", "partitions", (n) => Dataset.reduceByKey(pairs, (a, b) => a + b, { partitioner: key(n) })],
  ["groupByKey", "partitions", (n) => Dataset.groupByKey(pairs, at(n))],
  ["distinct", "partitions", (n) => Dataset.distinct(numbers, at(n))],
  ["join", "partitions", (n) => Dataset.join(pairs, pairs, at(n))],
  ["leftJoin", "partitions", (n) => Dataset.leftJoin(pairs, pairs, at(n))],
  ["cogroup", "partitions", (n) => Dataset.cogroup(pairs, [pairs], at(n))],
  ["subtractByKey", "partitions", (n) => Dataset.subtractByKey(pairs, pairs, at(n))],
  ["intersection", "partitions", (n) => Dataset.intersection(numbers, numbers, at(n))],
  ["subtract", "partitions", (n) => Dataset.subtract(numbers, numbers, at(n))],
  ["sortBy", "partitions", (n) => Dataset.sortBy(numbers, (x) => x, Order.Number, at(n))],
  ["sort", "partitions", (n) => Dataset.sort(numbers, Order.Number, at(n))],
  ["sortByKey", "partitions", (n) => Dataset.sortByKey(pairs, Order.Number, at(n))],
  ["collect", "maxBytes", (n) => Dataset.collect(numbers, { maxBytes: n })],
  ["histogram", "buckets", (n) => Dataset.histogram(numbers, n)],
  [
    "treeAggregate",
    "groups",
    (n) =>
      Dataset.treeAggregate(
        numbers,
        () => 0,
        (a, b) => a + b,
        (a, b) => a + b,
        { groups: n }
      )
  ],
  ["reduceByKey", "partitions", (n) => Dataset.countByValue(numbers, at(n))],
  [
    "write csv",
    "partitionBufferBytes",
    (n) =>
      Dataset.writeCsv(
        Dataset.map(numbers, (n) => ({ n, m: n })),
        "memory:///o",
        Schema.Struct({ n: Schema.Number, m: Schema.Number }),
        { partitionBy: ["m"], partitionBufferBytes: n }
      )
  ],
  ["text", "maxLineBytes", (n) => Dataset.text("memory:///none", { maxLineBytes: n })],
  ["csv", "maxRecordBytes", (n) => Dataset.csv("memory:///none", Row, { maxRecordBytes: n })],
  ["jsonLines", "maxLineBytes", (n) => Dataset.jsonLines("memory:///none", Row, { maxLineBytes: n })],
  ["write parquet", "rowGroupRows", (n) => Dataset.writeParquet(rows, "memory:///o", Row, { rowGroupRows: n })]
]

// These take no number at all, too.
const takes: ReadonlyArray<readonly [operator: string, setting: string, make: Make]> = [
  ["take", "n", (n) => Dataset.take(numbers, n)],
  ["top", "n", (n) => Dataset.top(numbers, n, Order.Number)],
  ["takeOrdered", "n", (n) => Dataset.takeOrdered(numbers, n, Order.Number)],
  ["takeSample", "n", (n) => Dataset.takeSample(numbers, n, { seed: 1 })]
]

const run = (made: Dataset.Dataset<unknown, never> | AnyAction): AnyAction =>
  Dataset.isDataset(made) ? Dataset.count(made) : made

const refused = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, JobError.JobError)
    const { reason } = error as JobError.JobError
    assert.strictEqual(reason._tag, "InvalidPlan", String(error))
    return reason._tag === "InvalidPlan" ? reason : undefined
  })

const bad = [Number.NaN, 0, -1, 1.5, Infinity, -Infinity, 2 ** 53]

describe("an invalid count", () => {
  for (const [operator, setting, make] of [...steps, ...takes]) {
    it.effect(`is refused before anything is read: ${operator} ${setting}`, () =>
      Effect.gen(function* () {
        for (const value of bad) {
          if (value === 0 && setting === "n") continue
          const reason = yield* refused(run(make(value)))
          assert.include(reason?.operator, operator)
          assert.include(reason?.detail, `${setting} is ${value}; it has to be a whole number from`)
        }
      }).pipe(Effect.provide(engine))
    )
  }

  it.effect("is one where it is a whole number, none of elements too", () =>
    Effect.gen(function* () {
      const writing = new Set(["text", "csv", "jsonLines", "write csv", "write parquet", "collect"])
      for (const [operator, , make] of steps) if (!writing.has(operator)) yield* run(make(2))
      for (const [, , make] of takes) {
        assert.deepStrictEqual(yield* run(make(0)), [])
        assert.lengthOf((yield* run(make(2))) as ReadonlyArray<unknown>, 2)
      }
    }).pipe(Effect.provide(engine))
  )

  it.effect("is refused whatever comes after it, and by explain's plan, by name", () =>
    Effect.gen(function* () {
      const dataset = Dataset.union(
        numbers,
        Dataset.filter(Dataset.coalesce(numbers, Number.NaN), (n) => n > 1)
      )
      for (const action of [
        Dataset.collect(dataset),
        Dataset.count(Dataset.sort(dataset, Order.Number)),
        Dataset.first(dataset),
        Dataset.writeText(Dataset.map(dataset, String), "memory:///out")
      ]) {
        assert.strictEqual((yield* refused(action as AnyAction))?.operator, "coalesce")
      }
      assert.include(yield* Dataset.explain(dataset), "Invalid coalesce: partitions is NaN")
      const storage = yield* Storage.Storage
      assert.strictEqual((yield* Effect.flip(storage.stat("memory:///out"))).reason._tag, "NotFound")
    }).pipe(Effect.provide(engine))
  )

  it.effect("fractions, weights, steps and bounds are numbers, too", () =>
    Effect.gen(function* () {
      const seed = 1
      for (const fraction of [Number.NaN, -0.1, 1.1, Infinity]) {
        const reason = yield* refused(Dataset.count(Dataset.sample(numbers, { fraction, seed })))
        assert.strictEqual(reason?.detail, `fraction is ${fraction}; it has to be a finite number, from 0 to 1`)
      }
      assert.isAbove(yield* Dataset.count(Dataset.sample(numbers, { fraction: 2, seed, withReplacement: true })), 100)
      for (const weights of [
        [0, 0],
        [1, Number.NaN],
        [1, -1],
        [Infinity, 1]
      ]) {
        for (const part of Dataset.randomSplit(numbers, weights, seed)) yield* refused(Dataset.count(part))
      }
      for (const [start, end, step] of [
        [0, 1, 0],
        [0, Infinity, 1],
        [Number.NaN, 1, 1],
        [0, 1, Number.NaN],
        [0, 1e300, 1e-300]
      ] as const) {
        yield* refused(Dataset.count(Dataset.range(start, end, { step })))
      }
      for (const bounds of [[], [1], [2, 1], [1, Number.NaN]]) yield* refused(Dataset.histogram(numbers, bounds))
      for (const relativeError of [0, -1, Number.NaN, 2]) {
        yield* refused(Dataset.countApproxDistinct(numbers, { relativeError }))
      }
      const defect = yield* Effect.flip(Dataset.count(Dataset.sampleByKey(pairs, () => Number.NaN, { seed })))
      assert.include((defect as JobError.JobError).message, "the fraction of a key is NaN")
    }).pipe(Effect.provide(engine))
  )

  it.effect("in the settings of engine, executors and shuffle is refused by every action", () =>
    Effect.gen(function* () {
      const names = Object.entries(EngineConfig.defaults).flatMap(([name, value]) =>
        typeof value === "number" ? [name] : []
      )
      for (const name of names) {
        for (const value of [Number.NaN, -1, Infinity, ...(name === "skewFactor" ? [] : [1.5])]) {
          const reason = yield* refused(
            Effect.provide(Dataset.count(numbers), engine.pipe(Layer.provide(EngineConfig.layer({ [name]: value }))))
          )
          assert.strictEqual(reason?.operator, "EngineConfig")
          assert.include(reason?.detail, `${name} is ${value}`)
        }
      }
      for (const name of ["localityWait", "progressInterval"]) {
        for (const value of [Number.NaN, -1, Infinity, "soon", "-1 seconds", null]) {
          const reason = yield* refused(
            Effect.provide(Dataset.count(numbers), engine.pipe(Layer.provide(EngineConfig.layer({ [name]: value }))))
          )
          assert.include(reason?.detail, `${name} is ${JSON.stringify(value).replace("null", String(value))}`)
        }
      }
      assert.deepStrictEqual(
        EngineConfig.problem({ ...EngineConfig.defaults, progressInterval: 0 })?.split(";")[0],
        "progressInterval is 0"
      )
      assert.strictEqual(EngineConfig.problem({ ...EngineConfig.defaults, localityWait: "0 seconds" }), undefined)
      for (const slots of [Number.NaN, 0, -1, 1.5, Infinity]) {
        const wrong = engineOf([{ slots: 1 }, { slots }], Shuffle.layerMemory())
        assert.strictEqual(
          (yield* refused(Effect.provide(Dataset.count(numbers), wrong)))?.detail.split(";")[0],
          `slots is ${slots}`
        )
      }
      for (const memoryBytes of bad) {
        const wrong = engineOf([{ slots: 1 }], Shuffle.layerMemory({ memoryBytes }))
        assert.strictEqual((yield* refused(Effect.provide(Dataset.count(numbers), wrong)))?.operator, "Shuffle")
      }
    })
  )

  it.effect("in the environment is a ConfigError", () =>
    Effect.gen(function* () {
      for (const [name, value] of [
        ["SLUICE_SPLIT_BYTES", "0"],
        ["SLUICE_TASK_ATTEMPTS", "-1"],
        ["SLUICE_SKEW_FACTOR", "NaN"],
        ["SLUICE_LOCALITY_WAIT", "3"],
        ["SLUICE_PROGRESS_INTERVAL", "0 seconds"]
      ] as const) {
        const env = ConfigProvider.layer(ConfigProvider.fromEnv({ env: { [name]: value } }))
        const error = yield* Effect.flip(
          Effect.provide(EngineConfig.EngineConfig, EngineConfig.layerFromEnv.pipe(Layer.provide(env)))
        )
        assert.strictEqual(error._tag, "ConfigError")
      }
      const env = { SLUICE_LOCALITY_WAIT: "1500 millis", SLUICE_SPLIT_BYTES: "7" }
      const config = yield* Effect.provide(
        EngineConfig.EngineConfig,
        EngineConfig.layerFromEnv.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
      )
      assert.deepStrictEqual(config, { ...EngineConfig.defaults, localityWait: Duration.millis(1500), splitBytes: 7 })
    })
  )
})

describe("a word that is not one of the options", () => {
  // As a program in JavaScript would have it.
  const word = <A>(text: string): A => text as unknown as A

  const made: ReadonlyArray<readonly [setting: string, allowed: string, make: (text: string) => AnyAction]> = [
    [
      "mode",
      '"overwrite"',
      (text) => Dataset.writeText(Dataset.map(numbers, String), "memory:///o", { mode: word(text) })
    ],
    ["mode", '"overwrite"', (text) => Dataset.writeCsv(rows, "memory:///o", Row, { mode: word(text) })],
    ["mode", '"overwrite"', (text) => Dataset.writeJsonLines(rows, "memory:///o", Row, { mode: word(text) })],
    ["mode", '"overwrite"', (text) => Dataset.writeParquet(rows, "memory:///o", Row, { mode: word(text) })],
    ["mode", '"overwrite"', (text) => Dataset.checkpoint(rows, "memory:///o", { mode: word(text) })],
    [
      "compression",
      '"gzip"',
      (text) => Dataset.writeText(Dataset.map(numbers, String), "memory:///o", { compression: word(text) })
    ],
    ["compression", '"gzip"', (text) => Dataset.writeCsv(rows, "memory:///o", Row, { compression: word(text) })],
    ["compression", '"gzip"', (text) => Dataset.writeJsonLines(rows, "memory:///o", Row, { compression: word(text) })],
    ["compression", '"zstd"', (text) => Dataset.writeParquet(rows, "memory:///o", Row, { compression: word(text) })],
    [
      "onInvalidRow",
      '"deadLetter"',
      (text) => Dataset.count(Dataset.csv("memory:///none", Row, { onInvalidRow: word(text) }))
    ],
    [
      "onInvalidRow",
      '"deadLetter"',
      (text) => Dataset.count(Dataset.jsonLines("memory:///none", Row, { onInvalidRow: word(text) }))
    ],
    [
      "onInvalidRow",
      '"deadLetter"',
      (text) => Dataset.count(Dataset.parquet("memory:///none", Row, { onInvalidRow: word(text) }))
    ],
    ["encoding", '"replace"', (text) => Dataset.count(Dataset.text("memory:///none", { encoding: word(text) }))],
    ["storage", '"memory-then-disk"', (text) => Dataset.count(Dataset.cache(numbers, { storage: word(text) }))]
  ]

  for (const [setting, allowed, make] of made) {
    it.effect(`names those there are: ${setting}, ${allowed}`, () =>
      Effect.gen(function* () {
        for (const text of ["Overwrite", "", "__proto__"]) {
          const reason = yield* refused(make(text))
          assert.include(reason?.detail, `${setting} is ${JSON.stringify(text)}; it has to be one of `)
          assert.include(reason?.detail, allowed)
        }
      }).pipe(Effect.provide(engine))
    )
  }

  it.effect("or no syntax of CSV", () =>
    Effect.gen(function* () {
      const wrong = [
        { delimiter: "" },
        { delimiter: ",," },
        { delimiter: "\n" },
        { delimiter: '"' },
        { delimiter: "\ud800" },
        { quote: "" },
        { quote: "''" },
        { quote: "\r" },
        { quote: "“" },
        { quote: "," }
      ]
      for (const syntax of wrong) {
        yield* refused(Dataset.count(Dataset.csv("memory:///none", Row, syntax)))
        yield* refused(Dataset.writeCsv(rows, "memory:///o", Row, syntax))
      }
    }).pipe(Effect.provide(engine))
  )

  it("is a type error at its place", () => {
    const lines = Dataset.map(numbers, String)
    const calls = () => [
      Dataset.writeText(lines, "out", {
        // @ts-expect-error: it is "overwrite"
        mode: "Overwrite"
      }),
      lines.pipe(
        Dataset.writeText("out", {
          // @ts-expect-error: it is "overwrite"
          mode: "Overwrite"
        })
      ),
      rows.pipe(
        Dataset.writeCsv("out", Row, {
          // @ts-expect-error: it is "overwrite"
          mode: "Overwrite"
        })
      ),
      Dataset.writeParquet(rows, "out", Row, {
        // @ts-expect-error: it is "overwrite"
        mode: "Overwrite"
      }),
      rows.pipe(
        Dataset.writeParquet("out", Row, {
          // @ts-expect-error: it is "overwrite"
          mode: "Overwrite"
        })
      ),
      rows.pipe(
        Dataset.writeJsonLines("out", Row, {
          // @ts-expect-error: it is "gzip"
          compression: "zip"
        })
      )
    ]
    assert.isFunction(calls)
  })
})

it.effect("counts of any number are refused, or are whole and from 1 on", () =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(fc.oneof(fc.double(), fc.integer({ min: -3, max: 12 })), (n) =>
        Effect.runPromise(
          Effect.provide(Effect.result(Dataset.count(Dataset.repartition(Dataset.range(0, 10), n))), engine)
        ).then((found) => {
          const right = Number.isInteger(n) && n > 0 && n < 2 ** 31
          if (right && n > 100) return
          assert.deepStrictEqual(found._tag === "Success" ? found.success : 0, right ? 10 : 0)
        })
      ),
      { numRuns: 50 }
    )
  )
)
