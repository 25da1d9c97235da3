import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Order, Stream } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Partitioner from "../../src/shuffle/Partitioner.ts"
import * as Shuffle from "../../src/shuffle/Shuffle.ts"
import { self } from "../../src/storage/internal/identity.ts"
import { withFiles } from "../support/files.ts"
import { exchange, list, pair, type Pair, sizeOf, writeAll } from "../support/shuffles.ts"

const scratch = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "shuffle-test-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

const filesIn = (directory: string): ReadonlyArray<string> =>
  fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "owner.json")
    .map((entry) => entry.name)

describe("the files of a shuffle", () => {
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
      // Things that another user may put into a shared folder: none of them is opened, followed or waited for.
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
