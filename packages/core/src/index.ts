/**
 * A typed, lazy, partitioned Dataset on Effect, in the order data moves through the modules.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export * as Dataset from "./dataset/Dataset.ts"
/** @since 0.1.0 */
export * as Action from "./engine/Action.ts"
/** @since 0.1.0 */
export * as Job from "./dataset/Job.ts"
/** @since 0.1.0 */
export * as Engine from "./engine/Engine.ts"
/** @since 0.1.0 */
export * as EngineConfig from "./task/EngineConfig.ts"
/** @since 0.1.0 */
export * as Plan from "./plan/Plan.ts"
/** @since 0.1.0 */
export * as Executor from "./engine/Executor.ts"
/** @since 0.1.0 */
export * as TaskContext from "./task/TaskContext.ts"
/** @since 0.1.0 */
export * as Condition from "./task/Condition.ts"
/** @since 0.1.0 */
export * as Broadcast from "./dataset/Broadcast.ts"
/** @since 0.1.0 */
export * as Accumulator from "./dataset/Accumulator.ts"
/** @since 0.1.0 */
export * as Codec from "./codec/Codec.ts"
/** @since 0.1.0 */
export * as Partitioner from "./shuffle/Partitioner.ts"
/** @since 0.1.0 */
export * as Shuffle from "./shuffle/Shuffle.ts"
/** @since 0.1.0 */
export * as Format from "./task/Format.ts"
/** @since 0.1.0 */
export * as Csv from "./formats/Csv.ts"
/** @since 0.1.0 */
export * as JsonLines from "./formats/JsonLines.ts"
/** @since 0.1.0 */
export * as Parquet from "./formats/Parquet.ts"
/** @since 0.1.0 */
export * as Text from "./formats/Text.ts"
/** @since 0.1.0 */
export * as Vector from "./formats/Vector.ts"
/** @since 0.1.0 */
export * as Origin from "./task/Origin.ts"
/** @since 0.1.0 */
export * as Storage from "./storage/Storage.ts"
/** @since 0.1.0 */
export * as StoragePath from "./storage/StoragePath.ts"
/** @since 0.1.0 */
export * as Commit from "./commit/Commit.ts"
/** @since 0.1.0 */
export * as Program from "./dataset/Program.ts"
/** @since 0.1.0 */
export * as Progress from "./observe/Progress.ts"
/** @since 0.1.0 */
export * as Events from "./observe/Events.ts"
/** @since 0.1.0 */
export * as JobError from "./task/JobError.ts"
/** @since 0.1.0 */
export * as FormatError from "./task/FormatError.ts"
/** @since 0.1.0 */
export * as ShuffleError from "./shuffle/ShuffleError.ts"
/** @since 0.1.0 */
export * as StorageError from "./storage/StorageError.ts"
