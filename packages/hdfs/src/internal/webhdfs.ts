import { Clock, Duration, Effect, Option, Random, Redacted } from "effect"
import type { HdfsConfig } from "../HdfsConfig.ts"
import * as E from "../HdfsError.ts"
import type { Auth } from "./credentials.ts"
import { badPath, encodePath } from "./path.ts"
import type * as Http from "./http.ts"
import * as Transport from "./transport.ts"

type Param = string | number | boolean | undefined

/** An operation as in the specification. */
export interface Call {
  readonly method: "GET" | "PUT" | "POST" | "DELETE"
  readonly operation: string
  readonly path: string
  readonly params?: Readonly<Record<string, Param>> | undefined
}

/** What to do when it is not known whether the server did it: repeat, look it up, or give up. */
type Repeat<A> = "always" | "never" | Effect.Effect<Option.Option<A>, E.HdfsError>

/** The result of an operation, and its exchange: errors name the server that reported them. */
interface Answered {
  readonly exchange: Transport.Exchange
  readonly body: string
}

export interface WebHdfs {
  readonly transport: Transport.Transport
  /** An operation that answers with a small text; `repeat` may find out what a lost answer said. */
  readonly text: (call: Call, repeat: Repeat<string>) => Effect.Effect<Answered, E.HdfsError>
  /** Where to exchange the bytes of an `OPEN`, `CREATE` or `APPEND`. */
  readonly locate: (call: Call) => Effect.Effect<Transport.Exchange, E.HdfsError>
  /** The exchange of a call with a NameNode, with credentials. */
  readonly exchange: (call: Call, nameNode: URL) => Effect.Effect<Transport.Exchange, E.HdfsError>
  /** Waits before the `n`-th repetition, `n` from 1. */
  readonly backoff: (n: number) => Effect.Effect<void>
  readonly fail: (call: Call, reason: E.Reason, endpoint?: string) => E.HdfsError
}

/** A failure of an answer. */
export const failAt = ({ operation, path, url }: Transport.Exchange, reason: E.Reason) =>
  new E.HdfsError({ operation, path, endpoint: url.host, reason })

/** Whether it is certain that the server did nothing. */
const notDone = (reason: E.Reason): boolean =>
  reason._tag === "Standby" ||
  reason._tag === "Retriable" ||
  (reason._tag === "Connection" && !reason.sent) ||
  (reason._tag === "Timeout" && reason.phase === "connect")

/** Whether the server may have done it, but the answer was lost. */
const ambiguous = (reason: E.Reason): boolean =>
  (reason._tag === "Connection" && reason.sent) || (reason._tag === "Timeout" && reason.phase === "read")

/** The beginning of every URL of a NameNode. */
const prefixOf = (nameNode: URL): string => {
  const url = new URL(nameNode.href)
  url.search = ""
  url.hash = ""
  return `${url.href.replace(/\/+$/, "")}/webhdfs/v1`
}

/** A client's view of its cluster. */
interface Web {
  readonly transport: Transport.Transport
  readonly config: HdfsConfig["Service"]
  readonly auth: Auth
  readonly nameNodes: ReadonlyArray<URL>
  readonly prefixes: ReadonlyMap<URL, string>
  /** The NameNode that did the last operation. */
  active: number
  /** Whether a NameNode has ever answered. */
  answered: boolean
}

const fail = (call: Call, reason: E.Reason, endpoint?: string) =>
  new E.HdfsError({
    operation: call.operation,
    path: call.path,
    reason,
    ...(endpoint === undefined ? {} : { endpoint })
  })

const backoff = Effect.fnUntraced(function* (web: Web, n: number) {
  const base = Duration.toMillis(web.config.retryBase) * 2 ** (n - 1)
  const jitter = yield* Random.nextBetween(0.5, 1.5)
  yield* Effect.sleep(Duration.millis(Math.min(base, Duration.toMillis(web.config.retryMax)) * jitter))
})

const exchange = Effect.fnUntraced(function* (
  web: Web,
  call: Call,
  nameNode: URL
): Effect.fn.Return<Transport.Exchange, E.HdfsError> {
  const credentials = yield* web.auth.credentials(nameNode)
  // The URL is built once from its parts: each change of a URL would parse and print it again.
  const query = new URLSearchParams(nameNode.search)
  query.set("op", call.operation)
  for (const [name, value] of Object.entries(call.params ?? {})) {
    if (value !== undefined) query.set(name, String(value))
  }
  for (const [name, value] of Object.entries(credentials.params)) {
    query.set(name, Redacted.isRedacted(value) ? String(Redacted.value(value)) : value)
  }
  const prefix = web.prefixes.get(nameNode) ?? prefixOf(nameNode)
  const url = new URL(`${prefix}${encodePath(call.path === "" ? "/" : call.path)}?${query.toString()}`)
  return {
    operation: call.operation,
    path: call.path,
    method: call.method,
    url,
    headers: credentials.headers
  }
})

/** The address that a redirect leads to, or a failure if it must not be followed. */
const follow = (
  web: Web,
  from: Transport.Exchange,
  location: string,
  seen: Set<string>
): Effect.Effect<Transport.Exchange, E.HdfsError> =>
  Effect.suspend(() => {
    const protocol = (detail: string) =>
      Effect.fail(
        new E.HdfsError({
          operation: from.operation,
          path: from.path,
          endpoint: from.url.host,
          reason: new E.Protocol({ detail })
        })
      )
    // A NameNode sends absolute locations; anything else would be a path of the NameNode itself, whose answer is not
    // the file.
    let url = URL.canParse(location) ? new URL(location) : undefined
    if (url === undefined) return protocol("a redirect to something that is not a complete URL")
    if (url.protocol !== from.url.protocol) {
      return protocol(
        `a redirect from ${from.url.protocol} to ${url.protocol}//${url.host}, another scheme, is not followed`
      )
    }
    const mapped = web.config.hosts[url.host] ?? web.config.hosts[url.hostname]
    if (mapped !== undefined) {
      url = new URL(url.href)
      // A host without a port keeps the port of the redirect.
      url.host = mapped
    }
    if (web.config.rewriteLocation !== undefined) url = web.config.rewriteLocation(url)
    if (seen.has(url.href)) return protocol(`a redirect loop through ${url.host}`)
    if (seen.size >= web.config.maxRedirects)
      return protocol(`more than ${web.config.maxRedirects} redirects, the last to ${url.host}`)
    seen.add(url.href)
    const to = { ...from, url }
    // Another host gets only what is in the redirect, and none of our credentials; a ticket is valid for one request.
    return url.origin === from.url.origin
      ? Effect.map(web.auth.credentials(new URL(url.origin)), ({ headers }) => ({ ...to, headers }))
      : Effect.succeed({ ...to, headers: {} })
  })

const redirect = ({ headers, status }: Http.Answer): string | undefined =>
  status >= 300 && status < 400 && typeof headers["location"] === "string" ? headers["location"] : undefined

/** The answer of a small operation, redirects followed. */
const answer = Effect.fnUntraced(function* (web: Web, call: Call, nameNode: URL, asks: (url: URL) => void) {
  let current = yield* exchange(web, call, nameNode)
  const seen = new Set<string>()
  while (true) {
    asks(current.url)
    const response = yield* web.transport.ask(current)
    const location = redirect(response)
    if (location === undefined) {
      if (response.status === 200) return { exchange: current, body: response.body }
      const detail = `status ${response.status} instead of 200`
      return yield* fail(call, new E.Protocol({ detail }), current.url.host)
    }
    current = yield* follow(web, current, location, seen)
  }
})

/** Runs an attempt against the NameNodes until one succeeds. */
const sweep = Effect.fnUntraced(function* <A, R>(
  web: Web,
  call: Call,
  repeat: Repeat<A>,
  attempt: (nameNode: URL) => Effect.Effect<A, E.HdfsError, R>
): Effect.fn.Return<A, E.HdfsError, R> {
  const bad = call.path === "" ? undefined : badPath(call.path)
  if (bad !== undefined) return yield* fail(call, new E.InvalidArgument({ detail: bad }))
  let index = web.active
  let attempts = 0
  let failovers = 0
  let retries = 0
  let refreshed = false
  while (true) {
    const nameNode = web.nameNodes[index % web.nameNodes.length]
    if (nameNode === undefined) {
      return yield* fail(
        call,
        new E.InvalidArgument({
          detail: "HdfsConfig.nameNodes is empty: give the HTTP address of at least one NameNode"
        })
      )
    }
    attempts++
    const askedAt = yield* Clock.currentTimeMillis
    const result = yield* Effect.result(attempt(nameNode))
    if (result._tag === "Success") {
      web.active = index % web.nameNodes.length
      web.answered = true
      return result.success
    }
    const { endpoint, reason } = result.failure
    const failed = new E.HdfsError({
      operation: call.operation,
      path: call.path,
      attempts,
      reason,
      ...(endpoint === undefined ? {} : { endpoint })
    })
    const atNameNode = endpoint === undefined || endpoint === nameNode.host
    if (atNameNode && reason._tag !== "Connection" && reason._tag !== "Timeout") web.answered = true
    if ((reason._tag === "InvalidToken" || reason._tag === "Authentication") && !refreshed) {
      refreshed = true
      if (yield* web.auth.refresh(askedAt)) continue
      return yield* failed
    }
    if (ambiguous(reason)) {
      if (repeat === "never") return yield* failed
      if (repeat !== "always") {
        // The state that it left shows what a lost answer said.
        const found = yield* Effect.catch(repeat, () => Effect.fail(failed))
        if (Option.isSome(found)) return found.value
      }
    } else if (!notDone(reason)) {
      return yield* failed
    }
    const elsewhere = atNameNode && web.nameNodes.length > 1 && reason._tag !== "Retriable"
    if (elsewhere) {
      failovers++
      if (failovers > web.config.maxFailovers) return yield* failed
      index++
      if (failovers % web.nameNodes.length === 0) yield* backoff(web, failovers / web.nameNodes.length)
    } else {
      if (reason._tag === "Standby" || (reason._tag === "Connection" && reason.code === "ENOTFOUND"))
        return yield* failed
      retries++
      // An address that has never answered is more probably wrong than restarting.
      const limit = web.answered ? web.config.maxRetries : Math.min(web.config.maxRetries, 3)
      if (retries > limit) return yield* failed
      yield* backoff(web, retries)
    }
  }
})

/** Limits all attempts together; `run` reports which server it asks. */
const limited = <A, R>(web: Web, call: Call, run: (asks: (url: URL) => void) => Effect.Effect<A, E.HdfsError, R>) =>
  Effect.suspend(() => {
    let asked: URL | undefined
    return Effect.timeoutOrElse(
      run((url) => {
        asked = url
      }),
      {
        duration: web.config.operationTimeout,
        orElse: () => {
          const reason = new E.Timeout({ phase: "operation", millis: Duration.toMillis(web.config.operationTimeout) })
          return Effect.fail(fail(call, reason, asked?.host))
        }
      }
    )
  })

const text =
  (web: Web): WebHdfs["text"] =>
  (call, repeat) =>
    limited(web, call, (asks) => {
      let last: URL | undefined
      const attempt = (nameNode: URL) =>
        answer(web, call, nameNode, (url) => {
          last = url
          asks(url)
        })
      const toAnswered = (body: string) =>
        Option.map(Option.fromUndefinedOr(last), (url): Answered => ({ exchange: { ...call, url }, body }))
      return sweep(
        web,
        call,
        typeof repeat === "string" ? repeat : Effect.map(repeat, Option.flatMap(toAnswered)),
        attempt
      )
    })

const locate =
  (web: Web): WebHdfs["locate"] =>
  (call) =>
    limited(web, call, (asks) =>
      sweep(
        web,
        call,
        // The first step only asks for the place.
        "always",
        Effect.fnUntraced(function* (nameNode: URL) {
          asks(nameNode)
          const first = yield* exchange(web, { ...call, params: { ...call.params, noredirect: true } }, nameNode)
          const response = yield* web.transport.ask(first)
          // Hadoop before 2.8 does not know noredirect, and still redirects.
          const location =
            redirect(response) ?? (response.status === 200 ? Transport.locationOfBody(response.body) : undefined)
          if (location === undefined) {
            return yield* fail(
              call,
              new E.Protocol({ detail: `neither a redirect nor a Location: status ${response.status}` }),
              nameNode.host
            )
          }
          return yield* follow(web, first, location, new Set())
        })
      )
    )

export const make = (http: Http.Http, config: HdfsConfig["Service"], auth: Auth): WebHdfs => {
  const nameNodes = config.nameNodes.map((each) => new URL(each))
  const web: Web = {
    transport: Transport.make(http, config),
    config,
    auth,
    nameNodes,
    prefixes: new Map(nameNodes.map((each) => [each, prefixOf(each)])),
    active: 0,
    answered: false
  }
  return {
    transport: web.transport,
    text: text(web),
    locate: locate(web),
    exchange: (call, nameNode) => exchange(web, call, nameNode),
    backoff: (n) => backoff(web, n),
    fail
  }
}
