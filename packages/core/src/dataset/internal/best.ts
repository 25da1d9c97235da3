import { Option, type Order } from "effect"

/**
 * Keeps the first `n` elements in an order. It collects up to twice as many, sorts them and drops the rest; from then on, an element
 * that does not come before the last one kept is dropped at once. If elements are equal, the earlier ones are kept.
 */
export class Best<A> {
  readonly #n: number
  readonly #order: Order.Order<A>
  readonly #waiting: Array<A> = []
  /** The last of the `n`, once there are `n`. */
  #last: Option.Option<A> = Option.none()

  constructor(n: number, order: Order.Order<A>) {
    this.#n = n
    this.#order = order
  }

  addAll(values: Iterable<A>): this {
    for (const value of values) this.add(value)
    return this
  }

  add(value: A): void {
    if (this.#n <= 0 || (Option.isSome(this.#last) && this.#order(value, this.#last.value) >= 0)) return
    this.#waiting.push(value)
    if (this.#waiting.length >= 2 * this.#n) this.#settle()
  }

  sorted(): Array<A> {
    this.#settle()
    return [...this.#waiting]
  }

  #settle(): void {
    this.#waiting.sort(this.#order)
    this.#waiting.splice(this.#n)
    for (const last of this.#waiting.slice(this.#n - 1)) this.#last = Option.some(last)
  }
}
