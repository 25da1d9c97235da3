import { Commit, Dataset } from "@sluice/core"
import { NoSpace } from "@sluice/core/StorageError"
import { FaultyStorage } from "@sluice/core/testing"
import { assert, describe } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { crc32 } from "node:zlib"
import { failure, test } from "../support/outputs.ts"

const Row = Schema.Struct({ id: Schema.Number, country: Schema.NullOr(Schema.String), year: Schema.Number })
const Others = Schema.Struct({ id: Schema.Number })

const countries = ["DE", null, "FR", null]

const rows = (n: number) =>
  Dataset.range(0, n, { partitions: 3 }).pipe(
    Dataset.map((id) => ({ id, country: countries[id % 4] ?? null, year: 2000 + (id % 2) }))
  )

const folders = (path: string): ReadonlyArray<string> =>
  [
    ...new Set(
      Fs.readdirSync(path, { recursive: true, encoding: "utf8" })
        .filter((file) => file.includes("part-"))
        .map((file) => Path.dirname(file))
    )
  ].toSorted()

/** Every file of the manifest is there with its bytes and checksum, and no other. */
const checked = Effect.fnUntraced(function* (path: string) {
  const manifest = yield* Commit.readManifest(path)
  const there = Fs.readdirSync(path, { recursive: true, encoding: "utf8" }).filter((file) => file.includes("part-"))
  assert.deepStrictEqual(there.toSorted(), manifest.files.map((file) => file.path).toSorted())
  for (const file of manifest.files) {
    const bytes = Fs.readFileSync(Path.join(path, file.path))
    assert.strictEqual(file.bytes, bytes.length)
    assert.strictEqual(file.checksum, `crc32:${crc32(bytes).toString(16).padStart(8, "0")}`)
  }
  assert.strictEqual(
    manifest.rows,
    manifest.files.reduce((sum, file) => sum + file.rows, 0)
  )
  return manifest
})

const ids = <E, R>(dataset: Dataset.Dataset<{ readonly id: number }, E, R>) =>
  Effect.map(Dataset.collect(dataset), (rows) => rows.map((row) => row.id).toSorted((a, b) => a - b))

const all = (n: number) => Array.from({ length: n }, (_, i) => i)

describe("partitionBy", () => {
  test(
    "puts rows into folders by the values of columns, which the files leave out (Spark's PartitionedWriteSuite)",
    Effect.fnUntraced(function* (root) {
      const manifest = yield* Dataset.writeCsv(rows(40), `${root}/csv`, Row, { partitionBy: ["country", "year"] })
      assert.deepStrictEqual(folders(`${root}/csv`), [
        "country=DE/year=2000",
        "country=FR/year=2000",
        "country=__HIVE_DEFAULT_PARTITION__/year=2001"
      ])
      assert.deepStrictEqual(manifest.conservation, { read: 40, filtered: 0, deadLettered: 0, cut: 0, written: 40 })
      const german = `country=DE/year=2000/part-00000-${manifest.job}.c000.csv`
      assert.include(
        manifest.files.map((file) => file.path),
        german
      )
      assert.strictEqual((yield* checked(`${root}/csv`)).rows, 40)
      assert.match(Fs.readFileSync(`${root}/csv/${german}`, "utf8"), /^id\n0\n4\n/)
      assert.deepStrictEqual(yield* ids(Dataset.csv(`${root}/csv`, Others)), all(40))
      assert.deepStrictEqual(
        yield* ids(Dataset.csv(`${root}/csv/country=FR`, Others)),
        all(10).map((i) => 4 * i + 2)
      )

      yield* Dataset.writeJsonLines(rows(40), `${root}/json`, Row, { partitionBy: ["country"] })
      const first = (yield* checked(`${root}/json`)).files.find((file) => file.path.startsWith("country=DE/part-00000"))
      assert.match(Fs.readFileSync(`${root}/json/${first?.path}`, "utf8"), /^\{"id":0,"year":2000\}\n/)
      assert.deepStrictEqual(yield* ids(Dataset.jsonLines(`${root}/json`, Others)), all(40))

      yield* Dataset.writeParquet(rows(40), `${root}/parquet`, Row, { partitionBy: ["year"] })
      yield* checked(`${root}/parquet`)
      assert.deepStrictEqual(folders(`${root}/parquet`), ["year=2000", "year=2001"])
      const Kept = Schema.Struct({ id: Schema.Number, country: Schema.NullOr(Schema.String) })
      const read = yield* Dataset.collect(Dataset.parquet(`${root}/parquet/year=2001`, Kept))
      assert.deepStrictEqual(
        read.map((row) => [row.id % 2, row.country || null]),
        all(20).map(() => [1, null])
      )
      assert.deepStrictEqual(Fs.readdirSync(root), ["csv", "json", "parquet"])
    })
  )

  test(
    "escapes what a folder name cannot have as Hive does, below a URI too",
    Effect.fnUntraced(function* (root) {
      const Text = Schema.Struct({ id: Schema.Number, "a=b": Schema.String })
      const values = ["a/b", "..", "50%", "a:b=c?", "ü €", "%2F", "x\ny", "[1]*{"]
      const dataset = Dataset.fromIterable(values.map((value, id) => ({ id, "a=b": value })))
      const expected = [
        "a%3Db=%252F",
        "a%3Db=..",
        "a%3Db=50%25",
        "a%3Db=%5B1%5D%2A%7B",
        "a%3Db=a%2Fb",
        "a%3Db=a%3Ab%3Dc%3F",
        "a%3Db=x%0Ay",
        "a%3Db=ü €"
      ].toSorted()
      for (const [output, mode] of [
        [`${root}/plain`, "error-if-exists"],
        [`file://${root.replaceAll(" ", "%20")}/uri`, "error-if-exists"],
        [`file://${root.replaceAll(" ", "%20")}/appended`, "append"]
      ] as const) {
        yield* Dataset.writeCsv(dataset, output, Text, { partitionBy: ["a=b"], mode })
        assert.deepStrictEqual(yield* ids(Dataset.csv(output, Others)), all(values.length))
      }
      for (const name of ["plain", "uri", "appended"]) {
        assert.deepStrictEqual(folders(`${root}/${name}`), expected)
        yield* checked(`${root}/${name}`)
      }
    })
  )

  test(
    "holds a bounded number of rows: the largest folders get several files, one is open at a time",
    Effect.fnUntraced(function* (root) {
      const skewed = Dataset.range(0, 20_000, { partitions: 1 }).pipe(
        Dataset.map((id) => ({ id, country: id % 100 === 0 ? `rare ${id % 1000}` : "DE", year: 1 }))
      )
      const manifest = yield* Dataset.writeCsv(skewed, `${root}/out`, Row, {
        partitionBy: ["country"],
        partitionBufferBytes: 256 * 1024
      })
      yield* checked(`${root}/out`)
      assert.strictEqual(manifest.rows, 20_000)
      const large = manifest.files.filter((file) => file.path.startsWith("country=DE/"))
      assert.isAbove(large.length, 1)
      assert.isTrue(large.every((file, i) => file.path.endsWith(`.c${String(i).padStart(3, "0")}.csv`)))
      assert.strictEqual(manifest.files.length - large.length, 10)
      assert.deepStrictEqual(yield* ids(Dataset.csv(`${root}/out`, Others)), all(20_000))
    })
  )

  test(
    "holds 64 MiB of rows where nothing else is asked for",
    Effect.fnUntraced(function* (root) {
      const Bare = Schema.Struct({ id: Schema.Number, country: Schema.String })
      for (const [length, files] of [
        [64 * 1024 * 1024 - 1024, 1],
        [64 * 1024 * 1024, 2]
      ] as const) {
        // Two arrays of one row each; the padding is held and not written.
        const padding = "x".repeat(length)
        const dataset = Dataset.mapPartitions(Dataset.range(0, 2, { partitions: 1 }), (ids) =>
          Stream.map(Stream.rechunk(ids, 1), (id) => ({ id, country: "DE", padding: id === 0 ? padding : "" }))
        )
        const manifest = yield* Dataset.writeCsv(dataset, `${root}/${files}`, Bare, { partitionBy: ["country"] })
        assert.lengthOf(manifest.files, files)
        assert.strictEqual(manifest.rows, 2)
      }
    })
  )

  test(
    "append adds files to the folders there are and makes those there are not",
    Effect.fnUntraced(function* (root) {
      const some = (country: string) => Dataset.filter(rows(40), (row) => row.country === country)
      const write = <E, R>(dataset: Dataset.Dataset<typeof Row.Type, E, R>) =>
        Dataset.writeCsv(dataset, `${root}/out`, Row, { partitionBy: ["country"], mode: "append" })
      yield* write(some("DE"))
      yield* write(some("DE"))
      const manifest = yield* write(some("FR"))
      assert.strictEqual(manifest.rows, 30)
      yield* checked(`${root}/out`)
      assert.deepStrictEqual(folders(`${root}/out`), ["country=DE", "country=FR"])
      assert.deepStrictEqual(Fs.readdirSync(`${root}/out`).toSorted(), ["_SUCCESS", "country=DE", "country=FR"])
    })
  )

  test(
    "a dataset without rows has no folder",
    Effect.fnUntraced(function* (root) {
      const none = Dataset.filter(rows(4), () => false)
      const manifest = yield* Dataset.writeParquet(none, `${root}/out`, Row, { partitionBy: ["year"] })
      assert.deepStrictEqual(manifest.files, [])
      assert.deepStrictEqual(Fs.readdirSync(`${root}/out`), ["_SUCCESS"])
    })
  )

  test(
    "a write that fails leaves nothing, in whichever folder",
    Effect.fnUntraced(function* (root) {
      const faulty = yield* FaultyStorage.FaultyStorage
      const write = Dataset.writeCsv(rows(40), `${root}/out`, Row, { partitionBy: ["country"] })
      const inFolder = (path: string) => path.includes("country=FR")
      // The last rename is the one of the whole output, after those of 9 files.
      for (const fault of [
        { operation: "write", path: inFolder, afterBytes: 3 },
        { operation: "mkdirs", path: inFolder },
        { operation: "rename", path: inFolder, nth: 2 },
        { operation: "rename", nth: 10 }
      ] as const) {
        yield* faulty.inject({ ...fault, times: Infinity, reason: new NoSpace({ detail: "ENOSPC" }) })
        const error = yield* failure(write)
        assert.strictEqual(error.reason._tag, "OutputFailed")
        assert.deepStrictEqual(Fs.readdirSync(root), [])
        yield* faulty.reset
      }
      yield* write
      yield* checked(`${root}/out`)
    })
  )

  test(
    "columns that cannot be partitioned by are refused before anything runs",
    Effect.fnUntraced(function* (root) {
      const refused = Effect.fnUntraced(function* (columns: ReadonlyArray<keyof typeof Row.Type>, message: string) {
        const error = yield* failure(Dataset.writeCsv(rows(4), `${root}/out`, Row, { partitionBy: columns }))
        assert.strictEqual(error.reason._tag, "InvalidPlan")
        assert.include(error.message, message)
      })
      yield* refused(["year", "year"], '"year" twice')
      yield* refused(["id", "country", "year"], "every column")
      // @ts-expect-error - not a column
      yield* refused(["nothing"], '"nothing", which is not a column')
      const Deep = Schema.Struct({ id: Schema.Number, deep: Schema.Struct({ a: Schema.Number }) })
      const deep = Dataset.fromIterable([{ id: 1, deep: { a: 1 } }])
      const error = yield* failure(Dataset.writeJsonLines(deep, `${root}/out`, Deep, { partitionBy: ["deep"] }))
      assert.include(error.message, 'row 0, column "deep": is not a single value')
      assert.deepStrictEqual(Fs.readdirSync(root), [])
    })
  )

  test(
    "a value that no folder can be named after is refused with its row and where that was read",
    Effect.fnUntraced(function* (root) {
      const Named = Schema.Struct({ id: Schema.Number, name: Schema.String })
      const names = Array.from({ length: 9 }, (_, id) => ({ id, name: id === 7 ? "half \ud800" : "whole" }))
      Fs.writeFileSync(`${root}/in.jsonl`, names.map((row) => `${JSON.stringify(row)}\n`).join(""))
      const error = yield* Dataset.jsonLines(`${root}/in.jsonl`, Named).pipe(
        Dataset.writeJsonLines(`${root}/out`, Named, { partitionBy: ["name"] }),
        (action) => failure(action)
      )
      assert.match(error.message, /row 7, from \S*in\.jsonl, line 8, column "name": contains half a surrogate pair/)
      assert.deepStrictEqual(Fs.readdirSync(root), ["in.jsonl"])
    })
  )
})
