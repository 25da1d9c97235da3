import { Effect, Exit, type Scope } from "effect"
import * as NodeHttp from "node:http"
import * as NodeHttps from "node:https"
import type { Duplex } from "node:stream"
import {
  type Answer,
  closed,
  errorBytes,
  type Failure,
  type Http,
  type Options,
  type Request,
  type Settle
} from "./http.ts"
import { maxHead, maxInterim, wrongCoding } from "./response.ts"
import { Sending } from "./sending.ts"

// Requests with small answers, over `node:http`: a DataNode sends a `100 Continue` nobody asked for, which undici refuses.

/** Servers close idle connections too, which must not happen while a request is under way to them. */
const idleMillis = 4000

const malformed = (detail: string): Failure => ({ _tag: "Malformed", detail })

const property = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

const codeOf = (cause: unknown): string => {
  const code = property(cause, "code")
  return typeof code === "string" ? code : ""
}

/** What a request failed with. An answer that Node's parser refuses does not count as a broken connection. */
const failureOf = (cause: unknown): Failure =>
  codeOf(cause).startsWith("HPE_")
    ? malformed(`an answer that is not HTTP/1.1: ${String(property(cause, "reason") ?? codeOf(cause)).slice(0, 100)}`)
    : { _tag: "Cause", cause }

const unasked = (socket: Duplex) => () => socket.destroy()

/**
 * Nobody waits for bytes on an idle connection: what comes there must not be taken for the next answer. Node 24 closes such a
 * connection by itself.
 */
const keptOnlyInSilence = <A extends NodeHttp.Agent>(agent: A): A => {
  const listeners = new WeakMap<Duplex, () => void>()
  const keep = agent.keepSocketAlive.bind(agent)
  const reuse = agent.reuseSocket.bind(agent)
  agent.keepSocketAlive = (socket) => {
    const listener = listeners.get(socket) ?? unasked(socket)
    listeners.set(socket, listener)
    socket.on("data", listener)
    return keep(socket)
  }
  agent.reuseSocket = (socket, request) => {
    const listener = listeners.get(socket)
    if (listener !== undefined) socket.off("data", listener)
    reuse(socket, request)
  }
  return agent
}

/** Follows a request of `node:http` to the end of its answer, within the limits of `options`; settles once. */
class Exchange {
  readonly request: NodeHttp.ClientRequest
  private connected = false
  private onConnected: (() => void) | undefined
  private readonly options: Options
  private readonly settle: Settle
  private settled = false
  private interim = 0
  private answered = false
  private timer: NodeJS.Timeout | undefined
  private total: NodeJS.Timeout | undefined

  constructor(request: NodeHttp.ClientRequest, secure: boolean, options: Options, settle: Settle) {
    this.request = request
    this.options = options
    this.settle = settle
    this.limit("connect", options.connectMillis)
    request.on("socket", (socket) => {
      const connected = () => {
        this.connected = true
        clearTimeout(this.timer)
        this.onConnected?.()
      }
      if (request.reusedSocket || !socket.connecting) connected()
      else socket.once(secure ? "secureConnect" : "connect", connected)
    })
    request.on("error", (cause) => this.fail(failureOf(cause)))
    request.on("close", () => process.nextTick(() => this.fail(closed)))
    request.on("upgrade", (_, socket) => {
      socket.destroy()
      this.fail(malformed("a 101 Switching Protocols nobody asked for"))
    })
    request.on("information", () => {
      if (++this.interim > maxInterim) this.fail(malformed(`more than ${maxInterim} answers like 100 Continue`))
      // The server is there, and has so long again for the answer.
      else if (this.total !== undefined) this.await()
    })
    request.on("response", (response) => this.onResponse(response))
  }

  /** Whether nothing of an answer came over a connection that had been used before. */
  get stale(): boolean {
    return this.request.reusedSocket && !this.answered && this.interim === 0
  }

  /**
   * Calls a function once there is a connection. A function that is assigned to a property, as `this.onConnected = () => …`, V8
   * puts into old memory at once, where it keeps all that it sees until the next large collection.
   */
  whenConnected(connected: () => void): void {
    if (this.connected) connected()
    else this.onConnected = connected
  }

  /** Fails when this phase is not over in time; the phase before it is. */
  limit(phase: "connect" | "read" | "write", millis: number): void {
    clearTimeout(this.timer)
    if (!this.settled) this.timer = setTimeout(() => this.fail({ _tag: "Timeout", phase, millis }), millis)
  }

  /** While nothing is expected of the server. */
  unlimited(): void {
    clearTimeout(this.timer)
  }

  /** The request is under way, and the answer is awaited. */
  await(): void {
    const { answerMillis, readMillis } = this.options
    if (!this.answered) this.limit("read", readMillis)
    if (this.settled || this.total !== undefined) return
    this.total = setTimeout(() => this.fail({ _tag: "Timeout", phase: "read", millis: answerMillis }), answerMillis)
  }

  fail(failure: Failure): void {
    this.end(Exit.fail(failure))
    this.request.destroy()
  }

  close(): void {
    this.settled = true
    clearTimeout(this.timer)
    clearTimeout(this.total)
    this.request.destroy()
  }

  private end(exit: Exit.Exit<Answer, Failure>): void {
    clearTimeout(this.timer)
    clearTimeout(this.total)
    if (this.settled) return
    this.settled = true
    this.settle(exit)
  }

  private onResponse(response: NodeHttp.IncomingMessage): void {
    const { headers } = response
    const status = response.statusCode ?? 0
    response.on("error", (cause) => this.fail(failureOf(cause)))
    response.on("close", () => {
      if (!response.complete) this.fail(closed)
    })
    this.answered = true
    this.await()
    this.limit("read", this.options.readMillis)
    if (!/^1\.[01]$/.test(response.httpVersion) || status < 200 || status > 599) {
      return this.fail(malformed(`an answer of HTTP/${response.httpVersion} with status ${status}`))
    }
    const wrong = wrongCoding(headers)
    if (wrong !== undefined) return this.fail(malformed(wrong))
    const isError = status >= 400
    const { answerBytes } = this.options
    const tooLarge = () => this.fail({ _tag: "TooLarge", limit: answerBytes })
    if (!isError && Number(headers["content-length"] ?? 0) > answerBytes) return tooLarge()
    const chunks: Array<Buffer> = []
    let size = 0
    const succeed = () => this.end(Exit.succeed({ status, headers, body: Buffer.concat(chunks, size).toString() }))
    response.on("data", (chunk: Buffer) => {
      if (this.settled) return
      this.timer?.refresh()
      const room = (isError ? errorBytes : answerBytes) - size
      chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk)
      size += Math.min(room, chunk.length)
      if (chunk.length <= room) return
      // The beginning of an error says what it is.
      if (!isError) return tooLarge()
      succeed()
      this.request.destroy()
    })
    response.on("end", () => {
      if (!response.complete) return this.fail(closed)
      // The connection is there for the next request only after what follows an end by itself.
      process.nextTick(succeed)
      clearTimeout(this.timer)
    })
  }
}

/** Bytes a server must take in the read timeout, if it is to have more time than that for a write. */
const writeBytes = 1024 * 1024

export const make = (options: Options): Effect.Effect<Pick<Http, "ask" | "upload">, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { readMillis, tls } = options
    const keptAlive = { keepAlive: true, timeout: idleMillis }
    const agents = yield* Effect.acquireRelease(
      Effect.sync(() => ({
        http: keptOnlyInSilence(new NodeHttp.Agent(keptAlive)),
        https: keptOnlyInSilence(new NodeHttps.Agent({ ...keptAlive, ...tls }))
      })),
      ({ http, https }) =>
        Effect.sync(() => {
          http.destroy()
          https.destroy()
        })
    )

    /** Begins a request; without `kept` over a connection of its own. */
    const begin = ({ headers, method, url }: Request, kept: boolean, settle: Settle): Exchange => {
      const secure = url.protocol === "https:"
      const settings = { method, headers, maxHeaderSize: maxHead, insecureHTTPParser: false }
      const request = secure
        ? NodeHttps.request(url, { ...settings, agent: kept && agents.https, ...tls })
        : NodeHttp.request(url, { ...settings, agent: kept && agents.http })
      return new Exchange(request, secure, options, settle)
    }

    /** What cannot be a request at all, as with a line break in a header, is thrown. */
    const attempt = (begin: () => Exchange, settle: Settle): Exchange | undefined => {
      try {
        return begin()
      } catch (cause) {
        settle(Exit.fail({ _tag: "Cause", cause }))
        return undefined
      }
    }

    const ask: Http["ask"] = (asked) =>
      Effect.callback((resume) => {
        let exchange: Exchange | undefined
        let over = false
        const settle: Settle = (exit) => {
          if (over) return
          // The server closed a kept connection just when it was used; another is as good for what changes nothing.
          if (Exit.isFailure(exit) && exchange?.stale === true && asked.method === "GET" && isBroken(exit))
            return send()
          over = true
          resume(exit)
        }
        const send = () => {
          const sent = attempt(() => begin(asked, true, settle), settle)
          exchange = sent
          if (sent === undefined) return
          sent.whenConnected(() => sent.await())
          sent.request.end()
        }
        send()
        return Effect.sync(() => {
          over = true
          exchange?.close()
        })
      })

    const upload: Http["upload"] = (asked, body) =>
      Effect.suspend(() => {
        const length = asked.headers["content-length"]
        /** Bytes left of a body of known length. */
        let left = length === undefined ? Number.POSITIVE_INFINITY : Number(length)
        let ended = false
        /** That the server has all bytes of a known length, though the source has not said yet that there are no more. */
        let early: Exit.Exit<Answer, Failure> | undefined
        let settled: Exit.Exit<Answer, Failure> | undefined
        let onSettled: Settle | undefined
        const finish: Settle = (exit) => {
          settled ??= exit
          onSettled?.(settled)
        }
        const settle: Settle = (exit) => {
          if (Exit.isFailure(exit) || ended || exit.value.status >= 300) finish(exit)
          else if (left <= 0) early = exit
          else finish(Exit.fail(malformed("the server said yes before it had all bytes")))
        }
        const exchange = attempt(() => begin(asked, false, settle), finish)
        const answer = Effect.callback<Answer, Failure>((resume) => {
          if (settled === undefined) onSettled = resume
          else resume(settled)
        })
        if (exchange === undefined) return answer
        const { request } = exchange
        const sending = new Sending(
          (piece, taken) => {
            exchange.limit("write", readMillis * (1 + piece.length / writeBytes))
            left -= piece.length
            request.write(piece, (error) => {
              // The request's own error says more, where there is no answer.
              if (error === undefined || error === null || early !== undefined) taken()
            })
          },
          // While the source is asked, a slow server is not to blame.
          () => exchange.unlimited()
        )
        const send = Effect.callback<void>((resume) => exchange.whenConnected(() => resume(Effect.void))).pipe(
          Effect.andThen(Effect.suspend(() => body((chunks) => sending.write(chunks)))),
          Effect.andThen(sending.flush),
          Effect.andThen(
            Effect.callback<never>(() => {
              ended = true
              if (early !== undefined) return finish(early)
              request.end()
              exchange.await()
            })
          )
        )
        return Effect.raceFirst(answer, send).pipe(Effect.ensuring(Effect.sync(() => exchange.close())))
      })

    return { ask, upload }
  })

const isBroken = (exit: Exit.Failure<Answer, Failure>): boolean =>
  exit.cause.reasons.some((reason) => reason._tag === "Fail" && reason.error._tag === "Cause")
