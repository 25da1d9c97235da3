/** Making directories, and deleting. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { type Case, contents, failsWith, list, text } from "./storageCase.ts"

export const removing: ReadonlyArray<Case> = [
  {
    title: "of concurrent deletes one finds the file, the others find nothing",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      for (let round = 0; round < 8; round++) {
        yield* storage.write(`${root}/file`, text("x"))
        const found = yield* Effect.forEach(Array(6).fill(0), () => storage.delete(`${root}/file`), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(found.toSorted(), [false, false, false, false, false, true])
      }
    })
  },
  {
    title: "mkdirs creates parents, twice is fine",
    run: Effect.fnUntraced(function* ({ root, storage, top }) {
      yield* storage.mkdirs(`${root}/a/b/c`)
      yield* storage.mkdirs(`${root}/a/b/c`)
      assert.strictEqual((yield* storage.stat(`${root}/a/b`)).type, "directory")
      yield* storage.mkdirs(top)
    })
  },
  {
    title: "mkdirs over a file, or under one",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/file`, text("x"))
      yield* failsWith(storage.mkdirs(`${root}/file`), "mkdirs", "NotADirectory")
      yield* failsWith(storage.mkdirs(`${root}/file/child`), "mkdirs", "NotADirectory")
      yield* failsWith(storage.mkdirs(`${root}/file/child/grandchild`), "mkdirs", "NotADirectory")
      assert.strictEqual(yield* contents(storage, `${root}/file`), "x")
    })
  },
  {
    title: "delete a file, and nothing the second time",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/file`, text("x"))
      assert.isFalse(yield* storage.delete(`${root}/file/child`))
      assert.isTrue(yield* storage.delete(`${root}/file`))
      assert.isFalse(yield* storage.delete(`${root}/file`))
      assert.isFalse(yield* storage.delete(`${root}/none`, { recursive: true }))
      yield* failsWith(storage.stat(`${root}/file`), "stat", "NotFound")
    })
  },
  {
    title: "delete non-empty without recursive",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/d/e/file`, text("x"))
      yield* failsWith(storage.delete(`${root}/d`), "delete", "NotEmpty")
      assert.strictEqual(yield* contents(storage, `${root}/d/e/file`), "x")
      assert.isTrue(yield* storage.delete(`${root}/d`, { recursive: true }))
      yield* storage.mkdirs(`${root}/empty`)
      assert.isTrue(yield* storage.delete(`${root}/empty`))
      assert.deepStrictEqual(yield* list(storage, root), [])
    })
  },
  // Without `recursive`, so that even a backend that gets this wrong does no harm: the root is never empty.
  {
    title: "delete root refused",
    run: Effect.fnUntraced(function* ({ root, storage, top }) {
      yield* storage.mkdirs(root)
      yield* failsWith(storage.delete(top), "delete", "InvalidPath")
      assert.strictEqual((yield* storage.stat(root)).type, "directory")
    })
  }
]
