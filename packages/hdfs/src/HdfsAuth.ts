/**
 * The identity of a client: a service that provides the credentials of each request to HDFS.
 *
 * `layerSimple` names a user, which is enough for an unsecured cluster. A secured cluster requires a Kerberos ticket
 * (`layerKerberos`, `layerNegotiate`) or a delegation token, which is either given (`layerToken`, `layerTokenFile`,
 * `layerCommand`) or obtained with a ticket (`layerDelegation`). `layerFromEnv` chooses. Secrets are `Redacted` and go
 * only to the NameNode or gateway; a DataNode gets only what the NameNode put into the redirect.
 *
 * @since 0.1.0
 */
import { Clock, Config, Context, Effect, Layer, Option, Redacted, Schema, Semaphore, Stream } from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import { HdfsConfig } from "./HdfsConfig.ts"
import type { HdfsError } from "./HdfsError.ts"
import { connections } from "./internal/connections.ts"
import type { Auth, Credentials } from "./internal/credentials.ts"
import { failure, kerberosTickets } from "./internal/kerberos.ts"
import { parseTokenFile } from "./internal/tokenFile.ts"
import * as WebHdfs from "./internal/webhdfs.ts"

export type { Credentials } from "./internal/credentials.ts"

/**
 * Service that provides credentials.
 *
 * @category services
 * @since 0.1.0
 */
export class HdfsAuth extends Context.Service<HdfsAuth, Auth>()("@sluice/hdfs/HdfsAuth") {}

/**
 * Options of all kinds of login.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Act as this user; the cluster must allow it (`hadoop.proxyuser.<user>.hosts`). */
  readonly doAs?: string | undefined
}

const withDoAs = (options: Options | undefined, params: Credentials["params"]): Credentials["params"] =>
  options?.doAs === undefined ? params : { ...params, doas: options.doAs }

/**
 * Names a user without proof. Default: `HADOOP_USER_NAME`, or the user of this process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSimple = (
  options?: Options & { readonly user?: string | undefined }
): Layer.Layer<HdfsAuth, Config.ConfigError> =>
  Layer.effect(
    HdfsAuth,
    Effect.map(
      options?.user === undefined
        ? Config.String("HADOOP_USER_NAME").pipe(Config.withDefault(Os.userInfo().username))
        : Effect.succeed(options.user),
      (user) => {
        const credentials: Credentials = { params: withDoAs(options, { "user.name": user }), headers: {} }
        return { credentials: () => Effect.succeed(credentials), refresh: () => Effect.succeed(false) }
      }
    )
  )

/**
 * A delegation token, in the form that `GETDELEGATIONTOKEN` or `hdfs fetchdt` returns.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerToken = (token: Redacted.Redacted, options?: Options): Layer.Layer<HdfsAuth> =>
  Layer.succeed(HdfsAuth, {
    credentials: () => Effect.succeed({ params: withDoAs(options, { delegation: token }), headers: {} }),
    refresh: () => Effect.succeed(false)
  })

/** The kinds of token that a NameNode accepts. */
const kinds = new Set(["HDFS_DELEGATION_TOKEN", "WEBHDFS delegation", "SWEBHDFS delegation"])

const tokenOfFile = Effect.fnUntraced(function* (path: string, service: string | undefined) {
  const bytes = yield* Effect.tryPromise({
    try: () => Fs.readFile(path),
    catch: () => failure(`the token file ${path} cannot be read`)
  })
  const tokens = yield* Effect.try({
    try: () => parseTokenFile(bytes),
    catch: (cause) => failure(`${path} is not a Hadoop token file: ${cause instanceof Error ? cause.message : ""}`)
  })
  const usable = tokens.filter((token) => kinds.has(token.kind))
  const chosen =
    service === undefined
      ? usable[0]
      : usable.find(
          (token) =>
            token.service === service || token.service === `ha-hdfs:${service}` || token.alias.includes(service)
        )
  if (chosen === undefined) {
    const found = tokens.map((token) => `${token.kind} for ${token.service}`).join(", ")
    return yield* failure(
      `${path} has no HDFS delegation token${service === undefined ? "" : ` for ${service}`}, only: ${found}`
    )
  }
  return Redacted.make(chosen.urlString, { label: "delegation token" })
})

/** A value that one fiber fetches once per key, and again after it has been dropped. */
const makeKept = <A>() => {
  interface Entry {
    readonly lock: Semaphore.Semaphore
    fetchedAt: number | undefined
    kept: { readonly value: A } | undefined
  }
  const entries = new Map<string, Entry>()
  return {
    get: <E>(key: string, fetch: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => {
        const entry = entries.get(key) ?? { lock: Semaphore.makeUnsafe(1), fetchedAt: undefined, kept: undefined }
        entries.set(key, entry)
        return Effect.gen(function* () {
          if (entry.kept !== undefined) return entry.kept.value
          const value = yield* fetch
          entry.kept = { value }
          entry.fetchedAt = yield* Clock.currentTimeMillis
          return value
        }).pipe(entry.lock.withPermits(1))
      }),
    /** Drops what was fetched until then; `false` if nothing has ever been fetched. */
    forget: (askedAt: number): Effect.Effect<boolean> =>
      Effect.sync(() => {
        let any = false
        for (const entry of entries.values()) {
          if (entry.fetchedAt === undefined) continue
          any = true
          if (entry.fetchedAt <= askedAt) entry.kept = undefined
        }
        return any
      })
  }
}

/** A token for all NameNodes, kept until it is refused. */
const makeCached = (
  fetch: (nameNode: URL) => Effect.Effect<Redacted.Redacted, HdfsError>,
  options: Options | undefined
) => {
  const tokens = makeKept<Redacted.Redacted>()
  return HdfsAuth.of({
    credentials: (nameNode) =>
      Effect.map(tokens.get("", fetch(nameNode)), (token) => ({
        params: withDoAs(options, { delegation: token }),
        headers: {}
      })),
    refresh: tokens.forget
  })
}

/**
 * A delegation token from a file in Hadoop's format. Default path: `HADOOP_TOKEN_FILE_LOCATION`. The file is read again
 * when the NameNode no longer accepts the token.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTokenFile = (
  options?: Options & {
    readonly path?: string | undefined
    /** The nameservice or `host:port` that the token must be for. Default: the first HDFS token. */
    readonly service?: string | undefined
  }
): Layer.Layer<HdfsAuth, HdfsError | Config.ConfigError> =>
  Layer.effect(
    HdfsAuth,
    Effect.gen(function* () {
      const path = options?.path ?? (yield* Config.String("HADOOP_TOKEN_FILE_LOCATION"))
      return makeCached(() => tokenOfFile(path, options?.service), options)
    })
  )

const TokenJson = Schema.fromJsonString(Schema.Struct({ Token: Schema.Struct({ urlString: Schema.String }) }))
const decodeTokenJson = Schema.decodeUnknownOption(TokenJson)

/**
 * A delegation token from your own program, which is run without a shell, and again when the NameNode no longer accepts
 * the token.
 *
 * **Details**
 *
 * The program prints the token, or the JSON answer of `GETDELEGATIONTOKEN`; with `file` it writes Hadoop's token file
 * there. With a ticket of `kinit`: `["curl", "-sf", "--negotiate", "-u", ":",
 * "http://nn:9870/webhdfs/v1/?op=GETDELEGATIONTOKEN"]`. If there are several NameNodes, the command can be a function
 * of the address.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerCommand = (
  command: ReadonlyArray<string> | ((nameNode: URL) => ReadonlyArray<string>),
  options?: Options & { readonly file?: string | undefined; readonly service?: string | undefined }
): Layer.Layer<HdfsAuth, never, ChildProcessSpawner.ChildProcessSpawner> =>
  Layer.effect(
    HdfsAuth,
    Effect.gen(function* () {
      const context = yield* Effect.context<ChildProcessSpawner.ChildProcessSpawner>()
      const fetch = Effect.fnUntraced(function* (nameNode: URL) {
        const [program = "", ...args] = typeof command === "function" ? command(nameNode) : command
        const output = yield* ChildProcess.make(program, args).pipe(
          Effect.flatMap((handle) =>
            Effect.all([handle.stdout.pipe(Stream.decodeText(), Stream.mkString), handle.exitCode], { concurrency: 2 })
          ),
          Effect.scoped,
          Effect.provide(context),
          Effect.mapError((error) => failure(`the token command ${program} could not be run: ${error.message}`))
        )
        // Its output may be a secret, so it is not shown.
        if (output[1] !== 0) return yield* failure(`the token command ${program} ended with ${output[1]}`)
        if (options?.file !== undefined) return yield* tokenOfFile(options.file, options.service)
        const text = output[0].trim()
        const json = decodeTokenJson(text)
        const token = Option.isSome(json) ? json.value.Token.urlString : text
        if (!/^[\w+/=-]+$/.test(token)) return yield* failure(`the token command ${program} did not print a token`)
        return Redacted.make(token, { label: "delegation token" })
      })
      return makeCached(fetch, options)
    })
  )

/** The cookie by which the server recognises a login. */
const loginCookie = /^hadoop\.auth=[^;]+/

/**
 * SPNEGO with tickets from your own function, which gets the service principal (`HTTP@host`) and yields the base64
 * token of the `Authorization: Negotiate` header.
 *
 * **Details**
 *
 * Like Hadoop's own client, it logs in once at each NameNode or gateway, and sends the cookie that it gets
 * (`hadoop.auth`) with every request until the cookie is refused. Without such a cookie, every request has its own
 * ticket.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNegotiate = (
  ticket: (servicePrincipal: string) => Effect.Effect<Redacted.Redacted, HdfsError>,
  options?: Options
): Layer.Layer<HdfsAuth, never, HdfsConfig> =>
  Layer.effect(
    HdfsAuth,
    Effect.gen(function* () {
      const config = yield* HdfsConfig
      const cookies = makeKept<Redacted.Redacted | undefined>()
      const ticketFor = (nameNode: URL) =>
        Effect.map(ticket(`HTTP@${nameNode.hostname}`), (it) => ({
          authorization: Redacted.make(`Negotiate ${Redacted.value(it)}`, { label: "ticket" })
        }))
      const web = WebHdfs.make(yield* connections, config, {
        credentials: (nameNode) => Effect.map(ticketFor(nameNode), (headers) => ({ params: {}, headers })),
        refresh: () => Effect.succeed(false)
      })
      const login = Effect.fnUntraced(function* (nameNode: URL) {
        // Any small operation works here, and may fail: only the login matters.
        const exchange = yield* web.exchange({ method: "GET", operation: "GETHOMEDIRECTORY", path: "" }, nameNode)
        const answer = yield* web.transport.answer(exchange)
        const cookie = [answer.headers["set-cookie"] ?? []]
          .flat()
          .flatMap((each) => loginCookie.exec(each)?.[0] ?? [])
          .at(0)
        if (cookie !== undefined) return Redacted.make(cookie, { label: "login cookie" })
        yield* Effect.mapError(web.transport.accept(exchange, answer), (error) =>
          // A ticket for another service, or one encrypted with an old key, gets a bare 403.
          error.reason._tag === "AccessControl" || error.reason._tag === "Authentication"
            ? failure(`the server refused the ticket for HTTP@${nameNode.hostname} (${error.reason.detail}); run kinit`)
            : error
        )
        return undefined
      })
      return {
        credentials: Effect.fnUntraced(function* (nameNode) {
          const cookie = yield* cookies.get(nameNode.origin, login(nameNode))
          return {
            params: withDoAs(options, {}),
            headers: cookie === undefined ? yield* ticketFor(nameNode) : { cookie }
          }
        }),
        refresh: cookies.forget
      }
    })
  )

/**
 * SPNEGO with the ticket of `kinit`, through the native npm package `kerberos`, which must be installed beside this
 * one. It keeps its login like `layerNegotiate`.
 *
 * **Details**
 *
 * `KRB5CCNAME` and `KRB5_CONFIG` say where the ticket and the realm are, as for every Kerberos program. A service that
 * has a keytab instead of a user who runs `kinit` sets `KRB5_CLIENT_KTNAME` to it: tickets are then obtained and
 * renewed from the keytab. The addresses of `HdfsConfig` must have the host names of the servers' principals
 * (`HTTP/nn1.example.com`), not numbers.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerKerberos = (options?: Options): Layer.Layer<HdfsAuth, HdfsError, HdfsConfig> =>
  Layer.unwrap(Effect.map(kerberosTickets, (ticket) => layerNegotiate(ticket, options)))

/**
 * A delegation token, obtained with another login and used instead of it in every request. When it has expired or is
 * refused, a new one is obtained. It is cancelled when the layer ends.
 *
 * **When to use**
 *
 * Use for long or wide work under Kerberos, as Hadoop's own client does:
 * `HdfsAuth.layerDelegation(HdfsAuth.layerKerberos())` needs a ticket at most once a day, whatever the number of
 * NameNodes and requests. To act as another user, `doAs` is an option of the login: the token is then that user's.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerDelegation = <E, R>(
  login: Layer.Layer<HdfsAuth, E, R>,
  options?: {
    /** Who may renew the token. Default: nobody but its owner. */
    readonly renewer?: string | undefined
  }
): Layer.Layer<HdfsAuth, E, R | HdfsConfig> =>
  Layer.effect(
    HdfsAuth,
    Effect.gen(function* () {
      const config = yield* HdfsConfig
      const own = yield* HdfsAuth
      const web = WebHdfs.make(yield* connections, config, own)
      const got = new Set<Redacted.Redacted>()
      // The operation that needs the token decides which NameNode to ask, and how often.
      const get = (nameNode: URL) =>
        Effect.flatMap(
          web.exchange(
            { method: "GET", operation: "GETDELEGATIONTOKEN", path: "", params: { renewer: options?.renewer } },
            nameNode
          ),
          web.transport.ask
        )
      const tokens = makeCached(
        Effect.fnUntraced(function* (nameNode) {
          const askedAt = yield* Clock.currentTimeMillis
          const { body } = yield* Effect.catchIf(
            get(nameNode),
            (error) => error.reason._tag === "Authentication",
            (error) => Effect.flatMap(own.refresh(askedAt), (again) => (again ? get(nameNode) : Effect.fail(error)))
          )
          const json = decodeTokenJson(body)
          if (Option.isNone(json)) return yield* failure("the cluster is not secured and gives no delegation tokens")
          const token = Redacted.make(json.value.Token.urlString, { label: "delegation token" })
          got.clear()
          got.add(token)
          return token
        }),
        undefined
      )
      yield* Effect.addFinalizer(() =>
        Effect.forEach(got, (token) =>
          web.text(
            {
              method: "PUT",
              operation: "CANCELDELEGATIONTOKEN",
              path: "",
              params: { token: Redacted.value(token) }
            },
            "never"
          )
        ).pipe(
          // It expires by itself, a day later.
          Effect.timeoutOption("5 seconds"),
          Effect.ignore
        )
      )
      return tokens
    })
  ).pipe(Layer.provide(login))

/**
 * The login of the environment: the token file of `HADOOP_TOKEN_FILE_LOCATION`; without one, `layerKerberos` if the
 * cluster's configuration (`HdfsConfig.authentication`) requires Kerberos, and otherwise `layerSimple`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFromEnv = (
  options?: Options & { readonly user?: string | undefined }
): Layer.Layer<HdfsAuth, HdfsError | Config.ConfigError, HdfsConfig> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const file = yield* Config.String("HADOOP_TOKEN_FILE_LOCATION").pipe(Config.option)
      if (Option.isSome(file)) return layerTokenFile({ ...options, path: file.value })
      const { authentication } = yield* HdfsConfig
      return authentication === "kerberos" ? layerKerberos(options) : layerSimple(options)
    })
  )
