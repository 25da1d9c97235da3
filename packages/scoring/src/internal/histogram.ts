const buckets = 256

/** The bucket of a duration: from 1 microsecond to about an hour. */
export const bucketOf = (millis: number): number =>
  Math.max(0, Math.min(buckets - 1, Math.ceil(Math.log2(Math.max(millis, 0.001) * 1000) * 8)))

const prefix = "latency/"

/** The name of the counter of a bucket: so the histograms of tasks add up as any counter does. */
export const latencyCounter = (bucket: number): string => `${prefix}${bucket}`

/** The histogram that such counters hold. */
export const fromCounters = (counters: Readonly<Record<string, number>>): Histogram => {
  const histogram = new Histogram()
  for (const [name, count] of Object.entries(counters)) {
    if (name.startsWith(prefix)) histogram.addBucket(Number(name.slice(prefix.length)), count)
  }
  return histogram
}

/** Counts of durations in buckets that grow by 2^(1/8), about 9 %: enough for percentiles, and sums of it are exact. */
export class Histogram {
  private readonly buckets = new Float64Array(buckets)
  private total = 0
  private sum = 0
  max = 0

  add(millis: number): void {
    const index = bucketOf(millis)
    this.buckets[index] = (this.buckets[index] ?? 0) + 1
    this.total++
    this.sum += millis
    if (millis > this.max) this.max = millis
  }

  /** Adds durations of which only the bucket is known. */
  addBucket(index: number, count: number): void {
    const bound = 2 ** (index / 8) / 1000
    this.buckets[index] = (this.buckets[index] ?? 0) + count
    this.total += count
    this.sum += bound * count
    if (bound > this.max) this.max = bound
  }

  get mean(): number {
    return this.total === 0 ? 0 : this.sum / this.total
  }

  /** The upper bound of the bucket that has the given quantile, 0 where nothing was added. */
  quantile(q: number): number {
    const rank = q * this.total
    let seen = 0
    for (let i = 0; i < buckets; i++) {
      seen += this.buckets[i] ?? 0
      if (seen >= rank && seen > 0) return Math.min(this.max, 2 ** (i / 8) / 1000)
    }
    return 0
  }
}
