/**
 * Checks the connection to HDFS step by step and says which step failed and what to do.
 *
 * The steps for each NameNode are: resolve its name, connect, start TLS if the address asks for it, log in and get a
 * status. Then, on the active one, a small file is read through a real redirect to a DataNode, if there is one to read.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Option, Redacted, Stream } from "effect"
import * as Dns from "node:dns/promises"
import * as Net from "node:net"
import * as NodeTls from "node:tls"
import { HdfsClient } from "./HdfsClient.ts"
import { HdfsConfig } from "./HdfsConfig.ts"
import type { HdfsError } from "./HdfsError.ts"

/**
 * One step and how it went.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step {
  readonly name: "resolve" | "connect" | "tls" | "status" | "redirect"
  /** The NameNode, `host:port`. */
  readonly endpoint: string
  readonly result: "passed" | "failed" | "skipped"
  /** What was found, or what is wrong. */
  readonly detail: string
  /** What to do next, if the step failed. */
  readonly hint?: string | undefined
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : cause instanceof Error
      ? cause.message
      : String(cause)

const passed = (name: Step["name"], endpoint: string, detail: string): Step => ({
  name,
  endpoint,
  result: "passed",
  detail
})

const failed = (name: Step["name"], endpoint: string, detail: string, hint: string | undefined): Step => ({
  name,
  endpoint,
  result: "failed",
  detail,
  hint
})

const resolveName = (url: URL) =>
  Effect.tryPromise({ try: () => Dns.lookup(url.hostname), catch: codeOf }).pipe(
    Effect.match({
      onFailure: (code) =>
        failed(
          "resolve",
          url.host,
          `${url.hostname}: ${code}`,
          "check the name; it must be known to DNS or /etc/hosts on this machine"
        ),
      onSuccess: ({ address }) => passed("resolve", url.host, address)
    })
  )

const socket = (name: "connect" | "tls", url: URL, open: () => Net.Socket, event: string, millis: number) =>
  Effect.callback<string, string>((resume) => {
    const it = open()
    const close = () => {
      clearTimeout(timer)
      it.destroy()
    }
    const end = (result: Effect.Effect<string, string>) => {
      close()
      resume(result)
    }
    const timer = setTimeout(() => end(Effect.fail(`no answer within ${millis} ms`)), millis)
    it.once(event, () => end(Effect.succeed(`${it.remoteAddress}:${it.remotePort}`)))
    it.once("error", (cause) => end(Effect.fail(codeOf(cause))))
    return Effect.sync(close)
  }).pipe(
    Effect.match({
      onFailure: (detail) =>
        failed(
          name,
          url.host,
          detail,
          name === "tls"
            ? "set HdfsConfig.tls.ca to the certificate of the server's authority, and cert and key if the server requires them"
            : "check the port (WebHDFS is on the HTTP port, 9870 by default, not on 8020), that the NameNode runs, and the firewalls"
        ),
      onSuccess: (detail) => passed(name, url.host, detail)
    })
  )

const portOf = (url: URL) => Number(url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port)

/** What a TLS server requires of a connection. */
const tlsOptions = (config: HdfsConfig["Service"], url: URL): NodeTls.ConnectionOptions => {
  const { ca, cert, key, servername } = config.tls ?? {}
  return {
    host: url.hostname,
    port: portOf(url),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key: String(Redacted.value(key)) }),
    ...(Net.isIP(url.hostname) > 0 && servername === undefined ? {} : { servername: servername ?? url.hostname })
  }
}

/** Runs steps up to the first that fails. */
const inTurn = (steps: ReadonlyArray<Effect.Effect<Step>>): Stream.Stream<Step> =>
  Stream.fromIterable(steps).pipe(
    Stream.mapEffect((step) => step),
    Stream.takeUntil((step) => step.result === "failed")
  )

/** The steps to a NameNode's port. */
const nameNode = (config: HdfsConfig["Service"], address: string): Stream.Stream<Step> =>
  Stream.suspend(() => {
    const url = new URL(address)
    const millis = Duration.toMillis(config.connectTimeout)
    const tls = () => NodeTls.connect(tlsOptions(config, url))
    return inTurn([
      resolveName(url),
      socket("connect", url, () => Net.connect(portOf(url), url.hostname), "connect", millis),
      ...(url.protocol === "https:" ? [socket("tls", url, tls, "secureConnect", millis)] : [])
    ])
  })

const ofError = (name: Step["name"], error: HdfsError) =>
  failed(name, error.endpoint ?? "", `${error.reason._tag}: ${error.reason.message}`, error.hint)

const status = (client: HdfsClient["Service"]): Effect.Effect<Step> =>
  client.getFileStatus("/").pipe(
    Effect.match({
      onFailure: (error) => ofError("status", error),
      onSuccess: ({ owner, permission }) => passed("status", "", `/ belongs to ${owner}, ${permission}`)
    })
  )

/** A file that is not empty, at most `depth` levels below a directory. */
const firstFile = (
  client: HdfsClient["Service"],
  directory: string,
  depth: number
): Effect.Effect<Option.Option<string>, HdfsError> =>
  Effect.gen(function* () {
    const entries = yield* Stream.runCollect(Stream.take(client.listStatusBatch(directory), 50)).pipe(
      Effect.catchIf(
        (error) => error.reason._tag === "AccessControl",
        () => Effect.succeed([])
      )
    )
    const path = (name: string) => (directory === "/" ? `/${name}` : `${directory}/${name}`)
    const file = entries.find((entry) => entry.type === "FILE" && entry.length > 0)
    if (file !== undefined) return Option.some(path(file.pathSuffix))
    for (const entry of entries) {
      if (entry.type !== "DIRECTORY" || depth === 0) continue
      const found = yield* firstFile(client, path(entry.pathSuffix), depth - 1)
      if (Option.isSome(found)) return found
    }
    return Option.none()
  })

const redirect = (client: HdfsClient["Service"], named: string | undefined): Effect.Effect<Step> =>
  (named === undefined ? firstFile(client, "/", 2) : Effect.succeedSome(named)).pipe(
    Effect.flatMap(
      Option.match({
        onNone: () =>
          Effect.succeed<Step>({
            name: "redirect",
            endpoint: "",
            result: "skipped",
            detail: "there is no file to read"
          }),
        onSome: (file) =>
          Effect.map(Stream.runDrain(client.open(file, { length: 1 })), () =>
            passed("redirect", "", `the first byte of ${file} came from a DataNode`)
          )
      })
    ),
    Effect.catch((error) => Effect.succeed(ofError("redirect", error)))
  )

/**
 * Runs the steps. After a failed step, the later steps for the same NameNode are left out. The last step reads `file`,
 * by default the first file found below the root, at most three levels deep.
 *
 * @category constructors
 * @since 0.1.0
 */
export const run = (options?: {
  readonly file?: string | undefined
}): Stream.Stream<Step, never, HdfsConfig | HdfsClient> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const config = yield* HdfsConfig
      const client = yield* HdfsClient
      let reached = false
      return Stream.concat(
        Stream.fromIterable(config.nameNodes).pipe(
          Stream.flatMap((address) =>
            Stream.tap(nameNode(config, address), (step) =>
              Effect.sync(() => {
                const last = address.startsWith("https:") ? "tls" : "connect"
                if (step.name === last && step.result === "passed") reached = true
              })
            )
          )
        ),
        Stream.suspend(() => (reached ? inTurn([status(client), redirect(client, options?.file)]) : Stream.empty))
      )
    })
  )

/**
 * A step as one line, with the hint below it.
 *
 * @category printing
 * @since 0.1.0
 */
export const format = (step: Step): string => {
  const mark = { passed: "ok  ", failed: "FAIL", skipped: "skip" }[step.result]
  const hint = step.hint === undefined ? "" : `\n     ${step.hint}`
  return `${mark} ${step.name.padEnd(8)} ${step.endpoint === "" ? "" : `${step.endpoint} `}${step.detail}${hint}`
}
