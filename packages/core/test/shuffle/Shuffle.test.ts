import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, type Layer, Order, Stream } from "effect"
import * as fc from "fast-check"
import * as Partitioner from "../../src/shuffle/Partitioner.ts"
import * as Shuffle from "../../src/shuffle/Shuffle.ts"
import { withFiles } from "../support/files.ts"
import { exchange, list, pair, type Pair, sizeOf, slices, writeAll } from "../support/shuffles.ts"

// All rows fit, or hardly any.
const budgets = [1, 300, 5000, 10_000_000]

const layers: ReadonlyArray<
  readonly [string, (memoryBytes: number) => Layer.Layer<Shuffle.Shuffle, Shuffle.ShuffleError>]
> = [
  ["memory", (memoryBytes) => Shuffle.layerMemory({ memoryBytes })],
  ["disk", (memoryBytes) => Shuffle.layerDisk({ memoryBytes })],
  ["disk, compressed", (memoryBytes) => Shuffle.layerDisk({ memoryBytes, compression: "zstd" })]
]

const keys = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -5, max: 5 }) },
  fc.string({ maxLength: 3 }),
  fc.constantFrom<unknown>(null, undefined, NaN, 0, -0, 1n, true, "1", 1),
  fc.record({ a: fc.integer({ min: 0, max: 2 }), b: fc.constantFrom("x", "y") }),
  fc.tuple(fc.integer({ min: 0, max: 2 }), fc.date({ min: new Date(0), max: new Date(2), noInvalidDate: true }))
)
const inputs = fc.array(fc.array(fc.tuple(keys, fc.oneof(fc.integer(), fc.string({ maxLength: 40 })))), {
  maxLength: 4
})

// The model: keys in the order in which they come, compared by `Equal`.
const modelOf = (rows: Iterable<Pair>) => {
  const groups: Array<{ readonly key: unknown; readonly values: Array<unknown> }> = []
  for (const [key, value] of rows) {
    const found = groups.find((one) => Equal.equals(one.key, key))
    if (found === undefined) groups.push({ key, values: [value] })
    else found.values.push(value)
  }
  return groups
}

const sameGroups = (actual: Iterable<readonly [unknown, unknown]>, expected: ReturnType<typeof modelOf>) => {
  let count = 0
  for (const [key, values] of actual) {
    count++
    assert.deepStrictEqual(expected.find((one) => Equal.equals(one.key, key))?.values, values as Array<unknown>)
  }
  assert.strictEqual(count, expected.length)
}

const run = <A, E>(
  effect: Effect.Effect<A, E, Shuffle.Shuffle>,
  layer: Layer.Layer<Shuffle.Shuffle, Shuffle.ShuffleError>
) => Effect.runPromise(Effect.provide(effect, layer))

const property = (
  check: (maps: ReadonlyArray<ReadonlyArray<Pair>>, partitions: number) => Effect.Effect<void, unknown, Shuffle.Shuffle>
) =>
  layers
    .flatMap(([name, layer]) => budgets.map((budget) => [`${name}, ${budget} bytes`, layer(budget)] as const))
    .map(
      ([name, layer]) =>
        [
          name,
          () =>
            fc.assert(
              fc.asyncProperty(inputs, fc.integer({ min: 1, max: 5 }), (maps, partitions) =>
                run(check(maps, partitions), layer)
              ),
              { numRuns: 25 }
            )
        ] as const
    )

describe("Shuffle", () => {
  describe("gives every row to the partition of its key, in order", () => {
    for (const [name, test] of property(
      Effect.fnUntraced(function* (maps, partitions) {
        const partitioner = Partitioner.hash(partitions)
        const over = exchange(partitioner)
        const statuses = yield* writeAll(over, maps)
        for (const [partition, slice] of slices(statuses, partitions).entries()) {
          const rows = yield* Stream.runCollect(Shuffle.read(over, slice, pair))
          const expected = maps.flat().filter(([key]) => partitioner.partition(key) === partition)
          assert.deepStrictEqual(
            rows.map(([, value]) => value),
            expected.map(([, value]) => value)
          )
          rows.forEach(([key], index) => assert.isTrue(Equal.equals(key, expected[index]?.[0])))
          const written = statuses.flatMap((status) =>
            status.partitions.map((p, i) => (p === partition ? (status.rows[i] ?? 0) : 0))
          )
          assert.strictEqual(
            written.reduce((a, b) => a + b, 0),
            rows.length
          )
        }
      })
    ))
      it(name, test)
  })

  // Rows of a few partitions are written every 128 blocks, however much memory there is.
  for (const compression of ["none", "zstd"] as const) {
    it.live(`gives the same rows and checksums when a map task writes them bit by bit, ${compression}`, () =>
      Effect.gen(function* () {
        const partitions = 3
        const over = exchange(Partitioner.hash(partitions))
        const maps = [0, 1].map((map) =>
          Array.from({ length: 12_000 }, (_, i): Pair => [
            (i * 7919) % 500,
            `value ${i} of ${map} ${"x".repeat(i % 40)}`
          ])
        )
        const written = (blockBytes: number) =>
          Effect.gen(function* () {
            const statuses = yield* writeAll(over, maps)
            const rows = yield* Effect.forEach(slices(statuses, partitions), (slice) =>
              Stream.runCollect(Shuffle.read(over, slice, pair))
            )
            const checksums = statuses.map((status) =>
              Array.from({ length: partitions }, (_, partition) => {
                const own = status.checksums.filter((_, index) => status.partitions[index] === partition)
                return own.reduce(([xor, sum], [x, s]) => [(xor ^ x) >>> 0, (sum + s) >>> 0] as const, [0, 0] as const)
              })
            )
            return { rows, checksums, segments: statuses.map((status) => status.partitions.length) }
          }).pipe(Effect.provide(Shuffle.layerDisk({ blockBytes, compression })))
        const whole = yield* written(128 * 1024)
        const parts = yield* written(512)
        assert.deepStrictEqual(whole.segments, [partitions, partitions])
        assert.isTrue(parts.segments.every((segments) => segments > 3 * partitions && segments % partitions === 0))
        assert.deepStrictEqual([parts.rows, parts.checksums], [whole.rows, whole.checksums])
        assert.deepStrictEqual(parts.rows.flat().length, maps.flat().length)
      })
    )
  }

  describe("groups rows by key", () => {
    for (const [name, test] of property(
      Effect.fnUntraced(function* (maps, partitions) {
        const over = exchange(Partitioner.hash(partitions))
        const statuses = yield* writeAll(over, maps)
        const groups: Array<readonly [unknown, unknown]> = []
        for (const slice of slices(statuses, partitions)) {
          yield* Stream.runForEach(Shuffle.group(over, slice), ([key, values]) =>
            Effect.map(Stream.runCollect(values), (all) => groups.push([key, all]))
          )
        }
        sameGroups(groups, modelOf(maps.flat()))
      })
    ))
      it(name, test)
  })

  describe("groups several inputs by key", () => {
    for (const [name, test] of property(
      Effect.fnUntraced(function* (maps) {
        const left = exchange(Partitioner.hash(1), "job-left")
        const right = exchange(Partitioner.hash(1), "job-right")
        const half = Math.ceil(maps.length / 2)
        const input = (over: typeof left, rows: typeof maps) =>
          Effect.map(writeAll(over, rows), (statuses) => ({ wire: over, slice: { statuses, from: 0, to: 1 } }))
        const groups: Array<readonly [unknown, unknown]> = []
        yield* Stream.runForEach(
          Shuffle.cogroup([yield* input(left, maps.slice(0, half)), yield* input(right, maps.slice(half))]),
          ({ key, values: [a, b] }) =>
            Effect.gen(function* () {
              groups.push([key, [...(yield* Stream.runCollect(a)), "|", ...(yield* Stream.runCollect(b))]])
            })
        )
        const [a, b] = [modelOf(maps.slice(0, half).flat()), modelOf(maps.slice(half).flat())]
        const of = (groups: typeof a, key: unknown) => groups.find((one) => Equal.equals(one.key, key))?.values ?? []
        sameGroups(
          groups,
          modelOf(maps.flat()).map(({ key }) => ({ key, values: [...of(a, key), "|", ...of(b, key)] }))
        )
      })
    ))
      it(name, test)
  })

  describe("aggregates by key, combined before the shuffle or not", () => {
    for (const [name, test] of property(
      Effect.fnUntraced(function* (maps, partitions) {
        for (const combined of [false, true]) {
          const over = exchange(Partitioner.hash(partitions), `job-${combined}`)
          const statuses = combined
            ? yield* Effect.forEach(maps, (rows, map) =>
                Shuffle.writeCombined(over, list, { map, attempt: 0 }, Stream.rechunk(Stream.fromArray(rows), 7))
              )
            : yield* writeAll(over, maps)
          const groups: Array<readonly [unknown, unknown]> = []
          for (const slice of slices(statuses, partitions)) {
            groups.push(
              ...(yield* Stream.runCollect(
                Shuffle.aggregate(over, list, slice, { combined, make: (k, c) => [k, c] as const })
              ))
            )
          }
          sameGroups(groups, modelOf(maps.flat()))
        }
      })
    ))
      it(name, test)
  })

  describe("sorts by an order, stable", () => {
    const texts = fc.string({
      unit: fc.constantFrom("a", "b", "\0", "é", "\ud7ff", "\ud800", "\udfff", "\ue000", "\uffff", "🙂"),
      maxLength: 12
    })
    const numbers = fc.oneof(fc.double(), fc.integer({ min: -3, max: 3 }), fc.constantFrom(NaN, 0, -0))
    const cases: ReadonlyArray<readonly [string, fc.Arbitrary<unknown>, Order.Order<unknown>]> = [
      ["strings", texts, Order.String as Order.Order<string> as Order.Order<unknown>],
      ["numbers", numbers, Order.Number as Order.Order<unknown>],
      ["strings downwards", texts, Order.flip(Order.String) as Order.Order<unknown>],
      [
        "several fields",
        fc.tuple(fc.integer({ min: 0, max: 3 }), texts),
        Order.Tuple([Order.flip(Order.Number), Order.String]) as Order.Order<unknown>
      ]
    ]
    for (const [what, arbitrary, order] of cases) {
      for (const budget of budgets) {
        it(`${what}, ${budget} bytes`, () =>
          fc.assert(
            fc.asyncProperty(
              fc.array(fc.array(arbitrary), { maxLength: 4 }),
              fc.integer({ min: 1, max: 4 }),
              (maps, partitions) => {
                let n = 0
                const numbered = maps.map((rows) => rows.map((key): Pair => [key, n++]))
                const range = Partitioner.range({
                  partitions,
                  sample: maps.flat().filter((_, i) => i % 3 === 0),
                  order
                })
                const over = exchange(range)
                return run(
                  Effect.gen(function* () {
                    const statuses = yield* writeAll(over, numbered)
                    const sorted: Array<Pair> = []
                    for (const slice of slices(statuses, range.partitions)) {
                      sorted.push(...(yield* Stream.runCollect(Shuffle.sort(over, order, slice, pair))))
                    }
                    const expected = numbered.flat().toSorted((a, b) => order(a[0], b[0]))
                    assert.deepStrictEqual(
                      sorted.map(([, value]) => value),
                      expected.map(([, value]) => value)
                    )
                  }),
                  Shuffle.layerDisk({ memoryBytes: budget })
                )
              }
            ),
            { numRuns: 40 }
          ))
      }
    }

    it("in several rounds when there are more runs than are merged at once", () => {
      const rows = Array.from({ length: 10_000 }, (_, i): Pair => [`key ${(i * 7919) % 1000}`, i])
      const over = exchange(Partitioner.roundRobin(1))
      const order = Order.String as Order.Order<string> as Order.Order<unknown>
      return run(
        Effect.gen(function* () {
          const [slice] = slices(yield* writeAll(over, [rows]), 1)
          let written = 0
          const counted = withFiles(yield* Shuffle.Shuffle, (file) => ({
            append: (parts) => {
              written += sizeOf(parts)
              return file.append(parts)
            }
          }))
          const sorted = yield* Stream.runCollect(Shuffle.sort(over, order, slice!, pair)).pipe(
            Effect.provideService(Shuffle.Shuffle, counted)
          )
          assert.deepStrictEqual(
            [...sorted],
            [...rows].toSorted((a, b) => order(a[0], b[0]))
          )
          // Every row lies in a first run, and most of them in one more.
          const read = slice!.statuses.flatMap(({ lengths }) => lengths).reduce((sum, length) => sum + length, 0)
          assert.isBelow(written, 2.2 * read)
        }),
        Shuffle.layerDisk({ memoryBytes: 2000 })
      )
    })

    it("ends with all the rows when an order contradicts itself", () => {
      const rows = Array.from({ length: 500 }, (_, i): Pair => [i, i])
      const over = exchange(Partitioner.roundRobin(1))
      let calls = 0
      const order = Order.make<unknown>(() => ((++calls % 3) - 1) as -1 | 0 | 1)
      return run(
        Effect.gen(function* () {
          const [slice] = slices(yield* writeAll(over, [rows]), 1)
          const sorted = yield* Stream.runCollect(Shuffle.sort(over, order, slice!, (key) => Number(key)))
          assert.deepStrictEqual(
            [...sorted].toSorted((a, b) => a - b),
            rows.map(([key]) => Number(key))
          )
        }),
        Shuffle.layerDisk({ memoryBytes: 4000 })
      )
    })
  })

  it.live(
    "reads small groups that were spilled when it likes, in any order and again, and each has its own values",
    () =>
      Effect.gen(function* () {
        // Groups of one byte to a few kilobytes, in two inputs, one of which lacks every third key.
        const rowsOf = (input: number) =>
          Array.from({ length: 3000 }, (_, i): Pair => [
            i % 250,
            `${input} ${i} ${"v".repeat(((i % 250) * 7) % 300)}`
          ]).filter(([key]) => input === 0 || Number(key) % 3 > 0)
        const inputs = yield* Effect.forEach([0, 1], (input) =>
          Effect.gen(function* () {
            const over = exchange(Partitioner.hash(1), `job-${input}`)
            const statuses = yield* writeAll(over, [rowsOf(input)])
            return { rows: rowsOf(input), input: { wire: over, slice: { statuses, from: 0, to: 1 } } }
          })
        )
        const groups = yield* Stream.runCollect(Shuffle.cogroup(inputs.map(({ input }) => input)))
        assert.lengthOf(groups, 250)
        assert.isFalse(groups.some(({ large }) => large))
        for (const order of [groups.toReversed(), groups]) {
          for (const { key, values } of order) {
            const read = yield* Effect.forEach(values, Stream.runCollect)
            assert.deepStrictEqual(
              read,
              inputs.map(({ rows }) => rows.filter(([other]) => other === key).map(([, value]) => value))
            )
          }
        }
      }).pipe(Effect.provide(Shuffle.layerDisk({ memoryBytes: 128 * 1024 })))
  )

  it.live("reads a group larger than memory once, skips those not read, and refuses one that has passed", () =>
    Effect.gen(function* () {
      const over = exchange(Partitioner.hash(1))
      const rows = Array.from({ length: 20_000 }, (_, i): Pair => [i % 10 < 6 ? "heavy" : `light ${i % 7}`, i])
      const [slice] = slices(yield* writeAll(over, [rows]), 1)
      const sums = new Map<unknown, number>()
      const heavy: Array<Stream.Stream<unknown, Shuffle.ShuffleError>> = []
      yield* Stream.runForEach(Shuffle.group(over, slice!), ([key, values]) =>
        Effect.map(
          Stream.runFold(
            values,
            () => 0,
            (sum, value) => sum + Number(value)
          ),
          (sum) => {
            sums.set(key, sum)
            if (key === "heavy") heavy.push(values)
          }
        )
      )
      assert.strictEqual(
        sums.get("heavy"),
        rows.reduce((sum, [key, value]) => (key === "heavy" ? sum + Number(value) : sum), 0)
      )
      assert.strictEqual(sums.size, 8)
      const passed = yield* Effect.flip(Stream.runDrain(heavy[0]!))
      assert.strictEqual(passed.reason._tag, "GroupPassed")

      assert.strictEqual(yield* Stream.runCount(Shuffle.group(over, slice!)), 8)
      const some = yield* Stream.runCollect(
        Stream.mapEffect(Shuffle.group(over, slice!), ([, values]) => Stream.runCount(Stream.take(values, 3)), {
          concurrency: 4
        })
      )
      assert.deepStrictEqual([...some], [3, 3, 3, 3, 3, 3, 3, 3])
    }).pipe(Effect.provide(Shuffle.layerDisk({ memoryBytes: 20_000 })))
  )

  it.live("holds no more than its budget, whatever the skew", () =>
    Effect.gen(function* () {
      const { memory } = yield* Shuffle.Shuffle
      const claims: Array<number> = []
      const watched = Shuffle.Shuffle.of({
        ...(yield* Shuffle.Shuffle),
        memory: {
          ...memory,
          claim: () => {
            const claim = memory.claim()
            return {
              ...claim,
              resize: (bytes) => {
                const granted = claim.resize(bytes)
                if (granted) claims.push(bytes)
                return granted
              }
            }
          }
        }
      })
      const over = exchange(Partitioner.hash(3))
      const rows = Array.from({ length: 50_000 }, (_, i): Pair => ["one key", `value ${i}`])
      const count = yield* Effect.gen(function* () {
        const statuses = yield* writeAll(over, [rows])
        assert.isAbove(statuses[0]?.partitions.length ?? 0, 1)
        const streams = slices(statuses, 3).map((slice) => Shuffle.group(over, slice))
        return yield* Effect.forEach(streams, (groups) =>
          Stream.runCount(Stream.flatMap(groups, ([, values]) => values))
        )
      }).pipe(Effect.provideService(Shuffle.Shuffle, watched))
      assert.deepStrictEqual(
        [...count].toSorted((a, b) => a - b),
        [0, 0, 50_000]
      )
      assert.isAtMost(Math.max(...claims), memory.total)
    }).pipe(Effect.provide(Shuffle.layerDisk({ memoryBytes: 200_000 })))
  )

  it.live("takes 100,000 partitions over 10 rows", () =>
    Effect.gen(function* () {
      const partitioner = Partitioner.hash(100_000)
      const over = exchange(partitioner)
      const rows = Array.from({ length: 10 }, (_, i): Pair => [`key ${i}`, i])
      const statuses = yield* writeAll(over, [rows.slice(0, 5), rows.slice(5)])
      assert.isAtMost(
        statuses.reduce((sum, { partitions }) => sum + partitions.length, 0),
        10
      )
      const all = yield* Stream.runCollect(
        Shuffle.read(over, { statuses, from: 0, to: 100_000 }, (_, value) => Number(value))
      )
      assert.deepStrictEqual(
        [...all].toSorted((a, b) => a - b),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
      )
    }).pipe(Effect.provide(Shuffle.layerDisk()))
  )

  it.live("deals rows out in turn", () =>
    Effect.gen(function* () {
      const over = exchange(Partitioner.roundRobin(4))
      const [status] = yield* writeAll(over, [Array.from({ length: 103 }, (_, i): Pair => [undefined, i])])
      assert.deepStrictEqual([...status!.rows].toSorted(), [25, 26, 26, 26])
    }).pipe(Effect.provide(Shuffle.layerMemory()))
  )

  it.live("keeps functions of the program that throw what they are: defects", () =>
    Effect.gen(function* () {
      const over = {
        ...exchange(Partitioner.hash(2)),
        keyOf: (): unknown => {
          throw new Error("boom")
        }
      }
      const exit = yield* Effect.exit(writeAll(over, [[[1, 1]]]))
      assert.isTrue(exit._tag === "Failure" && exit.cause.reasons.some((reason) => reason._tag === "Die"))
    }).pipe(Effect.provide(Shuffle.layerMemory()))
  )

  it.live("names the operator and the field of a row that cannot be encoded", () =>
    Effect.gen(function* () {
      const over = exchange(Partitioner.hash(2))
      const error = yield* Effect.flip(writeAll(over, [[[1, { user: { onClick: () => 1 } }]]]))
      assert.strictEqual(error.message, "groupByKey: row[1].user.onClick: a function cannot be encoded")
    }).pipe(Effect.provide(Shuffle.layerMemory()))
  )
})
