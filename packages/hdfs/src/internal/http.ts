import { Cause, Effect, Exit, type Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import * as Tls from "node:tls"

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

export interface Head {
  readonly status: number
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
}

export interface Answer extends Head {
  readonly body: string
}

export interface Download extends Head {
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
    const { connectMillis, readMillis, tls } = options
    const agents = yield* Effect.acquireRelease(
      Effect.sync(() => ({
        "http:": new Http.Agent({ keepAlive: true, timeout: idleMillis }),
        "https:": new Https.Agent({ keepAlive: true, timeout: idleMillis, ...tls })
      })),
      (all) =>
        Effect.sync(() => {
          for (const agent of Object.values(all)) agent.destroy()
        })
    )

    /** Ends a connection that is not there in time. */
    const guard = (socket: Net.Socket, secure: boolean, expire: () => void) => {
      if (!socket.connecting) return
      const timer = setTimeout(expire, connectMillis)
      const clear = () => clearTimeout(timer)
      socket.once(secure ? "secureConnect" : "connect", clear).once("close", clear)
    }

    /** Sends the head of a request, and collects what is answered. */
    const start = (
      { headers, method, url }: Request,
      kept: boolean,
      settle: (exit: Exit.Exit<Answer, Failure>) => void
    ): Http.ClientRequest => {
      const secure = url.protocol === "https:"
      const settings = { method, headers, timeout: readMillis }
      const request = secure
        ? Https.request(url, { ...settings, ...tls, agent: kept ? agents["https:"] : false })
        : Http.request(url, { ...settings, agent: kept ? agents["http:"] : false })
      const fail = (failure: Failure) => {
        settle(Exit.fail(failure))
        request.destroy()
      }
      request.on("error", (cause) => settle(Exit.fail({ _tag: "Cause", cause })))
      request.on("socket", (socket) => guard(socket, secure, () => fail(timeout("connect"))))
      request.on("response", (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", (cause) => settle(Exit.fail({ _tag: "Cause", cause })))
        response.on("end", () => {
          const body = (chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)).toString()
          // The agent gets the connection back in the next tick; before it the next request would open another one.
          process.nextTick(() =>
            settle(Exit.succeed({ status: response.statusCode ?? 0, headers: response.headers, body }))
          )
        })
      })
      return request
    }

    const ask: Http["ask"] = (asked) =>
      Effect.callback((resume) => {
        let request: Http.ClientRequest | undefined
        let over = false
        const settle = (exit: Exit.Exit<Answer, Failure>) => {
          over = true
          resume(exit)
        }
        const send = () => {
          const sent = start(asked, true, (exit) => {
            if (over) return
            // The server closed a kept connection just when it was used; another is as good for what changes nothing.
            if (exit._tag === "Failure" && asked.method === "GET" && sent.reusedSocket) send()
            else settle(exit)
          })
          sent.on("timeout", () => {
            settle(Exit.fail(timeout(sent.socket?.connecting === true ? "connect" : "read")))
            sent.destroy()
          })
          sent.end()
          request = sent
        }
        send()
        return Effect.sync(() => {
          over = true
          request?.destroy()
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
        const request = start(asked, false, settle)
        let connected = false
        let onConnected: (() => void) | undefined
        request.on("socket", (socket) =>
          socket.once(asked.url.protocol === "https:" ? "secureConnect" : "connect", () => {
            connected = true
            onConnected?.()
          })
        )
        // While the source is asked, a slow server is not to blame.
        let writing = true
        let ended = false
        request.on("timeout", () => {
          if (!writing) return
          settle(Exit.fail(timeout(connected ? "write" : "connect")))
          request.destroy()
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
        Effect.sync(() => new Body(asked, options, buffer, guard)),
        (it) => Effect.sync(() => it.close())
      )
      const head = yield* body.head
      return { ...head, pull: body.pull }
    })

    return { ask, download, upload }
  })

const maxHead = 64 * 1024
const readSize = 64 * 1024
/** Bytes copied ahead of who pulls. */
const ahead = 256 * 1024

/** A response read from a socket: head, then a body by its length, in chunks, or to the end of the connection. */
class Body {
  private readonly socket: Net.Socket
  private readonly reuse: boolean
  private parsed: Head | undefined
  private text = ""
  private state: "head" | "bytes" | "size" | "after" | "trailer" | "done" = "head"
  private chunked = false
  /** Of the body, or of its chunk. */
  private remaining = Number.POSITIVE_INFINITY
  private ready: Array<Uint8Array> = []
  private readyBytes = 0
  private failure: Failure | undefined
  private waiting: (() => void) | undefined
  private readonly readMillis: number

  constructor(
    { headers, url }: Request,
    { readMillis, tls }: Options,
    buffer: Uint8Array | undefined,
    guard: (socket: Net.Socket, secure: boolean, expire: () => void) => void
  ) {
    this.readMillis = readMillis
    this.reuse = buffer !== undefined
    const secure = url.protocol === "https:"
    const host = url.hostname.replace(/^\[|\]$/g, "")
    const options = {
      host,
      port: Number(url.port) || (secure ? 443 : 80),
      onread: {
        buffer: buffer ?? Buffer.allocUnsafeSlow(readSize),
        callback: (length: number, bytes: Uint8Array) => this.read(bytes.subarray(0, length))
      }
    }
    this.socket = secure
      ? Tls.connect({ ...options, ...(Net.isIP(host) === 0 ? { servername: host } : {}), ...tls })
      : Net.connect(options)
    guard(this.socket, secure, () => this.fail(timeout("connect")))
    this.socket.setNoDelay(true)
    this.socket.on("error", (cause) => this.fail({ _tag: "Cause", cause }))
    this.socket.on("end", () => this.end())
    this.socket.on("close", () => this.end())
    this.socket.on("timeout", () => {
      // A slow reader is not the server's fault.
      if (this.waiting !== undefined) this.fail(timeout("read"))
    })
    const lines = Object.entries({ host: url.host, connection: "close", ...headers }).map(([name, value]) => {
      Http.validateHeaderValue(name, value)
      return `${name}: ${value}\r\n`
    })
    this.socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("")}\r\n`)
  }

  close(): void {
    this.state = "done"
    this.socket.destroy()
  }

  private fail(failure: Failure): void {
    if (this.state !== "done") this.failure ??= failure
    this.close()
    this.waiting?.()
  }

  /** The connection is over: the end of a body that has no other, and of others too early. */
  private end(): void {
    if (this.state === "done") return
    if (this.state === "bytes" && !this.chunked && this.remaining === Number.POSITIVE_INFINITY) {
      this.state = "done"
      this.waiting?.()
    } else {
      this.fail({ _tag: "Cause", cause: { code: "ECONNRESET", message: "the server closed the connection" } })
    }
  }

  private read(bytes: Uint8Array): boolean {
    let at = 0
    while (at < bytes.length && this.state !== "done") at = this.step(bytes, at)
    if (this.ready.length > 0 || this.state === "done") this.waiting?.()
    if (this.state === "done") this.socket.destroy()
    // With one buffer only who waits for bytes has done with those before.
    return this.waiting !== undefined || (!this.reuse && this.readyBytes < ahead)
  }

  /** Takes some bytes from `at` on; yields where it stopped. */
  private step(bytes: Uint8Array, at: number): number {
    if (this.state === "bytes") {
      const end = Math.min(bytes.length, at + this.remaining)
      const part = bytes.subarray(at, end)
      this.ready.push(this.reuse ? part : new Uint8Array(part))
      this.readyBytes += part.length
      this.remaining -= part.length
      if (this.remaining === 0) this.state = this.chunked ? "after" : "done"
      return end
    }
    const newline = bytes.indexOf(10, at)
    const end = newline === -1 ? bytes.length : newline + 1
    this.text += Buffer.from(bytes.buffer, bytes.byteOffset + at, end - at).toString("latin1")
    if (this.text.length > maxHead) this.malformed("a head of more than 64 KiB")
    else if (newline !== -1) this.line()
    return end
  }

  private malformed(detail: string): void {
    this.fail({ _tag: "Malformed", detail })
  }

  /** A line is complete; that of a head is when the head is. */
  private line(): void {
    const line = this.text.trimEnd()
    if (this.state === "head") {
      if (/(^|\n)\r?\n$/.test(this.text)) this.onHead()
      return
    }
    this.text = ""
    if (this.state === "after") this.state = "size"
    else if (this.state === "trailer") {
      if (line === "") this.state = "done"
    } else {
      const size = /^[0-9a-f]{1,12}(?=\s*(;|$))/i.exec(line)
      if (size === null) return this.malformed("a body in chunks without their sizes")
      this.remaining = Number.parseInt(size[0], 16)
      this.state = this.remaining === 0 ? "trailer" : "bytes"
    }
  }

  private onHead(): void {
    const [first = "", ...lines] = this.text.trimEnd().split(/\r?\n/)
    this.text = ""
    const status = /^HTTP\/1\.[01] (\d{3})\b/.exec(first)
    if (status === null) return this.malformed("an answer that is not HTTP/1.1")
    // `100 Continue` and the like come before the answer.
    if (status[1]?.startsWith("1") === true) return
    const headers: Record<string, string> = {}
    for (const line of lines) {
      const colon = line.indexOf(":")
      if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim()
    }
    this.parsed = { status: Number(status[1]), headers }
    this.chunked = /\bchunked$/i.test(headers["transfer-encoding"] ?? "")
    if (this.chunked) this.state = "size"
    else {
      const length = headers["content-length"]
      if (length !== undefined && !/^\d{1,15}$/.test(length)) return this.malformed(`a Content-Length of ${length}`)
      this.remaining = length === undefined ? Number.POSITIVE_INFINITY : Number(length)
      if (status[1] === "204" || status[1] === "304") this.remaining = 0
      this.state = this.remaining === 0 ? "done" : "bytes"
    }
    this.waiting?.()
  }

  /** Until there is something new. */
  private readonly wait = Effect.callback<void>((resume) => {
    this.waiting = () => {
      this.waiting = undefined
      resume(Effect.void)
    }
    this.socket.setTimeout(this.readMillis)
    this.socket.resume()
    return Effect.sync(() => {
      this.waiting = undefined
    })
  })

  readonly head: Effect.Effect<Head, Failure> = Effect.suspend(() => {
    if (this.parsed !== undefined) return Effect.succeed(this.parsed)
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
    if (this.state === "done") return Cause.done()
    return Effect.andThen(this.wait, this.pull)
  })
}
