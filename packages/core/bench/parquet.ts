/** Reading and writing speed of the formats. `node --conditions=@sluice/source bench/parquet.ts [folder]` */
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { Effect, Schema, Stream } from "effect"
import type { Source } from "../src/task/Format.ts"
import * as Parquet from "../src/formats/Parquet.ts"
import * as Text from "../src/formats/Text.ts"
import * as Storage from "../src/storage/Storage.ts"
import * as Vector from "../src/formats/Vector.ts"

const options = { splitBytes: 128 * 1024 * 1024, openCostBytes: 4 * 1024 * 1024 }
const rows = 400_000
const width = 100
const lines = 2_000_000
const Row = Schema.Struct({ id: Schema.BigInt, features: Vector.Float32 })

const all = <A>(source: Source<A>) =>
  Effect.map(source.resolve(options), ({ splits }) =>
    Stream.flatMap(Stream.fromIterable(splits), (split) => split.read)
  )

const timed = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>, report: (seconds: number) => string) =>
  Effect.gen(function* () {
    for (let run = 0; run < 3; run++) {
      const start = performance.now()
      yield* effect
      const seconds = (performance.now() - start) / 1000
      console.log(`${name.padEnd(28)} ${seconds.toFixed(3)} s  ${report(seconds)}`)
    }
  })

const check = (name: string, actual: number, expected: number) =>
  actual === expected ? Effect.void : Effect.die(new Error(`${name}: ${actual}, not ${expected}`))

const program = Effect.gen(function* () {
  const storage = yield* Storage.Storage
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "sluice-bench-"))),
    (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
  )
  const file = path.join(folder, "vectors.parquet")
  const copy = path.join(folder, "copy.parquet")
  const text = path.join(folder, "lines.txt")
  const values = Float32Array.from({ length: width * 1000 }, (_, i) => Math.fround(Math.sin(i)))
  const make = Stream.range(0, rows - 1, 4096).pipe(
    Stream.map((i) => ({ id: BigInt(i), features: values.subarray((i % 1000) * width, ((i % 1000) + 1) * width) }))
  )
  const line = "the quick brown fox jumps over the lazy dog and then writes some more words until a hundred is done"
  yield* storage.write(
    text,
    Stream.map(Stream.range(1, lines / 1000), () => Buffer.from(`${line}\n`.repeat(1000)))
  )
  const textBytes = (yield* storage.stat(text)).length
  const write = storage.write(file, Parquet.writer(Row).encode(make), { overwrite: true })
  const mb = (bytes: number) => (seconds: number) => `${(bytes / 1e6 / seconds).toFixed(0)} MB/s`
  const millions = (count: number) => (seconds: number) => `${(count / 1e6 / seconds).toFixed(2)} M rows/s`

  yield* timed("write rows", write, mb(rows * (width * 4 + 8)))
  const count = (yield* Parquet.metadata(file))[0]?.rows ?? 0
  yield* check("rows written", count, rows)
  const batches = Effect.flatMap(
    all(Parquet.batches(file)),
    Stream.runFold(
      () => 0,
      (sum, batch) => sum + batch.numRows
    )
  )
  yield* timed(
    "read batches",
    Effect.flatMap(batches, (n) => check("batches", n, rows)),
    mb(rows * (width * 4 + 8))
  )
  const copied = Effect.flatMap(all(Parquet.batches(file)), (stream) =>
    storage.write(copy, Parquet.batchWriter().encode(stream), { overwrite: true })
  )
  yield* timed("copy batches", copied, mb(rows * (width * 4 + 8)))
  const typed = (columns: typeof Row) =>
    Effect.flatMap(all(Parquet.source(file, columns)), (stream) =>
      Stream.runFold(
        Stream.chunks(stream),
        () => 0,
        (sum, rows) => sum + rows.length
      )
    )
  yield* timed(
    "read typed rows",
    Effect.flatMap(typed(Row), (n) => check("rows", n, rows)),
    millions(rows)
  )
  const read = Effect.flatMap(all(Text.source(text)), (stream) =>
    Stream.runFold(
      Stream.chunks(stream),
      () => 0,
      (sum, lines) => sum + lines.length
    )
  )
  yield* timed(
    "read lines",
    Effect.flatMap(read, (n) => check("lines", n, lines)),
    mb(textBytes)
  )
})

await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Storage.layerLocal)))
