/**
 * The contract of `Storage` as tests, for every backend.
 *
 * The cases are those of Hadoop's `AbstractContract*Test` that apply to what `Storage` offers, and those a dataflow adds:
 * nothing is left of a failed write, a slow consumer stops the reader.
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, type Layer, type Scope, Stream } from "effect"
import { Storage } from "../storage/Storage.ts"
import { type Reason, StorageError } from "../storage/StorageError.ts"

/**
 * How a backend is tested.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** An empty directory for one test, as a URI without a slash at its end. It need not exist yet. */
  readonly root: Effect.Effect<string, unknown, Storage | Scope.Scope>
  /** The root of the file system, which is never deleted. */
  readonly top: string
  /** The path of a name in a directory, however odd the name. Default: percent-encoded. */
  readonly join?: ((directory: string, name: string) => string) | undefined
  /** Whether exactly one of several writers without `overwrite` wins. Default `true`. */
  readonly exclusive?: boolean | undefined
  /** Entries of the large directory. Default 10,000. */
  readonly largeDirectory?: number | undefined
}

const sampleBytes = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8)) & 0xff
  return bytes
}

const text = (value: string): Stream.Stream<Uint8Array> => Stream.succeed(new TextEncoder().encode(value))

const encodeName = (directory: string, name: string) => `${directory}/${encodeURIComponent(name)}`

const contents = (storage: Storage["Service"], path: string) =>
  Effect.map(Stream.runCollect(storage.read(path)), (pieces) => Buffer.concat(pieces).toString("utf8"))

const list = (storage: Storage["Service"], path: string) =>
  Effect.map(Stream.runCollect(storage.list(path)), (found) =>
    found.map((status) => decodeURIComponent(status.path.slice(status.path.lastIndexOf("/") + 1)))
  )

/** Asserts that an effect fails with one of these reasons, and gives the error. */
const failsWith = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  operation: string,
  ...tags: ReadonlyArray<Reason["_tag"]>
) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(Effect.flip(effect))
    if (!Exit.isSuccess(exit)) return assert.fail(`expected ${tags.join(" or ")}, the effect did not fail`)
    const error = exit.value
    if (!(error instanceof StorageError)) return assert.fail(`expected a StorageError, got ${String(error)}`)
    assert.include(tags, error.reason._tag, error.message)
    assert.strictEqual(error.operation, operation)
    return error
  })

/**
 * Registers the contract as a `describe` block named after the backend.
 *
 * @category constructors
 * @since 0.1.0
 */
export const suite = <E>(name: string, layer: Layer.Layer<Storage, E>, options: Options): void => {
  const join = options.join ?? encodeName
  const largeDirectory = options.largeDirectory ?? 10_000

  describe(`Storage contract (${name})`, () => {
    it.layer(layer, { excludeTestServices: true })((it) => {
      /** One test with a directory of its own. */
      const test = <A, EA>(
        title: string,
        run: (storage: Storage["Service"], root: string) => Effect.Effect<A, EA, Scope.Scope>
      ) =>
        it.effect(title, () =>
          Effect.gen(function* () {
            const storage = yield* Storage
            return yield* run(storage, yield* options.root)
          })
        )

      // Create

      test(
        "reads what was written, and says how much that was",
        Effect.fnUntraced(function* (storage, root) {
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
      )

      test(
        "writes an empty file",
        Effect.fnUntraced(function* (storage, root) {
          assert.strictEqual(yield* storage.write(`${root}/empty`, Stream.empty), 0)
          assert.strictEqual((yield* storage.stat(`${root}/empty`)).length, 0)
          assert.deepStrictEqual(yield* Stream.runCollect(storage.read(`${root}/empty`)), [])
          assert.deepStrictEqual(yield* storage.blocks(`${root}/empty`), [])
        })
      )

      test(
        "create over an existing file without overwrite fails and leaves it as it was",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/file`, text("old"))
          yield* failsWith(storage.write(`${root}/file`, text("new")), "write", "AlreadyExists")
          assert.strictEqual(yield* contents(storage, `${root}/file`), "old")
          assert.deepStrictEqual(yield* list(storage, root), ["file"])
        })
      )

      test(
        "create with overwrite replaces the file",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/file`, text("a longer old text"))
          assert.strictEqual(yield* storage.write(`${root}/file`, text("new"), { overwrite: true }), 3)
          assert.strictEqual(yield* contents(storage, `${root}/file`), "new")
          assert.deepStrictEqual(yield* list(storage, root), ["file"])
        })
      )

      test(
        "create over a directory fails, with overwrite too",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.mkdirs(`${root}/empty`)
          yield* storage.write(`${root}/full/file`, text("x"))
          for (const path of [`${root}/empty`, `${root}/full`]) {
            for (const overwrite of [false, true]) {
              yield* failsWith(storage.write(path, text("y"), { overwrite }), "write", "IsADirectory")
            }
          }
          assert.deepStrictEqual(yield* list(storage, root), ["empty", "full"])
        })
      )

      test(
        "create under a file fails",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/file`, text("x"))
          yield* failsWith(storage.write(`${root}/file/child`, text("y")), "write", "NotADirectory")
          yield* failsWith(storage.write(`${root}/file/child/grandchild`, text("y")), "write", "NotADirectory")
          assert.strictEqual(yield* contents(storage, `${root}/file`), "x")
        })
      )

      test(
        "failed stream leaves no file and no temp",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/kept`, text("old"))
          const broken = Stream.concat(Stream.succeed(sampleBytes(100_000)), Stream.fail("broken" as const))
          for (const name of ["kept", "new"]) {
            const error = yield* Effect.flip(storage.write(`${root}/${name}`, broken, { overwrite: true }))
            assert.strictEqual(error, "broken")
          }
          assert.deepStrictEqual(yield* list(storage, root), ["kept"])
          assert.strictEqual(yield* contents(storage, `${root}/kept`), "old")
        })
      )

      test(
        "interrupted write leaves nothing",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/kept`, text("old"))
          for (const name of ["kept", "new"]) {
            const reached = yield* Deferred.make<void>()
            const endless = Stream.concat(
              Stream.succeed(sampleBytes(100_000)),
              Stream.fromEffect(Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
            )
            const fiber = yield* Effect.forkChild(storage.write(`${root}/${name}`, endless, { overwrite: true }))
            yield* Deferred.await(reached)
            yield* Fiber.interrupt(fiber)
          }
          assert.deepStrictEqual(yield* list(storage, root), ["kept"])
          assert.strictEqual(yield* contents(storage, `${root}/kept`), "old")
        })
      )

      test(
        "a file being written cannot be seen at its name",
        Effect.fnUntraced(function* (storage, root) {
          const reached = yield* Deferred.make<void>()
          const go = yield* Deferred.make<void>()
          const bytes = Stream.concat(
            text("first "),
            Stream.unwrap(
              Effect.as(Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(go)), text("second"))
            )
          )
          const fiber = yield* Effect.forkChild(storage.write(`${root}/file`, bytes))
          yield* Deferred.await(reached)
          yield* failsWith(storage.stat(`${root}/file`), "stat", "NotFound")
          yield* Deferred.succeed(go, undefined)
          yield* Fiber.join(fiber)
          assert.strictEqual(yield* contents(storage, `${root}/file`), "first second")
        })
      )

      const concurrently = options.exclusive === false ? it.effect.skip : it.effect
      concurrently("concurrent writers: exactly one wins without overwrite", () =>
        Effect.gen(function* () {
          const storage = yield* Storage
          const root = yield* options.root
          const all = yield* Deferred.make<void>()
          let arrived = 0
          const results = yield* Effect.forEach(
            ["a", "b", "c", "d"],
            (who) => {
              const bytes = Stream.unwrap(
                Effect.suspend(() => {
                  if (++arrived === 4) Deferred.doneUnsafe(all, Effect.void)
                  return Effect.as(Deferred.await(all), text(who))
                })
              )
              return Effect.match(storage.write(`${root}/file`, bytes), {
                onFailure: (error) => error.reason._tag,
                onSuccess: () => who
              })
            },
            { concurrency: "unbounded" }
          )
          assert.strictEqual(results.filter((result) => result === "AlreadyExists").length, 3)
          assert.include(results, yield* contents(storage, `${root}/file`))
          assert.deepStrictEqual(yield* list(storage, root), ["file"])
        })
      )

      test(
        "writes and renames create parents that others remove meanwhile, as they are empty",
        Effect.fnUntraced(function* (storage, root) {
          yield* Effect.forEach(
            ["a", "b", "c", "d"],
            Effect.fnUntraced(function* (name) {
              for (let round = 0; round < 12; round++) {
                yield* storage.write(`${root}/x/y/${name}`, text(name))
                yield* storage.rename(`${root}/x/y/${name}`, `${root}/x/z/${name}`)
                yield* storage.delete(`${root}/x/z/${name}`)
                for (const folder of ["x/y", "x/z", "x"]) yield* Effect.ignore(storage.delete(`${root}/${folder}`))
              }
            }),
            { concurrency: "unbounded", discard: true }
          )
          assert.deepStrictEqual(yield* list(storage, root), [])
        })
      )

      test(
        "of concurrent deletes one finds the file, the others find nothing",
        Effect.fnUntraced(function* (storage, root) {
          for (let round = 0; round < 8; round++) {
            yield* storage.write(`${root}/file`, text("x"))
            const found = yield* Effect.forEach(Array(6).fill(0), () => storage.delete(`${root}/file`), {
              concurrency: "unbounded"
            })
            assert.deepStrictEqual(found.toSorted(), [false, false, false, false, false, true])
          }
        })
      )

      // Open and seek

      test(
        "open a missing file, or one under a file",
        Effect.fnUntraced(function* (storage, root) {
          yield* failsWith(Stream.runDrain(storage.read(`${root}/none`)), "read", "NotFound")
          yield* failsWith(storage.readRange(`${root}/none`, 0, 1), "readRange", "NotFound")
          yield* storage.write(`${root}/file`, text("x"))
          yield* failsWith(Stream.runDrain(storage.read(`${root}/file/child`)), "read", "NotADirectory", "NotFound")
        })
      )

      test(
        "open a directory",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.mkdirs(`${root}/directory`)
          yield* failsWith(Stream.runDrain(storage.read(`${root}/directory`)), "read", "IsADirectory")
          yield* failsWith(storage.readRange(`${root}/directory`, 0, 1), "readRange", "IsADirectory")
          yield* failsWith(storage.blocks(`${root}/directory`), "blocks", "IsADirectory")
        })
      )

      test(
        "read a range in pieces that are the reader's own",
        Effect.fnUntraced(function* (storage, root) {
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
      )

      test(
        "read at the end gives nothing, read past the end is an error",
        Effect.fnUntraced(function* (storage, root) {
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
      )

      test(
        "a read gives as many bytes as the status says, a range as many as were asked for",
        Effect.fnUntraced(function* (storage, root) {
          // Around the sizes at which readers go on to another piece.
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
      )

      test(
        "ranged reads in parallel give right bytes",
        Effect.fnUntraced(function* (storage, root) {
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
      )

      test(
        "file replaced while it is read keeps either old or typed error",
        Effect.fnUntraced(function* (storage, root) {
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
      )

      test(
        "a reader that stops early leaves the file usable",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/file`, Stream.succeed(sampleBytes(8 * 1024 * 1024)))
          const first = yield* Stream.runCollect(Stream.take(storage.read(`${root}/file`), 1))
          assert.isBelow(first[0]?.length ?? Infinity, 8 * 1024 * 1024)
          assert.isTrue(yield* storage.delete(`${root}/file`))
        })
      )

      // Status and listing

      test(
        "stat of a directory, of a missing path, and of a child of a file",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/d/file`, text("x"))
          const status = yield* storage.stat(`${root}/d`)
          assert.deepStrictEqual([status.type, status.length], ["directory", 0])
          yield* failsWith(storage.stat(`${root}/none`), "stat", "NotFound")
          yield* failsWith(storage.stat(`${root}/d/file/child`), "stat", "NotADirectory", "NotFound")
          assert.strictEqual((yield* storage.stat(options.top)).type, "directory")
        })
      )

      test(
        "blocks cover the file",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/file`, Stream.succeed(sampleBytes(5000)))
          let at = 0
          for (const block of yield* storage.blocks(`${root}/file`)) {
            assert.strictEqual(block.offset, at)
            at += block.length
          }
          assert.strictEqual(at, 5000)
          yield* failsWith(storage.blocks(`${root}/none`), "blocks", "NotFound")
        })
      )

      test(
        "list one level in code point order, hidden names included",
        Effect.fnUntraced(function* (storage, root) {
          const names = [".hidden", "B", "_x", "a", "\uFF5E", "\u{1F600}"]
          for (const name of [...names].toReversed()) yield* storage.write(join(root, name), text(name))
          yield* storage.write(`${root}/sub/below`, text("x"))
          assert.deepStrictEqual(yield* list(storage, root), [".hidden", "B", "_x", "a", "sub", "\uFF5E", "\u{1F600}"])
        })
      )

      test(
        "list of a file, of an empty directory, of a missing path",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/file`, text("x"))
          yield* storage.mkdirs(`${root}/empty`)
          assert.deepStrictEqual(yield* list(storage, `${root}/file`), ["file"])
          assert.deepStrictEqual(yield* list(storage, `${root}/empty`), [])
          yield* failsWith(list(storage, `${root}/none`), "list", "NotFound")
        })
      )

      test(
        "glob",
        Effect.fnUntraced(function* (storage, root) {
          for (const path of ["a/1.txt", "a/2.csv", "a/.h.txt", "b/3.txt", "b/c/4.txt", "b/c/d/5.txt"]) {
            yield* storage.write(`${root}/${path}`, text(path))
          }
          const expected: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
            ["a/*.txt", [".h.txt", "1.txt"]],
            ["a/?.txt", ["1.txt"]],
            ["a/[12].*", ["1.txt", "2.csv"]],
            ["a/[^1].{csv,txt}", ["2.csv"]],
            ["*", ["a", "b"]],
            ["{a,b}/[0-9].txt", ["1.txt", "3.txt"]],
            ["*/c/4.txt", ["4.txt"]],
            ["**/*.txt", [".h.txt", "1.txt", "3.txt", "4.txt", "5.txt"]],
            ["b/**/c/**/5.txt", ["5.txt"]],
            ["*/1.txt/none", []],
            ["none*", []],
            ["none/*", []]
          ]
          for (const [pattern, names] of expected) {
            assert.deepStrictEqual(yield* list(storage, `${root}/${pattern}`), names, pattern)
          }
        })
      )

      test(
        "names with spaces, percent, plus, unicode, hash and question mark",
        Effect.fnUntraced(function* (storage, root) {
          for (const name of [
            "a b",
            "50%",
            "a%20b",
            "a+b",
            "k=v",
            "\u00fc\u4e16\u{1F600}",
            "a#b",
            "a?b",
            "a&b;c",
            "x@y,z",
            "[x]",
            "*"
          ]) {
            const path = join(join(root, name), name)
            yield* storage.write(path, text(name))
            assert.strictEqual(yield* contents(storage, path), name)
            const status = yield* storage.stat(path)
            assert.strictEqual(yield* contents(storage, status.path), name, status.path)
            const directory = yield* storage.stat(join(root, name))
            const found = yield* Stream.runCollect(storage.list(directory.path))
            assert.deepStrictEqual(
              found.map((entry) => entry.path),
              [status.path]
            )
            yield* storage.rename(path, `${root}/plain`)
            yield* storage.rename(`${root}/plain`, status.path)
            assert.isTrue(yield* storage.delete(path))
            assert.isTrue(yield* storage.delete(directory.path))
          }
          assert.deepStrictEqual(yield* list(storage, root), [])
        })
      )

      it.effect(
        `${largeDirectory} entries directory`,
        () =>
          Effect.gen(function* () {
            const storage = yield* Storage
            const root = yield* options.root
            yield* Effect.forEach(
              Array.from({ length: largeDirectory }, (_, i) => i),
              (i) => storage.mkdirs(`${root}/d${String(i).padStart(6, "0")}`),
              { concurrency: 32, discard: true }
            )
            const names = yield* list(storage, root)
            assert.strictEqual(names.length, largeDirectory)
            assert.deepStrictEqual(names, [...names].toSorted())
            assert.deepStrictEqual(yield* list(storage, `${root}/d00012?`), names.slice(120, 130))
            assert.isTrue(yield* storage.delete(root, { recursive: true }))
          }),
        120_000
      )

      // Mkdirs

      test(
        "mkdirs creates parents, twice is fine",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.mkdirs(`${root}/a/b/c`)
          yield* storage.mkdirs(`${root}/a/b/c`)
          assert.strictEqual((yield* storage.stat(`${root}/a/b`)).type, "directory")
          yield* storage.mkdirs(options.top)
        })
      )

      test(
        "mkdirs over a file, or under one",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/file`, text("x"))
          yield* failsWith(storage.mkdirs(`${root}/file`), "mkdirs", "NotADirectory")
          yield* failsWith(storage.mkdirs(`${root}/file/child`), "mkdirs", "NotADirectory")
          yield* failsWith(storage.mkdirs(`${root}/file/child/grandchild`), "mkdirs", "NotADirectory")
          assert.strictEqual(yield* contents(storage, `${root}/file`), "x")
        })
      )

      // Delete

      test(
        "delete a file, and nothing the second time",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/file`, text("x"))
          assert.isFalse(yield* storage.delete(`${root}/file/child`))
          assert.isTrue(yield* storage.delete(`${root}/file`))
          assert.isFalse(yield* storage.delete(`${root}/file`))
          assert.isFalse(yield* storage.delete(`${root}/none`, { recursive: true }))
          yield* failsWith(storage.stat(`${root}/file`), "stat", "NotFound")
        })
      )

      test(
        "delete non-empty without recursive",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/d/e/file`, text("x"))
          yield* failsWith(storage.delete(`${root}/d`), "delete", "NotEmpty")
          assert.strictEqual(yield* contents(storage, `${root}/d/e/file`), "x")
          assert.isTrue(yield* storage.delete(`${root}/d`, { recursive: true }))
          yield* storage.mkdirs(`${root}/empty`)
          assert.isTrue(yield* storage.delete(`${root}/empty`))
          assert.deepStrictEqual(yield* list(storage, root), [])
        })
      )

      // Without `recursive`, so that a backend that gets this wrong does no harm either: the root is never empty.
      test(
        "delete root refused",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.mkdirs(root)
          yield* failsWith(storage.delete(options.top), "delete", "InvalidPath")
          assert.strictEqual((yield* storage.stat(root)).type, "directory")
        })
      )

      // Rename

      test(
        "rename a file, into a directory that does not exist yet",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/from`, text("x"))
          yield* storage.rename(`${root}/from`, `${root}/new/deep/to`)
          assert.strictEqual(yield* contents(storage, `${root}/new/deep/to`), "x")
          assert.deepStrictEqual(yield* list(storage, root), ["new"])
        })
      )

      test(
        "rename a directory with what it holds",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/from/a/b`, text("x"))
          yield* storage.rename(`${root}/from`, `${root}/to`)
          assert.strictEqual(yield* contents(storage, `${root}/to/a/b`), "x")
          yield* failsWith(storage.stat(`${root}/from`), "stat", "NotFound")
        })
      )

      test(
        "rename file onto existing",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/from`, text("from"))
          yield* storage.write(`${root}/to`, text("to"))
          yield* storage.mkdirs(`${root}/directory`)
          yield* failsWith(storage.rename(`${root}/from`, `${root}/to`), "rename", "AlreadyExists")
          yield* failsWith(storage.rename(`${root}/from`, `${root}/directory`), "rename", "AlreadyExists")
          yield* failsWith(storage.rename(`${root}/from`, `${root}/from`), "rename", "AlreadyExists")
          yield* failsWith(storage.rename(`${root}/from`, `${root}/to/child`), "rename", "NotADirectory")
          assert.strictEqual(yield* contents(storage, `${root}/from`), "from")
          assert.strictEqual(yield* contents(storage, `${root}/to`), "to")
          assert.deepStrictEqual(yield* list(storage, `${root}/directory`), [])
        })
      )

      test(
        "rename with overwrite replaces a file by a file, and nothing else",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/from`, text("from"))
          yield* storage.write(`${root}/to`, text("to, and longer"))
          yield* storage.rename(`${root}/from`, `${root}/to`, { overwrite: true })
          assert.strictEqual(yield* contents(storage, `${root}/to`), "from")
          yield* storage.rename(`${root}/to`, `${root}/new`, { overwrite: true })
          assert.deepStrictEqual(yield* list(storage, root), ["new"])
          yield* storage.mkdirs(`${root}/empty`)
          yield* storage.mkdirs(`${root}/other`)
          for (const [from, to] of [
            ["new", "empty"],
            ["empty", "new"],
            ["empty", "other"],
            ["new", "new"]
          ]) {
            const rename = storage.rename(`${root}/${from}`, `${root}/${to}`, { overwrite: true })
            yield* failsWith(rename, "rename", "AlreadyExists")
          }
          yield* failsWith(storage.rename(`${root}/none`, `${root}/new`, { overwrite: true }), "rename", "NotFound")
          assert.strictEqual(yield* contents(storage, `${root}/new`), "from")
        })
      )

      test(
        "rename without parents creates none",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/file`, text("x"))
          yield* storage.write(`${root}/d/file`, text("y"))
          yield* storage.mkdirs(`${root}/there`)
          for (const from of ["file", "d"]) {
            for (const overwrite of [false, true]) {
              const rename = storage.rename(`${root}/${from}`, `${root}/gone/to`, { parents: false, overwrite })
              yield* failsWith(rename, "rename", "NotFound")
            }
            yield* storage.rename(`${root}/${from}`, `${root}/there/${from}`, { parents: false })
          }
          assert.deepStrictEqual(yield* list(storage, root), ["there"])
          assert.deepStrictEqual(yield* list(storage, `${root}/there`), ["d", "file"])
        })
      )

      concurrently("concurrent renames: of one source exactly one succeeds, and onto one name exactly one", () =>
        Effect.gen(function* () {
          const storage = yield* Storage
          const root = yield* options.root
          const outcomes = (pairs: ReadonlyArray<readonly [from: string, to: string]>) =>
            Effect.forEach(
              pairs,
              ([from, to]) =>
                Effect.match(storage.rename(`${root}/${from}`, `${root}/${to}`, { parents: false }), {
                  onFailure: (error) => error.reason._tag,
                  onSuccess: () => "done"
                }),
              { concurrency: "unbounded" }
            )
          yield* storage.write(`${root}/folder/file`, text("x"))
          const fanned = yield* outcomes(["a", "b", "c"].map((name) => ["folder", name] as const))
          assert.deepStrictEqual(fanned.toSorted(), ["NotFound", "NotFound", "done"])
          for (const name of ["f0", "f1", "f2"]) yield* storage.write(`${root}/${name}`, text(name))
          const met = yield* outcomes(["f0", "f1", "f2"].map((name) => [name, "one"] as const))
          assert.deepStrictEqual(met.toSorted(), ["AlreadyExists", "AlreadyExists", "done"])
          assert.strictEqual(yield* contents(storage, `${root}/one`), `f${met.indexOf("done")}`)
          assert.strictEqual((yield* list(storage, root)).length, 4)
        })
      )

      test(
        "the real path is one, whatever the name, of what is there and of what is not",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(join(`${root}/a/b`, "c d"), text("x"))
          const real = yield* storage.realPath(join(`${root}/a/b`, "c d"))
          assert.strictEqual(yield* storage.realPath(join(`${root}/a/./e/../b`, "c d")), real)
          assert.strictEqual(yield* storage.realPath(real), real)
          assert.strictEqual(yield* contents(storage, real), "x")
          const parent = yield* storage.realPath(`${root}/a`)
          assert.strictEqual(yield* storage.realPath(`${root}/a/none/x`), `${parent}/none/x`)
          assert.strictEqual(yield* storage.realPath(`${root}/a/b/`), `${parent}/b`)
          const listed = yield* Stream.runCollect(storage.list(`${parent}/b`))
          assert.deepStrictEqual(
            listed.map((status) => status.path),
            [real]
          )
        })
      )

      test(
        "rename a directory onto an existing directory, empty or not, or onto a file",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/from/file`, text("x"))
          yield* storage.mkdirs(`${root}/empty`)
          yield* storage.write(`${root}/full/other`, text("y"))
          yield* storage.write(`${root}/plain`, text("z"))
          for (const to of ["empty", "full", "plain", "from"]) {
            yield* failsWith(storage.rename(`${root}/from`, `${root}/${to}`), "rename", "AlreadyExists")
          }
          assert.deepStrictEqual(yield* list(storage, `${root}/from`), ["file"])
          assert.deepStrictEqual(yield* list(storage, `${root}/full`), ["other"])
        })
      )

      test(
        "rename dir into itself",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/d/file`, text("x"))
          yield* failsWith(storage.rename(`${root}/d`, `${root}/d/inside`), "rename", "InvalidPath")
          yield* failsWith(storage.rename(`${root}/d`, `${root}/d/new/inside`), "rename", "InvalidPath")
          assert.deepStrictEqual(yield* list(storage, `${root}/d`), ["file"])
        })
      )

      test(
        "rename a missing source",
        Effect.fnUntraced(function* (storage, root) {
          yield* failsWith(storage.rename(`${root}/none`, `${root}/to`), "rename", "NotFound")
          yield* failsWith(storage.stat(`${root}/to`), "stat", "NotFound")
        })
      )

      // Paths

      test(
        "a path that leads above the root",
        Effect.fnUntraced(function* (storage, root) {
          yield* storage.write(`${root}/a/file`, text("x"))
          assert.strictEqual(yield* contents(storage, `${root}/a/../a/./file`), "x")
          yield* failsWith(storage.stat(`${options.top}/../x`), "stat", "InvalidPath")
        })
      )
    })
  })
}
