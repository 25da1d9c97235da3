/**
 * The unit that can run in another process: a named program with a typed payload, the layer its executors build, and the action it runs.
 *
 * @since 0.1.0
 */
import { Effect, type Layer, Schema } from "effect"
import { Action, type Engine, type Summary } from "../engine/Action.ts"
import { emptyTotals } from "../observe/Events.ts"
import { provideErased } from "../task/internal/runtime.ts"
import { InvalidPayload, JobError } from "../task/JobError.ts"
import type { ExecutorInfo } from "../task/TaskContext.ts"

/**
 * A job. Functions are never sent anywhere: driver and executors import the module that exports the job, and build the same plan
 * from the same payload.
 *
 * @category models
 * @since 0.1.0
 */
export interface Job<Payload extends Schema.Codec<unknown, unknown, never, never>, out B, out E, out R> {
  readonly name: string
  readonly payload: Payload
  /** The action of a payload, with the job's layer provided to its tasks. */
  readonly action: (payload: Payload["Type"]) => Action<B, E, R>
}

/**
 * Makes a job.
 *
 * **Details**
 *
 * `layer` (or a function from the payload to one) provides what the functions of the action need. It is built once per
 * executor, by the first task there, shared by all tasks of the run, and released when no run uses it any more: the
 * right place for client pools. `ExecutorInfo` is available while it is built, so that a client can choose a server by
 * machine.
 *
 * **Example** (A job whose tasks need a service)
 *
 * ```ts import.meta.vitest
 * import { Dataset, Engine, Job } from "@sluice/core"
 * import { Context, Effect, Layer, Schema } from "effect"
 *
 * class Model extends Context.Service<Model, (n: number) => number>()("example/Model") {}
 *
 * const job = Job.make("triple", {
 *   payload: Schema.Struct({ upTo: Schema.Number }),
 *   layer: Layer.succeed(Model, (n) => n * 3),
 *   action: ({ upTo }) =>
 *     Dataset.range(0, upTo).pipe(
 *       Dataset.mapEffect((n) => Effect.map(Model, (model) => model(n))),
 *       Dataset.collect
 *     )
 * })
 *
 * await Effect.runPromise(Effect.provide(Job.run(job, { upTo: 3 }), Engine.layer)) // => [0, 3, 6]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  Payload extends Schema.Codec<unknown, unknown, never, never>,
  B,
  E,
  R,
  ROut = never,
  LE = never,
  RIn = never
>(
  name: string,
  options: {
    readonly payload: Payload
    readonly layer?: Layer.Layer<ROut, LE, RIn> | ((payload: Payload["Type"]) => Layer.Layer<ROut, LE, RIn>) | undefined
    readonly action: (payload: Payload["Type"]) => Action<B, E, R>
  }
): Job<Payload, B, E | LE, Exclude<R, ROut> | Exclude<RIn, ExecutorInfo>> => ({
  name,
  payload: options.payload,
  action: (payload) => {
    const { spec } = options.action(payload)
    const layer = typeof options.layer === "function" ? options.layer(payload) : options.layer
    const encoded = JSON.stringify(Schema.encodeSync(Schema.toCodecJson(options.payload))(payload))
    return new Action({
      ...spec,
      job: { name, payload: encoded },
      // Here for the operators of every stage, through the plan; below for the functions of the action itself.
      plan:
        layer === undefined ? spec.plan : { _tag: "Narrow", child: spec.plan, operator: { _tag: "Provide", layer } },
      task:
        layer === undefined
          ? spec.task
          : (rows, task) =>
              Effect.flatMap(task.services(layer), (services) => provideErased(services)(spec.task(rows, task)))
    })
  }
})

/**
 * Runs a job on the engine. If the payload does not fit its schema, the job fails with a `JobError` before anything
 * runs.
 *
 * @category actions
 * @since 0.1.0
 */
export const run = Effect.fnUntraced(function* <Payload extends Schema.Codec<unknown, unknown, never, never>, B, E, R>(
  job: Job<Payload, B, E, R>,
  payload: Payload["Type"]
): Effect.fn.Return<B, E | JobError, R | Engine> {
  yield* Effect.mapError(
    Schema.encodeEffect(job.payload)(payload),
    (error) => new JobError({ job: "", name: job.name, reason: new InvalidPayload({ detail: String(error) }), at: {} })
  )
  return yield* job.action(payload)
})

/**
 * The result of a run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report<out B> extends Summary {
  readonly value: B
}

/**
 * Runs a job as {@link run} does, and also reports how the run went.
 *
 * @category actions
 * @since 0.1.0
 */
export const runReported = <Payload extends Schema.Codec<unknown, unknown, never, never>, B, E, R>(
  job: Job<Payload, B, E, R>,
  payload: Payload["Type"]
): Effect.Effect<Report<B>, E | JobError, R | Engine> =>
  Effect.suspend(() => {
    let summary: Summary = { job: "", fingerprint: "", millis: 0, totals: emptyTotals }
    const onEnd = (ended: Summary) => {
      summary = ended
    }
    const observed = {
      ...job,
      action: (payload: Payload["Type"]) => new Action<B, E, R>({ ...job.action(payload).spec, onEnd })
    }
    return Effect.map(run(observed, payload), (value) => ({ ...summary, value }))
  })
