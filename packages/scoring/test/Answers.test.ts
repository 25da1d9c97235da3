import { Dataset, Engine } from "@sluice/core"
import type { Model } from "@sluice/scoring"
import { Batch, Protocol, ScoreError, Scorer, Scoring } from "@sluice/scoring"
import { assert, describe, it } from "@effect/vitest"
import * as Arrow from "apache-arrow"
import { Cause, Effect, Exit, Layer, Redacted, Result } from "effect"
import * as fc from "fast-check"
import { type Act, make } from "./faultServer.ts"

const batch = Batch.make(
  Float32Array.from({ length: 12 }, (_, i) => i),
  4
)

/** The error of one request to a service that does this. */
const errorOf = Effect.fnUntraced(function* (act: Act, options: Partial<Scorer.Options> = {}) {
  const server = yield* make(4, [act])
  const scorer = yield* Scorer.make({ endpoints: [server.url], retry: { retryFor: 0 }, ...options })
  return yield* Effect.flip(scorer.score(batch))
}, Effect.scoped)

const zeros = (n: number) => new Uint8Array(4 * n)

describe("the number of scores", () => {
  const own = (change: number): Protocol.Protocol => ({
    ...Protocol.rawFloat32,
    name: "own",
    decode: (_, rows) => Result.succeed(new Float32Array(change === -Infinity ? 0 : rows + change))
  })
  const models = (change: number): Model.Model => ({
    name: "own model",
    features: 4,
    threshold: undefined,
    score: (_, rows) => new Float32Array(change === -Infinity ? 0 : rows + change)
  })

  for (const [name, change, count] of [
    ["one too few", -1, 2],
    ["one too many", 1, 4],
    ["none", -Infinity, 0]
  ] as const) {
    const expectCount = (error: unknown) => {
      assert.instanceOf(error, ScoreError.ScoreError)
      assert.strictEqual(error.reason._tag, "BadAnswer")
      assert.include(error.message, `${count} scores for 3 rows`)
      assert.deepInclude(error.rows[0], { first: 0, last: 2 })
    }

    it.live(`is checked for a protocol of one's own: ${name}`, () =>
      Effect.gen(function* () {
        const error = yield* errorOf({ _tag: "Score" }, { protocol: own(change) })
        expectCount(error)
        assert.isFalse(error.isRetryable)
      })
    )

    it.live(`is checked for a model in this process: ${name}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Effect.flatMap(Scorer.Scorer, (scorer) => scorer.score(batch)))
        expectCount(error)
      }).pipe(Effect.provide(Scorer.layerModel(models(change))))
    )

    it.live(`is checked for a scorer of one's own: ${name}`, () =>
      Effect.gen(function* () {
        const scorer = Layer.effect(
          Scorer.Scorer,
          Effect.map(Scorer.make({ endpoints: ["http://127.0.0.1:1"] }), (base) =>
            Scorer.Scorer.of({
              ...base,
              score: ({ rows }) => Effect.succeed(models(change).score(new Float32Array(0), rows))
            })
          )
        )
        const rows = Dataset.fromIterable(Array.from({ length: 3 }, () => ({ features: new Float32Array(4) })))
        expectCount(
          yield* rows.pipe(Scoring.score({ vector: "features" }), Dataset.collect, Effect.provide(scorer), Effect.flip)
        )
        const list = new Arrow.FixedSizeList(4, new Arrow.Field("item", new Arrow.Float32(), false))
        const data = Arrow.makeData({
          type: list,
          length: 3,
          nullCount: 0,
          child: Arrow.makeData({ type: new Arrow.Float32(), length: 12, data: batch.values })
        })
        const fields = [new Arrow.Field("features", list, false)]
        const record = new Arrow.RecordBatch(
          new Arrow.Schema(fields),
          Arrow.makeData({ type: new Arrow.Struct(fields), length: 3, nullCount: 0, children: [data] })
        )
        expectCount(
          yield* Dataset.make(record).pipe(
            Scoring.scoreBatches({ vector: "features" }),
            Dataset.collect,
            Effect.provide(scorer),
            Effect.flip
          )
        )
      }).pipe(Effect.provide(Engine.layer))
    )
  }

  it.live("leaves a model that throws a defect, and counts it as ended", () =>
    Effect.gen(function* () {
      const scorer = yield* Scorer.Scorer
      const exit = yield* Effect.exit(scorer.score(batch))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.strictEqual((yield* scorer.stats).inFlight, 0)
    }).pipe(
      Effect.provide(
        Scorer.layerModel({
          ...models(0),
          score: () => {
            throw new Error("model bug")
          }
        })
      )
    )
  )
})

describe("the content type of an answer", () => {
  const scores = (headers: Record<string, string>): Act => ({ _tag: "Bytes", bytes: zeros, headers })

  it.live.each([
    {},
    { "content-type": "application/octet-stream" },
    { "content-type": "Application/Octet-Stream; charset=binary" },
    { "content-type": "" },
    { "content-encoding": "identity" }
  ])("is read where it is %j", (headers) =>
    Effect.gen(function* () {
      const server = yield* make(4, [scores(headers)])
      const scorer = yield* Scorer.make({ endpoints: [server.url] })
      assert.deepStrictEqual(Array.from(yield* scorer.score(batch)), [0, 0, 0])
    })
  )

  it.live.each([
    { "content-type": "text/html; charset=utf-8" },
    { "content-type": "application/json" },
    { "content-type": "text/plain" },
    { "content-type": "image/png\t" },
    { "content-encoding": "gzip" }
  ])("makes an answer of the right size unusable where it is %j", (headers) =>
    Effect.gen(function* () {
      for (const protocol of [Protocol.rawFloat32, Protocol.rawBool]) {
        const bytes = (rows: number) =>
          Buffer.from("<html><p>maintenance".slice(0, protocol === Protocol.rawBool ? rows : 4 * rows))
        const error = yield* errorOf({ _tag: "Bytes", bytes, headers }, { protocol })
        assert.strictEqual(error.reason._tag, "BadAnswer")
        assert.match(error.message, /its content (type|encoding) is .*; it begins: <ht/)
      }
    })
  )

  it.live("is what the protocol says", () =>
    Effect.gen(function* () {
      const json: Protocol.Protocol = {
        ...Protocol.rawFloat32,
        accepts: ["application/json"],
        decode: (answer) => Result.succeed(Float32Array.from(JSON.parse(Buffer.from(answer).toString("utf8"))))
      }
      const body = (type: string): Act => ({
        _tag: "Status",
        status: 200,
        body: "[1,2,3]",
        headers: { "content-type": type }
      })
      const server = yield* make(4, [body("application/json; charset=utf-8")])
      const scorer = yield* Scorer.make({ endpoints: [server.url], protocol: json })
      assert.deepStrictEqual(Array.from(yield* scorer.score(batch)), [1, 2, 3])
      const error = yield* errorOf(body("application/octet-stream"), { protocol: json })
      assert.include(error.message, "is application/octet-stream, expected application/json, or none")
      // A protocol that names no type takes any.
      const any = yield* Scorer.make({ endpoints: [server.url], protocol: { ...json, accepts: undefined } })
      server.script = [body("text/html")]
      assert.deepStrictEqual(Array.from(yield* any.score(batch)), [1, 2, 3])
    })
  )
})

describe("the words of a service", () => {
  const token = 's3cr3t-t0ken/+=&"<x>'
  const password = "correct horse"
  const headers = {
    authorization: Redacted.make(`Bearer ${token}`),
    "x-tenant": Redacted.make("tenant-4711"),
    "x-api-key": "key-0815-plain",
    cookie: "session=c00kie-value; theme=dark"
  }
  const hidden = [token, "tenant-4711", "key-0815-plain", "c00kie-value", "signature-of-mine"]

  const everything = (error: ScoreError.ScoreError) => JSON.stringify(error) + error.message + String(error.stack)

  for (const [name, say] of [
    ["as they are", (text: string) => text],
    ["in an address", encodeURIComponent],
    ["in JSON", (text: string) => JSON.stringify({ text })],
    ["in capitals", (text: string) => text.toUpperCase()],
    [
      "on a page",
      (text: string) =>
        text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&#34;")
    ]
  ] as const) {
    it.live(`never have the secrets of the request, repeated ${name}`, () =>
      Effect.gen(function* () {
        const server = yield* make(4)
        const scorer = yield* Scorer.make({
          endpoints: [`${server.url}?sig=signature-of-mine`],
          headers,
          retry: { retryFor: 0 }
        })
        for (const secret of hidden) {
          // At every place: in the middle of what is shown and across its end.
          for (const at of [0, 10, 240, 250, 255]) {
            const body = `${"x".repeat(at)}${say(secret)} end`
            const said: ReadonlyArray<Act> = [
              { _tag: "Status", status: 401, body },
              { _tag: "Status", status: 500, body },
              { _tag: "Status", status: 200, body, headers: { "content-type": "text/html" } }
            ]
            for (const act of at === 0 ? said : said.slice(0, 1)) {
              server.script = [act]
              const error = yield* Effect.flip(scorer.score(batch))
              const shown = everything(error)
              assert.notInclude(shown, secret)
              assert.notInclude(shown, say(secret).slice(0, -1))
              if (at <= 10) assert.include(error.message, "<redacted>")
            }
          }
        }
      })
    )
  }

  it.live("never have the password of a basic authorization", () =>
    Effect.gen(function* () {
      const basic = Buffer.from(`user:${password}`).toString("base64")
      for (const said of [basic, `user:${password}`, `wrong password ${password}`]) {
        const error = yield* errorOf(
          { _tag: "Status", status: 403, body: `you said ${said}` },
          { headers: { Authorization: `Basic ${basic}` } }
        )
        assert.notInclude(everything(error), password)
        assert.notInclude(everything(error), basic)
      }
    })
  )

  it.live("say nothing of a secret in a redirect either, nor in what an own protocol quotes", () =>
    Effect.gen(function* () {
      const redirect = yield* errorOf(
        { _tag: "Status", status: 307, headers: { location: `https://login/?token=${encodeURIComponent(token)}` } },
        { headers }
      )
      assert.include(redirect.message, 'status 307 to "https://login/?token=<redacted>"')
      const quoting: Protocol.Protocol = {
        ...Protocol.rawFloat32,
        decode: (answer) => Result.fail(`cannot read ${Buffer.from(answer).toString("utf8")}`)
      }
      const error = yield* errorOf(
        { _tag: "Status", status: 200, body: `tenant-4711\u001b[2J` },
        { headers, protocol: quoting }
      )
      assert.include(error.message, "cannot read <redacted>\\u001b[2J")
    })
  )

  it.live("are on one line, without control characters and bidirectional marks, and cut", () =>
    Effect.gen(function* () {
      const body =
        "a\r\nerror: forged\u001b[31m\u0000\u009b\u202e\u2066\u200b\u2028\ufeff\u{e0041}é漢😀" + "z".repeat(1000)
      const error = yield* errorOf({ _tag: "Status", status: 400, body })
      const escaped =
        "a\\r\\nerror: forged\\u001b[31m\\u0000\\u009b\\u202e\\u2066\\u200b\\u2028\\ufeff\\u{e0041}é漢😀zzz"
      assert.include(error.message, escaped)
      assert.match(error.message, /z\.\.\.$/)
      assert.isBelow(error.message.length, 700)
    })
  )

  it.live("are fit to be printed, whatever they are", () =>
    Effect.gen(function* () {
      const server = yield* make(4)
      const scorer = yield* Scorer.make({
        endpoints: [`${server.url}?sig=signature-of-mine`],
        headers,
        retry: { retryFor: 0 }
      })
      const parts = fc.array(
        fc.oneof(
          fc.string({ unit: "binary", maxLength: 40 }),
          fc.constantFrom(...hidden, ...hidden.map(encodeURIComponent), "\u001b]0;x\u0007", "\u202e")
        ),
        { maxLength: 12 }
      )
      const status = fc.constantFrom(200, 302, 400, 404, 418, 429, 500, 503)
      for (const [code, body] of fc.sample(fc.tuple(status, parts), { numRuns: 100, seed: 7 })) {
        const text = body.join("").toWellFormed()
        server.script = [{ _tag: "Status", status: code, body: text, headers: { "content-type": "text/html" } }]
        const error = yield* Effect.flip(scorer.score(batch))
        assert.notMatch(error.message, /[\p{C}\p{Zl}\p{Zp}]/u)
        assert.isBelow(error.message.length, 256 * 10 + 300)
        for (const secret of hidden) {
          assert.notInclude(error.message, secret)
          assert.notInclude(error.message, encodeURIComponent(secret))
        }
      }
    })
  )
})
