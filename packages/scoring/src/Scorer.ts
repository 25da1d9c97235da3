/**
 * The service that turns matrices into scores: the client of a model service, or a model in this process.
 *
 * A layer of it holds one pool of connections and one limit of requests in flight, and is built once per executor. All
 * tasks of the executor share both; when the executor goes, the connections are closed.
 *
 * @since 0.1.0
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Current, ExecutorInfo, type TaskContext } from "@sluice/core/TaskContext"
import { Clock, Context, Duration, Effect, Layer, Random, Redacted, Result, type Scope, Semaphore } from "effect"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Batch from "./Batch.ts"
import { reasonOf, wrongContent } from "./internal/http.ts"
import { Meter, type Stats } from "./internal/meter.ts"
import { rowsAtFault, wrongScores } from "./internal/scores.ts"
import * as Words from "./internal/words.ts"
import type { Model } from "./Model.ts"
import * as Protocol from "./Protocol.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import {
  BadAnswer,
  BadSetup,
  brief,
  type Earlier,
  NotAVector,
  Overloaded,
  type Reason,
  Rejected,
  retries,
  ScoreError,
  ServerFailed,
  TimedOut,
  VectorLength
} from "./ScoreError.ts"

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
    /** For people: `PUT http://model:8080/score (raw float32)`. */
    readonly describe: string
    /** Numbers a row must have: as declared, else as the first row scored had; `undefined` before that. */
    readonly features: () => number | undefined
    /** Requests in flight at most, over all tasks of the executor. */
    readonly concurrency: number
    /** One finite score a row, or a failure: the operators check that none is missing or too many. Waits for a permit; interrupting it closes the connection of a request in flight. */
    readonly score: (batch: Batch.Batch) => Effect.Effect<Float32Array, ScoreError>
    readonly stats: Effect.Effect<Stats>
  }
>()("@sluice/scoring/Scorer") {}

/**
 * What the scorer in scope did since it was built.
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
   * URLs that requests go to, path included. The one with the fewest requests in flight is taken, in turn among equals, and
   * a repeated request goes to another one where there is one.
   */
  readonly endpoints: ReadonlyArray<string | URL>
  /** Numbers a row must have. By default as many as the first row has. */
  readonly features?: number | undefined
  /** Default {@link Protocol.rawFloat32}. */
  readonly protocol?: Protocol.Protocol | undefined
  /** Requests in flight per executor, those that wait for a retry included. Default 8. */
  readonly concurrency?: number | undefined
  /** For each request, from its start to the end of the answer. Default 30 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** Default {@link RetryPolicy.defaults}. */
  readonly retry?: Partial<RetryPolicy.RetryPolicy> | undefined
  /**
   * Added to every request. What is `Redacted` or named like a secret (`authorization`, `cookie`, `x-api-key`) is never shown, even
   * where the service repeats it.
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
  /** Which of the endpoints an executor uses: for example the one on its own host. */
  readonly choose: (executor: ExecutorInfo["Service"], endpoints: ReadonlyArray<URL>) => URL | ReadonlyArray<URL>
}

interface Endpoint {
  readonly url: URL
  readonly name: string
  /** All but the body. */
  readonly request: HttpClientRequest.HttpClientRequest
  inFlight: number
  /** Whether there ever was an answer: then the name and the address are right. */
  answered: boolean
}

// A job that waits for its service says so, after a second and then not more often than this.
const warnAfterMillis = 1000
const warnEveryMillis = 10_000

const nameOf = (url: URL): string => url.origin + url.pathname

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

// A name that nobody knows is a typing error, unless there was an answer under it: then its server is being replaced.
const retriesAt = (endpoint: Endpoint, reason: Reason): ReturnType<typeof retries> =>
  endpoint.answered && reason._tag === "Unreachable" && reason.code === "ENOTFOUND" ? "timed" : retries(reason)

const setupError = (detail: string): ScoreError =>
  new ScoreError({ endpoint: "scorer", attempt: 0, rows: [], reason: new BadSetup({ detail }) })

const parseEndpoint = (input: string | URL): Effect.Effect<URL, ScoreError> => {
  const text = String(input)
  const url = URL.parse(text)
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    // What stands before an @ may be a password, and the text need not parse as far as to tell.
    const shown = text.includes("@") ? `...${text.slice(text.lastIndexOf("@"))}` : text
    return Effect.fail(setupError(`the endpoint "${shown}" is no URL such as http://host:8080/score`))
  }
  return url.username === "" && url.password === ""
    ? Effect.succeed(url)
    : Effect.fail(
        setupError(`${nameOf(url)}: credentials do not belong in the URL, put them in \`headers\` as Redacted`)
      )
}

const positive = (name: string, value: number): Effect.Effect<number, ScoreError> =>
  Number.isInteger(value) && value > 0
    ? Effect.succeed(value)
    : Effect.fail(setupError(`${name} must be a whole number above 0, got ${value}`))

// Checks lengths where the scorer knows or learns the length of a row.
const expectations = (declared: number | undefined) => {
  let expected = declared
  return {
    features: () => expected,
    check: (batch: Batch.Batch): Reason | undefined => {
      if (batch.features === 0) return new NotAVector({ detail: "the vector is empty" })
      expected ??= batch.features
      return batch.features === expected ? undefined : new VectorLength({ expected, found: batch.features })
    }
  }
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

const makeHttp = Effect.fn("Scorer.make")(function* (options: Options | ChooseOptions) {
  const all = yield* Effect.forEach(options.endpoints, parseEndpoint)
  const chosen = "choose" in options ? [options.choose(yield* ExecutorInfo, all)].flat() : all
  if (chosen.length === 0) return yield* setupError("no endpoint: give at least one URL in `endpoints`")
  const concurrency = yield* positive("concurrency", options.concurrency ?? 8)
  if (options.features !== undefined) yield* positive("features", options.features)
  const protocol = options.protocol ?? Protocol.rawFloat32
  const timeout = Duration.fromInputUnsafe(options.timeout ?? "30 seconds")
  const timeoutMillis = Duration.toMillis(timeout)
  const retry: RetryPolicy.RetryPolicy = { ...RetryPolicy.defaults, ...options.retry }
  if (retry.maxAttempts !== Infinity) yield* positive("retry.maxAttempts", retry.maxAttempts)
  if (!(retry.factor >= 1)) return yield* setupError(`retry.factor must be 1 or more, got ${retry.factor}`)
  const given = Object.entries({ ...protocol.headers, ...options.headers }).map(([name, value]) => ({
    name: name.toLowerCase(),
    secret: Redacted.isRedacted(value),
    value: Redacted.isRedacted(value) ? Redacted.value(value) : value
  }))
  const headers = Object.fromEntries(given.map(({ name, value }) => [name, value]))
  const words = Words.make(Words.secretsOf(given, chosen))
  const secretNames = [
    ...(yield* Headers.CurrentRedactedNames),
    ...given.filter(({ secret }) => secret).map(({ name }) => name)
  ]
  const contentType = headers["content-type"] ?? "application/octet-stream"

  const dispatcher = yield* NodeHttpClient.makeDispatcherOptions({
    connections: concurrency,
    pipelining: 1,
    maxResponseSize: 64 * 1024 * 1024,
    connect: { timeout: Math.min(timeoutMillis, 10_000) }
  })
  const client = yield* Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, dispatcher)
  const tracerDisabled = options.tracing !== true

  const endpoints = chosen.map((url): Endpoint => ({
    url,
    name: nameOf(url),
    request: HttpClientRequest.make(protocol.method)(url.href, { headers }),
    inFlight: 0,
    answered: false
  }))
  const headBytes = endpoints.reduce((most, { url }) => Math.max(most, headSize(protocol.method, url, headers)), 0)
  let turn = 0
  const pick = (except: Endpoint | undefined): Endpoint | undefined => {
    let best: Endpoint | undefined
    turn++
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[(turn + i) % endpoints.length]
      if (endpoint === undefined || (endpoint === except && endpoints.length > 1)) continue
      if (best === undefined || endpoint.inFlight < best.inFlight) best = endpoint
    }
    return best
  }

  const semaphore = yield* Semaphore.make(concurrency)
  const meter = new Meter(concurrency)
  const expectation = expectations(options.features)

  const request = Effect.fnUntraced(function* (
    endpoint: Endpoint,
    batch: Batch.Batch,
    task: TaskContext | undefined
  ): Effect.fn.Return<Float32Array, Reason> {
    let phase: "answer" | "body" = "answer"
    const exchange = client
      .execute(HttpClientRequest.setBody(endpoint.request, HttpBody.uint8Array(protocol.encode(batch), contentType)))
      .pipe(
        Effect.flatMap((response) => {
          phase = "body"
          return Effect.map(response.arrayBuffer, (body) => ({
            status: response.status,
            headers: response.headers,
            body
          }))
        }),
        Effect.mapError((error) => reasonOf(error, timeoutMillis, words)),
        Effect.timeoutOrElse({
          duration: timeout,
          orElse: () => Effect.fail(new TimedOut({ phase, millis: timeoutMillis }))
        })
      )
    const answer = yield* exchange
    meter.answered(task, answerHeadSize(answer.headers), answer.body.byteLength)
    endpoint.answered = true
    const { body, status } = answer
    if (status >= 200 && status < 300) {
      const content = wrongContent(answer.headers, protocol.accepts, words)
      if (content !== undefined) {
        const said = words(body)
        return yield* new BadAnswer({ detail: `${content}; it begins: ${said}`, body: said, row: undefined })
      }
      const decoded = protocol.decode(body, batch.rows)
      if (Result.isFailure(decoded)) {
        return yield* new BadAnswer({ detail: words(decoded.failure), body: words(body), row: undefined })
      }
      const wrong = wrongScores(decoded.success, batch.rows)
      return wrong === undefined ? decoded.success : yield* wrong
    }
    const text = words(body)
    if (status === 429 || status === 503) {
      const now = yield* Clock.currentTimeMillis
      const retryAfter = RetryPolicy.parseRetryAfter(answer.headers["retry-after"], now)
      return yield* new Overloaded({ status, body: text, retryAfter })
    }
    if (status >= 500) return yield* new ServerFailed({ status, body: text })
    const location = status < 400 ? answer.headers["location"] : undefined
    return yield* new Rejected({ status, body: text, location: location === undefined ? undefined : words(location) })
  })

  let warned = -Infinity
  // Jobs stand still while their service is gone: whoever looks shall see why.
  const warn = (now: number, waited: number, endpoint: string, attempt: number, reason: Reason) => {
    if (waited < warnAfterMillis || now - warned < warnEveryMillis) return Effect.void
    warned = now
    const since = Duration.format(Duration.millis(Math.round(waited)))
    const left = Duration.format(Duration.fromInputUnsafe(retry.retryFor))
    return Effect.logWarning(
      `${endpoint}: ${brief(reason)}, attempt ${attempt}, for ${since} now; tried again for up to ${left}`
    )
  }

  const attempts = Effect.fnUntraced(function* (batch: Batch.Batch): Effect.fn.Return<Float32Array, ScoreError> {
    const task = yield* Current
    const clock = yield* Clock.Clock
    const mismatch = expectation.check(batch)
    if (mismatch !== undefined) {
      return yield* new ScoreError({
        endpoint: describe,
        attempt: 0,
        rows: Batch.rangeAt(batch.spans, 0),
        reason: mismatch
      })
    }
    const bodyBytes = batch.values.byteLength
    const first = clock.currentTimeMillisUnsafe()
    let endpoint: Endpoint | undefined
    let failedAt: number | undefined
    // Whether a request has failed in a way that is tried again once.
    let spent = false
    const failures = new Map<string, Mutable<Earlier>>()
    for (let attempt = 1; ; attempt++) {
      const target = pick(endpoint)
      if (target === undefined) return yield* setupError("no endpoint")
      endpoint = target
      const started = now(clock)
      meter.started(task, started, attempt > 1, headBytes, bodyBytes)
      target.inFlight++
      const result = yield* request(target, batch, task).pipe(
        Effect.result,
        Effect.onExit(() =>
          Effect.sync(() => {
            target.inFlight--
            meter.ended(task, now(clock), started)
          })
        )
      )
      if (Result.isSuccess(result)) {
        meter.scored(task, batch.rows)
        return result.success
      }
      const reason = result.failure
      const failed = clock.currentTimeMillisUnsafe()
      failedAt ??= failed
      const kind = retriesAt(target, reason)
      const again = kind === "timed" || (kind === "once" && !spent)
      if (kind === "once") spent = true
      const wait = again
        ? RetryPolicy.delay(retry, {
            attempt,
            elapsed: failed - failedAt,
            random: yield* Random.next,
            retryAfter: reason._tag === "Overloaded" ? reason.retryAfter : undefined
          })
        : undefined
      if (wait === undefined) {
        meter.failed()
        return yield* new ScoreError({
          endpoint: target.name,
          attempt,
          rows: rowsAtFault(reason, batch),
          reason,
          elapsedMillis: failed - first,
          earlier: [...failures.values()]
        })
      }
      const failure = brief(reason)
      const key = `${target.name} ${failure}`
      const same = failures.get(key)
      if (same === undefined) failures.set(key, { endpoint: target.name, failure, requests: 1 })
      else same.requests++
      yield* warn(failed, failed - failedAt, target.name, attempt, reason)
      yield* Effect.sleep(wait)
    }
  })

  const describe = `${protocol.method} ${endpoints.map(({ name }) => name).join(", ")} (${protocol.name})`
  return Scorer.of({
    describe,
    features: expectation.features,
    concurrency,
    score: (batch) => {
      // The request that waited for the permit goes out before this answer is made into rows: the service waits less.
      const scored = Effect.tap(semaphore.withPermit(attempts(batch)), Effect.yieldNowWith(1))
      return tracerDisabled
        ? Effect.provideService(scored, HttpClient.TracerDisabledWhen, () => true)
        : Effect.provideService(scored, Headers.CurrentRedactedNames, secretNames)
    },
    stats: Effect.clockWith((clock) => Effect.sync(() => meter.stats(now(clock))))
  })
})

const now = (clock: Clock.Clock): number => Number(clock.currentTimeNanosUnsafe()) / 1e6

// `PUT /score HTTP/1.1`, `host`, `connection`, `content-length` and the given ones.
const headSize = (method: string, url: URL, headers: Readonly<Record<string, string>>): number =>
  `${method} ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: keep-alive\r\ncontent-length: 400000\r\n\r\n`
    .length + Object.entries(headers).reduce((n, [name, value]) => n + name.length + value.length + 4, 0)

const answerHeadSize = (headers: Readonly<Record<string, string>>): number =>
  Object.entries(headers).reduce(
    (n, [name, value]) => n + name.length + value.length + 4,
    "HTTP/1.1 200 OK\r\n\r\n".length
  )

/**
 * A scorer that sends every matrix to a model service over HTTP.
 *
 * **Details**
 *
 * Fails to build with reason `BadSetup` where the options make no sense. With `choose` it needs `ExecutorInfo`, which the
 * layers of a job have.
 *
 * **Gotchas**
 *
 * A request that failed in transit or was not answered in time may have reached the service: a repeated request may score the
 * same rows twice there.
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
    const expectation = expectations(model.features)
    return Scorer.of({
      describe: model.name,
      features: expectation.features,
      concurrency: 1,
      score: Effect.fnUntraced(function* (batch): Effect.fn.Return<Float32Array, ScoreError> {
        const task = yield* Current
        const clock = yield* Clock.Clock
        const mismatch = expectation.check(batch)
        if (mismatch !== undefined) {
          return yield* new ScoreError({
            endpoint: model.name,
            attempt: 0,
            rows: Batch.rangeAt(batch.spans, 0),
            reason: mismatch
          })
        }
        const started = now(clock)
        meter.started(task, started, false, 0, 0)
        let scores: Float32Array
        try {
          scores = model.score(batch.values, batch.rows)
        } finally {
          meter.ended(task, now(clock), started)
        }
        const wrong = wrongScores(scores, batch.rows)
        if (wrong !== undefined) {
          meter.failed()
          return yield* new ScoreError({
            endpoint: model.name,
            attempt: 1,
            rows: rowsAtFault(wrong, batch),
            reason: wrong,
            elapsedMillis: now(clock) - started
          })
        }
        meter.scored(task, batch.rows)
        return scores
      }),
      stats: Effect.clockWith((clock) => Effect.sync(() => meter.stats(now(clock))))
    })
  })
