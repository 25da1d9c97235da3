import { Storage } from "@sluice/core"
import { NotEmpty } from "@sluice/core/StorageError"
import { FaultyStorage } from "@sluice/core/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import type { Claim } from "../../../src/commit/internal/claim.ts"
import { layoutOf, readText, writeText } from "../../../src/commit/internal/layout.ts"
import { isCommitted, publish, stage } from "../../../src/commit/internal/publish.ts"
import { settle } from "../../../src/commit/internal/recover.ts"

const output = "memory:///d/out"
const layout = layoutOf(output, "beside", "job")
const folder = "memory:///d/_sluice/out/job"
const commit = `${folder}/commit`

const claim = (more: Partial<Claim> = {}): Claim => ({
  path: output,
  mode: "error-if-exists",
  layout,
  leases: [],
  there: "absent",
  ...more
})

type Tree = Readonly<Record<string, string>>

/** All files of the storage, by path. */
const tree = Effect.gen(function* () {
  const storage = yield* Storage.Storage
  const found: Record<string, string> = {}
  const pending = ["memory:///d"]
  for (let path = pending.shift(); path !== undefined; path = pending.shift()) {
    for (const entry of yield* Stream.runCollect(storage.list(path))) {
      if (entry.type === "directory") pending.push(entry.path)
      else found[entry.path.slice("memory:///d/".length)] = yield* readText(storage, entry.path)
    }
  }
  return found
})

const put = (files: Tree) =>
  Effect.flatMap(Storage.Storage, (storage) =>
    Effect.forEach(Object.entries(files), ([path, text]) => writeText(storage, `memory:///d/${path}`, text), {
      discard: true
    })
  )

const under = (prefix: string, files: Tree): Tree =>
  Object.fromEntries(Object.entries(files).map(([path, text]) => [`${prefix}/${path}`, text]))

const inFolder = (files: Tree) => under("_sluice/out/job/commit", files)
const inOutput = (files: Tree) => under("out", files)
const manifestOf = (job: string) => JSON.stringify({ job })

const testing = <A, E>(name: string, body: () => Effect.Effect<A, E, Storage.Storage | FaultyStorage.FaultyStorage>) =>
  it.effect(name, () => Effect.provide(body(), Layer.fresh(FaultyStorage.layer(Storage.layerMemory))))

/** Brings two files into the job's folder, as they will be in the output. */
const staged = Effect.gen(function* () {
  const storage = yield* Storage.Storage
  yield* put(under("_sluice/out/job", { "0-0/a": "A", "1-0/b": "B" }))
  yield* stage(storage, claim(), [
    { from: `${folder}/0-0/a`, name: "a" },
    { from: `${folder}/1-0/b`, name: "k=1/b" }
  ])
  return ["a", "k=1/b"] as const
})

const publishing = (more: Partial<Claim>, files: ReadonlyArray<string>) =>
  Effect.flatMap(Storage.Storage, (storage) => publish(storage, claim(more), { files, manifest: manifestOf("job") }))

const committed = (job = "job") => Effect.flatMap(Storage.Storage, (storage) => isCommitted(storage, claim(), job))

describe("a commit", () => {
  testing("brings the files together, and is one rename where nothing is there", () =>
    Effect.gen(function* () {
      const files = yield* staged
      assert.deepStrictEqual(yield* tree, inFolder({ "out/a": "A", "out/k=1/b": "B" }))
      assert.isFalse(yield* committed())
      yield* publishing({}, files)
      assert.deepStrictEqual(yield* tree, inOutput({ a: "A", "k=1/b": "B", _SUCCESS: manifestOf("job") }))
      assert.deepStrictEqual([yield* committed(), yield* committed("other")], [true, false])
    })
  )

  testing("puts what it replaces away first", () =>
    Effect.gen(function* () {
      yield* put(inOutput({ old: "O", _SUCCESS: manifestOf("before") }))
      const files = yield* staged
      yield* publishing({ mode: "overwrite", there: "present" }, files)
      assert.deepStrictEqual(yield* tree, {
        ...inOutput({ a: "A", "k=1/b": "B", _SUCCESS: manifestOf("job") }),
        ...inFolder({ "aside/old/old": "O", "aside/old/_SUCCESS": manifestOf("before") })
      })
      assert.isTrue(yield* committed())
    })
  )

  for (const [name, mode, place, refused] of [
    ["an append", "append", "beside", false],
    ["an overwrite from inside", "overwrite", "inside", false],
    ["an overwrite of an output that cannot be renamed", "overwrite", "beside", true]
  ] as const) {
    testing(`of ${name} is file by file, and the manifest decides`, () =>
      Effect.gen(function* () {
        const faulty = yield* FaultyStorage.FaultyStorage
        yield* put(inOutput({ old: "O", "k=1/old": "P", _SUCCESS: manifestOf("before") }))
        const files = yield* staged
        if (refused)
          yield* faulty.inject({ operation: "rename", path: (path) => path === output, reason: new NotEmpty() })
        yield* publishing({ mode, there: "present", layout: { ...layout, place } }, files)
        const { "_sluice/out/job/commit/_intent": intent = "", ...rest } = yield* tree
        assert.deepStrictEqual(
          rest,
          inOutput({ a: "A", "k=1/b": "B", old: "O", "k=1/old": "P", _SUCCESS: manifestOf("job") })
        )
        assert.deepStrictEqual(JSON.parse(intent), {
          files,
          removed: mode === "append" ? [] : ["old", "k=1/old"],
          previous: manifestOf("before")
        })
        assert.deepStrictEqual([yield* committed(), yield* committed("other")], [true, false])
        yield* settle(yield* Storage.Storage, layout)
        const there = mode === "append" ? { old: "O", "k=1/old": "P" } : {}
        assert.deepStrictEqual(yield* tree, inOutput({ a: "A", "k=1/b": "B", ...there, _SUCCESS: manifestOf("job") }))
      })
    )
  }

  testing("takes no file's place", () =>
    Effect.gen(function* () {
      yield* put(inOutput({ "k=1/b": "theirs", _SUCCESS: manifestOf("before") }))
      const files = yield* staged
      const before = yield* tree
      const error = yield* Effect.flip(publishing({ mode: "append", there: "present" }, files))
      assert.deepStrictEqual(
        [error._tag === "StorageError" && error.reason._tag, error._tag === "StorageError" && error.path],
        ["AlreadyExists", `${output}/k=1/b`]
      )
      assert.deepStrictEqual(yield* tree, before)
      assert.isFalse(yield* committed("before"), "not this one")
    })
  )

  testing("is known to be done by what is no longer in its folder", () =>
    Effect.gen(function* () {
      yield* put(inOutput({ _SUCCESS: manifestOf("job") }))
      assert.isTrue(yield* committed())
      yield* put(inFolder({ "out/a": "A" }))
      assert.isFalse(yield* committed(), "the files are still here")
      yield* put(inFolder({ _intent: "{}" }))
      assert.isTrue(yield* committed(), "some may stay, where it goes file by file")
      yield* put(inFolder({ _manifest: manifestOf("job") }))
      assert.isFalse(yield* committed(), "the manifest does not")
      yield* (yield* Storage.Storage).delete(`${commit}/_manifest`)
      yield* (yield* Storage.Storage).delete(`${output}/_SUCCESS`)
      assert.isFalse(yield* committed())
    })
  )
})

describe("an unfinished commit", () => {
  const intent = (previous: string | null, removed: ReadonlyArray<string> = []) =>
    JSON.stringify({ files: ["a", "k=1/b"], removed, previous })
  const settling = Effect.gen(function* () {
    yield* settle(yield* Storage.Storage, layout)
    return yield* tree
  })

  testing("is undone where the manifest is the old one, or there is none", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const old = manifestOf("before")
      for (const [previous, there, after] of [
        [old, old, old],
        // A gateway deletes it before it puts the next one there.
        [old, undefined, old],
        // Another's by now.
        [old, manifestOf("other"), manifestOf("other")],
        [null, undefined, undefined]
      ] as const) {
        yield* storage.delete("memory:///d", { recursive: true })
        yield* put(inFolder({ _intent: intent(previous), _manifest: manifestOf("job"), "out/k=1/b": "B" }))
        yield* put(inOutput({ a: "A", "k=1/b": "B", old: "O", ...(there === undefined ? {} : { _SUCCESS: there }) }))
        assert.deepStrictEqual(
          yield* settling,
          inOutput({ old: "O", ...(after === undefined ? {} : { _SUCCESS: after }) })
        )
        const entries = yield* Stream.runCollect(storage.list(output))
        assert.isTrue(
          entries.every(({ type }) => type === "file"),
          "its folder goes"
        )
      }
    })
  )

  testing("is finished where the manifest is the new one: what that does not name goes", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      // Renamed, or at both names where a rename is two steps.
      for (const rest of [{}, { _manifest: manifestOf("job") }]) {
        yield* storage.mkdirs(`${commit}/aside`)
        yield* put(inFolder({ _intent: intent(manifestOf("before"), ["old", "k=0/old", "not there"]), ...rest }))
        const files = { a: "A", "k=1/b": "B", _SUCCESS: manifestOf("job") }
        yield* put(inOutput({ ...files, old: "O", "k=0/old": "P" }))
        assert.deepStrictEqual(yield* settling, inOutput(files))
      }
    })
  )

  testing("takes nothing away once its folder was taken from it", () =>
    Effect.gen(function* () {
      yield* put(inFolder({ _intent: intent(manifestOf("before"), ["old"]) }))
      const files = { a: "A", "k=1/b": "B", old: "another's", _SUCCESS: manifestOf("other") }
      yield* put(inOutput(files))
      assert.deepStrictEqual(yield* settling, inOutput(files))
    })
  )

  testing("puts back the output that it replaces, unless the new one or something else is in its place", () =>
    Effect.gen(function* () {
      const storage = yield* Storage.Storage
      const old = { "aside/old/old": "O" }
      for (const [files, there, after] of [
        [{ ...old, "out/a": "A" }, {}, inOutput({ old: "O" })],
        [old, { a: "A" }, inOutput({ a: "A" })],
        [old, {}, {}],
        [{ "out/a": "A" }, { a: "theirs" }, inOutput({ a: "theirs" })],
        [
          { ...old, "out/a": "A" },
          { a: "theirs" },
          { ...inOutput({ a: "theirs" }), ...under("out.old-job", { old: "O" }) }
        ]
      ] as ReadonlyArray<readonly [Tree, Tree, Tree]>) {
        yield* storage.delete("memory:///d", { recursive: true })
        yield* put(inFolder(files))
        yield* put(inOutput(there))
        assert.deepStrictEqual(yield* settling, after)
      }
    })
  )
})
