import { Dataset, Engine, Events, Executor, JobError, Storage } from "@sluice/core"
import { FaultyStorage } from "@sluice/core/testing"
import { NoSpace, PermissionDenied } from "@sluice/core/StorageError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal({ executors: [{ slots: 2 }] })),
  Layer.provideMerge(Layer.mergeAll(FaultyStorage.layer(Storage.layer), Events.layer))
)

const temporary = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice bad-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

type Services = Engine.Engine | Storage.Storage | FaultyStorage.FaultyStorage

const test = (name: string, body: (root: string) => Effect.Effect<unknown, unknown, Services>) =>
  it.live(name, () => Effect.scoped(Effect.flatMap(temporary, body)).pipe(Effect.provide(engine)))

const Row = Schema.Struct({ id: Schema.Number, text: Schema.String })
const rows = Dataset.range(0, 100, { partitions: 2 }).pipe(Dataset.map((id) => ({ id, text: `row ${id}` })))

/** Copies the input to `<root>/out`, and checks the tag and the text of the error, and that nothing is left. */
const fails = Effect.fnUntraced(function* <E, R>(
  root: string,
  dataset: Dataset.Dataset<string, E, R>,
  expected: { readonly tag: string; readonly says: ReadonlyArray<string>; readonly hint: string }
) {
  const before = Fs.readdirSync(root).toSorted()
  const error = yield* Effect.flip(Dataset.writeText(dataset, `${root}/out`))
  assert.instanceOf(error, JobError.JobError)
  const { reason } = error as JobError.JobError
  assert.strictEqual(reason._tag === "InputFailed" ? reason.error.reason._tag : reason._tag, expected.tag)
  for (const part of expected.says) assert.include((error as JobError.JobError).message, part)
  assert.include((error as JobError.JobError).hint, expected.hint)
  assert.deepStrictEqual(Fs.readdirSync(root).toSorted(), before)
  assert.strictEqual((yield* (yield* FaultyStorage.FaultyStorage).counts).open, 0)
})

const json = Dataset.map((row: unknown) => JSON.stringify(row))

describe("input", () => {
  test(
    "that is missing",
    Effect.fnUntraced(function* (root) {
      const path = `${root}/none`
      const expected = { tag: "NoInput", says: [path], hint: "check the path" }
      yield* fails(root, Dataset.text(path), expected)
      yield* fails(root, Dataset.text(`${path}/*.txt`), expected)
      yield* fails(root, json(Dataset.parquet(path, Row)), expected)
      yield* fails(root, json(Dataset.csv(path, Row)), expected)
      yield* fails(root, json(Dataset.jsonLines(path, Row)), expected)
    })
  )

  test(
    "that is an empty directory, or has only hidden files",
    Effect.fnUntraced(function* (root) {
      Fs.mkdirSync(`${root}/in`)
      Fs.writeFileSync(`${root}/in/_SUCCESS`, "")
      Fs.writeFileSync(`${root}/in/.hidden`, "")
      const expected = { tag: "NoInput", says: [`${root}/in`], hint: "a directory needs at least one file" }
      yield* fails(root, Dataset.text(`${root}/in`), expected)
      yield* fails(root, json(Dataset.parquet(`${root}/in`, Row)), expected)
    })
  )

  test(
    "that is cut off or no Parquet at all",
    Effect.fnUntraced(function* (root) {
      const { files } = yield* Dataset.writeParquet(rows, `${root}/whole`, Row)
      const bytes = Fs.readFileSync(`${root}/whole/${files[0]?.path}`)
      for (const [name, length] of [
        ["none", 0],
        ["magic", 4],
        ["half", bytes.length >> 1],
        ["most", bytes.length - 1]
      ] as const) {
        const path = `${root}/${name}.parquet`
        Fs.writeFileSync(path, bytes.subarray(0, length))
        yield* fails(root, json(Dataset.parquet(path, Row)), {
          tag: "Corrupt",
          says: [`${name}.parquet`],
          hint: "cut off"
        })
      }
      Fs.writeFileSync(`${root}/text.parquet`, "this is text, and long enough")
      yield* fails(root, json(Dataset.parquet(`${root}/text.parquet`, Row)), {
        tag: "Corrupt",
        says: ["text.parquet"],
        hint: "leave it out"
      })
    })
  )

  test(
    "with another column or type, said before a row is read, naming what is there",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeParquet(rows, `${root}/in`, Row)
      const faulty = yield* FaultyStorage.FaultyStorage
      yield* faulty.reset
      const size = Fs.readdirSync(`${root}/in`).reduce((sum, name) => sum + Fs.statSync(`${root}/in/${name}`).size, 0)
      let mapped = 0
      const count = Dataset.map((row: unknown) => `${mapped++} ${JSON.stringify(row)}`)
      yield* fails(root, count(Dataset.parquet(`${root}/in`, Schema.Struct({ idd: Schema.Number }))), {
        tag: "SchemaMismatch",
        says: ['no column "idd"', "id: ", "text: "],
        hint: "name one of the file's columns"
      })
      yield* fails(root, count(Dataset.parquet(`${root}/in`, Schema.Struct({ text: Schema.Number }))), {
        tag: "SchemaMismatch",
        says: ['column "text" is ', "asked for", "id: "],
        hint: "change the schema"
      })
      const { operations } = yield* faulty.counts
      assert.strictEqual(mapped, 0)
      assert.strictEqual(operations.write, 0, "not even a staging folder")
      assert.strictEqual(operations.read, 0)
      // Footers only: at most two ranges per file and error.
      assert.isAtMost(operations.readRange, 8)
      assert.isAbove(size, 0)
    })
  )

  test(
    "that is not UTF-8",
    Effect.fnUntraced(function* (root) {
      Fs.writeFileSync(
        `${root}/latin1.txt`,
        Buffer.concat([Buffer.from("fine\n"), Buffer.from([0x63, 0x61, 0x66, 0xe9, 0x0a])])
      )
      yield* fails(root, Dataset.text(`${root}/latin1.txt`), {
        tag: "Corrupt",
        says: ["latin1.txt", "UTF-8"],
        hint: ""
      })
    })
  )

  test(
    "with a row that does not decode names the row",
    Effect.fnUntraced(function* (root) {
      Fs.writeFileSync(`${root}/in.jsonl`, `${'{"id":1,"text":"a"}\n'.repeat(1234)}{"id":"x","text":"a"}\n`)
      yield* fails(root, json(Dataset.jsonLines(`${root}/in.jsonl`, Row)), {
        tag: "InvalidRow",
        says: ["in.jsonl", "line 1235"],
        hint: "onInvalidRow"
      })
    })
  )

  test(
    "that may not be read",
    Effect.fnUntraced(function* (root) {
      Fs.writeFileSync(`${root}/secret.txt`, "x\n")
      const faulty = yield* FaultyStorage.FaultyStorage
      yield* faulty.inject({ operation: "read", reason: new PermissionDenied({ detail: "EACCES" }) })
      yield* fails(root, Dataset.text(`${root}/secret.txt`), {
        tag: "StorageFailed",
        says: ["secret.txt", "permission denied"],
        hint: "you may read the path"
      })
    })
  )
})

describe("output", () => {
  const lines = Dataset.range(0, 100_000, { partitions: 2 }).pipe(Dataset.map((n) => `a line of text ${n}`))

  test(
    "that exists",
    Effect.fnUntraced(function* (root) {
      Fs.mkdirSync(`${root}/out`)
      Fs.writeFileSync(`${root}/out/mine`, "x")
      yield* fails(root, lines, {
        tag: "OutputExists",
        says: [`${root}/out already exists`],
        hint: 'mode: "overwrite"'
      })
      assert.deepStrictEqual(Fs.readdirSync(`${root}/out`), ["mine"])
    })
  )

  test(
    "below a file",
    Effect.fnUntraced(function* (root) {
      Fs.writeFileSync(`${root}/file`, "x")
      const error = yield* Effect.flip(Dataset.writeText(lines, `${root}/file/out`))
      assert.strictEqual(error.reason._tag, "OutputFailed")
      assert.include(error.message, "is a file, not a directory")
      assert.deepStrictEqual(Fs.readdirSync(root), ["file"])
    })
  )

  test(
    "that may not be written",
    Effect.fnUntraced(function* (root) {
      const faulty = yield* FaultyStorage.FaultyStorage
      yield* faulty.inject({ operation: "write", reason: new PermissionDenied({ detail: "EACCES" }) })
      yield* fails(root, lines, { tag: "OutputFailed", says: ["permission denied"], hint: "fix the permissions" })
    })
  )

  test(
    "on a disk that is full (injected)",
    Effect.fnUntraced(function* (root) {
      const faulty = yield* FaultyStorage.FaultyStorage
      yield* faulty.inject({
        operation: "write",
        path: (path) => path.includes("part-"),
        afterBytes: 100_000,
        reason: new NoSpace({ detail: "ENOSPC" })
      })
      yield* fails(root, lines, { tag: "OutputFailed", says: ["no space left"], hint: "free some space" })
    })
  )

  const mounts = Os.platform() === "linux" && process.getuid?.() === 0 && canMount()

  it.live.skipIf(!mounts && process.env["SLUICE_REQUIRE_MOUNT"] !== "1")(
    "on a disk that is full (a tmpfs of 1 MiB; needs root and mount)",
    () =>
      Effect.gen(function* () {
        const root = yield* temporary
        yield* Effect.acquireRelease(
          Effect.sync(() => spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", root])),
          () => Effect.sync(() => spawnSync("umount", [root]))
        )
        yield* fails(root, lines, { tag: "OutputFailed", says: ["no space left"], hint: "free some space" })
      }).pipe(Effect.scoped, Effect.provide(engine))
  )
})

function canMount(): boolean {
  const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice mount-"))
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path]).status === 0
  if (mounted) spawnSync("umount", [path])
  Fs.rmdirSync(path)
  return mounted
}
