import { Exit } from "effect"
import type { Connection, User } from "./connection.ts"
import { type Answer, closed, errorBytes, type Failure, type Options, type Settle } from "./http.ts"
import { Response } from "./response.ts"

/** Follows a request over a connection to the end of its answer, within the limits of `options`; settles once. */
export class Exchange implements User {
  private readonly connection: Connection
  private readonly options: Options
  private readonly settle: Settle
  /** Called when the answer is complete and the connection can be used again. */
  private readonly release: (connection: Connection, answer: Answer) => void
  private readonly response: Response
  private readonly isReused: boolean
  private onConnected: (() => void) | undefined
  private settled = false
  private interim = 0
  private answered = false
  private parts: Array<Buffer> = []
  private size = 0
  private overflow = false
  private timer: NodeJS.Timeout | undefined
  private total: NodeJS.Timeout | undefined

  constructor(
    connection: Connection,
    options: Options,
    settle: Settle,
    release: (connection: Connection, answer: Answer) => void
  ) {
    this.connection = connection
    this.options = options
    this.settle = settle
    this.release = release
    this.isReused = connection.isUsed
    this.response = new Response((part) => this.keep(part))
    connection.give(this)
    if (!connection.isConnected) this.limit("connect", options.connectMillis)
  }

  /** Whether nothing of an answer came over a connection that had been used before. */
  get isStale(): boolean {
    return this.isReused && !this.answered && this.interim === 0
  }

  /**
   * Calls a function once there is a connection. A function that is assigned to a property, as `this.onConnected = () => …`, V8
   * puts into old memory at once, where it keeps all that it sees until the next large collection.
   */
  whenConnected(connected: () => void): void {
    if (this.connection.isConnected) connected()
    else this.onConnected = connected
  }

  /** Fails when this phase is not over in time; the phase before it is. */
  limit(phase: "connect" | "read" | "write", millis: number): void {
    clearTimeout(this.timer)
    if (!this.settled) this.timer = setTimeout(() => this.fail({ _tag: "Timeout", phase, millis }), millis)
  }

  /** While nothing is expected from the server. */
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

  connected(): void {
    clearTimeout(this.timer)
    this.onConnected?.()
  }

  read(bytes: Uint8Array): void {
    const { response } = this
    const taken = response.feed(bytes)
    if (response.malformed !== undefined) return this.fail({ _tag: "Malformed", detail: response.malformed })
    if (response.interim > this.interim) {
      this.interim = response.interim
      // The server is alive, and gets the same time again for the answer.
      if (this.total !== undefined) this.await()
    }
    const { head } = response
    if (head === undefined) return
    const { answerBytes } = this.options
    const isError = head.status >= 400
    const said = isError ? 0 : Number(head.headers["content-length"] ?? 0)
    if (said > answerBytes || (this.overflow && !isError)) return this.fail({ _tag: "TooLarge", limit: answerBytes })
    // The beginning of an error says what it is.
    if (response.done || this.overflow) return this.finish(response.isKept && taken === bytes.length)
    this.progress()
  }

  ended(): void {
    if (this.response.end()) this.finish(false)
    else this.fail(closed)
  }

  fail(failure: Failure): void {
    // A released connection belongs to another exchange.
    if (this.settled) return
    this.end(Exit.fail(failure))
    this.connection.socket.destroy()
  }

  close(): void {
    this.fail(closed)
  }

  /** Collects as much of the body as may be read. */
  private keep(part: Uint8Array): void {
    const status = this.response.head?.status ?? 0
    const room = (status >= 400 ? errorBytes : this.options.answerBytes) - this.size
    // The next read overwrites these bytes.
    this.parts.push(Buffer.from(part.subarray(0, room)))
    this.size += Math.min(room, part.length)
    this.overflow ||= part.length > room
  }

  /** More of the answer has arrived. */
  private progress(): void {
    if (this.answered) return void this.timer?.refresh()
    this.answered = true
    this.await()
    this.limit("read", this.options.readMillis)
  }

  private finish(isKept: boolean): void {
    const { head } = this.response
    if (head === undefined) return this.fail(closed)
    this.answered = true
    const [only] = this.parts
    const body = this.parts.length === 1 && only !== undefined ? only : Buffer.concat(this.parts, this.size)
    const answer = { ...head, body: body.toString() }
    if (isKept && !this.overflow) this.release(this.connection, answer)
    else this.connection.socket.destroy()
    this.end(Exit.succeed(answer))
  }

  private end(exit: Exit.Exit<Answer, Failure>): void {
    clearTimeout(this.timer)
    clearTimeout(this.total)
    if (this.settled) return
    this.settled = true
    this.settle(exit)
  }
}
