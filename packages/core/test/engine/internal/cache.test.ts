import { Shuffle } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import { estimateBytes } from "../../../src/codec/internal/estimate.ts"
import { cacheOf } from "../../../src/engine/internal/cache.ts"
import type { Rows } from "../../../src/task/internal/rows.ts"
import { Failed } from "../../../src/task/internal/failed.ts"
import type { CacheHandle } from "../../../src/plan/Plan.ts"
import { taskOf } from "../../support/runtime.ts"

type Row = string | Failed
type Arrays = ReadonlyArray<readonly [Row, ...Array<Row>]>

/** A cache with `limit` bytes of memory; `files` holds what goes to the disk, by name. */
const cacheWith = (limit: number) => {
  const files = new Map<string, ReadonlyArray<unknown>>()
  let written = 0
  const statusOf = (shuffle: string, map: number, file: string): Shuffle.MapStatus => ({
    shuffle,
    map,
    attempt: 0,
    file,
    partitions: [0],
    offsets: [0],
    lengths: [1],
    rows: [1],
    bytes: [1],
    checksums: [[0, 0]]
  })
  const handle = (id: string, storage: CacheHandle["storage"] = "memory"): CacheHandle => ({
    id,
    storage,
    write: ({ id, map }, rows) =>
      Effect.map(Stream.runCollect(rows), (all) => {
        const file = `${id} ${map} ${written++}`
        files.set(file, all)
        return statusOf(id, map, file)
      }),
    read: ({ slice }) =>
      Stream.fromIterable(
        slice.statuses.flatMap(({ file }) => (slice.from === 0 && slice.to === 1 ? (files.get(file) ?? []) : []))
      )
  })
  const made = Effect.map(Shuffle.Shuffle, (shuffle) =>
    cacheOf(
      {
        ...shuffle,
        store: { ...shuffle.store, discard: ({ file }) => Effect.sync(() => void files.delete(file)) },
        remove: (id) =>
          Effect.sync(() => {
            for (const name of files.keys()) if (name.startsWith(`${id} `)) files.delete(name)
          })
      },
      limit
    )
  )
  return { files, handle, made }
}

type Cache = Effect.Success<ReturnType<typeof cacheWith>["made"]>

// Nothing of what is cached here needs another service.
const collect = (rows: Rows) => Stream.runCollect(rows as Stream.Stream<unknown, unknown, Shuffle.Shuffle>)

const put = (cache: Cache, handle: CacheHandle, partition: number, arrays: Arrays, run = "") =>
  collect(cache.put(handle, partition, run, Stream.fromArrays(...arrays), taskOf()))

const get = (cache: Cache, handle: CacheHandle, partition: number, run = "") => {
  const read = cache.get(handle, partition, run)
  return read === undefined ? Effect.succeed(undefined) : collect(read(taskOf()))
}

const caching = <A, E>(name: string, body: () => Effect.Effect<A, E, Shuffle.Shuffle>) =>
  it.effect(name, () => Effect.provide(body(), Shuffle.layerMemory()))

const abc = [["a"], ["b"], ["c"]] as const
const one = estimateBytes(["a"])

describe("the bytes a cache holds", () => {
  caching("are those of the partitions it keeps, and nothing once they are forgotten", () =>
    Effect.gen(function* () {
      const { handle, made } = cacheWith(10 * one)
      const cache = yield* made
      const [left, right] = [handle("left"), handle("right")]
      assert.deepStrictEqual(yield* put(cache, left, 0, abc), ["a", "b", "c"])
      assert.strictEqual(cache.held(), 3 * one)
      yield* put(cache, right, 1, abc)
      assert.strictEqual(cache.held(), 6 * one)
      // A partition that the cache already holds stays, and its bytes count once.
      yield* put(cache, left, 0, abc)
      assert.strictEqual(cache.held(), 6 * one)
      // Another run takes its place.
      yield* put(cache, left, 0, [["d"]], "other")
      assert.strictEqual(cache.held(), 4 * one)
      yield* cache.drop("right", 1)
      assert.strictEqual(cache.held(), one)
      yield* cache.drop("right", 1)
      yield* cache.remove(left)
      assert.strictEqual(cache.held(), 0)
    })
  )

  caching("are no more than it may hold: the least recently used goes for what comes", () =>
    Effect.gen(function* () {
      const { files, handle, made } = cacheWith(4 * one)
      const cache = yield* made
      const memory = handle("memory")
      const spilled = handle("spilled", "memory-then-disk")
      yield* put(cache, memory, 0, [["a"]])
      yield* put(cache, spilled, 0, [["b"]])
      yield* put(cache, memory, 1, [["c"]])
      assert.deepStrictEqual(yield* get(cache, memory, 0), ["a"])
      // It fills the cache but for one, and `b` was used before `a` and `c` were.
      yield* put(cache, memory, 2, [["d"], ["e"]])
      assert.strictEqual(cache.held(), 4 * one)
      assert.deepStrictEqual([...files], [["spilled 0 0", ["b"]]])
      assert.deepStrictEqual(yield* get(cache, spilled, 0), ["b"])
      assert.deepStrictEqual(yield* get(cache, memory, 0), ["a"])
      // It is as large as the whole cache: all others are dropped for it, and those only in memory are gone.
      yield* put(cache, memory, 3, [["f"], ["g"], ["h"], ["i"]])
      assert.strictEqual(cache.held(), 4 * one)
      assert.deepStrictEqual(yield* get(cache, memory, 3), ["f", "g", "h", "i"])
      assert.deepStrictEqual(yield* Effect.forEach([0, 1, 2], (partition) => get(cache, memory, partition)), [
        undefined,
        undefined,
        undefined
      ])
    })
  )

  caching("are none of a partition that does not fit: nothing else goes for it, and it is read to its end", () =>
    Effect.gen(function* () {
      for (const storage of ["memory", "memory-then-disk"] as const) {
        const { files, handle, made } = cacheWith(2 * one)
        const cache = yield* made
        const small = handle("small")
        yield* put(cache, small, 0, [["s"]])
        const large = handle("large", storage)
        const seen: Array<number> = []
        const rows = cache.put(large, 0, "", Stream.fromArrays(["a"], ["b", "c"], ["d"]), taskOf())
        const all = yield* collect(Stream.tap(rows, () => Effect.sync(() => seen.push(cache.held()))))
        assert.deepStrictEqual(all, ["a", "b", "c", "d"])
        // The small one, and the first array for as long as there was hope.
        assert.deepStrictEqual(seen, [2 * one, one, one, one])
        assert.strictEqual(cache.held(), one)
        assert.deepStrictEqual(yield* get(cache, small, 0), ["s"])
        assert.deepStrictEqual(
          yield* get(cache, large, 0),
          storage === "memory" ? undefined : ["a", "b", "c", "d"],
          storage
        )
        assert.deepStrictEqual([...files.keys()], storage === "memory" ? [] : ["large 0 0"])
      }
    })
  )

  caching("are none of a partition that failed, was left early, or was given up on its way", () =>
    Effect.gen(function* () {
      const { files, handle, made } = cacheWith(10 * one)
      const cache = yield* made
      for (const storage of ["memory", "disk", "memory-then-disk"] as const) {
        const some = handle(storage, storage)
        const failure = new Failed("lost")
        assert.deepStrictEqual(yield* put(cache, some, 0, [["a"], [failure, "b"], ["c"]]), ["a", failure, "b", "c"])
        const left = cache.put(some, 1, "", Stream.fromArrays(...abc), taskOf())
        assert.deepStrictEqual(yield* collect(Stream.take(left, 2)), ["a", "b"])
        const failing = Stream.concat(Stream.make("a", "b"), Stream.fail("broken"))
        yield* Effect.flip(collect(cache.put(some, 2, "", failing, taskOf())))
        const removed = cache.put(some, 3, "", Stream.fromArrays(...abc), taskOf())
        const rest = yield* collect(Stream.tap(removed, (row) => (row === "b" ? cache.remove(some) : Effect.void)))
        assert.deepStrictEqual(rest, ["a", "b", "c"])
        assert.strictEqual(cache.held(), 0, storage)
        assert.deepStrictEqual(cache.kept(some, 4), { count: 0, run: undefined })
        assert.deepStrictEqual([...files.keys()], [], storage)
      }
    })
  )

  caching("are those of the array that waits for room as well", () =>
    Effect.gen(function* () {
      const { handle, made } = cacheWith(2 * one)
      const cache = yield* made
      const gate = yield* Deferred.make<void>()
      const rows = Stream.concat(
        Stream.fromArrays(["a"], ["b"]),
        Stream.fromEffect(Effect.as(Deferred.await(gate), "c"))
      )
      const large = handle("large")
      const held: Array<number> = []
      yield* collect(
        Stream.tap(cache.put(large, 0, "", rows, taskOf()), (row) =>
          Effect.suspend(() => {
            held.push(cache.held())
            return row === "b" ? Deferred.succeed(gate, undefined) : Effect.void
          })
        )
      )
      assert.deepStrictEqual(held, [one, 2 * one, 0])
    })
  )
})

describe("what a cache says it keeps", () => {
  caching("is a whole where it has all partitions, of one run", () =>
    Effect.gen(function* () {
      for (const storage of ["memory", "disk", "memory-then-disk"] as const) {
        const { handle, made } = cacheWith(10 * one)
        const cache = yield* made
        const some = handle("some", storage)
        yield* put(cache, some, 0, abc, "first")
        assert.deepStrictEqual(cache.kept(some, 2), { count: 1, run: undefined })
        yield* put(cache, some, 1, abc, "second")
        assert.deepStrictEqual(cache.kept(some, 2), { count: 2, run: undefined })
        yield* put(cache, some, 0, abc, "second")
        assert.deepStrictEqual(cache.kept(some, 2), { count: 2, run: "second" })
        assert.deepStrictEqual(yield* get(cache, some, 0, "second"), ["a", "b", "c"])
        assert.isUndefined(yield* get(cache, some, 0, "first"))
        yield* cache.drop("some", 0)
        assert.deepStrictEqual(cache.kept(some, 2), { count: 1, run: undefined })
        assert.deepStrictEqual(cache.kept(some, 0), { count: 0, run: undefined })
      }
    })
  )

  caching("is read as rows that come in, and not from a source where the same job has filled it", () =>
    Effect.gen(function* () {
      const { handle, made } = cacheWith(10 * one)
      const cache = yield* made
      const some = handle("some")
      yield* put(cache, some, 0, abc)
      for (const [jobId, exchanged] of [
        ["job", 3],
        ["another", 0]
      ] as const) {
        const task = { ...taskOf(), jobId }
        yield* collect(cache.get(some, 0, "")!(task))
        assert.deepStrictEqual([task.metrics.rowsIn, task.book.exchanged], [3, exchanged])
      }
    })
  )
})
