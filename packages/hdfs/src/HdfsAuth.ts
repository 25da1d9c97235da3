/**
 * Who a client is to HDFS: a service that gives the credentials of each request.
 *
 * `layerSimple` names a user, as an unsecured cluster wants it. A secured one wants a delegation token (`layerToken`,
 * `layerTokenFile`, `layerCommand`) or a Kerberos ticket (`layerKerberos`, `layerNegotiate`). Secrets are `Redacted` and go
 * only to the NameNode or gateway; a DataNode gets what the NameNode put in the redirect.
 *
 * @since 0.1.0
 */
import { Config, Context, Effect, Layer, Option, Redacted, Schema, Semaphore, Stream } from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import { Authentication, HdfsError } from "./HdfsError.ts"
import { parseTokenFile } from "./internal/tokenFile.ts"

/**
 * What is added to a request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Credentials {
  /** Query parameters: `user.name`, `doas`, `delegation`. */
  readonly params: Readonly<Record<string, string | Redacted.Redacted>>
  /** Headers: `authorization`. */
  readonly headers: Readonly<Record<string, string | Redacted.Redacted>>
}

/**
 * Service that gives credentials.
 *
 * @category services
 * @since 0.1.0
 */
export class HdfsAuth extends Context.Service<
  HdfsAuth,
  {
    /** The credentials for a request to this NameNode or gateway. */
    readonly credentials: (nameNode: URL) => Effect.Effect<Credentials, HdfsError>
    /** Forgets what was kept, after the server refused it. `false` when nothing new can be had. */
    readonly refresh: Effect.Effect<boolean>
  }
>()("@sluice/hdfs/HdfsAuth") {}

const failure = (detail: string) =>
  new HdfsError({ operation: "AUTHENTICATE", path: "", reason: new Authentication({ detail }) })

/**
 * Options all ways have.
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
 * Names a user and proves nothing. Default: `HADOOP_USER_NAME`, else the user of this process.
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
        return { credentials: () => Effect.succeed(credentials), refresh: Effect.succeed(false) }
      }
    )
  )

/**
 * A delegation token as `GETDELEGATIONTOKEN` or `hdfs fetchdt` gives it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerToken = (token: Redacted.Redacted, options?: Options): Layer.Layer<HdfsAuth> =>
  Layer.succeed(HdfsAuth, {
    credentials: () => Effect.succeed({ params: withDoAs(options, { delegation: token }), headers: {} }),
    refresh: Effect.succeed(false)
  })

/** Kinds of token a NameNode takes. */
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

/** A token that is fetched once, by one fiber, and again after `refresh`. */
const makeCached = Effect.fnUntraced(function* (
  fetch: (nameNode: URL) => Effect.Effect<Redacted.Redacted, HdfsError>,
  options: Options | undefined
) {
  const lock = yield* Semaphore.make(1)
  let token: Redacted.Redacted | undefined
  return HdfsAuth.of({
    credentials: (nameNode) =>
      Effect.suspend(() =>
        token === undefined
          ? Effect.tap(fetch(nameNode), (it) => Effect.sync(() => (token = it)))
          : Effect.succeed(token)
      ).pipe(
        lock.withPermits(1),
        Effect.map((it) => ({ params: withDoAs(options, { delegation: it }), headers: {} }))
      ),
    refresh: Effect.sync(() => {
      token = undefined
      return true
    })
  })
})

/**
 * A delegation token from a file as Hadoop writes it. Default path: `HADOOP_TOKEN_FILE_LOCATION`. It is read again when
 * the NameNode no longer takes the token.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTokenFile = (
  options?: Options & {
    readonly path?: string | undefined
    /** The nameservice or `host:port` the token must be for. Default: the first HDFS token. */
    readonly service?: string | undefined
  }
): Layer.Layer<HdfsAuth, HdfsError | Config.ConfigError> =>
  Layer.effect(
    HdfsAuth,
    Effect.gen(function* () {
      const path = options?.path ?? (yield* Config.String("HADOOP_TOKEN_FILE_LOCATION"))
      return yield* makeCached(() => tokenOfFile(path, options?.service), options)
    })
  )

const TokenJson = Schema.fromJsonString(Schema.Struct({ Token: Schema.Struct({ urlString: Schema.String }) }))
const decodeTokenJson = Schema.decodeUnknownOption(TokenJson)

/**
 * A delegation token from a program of yours, run without a shell, and again when the NameNode no longer takes the token.
 *
 * **Details**
 *
 * The program prints the token, or the JSON answer of `GETDELEGATIONTOKEN`; with `file` it writes Hadoop's token file there.
 * With a ticket of `kinit`: `["curl", "-sf", "--negotiate", "-u", ":", "http://nn:9870/webhdfs/v1/?op=GETDELEGATIONTOKEN"]`.
 * The command is a function of the NameNode's address where there are several.
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
        // What it printed may be a secret, so it is not shown.
        if (output[1] !== 0) return yield* failure(`the token command ${program} ended with ${output[1]}`)
        if (options?.file !== undefined) return yield* tokenOfFile(options.file, options.service)
        const text = output[0].trim()
        const json = decodeTokenJson(text)
        const token = Option.isSome(json) ? json.value.Token.urlString : text
        if (!/^[\w+/=-]+$/.test(token)) return yield* failure(`the token command ${program} did not print a token`)
        return Redacted.make(token, { label: "delegation token" })
      })
      return yield* makeCached(fetch, options)
    })
  )

/**
 * SPNEGO on every request to a NameNode, with tickets from a function of yours: it gets the service principal
 * (`HTTP@host`) and yields the base64 token of the `Authorization: Negotiate` header.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNegotiate = (
  ticket: (servicePrincipal: string) => Effect.Effect<Redacted.Redacted, HdfsError>,
  options?: Options
): Layer.Layer<HdfsAuth> =>
  Layer.succeed(HdfsAuth, {
    credentials: (nameNode) =>
      Effect.map(ticket(`HTTP@${nameNode.hostname}`), (it) => ({
        params: withDoAs(options, {}),
        headers: { authorization: Redacted.make(`Negotiate ${Redacted.value(it)}`, { label: "ticket" }) }
      })),
    refresh: Effect.succeed(false)
  })

/** The part of the `kerberos` package that is used. */
interface KerberosModule {
  readonly initializeClient: (
    service: string,
    options: object
  ) => Promise<{ readonly step: (challenge: string) => Promise<string> }>
}

const isKerberos = (module: unknown): module is KerberosModule =>
  typeof module === "object" && module !== null && "initializeClient" in module

/**
 * SPNEGO with the ticket cache of `kinit`, through the native npm package `kerberos`, which must be installed beside this one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerKerberos = (options?: Options): Layer.Layer<HdfsAuth, HdfsError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      // Not a dependency: it is native, and few need it.
      const name: string = "kerberos"
      const loaded: unknown = yield* Effect.tryPromise({
        try: () => import(name),
        catch: () =>
          failure("the npm package kerberos is not installed: npm install kerberos, or use HdfsAuth.layerCommand")
      })
      const module = typeof loaded === "object" && loaded !== null && "default" in loaded ? loaded.default : loaded
      if (!isKerberos(module)) return yield* failure("the npm package kerberos has no initializeClient")
      return layerNegotiate(
        (service) =>
          Effect.tryPromise({
            try: async () =>
              Redacted.make(await (await module.initializeClient(service, {})).step(""), { label: "ticket" }),
            catch: (cause) =>
              failure(`no ticket for ${service}: ${cause instanceof Error ? cause.message : ""}; run kinit`)
          }),
        options
      )
    })
  )
