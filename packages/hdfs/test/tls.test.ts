import { HdfsAuth, HdfsClient, HdfsConfig, Probe } from "@sluice/hdfs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Https from "node:https"
import * as Os from "node:os"
import * as Path from "node:path"

const missing = ChildProcess.spawnSync("openssl", ["version"]).status !== 0

/** An authority, and a key with its certificate for the server and for a client. */
const certificates = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-tls-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
).pipe(
  Effect.map((directory) => {
    const openssl = (...args: ReadonlyArray<string>) =>
      ChildProcess.execFileSync("openssl", args, { cwd: directory, stdio: "pipe" })
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    const read = (name: string) => Fs.readFileSync(Path.join(directory, name), "utf8")
    openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2")
    for (const name of ["server", "client"]) {
      openssl("req", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`)
      Fs.writeFileSync(Path.join(directory, "ext"), "subjectAltName=IP:127.0.0.1")
      openssl(
        ...["x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
        ...["-out", `${name}.pem`, "-days", "1", "-extfile", "ext"]
      )
    }
    return {
      ca: read("ca.pem"),
      server: { cert: read("server.pem"), key: read("server.key") },
      client: { cert: read("client.pem"), key: Redacted.make(read("client.key")) }
    }
  })
)

const serve = (options: Https.ServerOptions) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly server: Https.Server }>((resume) => {
      const server = Https.createServer(options, (request, response) => {
        const url = new URL(request.url ?? "/", "https://127.0.0.1")
        request.resume()
        request.on("end", () => {
          if (url.searchParams.get("noredirect") === "true" && request.method === "PUT") {
            response.end(JSON.stringify({ Location: `https://${request.headers.host}/data?op=CREATE` }))
          } else if (request.method === "PUT") response.writeHead(201).end()
          else response.end(JSON.stringify({ Path: "/user/ann" }))
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = address !== null && typeof address === "object" ? address.port : 0
        resume(Effect.succeed({ url: `https://127.0.0.1:${port}`, server }))
      })
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

const client = (url: string, tls?: HdfsConfig.Tls) =>
  HdfsClient.layer.pipe(
    Layer.provide(Layer.orDie(HdfsAuth.layerSimple({ user: "ann" }))),
    Layer.provideMerge(Layer.orDie(HdfsConfig.layer({ nameNodes: [url], tls, maxRetries: 0 })))
  )

const home = Effect.flatMap(HdfsClient.HdfsClient, (hdfs) => hdfs.getHomeDirectory)

describe.skipIf(missing && process.env["SLUICE_REQUIRE_ALL"] !== "1")(
  missing ? "TLS (openssl is not on the PATH: apt-get install openssl)" : "TLS",
  () => {
    it.live("an authority of one's own is trusted when it is given, and nobody else's", () =>
      Effect.gen(function* () {
        const { ca, server } = yield* certificates
        const { url } = yield* serve(server)
        assert.strictEqual(yield* Effect.provide(home, client(url, { ca })), "/user/ann")
        const error = yield* Effect.flip(Effect.provide(home, client(url)))
        assert.strictEqual(error.reason._tag, "Tls", error.message)
        assert.include(error.message, "HdfsConfig.tls.ca")
        const steps = yield* Stream.runCollect(Probe.run()).pipe(Effect.provide(client(url)))
        assert.deepStrictEqual(
          steps.map((step) => `${step.name} ${step.result}`),
          ["resolve passed", "connect passed", "tls failed"]
        )
      }).pipe(Effect.scoped)
    )

    it.live("a client certificate is shown, for uploads too", () =>
      Effect.gen(function* () {
        const { ca, client: own, server } = yield* certificates
        const { url } = yield* serve({ ...server, ca, requestCert: true, rejectUnauthorized: true })
        const upload = Effect.flatMap(HdfsClient.HdfsClient, (hdfs) =>
          hdfs.create("/f", Stream.make(new Uint8Array(5)))
        )
        assert.strictEqual(yield* Effect.provide(home, client(url, { ca, ...own })), "/user/ann")
        assert.strictEqual(yield* Effect.provide(upload, client(url, { ca, ...own })), 5)
        const error = yield* Effect.flip(Effect.provide(home, client(url, { ca })))
        assert.include(["Tls", "Connection"], error.reason._tag)
      }).pipe(Effect.scoped)
    )
  }
)
