/** Counts of durations in buckets that grow by 2^(1/8), about 9 %: enough for percentiles, and sums of it are exact. */
export class Histogram {
  private readonly buckets = new Float64Array(256)
  private total = 0
  private sum = 0
  max = 0

  /** `millis` from 1 microsecond to about an hour. */
  add(millis: number): void {
    const index = Math.max(0, Math.min(255, Math.ceil(Math.log2(Math.max(millis, 0.001) * 1000) * 8)))
    this.buckets[index] = (this.buckets[index] ?? 0) + 1
    this.total++
    this.sum += millis
    if (millis > this.max) this.max = millis
  }

  get mean(): number {
    return this.total === 0 ? 0 : this.sum / this.total
  }

  /** The upper bound of the bucket that has the given quantile, 0 where nothing was added. */
  quantile(q: number): number {
    const rank = q * this.total
    let seen = 0
    for (let i = 0; i < 256; i++) {
      seen += this.buckets[i] ?? 0
      if (seen >= rank && seen > 0) return Math.min(this.max, 2 ** (i / 8) / 1000)
    }
    return 0
  }
}
