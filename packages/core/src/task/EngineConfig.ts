/**
 * The settings of an engine.
 *
 * @since 0.1.0
 */
import { getHeapStatistics } from "node:v8"
import { Config, Context, type Duration, Effect, Layer, Schema, Struct } from "effect"
import { bytes, duration, firstOf, number, type Problem, whole } from "../codec/internal/checks.ts"

/**
 * How many rows a job may set aside. When a given limit is exceeded, the job fails and nothing is committed.
 *
 * @category models
 * @since 0.1.0
 */
export interface MaxDeadLetters {
  readonly rows?: number | undefined
  /** A fraction of the rows read: 0.01 for one in a hundred. */
  readonly ratio?: number | undefined
}

/**
 * The settings of an engine. They always have a value: provide a {@link layer} above the engine to change some.
 *
 * @category services
 * @since 0.1.0
 */
export interface EngineConfig {
  /** Most bytes of an input split. Default 128 MiB (Spark's `spark.sql.files.maxPartitionBytes`). */
  readonly splitBytes: number
  /**
   * How many bytes opening a file counts as when small files share a split. Default 4 MiB
   * (`spark.sql.files.openCostInBytes`).
   */
  readonly openCostBytes: number
  /** How long a task waits for a slot on a host that has its data. Default 3 seconds (`spark.locality.wait`). */
  readonly localityWait: Duration.Input
  /**
   * Attempts at a task whose storage did not answer or had a temporary fault, or whose spills are damaged. Default 4
   * (`spark.task.maxFailures`). For other failures the executor decides: one attempt in this process.
   */
  readonly taskAttempts: number
  /** The time between two `Progress` events. Default 200 milliseconds. */
  readonly progressInterval: Duration.Input
  /**
   * Size of the largest input of a join that every task gets whole: bytes of its files, or encoded bytes after it was
   * written to a shuffle. Default 10 MiB (`spark.sql.autoBroadcastJoinThreshold`); 0 for never.
   */
  readonly broadcastBytes: number
  /**
   * Whether a stage that reads shuffles is adapted to what was written (`spark.sql.adaptive.enabled`): one task reads
   * several small partitions, several tasks read a skewed partition of a join, and a small side of a join is broadcast.
   * A number of partitions that the program asked for is kept. Default `true`.
   */
  readonly adaptive: boolean
  /**
   * Bytes that a shuffle partition should have: inputs whose size is known from their files move to enough partitions,
   * 200 at most unless they have more themselves, and small ones are put together up to it. Default 64 MiB
   * (`spark.sql.adaptive.advisoryPartitionSizeInBytes`).
   */
  readonly targetPartitionBytes: number
  /**
   * Bytes below which they are put together even if a slot then stays idle. Default 1 MiB
   * (`spark.sql.adaptive.coalescePartitions.minPartitionSize`).
   */
  readonly minPartitionBytes: number
  /**
   * A skewed partition has more than this many times the median. Default 5
   * (`spark.sql.adaptive.skewJoin.skewedPartitionFactor`).
   */
  readonly skewFactor: number
  /**
   * A skewed partition has at least this many bytes. Default 256 MiB
   * (`spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes`).
   */
  readonly skewBytes: number
  /**
   * Most bytes (an estimate) that cached partitions take in memory, including those being read in. Default 256 MiB, or
   * three tenths of the heap's limit if that is less; never more than six tenths of the limit, even if more is
   * configured (Spark's `spark.memory.fraction`, half of which is kept for storage).
   */
  readonly cacheBytes: number
  /**
   * How many rows a job may set aside, if its readers or functions set invalid rows aside. Default: one in a hundred of
   * the rows that it reads.
   */
  readonly maxDeadLetters: MaxDeadLetters
}

const heapShare = (share: number): number => Math.floor(share * getHeapStatistics().heap_size_limit)

/**
 * The most that `cacheBytes` can be in this process: six tenths of the heap's limit.
 *
 * @category configuration
 * @since 0.1.0
 */
export const mostCacheBytes = (): number => heapShare(0.6)

/**
 * The defaults.
 *
 * @category configuration
 * @since 0.1.0
 */
export const defaults: EngineConfig = {
  splitBytes: 128 * 1024 * 1024,
  openCostBytes: 4 * 1024 * 1024,
  localityWait: "3 seconds",
  taskAttempts: 4,
  progressInterval: "200 millis",
  broadcastBytes: 10 * 1024 * 1024,
  adaptive: true,
  targetPartitionBytes: 64 * 1024 * 1024,
  minPartitionBytes: 1024 * 1024,
  skewFactor: 5,
  skewBytes: 256 * 1024 * 1024,
  cacheBytes: Math.min(256 * 1024 * 1024, heapShare(0.3)),
  maxDeadLetters: { ratio: 0.01 }
}

type Settings = Omit<EngineConfig, "maxDeadLetters">

// What each setting may be: bytes, a time or a count. Some may be missing.
const rules: { readonly [K in keyof Settings]: (name: string, value: Settings[K]) => Problem } = {
  splitBytes: bytes,
  openCostBytes: (name, value) => bytes(name, value, 0),
  localityWait: duration,
  taskAttempts: whole,
  progressInterval: (name, value) => duration(name, value, 1),
  broadcastBytes: (name, value) => bytes(name, value, 0),
  adaptive: (name, value) =>
    typeof value === "boolean" ? undefined : `${name} is ${String(value)}; it has to be a boolean`,
  targetPartitionBytes: bytes,
  minPartitionBytes: (name, value) => bytes(name, value, 0),
  skewFactor: (name, value) => number(name, value, 1),
  skewBytes: (name, value) => bytes(name, value, 0),
  cacheBytes: (name, value) => bytes(name, value, 0)
}

const problemOf = <K extends keyof Settings>(name: K, value: Settings[K]): Problem => rules[name](name, value)

/**
 * What is wrong with the settings, such as a negative number of bytes; `undefined` if nothing is. An engine with such
 * settings fails every action with a `JobError` of reason `InvalidPlan`.
 *
 * @category getters
 * @since 0.1.0
 */
export const problem = (config: EngineConfig): string | undefined =>
  firstOf(
    ...Struct.keys(rules).map((name) => problemOf(name, config[name])),
    config.maxDeadLetters.rows === undefined
      ? undefined
      : whole("maxDeadLetters.rows", config.maxDeadLetters.rows, 0, Number.MAX_SAFE_INTEGER),
    config.maxDeadLetters.ratio === undefined
      ? undefined
      : number("maxDeadLetters.ratio", config.maxDeadLetters.ratio, 0, 1)
  )

/**
 * The settings in force.
 *
 * @category services
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

type Named<A> = { readonly [K in keyof Settings as Settings[K] extends A ? K : never]: A }

const setting = (key: keyof Named<number>, name: string): Config.Config<number> =>
  Config.schema(Schema.Number.check(Schema.makeFilter((value) => rules[key](key, value) ?? true)), name).pipe(
    Config.withDefault(defaults[key])
  )

const time = (key: "localityWait" | "progressInterval", name: string): Config.Config<Duration.Input> =>
  Config.schema(
    Schema.DurationFromString.check(Schema.makeFilter((value) => rules[key](key, value) ?? true)),
    name
  ).pipe(Config.withDefault(defaults[key]))

/**
 * The settings from configuration: `SPLIT_BYTES`, `OPEN_COST_BYTES`, `LOCALITY_WAIT` (a time such as `3 seconds`), `TASK_ATTEMPTS`,
 * `PROGRESS_INTERVAL` (a time), `BROADCAST_BYTES`, `ADAPTIVE`, `TARGET_PARTITION_BYTES`, `MIN_PARTITION_BYTES`, `SKEW_FACTOR`, `SKEW_BYTES`,
 * `CACHE_BYTES`, `MAX_DEAD_LETTERS` (rows), `MAX_DEAD_LETTER_RATIO`.
 *
 * @category configuration
 * @since 0.1.0
 */
export const config: Config.Config<EngineConfig> = Config.all({
  splitBytes: setting("splitBytes", "SPLIT_BYTES"),
  openCostBytes: setting("openCostBytes", "OPEN_COST_BYTES"),
  localityWait: time("localityWait", "LOCALITY_WAIT"),
  taskAttempts: setting("taskAttempts", "TASK_ATTEMPTS"),
  progressInterval: time("progressInterval", "PROGRESS_INTERVAL"),
  broadcastBytes: setting("broadcastBytes", "BROADCAST_BYTES"),
  adaptive: Config.Boolean("ADAPTIVE").pipe(Config.withDefault(defaults.adaptive)),
  targetPartitionBytes: setting("targetPartitionBytes", "TARGET_PARTITION_BYTES"),
  minPartitionBytes: setting("minPartitionBytes", "MIN_PARTITION_BYTES"),
  skewFactor: setting("skewFactor", "SKEW_FACTOR"),
  skewBytes: setting("skewBytes", "SKEW_BYTES"),
  cacheBytes: setting("cacheBytes", "CACHE_BYTES"),
  maxDeadLetters: Config.all({
    rows: Config.Int("MAX_DEAD_LETTERS").pipe(Config.withDefault(undefined)),
    ratio: Config.Number("MAX_DEAD_LETTER_RATIO").pipe(Config.withDefault(undefined))
  }).pipe(
    Config.map((limits) => (limits.rows === undefined && limits.ratio === undefined ? defaults.maxDeadLetters : limits))
  )
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
