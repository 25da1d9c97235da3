import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, Schema } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { connect } from "node:net"
import { fileURLToPath } from "node:url"
import * as Model from "../model-service/Model.ts"
import * as ModelService from "../model-service/ModelService.ts"
import * as RealStack from "../model-service/RealStack.ts"

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const digits = path("../model-service/model.json")
const platform = Layer.merge(NodeServices.layer, NodeHttpClient.layerUndici)

/** Small whole numbers, as pixels are, that differ from row to row. */
const matrix = (rows: number, features: number): Float32Array =>
  Float32Array.from({ length: rows * features }, (_, index) => (index * 7919) % 17)

const put = Effect.fnUntraced(function* (url: string, values: Float32Array | Uint8Array) {
  const body = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const response = yield* HttpClient.execute(
    HttpClientRequest.put(url).pipe(HttpClientRequest.bodyUint8Array(body, "application/octet-stream"))
  )
  return { status: response.status, headers: response.headers, body: yield* response.arrayBuffer }
})

const Refusal = Schema.fromJsonString(Schema.Struct({ error: Schema.String }))
const reasonOf = (body: ArrayBuffer) =>
  Effect.map(Schema.decodeUnknownEffect(Refusal)(Buffer.from(body).toString("utf8")), ({ error }) => error)

const worstDifference = (body: ArrayBuffer, expected: Float32Array): number => {
  const scores = new Float32Array(body)
  if (scores.length !== expected.length) return Infinity
  return scores.reduce((worst, score, row) => Math.max(worst, Math.abs(score - (expected[row] ?? NaN))), 0)
}

/** The digits that training never saw: each its label and then its pixels. */
const heldOutDigits = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const lines = (yield* fs.readFileString(path("../data/digits.csv"))).trim().split("\n").slice(1)
  return lines.filter((_, index) => index % 5 === 0).map((line) => line.split(",").map(Number))
})

/** Sends the same request again and again over one connection, each after the answer to the one before. */
const exchange = (port: number, request: string, times: number) =>
  Effect.callback<string>((resume) => {
    let text = ""
    const socket = connect(port, "127.0.0.1", () => socket.write(request))
    socket.on("data", (data) => {
      text += data.toString("utf8")
      if (!text.endsWith("}") && !text.endsWith("}\n")) return
      if (text.split("HTTP/1.1 ").length - 1 < times) socket.write(request)
      else socket.end()
    })
    socket.on("error", (error) => resume(Effect.succeed(error.message)))
    socket.on("close", () => resume(Effect.succeed(text)))
    return Effect.sync(() => socket.destroy())
  })

/** The server under the contract. */
class Server extends Context.Service<Server, { readonly url: string; readonly endpoint: string }>()(
  "@sluice/examples/test/Server"
) {}

/** What every server of the protocol must do, whatever it is written in. */
const contract = <E>(name: string, server: Layer.Layer<Server, E, Layer.Success<typeof platform>>): void =>
  layer(Layer.provideMerge(server, platform), { excludeTestServices: true })(name, (it) => {
    it.effect("says that it is well and how wide its rows are", () =>
      Effect.gen(function* () {
        const { url } = yield* Server
        const response = yield* HttpClient.get(`${url}/health`)
        assert.deepStrictEqual(yield* response.json, { status: "ok", model: "digits-odd", nFeatures: 64 })
      })
    )

    it.effect("classifies the held-out digits as well as the model file says", () =>
      Effect.gen(function* () {
        const { endpoint } = yield* Server
        const model = yield* Model.load(digits)
        const rows = yield* heldOutDigits
        const pixels = Float32Array.from(rows.flatMap((row) => row.slice(1)))

        const answer = yield* put(endpoint, pixels)
        assert.strictEqual(answer.headers["content-type"], "application/octet-stream")
        assert.isBelow(worstDifference(answer.body, Model.score(model, pixels)), 1e-6)
        const classes = [...new Float32Array(answer.body)].map((score) => score >= model.threshold)
        const right = rows.filter((row, index) => ((row[0] ?? 0) % 2 === 1) === classes[index]).length
        assert.strictEqual(rows.length, model.heldOut?.rows)
        assert.closeTo(right / rows.length, model.heldOut?.accuracy ?? NaN, 1e-4)

        const bools = yield* put(`${endpoint}?as=bool`, pixels)
        assert.deepStrictEqual([...new Uint8Array(bools.body)], classes.map(Number))
      })
    )

    it.effect("scores 8 MiB in one request", () =>
      Effect.gen(function* () {
        const { endpoint } = yield* Server
        const model = yield* Model.load(digits)
        const large = matrix((8 * 1024 * 1024) / 256, 64)
        assert.isBelow(worstDifference((yield* put(endpoint, large)).body, Model.score(model, large)), 1e-6)
      })
    )

    it.effect("refuses a wrong body with the reason, and answers the next one", () =>
      Effect.gen(function* () {
        const { endpoint } = yield* Server
        const layout = "64 little-endian float32 (256 bytes)"
        const cases = [
          [endpoint, 0, 400, `empty body: expected rows of ${layout}`],
          [endpoint, 3, 400, `body of 3 bytes is not a whole number of rows of ${layout}`],
          [endpoint, 257, 400, `body of 257 bytes is not a whole number of rows of ${layout}`],
          [endpoint, 64 * 1024 * 1024 + 256, 413, "body is larger than 67108864 bytes"],
          [`${endpoint}?as=int`, 256, 400, 'as must be float32 or bool, got "int"'],
          [endpoint.replace("/score", "/other"), 256, 404, "no such path: /other"]
        ] as const
        for (const [url, length, status, reason] of cases) {
          const refused = yield* put(url, new Uint8Array(length))
          assert.deepStrictEqual([refused.status, yield* reasonOf(refused.body)], [status, reason])
          assert.match(refused.headers["content-type"] ?? "", /^application\/json/)
          assert.strictEqual((yield* put(endpoint, matrix(1, 64))).status, 200)
        }
      })
    )

    it.effect("refuses another method and names the right one", () =>
      Effect.gen(function* () {
        const { endpoint } = yield* Server
        const response = yield* HttpClient.post(endpoint)
        assert.deepStrictEqual([response.status, response.headers["allow"]], [405, "PUT"])
        assert.deepStrictEqual(yield* response.json, { error: "method POST not allowed: use PUT" })
      })
    )

    it.effect("keeps the connection of a request for the next one", () =>
      Effect.gen(function* () {
        const { url } = yield* Server
        const text = yield* exchange(Number(new URL(url).port), "GET /health HTTP/1.1\r\nhost: x\r\n\r\n", 3)
        assert.strictEqual(text.split("HTTP/1.1 200").length - 1, 3)
      })
    )
  })

contract(
  "embedded model service, in this process",
  Layer.effect(
    Server,
    Effect.flatMap(Model.load(digits), (model) => ModelService.make({ model }))
  )
)
contract("embedded model service, in its own process", Layer.effect(Server, ModelService.spawn()))

const missing = RealStack.missing()
if (missing.length === 0 || process.env["SLUICE_REQUIRE_ALL"] === "1") {
  contract("Flask, uwsgi and nginx", Layer.effect(Server, RealStack.make({ processes: 2 })))
} else {
  describe.skip(`Flask, uwsgi and nginx (missing: ${missing.join(", ")}; ${RealStack.installHint})`, () => {
    it("runs the contract", () => {})
  })
}
