import { HdfsAuth, HdfsClient, HdfsConfig, HdfsError } from "@sluice/hdfs"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, ConfigProvider, Effect, Layer, Redacted } from "effect"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Os from "node:os"
import * as Path from "node:path"

const folder = (files: Record<string, string | Uint8Array>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-conf-"))
      for (const [name, content] of Object.entries(files)) Fs.writeFileSync(Path.join(path, name), content)
      return path
    }),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
  )

const site = (properties: Record<string, string>) =>
  `<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="configuration.xsl"?><configuration>${Object.entries(
    properties
  )
    .map(([name, value]) => `<property><name> ${name} </name><value>${value}</value><final>true</final></property>`)
    .join("\n")}</configuration>`

const resolved = (core: Record<string, string>, hdfs: Record<string, string>, nameservice?: string) =>
  Effect.flatMap(folder({ "core-site.xml": site(core), "hdfs-site.xml": site(hdfs) }), (path) =>
    HdfsConfig.fromHadoopConf(path, { nameservice })
  )

const ha = {
  "dfs.nameservices": "one, two",
  "dfs.ha.namenodes.one": "a,b",
  "dfs.namenode.rpc-address.one.a": "h1:8020",
  "dfs.namenode.rpc-address.one.b": "h2:8020",
  "dfs.namenode.http-address.one.a": "h1:50070",
  "dfs.namenode.http-address.one.b": "0.0.0.0:50070",
  "dfs.namenode.rpc-address.two": "h3:8020"
}

describe("HdfsConfig", () => {
  it.effect("an address that is not a URL is an error that names it and its source, wherever it is set", () =>
    Effect.gen(function* () {
      const wrong = ["nonsense", "localhost:9870", "nn1:9870", "hdfs://nn1:8020", "http://", "http://nn1:x"]
      for (const address of wrong) {
        const list = ["http://nn0:9870", address]
        const fromEnv = (options: Partial<HdfsConfig.Options>) =>
          Layer.provide(
            HdfsConfig.layerFromEnv(options),
            ConfigProvider.layer(ConfigProvider.fromEnv({ env: { HDFS_NAMENODES: list.join(",") } }))
          )
        const folderOf = (name: string) =>
          folder({
            "core-site.xml": site({ "fs.defaultFS": "hdfs://nn0" }),
            "hdfs-site.xml": site({ "dfs.namenode.http-address": name })
          })
        const cases = [
          ["HdfsConfig.nameNodes", HdfsConfig.layer({ nameNodes: list })],
          ["HDFS_NAMENODES", fromEnv({})],
          ["HdfsConfig.nameNodes", HdfsConfig.layerHadoopConf(yield* folderOf("nn0:9870"), { nameNodes: list })]
        ] as const
        for (const [source, layer] of cases) {
          const error = yield* Effect.flip(Layer.build(layer))
          assert.strictEqual(
            error.message,
            `${source}: "${address}" is not the HTTP address of a NameNode; write it as http://host:9870`
          )
        }
        const conf = yield* folderOf("nn0:x")
        assert.include((yield* Effect.flip(HdfsConfig.fromHadoopConf(conf))).message, `${conf}: "http://nn0:x" is not`)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("a password in an address is not shown", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Layer.build(HdfsConfig.layer({ nameNodes: ["ann:secret@nn1:9870"] })))
      assert.include(error.message, '"...@nn1:9870"')
      assert.notInclude(error.message, "secret")
    }).pipe(Effect.scoped)
  )

  it.effect("reads a nameservice with two NameNodes, and another one by name", () =>
    Effect.gen(function* () {
      const core = {
        "fs.defaultFS": "hdfs://${service}/",
        service: "one",
        "hadoop.security.authentication": "kerberos"
      }
      assert.deepStrictEqual(yield* resolved(core, ha), {
        nameNodes: ["http://h1:50070", "http://h2:50070"],
        authorities: ["one", "h1:8020", "h2:8020"],
        authentication: "kerberos"
      })
      assert.deepStrictEqual((yield* resolved(core, ha, "two")).nameNodes, ["http://h3:9870"])
      const error = yield* Effect.flip(resolved(core, ha, "three"))
      assert.include(error.message, "dfs.nameservices (one, two) does not have three")
    })
  )

  it.effect("reads a single NameNode, with TLS by policy", () =>
    Effect.gen(function* () {
      const core = { "fs.defaultFS": "hdfs://nn.example:8020" }
      assert.deepStrictEqual((yield* resolved(core, {})).nameNodes, ["http://nn.example:9870"])
      assert.deepStrictEqual((yield* resolved(core, { "dfs.namenode.http-address": "0.0.0.0:1234" })).nameNodes, [
        "http://nn.example:1234"
      ])
      assert.deepStrictEqual((yield* resolved(core, { "dfs.http.policy": "HTTPS_ONLY" })).nameNodes, [
        "https://nn.example:9871"
      ])
      assert.include((yield* Effect.flip(resolved({ "fs.defaultFS": "file:///" }, {}))).message, "names no NameNode")
    })
  )

  it.effect("says what is wrong with the folder", () =>
    Effect.gen(function* () {
      const empty = yield* folder({})
      assert.include((yield* Effect.flip(HdfsConfig.fromHadoopConf(empty))).message, "core-site.xml")
      const bad = yield* folder({ "core-site.xml": "<html><a></html>", "hdfs-site.xml": "" })
      assert.include((yield* Effect.flip(HdfsConfig.fromHadoopConf(bad))).message, "not a Hadoop configuration file")
    })
  )

  it.effect("the environment chooses, and says what to set", () =>
    Effect.gen(function* () {
      const of = (env: Record<string, string>) =>
        HdfsConfig.HdfsConfig.pipe(
          Effect.provide(HdfsConfig.layerFromEnv()),
          Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
        )
      assert.deepStrictEqual((yield* of({ HDFS_NAMENODES: "http://a:1,http://b:2" })).nameNodes, [
        "http://a:1",
        "http://b:2"
      ])
      assert.include((yield* Effect.flip(of({}))).message, "HADOOP_CONF_DIR")
    })
  )
})

// As `WritableUtils` and `CredentialsProto` write them.
const text = (value: string) => [value.length, ...Buffer.from(value)]
const long = Array.from({ length: 200 }, (_, i) => i)
const writable = Uint8Array.from([
  ...Buffer.from("HDTS"),
  0,
  2,
  ...text("other"),
  1,
  9,
  1,
  9,
  ...text("YARN_AM"),
  ...text(""),
  ...text("ha-hdfs:one"),
  0x8f,
  200,
  ...long,
  2,
  7,
  8,
  ...text("HDFS_DELEGATION_TOKEN"),
  ...text("ha-hdfs:one"),
  0
])
const field = (number: number, bytes: ReadonlyArray<number>) => [
  number * 8 + 2,
  ...(bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7]),
  ...bytes
]
const token = [
  ...field(1, long),
  ...field(2, [7, 8]),
  ...field(3, [...Buffer.from("HDFS_DELEGATION_TOKEN")]),
  ...field(4, [...Buffer.from("ha-hdfs:one")])
]
const message = field(1, [...field(1, [...Buffer.from("ha-hdfs:one")]), ...field(2, token)])
const protobuf = Uint8Array.from([
  ...Buffer.from("HDTS"),
  1,
  (message.length & 0x7f) | 0x80,
  message.length >> 7,
  ...message
])

const credentials = <E>(layer: Layer.Layer<HdfsAuth.HdfsAuth, E>) =>
  HdfsAuth.HdfsAuth.pipe(
    Effect.flatMap((auth) => auth.credentials(new URL("http://nn:9870"))),
    Effect.provide(layer)
  )

const delegation = (given: HdfsAuth.Credentials) => {
  const token = given.params["delegation"]
  assert.isTrue(Redacted.isRedacted(token))
  return Redacted.isRedacted(token) ? String(Redacted.value(token)) : ""
}

describe("HdfsAuth", () => {
  it.effect("reads both formats of a token file, and gives the same token", () =>
    Effect.gen(function* () {
      const path = yield* folder({ writable, protobuf })
      const tokens = yield* Effect.forEach(["writable", "protobuf"], (name) =>
        Effect.map(credentials(HdfsAuth.layerTokenFile({ path: Path.join(path, name), service: "one" })), delegation)
      )
      assert.strictEqual(tokens[0], tokens[1])
      const bytes = Buffer.from(tokens[0] ?? "", "base64url")
      // Identifier, password, kind, service, each with its length.
      assert.deepStrictEqual([...bytes.subarray(0, 4)], [0x8f, 200, 0, 1])
      assert.include(bytes.toString("latin1"), "HDFS_DELEGATION_TOKEN")
    })
  )

  it.effect("a token file cut short, of another kind or service, is a typed error without its bytes", () =>
    Effect.gen(function* () {
      const path = yield* folder({ cut: writable.subarray(0, 60), other: Buffer.from("PK12345"), writable })
      const fails = (name: string, service?: string) =>
        Effect.map(
          Effect.flip(credentials(HdfsAuth.layerTokenFile({ path: Path.join(path, name), service }))),
          (error) => {
            assert.instanceOf(error, HdfsError.HdfsError)
            return error.message
          }
        )
      assert.include(yield* fails("cut"), "not a Hadoop token file")
      assert.include(yield* fails("other"), "does not begin with HDTS")
      assert.include(yield* fails("writable", "two"), "has no HDFS delegation token for two")
      assert.include(yield* fails("none"), "cannot be read")
    })
  )

  it.live("a command's token is kept until it is refused", () =>
    Effect.gen(function* () {
      const path = yield* folder({
        "token.js": `
        const fs = require("node:fs")
        const file = process.argv[2]
        const n = fs.existsSync(file) ? Number(fs.readFileSync(file, "utf8")) + 1 : 1
        fs.writeFileSync(file, String(n))
        console.log(JSON.stringify({ Token: { urlString: "token-" + n } }))`
      })
      yield* Effect.gen(function* () {
        const auth = yield* HdfsAuth.HdfsAuth
        const get = Effect.map(auth.credentials(new URL("http://nn:9870")), delegation)
        assert.deepStrictEqual(yield* Effect.all([get, get], { concurrency: 2 }), ["token-1", "token-1"])
        assert.isTrue(yield* auth.refresh(yield* Clock.currentTimeMillis))
        assert.strictEqual(yield* get, "token-2")
      }).pipe(
        Effect.provide(HdfsAuth.layerCommand([process.execPath, Path.join(path, "token.js"), Path.join(path, "n")])),
        Effect.provide(NodeServices.layer)
      )
      const failing = HdfsAuth.layerCommand([process.execPath, "-e", "console.log('s3cret'); process.exit(3)"]).pipe(
        Layer.provide(NodeServices.layer)
      )
      const error = yield* Effect.flip(credentials(failing))
      assert.include(error.message, "ended with 3")
      assert.notInclude(error.message, "s3cret")
    })
  )

  it.live("where a login leaves no cookie every request has a ticket of its own, also after a redirect", () =>
    Effect.gen(function* () {
      const used: Array<string> = []
      const server = yield* Effect.acquireRelease(
        Effect.callback<Http.Server>((resume) => {
          const http = Http.createServer((request, response) => {
            used.push(String(request.headers.authorization))
            if (request.url?.startsWith("/webhdfs/v1/f") === true && !request.url.includes("data=true")) {
              response.writeHead(307, { location: `http://${request.headers.host}${request.url}&data=true` }).end()
            } else response.end(JSON.stringify({ Path: "/user/ann", FileStatus: {} }))
          })
          http.listen(0, "127.0.0.1", () => resume(Effect.succeed(http)))
        }),
        (http) =>
          Effect.sync(() => {
            http.closeAllConnections()
            http.close()
          })
      )
      const address = server.address()
      const port = address !== null && typeof address === "object" ? address.port : 0
      let tickets = 0
      const auth = HdfsAuth.layerNegotiate((service) => Effect.sync(() => Redacted.make(`${service}-${++tickets}`)))
      yield* Effect.gen(function* () {
        const hdfs = yield* HdfsClient.HdfsClient
        assert.strictEqual(yield* hdfs.getHomeDirectory, "/user/ann")
        // A redirected small operation; its answer is not a status.
        yield* Effect.flip(hdfs.getFileStatus("/f"))
      }).pipe(
        Effect.provide(HdfsClient.layer.pipe(Layer.provide(auth))),
        Effect.provide(HdfsConfig.layer({ nameNodes: [`http://127.0.0.1:${port}`] }))
      )
      assert.deepStrictEqual(
        used,
        [1, 2, 3, 4].map((n) => `Negotiate HTTP@127.0.0.1-${n}`)
      )
    }).pipe(Effect.scoped)
  )
})
