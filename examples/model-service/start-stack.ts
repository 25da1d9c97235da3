/**
 * Starts uwsgi and nginx on a loopback port without Docker, prints the address, and stops both on Ctrl-C.
 *
 * @since 0.1.0
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as RealStack from "./RealStack.ts"

Command.make(
  "start-stack",
  {
    model: Flag.Path("model", { pathType: "file" }).pipe(
      Flag.withDescription("Model file (default: the digits model)"),
      Flag.optional
    ),
    processes: Flag.Int("processes").pipe(Flag.withDescription("uwsgi processes"), Flag.withDefault(4)),
    port: Flag.Int("port").pipe(Flag.withDescription("Port of nginx (default: a free one)"), Flag.optional)
  },
  Effect.fnUntraced(function* ({ model, port, processes }) {
    const stack = yield* RealStack.make({
      model: Option.getOrUndefined(model),
      port: Option.getOrUndefined(port),
      processes
    })
    yield* Console.log(JSON.stringify({ url: stack.url }))
    return yield* Effect.never
  }, Effect.scoped)
).pipe(
  Command.withDescription("Start the Flask, uwsgi and nginx stack on a loopback port"),
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
