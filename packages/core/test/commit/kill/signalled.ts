/**
 * Writes an output as a main program and says on stdout where it is: `rows` in a task that does not end, `commit` in the rename that
 * decides, `written` after the action. What it does there is told by the second argument.
 */
import { Dataset, Engine, Events, Executor, Program, Storage } from "@sluice/core"
import { Effect, Layer } from "effect"
import { writeSync } from "node:fs"

const [output = "", phase = "rows"] = process.argv.slice(2)

const storage = Storage.layerSchemes({
  file: Effect.map(Storage.makeLocal, (local): Storage.Backend => ({
    ...local,
    rename: (from, to, options) =>
      from.endsWith("/commit/out") && phase !== "rows"
        ? Effect.andThen(
            Effect.sync(() => writeSync(1, "commit\n")),
            // Long enough for a signal to be sent and to come.
            Effect.andThen(phase === "stuck" ? Effect.never : Effect.sleep(500), local.rename(from, to, options))
          )
        : local.rename(from, to, options)
  }))
})

const engine = Engine.layerNoDeps.pipe(
  Layer.provide(Executor.layerLocal()),
  Layer.provideMerge(Layer.mergeAll(storage, Events.layer))
)

Dataset.range(0, 6, { partitions: 2 }).pipe(
  Dataset.map(String),
  Dataset.tap((line) =>
    phase === "rows" && line === "4"
      ? Effect.andThen(
          Effect.sync(() => writeSync(1, "rows\n")),
          Effect.never
        )
      : Effect.void
  ),
  Dataset.writeText(output),
  Effect.tap(() => Effect.sync(() => writeSync(1, "written\n"))),
  Effect.andThen(phase === "more" ? Effect.never : Effect.void),
  Effect.provide(engine),
  Program.runMain
)
