/** Reading files, whole or in ranges. */
import { assert } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type Case, contents, failsWith, sampleBytes, text } from "./storageCase.ts"
import { StorageError } from "../../storage/StorageError.ts"

export const reading: ReadonlyArray<Case> = [
  {
    title: "reads what was written, and says how much that was",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      const path = `${root}/new/deep/file`
      const pieces = [sampleBytes(3), new Uint8Array(0), sampleBytes(70_000)]
      assert.strictEqual(yield* storage.write(path, Stream.fromIterable(pieces)), 70_003)
      const read = Buffer.concat(yield* Stream.runCollect(storage.read(path)))
      assert.isTrue(read.equals(Buffer.concat(pieces)))
      const status = yield* storage.stat(path)
      assert.strictEqual(status.type, "file")
      assert.strictEqual(status.length, 70_003)
      assert.isAbove(status.modified, 0)
    })
  },
  {
    title: "open a missing file, or one under a file",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* failsWith(Stream.runDrain(storage.read(`${root}/none`)), "read", "NotFound")
      yield* failsWith(storage.readRange(`${root}/none`, 0, 1), "readRange", "NotFound")
      yield* storage.write(`${root}/file`, text("x"))
      yield* failsWith(Stream.runDrain(storage.read(`${root}/file/child`)), "read", "NotADirectory", "NotFound")
    })
  },
  {
    title: "open a directory",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.mkdirs(`${root}/directory`)
      yield* failsWith(Stream.runDrain(storage.read(`${root}/directory`)), "read", "IsADirectory")
      yield* failsWith(storage.readRange(`${root}/directory`, 0, 1), "readRange", "IsADirectory")
      yield* failsWith(storage.blocks(`${root}/directory`), "blocks", "IsADirectory")
    })
  },
  {
    title: "read a range in pieces that are the reader's own",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      const bytes = sampleBytes(3 * 1024 * 1024 + 17)
      yield* storage.write(`${root}/file`, Stream.succeed(bytes))
      const pieces = yield* Stream.runCollect(storage.read(`${root}/file`, { offset: 5, length: 3 * 1024 * 1024 }))
      assert.isAbove(pieces.length, 1)
      assert.isTrue(Buffer.concat(pieces).equals(bytes.subarray(5, 5 + 3 * 1024 * 1024)))
      for (const piece of pieces) piece.fill(0)
      const tail = yield* Stream.runCollect(storage.read(`${root}/file`, { offset: 3 * 1024 * 1024 }))
      assert.isTrue(Buffer.concat(tail).equals(bytes.subarray(3 * 1024 * 1024)))
      assert.isTrue(Buffer.from(yield* storage.readRange(`${root}/file`, 0, bytes.length)).equals(bytes))
    })
  },
  {
    title: "read at the end gives nothing, read past the end is an error",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      const path = `${root}/file`
      yield* storage.write(path, Stream.succeed(sampleBytes(10)))
      assert.deepStrictEqual(yield* Stream.runCollect(storage.read(path, { offset: 10 })), [])
      assert.deepStrictEqual(yield* Stream.runCollect(storage.read(path, { offset: 4, length: 0 })), [])
      assert.strictEqual((yield* storage.readRange(path, 10, 0)).length, 0)
      assert.strictEqual((yield* storage.readRange(path, 9, 1))[0], sampleBytes(10)[9])
      yield* failsWith(Stream.runDrain(storage.read(path, { offset: 11 })), "read", "EndOfFile")
      yield* failsWith(Stream.runDrain(storage.read(path, { offset: 5, length: 6 })), "read", "EndOfFile")
      yield* failsWith(Stream.runDrain(storage.read(path, { offset: -1 })), "read", "EndOfFile")
      const error = yield* failsWith(storage.readRange(path, 5, 6), "readRange", "EndOfFile")
      assert.include(error.message, "the file has 10")
    })
  },
  {
    title: "a read gives as many bytes as the status says, a range as many as were asked for",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      // Around the sizes at which readers continue with another piece.
      for (const size of [1, 2, 65_535, 65_536, 65_537, 1_048_576, 1_048_577]) {
        const path = `${root}/file`
        const bytes = sampleBytes(size)
        yield* storage.write(path, Stream.succeed(bytes), { overwrite: true })
        const { length } = yield* storage.stat(path)
        assert.strictEqual(length, size)
        for (const [from, to] of [
          [0, size],
          [size - 1, size],
          [size >> 1, size],
          [size >> 2, (size >> 1) + 1]
        ] as const) {
          const want = bytes.subarray(from, to)
          const range = { offset: from, length: to - from }
          const pieces = yield* Stream.runCollect(storage.read(path, to === size ? { offset: from } : range))
          assert.isTrue(Buffer.concat(pieces).equals(want), `${from}..${to} of ${size}`)
          assert.isTrue(Buffer.from(yield* storage.readRange(path, from, to - from)).equals(want))
        }
      }
    })
  },
  {
    title: "ranged reads in parallel give right bytes",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      const bytes = sampleBytes(1_000_000)
      yield* storage.write(`${root}/file`, Stream.succeed(bytes))
      const offsets = Array.from({ length: 64 }, (_, i) => (i * 15_485_863) % 990_000)
      const ranges = yield* Effect.forEach(offsets, (offset) => storage.readRange(`${root}/file`, offset, 10_000), {
        concurrency: 16
      })
      ranges.forEach((range, i) => {
        const offset = offsets[i] ?? 0
        assert.isTrue(Buffer.from(range).equals(bytes.subarray(offset, offset + 10_000)), `at ${offset}`)
      })
    })
  },
  {
    title: "file replaced while it is read keeps either old or typed error",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      const path = `${root}/file`
      const old = sampleBytes(4 * 1024 * 1024)
      yield* storage.write(path, Stream.succeed(old))
      let replaced = false
      const exit = yield* storage.read(path).pipe(
        Stream.tap(() => {
          if (replaced) return Effect.void
          replaced = true
          return storage.write(path, text("new"), { overwrite: true })
        }),
        Stream.runCollect,
        Effect.result
      )
      if (exit._tag === "Success") {
        assert.isTrue(Buffer.concat(exit.success).equals(old))
      } else {
        assert.instanceOf(exit.failure, StorageError)
      }
      assert.strictEqual(yield* contents(storage, path), "new")
    })
  },
  {
    title: "a reader that stops early leaves the file usable",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/file`, Stream.succeed(sampleBytes(8 * 1024 * 1024)))
      const first = yield* Stream.runCollect(Stream.take(storage.read(`${root}/file`), 1))
      assert.isBelow(first[0]?.length ?? Infinity, 8 * 1024 * 1024)
      assert.isTrue(yield* storage.delete(`${root}/file`))
    })
  }
]
