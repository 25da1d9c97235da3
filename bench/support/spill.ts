/**
 * The jobs of `bench/spill.ts`, each a separate process with a small heap that counts what its shuffle writes.
 *
 *     node --max-old-space-size=512 bench/support/spill.ts group|sort INPUT OUTPUT DIRECTORY
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Dataset, Engine, Events, Executor, Shuffle, Storage } from "@sluice/core"
import { Effect, Layer, Order, Schema, Stream } from "effect"
import { peakResident } from "./resident.ts"

/** A 32-bit hash of a line of ASCII. */
export const hashOf = (line: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < line.length; i++) hash = Math.imul(hash ^ line.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** Adds to a checksum that does not depend on the order. */
export const plus = (checksum: number, hash: number): number => (checksum + hash) % 2 ** 52

/** What a job reports at its end, besides its answer. All are bytes. */
export const Report = Schema.Struct({
  budget: Schema.Number,
  /** Peaks, of samples every 50 ms. */
  heap: Schema.Number,
  arrayBuffers: Schema.Number,
  /** The most that was resident, as counted by the system. */
  resident: Schema.Number,
  outputs: Schema.Number,
  runs: Schema.Number
})

/** Counts `key<TAB>count<TAB>checksum` for every key of lines of `key<TAB>value`. */
const group = (input: string, output: string) =>
  Dataset.text(input).pipe(
    Dataset.map((line) => {
      const tab = line.indexOf("\t")
      return [line.slice(0, tab), line.slice(tab + 1)] as const
    }),
    (pairs) => Dataset.groupByKey(pairs),
    Dataset.mapEffect(([key, values]) => {
      let count = 0
      let checksum = 0
      return Effect.map(
        Stream.runForEachArray(values, (some) =>
          Effect.sync(() => {
            count += some.length
            for (const value of some) checksum = plus(checksum, hashOf(value))
          })
        ),
        () => `${key}\t${count}\t${checksum}`
      )
    }),
    Dataset.writeText(output)
  )

const sort = (input: string, output: string) =>
  Dataset.text(input).pipe(Dataset.sort(Order.String, { partitions: 8 }), Dataset.writeText(output))

const main = Effect.fnUntraced(function* (
  action: typeof group,
  [input = "", output = "", directory = ""]: ReadonlyArray<string>
) {
  const report = { budget: 0, heap: 0, arrayBuffers: 0, resident: 0, outputs: 0, runs: 0 }
  const counted = Layer.effect(
    Shuffle.Shuffle,
    Effect.map(Shuffle.Shuffle, (shuffle) => {
      report.budget = shuffle.memory.total
      const create: typeof shuffle.store.create = (id, name) =>
        Effect.map(shuffle.store.create(id, name), (file) => ({
          ...file,
          append: (parts) => {
            const bytes = parts.reduce((sum, part) => sum + part.length, 0)
            report[name.startsWith("map-") ? "outputs" : "runs"] += bytes
            return file.append(parts)
          }
        }))
      return Shuffle.Shuffle.of({ ...shuffle, store: { ...shuffle.store, create } })
    })
  ).pipe(Layer.provide(Shuffle.layerDisk({ directory })))
  const engine = Engine.layerWithShuffle.pipe(
    Layer.provide(Executor.layerLocal()),
    Layer.provide(Layer.mergeAll(Storage.layer, Events.layer, counted))
  )
  const timer = setInterval(() => {
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    report.heap = Math.max(report.heap, heapUsed)
    report.arrayBuffers = Math.max(report.arrayBuffers, arrayBuffers)
  }, 50)
  yield* Effect.ensuring(
    Effect.provide(action(input, output), engine),
    Effect.sync(() => clearInterval(timer))
  )
  report.resident = peakResident()
  console.log(JSON.stringify(report))
})

if (import.meta.main) {
  const [name, ...paths] = process.argv.slice(2)
  NodeRuntime.runMain(main(name === "sort" ? sort : group, paths))
}
