const buckets = 256

/** The bucket of a duration: they grow by 2^(1/8), about 9 %, from a microsecond to about an hour. */
export const bucketOf = (millis: number): number =>
  Math.max(0, Math.min(buckets - 1, Math.ceil(Math.log2(Math.max(millis, 0.001) * 1000) * 8)))

const prefix = "latency/"

/** The name of the counter of a bucket. The histograms of tasks add up like any other counter. */
export const latencyCounter = (bucket: number): string => `${prefix}${bucket}`

/** Counts of durations in buckets: enough for percentiles, and sums of histograms are exact. */
export class Histogram {
  private readonly counts = new Float64Array(buckets)
  private total = 0

  addBucket(bucket: number, count: number): void {
    this.counts[bucket] = (this.counts[bucket] ?? 0) + count
    this.total += count
  }

  /** Milliseconds: the upper bound of the bucket that has the given quantile; 0 if nothing was added. */
  quantile(q: number): number {
    const rank = q * this.total
    let seen = 0
    for (let i = 0; i < buckets; i++) {
      seen += this.counts[i] ?? 0
      if (seen >= rank && seen > 0) return 2 ** (i / 8) / 1000
    }
    return 0
  }
}

/** The histogram in these counters. */
export const fromCounters = (counters: Readonly<Record<string, number>>): Histogram => {
  const histogram = new Histogram()
  for (const [name, count] of Object.entries(counters)) {
    if (name.startsWith(prefix)) histogram.addBucket(Number(name.slice(prefix.length)), count)
  }
  return histogram
}
