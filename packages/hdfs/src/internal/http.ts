import { Cause, Effect, Exit, type Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { type Head, Response } from "./response.ts"

// Directly over Node's sockets: what is read goes from the kernel into one buffer per connection, without an object for every
// 64 KiB, and a DataNode's `100 Continue`, which it sends unasked, is no error.

/** Why there is no answer, or no more of it. */
export type Failure =
  | { readonly _tag: "Timeout"; readonly phase: "connect" | "read" | "write" }
  | { readonly _tag: "Cause"; readonly cause: unknown }
  | { readonly _tag: "Malformed"; readonly detail: string }

const timeout = (phase: "connect" | "read" | "write"): Failure => ({ _tag: "Timeout", phase })

export interface Request {
  readonly method: "GET" | "PUT" | "POST" | "DELETE"
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

export interface Answer extends Head {
  readonly body: string
}

interface Download extends Head {
  /** The next bytes; done at the end of the body. */
  readonly pull: Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Failure | Cause.Done>
}

export interface Options {
  readonly connectMillis: number
  /** Without a byte while one is awaited. */
  readonly readMillis: number
  readonly tls: Tls.SecureContextOptions & { readonly servername?: string }
}

export interface Http {
  /** A small exchange over a connection that is kept alive. */
  readonly ask: (request: Request) => Effect.Effect<Answer, Failure>
  /**
   * A body that is read as it is pulled, over a connection of its own, which closes with the scope. With a `buffer` the bytes
   * are put there again and again: a chunk holds until the next pull.
   */
  readonly download: (request: Request, buffer: Uint8Array | undefined) => Effect.Effect<Download, Failure, Scope.Scope>
  /**
   * Sends what `body` gives its function, over a connection of its own. `body` starts once there is a connection; chunks
   * are not looked at again after the function's effect.
   */
  readonly upload: <E, R>(
    request: Request,
    body: (write: (chunks: NonEmptyReadonlyArray<Uint8Array>) => Effect.Effect<void>) => Effect.Effect<void, E, R>
  ) => Effect.Effect<Answer, Failure | E, R>
}

/** Servers close idle connections too, which must not happen while a request is under way to them. */
const idleMillis = 4000

export const make = (options: Options): Effect.Effect<Http, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { readMillis, tls } = options
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => new Pool(options)),
      (it) => Effect.sync(() => it.close())
    )

    const ask: Http["ask"] = (asked) =>
      Effect.callback((resume) => {
        let connection: Connection | undefined
        let over = false
        const send = () => {
          const { kept, used } = pool.take(asked.url)
          connection = kept
          kept.send(asked, (exit) => {
            if (over) return
            // The server closed a kept connection just when it was used; another is as good for what changes nothing.
            if (used && kept.broken && asked.method === "GET") return send()
            over = true
            resume(exit)
          })
        }
        send()
        return Effect.sync(() => {
          over = true
          connection?.close()
        })
      })

    const upload: Http["upload"] = (asked, body) =>
      Effect.suspend(() => {
        let settled: Exit.Exit<Answer, Failure> | undefined
        let onSettled: ((exit: Exit.Exit<Answer, Failure>) => void) | undefined
        const settle = (exit: Exit.Exit<Answer, Failure>) => {
          settled ??= exit
          onSettled?.(settled)
        }
        const { headers, method, url } = asked
        const secure = url.protocol === "https:"
        const settings = { method, headers, timeout: readMillis, agent: false }
        const request = secure ? Https.request(url, { ...settings, ...tls }) : Http.request(url, settings)
        const fail = (failure: Failure) => {
          settle(Exit.fail(failure))
          request.destroy()
        }
        request.on("error", (cause) => settle(Exit.fail({ _tag: "Cause", cause })))
        request.on("response", (response) => {
          const chunks: Array<Buffer> = []
          response.on("data", (chunk: Buffer) => chunks.push(chunk))
          response.on("error", (cause) => settle(Exit.fail({ _tag: "Cause", cause })))
          response.on("end", () => {
            const body = Buffer.concat(chunks).toString()
            settle(Exit.succeed({ status: response.statusCode ?? 0, headers: response.headers, body }))
          })
        })
        let connected = false
        let onConnected: (() => void) | undefined
        request.on("socket", (socket) => {
          guard(socket, secure, options, () => fail(timeout("connect")))
          socket.once(secure ? "secureConnect" : "connect", () => {
            connected = true
            onConnected?.()
          })
        })
        // While the source is asked, a slow server is not to blame.
        let writing = true
        let ended = false
        request.on("timeout", () => {
          if (writing) fail(timeout(connected ? "write" : "connect"))
        })
        const answer = Effect.callback<Answer, Failure>((resume) => {
          if (settled === undefined) onSettled = resume
          else resume(settled)
        })
        const write = (chunks: NonEmptyReadonlyArray<Uint8Array>) =>
          Effect.callback<void>((resume) => {
            writing = true
            chunks.forEach((chunk, i) => {
              if (i < chunks.length - 1) request.write(chunk)
              else {
                request.write(chunk, (error) => {
                  writing = false
                  // The request's own error says more.
                  if (error === undefined || error === null) resume(Effect.void)
                })
              }
            })
          })
        const send = Effect.callback<void>((resume) => {
          onConnected = () => resume(Effect.void)
          if (connected) onConnected()
        }).pipe(
          Effect.andThen(
            Effect.suspend(() => {
              writing = false
              return body(write)
            })
          ),
          Effect.andThen(
            Effect.callback<never>(() => {
              writing = true
              ended = true
              request.end()
            })
          )
        )
        return Effect.raceFirst(answer, send).pipe(
          Effect.flatMap((it) =>
            ended || it.status >= 300
              ? Effect.succeed(it)
              : Effect.fail<Failure>({ _tag: "Malformed", detail: "the server said yes before it had all bytes" })
          ),
          Effect.ensuring(Effect.sync(() => request.destroy()))
        )
      })

    const download: Http["download"] = Effect.fnUntraced(function* (asked, buffer) {
      const body = yield* Effect.acquireRelease(
        Effect.sync(() => new Body(asked, options, buffer)),
        (it) => Effect.sync(() => it.close())
      )
      const head = yield* body.head
      return { ...head, pull: body.pull }
    })

    return { ask, download, upload }
  })

/** Ends a connection that is not there in time. */
const guard = (socket: Net.Socket, secure: boolean, { connectMillis }: Options, expire: () => void) => {
  if (!socket.connecting) return
  const timer = setTimeout(expire, connectMillis)
  const clear = () => clearTimeout(timer)
  socket.once(secure ? "secureConnect" : "connect", clear).once("close", clear)
}

/** A socket that reads into one buffer; `read` yields whether to go on. */
const connect = (url: URL, options: Options, buffer: Uint8Array, read: (bytes: Uint8Array) => boolean): Net.Socket => {
  const secure = url.protocol === "https:"
  const host = url.hostname.replace(/^\[|\]$/g, "")
  const settings = {
    host,
    port: Number(url.port) || (secure ? 443 : 80),
    noDelay: true,
    onread: { buffer, callback: (length: number, bytes: Uint8Array) => read(bytes.subarray(0, length)) }
  }
  return secure
    ? Tls.connect({ ...settings, ...(Net.isIP(host) === 0 ? { servername: host } : {}), ...options.tls })
    : Net.connect(settings)
}

/** The head of a request without a body. */
const headOf = ({ headers, method, url }: Request, more: string): string => {
  let text = `${method} ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\n${more}`
  // What node:http sends with methods that may have a body, and some servers ask for.
  if (method === "PUT" || method === "POST") text += "content-length: 0\r\n"
  for (const [name, value] of Object.entries(headers)) {
    Http.validateHeaderValue(name, value)
    text += `${name}: ${value}\r\n`
  }
  return `${text}\r\n`
}

const closed: Failure = {
  _tag: "Cause",
  cause: { code: "ECONNRESET", message: "the server closed the connection" }
}

type Settle = (exit: Exit.Exit<Answer, Failure>) => void

/** Connections of which each does one exchange at a time, and waits a while for the next. */
class Pool {
  private readonly options: Options
  private readonly idle = new Map<string, Array<Connection>>()
  private readonly all = new Set<Connection>()

  constructor(options: Options) {
    this.options = options
  }

  /** The connection used last, or a new one. */
  take(url: URL): { readonly kept: Connection; readonly used: boolean } {
    const idle = this.idle.get(url.origin)?.pop()
    if (idle !== undefined) return { kept: idle, used: true }
    const kept: Connection = new Connection(url, this.options, (usable) => {
      const others = this.idle.get(url.origin) ?? []
      this.idle.set(url.origin, others)
      if (usable) {
        others.push(kept)
        return
      }
      this.all.delete(kept)
      const at = others.indexOf(kept)
      if (at >= 0) others.splice(at, 1)
    })
    this.all.add(kept)
    return { kept, used: false }
  }

  close(): void {
    for (const connection of this.all) connection.close()
  }
}

/** Small answers need no more. */
const smallRead = 16 * 1024

class Connection {
  /** Whether it ended before the answer did. */
  broken = false
  private readonly socket: Net.Socket
  private readonly readMillis: number
  private readonly onFree: (usable: boolean) => void
  private settle: Settle | undefined
  private body: Array<Buffer> = []
  private response = new Response(() => undefined)

  /** `onFree` is told when it is there for another exchange, and when it never will be again. */
  constructor(url: URL, options: Options, onFree: (usable: boolean) => void) {
    this.readMillis = options.readMillis
    this.onFree = onFree
    this.socket = connect(url, options, Buffer.allocUnsafeSlow(smallRead), (bytes) => this.read(bytes))
    guard(this.socket, url.protocol === "https:", options, () => this.fail(timeout("connect")))
    this.socket.on("error", (cause) => this.end({ _tag: "Cause", cause }))
    this.socket.on("end", () => this.end(closed))
    this.socket.on("close", () => this.end(closed))
    this.socket.on("timeout", () => {
      this.fail(timeout(this.socket.connecting ? "connect" : "read"))
    })
  }

  send(request: Request, settle: Settle): void {
    this.settle = settle
    this.body = []
    this.response = new Response((part) => this.body.push(Buffer.from(part)))
    this.socket.ref()
    this.socket.setTimeout(this.readMillis)
    this.socket.write(headOf(request, ""), "latin1")
  }

  close(): void {
    this.settle = undefined
    this.socket.destroy()
    this.onFree(false)
  }

  private fail(failure: Failure): void {
    const { settle } = this
    this.close()
    settle?.(Exit.fail(failure))
  }

  private end(failure: Failure): void {
    if (this.settle !== undefined && this.response.head !== undefined && this.response.end()) return this.finish()
    this.broken = true
    this.fail(failure)
  }

  private read(bytes: Uint8Array): boolean {
    // Nobody asked: there is no knowing what the next answer would be to.
    if (this.settle === undefined) {
      this.close()
      return false
    }
    this.response.feed(bytes)
    if (this.response.malformed !== undefined) this.fail({ _tag: "Malformed", detail: this.response.malformed })
    else if (this.response.done) this.finish()
    return true
  }

  private finish(): void {
    const { head, reusable } = this.response
    const { body, settle } = this
    this.settle = undefined
    if (reusable) {
      this.socket.setTimeout(idleMillis)
      // An idle connection keeps no process alive.
      this.socket.unref()
      this.onFree(true)
    } else this.close()
    const [first = Buffer.alloc(0), ...rest] = body
    const text = (rest.length === 0 ? first : Buffer.concat(body)).toString()
    if (head !== undefined) settle?.(Exit.succeed({ ...head, body: text }))
  }
}

const readSize = 64 * 1024
/** Bytes copied ahead of who pulls. */
const ahead = 256 * 1024

/** A body over a connection of its own, read as it is asked for. */
class Body {
  private readonly socket: Net.Socket
  private readonly reuse: boolean
  private readonly readMillis: number
  private readonly response = new Response((part) => {
    this.ready.push(this.reuse ? part : new Uint8Array(part))
    this.readyBytes += part.length
  })
  private ready: Array<Uint8Array> = []
  private readyBytes = 0
  private over = false
  private failure: Failure | undefined
  private waiting: (() => void) | undefined
  private waitingSince = 0

  constructor(request: Request, options: Options, buffer: Uint8Array | undefined) {
    this.readMillis = options.readMillis
    this.reuse = buffer !== undefined
    const { url } = request
    this.socket = connect(url, options, buffer ?? Buffer.allocUnsafeSlow(readSize), (bytes) => this.read(bytes))
    guard(this.socket, url.protocol === "https:", options, () => this.fail(timeout("connect")))
    this.socket.on("error", (cause) => this.fail({ _tag: "Cause", cause }))
    this.socket.on("end", () => this.end())
    this.socket.on("close", () => this.end())
    // The socket's timer starts anew with what it reads; before a wait it may have run for a while, which is not the server's
    // fault.
    this.socket.setTimeout(this.readMillis)
    this.socket.on("timeout", () => {
      const waited = this.waiting === undefined ? 0 : performance.now() - this.waitingSince
      if (waited >= this.readMillis) this.fail(timeout("read"))
      else this.socket.setTimeout(Math.ceil(this.readMillis - waited))
    })
    this.socket.write(headOf(request, "connection: close\r\n"), "latin1")
  }

  close(): void {
    this.over = true
    this.socket.destroy()
  }

  private fail(failure: Failure): void {
    if (!this.over) this.failure = failure
    this.close()
    this.waiting?.()
  }

  private end(): void {
    if (this.over) return
    if (!this.response.end()) return this.fail(closed)
    this.close()
    this.waiting?.()
  }

  private read(bytes: Uint8Array): boolean {
    if (this.over) return false
    this.response.feed(bytes)
    if (this.response.malformed !== undefined) this.fail({ _tag: "Malformed", detail: this.response.malformed })
    else if (this.response.done) this.close()
    if (this.over || this.response.head !== undefined) this.waiting?.()
    // With one buffer only who waits for bytes has done with those before.
    return this.waiting !== undefined || (!this.reuse && this.readyBytes < ahead)
  }

  /** Until there is something new. */
  private readonly wait = Effect.callback<void>((resume) => {
    this.waiting = () => {
      this.waiting = undefined
      resume(Effect.void)
    }
    this.waitingSince = performance.now()
    this.socket.resume()
    return Effect.sync(() => {
      this.waiting = undefined
    })
  })

  readonly head: Effect.Effect<Head, Failure> = Effect.suspend(() => {
    if (this.response.head !== undefined) return Effect.succeed(this.response.head)
    if (this.failure !== undefined) return Effect.fail(this.failure)
    return Effect.andThen(this.wait, this.head)
  })

  readonly pull: Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Failure | Cause.Done> = Effect.suspend(() => {
    const [first, ...rest] = this.ready
    if (first !== undefined) {
      this.ready = []
      this.readyBytes = 0
      return Effect.succeed([first, ...rest])
    }
    if (this.failure !== undefined) return Effect.fail(this.failure)
    if (this.over) return Cause.done()
    return Effect.andThen(this.wait, this.pull)
  })
}
