/** Renaming files and directories. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { type Case, contents, failsWith, list, text } from "./storageCase.ts"

export const renaming: ReadonlyArray<Case> = [
  {
    title: "rename a file, into a directory that does not exist yet",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/from`, text("x"))
      yield* storage.rename(`${root}/from`, `${root}/new/deep/to`)
      assert.strictEqual(yield* contents(storage, `${root}/new/deep/to`), "x")
      assert.deepStrictEqual(yield* list(storage, root), ["new"])
    })
  },
  {
    title: "rename a directory with what it holds",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/from/a/b`, text("x"))
      yield* storage.rename(`${root}/from`, `${root}/to`)
      assert.strictEqual(yield* contents(storage, `${root}/to/a/b`), "x")
      yield* failsWith(storage.stat(`${root}/from`), "stat", "NotFound")
    })
  },
  {
    title: "rename file onto existing",
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  },
  {
    title: "rename with overwrite replaces a file by a file, and nothing else",
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  },
  {
    title: "rename without parents creates none",
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  },
  {
    title: "concurrent renames: of one source exactly one succeeds, and onto one name exactly one",
    needsExclusive: true,
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  },
  {
    title: "rename a directory onto an existing directory, empty or not, or onto a file",
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  },
  {
    title: "rename dir into itself",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/d/file`, text("x"))
      yield* failsWith(storage.rename(`${root}/d`, `${root}/d/inside`), "rename", "InvalidPath")
      yield* failsWith(storage.rename(`${root}/d`, `${root}/d/new/inside`), "rename", "InvalidPath")
      assert.deepStrictEqual(yield* list(storage, `${root}/d`), ["file"])
    })
  },
  {
    title: "rename a missing source",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* failsWith(storage.rename(`${root}/none`, `${root}/to`), "rename", "NotFound")
      yield* failsWith(storage.stat(`${root}/to`), "stat", "NotFound")
    })
  }
]
