import { Codec, Dataset, Partitioner, Shuffle } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Order, Schema, Scope, Stream } from "effect"
import Fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as Os from "node:os"
import * as Path from "node:path"
import { Reader, Writer } from "../../src/codec/internal/bytes.ts"
import { hashBytes } from "../../src/codec/internal/hash.ts"
import { prefix } from "../../src/codec/internal/prefix.ts"
import { byOrder } from "../../src/shuffle/internal/keys.ts"
import { Sorter } from "../../src/shuffle/internal/sorter.ts"
import { disk, memory } from "../../src/shuffle/internal/store.ts"
import { Table } from "../../src/shuffle/internal/table.ts"
import { engine, engineOver, groupsOf, roomy, sameElements, tight } from "../support/engines.ts"

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

describe("keys whose hashes are equal", () => {
  // Both hashes of the bytes of a pair are the same; found by search.
  const twins = [
    [68888299300717658n, 37303678150913822n],
    [43070135568709413n, 50157972659164309n],
    [5888957401350572n, 42390718920116499n]
  ] as const
  const hashesOf = (key: bigint) => {
    const writer = new Writer(16)
    Codec.plain.write(key, writer)
    hashBytes(writer.bytes, 0, writer.position)
    return [prefix.high, prefix.low]
  }
  const rows = Array.from({ length: 300 }, (_, n): readonly [bigint, number] => [twins[n % 3]![(n >> 2) & 1]!, n])
  const left = Dataset.fromIterable(rows, { partitions: 3 })
  const right = Dataset.fromIterable(
    twins.map(([one]): readonly [bigint, string] => [one, `${one}`]),
    { partitions: 2 }
  )
  const isFirst = (key: bigint) => twins.some(([one]) => one === key)

  it("are what they are said to be", () => {
    for (const [one, other] of twins) assert.deepStrictEqual(hashesOf(one), hashesOf(other))
  })

  for (const [memoryName, layer] of [
    ["in memory", roomy],
    ["spilled", tight],
    ["spilled row by row", engine(1, { adaptive: false, broadcastBytes: 0 })]
  ] as const) {
    it.live(`stay apart in groups and joins, ${memoryName}`, () =>
      Effect.gen(function* () {
        const groups = yield* Dataset.groupByKey(left).pipe(
          Dataset.mapEffect(([key, values]) =>
            Effect.map(Stream.runCollect(values), (all) => [key, all.toSorted((a, b) => a - b)] as const)
          ),
          Dataset.collect
        )
        sameElements(groups, groupsOf(rows))
        sameElements(
          yield* Dataset.collect(Dataset.reduceByKey(left, (a, b) => a + b)),
          groupsOf(rows).map(([key, values]) => [key, sum(values)] as const)
        )
        sameElements(yield* Dataset.collect(Dataset.distinct(Dataset.keys(left))), twins.flat())
        sameElements(
          yield* Dataset.collect(Dataset.join(left, right)),
          rows.filter(([key]) => isFirst(key)).map(([key, n]) => [key, [n, `${key}`]])
        )
        sameElements(
          yield* Dataset.collect(Dataset.subtractByKey(left, right)),
          rows.filter(([key]) => !isFirst(key))
        )
      }).pipe(Effect.provide(layer))
    )
  }

  it("stay apart in a table: 300,000 strings have some ten pairs of equal 32-bit hashes", () => {
    const table = new Table<string, number, number>(Codec.plain as unknown as Codec.Codec<string>, {
      create: (n) => n,
      mergeValue: (a, b) => a + b,
      mergeCombiners: (a, b) => a + b,
      codec: Codec.plain as unknown as Codec.Codec<number>
    })
    // Numbers in an order that looks like chance and repeats none, as in MurmurHash3's last steps.
    const name = (n: number): string => {
      const one = Math.imul(n ^ (n >>> 16), 0x85ebca6b)
      return (Math.imul(one ^ (one >>> 13), 0xc2b2ae35) >>> 0).toString(36)
    }
    const count = 300_000
    for (let time = 0; time < 2; time++) for (let n = 0; n < count; n++) table.mergeValue(name(n), n, n)
    assert.strictEqual(table.size, count)
    for (let n = 0; n < count; n++) if (table.keys[n] !== name(n) || table.values[n] !== 2 * n) assert.fail(`${n}`)
  })
})

describe("more runs than are merged at once", () => {
  /** The rows that are written again when that many runs of one row each are merged. */
  const rewritten = (count: number) =>
    Effect.scoped(
      Effect.gen(function* () {
        const store = memory("none")
        let appended = 0
        let most = 0
        const scope = yield* Effect.scope
        const sorter = new Sorter({
          kind: byOrder(Order.Number),
          layout: { key: Codec.fromSchema(Schema.Number), values: [Codec.plain] },
          claim: { resize: () => false, release: () => {} },
          store,
          blockBytes: 1,
          create: Effect.map(Scope.provide(store.create("job-0", "run"), scope), (file) => ({
            ...file,
            append: (parts) => {
              // A header and the bytes of a block for each row.
              appended += parts.length / 2
              most = Math.max(most, parts.length / 2)
              return file.append(parts)
            }
          }))
        })
        const writer = new Writer(64)
        const keys = Array.from({ length: count }, (_, n) => (n * 7) % 5)
        for (const [n, key] of keys.entries()) {
          const start = writer.position
          Codec.plain.write(key, writer)
          Codec.plain.write(n, writer)
          yield* sorter.add({ bytes: Buffer.from(writer.bytes.subarray(start, writer.position)), rows: 1 }, 0, "test")
        }
        yield* sorter.spill
        assert.strictEqual(sorter.runs.length, count)
        assert.strictEqual(appended, count)
        const merge = yield* sorter.merged
        const order: Array<unknown> = []
        while (merge.current !== undefined) {
          const { bytes, end, keyEnd, start } = merge.current
          order.push([
            Codec.plain.read(new Reader(bytes, start, keyEnd)),
            Codec.plain.read(new Reader(bytes, keyEnd, end))
          ])
          if (!merge.step()) yield* merge.refill
        }
        assert.deepStrictEqual(
          order,
          keys.map((key, n) => [key, n]).toSorted(([a], [b]) => a! - b!),
          "equal keys in the order they came"
        )
        const again = appended - count
        assert.strictEqual(
          most,
          Math.max(1, Math.min(8, again)),
          "eight blocks are written at once, if there are as many"
        )
        return again
      })
    )

  it.effect(
    "are merged by neighbours until 64 are left, and no row is written again more often than it has to be",
    () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* rewritten(64), 0)
        assert.strictEqual(yield* rewritten(65), 2)
        assert.strictEqual(yield* rewritten(127), 64)
        assert.strictEqual(yield* rewritten(128), 64 + 2)
        // 64 of 64 become 64 runs. Were those merged again while others wait, it would be more.
        assert.strictEqual(yield* rewritten(64 * 64), 64 * 64)
      })
  )
})

describe("a file system that takes and gives a few bytes at a time", () => {
  /** From here on, each call of the file system takes or gives at most `most` bytes. */
  const inPieces = (most: number) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const { read, readSync, writev } = Fs
        const calls = { writes: 0, reads: 0 }
        const change = (to: object) => {
          Object.assign(Fs, to)
          syncBuiltinESMExports()
        }
        change({
          writev: (
            fd: number,
            parts: ReadonlyArray<Uint8Array>,
            done: (error: NodeJS.ErrnoException | null, written: number) => void
          ) => {
            calls.writes++
            assert.isAtMost(parts.length, 1024, "IOV_MAX")
            const taken: Array<Uint8Array> = []
            let left = most
            for (const part of parts) {
              if (left > 0) taken.push(part.subarray(0, left))
              left -= part.length
            }
            writev(fd, taken, done)
          },
          read: (...args: [number, Buffer, number, number, number, () => void]) => {
            calls.reads++
            read(args[0], args[1], args[2], Math.min(most, args[3]), args[4], args[5])
          },
          readSync: (fd: number, bytes: Buffer, offset: number, length: number, position: number) => {
            calls.reads++
            return readSync(fd, bytes, offset, Math.min(most, length), position)
          }
        })
        return { calls, restore: () => change({ read, readSync, writev }) }
      }),
      ({ restore }) => Effect.sync(restore)
    )

  const directory = Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "shuffle-limits-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
  )

  it.live("gets and gives every byte, whatever the size and the number of the parts", () =>
    Effect.gen(function* () {
      const folder = yield* directory
      const parts = Array.from({ length: 2500 }, (_, n) => Buffer.alloc(n % 7, n))
      const all = Buffer.concat(parts)
      for (const most of [1, 4, 5, 1_000_000]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { calls } = yield* inPieces(most)
            const file = yield* disk(folder, "none").create("job-0", `run-${most}`)
            yield* file.append(parts)
            yield* file.append([Buffer.from("end")])
            assert.isTrue(all.equals(yield* file.read(0, all.length)), `${most} bytes at a time`)
            assert.strictEqual(`${yield* file.read(all.length, 3)}`, "end")
            // Three calls for 2500 parts where all is taken at once.
            if (most > all.length) assert.deepStrictEqual(calls, { writes: 4, reads: 2 })
            const beyond = yield* Effect.flip(file.read(all.length, 4))
            assert.deepStrictEqual(
              [beyond._tag, "offset" in beyond ? beyond.offset : undefined],
              ["Corrupt", all.length + 3]
            )
          })
        )
      }
    })
  )

  it.live("gives every row of what spilled", () =>
    Effect.gen(function* () {
      yield* inPieces(1000)
      const rows = Array.from({ length: 2000 }, (_, n) => `${(n * 7919) % 2000} ${"x".repeat(n % 90)}`)
      const sorted = yield* Dataset.collect(
        Dataset.sort(Dataset.fromIterable(rows, { partitions: 3 }), Order.String, { partitions: 2 })
      ).pipe(Effect.provide(engineOver(Shuffle.layerDisk({ memoryBytes: 8000 }))))
      assert.deepStrictEqual([...sorted], rows.toSorted(Order.String))
    })
  )
})

describe("blocks of one row", () => {
  const header = 24
  const rows = Array.from({ length: 200 }, (_, n): readonly [string, number] => [`key ${n % 9}`, n])

  it.live("hold every row, each in a block of its own", () =>
    Effect.gen(function* () {
      const exchange: Shuffle.Exchange<readonly [string, number], unknown, unknown> = {
        id: "job-0",
        operator: "groupByKey",
        partitioner: Partitioner.hash(3),
        key: Codec.plain,
        value: Codec.plain,
        keyOf: ([key]) => key,
        valueOf: ([, value]) => value
      }
      const status = yield* Shuffle.write(exchange, { map: 0, attempt: 0 }, Stream.fromIterable(rows))
      assert.strictEqual(sum(status.rows), rows.length)
      assert.strictEqual(sum(status.lengths), sum(status.bytes) + header * rows.length)
      const slice = { statuses: [status], from: 0, to: 3 }
      const groups = yield* Stream.runCollect(
        Stream.mapEffect(Shuffle.group(exchange, slice), ([key, values]) =>
          Effect.map(Stream.runCollect(values), (all) => [key, [...all]] as const)
        )
      )
      sameElements([...groups], groupsOf(rows))
      const sorted = yield* Stream.runCollect(
        Shuffle.sort(exchange, Order.String as Order.Order<string> as Order.Order<unknown>, slice, (key, value) => [
          key,
          value
        ])
      )
      assert.deepStrictEqual(
        [...sorted],
        rows.toSorted(([a], [b]) => Order.String(a, b)).map(([key, n]) => [key, n])
      )
    }).pipe(Effect.provide(Shuffle.layerDisk({ memoryBytes: 6000, blockBytes: 1 })))
  )
})
