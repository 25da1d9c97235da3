/** Operations on what somebody else moves, deletes or replaces meanwhile: each gives what it would have given before or after that. */
import { assert } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type Case, contents, failsWith, list, text } from "./storageCase.ts"
import type { Storage } from "../../storage/Storage.ts"

/** More names than a listing looks up at once. */
const names = Array.from({ length: 150 }, (_, i) => `f${String(i).padStart(3, "0")}`)

const fill = (storage: Storage["Service"], directory: string) =>
  Effect.forEach(names, (name) => storage.mkdirs(`${directory}/${name}`), { concurrency: 8, discard: true })

/** Moves a directory away and back as long as another effect runs. */
const whileMoving = <A, E, R>(storage: Storage["Service"], from: string, to: string, run: Effect.Effect<A, E, R>) => {
  const back = Effect.andThen(storage.rename(from, to), Effect.andThen(Effect.yieldNow, storage.rename(to, from)))
  return Effect.raceFirst(Effect.forever(Effect.uninterruptible(back)), run)
}

export const racing: ReadonlyArray<Case> = [
  {
    title: "a directory that is moved while it is listed has all its entries, or is missing",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* fill(storage, `${root}/d`)
      const look = Effect.forEach(
        Array.from({ length: 25 }),
        Effect.fnUntraced(function* (_, i) {
          const found = yield* Effect.result(list(storage, i % 2 === 0 ? `${root}/d` : `${root}/d/f*`))
          if (found._tag === "Failure") {
            assert.include(["NotFound", "Unavailable"], found.failure.reason._tag, found.failure.message)
          } else if (i % 2 === 0 || found.success.length > 0) {
            assert.deepStrictEqual(found.success, names)
          }
        }),
        { discard: true }
      )
      yield* whileMoving(storage, `${root}/d`, `${root}/e`, look)
    })
  },
  {
    title: "a directory that is moved away after its first entries does not end there",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      for (const pattern of ["d", "d/*", "*/f*"]) {
        yield* fill(storage, `${root}/d`)
        let moved = false
        const found = yield* storage.list(`${root}/${pattern}`).pipe(
          Stream.tap(() => {
            if (moved) return Effect.void
            moved = true
            return storage.rename(`${root}/d`, `${root}/e`)
          }),
          Stream.runCollect,
          Effect.result
        )
        if (found._tag === "Success") assert.lengthOf(found.success, names.length, pattern)
        else assert.include(["NotFound", "Unavailable"], found.failure.reason._tag, found.failure.message)
        yield* storage.delete(`${root}/e`, { recursive: true })
      }
    })
  },
  {
    title: "entries that are deleted while a directory is listed are left out, the others are not",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* fill(storage, `${root}/d`)
      const [first = "", ...others] = names
      let deleted = false
      const found = yield* storage.list(`${root}/d`).pipe(
        Stream.tap(() => {
          if (deleted) return Effect.void
          deleted = true
          return Effect.forEach(others.slice(80, 100), (name) => storage.delete(`${root}/d/${name}`))
        }),
        Stream.map(({ path }) => path.slice(path.lastIndexOf("/") + 1)),
        Stream.runCollect
      )
      const kept = [first, ...others.slice(0, 80), ...others.slice(100)]
      assert.deepStrictEqual(
        found.filter((name) => kept.includes(name)),
        kept
      )
    })
  },
  {
    title: "of concurrent deletes of a directory one finds it, the others find nothing",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      for (let round = 0; round < 8; round++) {
        for (const name of ["a", "b/c", "b/d/e"]) yield* storage.write(`${root}/d/${name}`, text("x"))
        const found = yield* Effect.forEach(
          Array.from({ length: 6 }),
          () => storage.delete(`${root}/d`, { recursive: true }),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(found.toSorted(), [false, false, false, false, false, true])
        assert.deepStrictEqual(yield* list(storage, root), [])
      }
    })
  },
  {
    title: "of concurrent renames of a file one succeeds, the others do not find it, and it has one name",
    needsExclusive: true,
    run: Effect.fnUntraced(function* ({ root, storage }) {
      for (let round = 0; round < 8; round++) {
        yield* storage.write(`${root}/file`, text("x"))
        const outcomes = yield* Effect.forEach(
          ["a", "b", "c", "d"],
          (name) =>
            Effect.match(storage.rename(`${root}/file`, `${root}/${name}`), {
              onFailure: ({ path, reason }) => `${reason._tag} of ${path.slice(path.lastIndexOf("/") + 1)}`,
              onSuccess: () => "done"
            }),
          { concurrency: "unbounded" }
        )
        const lost = "NotFound of file"
        assert.deepStrictEqual(outcomes.toSorted(), [lost, lost, lost, "done"])
        const [only = "none", ...more] = yield* list(storage, root)
        assert.deepStrictEqual(more, [])
        assert.strictEqual(yield* contents(storage, `${root}/${only}`), "x")
        yield* storage.delete(`${root}/${only}`)
      }
    })
  },
  {
    title: "of concurrent renames of directories onto one name one succeeds, and the others stay",
    needsExclusive: true,
    run: Effect.fnUntraced(function* ({ root, storage }) {
      const all = ["a", "b", "c", "d"]
      for (let round = 0; round < 8; round++) {
        for (const name of all) yield* storage.write(`${root}/${name}/file`, text(name))
        const outcomes = yield* Effect.forEach(
          all,
          (name) =>
            Effect.match(storage.rename(`${root}/${name}`, `${root}/one`), {
              onFailure: (error) => error.reason._tag,
              onSuccess: () => "done"
            }),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(outcomes.toSorted(), ["AlreadyExists", "AlreadyExists", "AlreadyExists", "done"])
        const winner = all[outcomes.indexOf("done")]
        assert.strictEqual(yield* contents(storage, `${root}/one/file`), winner)
        assert.deepStrictEqual(yield* list(storage, root), [...all.filter((name) => name !== winner), "one"])
        yield* storage.delete(root, { recursive: true })
      }
    })
  },
  {
    title: "a file and a directory that are renamed onto one name at once do not mix",
    needsExclusive: true,
    run: Effect.fnUntraced(function* ({ root, storage }) {
      for (let round = 0; round < 8; round++) {
        yield* storage.write(`${root}/file`, text("file"))
        yield* storage.write(`${root}/directory/file`, text("directory"))
        const [file, directory] = yield* Effect.all(
          [storage.rename(`${root}/file`, `${root}/one`), storage.rename(`${root}/directory`, `${root}/one`)].map(
            (rename) =>
              Effect.match(rename, { onFailure: (error) => error.reason._tag, onSuccess: () => "done" as const })
          ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual([file, directory].toSorted(), ["AlreadyExists", "done"])
        const at = file === "done" ? `${root}/one` : `${root}/one/file`
        assert.strictEqual(yield* contents(storage, at), file === "done" ? "file" : "directory")
        yield* storage.delete(root, { recursive: true })
      }
    })
  },
  {
    title: "a rename of what is missing names the source, whatever is wrong with the target",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/file`, text("x"))
      for (const to of ["to", "file", "file/child", "gone/to"]) {
        for (const parents of [true, false]) {
          const rename = storage.rename(`${root}/none`, `${root}/${to}`, { parents })
          const error = yield* failsWith(rename, "rename", "NotFound")
          assert.strictEqual(error.path, `${root}/none`)
        }
      }
      assert.deepStrictEqual(yield* list(storage, root), ["file"])
    })
  }
]
