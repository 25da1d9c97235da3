/** The operators of random pipelines. A seed takes them by their place in this table. */
import type { Operator } from "./operator.ts"
import { stepsByKey } from "./stepsByKey.ts"
import { stepsInPlace } from "./stepsInPlace.ts"

export const operators: Readonly<Record<string, Operator>> = { ...stepsInPlace, ...stepsByKey }
