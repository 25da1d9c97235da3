/**
 * A typed, lazy, partitioned Dataset on Effect, in the order data moves through the modules.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export * as Dataset from "./Dataset.ts"
/** @since 0.1.0 */
export * as Action from "./Action.ts"
/** @since 0.1.0 */
export * as Job from "./Job.ts"
/** @since 0.1.0 */
export * as Engine from "./Engine.ts"
/** @since 0.1.0 */
export * as EngineConfig from "./EngineConfig.ts"
/** @since 0.1.0 */
export * as Plan from "./Plan.ts"
/** @since 0.1.0 */
export * as Optimizer from "./Optimizer.ts"
/** @since 0.1.0 */
export * as Planner from "./Planner.ts"
/** @since 0.1.0 */
export * as Stage from "./Stage.ts"
/** @since 0.1.0 */
export * as Scheduler from "./Scheduler.ts"
/** @since 0.1.0 */
export * as Executor from "./Executor.ts"
/** @since 0.1.0 */
export * as TaskContext from "./TaskContext.ts"
/** @since 0.1.0 */
export * as Condition from "./Condition.ts"
/** @since 0.1.0 */
export * as Broadcast from "./Broadcast.ts"
/** @since 0.1.0 */
export * as Accumulator from "./Accumulator.ts"
/** @since 0.1.0 */
export * as Codec from "./Codec.ts"
/** @since 0.1.0 */
export * as Partitioner from "./Partitioner.ts"
/** @since 0.1.0 */
export * as Shuffle from "./Shuffle.ts"
/** @since 0.1.0 */
export * as Format from "./Format.ts"
/** @since 0.1.0 */
export * as Vector from "./Vector.ts"
/** @since 0.1.0 */
export * as Origin from "./Origin.ts"
/** @since 0.1.0 */
export * as Storage from "./Storage.ts"
/** @since 0.1.0 */
export * as StoragePath from "./StoragePath.ts"
/** @since 0.1.0 */
export * as Commit from "./Commit.ts"
/** @since 0.1.0 */
export * as Program from "./Program.ts"
/** @since 0.1.0 */
export * as Progress from "./Progress.ts"
/** @since 0.1.0 */
export * as Events from "./Events.ts"
/** @since 0.1.0 */
export * as JobError from "./JobError.ts"
/** @since 0.1.0 */
export * as FormatError from "./FormatError.ts"
/** @since 0.1.0 */
export * as StorageError from "./StorageError.ts"
