/**
 * Writes a model of any width with pseudo-random weights, for benchmarks.
 *
 * @since 0.1.0
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem } from "effect"
import { Command, Flag } from "effect/cli"
import * as Model from "./Model.ts"

Command.make(
  "make-model",
  {
    features: Flag.Int("features").pipe(Flag.withDescription("Features in a row"), Flag.withDefault(100)),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Seed of the weights"), Flag.withDefault(7)),
    output: Flag.Path("output").pipe(Flag.withDescription("File to write"))
  },
  Effect.fnUntraced(function* ({ features, output, seed }) {
    const fs = yield* FileSystem.FileSystem
    yield* fs.writeFileString(output, `${JSON.stringify(Model.synthetic(features, seed), null, 1)}\n`)
    yield* Console.log(`${output}: ${features} features, seed ${seed}`)
  })
).pipe(
  Command.withDescription("Write a logistic regression with pseudo-random weights"),
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
