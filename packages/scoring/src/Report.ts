/**
 * What scoring did in a job, from the job's totals: the same on one machine and on many.
 *
 * @since 0.1.0
 */
import type { Totals } from "@sluice/core/Events"
import { fromCounters } from "./internal/histogram.ts"

/**
 * What scoring did. Sizes are in bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly rows: number
  /** Requests sent, including repeated ones. */
  readonly requests: number
  readonly retries: number
  /** Bytes of bodies and heads; heads are computed, not measured. */
  readonly bytesOut: number
  readonly bytesIn: number
  /** Share of the bytes sent that are vectors, 0..1. */
  readonly payloadEfficiency: number
  /** Latency of single requests, without waits for a permit or a retry. At most 9 % too high. */
  readonly latencyMillis: { readonly p50: number; readonly p99: number }
}

/**
 * Reads the counters that scorers leave in the totals of a job (`Job.runReported`, the `JobEnded` event).
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromTotals = (totals: Totals): Report => {
  const counter = (name: string): number => totals.counters[name] ?? 0
  const latency = fromCounters(totals.counters)
  const body = counter("requestBytes")
  const bytesOut = body + counter("requestHeadBytes")
  return {
    rows: counter("rowsScored"),
    requests: counter("requests"),
    retries: counter("retries"),
    bytesOut,
    bytesIn: counter("responseBytes"),
    payloadEfficiency: bytesOut === 0 ? 0 : body / bytesOut,
    latencyMillis: { p50: latency.quantile(0.5), p99: latency.quantile(0.99) }
  }
}
