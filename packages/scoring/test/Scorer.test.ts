import { Batch, Model, Protocol, type RetryPolicy, ScoreError, Scorer } from "@sluice/scoring"
import { ExecutorInfo } from "@sluice/core/TaskContext"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, Redacted, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Net from "node:net"
import { type Act, make, type FaultServer, overTime, turns, until } from "./faultServer.ts"

const quick: Partial<RetryPolicy.RetryPolicy> = { base: 1, cap: 2, maxAttempts: 5 }

// Row i of four features, the first of which is what the server answers.
const matrix = (rows: number, features = 4) => Float32Array.from({ length: rows * features }, (_, i) => i)
const batch = (rows = 3, features = 4) => Batch.make(matrix(rows, features), features)

const options = (server: FaultServer, more: Partial<Scorer.Options> = {}): Scorer.Options => ({
  endpoints: [server.url],
  retry: quick,
  ...more
})

const scoreOnce = (server: FaultServer, more?: Partial<Scorer.Options>) =>
  Effect.flatMap(Scorer.make(options(server, more)), (scorer) => scorer.score(batch()))

const failureOf = (script: ReadonlyArray<Act>, more?: Partial<Scorer.Options>) =>
  Effect.gen(function* () {
    const server = yield* make(4, script)
    const error = yield* Effect.flip(Effect.scoped(scoreOnce(server, more)))
    yield* until(() => server.sockets.size === 0)
    return { error, server }
  })

describe("Scorer", () => {
  it.live("puts the raw matrix and gives one score per row", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const scores = yield* scoreOnce(server, {
        endpoints: [`${server.url}?model=a`],
        headers: { Authorization: Redacted.make("Bearer x") }
      })
      assert.deepStrictEqual(Array.from(scores), [0, 4, 8])
      const [request] = server.requests
      assert.deepStrictEqual(new Uint8Array(request!.body), new Uint8Array(matrix(3).buffer))
      assert.strictEqual(request!.path, "/score?model=a")
      assert.strictEqual(request!.headers["content-type"], "application/octet-stream")
      assert.strictEqual(request!.headers["content-length"], "48")
      assert.strictEqual(request!.headers.authorization, "Bearer x")
    })
  )

  it.live("takes one boolean per row with rawBool", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [{ _tag: "Bytes", bytes: () => new Uint8Array([1, 0, 1]) }])
      assert.deepStrictEqual(Array.from(yield* scoreOnce(server, { protocol: Protocol.rawBool })), [1, 0, 1])
    })
  )

  describe("what is final at once", () => {
    const cases: ReadonlyArray<readonly [string, Act, string, RegExp]> = [
      ["400", { _tag: "Status", status: 400, body: "bad body" }, "Rejected", /status 400: bad body/],
      ["404", { _tag: "Status", status: 404, body: "x".repeat(1000) }, "Rejected", /[^x]x{256}\.\.\.$/],
      [
        "a redirect",
        { _tag: "Status", status: 302, headers: { location: "https://login/?to=score" } },
        "Rejected",
        /status 302 to "https:\/\/login\/\?to=score"; redirects are not followed/
      ],
      [
        "a redirect to nowhere",
        { _tag: "Status", status: 301 },
        "Rejected",
        /status 301 without a location; redirects/
      ],
      ["a short answer", { _tag: "Bytes", bytes: () => new Uint8Array(8) }, "BadAnswer", /expected 12 bytes .* got 8/],
      ["a long answer", { _tag: "Bytes", bytes: () => new Uint8Array(16) }, "BadAnswer", /expected 12 bytes .* got 16/],
      ["an empty answer", { _tag: "Bytes", bytes: () => new Uint8Array(0) }, "BadAnswer", /got 0/],
      ["booleans", { _tag: "Bytes", bytes: () => new Uint8Array(3) }, "BadAnswer", /Protocol.rawBool/],
      [
        "infinity",
        {
          _tag: "Bytes",
          bytes: () => new Uint8Array(new Float32Array([1, 2, Infinity]).buffer)
        },
        "BadAnswer",
        /row 2.*the score is Infinity/
      ],
      ["what is not HTTP", { _tag: "Garbage" }, "BadAnswer", /not HTTP/]
    ]
    for (const [name, act, tag, message] of cases) {
      it.live(`fails on ${name} without a second request`, () =>
        Effect.gen(function* () {
          const { error, server } = yield* failureOf([act])
          assert.strictEqual(error.reason._tag, tag)
          assert.match(error.message, message)
          assert.strictEqual(error.endpoint, server.url)
          assert.strictEqual(error.attempt, 1)
          assert.isFalse(error.isRetryable)
          assert.strictEqual(server.requests.length, 1)
          assert.deepStrictEqual(error.earlier, [])
        })
      )
    }

    it.live("names the row whose score is NaN", () =>
      Effect.gen(function* () {
        const { error } = yield* failureOf([
          {
            _tag: "Bytes",
            bytes: () => new Uint8Array(new Float32Array([1, NaN, 3]).buffer)
          }
        ])
        assert.deepStrictEqual(
          error.rows.map(({ first, last }) => [first, last]),
          [[1, 1]]
        )
      })
    )
  })

  describe("what is tried again once", () => {
    const cases: ReadonlyArray<readonly [string, Act, RegExp]> = [
      ["500", { _tag: "Status", status: 500, body: "boom" }, /status 500: boom/],
      ["an answer that does not come", { _tag: "Hang" }, /no answer within 30000 ms/],
      ["an answer that does not end", { _tag: "HangMid" }, /no end of the answer within 30000 ms/]
    ]
    for (const [name, act, message] of cases) {
      it.effect(`scores after ${name}`, () =>
        Effect.gen(function* () {
          const server = yield* make(4, [act, { _tag: "Score" }])
          const scorer = yield* Scorer.make({ endpoints: [server.url] })
          assert.deepStrictEqual(
            Array.from(yield* overTime(scorer.score(batch()), scorer, [server], "1 second")),
            [0, 4, 8]
          )
          assert.deepInclude(yield* scorer.stats, { requests: 2, retries: 1, failures: 0, inFlight: 0 })
        })
      )

      it.effect(`fails after twice ${name}, whatever time there is`, () =>
        Effect.gen(function* () {
          const server = yield* make(4, [act])
          const scorer = yield* Scorer.make({ endpoints: [server.url], retry: { retryFor: "1 hour" } })
          const error = yield* Effect.flip(overTime(scorer.score(batch()), scorer, [server], "1 second"))
          assert.strictEqual(error.attempt, 2)
          assert.strictEqual(server.requests.length, 2)
          assert.isTrue(error.isRetryable)
          assert.match(error.message, message)
          assert.deepStrictEqual(
            error.earlier.map(({ endpoint, requests }) => [endpoint, requests]),
            [[server.url, 1]]
          )
          yield* until(() => server.hanging === 0)
          assert.strictEqual(server.aborted, act._tag === "Status" ? 0 : 2)
        })
      )

      it.effect(`fails at once on ${name} where nothing is to be tried again`, () =>
        Effect.gen(function* () {
          const server = yield* make(4, [act])
          const scorer = yield* Scorer.make({ endpoints: [server.url], retry: { retryFor: 0 } })
          const error = yield* Effect.flip(overTime(scorer.score(batch()), scorer, [server], "1 second"))
          assert.strictEqual(error.attempt, 1)
        })
      )

      it.effect(`takes another endpoint after ${name}`, () =>
        Effect.gen(function* () {
          const servers = [yield* make(4, [act]), yield* make(4, [act]), yield* make(4, [act])]
          const scorer = yield* Scorer.make({ endpoints: servers.map(({ url }) => url) })
          const error = yield* Effect.flip(overTime(scorer.score(batch()), scorer, servers, "1 second"))
          assert.deepStrictEqual(servers.map(({ requests }) => requests.length).toSorted(), [0, 1, 1])
          assert.notStrictEqual(error.earlier[0]?.endpoint, error.endpoint)
          assert.include(error.message, `before that: ${error.earlier[0]?.endpoint}`)
        })
      )
    }

    it.effect("does not end a job of twenty requests for one that stalls", () =>
      Effect.gen(function* () {
        const acts = Array.from({ length: 20 }, (_, i): Act => ({ _tag: i === 7 ? "Hang" : "Score" }))
        const server = yield* make(4, [...acts, { _tag: "Score" }])
        const scorer = yield* Scorer.make({ endpoints: [server.url] })
        const all = Effect.forEach(Array.from({ length: 20 }), () => scorer.score(batch()), { concurrency: 4 })
        assert.lengthOf(yield* overTime(all, scorer, [server], "1 second"), 20)
        assert.deepInclude(yield* scorer.stats, { requests: 21, retries: 1 })
      })
    )
  })

  describe("what is tried again", () => {
    const cases: ReadonlyArray<readonly [string, Act]> = [
      ["502", { _tag: "Status", status: 502 }],
      ["503", { _tag: "Status", status: 503 }],
      ["504", { _tag: "Status", status: 504 }],
      ["429", { _tag: "Status", status: 429 }],
      ["429 with Retry-After 0", { _tag: "Status", status: 429, headers: { "retry-after": "0" } }],
      ["429 with a negative Retry-After", { _tag: "Status", status: 429, headers: { "retry-after": "-3" } }],
      ["429 with a meaningless Retry-After", { _tag: "Status", status: 429, headers: { "retry-after": "soon" } }],
      [
        "429 with a date in the past",
        {
          _tag: "Status",
          status: 429,
          headers: { "retry-after": "Sun, 06 Nov 1994 08:49:37 GMT" }
        }
      ],
      ["a reset connection", { _tag: "Reset" }],
      ["a connection dropped in the middle of an answer", { _tag: "Drop" }]
    ]
    for (const [name, act] of cases) {
      it.live(`scores after ${name}`, () =>
        Effect.gen(function* () {
          const server = yield* make(4, [act, act, { _tag: "Score" }])
          const scorer = yield* Scorer.make(options(server))
          assert.deepStrictEqual(Array.from(yield* scorer.score(batch())), [0, 4, 8])
          const stats = yield* scorer.stats
          assert.strictEqual(stats.requests, 3)
          assert.strictEqual(stats.retries, 2)
          assert.strictEqual(stats.rows, 3)
        })
      )
      it.live(`gives up after five times ${name}`, () =>
        Effect.gen(function* () {
          const { error, server } = yield* failureOf([act])
          assert.strictEqual(error.attempt, 5)
          assert.strictEqual(server.requests.length, 5)
          assert.isTrue(error.isRetryable)
        })
      )
    }

    it.live("cuts an absurd Retry-After to the cap, and counts it", () =>
      Effect.gen(function* () {
        const act: Act = { _tag: "Status", status: 429, headers: { "retry-after": "99999" } }
        const { error, server } = yield* failureOf([act], { retry: { ...quick, retryAfterCap: 10 } })
        assert.strictEqual(error.attempt, 5)
        assert.strictEqual(server.requests.length, 5)
        assert.strictEqual(error.reason._tag === "Overloaded" && error.reason.retryAfter, 99_999_000)
      })
    )

    it.effect("waits as long as Retry-After says", () =>
      Effect.gen(function* () {
        const server = yield* make(4, [
          { _tag: "Status", status: 429, headers: { "retry-after": "3" } },
          { _tag: "Score" }
        ])
        const scorer = yield* Scorer.make(options(server))
        const fiber = yield* Effect.forkChild(scorer.score(batch()))
        // The clock stands still until the first answer has arrived.
        yield* until(() => server.requests.length === 1)
        while ((yield* scorer.stats).inFlight > 0) yield* turns(1)
        yield* TestClock.adjust(2999)
        yield* turns()
        assert.strictEqual(server.requests.length, 1)
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(Array.from(yield* Fiber.join(fiber)), [0, 4, 8])
        assert.strictEqual(server.requests.length, 2)
      })
    )

    it.effect("outlives a service that is gone for a minute and a half", () =>
      Effect.gen(function* () {
        const server = yield* make(4)
        server.gone = true
        const scorer = yield* Scorer.make({ endpoints: [server.url] })
        yield* Effect.forkChild(
          Effect.andThen(
            Effect.sleep("90 seconds"),
            Effect.sync(() => (server.gone = false))
          )
        )
        const all = Effect.forEach(Array.from({ length: 20 }), () => scorer.score(batch()), { concurrency: 4 })
        assert.lengthOf(yield* overTime(all, scorer, [server], "1 second"), 20)
        const { failures, inFlight, requests, retries, rows } = yield* scorer.stats
        assert.deepStrictEqual([failures, inFlight, rows, requests - retries], [0, 0, 60, 20])
        // Waits of 10 s at most: nobody hammers a service that is down.
        assert.isBelow(retries, 4 * 20)
      })
    )

    it.effect("gives up after two minutes, and says where, how often and for how long it tried", () =>
      Effect.gen(function* () {
        const gone = yield* make(4)
        const busy = yield* make(4, [{ _tag: "Status", status: 503, body: "busy" }])
        gone.gone = true
        const scorer = yield* Scorer.make({ endpoints: [gone.url, busy.url] })
        const error = yield* Effect.flip(overTime(scorer.score(batch()), scorer, [gone, busy], "1 second"))
        assert.isAtLeast(error.elapsedMillis, 105_000)
        assert.isAtMost(error.elapsedMillis, 121_000)
        assert.isAtLeast(error.attempt, 15)
        const counts = new Map(error.earlier.map(({ endpoint, requests }) => [endpoint, requests]))
        counts.set(error.endpoint, (counts.get(error.endpoint) ?? 0) + 1)
        assert.strictEqual(counts.get(busy.url), busy.requests.length)
        assert.strictEqual((counts.get(gone.url) ?? 0) + busy.requests.length, error.attempt)
        // They take turns: a repeated request goes to the endpoint that has not just failed.
        assert.isAtMost(Math.abs(error.attempt - 2 * busy.requests.length), 1)
        assert.match(error.message, /attempt \d+ after (?:1m \d+s|2m(?: \ds)?), rows 0\.\.2: /)
        assert.match(error.message, /; before that: http.* \(\d+ times\), http.* \(\d+ times\)$/)
        assert.include(error.message, "status 503")
      })
    )

    it.effect("says so while it waits", () =>
      Effect.gen(function* () {
        const lines: Array<string> = []
        const server = yield* make(4)
        server.gone = true
        const scorer = yield* Scorer.make({ endpoints: [server.url] })
        const all = Effect.forEach(Array.from({ length: 8 }), () => scorer.score(batch()), { concurrency: 8 })
        const logger = Logger.make(({ message }) => lines.push(String(message)))
        yield* overTime(all, scorer, [server], "1 second").pipe(Effect.flip, Effect.provide(Logger.layer([logger])))
        assert.isAtLeast(lines.length, 3)
        assert.isAtMost(lines.length, 12)
        for (const line of lines)
          assert.match(line, /^http.*\/score: .*, attempt \d+, for .* now; tried again for up to 2m$/)
      })
    )

    it.live("gives up at once where Retry-After lies beyond the time there is", () =>
      Effect.gen(function* () {
        const act: Act = { _tag: "Status", status: 503, headers: { "retry-after": "50" } }
        const { error } = yield* failureOf([act], { retry: { ...quick, retryFor: "1 second" } })
        assert.strictEqual(error.attempt, 1)
      })
    )

    it.live("fails after five attempts where nobody listens", () =>
      Effect.gen(function* () {
        const port = yield* Effect.callback<number>((resume) => {
          const server = Net.createServer().listen(0, "127.0.0.1", () => {
            const address = server.address()
            server.close(() =>
              resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
            )
          })
        })
        const url = `http://127.0.0.1:${port}/score`
        const error = yield* Effect.flip(
          Effect.flatMap(Scorer.make({ endpoints: [url], retry: quick }), (scorer) => scorer.score(batch()))
        )
        assert.strictEqual(error.attempt, 5)
        assert.strictEqual(error.reason._tag === "Unreachable" && error.reason.code, "ECONNREFUSED")
        assert.include(error.message, url)
      })
    )

    it.live("repeats a request at another endpoint", () =>
      Effect.gen(function* () {
        const bad = yield* make(4, [{ _tag: "Status", status: 503 }])
        const good = yield* make(4)
        const scorer = yield* Scorer.make({ endpoints: [bad.url, good.url], retry: quick })
        for (let i = 0; i < 4; i++) yield* scorer.score(batch())
        assert.strictEqual(good.requests.length, 4)
        assert.isAtLeast(bad.requests.length, 1)
        // Never twice at the one that failed: each of its failures is followed by the other's answer.
        assert.strictEqual((yield* scorer.stats).requests, 4 + bad.requests.length)
        assert.isAtMost(bad.requests.length, 4)
      })
    )
  })

  it.live("keeps within its limit of requests in flight and shares the load between endpoints", () =>
    Effect.gen(function* () {
      const servers = [yield* make(4, [{ _tag: "Score", delay: 5 }]), yield* make(4, [{ _tag: "Score", delay: 5 }])]
      for (const server of servers) server.gated = true
      const scorer = yield* Scorer.make({ endpoints: servers.map(({ url }) => url), concurrency: 4 })
      const scores = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 40 }), () => scorer.score(batch()), { concurrency: "unbounded" })
      )
      // No answer leaves before it is let go, so where every request went is known: to the endpoint with the fewest in flight.
      const shares = [2, 2]
      const arrived = until(() => servers.every(({ requests }, i) => requests.length === shares[i]))
      yield* arrived
      for (let n = 4; n < 40; n++) {
        const next = n % 3 === 0 ? 0 : 1
        servers[next]?.release(1)
        shares[next]!++
        // A request goes to an endpoint that has answered.
        yield* arrived
        assert.deepStrictEqual(
          servers.map(({ open }) => open),
          [2, 2]
        )
      }
      for (const server of servers) server.release()
      yield* Fiber.join(scores)
      assert.deepStrictEqual(shares, [14, 26])
      assert.deepStrictEqual(
        servers.map(({ maxOpen, requests }) => [maxOpen, requests.length]),
        shares.map((share) => [2, share])
      )
      const stats = yield* scorer.stats
      assert.strictEqual(stats.maxInFlight, 4)
      assert.strictEqual(stats.inFlight, 0)
      assert.isAtLeast(stats.latencyMillis.p99, stats.latencyMillis.p50)
      assert.isAtLeast(stats.latencyMillis.p50, 4)
      assert.strictEqual(stats.bodyBytesOut, 40 * 48)
      assert.strictEqual(stats.bodyBytesIn, 40 * 12)
    })
  )

  it.live("closes the connection of an interrupted request and all others with its scope", () =>
    Effect.gen(function* () {
      const server = yield* make(4, [{ _tag: "Score" }, { _tag: "Hang" }])
      const scope = yield* Scope.make()
      const scorer = yield* Scope.provide(Scorer.make(options(server)), scope)
      yield* scorer.score(batch())
      const fiber = yield* Effect.forkChild(scorer.score(batch()))
      yield* until(() => server.requests.length === 2)
      yield* Fiber.interrupt(fiber)
      yield* until(() => server.aborted === 1)
      assert.strictEqual((yield* scorer.stats).inFlight, 0)
      yield* Scope.close(scope, Exit.void)
      yield* until(() => server.sockets.size === 0)
    })
  )

  it.live("reuses its connections", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const scorer = yield* Scorer.make(options(server, { concurrency: 2 }))
      yield* Effect.forEach(Array.from({ length: 20 }), () => scorer.score(batch()), { concurrency: 2 })
      assert.isAtMost(server.accepted, 2)
    })
  )

  it.live("chooses its endpoints by the executor it is on", () =>
    Effect.gen(function* () {
      const a = yield* make(4)
      const b = yield* make(4)
      const layer = Scorer.layer({
        endpoints: [a.url, b.url],
        choose: (executor, endpoints) => endpoints.filter((_, i) => executor.host === `host-${i}`)
      })
      const on = (host: string) =>
        Effect.flatMap(Scorer.Scorer, (scorer) => scorer.score(batch())).pipe(
          Effect.provide(Layer.provide(layer, Layer.succeed(ExecutorInfo, { id: host, host, slots: 1 }))),
          Effect.scoped
        )
      yield* on("host-1")
      assert.deepStrictEqual([a.requests.length, b.requests.length], [0, 1])
      yield* on("host-0")
      assert.deepStrictEqual([a.requests.length, b.requests.length], [1, 1])
      const error = yield* Effect.flip(on("elsewhere"))
      assert.strictEqual(error.reason._tag, "BadSetup")
    })
  )

  it.live("checks the length of vectors, declared or learnt", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const declared = yield* Scorer.make(options(server, { features: 5 }))
      const learnt = yield* Scorer.make(options(server))
      assert.isUndefined(learnt.features())
      yield* learnt.score(batch())
      assert.strictEqual(learnt.features(), 4)
      for (const [error, expected, found] of [
        [yield* Effect.flip(declared.score(batch())), 5, 4],
        [yield* Effect.flip(learnt.score(batch(1, 7))), 4, 7]
      ] as const) {
        assert.deepInclude(error.reason, { _tag: "VectorLength", expected, found })
        assert.strictEqual(error.attempt, 0)
      }
      assert.strictEqual(server.requests.length, 1)
    })
  )

  it.effect.each([
    { endpoints: [] },
    { endpoints: ["not a url"] },
    { endpoints: ["ftp://host/score"] },
    { endpoints: ["user:secret@host:8080/score"] },
    { endpoints: ["http://user:secret@host/score"] },
    { endpoints: ["http://host"], concurrency: 0 },
    { endpoints: ["http://host"], features: -1 },
    { endpoints: ["http://host"], retry: { maxAttempts: 0 } },
    { endpoints: ["http://host"], retry: { maxAttempts: Number.NaN } },
    { endpoints: ["http://host"], retry: { factor: 0.5 } }
  ])("refuses options that make no sense: %j", (options) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Scorer.make(options))
      assert.strictEqual(error.reason._tag, "BadSetup")
      assert.notInclude(error.message, "secret")
    })
  )

  it.effect("names the endpoint that is not a URL", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Scorer.make({ endpoints: ["http://host/score", "localhost:8080/score"] }))
      assert.include(
        error.message,
        '"localhost:8080/score" in `endpoints` is not an HTTP URL; write it in full, such as http://host:8080/score'
      )
    })
  )

  describe("in process", () => {
    const model = Model.logisticRegression({ nFeatures: 2, weights: [1, -2], bias: 0.5 })

    it.effect("scores with the weights of a logistic regression", () =>
      Effect.gen(function* () {
        const scorer = yield* Scorer.Scorer
        const scores = yield* scorer.score(Batch.make(new Float32Array([1, 1, 3, 0]), 2))
        assert.closeTo(scores[0]!, 1 / (1 + Math.exp(0.5)), 1e-6)
        assert.closeTo(scores[1]!, 1 / (1 + Math.exp(-3.5)), 1e-6)
        const error = yield* Effect.flip(scorer.score(Batch.make(new Float32Array(3), 3)))
        assert.strictEqual(error.reason._tag, "VectorLength")
        const nan = yield* Effect.flip(scorer.score(Batch.make(new Float32Array([0, 0, NaN, 0]), 2)))
        assert.strictEqual(nan.reason._tag, "BadAnswer")
        assert.deepStrictEqual(
          nan.rows.map(({ first }) => first),
          [1]
        )
      }).pipe(Effect.provide(Scorer.layerModel(model)))
    )

    it.effect("decodes weights, and refuses a wrong number of them", () =>
      Effect.gen(function* () {
        const json = (weights: ReadonlyArray<number>) => JSON.stringify({ name: "x", nFeatures: 2, weights, bias: 0 })
        assert.strictEqual((yield* Model.decodeLogisticRegression(json([1, 2]))).nFeatures, 2)
        const error = yield* Effect.flip(Model.decodeLogisticRegression(json([1])))
        assert.match(error.message, /expected 2 weights \(nFeatures\), got 1/)
      })
    )
  })

  it("sends the memory of adjacent vectors itself", () => {
    const memory = new Float32Array(40)
    const views = [memory.subarray(8, 12), memory.subarray(12, 16), memory.subarray(16, 20)]
    const values = Batch.matrix(views, 4)
    assert.instanceOf(values, Float32Array)
    const bytes = Protocol.rawFloat32.encode(Batch.make(values as Float32Array, 4))
    assert.strictEqual(bytes.buffer, memory.buffer)
    assert.deepStrictEqual([bytes.byteOffset, bytes.byteLength], [32, 48])
  })

  it("copies vectors that lie apart, and finds one of another length", () => {
    const a = new Float32Array([1, 2])
    const b = new Float32Array([3, 4])
    assert.deepStrictEqual(Batch.matrix([a, b], 2), new Float32Array([1, 2, 3, 4]))
    assert.strictEqual(Batch.matrix([a, b, new Float32Array(3)], 2), 2)
  })

  it("survives a trip through JSON as an error", () => {
    const error = new ScoreError.ScoreError({
      endpoint: "http://h/score",
      attempt: 2,
      rows: [{ path: "a.parquet", rowGroup: 3, partition: 0, first: 10, last: 19 }],
      reason: new ScoreError.Overloaded({ status: 503, body: "busy", retryAfter: undefined })
    })
    assert.match(
      error.message,
      /^http:\/\/h\/score, attempt 2, rows 10\.\.19 of a\.parquet, row group 3: overloaded with status 503: busy/
    )
    assert.strictEqual(error.status, 503)
    assert.strictEqual(error.body, "busy")
  })

  it("needs no ExecutorInfo unless it chooses", () => {
    const plain: Layer.Layer<Scorer.Scorer, ScoreError.ScoreError> = Scorer.layer({ endpoints: ["http://h"] })
    // @ts-expect-error `choose` needs to know the executor
    const choosing: typeof plain = Scorer.layer({ endpoints: ["http://h"], choose: (_, all) => all })
    assert.isTrue(Layer.isLayer(plain) && Layer.isLayer(choosing))
    assert.isFalse(Context.isContext(plain))
  })
})
