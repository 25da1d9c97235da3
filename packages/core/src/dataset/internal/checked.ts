/** Impossible steps and actions: the first action that finds one fails with `InvalidPlan`, before anything is read. */
import { Action } from "../../engine/Action.ts"
import type { Plan } from "../../plan/Plan.ts"
import type { Problem } from "../../codec/internal/checks.ts"
import { type Dataset, fromPlan } from "./model.ts"

/** A dataset, or one on which every action fails if there is a problem. */
export const checked = <A, E, R>(operator: string, problem: Problem, make: () => Dataset<A, E, R>): Dataset<A, E, R> =>
  problem === undefined ? make() : fromPlan(invalid(operator, problem))

/** An action, or one that fails if there is a problem. */
export const checkedAction = <A, E, R>(operator: string, problem: Problem, action: Action<A, E, R>): Action<A, E, R> =>
  problem === undefined
    ? action
    : new Action({ ...action.spec, plan: invalid(operator, problem), drive: (run) => run.result })

const invalid = (operator: string, detail: string): Plan => ({ _tag: "Invalid", operator, detail })
