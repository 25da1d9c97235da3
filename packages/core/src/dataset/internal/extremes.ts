import { Option, Order } from "effect"
import { dual } from "effect/Function"
import type { Action } from "../../engine/Action.ts"
import { whole } from "../../codec/internal/checks.ts"
import { folded } from "./action.ts"
import { Best } from "./best.ts"
import { checkedAction } from "./checked.ts"
import type { Dataset } from "./model.ts"

/**
 * The first `n` elements in an order, sorted.
 *
 * @category actions
 * @since 0.1.0
 */
export const takeOrdered: {
  <A>(n: number, order: Order.Order<A>): <E, R>(self: Dataset<A, E, R>) => Action<Array<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, n: number, order: Order.Order<A>): Action<Array<A>, E, R>
} = dual(3, <A, E, R>(self: Dataset<A, E, R>, n: number, order: Order.Order<A>): Action<Array<A>, E, R> =>
  ordered(self, "takeOrdered", n, order)
)

const ordered = <A, E, R>(
  self: Dataset<A, E, R>,
  name: string,
  n: number,
  order: Order.Order<A>
): Action<Array<A>, E, R> =>
  checkedAction(
    name,
    whole("n", n, 0),
    folded(self, {
      name: `${name} ${n}`,
      zero: () => new Best(n, order),
      add: (best, values) => best.addAll(values),
      merge: (best, other) => best.addAll(other.sorted()),
      end: (best) => best.sorted()
    })
  )

/**
 * The last `n` elements in an order, the greatest first.
 *
 * @category actions
 * @since 0.1.0
 */
export const top: {
  <A>(n: number, order: Order.Order<A>): <E, R>(self: Dataset<A, E, R>) => Action<Array<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, n: number, order: Order.Order<A>): Action<Array<A>, E, R>
} = dual(3, <A, E, R>(self: Dataset<A, E, R>, n: number, order: Order.Order<A>): Action<Array<A>, E, R> =>
  ordered(self, "top", n, Order.flip(order))
)

const extreme = <A, E, R>(
  self: Dataset<A, E, R>,
  name: string,
  order: Order.Order<A>
): Action<Option.Option<A>, E, R> => {
  const least = (left: Option.Option<A>, value: A) =>
    Option.isNone(left) || order(value, left.value) < 0 ? Option.some(value) : left
  return folded(self, {
    name,
    zero: () => Option.none<A>(),
    add: (state, values) => values.reduce(least, state),
    merge: (left, right) => (Option.isNone(right) ? left : least(left, right.value)),
    end: (state) => state
  })
}

/**
 * The least element in an order; `None` without elements.
 *
 * @category actions
 * @since 0.1.0
 */
export const min: {
  <A>(order: Order.Order<A>): <E, R>(self: Dataset<A, E, R>) => Action<Option.Option<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>): Action<Option.Option<A>, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>): Action<Option.Option<A>, E, R> =>
  extreme(self, "min", order)
)

/**
 * The greatest element in an order; `None` without elements.
 *
 * @category actions
 * @since 0.1.0
 */
export const max: {
  <A>(order: Order.Order<A>): <E, R>(self: Dataset<A, E, R>) => Action<Option.Option<A>, E, R>
  <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>): Action<Option.Option<A>, E, R>
} = dual(2, <A, E, R>(self: Dataset<A, E, R>, order: Order.Order<A>): Action<Option.Option<A>, E, R> =>
  extreme(self, "max", Order.flip(order))
)
