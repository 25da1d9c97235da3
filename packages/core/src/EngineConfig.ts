/**
 * The settings of an engine.
 *
 * @since 0.1.0
 */
import { Config, Context, Effect, Layer } from "effect"

/**
 * The settings of an engine. They always have a value: provide a {@link layer} above the engine to change some.
 *
 * @category services
 * @since 0.1.0
 */
export interface EngineConfig {
  /** Most bytes of an input split. Default 128 MiB (Spark's `spark.sql.files.maxPartitionBytes`). */
  readonly splitBytes: number
  /** Bytes that opening a file counts for when small files share a split. Default 4 MiB (`spark.sql.files.openCostInBytes`). */
  readonly openCostBytes: number
  /** Milliseconds a task waits for a slot on a host that has its data. Default 3000 (`spark.locality.wait`). */
  readonly localityWaitMillis: number
  /**
   * Attempts at a task whose storage did not answer or answered with a passing fault, or whose spills are damaged. Default 4 (`spark.task.maxFailures`). Other failures
   * have as many as the executor allows: one in this process.
   */
  readonly taskAttempts: number
  /** Milliseconds between two `Progress` events. Default 200. */
  readonly progressMillis: number
  /**
   * Largest input of a join that every task gets whole: bytes of its files, or encoded bytes once they are written to a shuffle. Default
   * 10 MiB (`spark.sql.autoBroadcastJoinThreshold`); 0 for never.
   */
  readonly broadcastBytes: number
  /**
   * Whether a stage that reads shuffles is adapted to what was written (`spark.sql.adaptive.enabled`): small partitions are read by one
   * task, a skewed one of a join by several, and a small side of a join is broadcast. A number of partitions that was asked for stays.
   * Default `true`.
   */
  readonly adaptive: boolean
  /** Bytes up to which small shuffle partitions are put together. Default 64 MiB (`spark.sql.adaptive.advisoryPartitionSizeInBytes`). */
  readonly targetPartitionBytes: number
  /**
   * Bytes below which they are put together even where a slot stays idle for it. Default 1 MiB
   * (`spark.sql.adaptive.coalescePartitions.minPartitionSize`).
   */
  readonly minPartitionBytes: number
  /** How many times the median a skewed partition has. Default 5 (`spark.sql.adaptive.skewJoin.skewedPartitionFactor`). */
  readonly skewFactor: number
  /** Bytes a skewed partition has at least. Default 256 MiB (`spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes`). */
  readonly skewBytes: number
  /** Most bytes, as estimated, that cached partitions take in memory. Default 256 MiB. */
  readonly cacheBytes: number
}

/**
 * The defaults.
 *
 * @category configuration
 * @since 0.1.0
 */
export const defaults: EngineConfig = {
  splitBytes: 128 * 1024 * 1024,
  openCostBytes: 4 * 1024 * 1024,
  localityWaitMillis: 3000,
  taskAttempts: 4,
  progressMillis: 200,
  broadcastBytes: 10 * 1024 * 1024,
  adaptive: true,
  targetPartitionBytes: 64 * 1024 * 1024,
  minPartitionBytes: 1024 * 1024,
  skewFactor: 5,
  skewBytes: 256 * 1024 * 1024,
  cacheBytes: 256 * 1024 * 1024
}

/**
 * The settings in force.
 *
 * @category references
 * @since 0.1.0
 */
export const EngineConfig = Context.Reference<EngineConfig>("@sluice/core/EngineConfig", {
  defaultValue: () => defaults
})

/**
 * Changes some settings.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (config: Partial<EngineConfig>): Layer.Layer<never> =>
  Layer.succeed(EngineConfig, { ...defaults, ...config })

/**
 * The settings from configuration: `SPLIT_BYTES`, `OPEN_COST_BYTES`, `LOCALITY_WAIT_MILLIS`, `TASK_ATTEMPTS`,
 * `PROGRESS_MILLIS`, `BROADCAST_BYTES`, `ADAPTIVE`, `TARGET_PARTITION_BYTES`, `MIN_PARTITION_BYTES`, `SKEW_FACTOR`, `SKEW_BYTES`,
 * `CACHE_BYTES`.
 *
 * @category configuration
 * @since 0.1.0
 */
export const config: Config.Config<EngineConfig> = Config.all({
  splitBytes: Config.Int("SPLIT_BYTES").pipe(Config.withDefault(defaults.splitBytes)),
  openCostBytes: Config.Int("OPEN_COST_BYTES").pipe(Config.withDefault(defaults.openCostBytes)),
  localityWaitMillis: Config.Int("LOCALITY_WAIT_MILLIS").pipe(Config.withDefault(defaults.localityWaitMillis)),
  taskAttempts: Config.Int("TASK_ATTEMPTS").pipe(Config.withDefault(defaults.taskAttempts)),
  progressMillis: Config.Int("PROGRESS_MILLIS").pipe(Config.withDefault(defaults.progressMillis)),
  broadcastBytes: Config.Int("BROADCAST_BYTES").pipe(Config.withDefault(defaults.broadcastBytes)),
  adaptive: Config.Boolean("ADAPTIVE").pipe(Config.withDefault(defaults.adaptive)),
  targetPartitionBytes: Config.Int("TARGET_PARTITION_BYTES").pipe(Config.withDefault(defaults.targetPartitionBytes)),
  minPartitionBytes: Config.Int("MIN_PARTITION_BYTES").pipe(Config.withDefault(defaults.minPartitionBytes)),
  skewFactor: Config.Number("SKEW_FACTOR").pipe(Config.withDefault(defaults.skewFactor)),
  skewBytes: Config.Int("SKEW_BYTES").pipe(Config.withDefault(defaults.skewBytes)),
  cacheBytes: Config.Int("CACHE_BYTES").pipe(Config.withDefault(defaults.cacheBytes))
})

/**
 * The settings from the environment, each name prefixed by `SLUICE_`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromEnv: Layer.Layer<never, Config.ConfigError> = Layer.effect(
  EngineConfig,
  Effect.gen(function* () {
    return yield* Config.nested(config, "SLUICE")
  })
)
