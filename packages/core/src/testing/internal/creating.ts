/** Creating files: that what is written appears, and nothing else does. */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { type Case, contents, failsWith, list, sampleBytes, text } from "./storageCase.ts"

export const creating: ReadonlyArray<Case> = [
  {
    title: "writes an empty file",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      assert.strictEqual(yield* storage.write(`${root}/empty`, Stream.empty), 0)
      assert.strictEqual((yield* storage.stat(`${root}/empty`)).length, 0)
      assert.deepStrictEqual(yield* Stream.runCollect(storage.read(`${root}/empty`)), [])
      assert.deepStrictEqual(yield* storage.blocks(`${root}/empty`), [])
    })
  },
  {
    title: "create over an existing file without overwrite fails and leaves it as it was",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/file`, text("old"))
      yield* failsWith(storage.write(`${root}/file`, text("new")), "write", "AlreadyExists")
      assert.strictEqual(yield* contents(storage, `${root}/file`), "old")
      assert.deepStrictEqual(yield* list(storage, root), ["file"])
    })
  },
  {
    title: "create with overwrite replaces the file",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/file`, text("a longer old text"))
      assert.strictEqual(yield* storage.write(`${root}/file`, text("new"), { overwrite: true }), 3)
      assert.strictEqual(yield* contents(storage, `${root}/file`), "new")
      assert.deepStrictEqual(yield* list(storage, root), ["file"])
    })
  },
  {
    title: "create over a directory fails, with overwrite too",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.mkdirs(`${root}/empty`)
      yield* storage.write(`${root}/full/file`, text("x"))
      for (const path of [`${root}/empty`, `${root}/full`]) {
        for (const overwrite of [false, true]) {
          yield* failsWith(storage.write(path, text("y"), { overwrite }), "write", "IsADirectory")
        }
      }
      assert.deepStrictEqual(yield* list(storage, root), ["empty", "full"])
    })
  },
  {
    title: "create under a file fails",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/file`, text("x"))
      yield* failsWith(storage.write(`${root}/file/child`, text("y")), "write", "NotADirectory")
      yield* failsWith(storage.write(`${root}/file/child/grandchild`, text("y")), "write", "NotADirectory")
      assert.strictEqual(yield* contents(storage, `${root}/file`), "x")
    })
  },
  {
    title: "failed stream leaves no file and no temp",
    run: Effect.fnUntraced(function* ({ root, storage }) {
      yield* storage.write(`${root}/kept`, text("old"))
      const broken = Stream.concat(Stream.succeed(sampleBytes(100_000)), Stream.fail("broken" as const))
      for (const name of ["kept", "new"]) {
        const error = yield* Effect.flip(storage.write(`${root}/${name}`, broken, { overwrite: true }))
        assert.strictEqual(error, "broken")
      }
      assert.deepStrictEqual(yield* list(storage, root), ["kept"])
      assert.strictEqual(yield* contents(storage, `${root}/kept`), "old")
    })
  },
  {
    title: "interrupted write leaves nothing",
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  },
  {
    title: "a file being written cannot be seen at its name",
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  },
  {
    title: "concurrent writers: exactly one wins without overwrite",
    needsExclusive: true,
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  },
  {
    title: "writes and renames create parents that others remove meanwhile, as they are empty",
    run: Effect.fnUntraced(function* ({ root, storage }) {
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
  }
]
