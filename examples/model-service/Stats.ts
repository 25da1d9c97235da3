/**
 * What the embedded model service counts, and how busy it was.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import type { Socket } from "node:net"

/**
 * What the service did since it started, or since its statistics were last reset.
 *
 * **Details**
 *
 * The window runs from the arrival of the first scoring request to the end of the last answer (to now while requests
 * are open). `utilisation` is the work done in the window over the work `capacity` workers could have done: 1 means
 * that no worker was ever idle. A worker is busy from the moment it takes a request whose body has arrived until it has
 * handed over the answer.
 *
 * @category models
 * @since 0.1.0
 */
export const Stats = Schema.Struct({
  /** Requests worked on at once, at most. */
  capacity: Schema.Int,
  /** Scoring requests that arrived. */
  requests: Schema.Int,
  /** Requests answered 200. */
  succeeded: Schema.Int,
  /** Requests answered with another status. */
  refused: Schema.Int,
  /** Requests whose connection closed before the whole answer was sent, by either side. */
  aborted: Schema.Int,
  /** Rows scored. */
  rows: Schema.Int,
  /** Bytes of request bodies. */
  bytesIn: Schema.Int,
  /** Bytes of answers, without headers. */
  bytesOut: Schema.Int,
  /** Bytes read from sockets: bodies, headers and all. */
  wireBytesIn: Schema.Int,
  /** Requests open now, whether at work or waiting. */
  open: Schema.Int,
  /** The most requests open at once. */
  maxOpen: Schema.Int,
  /** The most requests at work at once. */
  maxActive: Schema.Int,
  /** Connections open now, including that of this question. */
  openSockets: Schema.Int,
  /** Connections accepted. */
  sockets: Schema.Int,
  /** Length of the window. */
  windowMs: Schema.Finite,
  /** Time all workers together were busy. */
  busyMs: Schema.Finite,
  /** `busyMs / (windowMs * capacity)`, from 0 to 1. */
  utilisation: Schema.Finite,
  /** From a request's arrival to the end of its answer, over the last 65,536 answers. */
  latencyMs: Schema.Struct({ mean: Schema.Finite, p50: Schema.Finite, p99: Schema.Finite, max: Schema.Finite })
})

/**
 * What the service did since it started, or since its statistics were last reset.
 *
 * @category models
 * @since 0.1.0
 */
export type Stats = typeof Stats.Type

/** The statistics as JSON text. */
export const StatsJson = Schema.fromJsonString(Stats)

const latencyWindow = 65_536

/** Counts, and integrates the number of busy workers over time. */
export class Meter {
  readonly capacity: number
  readonly sockets = new Set<Socket>()
  active = 0
  open = 0
  #at = 0
  #first = 0
  #last = 0
  #busy = 0
  #counts = this.#zero()
  #closedWire = 0
  #wireBase = 0
  readonly #latencies = new Float64Array(latencyWindow)

  constructor(capacity: number) {
    this.capacity = capacity
  }

  #zero() {
    return {
      requests: 0,
      succeeded: 0,
      refused: 0,
      aborted: 0,
      rows: 0,
      bytesIn: 0,
      bytesOut: 0,
      maxOpen: 0,
      maxActive: 0,
      sockets: 0,
      answers: 0
    }
  }

  #wire(): number {
    let bytes = this.#closedWire
    for (const socket of this.sockets) bytes += socket.bytesRead
    return bytes
  }

  get counts() {
    return this.#counts
  }

  #advance(now: number): void {
    this.#busy += this.active * (now - this.#at)
    this.#at = now
  }

  connected(socket: Socket): void {
    this.sockets.add(socket)
    this.#counts.sockets++
    socket.once("close", () => {
      this.sockets.delete(socket)
      this.#closedWire += socket.bytesRead
    })
  }

  arrived(): number {
    const now = performance.now()
    if (this.#counts.requests++ === 0) {
      this.#first = now
      this.#busy = 0
      this.#at = now
    }
    this.#counts.maxOpen = Math.max(this.#counts.maxOpen, ++this.open)
    return now
  }

  began(): void {
    this.#advance(performance.now())
    this.#counts.maxActive = Math.max(this.#counts.maxActive, ++this.active)
  }

  ended(): void {
    this.#advance(performance.now())
    this.active--
  }

  left(arrival: number, outcome: "succeeded" | "refused" | "aborted"): void {
    this.open--
    this.#counts[outcome]++
    this.#last = performance.now()
    if (outcome === "succeeded") this.#latencies[this.#counts.answers++ % latencyWindow] = this.#last - arrival
  }

  reset(): void {
    this.#advance(performance.now())
    this.#busy = 0
    this.#counts = this.#zero()
    this.#wireBase = this.#wire()
  }

  read(): Stats {
    const now = performance.now()
    this.#advance(now)
    const { answers, ...counts } = this.#counts
    const windowMs = counts.requests === 0 ? 0 : (this.open > 0 ? now : this.#last) - this.#first
    const sorted = this.#latencies.slice(0, Math.min(answers, latencyWindow)).toSorted()
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    return {
      capacity: this.capacity,
      ...counts,
      wireBytesIn: this.#wire() - this.#wireBase,
      open: this.open,
      openSockets: this.sockets.size,
      windowMs,
      busyMs: this.#busy,
      utilisation: windowMs === 0 ? 0 : Math.min(1, this.#busy / (windowMs * this.capacity)),
      latencyMs: {
        mean: sorted.length === 0 ? 0 : sorted.reduce((sum, ms) => sum + ms, 0) / sorted.length,
        p50: at(0.5),
        p99: at(0.99),
        max: at(1)
      }
    }
  }
}
