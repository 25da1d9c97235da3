/**
 * Connections to servers and requests on them, directly over Node's sockets: what is read goes from the kernel into one buffer,
 * without an object for every 64 KiB, an unrequested `100 Continue` of a DataNode is not an error, and a small request costs
 * a fraction of what it costs over `node:http`.
 */
import * as Net from "node:net"
import * as Tls from "node:tls"
import { closed, type Failure, type Options, type Request } from "./http.ts"
import { isHeaderValue } from "./response.ts"

/** A socket that reads into one buffer; `read` yields whether to continue. */
export const connect = (
  url: URL,
  options: Options,
  buffer: Uint8Array,
  read: (bytes: Uint8Array) => boolean
): Net.Socket => {
  const secure = url.protocol === "https:"
  const host = url.hostname.replace(/^\[|\]$/g, "")
  const settings = {
    host,
    port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
    noDelay: true,
    onread: { buffer, callback: (length: number, bytes: Uint8Array) => read(bytes.subarray(0, length)) }
  }
  return secure
    ? Tls.connect({ ...settings, ...(Net.isIP(host) === 0 ? { servername: host } : {}), ...options.tls })
    : Net.connect(settings)
}

/** The head of a request, which says whether its connection is kept. */
export const headOf = ({ headers, method, url }: Request, isKept: boolean): string => {
  let text = `${method} ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\n`
  if (!isKept) text += "connection: close\r\n"
  for (const [name, value] of Object.entries(headers)) {
    // Its value may be a secret.
    if (!isHeaderValue(value)) throw new TypeError(`the header ${name} has a character that is not allowed in headers`)
    text += `${name}: ${value}\r\n`
  }
  return `${text}\r\n`
}

/** The receiver of the bytes of a connection. */
export interface User {
  readonly connected: () => void
  readonly read: (bytes: Uint8Array) => void
  /** The server has no more to say. */
  readonly ended: () => void
  readonly fail: (failure: Failure) => void
}

/** All connections read into it: the bytes of a read are processed before the next read. */
const buffer = Buffer.allocUnsafeSlow(64 * 1024)

/** A connection, for one exchange after another. */
export class Connection {
  readonly socket: Net.Socket
  /** Whether an exchange is using it. */
  isUsed = false
  isConnected = false
  /** The time until which it may wait for the next exchange, by `performance.now`. */
  keptUntil = 0
  private user: User | undefined

  constructor(url: URL, options: Options) {
    this.socket = connect(url, options, buffer, (bytes) => {
      // Nobody waits for bytes on an idle connection: what comes there must not be taken for the next answer.
      if (this.user === undefined) this.socket.destroy()
      else this.user.read(bytes)
      return true
    })
    this.socket.once(url.protocol === "https:" ? "secureConnect" : "connect", () => {
      this.isConnected = true
      this.user?.connected()
    })
    this.socket.on("error", (cause) => this.user?.fail({ _tag: "Cause", cause }))
    this.socket.on("end", () => this.end())
    this.socket.on("close", () => this.user?.fail(closed))
  }

  /** From now on, bytes are for `user`, or for nobody. */
  give(user: User | undefined): void {
    this.user = user
  }

  private end(): void {
    if (this.user === undefined) this.socket.destroy()
    else this.user.ended()
  }
}

/** Servers close idle connections too, which must not happen while a request is under way to them. */
const idleMillis = 4000
/** How much earlier than the server's limit an idle connection is closed. */
const marginMillis = 1000
/** Idle connections to one server. */
const mostIdle = 256

/** How long the server keeps the connection open, according to an answer. */
const keptMillis = (keepAlive: unknown): number => {
  const seconds = /(?:^|[\s,])timeout=(\d{1,9})/i.exec(String(keepAlive))?.[1]
  return seconds === undefined ? idleMillis : Math.min(idleMillis, Number(seconds) * 1000 - marginMillis)
}

/** Connections that wait for another exchange. */
export class Pool {
  private readonly idle = new Map<string, Array<Connection>>()
  private sweep: NodeJS.Timeout | undefined

  /** The connection to a server that was used last. */
  take(origin: string): Connection | undefined {
    const waiting = this.idle.get(origin)
    for (let last = waiting?.pop(); last !== undefined; last = waiting?.pop()) {
      if (!last.socket.destroyed && last.keptUntil > performance.now()) {
        last.socket.ref()
        return last
      }
      last.socket.destroy()
    }
    return undefined
  }

  /** Takes a connection back; `keepAlive` is the server's header about that. */
  keep(origin: string, connection: Connection, keepAlive: unknown): void {
    const millis = keptMillis(keepAlive)
    const waiting = this.idle.get(origin) ?? []
    if (millis <= 0 || waiting.length >= mostIdle) return void connection.socket.destroy()
    this.idle.set(origin, waiting)
    connection.isUsed = true
    connection.keptUntil = performance.now() + millis
    connection.give(undefined)
    connection.socket.unref()
    waiting.push(connection)
    this.sweep ??= setTimeout(() => this.discard(), idleMillis).unref()
  }

  close(): void {
    clearTimeout(this.sweep)
    for (const waiting of this.idle.values()) for (const { socket } of waiting) socket.destroy()
    this.idle.clear()
  }

  /** Closes connections that have been idle for too long, and checks again while there are others. */
  private discard(): void {
    this.sweep = undefined
    const now = performance.now()
    for (const [origin, waiting] of this.idle) {
      const fresh = waiting.filter(({ keptUntil, socket }) => {
        const isFresh = !socket.destroyed && keptUntil > now
        if (!isFresh) socket.destroy()
        return isFresh
      })
      if (fresh.length === 0) this.idle.delete(origin)
      else this.idle.set(origin, fresh)
    }
    if (this.idle.size > 0) this.sweep = setTimeout(() => this.discard(), idleMillis).unref()
  }
}
