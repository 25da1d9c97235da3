/** Outputs on disk, written by an engine whose storage can fail on demand. */
import { Commit, Dataset, Engine, Events, Executor, JobError, Storage } from "@sluice/core"
import { FaultyStorage } from "@sluice/core/testing"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { crc32 } from "node:zlib"

export const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal({ executors: [{ slots: 2 }] })),
  Layer.provideMerge(Layer.mergeAll(FaultyStorage.layer(Storage.layer), Events.layer))
)

export const temporary = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice commit-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

type Services = Engine.Engine | Storage.Storage | FaultyStorage.FaultyStorage

export const test = (name: string, body: (root: string) => Effect.Effect<unknown, unknown, Services>) =>
  it.live(name, () => Effect.scoped(Effect.flatMap(temporary, body)).pipe(Effect.provide(engine)))

export const names = (path: string) => (Fs.existsSync(path) ? Fs.readdirSync(path).toSorted() : undefined)

/** Checks that only the named files are left beside the output. */
export const onlyThere = (root: string, ...entries: ReadonlyArray<string>) =>
  assert.deepStrictEqual(names(root), entries)

/** The lines of an output that is whole: every file of the manifest is there with its bytes and checksum, and no other. */
export const wholeOutput = Effect.fnUntraced(function* (path: string) {
  const manifest = yield* Commit.readManifest(path)
  assert.deepStrictEqual(
    names(path)?.filter((name) => !name.startsWith("_")),
    manifest.files.map((file) => file.path).toSorted()
  )
  const lines: Array<string> = []
  let rows = 0
  for (const file of manifest.files) {
    const bytes = Fs.readFileSync(`${path}/${file.path}`)
    assert.strictEqual(file.bytes, bytes.length)
    assert.strictEqual(file.checksum, `crc32:${crc32(bytes).toString(16).padStart(8, "0")}`)
    const own = bytes.toString("utf8").split("\n").slice(0, -1)
    assert.strictEqual(file.rows, own.length)
    rows += own.length
    lines.push(...own)
  }
  assert.strictEqual(manifest.rows, rows)
  assert.strictEqual(
    manifest.bytes,
    manifest.files.reduce((sum, file) => sum + file.bytes, 0)
  )
  return lines
})

export const lines = (n: number, prefix = "line") =>
  Dataset.range(0, n, { partitions: 4 }).pipe(Dataset.map((i) => `${prefix} ${i}`))

export const expected = (n: number, prefix = "line") => Array.from({ length: n }, (_, i) => `${prefix} ${i}`)

export const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    if (error instanceof JobError.JobError) return error
    throw new Error("not a JobError", { cause: error })
  })
