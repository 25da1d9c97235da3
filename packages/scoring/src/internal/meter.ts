import type { TaskContext } from "@sluice/core/TaskContext"
import type { Clock } from "effect"
import { bucketOf, Histogram, latencyCounter } from "./histogram.ts"

/** Milliseconds of a clock that only runs forward, with their fractions. */
export const millisOf = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/**
 * What a scorer has done since it was built. Times are in milliseconds, sizes in bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** Requests sent, including repeated ones. */
  readonly requests: number
  readonly retries: number
  /** Batches that failed for good. */
  readonly failures: number
  readonly rows: number
  readonly bodyBytesOut: number
  readonly bodyBytesIn: number
  /** Bytes of bodies and heads; heads are computed, not measured. */
  readonly bytesOut: number
  readonly bytesIn: number
  /** `bodyBytesOut / bytesOut`, 0..1. */
  readonly payloadEfficiency: number
  readonly inFlight: number
  readonly maxInFlight: number
  /** From the start of the first request to the end of the last one. */
  readonly windowMillis: number
  /** Time of the window in which at least one request was in flight. */
  readonly busyMillis: number
  /** The share of the permits in use over the window, 0..1. */
  readonly occupancy: number
  /** Latency of single requests, without waits for a permit or a retry. Percentiles are at most 9 % too high. */
  readonly latencyMillis: { readonly mean: number; readonly p50: number; readonly p99: number; readonly max: number }
}

const add = (numbers: Map<string, number>, name: string, n: number) => numbers.set(name, (numbers.get(name) ?? 0) + n)

/** Counts what a scorer does: for its own `stats`, and in the metrics of the task that asked. */
export class Meter {
  private requests = 0
  private retries = 0
  private failures = 0
  private rows = 0
  private bodyBytesOut = 0
  private bodyBytesIn = 0
  private headBytesOut = 0
  private headBytesIn = 0
  private inFlight = 0
  private maxInFlight = 0
  private first: number | undefined
  private last = 0
  private busySince = 0
  private busy = 0
  private occupied = 0
  private longest = 0
  private readonly latency = new Histogram()
  private readonly concurrency: number

  constructor(concurrency: number) {
    this.concurrency = concurrency
  }

  started(task: TaskContext | undefined, now: number, retry: boolean, headBytes: number, bodyBytes: number): void {
    this.requests++
    if (retry) this.retries++
    this.headBytesOut += headBytes
    this.bodyBytesOut += bodyBytes
    this.first ??= now
    if (this.inFlight++ === 0) this.busySince = now
    if (this.inFlight > this.maxInFlight) this.maxInFlight = this.inFlight
    if (task === undefined) return
    add(task.metrics.counters, "requests", 1)
    if (retry) add(task.metrics.counters, "retries", 1)
    add(task.metrics.counters, "requestBytes", bodyBytes)
    add(task.metrics.counters, "requestHeadBytes", headBytes)
    add(task.metrics.gauges, "inFlight", 1)
  }

  ended(task: TaskContext | undefined, now: number, startedAt: number): void {
    const millis = now - startedAt
    const bucket = bucketOf(millis)
    this.last = now
    this.occupied += millis
    if (millis > this.longest) this.longest = millis
    this.latency.addBucket(bucket, 1)
    if (--this.inFlight === 0) this.busy += now - this.busySince
    if (task === undefined) return
    add(task.metrics.gauges, "inFlight", -1)
    add(task.metrics.counters, latencyCounter(bucket), 1)
  }

  answered(task: TaskContext | undefined, headBytes: number, bodyBytes: number): void {
    this.headBytesIn += headBytes
    this.bodyBytesIn += bodyBytes
    if (task !== undefined) add(task.metrics.counters, "responseBytes", headBytes + bodyBytes)
  }

  scored(task: TaskContext | undefined, rows: number): void {
    this.rows += rows
    if (task !== undefined) add(task.metrics.counters, "rowsScored", rows)
  }

  failed(): void {
    this.failures++
  }

  stats(now: number): Stats {
    const end = this.inFlight > 0 ? now : this.last
    const window = this.first === undefined ? 0 : end - this.first
    const occupied = this.occupied
    const out = this.bodyBytesOut + this.headBytesOut
    return {
      requests: this.requests,
      retries: this.retries,
      failures: this.failures,
      rows: this.rows,
      bodyBytesOut: this.bodyBytesOut,
      bodyBytesIn: this.bodyBytesIn,
      bytesOut: out,
      bytesIn: this.bodyBytesIn + this.headBytesIn,
      payloadEfficiency: out === 0 ? 0 : this.bodyBytesOut / out,
      inFlight: this.inFlight,
      maxInFlight: this.maxInFlight,
      windowMillis: window,
      busyMillis: this.busy + (this.inFlight > 0 ? now - this.busySince : 0),
      occupancy: window === 0 ? 0 : Math.min(1, occupied / (window * this.concurrency)),
      latencyMillis: {
        mean: this.requests === this.inFlight ? 0 : occupied / (this.requests - this.inFlight),
        p50: Math.min(this.longest, this.latency.quantile(0.5)),
        p99: Math.min(this.longest, this.latency.quantile(0.99)),
        max: this.longest
      }
    }
  }
}
