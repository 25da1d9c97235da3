/**
 * `size` random rows, each as likely as any other, out of a number that is not known beforehand. Algorithm L (Li 1994)
 * skips over rows instead of drawing a number for each.
 */
export class Reservoir<A, K> {
  /** The sample of the rows so far. */
  readonly kept: Array<K> = []
  /** How many rows it has seen. */
  count = 0
  readonly #size: number
  readonly #next: () => number
  readonly #take: (row: A) => K
  #weight = 1
  /** The next row to draw when the reservoir is full. */
  #skipTo = 0

  constructor(size: number, next: () => number, take: (row: A) => K) {
    this.#size = size
    this.#next = next
    this.#take = take
  }

  add(rows: ReadonlyArray<A>): void {
    const start = this.count
    this.count += rows.length
    const missing = this.#size - this.kept.length
    if (missing > 0) {
      for (const row of rows.slice(0, missing)) this.kept.push(this.#take(row))
      if (rows.length < missing) return
      this.#skip(start + missing)
    }
    while (this.#skipTo < this.count) {
      const at = this.#skipTo - start
      for (const row of rows.slice(at, at + 1)) this.kept[Math.floor(this.#next() * this.#size)] = this.#take(row)
      this.#skip(this.#skipTo + 1)
    }
  }

  // Moves on to the next row to draw.
  #skip(from: number): void {
    this.#weight *= Math.exp(Math.log(1 - this.#next()) / this.#size)
    this.#skipTo = from + Math.floor(Math.log(1 - this.#next()) / Math.log(1 - this.#weight))
  }
}
