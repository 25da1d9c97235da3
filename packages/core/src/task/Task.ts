/**
 * A task as data: which attempt at which partition of which stage of which run.
 *
 * The executor that has the run open finds the rest. In a slot, the sink of the task pulls its partition's stream,
 * which pulls from the steps before it, down to the file: a slow sink stops the reader, and an interrupt closes
 * everything on the way. The program's own errors travel in the stream; the engine's leave the task by another way and
 * become a `JobError`. When the task ends, the account of its rows must balance.
 *
 * @stability unstable
 * @since 0.1.0
 */
import { type Context, type Effect, type Layer, Schema } from "effect"
import type { ExecutorInfo } from "./TaskContext.ts"

/**
 * How near a task is to its data: `node` on a host that it prefers; `any` elsewhere, or if it prefers none.
 *
 * @category models
 * @since 0.1.0
 */
export const Locality = Schema.Literals(["node", "any"])

/**
 * How near a task is to its data.
 *
 * @category models
 * @since 0.1.0
 */
export type Locality = typeof Locality.Type

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * One attempt at one partition of one stage.
 *
 * @category models
 * @since 0.1.0
 */
export const Task = Schema.Struct({
  /** Id of the run, which the executor has open. */
  run: Schema.String,
  stage: Count,
  /** Counted from 0, in the stage as it was adapted. */
  partition: Count,
  /** 0 for the first attempt. */
  attempt: Count,
  locality: Locality
})

/**
 * One attempt at one partition of one stage.
 *
 * @category models
 * @since 0.1.0
 */
export interface Task extends Schema.Schema.Type<typeof Task> {}

/**
 * What a task can use of its executor.
 *
 * @category models
 * @since 0.1.0
 */
export interface Environment {
  readonly info: ExecutorInfo["Service"]
  /** Services of a layer: built at the first use, once per executor, and released when no run uses them any more. */
  readonly services: (
    layer: Layer.Layer<never, unknown, unknown>
  ) => Effect.Effect<Context.Context<never>, unknown, unknown>
}
