/** Writes one output of two files and ends: 0 with `done` on stdout, 1 with the reason of the failure. */
import { Dataset, Engine, Events, Executor, JobError, Shuffle, Storage } from "@sluice/core"
import type { WriteMode } from "@sluice/core/Commit"
import { Effect, Layer } from "effect"

const [output = "", name = "", mode = "append"] = process.argv.slice(2)

const engine = Engine.layerWithShuffle.pipe(
  Layer.provide(Shuffle.layerMemory()),
  Layer.provide(Executor.layerLocal({ executors: [{ slots: 1 }] })),
  Layer.provideMerge(Layer.mergeAll(Storage.layer, Events.layer))
)

Dataset.range(0, 6, { partitions: 2 }).pipe(
  Dataset.map((n) => `${name} ${n}`),
  Dataset.writeText(output, { mode: mode as WriteMode }),
  Effect.provide(engine),
  Effect.matchCause({
    onFailure: (cause) => {
      const [reason] = cause.reasons
      const error = reason?._tag === "Fail" ? reason.error : undefined
      process.stdout.write(error instanceof JobError.JobError ? `${error.reason._tag}\n` : `untyped ${String(cause)}\n`)
      process.exitCode = 1
    },
    onSuccess: () => void process.stdout.write("done\n")
  }),
  Effect.runFork
)
