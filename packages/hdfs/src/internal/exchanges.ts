/** Requests with small answers, and uploads. */
import { Effect, Exit, type Scope } from "effect"
import { Connection, headOf, Pool } from "./connection.ts"
import { Exchange } from "./exchange.ts"
import type { Answer, Failure, Http, Options, Request, Settle } from "./http.ts"
import { Sending } from "./sending.ts"

/** Bytes a server must take in the read timeout, if it is to have more time than that for a write. */
const writeBytes = 1024 * 1024

/**
 * Calls a function that begins an exchange. An impossible request, such as one with a line break in a header, throws.
 */
const attempt = <A>(begin: () => A, settle: Settle): A | undefined => {
  try {
    return begin()
  } catch (cause) {
    settle(Exit.fail({ _tag: "Cause", cause }))
    return undefined
  }
}

const isBroken = (exit: Exit.Failure<Answer, Failure>): boolean =>
  exit.cause.reasons.some((reason) => reason._tag === "Fail" && reason.error._tag === "Cause")

/** Begins a request without a body, over a connection of the pool. */
const beginAsk = (pool: Pool, options: Options, asked: Request, settle: Settle): Exchange => {
  const { method, url } = asked
  // Without it a server would wait for the body of a method that has one.
  const isEmpty = method === "PUT" || method === "POST"
  const headers = isEmpty ? { ...asked.headers, "content-length": "0" } : asked.headers
  const head = headOf({ ...asked, headers }, true)
  const connection = pool.take(url.origin) ?? new Connection(url, options)
  const exchange = new Exchange(connection, options, settle, (connection, answer) =>
    pool.keep(url.origin, connection, answer.headers["keep-alive"])
  )
  exchange.whenConnected(() => exchange.await())
  connection.socket.write(head, "latin1")
  return exchange
}

const ask =
  (pool: Pool, options: Options): Http["ask"] =>
  (asked) =>
    Effect.callback((resume) => {
      let exchange: Exchange | undefined
      let over = false
      const settle: Settle = (exit) => {
        if (over) return
        // The server closed a kept connection just when it was used; another is as good for what changes nothing.
        if (Exit.isFailure(exit) && exchange?.isStale === true && asked.method === "GET" && isBroken(exit))
          return send()
        over = true
        resume(exit)
      }
      const send = () => {
        exchange = attempt(() => beginAsk(pool, options, asked, settle), settle)
      }
      send()
      return Effect.sync(() => {
        over = true
        exchange?.close()
      })
    })

/** The answer to an upload, which may come before the source has said that there are no more bytes. */
class Verdict {
  /** Bytes of a body of known length that have not been sent yet. */
  left: number
  /** Whether the source has said that there are no more bytes. */
  private ended = false
  /** That the server has all bytes of a known length, though the source has not said yet that there are no more. */
  private early: Exit.Exit<Answer, Failure> | undefined
  private settled: Exit.Exit<Answer, Failure> | undefined
  private onSettled: Settle | undefined

  constructor(length: number | undefined) {
    this.left = length ?? Number.POSITIVE_INFINITY
  }

  /** Whether the server has confirmed all bytes, so that no more need to be taken. */
  get isEarly(): boolean {
    return this.early !== undefined
  }

  settle(exit: Exit.Exit<Answer, Failure>): void {
    if (Exit.isFailure(exit) || this.ended || exit.value.status >= 300) this.finish(exit)
    else if (this.left <= 0) this.early = exit
    else this.finish(Exit.fail({ _tag: "Malformed", detail: "the server said yes before it had all bytes" }))
  }

  /** The source has no more bytes; yields whether the answer has arrived. */
  end(): boolean {
    this.ended = true
    if (this.early === undefined) return false
    this.finish(this.early)
    return true
  }

  readonly answer = Effect.callback<Answer, Failure>((resume) => {
    if (this.settled === undefined) this.onSettled = resume
    else resume(this.settled)
  })

  private finish(exit: Exit.Exit<Answer, Failure>): void {
    this.settled ??= exit
    this.onSettled?.(this.settled)
  }
}

/** Writes the head of a request with its first piece, and each piece in its own frame if the length is not known. */
class Body {
  private readonly connection: Connection
  private readonly isChunked: boolean
  private head: string | undefined

  constructor(connection: Connection, head: string, isChunked: boolean) {
    this.connection = connection
    this.head = head
    this.isChunked = isChunked
  }

  write(piece: Uint8Array, taken: (error?: Error | null) => void): void {
    const { socket } = this.connection
    socket.cork()
    this.text(this.isChunked ? `${piece.length.toString(16)}\r\n` : "")
    socket.write(piece, taken)
    this.text(this.isChunked ? "\r\n" : "")
    socket.uncork()
  }

  end(): void {
    this.text(this.isChunked ? "0\r\n\r\n" : "")
  }

  private text(text: string): void {
    const all = `${this.head ?? ""}${text}`
    this.head = undefined
    if (all !== "") this.connection.socket.write(all, "latin1")
  }
}

const upload =
  (options: Options): Http["upload"] =>
  (asked, body) =>
    Effect.suspend(() => {
      const length = asked.headers["content-length"]
      const verdict = new Verdict(length === undefined ? undefined : Number(length))
      const settle: Settle = (exit) => verdict.settle(exit)
      const begun = attempt(() => {
        const headers = length === undefined ? { ...asked.headers, "transfer-encoding": "chunked" } : asked.headers
        const head = headOf({ ...asked, headers }, false)
        const connection = new Connection(asked.url, options)
        const release = () => void connection.socket.destroy()
        return {
          exchange: new Exchange(connection, options, settle, release),
          sent: new Body(connection, head, length === undefined)
        }
      }, settle)
      if (begun === undefined) return verdict.answer
      const { exchange, sent } = begun
      const sending = new Sending(
        (piece, taken) => {
          exchange.limit("write", options.readMillis * (1 + piece.length / writeBytes))
          verdict.left -= piece.length
          sent.write(piece, (error) => {
            // Without an answer, the connection's own error says more.
            if (error === undefined || error === null || verdict.isEarly) taken()
          })
        },
        // While the source is asked, a slow server is not to blame.
        () => exchange.unlimited()
      )
      const end = Effect.callback<never>(() => {
        if (verdict.end()) return
        sent.end()
        exchange.await()
      })
      const send = Effect.callback<void>((resume) => exchange.whenConnected(() => resume(Effect.void))).pipe(
        Effect.andThen(Effect.suspend(() => body((chunks) => sending.write(chunks)))),
        Effect.andThen(sending.flush),
        Effect.andThen(end)
      )
      return Effect.raceFirst(verdict.answer, send).pipe(Effect.ensuring(Effect.sync(() => exchange.close())))
    })

export const make = (options: Options): Effect.Effect<Pick<Http, "ask" | "upload">, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Pool()),
      (pool) => Effect.sync(() => pool.close())
    ),
    (pool) => ({ ask: ask(pool, options), upload: upload(options) })
  )
