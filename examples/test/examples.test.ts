import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Dataset, Engine, Vector } from "@sluice/core"
import * as Parquet from "@sluice/core/formats/Parquet"
import { Effect, FileSystem, Layer, Option, Schedule, Schema, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { score as letterScore } from "../01_letters.ts"
import { compare } from "../04_blocking-vs-async.ts"
import * as Model from "../model-service/Model.ts"
import * as ModelService from "../model-service/ModelService.ts"
import * as Cli from "../support/cli.ts"
import { parseMillis } from "../support/durations.ts"

const live = Layer.mergeAll(Engine.layer, NodeServices.layer)

const example = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url))

/** All but the program of the README, which is not a command. */
const examples = readdirSync(new URL("..", import.meta.url))
  .filter((name) => /^0[1-9]_.*\.ts$/.test(name))
  .toSorted()

const PackageJson = Schema.fromJsonString(Schema.Struct({ scripts: Schema.Record(Schema.String, Schema.String) }))

const spawn = (name: string, args: ReadonlyArray<string>, cwd: string) =>
  ChildProcess.make(process.execPath, ["--conditions=@sluice/source", example(name), ...args], { cwd })

/** Runs an example to its end, as a user does from a folder of their own. */
const run = Effect.fnUntraced(function* (name: string, args: ReadonlyArray<string>, cwd: string) {
  const child = yield* spawn(name, args, cwd)
  const [code, stdout, stderr] = yield* Effect.all(
    [
      child.exitCode,
      child.stdout.pipe(Stream.decodeText(), Stream.mkString),
      child.stderr.pipe(Stream.decodeText(), Stream.mkString)
    ],
    { concurrency: "unbounded" }
  )
  return { code: Number(code), stdout, stderr }
})

const folder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped({ prefix: "sluice-examples-" }))

const entries = (path: string) => Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readDirectory(path))

const Scored = Schema.Struct({ id: Schema.Number, score: Schema.Number, class: Schema.Boolean })

/** 5,000 vectors of 10 numbers in Parquet. */
const vectors = Effect.fnUntraced(function* (path: string) {
  const rows = Array.from({ length: 5000 }, (_, id) => ({
    id,
    vec: Float32Array.from({ length: 10 }, (_, i) => Math.sin(id * 10 + i))
  }))
  yield* Dataset.fromIterable(rows, { partitions: 3 }).pipe(
    Dataset.writeParquet(path, Schema.Struct({ id: Schema.Number, vec: Vector.Float32 }))
  )
  return rows
})

describe("examples", () => {
  it.live("01 letters scores The Devil's Dictionary", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const { code, stderr, stdout } = yield* run("01_letters.ts", [], cwd)
      assert.strictEqual(code, 0, stderr)
      assert.match(stdout, /^8,525 lines scored in .* s: Parquet files in out\/letters: 1/)
    }).pipe(Effect.scoped, Effect.provide(live))
  )

  it.live("01 letters reads a folder of text and appears as a whole", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const fs = yield* FileSystem.FileSystem
      yield* fs.makeDirectory(`${cwd}/in`)
      yield* fs.writeFileString(`${cwd}/in/a.txt`, "aaaa\nHello, World\n")
      yield* fs.writeFileString(`${cwd}/in/b.txt`, "1234")
      const { code, stderr } = yield* run("01_letters.ts", ["--input", "in", "--output", "out"], cwd)
      assert.strictEqual(code, 0, stderr)
      const rows = yield* Dataset.parquet(
        `${cwd}/out`,
        Schema.Struct({ text: Schema.String, score: Schema.Number })
      ).pipe(Dataset.collect)
      assert.deepStrictEqual(
        rows,
        ["aaaa", "Hello, World", "1234"].map((text) => ({ text, score: letterScore(text) }))
      )
      // One letter only: 25 frequencies lie 1/26 away from the mean and one 25/26.
      assert.closeTo(rows[0]?.score ?? 0, Math.sqrt((25 * (1 / 26) ** 2 + (25 / 26) ** 2) / 26), 1e-12)
      assert.deepStrictEqual(yield* entries(cwd), ["in", "out"])
    }).pipe(Effect.scoped, Effect.provide(live))
  )

  it.live(
    "02 classify scores 200,000 digits and is right about those that training never saw",
    () =>
      Effect.gen(function* () {
        const cwd = yield* folder
        const { code, stderr, stdout } = yield* run("02_classify.ts", [], cwd)
        assert.strictEqual(code, 0, stderr)
        assert.match(stdout, /^rows +200,000 /m)
        const accuracy = /^accuracy +([0-9.]+) % of 40,067 held-out rows/m.exec(stdout)
        // The model's own report on the 360 held-out images is 95.28 %; 40,067 rows repeat them unevenly.
        assert.closeTo(Number(accuracy?.[1]), 95.28, 0.1)
        const again = yield* run("03_in-process.ts", [], cwd)
        assert.strictEqual(again.code, 0, again.stderr)
        assert.include(again.stdout, accuracy?.[0] ?? "no accuracy")
      }).pipe(Effect.scoped, Effect.provide(live)),
    90_000
  )

  it.live("02 classify scores other vectors at a service given by its address", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const model = Model.synthetic(10)
      const service = yield* ModelService.make({ model })
      const rows = yield* vectors(`${cwd}/in`)
      const args = ["--input", "in", "--output", "out", "--vector", "vec", "--batch-rows", "300", "--threshold", "0.5"]
      const { code, stderr } = yield* run("02_classify.ts", [...args, "--endpoint", service.url], cwd)
      assert.strictEqual(code, 0, stderr)
      const scored = yield* Dataset.collect(Dataset.parquet(`${cwd}/out`, Scored))
      const expected = Model.score(model, Float32Array.from(rows.flatMap((row) => Array.from(row.vec))))
      assert.strictEqual(scored.length, rows.length)
      for (const [index, row] of scored.entries()) {
        assert.strictEqual(row.id, index)
        assert.closeTo(row.score, expected[index] ?? Number.NaN, 1e-6)
        assert.strictEqual(row.class, row.score >= 0.5)
      }
      const taken = yield* run("02_classify.ts", [...args, "--endpoint", service.url], cwd)
      assert.strictEqual(taken.code, 1)
      assert.match(taken.stderr, /error: classify: output out already exists\n +what to do: choose another path/)
      // The hint is for who types flags.
      assert.match(taken.stderr, /--mode overwrite/)
      const again = [...args, "--endpoint", service.url, "--mode", "overwrite", "--columns", "id"]
      const replaced = yield* run("02_classify.ts", again, cwd)
      assert.strictEqual(replaced.code, 0, replaced.stderr)
      assert.deepStrictEqual(yield* Dataset.collect(Dataset.parquet(`${cwd}/out`, Scored)), scored)
      const [file] = yield* Parquet.metadata(`${cwd}/out`)
      assert.deepStrictEqual(file?.columns, ["id: Float64", "score: Float32", "class: Bool"])
    }).pipe(Effect.scoped, Effect.provide(live))
  )

  it.live(
    "02 classify says what is wrong with its input or its service and leaves nothing behind",
    () =>
      Effect.gen(function* () {
        const cwd = yield* folder
        yield* vectors(`${cwd}/in`)
        const cases = [
          [["--input", "nowhere"], /nowhere.*\n +what to do: check the path/],
          [["--input", "in", "--vector", "features"], /no column "features".*vec/],
          [["--input", "in", "--vector", "id"], /"id"/],
          [["--input", "in", "--vector", "vec", "--columns", "id,name"], /column "name"/],
          [
            ["--input", "in", "--vector", "vec", "--retry-for", "1500ms"],
            /127\.0\.0\.1:1\/score, attempt \d+ after [\dms ]+, rows.*ECONNREFUSED/s
          ]
        ] as const
        yield* Effect.forEach(
          cases,
          ([args, message]) =>
            Effect.gen(function* () {
              const { code, stderr } = yield* run(
                "02_classify.ts",
                [...args, "--output", "out", "--endpoint", "http://127.0.0.1:1"],
                cwd
              )
              assert.strictEqual(code, 1, stderr)
              assert.match(stderr, message)
              assert.notMatch(stderr, /\n +at /, "no stack trace")
            }),
          { concurrency: 2 }
        )
        assert.deepStrictEqual(yield* entries(cwd), ["in"])
      }).pipe(Effect.scoped, Effect.provide(live)),
    60_000
  )

  it.live("02 classify asks once more where no answer comes in time", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const service = yield* ModelService.make({ model: Model.synthetic(10), faults: [{ _tag: "Hang" }] })
      yield* vectors(`${cwd}/in`)
      const { code, stderr } = yield* run(
        "02_classify.ts",
        [...["--input", "in", "--output", "out", "--vector", "vec"], "--endpoint", service.url, "--timeout", "0.3s"],
        cwd
      )
      assert.strictEqual(code, 1)
      assert.match(stderr, /attempt \d+ after .*: no (answer|connection) within 300 ms/)
    }).pipe(Effect.scoped, Effect.provide(live))
  )

  it("02 classify reads durations", () => {
    assert.deepStrictEqual(
      ["30s", "2m", "1m30s", "500ms", "0.5s", "1h", "0", "", "5", "2 m", "s", "-1s", "1e3s", "30sx"].map((text) =>
        Option.getOrUndefined(parseMillis(text))
      ),
      [30_000, 120_000, 90_000, 500, 500, 3_600_000, 0, ...Array<undefined>(7).fill(undefined)]
    )
  })

  it.live(
    "02 classify stops on Ctrl-C without leftovers",
    () =>
      Effect.gen(function* () {
        const cwd = yield* folder
        yield* vectors(`${cwd}/in`)
        const service = yield* ModelService.make({ model: Model.synthetic(10), faults: [{ _tag: "Hang" }] })
        const child = yield* spawn(
          "02_classify.ts",
          [...["--input", "in", "--output", "out", "--vector", "vec", "--endpoint", service.url]],
          cwd
        )
        // In the middle of the first requests: the service holds them and never answers.
        yield* Effect.repeat(service.stats, {
          schedule: Schedule.spaced("20 millis"),
          until: (stats) => stats.openSockets > 0
        })
        yield* child.kill({ killSignal: "SIGINT" })
        assert.strictEqual(Number(yield* child.exitCode), 130)
        assert.deepStrictEqual(yield* entries(cwd), ["in"])
      }).pipe(Effect.scoped, Effect.provide(live)),
    60_000
  )

  it.live(
    "04 blocking-vs-async has more requests under way the less it waits",
    () =>
      Effect.gen(function* () {
        const table = yield* compare({ rows: 16_000, batchRows: 500, concurrency: 8, delayMillis: 40 })
        const [blocking, perPartition, async] = table.map((way) => way.atOnce)
        assert.deepStrictEqual(
          table.map((way) => way.scored),
          [16_000, 16_000, 16_000, 16_000]
        )
        assert.strictEqual(blocking, 1)
        assert.isAbove(perPartition ?? 0, 1)
        assert.isAbove(async ?? 0, perPartition ?? 0)
      }).pipe(Effect.provide(live)),
    60_000
  )

  it.live(
    "each prints its flags, and those of files are alike in all",
    () =>
      Effect.gen(function* () {
        const here = fileURLToPath(new URL("..", import.meta.url))
        assert.isAtLeast(examples.length, 9)
        const helps = yield* Effect.forEach(
          examples,
          (name) =>
            Effect.gen(function* () {
              const { code, stderr, stdout } = yield* run(name, ["--help"], here)
              assert.strictEqual(code, 0, stderr)
              assert.match(stdout, /USAGE\n +\S+ \[flags\]/)
              assert.match(stdout, /--\w+/)
              return stdout
            }),
          { concurrency: 2 }
        )
        const described = (flag: string, help: string) => new RegExp(`--${flag} \\S+ +(\\w+)`).exec(help)?.[1]
        const flags = helps.map((help) => ["input", "output", "mode"].map((flag) => described(flag, help)))
        for (const [input, output, mode] of flags) {
          // What writes has all three; what only reads has the first.
          assert.strictEqual(output, mode === undefined ? undefined : "Directory")
          if (output !== undefined) assert.isDefined(input)
        }
        const modes = helps.flatMap((help) => /--mode choice +(.*)/.exec(help)?.[1] ?? [])
        assert.lengthOf(modes, 5)
        assert.lengthOf(new Set(modes), 1)
      }).pipe(Effect.scoped, Effect.provide(live)),
    60_000
  )

  it.live("a wrong flag is answered in a few lines on standard error", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const cases = [
        ["01_letters.ts", ["--inptu", "x"], /^error: letters: .*--inptu.*\n[^]*--input\n +what to do: see --help\n$/],
        [
          "02_classify.ts",
          ["--concurrency", "0"],
          /^error: classify: .*--concurrency.*"0".*a whole number, at least 1\n/
        ],
        ["02_classify.ts", ["--timeout", "5"], /^error: classify: .*--timeout.*"5".*a duration such as 500ms/],
        [
          "05_word-count.ts",
          ["--mode", "append!"],
          /^error: word-count: .*"error-if-exists" \| "overwrite" \| "append"/
        ],
        ["09_hdfs.ts", ["--namenode", "localhost:9870"], /^error: hdfs: .*such as http:\/\/host:9870\n/]
      ] as const
      yield* Effect.forEach(
        cases,
        ([name, args, message]) =>
          Effect.gen(function* () {
            const { code, stderr, stdout } = yield* run(name, args, cwd)
            assert.strictEqual(code, 1)
            assert.match(stderr, message)
            assert.isAtMost(stderr.split("\n").length, 6)
            assert.strictEqual(stdout, "")
          }),
        { concurrency: 2 }
      )
      assert.deepStrictEqual(yield* entries(cwd), [])
    }).pipe(Effect.scoped, Effect.provide(live))
  )

  it.live.skipIf(!existsSync("/dev/full"))("what cannot be printed is an error, unless its reader has left", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const into = Effect.fnUntraced(function* (where: string, args: ReadonlyArray<string>) {
        const script = `set -o pipefail; "$0" "$@" ${where}`
        const child = yield* ChildProcess.make(
          "bash",
          ["-c", script, process.execPath, "--conditions=@sluice/source", example("07_sort.ts"), ...args],
          { cwd }
        )
        const stderr = yield* child.stderr.pipe(Stream.decodeText(), Stream.mkString)
        return { code: Number(yield* child.exitCode), stderr }
      })
      const message = /^error: standard output: ENOSPC.*\n +what to do: /m
      for (const args of [["--help"], []]) {
        const { code, stderr } = yield* into("> /dev/full", args)
        assert.strictEqual(code, 1)
        assert.match(stderr, message)
      }
      // The job was still done.
      assert.include(yield* entries(`${cwd}/out/sort`), "_SUCCESS")
      assert.deepStrictEqual(yield* into("| true", ["--help"]), { code: 0, stderr: "" })
    }).pipe(Effect.scoped, Effect.provide(live))
  )

  it("only what an example makes of its own input at its own place is replaced unasked", () => {
    const given = (text: string | undefined) => Option.fromNullishOr(text)
    for (const input of [undefined, "in"]) {
      for (const output of [undefined, "out"]) {
        for (const mode of [undefined, ...Cli.Mode.literals]) {
          const files = Cli.files({
            input: { path: given(input), sample: Cli.dictionary },
            output: { path: given(output), own: "out/x" },
            mode: Option.fromUndefinedOr(mode)
          })
          assert.deepStrictEqual(files, {
            input: input ?? Cli.dictionary.path,
            output: output ?? "out/x",
            mode: mode ?? (input === undefined && output === undefined ? "overwrite" : "error-if-exists"),
            isSample: input === undefined
          })
        }
      }
    }
  })

  it("each says how it is run, and has its point in the first 30 lines", () => {
    const { scripts } = Schema.decodeUnknownSync(PackageJson)(readFileSync(example("../package.json"), "utf8"))
    for (const name of examples) {
      const text = readFileSync(example(name), "utf8")
      const [, header = "", script = ""] = /^\/\*\*\n(.*?npm run -s ([\w-]+).*?) \*\/\n/s.exec(text) ?? []
      assert.match(header, /^ \* [A-Z]/, name)
      assert.include(scripts[script] ?? "", `examples/${name}`)
      // The pipeline ends there; the command comes after it.
      const lines = text.split("\n")
      const begins = lines.findIndex((line) => /^(export )?const \w+ = (Job\.make|Effect\.fn|\(rows)/.test(line))
      assert.isAtLeast(begins, 0, name)
      const ends = lines.findIndex((line, index) => index > begins && /^\S/.test(line))
      assert.isAtMost(ends + 1, 30, name)
      assert.match(lines.slice(begins, ends).join("\n"), /Dataset\.|Job\.run/, name)
      assert.isAbove(
        lines.findIndex((line) => line.includes("Command.make(")),
        ends,
        name
      )
    }
  })
})
