import { Commit, Dataset, Events, JobError } from "@sluice/core"
import { FaultyStorage } from "@sluice/core/testing"
import { NoSpace, Unavailable, Unsupported } from "@sluice/core/StorageError"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import * as Os from "node:os"
import { engine, expected, failure, lines, names, onlyThere, temporary, test, wholeOutput } from "../support/outputs.ts"

describe("write", () => {
  test(
    "a directory with one file per partition and a manifest, and nothing else (TestFileOutputCommitter: testCommitter)",
    Effect.fnUntraced(function* (root) {
      const manifest = yield* Dataset.writeText(
        Dataset.filter(lines(10), (line) => line !== "line 3"),
        `${root}/out`
      )
      onlyThere(root, "out")
      assert.deepStrictEqual(names(`${root}/out`), [
        "_SUCCESS",
        ...[0, 1, 2, 3].map((n) => `part-0000${n}-${manifest.job}.txt`)
      ])
      assert.deepStrictEqual(manifest.conservation, { read: 10, filtered: 1, deadLettered: 0, cut: 0, written: 9 })
      assert.deepStrictEqual(
        manifest.files.map((file) => [file.partition, file.attempt, file.rows, file.split]),
        [
          [0, 0, 2, "range[0]"],
          [1, 0, 2, "range[1]"],
          [2, 0, 2, "range[2]"],
          [3, 0, 3, "range[3]"]
        ]
      )
      assert.deepStrictEqual(yield* Commit.readManifest(`${root}/out`), manifest)
      assert.deepStrictEqual(
        yield* wholeOutput(`${root}/out`),
        expected(10).filter((line) => line !== "line 3")
      )
      assert.deepStrictEqual(
        yield* Dataset.collect(Dataset.text(`${root}/out`)),
        expected(10).filter((line) => line !== "line 3")
      )
    })
  )

  test(
    "a partition without rows has no file; an output without rows has one (TestFileOutputCommitter: testMapOnlyNoOutput)",
    Effect.fnUntraced(function* (root) {
      const gaps = yield* Dataset.writeText(
        Dataset.filter(lines(8), (line) => line === "line 5"),
        `${root}/gaps`
      )
      assert.deepStrictEqual(
        gaps.files.map((file) => [file.partition, file.rows]),
        [
          [0, 0],
          [2, 1]
        ]
      )
      yield* wholeOutput(`${root}/gaps`)
      const empty = yield* Dataset.writeText(
        Dataset.filter(lines(8), () => false),
        `${root}/empty`
      )
      assert.deepStrictEqual(
        empty.files.map((file) => [file.partition, file.rows, file.bytes]),
        [[0, 0, 0]]
      )
      assert.deepStrictEqual(yield* wholeOutput(`${root}/empty`), [])
      // Nor can a directory without any file be read.
      const none = yield* Dataset.writeText(Dataset.fromStreams<string>([]), `${root}/none`)
      assert.deepStrictEqual(
        none.files.map((file) => [file.path, file.partition, file.rows, file.bytes]),
        [[`part-00000-${none.job}.txt`, 0, 0, 0]]
      )
      assert.deepStrictEqual(yield* wholeOutput(`${root}/none`), [])
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.text(`${root}/none`)), [])
    })
  )

  test(
    "error-if-exists leaves what is there alone",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeText(lines(4, "old"), `${root}/out/`)
      const error = yield* failure(Dataset.writeText(lines(4, "new"), `${root}/out`))
      assert.strictEqual(error.reason._tag, "OutputExists")
      assert.include(error.message, `${root}/out already exists`)
      assert.include(error.message, 'mode: "overwrite"')
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4, "old"))
      onlyThere(root, "out")
    })
  )

  test(
    "an empty directory does not count as an output, a file does",
    Effect.fnUntraced(function* (root) {
      Fs.mkdirSync(`${root}/out`)
      yield* Dataset.writeText(lines(4), `${root}/out`)
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4))
      Fs.writeFileSync(`${root}/file`, "mine")
      for (const mode of ["error-if-exists", "overwrite", "append"] as const) {
        const error = yield* failure(Dataset.writeText(lines(4), `${root}/file`, { mode }))
        assert.strictEqual(error.reason._tag, "OutputExists")
        assert.include(error.message, "file is a file")
        // No mode would help.
        assert.notInclude(error.hint, "mode:")
      }
      assert.strictEqual(Fs.readFileSync(`${root}/file`, "utf8"), "mine")
      onlyThere(root, "file", "out")
    })
  )

  test(
    "overwrite replaces the whole directory",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeText(lines(40, "old"), `${root}/out`)
      Fs.writeFileSync(`${root}/out/other`, "")
      yield* Dataset.writeText(lines(4, "new"), `${root}/out`, { mode: "overwrite" })
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4, "new"))
      onlyThere(root, "out")
      yield* Dataset.writeText(lines(4), `${root}/fresh`, { mode: "overwrite" })
      assert.deepStrictEqual(yield* wholeOutput(`${root}/fresh`), expected(4))
    })
  )

  test(
    "overwrite of its own input, or of a folder above it, by whatever name, is refused before the first row",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeText(lines(4), `${root}/data/in`)
      Fs.symlinkSync(`${root}/data`, `${root}/link`)
      Fs.symlinkSync(`${root}/data/in`, `${root}/input`)
      let rows = 0
      const read = (path: string) => Dataset.text(path).pipe(Dataset.map((line) => `${line}${rows++}`))
      for (const [input, output] of [
        ["data/in", "data/in"],
        ["data/in", "data"],
        ["data/in", "link"],
        ["link/in", "data/../data"],
        ["input", "data/in/"],
        ["data/in/part*", "input"]
      ]) {
        const error = yield* failure(
          Dataset.writeText(read(`${root}/${input}`), `${root}/${output}`, { mode: "overwrite" })
        )
        assert.strictEqual(error.reason._tag, "InvalidOutput", `${input} ${output}`)
        assert.include(error.message, "which this job reads and the overwrite would delete")
        assert.include(error.message, "nothing was changed")
      }
      assert.strictEqual(rows, 0)
      assert.deepStrictEqual(yield* wholeOutput(`${root}/data/in`), expected(4))
      onlyThere(root, "data", "input", "link")
      // Nothing is lost when the input is beside or below the output, or when the output is appended to.
      yield* Dataset.writeText(read(`${root}/data/in`), `${root}/data/in2`, { mode: "overwrite" })
      yield* Dataset.writeText(Dataset.text(`${root}/data/in`), `${root}/data/in`, { mode: "append" })
      assert.deepStrictEqual(yield* wholeOutput(`${root}/data/in`), [...expected(4), ...expected(4)])
    })
  )

  test(
    "append adds files and sums the manifest",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeText(lines(4, "a"), `${root}/out`, { mode: "append" })
      const manifest = yield* Dataset.writeText(lines(3, "b"), `${root}/out`, { mode: "append" })
      assert.deepStrictEqual([manifest.rows, manifest.conservation.written], [7, 3])
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), [...expected(4, "a"), ...expected(3, "b")])
      onlyThere(root, "out")
      assert.isFalse(Fs.existsSync(`${root}/out/_sluice`))
    })
  )

  test(
    "an output at the root is refused before anything runs",
    Effect.fnUntraced(function* () {
      const error = yield* failure(Dataset.writeText(lines(4), "memory:///"))
      assert.strictEqual(error.reason._tag, "InvalidPlan")
    })
  )
})

describe("a write that fails", () => {
  for (const mode of ["error-if-exists", "overwrite", "append"] as const) {
    test(
      `${mode}: a failing partition leaves nothing, not even _sluice (TestFileOutputCommitter: testAbort)`,
      Effect.fnUntraced(function* (root) {
        const error = yield* lines(100).pipe(
          Dataset.mapEffect((line) => (line === "line 70" ? Effect.fail("seventy" as const) : Effect.succeed(line))),
          Dataset.writeText(`${root}/out`, { mode }),
          Effect.flip
        )
        assert.strictEqual(error, "seventy")
        onlyThere(root)
      })
    )
  }

  test(
    "overwrite and append: a failing partition leaves the old output",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeText(lines(4, "old"), `${root}/out`)
      for (const mode of ["overwrite", "append"] as const) {
        yield* lines(100).pipe(
          Dataset.mapEffect((line) => (line === "line 70" ? Effect.fail("seventy") : Effect.succeed(line))),
          Dataset.writeText(`${root}/out`, { mode }),
          Effect.flip
        )
        assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4, "old"))
        onlyThere(root, "out")
        assert.isFalse(Fs.existsSync(`${root}/out/_sluice`))
      }
    })
  )

  test(
    "an interrupted write leaves nothing, and closes its files",
    Effect.fnUntraced(function* (root) {
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        lines(10).pipe(
          Dataset.tap((line) =>
            line === "line 3" ? Effect.andThen(Deferred.succeed(begun, void 0), Effect.never) : Effect.void
          ),
          Dataset.writeText(`${root}/out`)
        )
      )
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      onlyThere(root)
      assert.strictEqual((yield* Effect.flatMap(FaultyStorage.FaultyStorage, (faulty) => faulty.counts)).open, 0)
    })
  )

  it.effect("an interrupt that comes while a write commits waits for its end, and finds a success", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const faulty = yield* FaultyStorage.FaultyStorage
      const outcomes: Array<string> = []
      const events = yield* (yield* Events.Events).subscribe
      yield* Effect.forkScoped(
        Stream.runForEach(events, (event) =>
          Effect.sync(() => event._tag === "JobEnded" && outcomes.push(event.outcome))
        )
      )
      const settle = Effect.forEach(Array.from({ length: 100 }), () => Effect.yieldNow, { discard: true })
      // The rename of the first of four files to its staged place, and the rename of the commit.
      for (const nth of [1, 5]) {
        const begun = yield* Deferred.make<void>()
        let renames = 0
        yield* faulty.inject({
          operation: "rename",
          path: () => {
            if (++renames === nth) Deferred.doneUnsafe(begun, Effect.void)
            return true
          },
          nth,
          times: 1,
          delay: "1 minute"
        })
        const writing = yield* Effect.forkChild(Dataset.writeText(lines(8), `${root}/out ${nth}`))
        yield* Deferred.await(begun)
        const interrupting = yield* Effect.forkChild(Fiber.interrupt(writing))
        yield* settle
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(interrupting)
        assert.deepStrictEqual(yield* wholeOutput(`${root}/out ${nth}`), expected(8), `rename ${nth}`)
        yield* faulty.reset
      }
      yield* settle
      onlyThere(root, "out 1", "out 5")
      assert.deepStrictEqual(outcomes, ["success", "success"])
    }).pipe(Effect.scoped, Effect.provide(engine))
  )

  test(
    "a full disk in the middle of a file is OutputFailed and leaves nothing",
    Effect.fnUntraced(function* (root) {
      const faulty = yield* FaultyStorage.FaultyStorage
      yield* faulty.inject({
        operation: "write",
        path: (path) => path.includes("part-00002"),
        afterBytes: 50,
        reason: new NoSpace({ detail: "disk full" })
      })
      const error = yield* failure(Dataset.writeText(lines(1000), `${root}/out`))
      assert.strictEqual(error.reason._tag, "OutputFailed")
      assert.include(error.message, "no space left: disk full")
      assert.include(error.message, "part-00002")
      assert.include(error.hint, "free some space")
      assert.strictEqual(error.at.partition, 2)
      onlyThere(root)
      yield* faulty.reset
      yield* Dataset.writeText(lines(1000), `${root}/out`)
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(1000))
    })
  )

  for (const mode of ["error-if-exists", "overwrite", "append"] as const) {
    test(
      `${mode}: a rename that fails in the commit leaves the old output (TestFileOutputCommitter: testFailAbort)`,
      Effect.fnUntraced(function* (root) {
        const faulty = yield* FaultyStorage.FaultyStorage
        if (mode !== "error-if-exists") yield* Dataset.writeText(lines(4, "old"), `${root}/out`)
        // Each rename fails once: that of the probe, those of the files to their staged places, and that of the commit.
        const renames = mode === "append" ? 1 + 4 + 4 + 1 : mode === "overwrite" ? 1 + 4 + 2 : 4 + 1
        for (let nth = 1; nth <= renames; nth++) {
          yield* faulty.reset
          yield* faulty.inject({ operation: "rename", nth, times: 1, reason: new Unavailable({ detail: "gone" }) })
          const error = yield* failure(Dataset.writeText(lines(8, "new"), `${root}/out`, { mode }))
          assert.strictEqual(error.reason._tag, "OutputFailed")
          if (mode === "error-if-exists") {
            onlyThere(root)
          } else {
            assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4, "old"), `rename ${nth}`)
            onlyThere(root, "out")
          }
        }
        yield* faulty.reset
        yield* Dataset.writeText(lines(8, "new"), `${root}/out`, { mode })
        const all = yield* wholeOutput(`${root}/out`)
        assert.deepStrictEqual(
          all,
          mode === "append" ? [...expected(4, "old"), ...expected(8, "new")] : expected(8, "new")
        )
      })
    )
  }

  test(
    "overwrite: when the old output cannot be put back at once, it is kept and the next run does",
    Effect.fnUntraced(function* (root) {
      const faulty = yield* FaultyStorage.FaultyStorage
      yield* Dataset.writeText(lines(4, "old"), `${root}/out`)
      yield* faulty.reset
      yield* faulty.inject({
        operation: "rename",
        path: (path) => path.endsWith("/out") && path.includes("_sluice"),
        reason: new Unavailable({ detail: "gone" })
      })
      yield* faulty.inject({
        operation: "rename",
        path: (path) => path.endsWith("/old"),
        reason: new Unavailable({ detail: "gone" })
      })
      const error = yield* failure(Dataset.writeText(lines(8, "new"), `${root}/out`, { mode: "overwrite" }))
      assert.strictEqual(error.reason._tag, "OutputFailed")
      assert.isFalse(Fs.existsSync(`${root}/out`))
      yield* faulty.reset
      const again = yield* failure(Dataset.writeText(lines(8, "new"), `${root}/out`))
      assert.strictEqual(again.reason._tag, "OutputExists")
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4, "old"))
      onlyThere(root, "out")
    })
  )

  test(
    "rows that go missing are noticed before the commit",
    Effect.fnUntraced(function* (root) {
      const error = yield* lines(100).pipe(
        Dataset.mapPartitions((rows) => Stream.filter(rows, (line) => line !== "line 42"), { oneToOne: true }),
        Dataset.writeText(`${root}/out`),
        (action) => failure(action)
      )
      assert.strictEqual(error.reason._tag, "RowsNotConserved")
      assert.include(error.message, "partition 1")
      assert.include(error.message, "25 rows came in; 0 were filtered, 0 set aside and 0 left unread, but 24 came out")
      onlyThere(root)
    })
  )
})

describe("two writers of one output", () => {
  test(
    "of jobs that run at the same time one wins, the others say that it writes or has written (OutputCommitCoordinatorSuite: Only one of two duplicate commit tasks should commit)",
    Effect.fnUntraced(function* (root) {
      const results = yield* Effect.all(
        ["a", "b", "c"].map((prefix) => Effect.result(Dataset.writeText(lines(20, prefix), `${root}/out`))),
        { concurrency: 3 }
      )
      const won = results.flatMap((result, index) => (result._tag === "Success" ? [["a", "b", "c"][index]] : []))
      assert.strictEqual(won.length, 1)
      for (const result of results) {
        if (result._tag === "Failure") {
          assert.isTrue(result.failure instanceof JobError.JobError)
          assert.include(["OutputExists", "OutputLeased"], (result.failure as JobError.JobError).reason._tag)
        }
      }
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(20, won[0]))
      onlyThere(root, "out")
    })
  )

  test(
    "appends at once all succeed, and the manifest has them all",
    Effect.fnUntraced(function* (root) {
      yield* Effect.forEach(
        ["a", "b", "c"],
        (prefix) => Dataset.writeText(lines(20, prefix), `${root}/out`, { mode: "append" }),
        { concurrency: 3 }
      )
      const all = yield* wholeOutput(`${root}/out`)
      assert.deepStrictEqual(all.toSorted(), ["a", "b", "c"].flatMap((prefix) => expected(20, prefix)).toSorted())
      onlyThere(root, "out")
    })
  )

  test(
    "an overwrite is refused at once while another writes, and told which job that is; or waits",
    Effect.fnUntraced(function* (root) {
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const first = yield* lines(20, "a").pipe(
        Dataset.tap(() => Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(go))),
        Dataset.writeText(`${root}/out`, { mode: "overwrite" }),
        Effect.forkChild
      )
      yield* Deferred.await(begun)
      const error = yield* failure(Dataset.writeText(lines(20, "b"), `${root}/out`, { mode: "overwrite" }))
      assert.strictEqual(error.reason._tag, "OutputLeased")
      assert.match(
        error.message,
        new RegExp(
          `out is being written by job [0-9a-f]{8} \\(write text .*out\\), process ${process.pid} on ${Os.hostname()}`
        )
      )
      assert.include(error.hint, 'whenLeased: "wait"')
      const short = { mode: "append", leaseWait: "1 millis" } as const
      assert.strictEqual(
        (yield* failure(Dataset.writeText(lines(20, "c"), `${root}/out`, short))).reason._tag,
        "OutputLeased"
      )
      const waiting = yield* Effect.forkChild(
        Dataset.writeText(lines(20, "d"), `${root}/out`, { mode: "overwrite", whenLeased: "wait" })
      )
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(first)
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(20, "d"))
      onlyThere(root, "out")
    })
  )

  test(
    "jobs to outputs side by side do not disturb each other (TestFileOutputCommitter: testConcurrentCommitTaskWithSubDir)",
    Effect.fnUntraced(function* (root) {
      yield* Effect.forEach(
        Array.from({ length: 8 }, (_, i) => i),
        (i) => Dataset.writeText(lines(20, `${i}`), `${root}/out${i}`),
        { concurrency: 8 }
      )
      for (let i = 0; i < 8; i++) assert.deepStrictEqual(yield* wholeOutput(`${root}/out${i}`), expected(20, `${i}`))
      assert.strictEqual(names(root)?.length, 8)
    })
  )
})

describe("an output that", () => {
  test(
    "is a link to a directory is written where it leads, and stays a link",
    Effect.fnUntraced(function* (root) {
      Fs.mkdirSync(`${root}/real`)
      yield* Dataset.writeText(lines(4, "old"), `${root}/real/out`)
      Fs.symlinkSync(`${root}/real/out`, `${root}/link`)
      yield* Dataset.writeText(lines(4), `${root}/link`, { mode: "overwrite" })
      yield* Dataset.writeText(lines(2, "more"), `${root}/link`, { mode: "append" })
      assert.isTrue(Fs.lstatSync(`${root}/link`).isSymbolicLink())
      assert.deepStrictEqual(yield* wholeOutput(`${root}/real/out`), [...expected(4), ...expected(2, "more")])
      onlyThere(root, "link", "real")
      onlyThere(`${root}/real`, "out")
    })
  )

  test(
    "is a link that leads nowhere, or lies below one, is refused before the first row",
    Effect.fnUntraced(function* (root) {
      Fs.symlinkSync(`${root}/nowhere`, `${root}/link`)
      for (const path of ["link", "link/out"]) {
        for (const mode of ["error-if-exists", "overwrite", "append"] as const) {
          const error = yield* failure(Dataset.writeText(lines(4), `${root}/${path}`, { mode }))
          assert.strictEqual(error.reason._tag, "InvalidOutput")
          assert.include(error.message, `is a link to ${root}/nowhere, which does not exist`)
        }
      }
      onlyThere(root, "link")
    })
  )

  test(
    "has links in it is replaced without what they lead to",
    Effect.fnUntraced(function* (root) {
      yield* Dataset.writeText(lines(4, "old"), `${root}/out`)
      Fs.mkdirSync(`${root}/kept`)
      Fs.writeFileSync(`${root}/kept/file`, "mine")
      Fs.symlinkSync(`${root}/kept`, `${root}/out/link`)
      yield* Dataset.writeText(lines(4), `${root}/out`, { mode: "overwrite" })
      assert.strictEqual(Fs.readFileSync(`${root}/kept/file`, "utf8"), "mine")
      assert.deepStrictEqual(yield* wholeOutput(`${root}/out`), expected(4))
    })
  )

  // A storage refuses to rename a mount point, or anything across its border.
  for (const mode of ["error-if-exists", "overwrite", "append"] as const) {
    test(
      `cannot be replaced as a whole is written in place (${mode})`,
      Effect.fnUntraced(function* (root) {
        const faulty = yield* FaultyStorage.FaultyStorage
        const reason = new Unsupported({ detail: "EXDEV" })
        const mount = Effect.andThen(
          faulty.inject({ operation: "rename", path: (path) => path.includes("/_sluice/out/"), reason }),
          faulty.inject({ operation: "rename", path: (path) => path.endsWith("/out"), reason })
        )
        if (mode === "error-if-exists") {
          Fs.mkdirSync(`${root}/out`)
        } else {
          yield* Dataset.writeText(lines(4, "old"), `${root}/out`)
          Fs.mkdirSync(`${root}/out/own/deep`, { recursive: true })
          Fs.writeFileSync(`${root}/out/own/deep/file`, "")
        }
        yield* mount
        yield* Dataset.writeText(lines(8), `${root}/out`, { mode })
        if (mode === "append") Fs.rmSync(`${root}/out/own`, { recursive: true })
        assert.deepStrictEqual(
          yield* wholeOutput(`${root}/out`),
          mode === "append" ? [...expected(4, "old"), ...expected(8)] : expected(8)
        )
        onlyThere(root, "out")
        assert.isFalse(Fs.existsSync(`${root}/out/_sluice`))
      })
    )
  }
})
