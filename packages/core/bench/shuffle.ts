/**
 * Speed of the codec and of the shuffle operators: `node --conditions=@sluice/source bench/shuffle.ts FOLDER [codec|wordcount|group|sort]`,
 * where FOLDER holds the text files of `bench/rivals/make-text.py`.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as v8 from "node:v8"
import { Effect, Order, Stream } from "effect"
import * as Codec from "../src/codec/Codec.ts"
import { Reader, Writer } from "../src/codec/internal/bytes.ts"
import * as Partitioner from "../src/shuffle/Partitioner.ts"
import * as Shuffle from "../src/shuffle/Shuffle.ts"

const [folder = "", only = ""] = process.argv.slice(2)
const CHUNK = Number(process.env.CHUNK ?? 1024)
const REDUCERS = 8

const files = fs
  .readdirSync(folder)
  .map((name) => path.join(folder, name))
  .toSorted()
const lines = (file: string): Stream.Stream<string> =>
  Stream.suspend(() => {
    const text = fs.readFileSync(file, "latin1")
    const chunks: Array<Stream.Stream<string>> = []
    let from = 0
    const next = (): ReadonlyArray<string> => {
      const rows: Array<string> = []
      while (rows.length < CHUNK && from < text.length) {
        const end = text.indexOf("\n", from)
        rows.push(text.slice(from, end))
        from = end + 1
      }
      return rows
    }
    for (let rows = next(); rows.length > 0; rows = next()) chunks.push(Stream.fromArray(rows))
    return Stream.flatten(Stream.fromArray(chunks))
  })

const timed = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const start = performance.now()
    const cpu = process.cpuUsage()
    const value = yield* effect
    const used = process.cpuUsage(cpu)
    const seconds = (performance.now() - start) / 1000
    console.log(`${name.padEnd(28)} ${seconds.toFixed(2)} s, cpu ${((used.user + used.system) / 1e6).toFixed(2)} s`)
    return value
  })

const wanted = (name: string) => only === "" || only === name

const codec = Effect.sync(() => {
  const text = fs.readFileSync(files[0]!, "latin1").split("\n").slice(0, 100_000)
  const samples: ReadonlyArray<readonly [string, ReadonlyArray<unknown>]> = [
    ["lines", text],
    ["words", text.flatMap((line) => line.split(" ")).slice(0, 500_000)],
    ["[word, 1]", text.flatMap((line) => line.split(" ").map((word) => [word, 1])).slice(0, 500_000)],
    [
      "{id, name, score, tags}",
      text.map((line, id) => ({ id, name: line.slice(0, 12), score: id / 7, tags: ["a", "b"] }))
    ],
    ["Float32Array(100)", Array.from({ length: 50_000 }, (_, i) => new Float32Array(100).fill(i))]
  ]
  for (const [name, values] of samples) {
    for (let run = 0; run < 2; run++) {
      let start = performance.now()
      const writer = new Writer(1 << 20)
      const blocks: Array<Buffer> = []
      for (const value of values) {
        Codec.plain.write(value, writer)
        if (writer.position > 1 << 17) {
          blocks.push(Buffer.from(writer.take()))
          writer.position = 0
        }
      }
      blocks.push(Buffer.from(writer.take()))
      const encode = performance.now() - start
      const bytes = blocks.reduce((sum, block) => sum + block.length, 0)
      start = performance.now()
      let count = 0
      for (const block of blocks)
        for (const reader = new Reader(block); reader.position < reader.end; count++) Codec.plain.read(reader)
      const decode = performance.now() - start
      start = performance.now()
      const packed: Array<Buffer> = []
      for (let i = 0; i < values.length; i += 1000) packed.push(v8.serialize(values.slice(i, i + 1000)))
      const v8encode = performance.now() - start
      start = performance.now()
      for (const block of packed) v8.deserialize(block)
      const v8decode = performance.now() - start
      if (run === 0) continue
      const rate = (ms: number) => `${(values.length / ms / 1000).toFixed(1)} M/s`.padStart(9)
      const mb = (ms: number) => `${(bytes / ms / 1000).toFixed(0)} MB/s`.padStart(9)
      console.log(
        `${name.padEnd(24)} encode ${rate(encode)} ${mb(encode)}   decode ${rate(decode)} ${mb(decode)}   v8 (1000 rows) ${rate(v8encode)} ${rate(v8decode)}`
      )
    }
  }
})

type Wire<Row, K, V> = Shuffle.Exchange<Row, K, V>

const string = Codec.plain as unknown as Codec.Codec<string>
const number = Codec.plain as unknown as Codec.Codec<number>

const mapSide = (
  task: (file: string, map: number) => Effect.Effect<Shuffle.MapStatus, Shuffle.ShuffleError, Shuffle.Shuffle>
) => Effect.forEach(files, task)

const each = <A, E, R>(
  statuses: ReadonlyArray<Shuffle.MapStatus>,
  read: (slice: Shuffle.Slice) => Effect.Effect<A, E, R>
) =>
  Effect.forEach(
    Array.from({ length: REDUCERS }, (_, from) => ({ statuses, from, to: from + 1 })),
    read
  )

const wordCount = Effect.gen(function* () {
  const wire: Wire<readonly [string, number], string, number> = {
    id: "bench-words",
    operator: "reduceByKey",
    partitioner: Partitioner.hash<string>(REDUCERS),
    key: string,
    value: number,
    keyOf: (row) => row[0],
    valueOf: (row) => row[1]
  }
  const sum: Shuffle.Aggregator<number, number> = {
    create: (n) => n,
    mergeValue: (a, b) => a + b,
    mergeCombiners: (a, b) => a + b,
    codec: number
  }
  const pairs = (file: string) =>
    Stream.mapArray(lines(file), (rows) => {
      const out: Array<readonly [string, number]> = []
      for (const row of rows) for (const word of row.split(" ")) if (word !== "") out.push([word, 1])
      return out as [readonly [string, number], ...Array<readonly [string, number]>]
    })
  const statuses = yield* timed(
    "word count, map",
    mapSide((file, map) => Shuffle.writeCombined(wire, sum, { map, attempt: 0 }, pairs(file)))
  )
  const counts = yield* timed(
    "word count, reduce",
    each(statuses, (slice) =>
      Stream.runFold(
        Shuffle.aggregate(wire, sum, slice, { combined: true, make: (_, n) => n }),
        () => 0,
        (a, b) => a + b
      )
    )
  )
  console.log(
    counts.reduce((a, b) => a + b, 0),
    "words"
  )
})

const group = Effect.gen(function* () {
  const wire: Wire<string, string, string> = {
    id: "bench-group",
    operator: "groupByKey",
    partitioner: Partitioner.hash<string>(REDUCERS),
    key: string,
    value: string,
    keyOf: (row) => row.slice(0, 6),
    valueOf: (row) => row
  }
  const statuses = yield* timed(
    "group, map",
    mapSide((file, map) => Shuffle.write(wire, { map, attempt: 0 }, lines(file)))
  )
  const counts = yield* timed(
    "group, reduce",
    each(statuses, (slice) => Stream.runCount(Shuffle.group(wire, slice)))
  )
  console.log(
    counts.reduce((a, b) => a + b, 0),
    "groups"
  )
})

const sort = Effect.gen(function* () {
  const sample = yield* timed(
    "sort, sample",
    Effect.map(
      Effect.forEach(files, (file) =>
        Stream.runCollect(Stream.filter(Stream.zipWithIndex(lines(file)), ([, i]) => i % 1000 === 0))
      ),
      (all) => all.flat().map(([line]) => line)
    )
  )
  const wire: Wire<string, string, undefined> = {
    id: "bench-sort",
    operator: "sortBy",
    partitioner: Partitioner.range({ partitions: REDUCERS, sample, order: Order.String }),
    key: string,
    value: Codec.none,
    keyOf: (row) => row,
    valueOf: () => undefined
  }
  const statuses = yield* timed(
    "sort, map",
    mapSide((file, map) => Shuffle.write(wire, { map, attempt: 0 }, lines(file)))
  )
  const counts = yield* timed(
    "sort, reduce",
    each(statuses, (slice) =>
      Effect.gen(function* () {
        let last = ""
        let count = 0
        yield* Stream.runForEachArray(
          Shuffle.sort(wire, Order.String, slice, (key) => key),
          (rows) =>
            Effect.sync(() => {
              for (const row of rows) {
                if (row < last) throw new Error("not in order")
                last = row
                count++
              }
            })
        )
        return count
      })
    )
  )
  console.log(
    counts.reduce((a, b) => a + b, 0),
    "lines"
  )
})

const all = Effect.gen(function* () {
  if (wanted("codec")) yield* codec
  if (wanted("lines"))
    yield* timed(
      "lines alone",
      Effect.forEach(files, (file) => Stream.runDrain(lines(file)))
    )
  if (wanted("wordcount")) yield* timed("word count", wordCount)
  if (wanted("group")) yield* timed("group", group)
  if (wanted("sort")) yield* timed("sort", sort)
})

await Effect.runPromise(Effect.provide(all, Shuffle.layerDisk()))
