import { Commit, Condition, Dataset, Engine, JobError } from "@sluice/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const Row = Schema.Struct({ id: Schema.Number, text: Schema.String })

const rows = Array.from({ length: 60 }, (_, id) => ({ id, text: `row ${id}` }))

const verify = { verify: "manifest" } as const

const all = () => Dataset.fromIterable(rows, { partitions: 3 })

const formats = {
  text: {
    write: (out: string, mode?: Commit.WriteMode) =>
      Dataset.writeText(
        Dataset.map(all(), (row) => JSON.stringify(row)),
        out,
        { mode }
      ),
    read: (path: string) => Dataset.text(path, verify).pipe(Dataset.map((line): typeof Row.Type => JSON.parse(line)))
  },
  csv: {
    write: (out: string, mode?: Commit.WriteMode) => Dataset.writeCsv(all(), out, Row, { mode }),
    read: (path: string) => Dataset.csv(path, Row, verify)
  },
  jsonLines: {
    write: (out: string, mode?: Commit.WriteMode) => Dataset.writeJsonLines(all(), out, Row, { mode }),
    read: (path: string) => Dataset.jsonLines(path, Row, verify)
  },
  parquet: {
    write: (out: string, mode?: Commit.WriteMode) => Dataset.writeParquet(all(), out, Row, { mode }),
    read: (path: string) => Dataset.parquet(path, Row, verify)
  }
} as const

const test = (name: string, body: (root: string) => Effect.Effect<unknown, unknown, Engine.Engine | Storage>) =>
  it.live(name, () =>
    Effect.acquireRelease(
      Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice verify "))),
      (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
    ).pipe(Effect.flatMap(body), Effect.scoped, Effect.provide(Engine.layer))
  )

type Storage = Effect.Services<ReturnType<typeof Commit.readManifest>>

/** The reason for which it was not read, and that this was said before the first row. */
const refused = <A, E, R>(effect: Effect.Effect<A, E, R>, words: string) =>
  Effect.map(Effect.flip(effect), (error) => {
    if (!(error instanceof JobError.JobError)) throw new Error("not a JobError", { cause: error })
    assert.strictEqual(error.reason._tag, "InputFailed")
    if (error.reason._tag === "InputFailed") assert.strictEqual(error.reason.error.reason._tag, "ManifestMismatch")
    assert.include(error.message, words)
    return error
  })

for (const [name, { read, write }] of Object.entries(formats)) {
  describe(`verify: "manifest" of ${name}`, () => {
    test(
      "reads what the manifest names, and nothing that lies beside it",
      Effect.fnUntraced(function* (root) {
        const out = `${root}/out`
        yield* write(out)
        yield* write(`${root}/other`)
        const stray = (yield* Commit.readManifest(`${root}/other`)).files[1]?.path ?? ""
        Fs.copyFileSync(`${root}/other/${stray}`, `${out}/${stray}`)
        Fs.writeFileSync(`${out}/notes`, "not of this format")
        assert.deepStrictEqual(yield* Dataset.collect(read(out)), rows)
        assert.deepStrictEqual(yield* Dataset.collect(read(`${out}/`)), rows)
        yield* write(out, "append")
        assert.deepStrictEqual(yield* Dataset.collect(read(out)), [...rows, ...rows])
        const some = Dataset.where(read(out), { id: Condition.gte(50) })
        assert.strictEqual((yield* Dataset.collect(some)).length, 20)
      })
    )

    test(
      "a file that is missing, longer, or of other bytes is an error",
      Effect.fnUntraced(function* (root) {
        const out = `${root}/out`
        yield* write(out)
        const file = (yield* Commit.readManifest(out)).files[1]
        if (file === undefined) throw new Error("no file")
        const path = `${out}/${file.path}`
        const bytes = Fs.readFileSync(path)
        Fs.rmSync(path)
        assert.isUndefined(
          (yield* refused(Dataset.collect(read(out)), "is missing, although the manifest")).at.partition
        )
        Fs.writeFileSync(path, Buffer.concat([bytes, Buffer.from("\n")]))
        const length = yield* refused(
          Dataset.collect(read(out)),
          `has ${file.bytes + 1} bytes, the manifest says ${file.bytes}`
        )
        assert.isUndefined(length.at.partition)
        // A digit of a row: a file that can be read as well as before.
        const other = Buffer.from(bytes)
        const at = bytes.indexOf("row 2")
        other[at + 4] = "3".charCodeAt(0)
        Fs.writeFileSync(path, other)
        yield* refused(Dataset.collect(read(out)), `the manifest says ${file.checksum}`)
        Fs.writeFileSync(path, bytes)
        assert.deepStrictEqual(yield* Dataset.collect(read(out)), rows)
      })
    )

    test(
      "no manifest, one of another version, and one that leads out of its directory are errors",
      Effect.fnUntraced(function* (root) {
        const out = `${root}/out`
        yield* write(out)
        const manifest = JSON.parse(Fs.readFileSync(`${out}/_SUCCESS`, "utf8"))
        const [file] = manifest.files
        const withPath = (path: string) => JSON.stringify({ ...manifest, files: [{ ...file, path }] })
        Fs.copyFileSync(`${out}/${file.path}`, `${root}/outside`)
        for (const path of ["../outside", `${root}/outside`, "a/../../outside", "./x", ""]) {
          Fs.writeFileSync(`${out}/_SUCCESS`, withPath(path))
          yield* refused(Dataset.collect(read(out)), "is not a manifest of this version")
        }
        Fs.writeFileSync(`${out}/_SUCCESS`, "")
        yield* refused(Dataset.collect(read(out)), "is not a manifest of this version")
        Fs.rmSync(`${out}/_SUCCESS`)
        yield* refused(Dataset.collect(read(out)), "has no _SUCCESS file to verify it by")
        yield* refused(Dataset.collect(read(`${out}/${file.path}`)), "has no _SUCCESS file to verify it by")
      })
    )
  })
}

describe("an output without rows", () => {
  test(
    "in folders is read back as one, with the manifest or without",
    Effect.fnUntraced(function* (root) {
      const none = Dataset.filter(all(), () => false)
      yield* Dataset.writeParquet(none, `${root}/p`, Row, { partitionBy: ["text"] })
      yield* Dataset.writeCsv(none, `${root}/c`, Row, { partitionBy: ["text"] })
      for (const options of [{}, verify]) {
        const columns = { partitionColumns: ["text"], ...options } as const
        assert.deepStrictEqual(yield* Dataset.collect(Dataset.parquet(`${root}/p`, Row, columns)), [])
        assert.deepStrictEqual(yield* Dataset.collect(Dataset.csv(`${root}/c`, Row, columns)), [])
      }
      // A folder that is empty, and one of another system, stay no input.
      Fs.writeFileSync(`${root}/c/_SUCCESS`, "")
      assert.strictEqual((yield* Effect.flip(Dataset.count(Dataset.csv(`${root}/c`, Row)))).reason._tag, "InputFailed")
    })
  )
})
