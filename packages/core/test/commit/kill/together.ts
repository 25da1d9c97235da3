/**
 * Writes to one output in a row, beginning when a line comes in on stdin, as several processes of this kind do at once. Prints `ready`,
 * then for each write `done` or the reason of its failure.
 */
import { Dataset, Engine, Events, Executor, JobError, Shuffle, Storage } from "@sluice/core"
import type { WriteMode } from "@sluice/core/Commit"
import { Effect, Layer, References } from "effect"
import { once } from "node:events"

const [output = "", name = "", mode = "append", rounds = "1"] = process.argv.slice(2)

const engine = Engine.layerWithShuffle.pipe(
  Layer.provide(Shuffle.layerMemory()),
  Layer.provide(Executor.layerLocal({ executors: [{ slots: 1 }] })),
  Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
)

const write = (round: number) =>
  Dataset.range(0, 6, { partitions: 2 }).pipe(
    Dataset.map((n) => `${name}-${round} ${n}`),
    Dataset.writeText(output, { mode: mode as WriteMode }),
    Effect.match({
      onFailure: (error) => (error instanceof JobError.JobError ? error.reason._tag : `untyped ${String(error)}`),
      onSuccess: () => "done"
    }),
    Effect.tap((word) => Effect.sync(() => process.stdout.write(`${word}\n`)))
  )

process.stdout.write("ready\n")
await once(process.stdin, "data")
process.stdin.destroy()
await Effect.runPromise(
  Effect.forEach(
    Array.from({ length: Number(rounds) }, (_, round) => round),
    write,
    { discard: true }
  ).pipe(Effect.provide(engine), Effect.provideService(References.MinimumLogLevel, "None"))
)
