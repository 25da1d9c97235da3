import { Pipeable, Predicate, type Types } from "effect"
import type { Operator } from "../../task/Operator.ts"
import type * as Plan from "../../plan/Plan.ts"

const TypeId = "~@sluice/core/Dataset"

/**
 * A lazy, typed, partitioned collection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Dataset<out A, out E = never, out R = never> extends Pipeable.Pipeable {
  readonly [TypeId]: {
    readonly _A: Types.Covariant<A>
    readonly _E: Types.Covariant<E>
    readonly _R: Types.Covariant<R>
  }
  readonly plan: Plan.Plan
}

const variance = {
  _A: (_: never) => _,
  _E: (_: never) => _,
  _R: (_: never) => _
}

const Proto = {
  [TypeId]: variance,
  pipe() {
    return Pipeable.pipeArguments(this, arguments)
  }
}

/**
 * Whether a value is a `Dataset`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isDataset = (u: unknown): u is Dataset<unknown, unknown, unknown> => Predicate.hasProperty(u, TypeId)

// Only the combinators call this: there, the types and the plan are known to agree.
export const fromPlan = <A, E, R>(plan: Plan.Plan): Dataset<A, E, R> => Object.assign(Object.create(Proto), { plan })

export const narrow = <A, E, R>(self: Dataset<unknown, unknown, unknown>, operator: Operator): Dataset<A, E, R> =>
  fromPlan({ _tag: "Narrow", child: self.plan, operator })

/**
 * A constraint that every type meets. It names a tuple, so that an array literal is inferred as one: `["a", 1]` is a
 * `[string, number]`. A `const` type parameter would do the same, but would also keep literal types, so that `1` would
 * not be a `number`.
 */
export type Tupled = {} | null | undefined | void | readonly []
