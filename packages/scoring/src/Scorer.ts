/**
 * The service that turns matrices into scores: the client of a model service, or a model in this process.
 *
 * Its layer holds one pool of connections and one limit of requests in flight, and is built once per executor. All
 * tasks of the executor share both; when the executor ends, the connections are closed.
 *
 * @since 0.1.0
 */
import { Current, ExecutorInfo } from "@sluice/core/TaskContext"
import { Array as Arr, Clock, Context, Duration, Effect, Layer, Redacted, type Scope } from "effect"
import type * as Batch from "./Batch.ts"
import * as Endpoints from "./internal/endpoints.ts"
import { Meter, millisOf, type Stats } from "./internal/meter.ts"
import * as Requests from "./internal/requests.ts"
import { rowsAtFault, wrongScores } from "./internal/scores.ts"
import { Expectation, positive, setupError } from "./internal/setup.ts"
import * as Transport from "./internal/transport.ts"
import * as Words from "./internal/words.ts"
import { Limiter } from "./Limiter.ts"
import type { Model } from "./Model.ts"
import * as Protocol from "./Protocol.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import { ScoreError } from "./ScoreError.ts"

export type { Stats } from "./internal/meter.ts"

/**
 * The service that turns matrices into scores.
 *
 * @category services
 * @since 0.1.0
 */
export class Scorer extends Context.Service<
  Scorer,
  {
    /** For people to read: `PUT http://model:8080/score (raw float32)`. */
    readonly describe: string
    /** How many numbers a row must have: as declared, or as the first scored row had; `undefined` before that. */
    readonly features: () => number | undefined
    /** The most requests in flight, over all tasks of the executor. */
    readonly concurrency: number
    /**
     * One finite score per row, or a failure; the operators check the number of scores. Waits for a permit.
     * Interrupting it closes the connection of a request in flight.
     */
    readonly score: (batch: Batch.Batch) => Effect.Effect<Float32Array, ScoreError>
    readonly stats: Effect.Effect<Stats>
  }
>()("@sluice/scoring/Scorer") {}

/**
 * What the scorer in the context has done since it was built.
 *
 * @category getters
 * @since 0.1.0
 */
export const stats: Effect.Effect<Stats, never, Scorer> = Effect.flatMap(Scorer, (scorer) => scorer.stats)

/**
 * Settings of {@link layer}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * URLs that requests go to, with their paths. The one with the fewest requests in flight is used, in turn among
   * equals; a repeated request goes to a different one if there are several.
   */
  readonly endpoints: ReadonlyArray<string | URL>
  /** How many numbers a row must have. By default, as many as the first row has. */
  readonly features?: number | undefined
  /** Default {@link Protocol.rawFloat32}. */
  readonly protocol?: Protocol.Protocol | undefined
  /** Requests in flight per executor, including those that wait for a retry. Default 8. */
  readonly concurrency?: number | undefined
  /** The time limit of each request, from its start to the end of the answer. Default 30 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** Default {@link RetryPolicy.defaults}. */
  readonly retry?: Partial<RetryPolicy.RetryPolicy> | undefined
  /**
   * Headers added to every request. A value that is `Redacted` or has the name of a secret (`authorization`, `cookie`,
   * `x-api-key`) is never shown, even if the service repeats it.
   */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>> | undefined
  /** A trace span for every request, which costs about 0.1 ms of CPU each. Default `false`. */
  readonly tracing?: boolean | undefined
}

/**
 * Settings of {@link layer} whose endpoints depend on the executor.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChooseOptions extends Options {
  /** Chooses the endpoints that an executor uses, for example the one on its own host. */
  readonly choose: (executor: ExecutorInfo["Service"], endpoints: ReadonlyArray<URL>) => URL | ReadonlyArray<URL>
}

/**
 * A scorer that sends every matrix to a model service over HTTP. {@link layer} is the usual way to have one.
 *
 * @category constructors
 * @since 0.1.0
 */
export function make(options: ChooseOptions): Effect.Effect<Scorer["Service"], ScoreError, ExecutorInfo | Scope.Scope>
export function make(options: Options): Effect.Effect<Scorer["Service"], ScoreError, Scope.Scope>
export function make(
  options: Options | ChooseOptions
): Effect.Effect<Scorer["Service"], ScoreError, ExecutorInfo | Scope.Scope> {
  return makeHttp(options)
}

/** The URLs that this executor uses. */
const urlsOf = Effect.fnUntraced(function* (options: Options | ChooseOptions) {
  const all = yield* Effect.forEach(options.endpoints, Endpoints.parseEndpoint)
  const chosen = "choose" in options ? [options.choose(yield* ExecutorInfo, all)].flat() : all
  return Arr.isReadonlyArrayNonEmpty(chosen)
    ? chosen
    : yield* setupError("no endpoint: give at least one URL in `endpoints`")
})

const retryOf = Effect.fnUntraced(function* (options: Options) {
  const retry: RetryPolicy.RetryPolicy = { ...RetryPolicy.defaults, ...options.retry }
  if (retry.maxAttempts !== Infinity) yield* positive("retry.maxAttempts", retry.maxAttempts)
  if (!(retry.factor >= 1)) return yield* setupError(`retry.factor must be 1 or more, got ${retry.factor}`)
  return retry
})

/** The connections of a scorer, at most `concurrency` to each endpoint. */
const dispatcherOf = (concurrency: number, timeout: Duration.Duration) =>
  Effect.acquireRelease(
    Effect.map(
      Effect.promise(() => import("@effect/platform-node/Undici")),
      ({ Agent }) =>
        new Agent({
          connections: concurrency,
          pipelining: 1,
          maxResponseSize: 64 * 1024 * 1024,
          connect: { timeout: Math.min(Duration.toMillis(timeout), 10_000) }
        })
    ),
    (agent) => Effect.promise(() => agent.destroy())
  )

const makeHttp = Effect.fn("Scorer.make")(function* (options: Options | ChooseOptions) {
  const urls = yield* urlsOf(options)
  const concurrency = yield* positive("concurrency", options.concurrency ?? 8)
  if (options.features !== undefined) yield* positive("features", options.features)
  const protocol = options.protocol ?? Protocol.rawFloat32
  const timeout = Duration.fromInputUnsafe(options.timeout ?? "30 seconds")
  const retry = yield* retryOf(options)
  const given = Object.entries({ ...protocol.headers, ...options.headers }).map(([name, value]) => ({
    name: name.toLowerCase(),
    secret: Redacted.isRedacted(value),
    value: Redacted.isRedacted(value) ? Redacted.value(value) : value
  }))
  const headers = {
    "content-type": "application/octet-stream",
    ...Object.fromEntries(given.map(({ name, value }) => [name, value]))
  }
  const secretNames = given.filter(({ secret }) => secret).map(({ name }) => name)
  const words = Words.make(Words.secretsOf(given, urls))
  const meter = new Meter(concurrency)
  const endpoints = Endpoints.make(urls, protocol.method, headers)
  const settings = { dispatcher: yield* dispatcherOf(concurrency, timeout), timeout, words }
  const transport =
    options.tracing === true
      ? yield* (yield* Effect.promise(() => import("./internal/traced.ts"))).make(settings, secretNames)
      : yield* Transport.make(settings)
  const send = Requests.make({ transport, endpoints, protocol, retry, words, meter })
  const permits = yield* (yield* Limiter).permits(concurrency)
  const expectation = new Expectation(options.features)
  const describe = `${protocol.method} ${endpoints.names} (${protocol.name})`
  return Scorer.of({
    describe,
    features: expectation.features,
    concurrency,
    score: (batch) => {
      const sent = Effect.suspend(() => Effect.andThen(expectation.check(batch, describe), send(batch)))
      // The next request gets the permit before this answer is turned into rows, so that the service waits less.
      return Effect.tap(permits.withPermit(sent), Effect.yieldNowWith(1))
    },
    stats: statsOf(meter)
  })
})

const statsOf = (meter: Meter): Effect.Effect<Stats> =>
  Effect.clockWith((clock) => Effect.sync(() => meter.stats(millisOf(clock))))

/**
 * A scorer that sends every matrix to a model service over HTTP.
 *
 * **Details**
 *
 * Building it fails with reason `BadSetup` if the options are invalid. With `choose` it needs `ExecutorInfo`, which the
 * layers of a job have.
 *
 * **Gotchas**
 *
 * A request that failed in transit or was not answered in time may still have reached the service, so the service may
 * score the same rows twice.
 *
 * @category layers
 * @since 0.1.0
 */
export function layer(options: ChooseOptions): Layer.Layer<Scorer, ScoreError, ExecutorInfo>
export function layer(options: Options): Layer.Layer<Scorer, ScoreError>
export function layer(options: Options | ChooseOptions): Layer.Layer<Scorer, ScoreError, ExecutorInfo> {
  return Layer.effect(Scorer, makeHttp(options))
}

/**
 * A scorer that runs a model in this process, one matrix at a time.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerModel = (model: Model): Layer.Layer<Scorer> =>
  Layer.sync(Scorer, () => {
    const meter = new Meter(1)
    const expectation = new Expectation(model.features)
    return Scorer.of({
      describe: model.name,
      features: expectation.features,
      concurrency: 1,
      score: Effect.fnUntraced(function* (batch): Effect.fn.Return<Float32Array, ScoreError> {
        const task = yield* Current
        const clock = yield* Clock.Clock
        yield* expectation.check(batch, model.name)
        const started = millisOf(clock)
        meter.started(task, started, false, 0, 0)
        let scores: Float32Array
        try {
          scores = model.score(batch.values, batch.rows)
        } finally {
          meter.ended(task, millisOf(clock), started)
        }
        const wrong = wrongScores(scores, batch.rows)
        if (wrong !== undefined) {
          meter.failed()
          return yield* new ScoreError({
            endpoint: model.name,
            attempt: 1,
            rows: rowsAtFault(wrong, batch),
            reason: wrong,
            elapsedMillis: millisOf(clock) - started
          })
        }
        meter.scored(task, batch.rows)
        return scores
      }),
      stats: statsOf(meter)
    })
  })
