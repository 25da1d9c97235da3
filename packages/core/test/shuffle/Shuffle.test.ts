import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Fiber, type Layer, Order, Stream } from "effect"
import * as fc from "fast-check"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Codec from "../../src/codec/Codec.ts"
import { self } from "../../src/storage/internal/identity.ts"
import * as Partitioner from "../../src/shuffle/Partitioner.ts"
import * as Shuffle from "../../src/shuffle/Shuffle.ts"
import { withFiles } from "../support/files.ts"

type Pair = readonly [key: unknown, value: unknown]

const exchange = (
  partitioner: Partitioner.Partitioner<unknown>,
  id = "job-1"
): Shuffle.Exchange<Pair, unknown, unknown> => ({
  id,
  operator: "groupByKey",
  partitioner,
  key: Codec.plain,
  value: Codec.plain,
  keyOf: (row) => row[0],
  valueOf: (row) => row[1]
})

const pair = (key: unknown, value: unknown): Pair => [key, value]

// Writes every array as a map task, in chunks of a few rows.
const writeAll = (over: Shuffle.Exchange<Pair, unknown, unknown>, maps: ReadonlyArray<ReadonlyArray<Pair>>) =>
  Effect.forEach(maps, (rows, map) =>
    Shuffle.write(over, { map, attempt: 0 }, Stream.rechunk(Stream.fromArray(rows), 7))
  )

const slices = (statuses: ReadonlyArray<Shuffle.MapStatus>, partitions: number): ReadonlyArray<Shuffle.Slice> =>
  Array.from({ length: partitions }, (_, from) => ({ statuses, from, to: from + 1 }))

const scratch = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "shuffle-test-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

const filesIn = (directory: string): ReadonlyArray<string> =>
  fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "owner.json")
    .map((entry) => entry.name)

const sizeOf = (parts: ReadonlyArray<Uint8Array>): number => parts.reduce((sum, part) => sum + part.length, 0)

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

// The model: keys in the order they are met, compared by `Equal`.
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

const list: Shuffle.Aggregator<unknown, Array<unknown>> = {
  create: (value) => [value],
  mergeValue: (values, value) => {
    values.push(value)
    return values
  },
  mergeCombiners: (a, b) => [...a, ...b],
  codec: Codec.plain as unknown as Codec.Codec<Array<unknown>>
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

  it.live("leaves no file after success, failure or interruption", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const over = exchange(Partitioner.hash(4))
      const rows = Array.from({ length: 2000 }, (_, i): Pair => [i, "x".repeat(20)])
      yield* Effect.gen(function* () {
        const shuffle = yield* Shuffle.Shuffle
        const failed = Stream.concat(Stream.fromArray(rows), Stream.fail("no more"))
        assert.strictEqual(yield* Effect.flip(Shuffle.write(over, { map: 0, attempt: 0 }, failed)), "no more")
        assert.deepStrictEqual(filesIn(directory), [])
        const endless = Stream.concat(Stream.fromArray(rows), Stream.never)
        const fiber = yield* Effect.forkChild(Shuffle.write(over, { map: 0, attempt: 1 }, endless))
        while (filesIn(directory).length === 0) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(filesIn(directory), [])
        const statuses = yield* writeAll(over, [rows, rows])
        assert.strictEqual(filesIn(directory).length, 2)
        yield* Stream.runDrain(Stream.take(Shuffle.group(over, { statuses, from: 0, to: 4 }), 1))
        assert.strictEqual(filesIn(directory).length, 2)
        yield* shuffle.remove(over.id)
        assert.deepStrictEqual(filesIn(directory), [])
        yield* writeAll(over, [rows])
        assert.strictEqual(filesIn(directory).length, 1)
      }).pipe(Effect.provide(Shuffle.layerDisk({ directory, memoryBytes: 4000 })))
      assert.deepStrictEqual(fs.readdirSync(directory), [])
    })
  )

  it.live(
    "fails with the map task that was lost when a file is flipped, cut off or gone, and never gives a wrong row",
    () =>
      Effect.gen(function* () {
        const over = exchange(Partitioner.hash(1))
        const rows = Array.from({ length: 200 }, (_, i): Pair => [i, `value ${i}`])
        const statuses = yield* writeAll(over, [rows.slice(0, 100), rows.slice(100)])
        const slice = { statuses, from: 0, to: 1 }
        const file = statuses[1]!.file
        const good = fs.readFileSync(file)
        const attempt = Effect.result(
          Stream.runCollect(Shuffle.sort(over, Order.Number as Order.Order<unknown>, slice, pair))
        )
        const fails = (tag: string) =>
          Effect.map(attempt, (result) => {
            assert.isTrue(result._tag === "Failure")
            if (result._tag !== "Failure") return
            assert.strictEqual(result.failure.reason._tag, tag)
            assert.deepStrictEqual(result.failure.lost, { shuffle: "job-1", map: 1, attempt: 0 })
          })
        for (let i = 0; i < good.length; i += 13) {
          const bad = Buffer.from(good)
          bad[i] = bad[i]! ^ (1 << (i % 8))
          fs.writeFileSync(file, bad)
          yield* fails("Corrupt")
        }
        for (let length = 0; length < good.length; length += 37) {
          fs.writeFileSync(file, good.subarray(0, length))
          yield* fails("Corrupt")
        }
        fs.rmSync(file)
        yield* fails("Missing")
        fs.writeFileSync(file, good)
        assert.strictEqual((yield* attempt)._tag, "Success")
      }).pipe(Effect.provide(Shuffle.layerDisk({ compression: "zstd" })))
  )

  it.live("fails when a spilled run is flipped or cut off, and never gives a wrong row", () =>
    Effect.gen(function* () {
      const over = exchange(Partitioner.hash(1))
      const rows = Array.from({ length: 500 }, (_, i): Pair => [i, `value ${i}`])
      const statuses = yield* writeAll(over, [rows])
      const slice = { statuses, from: 0, to: 1 }
      let harm = (_bytes: Buffer): void => {}
      let cut = Infinity
      let reads = 0
      const harmed = withFiles(yield* Shuffle.Shuffle, (file) => ({
        read: (offset, length) =>
          Effect.suspend(() => {
            if (reads++ !== 3) return file.read(offset, length)
            if (cut < Infinity) fs.truncateSync(file.file, offset + Math.min(cut, length - 1))
            return Effect.tap(file.read(offset, length), (bytes) => Effect.sync(() => harm(bytes)))
          })
      }))
      const operators: ReadonlyArray<Stream.Stream<unknown, Shuffle.ShuffleError, Shuffle.Shuffle>> = [
        Shuffle.sort(over, Order.Number as Order.Order<unknown>, slice, pair),
        Stream.flatMap(Shuffle.group(over, slice), ([, values]) => values),
        Shuffle.aggregate(over, list, slice, { combined: false, make: (key) => key })
      ]
      for (const operator of operators) {
        const attempt = Effect.suspend(() => {
          reads = 0
          return Effect.result(Effect.provideService(Stream.runCollect(operator), Shuffle.Shuffle, harmed))
        })
        const fails = Effect.map(attempt, (result) => {
          assert.isTrue(result._tag === "Failure")
          if (result._tag === "Failure") {
            assert.deepStrictEqual([result.failure.reason._tag, result.failure.lost], ["Corrupt", undefined])
          }
        })
        for (let i = 0; i < 300; i += 23) {
          harm = (bytes) => (bytes[i % bytes.length]! ^= 1 << (i % 8))
          yield* fails
        }
        harm = () => {}
        for (cut of [0, 1, 30, 1000]) yield* fails
        cut = Infinity
        const whole = yield* attempt
        assert.isTrue(whole._tag === "Success" && whole.success.length === rows.length && reads > 10)
      }
    }).pipe(Effect.provide(Shuffle.layerDisk({ memoryBytes: 4000, compression: "zstd" })))
  )

  it.live("fails with NoSpace when the disk fills, map output or run, and leaves nothing", () =>
    Effect.gen(function* () {
      const over = exchange(Partitioner.hash(2))
      const rows = Array.from({ length: 2000 }, (_, i): Pair => [i, "x".repeat(50)])
      const shuffle = yield* Shuffle.Shuffle
      let left = Infinity
      const full = withFiles(shuffle, (file, name) => ({
        append: (parts) => {
          left -= sizeOf(parts)
          return left < 0 ? Effect.fail(new Shuffle.NoSpace({ file: name, detail: "injected" })) : file.append(parts)
        }
      }))
      yield* Effect.gen(function* () {
        const statuses = yield* writeAll(over, [rows])
        left = 20_000
        assert.strictEqual(
          (yield* Effect.flip(Stream.runDrain(Shuffle.group(over, { statuses, from: 0, to: 2 })))).reason._tag,
          "NoSpace"
        )
        left = 20_000
        const error = yield* Effect.flip(writeAll(over, [rows]))
        assert.deepStrictEqual([error.operator, error.reason._tag, error.lost], ["groupByKey", "NoSpace", undefined])
      }).pipe(Effect.provideService(Shuffle.Shuffle, full))
    }).pipe(Effect.provide(Shuffle.layerDisk({ memoryBytes: 30_000 })))
  )

  it.live("fails with NoSpace on a real full device", () =>
    Effect.gen(function* () {
      const over = exchange(Partitioner.hash(1))
      const rows = Array.from({ length: 100 }, (_, i): Pair => [i, i])
      const directory = yield* scratch
      const error = yield* Effect.gen(function* () {
        const [own] = fs.readdirSync(directory)
        const folder = path.join(directory, own!, over.id)
        fs.mkdirSync(folder)
        // Every name the task may choose leads to the device that is always full.
        const shuffle = yield* Shuffle.Shuffle
        const linked = Shuffle.Shuffle.of({
          ...shuffle,
          store: {
            ...shuffle.store,
            create: (id, name) => {
              fs.symlinkSync("/dev/full", path.join(folder, name))
              return shuffle.store.create(id, name)
            }
          }
        })
        return yield* Effect.flip(Effect.provideService(writeAll(over, [rows]), Shuffle.Shuffle, linked))
      }).pipe(Effect.provide(Shuffle.layerDisk({ directory })))
      assert.strictEqual(error.reason._tag, "NoSpace")
    })
  )

  it.live("sweeps what a process killed while it spilled left, and nothing of those alive", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const program = `
        import { Effect, Stream } from "effect"
        import { Codec, Partitioner, Shuffle } from "@sluice/core"
        const over = { id: "job-1", operator: "groupByKey", partitioner: Partitioner.hash(3), key: Codec.plain, value: Codec.plain,
          keyOf: (n) => n, valueOf: (n) => "value " + n }
        const rows = Stream.tap(Stream.range(0, 1e9), (n) => Effect.sync(() => n === 2000 && console.log("spilling")))
        Effect.runFork(Effect.provide(Shuffle.write(over, { map: 0, attempt: 0 }, rows),
          Shuffle.layerDisk({ directory: process.argv[1], memoryBytes: 10_000 })))`
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, ["--conditions=@sluice/source", "--input-type=module", "-e", program, directory], {
            cwd: path.join(import.meta.dirname, "..", ".."),
            stdio: ["ignore", "pipe", "inherit"]
          })
        ),
        (process) => Effect.sync(() => process.kill("SIGKILL"))
      )
      yield* Effect.promise(() => once(child.stdout, "data"))
      const left = fs.readdirSync(directory)
      assert.strictEqual(left.length, 1)
      assert.strictEqual(filesIn(directory).length, 1)
      const alive = yield* Effect.provide(
        Effect.sync(() => fs.readdirSync(directory)),
        Shuffle.layerDisk({ directory })
      )
      assert.include(alive, left[0])
      child.kill("SIGKILL")
      yield* Effect.promise(() => once(child, "close"))
      assert.deepStrictEqual(fs.readdirSync(directory), left)
      const after = yield* Effect.provide(
        Effect.sync(() => fs.readdirSync(directory)),
        Shuffle.layerDisk({ directory })
      )
      assert.notInclude(after, left[0])
      assert.deepStrictEqual(fs.readdirSync(directory), [])
    })
  )

  it.live("sweeps folders of nobody and of those long silent; what it cannot know or must not open it leaves", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const at = (name: string) => path.join(directory, name)
      const hours = (n: number) => new Date(Date.now() - n * 3_600_000)
      const folder = (name: string, old: number, owner?: Partial<typeof self>, touched = 0) => {
        fs.mkdirSync(at(name), { mode: 0o700 })
        fs.writeFileSync(path.join(at(name), "spill"), "x")
        const file = path.join(at(name), "owner.json")
        if (owner !== undefined) fs.writeFileSync(file, JSON.stringify({ ...self, id: "another", ...owner }))
        if (owner !== undefined) fs.utimesSync(file, hours(touched), hours(touched))
        fs.utimesSync(at(name), hours(old), hours(old))
      }
      const gone = { pid: 2 ** 22 + 1 }
      folder("sluice-1-00000001", 2)
      folder("sluice-1-00000002", 2, gone)
      folder("sluice-1-00000003", 99, { ...gone, namespace: "pid:[1]" }, 25)
      folder("sluice-1-00000004", 99, { ...gone, host: "elsewhere" }, 25)
      const kept = ["sluice-1-10000001", "sluice-1-10000002", "sluice-1-10000003", "sluice-1-10000004", "sluice-data"]
      folder("sluice-1-10000001", 0)
      folder("sluice-1-10000002", 99, { ...gone, namespace: "pid:[1]" }, 1)
      folder("sluice-1-10000003", 99, { ...gone, boot: "another kernel" }, 1)
      folder("sluice-1-10000004", 99, { pid: process.ppid, started: "" }, 1)
      folder("sluice-data", 99)
      // What another user may put into a folder that all may write: none of it is opened, followed or waited for.
      fs.mkdirSync(at("target"))
      fs.writeFileSync(at("target/mine"), "x")
      fs.symlinkSync(at("target"), at("sluice-1-20000001"))
      execFileSync("mkfifo", [at("sluice-1-20000002")])
      folder("sluice-1-20000003", 0)
      execFileSync("mkfifo", [at("sluice-1-20000003/owner.json")])
      folder("sluice-1-20000004", 0)
      fs.symlinkSync("/dev/zero", at("sluice-1-20000004/owner.json"))
      kept.push("sluice-1-20000001", "sluice-1-20000002", "sluice-1-20000003", "sluice-1-20000004", "target")
      if (process.getuid?.() === 0) {
        folder("sluice-1-20000005", 99)
        fs.chownSync(at("sluice-1-20000005"), 12345, 12345)
        kept.push("sluice-1-20000005")
      }
      const own = yield* Effect.provide(
        Effect.sync(() => fs.readdirSync(directory).filter((name) => name.startsWith(`sluice-${process.pid}-`))),
        Shuffle.layerDisk({ directory })
      )
      assert.strictEqual(own.length, 1)
      assert.deepStrictEqual(fs.readdirSync(directory).toSorted(), kept.toSorted())
      assert.strictEqual(fs.readFileSync(at("target/mine"), "utf8"), "x")
    })
  )
})
