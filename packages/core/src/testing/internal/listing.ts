/** Statuses, listings, globs and names. */
import { assert } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type Case, contents, failsWith, list, sampleBytes, text } from "./storageCase.ts"

export const listing: ReadonlyArray<Case> = [
  {
    title: "stat of a directory, of a missing path, and of a child of a file",
    run: Effect.fnUntraced(function* ({ root, storage, top }) {
      yield* storage.write(`${root}/d/file`, text("x"))
      const status = yield* storage.stat(`${root}/d`)
      assert.deepStrictEqual([status.type, status.length], ["directory", 0])
      yield* failsWith(storage.stat(`${root}/none`), "stat", "NotFound")
      yield* failsWith(storage.stat(`${root}/d/file/child`), "stat", "NotADirectory", "NotFound")
      assert.strictEqual((yield* storage.stat(top)).type, "directory")
    })
  },
  {
    title: "blocks cover the file",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/file`, Stream.succeed(sampleBytes(5000)))
      let at = 0
      for (const block of yield* storage.blocks(`${root}/file`)) {
        assert.strictEqual(block.offset, at)
        at += block.length
      }
      assert.strictEqual(at, 5000)
      yield* failsWith(storage.blocks(`${root}/none`), "blocks", "NotFound")
    })
  },
  {
    title: "list one level in code point order, hidden names included",
    run: Effect.fnUntraced(function* ({ join, root, storage }) {
      const names = [".hidden", "B", "_x", "a", "\uFF5E", "\u{1F600}"]
      for (const name of [...names].toReversed()) yield* storage.write(join(root, name), text(name))
      yield* storage.write(`${root}/sub/below`, text("x"))
      assert.deepStrictEqual(yield* list(storage, root), [".hidden", "B", "_x", "a", "sub", "\uFF5E", "\u{1F600}"])
    })
  },
  {
    title: "list of a file, of an empty directory, of a missing path",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/file`, text("x"))
      yield* storage.mkdirs(`${root}/empty`)
      assert.deepStrictEqual(yield* list(storage, `${root}/file`), ["file"])
      assert.deepStrictEqual(yield* list(storage, `${root}/empty`), [])
      yield* failsWith(list(storage, `${root}/none`), "list", "NotFound")
    })
  },
  {
    title: "glob",
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  },
  {
    title: "names with spaces, percent, plus, unicode, hash and question mark",
    run: Effect.fnUntraced(function* ({ join, root, storage }) {
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
  },
  {
    title: "a directory of many entries",
    timeout: 120_000,
    run: Effect.fnUntraced(function* ({ largeDirectory, root, storage }) {
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
    })
  },
  {
    title: "the real path is one, whatever the name, of what is there and of what is not",
    run: Effect.fnUntraced(function* ({ join, root, storage }) {
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
  },
  {
    title: "a path that leads above the root",
    run: Effect.fnUntraced(function* ({ root, storage, top }) {
      yield* storage.write(`${root}/a/file`, text("x"))
      assert.strictEqual(yield* contents(storage, `${root}/a/../a/./file`), "x")
      yield* failsWith(storage.stat(`${top}/../x`), "stat", "InvalidPath")
    })
  }
]
