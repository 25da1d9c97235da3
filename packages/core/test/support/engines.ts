import { Dataset, Engine, EngineConfig, Events, Executor, Shuffle, Storage } from "@sluice/core"
import { assert } from "@effect/vitest"
import { Effect, Equal, Layer } from "effect"
import * as fc from "fast-check"

/** An engine that shuffles through this. */
export const engineOver = <E>(
  shuffle: Layer.Layer<Shuffle.Shuffle, E>,
  config: Partial<EngineConfig.EngineConfig> = {}
) =>
  Layer.fresh(Engine.layerWithShuffle).pipe(
    Layer.provide(Executor.layerLocal({ executors: [{ slots: 2 }] })),
    Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer, shuffle)),
    Layer.provide(EngineConfig.layer(config))
  )

/** An engine whose shuffle has this much memory: a few kilobytes make spilling the normal case. */
export const engine = (memoryBytes: number, config?: Partial<EngineConfig.EngineConfig>) =>
  engineOver(Shuffle.layerMemory({ memoryBytes }), config)

export const roomy = engine(64 * 1024 * 1024)
/** Joins move both sides, tasks read single partitions. */
export const tight = engine(4 * 1024, { adaptive: false, broadcastBytes: 0 })
/** Joins move both sides; tasks read several partitions, or parts of one, wherever there are three rows. */
const adapting = engine(64 * 1024, {
  broadcastBytes: 0,
  targetPartitionBytes: 40,
  minPartitionBytes: 40,
  skewBytes: 20,
  skewFactor: 1
})

/** Runs a property on these engines. */
export const holds = <A>(
  arbitrary: fc.Arbitrary<A>,
  check: (value: A) => Effect.Effect<void, unknown, Engine.Engine>,
  numRuns = 36
) =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(arbitrary, fc.constantFrom(roomy, tight, adapting), (value, engine) =>
        Effect.runPromise(Effect.provide(check(value), engine))
      ),
      { numRuns, seed: 20261122 }
    )
  )

/** An array cut into partitions at random. */
export const partitioned = <A>(value: fc.Arbitrary<A>, maxLength = 120) =>
  fc
    .record({
      rows: fc.array(value, { maxLength, size: "max" }),
      partitions: fc.integer({ min: 0, max: 7 })
    })
    .map(({ partitions, rows }) => ({
      rows: partitions === 0 ? [] : rows,
      dataset: partitions === 0 ? Dataset.fromStreams<A>([]) : Dataset.fromIterable(rows, { partitions })
    }))

export const smallKey = fc.oneof(
  fc.integer({ min: -6, max: 6 }),
  fc.constantFrom("a", "b", "1", ""),
  fc.constantFrom<unknown>(null, undefined, true, 1n, new Date(0), new Date(1)),
  fc.record({ x: fc.integer({ min: 0, max: 2 }), y: fc.constantFrom("p", "q") }),
  fc.tuple(fc.integer({ min: 0, max: 1 }), fc.constantFrom("s", "t"))
)

/** The same elements, as often, in any order. */
export const sameElements = (actual: ReadonlyArray<unknown>, expected: ReadonlyArray<unknown>) => {
  const left = [...actual]
  for (const value of expected) {
    const index = left.findIndex((other) => Equal.equals(other, value))
    assert.isAtLeast(index, 0, `${JSON.stringify(value, bigints)} is missing`)
    left.splice(index, 1)
  }
  assert.deepStrictEqual(left, [])
}

const bigints = (_: string, value: unknown) => (typeof value === "bigint" ? `${value}n` : value)

/** A plain-array model of grouping. */
export const groupsOf = <K, V>(
  pairs: ReadonlyArray<readonly [K, V]>
): ReadonlyArray<readonly [K, ReadonlyArray<V>]> => {
  const groups: Array<[K, Array<V>]> = []
  for (const [key, value] of pairs) {
    const group = groups.find(([other]) => Equal.equals(other, key))
    if (group === undefined) groups.push([key, [value]])
    else group[1].push(value)
  }
  return groups
}

/** A dataset of pairs whose literal types are widened. */
export const pairsOf = <K, V>(rows: ReadonlyArray<readonly [K, V]>, partitions = 2) =>
  Dataset.fromIterable(rows, { partitions })
