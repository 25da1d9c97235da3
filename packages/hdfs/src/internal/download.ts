import { Cause, Effect } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Net from "node:net"
import { connect, headOf } from "./connection.ts"
import { closed, type Failure, type Options, type Request } from "./http.ts"
import { type Head, Response } from "./response.ts"

const readSize = 64 * 1024
/** Bytes copied ahead of the consumer. */
const ahead = 256 * 1024
/**
 * Bytes that have to arrive within the read timeout, unless the body has fewer: a server that sends a few bytes at a
 * time is as useless as one that sends none.
 */
const progressBytes = 1024

/** A body over its own connection, read as it is asked for. */
export class Download {
  private readonly socket: Net.Socket
  private readonly reuse: boolean
  private readonly readMillis: number
  private readonly response: Response
  private ready: Array<Uint8Array> = []
  private readyBytes = 0
  private over = false
  private failure: Failure | undefined
  private waiting: ((done: Effect.Effect<void>) => void) | undefined
  // How long the consumer has waited for bytes since the last progress. While nobody asks for more, a slow server is
  // not to blame.
  private waitingSince = performance.now()
  private waited = 0
  private progress = 0
  private timer: NodeJS.Timeout

  constructor(request: Request, options: Options, wanted: number, buffer: Uint8Array | undefined) {
    const head = headOf(request, false)
    const { url } = request
    this.readMillis = options.readMillis
    this.reuse = buffer !== undefined
    this.response = new Response((part) => {
      this.ready.push(this.reuse ? part : new Uint8Array(part))
      this.readyBytes += part.length
      this.progress += part.length
    }, wanted)
    this.socket = connect(url, options, buffer ?? Buffer.allocUnsafeSlow(readSize), (bytes) => this.read(bytes))
    this.timer = setTimeout(() => {
      this.fail({ _tag: "Timeout", phase: "connect", millis: options.connectMillis })
    }, options.connectMillis)
    this.socket.once(url.protocol === "https:" ? "secureConnect" : "connect", () => {
      this.waitingSince = performance.now()
      this.watch()
    })
    this.socket.on("error", (cause) => this.fail({ _tag: "Cause", cause }))
    this.socket.on("end", () => this.end())
    this.socket.on("close", () => this.end())
    this.socket.write(head, "latin1")
  }

  /** Ends the connection when waiting has taken too long, and checks again when it may have. */
  private watch(): void {
    clearTimeout(this.timer)
    if (this.over) return
    const waited = this.waited + (this.waiting === undefined ? 0 : performance.now() - this.waitingSince)
    if (waited >= this.readMillis) this.fail({ _tag: "Timeout", phase: "read", millis: this.readMillis })
    else this.timer = setTimeout(() => this.watch(), Math.ceil(this.readMillis - waited))
  }

  close(): void {
    this.over = true
    clearTimeout(this.timer)
    this.socket.destroy()
  }

  private fail(failure: Failure): void {
    if (!this.over) this.failure = failure
    this.close()
    this.wake()
  }

  private end(): void {
    if (this.over) return
    if (!this.response.end()) return this.fail(closed)
    this.close()
    this.wake()
  }

  private read(bytes: Uint8Array): boolean {
    if (this.over) return false
    this.response.feed(bytes)
    if (this.progress >= progressBytes) {
      this.progress = 0
      this.waited = 0
      this.waitingSince = performance.now()
    }
    if (this.response.malformed !== undefined) this.fail({ _tag: "Malformed", detail: this.response.malformed })
    else if (this.response.done) this.close()
    const isHead = this.response.head !== undefined && !this.headGiven
    if (this.over || this.readyBytes > 0 || isHead) this.wake()
    // With one buffer, only a consumer that waits for bytes has finished with the previous ones.
    return this.waiting !== undefined || (!this.reuse && this.readyBytes < ahead)
  }

  /** Tells the waiting consumer that there is something new. */
  private wake(): void {
    const { waiting } = this
    if (waiting === undefined) return
    this.waiting = undefined
    this.waited += performance.now() - this.waitingSince
    waiting(Effect.void)
  }

  /** Waits until there is something new. */
  private readonly wait = Effect.callback<void>((resume) => {
    this.waiting = resume
    this.waitingSince = performance.now()
    this.socket.resume()
    return Effect.sync(() => {
      this.waiting = undefined
    })
  })

  private headGiven = false

  readonly head: Effect.Effect<Head, Failure> = Effect.suspend(() => {
    if (this.response.head !== undefined) {
      this.headGiven = true
      this.waited = 0
      return Effect.succeed(this.response.head)
    }
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
