/** Storage that a test can stop at any operation, engines on it, and checks of an output. */
import { Commit, Dataset, Engine, Events, Executor, JobError, Shuffle, Storage } from "@sluice/core"
import { StorageError, Unsupported } from "@sluice/core/StorageError"
import { assert } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { crc32 } from "node:zlib"

/** What happens to each operation that changes or looks at something. */
export type Hook = <A, E>(operation: string, run: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** A backend whose operations all go through a hook. */
export const hooked = (backend: Storage.Backend, hook: Hook): Storage.Backend => ({
  list: (path) =>
    Stream.unwrap(Effect.map(hook(`list ${path}`, Stream.runCollect(backend.list(path))), Stream.fromIterable)),
  stat: (path) => hook(`stat ${path}`, backend.stat(path)),
  read: (path, range) => backend.read(path, range),
  readRange: (path, offset, length) => hook(`readRange ${path}`, backend.readRange(path, offset, length)),
  write: (path, bytes, options) =>
    Effect.flatMap(Stream.runCollect(bytes), (pieces) =>
      hook(`write ${path}`, backend.write(path, Stream.fromIterable(pieces), options))
    ),
  rename: (from, to, options) => hook(`rename ${from} ${to}`, backend.rename(from, to, options)),
  delete: (path, options) => hook(`delete ${path}`, backend.delete(path, options)),
  mkdirs: (path) => hook(`mkdirs ${path}`, backend.mkdirs(path)),
  realPath: (path) => hook(`realPath ${path}`, backend.realPath(path)),
  blocks: (path) => backend.blocks(path)
})

/**
 * A backend that writes as a disk does, in three steps between which others have their turn: the folder, a hidden file in it, and the
 * name. A folder that is removed or a hidden file that is swept in between is "not found".
 */
export const stepwise = (backend: Storage.Backend): Storage.Backend => {
  let files = 0
  return {
    ...backend,
    write: (path, bytes, options) =>
      Effect.gen(function* () {
        const cut = path.lastIndexOf("/")
        const hidden = `${path.slice(0, cut)}/.${path.slice(cut + 1)}.${files++}._COPYING_`
        yield* backend.mkdirs(path.slice(0, cut))
        yield* backend.stat(path.slice(0, cut))
        const written = yield* backend.write(hidden, bytes)
        const { overwrite = false } = options ?? {}
        yield* Effect.onError(backend.rename(hidden, path, { overwrite, parents: false }), () =>
          Effect.ignore(backend.delete(hidden))
        )
        return written
      })
  }
}

/** A backend in which a directory is a mount point: it cannot be renamed, nor anything across its border. */
export const mounted = (backend: Storage.Backend, mount: string): Storage.Backend => {
  const isIn = (path: string) => path.startsWith(`${mount}/`)
  const refused = (operation: string, path: string) =>
    new StorageError({ operation, path, reason: new Unsupported({ detail: "a mount point" }) })
  return {
    ...backend,
    rename: (from, to, options) =>
      from === mount || to === mount || isIn(from) !== isIn(to)
        ? Effect.fail(refused("rename", from))
        : backend.rename(from, to, options),
    delete: (path, options) => (path === mount ? Effect.fail(refused("delete", path)) : backend.delete(path, options))
  }
}

/** A separate engine on a backend, as another process would have. */
export const engineOn = (backend: Storage.Backend) =>
  Layer.build(
    Engine.layerWithShuffle.pipe(
      Layer.provide(Shuffle.layerMemory()),
      Layer.provide(Executor.layerLocal({ executors: [{ slots: 2 }] })),
      Layer.provideMerge(Layer.mergeAll(Storage.layerSchemes({ memory: Effect.succeed(backend) }), Events.layer))
    )
  )

const linesOf = (name: string, rows = 6) => Array.from({ length: rows }, (_, i) => `${name} ${i}`)

/** A job that writes lines with a name. */
export const write = (output: string, name: string, options: Commit.OutputOptions, partitions = 2) =>
  Dataset.fromIterable(linesOf(name), { partitions }).pipe(Dataset.writeText(output, options))

/** The names of the jobs whose rows an output has, in the order of its manifest; every file is whole and none is too many. */
export const jobsIn = Effect.fnUntraced(function* (output: string, only: boolean) {
  const storage = yield* Storage.Storage
  const manifest = yield* Commit.readManifest(output)
  const lines: Array<string> = []
  for (const file of manifest.files) {
    const bytes = Buffer.concat(yield* Stream.runCollect(storage.read(`${output}/${file.path}`)))
    assert.strictEqual(file.bytes, bytes.length)
    assert.strictEqual(file.checksum, `crc32:${crc32(bytes).toString(16).padStart(8, "0")}`)
    lines.push(...bytes.toString("utf8").split("\n").slice(0, -1))
  }
  assert.strictEqual(manifest.rows, lines.length)
  const names = [...new Set(lines.map((line) => line.split(" ")[0] ?? ""))]
  assert.deepStrictEqual(
    lines,
    names.flatMap((name) => linesOf(name))
  )
  if (only) {
    const entries = yield* Stream.runCollect(storage.list(output))
    assert.deepStrictEqual(
      entries.map((entry) => entry.path.slice(entry.path.lastIndexOf("/") + 1)),
      ["_SUCCESS", ...manifest.files.map((file) => file.path)].toSorted()
    )
  }
  return names
})

/** The reason of a job's failure. */
export const reasonOf = (error: unknown): string =>
  error instanceof JobError.JobError ? error.reason._tag : String(error)

/** Lets time pass, and real files be written, until an effect has ended. */
export const passTime = Effect.fnUntraced(function* (isDone: () => boolean, millis = 20) {
  while (!isDone()) {
    yield* TestClock.adjust(millis)
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  }
})
