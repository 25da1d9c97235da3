import { Storage } from "@sluice/core/Storage"
import { HdfsAuth, HdfsClient, HdfsConfig, HdfsSchemes } from "@sluice/hdfs"
import { HadoopCluster, Kdc } from "@sluice/hdfs/testing"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Layer, Logger, Redacted, type Scope, Stream, Tracer } from "effect"
import * as ChildProcess from "node:child_process"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import { kerberosTickets } from "../src/internal/kerberos.ts"
import { describeStarted, reason, sample } from "./hadoop.ts"

const mebi = 1024 * 1024

/** Why the native package cannot be used, or `undefined`. */
const native = (): string | undefined => {
  try {
    createRequire(import.meta.url).resolve("kerberos")
    return undefined
  } catch {
    return "the npm package kerberos is not built: apt-get install libkrb5-dev, then npm install"
  }
}

const missing = Effect.runSync(HadoopCluster.unavailable) ?? Effect.runSync(Kdc.unavailable) ?? native()

/** A secured cluster, and the logins of its users as variables of the environment. */
interface Secured {
  readonly cluster: HadoopCluster.HadoopCluster
  /** The file with alice's keys. */
  readonly keytab: string
  readonly alice: Readonly<Record<string, string>>
  readonly admin: Readonly<Record<string, string>>
  readonly nobody: Readonly<Record<string, string>>
}

/** Sets variables of this process, which the Kerberos library reads, while an effect runs. */
const as =
  (variables: Readonly<Record<string, string>>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => Object.keys(variables).map((name) => [name, process.env[name]] as const)),
      () =>
        Effect.andThen(
          Effect.sync(() => Object.assign(process.env, variables)),
          effect
        ),
      (before) =>
        Effect.sync(() => {
          for (const [name, value] of before) {
            if (value === undefined) delete process.env[name]
            else process.env[name] = value
          }
        })
    )

const configOf = ({ cluster }: Secured, options?: Partial<HdfsConfig.Options>) =>
  HdfsConfig.layer({ nameNodes: [cluster.url], retryBase: "50 millis", retryMax: "1 second", ...options })

const withClient = <A, E, E2, R>(
  secured: Secured,
  auth: Layer.Layer<HdfsAuth.HdfsAuth, E2, HdfsConfig.HdfsConfig | R>,
  use: (client: HdfsClient.HdfsClient["Service"]) => Effect.Effect<A, E, Scope.Scope>,
  options?: Partial<HdfsConfig.Options>
) =>
  Effect.flatMap(HdfsClient.HdfsClient, use).pipe(
    Effect.scoped,
    Effect.provide(HdfsClient.layer.pipe(Layer.provide(auth), Layer.provide(configOf(secured, options))))
  )

/** Logins with tickets of the native library, which are counted and kept, to be looked for. */
const counted = Effect.map(kerberosTickets, (ticket) => {
  const tickets: Array<string> = []
  const layer = (service?: string) =>
    HdfsAuth.layerNegotiate((principal) =>
      Effect.tap(ticket(service ?? principal), (it) => Effect.sync(() => tickets.push(Redacted.value(it))))
    )
  return { tickets, layer }
})

/** Builds a login once, for several clients, until the scope closes. */
const shared = <E, R>(secured: Secured, auth: Layer.Layer<HdfsAuth.HdfsAuth, E, HdfsConfig.HdfsConfig | R>) =>
  Effect.map(Layer.build(Layer.provide(auth, configOf(secured))), (context) => {
    const service = Context.get(context, HdfsAuth.HdfsAuth)
    return {
      layer: Layer.succeed(HdfsAuth.HdfsAuth, service),
      /** What is sent to the NameNode now. */
      secrets: Effect.map(service.credentials(new URL(secured.cluster.url)), ({ headers, params }) =>
        [...Object.values(headers), ...Object.values(params)].flatMap((each) =>
          Redacted.isRedacted(each) ? [String(Redacted.value(each))] : []
        )
      )
    }
  })

const home = (hdfs: HdfsClient.HdfsClient["Service"]) => hdfs.getFileStatus("/user/alice")

const roundTrip = (hdfs: HdfsClient.HdfsClient["Service"], path: string) =>
  Effect.gen(function* () {
    const bytes = sample(2 * mebi + 4321)
    assert.strictEqual(yield* hdfs.write(path, Stream.make(bytes)), bytes.length)
    const read = yield* Stream.runCollect(hdfs.open(path))
    assert.isTrue(Buffer.concat(read).equals(bytes))
    const middle = yield* Stream.runCollect(hdfs.open(path, { offset: mebi - 5, length: 10 }))
    assert.isTrue(Buffer.concat(middle).equals(bytes.subarray(mebi - 5, mebi + 5)))
    return yield* hdfs.getFileStatus(path)
  })

const start = Effect.gen(function* () {
  const kdc = yield* Kdc.make
  const keytab = yield* kdc.keytab(["alice"])
  const cluster = yield* HadoopCluster.make({ kerberos: kdc, dataNodes: 1, httpfs: true, blockSize: mebi })
  const alice = yield* kdc.login("alice", keytab)
  const admin = yield* kdc.login(`${cluster.superUser}/localhost`, cluster.keytab ?? "")
  const nobody = { ...alice, KRB5CCNAME: `FILE:${cluster.directory}/no-ticket` }
  const secured: Secured = { cluster, keytab, alice, admin, nobody }
  yield* withClient(secured, HdfsAuth.layerKerberos(), (hdfs) =>
    Effect.forEach(["alice", "bob"], (user) =>
      Effect.andThen(hdfs.mkdirs(`/user/${user}`), hdfs.setOwner(`/user/${user}`, { owner: user }))
    )
  ).pipe(as(admin), Effect.orDie)
  return secured
})

describeStarted("HDFS secured with Kerberos", missing, start, (secured) => {
  const live = (
    title: string,
    body: (secured: Secured) => Effect.Effect<unknown, unknown, Scope.Scope | NodeServices.NodeServices>
  ) => it.live(title, () => Effect.flatMap(secured, body).pipe(Effect.provide(NodeServices.layer)), 60_000)

  live("who shows nothing, or has no ticket, is told to run kinit", (it) =>
    Effect.gen(function* () {
      const simple = Layer.orDie(HdfsAuth.layerSimple({ user: "hdfs" }))
      for (const auth of [simple, HdfsAuth.layerKerberos(), HdfsAuth.layerDelegation(HdfsAuth.layerKerberos())]) {
        const error = yield* withClient(it, auth, (hdfs) => reason(home(hdfs), "Authentication"))
        assert.include(error.message, "kinit")
      }
    }).pipe(as(it.nobody))
  )

  live("with the ticket of kinit files are written, listed and read through the DataNode", (it) =>
    withClient(it, HdfsAuth.layerKerberos(), (hdfs) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* hdfs.getHomeDirectory, "/user/alice")
        const status = yield* roundTrip(hdfs, "/user/alice/f")
        assert.strictEqual(status.owner, "alice")
        assert.deepStrictEqual(
          (yield* hdfs.listStatus("/user/alice")).map((each) => each.pathSuffix),
          ["f"]
        )
        yield* reason(hdfs.mkdirs("/user/bob/d"), "AccessControl")
      })
    ).pipe(as(it.alice))
  )

  live("a keytab in KRB5_CLIENT_KTNAME needs no kinit", (it) =>
    withClient(it, HdfsAuth.layerKerberos(), (hdfs) =>
      Effect.map(hdfs.getHomeDirectory, (home) => assert.strictEqual(home, "/user/alice"))
    ).pipe(as({ ...it.nobody, KRB5CCNAME: `${it.alice["KRB5CCNAME"]}-keytab`, KRB5_CLIENT_KTNAME: it.keytab }))
  )

  live("a ticket for another service is refused with a typed error", (it) =>
    Effect.gen(function* () {
      const { layer } = yield* counted
      const error = yield* withClient(it, layer("hdfs@localhost"), (hdfs) =>
        reason(hdfs.getFileStatus("/"), "Authentication")
      )
      assert.include(error.message, "refused the ticket for HTTP@localhost")
    }).pipe(as(it.alice))
  )

  live("requests at once need one login", (it) =>
    Effect.gen(function* () {
      const { layer, tickets } = yield* counted
      yield* withClient(it, layer(), (hdfs) =>
        Effect.andThen(
          Effect.all(
            Array.from({ length: 20 }, () => home(hdfs)),
            { concurrency: 10 }
          ),
          roundTrip(hdfs, "/user/alice/counted")
        )
      )
      assert.strictEqual(tickets.length, 1)
    }).pipe(as(it.alice))
  )

  live("an administrator acts as a user who has no ticket, others may not", (it) =>
    Effect.gen(function* () {
      const auth = HdfsAuth.layerKerberos({ doAs: "bob" })
      for (const each of [auth, HdfsAuth.layerDelegation(auth)]) {
        const status = yield* withClient(it, each, (hdfs) => roundTrip(hdfs, "/user/bob/f")).pipe(as(it.admin))
        assert.strictEqual(status.owner, "bob")
        const error = yield* withClient(it, each, (hdfs) =>
          reason(hdfs.getFileStatus("/user/bob"), "AccessControl")
        ).pipe(as(it.alice))
        assert.include(error.message, "not allowed to impersonate")
        yield* withClient(it, each, (hdfs) => hdfs.delete("/user/bob/f")).pipe(as(it.admin))
      }
    })
  )

  live(
    "a delegation token replaces the ticket, is got again when it was cancelled, and is cancelled at the end",
    (it) =>
      Effect.gen(function* () {
        const last = yield* Effect.gen(function* () {
          const { layer, secrets } = yield* shared(it, HdfsAuth.layerDelegation(HdfsAuth.layerKerberos()))
          const [before = ""] = yield* secrets
          const old = Redacted.make(before)
          yield* withClient(it, layer, (hdfs) => roundTrip(hdfs, "/user/alice/delegated")).pipe(as(it.nobody))
          yield* withClient(it, HdfsAuth.layerKerberos(), (hdfs) => hdfs.cancelDelegationToken(old))
          const error = yield* withClient(it, HdfsAuth.layerToken(old), (hdfs) => reason(home(hdfs), "InvalidToken"))
          assert.include(error.message, "new delegation token")
          yield* withClient(it, layer, (hdfs) =>
            Effect.all(
              Array.from({ length: 8 }, () => home(hdfs)),
              { concurrency: 8 }
            )
          )
          const [after = ""] = yield* secrets
          assert.notStrictEqual(after, before)
          return Redacted.make(after)
        }).pipe(Effect.scoped)
        yield* withClient(it, HdfsAuth.layerToken(last), (hdfs) => reason(home(hdfs), "InvalidToken"))
      }).pipe(as(it.alice))
  )

  live("curl --negotiate gets a token, and another when that was cancelled", (it) =>
    Effect.gen(function* () {
      const url = `${it.cluster.url}/webhdfs/v1/?op=GETDELEGATIONTOKEN`
      const curl = HdfsAuth.layerCommand(["curl", "-sf", "--negotiate", "-u", ":", url])
      const { layer, secrets } = yield* shared(it, curl)
      const [before = ""] = yield* secrets
      yield* withClient(it, HdfsAuth.layerKerberos(), (hdfs) => hdfs.cancelDelegationToken(Redacted.make(before)))
      assert.strictEqual((yield* withClient(it, layer, home)).owner, "alice")
      assert.notStrictEqual((yield* secrets)[0], before)
      const error = yield* withClient(it, curl, (hdfs) => reason(home(hdfs), "Authentication")).pipe(as(it.nobody))
      assert.include(error.message, "the token command curl ended with 22")
    }).pipe(Effect.scoped, as(it.alice))
  )

  live("HttpFS takes the ticket, and both steps of an upload", (it) =>
    Effect.gen(function* () {
      const { layer, tickets } = yield* counted
      const status = yield* withClient(it, layer(), (hdfs) => roundTrip(hdfs, "/user/alice/gateway"), {
        nameNodes: [it.cluster.httpfs?.url ?? ""],
        gateway: true
      })
      assert.strictEqual(status.owner, "alice")
      assert.strictEqual(tickets.length, 1)
    }).pipe(as(it.alice))
  )

  live("paths of hdfs: need a ticket where HADOOP_CONF_DIR asks for Kerberos, and nothing else", (it) => {
    const text = "alice\n"
    const echo = Effect.gen(function* () {
      const storage = yield* Storage
      yield* storage.write("hdfs:///user/alice/echo", Stream.make(Buffer.from(text)), { overwrite: true })
      return yield* storage.readRange("hdfs:///user/alice/echo", 0, text.length)
    }).pipe(
      Effect.provide(Layer.fresh(HdfsSchemes.layer)),
      Effect.provideService(
        ConfigProvider.ConfigProvider,
        ConfigProvider.fromEnv({ env: { HADOOP_CONF_DIR: it.cluster.confDir } })
      )
    )
    return Effect.gen(function* () {
      assert.strictEqual(Buffer.from(yield* as(it.alice)(echo)).toString(), text)
      assert.include((yield* Effect.flip(as(it.nobody)(echo))).message, "run kinit")
    })
  })

  live("the command line logs in with the ticket, or says that there is none", (it) =>
    Effect.sync(() => {
      const cli = fileURLToPath(new URL("../src/cli.ts", import.meta.url))
      const run = (env: Readonly<Record<string, string>>, ...flags: ReadonlyArray<string>) =>
        ChildProcess.spawnSync(process.execPath, ["--conditions=@sluice/source", cli, ...flags, "ls", "/user"], {
          encoding: "utf8",
          env: {
            PATH: process.env["PATH"],
            NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
            HADOOP_CONF_DIR: it.cluster.confDir,
            ...env
          }
        })
      const { stderr, stdout } = run(it.alice, "--namenode", it.cluster.url, "--kerberos")
      assert.match(stdout, /alice +hdfs .* alice\n.* bob\n/, stderr)
      const refused = run(it.nobody)
      assert.strictEqual(refused.status, 1)
      assert.match(refused.stderr, /\/user.*: Authentication: no ticket for HTTP@localhost.*run kinit/)
    })
  )

  live("no ticket, cookie or token is in an error, a span or a log", (it) =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          seen.push(span)
          return span
        }
      })
      const logger = Logger.make(({ cause, message }) => seen.push(message, cause))
      const { layer, tickets } = yield* counted
      const cookie = yield* shared(it, layer())
      const token = yield* shared(it, HdfsAuth.layerDelegation(cookie.layer))
      yield* Effect.forEach([cookie.layer, token.layer], (auth, i) =>
        withClient(it, auth, (hdfs) =>
          Effect.gen(function* () {
            yield* roundTrip(hdfs, `/user/alice/secret-${i}`)
            const failing: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
              hdfs.getFileStatus("/none"),
              hdfs.mkdirs("/user/bob/d"),
              hdfs.create("/user/bob/f", Stream.make(sample(10))),
              Stream.runDrain(hdfs.open("/none"))
            ]
            for (const each of failing) {
              const error = yield* Effect.flip(Effect.tapError(each, (it) => Effect.logError(it)))
              seen.push(error, String(error), JSON.stringify(error))
            }
          })
        )
      ).pipe(Effect.withSpan("test"), Effect.withTracer(tracer), Effect.provide(Logger.layer([logger])))
      const secrets = [...tickets, ...(yield* cookie.secrets), ...(yield* token.secrets)]
      assert.strictEqual(secrets.length, 3)
      assert.isAbove(seen.length, 20)
      const text = inspect(seen, { depth: 12, maxStringLength: null, maxArrayLength: null })
      assert.include(text, "HdfsClient.GETFILESTATUS")
      // The ends are the secret part: a cookie and a token begin with the user's name.
      for (const secret of secrets) assert.notInclude(text, secret.slice(-16))
    }).pipe(Effect.scoped, as(it.alice))
  )

  live("a NameNode that has forgotten the login gets a new one", (it) =>
    Effect.gen(function* () {
      const { layer, tickets } = yield* counted
      yield* withClient(it, layer(), (hdfs) =>
        Effect.gen(function* () {
          yield* home(hdfs)
          const [nameNode] = it.cluster.nameNodes
          yield* nameNode?.restart ?? Effect.void
          yield* Effect.all(
            Array.from({ length: 8 }, () => home(hdfs)),
            { concurrency: 8 }
          )
        })
      )
      assert.strictEqual(tickets.length, 2)
    }).pipe(as(it.alice))
  )
})
