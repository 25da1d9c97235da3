/**
 * What happens in an engine, as typed events on one bus. The progress line, metrics and everything else that shows a
 * job listen here.
 *
 * @since 0.1.0
 */
import { Context, Effect, Layer, PubSub, Schema, type Scope, Stream } from "effect"

const Counters = Schema.Record(Schema.String, Schema.Number)

/**
 * Sums of the task metrics of a job. `counters` and `gauges` have the operators' own numbers (`requests`, `inFlight`).
 *
 * @category models
 * @since 0.1.0
 */
export const Totals = Schema.Struct({
  rowsRead: Schema.Number,
  bytesRead: Schema.Number,
  rowsAhead: Schema.Number,
  bytesAhead: Schema.Number,
  rowsIn: Schema.Number,
  rowsOut: Schema.Number,
  bytesWritten: Schema.Number,
  rowsFiltered: Schema.Number,
  rowsCut: Schema.Number,
  deadLettered: Schema.Number,
  counters: Counters,
  gauges: Counters
})

/**
 * Sums of the task metrics of a job.
 *
 * @category models
 * @since 0.1.0
 */
export type Totals = typeof Totals.Type

/**
 * Totals of a job that has done nothing.
 *
 * @category models
 * @since 0.1.0
 */
export const emptyTotals: Totals = {
  rowsRead: 0,
  bytesRead: 0,
  rowsAhead: 0,
  bytesAhead: 0,
  rowsIn: 0,
  rowsOut: 0,
  bytesWritten: 0,
  rowsFiltered: 0,
  rowsCut: 0,
  deadLettered: 0,
  counters: {},
  gauges: {}
}

const job = { job: Schema.String, name: Schema.String, at: Schema.Number }
const task = {
  ...job,
  stage: Schema.Number,
  partition: Schema.Number,
  attempt: Schema.Number,
  executor: Schema.String
}

/**
 * An event. `at` is in milliseconds since 1970 UTC, from the engine's clock.
 *
 * @category models
 * @since 0.1.0
 */
export const Event = Schema.Union([
  Schema.TaggedStruct("JobStarted", {
    ...job,
    fingerprint: Schema.String,
    /** Tasks, rows and bytes to come, from splits and footers; rows are missing if a format has no count. */
    tasks: Schema.Number,
    rows: Schema.optional(Schema.Number),
    bytes: Schema.Number
  }),
  Schema.TaggedStruct("StageStarted", { ...job, stage: Schema.Number, tasks: Schema.Number }),
  Schema.TaggedStruct("TaskStarted", { ...task, split: Schema.optional(Schema.String), locality: Schema.String }),
  Schema.TaggedStruct("TaskEnded", { ...task, outcome: Schema.Literals(["success", "failure", "interrupted"]) }),
  Schema.TaggedStruct("Progress", { ...job, tasksDone: Schema.Number, tasks: Schema.Number, totals: Totals }),
  Schema.TaggedStruct("DeadLettered", {
    ...task,
    path: Schema.String,
    rowGroup: Schema.optional(Schema.Number),
    row: Schema.Number,
    line: Schema.optional(Schema.Number),
    afterByte: Schema.optional(Schema.Number),
    reason: Schema.String
  }),
  Schema.TaggedStruct("StageEnded", { ...job, stage: Schema.Number }),
  Schema.TaggedStruct("JobEnded", {
    ...job,
    outcome: Schema.Literals(["success", "failure", "interrupted"]),
    millis: Schema.Number,
    totals: Totals
  })
])

/**
 * An event.
 *
 * @category models
 * @since 0.1.0
 */
export type Event = typeof Event.Type

/**
 * The bus.
 *
 * **Details**
 *
 * It holds the last 10,000 events for a listener that is slow (Spark's `listenerbus.eventqueue.capacity`); older ones are
 * dropped for that listener only. Publishing never waits.
 *
 * @category services
 * @since 0.1.0
 */
export class Events extends Context.Service<
  Events,
  {
    readonly publish: (event: Event) => Effect.Effect<void>
    /** Whether anybody listens: an event that nobody hears need not be made. */
    readonly hasListeners: () => boolean
    /** Every event from the subscription on. The subscription begins when the effect succeeds. */
    readonly subscribe: Effect.Effect<Stream.Stream<Event>, never, Scope.Scope>
  }
>()("@sluice/core/Events") {}

/**
 * A new bus.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Events> = Layer.effect(
  Events,
  Effect.gen(function* () {
    const pubsub = yield* Effect.acquireRelease(PubSub.sliding<Event>(10_000), PubSub.shutdown)
    // Two events per task are a fifth of the cost of a small task, so without a listener they are not published.
    let listeners = 0
    const listening = Effect.acquireRelease(
      Effect.sync(() => listeners++),
      () => Effect.sync(() => listeners--)
    )
    return Events.of({
      publish: (event) =>
        Effect.suspend(() => (listeners === 0 ? Effect.void : Effect.asVoid(PubSub.publish(pubsub, event)))),
      hasListeners: () => listeners > 0,
      subscribe: Effect.andThen(listening, Effect.map(PubSub.subscribe(pubsub), Stream.fromSubscription))
    })
  })
)
