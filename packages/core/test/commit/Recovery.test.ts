import { Commit, Dataset } from "@sluice/core"
import { Unavailable } from "@sluice/core/StorageError"
import { FaultyStorage } from "@sluice/core/testing"
import { assert, describe } from "@effect/vitest"
import { Effect, Logger, References } from "effect"
import * as Fs from "node:fs"
import { expected, failure, lines, names, onlyThere, test, wholeOutput } from "../support/outputs.ts"

describe("what a dead job left", () => {
  /** A folder of a job without a lease. */
  const jobOf = (path: string) => {
    Fs.mkdirSync(path, { recursive: true })
    Fs.writeFileSync(`${path}/_owner`, "{}")
    return path
  }

  test(
    "is swept by the next run, from beside the output and from inside (TestFileOutputCommitter: testRecovery)",
    Effect.fnUntraced(function* (root) {
      for (const staging of [`${root}/_sluice/out`, `${root}/out/_sluice`]) {
        const job = jobOf(`${staging}/dead`)
        Fs.mkdirSync(`${job}/0-0`)
        Fs.writeFileSync(`${job}/0-0/part-00000-dead.txt`, "half")
        Fs.writeFileSync(`${job}/0-0/.part-00000-dead.txt.12345678._COPYING_`, "half")
        // A lease that was being written, and a job that died before it wrote its name down.
        Fs.writeFileSync(`${staging}/._lease-000000001.12345678._COPYING_`, "{")
        Fs.mkdirSync(`${staging}/nameless`)
      }
      yield* Dataset.writeText(lines(4), `${root}/out`)
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4))
      onlyThere(root, "out")
      assert.isFalse(Fs.existsSync(`${root}/out/_sluice`))
    })
  )

  for (const mode of ["error-if-exists", "overwrite", "append"] as const) {
    test(
      `${mode}: the old output of an overwrite killed between its renames is put back`,
      Effect.fnUntraced(function* (root) {
        yield* Dataset.writeText(lines(4, "old"), `${root}/out`)
        const job = jobOf(`${root}/_sluice/out/dead`)
        Fs.mkdirSync(`${job}/commit/aside`, { recursive: true })
        Fs.mkdirSync(`${job}/commit/out`)
        Fs.renameSync(`${root}/out`, `${job}/commit/aside/old`)
        if (mode === "error-if-exists") {
          assert.strictEqual((yield* failure(Dataset.writeText(lines(4), `${root}/out`))).reason._tag, "OutputExists")
        } else {
          yield* Dataset.writeText(lines(4), `${root}/out`, { mode })
        }
        assert.deepStrictEqual(
          yield* wholeOutput(`${root}/out`),
          mode === "append"
            ? [...expected(4, "old"), ...expected(4)]
            : mode === "overwrite"
              ? expected(4)
              : expected(4, "old")
        )
        onlyThere(root, "out")
      })
    )

    for (const decided of [false, true]) {
      test(
        `${mode}: an append killed ${decided ? "after" : "before"} the rename of its manifest is ${decided ? "finished" : "undone"}`,
        Effect.fnUntraced(function* (root) {
          yield* Dataset.writeText(lines(4, "old"), `${root}/out`)
          // As far as an append gets: its files are staged and written down, one is renamed, and one is at both names.
          yield* Dataset.writeText(lines(8, "dead"), `${root}/other`)
          const old = yield* Commit.readManifest(`${root}/out`)
          const other = yield* Commit.readManifest(`${root}/other`)
          const job = jobOf(`${root}/_sluice/out/dead`)
          Fs.mkdirSync(`${job}/commit/aside`, { recursive: true })
          Fs.renameSync(`${root}/other`, `${job}/commit/out`)
          Fs.rmSync(`${job}/commit/out/_SUCCESS`)
          const files = other.files.map((file) => file.path)
          const [first, second] = files
          Fs.renameSync(`${job}/commit/out/${first}`, `${root}/out/${first}`)
          Fs.linkSync(`${job}/commit/out/${second}`, `${root}/out/${second}`)
          const intent = { files, removed: [], previous: Fs.readFileSync(`${root}/out/_SUCCESS`, "utf8") }
          Fs.writeFileSync(`${job}/commit/_intent`, JSON.stringify(intent))
          const manifest = JSON.stringify({
            ...other,
            rows: 12,
            bytes: old.bytes + other.bytes,
            files: [...old.files, ...other.files]
          })
          if (decided) {
            for (const file of files.slice(1)) Fs.renameSync(`${job}/commit/out/${file}`, `${root}/out/${file}`)
            Fs.writeFileSync(`${root}/out/_SUCCESS`, manifest)
          } else {
            Fs.writeFileSync(`${job}/commit/_manifest`, manifest)
          }
          if (mode === "error-if-exists") {
            assert.strictEqual((yield* failure(Dataset.writeText(lines(4), `${root}/out`))).reason._tag, "OutputExists")
          } else {
            yield* Dataset.writeText(lines(4), `${root}/out`, { mode })
          }
          const before = [...expected(4, "old"), ...(decided ? expected(8, "dead") : [])]
          assert.deepStrictEqual(
            yield* wholeOutput(`${root}/out`),
            mode === "append" ? [...before, ...expected(4)] : mode === "overwrite" ? expected(4) : before
          )
          onlyThere(root, "out")
        })
      )
    }
  }

  test(
    "an unfinished commit whose note cannot be read stops the next run, and is kept",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeText(lines(4, "old"), `${root}/out`)
      const job = jobOf(`${root}/_sluice/out/dead`)
      Fs.mkdirSync(`${job}/commit`)
      Fs.writeFileSync(`${job}/commit/_intent`, "{")
      const error = yield* failure(Dataset.writeText(lines(4), `${root}/out`, { mode: "append" }))
      assert.strictEqual(error.reason._tag, "InvalidOutput")
      assert.include(error.message, "an unfinished commit that cannot be read")
      assert.strictEqual(names(`${root}/_sluice/out`)?.length, 1)
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4, "old"))
    })
  )
})

describe("a job folder that cannot be removed", () => {
  for (const outcome of ["success", "failure"] as const) {
    test(
      `is a warning that names the job's ${outcome}, and the next job removes it`,
      Effect.fnUntraced(function* (root) {
        const faulty = yield* FaultyStorage.FaultyStorage
        const warnings: Array<readonly [message: string, outcome: unknown]> = []
        const logger = Logger.make(({ fiber, logLevel, message }) => {
          if (logLevel === "Warn")
            warnings.push([String(message), fiber.getRef(References.CurrentLogAnnotations)["outcome"]])
        })
        yield* faulty.inject({
          operation: "delete",
          path: (path) => /_sluice\/out\/[0-9a-f]{8}$/.test(path),
          reason: new Unavailable({ detail: "gone" }),
          times: 1
        })
        const bad = outcome === "failure" ? Dataset.mapEffect(() => Effect.fail("no" as const)) : Dataset.map(String)
        const result = yield* Effect.result(
          Effect.provide(Dataset.writeText(bad(lines(4)), `${root}/out`), Logger.layer([logger]))
        )
        assert.strictEqual(
          result._tag === "Success" ? "success" : result.failure,
          outcome === "success" ? "success" : "no"
        )
        assert.strictEqual(warnings.length, 1)
        assert.match(warnings[0]?.[0] ?? "", /^could not remove \S*\/_sluice\/out\/[0-9a-f]{8}: delete .*gone/)
        assert.strictEqual(warnings[0]?.[1], outcome)
        // Its lease is still given back.
        yield* Dataset.writeText(lines(4), `${root}/out`, { mode: "overwrite" })
        assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4))
        onlyThere(root, "out")
      })
    )
  }
})

describe("append to what has no manifest that can be read", () => {
  for (const [what, text, words] of [
    ["cut off", '{"version": 1, "jo', "is not a manifest of this version"],
    ["of another version", '{"version":2,"files":[]}', "is not a manifest of this version"],
    ["empty, as Spark's", "", "is empty, as other systems write it"],
    ["missing", undefined, "is missing, although part-00000"]
  ] as const) {
    test(
      `${what}: is refused before the first row`,
      Effect.fnUntraced(function* (root) {
        yield* Dataset.writeText(lines(4), `${root}/out`)
        if (text === undefined) Fs.rmSync(`${root}/out/_SUCCESS`)
        else Fs.writeFileSync(`${root}/out/_SUCCESS`, text)
        const before = names(`${root}/out`)
        let rows = 0
        const more = Dataset.map(lines(4), (line) => `${line}${rows++}`)
        const error = yield* failure(Dataset.writeText(more, `${root}/out`, { mode: "append" }))
        assert.strictEqual(error.reason._tag, "InvalidManifest")
        assert.include(error.message, words)
        assert.include(error.message, "restore _SUCCESS")
        assert.strictEqual(rows, 0)
        assert.deepStrictEqual(names(`${root}/out`), before)
        onlyThere(root, "out")
      })
    )
  }
})
