/**
 * Runs the embedded model service as a program. Its first line of output is `{"url":"http://127.0.0.1:PORT"}`.
 *
 * @since 0.1.0
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { fileURLToPath } from "node:url"
import * as Model from "./Model.ts"
import * as ModelService from "./ModelService.ts"

const parentEnded = Effect.callback<void>((resume) => {
  process.stdin.once("close", () => resume(Effect.void))
  process.stdin.resume()
})

Command.make(
  "server",
  {
    model: Flag.Path("model", { pathType: "file" }).pipe(
      Flag.withDescription("Model file, as train.py or make-model.ts writes it"),
      Flag.withDefault(fileURLToPath(new URL("model.json", import.meta.url)))
    ),
    host: Flag.String("host").pipe(Flag.withDescription("Address to listen on"), Flag.withDefault("127.0.0.1")),
    port: Flag.Int("port").pipe(Flag.withDescription("Port to listen on, 0 for a free one"), Flag.withDefault(0)),
    delay: Flag.Finite("delay").pipe(Flag.withDescription("Milliseconds a request takes"), Flag.withDefault(0)),
    capacity: Flag.Int("capacity").pipe(Flag.withDescription("Requests worked on at once"), Flag.withDefault(8)),
    queueLimit: Flag.Int("queue-limit").pipe(
      Flag.withDescription("Requests that may wait, others get 503 (default: unlimited)"),
      Flag.optional
    ),
    maxBody: Flag.Int("max-body").pipe(
      Flag.withDescription("Largest body in bytes, others get 413"),
      Flag.withDefault(64 * 1024 * 1024)
    ),
    faults: Flag.String("faults").pipe(
      Flag.withDescription('What to do wrong: a JSON array of faults, e.g. [{"_tag":"Status","status":503,"every":5}]'),
      Flag.withSchema(Schema.fromJsonString(Schema.Array(ModelService.Fault))),
      Flag.withDefault([])
    ),
    withParent: Flag.Boolean("with-parent").pipe(
      Flag.withDescription("Stop when standard input closes, as it does when the parent process ends"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ model, queueLimit, withParent, ...options }) {
    const service = yield* ModelService.make({
      ...options,
      model: yield* Model.load(model),
      queueLimit: Option.getOrUndefined(queueLimit)
    })
    yield* Console.log(JSON.stringify({ url: service.url }))
    yield* withParent ? parentEnded : Effect.never
  }, Effect.scoped)
).pipe(
  Command.withDescription("Serve a logistic regression at PUT /score; see README.md for the protocol"),
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
